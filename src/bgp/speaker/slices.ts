/**
 * Long work in short slices: between two slices the event loop reads sockets and fires timers, so keepalives do not wait
 * for a table. In: a step that does a little and says whether more is left; out: turns of the event loop.
 */
import type { Clock } from '#lib/time.ts';

/** A keepalive is late by this much at most; shorter slices cost throughput (each ends with a turn of the loop). */
const sliceMilliseconds = 5;

export class Slices {
  readonly #clock: Clock;
  readonly #defer: (work: () => void) => void;
  readonly #step: () => boolean;
  #scheduled = false;
  #stopped = false;

  constructor(clock: Clock, defer: (work: () => void) => void, step: () => boolean) {
    this.#clock = clock;
    this.#defer = defer;
    this.#step = step;
  }

  /** There is work; many calls before the next slice are one. */
  wake(): void {
    if (this.#scheduled || this.#stopped) return;
    this.#scheduled = true;
    this.#defer(() => this.#run());
  }

  stop(): void {
    this.#stopped = true;
  }

  #run(): void {
    this.#scheduled = false;
    if (this.#stopped) return;
    const end = this.#clock.now() + sliceMilliseconds;
    let more = this.#step();
    while (more && this.#clock.now() < end) more = this.#step();
    if (more) this.wake();
  }
}
