/**
 * Adj-rib-in and loc-rib of one family. In: announcements and withdrawals of adjacencies, local announcements, changed
 * policy and next hops; out: FIB rows for changed forwarding and "this prefix was decided" for the adj-ribs-out.
 *
 * Learning only marks a prefix; deciding happens later in slices, once per prefix however often it changed meanwhile.
 * Between the two `best` of a marked prefix is not to be trusted, and `isUndecided` says so.
 */
import type { InheritedRoutes, NextHop } from '#dataplane/fib/route.ts';
import type { Family, Prefix } from '#lib/ip.ts';
import type { AcceptedAttributes } from '../policy/accepted-attributes.ts';
import { asPathText } from '../policy/accepted-attributes.ts';
import type { Judgement } from '../policy/matcher.ts';
import { longLivedRewrite } from '../policy/rewrite.ts';
import type { NlriBlock } from '../wire/messages.ts';
import type { Adjacencies, Adjacency } from './adjacency.ts';
import type { AttributeStore, StoredAttributes } from './attribute-store.ts';
import type { Candidate, Decision, DecisionRules, LostBy } from './decision.ts';
import { decide, lostBy, missingMed, ranked } from './decision.ts';
import type { FibOutput } from './fib-output.ts';
import { Inherited } from './inherited.ts';
import type { NextHops, Resolution } from './next-hops.ts';
import { PATH_FLAG, Paths } from './paths.ts';
import { PrefixTable, eachNlri, grownInt32, grownUint8 } from './prefix-table.ts';
import { NumberQueue } from './sparse-column.ts';

const UNDECIDED = 1;
const LOCAL = 2;
/** `best` is there for reflection alone: its next hop does not resolve here. */
const UNRESOLVED = 4;
/** The path that `best` names is gone, and its number may be another path's. */
const BEST_GONE = 8;
/** `best` of a prefix that this node announces itself. */
export const LOCAL_PATH = -1;
/** `fibGroup` of a prefix that the kernel has of an earlier life, and for which it was told nothing yet. */
const INHERITED_GROUP = -1;

export interface RibModules {
  readonly adjacencies: Adjacencies;
  readonly attributes: AttributeStore;
  readonly nextHops: NextHops;
  readonly fib: FibOutput;
  /** The prefix was decided; whoever announces it compares with what was sent. */
  readonly decided: (rib: FamilyRib, prefix: number) => void;
}

/** Which paths a sweep removes or looks at again. */
export type Sweep =
  | { readonly kind: 'dead'; readonly adjacency: Adjacency }
  /** Paths of the lives before `life`. The adjacency may have begun another one since the sweep was ordered. */
  | { readonly kind: 'stale'; readonly adjacency: Adjacency; readonly life: number; readonly longLived?: boolean }
  /** Paths of those lives become the least preferred ones (RFC 9494 §4.2). */
  | { readonly kind: 'outlive'; readonly adjacency: Adjacency; readonly life: number }
  | { readonly kind: 'rejudge'; readonly adjacency: Adjacency }
  | { readonly kind: 'nextHops'; readonly changed: ReadonlySet<number> };

export interface Explanation extends Decision {
  readonly lost: ReadonlyMap<Candidate, LostBy>;
}

/** Lives are counted modulo 256, and those of an adjacency's paths are never far apart. */
const isBefore = (life: number, other: number): boolean => life !== other && ((other - life) & 255) < 128;

export class FamilyRib {
  readonly family: Family;
  readonly table: PrefixTable;
  readonly paths = new Paths();
  rules: DecisionRules;
  /** False: no decision asks for a kernel route. */
  installs = true;
  /** A reflector picks a path for its clients even where no next hop resolves for itself. */
  reflects = false;
  readonly #modules: RibModules;
  readonly #undecided = new NumberQueue();
  #state = new Uint8Array(1024);
  /** Path number, 0 or LOCAL_PATH. */
  #best = new Int32Array(1024);
  #fibGroup = new Int32Array(1024);
  /** Sequence number of the FibUpdate that the kernel has not confirmed; 0: the kernel is up to date. */
  #fibPending = new Int32Array(1024);
  /** How many adj-ribs-out have the prefix sent or queued; it keeps its id as long. */
  #holds = new Int32Array(1024);
  #bestCount = 0;
  #inherited: Inherited | undefined;
  readonly #local = new Map<Prefix, number>();
  /** By prefix id. */
  readonly #localAttributes = new Map<number, number>();

  constructor(family: Family, rules: DecisionRules, modules: RibModules) {
    this.family = family;
    this.table = new PrefixTable(family);
    this.rules = rules;
    this.#modules = modules;
  }

  get bestCount(): number {
    return this.#bestCount;
  }

  get undecidedCount(): number {
    return this.#undecided.size;
  }

  best(prefix: number): number {
    return this.#best[prefix] as number;
  }

  isUndecided(prefix: number): boolean {
    return ((this.#state[prefix] as number) & UNDECIDED) !== 0;
  }

  isLocal(prefix: number): boolean {
    return ((this.#state[prefix] as number) & LOCAL) !== 0;
  }

  /** The best path's next hop does not resolve: it is not installed, and nobody may send traffic for it here. */
  isUnresolved(prefix: number): boolean {
    return ((this.#state[prefix] as number) & UNRESOLVED) !== 0;
  }

  /** The kernel does not have the prefix's present next hops yet. */
  awaitsKernel(prefix: number): boolean {
    return this.#fibPending[prefix] !== 0;
  }

  /** An adj-rib-out has the prefix sent or queued. */
  isHeld(prefix: number): boolean {
    return this.#holds[prefix] !== 0;
  }

  hold(prefix: number): void {
    this.#holds[prefix] = (this.#holds[prefix] as number) + 1;
  }

  unhold(prefix: number): void {
    this.#holds[prefix] = (this.#holds[prefix] as number) - 1;
    this.#freeIfUnused(prefix);
  }

  #ensure(): void {
    const capacity = this.table.capacity;
    if (capacity <= this.#state.length) return;
    this.#state = grownUint8(this.#state, capacity);
    this.#best = grownInt32(this.#best, capacity);
    this.#fibGroup = grownInt32(this.#fibGroup, capacity);
    this.#fibPending = grownInt32(this.#fibPending, capacity);
    this.#holds = grownInt32(this.#holds, capacity);
    this.paths.ensurePrefixes(capacity);
  }

  #mark(prefix: number): void {
    const state = this.#state[prefix] as number;
    if ((state & UNDECIDED) !== 0) return;
    this.#state[prefix] = state | UNDECIDED;
    this.#undecided.push(prefix);
  }

  #freeIfUnused(prefix: number): void {
    if (
      this.paths.head(prefix) === 0 &&
      this.#state[prefix] === 0 &&
      this.#fibGroup[prefix] === 0 &&
      this.#holds[prefix] === 0
    ) {
      this.#fibPending[prefix] = 0;
      this.table.release(prefix);
    }
  }

  /** What this node announces itself, with the ids. */
  get local(): ReadonlyMap<Prefix, number> {
    return this.#local;
  }

  /** What this node announces itself, with its attributes; it wins over every learned path and makes no FIB row. */
  setLocal(desired: ReadonlyMap<Prefix, number>): void {
    const { attributes } = this.#modules;
    for (const carried of desired.values()) attributes.retain(carried);
    for (const [prefix, id] of this.#local) {
      attributes.release(this.localAttributes(id));
      if (desired.has(prefix)) continue;
      this.#local.delete(prefix);
      this.#localAttributes.delete(id);
      this.#state[id] = (this.#state[id] as number) & ~LOCAL;
      this.#mark(id);
    }
    for (const [prefix, carried] of desired) {
      const id = this.#local.get(prefix) ?? this.table.internPrefix(prefix);
      if (this.#localAttributes.get(id) === carried) continue;
      this.#ensure();
      this.#local.set(prefix, id);
      this.#localAttributes.set(id, carried);
      this.#state[id] = (this.#state[id] as number) | LOCAL;
      this.#mark(id);
    }
  }

  /** What an own prefix carries. */
  localAttributes(prefix: number): number {
    const attributes = this.#localAttributes.get(prefix);
    if (attributes === undefined) throw new RangeError(`prefix ${prefix} is not our own`);
    return attributes;
  }

  /** Every route of `nlri` with these accepted attributes; takes the references it needs. */
  announce(adjacency: Adjacency, nlri: NlriBlock, attributes: StoredAttributes, nextHop: number): void {
    const accepted = attributes.accepted;
    if (accepted === undefined) return;
    const loopFree = adjacency.rules.attributes(accepted) === undefined;
    const life = adjacency.life[this.family];
    const { paths } = this;
    eachNlri(nlri, (w0, w1, w2, w3, length, pathId) => {
      const prefix = this.table.intern(w0, w1, w2, w3, length);
      this.#ensure();
      // RFC 7911 §5: prefix and identifier together name a path.
      let path = paths.find(prefix, adjacency.slot, pathId);
      const isNew = path === 0;
      if (!isNew) {
        paths.life[path] = life;
        const observed = this.#modules.attributes.received(paths.attributes[path] as number);
        if (observed === attributes.id && paths.nextHop[path] === nextHop && !paths.isLongLived(path)) return;
      }
      const wasAccepted = !isNew && paths.isAccepted(path);
      const judgement = loopFree
        ? adjacency.rules.prefix(this.family, w0, w1, w2, w3, length, accepted, nextHop)
        : undefined;
      const carried = this.#carried(adjacency, judgement, attributes.id, accepted);
      if (isNew) {
        path = paths.add(prefix, adjacency.slot, pathId, carried, nextHop, life);
        this.#modules.attributes.retain(carried);
        this.#modules.nextHops.retain(nextHop);
        adjacency.received[this.family]++;
        adjacency.attributeOctets += attributes.octets;
      } else {
        adjacency.attributeOctets += attributes.octets - this.#octetsOf(path);
        this.#replace(path, carried, nextHop);
      }
      const isAccepted = judgement?.accepted === true;
      paths.flags[path] = isAccepted ? PATH_FLAG.accepted : 0;
      adjacency.accepted[this.family] += Number(isAccepted) - Number(wasAccepted);
      if (isAccepted || wasAccepted) this.#mark(prefix);
    });
  }

  /** The attributes that a path carries: as received, or what the rule that accepted it and its age make of them. */
  #carried(
    adjacency: Adjacency,
    judgement: Judgement | undefined,
    received: number,
    attributes: AcceptedAttributes,
    longLived = false,
  ): number {
    if (judgement?.accepted !== true) return received;
    const byRule = adjacency.rules.rewrite(judgement, attributes);
    const rewrite = longLived ? longLivedRewrite(byRule) : byRule;
    return rewrite === undefined ? received : this.#modules.attributes.derive(received, rewrite);
  }

  #replace(path: number, attributes: number, nextHop: number): void {
    const { paths } = this;
    const observedAttributes = paths.attributes[path] as number;
    const observedNextHop = paths.nextHop[path] as number;
    this.#modules.attributes.retain(attributes);
    this.#modules.nextHops.retain(nextHop);
    paths.attributes[path] = attributes;
    paths.nextHop[path] = nextHop;
    this.#modules.attributes.release(observedAttributes);
    this.#modules.nextHops.release(observedNextHop);
  }

  #octetsOf(path: number): number {
    return this.#modules.attributes.octets(this.paths.attributes[path] as number);
  }

  withdraw(adjacency: Adjacency, nlri: NlriBlock): void {
    eachNlri(nlri, (w0, w1, w2, w3, length, pathId) => {
      const prefix = this.table.find(w0, w1, w2, w3, length);
      const path = prefix === 0 ? 0 : this.paths.find(prefix, adjacency.slot, pathId);
      if (path !== 0) this.#remove(path, adjacency);
    });
  }

  #remove(path: number, adjacency: Adjacency): void {
    const { paths } = this;
    const prefix = paths.prefix[path] as number;
    const attributes = paths.attributes[path] as number;
    const nextHop = paths.nextHop[path] as number;
    adjacency.received[this.family]--;
    adjacency.attributeOctets -= this.#octetsOf(path);
    if (paths.isAccepted(path)) {
      adjacency.accepted[this.family]--;
      if (this.#best[prefix] === path) this.#state[prefix] = (this.#state[prefix] as number) | BEST_GONE;
      this.#mark(prefix);
    }
    paths.remove(path);
    this.#modules.attributes.release(attributes);
    this.#modules.nextHops.release(nextHop);
    this.#freeIfUnused(prefix);
  }

  /** One slice of a sweep over `count` path numbers from `from`; answers where to go on, 0 when it is done. */
  sweep(sweep: Sweep, from: number, count: number): number {
    const { paths } = this;
    const end = Math.min(from + count, paths.limit);
    for (let path = from; path < end; path++) {
      const prefix = paths.prefix[path] as number;
      if (prefix === 0) continue;
      if (sweep.kind === 'nextHops') {
        if (!sweep.changed.has(paths.nextHop[path] as number)) continue;
        const from = this.#modules.adjacencies.at(paths.slot[path] as number);
        if (from.rules.looksAtInterfaces) this.#rejudge(path, from);
        if (paths.isAccepted(path)) this.#mark(prefix);
        continue;
      }
      const { adjacency } = sweep;
      if (paths.slot[path] !== adjacency.slot) continue;
      if (sweep.kind === 'rejudge') this.#rejudge(path, adjacency);
      else if (sweep.kind === 'dead') this.#remove(path, adjacency);
      else if (!isBefore(paths.life[path] as number, sweep.life)) continue;
      else if (sweep.kind === 'outlive') this.#outlive(path, adjacency);
      else if (sweep.longLived !== true || paths.isLongLived(path)) this.#remove(path, adjacency);
    }
    return end >= paths.limit ? 0 : end;
  }

  /** RFC 9494 §4.2: a path that must not be stale for long goes, the others carry LLGR_STALE from now on. */
  #outlive(path: number, adjacency: Adjacency): void {
    const { paths } = this;
    if (paths.isLongLived(path)) return;
    if (this.#modules.attributes.accepted(paths.attributes[path] as number).noLongLived)
      return this.#remove(path, adjacency);
    paths.flags[path] = (paths.flags[path] as number) | PATH_FLAG.longLived;
    this.#rejudge(path, adjacency);
  }

  #rejudge(path: number, adjacency: Adjacency): void {
    const { paths, table } = this;
    const prefix = paths.prefix[path] as number;
    const observed = paths.attributes[path] as number;
    const received = this.#modules.attributes.received(observed);
    const attributes = this.#modules.attributes.accepted(received);
    const wasAccepted = paths.isAccepted(path);
    const longLived = paths.isLongLived(path);
    const judgement =
      adjacency.rules.attributes(attributes) ??
      adjacency.rules.prefix(
        this.family,
        table.word(prefix, 0),
        table.word(prefix, 1),
        table.word(prefix, 2),
        table.word(prefix, 3),
        table.lengthOf(prefix),
        attributes,
        paths.nextHop[path] as number,
      );
    const isAccepted = judgement.accepted;
    const carried = this.#carried(adjacency, judgement, received, attributes, longLived);
    if (isAccepted === wasAccepted && carried === observed) return;
    if (carried !== observed) this.#replace(path, carried, paths.nextHop[path] as number);
    paths.flags[path] = (isAccepted ? PATH_FLAG.accepted : 0) | (longLived ? PATH_FLAG.longLived : 0);
    adjacency.accepted[this.family] += Number(isAccepted) - Number(wasAccepted);
    this.#mark(prefix);
  }

  /** Decides every prefix again: settings of the decision changed. Cheap enough for what is seldom. */
  markAll(): void {
    for (let path = 1; path < this.paths.limit; path++) {
      const prefix = this.paths.prefix[path] as number;
      if (prefix !== 0) this.#mark(prefix);
    }
  }

  /** Decides up to `count` marked prefixes; answers whether some are left. */
  decideSome(count: number): boolean {
    for (let i = 0; i < count; i++) {
      const prefix = this.#undecided.shift();
      if (prefix === 0) return false;
      this.#state[prefix] = (this.#state[prefix] as number) & ~UNDECIDED;
      this.#decide(prefix);
    }
    return this.#undecided.size > 0;
  }

  /** What the kernel has of an earlier life stays while it is hoped for (`reviewInherited`). Once, before anything is learned. */
  inherit(routes: InheritedRoutes): void {
    this.#inherited = new Inherited(routes, this.table, (prefix) => {
      this.#ensure();
      this.#fibGroup[prefix] = INHERITED_GROUP;
    });
  }

  get isInheriting(): boolean {
    return this.#inherited !== undefined;
  }

  /** Inherited next hops that `isHoped` refuses are let go of; answers the slices of that, each whether more is left. */
  reviewInherited(isHoped: (hop: NextHop) => boolean): ((count: number) => boolean) | undefined {
    const inherited = this.#inherited;
    const changed = inherited?.review(isHoped);
    if (inherited === undefined || changed === undefined || changed.size === 0) return undefined;
    let at = 1;
    return (count) => {
      at = inherited.sweep(changed, at, count, (prefix) => this.#mark(prefix));
      if (at === 0 && inherited.isOver) this.#inherited = undefined;
      return at !== 0;
    };
  }

  /** The group of what was decided, and of what is inherited and still hoped for. */
  #groupFor(prefix: number, decided: readonly Resolution[]): number {
    const { fib } = this.#modules;
    const inherited = this.#inherited;
    if (inherited?.has(prefix) !== true) return fib.groupFor(decided);
    const { hops, whole } = inherited.join(prefix, decided);
    if (whole && this.#fibGroup[prefix] === INHERITED_GROUP) return INHERITED_GROUP;
    return fib.groupFor(hops);
  }

  #decide(prefix: number): void {
    const { fib } = this.#modules;
    let best = 0;
    let unresolved = 0;
    let hops: readonly Resolution[] = [];
    if (this.isLocal(prefix)) {
      best = LOCAL_PATH;
      this.#inherited?.forget(prefix);
    } else {
      let only = 0;
      let count = 0;
      for (let path = this.paths.head(prefix); path !== 0; path = this.paths.next[path] as number)
        if (this.#usable(path)) {
          only = path;
          count++;
        }
      if (count === 1) {
        best = only;
        hops = [this.#resolution(only)];
      } else if (count > 1) {
        const decision = decide(this.#candidates(prefix), this.rules, this.#current(prefix));
        best = decision?.best.path ?? 0;
        hops = (decision?.multipath ?? []).map((candidate) => this.#resolution(candidate.path));
      } else if (this.reflects) {
        best = decide(this.#candidates(prefix, true), this.rules, this.#current(prefix))?.best.path ?? 0;
        if (best !== 0) unresolved = UNRESOLVED;
      }
    }
    this.#bestCount -= this.#isUsed(prefix);
    this.#best[prefix] = best;
    this.#state[prefix] = ((this.#state[prefix] as number) & ~(UNRESOLVED | BEST_GONE)) | unresolved;
    this.#bestCount += this.#isUsed(prefix);
    const group = this.installs ? this.#groupFor(prefix, hops) : 0;
    const observed = this.#fibGroup[prefix] as number;
    if (observed !== group) {
      this.#fibGroup[prefix] = group;
      this.#fibPending[prefix] = fib.sequence;
      fib.row(this.table, prefix, observed, group);
    }
    this.#modules.decided(this, prefix);
    this.#freeIfUnused(prefix);
  }

  /** The path that was the best when the prefix was last decided, if it is still there. */
  #current(prefix: number): number {
    return ((this.#state[prefix] as number) & BEST_GONE) === 0 ? (this.#best[prefix] as number) : 0;
  }

  #isUsed(prefix: number): number {
    return Number(this.#best[prefix] !== 0 && !this.isUnresolved(prefix));
  }

  #usable(path: number): boolean {
    return this.#eligible(path) && this.#resolution(path).ok;
  }

  #eligible(path: number): boolean {
    return this.paths.isAccepted(path) && this.#modules.adjacencies.at(this.paths.slot[path] as number).alive;
  }

  #resolution(path: number): Resolution {
    return this.#modules.nextHops.resolution(this.paths.nextHop[path] as number);
  }

  /** What the decision process compares; an unresolved next hop takes a path out (RFC 4271 §9.1.2.1). */
  #candidates(prefix: number, unresolved = false): Candidate[] {
    const { paths } = this;
    const unsaid = missingMed(this.rules);
    const candidates: Candidate[] = [];
    for (let path = paths.head(prefix); path !== 0; path = paths.next[path] as number) {
      if (!(unresolved ? this.#eligible(path) : this.#usable(path))) continue;
      const resolution = this.#resolution(path);
      const adjacency = this.#modules.adjacencies.at(paths.slot[path] as number);
      const attributes = this.#modules.attributes.accepted(paths.attributes[path] as number);
      candidates.push({
        longLivedStale: attributes.longLivedStale,
        localPref: attributes.localPref,
        asPathLength: attributes.asPathLength,
        origin: attributes.value.origin,
        med: attributes.value.med ?? unsaid,
        neighborAsn: attributes.neighborAsn,
        external: adjacency.external,
        igpMetric: resolution.ok ? resolution.metric : 0,
        routerId: attributes.value.originatorId ?? adjacency.routerId,
        clusterListLength: attributes.value.clusterList.length,
        peerAddressKey: adjacency.addressKey,
        pathId: paths.idOf(path),
        asPathKey: this.rules.relax ? '' : asPathText(attributes.value),
        path,
      });
    }
    return candidates;
  }

  /** What may be announced of a decided prefix, the best first: our own, then paths by the decision process. */
  *ranked(prefix: number): Generator<number> {
    if (this.isLocal(prefix)) yield LOCAL_PATH;
    for (const { path } of ranked(this.#candidates(prefix), this.rules, this.#current(prefix))) yield path;
    if (!this.reflects) return;
    // Behind them what only others can reach.
    const unresolved = this.#candidates(prefix, true).filter(({ path }) => !this.isResolved(path));
    for (const { path } of ranked(unresolved, this.rules)) yield path;
  }

  /** The adjacency that a path came from; 0 for LOCAL_PATH. */
  sourceOf(path: number): number {
    return path === LOCAL_PATH ? 0 : (this.paths.slot[path] as number);
  }

  isResolved(path: number): boolean {
    return this.#resolution(path).ok;
  }

  /** The decision with what put each other candidate out; for people. */
  explain(prefix: number): Explanation | undefined {
    const candidates = this.#candidates(prefix);
    const decision = decide(candidates, this.rules, this.#current(prefix));
    return decision && { ...decision, lost: lostBy(candidates, this.rules, decision) };
  }

  /** The kernel has the row that update `sequence` carried for the prefix; true if no newer row is on its way. */
  kernelHas(prefix: number, sequence: number): boolean {
    if (this.#fibPending[prefix] !== sequence) return false;
    this.#fibPending[prefix] = 0;
    return true;
  }
}
