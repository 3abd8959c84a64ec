/*
 * Stands in the place of a CNI plugin and writes down what a call of the real one costs: it runs /run/cni/real/NAME, NAME
 * being its own, with its own stdin, stdout and environment, and appends "VERB WALL CPU" (nanoseconds; CPU with that of the
 * plugin's children) to /run/cni-times. A vfork and one write are all that it adds.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * 1000000000LL + at.tv_nsec;
}

int main(int argc, char **argv, char **environment) {
  (void)argc;
  const char *slash = strrchr(argv[0], '/');
  const char *verb = getenv("CNI_COMMAND");
  char real[256];
  snprintf(real, sizeof real, "/run/cni/real/%s", slash == NULL ? argv[0] : slash + 1);
  long long start = now();
  pid_t child = vfork();
  if (child == 0) {
    execve(real, argv, environment);
    _exit(127);
  }
  int status = 0;
  struct rusage used = {0};
  if (child < 0 || wait4(child, &status, 0, &used) < 0) return 126;
  long long wall = now() - start;
  long long cpu = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000000LL +
                  (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1000LL;
  char line[128];
  int length = snprintf(line, sizeof line, "%s %lld %lld\n", verb == NULL ? "?" : verb, wall, cpu);
  int fd = open("/run/cni-times", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, line, (size_t)length) != length) return 125;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 124;
}
