/**
 * Neighbours on links whose peers are named by interface. In: the interfaces that are wanted, the kernel's links, Router
 * Advertisements; out: for each interface a neighbour or the reason why there is none, and our own advertisements. The
 * host's routing does not depend on it, nor it on the host's: its own socket hears advertisements whatever `accept_ra` says.
 */
import type { KernelInterface } from '#dataplane/kernel-view.ts';
import type { IpAddress } from '#lib/ip.ts';
import { isLinkLocal } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import type { Clock } from '#lib/time.ts';
import { after, seconds } from '#lib/time.ts';
import type { NeighbourState } from '../../engine.ts';
import { Advertiser } from '../advertiser.ts';
import { ROUTER_ADVERTISEMENT, advertisement, decodeDiscovery, solicitation } from '../messages.ts';
import { NeighbourSearch } from '../search.ts';
import type { Icmp6Datagram, Icmp6Port, OpenIcmp6 } from './icmp6-port.ts';
import { openIcmp6Port } from './icmp6-port.ts';

export interface LinkNeighbour {
  /** Of the interface. */
  readonly name: string;
  readonly state: NeighbourState;
  /** Present with an address. */
  readonly interfaceIndex: number | undefined;
  readonly address: IpAddress | undefined;
  readonly others: readonly IpAddress[];
  /** Why nothing can be heard or sent, one sentence. */
  readonly problem: string | undefined;
}

export interface NeighbourDiscovery {
  /** All interfaces that peers are named by, and the links as they are. The same values twice are no change. */
  want(names: ReadonlySet<string>, links: readonly KernelInterface[]): void;
  neighbour(name: string): LinkNeighbour;
  close(): void;
}

export interface DiscoveryModules {
  readonly clock: Clock;
  /** 0 (inclusive) to 1 (exclusive). */
  readonly random: () => number;
  /** The session with the neighbour on this interface is established. */
  readonly isEstablished: (name: string) => boolean;
  /** What `neighbour` answers changed; never within `want`. */
  readonly changed: () => void;
}

/** How soon a socket that could not be made is tried again. */
const retryTime = seconds(5);

export const createDiscovery = (modules: DiscoveryModules, open: OpenIcmp6 = openIcmp6Port): NeighbourDiscovery =>
  new Discovery(modules, open);

interface Link {
  readonly index: number;
  own: ReadonlySet<IpAddress>;
  state: NeighbourState;
  problem: string | undefined;
  readonly search: NeighbourSearch;
  readonly advertiser: Advertiser;
}

class Discovery implements NeighbourDiscovery {
  readonly #modules: DiscoveryModules;
  readonly #openPort: OpenIcmp6;
  /** `undefined`: there is no such interface. */
  readonly #links = new Map<string, Link | undefined>();
  #wanted: { readonly names: ReadonlySet<string>; readonly links: readonly KernelInterface[] } | undefined;
  #port: Icmp6Port | undefined;
  #problem: string | undefined;
  #cancelRetry: (() => void) | undefined;
  #wanting = false;

  constructor(modules: DiscoveryModules, openPort: OpenIcmp6) {
    this.#modules = modules;
    this.#openPort = openPort;
  }

  want(names: ReadonlySet<string>, links: readonly KernelInterface[]): void {
    this.#wanting = true;
    this.#wanted = { names, links };
    if (names.size === 0) this.close();
    else this.#serve(names, links);
    this.#wanting = false;
  }

  #serve(names: ReadonlySet<string>, links: readonly KernelInterface[]): void {
    this.#open();
    for (const [name, link] of this.#links) {
      if (names.has(name)) continue;
      if (link !== undefined) this.#abandon(link);
      this.#links.delete(name);
    }
    for (const name of names) {
      const found = links.find((link) => link.name === name);
      let link = this.#links.get(name);
      // Another interface of the same name has other neighbours.
      if (link !== undefined && link.index !== found?.index) {
        this.#abandon(link);
        link = undefined;
      }
      if (found !== undefined) link ??= this.#makeLink(name, found.index);
      this.#links.set(name, link);
      if (link === undefined || found === undefined) continue;
      link.own = new Set(found.addresses.map(({ address }) => address));
      this.#follow(link, stateOf(found));
    }
  }

  neighbour(name: string): LinkNeighbour {
    const link = this.#links.get(name);
    const problem = this.#problem ?? link?.problem;
    if (link === undefined)
      return { name, state: 'noInterface', interfaceIndex: undefined, address: undefined, others: [], problem };
    const { address, others } = link.search;
    const state = link.state === 'searching' && address !== undefined ? 'found' : link.state;
    return { name, state, interfaceIndex: link.index, address, others, problem };
  }

  #changed(): void {
    if (!this.#wanting) this.#modules.changed();
  }

  close(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    for (const link of this.#links.values()) if (link !== undefined) this.#abandon(link);
    this.#links.clear();
    this.#port?.close();
    this.#port = undefined;
    this.#problem = undefined;
  }

  #open(): void {
    if (this.#port !== undefined || this.#cancelRetry !== undefined) return;
    try {
      this.#port = this.#openPort((datagram) => this.#received(datagram));
      this.#problem = undefined;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      this.#problem = `router advertisements can neither be heard nor sent: ${error.message}`;
      const { clock } = this.#modules;
      this.#cancelRetry = clock.at(after(clock.now(), retryTime), () => this.#tryAgain());
    }
  }

  #tryAgain(): void {
    this.#cancelRetry = undefined;
    if (this.#wanted !== undefined) this.want(this.#wanted.names, this.#wanted.links);
    this.#changed();
  }

  #makeLink(name: string, index: number): Link {
    const { clock, random, isEstablished } = this.#modules;
    const link: Link = {
      index,
      own: new Set(),
      state: 'interfaceDown',
      problem: undefined,
      search: new NeighbourSearch({
        clock,
        solicit: () => void this.#send(link, solicitation, 'routers'),
        isEstablished: () => isEstablished(name),
        changed: () => this.#changed(),
      }),
      advertiser: new Advertiser({ clock, random, send: () => this.#send(link, advertisement, 'nodes') }),
    };
    return link;
  }

  /** The link as the kernel says it is; with a socket and an address it is advertised on and searched. */
  #follow(link: Link, state: NeighbourState): void {
    const port = this.#port;
    const wasUsed = link.state === 'searching';
    link.state = port === undefined && state === 'searching' ? 'noSocket' : state;
    const isUsed = link.state === 'searching';
    if (isUsed === wasUsed) return;
    if (port === undefined || !isUsed) return this.#rest(link);
    try {
      port.join(link.index);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      link.problem = error.message;
    }
    link.advertiser.start();
    link.search.start();
  }

  #rest(link: Link): void {
    link.advertiser.stop();
    link.search.stop();
  }

  #abandon(link: Link): void {
    this.#rest(link);
    this.#port?.leave(link.index);
  }

  #send(link: Link, bytes: Uint8Array, to: 'nodes' | 'routers'): boolean {
    const before = link.problem;
    try {
      this.#port?.send(bytes, to, link.index);
      link.problem = undefined;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      link.problem = error.message;
    }
    if (link.problem !== before) this.#changed();
    return link.problem === undefined;
  }

  #received({ bytes, source, interface: name }: Icmp6Datagram): void {
    const link = this.#links.get(name);
    if (link?.state !== 'searching' || link.own.has(source)) return;
    const type = decodeDiscovery(bytes, source);
    if (!type.ok) return;
    if (type.value === ROUTER_ADVERTISEMENT) link.search.heard(source);
    // FRR never solicits: whoever speaks and has no session with us may not know us.
    if (type.value !== ROUTER_ADVERTISEMENT || !this.#modules.isEstablished(name)) link.advertiser.solicited();
  }
}

function stateOf(link: KernelInterface): NeighbourState {
  if (link.pod) return 'podInterface';
  if (!link.up) return 'interfaceDown';
  return link.addresses.some(({ address }) => isLinkLocal(address)) ? 'searching' : 'noLinkLocal';
}
