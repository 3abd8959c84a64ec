/* Command line: `bgp-load SCENARIO name=value...`; one line of JSON on stdout, progress on stderr. */
#include "load.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static int words;
static char **word;

const char *option(const char *name, const char *otherwise) {
  size_t length = strlen(name);
  for (int i = 0; i < words; i++)
    if (strncmp(word[i], name, length) == 0 && word[i][length] == '=') return word[i] + length + 1;
  return otherwise;
}

long number(const char *name, long otherwise) {
  const char *text = option(name, NULL);
  return text == NULL ? otherwise : strtol(text, NULL, 10);
}

void die(const char *what) {
  fprintf(stderr, "bgp-load: %s: %s\n", what, strerror(errno));
  exit(1);
}

double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  words = argc - 2;
  word = argv + 2;
  signal(SIGPIPE, SIG_IGN);
  setvbuf(stderr, NULL, _IOLBF, 0);
  struct rlimit files = {8192, 8192};
  setrlimit(RLIMIT_NOFILE, &files);
  /* Late looks would be counted as the speaker's lateness. */
  setpriority(PRIO_PROCESS, 0, -20);
  const char *scenario = argc > 1 ? argv[1] : "";
  if (strcmp(scenario, "capacity") == 0) return run_capacity();
  if (strcmp(scenario, "table") == 0) return run_table();
  if (strcmp(scenario, "peers") == 0) return run_peers();
  if (strcmp(scenario, "slow") == 0) return run_slow();
  fprintf(stderr, "usage: bgp-load capacity|table|peers|slow name=value...\n");
  return 2;
}
