/**
 * When this node's Router Advertisements leave on one link (RFC 4861 §6.2.4, RFC 4861 §6.2.6). In: start, solicitations,
 * stop; out: `send`. They say only that we are there, so ending them needs no last word (RFC 4861 §6.2.5 asks for a router
 * lifetime of 0, which ours have always).
 */
import type { Clock, Instant } from '#lib/time.ts';
import { after, milliseconds, seconds } from '#lib/time.ts';

/**
 * MaxRtrAdvInterval and MinRtrAdvInterval (RFC 4861 §6.2.1). What they cost is how long a neighbour may wait that lost one;
 * all is well within the 16 s that the first three may be apart.
 */
const longestInterval = seconds(10);
const shortestInterval = milliseconds(3300);
/** MIN_DELAY_BETWEEN_RAS and MAX_RA_DELAY_TIME (RFC 4861 §10). */
const leastDistance = seconds(3);
const longestDelay = milliseconds(500);

/** A link that has just come up may not have its multicast route yet. */
const retryTime = seconds(1);

export interface AdvertiserModules {
  readonly clock: Clock;
  /** 0 (inclusive) to 1 (exclusive). */
  readonly random: () => number;
  /** False: the link does not take it. */
  readonly send: () => boolean;
}

export class Advertiser {
  readonly #modules: AdvertiserModules;
  #sentAt: Instant | undefined;
  #next: { readonly at: Instant; readonly cancel: () => void } | undefined;

  constructor(modules: AdvertiserModules) {
    this.#modules = modules;
  }

  /** The first at once, if none left just before. */
  start(): void {
    this.#arm(this.#earliest());
  }

  stop(): void {
    this.#next?.cancel();
    this.#next = undefined;
  }

  /** Somebody asks, or speaks that does not know us yet. */
  solicited(): void {
    const { random } = this.#modules;
    const at = after(this.#earliest(), milliseconds(longestDelay * random()));
    if (this.#next !== undefined && at < this.#next.at) this.#arm(at);
  }

  #earliest(): Instant {
    const now = this.#modules.clock.now();
    const allowed = this.#sentAt === undefined ? now : after(this.#sentAt, leastDistance);
    return allowed > now ? allowed : now;
  }

  #arm(at: Instant): void {
    const { clock, random, send } = this.#modules;
    this.#next?.cancel();
    const cancel = clock.at(at, () => {
      const now = clock.now();
      const isSent = send();
      if (isSent) this.#sentAt = now;
      const span = longestInterval - shortestInterval;
      this.#arm(after(now, isSent ? milliseconds(shortestInterval + span * random()) : retryTime));
    });
    this.#next = { at, cancel };
  }
}
