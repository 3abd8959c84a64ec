/**
 * BGP messages as values. An UPDATE comes in two steps so that the hot path never builds what it does not need:
 * `splitUpdate` cuts the body into validated NLRI bytes and raw attribute bytes; `decodeAttributes` runs only when those
 * attribute bytes were not seen before (the RIB interns them).
 */
import type { Asn, Family, IpAddress } from '#lib/ip.ts';

export const MESSAGE_TYPE = { OPEN: 1, UPDATE: 2, NOTIFICATION: 3, KEEPALIVE: 4, ROUTE_REFRESH: 5 } as const;

export interface OpenMessage {
  readonly kind: 'open';
  readonly version: number;
  /** The 2-octet field; AS_TRANS (23456) when the real number is in the 4-octet capability. */
  readonly myAs: number;
  readonly holdTimeSeconds: number;
  /** BGP identifier as an unsigned 32-bit number. */
  readonly identifier: number;
  readonly capabilities: readonly Capability[];
}

export type Capability =
  | { readonly kind: 'multiprotocol'; readonly afi: number; readonly safi: number }
  | { readonly kind: 'routeRefresh' }
  | { readonly kind: 'enhancedRouteRefresh' }
  | { readonly kind: 'fourOctetAs'; readonly asn: number }
  | { readonly kind: 'extendedMessage' }
  | {
      readonly kind: 'gracefulRestart';
      /** R: the sender has restarted. */
      readonly restarted: boolean;
      /** N of RFC 8538. */
      readonly notification: boolean;
      readonly restartTimeSeconds: number;
      readonly families: readonly { readonly afi: number; readonly safi: number; readonly forwarding: boolean }[];
    }
  | {
      readonly kind: 'longLivedGracefulRestart';
      readonly families: readonly {
        readonly afi: number;
        readonly safi: number;
        readonly forwarding: boolean;
        /** 24 bits. */
        readonly staleTimeSeconds: number;
      }[];
    }
  | {
      readonly kind: 'extendedNextHop';
      readonly tuples: readonly { readonly afi: number; readonly safi: number; readonly nextHopAfi: number }[];
    }
  | {
      readonly kind: 'addPath';
      /** What the sender can do: take several paths of a prefix, and announce several. */
      readonly families: readonly {
        readonly afi: number;
        readonly safi: number;
        readonly receive: boolean;
        readonly send: boolean;
      }[];
    }
  /** The sender's role (RFC 9234); values above 4 have no meaning yet. */
  | { readonly kind: 'role'; readonly value: number }
  | { readonly kind: 'unknown'; readonly code: number; readonly value: Uint8Array };

export interface NotificationMessage {
  readonly kind: 'notification';
  readonly code: number;
  readonly subcode: number;
  readonly data: Uint8Array;
}

export interface KeepaliveMessage {
  readonly kind: 'keepalive';
}

export interface RouteRefreshMessage {
  readonly kind: 'routeRefresh';
  readonly afi: number;
  readonly safi: number;
  /** 0 normal, 1 beginning, 2 end (RFC 7313); other values are ignored by the receiver. */
  readonly subtype: number;
}

/** Validated NLRI of one family: a run of (length octet, prefix octets), host bits may be set (RFC 4271 §6.3: ignored). */
export interface NlriBlock {
  readonly family: Family;
  /** Each prefix is preceded by a path identifier of four octets (RFC 7911 §3). */
  readonly addPath: boolean;
  readonly bytes: Uint8Array;
}

export interface UpdateMessage {
  readonly kind: 'update';
  readonly withdrawn: readonly NlriBlock[];
  /** Each with the next hop of its MP_REACH_NLRI; `undefined` for the classic IPv4 field, whose next hop is an attribute. */
  readonly reachable: readonly { readonly nlri: NlriBlock; readonly nextHop: MpNextHop | undefined }[];
  /** The path attributes without MP_REACH_NLRI and MP_UNREACH_NLRI, as they came. The key of interning. */
  readonly attributes: Uint8Array;
  /** Families whose End-of-RIB marker this message is (RFC 4724 §2). */
  readonly endOfRib: Family | undefined;
  /** RFC 7606: everything reachable in this message is to be treated as withdrawn. */
  readonly treatAsWithdraw: string | undefined;
  /** What was left out because its family was not negotiated, in words, for the log. */
  readonly ignored?: readonly string[];
}

export interface MpNextHop {
  readonly global: IpAddress;
  /** RFC 2545: the link-local address that came beside the global one (or alone, then it is in both). */
  readonly linkLocal: IpAddress | undefined;
}

export type Message = OpenMessage | UpdateMessage | NotificationMessage | KeepaliveMessage | RouteRefreshMessage;

export type Origin = 0 | 1 | 2;

export interface AsPathSegment {
  /** 1 AS_SET, 2 AS_SEQUENCE, 3 AS_CONFED_SEQUENCE, 4 AS_CONFED_SET. */
  readonly type: 1 | 2 | 3 | 4;
  readonly asns: readonly number[];
}

/** Path attributes, decoded. `undefined` is "not there". Object shape is always the same, for speed. */
export interface PathAttributes {
  readonly origin: Origin;
  readonly asPath: readonly AsPathSegment[];
  /** NEXT_HOP of the classic IPv4 NLRI. */
  readonly nextHop: IpAddress | undefined;
  readonly med: number | undefined;
  readonly localPref: number | undefined;
  readonly atomicAggregate: boolean;
  readonly aggregator: { readonly asn: number; readonly address: IpAddress } | undefined;
  /** Each an unsigned 32-bit number. */
  readonly communities: readonly number[];
  readonly originatorId: number | undefined;
  readonly clusterList: readonly number[];
  /** 8 bytes each, as they came. */
  readonly extendedCommunities: readonly Uint8Array[];
  readonly largeCommunities: readonly (readonly [number, number, number])[];
  /** OTC (RFC 9234): the AS from which the route may go to customers only. */
  readonly onlyToCustomer: number | undefined;
  /** Unknown optional transitive attributes; passed on with Partial set. `bytes` is the whole attribute, header included. */
  readonly unknown: readonly { readonly code: number; readonly bytes: Uint8Array }[];
}

/** None of the attributes; the origin, which has no absent value, is IGP. */
export const noAttributes: PathAttributes = {
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
  onlyToCustomer: undefined,
  unknown: [],
};

/** What a NOTIFICATION to send looks like: the answer to something invalid. */
export interface Reset {
  readonly code: number;
  readonly subcode: number;
  readonly data: Uint8Array;
  /** For the log and for `lastError`: what was wrong, in words, with the RFC section. */
  readonly text: string;
}

/** Attributes together with what RFC 7606 says about them; the severest verdict wins. */
export type AttributesVerdict =
  | { readonly kind: 'accept'; readonly attributes: PathAttributes; readonly discarded: readonly string[] }
  /** `reset` is the plain RFC 4271 §6.3 answer, for where there is nothing to withdraw (RFC 7606 §5.2). */
  | { readonly kind: 'treatAsWithdraw'; readonly text: string; readonly reset: Reset }
  | { readonly kind: 'reset'; readonly reset: Reset };

/** How both ends agreed to write messages; fixed when the session is established. */
export interface WireContext {
  readonly fourOctetAs: boolean;
  readonly external: boolean;
  readonly families: readonly Family[];
  /** Longest message the peer takes: 4096, or 65535 with extended messages (RFC 8654). */
  readonly maximumMessageBytes: number;
  readonly peerAsn: Asn;
  /** IPv4 routes may come with an IPv6 next hop (RFC 8950). */
  readonly extendedNextHop?: boolean;
  /** `false` for a route server, which does not put its own AS in front (RFC 7947 §2.2.2.1); otherwise it is required. */
  readonly enforceFirstAs?: boolean;
  /** Families whose NLRI carry path identifiers (RFC 7911), in what the peer sends and in what it is sent. */
  readonly addPath?: { readonly receive: readonly Family[]; readonly send: readonly Family[] } | undefined;
}
