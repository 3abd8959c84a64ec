/**
 * PURE: which pod has which address of the node's blocks. In: the intent, what the kernel had at the start (adopt), the
 * wishes of an ADD, and the life of an address afterwards: in use → fenced (DEL was answered, its veth still exists) →
 * free. Out: addresses, or the reason why there are none. Nothing is stored: the kernel's links are the record.
 */
import { families, type Family, familyOf, type IpAddress } from '#lib/ip.ts';
import { type Result, fail, ok } from '#lib/result.ts';
import { Block } from './block.ts';
import type { BlockFacts, IpamIntent } from './intent.ts';

export interface AddressWish {
  /** Names of the pools to take from; `undefined`: every pool with automatic assignment. */
  readonly pools: readonly string[] | undefined;
  /** Fixed addresses; the families they do not cover are taken from the pools. */
  readonly addresses: readonly IpAddress[];
}

export type AddressFailure =
  | { readonly kind: 'noPool' }
  | { readonly kind: 'unknownPool'; readonly pool: string; readonly known: readonly string[] }
  | { readonly kind: 'disabledPool'; readonly pool: string }
  /** `fenced` addresses become free as soon as their veths are gone. */
  | { readonly kind: 'full'; readonly family: Family; readonly pools: readonly string[]; readonly fenced: number }
  /** Not in any block of a pool with `assignmentMode: Manual`, or reserved. */
  | { readonly kind: 'notAssignable'; readonly address: IpAddress; readonly automaticPool: string | undefined }
  | { readonly kind: 'taken'; readonly address: IpAddress; readonly fenced: boolean };

interface Taken {
  readonly state: 'used' | 'fenced';
  /** `undefined` when no block of ours holds it. */
  readonly block: Block | undefined;
}

interface Pool {
  readonly name: string;
  readonly manual: boolean;
  readonly disabled: boolean;
  readonly blocks: readonly Block[];
}

export class Allocator {
  readonly #random: () => number;
  readonly #taken = new Map<IpAddress, Taken>();
  #pools: readonly Pool[] = [];
  #reservedText = '';

  /** `random` answers numbers in [0, 1). */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** Blocks that stay keep their order of release; addresses in use stay in use whatever happens to their block. */
  apply(intent: IpamIntent): void {
    const reservedText = intent.reserved.join(' ');
    const before = new Map(this.#pools.flatMap((pool) => pool.blocks.map((block) => [block.cidr, block])));
    const keep = reservedText === this.#reservedText ? before : new Map<string, Block>();
    this.#reservedText = reservedText;
    this.#pools = intent.pools.map((pool) => ({
      name: pool.name,
      manual: pool.assignmentMode === 'Manual',
      disabled: pool.disabled,
      blocks: pool.blocks.map((cidr) => keep.get(cidr) ?? new Block(cidr, intent.reserved, this.#random())),
    }));
    for (const [address, { state }] of this.#taken) this.adopt(address, state);
  }

  /** Whether any ADD at all could be served: some enabled pool has a block. */
  get servable(): boolean {
    return this.#pools.some((pool) => !pool.disabled && pool.blocks.length > 0);
  }

  /** Takes note of an address that a living or dying veth has, in a block of ours or not. */
  adopt(address: IpAddress, state: 'used' | 'fenced'): void {
    const block = this.#blocks().find((candidate) => candidate.assignable(address));
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
    const pools = this.#eligible(wish.pools);
    if (!pools.ok) return pools;
    for (const address of wish.addresses) {
      const failure = this.#whyNot(address, wish.pools);
      if (failure !== undefined) return fail(failure);
    }
    const addresses: IpAddress[] = [];
    for (const family of families) {
      const fixed = wish.addresses.filter((address) => familyOf(address) === family);
      if (fixed.length > 0) {
        addresses.push(...fixed);
        continue;
      }
      const blocks = pools.value.flatMap((pool) => pool.blocks.filter((block) => familyOf(block.cidr) === family));
      if (blocks.length === 0) continue;
      const address = this.#takeFrom(blocks);
      if (address === undefined) {
        for (const given of addresses) this.#giveBack(given, wish.addresses);
        const names = pools.value.filter((pool) => pool.blocks.some((block) => blocks.includes(block)));
        return fail({ kind: 'full', family, pools: names.map((pool) => pool.name), fenced: this.#fencedIn(blocks) });
      }
      addresses.push(address.value);
      this.#taken.set(address.value, { state: 'used', block: address.block });
    }
    if (addresses.length === 0) return fail({ kind: 'noPool' });
    for (const address of wish.addresses) this.adopt(address, 'used');
    return ok(addresses);
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
    taken.block?.release(address);
  }

  facts(): BlockFacts[] {
    const counts = new Map<Block, { used: number; fenced: number }>();
    for (const { block, state } of this.#taken.values()) {
      if (block === undefined) continue;
      const count = counts.get(block) ?? { used: 0, fenced: 0 };
      count[state] += 1;
      counts.set(block, count);
    }
    return this.#pools.flatMap((pool) =>
      pool.blocks.map((block) => ({
        pool: pool.name,
        cidr: block.cidr,
        capacity: block.capacity,
        used: counts.get(block)?.used ?? 0,
        fenced: counts.get(block)?.fenced ?? 0,
      })),
    );
  }

  /** Addresses of pods whose block was taken from the node. Those that wait for their veth to be gone do not count. */
  outsideBlocks(): { readonly count: number; readonly first: readonly IpAddress[] } {
    const first: IpAddress[] = [];
    let count = 0;
    for (const [address, { block, state }] of this.#taken) {
      if (block !== undefined || state !== 'used') continue;
      count += 1;
      if (first.length < 4) first.push(address);
    }
    return { count, first };
  }

  #blocks(): Block[] {
    return this.#pools.flatMap((pool) => [...pool.blocks]);
  }

  #eligible(names: readonly string[] | undefined): Result<readonly Pool[], AddressFailure> {
    if (names === undefined) return ok(this.#pools.filter((pool) => !pool.disabled && !pool.manual));
    const chosen: Pool[] = [];
    for (const name of names) {
      const pool = this.#pools.find((candidate) => candidate.name === name);
      if (pool === undefined)
        return fail({ kind: 'unknownPool', pool: name, known: this.#pools.map((known) => known.name) });
      if (pool.disabled) return fail({ kind: 'disabledPool', pool: name });
      chosen.push(pool);
    }
    return ok(chosen);
  }

  #whyNot(address: IpAddress, names: readonly string[] | undefined): AddressFailure | undefined {
    const having = this.#pools.filter((pool) => pool.blocks.some((block) => block.assignable(address)));
    const manual = having.find(
      (pool) => pool.manual && !pool.disabled && (names === undefined || names.includes(pool.name)),
    );
    if (manual === undefined)
      return { kind: 'notAssignable', address, automaticPool: having.find((pool) => !pool.manual)?.name };
    const taken = this.#taken.get(address);
    return taken === undefined ? undefined : { kind: 'taken', address, fenced: taken.state === 'fenced' };
  }

  #takeFrom(blocks: readonly Block[]): { readonly value: IpAddress; readonly block: Block } | undefined {
    for (const block of blocks) {
      const value = block.take((candidate) => this.#taken.has(candidate));
      if (value !== undefined) return { value, block };
    }
    return undefined;
  }

  #giveBack(address: IpAddress, fixed: readonly IpAddress[]): void {
    if (!fixed.includes(address)) this.free(address);
  }

  #fencedIn(blocks: readonly Block[]): number {
    let fenced = 0;
    for (const { state, block } of this.#taken.values())
      if (state === 'fenced' && block !== undefined && blocks.includes(block)) fenced += 1;
    return fenced;
  }
}
