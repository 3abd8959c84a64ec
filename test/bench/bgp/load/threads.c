/* CPU of the speaker's threads by their names, to see where its time goes. */
#include "load.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

struct spent {
  char name[32];
  double before, after;
};
static struct spent spents[128];
static int count;

static struct spent *of(const char *name) {
  for (int i = 0; i < count; i++)
    if (strcmp(spents[i].name, name) == 0) return spents + i;
  if (count == 128) return spents + 127;
  snprintf(spents[count].name, sizeof spents[count].name, "%s", name);
  return spents + count++;
}

static void look(int pid, bool after) {
  char path[320], name[32], line[96];
  snprintf(path, sizeof path, "/proc/%d/task", pid);
  DIR *tasks = opendir(path);
  if (tasks == NULL) return;
  for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
    if (task->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "/proc/%d/task/%s/comm", pid, task->d_name);
    FILE *file = fopen(path, "re");
    if (file == NULL) continue;
    bool named = fgets(name, sizeof name, file) != NULL;
    fclose(file);
    snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, task->d_name);
    file = fopen(path, "re");
    if (file == NULL) continue;
    if (named && fgets(line, sizeof line, file) != NULL) {
      name[strcspn(name, "\n")] = 0;
      struct spent *spent = of(name);
      *(after ? &spent->after : &spent->before) += strtod(line, NULL) / 1e9;
    }
    fclose(file);
  }
  closedir(tasks);
}

void threads_before(void) {
  for (int i = 0; i < count; i++) spents[i].before = spents[i].after = 0;
  for (int i = 0; i < pid_count; i++) look(pids[i], false);
}

void report_threads(const char *name) {
  for (int i = 0; i < pid_count; i++) look(pids[i], true);
  report_begin(name);
  for (int i = 0; i < count; i++)
    if (spents[i].after - spents[i].before >= 0.0005) report_number(spents[i].name, spents[i].after - spents[i].before);
  report_end();
}
