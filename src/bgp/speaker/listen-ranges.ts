/**
 * Peers that are named by a range of addresses, and who comes from there (dynamic neighbours). In: the intent's peers, the
 * listener, connections from a range; out: a peer for each, named `NAME/ADDRESS`, and the word when one is over.
 */
import { contains, type IpAddress } from '#lib/ip.ts';
import { type PeerError, type PeerFacts, type PeerIntent, type RangeFacts, wantsSession } from '../engine.ts';
import type { Listener, Registration } from '../io/listener.ts';
import { minimumHopLimit } from '../io/session-options.ts';
import type { Peer } from './peer.ts';

export interface ListenRangesCallbacks {
  readonly peers: () => ReadonlyMap<string, Peer>;
  /** The address is one of this node's own. */
  readonly isOwn: (address: IpAddress) => boolean;
  /** Opens a session for this peer, which has just connected; false: there is none. */
  readonly admit: (intent: PeerIntent, parent: Peer) => boolean;
  /** The peer is gone, and its routes. */
  readonly over: (peer: Peer) => void;
  readonly full: (parent: Peer, address: IpAddress) => void;
  readonly changed: () => void;
}

interface Range {
  /** What stands on the listener. */
  readonly listener: Listener;
  readonly registration: Registration;
  readonly prefix: string;
  readonly minimumHopLimit: number | undefined;
  password: string | undefined;
}

interface Count {
  refused: number;
  isFull: boolean;
  lastError: PeerError | undefined;
}

/** What is wanted of the peer at the address; `undefined`: nothing, the range does not hold it. */
export function intentInRange(parent: PeerIntent, address: IpAddress): PeerIntent | undefined {
  const { listenRange, ...rest } = parent;
  if (listenRange === undefined || !contains(listenRange.prefix, address)) return undefined;
  return { ...rest, name: `${parent.name}/${address}`, address, passive: true };
}

export class ListenRanges {
  readonly #callbacks: ListenRangesCallbacks;
  readonly #open = new Map<string, Range>();
  readonly #counts = new Map<string, Count>();

  constructor(callbacks: ListenRangesCallbacks) {
    this.#callbacks = callbacks;
  }

  /** The peers or the listener changed. */
  review(listener: Listener | undefined): void {
    const peers = this.#callbacks.peers();
    for (const [name, range] of this.#open) {
      const intent = peers.get(name)?.intent;
      const { prefix } = intent?.listenRange ?? {};
      const isSame =
        intent !== undefined &&
        wantsSession(intent) &&
        range.listener === listener &&
        range.prefix === prefix &&
        range.minimumHopLimit === minimumHopLimit(intent);
      if (!isSame) {
        range.registration.close();
        this.#open.delete(name);
      } else if (range.password !== intent.password) {
        range.password = intent.password;
        range.registration.setPassword(intent.password);
      }
    }
    for (const name of this.#counts.keys()) if (!peers.has(name)) this.#counts.delete(name);
    if (listener === undefined) return;
    for (const parent of peers.values()) {
      const { name, listenRange, password } = parent.intent;
      if (listenRange === undefined || !wantsSession(parent.intent) || this.#open.has(name)) continue;
      parent.countDropsFromNow();
      const { prefix } = listenRange;
      const hops = minimumHopLimit(parent.intent);
      const admit = (address: IpAddress): boolean => this.#admit(name, address);
      const registration = listener.registerRange({ prefix, password, minimumHopLimit: hops, admit });
      this.#open.set(name, { listener, registration, prefix, minimumHopLimit: hops, password });
    }
  }

  *children(parent: string): Generator<Peer> {
    for (const peer of this.#callbacks.peers().values()) if (peer.parent === parent) yield peer;
  }

  #admit(name: string, address: IpAddress): boolean {
    const parent = this.#callbacks.peers().get(name);
    const intent = parent && intentInRange(parent.intent, address);
    if (parent === undefined || intent === undefined || this.#callbacks.isOwn(address)) return false;
    // It has ended, and comes back when it may: it was held down, or its last connection is not off yet.
    if (this.#callbacks.peers().has(intent.name)) return false;
    const count = this.#count(name);
    if ([...this.children(name)].length >= (parent.intent.listenRange?.limit ?? 0)) {
      count.refused++;
      if (!count.isFull) this.#callbacks.full(parent, address);
      count.isFull = true;
      this.#callbacks.changed();
      return false;
    }
    return this.#callbacks.admit(intent, parent);
  }

  #count(name: string): Count {
    const count = this.#counts.get(name) ?? { refused: 0, isFull: false, lastError: undefined };
    this.#counts.set(name, count);
    return count;
  }

  /** Lets go of those who have neither a connection nor routes that are kept for them. */
  reap(): void {
    for (const peer of [...this.#callbacks.peers().values()]) {
      const { parent, session } = peer;
      if (parent === undefined || peer.adjacency !== undefined || peer.hold.isPenalty) continue;
      const state = session?.state ?? 'Idle';
      if (state === 'OpenSent' || state === 'OpenConfirm' || state === 'Established') continue;
      const error = session === undefined ? peer.hold.why : session.lastError;
      const count = this.#count(parent);
      if (error !== undefined) count.lastError = { ...error, text: `${peer.intent.address}: ${error.text}` };
      count.isFull = false;
      this.#callbacks.over(peer);
    }
  }

  /** What there is to say of a peer with a range instead of what its session, which it has not, would say. */
  facts({ intent }: Peer): Pick<PeerFacts, 'range' | 'lastError'> | undefined {
    if (intent.listenRange === undefined) return undefined;
    const { prefix, limit } = intent.listenRange;
    const children = [...this.children(intent.name)];
    const established = children.filter(({ negotiated }) => negotiated !== undefined).length;
    const { refused = 0, lastError } = this.#counts.get(intent.name) ?? {};
    const problem = this.#open.get(intent.name)?.registration.problem;
    const range: RangeFacts = { prefix, peers: children.length, established, limit, refused };
    return { range, lastError: problem === undefined ? lastError : { ...problem, at: 0 } };
  }
}
