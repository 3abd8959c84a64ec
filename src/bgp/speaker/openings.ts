/**
 * When a session may begin: something listens, and nobody is on the way out of the same place. In: peers that are to have a
 * session or none, the port; out: the listener, and sessions that start and end.
 */
import type { BgpIntent, PeerIntent } from '../engine.ts';
import type { Listener } from '../io/listener.ts';
import { cease } from '../wire/notification.ts';
import type { EngineModules } from './modules.ts';
import type { Peer } from './peer.ts';

/** Two sessions with one place would be in each other's way. */
export const placeOf = ({ address, interface: name }: PeerIntent): string =>
  name === undefined ? address : `%${name}`;

export interface OpeningsContext {
  readonly modules: EngineModules;
  readonly intent: () => BgpIntent;
  readonly peers: ReadonlyMap<string, Peer>;
  /** Connections over this interface are refused. */
  readonly refusesInterface: (index: number) => boolean;
  readonly changed: () => void;
  /** There is a listener, and every peer may use it. */
  readonly listening: (listener: Listener) => void;
}

export class Openings {
  listener: Listener | undefined;
  readonly #context: OpeningsContext;
  /** Sessions on their way out, by where the peer is: the next of the same place waits. */
  readonly #ending = new Map<string, Promise<void>>();
  #stopped = false;

  constructor(context: OpeningsContext) {
    this.#context = context;
  }

  listen(observed: BgpIntent | undefined, desired: BgpIntent): void {
    if (this.listener !== undefined && observed?.listenPort === desired.listenPort) return;
    const replaced = this.listener;
    this.listener = undefined;
    const { modules, intent, peers, refusesInterface, changed, listening } = this.#context;
    const create = (): void => {
      if (this.#stopped || this.listener !== undefined) return;
      const { clock } = modules;
      const made = modules.createListener({ port: intent().listenPort }, { clock, refusesInterface, changed });
      this.listener = made;
      for (const peer of peers.values()) this.open(peer);
      listening(made);
    };
    if (replaced === undefined && this.#ending.size === 0) create();
    // Every session was reset with the port; the listener goes when they are off it.
    else
      this.#detach(
        Promise.all(this.#ending.values())
          .then(() => replaced?.close())
          .then(create),
      );
  }

  open(peer: Peer): void {
    const { intent, peers } = this.#context;
    const start = (): void => {
      const { listener } = this;
      if (this.#stopped || listener === undefined || peer.session !== undefined) return;
      if (peers.get(peer.intent.name) === peer) peer.start(intent(), listener);
    };
    const ending = this.#ending.get(placeOf(peer.intent));
    if (ending === undefined) start();
    else this.#detach(ending.then(start));
  }

  /** `keepRoutes`: what the peer announced stays in use for the stale time. */
  end(peer: Peer, subcode: number, text: string, keepRoutes = false): void {
    const place = placeOf(peer.intent);
    const before = this.#ending.get(place);
    const stopped = peer.stop(cease(subcode, text), keepRoutes);
    const end = async (): Promise<void> => {
      await before;
      await stopped;
      if (this.#ending.get(place) === ended) this.#ending.delete(place);
    };
    const ended = end();
    this.#ending.set(place, ended);
  }

  /** Nothing begins any more. */
  stop(): void {
    this.#stopped = true;
  }

  /** After `stop`: resolves when these and all that were ending have ended, and nothing listens. */
  async closed(ends: readonly Promise<void>[]): Promise<void> {
    await Promise.all([...ends, ...this.#ending.values()]);
    await this.listener?.close();
  }

  /** A failure in here is a bug of ours and must not vanish with the promise. */
  #detach(work: Promise<unknown>): void {
    work.catch((error: unknown) => {
      queueMicrotask(() => {
        throw error;
      });
    });
  }
}
