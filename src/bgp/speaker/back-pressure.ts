/**
 * When this engine is behind, it stops reading, and TCP holds the peers back. In: how much waits; out: pause and resume for all
 * sessions. The kernel's side is bounded by the engine itself: it decides nothing while too many rows are unconfirmed.
 */
import type { Session } from '../io/session-runner.ts';

/** Prefixes that wait for their decision: above the first number sessions are not read, below the second they are again. */
const pauseReadingAbove = 16_384;
const resumeReadingBelow = 4096;

export class BackPressure {
  readonly #undecided: () => number;
  readonly #sessions: () => Iterable<Session>;
  #reading = true;
  #resuming = false;

  constructor(undecided: () => number, sessions: () => Iterable<Session>) {
    this.#undecided = undecided;
    this.#sessions = sessions;
  }

  /** False: established sessions are paused. */
  get isReading(): boolean {
    return this.#reading;
  }

  /** Something was learned or decided. */
  review(): void {
    if (this.#resuming) return;
    if (this.#reading && this.#undecided() > pauseReadingAbove) {
      this.#reading = false;
      for (const session of this.#sessions()) session.pause();
    } else if (!this.#reading && this.#undecided() < resumeReadingBelow) {
      this.#reading = true;
      // What a session has read already is heard in here; each gets its turn before any is paused again.
      this.#resuming = true;
      for (const session of this.#sessions()) session.resume();
      this.#resuming = false;
      this.review();
    }
  }
}
