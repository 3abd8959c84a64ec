/**
 * What the peers of one update group were told of one family, and what they are still to be told. In: prefixes that were
 * decided; out: batches of packed UPDATEs that go to all members in step, the same octets to each. A prefix costs policy,
 * encoding and packing once, whatever the number of peers.
 *
 * Members are in step when they have what the rows say. Who is new, whose socket is full, who wants everything again, is
 * not: it notes what it has instead (`AdjRibOut.keep`) and catches up by itself. Nothing is written while no member could
 * take it, so that however often a route flaps meanwhile, its last state is said once.
 */
import type { AdjRibOut } from './adj-rib-out.ts';
import type { EncodedStore } from './encoded-store.ts';
import type { FamilyRib } from './family-rib.ts';
import type { RoutePacker, UpdatePacker } from './route-packer.ts';
import type { SentRows } from './sent-rows.ts';
import { PathRows, PrefixRows } from './sent-rows.ts';
import { NumberQueue } from './sparse-column.ts';
import type { UpdateGroup } from './update-group.ts';
import { KEEP, Offers } from './update-group.ts';

export interface GroupModules {
  readonly rib: FamilyRib;
  readonly encoded: EncodedStore;
  readonly packer: RoutePacker;
  /** Writes as the members want it. */
  readonly writer: UpdatePacker;
  /** Learned routes may be announced; false while a restarted speaker has not heard its peers (RFC 4724 §4.1). */
  readonly learned: () => boolean;
}

export class GroupRibOut {
  policy: UpdateGroup;
  readonly rows: SentRows;
  readonly #members = new Set<AdjRibOut>();
  /** Slot of the only member, 0 when there are several or none. What came from it is nobody's to hear, and is not looked at. */
  #only = 0;
  #skipped = false;
  #modules: GroupModules;
  readonly #withIds: boolean;
  readonly #queue = new NumberQueue();
  /** Where the walk over the whole table stands; 0: none is on. */
  #walk = 1;
  /** Members of the run that is on, by slot, and those that note what they have. */
  readonly #receivers = new Map<number, AdjRibOut>();
  #others: AdjRibOut[] = [];
  /** More or fewer routes for every member that is not told an exception. */
  #announced = 0;
  /** Routes that the rows say, and prefixes of which some are left out because the rows may say no more. */
  #said = 0;
  readonly #leftOut = new Set<number>();
  /** What single receivers hear beside the batch, because a path comes from them now or no longer does. */
  readonly #singly = new Map<AdjRibOut, number[]>();
  readonly #wanted = new Offers();
  /** Where letting go stands. */
  #disposing = 1;

  constructor(policy: UpdateGroup, modules: GroupModules) {
    this.policy = policy;
    this.#modules = modules;
    this.#withIds = policy.withIds;
    this.rows = this.#withIds
      ? new PathRows(modules.rib, modules.encoded)
      : new PrefixRows(modules.rib, modules.encoded);
  }

  get members(): ReadonlySet<AdjRibOut> {
    return this.#members;
  }

  join(member: AdjRibOut): void {
    this.#members.add(member);
    this.#countMembers();
    if (this.#only === 0 && this.#skipped) {
      this.#skipped = false;
      this.walkAll();
    }
  }

  leave(member: AdjRibOut): void {
    this.#members.delete(member);
    this.#countMembers();
  }

  #countMembers(): void {
    const [first] = this.#members;
    this.#only = this.#members.size === 1 && first !== undefined ? first.slot : 0;
  }

  get rib(): FamilyRib {
    return this.#modules.rib;
  }

  get learned(): boolean {
    return this.#modules.learned();
  }

  /** All that was decided is in the rows. */
  get idle(): boolean {
    return this.#walk === 0 && this.#queue.size === 0;
  }

  /** Looks at every prefix again: policy or the next hop changed. */
  walkAll(): void {
    this.#walk = 1;
  }

  /** Another policy holds for all members. Path identifiers and family stay. */
  become(policy: UpdateGroup, writer: UpdatePacker): void {
    this.policy.close();
    this.policy = policy;
    this.#modules = { ...this.#modules, writer };
    this.walkAll();
  }

  /** Goes on from what another group has said; nobody was told anything by this one yet. All of it is to be looked at. */
  takeOver({ rows }: GroupRibOut): void {
    for (let row = rows.nextUsed(1); row !== undefined; row = rows.nextUsed(row + 1))
      if (rows.encoded(row) !== 0) {
        this.rows.set(this.rows.intern(rows.prefixOf(row), rows.pathId(row)), rows.encoded(row), rows.source(row));
        this.#said++;
      }
    this.walkAll();
  }

  decided(prefix: number): void {
    const { rows } = this;
    if (rows.isQueued(prefix)) return;
    if (!rows.isKnown(prefix) && !this.#concerned(prefix)) {
      this.#leftOut.delete(prefix);
      return;
    }
    rows.queue(prefix);
    this.#queue.push(prefix);
  }

  /** Prefixes that are not announced, or not by all their paths, because no more may be. */
  get leftOut(): ReadonlySet<number> {
    return this.#leftOut;
  }

  get #most(): number {
    return this.policy.maxAnnounced ?? Number.POSITIVE_INFINITY;
  }

  /** There is room again for what was left out. */
  #refill(): void {
    let room = this.#most - this.#said;
    for (const prefix of this.#leftOut) {
      if (room-- <= 0) return;
      this.#leftOut.delete(prefix);
      this.decided(prefix);
    }
  }

  #concerned(prefix: number): boolean {
    const { rib } = this;
    if (rib.isLocal(prefix)) return true;
    if (!this.policy.learnedToo || !this.learned || rib.best(prefix) === 0) return false;
    // What nobody was told waits for the kernel's word, which comes here again.
    if (this.policy.awaitsKernel && rib.awaitsKernel(prefix)) return false;
    return !this.#isOnlyForSource(prefix);
  }

  #isOnlyForSource(prefix: number): boolean {
    // A limit counts what all members may hear, however many there are.
    if (this.#only === 0 || this.#withIds || this.policy.maxAnnounced !== undefined) return false;
    if (this.rib.sourceOf(this.rib.best(prefix)) !== this.#only) return false;
    this.#skipped = true;
    return true;
  }

  #walkSome(count: number): void {
    const { limit } = this.rib.table;
    const end = Math.min(this.#walk + count, limit);
    // A prefix without an id is not local and has no best path, so nothing is queued for it.
    for (let prefix = this.#walk; prefix < end; prefix++) this.decided(prefix);
    this.#walk = end === limit ? 0 : end;
  }

  /** What is said of a row to the adjacency in `slot`: encoded attributes, 0 for none. */
  saidTo(slot: number, row: number): number {
    return this.rows.source(row) === slot ? 0 : this.rows.encoded(row);
  }

  /** The row's prefix is to be looked at: by the policy of now the row may be wrong. */
  isOpen(row: number): boolean {
    const prefix = this.rows.prefixOf(row);
    return this.rows.isQueued(prefix) || (this.#walk !== 0 && prefix >= this.#walk);
  }

  /** The row's prefix is to be decided, or the kernel to say that it has it. */
  mayComeBack(row: number): boolean {
    const { rib } = this;
    const prefix = this.rows.prefixOf(row);
    return rib.isUndecided(prefix) || (rib.best(prefix) !== 0 && rib.awaitsKernel(prefix));
  }

  /** Says what up to `count` queued prefixes need. Answers whether there was anything to look at and somebody to hear it. */
  run(count: number): boolean {
    if (this.idle) return false;
    this.#gather();
    if (this.#receivers.size === 0 && !this.#others.some((member) => member.isWaiting)) return false;
    if (this.#walk !== 0) this.#walkSome(count);
    const { rows } = this;
    const looked: number[] = [];
    for (let prefix = 0; looked.length < count && (prefix = this.#queue.shift()) !== 0; ) {
      looked.push(prefix);
      this.#look(prefix);
    }
    const { packer, writer, rib } = this.#modules;
    const batch = packer.write(writer, rows, rib.table, this.#withIds);
    if (batch !== undefined)
      for (const member of this.#receivers.values()) member.hear(batch.for(member.slot), this.#announced);
    for (const [member, own] of this.#singly) member.tell(own);
    this.#singly.clear();
    for (const prefix of looked) rows.unqueue(prefix);
    if (this.#leftOut.size > 0) this.#refill();
    return true;
  }

  #gather(): void {
    this.#receivers.clear();
    this.#others = [];
    this.#announced = 0;
    for (const member of this.#members) {
      if (member.isReady) this.#receivers.set(member.slot, member);
      else this.#others.push(member);
    }
  }

  #look(prefix: number): void {
    const { rib, rows, policy, learned } = this;
    // Decided again soon, and queued again then.
    if (rib.isUndecided(prefix)) return;
    this.#leftOut.delete(prefix);
    if (!this.#withIds) {
      const encoded = this.#isOnlyForSource(prefix) ? 0 : policy.wanted(rib, prefix, learned);
      if (encoded !== KEEP) this.#change(prefix, encoded, encoded === 0 ? 0 : rib.sourceOf(rib.best(prefix)));
      return;
    }
    const wanted = this.#wanted;
    if (!policy.wantedPaths(rib, prefix, learned, wanted)) return;
    for (let i = 0; i < wanted.count; i++)
      this.#change(rows.intern(prefix, wanted.pathId(i)), wanted.encoded(i), wanted.source(i));
    for (let row = rows.first(prefix); row !== 0; row = rows.next(row))
      if (rows.encoded(row) !== 0 && !wanted.has(rows.pathId(row))) this.#change(row, 0, 0);
  }

  /** What of `desired` can be said of the row: nothing when no more may be, or when it does not fit into a message. */
  #sayable(row: number, desired: number): number {
    if (desired === 0) return 0;
    const { rows } = this;
    const observed = rows.encoded(row);
    if (this.#said + Number(observed === 0) > this.#most) {
      this.#leftOut.add(rows.prefixOf(row));
      return 0;
    }
    if (observed === desired) return desired;
    const { encoded, writer } = this.#modules;
    // Attributes that leave no room for a prefix cannot be said (RFC 4271 §9.2): the peers must not have the route.
    return writer.fits(encoded.length(desired), this.rib.family, encoded.hasMpNextHop(desired)) ? desired : 0;
  }

  /** The row says `desired` from now on, to all but the adjacency that the path came from. */
  #change(row: number, desired: number, desiredSource: number): void {
    const { rows } = this;
    const { packer } = this.#modules;
    const observed = rows.encoded(row);
    const observedSource = rows.source(row);
    const encoded = this.#sayable(row, desired);
    // Nothing comes from nobody.
    const source = encoded === 0 ? 0 : desiredSource;
    if (observed === encoded && observedSource === source) return;
    for (const member of this.#others) member.keep(row);
    const change = Number(encoded !== 0) - Number(observed !== 0);
    this.#announced += change;
    this.#said += change;
    if (observedSource === source) this.#receivers.get(source)?.count(-change);
    else this.#changeSource(row, observed, encoded, observedSource, source, change);
    if (encoded !== observed && this.#receivers.size > 0)
      packer.add(row, encoded, encoded === 0 ? observedSource : source);
    rows.set(row, encoded, source);
  }

  /** The old source did not have the old path, the new one is not to have the new path. */
  #changeSource(row: number, observed: number, encoded: number, from: number, to: number, change: number): void {
    const old = this.#receivers.get(from);
    old?.count(Number(encoded !== 0) - change);
    if (old !== undefined && encoded === observed) this.#tellSingly(old, row);
    const present = this.#receivers.get(to);
    present?.count(-Number(observed !== 0) - change);
    if (present !== undefined && observed !== 0) this.#tellSingly(present, row);
  }

  #tellSingly(member: AdjRibOut, row: number): void {
    const rows = this.#singly.get(member);
    if (rows === undefined) this.#singly.set(member, [row]);
    else rows.push(row);
  }

  /** What was added to the packer, as messages for one member alone. */
  pack(): Uint8Array | undefined {
    const { packer, writer, rib } = this.#modules;
    return packer.write(writer, this.rows, rib.table, this.#withIds)?.for(0);
  }

  get packer(): RoutePacker {
    return this.#modules.packer;
  }

  get encoded(): EncodedStore {
    return this.#modules.encoded;
  }

  /** Lets go of some of everything, when no member is left; answers whether something is left. */
  dispose(count: number): boolean {
    for (let i = 0; i < count && this.#queue.size > 0; i++) this.rows.unqueue(this.#queue.shift());
    if (this.#queue.size > 0) return true;
    this.#disposing = this.rows.dispose(this.#disposing, count);
    return this.#disposing !== 0;
  }
}
