/**
 * Our own start as a restarting speaker (RFC 4724 §4.1). In: which peers are expected, their End-of-RIB markers, time; out:
 * the moment from which stale kernel routes may go and learned routes may be announced. Pure: time comes in.
 *
 * DEVIATION: RFC 4724 §4.1 defers the decision process itself; here it runs at once, and only what others would learn
 * from us is deferred.
 *
 * waiting     peers are still to tell us their routes; what they tell is installed at once, but not announced on
 * installing  all are heard, or their time is up: the last FibUpdate said `complete`
 * done        the kernel has it
 */
import type { Duration, Instant } from '#lib/time.ts';
import { after, seconds } from '#lib/time.ts';

/** How long one peer may take to come up and send its table; one dead peer costs stale routes this long, nothing else. */
export const peerDeadline: Duration = seconds(30);
/** How long the kernel may take to confirm before we announce without: a route that cannot be installed stays unconfirmed. */
export const installDeadline: Duration = seconds(10);

export type StartPhase = 'waiting' | 'installing' | 'done';

export class StartWatch {
  #phase: StartPhase = 'waiting';
  #deadline: Instant | undefined;
  readonly #waitingFor = new Set<string>();
  #kernelSeen = false;
  #completeSequence: number | undefined;

  get phase(): StartPhase {
    return this.#phase;
  }

  /** When to call `due` next. */
  get deadline(): Instant | undefined {
    return this.#deadline;
  }

  /** The first intent names the peers that are waited for. */
  begin(peers: readonly string[], now: Instant): void {
    if (this.#deadline !== undefined) return;
    for (const peer of peers) this.#waitingFor.add(peer);
    this.#deadline = after(now, peerDeadline);
  }

  /** The peer's table is here, or the peer is gone. */
  heard(peer: string): void {
    this.#waitingFor.delete(peer);
  }

  kernelSeen(): void {
    this.#kernelSeen = true;
  }

  /** Whether `complete` may be said now, if all that was heard is decided. Without the kernel's view nothing resolves. */
  ready(now: Instant): boolean {
    if (this.#phase !== 'waiting' || this.#deadline === undefined || !this.#kernelSeen) return false;
    return this.#waitingFor.size === 0 || now >= this.#deadline;
  }

  completed(sequence: number, now: Instant): void {
    this.#phase = 'installing';
    this.#completeSequence = sequence;
    this.#deadline = after(now, installDeadline);
  }

  /** True once: when the kernel confirms the complete update or is out of time. */
  confirmed(sequence: number | undefined, now: Instant): boolean {
    if (this.#phase !== 'installing' || this.#deadline === undefined) return false;
    if (sequence !== this.#completeSequence && now < this.#deadline) return false;
    this.#phase = 'done';
    return true;
  }
}
