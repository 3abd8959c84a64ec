/** PURE: what the controller writes on an IPPool: whether addresses are given from it, and what keeps it while blocks of it stand. */
import type { Condition } from '#intent/node-intent.ts';
import { allocatable, overlappedPools, poolOf } from '#intent/pools.ts';
import { overlaps, type Prefix } from '#lib/ip.ts';
import type { IPPool } from '#resources/ip-pool.ts';

/** While a pool has it and is deleted, no new addresses are given from it, and it stays until its last block, or address of a Service, is gone. */
export const blocksFinalizer = 'flatroute.io/blocks';

export interface PoolState {
  readonly pool: IPPool;
  readonly finalizers: readonly string[];
}

export interface PoolDecision {
  readonly name: string;
  readonly condition: Condition;
  /** `undefined`: as they are. */
  readonly finalizers: readonly string[] | undefined;
}

/** For every pool; `blocks` are all IPBlocks of the cluster, in whatever state, and all ServiceAddresses. */
export function poolDecisions(pools: readonly PoolState[], blocks: readonly Prefix[]): PoolDecision[] {
  const all = pools.map((it) => it.pool);
  const overlapping = overlappedPools(all);
  /** Its range may be another pool's, which was there first: what lies there is that one's. */
  const isOf = (block: Prefix, pool: IPPool): boolean => {
    const owner = poolOf(block, all, overlapping);
    return overlaps(pool.spec.cidr, block) && (owner === undefined || owner === pool || overlapping.has(owner));
  };
  return pools.map(({ pool, finalizers }) => {
    const going = pool.metadata.deletionTimestamp !== undefined;
    const has = finalizers.includes(blocksFinalizer);
    // It is put on before the first block is claimed: a pool that is deleted in between would leave blocks in no pool.
    const next = going ? has && blocks.some((block) => isOf(block, pool)) : true;
    return {
      name: pool.metadata.name,
      condition: allocatable(pool, overlapping),
      finalizers:
        next === has
          ? undefined
          : next
            ? [...finalizers, blocksFinalizer]
            : finalizers.filter((it) => it !== blocksFinalizer),
    };
  });
}
