/*
 * Round trips of one small datagram between two pods, one at a time.
 *
 *   pingpong serve PORT                       answers each datagram to whoever sent it, until it is ended
 *   pingpong ask ADDRESS PORT COUNT           prints one line of JSON: percentiles in microseconds, and how many were lost
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SIZE 64
#define WARM_UP 200

static void die(const char *what) {
  fprintf(stderr, "pingpong: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int serve(int port) {
  int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in6 own = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof own) < 0) die("bind");
  for (;;) {
    char bytes[2048];
    struct sockaddr_storage from;
    socklen_t length = sizeof from;
    ssize_t n = recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &length);
    if (n > 0) sendto(fd, bytes, n, 0, (struct sockaddr *)&from, length);
  }
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static int ask(const char *address, int port, int count) {
  struct sockaddr_in six = {.sin_family = AF_INET, .sin_port = htons(port)};
  struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  int is6 = strchr(address, ':') != NULL;
  if (inet_pton(is6 ? AF_INET6 : AF_INET, address, is6 ? (void *)&to.sin6_addr : (void *)&six.sin_addr) != 1) die(address);
  int fd = socket(is6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, is6 ? (void *)&to : (void *)&six, is6 ? sizeof to : sizeof six) < 0) die("connect");
  struct timeval patience = {.tv_usec = 200000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  double *took = calloc(count, sizeof *took);
  int had = 0, lost = 0;
  for (int i = -WARM_UP; i < count; i++) {
    char bytes[SIZE] = {0};
    memcpy(bytes, &i, sizeof i);
    double from = now_us();
    if (send(fd, bytes, sizeof bytes, 0) < 0) die("send");
    int answered = -1;
    ssize_t n;
    /* An answer to an earlier one that came too late is not this one's. */
    do {
      n = recv(fd, bytes, sizeof bytes, 0);
      if (n > 0) memcpy(&answered, bytes, sizeof answered);
    } while (n > 0 && answered != i);
    if (i < 0) continue;
    if (n > 0) took[had++] = now_us() - from;
    else lost++;
  }
  qsort(took, had, sizeof *took, by_value);
  printf("{\"p50\":%.1f,\"p99\":%.1f,\"lost\":%d}\n", had ? took[had / 2] : 0, had ? took[had * 99 / 100] : 0, lost);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "serve") == 0) return serve(atoi(argv[2]));
  if (argc == 5 && strcmp(argv[1], "ask") == 0) return ask(argv[2], atoi(argv[3]), atoi(argv[4]));
  fprintf(stderr, "usage: pingpong serve PORT | pingpong ask ADDRESS PORT COUNT\n");
  return 2;
}
