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
import type { Family } from '#lib/ip.ts';
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
  /** By peer the families whose End-of-RIB is still to come. */
  readonly #waitingFor = new Map<string, Set<Family>>();
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
  begin(peers: readonly { readonly name: string; readonly families: readonly Family[] }[], now: Instant): void {
    if (this.#deadline !== undefined) return;
    for (const { name, families } of peers) this.#waitingFor.set(name, new Set(families));
    this.#deadline = after(now, peerDeadline);
  }

  /** Somebody came whom `waiting`, a range of addresses, stands for: it is waited for like those with a name. */
  joins(waiting: string, peer: string, expected: readonly Family[]): void {
    if (this.#waitingFor.has(waiting)) this.#waitingFor.set(peer, new Set(expected));
  }

  get begun(): boolean {
    return this.#deadline !== undefined && this.#kernelSeen;
  }

  /** The peer's table of the family is here; without a family, all is here or the peer is gone. */
  heard(peer: string, family?: Family): void {
    const awaited = this.#waitingFor.get(peer);
    if (family !== undefined) awaited?.delete(family);
    if (family === undefined || awaited?.size === 0) this.#waitingFor.delete(peer);
  }

  /** What the peer said in an earlier life may still come again. */
  awaits(peer: string, family: Family): boolean {
    return this.#waitingFor.get(peer)?.has(family) === true;
  }

  /** Nobody is waited for beyond the deadline; true when somebody was. */
  expire(now: Instant): boolean {
    if (this.#phase !== 'waiting' || this.#deadline === undefined || now < this.#deadline) return false;
    const late = this.#waitingFor.size > 0;
    this.#waitingFor.clear();
    return late;
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
