/**
 * GoBGP's best paths on their way into the kernel. In: per prefix the next hops of its best paths, and the kernel's view; out:
 * FibUpdates. GoBGP knows nothing of the kernel, so a next hop that leads nowhere is left out here. After a new start of
 * GoBGP what it has not said again stays until `sweep`.
 */
import type { Family, Prefix } from '#lib/ip.ts';
import { families, familyOf } from '#lib/ip.ts';
import type { FibUpdate } from '#dataplane/fib/route.ts';
import type { KernelView } from '#dataplane/kernel-view.ts';
import { FibOutput } from '../rib/fib-output.ts';
import { type NextHopSession, NextHops } from '../rib/next-hops.ts';
import { PrefixTable } from '../rib/prefix-table.ts';
import type { MpNextHop } from '../wire/messages.ts';

export interface BestHop {
  readonly nextHop: MpNextHop;
  readonly session: NextHopSession;
}

interface Row {
  /** Numbers of the next hops; empty: the best path is this node's own, or nobody's that may be installed. */
  hops: readonly number[];
  /** Of each next hop the peer that named it. */
  peers: readonly (string | undefined)[];
  /** What the kernel was told. */
  group: number;
  /** Life of GoBGP in which it was said. */
  life: number;
}

export class BestPaths {
  readonly nextHops = new NextHops();
  readonly #fib: FibOutput;
  readonly #tables: Readonly<Record<Family, PrefixTable>> = {
    ipv4: new PrefixTable('ipv4'),
    ipv6: new PrefixTable('ipv6'),
  };
  readonly #rows: Readonly<Record<Family, Map<number, Row>>> = { ipv4: new Map(), ipv6: new Map() };
  readonly #withheld = new Set<string>();
  #life = 0;
  #maximumPaths = 1;
  #installs = true;

  constructor(emit: (update: FibUpdate) => void) {
    this.#fib = new FibOutput(emit);
  }

  get unacknowledgedRows(): number {
    return this.#fib.unacknowledgedRows;
  }

  count(family: Family): number {
    return this.#rows[family].size;
  }

  /** What is said from now on is of a new life of GoBGP, or of a new look at it. */
  beginLife(): void {
    this.#life++;
  }

  /** The prefix was said in this life. */
  isSaid(prefix: Prefix): boolean {
    const family = familyOf(prefix);
    const id = this.#tables[family].findPrefix(prefix);
    return id !== 0 && this.#rows[family].get(id)?.life === this.#life;
  }

  set(prefix: Prefix, hops: readonly BestHop[]): void {
    const family = familyOf(prefix);
    const table = this.#tables[family];
    const id = table.internPrefix(prefix);
    const row = this.#rows[family].get(id) ?? { hops: [], peers: [], group: 0, life: 0 };
    this.#rows[family].set(id, row);
    const interned = hops.map(({ nextHop, session }) => this.nextHops.intern(nextHop, session));
    for (const hop of row.hops) this.nextHops.release(hop);
    row.hops = interned;
    row.peers = hops.map(({ session }) => session.peer);
    row.life = this.#life;
    this.#settle(family, id, row);
  }

  delete(prefix: Prefix): void {
    const family = familyOf(prefix);
    const id = this.#tables[family].findPrefix(prefix);
    const row = this.#rows[family].get(id);
    if (row !== undefined) this.#remove(family, id, row);
  }

  /** The path to the peer failed: nothing leaves by it until `restorePeer`, whatever GoBGP says. */
  withholdPeer(name: string): void {
    this.#withheld.add(name);
    this.#settleAll(({ peers }) => peers.includes(name));
  }

  restorePeer(name: string): void {
    this.#withheld.delete(name);
    this.#settleAll(({ peers }) => peers.includes(name));
  }

  /** A row has a next hop that the peer named. */
  isFrom(name: string): boolean {
    return families.some((family) => this.#rows[family].values().some(({ peers }) => peers.includes(name)));
  }

  /** Takes away what was not said in this life. */
  sweep(): void {
    for (const family of families)
      for (const [id, row] of this.#rows[family]) if (row.life !== this.#life) this.#remove(family, id, row);
  }

  clear(): void {
    for (const family of families) for (const [id, row] of this.#rows[family]) this.#remove(family, id, row);
  }

  setForwarding(maximumPaths: number, installs: boolean): void {
    if (this.#maximumPaths === maximumPaths && this.#installs === installs) return;
    this.#maximumPaths = maximumPaths;
    this.#installs = installs;
    this.#settleAll(() => true);
  }

  setView(view: KernelView): void {
    const changed = new Set(this.nextHops.setView(view));
    this.#fib.forgetResolutions();
    if (changed.size > 0) this.#settleAll(({ hops }) => hops.some((hop) => changed.has(hop)));
  }

  flush(complete: boolean): void {
    this.#fib.flush(complete);
  }

  applied(sequence: number): void {
    this.#fib.acknowledge(sequence);
  }

  #settleAll(concerns: (row: Row) => boolean): void {
    for (const family of families)
      for (const [id, row] of this.#rows[family]) if (concerns(row)) this.#settle(family, id, row);
  }

  #settle(family: Family, id: number, row: Row): void {
    const usable = this.#installs
      ? row.hops
          .filter((_, i) => !this.#withheld.has(row.peers[i] ?? ''))
          .map((hop) => this.nextHops.resolution(hop))
          .filter((resolution) => resolution.ok)
      : [];
    const group = this.#fib.groupFor(usable.slice(0, this.#maximumPaths));
    if (group === row.group) return;
    this.#fib.row(this.#tables[family], id, row.group, group);
    row.group = group;
  }

  #remove(family: Family, id: number, row: Row): void {
    for (const hop of row.hops) this.nextHops.release(hop);
    if (row.group !== 0) this.#fib.row(this.#tables[family], id, row.group, 0);
    this.#rows[family].delete(id);
    this.#tables[family].release(id);
  }
}
