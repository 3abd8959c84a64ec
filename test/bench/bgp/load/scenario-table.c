/*
 * One source, one sink: a table goes through the speaker, then single routes, then the source goes away. Also the same
 * between two sessions of the generator itself, which says what the generator adds.
 */
#include "load.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES 16
#define TICK 0.001
#define SINGLE_TICK 0.0001

static struct table table;
static uint32_t sample[SAMPLES];

double own_cpu(void) {
  struct timespec spent;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
  return spent.tv_sec + spent.tv_nsec / 1e9;
}

void prepare_session(struct session *session, const char *netns, const char *local, const char *remote, uint32_t asn) {
  session->netns = open(option(netns, ""), O_RDONLY | O_CLOEXEC);
  if (session->netns < 0) die(netns);
  session->local = (struct sockaddr_in){.sin_family = AF_INET};
  session->remote = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(179)};
  inet_pton(AF_INET, local, &session->local.sin_addr);
  inet_pton(AF_INET, remote, &session->remote.sin_addr);
  session->asn = asn;
  session->identifier = ntohl(session->local.sin_addr.s_addr);
}

/* Sessions that come up at the same time: BIRD's listening socket holds 8 connections, and a SYN that is dropped comes again seconds later. */
#define AT_A_TIME 8

static void begin_some(void) {
  int coming = 0;
  for (int i = 0; i < session_count; i++) coming += sessions[i].state == CONNECTING || sessions[i].state == OPENING;
  for (int i = 0; i < session_count && coming < AT_A_TIME; i++)
    if (sessions[i].state == CLOSED && sessions[i].retry_at <= now()) {
      begin_session(sessions + i);
      coming++;
    }
}

bool connect_all(void) {
  double until = now() + number("patience", 60);
  while (!all_established()) {
    begin_some();
    if (now() > until) {
      for (int i = 0; i < session_count; i++)
        if (sessions[i].state != ESTABLISHED) {
          fprintf(stderr, "load: session %d is not up: %s\n", i, sessions[i].why);
          break;
        }
      return false;
    }
    turn(0.01);
  }
  return true;
}

bool settle(void) {
  double until = now() + 15;
  while (now() < until) {
    double begun = now(), spent = cpu_seconds();
    while (now() - begun < 0.3) turn(0.02);
    if (cpu_seconds() - spent < 0.05 * (now() - begun)) return true;
  }
  return false;
}

void report_common(double generator_before) {
  uint64_t wrong = 0, unknown = 0;
  for (int i = 0; i < session_count; i++) {
    wrong += sessions[i].wrong;
    unknown += sessions[i].unknown;
  }
  report_number("wrong", (double)wrong);
  report_number("unknown", (double)unknown);
  report_number("lostSessions", lost_sessions());
  report_number("peakMiB", peak_mebibytes());
  report_peaks("peaks");
  report_number("generatorCpu", own_cpu() - generator_before);
  report_spread("keepaliveLate", lateness, lateness_count);
}

static void choose_samples(void) {
  /* From the end, where the last of a table are. */
  uint32_t tail = table.size / 50 < SAMPLES ? (table.size < SAMPLES ? table.size : SAMPLES) : table.size / 50;
  for (int i = 0; i < SAMPLES; i++) sample[i] = table.order[table.size - 1 - (uint64_t)i * tail / SAMPLES];
}

/* Times since `begun`, NAN while it is not so. */
struct progress {
  double sink, kernel, forwards;
};

static bool table_in_kernel(bool want, long before, int *seen) {
  while (*seen < SAMPLES && kernel_has(sample[*seen]) == want) ++*seen;
  if (*seen < SAMPLES) return false;
  return want ? kernel_count() >= before + (long)table.size : kernel_count() <= before;
}

static struct progress follow(struct session *sink, double begun, bool fib, bool want, long before) {
  struct progress progress = {NAN, fib ? NAN : 0, fib && want ? NAN : 0};
  double until = begun + number("deadline", 120), looked = 0, told = begun;
  int seen = 0, arrived = 0;
  bool through[SAMPLES] = {false};
  while (isnan(progress.sink) || isnan(progress.kernel) || isnan(progress.forwards)) {
    double at = now();
    if (at > until || sink->state != ESTABLISHED) break;
    if (at - told > 5) {
      fprintf(stderr, "load: %u of %u at the sink after %.0f s\n", sink->count, table.size, at - begun);
      told = at;
    }
    turn(fib ? TICK : 0.01);
    if (isnan(progress.sink) && sink->reached_at > 0) progress.sink = sink->reached_at - begun;
    if (!fib) continue;
    at = now();
    if (at - looked < TICK) continue;
    looked = at;
    if (isnan(progress.kernel) && table_in_kernel(want, before, &seen)) progress.kernel = now() - begun;
    if (!want || !isnan(progress.forwards)) continue;
    for (int64_t index; (index = probe_arrived()) >= 0;)
      for (int i = 0; i < SAMPLES; i++)
        if (!through[i] && sample[i] == index) {
          through[i] = true;
          arrived++;
        }
    if (arrived == SAMPLES) progress.forwards = now() - begun;
    for (int i = 0; i < SAMPLES; i++)
      if (!through[i]) send_probe(sample[i]);
  }
  return progress;
}

static double single(struct session *source, struct session *sink, uint32_t index, bool announce, bool fib, double *kernel, double *forwards) {
  uint8_t message[512];
  double until = now() + 5, sink_at = NAN;
  *kernel = fib ? NAN : 0;
  *forwards = fib && announce ? NAN : 0;
  expect_count(sink, table.size + (announce ? 1 : 0));
  double begun = now();
  send_bytes(source, message, single_update(&table, index, announce, message));
  while (now() < until && (isnan(sink_at) || isnan(*kernel) || isnan(*forwards))) {
    turn(fib ? SINGLE_TICK : 0.01);
    if (isnan(sink_at) && sink->reached_at > 0) sink_at = sink->reached_at - begun;
    if (isnan(*kernel) && kernel_has(index) == announce) *kernel = now() - begun;
    if (!isnan(*forwards)) continue;
    for (int64_t came; (came = probe_arrived()) >= 0;)
      if (came == index) *forwards = now() - begun;
    if (isnan(*forwards)) send_probe(index);
  }
  source->out_length = source->out_sent = 0;
  return sink_at;
}

static void singles(struct session *source, struct session *sink, bool fib) {
  uint32_t count = table.singles;
  double *times[6], unused;
  for (int i = 0; i < 6; i++) times[i] = malloc((count + 1) * sizeof(double));
  uint32_t done = 0, failed = 0;
  for (uint32_t i = 0; i < count; i++) {
    double begun = now();
    times[0][done] = single(source, sink, table.size + i, true, fib, &times[1][done], &times[2][done]);
    while (now() - begun < 0.003) turn(0.001);
    begun = now();
    times[3][done] = single(source, sink, table.size + i, false, fib, &times[4][done], &unused);
    while (now() - begun < 0.003) turn(0.001);
    bool whole = true;
    for (int k = 0; k < 5; k++) whole = whole && !isnan(times[k][done]);
    if (whole) done++;
    else if (++failed > 3) break;
  }
  report_begin("single");
  report_number("failed", failed);
  report_spread("sink", times[0], done);
  report_spread("kernel", times[1], fib ? done : 0);
  report_spread("forwards", times[2], fib ? done : 0);
  report_spread("withdrawnAtSink", times[3], done);
  report_spread("withdrawnFromKernel", times[4], fib ? done : 0);
  report_end();
}

int run_table(void) {
  bool fib = number("fib", 0) != 0;
  table = (struct table){
      .size = (uint32_t)number("size", 10000),
      .singles = (uint32_t)number("singles", 200),
      .ibgp = number("ibgp", 0) != 0,
      .source_asn = 65001,
      .next_hop = 0x0a010002,
      .originator = -1,
  };
  uint32_t asn = (uint32_t)number("asn", 65000);
  make_table(&table, strcmp(option("profile", "inet"), "k8s") == 0 ? K8S : INET, 0, table.size);
  choose_samples();
  open_probes();
  make_sessions(2);
  struct session *sink = sessions, *source = sessions + 1;
  prepare_session(sink, "sink", "10.2.0.2", "10.2.0.1", table.ibgp ? asn : 65002);
  prepare_session(source, "source", "10.1.0.2", "10.1.0.1", table.ibgp ? asn : 65001);
  listen_for(sink, table.size + table.singles);
  listen_for(source, table.size + table.singles);
  sink->expected = source->expected = &table;
  if (!connect_all()) return 1;
  bool quiet = settle();
  long before = fib ? kernel_count() : 0;
  double start_cpu = cpu_seconds(), start_memory = resident_mebibytes(), generator = own_cpu();

  threads_before();
  expect_count(sink, table.size);
  double begun = now();
  send_bytes(source, table.bytes, table.length);
  struct progress progress = follow(sink, begun, fib, true, before);
  double sent = source->sent_all_at == 0 ? NAN : source->sent_all_at - begun;
  double done = now();
  while (now() - done < 0.5) turn(0.02);
  double loaded_cpu = cpu_seconds();
  bool whole = !isnan(progress.sink) && !isnan(progress.kernel) && !isnan(progress.forwards);
  report_begin(NULL);
  report_number("quiet", quiet);
  report_number("whole", whole);
  report_number("startCpu", start_cpu);
  report_number("startMiB", start_memory);
  report_number("sent", sent);
  report_number("converged", progress.sink);
  report_number("kernel", fib ? progress.kernel : NAN);
  report_number("forwards", fib ? progress.forwards : NAN);
  report_number("cpu", loaded_cpu - start_cpu);
  report_number("loadedPeakMiB", peak_mebibytes());
  report_number("loadedMiB", resident_mebibytes());
  report_number("updates", (double)sink->updates);
  report_number("announced", (double)sink->announced);
  report_number("sentUpdates", table.updates);
  report_threads("threads");
  if (whole) {
    if (table.singles > 0) singles(source, sink, fib);
    settle();
    double loss_cpu = cpu_seconds();
    expect_count(sink, 0);
    begun = now();
    end_session(source);
    progress = follow(sink, begun, fib, false, before);
    done = now();
    while (now() - done < 0.5) turn(0.02);
    report_begin("loss");
    report_number("sink", progress.sink);
    report_number("kernel", fib ? progress.kernel : NAN);
    report_number("cpu", cpu_seconds() - loss_cpu);
    report_end();
  }
  report_common(generator);
  report_end();
  putchar('\n');
  return 0;
}

int run_capacity(void) {
  table = (struct table){.size = (uint32_t)number("size", 1000000), .source_asn = 65001, .next_hop = 0x0a010002, .originator = -1};
  make_table(&table, strcmp(option("profile", "inet"), "k8s") == 0 ? K8S : INET, 0, table.size);
  make_sessions(2);
  struct session *sink = sessions, *source = sessions + 1;
  source->asn = 65001;
  sink->asn = 65002;
  source->identifier = 1;
  sink->identifier = 2;
  listen_for(sink, table.size);
  sink->expected = &table;
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), near = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  if (bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, 1) < 0) die("listen");
  getsockname(listener, (struct sockaddr *)&address, &length);
  if (connect(near, (struct sockaddr *)&address, length) < 0) die("connect");
  int far = accept(listener, NULL, NULL);
  fcntl(near, F_SETFL, O_NONBLOCK);
  fcntl(far, F_SETFL, O_NONBLOCK);
  adopt_connection(source, near);
  adopt_connection(sink, far);
  while (!all_established()) turn(0.01);
  double spent = own_cpu(), begun = now();
  expect_count(sink, table.size);
  send_bytes(source, table.bytes, table.length);
  while (sink->reached_at == 0) turn(0.01);
  report_begin(NULL);
  report_number("size", table.size);
  report_number("sets", table.sets);
  report_number("updates", table.updates);
  report_number("octets", (double)table.length);
  report_number("seconds", sink->reached_at - begun);
  report_number("cpu", own_cpu() - spent);
  report_number("wrong", (double)sink->wrong);
  report_end();
  putchar('\n');
  return 0;
}
