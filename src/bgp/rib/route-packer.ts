/**
 * Gathers routes and writes them so that as many as can share a message: by attributes, in the order in which they came. In:
 * rows with what is to be said of them; out: whole messages, and where in them the routes are that came from one adjacency.
 * One packer serves a whole engine, one batch after the other; its arrays are kept.
 */
import type { Family } from '#lib/ip.ts';
import type { Range } from '../wire/nlri-cut.ts';
import { withoutNlri } from '../wire/nlri-cut.ts';
import type { OwnedNlri } from '../wire/update-writer.ts';
import type { EncodedStore } from './encoded-store.ts';
import type { PrefixTable } from './prefix-table.ts';
import { grownInt32 } from './prefix-table.ts';
import type { SentRows } from './sent-rows.ts';

/** The part of the wire's UpdateWriter that is used here. */
export interface UpdatePacker {
  beginReach(attributes: Uint8Array, family: Family, nextHop: Uint8Array | undefined): boolean;
  beginWithdraw(family: Family): void;
  own(owner: number): void;
  fits(octets: number, family: Family, inMp: boolean): boolean;
  route(table: PrefixTable, prefix: number, pathId: number): void;
  end(): void;
  readonly owned: readonly OwnedNlri[];
  take(): Uint8Array;
}

/** Messages for several peers. */
export class Batch {
  readonly #messages: Uint8Array;
  /** What each adjacency must not be told. */
  readonly #owned = new Map<number, Range[]>();

  constructor(messages: Uint8Array, owned: readonly OwnedNlri[]) {
    this.#messages = messages;
    for (const run of owned) {
      const ranges = this.#owned.get(run.owner);
      if (ranges === undefined) this.#owned.set(run.owner, [run]);
      else ranges.push(run);
    }
  }

  /** The messages for the adjacency in `slot`, without what came from there; the very same octets for all from which nothing came. */
  for(slot: number): Uint8Array {
    const ranges = this.#owned.get(slot);
    return ranges === undefined ? this.#messages : withoutNlri(this.#messages, ranges);
  }
}

const firstCapacity = 4096;

export class RoutePacker {
  readonly #store: EncodedStore;
  #rows = new Int32Array(firstCapacity);
  #owners = new Int32Array(firstCapacity);
  /** Position behind with the same attributes, plus 1. */
  #next = new Int32Array(firstCapacity);
  #count = 0;
  /** By encoded attributes (0: withdrawn), plus 1. */
  #first = new Int32Array(firstCapacity);
  #last = new Int32Array(firstCapacity);
  /** Encoded attributes that were used, in order. */
  readonly #used: number[] = [];

  constructor(store: EncodedStore) {
    this.#store = store;
  }

  /** The row is to be said with these encoded attributes, or withdrawn (0), to all but the adjacency `owner`. */
  add(row: number, encoded: number, owner: number): void {
    const at = this.#count++;
    if (at === this.#rows.length) {
      this.#rows = grownInt32(this.#rows, 2 * at);
      this.#owners = grownInt32(this.#owners, 2 * at);
      this.#next = grownInt32(this.#next, 2 * at);
    }
    while (encoded >= this.#first.length) {
      this.#first = grownInt32(this.#first, 2 * this.#first.length);
      this.#last = grownInt32(this.#last, 2 * this.#last.length);
    }
    this.#rows[at] = row;
    this.#owners[at] = owner;
    this.#next[at] = 0;
    const last = this.#last[encoded] as number;
    if (last === 0) {
      this.#first[encoded] = at + 1;
      this.#used.push(encoded);
    } else this.#next[last - 1] = at + 1;
    this.#last[encoded] = at + 1;
  }

  /**
   * Writes all that was added and forgets it; `undefined` if that is nothing. Withdrawals come first, to make room; with path
   * identifiers they come last, so that a peer is never without any path of a prefix in between.
   */
  write(packer: UpdatePacker, rows: SentRows, table: PrefixTable, withIds: boolean): Batch | undefined {
    if (this.#count === 0) return undefined;
    if (!withIds) this.#writeRun(0, packer, rows, table);
    for (const encoded of this.#used) if (encoded !== 0) this.#writeRun(encoded, packer, rows, table);
    if (withIds) this.#writeRun(0, packer, rows, table);
    for (const encoded of this.#used) {
      this.#first[encoded] = 0;
      this.#last[encoded] = 0;
    }
    this.#used.length = 0;
    this.#count = 0;
    packer.end();
    const { owned } = packer;
    return new Batch(packer.take(), owned);
  }

  #writeRun(encoded: number, packer: UpdatePacker, rows: SentRows, table: PrefixTable): void {
    let at = this.#first[encoded] as number;
    if (at === 0) return;
    if (encoded === 0) packer.beginWithdraw(table.family);
    else {
      const { bytes, mpNextHop } = this.#store.get(encoded);
      if (!packer.beginReach(bytes, table.family, mpNextHop)) throw new RangeError('attributes that leave no room');
    }
    for (; at !== 0; at = this.#next[at - 1] as number) {
      const row = this.#rows[at - 1] as number;
      packer.own(this.#owners[at - 1] as number);
      packer.route(table, rows.prefixOf(row), rows.pathId(row));
    }
  }
}
