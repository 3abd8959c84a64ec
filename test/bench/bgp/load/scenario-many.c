/*
 * Many peers. `peers`: each announces its share of a table and is told what the others announce; with a share of nothing it
 * is the cost and the punctuality of idle sessions. `slow`: a sink that reads slowly beside one that does not.
 */
#include "load.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint32_t share(void) { return (uint32_t)number("share", 1000); }

static void local_text(char *text, size_t room, int index, bool routed) {
  /* On the link there are 512 addresses of the source, behind it 65536. */
  if (routed) snprintf(text, room, "10.9.%d.%d", index >> 8, index & 255);
  else snprintf(text, room, "10.1.%d.%d", 2 + (index >> 8), index & 255);
}

static void run_for(double seconds) {
  double until = now() + seconds;
  while (now() < until) turn(0.01);
}

/* The last session's and the median session's time to its target since `begun`; NAN when it was not reached. */
static void report_reached(double begun) {
  double *times = malloc(session_count * sizeof *times);
  size_t count = 0;
  for (int i = 0; i < session_count; i++)
    if (sessions[i].reached_at > 0) times[count++] = sessions[i].reached_at - begun;
  report_spread("reached", times, count);
  free(times);
}

static bool all_reached(void) {
  for (int i = 0; i < session_count; i++)
    if (sessions[i].reached_at == 0 && sessions[i].state == ESTABLISHED) return false;
  return true;
}

int run_peers(void) {
  int count = (int)number("count", 200);
  bool routed = number("routed", 0) != 0;
  uint32_t each = share(), asn = (uint32_t)number("asn", 65000), total = each * count;
  struct table *tables = calloc(count, sizeof *tables);
  open_probes();
  make_sessions(count);
  for (int i = 0; i < count; i++) {
    struct session *session = sessions + i;
    char local[32];
    local_text(local, sizeof local, i, routed);
    tables[i] = (struct table){.size = total, .ibgp = number("ibgp", 0) != 0, .originator = i, .tags = i == 0 ? NULL : tables[0].tags};
    prepare_session(session, "source", local, "10.1.0.1", tables[i].ibgp ? asn : 64600u + (uint32_t)i);
    tables[i].source_asn = session->asn;
    if (each > 0) make_table(&tables[i], K8S, each * i, each * (i + 1));
    session->expected = &tables[0];
    if (each > 0) listen_for(session, total);
  }
  if (!connect_all()) return 1;
  bool quiet = settle();
  lateness_count = 0;
  double start_cpu = cpu_seconds(), generator = own_cpu(), begun = now(), told = begun;
  threads_before();
  for (int i = 0; i < count; i++) {
    expect_count(sessions + i, each * (count - 1));
    if (each > 0) send_bytes(sessions + i, tables[i].bytes, tables[i].length);
  }
  double until = begun + (each > 0 ? number("deadline", 120) : 0);
  while (now() < until && !all_reached()) {
    turn(0.01);
    if (now() - told < 5) continue;
    told = now();
    fprintf(stderr, "load: %u of %u at the first peer after %.0f s\n", sessions[0].count, each * (count - 1), told - begun);
  }
  run_for(number("seconds", 1));
  report_begin(NULL);
  report_number("quiet", quiet);
  report_number("whole", all_reached() && lost_sessions() == 0);
  report_number("startMiB", resident_mebibytes());
  if (each > 0) report_reached(begun);
  report_number("seconds", now() - begun);
  report_number("cpu", cpu_seconds() - start_cpu);
  report_threads("threads");
  report_common(generator);
  report_end();
  putchar('\n');
  return 0;
}

int run_slow(void) {
  struct table table = {.size = (uint32_t)number("size", 100000), .source_asn = 65001, .next_hop = 0x0a010002, .originator = -1};
  make_table(&table, strcmp(option("profile", "inet"), "k8s") == 0 ? K8S : INET, 0, table.size);
  open_probes();
  make_sessions(3);
  struct session *source = sessions, *fast = sessions + 1, *slow = sessions + 2;
  prepare_session(source, "source", "10.1.0.2", "10.1.0.1", 65001);
  prepare_session(fast, "sink", "10.2.0.2", "10.2.0.1", 65002);
  prepare_session(slow, "sink", "10.2.0.3", "10.2.0.1", 65003);
  for (int i = 0; i < 3; i++) {
    sessions[i].expected = &table;
    listen_for(sessions + i, table.size);
  }
  slow->receive_buffer = 4096;
  if (!connect_all()) return 1;
  bool quiet = settle();
  slow->read_rate = (double)number("rate", 65536);
  double start_cpu = cpu_seconds(), start_memory = resident_mebibytes(), generator = own_cpu(), begun = now();
  expect_count(fast, table.size);
  expect_count(slow, table.size);
  send_bytes(source, table.bytes, table.length);
  double until = begun + number("deadline", 120);
  while (now() < until && fast->reached_at == 0 && fast->state == ESTABLISHED) turn(0.005);
  uint32_t slow_count = slow->count;
  double fast_at = fast->reached_at == 0 ? NAN : fast->reached_at - begun;
  double memory = peak_mebibytes(), cpu = cpu_seconds() - start_cpu;
  run_for(3);
  slow->read_rate = 0;
  while (now() < until && slow->reached_at == 0 && slow->state == ESTABLISHED) turn(0.005);
  report_begin(NULL);
  report_number("quiet", quiet);
  report_number("whole", fast->reached_at > 0 && slow->reached_at > 0 && lost_sessions() == 0);
  report_number("startMiB", start_memory);
  report_number("converged", fast_at);
  report_number("slowHad", slow_count);
  report_number("slowConverged", slow->reached_at == 0 ? NAN : slow->reached_at - begun);
  report_number("cpu", cpu);
  report_number("loadedPeakMiB", memory);
  report_common(generator);
  report_end();
  putchar('\n');
  return 0;
}
