/**
 * A column of 32-bit numbers indexed by prefix id, in chunks that exist only where something was written: a peer that is told ten
 * prefixes out of a million pays for ten. Unwritten entries are 0.
 */
const chunkBits = 10;
const chunkSize = 1 << chunkBits;

export class SparseColumn {
  readonly #chunks: (Int32Array | undefined)[] = [];

  get(index: number): number {
    const chunk = this.#chunks[index >> chunkBits];
    return chunk === undefined ? 0 : (chunk[index & (chunkSize - 1)] as number);
  }

  set(index: number, value: number): void {
    let chunk = this.#chunks[index >> chunkBits];
    if (chunk === undefined) {
      if (value === 0) return;
      chunk = new Int32Array(chunkSize);
      this.#chunks[index >> chunkBits] = chunk;
    }
    chunk[index & (chunkSize - 1)] = value;
  }

  /** First index at or behind `from` whose chunk exists; `undefined` behind the last. */
  nextWritten(from: number): number | undefined {
    for (let chunk = from >> chunkBits; chunk < this.#chunks.length; chunk++)
      if (this.#chunks[chunk] !== undefined) return Math.max(from, chunk << chunkBits);
    return undefined;
  }
}

/** A first-in first-out queue of numbers in one growing ring. */
export class NumberQueue {
  #ring = new Int32Array(1024);
  #head = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(value: number): void {
    const capacity = this.#ring.length;
    if (this.#size === capacity) {
      const grown = new Int32Array(2 * capacity);
      grown.set(this.#ring.subarray(this.#head));
      grown.set(this.#ring.subarray(0, this.#head), capacity - this.#head);
      this.#ring = grown;
      this.#head = 0;
    }
    this.#ring[(this.#head + this.#size) & (this.#ring.length - 1)] = value;
    this.#size++;
  }

  /** 0 when empty; ids are never 0. */
  shift(): number {
    if (this.#size === 0) return 0;
    const value = this.#ring[this.#head] as number;
    this.#head = (this.#head + 1) & (this.#ring.length - 1);
    this.#size--;
    return value;
  }
}
