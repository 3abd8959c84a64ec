/*
 * A container that says over HTTP whom it sees, and asks others what they see.
 *
 *   witness [PORT]                 answers every connection, of either family, with its own host name and the address that the
 *                                  connection came from; 8080 if not given
 *   witness ask ADDRESS PORT       prints what such a one answers; exit code 1 when there is no answer within 3 s
 *
 * As the init of its pid namespace it gets a signal only if it has asked for it.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static void end(int signal) {
  (void)signal;
  _exit(0);
}

static int fail(const char *what) {
  perror(what);
  return 1;
}

static const struct timeval limit = {3, 0};

/* An IPv4 peer of a dual-stack socket is written as itself. */
static const char *plain(const char *address) {
  return strncmp(address, "::ffff:", 7) == 0 && strchr(address, '.') != NULL ? address + 7 : address;
}

static int serve(int port) {
  struct sockaddr_in6 here = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_ANY_INIT};
  int yes = 1, no = 0, listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0) return fail("socket");
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
  if (bind(listener, (struct sockaddr *)&here, sizeof here) < 0) return fail("bind");
  if (listen(listener, 64) < 0) return fail("listen");
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  for (;;) {
    struct sockaddr_in6 peer;
    socklen_t length = sizeof peer;
    int connection = accept(listener, (struct sockaddr *)&peer, &length);
    if (connection < 0) continue;
    char address[INET6_ADDRSTRLEN] = "?", request[2048], body[512], answer[1024];
    inet_ntop(AF_INET6, &peer.sin6_addr, address, sizeof address);
    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (recv(connection, request, sizeof request, 0) > 0) {
      int size = snprintf(body, sizeof body, "%s %s\n", host, plain(address));
      size = snprintf(answer, sizeof answer, "HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s", size, body);
      (void)!write(connection, answer, size);
      shutdown(connection, SHUT_WR);
      /* Closing with unread bytes would reset the connection. */
      while (recv(connection, request, sizeof request, 0) > 0) {}
    }
    close(connection);
  }
}

static int ask(const char *address, const char *port) {
  struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM}, *to;
  if (getaddrinfo(address, port, &hints, &to) != 0) return fail(address);
  int connection = socket(to->ai_family, SOCK_STREAM, 0);
  if (connection < 0) return fail("socket");
  setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (connect(connection, to->ai_addr, to->ai_addrlen) < 0) return fail("connect");
  const char request[] = "GET / HTTP/1.0\r\n\r\n";
  if (write(connection, request, sizeof request - 1) < 0) return fail("write");
  char answer[4096];
  size_t size = 0;
  for (ssize_t got; (got = read(connection, answer + size, sizeof answer - 1 - size)) > 0;) size += got;
  answer[size] = '\0';
  const char *body = strstr(answer, "\r\n\r\n");
  if (body == NULL) return fail("read");
  fputs(body + 4, stdout);
  return 0;
}

int main(int count, char **words) {
  signal(SIGCHLD, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGTERM, end);
  signal(SIGINT, end);
  if (count == 4 && strcmp(words[1], "ask") == 0) return ask(words[2], words[3]);
  return serve(count > 1 ? atoi(words[1]) : 8080);
}
