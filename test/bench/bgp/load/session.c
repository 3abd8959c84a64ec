/* The generator's side of a BGP session: as little as makes a speaker talk, and a strict account of what it says. */
#include "load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define INPUT (256 * 1024)
#define RETRY 0.05

struct session *sessions;
int session_count;
double *lateness;
size_t lateness_count;
static size_t lateness_room;
static int poll_fd = -1, home = -1;
static const uint8_t keepalive[19] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 19, 4};

static uint32_t get16(const uint8_t *at) { return at[0] << 8 | at[1]; }
static uint32_t get32(const uint8_t *at) { return get16(at) << 16 | get16(at + 2); }

void make_sessions(int count) {
  sessions = calloc(count, sizeof *sessions);
  session_count = count;
  if (poll_fd < 0) poll_fd = epoll_create1(EPOLL_CLOEXEC);
  home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  for (int i = 0; i < count; i++) {
    sessions[i].fd = -1;
    sessions[i].state = CLOSED;
    sessions[i].netns = -1;
    sessions[i].hold = number("hold", 9);
    sessions[i].in = malloc(count > 50 ? INPUT / 16 : INPUT);
  }
}

static size_t input_room(void) { return session_count > 50 ? INPUT / 16 : INPUT; }

/* Counts and checks the prefixes that come. */
void listen_for(struct session *session, uint32_t prefixes) { session->present = calloc(prefixes / 8 + 1, 1); }

void expect_count(struct session *session, uint32_t target) {
  session->target = target;
  session->reached_at = session->count == target ? now() : 0;
}

static void watch(struct session *session, bool add) {
  bool output = session->state == CONNECTING || session->out_sent < session->out_length;
  struct epoll_event event = {.events = (session->waits_for_input ? EPOLLIN : 0) | (output ? EPOLLOUT : 0), .data.ptr = session};
  if (epoll_ctl(poll_fd, add ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, session->fd, &event) < 0) die("epoll_ctl");
}

static void gone(struct session *session, const char *why) {
  if (session->state == CLOSED) return;
  close(session->fd);
  session->fd = -1;
  session->have = 0;
  snprintf(session->why, sizeof session->why, "%s", why);
  if (session->state == ESTABLISHED) {
    session->state = CLOSED;
    fprintf(stderr, "load: session %d ended: %s\n", (int)(session - sessions), why);
    return;
  }
  /* Not up yet: again, until whoever waits has waited enough. */
  session->state = CLOSED;
  session->retry_at = now() + RETRY;
}

void end_session(struct session *session) {
  if (session->fd >= 0) close(session->fd);
  session->fd = -1;
  session->state = CLOSED;
  session->retry_at = 0;
}

void begin_session(struct session *session) {
  if (session->netns >= 0 && setns(session->netns, CLONE_NEWNET) < 0) die("setns");
  session->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (session->netns >= 0 && setns(home, CLONE_NEWNET) < 0) die("setns back");
  if (session->fd < 0) die("socket");
  int one = 1;
  setsockopt(session->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(session->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (session->receive_buffer > 0)
    setsockopt(session->fd, SOL_SOCKET, SO_RCVBUF, &session->receive_buffer, sizeof session->receive_buffer);
  if (bind(session->fd, (struct sockaddr *)&session->local, sizeof session->local) < 0) die("bind");
  session->state = CONNECTING;
  session->retry_at = 0;
  session->waits_for_input = true;
  session->allowance_at = now();
  watch(session, true);
  if (connect(session->fd, (struct sockaddr *)&session->remote, sizeof session->remote) < 0 && errno != EINPROGRESS)
    gone(session, strerror(errno));
}

static void say_open(struct session *session);

void adopt_connection(struct session *session, int fd) {
  session->fd = fd;
  session->state = OPENING;
  session->waits_for_input = true;
  watch(session, true);
  say_open(session);
}

static void say(struct session *session, const uint8_t *bytes, size_t length) {
  /* Small and seldom: a full socket means that messages are under way that say as much. */
  if (session->out_sent < session->out_length) return;
  if (send(session->fd, bytes, length, MSG_NOSIGNAL) < 0 && errno != EAGAIN) gone(session, strerror(errno));
  session->last_said = now();
}

static void say_open(struct session *session) {
  uint8_t open[64] = {0};
  memset(open, 0xff, 16);
  open[18] = 1;
  open[19] = 4;
  uint32_t asn = session->asn > 65535 ? 23456 : session->asn;
  open[20] = asn >> 8;
  open[21] = asn;
  open[23] = (uint8_t)session->hold;
  for (int i = 0; i < 4; i++) open[24 + i] = session->identifier >> (24 - 8 * i);
  /* IPv4 unicast and 4-octet AS numbers; no graceful restart, so that a loss is a loss. */
  const uint8_t capabilities[] = {2, 12, 1, 4, 0, 1, 0, 1, 65, 4, session->asn >> 24, session->asn >> 16, session->asn >> 8, session->asn};
  open[28] = sizeof capabilities;
  memcpy(open + 29, capabilities, sizeof capabilities);
  open[17] = 29 + sizeof capabilities;
  say(session, open, open[17]);
}

void send_bytes(struct session *session, const uint8_t *bytes, size_t length) {
  session->out = bytes;
  session->out_length = length;
  session->out_sent = 0;
  session->sent_all_at = 0;
}

static void push(struct session *session) {
  bool was_blocked = session->out_sent > 0;
  while (session->out_sent < session->out_length) {
    size_t some = session->out_length - session->out_sent;
    ssize_t sent = send(session->fd, session->out + session->out_sent, some > 262144 ? 262144 : some, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno != EAGAIN) return gone(session, strerror(errno));
      if (!was_blocked) watch(session, false);
      return;
    }
    session->out_sent += sent;
    session->last_said = now();
  }
  session->sent_all_at = now();
  if (was_blocked) watch(session, false);
}

static void take(struct session *session, int64_t index, bool announced, uint32_t tag) {
  if (index < 0) {
    session->unknown++;
    return;
  }
  uint8_t bit = 1 << (index & 7), *byte = session->present + (index >> 3);
  if (announced) {
    if (session->expected->tags[index] != tag) session->wrong++;
    session->count += (*byte & bit) == 0;
    *byte |= bit;
  } else {
    session->count -= (*byte & bit) != 0;
    *byte &= ~bit;
  }
}

static void nlri(struct session *session, const uint8_t *at, const uint8_t *end, bool announced, uint32_t tag) {
  while (at < end) {
    uint8_t length = *at++;
    uint32_t address = 0;
    int octets = (length + 7) / 8;
    for (int i = 0; i < octets; i++) address |= (uint32_t)at[i] << (24 - 8 * i);
    at += octets;
    if (announced) session->announced++;
    else session->withdrawn++;
    if (session->present != NULL) take(session, prefix_index(address, length), announced, tag);
  }
}

static void update(struct session *session, const uint8_t *body, const uint8_t *end) {
  session->updates++;
  const uint8_t *withdrawn = body + 2, *attributes = withdrawn + get16(body) + 2;
  const uint8_t *reachable = attributes + get16(attributes - 2);
  nlri(session, withdrawn, attributes - 2, false, 0);
  uint32_t tag = 0, next_hop = 0;
  for (const uint8_t *at = attributes; at < reachable;) {
    uint8_t flags = at[0], code = at[1];
    size_t length = flags & 0x10 ? get16(at + 2) : at[2];
    at += flags & 0x10 ? 4 : 3;
    if (code == 2 && length >= 6) tag = get32(at + length - 4);
    if (code == 3) next_hop = get32(at);
    /* A speaker may write IPv4 in MP_REACH_NLRI (GoBGP) and MP_UNREACH_NLRI. */
    if (code == 14 && get16(at) == 1 && at[3] == 4) next_hop = get32(at + 4);
    at += length;
  }
  if (tag == 0) tag = next_hop;
  for (const uint8_t *at = attributes; at < reachable;) {
    size_t length = at[0] & 0x10 ? get16(at + 2) : at[2];
    const uint8_t *value = at + (at[0] & 0x10 ? 4 : 3);
    if (at[1] == 14 && get16(value) == 1) nlri(session, value + 5 + value[3], value + length, true, tag);
    if (at[1] == 15 && get16(value) == 1) nlri(session, value + 3, value + length, false, 0);
    at = value + length;
  }
  nlri(session, reachable, end, true, tag);
  session->last_update_at = now();
  if (session->count == session->target && session->reached_at == 0) session->reached_at = session->last_update_at;
}

static void note_silence(struct session *session) {
  double silence = now() - session->last_heard, interval = session->hold / 3;
  /* Who reads slowly hears late. */
  if (session->hold == 0 || silence < interval / 2 || session->read_rate > 0) return;
  if (lateness_count == lateness_room) {
    lateness_room = 2 * lateness_room + 1024;
    lateness = realloc(lateness, lateness_room * sizeof *lateness);
  }
  lateness[lateness_count++] = silence - interval;
}

static void message(struct session *session, const uint8_t *bytes, uint32_t length) {
  switch (bytes[18]) {
    case 1: {
      uint32_t hold = get16(bytes + 22);
      if (hold < session->hold) session->hold = hold;
      say(session, keepalive, sizeof keepalive);
      return;
    }
    case 2:
      return update(session, bytes + 19, bytes + length);
    case 3: {
      char why[64];
      snprintf(why, sizeof why, "NOTIFICATION %u/%u", bytes[19], bytes[20]);
      return gone(session, why);
    }
    case 4:
      if (session->state == OPENING) {
        session->state = ESTABLISHED;
        session->established_at = now();
      }
  }
}

static void pull(struct session *session) {
  size_t most = input_room() - session->have;
  if (session->read_rate > 0) {
    double at = now();
    session->allowance += session->read_rate * (at - session->allowance_at);
    session->allowance_at = at;
    if (session->allowance > 16384) session->allowance = 16384;
    if (session->allowance < 1024) {
      /* Looked at again by the clock of `turn`. */
      session->waits_for_input = false;
      return watch(session, false);
    }
    if (most > session->allowance) most = (size_t)session->allowance;
  }
  ssize_t got = recv(session->fd, session->in + session->have, most, 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) return gone(session, got == 0 ? "closed by the speaker" : strerror(errno));
  session->allowance -= got;
  session->octets += got;
  session->have += got;
  if (session->state == ESTABLISHED) note_silence(session);
  session->last_heard = now();
  size_t at = 0;
  while (session->have - at >= 19) {
    uint32_t length = get16(session->in + at + 16);
    if (length < 19 || length > 4096) return gone(session, "not BGP");
    if (session->have - at < length) break;
    message(session, session->in + at, length);
    if (session->fd < 0) return;
    at += length;
  }
  session->have -= at;
  memmove(session->in, session->in + at, session->have);
}

static void timers(double at) {
  for (int i = 0; i < session_count; i++) {
    struct session *session = sessions + i;
    if (session->state != ESTABLISHED) continue;
    if (session->hold > 0 && at - session->last_said >= session->hold / 3) say(session, keepalive, sizeof keepalive);
    if (session->state == ESTABLISHED && !session->waits_for_input) {
      session->waits_for_input = true;
      watch(session, false);
    }
  }
}

void turn(double wait) {
  static double timers_at;
  for (int i = 0; i < session_count; i++) {
    struct session *session = sessions + i;
    if (session->state == ESTABLISHED && session->out_sent == 0 && session->out_length > 0) push(session);
  }
  struct epoll_event events[64];
  struct timespec limit = {(time_t)wait, (long)((wait - (time_t)wait) * 1e9)};
  int count = epoll_pwait2(poll_fd, events, 64, &limit, NULL);
  if (count < 0 && errno != EINTR) die("epoll_pwait2");
  for (int i = 0; i < count; i++) {
    struct session *session = events[i].data.ptr;
    if (session->fd < 0) continue;
    if (session->state == CONNECTING) {
      int error = 0;
      socklen_t length = sizeof error;
      getsockopt(session->fd, SOL_SOCKET, SO_ERROR, &error, &length);
      if (error != 0) {
        gone(session, strerror(error));
        continue;
      }
      session->state = OPENING;
      say_open(session);
      if (session->fd >= 0) watch(session, false);
      continue;
    }
    if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) pull(session);
    if (session->fd >= 0 && (events[i].events & EPOLLOUT) != 0) push(session);
  }
  double at = now();
  if (at - timers_at < 0.01) return;
  timers_at = at;
  timers(at);
}

bool all_established(void) {
  for (int i = 0; i < session_count; i++)
    if (sessions[i].state != ESTABLISHED) return false;
  return true;
}

int lost_sessions(void) {
  int lost = 0;
  for (int i = 0; i < session_count; i++) lost += sessions[i].state == CLOSED && sessions[i].established_at > 0 && sessions[i].why[0] != 0;
  return lost;
}
