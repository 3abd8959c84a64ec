/**
 * PURE: which pod has which address of the node's blocks. In: the intent, what the kernel had at the start (adopt), the
 * wishes of an ADD, and the life of an address afterwards: in use → fenced (DEL was answered, its veth still exists) →
 * free. Out: addresses, or the reason why there are none. Nothing is stored: the kernel's links are the record.
 */
import {
  contains,
  families,
  type Family,
  familyOf,
  hostPrefix,
  type IpAddress,
  networkAddress,
  type Prefix,
} from '#lib/ip.ts';
import { type Result, fail, ok } from '#lib/result.ts';
import { Block } from './block.ts';
import { type AddressWish as Wish, type Choosable, choosePools, type PoolFailure, whyNotPool } from './choice.ts';
import type { BlockFacts, IpamIntent } from './intent.ts';

export type AddressWish = Wish<IpAddress>;

export type AddressFailure =
  | PoolFailure
  /** No enabled pool with automatic assignment that is for this pod has a block here. */
  | { readonly kind: 'noPool'; readonly namespace: string }
  /** `fenced` addresses become free as soon as their veths are gone. */
  | {
      readonly kind: 'full';
      readonly family: Family;
      readonly pools: readonly string[];
      readonly capacity: number;
      readonly fenced: number;
      /** This node may claim more blocks of these pools. */
      readonly claimable: boolean;
    }
  /** In no block of this node, but in a pool of fixed addresses that the node may claim. */
  | { readonly kind: 'unclaimed'; readonly address: IpAddress; readonly pool: string }
  /** In no block of this node. */
  | { readonly kind: 'noBlock'; readonly address: IpAddress }
  /** Fixed addresses come from pools with `assignmentMode: Manual`. */
  | { readonly kind: 'automaticPool'; readonly address: IpAddress; readonly pool: string }
  /** The network, broadcast or anycast address of its block, or one that is reserved. */
  | { readonly kind: 'reserved'; readonly address: IpAddress; readonly block: Prefix; readonly reservation: boolean }
  | { readonly kind: 'taken'; readonly address: IpAddress; readonly fenced: boolean };

interface Taken {
  readonly state: 'used' | 'fenced';
  /** `undefined` when no block of ours holds it. */
  readonly block: Block | undefined;
}

interface Pool extends Choosable {
  /** Those that give no new addresses among them. */
  readonly blocks: readonly Block[];
  readonly closed: ReadonlySet<Prefix>;
  readonly claimable: Prefix | undefined;
}

interface Holder {
  readonly pool: Pool;
  readonly block: Block;
}

export class Allocator {
  readonly #random: () => number;
  readonly #taken = new Map<IpAddress, Taken>();
  #pools: readonly Pool[] = [];
  /** Blocks of one address: there may be hundreds. */
  #single: ReadonlyMap<IpAddress, Holder> = new Map();
  #reserved: readonly Prefix[] = [];
  #knownNamespaces: ReadonlySet<string> = new Set();
  #releases = 0;

  /** `random` answers numbers in [0, 1). */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** Blocks that stay keep their order of release; addresses in use stay in use whatever happens to their block. */
  apply(intent: IpamIntent): void {
    const sameReserved = intent.reserved.join(' ') === this.#reserved.join(' ');
    const before = new Map(this.#pools.flatMap((pool) => pool.blocks.map((block) => [block.cidr, block])));
    const keep = sameReserved ? before : new Map<string, Block>();
    this.#reserved = intent.reserved;
    this.#knownNamespaces = new Set(intent.knownNamespaces);
    this.#pools = intent.pools.map((pool) => ({
      name: pool.name,
      manual: pool.assignmentMode === 'Manual',
      disabled: pool.disabled,
      namespaces: pool.namespaces,
      closed: new Set(pool.closed),
      claimable: pool.claimable,
      blocks: pool.blocks.map((cidr) => keep.get(cidr) ?? new Block(cidr, intent.reserved, this.#random())),
    }));
    this.#single = new Map(
      this.#pools.flatMap((pool) =>
        pool.blocks
          .filter((block) => block.isSingleAddress)
          .map((block) => [networkAddress(block.cidr), { pool, block }] as const),
      ),
    );
    for (const [address, { state }] of this.#taken) this.adopt(address, state);
  }

  /** Whether any ADD at all could be served: some enabled pool has a block. */
  get servable(): boolean {
    return this.#pools.some((pool) => !pool.disabled && (pool.blocks.length > 0 || pool.claimable !== undefined));
  }

  /** Takes note of an address that a living or dying veth has, in a block of ours or not. */
  adopt(address: IpAddress, state: 'used' | 'fenced'): void {
    const block = this.#blockOf(address)?.block;
    block?.claim(address);
    this.#taken.set(address, { state, block });
  }

  isTaken(address: IpAddress): boolean {
    return this.#taken.has(address);
  }

  /** Every address that nobody may be given now. */
  taken(): ReadonlySet<IpAddress> {
    return new Set(this.#taken.keys());
  }

  /** All or nothing: addresses of a failed wish are as free as before. */
  assign(wish: AddressWish): Result<readonly IpAddress[], AddressFailure> {
    for (const address of wish.addresses) {
      const failure = this.#whyNot(address, wish.namespace ?? '');
      if (failure !== undefined) return fail(failure);
    }
    const open = families.filter((family) => !wish.addresses.some((address) => familyOf(address) === family));
    const chosen = open.length === 0 ? ok([]) : choosePools(wish, this.#pools, this.#knownNamespaces);
    if (!chosen.ok) return chosen;
    const taken = new Map<IpAddress, Block>();
    for (const family of open) {
      const having = ({ blocks, claimable }: Pool): boolean =>
        blocks.some((block) => familyOf(block.cidr) === family) ||
        (claimable !== undefined && familyOf(claimable) === family);
      const pools = chosen.value.map((group) => group.filter(having)).find((group) => group.length > 0) ?? [];
      if (pools.length === 0) continue;
      const found = this.#takeFrom(pools, family);
      if (found === undefined) {
        for (const address of taken.keys()) this.free(address);
        return fail(this.#full(pools, family));
      }
      taken.set(found.address, found.block);
      this.#taken.set(found.address, { state: 'used', block: found.block });
    }
    if (taken.size + wish.addresses.length === 0) return fail({ kind: 'noPool', namespace: wish.namespace ?? '' });
    for (const address of wish.addresses) this.adopt(address, 'used');
    const all = [...wish.addresses, ...taken.keys()];
    return ok(families.flatMap((family) => all.filter((address) => familyOf(address) === family)));
  }

  /** The pod is gone but its veth is not: nobody may have the address yet. */
  fence(address: IpAddress): void {
    const taken = this.#taken.get(address);
    if (taken !== undefined) this.#taken.set(address, { ...taken, state: 'fenced' });
  }

  /** The veth is gone: the address goes to the end of the queue. */
  free(address: IpAddress): void {
    const taken = this.#taken.get(address);
    if (taken === undefined) return;
    this.#taken.delete(address);
    taken.block?.release(address, this.#releases++);
  }

  facts(): BlockFacts[] {
    const counts = new Map<Block, { used: number; fenced: number; reserved: number }>();
    for (const [address, { block, state }] of this.#taken) {
      if (block === undefined) continue;
      const count = counts.get(block) ?? { used: 0, fenced: 0, reserved: 0 };
      count[state] += 1;
      // Reserved after it was given: it counts as long as it is out.
      if (!block.assignable(address)) count.reserved += 1;
      counts.set(block, count);
    }
    return this.#pools.flatMap((pool) =>
      pool.blocks.map((block) => ({
        pool: pool.name,
        cidr: block.cidr,
        capacity: block.capacity + (counts.get(block)?.reserved ?? 0),
        used: counts.get(block)?.used ?? 0,
        fenced: counts.get(block)?.fenced ?? 0,
        ...(pool.closed.has(block.cidr) ? { closed: true } : {}),
      })),
    );
  }

  /** Whether the address is a block of its own in a pool with manual assignment. */
  isFixed(address: IpAddress): boolean {
    return this.#single.get(address)?.pool.manual === true;
  }

  fixedAddresses(): IpAddress[] {
    return this.#those('used', (_, address) => this.isFixed(address));
  }

  /** Addresses of pods whose block was taken from the node. Those that wait for their veth to be gone do not count. */
  outsideBlocks(): IpAddress[] {
    return this.#those('used', ({ block }) => block === undefined);
  }

  fencedOutsideBlocks(): IpAddress[] {
    return this.#those('fenced', ({ block }) => block === undefined);
  }

  #those(state: Taken['state'], which: (taken: Taken, address: IpAddress) => boolean): IpAddress[] {
    const found: IpAddress[] = [];
    for (const [address, taken] of this.#taken) if (taken.state === state && which(taken, address)) found.push(address);
    return found.sort();
  }

  #blockOf(address: IpAddress): Holder | undefined {
    const single = this.#single.get(address);
    if (single !== undefined) return single;
    for (const pool of this.#pools) {
      const block = pool.blocks.find((candidate) => !candidate.isSingleAddress && candidate.holds(address));
      if (block !== undefined) return { pool, block };
    }
    return undefined;
  }

  #claimableFor(address: IpAddress): Pool | undefined {
    return this.#pools.find(({ claimable }) => claimable !== undefined && contains(claimable, address));
  }

  #whyNot(address: IpAddress, namespace: string): AddressFailure | undefined {
    const found = this.#blockOf(address);
    const pool = found?.pool ?? this.#claimableFor(address);
    if (pool === undefined) return { kind: 'noBlock', address };
    if (!pool.manual) return { kind: 'automaticPool', address, pool: pool.name };
    const refused = whyNotPool(pool, namespace, this.#knownNamespaces);
    if (refused !== undefined) return refused;
    const reserved = this.#reserved.some((prefix) => contains(prefix, address));
    if (found === undefined) {
      if (reserved) return { kind: 'reserved', address, block: hostPrefix(address), reservation: true };
      return { kind: 'unclaimed', address, pool: pool.name };
    }
    const { block } = found;
    if (pool.closed.has(block.cidr) && !this.#taken.has(address))
      return { kind: 'unclaimed', address, pool: pool.name };
    if (!block.assignable(address)) return { kind: 'reserved', address, block: block.cidr, reservation: reserved };
    const taken = this.#taken.get(address);
    return taken === undefined ? undefined : { kind: 'taken', address, fenced: taken.state === 'fenced' };
  }

  /** Pools in their order; in a pool first what nobody has had, then what was released longest ago. */
  #takeFrom(
    pools: readonly Pool[],
    family: Family,
  ): { readonly address: IpAddress; readonly block: Block } | undefined {
    const isTaken = (candidate: IpAddress): boolean => this.#taken.has(candidate);
    for (const pool of pools) {
      const blocks = pool.blocks.filter(({ cidr }) => familyOf(cidr) === family && !pool.closed.has(cidr));
      for (const block of blocks) {
        const address = block.takeFresh(isTaken);
        if (address !== undefined) return { address, block };
      }
      for (;;) {
        const block = oldestOf(blocks);
        if (block === undefined) break;
        const address = block.takeReleased(isTaken);
        if (address !== undefined) return { address, block };
      }
    }
    return undefined;
  }

  #full(pools: readonly Pool[], family: Family): AddressFailure {
    const blocks = new Set(pools.flatMap((pool) => pool.blocks.filter((block) => familyOf(block.cidr) === family)));
    let capacity = 0;
    for (const block of blocks) capacity += block.capacity;
    let fenced = 0;
    for (const { state, block } of this.#taken.values())
      if (state === 'fenced' && block !== undefined && blocks.has(block)) fenced += 1;
    const claimable = pools.some((pool) => pool.claimable !== undefined && !pool.disabled);
    return { kind: 'full', family, pools: pools.map((pool) => pool.name), capacity, fenced, claimable };
  }
}

function oldestOf(blocks: readonly Block[]): Block | undefined {
  let oldest: Block | undefined;
  for (const block of blocks) {
    const at = block.oldestRelease;
    if (at !== undefined && at < (oldest?.oldestRelease ?? Number.POSITIVE_INFINITY)) oldest = block;
  }
  return oldest;
}
