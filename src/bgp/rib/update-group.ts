/**
 * What peers are told to which the same routes are announced with the same bytes. In: the paths of a prefix; out: the numbers
 * of the encoded attributes to send, 0 for nothing. Attributes are computed and encoded once per group and received set,
 * and interned across groups, so what a peer was sent is one number per prefix.
 */
import { ByteWriter } from '#lib/bytes.ts';
import type { Asn, Family, IpAddress } from '#lib/ip.ts';
import { familyOf, isLinkLocal } from '#lib/ip.ts';
import type { ExportRules } from '../policy/export.ts';
import type { Reflection } from '../policy/export.ts';
import { exportRecipe, exportedAttributes } from '../policy/export.ts';
import type { Judgement } from '../policy/matcher.ts';
import type { Rewrite } from '../policy/rewrite.ts';
import type { EncodedStore } from './encoded-store.ts';
import type { CopyRecipe } from '../wire/attribute-copy.ts';
import type { MpNextHop, PathAttributes, WireContext } from '../wire/messages.ts';
import type { Adjacencies, Adjacency } from './adjacency.ts';
import type { AttributeStore } from './attribute-store.ts';
import type { FamilyRib } from './family-rib.ts';
import { LOCAL_PATH } from './family-rib.ts';
import type { KeepRule } from './kept-next-hop.ts';
import { autoKeep } from './kept-next-hop.ts';
import type { NextHops } from './next-hops.ts';
import { SparseColumn } from './sparse-column.ts';

/** The answer "leave what was sent as it is": the kernel does not have the route yet, or it goes away; more will be heard. */
export const KEEP = -1;

/** Paths of one prefix that are to be announced, the best first. One list serves a whole engine, for one prefix after the other. */
export class Offers {
  readonly #pathIds: number[] = [];
  readonly #encoded: number[] = [];
  readonly #sources: number[] = [];

  get count(): number {
    return this.#encoded.length;
  }

  clear(): void {
    this.#pathIds.length = 0;
    this.#encoded.length = 0;
    this.#sources.length = 0;
  }

  add(pathId: number, encoded: number, source: number): void {
    this.#pathIds.push(pathId);
    this.#encoded.push(encoded);
    this.#sources.push(source);
  }

  pathId(at: number): number {
    return this.#pathIds[at] as number;
  }

  encoded(at: number): number {
    return this.#encoded[at] as number;
  }

  /** The adjacency that the path came from, 0 for none. */
  source(at: number): number {
    return this.#sources[at] as number;
  }

  has(pathId: number): boolean {
    return this.#pathIds.includes(pathId);
  }

  hasEncoded(encoded: number): boolean {
    return this.#encoded.includes(encoded);
  }
}

/**
 * RFC 7911 §2: an identifier is ours to choose, and need only tell the paths of a prefix apart. A path keeps its number, and
 * so its identifier, as long as it is there. The number LOCAL_PATH becomes 1, and none becomes 0.
 */
export const pathIdOf = (path: number): number => (path === LOCAL_PATH ? 1 : path + 1);
export const pathOfId = (pathId: number): number => (pathId === 1 ? LOCAL_PATH : pathId - 1);

export interface UpdateGroupOptions {
  readonly family: Family;
  /** Paths of one prefix at most, each with an identifier (RFC 7911); `undefined`: the best one, without. */
  readonly paths: number | undefined;
  /** Routes at most; `undefined`: all. */
  readonly maxAnnounced?: number | undefined;
  readonly rules: ExportRules;
  readonly external: boolean;
  /** CLUSTER_ID, unsigned; for what is reflected. */
  readonly clusterId: number;
  readonly localAsn: Asn;
  /** Ours. */
  readonly nextHop: MpNextHop;
  readonly keep: KeepRule;
  readonly context: WireContext;
}

export interface UpdateGroupModules {
  readonly attributes: AttributeStore;
  readonly adjacencies: Adjacencies;
  readonly nextHops: NextHops;
  readonly encoded: EncodedStore;
  readonly writeAttributes: (attributes: PathAttributes, context: WireContext, into: ByteWriter) => void;
  readonly copyAttributes: (bytes: Uint8Array, recipe: CopyRecipe, into: ByteWriter) => boolean;
  readonly nextHopBytes: (global: IpAddress, linkLocal?: IpAddress) => Uint8Array;
}

/** Encoded attributes by what they were made of; each entry holds its references. */
interface Cache {
  /** By attribute set, with our own next hop; 0 for none. */
  readonly own: SparseColumn;
  /** By attribute set, with what of a path that goes on unchanged, or is reflected, stands outside of it. */
  readonly others: Map<number, OtherEntry>;
}

interface OtherEntry {
  readonly encoded: number;
  /** Keeps its number as long as the entry is there. */
  readonly nextHop: number;
  readonly originatorId: number;
  /** The same set with another next hop or of another originator. */
  readonly next: OtherEntry | undefined;
}

const newCache = (): Cache => ({ own: new SparseColumn(), others: new Map() });
/** In place of the number of a learned next hop, and of an ORIGINATOR_ID. */
const OURS = 0;
const NOT_REFLECTED = 0;

/** 0 if there is none. */
function otherOf(first: OtherEntry | undefined, nextHop: number, originatorId: number): number {
  for (let entry = first; entry !== undefined; entry = entry.next)
    if (entry.nextHop === nextHop && entry.originatorId === originatorId) return entry.encoded;
  return 0;
}

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
  readonly #scratch = new ByteWriter(1024);
  #ownRecipe: CopyRecipe | undefined;
  /** The same for what a rule's operations make of it. */
  readonly #rewritten = new Map<Rewrite, Cache>();

  constructor(options: UpdateGroupOptions, modules: UpdateGroupModules) {
    this.options = options;
    this.#modules = modules;
  }

  /** Routes have path identifiers. */
  get withIds(): boolean {
    return this.options.paths !== undefined;
  }

  /** Routes that its peers may be told at most. */
  get maxAnnounced(): number | undefined {
    return this.options.maxAnnounced;
  }

  /** Some learned route may be announced to its peers. */
  /** Nothing that was learned is announced before the kernel has it: who is told leads the traffic here. */
  get awaitsKernel(): boolean {
    return this.options.external && this.options.keep === autoKeep;
  }

  get learnedToo(): boolean {
    return this.options.rules.learnedToo;
  }

  /** A received set is gone; its number will mean another. */
  forget(attributes: number): void {
    for (const { own, others } of this.#caches()) {
      const encoded = own.get(attributes);
      if (encoded !== 0) {
        own.set(attributes, 0);
        this.#modules.encoded.release(encoded);
      }
      const first = others.get(attributes);
      if (first === undefined) continue;
      others.delete(attributes);
      this.#releaseAll(first);
    }
  }

  #releaseAll(first: OtherEntry): void {
    for (let entry: OtherEntry | undefined = first; entry !== undefined; entry = entry.next) {
      this.#modules.encoded.release(entry.encoded);
      this.#modules.nextHops.release(entry.nextHop);
    }
  }

  *#caches(): Generator<Cache> {
    yield this.#plain;
    yield* this.#rewritten.values();
  }

  close(): void {
    for (const { own, others } of this.#caches()) {
      for (let at = own.nextWritten(0); at !== undefined; at = own.nextWritten(at + 1)) {
        const encoded = own.get(at);
        if (encoded !== 0) this.#modules.encoded.release(encoded);
        own.set(at, 0);
      }
      for (const first of others.values()) this.#releaseAll(first);
      others.clear();
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
    if (known !== 0) return known;
    const id = this.#intern(received, this.options.nextHop, rewrite, undefined);
    own.set(received, id);
    return id;
  }

  /** `nextHop`: number of the one that is kept, or OURS; `originatorId`: of a reflected path, or NOT_REFLECTED. */
  #encodeOther(received: number, rewrite: Rewrite | undefined, nextHop: number, originatorId: number): number {
    const { others } = this.#cacheOf(rewrite);
    const first = others.get(received);
    const known = otherOf(first, nextHop, originatorId);
    if (known !== 0) return known;
    const { nextHops } = this.#modules;
    const kept = nextHops.global(nextHop);
    const encoded = this.#intern(
      received,
      kept === undefined ? this.options.nextHop : { global: kept, linkLocal: undefined },
      rewrite,
      originatorId === NOT_REFLECTED ? undefined : { originatorId, clusterId: this.options.clusterId },
    );
    nextHops.retain(nextHop);
    others.set(received, { encoded, nextHop, originatorId, next: first });
    return encoded;
  }

  #intern(
    received: number,
    nextHop: MpNextHop,
    rewrite: Rewrite | undefined,
    reflection: Reflection | undefined,
  ): number {
    const { rules, context } = this.options;
    // RFC 8950 §3: an IPv6 next hop stands in MP_REACH_NLRI, whatever family it leads to.
    const classic = familyOf(nextHop.global) === 'ipv4';
    const attribute = classic ? nextHop.global : undefined;
    if (rewrite !== undefined || !this.#copy(received, nextHop, attribute, reflection)) {
      const { value } = this.#modules.attributes.accepted(received);
      this.#scratch.length = 0;
      const exported = exportedAttributes(value, rules.target, attribute, rewrite, reflection);
      this.#modules.writeAttributes(exported, context, this.#scratch);
    }
    const mpNextHop = classic ? undefined : this.#modules.nextHopBytes(nextHop.global, nextHop.linkLocal);
    const { fourOctetAs } = context;
    return this.#modules.encoded.intern(
      { bytes: this.#scratch.view(), mpNextHop },
      { fourOctetAs, external: rules.target.external },
    );
  }

  /** Into the scratch. False: the long way is to be taken. */
  #copy(
    received: number,
    nextHop: MpNextHop,
    attribute: IpAddress | undefined,
    reflection: Reflection | undefined,
  ): boolean {
    const { rules, context } = this.options;
    // The recipe has one AS number.
    if (rules.target.innerAsn !== undefined) return false;
    const whole = context.fourOctetAs ? this.#modules.attributes.wholeOctets(received) : undefined;
    if (whole === undefined) return false;
    const recipe =
      reflection === undefined && nextHop === this.options.nextHop
        ? (this.#ownRecipe ??= exportRecipe(rules.target, attribute))
        : exportRecipe(rules.target, attribute, reflection);
    this.#scratch.length = 0;
    return this.#modules.copyAttributes(whole, recipe, this.#scratch);
  }

  /** Why the path of a prefix is or is not announced; LOCAL_PATH: what this node announces itself. */
  judge(rib: FamilyRib, prefix: number, path: number): Judgement {
    const { table } = rib;
    const { rules, family } = this.options;
    const w0 = table.word(prefix, 0);
    const w1 = table.word(prefix, 1);
    const w2 = table.word(prefix, 2);
    const w3 = table.word(prefix, 3);
    const length = table.lengthOf(prefix);
    if (path === LOCAL_PATH) {
      const own = this.#modules.attributes.accepted(rib.localAttributes(prefix));
      return rules.local(own, family, w0, w1, w2, w3, length);
    }
    const from = this.#modules.adjacencies.at(rib.paths.slot[path] as number);
    const attributes = this.#modules.attributes.accepted(rib.paths.attributes[path] as number);
    const judgement = rules.learned(
      attributes,
      from,
      rib.paths.nextHop[path] as number,
      family,
      w0,
      w1,
      w2,
      w3,
      length,
    );
    if (!judgement.accepted) return judgement;
    const nextHop = rib.paths.nextHop[path] as number;
    // Traffic for what is reflected with its next hop does not come here, so it need not resolve here.
    if (this.#isReflected(from) && this.#keeps(from, nextHop)) return this.#cannotKeep(nextHop) ?? judgement;
    return rib.isResolved(path) ? judgement : unresolved;
  }

  /** The next hop stays what it was. In Auto mode what is reflected has no other choice, and may not be announced at all. */
  #keeps(from: Adjacency, nextHop: number): boolean {
    const { keep } = this.options;
    if (keep === autoKeep) return this.#isReflected(from);
    const address = this.#modules.nextHops.global(nextHop);
    return address !== undefined && keep.keeps(address) && this.#cannotKeep(nextHop) === undefined;
  }

  #isReflected(from: Adjacency): boolean {
    return !this.options.external && !from.external;
  }

  /** Why a path cannot be said with the next hop it came with. */
  #cannotKeep(nextHop: number): Judgement | undefined {
    const address = this.#modules.nextHops.global(nextHop);
    if (address === undefined || isLinkLocal(address)) return onLinkOnly;
    const { family, context } = this.options;
    const isKnown = familyOf(address) === family || (family === 'ipv4' && context.extendedNextHop === true);
    return isKnown ? undefined : otherFamily;
  }

  /** Encoded attributes for the best path of a decided prefix, 0 for none, or KEEP. `learned`: learned routes may be announced. */
  wanted(rib: FamilyRib, prefix: number, learned: boolean): number {
    const best = rib.best(prefix);
    if (best === 0 || (best !== LOCAL_PATH && !(this.learnedToo && learned))) return 0;
    return this.#offer(rib, prefix, best);
  }

  /** The paths of a decided prefix that differ to those who hear of them. False: KEEP. */
  wantedPaths(rib: FamilyRib, prefix: number, learned: boolean, offers: Offers): boolean {
    const most = this.options.paths ?? 1;
    offers.clear();
    for (const path of rib.ranked(prefix)) {
      if (offers.count === most) break;
      if (path !== LOCAL_PATH && !(this.learnedToo && learned)) break;
      const encoded = this.#offer(rib, prefix, path);
      if (encoded === KEEP) return false;
      if (encoded !== 0 && !offers.hasEncoded(encoded)) offers.add(pathIdOf(path), encoded, rib.sourceOf(path));
    }
    return true;
  }

  #offer(rib: FamilyRib, prefix: number, path: number): number {
    if (path === LOCAL_PATH) {
      const judgement = this.judge(rib, prefix, path);
      return judgement.accepted ? this.#encode(rib.localAttributes(prefix), judgement.rewrite) : 0;
    }
    const attributes = rib.paths.attributes[path] as number;
    const from = this.#modules.adjacencies.at(rib.paths.slot[path] as number);
    // Its sweep is on its way, and another decision with it.
    if (!from.alive) return KEEP;
    const nextHop = rib.paths.nextHop[path] as number;
    const originatorId = this.#isReflected(from) ? from.routerId : NOT_REFLECTED;
    if (this.options.rules.ignoresPrefix && this.options.keep === autoKeep) {
      // What was said of the same path for another prefix is what is said for this one.
      if (originatorId !== NOT_REFLECTED) {
        const known = otherOf(this.#plain.others.get(attributes), nextHop, originatorId);
        if (known !== 0) return known;
      } else {
        const known = this.#plain.own.get(attributes);
        if (known !== 0) return !rib.isResolved(path) ? 0 : rib.awaitsKernel(prefix) ? KEEP : known;
      }
    }
    const judgement = this.judge(rib, prefix, path);
    if (!judgement.accepted) return 0;
    // The traffic does not come here, so it need not wait for the kernel.
    if (this.#keeps(from, nextHop)) return this.#encodeOther(attributes, judgement.rewrite, nextHop, originatorId);
    if (rib.awaitsKernel(prefix)) return KEEP;
    return originatorId === NOT_REFLECTED
      ? this.#encode(attributes, judgement.rewrite)
      : this.#encodeOther(attributes, judgement.rewrite, OURS, originatorId);
  }
}
