/**
 * Routes of one adjacency that wait to be said again: its session was lost and graceful restart keeps them (RFC 4724 §4.2,
 * RFC 8538 §4.1), longer still as the least preferred ones (RFC 9494 §4.2), or the peer refreshes all it has (RFC 7313 §4). In:
 * the session's end and return, End-of-RIB, time; out: which family is to be swept or marked, and when waiting is over.
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
  /** Paths of the family that are older than its present life go; with `longLived` only those that were marked so. */
  sweep(family: Family, longLived: boolean): void;
  /** Paths that are older than the present life become the least preferred ones, or go if they do not want that. */
  outlive(family: Family, time: Duration): void;
  /** What was still stale of these families has gone, because the peer did not come back or did not finish in time. */
  overdue(families: readonly Family[]): void;
  /** The peer is away and nothing of it is kept any more. */
  over(): void;
}

/** What may be kept of a lost session, and how long. */
export interface Kept {
  readonly families: readonly Family[];
  readonly restartTime: Duration;
  /** Beyond the restart time; RFC 9494. */
  readonly longLived: ReadonlyMap<Family, Duration>;
  readonly staleTime: Duration;
  /** What was stale before may stay over another restart (RFC 8538 §4.1); otherwise RFC 4724 §4.2 ends it. */
  readonly consecutive: boolean;
}

interface StaleFamily {
  /** How many lives it has begun since it became stale. */
  lives: number;
  /** The long-lived stale time runs until then. */
  longLivedUntil: Instant | undefined;
}

export class StaleRoutes {
  readonly #adjacency: Adjacency;
  readonly #clock: Clock;
  readonly #handlers: StaleHandlers;
  readonly #stale = new Map<Family, StaleFamily>();
  /** Of the session that was lost last. */
  #longLived: ReadonlyMap<Family, Duration> = new Map();
  #isAway = false;
  /** Restart time while the peer is away, stale time when it is back. */
  #until: Instant | undefined;
  /** However often the peer comes and goes, nothing is stale for longer, if not long-lived (RFC 8538 §4.1). */
  #bound: Instant | undefined;
  #cancelTimer: (() => void) | undefined;

  constructor(adjacency: Adjacency, clock: Clock, handlers: StaleHandlers) {
    this.#adjacency = adjacency;
    this.#clock = clock;
    this.#handlers = handlers;
  }

  /** The session is gone. */
  lost(kept: Kept): void {
    const now = this.#clock.now();
    this.#isAway = true;
    this.#longLived = kept.longLived;
    for (const [family, { lives, longLivedUntil }] of [...this.#stale]) {
      // RFC 9494 §4.2: consecutive restarts do not end the long-lived stale time.
      const stays = kept.consecutive || longLivedUntil !== undefined;
      if (!stays || lives >= mostLives) this.flush(family);
    }
    this.#bound ??= after(after(now, kept.restartTime), kept.staleTime);
    this.#until = earliest(after(now, kept.restartTime), this.#bound);
    for (const family of families) {
      this.#begin(family);
      if (kept.families.includes(family)) continue;
      // RFC 9494 §4.2: the long-lived time follows a restart time that this family does not have.
      if (this.#outlives(family)) this.#outlive(family, now);
      else this.flush(family);
    }
    this.#arm();
  }

  /** The peer is back. Families that it does not say to have forwarded meanwhile are flushed at once (RFC 4724 §4.2, RFC 9494 §4.2). */
  returned(forwarded: (family: Family, longLived: boolean) => boolean, staleTime: Duration): void {
    this.#isAway = false;
    for (const [family, { longLivedUntil }] of [...this.#stale])
      if (!forwarded(family, longLivedUntil !== undefined)) this.flush(family);
    this.#until = earliest(after(this.#clock.now(), staleTime), this.#bound);
    this.#arm();
  }

  /** A refresh begins: what is not said again until its end goes. A second beginning is the first one's (RFC 7313 §4). */
  refreshed(family: Family, staleTime: Duration): void {
    if (!this.#stale.has(family)) this.#begin(family);
    this.#until = after(this.#clock.now(), staleTime);
    this.#arm();
  }

  /** Removes what was not said again since the family became stale; nothing to do for one that is not. */
  flush(family: Family): void {
    if (!this.#stale.delete(family)) return;
    if (this.#stale.size === 0) this.#rest();
    this.#handlers.sweep(family, false);
  }

  /** The adjacency is dropped with all it has. */
  close(): void {
    this.#stale.clear();
    this.#rest();
  }

  #rest(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#until = undefined;
    this.#bound = undefined;
  }

  #begin(family: Family): void {
    this.#adjacency.life[family] = (this.#adjacency.life[family] + 1) & 255;
    const stale = this.#stale.get(family);
    if (stale === undefined) this.#stale.set(family, { lives: 1, longLivedUntil: undefined });
    else stale.lives++;
  }

  #outlives(family: Family): boolean {
    return (this.#longLived.get(family) ?? 0) > 0;
  }

  #outlive(family: Family, now: Instant): void {
    const stale = this.#stale.get(family);
    const time = this.#longLived.get(family);
    if (stale === undefined || time === undefined) return;
    // RFC 9494 §4.2: a time that runs is not changed until the peer has said all again.
    stale.longLivedUntil ??= after(now, time);
    this.#handlers.outlive(family, time);
  }

  #arm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    const deadline = earliest(this.#until, ...[...this.#stale.values()].map((it) => it.longLivedUntil));
    if (deadline === undefined || this.#stale.size === 0) return;
    this.#cancelTimer = this.#clock.at(deadline, () => {
      this.#cancelTimer = undefined;
      this.#expire(this.#clock.now());
      if (this.#stale.size > 0) this.#arm();
      else if (this.#isAway) this.#handlers.over();
    });
  }

  #expire(now: Instant): void {
    const late: Family[] = [];
    for (const [family, stale] of [...this.#stale]) {
      if (stale.longLivedUntil === undefined || now < stale.longLivedUntil) continue;
      late.push(family);
      stale.longLivedUntil = undefined;
      // What became stale later has its own restart time.
      if (this.#until === undefined) this.flush(family);
      else this.#handlers.sweep(family, true);
    }
    if (this.#until !== undefined && now >= this.#until) {
      this.#until = undefined;
      for (const [family, { longLivedUntil }] of [...this.#stale]) {
        if (this.#isAway && this.#outlives(family)) this.#outlive(family, now);
        else if (longLivedUntil === undefined) {
          late.push(family);
          this.flush(family);
        }
      }
    }
    if (late.length > 0) this.#handlers.overdue(late);
  }
}
