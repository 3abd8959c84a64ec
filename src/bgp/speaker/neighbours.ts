/**
 * Peers that are named by interface, and their neighbours. In: the intent's peers, the kernel's links, what discovery finds;
 * out: `moved` for a peer whose neighbour is another one now, or is known no more.
 */
import type { KernelView } from '#dataplane/kernel-view.ts';
import type { LinkNeighbour, NeighbourDiscovery } from '../discovery/io/discovery.ts';
import type { EngineModules } from './modules.ts';
import type { Peer } from './peer.ts';

export interface NeighboursCallbacks {
  readonly peers: () => Iterable<Peer>;
  readonly view: () => KernelView;
  /** The peer is to be connected to this neighbour from now on. */
  readonly moved: (peer: Peer, neighbour: LinkNeighbour) => void;
  readonly changed: () => void;
}

export class Neighbours {
  readonly #modules: EngineModules;
  readonly #callbacks: NeighboursCallbacks;
  #discovery: NeighbourDiscovery | undefined;

  constructor(modules: EngineModules, callbacks: NeighboursCallbacks) {
    this.#modules = modules;
    this.#callbacks = callbacks;
  }

  /** The peers or the links changed. */
  review(): void {
    const names = new Set<string>();
    for (const { intent } of this.#callbacks.peers())
      if (intent.interface !== undefined && intent.enabled) names.add(intent.interface);
    if (names.size === 0 && this.#discovery === undefined) return;
    const { clock, random, createDiscovery } = this.#modules;
    this.#discovery ??= createDiscovery({
      clock,
      random,
      isEstablished: (name) =>
        [...this.#callbacks.peers()].some((peer) => peer.intent.interface === name && peer.negotiated !== undefined),
      changed: () => this.#follow(),
    });
    this.#discovery.want(names, this.#callbacks.view().interfaces);
    this.#follow();
  }

  #follow(): void {
    for (const peer of this.#callbacks.peers()) {
      const name = peer.intent.interface;
      if (name === undefined || this.#discovery === undefined) continue;
      const observed = peer.neighbour;
      const desired = this.#discovery.neighbour(name);
      const isSame =
        observed?.address === desired.address &&
        observed?.interfaceIndex === desired.interfaceIndex &&
        observed?.name === desired.name;
      if (isSame) peer.neighbour = desired;
      else this.#callbacks.moved(peer, desired);
    }
    this.#callbacks.changed();
  }

  close(): void {
    this.#discovery?.close();
    this.#discovery = undefined;
  }
}
