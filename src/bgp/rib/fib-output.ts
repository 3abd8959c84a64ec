/**
 * What forwarding wants from the kernel. In: changes of the next-hop set of a prefix; out: FibUpdates with groups of next
 * hops, packed rows and a growing sequence number. Groups are interned by their members and counted by the prefixes
 * that use them, so ten thousand routes over the same two routers are one group.
 */
import type { Family } from '#lib/ip.ts';
import type { FibUpdate, NextHop, NextHopGroup } from '#dataplane/fib/route.ts';
import { fibRowBytes } from '#dataplane/fib/route.ts';
import type { Resolution } from './next-hops.ts';
import type { PrefixTable } from './prefix-table.ts';

/** Rows of one update at most: large enough to pack well, small enough that its end is soon in the kernel. */
export const fibRowsPerUpdate = 4096;

interface Group extends NextHopGroup {
  readonly key: string;
  references: number;
}

/** The prefixes of one update, for the owner of the update's acknowledgement. */
export interface FibBatch {
  readonly family: Uint8Array;
  readonly prefixes: Int32Array;
}

export class FibOutput {
  readonly #emit: (update: FibUpdate) => void;
  #sequence = 1;
  #lastGroup = 0;
  readonly #groups = new Map<number, Group>();
  readonly #byKey = new Map<string, Group>();
  /** Groups of one next hop by its resolution, so that the common case builds no key. */
  readonly #single = new Map<Resolution, number>();
  #fresh: NextHopGroup[] = [];
  readonly #idle = new Set<Group>();
  #rows = new Uint8Array(fibRowBytes * fibRowsPerUpdate);
  #rowGroups = new Uint32Array(fibRowsPerUpdate);
  #rowIds = new Int32Array(fibRowsPerUpdate);
  #rowFamilies = new Uint8Array(fibRowsPerUpdate);
  #count = 0;
  readonly #unacknowledged = new Map<number, FibBatch>();
  #unacknowledgedRows = 0;

  constructor(emit: (update: FibUpdate) => void) {
    this.#emit = emit;
  }

  /** Sequence number of the update that is being filled. */
  get sequence(): number {
    return this.#sequence;
  }

  get pendingRows(): number {
    return this.#count;
  }

  /** Rows that were sent and that the kernel does not have yet, as far as it said. */
  get unacknowledgedRows(): number {
    return this.#unacknowledgedRows;
  }

  /** The group of these resolved next hops; 0 for none. Order and repetition do not matter. */
  groupFor(resolutions: readonly Resolution[]): number {
    const only = resolutions.length === 1 ? resolutions[0] : undefined;
    if (only !== undefined) {
      const known = this.#single.get(only);
      if (known !== undefined) return known;
    }
    const members = new Map<string, NextHop>();
    for (const resolution of resolutions)
      if (resolution.ok) members.set(`${resolution.hop.interfaceIndex} ${resolution.hop.gateway}`, resolution.hop);
    if (members.size === 0) return 0;
    const keys = [...members.keys()].sort();
    const key = keys.join(',');
    let group = this.#byKey.get(key);
    if (group === undefined) {
      const ordered = keys.flatMap((k) => members.get(k) ?? []);
      group = { id: ++this.#lastGroup, members: ordered, key, references: 0 };
      this.#byKey.set(key, group);
      this.#groups.set(group.id, group);
      this.#fresh.push({ id: group.id, members: ordered });
      this.#idle.add(group);
    }
    if (only !== undefined) this.#single.set(only, group.id);
    return group.id;
  }

  members(group: number): readonly NextHop[] {
    return this.#groups.get(group)?.members ?? [];
  }

  /** The prefix leaves by `desired` instead of `observed`; 0 is no route. Returns the sequence number of its update. */
  row(table: PrefixTable, prefix: number, observed: number, desired: number): number {
    const sequence = this.#sequence;
    this.#use(desired, 1);
    this.#use(observed, -1);
    const at = this.#count * fibRowBytes;
    const family: Family = table.family;
    this.#rows.fill(0, at, at + fibRowBytes);
    this.#rows[at] = family === 'ipv4' ? 4 : 6;
    this.#rows[at + 1] = table.lengthOf(prefix);
    table.writeAddress(prefix, this.#rows, at + 2);
    this.#rowGroups[this.#count] = desired;
    this.#rowIds[this.#count] = prefix;
    this.#rowFamilies[this.#count] = family === 'ipv4' ? 4 : 6;
    this.#count++;
    if (this.#count === fibRowsPerUpdate) this.flush(false);
    return sequence;
  }

  #use(id: number, by: 1 | -1): void {
    const group = this.#groups.get(id);
    if (group === undefined) return;
    group.references += by;
    if (group.references === 0) this.#idle.add(group);
    else this.#idle.delete(group);
  }

  /** Sends what has gathered; with `complete` even if that is nothing. */
  flush(complete: boolean): void {
    if (this.#count === 0 && !complete) return;
    const releasedGroups: number[] = [];
    for (const group of this.#idle) {
      releasedGroups.push(group.id);
      this.#groups.delete(group.id);
      this.#byKey.delete(group.key);
    }
    if (this.#idle.size > 0) this.#single.clear();
    this.#idle.clear();
    this.#unacknowledgedRows += this.#count;
    this.#unacknowledged.set(this.#sequence, {
      family: this.#rowFamilies.slice(0, this.#count),
      prefixes: this.#rowIds.slice(0, this.#count),
    });
    const update: FibUpdate = {
      sequence: this.#sequence++,
      groups: this.#fresh,
      releasedGroups,
      prefixes: this.#rows.slice(0, this.#count * fibRowBytes),
      groupIds: this.#rowGroups.slice(0, this.#count),
      complete,
    };
    this.#fresh = [];
    this.#count = 0;
    this.#emit(update);
  }

  /** Next hops were resolved anew: answers of before are not asked for again. */
  forgetResolutions(): void {
    this.#single.clear();
  }

  /** The rows of an update that the kernel now has; `undefined` if it is not waited for. */
  acknowledge(sequence: number): FibBatch | undefined {
    const batch = this.#unacknowledged.get(sequence);
    this.#unacknowledged.delete(sequence);
    this.#unacknowledgedRows -= batch?.prefixes.length ?? 0;
    return batch;
  }
}
