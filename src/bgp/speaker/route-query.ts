/**
 * Answers of `routes()`: what was received, accepted, announced or is in use, each row with its reason. In: a query and
 * the tables; out: rows. Reasons are not stored: policy is asked again, so they are always those of the policy in force.
 */
import type { Family, IpAddress, Prefix } from '#lib/ip.ts';
import { comparePrefixes, families, familyOf, hostPrefix, prefixLength } from '#lib/ip.ts';
import type { RouteAnswer, RouteQuery, RouteRow } from '../engine.ts';
import type { AdjRibOut } from '../rib/adj-rib-out.ts';
import type { Candidate, DecisionStep, LostBy } from '../rib/decision.ts';
import type { Explanation, FamilyRib } from '../rib/family-rib.ts';
import { LOCAL_PATH } from '../rib/family-rib.ts';
import { insideTest } from '../policy/matcher.ts';
import { maskWord, prefixWords } from '../policy/words.ts';
import { pathOfId } from '../rib/update-group.ts';
import { asPathText, defaultLocalPref } from '../policy/accepted-attributes.ts';
import { formatCommunity, formatExtendedCommunity, formatLargeCommunity } from '../wire/format.ts';
import type { PathAttributes } from '../wire/messages.ts';
import { identifierText } from '../wire/negotiate.ts';
import type { Core } from './core.ts';
import type { Peer } from './peer.ts';

const origins = ['IGP', 'EGP', 'INCOMPLETE'] as const;

const bestBecause: Readonly<Record<DecisionStep, string>> = {
  onlyPath: 'best: the only usable path',
  longLivedStale: 'best: the others are stale for long (LLGR_STALE)',
  localPref: 'best: highest local preference',
  asPathLength: 'best: shortest AS path',
  origin: 'best: lowest origin',
  med: 'best: lowest MED',
  external: 'best: external before internal',
  igpMetric: 'best: nearest next hop',
  older: 'best: it was so before an equal one came (preferOlder)',
  routerId: 'best: lowest router id',
  clusterListLength: 'best: shortest cluster list',
  peerAddress: 'best: lowest peer address',
  pathId: 'best: lowest path identifier',
};

/** The step that put a path out, and both values: `not used: AS path of 3, the best has 2`. */
const lostBecause: Readonly<Record<LostBy, (its: Candidate, best: Candidate) => string>> = {
  onlyPath: () => 'there is another',
  longLivedStale: () => 'it is stale for long (LLGR_STALE)',
  localPref: (its, best) => `local preference ${its.localPref}, the best has ${best.localPref}`,
  asPathLength: (its, best) => `AS path of ${its.asPathLength}, the best has ${best.asPathLength}`,
  origin: (its, best) => `origin ${origins[its.origin] ?? '?'}, the best has ${origins[best.origin] ?? '?'}`,
  med: (its, best) => {
    const own = its.med === 0xffffffff ? 'without MED, or with the highest' : `MED ${its.med}`;
    return its.neighborAsn === best.neighborAsn
      ? `${own}, the best has ${best.med}`
      : `${own}, another path has a lower one`;
  },
  external: () => 'learned over an internal session, the best over an external one',
  igpMetric: (its, best) => `its next hop has metric ${its.igpMetric}, that of the best ${best.igpMetric}`,
  older: () => 'an equal one was there before (preferOlder)',
  routerId: () => 'higher router id',
  clusterListLength: () => 'longer cluster list',
  peerAddress: () => 'higher peer address',
  pathId: () => 'higher path identifier',
  otherAsPath: () => 'as good as the best, but through other ASes (multipath.relax is off)',
  maximumPaths: () => 'as good as the best, but no more are used together (multipath.maximumPaths)',
};

function explanationOf(explained: Explanation, path: number): string | undefined {
  const { best, multipath, decidedBy, lost } = explained;
  if (best.path === path) return lost.size === 0 && multipath.length === 1 ? undefined : bestBecause[decidedBy];
  if (multipath.some((candidate) => candidate.path === path)) return 'used: as good as the best';
  for (const [candidate, by] of lost)
    if (candidate.path === path) return `not used: ${lostBecause[by](candidate, best)}`;
  return undefined;
}

const communityTexts = (attributes: PathAttributes): string[] => [
  ...attributes.communities.map(formatCommunity),
  ...attributes.extendedCommunities.map(formatExtendedCommunity),
  ...attributes.largeCommunities.map(formatLargeCommunity),
];

type Described = Pick<
  RouteRow,
  'asPath' | 'origin' | 'localPref' | 'med' | 'communities' | 'originatorId' | 'clusterList' | 'onlyToCustomer'
>;

/** For people. */
export const describeAttributes = (attributes: PathAttributes): Described => ({
  asPath: asPathText(attributes),
  origin: origins[attributes.origin],
  localPref: attributes.localPref,
  med: attributes.med,
  communities: communityTexts(attributes),
  ...(attributes.originatorId !== undefined && { originatorId: identifierText(attributes.originatorId) }),
  ...(attributes.onlyToCustomer !== undefined && { onlyToCustomer: attributes.onlyToCustomer }),
  ...(attributes.clusterList.length > 0 && { clusterList: attributes.clusterList.map(identifierText) }),
});

/**
 * Ids of the prefixes that a query is about; a look-up per length for covering, a walk otherwise. The walk may pass a million
 * prefixes that are not asked for, and keepalives wait for it, so it looks at numbers only.
 */
function* prefixIds(rib: FamilyRib, query: RouteQuery): Generator<number> {
  const { table } = rib;
  if (query.prefix === undefined || query.within === true) {
    const isInside = query.prefix === undefined ? undefined : insideTest(asPrefix(query.prefix));
    const isUsed =
      query.direction === 'announced'
        ? (id: number): boolean => rib.isHeld(id)
        : (id: number): boolean => rib.paths.head(id) !== 0 || rib.isLocal(id);
    for (let id = 1; id < table.limit; id++) {
      if (!isUsed(id)) continue;
      if (
        isInside === undefined ||
        isInside(table.word(id, 0), table.word(id, 1), table.word(id, 2), table.word(id, 3), table.lengthOf(id))
      )
        yield id;
    }
    return;
  }
  const inner = asPrefix(query.prefix);
  const { words } = prefixWords(inner);
  for (let length = prefixLength(inner); length >= 0; length--) {
    const id = table.find(
      maskWord(words[0], length),
      maskWord(words[1], length - 32),
      maskWord(words[2], length - 64),
      maskWord(words[3], length - 96),
      length,
    );
    if (id !== 0) yield id;
  }
}

const asPrefix = (value: Prefix | IpAddress): Prefix =>
  value.includes('/') ? (value as Prefix) : hostPrefix(value as IpAddress);

export function queryRoutes(query: RouteQuery, core: Core, peers: ReadonlyMap<string, Peer>): RouteAnswer {
  const rows: RouteRow[] = [];
  const wanted = families.filter(
    (family) =>
      (query.family === undefined || query.family === family) &&
      (query.prefix === undefined || familyOf(query.prefix) === family),
  );
  for (const family of wanted) {
    for (const row of rowsOf(query, family, core, peers)) {
      if (rows.length >= query.limit) return { rows: sortRows(rows), more: true };
      rows.push(row);
    }
  }
  return { rows: sortRows(rows), more: false };
}

export const sortRows = (rows: RouteRow[]): RouteRow[] =>
  rows.sort(
    (a, b) =>
      comparePrefixes(a.prefix, b.prefix) ||
      Number(b.best) - Number(a.best) ||
      (a.peer < b.peer ? -1 : Number(a.peer > b.peer)) ||
      (a.pathId ?? 0) - (b.pathId ?? 0),
  );

function* rowsOf(query: RouteQuery, family: Family, core: Core, peers: ReadonlyMap<string, Peer>): Generator<RouteRow> {
  const rib = core.ribs[family];
  const told = [...peers].filter(([name]) => query.peer === undefined || name === query.peer);
  for (const id of prefixIds(rib, query)) {
    if (query.direction === 'announced') yield* announcedRows(rib, id, core, told);
    else yield* pathRows(rib, id, core, query.direction, query.peer);
  }
}

function* pathRows(
  rib: FamilyRib,
  id: number,
  core: Core,
  direction: 'received' | 'accepted' | 'best',
  peer: string | undefined,
): Generator<RouteRow> {
  const { table, paths, family } = rib;
  const local = rib.best(id) === LOCAL_PATH;
  if (local && direction === 'best' && peer === undefined)
    yield localRow(table.prefix(id), core.attributes.accepted(rib.localAttributes(id)).value);
  let explained = false;
  let decision: Explanation | undefined;
  for (let path = paths.head(id); path !== 0; path = paths.next[path] as number) {
    const adjacency = core.adjacencies.at(paths.slot[path] as number);
    if (!adjacency.alive || (peer !== undefined && adjacency.name !== peer)) continue;
    const accepted = paths.isAccepted(path);
    if (!accepted && direction !== 'received') continue;
    if (!explained && !local) decision = rib.explain(id);
    explained = true;
    const multipath = decision?.multipath.some((candidate) => candidate.path === path) ?? false;
    if (direction === 'best' && !multipath) continue;
    const carried = paths.attributes[path] as number;
    const received = core.attributes.accepted(core.attributes.received(carried));
    // As the peer announced it, or as policy made it.
    const attributes = direction === 'received' ? received : core.attributes.accepted(carried);
    const nextHop = paths.nextHop[path] as number;
    const best = decision?.best.path === path;
    const judgement =
      adjacency.rules.attributes(received) ??
      adjacency.rules.prefix(
        family,
        table.word(id, 0),
        table.word(id, 1),
        table.word(id, 2),
        table.word(id, 3),
        table.lengthOf(id),
        received,
        nextHop,
      );
    const resolution = core.nextHops.resolution(nextHop);
    const isShutDown = accepted && adjacency.external && core.attributes.accepted(carried).gracefulShutdown;
    let reason = isShutDown ? `${judgement.reason}; GRACEFUL_SHUTDOWN: local preference 0` : judgement.reason;
    if (direction === 'best' && decision !== undefined)
      reason = best ? bestBecause[decision.decidedBy] : 'multipath: as good as the best';
    else if (judgement.accepted && local) reason += '; not installed: this node announces the prefix itself';
    else if (judgement.accepted && !resolution.ok) reason += `; not installed: ${resolution.reason}`;
    else if (accepted && decision !== undefined) {
      const why = explanationOf(decision, path);
      if (why !== undefined) reason += `; ${why}`;
    }
    yield {
      prefix: table.prefix(id),
      peer: adjacency.name,
      ...(adjacency.addPath.includes(family) ? { pathId: paths.idOf(path) } : {}),
      nextHop: core.nextHops.address(nextHop),
      nextHopInterface: core.nextHops.interfaceName(nextHop),
      ...describeAttributes(attributes.value),
      localPref: attributes.localPref,
      accepted,
      reason,
      best,
      multipath: multipath && (decision?.multipath.length ?? 0) > 1,
      stale: paths.life[path] !== adjacency.life[family],
    };
  }
}

const localRow = (prefix: Prefix, attributes: PathAttributes): RouteRow => ({
  prefix,
  peer: '',
  nextHop: undefined,
  ...describeAttributes(attributes),
  localPref: defaultLocalPref,
  accepted: true,
  reason: 'best: originated here',
  best: true,
  multipath: false,
  stale: false,
});

/** Between a change and the decision a path may be gone already, and its number may mean another. */
function announcedBecause({ rib, group }: AdjRibOut, id: number, path: number): string {
  if (rib.isUndecided(id)) return 'announced: to be decided again';
  const isThere = path === LOCAL_PATH ? rib.isLocal(id) : path !== 0 && rib.paths.prefix[path] === id;
  return isThere ? group.policy.judge(rib, id, path).reason : 'announced: to be withdrawn';
}

function* announcedRows(
  rib: FamilyRib,
  id: number,
  core: Core,
  peers: readonly (readonly [string, Peer])[],
): Generator<RouteRow> {
  for (const [name, peer] of peers) {
    const ribOut = peer.output?.ribOut(rib.family);
    if (ribOut === undefined) continue;
    const { rows, policy } = ribOut.group;
    for (let row = rows.first(id); row !== 0; row = rows.next(row)) {
      const sent = ribOut.sent(row);
      if (sent === 0) continue;
      const path = policy.withIds ? pathOfId(rows.pathId(row)) : rib.best(id);
      const encoded = core.encoded.shown(sent);
      yield {
        prefix: rib.table.prefix(id),
        peer: name,
        ...(policy.withIds ? { pathId: rows.pathId(row) } : {}),
        nextHop: encoded.nextHop,
        ...describeAttributes(encoded.value),
        accepted: true,
        reason: announcedBecause(ribOut, id, path),
        best: path === rib.best(id),
        multipath: false,
        stale: false,
      };
    }
  }
}
