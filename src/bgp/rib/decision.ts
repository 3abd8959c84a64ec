/**
 * The decision process of RFC 4271 §9.1 over the paths of one prefix. In: candidates that policy accepted and whose next
 * hop is resolved; out: the best, the paths equal to it up to the IGP metric (ECMP), and the step that decided.
 * Steps eliminate, they do not compare in pairs: MED compares only within one neighbour AS, so no order of pairs is right.
 * Unless it is asked for (`preferOlder`), the age of a path decides nothing: the same paths always give the same answer.
 */
export interface Candidate {
  /** Carries LLGR_STALE: behind every path that does not (RFC 9494 §4.3). */
  longLivedStale: boolean;
  localPref: number;
  asPathLength: number;
  /** 0 IGP, 1 EGP, 2 INCOMPLETE. */
  origin: number;
  /** Of a path without one `missingMed` of the rules. */
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

export interface DecisionRules {
  readonly maximumPaths: number;
  /** Paths of other neighbour ASes count as equal too; otherwise the AS_PATH must be the same. */
  readonly relax: boolean;
  /** MED is compared between paths of different neighbour ASes too. */
  readonly alwaysCompareMed?: boolean | undefined;
  /** A path without MED has the worst one; otherwise 0, the best. */
  readonly missingMedAsWorst?: boolean | undefined;
  /** RFC 5004 §3: a path that is the best stays it, where only the router id speaks for another. */
  readonly preferOlder?: boolean | undefined;
}

/** What a path without MED counts as. */
export const missingMed = ({ missingMedAsWorst }: DecisionRules): number =>
  missingMedAsWorst === true ? 0xffffffff : 0;

export type DecisionStep =
  | 'onlyPath'
  | 'longLivedStale'
  | 'localPref'
  | 'asPathLength'
  | 'origin'
  | 'med'
  | 'external'
  | 'igpMetric'
  | 'older'
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

type Step = readonly [DecisionStep, (candidates: readonly Candidate[], rules: DecisionRules) => readonly Candidate[]];

/** Paths that are still together after these are equally good for the traffic. */
const forwardingSteps: readonly Step[] = [
  // RFC 9494 §4.4: before all else.
  ['longLivedStale', (all) => lowest(all, (c) => Number(c.longLivedStale))],
  // RFC 4271 §9.1.1, the degree of preference.
  ['localPref', (all) => lowest(all, (c) => -c.localPref)],
  // RFC 4271 §9.1.2.2 a to e.
  ['asPathLength', (all) => lowest(all, (c) => c.asPathLength)],
  ['origin', (all) => lowest(all, (c) => c.origin)],
  ['med', (all, { alwaysCompareMed }) => (alwaysCompareMed === true ? lowest(all, (c) => c.med) : lowestMed(all))],
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
export function* ranked(candidates: readonly Candidate[], rules: DecisionRules, current = 0): Generator<Candidate> {
  for (let rest = candidates; rest.length > 0; ) {
    const best = rest.length === 1 ? rest[0] : decide(rest, rules, current)?.best;
    if (best === undefined) return;
    yield best;
    rest = rest.filter((candidate) => candidate !== best);
  }
}

const compareAll = (a: Candidate, b: Candidate): number => {
  for (const compare of tieBreakers) {
    const order = compare(a, b);
    if (order !== 0) return order;
  }
  return a.path - b.path;
};

/**
 * RFC 5004 §3: between external paths the one that was the best before stays it, but for two sessions with one router, which
 * are told apart by the peer's address.
 */
function olderFirst(ordered: Candidate[], current: number): boolean {
  const [best] = ordered;
  const at = ordered.findIndex(({ path }) => path === current);
  const older = ordered[at];
  if (best === undefined || older === undefined || at === 0) return false;
  if (!best.external || !older.external || best.routerId === older.routerId) return false;
  ordered.splice(at, 1);
  ordered.unshift(older);
  return true;
}

/** `undefined` for no candidates. `current`: the path that is the best now, if any; it counts with `preferOlder` alone. */
export function decide(candidates: readonly Candidate[], rules: DecisionRules, current = 0): Decision | undefined {
  let rest: readonly Candidate[] = candidates;
  let decidedBy: DecisionStep = 'onlyPath';
  for (const [name, eliminate] of forwardingSteps) {
    if (rest.length < 2) break;
    const left = eliminate(rest, rules);
    if (left.length < rest.length) decidedBy = name;
    rest = left;
  }
  const first = rest[0];
  if (first === undefined) return undefined;
  if (rest.length === 1) return { best: first, multipath: rest, decidedBy };
  const ordered = [...rest].sort(compareAll);
  const isOlder = rules.preferOlder === true && olderFirst(ordered, current);
  const best = ordered[0] ?? first;
  const second = ordered[1] ?? first;
  const step = tieBreakers.findIndex((compare) => compare(best, second) !== 0);
  const equal = rules.relax ? ordered : ordered.filter((candidate) => candidate.asPathKey === best.asPathKey);
  return {
    best,
    multipath: equal.slice(0, Math.max(1, rules.maximumPaths)),
    decidedBy: isOlder ? 'older' : (tieBreakerNames[step] ?? 'pathId'),
  };
}

/** Why a candidate is not used: the step that put it out, or what keeps an equal one from being used beside the best. */
export type LostBy = DecisionStep | 'otherAsPath' | 'maximumPaths';

/** For people: what `decide` says of every candidate that it does not use. */
export function lostBy(
  candidates: readonly Candidate[],
  rules: DecisionRules,
  { best, multipath }: Decision,
): ReadonlyMap<Candidate, LostBy> {
  const lost = new Map<Candidate, LostBy>();
  let rest: readonly Candidate[] = candidates;
  for (const [name, eliminate] of forwardingSteps) {
    const left = eliminate(rest, rules);
    for (const candidate of rest) if (!left.includes(candidate)) lost.set(candidate, name);
    rest = left;
  }
  for (const candidate of rest)
    if (!multipath.includes(candidate))
      lost.set(candidate, !rules.relax && candidate.asPathKey !== best.asPathKey ? 'otherAsPath' : 'maximumPaths');
  return lost;
}
