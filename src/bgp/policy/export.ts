/**
 * What is announced to a peer, and with which attributes. In: the peer's role and filters, the path that won; out: a
 * judgement and the attributes to send. This node's own announcements go to every peer. What was learned goes on to
 * `transit` peers, and from one internal peer to another by reflection alone (RFC 4271 §9.2, RFC 4456 §6).
 */
import type { Asn, Family, IpAddress } from '#lib/ip.ts';
import { addressBytes } from '#lib/ip.ts';
import type { CopyRecipe } from '../wire/attribute-copy.ts';
import type { PathAttributes } from '../wire/messages.ts';
import { type BgpIntent, type Community, type DrainStep, type PeerIntent, isExternal } from '../engine.ts';
import type { AcceptedAttributes } from './accepted-attributes.ts';
import { defaultLocalPref } from './accepted-attributes.ts';
import { withCommunity } from './communities.ts';
import { identifierNumber } from './import.ts';
import type { Filters, Judgement } from './matcher.ts';
import { compileFilters } from './matcher.ts';
import type { InterfaceOf } from './path-match.ts';
import type { Rewrite } from './rewrite.ts';
import { drained, leastPreferredRewrite, longLivedRewrite, prependAll } from './rewrite.ts';
import { roleRules } from './roles.ts';
import { noAttributes } from '../wire/messages.ts';

const originated: Judgement = { accepted: true, reason: 'announced: originated here' };
const inTransit: Judgement = { accepted: true, reason: 'announced: transit' };
const toClient: Judgement = { accepted: true, reason: 'announced: reflected to a client' };
const fromClient: Judgement = { accepted: true, reason: 'announced: reflected from a client' };

/** What the node is, as far as all its announcements depend on it. */
export interface ExportNode {
  /** This node is a route reflector: at least one internal peer is its client. */
  readonly reflects: boolean;
  /** CLUSTER_ID, unsigned. */
  readonly clusterId: number;
}

export const isClient = (peer: PeerIntent): boolean => peer.routeReflectorClient === true && !isExternal(peer);

export const exportNode = (intent: BgpIntent): ExportNode => ({
  reflects: intent.peers.some(isClient),
  // RFC 4456 §7: the BGP identifier where a cluster has one reflector.
  clusterId: identifierNumber(intent.clusterId ?? intent.routerId),
});

/** The peer that a path was learned from. */
export interface PathSource {
  readonly external: boolean;
  readonly client: boolean;
}

/** Whom attributes are for. */
export interface ExportTarget {
  readonly external: boolean;
  readonly localAsn: Asn;
  /** Behind `localAsn` in each path (RFC 7705 §3.2). */
  readonly innerAsn?: Asn | undefined;
  /** Only to Customer of what leaves without it. */
  readonly onlyToCustomer?: number | undefined;
}

export interface ExportRules {
  readonly target: ExportTarget;
  /** Some learned route may be announced. */
  readonly learnedToo: boolean;
  /** What is said of a path does not depend on its prefix. */
  readonly ignoresPrefix: boolean;
  /** About a prefix that this node announces itself. */
  local(
    attributes: AcceptedAttributes,
    family: Family,
    w0: number,
    w1: number,
    w2: number,
    w3: number,
    length: number,
  ): Judgement;
  /** About a learned prefix; `hop` is the number of its next hop. */
  learned(
    attributes: AcceptedAttributes,
    from: PathSource,
    hop: number,
    family: Family,
    w0: number,
    w1: number,
    w2: number,
    w3: number,
    length: number,
  ): Judgement;
}

const refused = (reason: string): Judgement => ({ accepted: false, reason });
const notTransit = refused('not announced: learned routes go to transit peers only');
const internalToInternal = refused('not announced: learned over an internal session (RFC 4271 §9.2)');
const noAdvertise = refused('not announced: community NO_ADVERTISE');
const noExport = (community: string): Judgement => refused(`not announced: community ${community}`);

const draining = refused('not announced: the peer is drained');
const staleForLong = refused('not announced: LLGR_STALE, and the peer knows no such routes (RFC 9494 §4.3)');
const downOnly = (asn: number): Judgement => refused(`not announced: OTC ${asn}, for customers only`);

type ExportPeer = Pick<
  PeerIntent,
  'filters' | 'transit' | 'routeReflectorClient' | 'localAsn' | 'innerAsn' | 'peerAsn' | 'role' | 'drain'
>;

/** Equal where two peers of one kind are told the same. */
export const exportKey = (
  { filters, transit, routeReflectorClient, localAsn, innerAsn, role, drain }: ExportPeer,
  node: ExportNode,
  takesLongLived: boolean,
): string =>
  JSON.stringify([
    filters,
    transit,
    routeReflectorClient ?? false,
    localAsn,
    innerAsn,
    role,
    drain ?? false,
    node,
    takesLongLived,
  ]);

/** `takesLongLived`: the peer knows routes that are stale for long (RFC 9494). */
export function compileExport(
  peer: ExportPeer,
  external: boolean,
  node: ExportNode,
  takesLongLived = false,
  interfaceOf?: InterfaceOf,
): ExportRules {
  const filters: Record<Family, Filters> = {
    ipv4: compileFilters(peer.filters, 'export', 'ipv4', external, { interfaceOf }),
    ipv6: compileFilters(peer.filters, 'export', 'ipv6', external, { interfaceOf }),
  };
  const client = peer.routeReflectorClient === true && !external;
  /** RFC 4456 §6: all to clients, what clients said to everybody; the rest as ever. */
  const passedOn = (from: PathSource): Judgement => {
    if (external || from.external) return peer.transit ? inTransit : client ? toClient : notTransit;
    return client ? toClient : from.client ? fromClient : internalToInternal;
  };
  const role = roleRules(peer);
  /** What becomes of a judgement for paths with LLGR_STALE. */
  const staleJudgement = (judgement: Judgement): Judgement => {
    const { rewrite } = judgement;
    // RFC 9494 §4.3: the community is not taken away. RFC 9494 §4.6: internal peers that do not know it may have the route all the same.
    const marked = rewrite && longLivedRewrite(rewrite);
    return { ...judgement, rewrite: takesLongLived ? marked : leastPreferredRewrite(marked) };
  };
  const rules: ExportRules = {
    // RFC 9234 §5, egress.
    target: {
      external,
      localAsn: peer.localAsn,
      innerAsn: peer.innerAsn,
      onlyToCustomer: role?.marksSent === true ? peer.localAsn : undefined,
    },
    learnedToo: peer.transit || (node.reflects && !external),
    ignoresPrefix: peer.filters.length === 0,
    local: (attributes, family, w0, w1, w2, w3, length) =>
      filters[family](w0, w1, w2, w3, length, attributes, 0) ?? originated,
    learned(attributes, from, hop, family, w0, w1, w2, w3, length) {
      const judgement = passedOn(from);
      if (!judgement.accepted) return judgement;
      // RFC 1997 §2.
      if (attributes.noAdvertise) return noAdvertise;
      if (attributes.noExport !== undefined && external) return noExport(attributes.noExport);
      if (role?.holdsBack === true) {
        const { onlyToCustomer } = attributes.value;
        if (onlyToCustomer !== undefined) return downOnly(onlyToCustomer);
      }
      const judged = filters[family](w0, w1, w2, w3, length, attributes, hop) ?? judgement;
      if (!judged.accepted || !attributes.longLivedStale) return judged;
      return external && !takesLongLived ? staleForLong : staleJudgement(judged);
    },
  };
  return peer.drain === undefined ? rules : drainedExport(rules, peer.drain);
}

function drainedExport(rules: ExportRules, step: DrainStep): ExportRules {
  const made = new WeakMap<Judgement, Judgement>();
  const judged = (judgement: Judgement): Judgement => {
    if (!judgement.accepted) return judgement;
    if (step !== 'deprefer') return draining;
    const known = made.get(judgement);
    if (known !== undefined) return known;
    const depreferred = {
      ...judgement,
      reason: `${judgement.reason}, with GRACEFUL_SHUTDOWN: the peer is drained`,
      rewrite: drained.export(judgement.rewrite),
    };
    made.set(judgement, depreferred);
    return depreferred;
  };
  return {
    target: rules.target,
    learnedToo: rules.learnedToo,
    ignoresPrefix: rules.ignoresPrefix,
    local: (...prefix) => judged(rules.local(...prefix)),
    learned: (...path) => judged(rules.learned(...path)),
  };
}

/** Attributes of a route that begins here, as operations find them. */
export const ownPath = (communities: readonly Community[]): PathAttributes =>
  communities.reduce(withCommunity, noAttributes);

/** What a reflector adds (RFC 4456 §8): both unsigned. */
export interface Reflection {
  /** BGP identifier of the peer that the path was learned from. */
  readonly originatorId: number;
  readonly clusterId: number;
}

/**
 * What `exportedAttributes` does to a path that no rule changes, as a recipe for its octets. `nextHop`: NEXT_HOP, or `undefined`
 * where MP_REACH_NLRI carries it.
 */
export const exportRecipe = (
  { external, localAsn, onlyToCustomer }: ExportTarget,
  nextHop: IpAddress | undefined,
  reflection?: Reflection,
): CopyRecipe => ({
  prepend: external ? localAsn : undefined,
  nextHop: nextHop === undefined ? undefined : addressBytes(nextHop),
  sameAs: !external,
  localPref: external ? undefined : defaultLocalPref,
  reflection,
  onlyToCustomer,
});

/**
 * Attributes of a path on its way to a peer. `nextHop` stands in the attribute for classic IPv4 NLRI and is `undefined` where
 * MP_REACH_NLRI carries it. It is ours toward internal peers too: `transit` is the explicit configuration that RFC 4271 §5.1.3
 * asks for, and the receiver resolves next hops by its connected routes only. A reflected path keeps its own, and all else
 * that it came with (RFC 4456 §10).
 */
export function exportedAttributes(
  path: PathAttributes,
  { external, localAsn, innerAsn, onlyToCustomer }: ExportTarget,
  nextHop: IpAddress | undefined,
  rewrite?: Rewrite,
  reflection?: Reflection,
): PathAttributes {
  const made = rewrite === undefined ? path : rewrite.apply(path);
  return {
    ...made,
    // RFC 4271 §5.1.2 b: our AS in front. RFC 5065 §4.1: confederation segments stay in the AS.
    asPath: external
      ? prependAll(
          made.asPath.filter(({ type }) => type < 3),
          innerAsn === undefined ? [localAsn] : [localAsn, innerAsn],
        )
      : made.asPath,
    nextHop,
    // RFC 4271 §5.1.4: the MED of another AS is not passed on to a third; one that policy set is ours.
    med: external ? rewrite?.med : made.med,
    // RFC 4271 §5.1.5: to internal peers only.
    localPref: external ? undefined : (made.localPref ?? defaultLocalPref),
    // RFC 4456 §8: the first reflector names the originator; both stay in the AS.
    originatorId: reflection && (made.originatorId ?? reflection.originatorId),
    clusterList: reflection ? [reflection.clusterId, ...made.clusterList] : [],
    // RFC 4360 §6: the non-transitive ones (bit 0x40) stay in the AS.
    extendedCommunities: external
      ? made.extendedCommunities.filter((community) => ((community[0] ?? 0) & 0x40) === 0)
      : made.extendedCommunities,
    onlyToCustomer: made.onlyToCustomer ?? onlyToCustomer,
  };
}
