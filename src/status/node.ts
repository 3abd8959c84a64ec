/** What is answered about the node as a whole: status, blocks, pods, drift. PURE. */
import { type RouteRow, dynamicPeers } from '#bgp/engine.ts';
import type { PodRow } from '#ipam/intent.ts';
import { isSingleAddress } from '#resources/ip-pool.ts';
import type { BlockAnswer, DriftAnswer, PodAnswer, RouteAnswerRow, StatusAnswer } from './answers.ts';
import { healthOf, readinessOf } from './health.ts';
import { isoTime } from './peers.ts';
import type { Snapshot } from './snapshot.ts';

export function statusAnswer(snapshot: Snapshot): StatusAnswer {
  const { bgp, bgpIntent, kernel, pods } = snapshot;
  const enabled = (bgpIntent?.peers ?? []).filter((peer) => peer.enabled);
  const wanted = enabled.flatMap(({ name, listenRange }) =>
    listenRange === undefined ? [name] : dynamicPeers(name, bgp?.peers ?? []).map((peer) => peer.name),
  );
  const up = new Set((bgp?.peers ?? []).filter((peer) => peer.state === 'Established').map((peer) => peer.name));
  return {
    node: snapshot.node,
    version: snapshot.version,
    pid: snapshot.pid,
    startedAt: isoTime(snapshot.startedAt),
    uptimeSeconds: (snapshot.now - snapshot.startedAt) / 1000,
    state: snapshot.state,
    healthy: healthOf(snapshot).fine,
    ready: readinessOf(snapshot).fine,
    generation: snapshot.generation,
    bgp: {
      ...(bgpIntent === undefined ? {} : { asn: bgpIntent.asn, routerId: bgpIntent.routerId }),
      ...(bgp?.listening === undefined ? {} : { listenPort: bgp.listening }),
      ...(bgp?.listenError === undefined ? {} : { listenError: bgp.listenError }),
      peers: wanted.length,
      established: wanted.filter((name) => up.has(name)).length,
      prefixes: { ipv4: bgp?.routes.ipv4.prefixes ?? 0, ipv6: bgp?.routes.ipv6.prefixes ?? 0 },
      paths: { ipv4: bgp?.routes.ipv4.paths ?? 0, ipv6: bgp?.routes.ipv6.paths ?? 0 },
    },
    pods: pods?.pods ?? 0,
    blocks: blockAnswers(snapshot),
    learnedRoutes: kernel?.learnedRoutes ?? { ipv4: 0, ipv6: 0 },
    repairs: { ...kernel?.repairs, ...pods?.repairs },
    threads: snapshot.threads.map((thread) => ({
      name: thread.name,
      state: thread.state,
      restarts: thread.restarts,
      eventLoopDelayP99Seconds: thread.delayP99Seconds,
      generation: appliedGeneration(snapshot, thread.name),
      ...(thread.stuck === undefined ? {} : { stuck: thread.stuck }),
    })),
    problems: [...readinessProblems(snapshot), ...snapshot.conditions.filter((c) => c.severity !== 'info')],
  };
}

/** Why the node is not ready, in the form of conditions, so that one list has everything. */
function readinessProblems(snapshot: Snapshot): StatusAnswer['problems'] {
  return readinessOf(snapshot).problems.map((message) => ({
    object: `node/${snapshot.node}`,
    type: 'Ready',
    status: 'False' as const,
    reason: 'NotReady',
    message,
    severity: 'error' as const,
  }));
}

function appliedGeneration({ bgp, kernel, pods }: Snapshot, thread: string): number {
  const facts = { bgp, background: kernel, pods }[thread];
  return facts?.generation ?? 0;
}

export function blockAnswers({ pods, pools, kernel, bgp }: Snapshot): readonly BlockAnswer[] {
  const holes = new Set(kernel?.blackholes ?? []);
  const announced = new Map((bgp?.announced ?? []).map((entry) => [entry.prefix, entry.peers]));
  return (pods?.blocks ?? []).map((block) => ({
    pool: block.pool,
    cidr: block.cidr,
    capacity: block.capacity,
    used: block.used,
    fenced: block.fenced,
    free: Math.max(0, block.capacity - block.used - block.fenced),
    fixedAddress:
      isSingleAddress(block.cidr) && pools.find((it) => it.name === block.pool)?.assignmentMode === 'Manual',
    blackhole: holes.has(block.cidr),
    announcedTo: announced.get(block.cidr) ?? [],
  }));
}

export const podAnswer = (row: PodRow): PodAnswer => ({ ...row, addresses: row.addresses, since: isoTime(row.since) });

export function routeAnswerRow({ nextHop, nextHopInterface, localPref, med, ...rest }: RouteRow): RouteAnswerRow {
  const zone = nextHopInterface === undefined ? '' : `%${nextHopInterface}`;
  return {
    ...rest,
    ...(nextHop === undefined ? {} : { nextHop: `${nextHop}${zone}` }),
    ...(localPref === undefined ? {} : { localPref }),
    ...(med === undefined ? {} : { med }),
  };
}

export function driftAnswer({ kernel, pods }: Snapshot): DriftAnswer {
  return {
    repairs: { ...kernel?.repairs, ...pods?.repairs },
    routeConflicts: kernel?.routeConflicts ?? [],
    problems: [...(kernel?.problems ?? []), ...(pods?.problems ?? [])],
    foreignLinks: pods?.foreignLinks ?? [],
  };
}
