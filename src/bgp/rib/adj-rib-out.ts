/**
 * What one established peer was told of one family, and what it is still to be told. In: prefixes that were decided; out:
 * packed UPDATEs, computed when the peer has room, so a slow peer costs a bit per prefix and never memory for
 * messages: however often a route flaps meanwhile, it hears the last state once.
 */
import type { Family } from '#lib/ip.ts';
import type { FamilyRib } from './family-rib.ts';
import { NumberQueue, SparseColumn } from './sparse-column.ts';
import type { EncodedStore, UpdateGroup } from './update-group.ts';
import { KEEP, SENT_UNKNOWN } from './update-group.ts';

/** The part of the wire's UpdateWriter that is used here. */
export interface UpdatePacker {
  beginReach(attributes: Uint8Array, family: Family, nextHop: Uint8Array | undefined): boolean;
  beginWithdraw(family: Family): void;
  nlri(run: Uint8Array): void;
  end(): void;
}

/** Bit 0 of an entry: queued. The rest: number of the encoded attributes that were sent, 0 for none. */
const QUEUED = 1;
/** Length octet and 16 address octets. */
const longestNlri = 17;

export class AdjRibOut {
  readonly rib: FamilyRib;
  group: UpdateGroup;
  readonly slot: number;
  readonly #encoded: EncodedStore;
  readonly #entries = new SparseColumn();
  readonly #queue = new NumberQueue();
  /** Where the walk over the whole table stands; 0: none is on. */
  #walk = 1;
  #announced = 0;
  /** Learned routes may be announced; false while a restarted speaker has not heard its peers (RFC 4724 §4.1). */
  learned: boolean;
  #scratch = new Uint8Array(0);

  constructor(rib: FamilyRib, group: UpdateGroup, slot: number, encoded: EncodedStore, learned: boolean) {
    this.rib = rib;
    this.group = group;
    this.slot = slot;
    this.#encoded = encoded;
    this.learned = learned;
  }

  get announced(): number {
    return this.#announced;
  }

  /** Everything that is to be said was said. */
  get idle(): boolean {
    return this.#walk === 0 && this.#queue.size === 0;
  }

  /** The encoded attributes that the peer has for the prefix, 0 for none. */
  sent(prefix: number): number {
    return this.#entries.get(prefix) >> 1;
  }

  /** Looks at every prefix again: the peer is new, its policy or next hop changed. */
  walkAll(): void {
    this.#walk = 1;
  }

  decided(prefix: number): void {
    const entry = this.#entries.get(prefix);
    if ((entry & QUEUED) !== 0) return;
    if (entry === 0 && !this.#concerned(prefix)) return;
    this.#enqueue(prefix, entry);
  }

  #concerned(prefix: number): boolean {
    return this.rib.isLocal(prefix) || (this.learned && this.group.learnedToo && this.rib.best(prefix) !== 0);
  }

  #enqueue(prefix: number, entry: number): void {
    if (entry === 0) this.rib.hold(prefix);
    this.#entries.set(prefix, entry | QUEUED);
    this.#queue.push(prefix);
  }

  #walkSome(count: number): void {
    const end = Math.min(this.#walk + count, this.rib.table.limit);
    // A prefix without an id is not local and has no best path, so nothing is queued for it.
    for (let prefix = this.#walk; prefix < end; prefix++) this.decided(prefix);
    this.#walk = end === this.rib.table.limit ? 0 : end;
  }

  /**
   * Writes what up to `count` queued prefixes need. Answers whether there was anything to look at.
   * Sorted by attributes, so that as many prefixes as fit share a message.
   */
  run(packer: UpdatePacker, count: number): boolean {
    if (this.idle) return false;
    if (this.#walk !== 0) this.#walkSome(count);
    const withdrawn: number[] = [];
    const reach = new Map<number, number[]>();
    for (let i = 0; i < count; i++) {
      const prefix = this.#queue.shift();
      if (prefix === 0) break;
      this.#look(prefix, withdrawn, reach);
    }
    if (withdrawn.length > 0) {
      packer.beginWithdraw(this.rib.family);
      packer.nlri(this.#nlri(withdrawn));
      packer.end();
      for (const prefix of withdrawn) this.#settle(prefix, 0);
    }
    for (const [encoded, prefixes] of reach) {
      const { bytes, mpNextHop } = this.#encoded.get(encoded);
      // Attributes that leave no room for a prefix cannot be said to this peer (RFC 4271 §9.2): it must not have the route.
      if (packer.beginReach(bytes, this.rib.family, mpNextHop)) {
        packer.nlri(this.#nlri(prefixes));
        packer.end();
        for (const prefix of prefixes) this.#settle(prefix, encoded);
      } else {
        const told = prefixes.filter((prefix) => this.sent(prefix) !== 0);
        if (told.length > 0) {
          packer.beginWithdraw(this.rib.family);
          packer.nlri(this.#nlri(told));
          packer.end();
        }
        for (const prefix of prefixes) this.#settle(prefix, 0);
      }
    }
    return true;
  }

  #look(prefix: number, withdrawn: number[], reach: Map<number, number[]>): void {
    const sent = this.#entries.get(prefix) >> 1;
    // Decided again soon, and queued again then.
    const wanted = this.rib.isUndecided(prefix) ? KEEP : this.group.wanted(this.rib, prefix, this.slot, this.learned);
    if (wanted === KEEP || wanted === sent) this.#settle(prefix, sent);
    else if (wanted === 0) withdrawn.push(prefix);
    else {
      const list = reach.get(wanted);
      if (list === undefined) reach.set(wanted, [prefix]);
      else list.push(prefix);
    }
  }

  #nlri(prefixes: readonly number[]): Uint8Array {
    const needed = longestNlri * prefixes.length;
    if (this.#scratch.length < needed) this.#scratch = new Uint8Array(2 * needed);
    let at = 0;
    for (const prefix of prefixes) at = this.rib.table.writeNlri(prefix, this.#scratch, at);
    return this.#scratch.subarray(0, at);
  }

  /** The peer has `encoded` for the prefix now, and it is not queued any more. */
  #settle(prefix: number, encoded: number): void {
    const sent = this.#entries.get(prefix) >> 1;
    this.#entries.set(prefix, encoded << 1);
    if (encoded !== sent) {
      if (encoded !== 0) this.#encoded.retain(encoded);
      if (sent !== 0) this.#encoded.release(sent);
      this.#announced += Number(encoded !== 0) - Number(sent !== 0);
    }
    if (encoded === 0) this.rib.unhold(prefix);
  }

  /** Says everything again (RFC 2918 §4): the peer keeps what it has until it is replaced or withdrawn. */
  resendAll(): void {
    for (const prefix of this.sentPrefixes()) {
      const entry = this.#entries.get(prefix);
      this.#encoded.release(entry >> 1);
      this.#entries.set(prefix, (SENT_UNKNOWN << 1) | (entry & QUEUED));
    }
    this.walkAll();
  }

  /** Prefixes that the peer has from us, by id. */
  *sentPrefixes(): Generator<number> {
    const { limit } = this.rib.table;
    let prefix = this.#entries.nextWritten(1);
    while (prefix !== undefined && prefix < limit) {
      if (this.#entries.get(prefix) >> 1 !== 0) yield prefix;
      prefix = this.#entries.nextWritten(prefix + 1);
    }
  }

  /** Withdraws all that was sent, for a session that ends in order. */
  withdrawAll(packer: UpdatePacker): void {
    const prefixes = [...this.sentPrefixes()];
    if (prefixes.length === 0) return;
    packer.beginWithdraw(this.rib.family);
    packer.nlri(this.#nlri(prefixes));
    packer.end();
  }

  /** One slice of letting go of everything; answers where to go on, 0 when nothing is held any more. */
  dispose(from: number, count: number): number {
    let prefix = this.#entries.nextWritten(from);
    for (let i = 0; i < count && prefix !== undefined && prefix < this.rib.table.limit; i++) {
      const entry = this.#entries.get(prefix);
      if (entry !== 0) {
        this.#entries.set(prefix, 0);
        if (entry >> 1 !== 0) this.#encoded.release(entry >> 1);
        this.rib.unhold(prefix);
      }
      prefix = this.#entries.nextWritten(prefix + 1);
    }
    return prefix === undefined || prefix >= this.rib.table.limit ? 0 : prefix;
  }
}
