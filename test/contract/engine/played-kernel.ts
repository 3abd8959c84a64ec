/**
 * A kernel that is only a table: it takes the updates of an engine as the FIB writer does, and notes what the port forbids.
 * Next hops are `GATEWAY%INTERFACE INDEX`, sorted.
 */
import type { NextHop } from '#dataplane/fib/route.ts';
import type { SaidUpdate } from './words.ts';

const nextHopText = ({ gateway, interfaceIndex }: NextHop): string => `${gateway}%${interfaceIndex}`;

export class PlayedKernel {
  readonly #rows = new Map<string, number>();
  readonly #groups = new Map<number, readonly NextHop[]>();
  /** Every group ever named, with its members. */
  readonly #named = new Map<number, string>();
  #sequence = 0;
  complete = false;
  /** What the engine did that the port forbids. */
  readonly violations: string[] = [];
  /** Of an earlier life, and not named since: gone with the update that is complete. */
  readonly #left: Map<string, readonly NextHop[]>;

  constructor(left: Readonly<Record<string, readonly NextHop[]>> = {}) {
    this.#left = new Map(Object.entries(left));
  }

  take({ sequence, groups, releasedGroups, rows, complete }: SaidUpdate): void {
    if (sequence !== this.#sequence + 1) this.violations.push(`update ${sequence} after ${this.#sequence}`);
    this.#sequence = sequence;
    for (const { id, members } of groups) {
      const text = members.map(nextHopText).sort().join(' ');
      const known = this.#named.get(id);
      if (known !== undefined && known !== text)
        this.violations.push(`group ${id} was ${known} and is ${text} in ${sequence}`);
      if (members.length === 0 || id === 0) this.violations.push(`group ${id} has ${members.length} members`);
      this.#named.set(id, text);
      this.#groups.set(id, members);
    }
    for (const { prefix, group } of rows) {
      this.#left.delete(prefix);
      if (group === 0) this.#rows.delete(prefix);
      else if (this.#groups.has(group)) this.#rows.set(prefix, group);
      else this.violations.push(`${prefix} leaves by group ${group}, which nobody named, in ${sequence}`);
    }
    for (const id of releasedGroups) {
      const users = [...this.#rows].filter(([, group]) => group === id).map(([prefix]) => prefix);
      if (users.length > 0) this.violations.push(`group ${id} is released in ${sequence} with ${users.join(', ')}`);
      this.#groups.delete(id);
    }
    if (complete && this.complete) this.violations.push(`complete a second time in ${sequence}`);
    if (complete) this.#left.clear();
    this.complete ||= complete;
  }

  get sequence(): number {
    return this.#sequence;
  }

  /** Groups that exist, whether a route uses them or not. */
  get groups(): number {
    return this.#groups.size;
  }

  get size(): number {
    return this.#left.size + this.#rows.size;
  }

  /** Prefix to next hops. */
  routes(): Readonly<Record<string, readonly string[]>> {
    const rows = Object.entries(this.inherited()).sort(([a], [b]) => (a < b ? -1 : 1));
    return Object.fromEntries(rows.map(([prefix, members]) => [prefix, members.map(nextHopText).sort()]));
  }

  /** What an engine's next life finds. */
  inherited(): Readonly<Record<string, readonly NextHop[]>> {
    const own = [...this.#rows].map(([prefix, group]) => [prefix, this.#groups.get(group) ?? []] as const);
    return Object.fromEntries([...this.#left, ...own]);
  }
}
