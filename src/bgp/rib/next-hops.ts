/**
 * Next hops of received paths, each a number, and where the kernel would send a packet for them. In: addresses and the
 * kernel's view; out: gateway, interface and metric, or a sentence why not. A changed view re-resolves the next hops, of
 * which there are few, and names those whose answer changed.
 *
 * DEVIATION: RFC 4271 §9.1.2.1 resolves by any route. Here by connected and static routes only, never a default route and
 * never one that BGP put there (that section warns of such loops; the view has none of ours).
 */
import type { Family, IpAddress } from '#lib/ip.ts';
import { addressBits, addressBytes, familyOf, isLinkLocal, networkAddress, prefixLength } from '#lib/ip.ts';
import type { NextHop } from '#dataplane/fib/route.ts';
import type { KernelRoute, KernelView } from '#dataplane/kernel-view.ts';
import type { MpNextHop } from '../wire/messages.ts';
import { addressWords, maskWord } from '../policy/words.ts';

export type Resolution =
  | { readonly ok: true; readonly hop: NextHop; readonly metric: number }
  | { readonly ok: false; readonly reason: string };

/** The session over which a next hop came. */
export interface NextHopSession {
  readonly localAddress: IpAddress;
  /** Of a session over link-local addresses. */
  readonly interfaceIndex?: number | undefined;
  /** Name of the peer. */
  readonly peer?: string | undefined;
}

interface Entry {
  /** The one that resolves. */
  readonly address: IpAddress;
  /** The one that can be told to others. */
  readonly global: IpAddress;
  /** For a link-local next hop, which means something on one link only: its interface, or our address there. */
  readonly scope: number | IpAddress | undefined;
  readonly key: string;
  /** The only peer that has named it; `undefined`: several have. */
  peer: string | undefined;
  references: number;
  resolution: Resolution;
}

/** Longest match over the few routes of a kernel view. */
class Resolver {
  /** Per family: lengths from the longest, each with its routes by network. */
  readonly #routes: Record<Family, Map<number, Map<string, KernelRoute>>> = { ipv4: new Map(), ipv6: new Map() };
  readonly #lengths: Record<Family, number[]>;
  /** Our addresses and the index of their interface. */
  readonly #own = new Map<IpAddress, number>();
  readonly #usable = new Set<number>();
  readonly #names = new Map<number, string>();

  constructor(view: KernelView) {
    for (const link of view.interfaces) {
      this.#names.set(link.index, link.name);
      for (const { address } of link.addresses) this.#own.set(address, link.index);
      if (link.up && !link.pod) this.#usable.add(link.index);
    }
    for (const route of view.routes) {
      const length = prefixLength(route.prefix);
      if (length === 0 || !this.#usable.has(route.interfaceIndex)) continue;
      const sameLength = this.#routes[familyOf(route.prefix)];
      const networks = sameLength.get(length) ?? new Map<string, KernelRoute>();
      sameLength.set(length, networks);
      const key = wordsKey(networkAddress(route.prefix), length);
      const present = networks.get(key);
      if (present === undefined || route.metric < present.metric) networks.set(key, route);
    }
    const lengths = (family: Family): number[] => [...this.#routes[family].keys()].sort((a, b) => b - a);
    this.#lengths = { ipv4: lengths('ipv4'), ipv6: lengths('ipv6') };
  }

  interfaceName(index: number): string | undefined {
    return this.#names.get(index);
  }

  #match(address: IpAddress): KernelRoute | undefined {
    const family = familyOf(address);
    for (const length of this.#lengths[family]) {
      const route = this.#routes[family].get(length)?.get(wordsKey(address, length));
      if (route !== undefined) return route;
    }
    return undefined;
  }

  resolve({ address, scope }: Pick<Entry, 'address' | 'scope'>): Resolution {
    // RFC 4271 §5.1.3: an address of ours is no next hop.
    if (this.#own.has(address)) return { ok: false, reason: `next hop ${address} is an address of this node` };
    if (isLinkLocal(address)) {
      const interfaceIndex = typeof scope === 'string' ? this.#own.get(scope) : scope;
      return interfaceIndex !== undefined && this.#usable.has(interfaceIndex)
        ? { ok: true, hop: { gateway: address, interfaceIndex }, metric: 0 }
        : { ok: false, reason: `next hop ${address} has no interface that is up` };
    }
    const route = this.#match(address);
    if (route === undefined)
      return { ok: false, reason: `next hop ${address} is not reachable by a connected or static route` };
    const hop = { gateway: route.gateway ?? address, interfaceIndex: route.interfaceIndex };
    return { ok: true, hop, metric: route.metric };
  }
}

function wordsKey(address: IpAddress, length: number): string {
  const words = addressWords(addressBytes(address));
  const w0 = maskWord(words[0], length);
  if (addressBits(familyOf(address)) === 32) return String(w0);
  return `${w0} ${maskWord(words[1], length - 32)} ${maskWord(words[2], length - 64)} ${maskWord(words[3], length - 96)}`;
}

const noView: KernelView = { interfaces: [], routes: [] };

export class NextHops {
  #resolver = new Resolver(noView);
  readonly #byId: (Entry | undefined)[] = [undefined];
  readonly #byKey = new Map<string, number>();
  readonly #free: number[] = [];

  /** Ids whose resolution is another one now. */
  setView(view: KernelView): number[] {
    const before = this.#resolver;
    this.#resolver = new Resolver(view);
    const isRenamed = ({ interfaceIndex }: NextHop): boolean =>
      before.interfaceName(interfaceIndex) !== this.#resolver.interfaceName(interfaceIndex);
    const changed: number[] = [];
    this.#byId.forEach((entry, id) => {
      if (entry === undefined) return;
      const observed = entry.resolution;
      entry.resolution = this.#resolver.resolve(entry);
      const { resolution } = entry;
      if (!sameResolution(observed, resolution) || (resolution.ok && isRenamed(resolution.hop))) changed.push(id);
    });
    return changed;
  }

  /** Takes a reference. */
  intern(nextHop: MpNextHop, session: NextHopSession): number {
    const { localAddress, interfaceIndex } = session;
    // RFC 2545 §3: the global address is the one that resolves. Over link-local addresses the link may have no subnet of
    // it, and the other one is on that link for sure.
    const address = interfaceIndex === undefined ? nextHop.global : (nextHop.linkLocal ?? nextHop.global);
    const scope = isLinkLocal(address) ? (interfaceIndex ?? localAddress) : undefined;
    const { global } = nextHop;
    const key = `${address}%${scope ?? ''} ${global === address ? '' : global}`;
    let id = this.#byKey.get(key);
    if (id === undefined) {
      id = this.#free.pop() ?? this.#byId.length;
      const resolution = this.#resolver.resolve({ address, scope });
      this.#byId[id] = { address, global, scope, key, peer: session.peer, references: 0, resolution };
      this.#byKey.set(key, id);
    }
    const entry = this.#byId[id];
    if (entry !== undefined) {
      entry.references++;
      if (entry.peer !== session.peer) entry.peer = undefined;
    }
    return id;
  }

  retain(id: number): void {
    const entry = this.#byId[id];
    if (entry !== undefined) entry.references++;
  }

  release(id: number): void {
    const entry = this.#byId[id];
    if (entry === undefined || --entry.references > 0) return;
    this.#byKey.delete(entry.key);
    this.#byId[id] = undefined;
    this.#free.push(id);
  }

  /**
   * Gateways that lead to one peer and to nobody else: its own address, if it is on a link of ours, and those that only
   * its paths name. A next hop that another peer names too may be a third router's.
   */
  gatewaysOf(peer: string, address: IpAddress, interfaceIndex: number | undefined): NextHop[] {
    const gateways = new Map<string, NextHop>();
    const shared = new Set<string>();
    for (const entry of this.#byId) {
      if (entry === undefined || !entry.resolution.ok) continue;
      const { hop } = entry.resolution;
      if (entry.peer === peer) gateways.set(hopKey(hop), hop);
      else shared.add(hopKey(hop));
    }
    for (const key of shared) gateways.delete(key);
    const own = this.#resolver.resolve({ address, scope: interfaceIndex });
    if (own.ok && own.hop.gateway === address) gateways.set(hopKey(own.hop), own.hop);
    return [...gateways.values()];
  }

  /** Whether an address is on a link of this node; `interfaceIndex` is that of a link-local one. */
  isOnLink(address: IpAddress, interfaceIndex: number | undefined): boolean {
    const resolution = this.#resolver.resolve({ address, scope: interfaceIndex });
    return resolution.ok && resolution.hop.gateway === address;
  }

  /** Name of the interface of a link-local next hop; `undefined` of all others, and while the interface is not known. */
  interfaceName(id: number): string | undefined {
    const entry = this.#byId[id];
    return entry?.scope === undefined || !entry.resolution.ok
      ? undefined
      : this.#resolver.interfaceName(entry.resolution.hop.interfaceIndex);
  }

  /** Name of the interface by which it is reached. */
  reachedBy(id: number): string | undefined {
    const resolution = this.#byId[id]?.resolution;
    return resolution?.ok === true ? this.#resolver.interfaceName(resolution.hop.interfaceIndex) : undefined;
  }

  /** The kernel's way to an address that is not a received next hop; `interfaceIndex` is the scope of a link-local one. */
  resolve(address: IpAddress, interfaceIndex: number | undefined): Resolution {
    return this.#resolver.resolve({ address, scope: isLinkLocal(address) ? interfaceIndex : undefined });
  }

  /** As it can be told to others: the global address that came, if one did. */
  global(id: number): IpAddress | undefined {
    return this.#byId[id]?.global;
  }

  address(id: number): IpAddress | undefined {
    return this.#byId[id]?.address;
  }

  resolution(id: number): Resolution {
    return this.#byId[id]?.resolution ?? { ok: false, reason: 'no next hop' };
  }
}

const hopKey = ({ gateway, interfaceIndex }: NextHop): string => `${gateway}%${interfaceIndex}`;

function sameResolution(a: Resolution, b: Resolution): boolean {
  if (!a.ok || !b.ok) return a.ok === b.ok;
  return a.metric === b.metric && a.hop.gateway === b.hop.gateway && a.hop.interfaceIndex === b.hop.interfaceIndex;
}
