/**
 * What the kernel still has of an earlier life, prefix by prefix, for one family: while a peer may still say again what it said
 * then, its next hop stays. In: the routes as they were read back, and which next hops are still hoped for; out: what is to
 * stand beside the next hops that were learned anew. It claims nothing: an inherited prefix has no path and no best.
 */
import type { Family } from '#lib/ip.ts';
import type { InheritedRoutes, NextHop } from '#dataplane/fib/route.ts';
import { fibRowBytes } from '#dataplane/fib/route.ts';
import { addressWords } from '../policy/words.ts';
import type { Resolution } from './next-hops.ts';
import type { PrefixTable } from './prefix-table.ts';
import { SparseColumn } from './sparse-column.ts';

type Resolved = Extract<Resolution, { ok: true }>;

interface Group {
  readonly members: readonly Resolved[];
  /** Those of its members that a peer may still name. */
  hoped: readonly Resolved[];
}

const sameHop = (a: NextHop, b: NextHop): boolean => a.gateway === b.gateway && a.interfaceIndex === b.interfaceIndex;

export class Inherited {
  readonly #groups = new Map<number, Group>();
  /** Number of the group by prefix; 0: nothing was inherited, or it was settled. */
  readonly #groupOf = new SparseColumn();

  /** Takes the rows of the table's family; `interned` is told each prefix, which must keep its id until it is forgotten. */
  constructor(routes: InheritedRoutes, table: PrefixTable, interned: (prefix: number) => void) {
    for (const { id, members } of routes.groups) {
      const resolved = members.map((hop): Resolved => ({ ok: true, hop, metric: 0 }));
      this.#groups.set(id, { members: resolved, hoped: resolved });
    }
    const family: Family = table.family;
    const [kind, size] = family === 'ipv4' ? [4, 4] : [6, 16];
    for (let row = 0; row < routes.groupIds.length; row++) {
      const at = row * fibRowBytes;
      if (routes.prefixes[at] !== kind) continue;
      const [w0, w1, w2, w3] = addressWords(routes.prefixes.subarray(at + 2, at + 2 + size));
      const prefix = table.intern(w0, w1, w2, w3, routes.prefixes[at + 1] as number);
      this.#groupOf.set(prefix, routes.groupIds[row] as number);
      interned(prefix);
    }
  }

  has(prefix: number): boolean {
    return this.#groupOf.get(prefix) !== 0;
  }

  forget(prefix: number): void {
    this.#groupOf.set(prefix, 0);
  }

  /**
   * The next hops that the kernel is to have when `decided` is what was learned so far. A set of equal paths that comes back one by
   * one keeps the members that are still to come; other paths than the earlier ones replace them. `whole`: nothing was
   * learned, and everything is still hoped for.
   */
  join(
    prefix: number,
    decided: readonly Resolution[],
  ): { readonly hops: readonly Resolution[]; readonly whole: boolean } {
    const group = this.#groups.get(this.#groupOf.get(prefix));
    if (group === undefined) return { hops: decided, whole: false };
    const { members, hoped } = group;
    if (decided.length === 0) return { hops: hoped, whole: hoped.length === members.length };
    const comesBack = decided.some((path) => path.ok && members.some(({ hop }) => sameHop(hop, path.hop)));
    return { hops: comesBack ? [...decided, ...hoped] : decided, whole: false };
  }

  /** Lets go of next hops that are hoped for no longer, for good; answers the groups that lost some. */
  review(isHoped: (hop: NextHop) => boolean): ReadonlySet<number> {
    const changed = new Set<number>();
    const known = new Map<string, boolean>();
    const stays = (hop: NextHop): boolean => {
      const key = `${hop.gateway}%${hop.interfaceIndex}`;
      const answer = known.get(key) ?? isHoped(hop);
      known.set(key, answer);
      return answer;
    };
    for (const [id, group] of this.#groups) {
      const hoped = group.hoped.filter(({ hop }) => stays(hop));
      if (hoped.length < group.hoped.length) changed.add(id);
      group.hoped = hoped;
    }
    return changed;
  }

  /** No member of any group is hoped for any more. */
  get isOver(): boolean {
    for (const { hoped } of this.#groups.values()) if (hoped.length > 0) return false;
    return true;
  }

  /** One slice over the prefixes of some groups; answers where to go on, 0 when it is done. */
  sweep(groups: ReadonlySet<number>, from: number, count: number, found: (prefix: number) => void): number {
    const start = this.#groupOf.nextWritten(from);
    if (start === undefined) return 0;
    for (let prefix = start; prefix < start + count; prefix++) if (groups.has(this.#groupOf.get(prefix))) found(prefix);
    return start + count;
  }
}
