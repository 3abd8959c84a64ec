/**
 * Learned routes in memory: one entry a prefix, in typed arrays, because there may be a million of them. An entry's number
 * stays the same while it lives. The columns are read and written by the FIB writer; only this file moves them.
 */
import { type Prefix, prefixFromBytes } from '#lib/ip.ts';

/** Bits of the `flags` column. */
export const ENTRY = {
  /** Waits in the writer's queue. */
  queued: 1,
  /** Named by the dump that is being read. */
  seen: 2,
  /** Found in the kernel at the start and not named by the engine so far. */
  inherited: 4,
  /** Could not be written; tried again after the next observation. */
  retry: 8,
  /** A foreign route stands at the same prefix and metric. */
  foreign: 16,
} as const;

/** What the `source` column says of the preferred source that the kernel's route has. */
export const SOURCE = { none: 0, current: 1, other: 2 } as const;

const noEntry = -1;

export class FibTable {
  /** The engine's group number, 0: not wanted. */
  desired: Uint32Array;
  /** The nexthop id that the kernel's route of ours points at, 0: there is none. */
  observed: Uint32Array;
  source: Uint8Array;
  flags: Uint8Array;
  #keys: Uint8Array;
  /** Address size in the high byte, prefix length in the low one; 0: the entry is free. */
  #kinds: Uint16Array;
  #next: Int32Array;
  #heads: Int32Array;
  #free = noEntry;
  #used = 0;
  #size = 0;

  constructor(capacity = 1024) {
    this.desired = new Uint32Array(capacity);
    this.observed = new Uint32Array(capacity);
    this.source = new Uint8Array(capacity);
    this.flags = new Uint8Array(capacity);
    this.#keys = new Uint8Array(16 * capacity);
    this.#kinds = new Uint16Array(capacity);
    this.#next = new Int32Array(capacity);
    this.#heads = new Int32Array(2 * capacity).fill(noEntry);
  }

  get size(): number {
    return this.#size;
  }
  /** Every entry's number is below this. */
  get end(): number {
    return this.#used;
  }
  exists(entry: number): boolean {
    return this.#kinds[entry] !== 0;
  }
  /** 4 or 16. */
  addressSize(entry: number): number {
    return (this.#kinds[entry] as number) >> 8;
  }
  prefixLength(entry: number): number {
    return (this.#kinds[entry] as number) & 0xff;
  }
  /** All address bytes; an entry's own begin at 16 times its number. */
  get keys(): Uint8Array {
    return this.#keys;
  }
  prefix(entry: number): Prefix {
    const size = this.addressSize(entry);
    return prefixFromBytes(this.#keys.slice(16 * entry, 16 * entry + size), this.prefixLength(entry));
  }

  /** The entry of a prefix, `size` address bytes at `offset` (-1: all zero), or -1. */
  find(size: number, bytes: Uint8Array, offset: number, length: number): number {
    const kind = (size << 8) | length;
    let entry = this.#heads[this.#bucket(kind, size, bytes, offset)] as number;
    while (entry !== noEntry) {
      if (this.#kinds[entry] === kind && this.#same(entry, size, bytes, offset)) return entry;
      entry = this.#next[entry] as number;
    }
    return noEntry;
  }

  /** The entry of a prefix, made when there is none. */
  insert(size: number, bytes: Uint8Array, offset: number, length: number): number {
    const found = this.find(size, bytes, offset, length);
    if (found !== noEntry) return found;
    if (this.#free === noEntry && this.#used === this.#kinds.length) this.#grow();
    let entry = this.#free;
    if (entry === noEntry) entry = this.#used++;
    else this.#free = this.#next[entry] as number;
    const kind = (size << 8) | length;
    for (let i = 0; i < size; i++) this.#keys[16 * entry + i] = offset < 0 ? 0 : (bytes[offset + i] as number);
    this.#kinds[entry] = kind;
    this.desired[entry] = 0;
    this.observed[entry] = 0;
    this.source[entry] = SOURCE.none;
    this.flags[entry] = 0;
    this.#link(entry, kind, size);
    this.#size += 1;
    return entry;
  }

  remove(entry: number): void {
    const kind = this.#kinds[entry] as number;
    if (kind === 0) return;
    const bucket = this.#bucket(kind, kind >> 8, this.#keys, 16 * entry);
    const after = this.#next[entry] as number;
    if (this.#heads[bucket] === entry) this.#heads[bucket] = after;
    else {
      let before = this.#heads[bucket] as number;
      while (this.#next[before] !== entry) before = this.#next[before] as number;
      this.#next[before] = after;
    }
    this.#kinds[entry] = 0;
    this.flags[entry] = 0;
    this.#next[entry] = this.#free;
    this.#free = entry;
    this.#size -= 1;
  }

  #link(entry: number, kind: number, size: number): void {
    const bucket = this.#bucket(kind, size, this.#keys, 16 * entry);
    this.#next[entry] = this.#heads[bucket] as number;
    this.#heads[bucket] = entry;
  }

  #bucket(kind: number, size: number, bytes: Uint8Array, offset: number): number {
    let hash = Math.imul(kind, 0x9e3779b1);
    if (offset >= 0) {
      for (let i = offset; i < offset + size; i += 4) {
        const word =
          ((bytes[i] as number) << 24) |
          ((bytes[i + 1] as number) << 16) |
          ((bytes[i + 2] as number) << 8) |
          (bytes[i + 3] as number);
        hash = Math.imul(hash ^ word, 0x85ebca6b);
        hash ^= hash >>> 13;
      }
    } else {
      for (let i = 0; i < size; i += 4) {
        hash = Math.imul(hash, 0x85ebca6b);
        hash ^= hash >>> 13;
      }
    }
    return ((hash ^ (hash >>> 16)) >>> 0) % this.#heads.length;
  }

  #same(entry: number, size: number, bytes: Uint8Array, offset: number): boolean {
    const at = 16 * entry;
    for (let i = 0; i < size; i++) if (this.#keys[at + i] !== (offset < 0 ? 0 : bytes[offset + i])) return false;
    return true;
  }

  #grow(): void {
    const capacity = 2 * this.#kinds.length;
    const widen = <T extends Uint8Array | Uint16Array | Uint32Array | Int32Array>(from: T, to: T): T => {
      to.set(from);
      return to;
    };
    this.desired = widen(this.desired, new Uint32Array(capacity));
    this.observed = widen(this.observed, new Uint32Array(capacity));
    this.source = widen(this.source, new Uint8Array(capacity));
    this.flags = widen(this.flags, new Uint8Array(capacity));
    this.#keys = widen(this.#keys, new Uint8Array(16 * capacity));
    this.#kinds = widen(this.#kinds, new Uint16Array(capacity));
    this.#next = widen(this.#next, new Int32Array(capacity));
    this.#heads = new Int32Array(2 * capacity).fill(noEntry);
    // Only called with no free entry, so each one below `used` is alive.
    for (let entry = 0; entry < this.#used; entry++) {
      const kind = this.#kinds[entry] as number;
      this.#link(entry, kind, kind >> 8);
    }
  }
}
