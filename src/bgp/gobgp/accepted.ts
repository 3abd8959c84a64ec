/**
 * How many paths of each peer GoBGP's import policy lets through. GoBGP counts what policy refuses as accepted, so it is counted
 * here: if all that came is in its table nothing was refused, what one peer alone sent is what is there, and else what each peer
 * sent is listed, the more seldom the more it is.
 */
import type { Family } from '#lib/ip.ts';
import { families } from '#lib/ip.ts';
import type { Instant } from '#lib/time.ts';
import { after, type Duration, seconds } from '#lib/time.ts';
import { nameOf } from './desired.ts';
import { isUp, receivedFrom } from './facts.ts';
import type { GobgpClient } from './io/client.ts';
import { countAccepted, countPaths } from './io/observe.ts';
import type { PeerMessage } from './messages.ts';
import type { Shared } from './modules.ts';
import { addressOf } from './plan.ts';

/** It is counted this long after something changed, and if it changes for ever. */
const settleTime: Duration = seconds(1);
const longestTime: Duration = seconds(30);
/** So many paths are listed in a second at the most, in the long run. */
const pathsPerSecond = 1000;

export class AcceptedCounts {
  readonly #client: GobgpClient;
  readonly #shared: Shared;
  #seen = '';
  #next: { readonly at: Instant; readonly atLatest: Instant } | undefined;
  #notBefore: Instant | undefined;

  constructor(client: GobgpClient, shared: Shared) {
    this.#client = client;
    this.#shared = shared;
  }

  /** Something may have changed by which paths are judged. */
  askSoon(): void {
    const now = this.#shared.modules.clock.now();
    this.#next = { at: after(now, settleTime), atLatest: this.#next?.atLatest ?? after(now, longestTime) };
  }

  /** `all`: GoBGP's peers, others' too. `local`: how many paths begin in GoBGP. */
  async look(all: readonly PeerMessage[], local: Readonly<Record<Family, number>>): Promise<void> {
    const { clock } = this.#shared.modules;
    const up = all.filter(isUp);
    const seen = up
      .map((peer) => [addressOf(peer), ...families.map((family) => receivedFrom(peer, family))].join(' '))
      .join();
    if (seen !== this.#seen) this.askSoon();
    this.#seen = seen;
    const now = clock.now();
    const next = this.#next;
    if (next === undefined || (now < next.at && now < next.atLatest)) return;
    if (this.#notBefore !== undefined && now < this.#notBefore) return;
    this.#next = undefined;
    let listed = 0;
    for (const family of families) listed += await this.#count(up, family, local[family]);
    this.#notBefore = after(clock.now(), seconds(listed / pathsPerSecond));
  }

  /** Answers how many paths had to be listed for it. */
  async #count(up: readonly PeerMessage[], family: Family, local: number): Promise<number> {
    const { peers } = this.#shared;
    const senders = up.filter((peer) => receivedFrom(peer, family) > 0);
    const received = senders.reduce((sum, peer) => sum + receivedFrom(peer, family), 0);
    if (senders.length === 0) return 0;
    const there = (await countPaths(this.#client, family)) - local;
    let listed = 0;
    for (const peer of senders) {
      const name = nameOf(peer);
      if (name === undefined) continue;
      if (there === received) peers.setAccepted(name, family, receivedFrom(peer, family));
      else if (senders.length === 1) peers.setAccepted(name, family, Math.max(0, there));
      else {
        peers.setAccepted(name, family, await countAccepted(this.#client, addressOf(peer), family));
        listed += receivedFrom(peer, family);
      }
    }
    return listed;
  }
}
