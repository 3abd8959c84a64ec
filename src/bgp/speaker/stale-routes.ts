/**
 * Routes of one adjacency that wait to be said again: its session was lost and graceful restart keeps them (RFC 4724 §4.2,
 * RFC 8538 §4.1), or the peer refreshes all it has (RFC 7313 §4). In: the session's end and return, End-of-RIB, time; out:
 * which family is to be swept, and when waiting for the peer is over.
 */
import type { Family } from '#lib/ip.ts';
import { families } from '#lib/ip.ts';
import type { Clock, Duration, Instant } from '#lib/time.ts';
import { after, earliest, seconds } from '#lib/time.ts';
import type { Adjacency } from '../rib/adjacency.ts';

/** How long a peer that is back may take to its End-of-RIB; RFC 4724 §4.2 asks for an upper bound, FRR's is the same. */
export const defaultStaleTime = seconds(360);

/** Lives of an adjacency are compared modulo 256; no stale path may be that old. */
const mostLives = 100;

export interface StaleHandlers {
  /** Paths of the family that are older than its present life go. */
  sweep(family: Family): void;
  /** The peer did not come back, or did not finish, in time; what was still stale is to be let go of. */
  overdue(families: readonly Family[]): void;
}

export class StaleRoutes {
  readonly #adjacency: Adjacency;
  readonly #clock: Clock;
  readonly #handlers: StaleHandlers;
  /** How many lives a family has begun since it became stale. */
  readonly #stale = new Map<Family, number>();
  /** However often the peer comes and goes, nothing is stale for longer (RFC 8538 §4.1). */
  #bound: Instant | undefined;
  #cancelTimer: (() => void) | undefined;

  constructor(adjacency: Adjacency, clock: Clock, handlers: StaleHandlers) {
    this.#adjacency = adjacency;
    this.#clock = clock;
    this.#handlers = handlers;
  }

  /**
   * The session is gone. `kept` families stay until `restartTime` is over, and `staleTime` longer if the peer is back by then. What is
   * stale since an earlier loss goes now (RFC 4724 §4.2), unless `consecutive` restarts may keep it (RFC 8538 §4.1).
   */
  lost(
    kept: readonly Family[],
    times: { readonly restartTime: Duration; readonly staleTime: Duration; readonly consecutive: boolean },
  ): void {
    const now = this.#clock.now();
    for (const [family, lives] of [...this.#stale]) if (!times.consecutive || lives >= mostLives) this.flush(family);
    for (const family of families) {
      this.#begin(family);
      if (!kept.includes(family)) this.flush(family);
    }
    this.#bound ??= after(after(now, times.restartTime), times.staleTime);
    this.#arm(after(now, times.restartTime));
  }

  /** The peer is back. Families that it does not say to have forwarded meanwhile are flushed at once (RFC 4724 §4.2). */
  returned(forwarded: (family: Family) => boolean, staleTime: Duration): void {
    for (const family of [...this.#stale.keys()]) if (!forwarded(family)) this.flush(family);
    if (this.#stale.size > 0) this.#arm(after(this.#clock.now(), staleTime));
  }

  /** A refresh begins: what is not said again until its end goes. A second beginning is the first one's (RFC 7313 §4). */
  refreshed(family: Family, staleTime: Duration): void {
    if (!this.#stale.has(family)) this.#begin(family);
    this.#arm(after(this.#clock.now(), staleTime));
  }

  /** Removes what was not said again since the family became stale; nothing to do for one that is not. */
  flush(family: Family): void {
    if (!this.#stale.delete(family)) return;
    if (this.#stale.size === 0) this.#rest();
    this.#handlers.sweep(family);
  }

  /** The adjacency is dropped with all it has. */
  close(): void {
    this.#stale.clear();
    this.#rest();
  }

  #rest(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#bound = undefined;
  }

  #begin(family: Family): void {
    this.#adjacency.life[family] = (this.#adjacency.life[family] + 1) & 255;
    this.#stale.set(family, (this.#stale.get(family) ?? 0) + 1);
  }

  #arm(deadline: Instant): void {
    this.#cancelTimer?.();
    this.#cancelTimer = this.#clock.at(earliest(deadline, this.#bound) ?? deadline, () => {
      this.#cancelTimer = undefined;
      this.#handlers.overdue([...this.#stale.keys()]);
    });
  }
}
