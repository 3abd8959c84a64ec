/** Virtual time: a heap of what is due, in the order of time and then of asking. Nothing runs but what `runUntil` runs. */
import { type Clock, type Instant, instant } from '#lib/time.ts';

interface Due {
  readonly at: number;
  readonly order: number;
  work: (() => void) | undefined;
}

const isBefore = (a: Due, b: Due): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

export class VirtualClock implements Clock {
  #now = 0;
  #order = 0;
  readonly #heap: Due[] = [];

  now(): Instant {
    return instant(this.#now);
  }

  at(at: Instant, callback: () => void): () => void {
    const due: Due = { at: Math.max(at, this.#now), order: this.#order++, work: callback };
    this.#heap.push(due);
    this.#up(this.#heap.length - 1);
    return () => {
      due.work = undefined;
    };
  }

  after(milliseconds: number, callback: () => void): () => void {
    return this.at(instant(this.#now + milliseconds), callback);
  }

  /** Runs all that is due by then, and `settle` after each. Throws when it does not come to an end: something asks for more at one moment without end. */
  async runUntil(until: number, settle?: () => Promise<void>): Promise<void> {
    let atOneMoment = 0;
    let last = -1;
    for (let due = this.#heap[0]; due !== undefined && due.at <= until; due = this.#heap[0]) {
      this.#pop();
      if (due.work === undefined) continue;
      atOneMoment = due.at === last ? atOneMoment + 1 : 0;
      if (atOneMoment > 5_000_000) throw new Error(`time stands still at ${due.at}`);
      last = due.at;
      this.#now = due.at;
      due.work();
      // Promises of sessions that end.
      if (settle !== undefined) await settle();
      else if ((due.order & 63) === 0) await Promise.resolve();
    }
    this.#now = until;
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  }

  #pop(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    for (let at = 0; ; ) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) if (this.#less(child, least)) least = child;
      if (least === at) return;
      this.#swap(at, least);
      at = least;
    }
  }

  #up(start: number): void {
    for (let at = start; at > 0; ) {
      const parent = (at - 1) >> 1;
      if (!this.#less(at, parent)) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  #less(a: number, b: number): boolean {
    const [one, two] = [this.#heap[a], this.#heap[b]];
    return one !== undefined && two !== undefined && isBefore(one, two);
  }

  #swap(a: number, b: number): void {
    const [one, two] = [this.#heap[a], this.#heap[b]];
    if (one === undefined || two === undefined) return;
    this.#heap[a] = two;
    this.#heap[b] = one;
  }
}
