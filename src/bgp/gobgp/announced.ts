/** Which of this node's prefixes GoBGP has announced to whom: asked soon after a change, and ever more seldom while some are missing. */
import type { Instant } from '#lib/time.ts';
import { after, between, type Duration, milliseconds, seconds } from '#lib/time.ts';
import { isUp } from './facts.ts';
import type { GobgpClient } from './io/client.ts';
import { announcedTo } from './io/observe.ts';
import type { Shared } from './modules.ts';
import { addressOf } from './plan.ts';

const firstWait: Duration = milliseconds(250);
const longestWait: Duration = seconds(64);

export class AnnouncedPrefixes {
  readonly #client: GobgpClient;
  readonly #shared: Shared;
  #next: { readonly at: Instant; readonly wait: Duration } | undefined;

  constructor(client: GobgpClient, shared: Shared) {
    this.#client = client;
    this.#shared = shared;
  }

  /** Something changed that peers are told. */
  askSoon(): void {
    this.#next = { at: this.#shared.modules.clock.now(), wait: firstWait };
  }

  /** How long until it is time to ask, if that is less. */
  dueWithin(most: Duration): Duration {
    if (this.#next === undefined) return most;
    return Math.max(0, Math.min(most, between(this.#shared.modules.clock.now(), this.#next.at))) as Duration;
  }

  /** Asks if it is time to. */
  async read(): Promise<void> {
    const { modules, intent, peers } = this.#shared;
    const { clock } = modules;
    const next = this.#next;
    if (next === undefined || clock.now() < next.at) return;
    const wanted = intent().announcements.map(({ prefix }) => prefix);
    let missing = false;
    for (const [name, peer] of peers.all) {
      if (!isUp(peer)) continue;
      const found = await announcedTo(this.#client, addressOf(peer), wanted);
      peers.setAnnounced(name, found);
      missing ||= found.length < wanted.length;
    }
    const wait = Math.min(next.wait * 2, longestWait) as Duration;
    this.#next = missing ? { at: after(clock.now(), next.wait), wait } : undefined;
  }
}
