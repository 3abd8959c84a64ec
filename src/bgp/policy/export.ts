/**
 * What is announced to a peer, and with which attributes. In: the peer's role and filters, the path that won; out: a
 * judgement and the attributes to send. This node's own announcements go to every peer; what was learned goes on only to
 * `transit` peers, and never from one internal peer to another (RFC 4271 §9.2, no reflection).
 */
import type { Asn, Family, IpAddress } from '#lib/ip.ts';
import type { AsPathSegment, PathAttributes } from '../wire/messages.ts';
import type { FilterIntent } from '../engine.ts';
import type { AcceptedAttributes } from './accepted-attributes.ts';
import { defaultLocalPref } from './accepted-attributes.ts';
import type { Filters, Judgement } from './matcher.ts';
import { compileFilters } from './matcher.ts';
import type { Rewrite } from './rewrite.ts';
import { prependAll } from './rewrite.ts';

const originated: Judgement = { accepted: true, reason: 'announced: originated here' };
const inTransit: Judgement = { accepted: true, reason: 'announced: transit' };

export interface ExportRules {
  /** About a prefix that this node announces itself. */
  local(family: Family, w0: number, w1: number, w2: number, w3: number, length: number): Judgement;
  /** About a learned prefix; `fromExternal` is the kind of session it came over. */
  learned(
    attributes: AcceptedAttributes,
    fromExternal: boolean,
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
const noExport = refused('not announced: community NO_EXPORT');

export function compileExport(
  peer: { readonly filters: readonly FilterIntent[]; readonly transit: boolean },
  external: boolean,
): ExportRules {
  const filters: Record<Family, Filters> = {
    ipv4: compileFilters(peer.filters, 'export', 'ipv4', external),
    ipv6: compileFilters(peer.filters, 'export', 'ipv6', external),
  };
  return {
    local: (family, w0, w1, w2, w3, length) => filters[family](w0, w1, w2, w3, length, undefined) ?? originated,
    learned(attributes, fromExternal, family, w0, w1, w2, w3, length) {
      if (!peer.transit) return notTransit;
      if (!fromExternal && !external) return internalToInternal;
      // RFC 1997 §2.
      if (attributes.noAdvertise) return noAdvertise;
      if (attributes.noExport && external) return noExport;
      return filters[family](w0, w1, w2, w3, length, attributes) ?? inTransit;
    },
  };
}

/** `localAsn` in front of the path (RFC 4271 §5.1.2 b); a segment holds at most 255. */
export function prepend(asPath: readonly AsPathSegment[], localAsn: Asn): AsPathSegment[] {
  return prependAll(asPath, [localAsn]);
}

/** What operations find on a route that begins here. */
const ownPath: PathAttributes = {
  origin: 0,
  asPath: [],
  nextHop: undefined,
  med: undefined,
  localPref: undefined,
  atomicAggregate: false,
  aggregator: undefined,
  communities: [],
  originatorId: undefined,
  clusterList: [],
  extendedCommunities: [],
  largeCommunities: [],
  unknown: [],
};

/**
 * Attributes of a path on its way to a peer. `nextHop` is always ours: in the attribute for classic IPv4 NLRI, `undefined`
 * where MP_REACH_NLRI carries it. Toward internal peers too: `transit` is the explicit configuration that RFC 4271 §5.1.3
 * asks for, and the receiver resolves next hops by its connected routes only.
 */
export function exportedAttributes(
  learned: PathAttributes | undefined,
  to: { readonly external: boolean; readonly localAsn: Asn },
  nextHop: IpAddress | undefined,
  rewrite?: Rewrite,
): PathAttributes {
  const path = rewrite === undefined ? learned : rewrite.apply(learned ?? ownPath);
  const asPath = path?.asPath ?? [];
  return {
    origin: path?.origin ?? 0,
    asPath: to.external ? prepend(asPath, to.localAsn) : asPath,
    nextHop,
    // RFC 4271 §5.1.4: the MED of another AS is not passed on to a third; one that policy set is ours.
    med: to.external ? rewrite?.med : path?.med,
    // RFC 4271 §5.1.5: to internal peers only.
    localPref: to.external ? undefined : (path?.localPref ?? defaultLocalPref),
    atomicAggregate: path?.atomicAggregate ?? false,
    aggregator: path?.aggregator,
    communities: path?.communities ?? [],
    // RFC 4456 §8: they do not leave the AS, and without reflection none is passed on within it.
    originatorId: undefined,
    clusterList: [],
    // RFC 4360 §6: the non-transitive ones (bit 0x40) stay in the AS.
    extendedCommunities: to.external
      ? (path?.extendedCommunities ?? []).filter((community) => ((community[0] ?? 0) & 0x40) === 0)
      : (path?.extendedCommunities ?? []),
    largeCommunities: path?.largeCommunities ?? [],
    unknown: path?.unknown ?? [],
  };
}
