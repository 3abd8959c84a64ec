/*
 * The one process of a pod sandbox: it holds the namespaces and waits to be told to end. As the init of the pid
 * namespace it gets a signal only if it has asked for it; children that are left to it are reaped by the kernel.
 */
#include <signal.h>
#include <unistd.h>

static void end(int signal) {
  (void)signal;
  _exit(0);
}

int main(void) {
  signal(SIGCHLD, SIG_IGN);
  signal(SIGTERM, end);
  signal(SIGINT, end);
  for (;;) pause();
}
