/**
 * Who the neighbour on one link is. In: the sources of Router Advertisements, time; out: one address that stays what it is,
 * and the others that were heard beside it.
 *
 * The first to be heard within a moment is the neighbour, the lowest address if there are several. It stays the neighbour as
 * long as its session stands, or as nobody else is heard. When somebody else is heard, all are asked again and again: who does
 * not answer is gone, and only then another one is taken.
 */
import type { IpAddress } from '#lib/ip.ts';
import { addressToBigInt } from '#lib/ip.ts';
import type { Clock, Duration, Instant } from '#lib/time.ts';
import { after, milliseconds, seconds } from '#lib/time.ts';

/** A router answers within 0.5 s (MAX_RA_DELAY_TIME, RFC 4861 §10): the choice does not depend on who was a little faster. */
const gatherTime = milliseconds(600);
/** RTR_SOLICITATION_INTERVAL and MAX_RTR_SOLICITATIONS (RFC 4861 §10). */
const solicitationInterval = seconds(4);
const mostSolicitations = 3;
/**
 * How soon somebody who does not answer counts as gone; a router answers within 3.5 s (RFC 4861 §6.2.6). Longer while the
 * session stands, when nothing depends on it but what people are told.
 */
const answerTime = seconds(5);
const relaxedAnswerTime = seconds(30);
/** More than these are not remembered: two are too many already. */
const mostHeard = 8;

export interface SearchModules {
  readonly clock: Clock;
  /** Asks all on the link. */
  readonly solicit: () => void;
  /** The session with the neighbour is established. */
  readonly isEstablished: () => boolean;
  /** `address` or `others` changed. */
  readonly changed: () => void;
}

export class NeighbourSearch {
  readonly #modules: SearchModules;
  readonly #heard = new Map<IpAddress, Instant>();
  #address: IpAddress | undefined;
  #asked = 0;
  #cancelAsking: (() => void) | undefined;
  #cancelReview: (() => void) | undefined;

  constructor(modules: SearchModules) {
    this.#modules = modules;
  }

  get address(): IpAddress | undefined {
    return this.#address;
  }

  /** Heard beside the neighbour, in order. */
  get others(): readonly IpAddress[] {
    return [...this.#heard.keys()].filter((address) => address !== this.#address).sort(byValue);
  }

  /** The link can be used. */
  start(): void {
    this.#asked = 0;
    this.#ask();
    if (this.#heard.size > 1) this.#contest(this.#modules.clock.now());
  }

  /** It cannot; what is known stays known. */
  stop(): void {
    this.#cancelAsking?.();
    this.#cancelReview?.();
    this.#cancelReview = undefined;
  }

  heard(source: IpAddress): void {
    const isNew = !this.#heard.has(source);
    if (isNew && this.#heard.size >= mostHeard) return;
    const now = this.#modules.clock.now();
    this.#heard.set(source, now);
    if (this.#address === undefined) {
      if (this.#cancelReview === undefined) this.#review(now, gatherTime);
    } else if (isNew && source !== this.#address) {
      this.#modules.changed();
      this.#contest(now);
    }
  }

  #ask(): void {
    const { clock, solicit } = this.#modules;
    this.#asked++;
    solicit();
    this.#cancelAsking?.();
    if (this.#asked === mostSolicitations) return;
    this.#cancelAsking = clock.at(after(clock.now(), solicitationInterval), () => {
      if (this.#address === undefined) this.#ask();
    });
  }

  #contest(from: Instant): void {
    if (this.#cancelReview !== undefined) return;
    this.#modules.solicit();
    this.#review(from, this.#modules.isEstablished() ? relaxedAnswerTime : answerTime);
  }

  /** A `span` after `from` whoever was not heard in it is gone. */
  #review(from: Instant, span: Duration): void {
    const { clock, isEstablished, changed } = this.#modules;
    this.#cancelReview = clock.at(after(from, span), () => {
      this.#cancelReview = undefined;
      const text = (): string => [this.#address, ...this.others].join();
      const before = text();
      const kept = isEstablished() ? this.#address : undefined;
      for (const [address, at] of this.#heard) if (at < from && address !== kept) this.#heard.delete(address);
      const isThere = this.#address !== undefined && this.#heard.has(this.#address);
      if (!isThere && this.#heard.size > 0) this.#address = [...this.#heard.keys()].sort(byValue)[0];
      if (this.#heard.size > 1) this.#contest(clock.now());
      if (text() !== before) changed();
    });
  }
}

const byValue = (a: IpAddress, b: IpAddress): number => (addressToBigInt(a) < addressToBigInt(b) ? -1 : 1);
