/*
 * The floor under an ADD: the netlink messages of a dual-stack pod as flatroute sends them, from C, without CNI, without an
 * agent, without JSON, without waiting for anything. What is beneath it is the kernel's.
 *
 *   CNI_COMMAND=ADD|DEL CNI_CONTAINERID=PREFIXn CNI_NETNS=PATH floor      one pod: what a plugin would be that knew all
 *   floor all ADD|DEL COUNT PREFIX                                        all of them in one process, one after the other
 *   floor reap COUNT                                                      deletes the veths of DEL in groups of 64
 *
 * `all` prints the same line of JSON as the load generator (driver.c). The addresses follow from n.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define VETH_PEER 1
#define MTU 1500
#define GROUP_BUILDING 0xf101
#define GROUP_LIVE 0xf102
#define GROUP_DYING 0xf103
#define GROUP_REAPING 0xf104
#define PROTOCOL 80
#define IFF_UP 1
#define GROUP_SIZE 64

static const unsigned char host_mac[6] = {0xee, 0xee, 0xee, 0xee, 0xee, 0xee};
static const char gateway4[] = "169.254.1.1", gateway6[] = "fe80::ecee:eeff:feee:eeee";

static unsigned char buffer[65536] __attribute__((aligned(8)));
static size_t used;
static struct nlmsghdr *message;
static uint32_t sequence = 1;

static void die(const char *what) {
  fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void *put(const void *bytes, size_t length) {
  void *at = buffer + used;
  memset(at, 0, NLMSG_ALIGN(length));
  if (bytes != NULL) memcpy(at, bytes, length);
  used += NLMSG_ALIGN(length);
  return at;
}

static void begin(int type, int flags) {
  struct nlmsghdr header = {.nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags, .nlmsg_seq = sequence++};
  message = put(&header, sizeof header);
}

static void end(void) { message->nlmsg_len = (uint32_t)(buffer + used - (unsigned char *)message); }

static struct rtattr *attribute(int type, const void *bytes, size_t length) {
  struct rtattr header = {.rta_type = type, .rta_len = RTA_LENGTH(length)};
  struct rtattr *at = put(&header, sizeof header);
  if (length > 0) put(bytes, length);
  return at;
}

static void attribute32(int type, uint32_t value) { attribute(type, &value, 4); }
static void nested(struct rtattr *at) { at->rta_len = (unsigned short)(buffer + used - (unsigned char *)at); }

static int open_socket(void) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) die("netlink socket");
  int one = 1;
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof one);
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one);
  return fd;
}

/* Sends what was built as one datagram and reads up to the last acknowledgement; the indexes of an echo are answered. */
static void flush(int fd, const char *what, int *index, int *peer) {
  static unsigned char answer[32768] __attribute__((aligned(8)));
  message->nlmsg_flags |= NLM_F_ACK;
  uint32_t last = message->nlmsg_seq;
  if (send(fd, buffer, used, 0) < 0) die(what);
  used = 0;
  for (;;) {
    int length = (int)recv(fd, answer, sizeof answer, 0);
    if (length < 0) die(what);
    for (struct nlmsghdr *m = (void *)answer; NLMSG_OK(m, (unsigned)length); m = NLMSG_NEXT(m, length)) {
      if (m->nlmsg_type == RTM_NEWLINK && index != NULL) {
        struct ifinfomsg *info = NLMSG_DATA(m);
        int rest = (int)IFLA_PAYLOAD(m);
        *index = info->ifi_index;
        for (struct rtattr *a = IFLA_RTA(info); RTA_OK(a, rest); a = RTA_NEXT(a, rest))
          if (a->rta_type == IFLA_LINK) *peer = *(int *)RTA_DATA(a);
      }
      if (m->nlmsg_type != NLMSG_ERROR) continue;
      struct nlmsgerr *error = NLMSG_DATA(m);
      if (error->error != 0) {
        errno = -error->error;
        die(what);
      }
      if (m->nlmsg_seq == last) return;
    }
  }
}

static void link_message(int flags, int index, const char *name, unsigned up) {
  struct ifinfomsg info = {.ifi_index = index, .ifi_flags = up, .ifi_change = up};
  begin(RTM_NEWLINK, flags);
  put(&info, sizeof info);
  if (name != NULL) attribute(IFLA_IFNAME, name, strlen(name) + 1);
}

static void group(int index, const char *name, uint32_t value) {
  link_message(0, index, name, 0);
  attribute32(IFLA_GROUP, value);
  end();
}

static void create(const char *name, const unsigned char *mac, int namespace) {
  uint32_t queues = 1;
  link_message(NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO, 0, name, 0);
  attribute(IFLA_ADDRESS, host_mac, 6);
  attribute32(IFLA_MTU, MTU);
  attribute32(IFLA_GROUP, GROUP_BUILDING);
  attribute32(IFLA_NUM_TX_QUEUES, queues);
  attribute32(IFLA_NUM_RX_QUEUES, queues);
  struct rtattr *info = attribute(IFLA_LINKINFO | NLA_F_NESTED, NULL, 0);
  attribute(IFLA_INFO_KIND, "veth", 5);
  struct rtattr *data = attribute(IFLA_INFO_DATA | NLA_F_NESTED, NULL, 0);
  struct rtattr *peer = attribute(VETH_PEER | NLA_F_NESTED, NULL, 0);
  struct ifinfomsg none = {0};
  put(&none, sizeof none);
  attribute(IFLA_IFNAME, "eth0", 5);
  attribute(IFLA_ADDRESS, mac, 6);
  attribute32(IFLA_MTU, MTU);
  attribute32(IFLA_NET_NS_FD, (uint32_t)namespace);
  attribute32(IFLA_NUM_TX_QUEUES, queues);
  attribute32(IFLA_NUM_RX_QUEUES, queues);
  nested(peer);
  nested(data);
  nested(info);
  end();
}

static void record(int index, int n) {
  char alias[128];
  uint32_t strict = 1;
  snprintf(alias, sizeof alias, "floor 0123456789ab 0123456789abcdef0123456789abcdef eth0 %d 0a3d0000,fd610000000000000000000000000000 -", n);
  link_message(0, index, NULL, 0);
  attribute(IFLA_IFALIAS, alias, strlen(alias) + 1);
  struct rtattr *families = attribute(IFLA_AF_SPEC | NLA_F_NESTED, NULL, 0);
  struct rtattr *inet = attribute(AF_INET | NLA_F_NESTED, NULL, 0);
  struct rtattr *conf = attribute(IFLA_INET_CONF | NLA_F_NESTED, NULL, 0);
  attribute(8, &strict, 4); /* IPV4_DEVCONF_RP_FILTER */
  nested(conf);
  nested(inet);
  struct rtattr *inet6 = attribute(AF_INET6 | NLA_F_NESTED, NULL, 0);
  unsigned char none = IN6_ADDR_GEN_MODE_NONE;
  attribute(IFLA_INET6_ADDR_GEN_MODE, &none, 1);
  nested(inet6);
  nested(families);
  end();
}

struct address {
  int family;
  size_t length;
  unsigned char bytes[16];
};

static struct address parse(const char *text) {
  struct address a = {.family = strchr(text, ':') ? AF_INET6 : AF_INET};
  a.length = a.family == AF_INET ? 4 : 16;
  inet_pton(a.family, text, a.bytes);
  return a;
}

static struct address pod_address(int family, int n) {
  char text[64];
  if (family == AF_INET) snprintf(text, sizeof text, "10.61.%d.%d", n >> 8 & 255, n & 255);
  else snprintf(text, sizeof text, "fd61::%x", n + 1);
  return parse(text);
}

static void address_message(int index, struct address a) {
  struct ifaddrmsg head = {.ifa_family = a.family, .ifa_prefixlen = 8 * a.length, .ifa_index = index};
  begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  put(&head, sizeof head);
  attribute(IFA_LOCAL, a.bytes, a.length);
  attribute(IFA_ADDRESS, a.bytes, a.length);
  if (a.family == AF_INET6) attribute32(IFA_FLAGS, IFA_F_NODAD);
  end();
}

static void neighbour(int index, struct address a, const unsigned char *mac) {
  struct ndmsg head = {.ndm_family = a.family, .ndm_ifindex = index, .ndm_state = NUD_PERMANENT};
  begin(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
  put(&head, sizeof head);
  attribute(NDA_DST, a.bytes, a.length);
  attribute(NDA_LLADDR, mac, 6);
  end();
}

static void route(int type, int flags, int index, struct address to, int bits, const struct address *by, const struct address *source) {
  struct rtmsg head = {.rtm_family = to.family,
                       .rtm_dst_len = bits,
                       .rtm_table = RT_TABLE_MAIN,
                       .rtm_protocol = PROTOCOL,
                       .rtm_scope = by == NULL ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
                       .rtm_type = RTN_UNICAST};
  begin(type, flags);
  put(&head, sizeof head);
  if (bits > 0) attribute(RTA_DST, to.bytes, to.length);
  if (by != NULL) attribute(RTA_GATEWAY, by->bytes, by->length);
  if (source != NULL) attribute(RTA_PREFSRC, source->bytes, source->length);
  attribute32(RTA_OIF, (uint32_t)index);
  end();
}

static int home = -1, host_socket = -1;

static void add(const char *name, int n, const char *path) {
  unsigned char mac[6] = {2, 0, 0, (unsigned char)(n >> 16), (unsigned char)(n >> 8), (unsigned char)n};
  struct address gateways[2] = {parse(gateway4), parse(gateway6)};
  struct address node[2] = {parse("192.0.2.11"), parse("2001:db8::11")};
  struct address own[2] = {pod_address(AF_INET, n), pod_address(AF_INET6, n)};
  int host = 0, pod = 0, new = NLM_F_CREATE | NLM_F_EXCL;
  int namespace = open(path, O_RDONLY | O_CLOEXEC);
  if (namespace < 0) die(path);
  create(name, mac, namespace);
  flush(host_socket, "create", &host, &pod);
  record(host, n);
  flush(host_socket, "record", NULL, NULL);
  if (setns(namespace, CLONE_NEWNET) < 0) die("setns");
  int inside = open_socket();
  if (setns(home, CLONE_NEWNET) < 0) die("setns back");
  link_message(0, 1, NULL, IFF_UP);
  end();
  link_message(0, pod, NULL, IFF_UP);
  end();
  for (int f = 0; f < 2; f++) address_message(pod, own[f]);
  for (int f = 0; f < 2; f++) {
    struct address everything = {.family = own[f].family, .length = own[f].length};
    neighbour(pod, gateways[f], host_mac);
    if (f == 0) route(RTM_NEWROUTE, new, pod, gateways[f], 32, NULL, NULL);
    route(RTM_NEWROUTE, new, pod, everything, 0, &gateways[f], NULL);
  }
  flush(inside, "inside the pod", NULL, NULL);
  group(host, NULL, GROUP_LIVE);
  link_message(0, host, NULL, IFF_UP);
  end();
  for (int f = 0; f < 2; f++) {
    neighbour(host, own[f], mac);
    route(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, host, own[f], 8 * (int)own[f].length, NULL, &node[f]);
  }
  flush(host_socket, "live", NULL, NULL);
  close(inside);
  close(namespace);
}

static void del(const char *name, int n) {
  group(0, name, GROUP_DYING);
  for (int f = 0; f < 2; f++) {
    struct address own = pod_address(f == 0 ? AF_INET : AF_INET6, n);
    route(RTM_DELROUTE, 0, 0, own, 8 * (int)own.length, NULL, NULL);
  }
  flush(host_socket, "part", NULL, NULL);
}

static void reap(int count) {
  for (int from = 0; from < count; from += GROUP_SIZE) {
    for (int n = from; n < count && n < from + GROUP_SIZE; n++) {
      char name[16];
      snprintf(name, sizeof name, "fl%d", n);
      group(0, name, GROUP_REAPING);
    }
    struct ifinfomsg none = {0};
    begin(RTM_DELLINK, 0);
    put(&none, sizeof none);
    attribute32(IFLA_GROUP, GROUP_REAPING);
    end();
    flush(host_socket, "reap", NULL, NULL);
  }
}

static void one(const char *verb, int n, const char *path) {
  char name[16];
  snprintf(name, sizeof name, "fl%d", n);
  if (strcmp(verb, "ADD") == 0) add(name, n, path);
  else del(name, n);
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static int all(const char *verb, int count, const char *prefix) {
  double *took = calloc((size_t)count, sizeof *took), start = now_ms();
  struct rusage usage;
  for (int n = 0; n < count; n++) {
    char path[256];
    double from = now_ms();
    snprintf(path, sizeof path, "/run/netns/%s%d", prefix, n);
    one(verb, n, path);
    took[n] = now_ms() - from;
  }
  double wall = now_ms() - start;
  getrusage(RUSAGE_SELF, &usage);
  qsort(took, (size_t)count, sizeof *took, by_value);
  printf("{\"wallMs\":%.1f,\"p50Ms\":%.3f,\"p99Ms\":%.3f,\"cpuSeconds\":%.3f,\"failed\":0}\n", wall, took[count / 2],
         took[(count * 99) / 100],
         usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
  return 0;
}

int main(int argc, char **argv) {
  home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (home < 0) die("own namespace");
  host_socket = open_socket();
  if (argc == 5 && strcmp(argv[1], "all") == 0) return all(argv[2], atoi(argv[3]), argv[4]);
  if (argc == 3 && strcmp(argv[1], "reap") == 0) {
    reap(atoi(argv[2]));
    return 0;
  }
  const char *verb = getenv("CNI_COMMAND"), *id = getenv("CNI_CONTAINERID"), *path = getenv("CNI_NETNS");
  if (verb == NULL || id == NULL || path == NULL) {
    fprintf(stderr, "usage: floor all ADD|DEL COUNT PREFIX | floor reap COUNT | CNI_COMMAND=.. CNI_CONTAINERID=.. CNI_NETNS=.. floor\n");
    return 2;
  }
  one(verb, atoi(id + strcspn(id, "0123456789")), path);
  return 0;
}
