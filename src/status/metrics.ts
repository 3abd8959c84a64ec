/**
 * Prometheus metrics. Everything but the histogram is read from a snapshot when Prometheus asks, so a peer or pool that is
 * gone leaves no series behind. Names and labels are a promise; docs/metrics.md lists them.
 */
import { dynamicPeers } from '#bgp/engine.ts';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { families } from '#lib/ip.ts';
import { poolAnswers } from './pools.ts';
import { collectProcessMetrics } from './process-metrics.ts';
import { statusAnswer } from './node.ts';
import { mostPoolsShown, shownBfd, shownPeers, withSeries } from './series.ts';
import type { Snapshot } from './snapshot.ts';

export interface Metrics {
  readonly contentType: string;
  /** The text that Prometheus reads. */
  readonly text: () => Promise<string>;
  /** One pod was attached; seconds from the request to its answer. */
  readonly attached: (seconds: number) => void;
  /** One line of the log of level warn or error. */
  readonly logged: (level: 'warn' | 'error') => void;
}

const ATTACH_BUCKETS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export function createMetrics(snapshot: () => Snapshot): Metrics {
  const registry = new Registry();
  collectProcessMetrics(registry);
  const registers = [registry];
  const gauge = <L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    collect: (set: Setter<L>, now: Snapshot) => void,
  ): void => {
    const made: Gauge<L> = new Gauge({
      name,
      help,
      labelNames: [...labelNames],
      registers: [],
      collect() {
        this.reset();
        // A reset leaves a value of 0 where there are no labels: what has nothing to say is to be absent.
        if (labelNames.length === 0) this.remove();
        collect((labels, value) => this.set(labels, value), snapshot());
      },
    });
    registry.registerMetric(made);
  };
  const counter = <L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    collect: (set: Setter<L>, now: Snapshot) => void,
  ): void => {
    const made: Counter<L> = new Counter({
      name,
      help,
      labelNames: [...labelNames],
      registers: [],
      collect() {
        this.reset();
        if (labelNames.length === 0) this.remove();
        collect((labels, value) => this.inc(labels, value), snapshot());
      },
    });
    registry.registerMetric(made);
  };

  gauge(
    'flatroute_build_info',
    'Version of the agent and of Node; always 1.',
    ['version', 'node_version'],
    (set, now) => set({ version: now.version, node_version: process.version }, 1),
  );
  gauge('flatroute_intent_generation', 'Generation of the intent that the resources gave last.', [], (set, now) =>
    set({}, now.generation),
  );
  gauge(
    'flatroute_thread_intent_generation',
    'Generation of the intent that a thread has applied.',
    ['thread'],
    (set, now) => {
      set({ thread: 'bgp' }, now.bgp?.generation ?? 0);
      set({ thread: 'background' }, now.kernel?.generation ?? 0);
      set({ thread: 'pods' }, now.pods?.generation ?? 0);
    },
  );
  gauge('flatroute_conditions', 'Conditions that are not as they should be, by severity.', ['severity'], (set, now) => {
    for (const severity of ['error', 'warning', 'info'] as const) {
      set({ severity }, now.conditions.filter((condition) => condition.severity === severity).length);
    }
  });

  gauge(
    'flatroute_service_addresses',
    'Ranges and addresses of Services by what became of them: Announced, or why not.',
    ['outcome'],
    (set, now) => {
      const counts = new Map<string, number>();
      for (const { outcome } of now.services?.rows ?? []) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
      for (const [outcome, count] of counts) set({ outcome }, count);
    },
  );
  gauge(
    'flatroute_service_proxy_healthy',
    '1 while the proxy of this node says that it works; absent while no Service is announced.',
    [],
    (set, now) => {
      const healthy = now.services?.proxy?.healthy;
      if (healthy !== undefined) set({}, healthy ? 1 : 0);
    },
  );
  counter(
    'flatroute_service_withdrawals_total',
    'How often a range or address of a Service that was announced was withdrawn.',
    [],
    (set, now) => {
      if (now.services !== undefined) set({}, now.services.withdrawals);
    },
  );

  gauge(
    'flatroute_bgp_sessions',
    'Sessions that are wanted: established, or down. All of them, also those without series of their own.',
    ['state'],
    (set, now) => {
      const { peers, established } = statusAnswer(now).bgp;
      set({ state: 'established' }, established);
      set({ state: 'down' }, peers - established);
    },
  );
  gauge('flatroute_bgp_session_up', '1 while the session is established.', ['peer'], (set, now) => {
    const up = new Set((now.bgp?.peers ?? []).filter((peer) => peer.state === 'Established').map((peer) => peer.name));
    const shown = withSeries(now);
    for (const { name, listenRange } of now.bgpIntent?.peers ?? []) {
      const names = listenRange === undefined ? [name] : dynamicPeers(name, now.bgp?.peers ?? []).map((it) => it.name);
      for (const peer of names) if (shown.has(peer)) set({ peer }, up.has(peer) ? 1 : 0);
    }
  });
  gauge(
    'flatroute_bgp_routes',
    'Routes of a peer by family and stage: received, accepted, announced.',
    ['peer', 'family', 'stage'],
    (set, now) => {
      for (const peer of shownPeers(now)) {
        for (const family of families) {
          for (const stage of ['received', 'accepted', 'announced'] as const)
            set({ peer: peer.name, family, stage }, peer[stage][family]);
        }
      }
    },
  );
  counter('flatroute_bgp_session_flaps_total', 'How often an established session went down.', ['peer'], (set, now) => {
    for (const peer of shownPeers(now)) set({ peer: peer.name }, peer.flaps);
  });
  counter('flatroute_bgp_messages_total', 'BGP messages of a peer.', ['peer', 'direction'], (set, now) => {
    for (const peer of shownPeers(now)) {
      set({ peer: peer.name, direction: 'received' }, peer.messages.received);
      set({ peer: peer.name, direction: 'sent' }, peer.messages.sent);
    }
  });
  gauge('flatroute_bfd_session_up', '1 while BFD with the peer is up.', ['peer'], (set, now) => {
    for (const { name, state } of shownBfd(now)) set({ peer: name }, state === 'Up' ? 1 : 0);
  });
  counter('flatroute_bfd_path_failures_total', 'How often BFD saw the path to a peer fail.', ['peer'], (set, now) => {
    for (const { name, failures } of shownBfd(now)) set({ peer: name }, failures);
  });
  counter('flatroute_bfd_state_changes_total', 'Changes of state of a BFD session.', ['peer'], (set, now) => {
    for (const { name, changes } of shownBfd(now)) set({ peer: name }, changes);
  });
  gauge(
    'flatroute_bfd_detection_time_seconds',
    'Time after which a path that fails is noticed, as both ends agreed.',
    ['peer'],
    (set, now) => {
      for (const { name, detectionTimeMilliseconds } of shownBfd(now))
        set({ peer: name }, detectionTimeMilliseconds / 1000);
    },
  );
  gauge('flatroute_bfd_process_up', '1 while the process for BFD answers, if a peer wants BFD.', [], (set, now) => {
    if (now.bfd.daemon.state !== 'unwanted') set({}, now.bfd.daemon.state === 'running' ? 1 : 0);
  });
  gauge('flatroute_rib_prefixes', 'Prefixes in the routing table of the speaker.', ['family'], (set, now) => {
    for (const family of families) set({ family }, now.bgp?.routes[family].prefixes ?? 0);
  });
  gauge('flatroute_rib_paths', 'Paths in the routing table of the speaker.', ['family'], (set, now) => {
    for (const family of families) set({ family }, now.bgp?.routes[family].paths ?? 0);
  });

  gauge('flatroute_kernel_learned_routes', 'Learned routes in the kernel.', ['family'], (set, now) => {
    for (const family of families) set({ family }, now.kernel?.learnedRoutes[family] ?? 0);
  });
  counter(
    'flatroute_kernel_drift_repairs_total',
    'What somebody else changed of ours in the kernel, and we repaired.',
    ['what'],
    (set, now) => {
      for (const [what, count] of Object.entries({ ...now.kernel?.repairs, ...now.pods?.repairs }))
        set({ what }, count);
    },
  );
  gauge(
    'flatroute_kernel_route_conflicts',
    'Foreign routes that stand where a route of ours should be.',
    [],
    (set, now) => set({}, now.kernel?.routeConflicts.length ?? 0),
  );
  gauge(
    'flatroute_cni_conflist_in_place',
    "1 while the container runtime's list is as it should be and no other comes before it; only with --conflist.",
    [],
    (set, now) => {
      if (now.conflist !== undefined) set({}, now.conflist.inPlace && now.conflist.foreign.length === 0 ? 1 : 0);
    },
  );
  gauge(
    'flatroute_cni_foreign_conflists',
    'Lists of other networks that the container runtime takes before ours; only with --conflist.',
    [],
    (set, now) => {
      if (now.conflist !== undefined) set({}, now.conflist.foreign.length);
    },
  );
  counter(
    'flatroute_cni_conflist_restored_total',
    'How often a list that somebody had removed or changed was written again; only with --conflist.',
    [],
    (set, now) => {
      if (now.conflist !== undefined) set({}, now.conflist.restored);
    },
  );
  gauge('flatroute_pods', 'Pods attached on this node.', [], (set, now) => set({}, now.pods?.pods ?? 0));
  gauge('flatroute_pod_mtu_bytes', 'MTU of new pods, which running ones follow.', [], (set, now) => {
    if ((now.pods?.mtu ?? 0) > 0) set({}, now.pods?.mtu ?? 0);
  });
  gauge(
    'flatroute_ipam_addresses',
    'Addresses of the blocks of this node: used, fenced (waiting for the old veth to be gone) or free.',
    ['pool', 'state', 'family'],
    (set, now) => {
      for (const { pool, family, ...counts } of poolAnswers(now).slice(0, mostPoolsShown)) {
        for (const state of ['used', 'fenced', 'free'] as const) set({ pool, state, family }, counts[state]);
      }
    },
  );
  gauge('flatroute_ipam_blocks', 'Blocks of this node.', ['pool', 'family'], (set, now) => {
    for (const { pool, family, blocks } of poolAnswers(now).slice(0, mostPoolsShown)) set({ pool, family }, blocks);
  });
  counter('flatroute_ipam_refusals_total', 'ADDs that found their pools full.', ['pool', 'family'], (set, now) => {
    for (const { pool, family, refused } of poolAnswers(now).slice(0, mostPoolsShown)) set({ pool, family }, refused);
  });
  counter('flatroute_ipam_claims_total', 'What became of claims of blocks.', ['outcome'], (set, now) => {
    for (const [outcome, count = 0] of Object.entries(now.claims?.outcomes ?? {})) set({ outcome }, count);
  });
  gauge(
    'flatroute_ipam_time_to_full_seconds',
    'When a pool is full on this node if it goes on growing as in the last hour; absent when it does not grow.',
    ['pool', 'family'],
    (set, now) => {
      for (const { pool, family, fullInSeconds } of poolAnswers(now).slice(0, mostPoolsShown))
        if (fullInSeconds !== undefined) set({ pool, family }, fullInSeconds);
    },
  );

  counter(
    'flatroute_kubernetes_requests_total',
    'Requests to the Kubernetes API; code is the HTTP status, or none without an answer.',
    ['verb', 'code'],
    (set, now) => {
      for (const { verb, code, count } of now.cluster?.requests ?? []) set({ verb, code }, count);
    },
  );
  counter('flatroute_kubernetes_received_bytes_total', 'Bytes that the Kubernetes API sent.', [], (set, now) => {
    if (now.cluster !== undefined) set({}, now.cluster.receivedBytes);
  });
  counter(
    'flatroute_kubernetes_events_total',
    'Events on the Node: sent, or dropped because the API did not take them in time.',
    ['outcome'],
    (set, now) => {
      if (now.cluster === undefined) return;
      for (const outcome of ['sent', 'dropped'] as const) set({ outcome }, now.cluster.events[outcome]);
    },
  );
  counter('flatroute_kubernetes_state_writes_total', 'Writes of BGPNodeState.', [], (set, now) => {
    if (now.cluster !== undefined) set({}, now.cluster.stateWrites);
  });

  gauge(
    'flatroute_event_loop_delay_seconds',
    'How late a thread runs what is due, over the last second.',
    ['thread', 'statistic'],
    (set, now) => {
      for (const thread of now.threads) {
        set({ thread: thread.name, statistic: 'p50' }, thread.delayP50Seconds);
        set({ thread: thread.name, statistic: 'p99' }, thread.delayP99Seconds);
        set({ thread: thread.name, statistic: 'max' }, thread.delayMaxSeconds);
      }
    },
  );
  counter('flatroute_thread_restarts_total', 'How often a thread died and was built again.', ['thread'], (set, now) => {
    for (const thread of now.threads) set({ thread: thread.name }, thread.restarts);
  });

  const attach = new Histogram({
    name: 'flatroute_pod_attach_seconds',
    help: 'Time from an ADD request to its answer.',
    buckets: ATTACH_BUCKETS,
    registers,
  });
  const lines = new Counter({
    name: 'flatroute_log_lines_total',
    help: 'Log lines of level warn and error.',
    labelNames: ['level'],
    registers,
  });
  lines.inc({ level: 'warn' }, 0);
  lines.inc({ level: 'error' }, 0);

  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    attached: (seconds) => attach.observe(seconds),
    logged: (level) => lines.inc({ level }),
  };
}

type Setter<L extends string> = (labels: Record<L, string>, value: number) => void;
