/** Entries that wait to be written, first in first out, with positions that say when an update is done. */
export class EntryQueue {
  #ring = new Uint32Array(1024);
  #pushed = 0;
  #popped = 0;

  /** How many were ever pushed: the position after the last one. */
  get pushed(): number {
    return this.#pushed;
  }
  get popped(): number {
    return this.#popped;
  }
  get length(): number {
    return this.#pushed - this.#popped;
  }

  push(entry: number): void {
    if (this.length === this.#ring.length) this.#grow();
    this.#ring[this.#pushed % this.#ring.length] = entry;
    this.#pushed += 1;
  }

  /** The first entry; only when there is one. */
  pop(): number {
    const entry = this.#ring[this.#popped % this.#ring.length] as number;
    this.#popped += 1;
    return entry;
  }

  #grow(): void {
    const ring = new Uint32Array(2 * this.#ring.length);
    for (let at = this.#popped; at < this.#pushed; at++) {
      ring[at % ring.length] = this.#ring[at % this.#ring.length] as number;
    }
    this.#ring = ring;
  }
}
