/*
 * The CNI plugin that the container runtime runs. It knows no JSON and has no configuration: it hands the CNI_*
 * environment and stdin to the agent over a unix socket, prints the answer and exits with the answer's code.
 *
 * In:  environment CNI_*, network configuration on stdin (at most 1 MiB).
 * Out: the CNI result or error on stdout, exit code 0 or 1.
 *
 * Of its own it has VERSION, the wait for an agent that is being replaced, and the spool: a DEL that finds nobody is
 * written down for the next agent. The bytes on the socket and in the spool are described in src/cni/protocol.ts.
 * CNI specification 1.1.0, sections 2 to 5.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define RUN_DIRECTORY "/run/flatroute"
#define SOCKET_PATH RUN_DIRECTORY "/cni.sock"
#define SPOOL_DIRECTORY RUN_DIRECTORY "/spool"

#define PROTOCOL_VERSION 1
#define MAX_STDIN (1024 * 1024)
#define MAX_ENVIRONMENT (64 * 1024)
#define MAX_ANSWER (4 * 1024 * 1024)

/* An agent that is being replaced is away for a second or two. */
#define CONNECT_WAIT_MS 10000
#define CONNECT_PAUSE_MS 20
/* The agent bounds its own waiting far below this. */
#define ANSWER_WAIT_MS 60000
/* A runtime that never closes our stdin. */
#define STDIN_WAIT_MS 30000

enum { CODE_ENVIRONMENT = 4, CODE_IO = 5, CODE_DECODE = 6, CODE_TRY_AGAIN = 11, CODE_UNAVAILABLE = 50 };

/* 8 bytes magic, version, reserved; 4 bytes length; environment; 4 bytes length; stdin */
static unsigned char request[8 + 4 + MAX_ENVIRONMENT + 4 + MAX_STDIN];
static size_t request_length;

static const char *const known_verbs[] = {"ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION"};

static int64_t now_ms(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int write_all(int fd, const void *data, size_t length) {
  const char *at = data;
  while (length > 0) {
    ssize_t n = write(fd, at, length);
    if (n < 0) {
      if (errno == EINTR) continue;
      return -1;
    }
    at += n;
    length -= (size_t)n;
  }
  return 0;
}

/* Prints a CNI error and ends. `msg` and `details` are our own words: nothing in them needs escaping. */
static void __attribute__((noreturn)) fail(int code, const char *msg, const char *details) {
  char text[1024];
  int n = snprintf(text, sizeof text, "{\"cniVersion\":\"1.0.0\",\"code\":%d,\"msg\":\"%s\",\"details\":\"%s\"}\n", code, msg,
                   details);
  if (n > 0) write_all(STDOUT_FILENO, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
  exit(1);
}

static void __attribute__((noreturn)) fail_errno(int code, const char *msg, int error) {
  fail(code, msg, strerror(error));
}

static void put32(unsigned char *at, uint32_t value) {
  at[0] = (unsigned char)(value >> 24);
  at[1] = (unsigned char)(value >> 16);
  at[2] = (unsigned char)(value >> 8);
  at[3] = (unsigned char)value;
}

static uint32_t get32(const unsigned char *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* A DEL goes on without what cannot be read or is too large: container and interface say what is meant. */
static int is_del;

/* Ends the program with an error of stdin, unless a DEL can go on without it. */
static void bad_stdin(int code, const char *msg, const char *details) {
  if (!is_del) fail(code, msg, details);
}

/* Reads stdin into `into`; answers its length, 0 for a DEL that must go on without it. */
static size_t read_stdin(unsigned char *into) {
  int64_t deadline = now_ms() + STDIN_WAIT_MS;
  size_t length = 0;
  for (;;) {
    struct pollfd wait = {.fd = STDIN_FILENO, .events = POLLIN};
    int64_t left = deadline - now_ms();
    if (left <= 0) {
      bad_stdin(CODE_IO, "stdin was not closed within 30 s", "the network configuration is expected on stdin");
      return 0;
    }
    int ready = poll(&wait, 1, (int)left);
    if (ready < 0 && errno != EINTR) {
      bad_stdin(CODE_IO, "cannot read stdin", strerror(errno));
      return 0;
    }
    if (ready <= 0) continue;
    if (wait.revents & POLLNVAL) {
      bad_stdin(CODE_DECODE, "no network configuration", "stdin is closed; the network configuration is expected there");
      return 0;
    }
    if (length == MAX_STDIN) {
      unsigned char more;
      ssize_t n = read(STDIN_FILENO, &more, 1);
      if (n == 0) return length;
      if (n > 0) {
        bad_stdin(CODE_DECODE, "network configuration too large", "stdin holds more than 1 MiB");
        return 0;
      }
      if (errno != EINTR && errno != EAGAIN) {
        bad_stdin(CODE_IO, "cannot read stdin", strerror(errno));
        return 0;
      }
      continue;
    }
    ssize_t n = read(STDIN_FILENO, into + length, MAX_STDIN - length);
    if (n == 0) return length;
    if (n > 0) length += (size_t)n;
    else if (errno != EINTR && errno != EAGAIN) {
      bad_stdin(CODE_IO, "cannot read stdin", strerror(errno));
      return 0;
    }
  }
}

static void build_request(char **environment) {
  unsigned char *at = request;
  memcpy(at, "FRCN", 4);
  at[4] = PROTOCOL_VERSION >> 8;
  at[5] = PROTOCOL_VERSION & 255;
  at[6] = at[7] = 0;
  unsigned char *length_at = at + 8;
  at += 12;
  size_t used = 0;
  for (char **e = environment; *e != NULL; e++) {
    if (strncmp(*e, "CNI_", 4) != 0) continue;
    size_t n = strlen(*e) + 1;
    if (used + n > MAX_ENVIRONMENT && is_del) continue;
    if (used + n > MAX_ENVIRONMENT)
      fail(CODE_ENVIRONMENT, "environment too large", "the CNI_* variables hold more than 64 KiB");
    memcpy(at + used, *e, n);
    used += n;
  }
  put32(length_at, (uint32_t)used);
  at += used;
  size_t config = read_stdin(at + 4);
  if (config == 0)
    bad_stdin(CODE_DECODE, "no network configuration", "stdin is empty; the network configuration is expected there");
  put32(at, (uint32_t)config);
  request_length = (size_t)(at + 4 + config - request);
}

/* A connected socket, or -1 when nobody listened for `patience_ms`. A full backlog is somebody who is busy. */
static int connect_agent(int64_t patience_ms, int64_t busy_patience_ms) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  memcpy(address.sun_path, SOCKET_PATH, sizeof SOCKET_PATH);
  int64_t start = now_ms();
  for (;;) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) fail_errno(CODE_IO, "cannot open a socket", errno);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    int error = errno;
    close(fd);
    int busy = error == EAGAIN || error == EINTR;
    if (!busy && error != ENOENT && error != ECONNREFUSED && error != ENOTDIR)
      fail_errno(error == EACCES || error == EPERM ? CODE_IO : CODE_TRY_AGAIN, "cannot reach the agent at " SOCKET_PATH, error);
    if (now_ms() - start >= (busy ? busy_patience_ms : patience_ms)) {
      errno = error;
      return -1;
    }
    struct timespec pause = {.tv_nsec = CONNECT_PAUSE_MS * 1000000L};
    nanosleep(&pause, NULL);
  }
}

static int wait_for(int fd, short events, int64_t deadline) {
  for (;;) {
    int64_t left = deadline - now_ms();
    if (left <= 0) return -1;
    struct pollfd wait = {.fd = fd, .events = events};
    int n = poll(&wait, 1, (int)left);
    if (n > 0) return 0;
    if (n < 0 && errno != EINTR) return -1;
  }
}

static int send_request(int fd, int64_t deadline) {
  size_t sent = 0;
  while (sent < request_length) {
    ssize_t n = send(fd, request + sent, request_length - sent, MSG_NOSIGNAL);
    if (n > 0) sent += (size_t)n;
    else if (errno == EAGAIN) {
      if (wait_for(fd, POLLOUT, deadline) != 0) return -1;
    } else if (errno != EINTR) return -1;
  }
  return 0;
}

static int receive(int fd, void *into, size_t length, int64_t deadline) {
  unsigned char *at = into;
  while (length > 0) {
    ssize_t n = recv(fd, at, length, 0);
    if (n > 0) {
      at += n;
      length -= (size_t)n;
    } else if (n == 0) return -1;
    else if (errno == EAGAIN) {
      if (wait_for(fd, POLLIN, deadline) != 0) return -1;
    } else if (errno != EINTR) return -1;
  }
  return 0;
}

/* Asks the agent, prints its answer and answers the exit code; ends the program when the answer is cut short. */
static int converse(int fd) {
  int64_t deadline = now_ms() + ANSWER_WAIT_MS;
  unsigned char head[12];
  /* An agent that refuses early (busy) answers before it has read everything: look for the answer even so. */
  int sent = send_request(fd, deadline);
  if (receive(fd, head, sizeof head, deadline) != 0)
    fail(CODE_TRY_AGAIN, sent == 0 ? "the agent closed the connection before it answered" : "the agent closed the connection",
         "it may have been restarted; try again");
  if (memcmp(head, "FRCN", 4) != 0)
    fail(CODE_IO, "the answer is not one of flatroute's agent", "another program listens at " SOCKET_PATH);
  int code = head[6] << 8 | head[7];
  uint32_t length = get32(head + 8);
  if (length > MAX_ANSWER) fail(CODE_IO, "the agent's answer is too large", "it announces more than 4 MiB");
  unsigned char *answer = malloc(length > 0 ? length : 1);
  if (answer == NULL) fail_errno(CODE_IO, "no memory for the answer", errno);
  if (receive(fd, answer, length, deadline) != 0)
    fail(CODE_TRY_AGAIN, "the agent's answer was cut short", "it may have been restarted; try again");
  close(fd);
  if (write_all(STDOUT_FILENO, answer, length) != 0) return 1;
  free(answer);
  return code > 255 ? 255 : code;
}

/* Writes the request down for the next agent; the name comes from pid and clock alone. Answers the name by `path`. */
static int spool(char *path, size_t path_size) {
  if (mkdir(RUN_DIRECTORY, 0700) != 0 && errno != EEXIST) return -1;
  if (mkdir(SPOOL_DIRECTORY, 0700) != 0 && errno != EEXIST) return -1;
  struct timespec boot;
  clock_gettime(CLOCK_BOOTTIME, &boot);
  uint64_t ns = (uint64_t)boot.tv_sec * 1000000000u + (uint64_t)boot.tv_nsec;
  char temporary[128];
  snprintf(temporary, sizeof temporary, SPOOL_DIRECTORY "/.%020llu-%ld", (unsigned long long)ns, (long)getpid());
  snprintf(path, path_size, SPOOL_DIRECTORY "/%020llu-%ld", (unsigned long long)ns, (long)getpid());
  unsigned char head[16];
  memcpy(head, "FRSP", 4);
  head[4] = PROTOCOL_VERSION >> 8;
  head[5] = PROTOCOL_VERSION & 255;
  head[6] = head[7] = 0;
  put32(head + 8, (uint32_t)(ns >> 32));
  put32(head + 12, (uint32_t)ns);
  int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return -1;
  int failed = write_all(fd, head, sizeof head) != 0 || write_all(fd, request, request_length) != 0;
  int error = errno;
  if (close(fd) != 0 && !failed) {
    failed = 1;
    error = errno;
  }
  if (!failed && rename(temporary, path) != 0) {
    failed = 1;
    error = errno;
  }
  if (failed) {
    unlink(temporary);
    errno = error;
    return -1;
  }
  return 0;
}

static int del(void) {
  int fd = connect_agent(0, CONNECT_WAIT_MS);
  if (fd >= 0) return converse(fd);
  char path[128];
  if (spool(path, sizeof path) != 0) fail_errno(CODE_TRY_AGAIN, "no agent, and the deletion cannot be written to " SPOOL_DIRECTORY, errno);
  /* An agent that drained the spool before our record was there listens by now. */
  fd = connect_agent(0, 0);
  if (fd < 0) return 0;
  int code = converse(fd);
  if (code == 0) unlink(path);
  return code;
}

int main(int argc, char **argv, char **environment) {
  (void)argc;
  (void)argv;
  signal(SIGPIPE, SIG_IGN);
  const char *verb = getenv("CNI_COMMAND");
  if (verb == NULL || *verb == '\0')
    fail(CODE_ENVIRONMENT, "CNI_COMMAND is not set", "this is a CNI plugin: the container runtime runs it with the CNI_* environment");
  int known = 0;
  for (size_t i = 0; i < sizeof known_verbs / sizeof known_verbs[0]; i++) known |= strcmp(verb, known_verbs[i]) == 0;
  if (!known) fail(CODE_ENVIRONMENT, "CNI_COMMAND is unknown", "known are ADD, DEL, CHECK, GC, STATUS and VERSION");
  if (strcmp(verb, "VERSION") == 0) {
    static const char versions[] = "{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]}\n";
    return write_all(STDOUT_FILENO, versions, sizeof versions - 1) == 0 ? 0 : 1;
  }
  is_del = strcmp(verb, "DEL") == 0;
  build_request(environment);
  if (is_del) return del();
  int fd = connect_agent(strcmp(verb, "GC") == 0 ? 0 : CONNECT_WAIT_MS, CONNECT_WAIT_MS);
  if (fd < 0)
    fail(strcmp(verb, "STATUS") == 0 ? CODE_UNAVAILABLE : CODE_TRY_AGAIN, "the flatroute agent does not answer at " SOCKET_PATH,
         errno == EAGAIN ? "it is busy; try again" : "it is not running; try again");
  return converse(fd);
}
