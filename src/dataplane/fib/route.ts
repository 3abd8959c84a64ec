/** Learned routes on their way from an engine to the kernel, packed so that a batch crosses threads without a copy. */
import type { IpAddress } from '#lib/ip.ts';

/** Bytes of one row of `FibUpdate.prefixes`: family (4 or 6), prefix length, 16 address bytes (IPv4 in the first four). */
export const fibRowBytes = 18;

/** One set of next hops. A route always points at a group, even of one. */
export interface NextHopGroup {
  /** The engine's own number, from 1; a number is never given to another set of members while the engine lives. */
  readonly id: number;
  readonly members: readonly NextHop[];
}

export interface NextHop {
  readonly gateway: IpAddress;
  /** Index of the interface on which the gateway was resolved. */
  readonly interfaceIndex: number;
}

/** A next hop that is in the kernel, under this id. */
export interface NexthopId extends NextHop {
  readonly id: number;
}

/** What the kernel has of learned routes when an engine begins. Rows and groups as in FibUpdate; the numbers are this table's own. */
export interface InheritedRoutes {
  readonly groups: readonly NextHopGroup[];
  readonly prefixes: Uint8Array;
  readonly groupIds: Uint32Array;
}

export interface FibUpdate {
  /** Grows by one with each update; the kernel's side answers with it when all rows are in the kernel. */
  readonly sequence: number;
  /** Groups that rows of this or later updates use. */
  readonly groups: readonly NextHopGroup[];
  /** Groups that no route uses any more after this update. */
  readonly releasedGroups: readonly number[];
  /** `fibRowBytes` a row. */
  readonly prefixes: Uint8Array;
  /** Row i leaves by group groupIds[i]; 0 withdraws the route. */
  readonly groupIds: Uint32Array;
  /** Set once after a start: what the kernel still has of an earlier life and no row named is stale and may go. */
  readonly complete: boolean;
}
