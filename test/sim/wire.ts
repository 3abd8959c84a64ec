/**
 * Links and TCP as far as BGP sees them: octets in order or not at all, a link that is cut says nothing to anybody, a loss is a
 * delay (TCP sends again), a process that dies closes, a machine that loses power does not.
 */
import type { IpAddress } from '#lib/ip.ts';
import { instant } from '#lib/time.ts';
import type { Random } from '../support/random.ts';
import type { VirtualClock } from './clock.ts';

export class Link {
  cut = false;
  /** Milliseconds one way; each message takes up to as long again. */
  delay = 1;
  /** Share of messages that are sent again, 200 ms later. */
  loss = 0;
  /** What waits for the link to be whole again. */
  waiting: (() => void)[] = [];

  mend(): void {
    this.cut = false;
    for (const go of this.waiting.splice(0)) go();
  }
}

/** What a session does with its end of a connection. */
export interface EndHandlers {
  connected(): void;
  octets(bytes: Uint8Array): void;
  /** The other end closed or was never there. */
  gone(refused: boolean): void;
}

/** One end of a connection. */
export class End {
  readonly link: Link;
  handlers: EndHandlers | undefined;
  other: End | undefined;
  /** False once either side has let go of it. */
  open = true;
  readonly #clock: VirtualClock;
  readonly #random: Random;
  /** TCP keeps the order. */
  #lastArrival = 0;

  constructor(link: Link, clock: VirtualClock, random: Random) {
    this.link = link;
    this.#clock = clock;
    this.#random = random;
  }

  send(bytes: Uint8Array): void {
    const copy = bytes.slice();
    this.travel(() => {
      const { other } = this;
      if (other?.open === true) other.handlers?.octets(copy);
      // Nobody there any more: the kernel answers with RST.
      else this.travel(() => this.lost());
    });
  }

  /** Lets go of the connection; the other end is told when that arrives. */
  close(): void {
    if (!this.open) return;
    this.open = false;
    this.handlers = undefined;
    this.travel(() => this.other?.lost());
  }

  /** The machine is off: nothing is said. */
  vanish(): void {
    this.open = false;
    this.handlers = undefined;
  }

  lost(refused = false): void {
    if (!this.open) return;
    this.open = false;
    const { handlers } = this;
    this.handlers = undefined;
    handlers?.gone(refused);
  }

  /** `arrive` happens at the other end, or here after what was sent has got an answer. */
  travel(arrive: () => void): void {
    if (this.link.cut) {
      this.link.waiting.push(() => this.travel(arrive));
      return;
    }
    const again = this.#random.unit() < this.link.loss ? 200 : 0;
    const at = Math.max(this.#clock.now() + this.link.delay * (1 + this.#random.unit()) + again, this.#lastArrival);
    this.#lastArrival = at;
    this.#clock.at(instant(at), () => {
      if (this.link.cut) this.link.waiting.push(arrive);
      else arrive();
    });
  }
}

/** Who can be connected to, by `local|remote` address. */
export class Addresses {
  readonly #accepting = new Map<string, (end: End) => void>();
  readonly links = new Map<string, Link>();
  readonly #clock: VirtualClock;
  readonly #random: Random;

  constructor(clock: VirtualClock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  accept(local: IpAddress, remote: IpAddress, take: (end: End) => void): () => void {
    const key = `${local}|${remote}`;
    this.#accepting.set(key, take);
    return () => {
      if (this.#accepting.get(key) === take) this.#accepting.delete(key);
    };
  }

  connect(local: IpAddress, remote: IpAddress, handlers: EndHandlers): End {
    const link = this.links.get(`${local}|${remote}`);
    if (link === undefined) throw new Error(`no link between ${local} and ${remote}`);
    const near = new End(link, this.#clock, this.#random);
    near.handlers = handlers;
    near.travel(() => {
      if (!near.open) return;
      const take = this.#accepting.get(`${remote}|${local}`);
      if (take === undefined) return near.travel(() => near.lost(true));
      const far = new End(link, this.#clock, this.#random);
      near.other = far;
      far.other = near;
      far.travel(() => near.handlers?.connected());
      return take(far);
    });
    return near;
  }
}
