/**
 * Peers to which the same routes would be announced with the same bytes. In: the winner of a prefix; out: the number of the
 * encoded attributes to send, 0 for nothing. Attributes are computed and encoded once per group and received set,
 * and interned across groups, so what a peer was sent is one number per prefix.
 */
import type { Asn, Family, IpAddress } from '#lib/ip.ts';
import { familyOf, isLinkLocal } from '#lib/ip.ts';
import type { ExportRules } from '../policy/export.ts';
import type { Reflection } from '../policy/export.ts';
import { exportedAttributes } from '../policy/export.ts';
import type { Judgement } from '../policy/matcher.ts';
import type { Rewrite } from '../policy/rewrite.ts';
import type { MpNextHop, PathAttributes, WireContext } from '../wire/messages.ts';
import type { Adjacencies, Adjacency } from './adjacency.ts';
import type { AttributeStore } from './attribute-store.ts';
import type { FamilyRib } from './family-rib.ts';
import { LOCAL_PATH } from './family-rib.ts';
import type { NextHops } from './next-hops.ts';

export interface EncodedAttributes {
  readonly id: number;
  readonly value: PathAttributes;
  readonly bytes: Uint8Array;
  /** Next hop of MP_REACH_NLRI; `undefined` for classic IPv4 NLRI. */
  readonly mpNextHop: Uint8Array | undefined;
  readonly nextHop: IpAddress;
}

interface StoredEncoding extends EncodedAttributes {
  readonly key: string;
  references: number;
}

/** Stands for "the peer has something, whatever it was": it differs from all that could be wanted. */
export const SENT_UNKNOWN = 1;

/** All encoded attributes in use, counted by prefixes sent and by the caches of the groups. */
export class EncodedStore {
  readonly #byKey = new Map<string, StoredEncoding>();
  readonly #byId: (StoredEncoding | undefined)[] = [undefined, undefined];
  readonly #free: number[] = [];

  get size(): number {
    return this.#byKey.size;
  }

  /** Takes a reference. */
  intern(encoding: Omit<EncodedAttributes, 'id'>): number {
    const { bytes, mpNextHop } = encoding;
    const text = (part: Uint8Array): string => Buffer.from(part).toString('latin1');
    const key = `${mpNextHop === undefined ? '' : text(mpNextHop)}|${text(bytes)}`;
    let stored = this.#byKey.get(key);
    if (stored === undefined) {
      const id = this.#free.pop() ?? this.#byId.length;
      stored = { ...encoding, id, key, references: 0 };
      this.#byId[id] = stored;
      this.#byKey.set(key, stored);
    }
    stored.references++;
    return stored.id;
  }

  get(id: number): EncodedAttributes {
    const stored = this.#byId[id];
    if (stored === undefined) throw new RangeError(`no encoded attributes ${id}`);
    return stored;
  }

  retain(id: number): void {
    const stored = this.#byId[id];
    if (stored !== undefined) stored.references++;
  }

  release(id: number): void {
    const stored = this.#byId[id];
    if (stored === undefined || --stored.references > 0) return;
    this.#byKey.delete(stored.key);
    this.#byId[id] = undefined;
    this.#free.push(id);
  }
}

/** The answer "leave what was sent as it is": the kernel does not have the route yet and will say when. */
export const KEEP = -1;

export interface UpdateGroupOptions {
  readonly family: Family;
  readonly rules: ExportRules;
  readonly external: boolean;
  /** CLUSTER_ID, unsigned; for what is reflected. */
  readonly clusterId: number;
  readonly localAsn: Asn;
  readonly nextHop: MpNextHop;
  readonly context: WireContext;
}

export interface UpdateGroupModules {
  readonly attributes: AttributeStore;
  readonly adjacencies: Adjacencies;
  readonly nextHops: NextHops;
  readonly encoded: EncodedStore;
  readonly encodeAttributes: (attributes: PathAttributes, context: WireContext) => Uint8Array;
  readonly nextHopBytes: (global: IpAddress, linkLocal?: IpAddress) => Uint8Array;
}

/** Encoded attributes by what they were made of; each entry holds its references. */
interface Cache {
  /** By received attribute set (0: originated here), with our own next hop. */
  readonly own: Map<number, number>;
  /** By received attribute set, then by what of a reflected path stands outside of it. */
  readonly reflected: Map<number, Map<number, ReflectedEntry>>;
}

interface ReflectedEntry {
  readonly encoded: number;
  /** Keeps its number as long as the entry is there. */
  readonly nextHop: number;
}

const newCache = (): Cache => ({ own: new Map(), reflected: new Map() });

const unresolved: Judgement = { accepted: false, reason: 'not announced: its next hop does not resolve here' };
const onLinkOnly: Judgement = {
  accepted: false,
  reason: 'not announced: its link-local next hop means nothing elsewhere',
};
const otherFamily: Judgement = {
  accepted: false,
  reason: 'not announced: the peer does not take a next hop of the other family (RFC 8950)',
};

export class UpdateGroup {
  readonly options: UpdateGroupOptions;
  readonly #modules: UpdateGroupModules;
  readonly #plain = newCache();
  /** The same for what a rule's operations make of it. */
  readonly #rewritten = new Map<Rewrite, Cache>();
  readonly key: string;
  members = 0;

  constructor(key: string, options: UpdateGroupOptions, modules: UpdateGroupModules) {
    this.key = key;
    this.options = options;
    this.#modules = modules;
  }

  /** Some learned route may be announced to its peers. */
  get learnedToo(): boolean {
    return this.options.rules.learnedToo;
  }

  /** A received set is gone; its number will mean another. */
  forget(attributes: number): void {
    for (const { own, reflected } of this.#caches()) {
      const encoded = own.get(attributes);
      if (encoded !== undefined) this.#modules.encoded.release(encoded);
      own.delete(attributes);
      this.#releaseAll(reflected.get(attributes));
      reflected.delete(attributes);
    }
  }

  #releaseAll(entries: Map<number, ReflectedEntry> | undefined): void {
    for (const { encoded, nextHop } of entries?.values() ?? []) {
      this.#modules.encoded.release(encoded);
      this.#modules.nextHops.release(nextHop);
    }
  }

  *#caches(): Generator<Cache> {
    yield this.#plain;
    yield* this.#rewritten.values();
  }

  close(): void {
    for (const { own, reflected } of this.#caches()) {
      for (const encoded of own.values()) this.#modules.encoded.release(encoded);
      own.clear();
      for (const entries of reflected.values()) this.#releaseAll(entries);
      reflected.clear();
    }
  }

  #cacheOf(rewrite: Rewrite | undefined): Cache {
    if (rewrite === undefined) return this.#plain;
    let cache = this.#rewritten.get(rewrite);
    if (cache === undefined) {
      cache = newCache();
      this.#rewritten.set(rewrite, cache);
    }
    return cache;
  }

  #encode(received: number, rewrite: Rewrite | undefined): number {
    const { own } = this.#cacheOf(rewrite);
    const known = own.get(received);
    if (known !== undefined) return known;
    const id = this.#intern(received, this.options.nextHop, rewrite, undefined);
    own.set(received, id);
    return id;
  }

  #encodeReflected(received: number, rewrite: Rewrite | undefined, nextHop: number, originatorId: number): number {
    const { reflected } = this.#cacheOf(rewrite);
    let entries = reflected.get(received);
    if (entries === undefined) {
      entries = new Map();
      reflected.set(received, entries);
    }
    // Both are 32-bit numbers, and there are never 2^21 next hops.
    const key = nextHop * 2 ** 32 + originatorId;
    const known = entries.get(key);
    if (known !== undefined) return known.encoded;
    const { nextHops } = this.#modules;
    const global = nextHops.address(nextHop) ?? this.options.nextHop.global;
    const reflection = { originatorId, clusterId: this.options.clusterId };
    const encoded = this.#intern(received, { global, linkLocal: undefined }, rewrite, reflection);
    nextHops.retain(nextHop);
    entries.set(key, { encoded, nextHop });
    return encoded;
  }

  #intern(
    received: number,
    nextHop: MpNextHop,
    rewrite: Rewrite | undefined,
    reflection: Reflection | undefined,
  ): number {
    const { rules, context } = this.options;
    const path = received === 0 ? undefined : this.#modules.attributes.accepted(received).value;
    // RFC 8950 §3: an IPv6 next hop stands in MP_REACH_NLRI, whatever family it leads to.
    const classic = familyOf(nextHop.global) === 'ipv4';
    const value = exportedAttributes(path, rules.target, classic ? nextHop.global : undefined, rewrite, reflection);
    return this.#modules.encoded.intern({
      value,
      bytes: this.#modules.encodeAttributes(value, context),
      mpNextHop: classic ? undefined : this.#modules.nextHopBytes(nextHop.global, nextHop.linkLocal),
      nextHop: nextHop.global,
    });
  }

  /** Why the prefix is or is not announced to the adjacency in `slot`; `undefined`: nothing is known of the prefix. */
  judge(rib: FamilyRib, prefix: number, slot: number): Judgement | undefined {
    const { table } = rib;
    const { rules, family } = this.options;
    const w0 = table.word(prefix, 0);
    const w1 = table.word(prefix, 1);
    const w2 = table.word(prefix, 2);
    const w3 = table.word(prefix, 3);
    const length = table.lengthOf(prefix);
    const best = rib.best(prefix);
    if (best === LOCAL_PATH) return rules.local(family, w0, w1, w2, w3, length);
    if (best === 0 || rib.paths.slot[best] === slot) return undefined;
    const from = this.#modules.adjacencies.at(rib.paths.slot[best] as number);
    const attributes = this.#modules.attributes.accepted(rib.paths.attributes[best] as number);
    const judgement = rules.learned(attributes, from, family, w0, w1, w2, w3, length);
    if (!judgement.accepted) return judgement;
    if (this.#isReflected(from)) return this.#cannotKeep(rib.paths.nextHop[best] as number) ?? judgement;
    return rib.isUnresolved(prefix) ? unresolved : judgement;
  }

  #isReflected(from: Adjacency): boolean {
    return !this.options.external && !from.external;
  }

  /** Why a reflected path cannot be said with the next hop it came with. */
  #cannotKeep(nextHop: number): Judgement | undefined {
    const address = this.#modules.nextHops.address(nextHop);
    if (address === undefined || isLinkLocal(address)) return onLinkOnly;
    const { family, context } = this.options;
    const isKnown = familyOf(address) === family || (family === 'ipv4' && context.extendedNextHop === true);
    return isKnown ? undefined : otherFamily;
  }

  /** Encoded attributes for a decided prefix, 0 for none, or KEEP. Never back to the adjacency it was learned from. */
  wanted(rib: FamilyRib, prefix: number, slot: number, learned: boolean): number {
    const best = rib.best(prefix);
    if (best > 0 && !(this.learnedToo && learned)) return 0;
    const judgement = this.judge(rib, prefix, slot);
    if (judgement?.accepted !== true) return 0;
    if (best === LOCAL_PATH) return this.#encode(0, judgement.rewrite);
    const attributes = rib.paths.attributes[best] as number;
    const from = this.#modules.adjacencies.at(rib.paths.slot[best] as number);
    // The traffic for what is reflected does not come here, so it need not wait for the kernel.
    if (this.#isReflected(from))
      return this.#encodeReflected(attributes, judgement.rewrite, rib.paths.nextHop[best] as number, from.routerId);
    return rib.awaitsKernel(prefix) ? KEEP : this.#encode(attributes, judgement.rewrite);
  }
}
