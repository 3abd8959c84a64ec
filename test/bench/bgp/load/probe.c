/* What the speaker under test costs, what its kernel has, and whether packets really go where a route says. */
#include "load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PROBE_PORT 7777

int pids[256], pid_count;
static int route_socket = -1, probe_out = -1, probe_in = -1;

static int socket_in(const char *which, int domain, int type, int protocol) {
  const char *path = option(which, "");
  int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), there = open(path, O_RDONLY | O_CLOEXEC);
  if (there < 0 || setns(there, CLONE_NEWNET) < 0) die(path);
  int fd = socket(domain, type | SOCK_CLOEXEC, protocol);
  if (fd < 0) die("socket");
  if (setns(home, CLONE_NEWNET) < 0) die("setns back");
  close(home);
  close(there);
  return fd;
}

void open_probes(void) {
  for (const char *at = option("pids", ""); *at != 0 && pid_count < 256;) {
    char *end;
    pids[pid_count++] = (int)strtol(at, &end, 10);
    at = *end == ',' ? end + 1 : end;
  }
  if (option("kernel", NULL) == NULL) return;
  route_socket = socket_in("kernel", AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  probe_out = socket_in("sink", AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  probe_in = socket_in("source", AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(PROBE_PORT)};
  if (bind(probe_in, (struct sockaddr *)&any, sizeof any) < 0) die("bind probe");
  int room = 1 << 20;
  setsockopt(probe_in, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
}

double cpu_seconds(void) {
  double sum = 0;
  for (int i = 0; i < pid_count; i++) {
    clockid_t clock;
    struct timespec spent;
    if (clock_getcpuclockid(pids[i], &clock) != 0 || clock_gettime(clock, &spent) != 0) continue;
    sum += spent.tv_sec + spent.tv_nsec / 1e9;
  }
  return sum;
}

static double mebibytes_of(int pid, const char *field) {
  char path[64], line[256];
  double found = 0;
  snprintf(path, sizeof path, "/proc/%d/status", pid);
  FILE *file = fopen(path, "re");
  if (file == NULL) return 0;
  while (fgets(line, sizeof line, file) != NULL)
    if (strncmp(line, field, strlen(field)) == 0) found = atof(line + strlen(field) + 1) / 1024;
  fclose(file);
  return found;
}

static double status_mebibytes(const char *field) {
  double sum = 0;
  for (int i = 0; i < pid_count; i++) sum += mebibytes_of(pids[i], field);
  return sum;
}
double peak_mebibytes(void) { return status_mebibytes("VmHWM"); }
double resident_mebibytes(void) { return status_mebibytes("VmRSS"); }

void report_peaks(const char *name) {
  report_begin(name);
  for (int i = 0; i < pid_count; i++) {
    char path[64], comm[32] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", pids[i]);
    FILE *file = fopen(path, "re");
    if (file == NULL) continue;
    if (fgets(comm, sizeof comm, file) != NULL) {
      comm[strcspn(comm, "\n")] = 0;
      report_number(comm, mebibytes_of(pids[i], "VmHWM"));
    }
    fclose(file);
  }
  report_end();
}

/* The kernel counts by walking its tree: for the end of a wait, not for each look of one. */
long kernel_count(void) {
  FILE *file = fopen(option("triestat", ""), "re");
  char line[256];
  long count = -1;
  if (file == NULL) die("fib_triestat");
  while (fgets(line, sizeof line, file) != NULL && count < 0) sscanf(line, " Prefixes: %ld", &count);
  fclose(file);
  return count;
}

/* Whether a route of its own leads to the prefix: nothing else in that kernel covers it. */
bool kernel_has(uint32_t index) {
  struct {
    struct nlmsghdr header;
    struct rtmsg route;
    struct rtattr attribute;
    uint32_t address;
  } request = {
      .header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_GETROUTE, .nlmsg_flags = NLM_F_REQUEST},
      .route = {.rtm_family = AF_INET, .rtm_dst_len = 32},
      .attribute = {.rta_len = RTA_LENGTH(4), .rta_type = RTA_DST},
      .address = htonl(prefix_address(index) + 1),
  };
  char answer[4096];
  if (send(route_socket, &request, sizeof request, 0) < 0) die("RTM_GETROUTE");
  ssize_t length = recv(route_socket, answer, sizeof answer, 0);
  if (length < (ssize_t)sizeof(struct nlmsghdr)) die("RTM_GETROUTE answer");
  return ((struct nlmsghdr *)answer)->nlmsg_type == RTM_NEWROUTE;
}

void send_probe(uint32_t index) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PROBE_PORT), .sin_addr.s_addr = htonl(prefix_address(index) + 1)};
  sendto(probe_out, &index, sizeof index, 0, (struct sockaddr *)&to, sizeof to);
}

int64_t probe_arrived(void) {
  uint32_t index;
  return recv(probe_in, &index, sizeof index, 0) == sizeof index ? (int64_t)index : -1;
}
