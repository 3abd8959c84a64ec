/**
 * The decision process of RFC 4271 §9.1 over the paths of one prefix. In: candidates that policy accepted and whose next
 * hop is resolved; out: the best, the paths equal to it up to the IGP metric (ECMP), and the step that decided.
 * Steps eliminate, they do not compare in pairs: MED compares only within one neighbour AS, so no order of pairs is right.
 * The age of a path decides nothing: the same set of paths always gives the same answer.
 */
export interface Candidate {
  /** Carries LLGR_STALE: behind every path that does not (RFC 9494 §4.3). */
  longLivedStale: boolean;
  localPref: number;
  asPathLength: number;
  /** 0 IGP, 1 EGP, 2 INCOMPLETE. */
  origin: number;
  /** A path without MED counts as 0. */
  med: number;
  neighborAsn: number;
  external: boolean;
  /** Metric of the kernel's route to the next hop. */
  igpMetric: number;
  /** ORIGINATOR_ID if there is one (RFC 4456 §9), else the peer's BGP identifier. */
  routerId: number;
  clusterListLength: number;
  /** The peer's address in hex, all of one length, so that strings compare as addresses do. */
  peerAddressKey: string;
  /** The identifier that the peer gave the path; 0 without add-path. */
  pathId: number;
  /** Equal for equal AS paths; asked for only without `relax`. */
  asPathKey: string;
  /** What the caller calls the path. */
  path: number;
}

export interface Multipath {
  readonly maximumPaths: number;
  /** Paths of other neighbour ASes count as equal too; otherwise the AS_PATH must be the same. */
  readonly relax: boolean;
}

export type DecisionStep =
  | 'onlyPath'
  | 'longLivedStale'
  | 'localPref'
  | 'asPathLength'
  | 'origin'
  | 'med'
  | 'external'
  | 'igpMetric'
  | 'routerId'
  | 'clusterListLength'
  | 'peerAddress'
  | 'pathId';

export interface Decision {
  readonly best: Candidate;
  /** The best first; at most `maximumPaths`. */
  readonly multipath: readonly Candidate[];
  /** The last step that eliminated a candidate. */
  readonly decidedBy: DecisionStep;
}

/** The very same array when nothing is eliminated, which is the common case. */
function lowest(candidates: readonly Candidate[], value: (c: Candidate) => number): readonly Candidate[] {
  let least = Number.POSITIVE_INFINITY;
  let count = 0;
  for (const candidate of candidates) {
    const its = value(candidate);
    if (its > least) continue;
    count = its === least ? count + 1 : 1;
    least = its;
  }
  return count === candidates.length ? candidates : candidates.filter((candidate) => value(candidate) === least);
}

/** RFC 4271 §9.1.2.2 c: MED counts between paths of one neighbour AS only. */
function lowestMed(candidates: readonly Candidate[]): readonly Candidate[] {
  const med = candidates[0]?.med;
  if (candidates.every((candidate) => candidate.med === med)) return candidates;
  const least = new Map<number, number>();
  for (const candidate of candidates)
    least.set(
      candidate.neighborAsn,
      Math.min(least.get(candidate.neighborAsn) ?? Number.POSITIVE_INFINITY, candidate.med),
    );
  return candidates.filter((candidate) => candidate.med === least.get(candidate.neighborAsn));
}

type Step = readonly [DecisionStep, (candidates: readonly Candidate[]) => readonly Candidate[]];

/** Paths that are still together after these are equally good for the traffic. */
const forwardingSteps: readonly Step[] = [
  // RFC 9494 §4.4: before all else.
  ['longLivedStale', (all) => lowest(all, (c) => Number(c.longLivedStale))],
  // RFC 4271 §9.1.1, the degree of preference.
  ['localPref', (all) => lowest(all, (c) => -c.localPref)],
  // RFC 4271 §9.1.2.2 a to e.
  ['asPathLength', (all) => lowest(all, (c) => c.asPathLength)],
  ['origin', (all) => lowest(all, (c) => c.origin)],
  ['med', lowestMed],
  ['external', (all) => lowest(all, (c) => (c.external ? 0 : 1))],
  ['igpMetric', (all) => lowest(all, (c) => c.igpMetric)],
];

const tieBreakers: readonly ((a: Candidate, b: Candidate) => number)[] = [
  // RFC 4271 §9.1.2.2 f, RFC 4456 §9, RFC 4271 §9.1.2.2 g.
  (a, b) => a.routerId - b.routerId,
  (a, b) => a.clusterListLength - b.clusterListLength,
  (a, b) => (a.peerAddressKey < b.peerAddressKey ? -1 : a.peerAddressKey > b.peerAddressKey ? 1 : 0),
  // Only paths of one peer are left.
  (a, b) => a.pathId - b.pathId,
];
const tieBreakerNames: readonly DecisionStep[] = ['routerId', 'clusterListLength', 'peerAddress', 'pathId'];

/**
 * Candidates in the order in which each would be the best if those before it were not there. MED forbids a comparison of
 * pairs, so there is no other order that agrees with the decision process.
 */
export function* ranked(candidates: readonly Candidate[]): Generator<Candidate> {
  for (let rest = candidates; rest.length > 0; ) {
    const best = rest.length === 1 ? rest[0] : decide(rest, onlyBest)?.best;
    if (best === undefined) return;
    yield best;
    rest = rest.filter((candidate) => candidate !== best);
  }
}

const onlyBest: Multipath = { maximumPaths: 1, relax: true };

/** `undefined` for no candidates. */
export function decide(candidates: readonly Candidate[], multipath: Multipath): Decision | undefined {
  let rest: readonly Candidate[] = candidates;
  let decidedBy: DecisionStep = 'onlyPath';
  for (const [name, eliminate] of forwardingSteps) {
    if (rest.length < 2) break;
    const left = eliminate(rest);
    if (left.length < rest.length) decidedBy = name;
    rest = left;
  }
  const first = rest[0];
  if (first === undefined) return undefined;
  if (rest.length === 1) return { best: first, multipath: rest, decidedBy };
  const ordered = [...rest].sort((a, b) => {
    for (const compare of tieBreakers) {
      const order = compare(a, b);
      if (order !== 0) return order;
    }
    return a.path - b.path;
  });
  const best = ordered[0] ?? first;
  const second = ordered[1] ?? first;
  const step = tieBreakers.findIndex((compare) => compare(best, second) !== 0);
  const equal = multipath.relax ? ordered : ordered.filter((candidate) => candidate.asPathKey === best.asPathKey);
  return {
    best,
    multipath: equal.slice(0, Math.max(1, multipath.maximumPaths)),
    decidedBy: tieBreakerNames[step] ?? 'pathId',
  };
}
