/*
 * Load generator for CNI plugins: runs a plugin once per namespace, a given number at a time, and measures each call
 * from fork to exit. Written in C so that the measuring costs next to nothing beside what is measured.
 *
 *   driver make   COUNT PREFIX                       namespaces PREFIX0.. under /run/netns
 *   driver remove COUNT PREFIX
 *   driver run    VERB PLUGIN CNI_PATH CONF CONCURRENCY COUNT PREFIX
 *
 * `run` prints one line of JSON: wall and percentiles in milliseconds, CPU seconds of the plugin processes and their children.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void die(const char *what) {
  fprintf(stderr, "driver: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int make(int count, const char *prefix) {
  int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (home < 0) die("open own namespace");
  mkdir("/run/netns", 0755);
  for (int i = 0; i < count; i++) {
    char path[256];
    snprintf(path, sizeof path, "/run/netns/%s%d", prefix, i);
    int fd = open(path, O_RDONLY | O_CREAT | O_EXCL, 0644);
    if (fd < 0) die(path);
    close(fd);
    if (unshare(CLONE_NEWNET) < 0) die("unshare");
    if (mount("/proc/self/ns/net", path, "none", MS_BIND, NULL) < 0) die("bind mount");
    if (setns(home, CLONE_NEWNET) < 0) die("setns back");
  }
  return 0;
}

static int remove_all(int count, const char *prefix) {
  for (int i = 0; i < count; i++) {
    char path[256];
    snprintf(path, sizeof path, "/run/netns/%s%d", prefix, i);
    umount2(path, MNT_DETACH);
    unlink(path);
  }
  return 0;
}

struct call {
  pid_t pid;
  int index;
  double started;
};

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static pid_t start(char **argv, int index) {
  const char *verb = argv[0], *plugin = argv[1], *path = argv[2], *conf = argv[3], *prefix = argv[6];
  char env_verb[64], env_id[160], env_ns[300], env_path[512];
  snprintf(env_verb, sizeof env_verb, "CNI_COMMAND=%s", verb);
  snprintf(env_id, sizeof env_id, "CNI_CONTAINERID=%s%d", prefix, index);
  snprintf(env_ns, sizeof env_ns, "CNI_NETNS=/run/netns/%s%d", prefix, index);
  snprintf(env_path, sizeof env_path, "CNI_PATH=%s", path);
  char *env[] = {env_verb, env_id, env_ns, env_path, "CNI_IFNAME=eth0", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
  char *args[] = {(char *)plugin, NULL};
  pid_t pid = vfork();
  if (pid == 0) {
    int in = open(conf, O_RDONLY);
    int out = open("/dev/null", O_WRONLY);
    if (in < 0 || out < 0) _exit(126);
    dup2(in, 0);
    dup2(out, 1);
    if (getenv("DRIVER_QUIET")) dup2(out, 2);
    execve(plugin, args, env);
    _exit(127);
  }
  if (pid < 0) die("vfork");
  return pid;
}

static int run(char **argv) {
  int concurrency = atoi(argv[4]), count = atoi(argv[5]);
  if (concurrency < 1 || concurrency > 256 || count < 1) {
    fprintf(stderr, "driver: CONCURRENCY is 1 to 256, COUNT at least 1\n");
    return 2;
  }
  struct call calls[256] = {{0}};
  double *took = calloc(count, sizeof *took);
  int next = 0, done = 0, failed = 0, running = 0;
  double begin = now_ms();
  while (done < count) {
    while (running < concurrency && next < count) {
      for (int k = 0; k < concurrency; k++) {
        if (calls[k].pid != 0) continue;
        calls[k].index = next;
        calls[k].started = now_ms();
        calls[k].pid = start(argv, next++);
        running++;
        break;
      }
    }
    int status;
    pid_t pid = wait(&status);
    double end = now_ms();
    if (pid < 0) die("wait");
    for (int k = 0; k < concurrency; k++) {
      if (calls[k].pid != pid) continue;
      took[done++] = end - calls[k].started;
      if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) failed++;
      calls[k].pid = 0;
      running--;
      break;
    }
  }
  double wall = now_ms() - begin;
  struct rusage used;
  getrusage(RUSAGE_CHILDREN, &used);
  qsort(took, count, sizeof *took, by_value);
  printf("{\"wallMs\":%.1f,\"p50Ms\":%.3f,\"p99Ms\":%.3f,\"cpuSeconds\":%.3f,\"failed\":%d}\n", wall, took[count / 2],
         took[(count * 99) / 100], used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6,
         failed);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 4 && strcmp(argv[1], "make") == 0) return make(atoi(argv[2]), argv[3]);
  if (argc == 4 && strcmp(argv[1], "remove") == 0) return remove_all(atoi(argv[2]), argv[3]);
  if (argc == 9 && strcmp(argv[1], "run") == 0) return run(argv + 2);
  fprintf(stderr, "usage: driver make|remove COUNT PREFIX | driver run VERB PLUGIN CNI_PATH CONF CONCURRENCY COUNT PREFIX\n");
  return 2;
}
