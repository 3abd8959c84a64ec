/**
 * Octet strings as dense numbers from 1, each kept once and counted. In: octets and a kind (equal octets of two kinds are two
 * strings); out: a number. No object for each string: octets lie side by side in chunks, all else in typed arrays. A full table has
 * hundreds of thousands of attribute sets, and as objects they would cost the collector more than all other work on them.
 */
import { grownInt32 } from './prefix-table.ts';

const chunkOctets = 256 * 1024;
/** Strings begin at multiples of it, so that a hole left by one fits another of about its length. */
const grain = 16;
const grainsPerChunk = chunkOctets / grain;
const firstCapacity = 256;

export class OctetStore {
  readonly #chunks: Uint8Array[] = [];
  /** First grain of the last chunk that was never used. */
  #unused = grainsPerChunk;
  /** Places that were given back, by the number of their grains. */
  readonly #holes: (number[] | undefined)[] = [];
  /** Chunk and grain within it, in one number. */
  #place = new Int32Array(firstCapacity);
  #length = new Uint16Array(firstCapacity);
  #kind = new Uint16Array(firstCapacity);
  #hash = new Int32Array(firstCapacity);
  #references = new Int32Array(firstCapacity);
  /** Open addressing; a number's home is its hash. */
  #slots = new Int32Array(2 * firstCapacity);
  #free: number[] = [];
  /** Numbers from here on were never given out. */
  #limit = 1;
  #live = 0;

  get size(): number {
    return this.#live;
  }

  /** Without a reference the string stays until `settle`. At most 65535 octets, and as many kinds. */
  intern(kind: number, octets: Uint8Array): number {
    const hash = hashOf(kind, octets);
    let at = hash & (this.#slots.length - 1);
    for (;;) {
      const id = this.#slots[at] as number;
      if (id === 0) break;
      if (this.#hash[id] === hash && this.#is(id, kind, octets)) return id;
      at = (at + 1) & (this.#slots.length - 1);
    }
    const id = this.#free.pop() ?? this.#limit++;
    if (id >= this.#place.length) this.#growColumns();
    const { length } = octets;
    const place = this.#takePlace(grainsOf(length));
    (this.#chunks[place >>> 14] as Uint8Array).set(octets, (place & (grainsPerChunk - 1)) * grain);
    this.#place[id] = place;
    this.#length[id] = length;
    this.#kind[id] = kind;
    this.#hash[id] = hash;
    this.#references[id] = 0;
    this.#slots[at] = id;
    this.#live++;
    if (2 * this.#live > this.#slots.length) this.#growSlots();
    return id;
  }

  #is(id: number, kind: number, octets: Uint8Array): boolean {
    if (this.#kind[id] !== kind || this.#length[id] !== octets.length) return false;
    const place = this.#place[id] as number;
    const chunk = this.#chunks[place >>> 14] as Uint8Array;
    const start = (place & (grainsPerChunk - 1)) * grain;
    for (let i = 0; i < octets.length; i++) if (chunk[start + i] !== octets[i]) return false;
    return true;
  }

  has(id: number): boolean {
    return (this.#place[id] ?? 0) !== 0;
  }

  kind(id: number): number {
    return this.#kind[id] as number;
  }

  length(id: number): number {
    return this.#length[id] as number;
  }

  /** A view that holds until the string is let go of. */
  octets(id: number): Uint8Array {
    const place = this.#place[id] as number;
    const start = (place & (grainsPerChunk - 1)) * grain;
    return (this.#chunks[place >>> 14] as Uint8Array).subarray(start, start + (this.#length[id] as number));
  }

  retain(id: number): void {
    this.#references[id] = (this.#references[id] as number) + 1;
  }

  /** Answers whether that was the last reference; the caller then lets go of the string by `settle`. */
  release(id: number): boolean {
    const left = (this.#references[id] as number) - 1;
    this.#references[id] = left;
    return left === 0;
  }

  isReferred(id: number): boolean {
    return this.#references[id] !== 0;
  }

  /** Lets go of a string that nothing refers to; its number will mean another. */
  settle(id: number): void {
    if (this.#place[id] === 0 || this.#references[id] !== 0) return;
    this.#unplace(id);
    const place = this.#place[id] as number;
    this.#place[id] = 0;
    this.#live--;
    // With the last string go the chunks: a peer that is gone leaves nothing.
    if (this.#live === 0) return this.#clear();
    this.#free.push(id);
    const grains = grainsOf(this.#length[id] as number);
    (this.#holes[grains] ??= []).push(place);
  }

  #clear(): void {
    this.#chunks.length = 0;
    this.#unused = grainsPerChunk;
    this.#holes.length = 0;
    this.#free = [];
    this.#limit = 1;
    this.#place = new Int32Array(firstCapacity);
    this.#length = new Uint16Array(firstCapacity);
    this.#kind = new Uint16Array(firstCapacity);
    this.#hash = new Int32Array(firstCapacity);
    this.#references = new Int32Array(firstCapacity);
    this.#slots = new Int32Array(2 * firstCapacity);
  }

  #takePlace(grains: number): number {
    const hole = this.#holes[grains]?.pop();
    if (hole !== undefined) return hole;
    if (this.#unused + grains > grainsPerChunk) {
      this.#chunks.push(new Uint8Array(chunkOctets));
      // No place is 0, so that 0 can stand for none.
      this.#unused = this.#chunks.length === 1 ? 1 : 0;
    }
    const place = ((this.#chunks.length - 1) << 14) | this.#unused;
    this.#unused += grains;
    return place;
  }

  #unplace(id: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let hole = (this.#hash[id] as number) & mask;
    while (slots[hole] !== id) hole = (hole + 1) & mask;
    // Backward shift: whoever probes over the hole moves into it, so no tombstones gather.
    for (let at = (hole + 1) & mask; ; at = (at + 1) & mask) {
      const other = slots[at] as number;
      if (other === 0) break;
      const home = (this.#hash[other] as number) & mask;
      if (((at - home) & mask) >= ((at - hole) & mask)) {
        slots[hole] = other;
        hole = at;
      }
    }
    slots[hole] = 0;
  }

  #growColumns(): void {
    const capacity = 2 * this.#place.length;
    const wider = (column: Uint16Array): Uint16Array<ArrayBuffer> => {
      const grown = new Uint16Array(capacity);
      grown.set(column);
      return grown;
    };
    this.#place = grownInt32(this.#place, capacity);
    this.#length = wider(this.#length);
    this.#kind = wider(this.#kind);
    this.#hash = grownInt32(this.#hash, capacity);
    this.#references = grownInt32(this.#references, capacity);
  }

  #growSlots(): void {
    const slots = new Int32Array(2 * this.#slots.length);
    const mask = slots.length - 1;
    for (const id of this.#slots) {
      if (id === 0) continue;
      let at = (this.#hash[id] as number) & mask;
      while (slots[at] !== 0) at = (at + 1) & mask;
      slots[at] = id;
    }
    this.#slots = slots;
  }
}

/** An empty string has a place too. */
const grainsOf = (length: number): number => (length >> 4) + 1;

/** Four octets at a time; signed. */
function hashOf(kind: number, octets: Uint8Array): number {
  const { length } = octets;
  let hash = Math.imul(kind ^ Math.imul(length, 0x9e3779b1), 0x85ebca6b);
  let at = 0;
  for (const end = length - 3; at < end; at += 4) {
    const word =
      (octets[at] as number) |
      ((octets[at + 1] as number) << 8) |
      ((octets[at + 2] as number) << 16) |
      ((octets[at + 3] as number) << 24);
    hash = Math.imul(hash ^ word, 0xc2b2ae35);
    hash ^= hash >>> 15;
  }
  for (; at < length; at++) hash = Math.imul(hash ^ (octets[at] as number), 0x27d4eb2f);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0x2c1b3c6d);
  return hash ^ (hash >>> 16);
}
