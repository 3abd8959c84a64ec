/**
 * The adj-rib-in of one family: every path received, before policy, in pooled lists. A path is a number; its columns are
 * prefix, adjacency (slot), attributes, next hop, life (which tells stale paths), flags and the next path of the prefix.
 * One pool suits two peers as well as hundreds, because a prefix pays only for the paths it has. An adjacency has one path
 * for a prefix, or with add-path one for each identifier it gave; their column exists from the first such path on.
 */
import { grownInt32, grownUint8 } from './prefix-table.ts';

export const PATH_FLAG = {
  accepted: 1,
  /** Stale for longer than a restart: the path carries LLGR_STALE because of us (RFC 9494 §4.2). */
  longLived: 2,
} as const;

const firstCapacity = 1024;

export class Paths {
  prefix = new Int32Array(firstCapacity);
  slot = new Uint16Array(firstCapacity);
  attributes = new Int32Array(firstCapacity);
  nextHop = new Int32Array(firstCapacity);
  /** Life of the adjacency in which the path was last announced; another than the adjacency's present one is stale. */
  life = new Uint8Array(firstCapacity);
  flags = new Uint8Array(firstCapacity);
  next = new Int32Array(firstCapacity);
  /** Path identifiers as signed numbers (RFC 7911 §3), 0 without add-path. */
  #ids: Int32Array | undefined;
  /** First path of each prefix. */
  #head = new Int32Array(firstCapacity);
  #limit = 1;
  #free = 0;
  #live = 0;

  get size(): number {
    return this.#live;
  }

  isAccepted(path: number): boolean {
    return ((this.flags[path] as number) & PATH_FLAG.accepted) !== 0;
  }

  isLongLived(path: number): boolean {
    return ((this.flags[path] as number) & PATH_FLAG.longLived) !== 0;
  }

  /** One more than the largest path number in use; a sweep walks from 1 to here and skips those whose prefix is 0. */
  get limit(): number {
    return this.#limit;
  }

  /** The head column follows the capacity of the prefix table. */
  ensurePrefixes(capacity: number): void {
    if (capacity > this.#head.length) this.#head = grownInt32(this.#head, capacity);
  }

  head(prefix: number): number {
    return this.#head[prefix] as number;
  }

  /** The path of one adjacency with this identifier, 0 if there is none. */
  find(prefix: number, slot: number, id: number): number {
    const ids = this.#ids;
    let path = this.#head[prefix] as number;
    if (ids === undefined) {
      if (id !== 0) return 0;
      while (path !== 0 && this.slot[path] !== slot) path = this.next[path] as number;
    } else while (path !== 0 && (this.slot[path] !== slot || ids[path] !== id)) path = this.next[path] as number;
    return path;
  }

  /** The identifier that the peer gave the path, unsigned; 0 without add-path. */
  idOf(path: number): number {
    return this.#ids === undefined ? 0 : (this.#ids[path] as number) >>> 0;
  }

  add(prefix: number, slot: number, id: number, attributes: number, nextHop: number, life: number): number {
    let path = this.#free;
    if (path !== 0) this.#free = this.next[path] as number;
    else {
      path = this.#limit++;
      if (path >= this.prefix.length) this.#grow();
    }
    this.prefix[path] = prefix;
    this.slot[path] = slot;
    if (id !== 0) this.#ids ??= new Int32Array(this.prefix.length);
    if (this.#ids !== undefined) this.#ids[path] = id;
    this.attributes[path] = attributes;
    this.nextHop[path] = nextHop;
    this.life[path] = life;
    this.flags[path] = 0;
    this.next[path] = this.#head[prefix] as number;
    this.#head[prefix] = path;
    this.#live++;
    return path;
  }

  remove(path: number): void {
    const prefix = this.prefix[path] as number;
    const after = this.next[path] as number;
    let at = this.#head[prefix] as number;
    if (at === path) this.#head[prefix] = after;
    else {
      while (this.next[at] !== path) at = this.next[at] as number;
      this.next[at] = after;
    }
    this.prefix[path] = 0;
    this.next[path] = this.#free;
    this.#free = path;
    this.#live--;
  }

  #grow(): void {
    const capacity = 2 * this.prefix.length;
    this.prefix = grownInt32(this.prefix, capacity);
    const slot = new Uint16Array(capacity);
    slot.set(this.slot);
    this.slot = slot;
    this.attributes = grownInt32(this.attributes, capacity);
    this.nextHop = grownInt32(this.nextHop, capacity);
    this.life = grownUint8(this.life, capacity);
    this.flags = grownUint8(this.flags, capacity);
    this.next = grownInt32(this.next, capacity);
    if (this.#ids !== undefined) this.#ids = grownInt32(this.#ids, capacity);
  }
}
