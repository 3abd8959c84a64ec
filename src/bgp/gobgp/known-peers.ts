/**
 * The peers as GoBGP last told of them, and what is known beside its answer: why a session ended, what was announced to it.
 * In: answers; out: facts of the port.
 */
import type { Family, IpAddress, Prefix } from '#lib/ip.ts';
import { familyOf } from '#lib/ip.ts';
import type { BgpIntent, PeerError, PeerFacts, PeerIntent } from '../engine.ts';
import { intentInRange } from '../speaker/listen-ranges.ts';
import { nameOf } from './desired.ts';
import type { Dialect } from './dialect.ts';
import { countByFamily, isUp, peerFacts, sessionOf } from './facts.ts';
import type { PeerMessage } from './messages.ts';
import type { LinkNeighbours } from './neighbours.ts';
import { bareAddress } from './paths.ts';
import { addressOf } from './plan.ts';

interface Beside {
  up: boolean;
  lastError: PeerError | undefined;
  /** Why this side ends the session, until it is down. */
  ending: string | undefined;
  announced: readonly Prefix[];
  accepted: Partial<Record<Family, number>>;
  readonly seenAt: number;
}

export interface PeerModules {
  readonly neighbours: LinkNeighbours;
  /** Why a peer is not there, by name. */
  readonly problems: ReadonlyMap<string, string>;
  readonly noNextHop: (peer: PeerMessage, intent: PeerIntent) => readonly Family[];
  readonly path: (peer: PeerMessage | undefined, intent: PeerIntent) => PeerFacts['path'];
  readonly retryAt: (name: string) => number | undefined;
}

/** One session of a peer, as `sessionOf` tells them apart, or that it has none. */
export type SessionMark = number | 'down';

export class KnownPeers {
  readonly #wallClock: () => number;
  readonly #beside = new Map<string, Beside>();
  /** By the name in the facts. */
  #byName = new Map<string, PeerMessage>();

  constructor(wallClock: () => number) {
    this.#wallClock = wallClock;
  }

  get(name: string): PeerMessage | undefined {
    return this.#byName.get(name);
  }

  isUp(name: string): boolean {
    const peer = this.#byName.get(name);
    return peer !== undefined && isUp(peer);
  }

  /** `undefined`: GoBGP does not have the peer, or does not answer. */
  session(name: string): SessionMark | undefined {
    const peer = this.#byName.get(name);
    return peer && (isUp(peer) ? sessionOf(peer) : 'down');
  }

  get all(): ReadonlyMap<string, PeerMessage> {
    return this.#byName;
  }

  /** Those that came from the listen range of a peer. */
  *children(name: string): Generator<[string, PeerMessage]> {
    for (const entry of this.#byName) if (entry[0].startsWith(`${name}/`)) yield entry;
  }

  localAddress(family: Family): IpAddress | undefined {
    for (const peer of this.#byName.values()) {
      const address = bareAddress(peer.transport?.localAddress ?? '');
      if (isUp(peer) && address !== undefined && familyOf(address) === family) return address;
    }
    return undefined;
  }

  #of(name: string): Beside {
    const known = this.#beside.get(name);
    if (known !== undefined) return known;
    const made: Beside = {
      up: false,
      lastError: undefined,
      ending: undefined,
      announced: [],
      accepted: {},
      seenAt: this.#wallClock(),
    };
    this.#beside.set(name, made);
    return made;
  }

  /** Answers the names of those whose session came up or went down. */
  take(peers: readonly PeerMessage[], dialect: Dialect): string[] {
    const named = new Map<string, PeerMessage>();
    for (const peer of peers) {
      const name = nameOf(peer);
      if (name !== undefined) named.set(name, peer);
    }
    const moved: string[] = [];
    for (const [name, peer] of named) {
      const beside = this.#of(name);
      const up = isUp(peer);
      if (up !== beside.up) moved.push(name);
      const error = this.#errorOf(peer, beside, dialect);
      if (error !== undefined && (beside.up || error.text !== beside.lastError?.text)) beside.lastError = error;
      if (!up) {
        beside.announced = [];
        beside.accepted = {};
        beside.ending = undefined;
      }
      beside.up = up;
    }
    for (const [name, beside] of this.#beside) {
      if (named.has(name)) continue;
      if (beside.up) moved.push(name);
      this.#beside.delete(name);
    }
    this.#byName = named;
    return moved;
  }

  #errorOf(peer: PeerMessage, { up, ending }: Beside, { adminState }: Dialect): PeerError | undefined {
    const at = this.#wallClock();
    if (peer.state?.adminState === adminState.prefixLimit)
      return { code: 'SESSION_MAXIMUM_PREFIXES', text: 'the peer announces more prefixes than maxPrefixes allows', at };
    if (isUp(peer)) return undefined;
    const said = peer.state?.disconnectMessage ?? '';
    if (said !== '') return { code: 'GOBGP_SESSION_DOWN', text: `GoBGP says: ${said}`, at };
    const text =
      ending === undefined ? 'the session ended; the log of gobgpd says why' : `ended by this node: ${ending}`;
    return up ? { code: 'GOBGP_SESSION_DOWN', text, at } : undefined;
  }

  /** The session is about to be ended here; GoBGP may not say why. */
  ends(name: string, why: string): void {
    const beside = this.#of(name);
    if (beside.up) beside.ending = why;
  }

  announced(name: string): readonly Prefix[] {
    return this.#beside.get(name)?.announced ?? [];
  }

  setAnnounced(name: string, prefixes: readonly Prefix[]): void {
    this.#of(name).announced = prefixes;
  }

  setAccepted(name: string, family: Family, count: number): void {
    this.#of(name).accepted[family] = count;
  }

  /** GoBGP does not answer: nothing is known of any session. */
  forget(error: PeerError): void {
    this.#byName = new Map();
    for (const beside of this.#beside.values()) {
      beside.up = false;
      beside.announced = [];
      beside.accepted = {};
      beside.lastError = error;
    }
  }

  facts(intent: BgpIntent, modules: PeerModules, problem: PeerError | undefined): PeerFacts[] {
    return intent.peers.flatMap((peer): PeerFacts[] => {
      const facts = this.#factsOf(peer.name, peer, modules, problem);
      const { listenRange: range } = peer;
      if (range === undefined) return [facts];
      const children = [...this.children(peer.name)].flatMap(([name, message]) => {
        const child = intentInRange(peer, bareAddress(addressOf(message)) ?? peer.address);
        return child === undefined ? [] : [this.#factsOf(name, child, modules, problem)];
      });
      const established = children.filter(({ state }) => state === 'Established').length;
      return [
        {
          ...facts,
          range: { prefix: range.prefix, peers: children.length, established, limit: range.limit, refused: 0 },
        },
        ...children,
      ];
    });
  }

  #factsOf(name: string, intent: PeerIntent, modules: PeerModules, problem: PeerError | undefined): PeerFacts {
    const peer = this.#byName.get(name);
    const beside = this.#of(name);
    const conflict = modules.problems.get(name);
    const link = modules.neighbours.get(name);
    return peerFacts(peer, {
      name,
      intent,
      lastError:
        conflict === undefined
          ? (problem ?? beside.lastError)
          : { code: 'GOBGP_PEER_REFUSED', text: conflict, at: beside.seenAt },
      seenAt: beside.seenAt,
      announced: countByFamily(beside.announced),
      accepted: beside.accepted,
      noNextHop: peer === undefined ? [] : modules.noNextHop(peer, intent),
      retryAt: modules.retryAt(name),
      path: modules.path(peer, intent),
      neighbour: link && { interface: link.name, state: link.state, others: link.others, problem: link.problem },
    });
  }
}
