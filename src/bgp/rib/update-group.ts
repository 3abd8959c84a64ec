/**
 * Peers to which the same routes would be announced with the same bytes. In: the winner of a prefix; out: the number of the
 * encoded attributes to send, 0 for nothing. Attributes are computed and encoded once per group and received set,
 * and interned across groups, so what a peer was sent is one number per prefix.
 */
import type { Asn, Family, IpAddress } from '#lib/ip.ts';
import { familyOf } from '#lib/ip.ts';
import type { ExportRules } from '../policy/export.ts';
import { exportedAttributes } from '../policy/export.ts';
import type { Judgement } from '../policy/matcher.ts';
import type { Rewrite } from '../policy/rewrite.ts';
import type { MpNextHop, PathAttributes, WireContext } from '../wire/messages.ts';
import type { Adjacencies } from './adjacency.ts';
import type { AttributeStore } from './attribute-store.ts';
import type { FamilyRib } from './family-rib.ts';
import { LOCAL_PATH } from './family-rib.ts';

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
  readonly transit: boolean;
  readonly localAsn: Asn;
  readonly nextHop: MpNextHop;
  readonly context: WireContext;
}

export interface UpdateGroupModules {
  readonly attributes: AttributeStore;
  readonly adjacencies: Adjacencies;
  readonly encoded: EncodedStore;
  readonly encodeAttributes: (attributes: PathAttributes, context: WireContext) => Uint8Array;
  readonly nextHopBytes: (global: IpAddress, linkLocal?: IpAddress) => Uint8Array;
}

export class UpdateGroup {
  readonly options: UpdateGroupOptions;
  readonly #modules: UpdateGroupModules;
  /** Received attribute set (0: originated here) to encoded attributes; each holds a reference. */
  readonly #cache = new Map<number, number>();
  /** The same for what a rule's operations make of it. */
  readonly #rewritten = new Map<Rewrite, Map<number, number>>();
  readonly key: string;
  members = 0;

  constructor(key: string, options: UpdateGroupOptions, modules: UpdateGroupModules) {
    this.key = key;
    this.options = options;
    this.#modules = modules;
  }

  get transit(): boolean {
    return this.options.transit;
  }

  /** A received set is gone; its number will mean another. */
  forget(attributes: number): void {
    for (const cache of this.#caches()) {
      const encoded = cache.get(attributes);
      if (encoded === undefined) continue;
      cache.delete(attributes);
      this.#modules.encoded.release(encoded);
    }
  }

  *#caches(): Generator<Map<number, number>> {
    yield this.#cache;
    yield* this.#rewritten.values();
  }

  close(): void {
    for (const cache of this.#caches()) {
      for (const encoded of cache.values()) this.#modules.encoded.release(encoded);
      cache.clear();
    }
  }

  #cacheOf(rewrite: Rewrite | undefined): Map<number, number> {
    if (rewrite === undefined) return this.#cache;
    let cache = this.#rewritten.get(rewrite);
    if (cache === undefined) {
      cache = new Map();
      this.#rewritten.set(rewrite, cache);
    }
    return cache;
  }

  #encode(received: number, rewrite: Rewrite | undefined): number {
    const cache = this.#cacheOf(rewrite);
    const known = cache.get(received);
    if (known !== undefined) return known;
    const { external, localAsn, nextHop, context } = this.options;
    const path = received === 0 ? undefined : this.#modules.attributes.accepted(received).value;
    // RFC 8950 §3: an IPv6 next hop stands in MP_REACH_NLRI, whatever family it leads to.
    const classic = familyOf(nextHop.global) === 'ipv4';
    const value = exportedAttributes(path, { external, localAsn }, classic ? nextHop.global : undefined, rewrite);
    const id = this.#modules.encoded.intern({
      value,
      bytes: this.#modules.encodeAttributes(value, context),
      mpNextHop: classic ? undefined : this.#modules.nextHopBytes(nextHop.global, nextHop.linkLocal),
      nextHop: nextHop.global,
    });
    cache.set(received, id);
    return id;
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
    return rules.learned(attributes, from.external, family, w0, w1, w2, w3, length);
  }

  /** Encoded attributes for a decided prefix, 0 for none, or KEEP. Never back to the adjacency it was learned from. */
  wanted(rib: FamilyRib, prefix: number, slot: number, learned: boolean): number {
    const best = rib.best(prefix);
    if (best > 0 && !(this.options.transit && learned)) return 0;
    const judgement = this.judge(rib, prefix, slot);
    if (judgement?.accepted !== true) return 0;
    if (best === LOCAL_PATH) return this.#encode(0, judgement.rewrite);
    return rib.awaitsKernel(prefix) ? KEEP : this.#encode(rib.paths.attributes[best] as number, judgement.rewrite);
  }
}
