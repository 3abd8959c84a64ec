/**
 * What the peers of one update group were told, a row for each route. Without add-path a prefix has one row, and its number
 * is the prefix's id; with add-path it has one for each path identifier, in a pool. A row has the encoded attributes, 0 for
 * none, and the source: the adjacency that is not told, because the path came from there (0: all are told).
 *
 * A prefix has a mark beside its rows, "queued". As long as it is queued, has rows or one of them is held, the RIB keeps its
 * id; as long as a row carries something, its prefix is queued or it is held, the row keeps its number.
 */
import type { EncodedStore } from './encoded-store.ts';
import type { FamilyRib } from './family-rib.ts';
import { grownInt32 } from './prefix-table.ts';
import { SparseColumn } from './sparse-column.ts';

const QUEUED = 1;

export interface SentRows {
  /** Rows are numbered from 1 to below this. */
  readonly limit: number;
  encoded(row: number): number;
  source(row: number): number;
  prefixOf(row: number): number;
  /** Path identifier, unsigned; 0 without add-path. */
  pathId(row: number): number;
  set(row: number, encoded: number, source: number): void;
  /** Somebody remembers something about the row. */
  hold(row: number): void;
  unhold(row: number): void;
  /** First row at or behind `from` that may carry something; `undefined` behind the last. */
  nextUsed(from: number): number | undefined;
  /** The row of a prefix and an identifier; 0: there is none. */
  find(prefix: number, pathId: number): number;
  /** The same, made if there is none. */
  intern(prefix: number, pathId: number): number;
  /** First row of a prefix, 0 for none, and the one behind a row. They may carry nothing. */
  first(prefix: number): number;
  next(row: number): number;
  /** The prefix has rows or is queued. */
  isKnown(prefix: number): boolean;
  isQueued(prefix: number): boolean;
  queue(prefix: number): void;
  unqueue(prefix: number): void;
  /** One slice of letting go of everything; answers where to go on, 0 when nothing is left. Nothing may be held any more. */
  dispose(from: number, count: number): number;
}

/** Rows that are prefixes. */
export class PrefixRows implements SentRows {
  readonly #rib: FamilyRib;
  readonly #store: EncodedStore;
  /** Encoded attributes and QUEUED. */
  readonly #state = new SparseColumn();
  readonly #source = new SparseColumn();

  constructor(rib: FamilyRib, store: EncodedStore) {
    this.#rib = rib;
    this.#store = store;
  }

  get limit(): number {
    return this.#rib.table.limit;
  }

  encoded(row: number): number {
    return this.#state.get(row) >> 1;
  }

  source(row: number): number {
    return this.#source.get(row);
  }

  prefixOf(row: number): number {
    return row;
  }

  pathId(): number {
    return 0;
  }

  set(row: number, encoded: number, source: number): void {
    const state = this.#state.get(row);
    this.#source.set(row, source);
    const observed = state >> 1;
    if (observed === encoded) return;
    if (encoded !== 0) this.#store.retain(encoded);
    this.#write(row, state, (encoded << 1) | (state & QUEUED));
    if (observed !== 0) this.#store.release(observed);
  }

  #write(prefix: number, observed: number, desired: number): void {
    this.#state.set(prefix, desired);
    if (observed === 0) this.#rib.hold(prefix);
    else if (desired === 0) this.#rib.unhold(prefix);
  }

  hold(row: number): void {
    this.#rib.hold(row);
  }

  unhold(row: number): void {
    this.#rib.unhold(row);
  }

  nextUsed(from: number): number | undefined {
    const row = this.#state.nextWritten(from);
    return row === undefined || row >= this.limit ? undefined : row;
  }

  find(prefix: number): number {
    return prefix;
  }

  intern(prefix: number): number {
    return prefix;
  }

  first(prefix: number): number {
    return prefix;
  }

  next(): number {
    return 0;
  }

  isKnown(prefix: number): boolean {
    return this.#state.get(prefix) !== 0;
  }

  isQueued(prefix: number): boolean {
    return (this.#state.get(prefix) & QUEUED) !== 0;
  }

  queue(prefix: number): void {
    const state = this.#state.get(prefix);
    this.#write(prefix, state, state | QUEUED);
  }

  unqueue(prefix: number): void {
    const state = this.#state.get(prefix);
    if ((state & QUEUED) !== 0) this.#write(prefix, state, state & ~QUEUED);
  }

  dispose(from: number, count: number): number {
    let prefix = this.nextUsed(from);
    for (let i = 0; i < count && prefix !== undefined; i++) {
      if (this.isKnown(prefix)) {
        this.set(prefix, 0, 0);
        this.unqueue(prefix);
      }
      prefix = this.nextUsed(prefix + 1);
    }
    return prefix ?? 0;
  }
}

const firstCapacity = 1024;

/** Rows of (prefix, path identifier), in a pool. */
export class PathRows implements SentRows {
  readonly #rib: FamilyRib;
  readonly #store: EncodedStore;
  /** First row of the prefix and QUEUED. */
  readonly #state = new SparseColumn();
  #prefix = new Int32Array(firstCapacity);
  #id = new Int32Array(firstCapacity);
  #encoded = new Int32Array(firstCapacity);
  #source = new Uint16Array(firstCapacity);
  #holds = new Uint16Array(firstCapacity);
  #next = new Int32Array(firstCapacity);
  #limit = 1;
  #free = 0;

  constructor(rib: FamilyRib, store: EncodedStore) {
    this.#rib = rib;
    this.#store = store;
  }

  get limit(): number {
    return this.#limit;
  }

  encoded(row: number): number {
    return this.#encoded[row] as number;
  }

  source(row: number): number {
    return this.#source[row] as number;
  }

  prefixOf(row: number): number {
    return this.#prefix[row] as number;
  }

  pathId(row: number): number {
    return (this.#id[row] as number) >>> 0;
  }

  set(row: number, encoded: number, source: number): void {
    this.#source[row] = source;
    const observed = this.encoded(row);
    if (observed === encoded) return;
    if (encoded !== 0) this.#store.retain(encoded);
    this.#encoded[row] = encoded;
    if (observed !== 0) this.#store.release(observed);
    if (encoded === 0) this.#freeIfUnused(row);
  }

  hold(row: number): void {
    this.#holds[row] = (this.#holds[row] as number) + 1;
  }

  unhold(row: number): void {
    this.#holds[row] = (this.#holds[row] as number) - 1;
    this.#freeIfUnused(row);
  }

  nextUsed(from: number): number | undefined {
    return from < this.#limit ? from : undefined;
  }

  find(prefix: number, pathId: number): number {
    const id = pathId | 0;
    let row = this.first(prefix);
    while (row !== 0 && this.#id[row] !== id) row = this.next(row);
    return row;
  }

  intern(prefix: number, pathId: number): number {
    const known = this.find(prefix, pathId);
    if (known !== 0) return known;
    let row = this.#free;
    if (row !== 0) this.#free = this.next(row);
    else {
      row = this.#limit++;
      if (row >= this.#prefix.length) this.#grow();
    }
    const state = this.#state.get(prefix);
    this.#prefix[row] = prefix;
    this.#id[row] = pathId | 0;
    this.#encoded[row] = 0;
    this.#source[row] = 0;
    this.#holds[row] = 0;
    this.#next[row] = state >> 1;
    this.#write(prefix, state, (row << 1) | (state & QUEUED));
    return row;
  }

  #grow(): void {
    const capacity = 2 * this.#prefix.length;
    this.#prefix = grownInt32(this.#prefix, capacity);
    this.#id = grownInt32(this.#id, capacity);
    this.#encoded = grownInt32(this.#encoded, capacity);
    this.#source = grownUint16(this.#source, capacity);
    this.#holds = grownUint16(this.#holds, capacity);
    this.#next = grownInt32(this.#next, capacity);
  }

  #write(prefix: number, observed: number, desired: number): void {
    this.#state.set(prefix, desired);
    if (observed === 0) this.#rib.hold(prefix);
    else if (desired === 0) this.#rib.unhold(prefix);
  }

  #freeIfUnused(row: number): void {
    const prefix = this.prefixOf(row);
    if (this.encoded(row) !== 0 || this.#holds[row] !== 0 || this.isQueued(prefix)) return;
    const state = this.#state.get(prefix);
    const after = this.next(row);
    const head = state >> 1;
    if (head === row) this.#write(prefix, state, after << 1);
    else {
      let at = head;
      while (this.next(at) !== row) at = this.next(at);
      this.#next[at] = after;
    }
    this.#prefix[row] = 0;
    this.#next[row] = this.#free;
    this.#free = row;
  }

  first(prefix: number): number {
    return this.#state.get(prefix) >> 1;
  }

  next(row: number): number {
    return this.#next[row] as number;
  }

  isKnown(prefix: number): boolean {
    return this.#state.get(prefix) !== 0;
  }

  isQueued(prefix: number): boolean {
    return (this.#state.get(prefix) & QUEUED) !== 0;
  }

  queue(prefix: number): void {
    const state = this.#state.get(prefix);
    this.#write(prefix, state, state | QUEUED);
  }

  unqueue(prefix: number): void {
    const state = this.#state.get(prefix);
    if ((state & QUEUED) === 0) return;
    this.#write(prefix, state, state & ~QUEUED);
    for (let row = this.first(prefix); row !== 0; ) {
      const after = this.next(row);
      this.#freeIfUnused(row);
      row = after;
    }
  }

  dispose(from: number, count: number): number {
    const end = Math.min(from + count, this.#limit);
    for (let row = from; row < end; row++) {
      const prefix = this.prefixOf(row);
      if (prefix === 0) continue;
      this.set(row, 0, 0);
      this.unqueue(prefix);
    }
    return end === this.#limit ? 0 : end;
  }
}

function grownUint16(column: Uint16Array, capacity: number): Uint16Array<ArrayBuffer> {
  const grown = new Uint16Array(capacity);
  grown.set(column);
  return grown;
}
