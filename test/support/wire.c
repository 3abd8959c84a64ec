/*
 * Frames as they are, for tests in pods: what a kernel would never send, and what arrives before any rule.
 *
 *   wire send IFACE                     sends each line of stdin, a frame in hex
 *   wire watch IFACE MARKER SECONDS     prints "ready", then each frame that arrives in hex, until one holds the bytes MARKER (hex);
 *                                       exit code 1 when none came in time
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netpacket/packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LARGEST 9216

static size_t unhex(const char *text, unsigned char *bytes) {
  size_t n = 0;
  unsigned value;
  while (n < LARGEST && sscanf(text + 2 * n, "%2x", &value) == 1) bytes[n++] = (unsigned char)value;
  return n;
}

static int die(const char *what) {
  perror(what);
  return 2;
}

int main(int argc, char **argv) {
  unsigned char frame[LARGEST];
  if (argc < 3) return 2;
  struct sockaddr_ll where = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
  where.sll_ifindex = (int)if_nametoindex(argv[2]);
  if (where.sll_ifindex == 0) return die(argv[2]);
  int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
  if (fd < 0 || bind(fd, (struct sockaddr *)&where, sizeof where) < 0) return die("packet socket");

  if (strcmp(argv[1], "send") == 0) {
    static char line[2 * LARGEST + 2];
    while (fgets(line, sizeof line, stdin) != NULL) {
      size_t length = unhex(line, frame);
      if (length > 0 && send(fd, frame, length, 0) < 0) return die("send");
    }
    return 0;
  }

  unsigned char marker[256];
  if (argc < 5 || strlen(argv[3]) > 2 * sizeof marker) return 2;
  size_t wanted = unhex(argv[3], marker);
  struct timeval wait = {.tv_sec = 1};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  printf("ready\n");
  fflush(stdout);
  time_t end = time(NULL) + atoi(argv[4]);
  while (time(NULL) < end) {
    struct sockaddr_ll from;
    socklen_t size = sizeof from;
    ssize_t length = recvfrom(fd, frame, sizeof frame, 0, (struct sockaddr *)&from, &size);
    if (length < 0 || from.sll_pkttype == PACKET_OUTGOING) continue;
    for (ssize_t i = 0; i < length; i++) printf("%02x", frame[i]);
    printf("\n");
    fflush(stdout);
    if (memmem(frame, (size_t)length, marker, wanted) != NULL) return 0;
  }
  return 1;
}
