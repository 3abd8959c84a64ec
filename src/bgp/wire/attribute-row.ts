/**
 * What a row of the table of path attributes is: the type that `attribute-table.ts` fills and `attributes.ts` drives, the
 * codes and the flag bits (RFC 4271 §4.3).
 */
import type { ByteWriter } from '#lib/bytes.ts';
import type { IpAddress } from '#lib/ip.ts';
import type { AsPathSegment, Origin, PathAttributes, WireContext } from './messages.ts';

export const ATTRIBUTE = {
  origin: 1,
  asPath: 2,
  nextHop: 3,
  med: 4,
  localPref: 5,
  atomicAggregate: 6,
  aggregator: 7,
  communities: 8,
  originatorId: 9,
  clusterList: 10,
  mpReachNlri: 14,
  mpUnreachNlri: 15,
  extendedCommunities: 16,
  as4Path: 17,
  as4Aggregator: 18,
  largeCommunities: 32,
  onlyToCustomer: 35,
} as const;

/** RFC 4271 §4.3: attribute flags. */
export const FLAG = { optional: 0x80, transitive: 0x40, partial: 0x20, extendedLength: 0x10 } as const;
/** Path attributes while they are being decoded. */
export interface Draft {
  origin: Origin | undefined;
  asPath: AsPathSegment[] | undefined;
  nextHop: IpAddress | undefined;
  /** Judged only where the NEXT_HOP counts. */
  nextHopProblem: string | undefined;
  med: number | undefined;
  localPref: number | undefined;
  atomicAggregate: boolean;
  aggregator: PathAttributes['aggregator'];
  communities: number[];
  originatorId: number | undefined;
  clusterList: number[];
  extendedCommunities: Uint8Array[];
  largeCommunities: [number, number, number][];
  onlyToCustomer: number | undefined;
  as4Path: AsPathSegment[] | undefined;
  as4Aggregator: PathAttributes['aggregator'];
}

export interface AttributeRow {
  readonly code: number;
  readonly name: string;
  /** Optional and Transitive as they must be. */
  readonly flags: number;
  /** Why this peer must not send it: the attribute is discarded whatever is in it. `undefined`: it may. */
  unwanted(context: WireContext): string | undefined;
  /** Words when no such attribute has this length. */
  lengthProblem(length: number, context: WireContext): string | undefined;
  /** What to do with a malformed one, and where that is said. */
  readonly malformed: 'treatAsWithdraw' | 'discard';
  readonly source: string;
  /** UPDATE error subcode of RFC 4271 §6.3 for a wrong value. */
  readonly subcode: number;
  /** The value is at `at` to `end`, its length is right. Words: what is malformed. Keeps no view of `bytes`. */
  decode(bytes: Uint8Array, at: number, end: number, context: WireContext, draft: Draft): string | undefined;
  /** Writes the whole attribute, or nothing when it is not there or not for this peer. */
  encode(attributes: PathAttributes, context: WireContext, into: ByteWriter): void;
}
