/**
 * The receiving sockets that the sessions need, one per family and port, with the filter that fits their neighbours. A
 * port that another program has is a problem of its sessions, and is tried again.
 */
import { type Family, families, familyOf } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import { type Clock, after, milliseconds } from '#lib/time.ts';
import type { DesiredBfdSession } from '../control-messages.ts';
import { multiHopFilter, singleHopFilter } from './ttl-filter.ts';
import { type BfdUdp, type Datagram, MULTI_HOP_PORT, type Receiver, SINGLE_HOP_PORT } from './udp.ts';

export type Hops = DesiredBfdSession['hops'];
const hopKinds: readonly Hops[] = ['single', 'multi'];
export const portOf = (hops: Hops): number => (hops === 'single' ? SINGLE_HOP_PORT : MULTI_HOP_PORT);

const RETRY = milliseconds(1000);

export interface ReceiverModules {
  readonly clock: Clock;
  readonly udp: BfdUdp;
  readonly received: (datagram: Datagram, hops: Hops) => void;
  readonly problemChanged: (family: Family, hops: Hops) => void;
}

interface Place {
  receiver: Receiver | undefined;
  problem: string | undefined;
  filter: string;
}

export class Receivers {
  readonly #modules: ReceiverModules;
  readonly #places = new Map<`${Family} ${Hops}`, Place>();
  #sessions: readonly DesiredBfdSession[] = [];
  #retry: (() => void) | undefined;

  constructor(modules: ReceiverModules) {
    this.#modules = modules;
  }

  /** Why these sessions hear nothing, one sentence. */
  problem(family: Family, hops: Hops): string | undefined {
    return this.#places.get(`${family} ${hops}`)?.problem;
  }

  /** Opens what these sessions need, closes what none of them does. */
  want(sessions: readonly DesiredBfdSession[]): void {
    this.#sessions = sessions;
    for (const family of families) for (const hops of hopKinds) this.#serve(family, hops);
  }

  close(): void {
    this.#retry?.();
    this.want([]);
  }

  #serve(family: Family, hops: Hops): void {
    const users = this.#sessions.filter((user) => user.hops === hops && familyOf(user.remote) === family);
    const key = `${family} ${hops}` as const;
    const place = this.#places.get(key) ?? { receiver: undefined, problem: undefined, filter: '' };
    if (users.length === 0) {
      place.receiver?.close();
      this.#places.delete(key);
      return;
    }
    this.#places.set(key, place);
    const rules = users.map(({ remote, minimumTtl }) => ({ source: remote, minimumTtl }));
    const program = hops === 'single' ? singleHopFilter(family) : multiHopFilter(family, rules);
    const filter = JSON.stringify(program);
    const before = place.problem;
    try {
      if (place.receiver === undefined) place.receiver = this.#open(family, hops, program);
      else if (place.filter !== filter) place.receiver.setFilter(program);
      place.filter = filter;
      place.problem = undefined;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      place.problem = `UDP port ${portOf(hops)}: ${error.message}`;
      this.#tryAgain();
    }
    if (place.problem !== before) this.#modules.problemChanged(family, hops);
  }

  #open(family: Family, hops: Hops, program: Parameters<Receiver['setFilter']>[0]): Receiver {
    const { udp, received } = this.#modules;
    return udp.receive(family, portOf(hops), program, (datagram) => received(datagram, hops));
  }

  #tryAgain(): void {
    const { clock } = this.#modules;
    this.#retry ??= clock.at(after(clock.now(), RETRY), () => {
      this.#retry = undefined;
      this.want(this.#sessions);
    });
  }
}
