/*
 * Load generator for BGP speakers. One thread plays every peer of the speaker under test and looks into its kernel, so
 * that all times are of one clock (CLOCK_MONOTONIC) and nothing has to be brought together afterwards. Written in C so
 * that the measuring costs little beside what is measured: `bgp-load capacity` says how little.
 */
#ifndef LOAD_H
#define LOAD_H
#define _GNU_SOURCE
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* --- options: `name=value` words of the command line (main.c) --- */
const char *option(const char *name, const char *otherwise);
long number(const char *name, long otherwise);
void die(const char *what);
double now(void); /* seconds */

/* --- table.c: the prefixes, their attributes and the messages that carry them --- */

/* Prefixes are numbers from 0. Those from `size` on are announced one by one; the attributes of a prefix are known
 * again by its tag, which every speaker hands on: the last AS of the path, or the next hop when the path is empty. */
struct table {
  uint32_t size, singles;
  bool ibgp;
  uint32_t source_asn;
  uint32_t next_hop; /* of the source, host order */
  int originator; /* k8s: of all prefixes; -1: spread over all of them */
  uint32_t *tags;
  uint32_t *order; /* the prefixes as `bytes` has them */
  uint8_t *bytes; /* all UPDATEs, one after another */
  size_t length;
  uint32_t updates, sets;
};

enum profile { INET, K8S };
void make_table(struct table *table, enum profile profile, uint32_t from, uint32_t to);
/* A number, or -1 for a prefix that nobody here announced. */
int64_t prefix_index(uint32_t address, uint8_t length);
uint32_t prefix_address(uint32_t index);
/* One UPDATE for one prefix; answers its length. */
size_t single_update(const struct table *table, uint32_t index, bool announce, uint8_t *out);

/* --- session.c --- */

struct session {
  int fd;
  enum { CONNECTING, OPENING, ESTABLISHED, CLOSED } state;
  uint32_t asn, peer_asn, identifier;
  struct sockaddr_in local, remote;
  int netns;
  uint8_t *in;
  size_t have;
  /* What is to be sent: `out` is borrowed. */
  const uint8_t *out;
  size_t out_length, out_sent;
  double sent_all_at;
  /* What came. */
  const struct table *expected;
  uint8_t *present; /* bits, by prefix */
  uint32_t count, target;
  uint64_t announced, withdrawn, wrong, unknown, updates, octets;
  double reached_at, last_update_at, established_at;
  double hold, last_heard, last_said, retry_at;
  /* At most so many octets a second are read; 0: all. Those that may be read now. */
  double read_rate, allowance, allowance_at;
  int receive_buffer;
  bool waits_for_input; /* in the poll set */
  char why[160];
};

extern struct session *sessions;
extern int session_count;
/* Lateness of the speaker's keepalives: seconds by which a silence was longer than a third of the hold time. */
extern double *lateness;
extern size_t lateness_count;

void make_sessions(int count);
void listen_for(struct session *session, uint32_t prefixes);
void begin_session(struct session *session);
/* For the other end of a session of our own. */
void adopt_connection(struct session *session, int fd);
void expect_count(struct session *session, uint32_t target);
void send_bytes(struct session *session, const uint8_t *bytes, size_t length);
void end_session(struct session *session);
/* One round of reading, writing and timers; waits for at most `wait` seconds. */
void turn(double wait);
bool all_established(void);
int lost_sessions(void);

/* --- probe.c: the speaker's processes, its kernel, and packets through it --- */

extern int pids[], pid_count;
void open_probes(void);
double cpu_seconds(void);
double peak_mebibytes(void);
double resident_mebibytes(void);
/* Peak memory of each process by its name. */
void report_peaks(const char *name);
/* Routes in the kernel's main table. */
long kernel_count(void);
bool kernel_has(uint32_t index);
void send_probe(uint32_t index);
/* Answers the next prefix of which a probe came through, or -1. */
int64_t probe_arrived(void);

/* --- threads.c --- */
void threads_before(void);
/* Seconds since then. */
void report_threads(const char *name);

/* --- report.c --- */
/* Fields of one JSON object on one line; a time that is not known is NAN. */
void report_begin(const char *name);
void report_number(const char *name, double value);
void report_spread(const char *name, double *values, size_t count);
void report_end(void);

/* --- scenario-table.c, scenario-many.c --- */
/* Waits until the speaker does nothing, and until every session is up; false: not in time. */
bool settle(void);
bool connect_all(void);
void prepare_session(struct session *session, const char *netns, const char *local, const char *remote, uint32_t asn);
void report_common(double generator_before);
double own_cpu(void);
int run_capacity(void);
int run_table(void);
int run_peers(void);
int run_slow(void);
#endif
