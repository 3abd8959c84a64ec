/**
 * What stands in the status of an IPPool: how much of it nodes have, and whether it gives addresses. PURE. Conditions and the
 * finalizer are decided in pools.ts, as on every node.
 */
import { blocksAvailable, sizeOf } from '#intent/object-conditions.ts';
import { blockSizeOf } from '#intent/pools.ts';
import type { ApiObject } from '#kubernetes/store.ts';
import { contains, overlaps, parsePrefix, prefixLength, type Prefix } from '#lib/ip.ts';
import type { IPPool } from '#resources/ip-pool.ts';
import { allConditions } from './complaints.ts';
import { fieldOf, type StatusCondition, statusCondition } from './conditions.ts';
import type { NodeReports } from './report-index.ts';
import { blocksFinalizer, poolDecisions } from './pools.ts';

export interface PoolStatus {
  /** Blocks that nodes have. */
  readonly blocks: number;
  /** Blocks that there can be; absent beyond 2^31. */
  readonly capacity?: number;
  /** Nodes that have at least one. */
  readonly nodes: number;
  readonly usedAddresses: number;
  readonly claimedAddresses: number;
  readonly conditions: readonly StatusCondition[];
}

/** A pool as the API gave it, and as it was read; `undefined` with why where it could not be. */
export interface SeenPool {
  readonly object: ApiObject;
  readonly pool: IPPool | undefined;
  readonly problem: string;
}

/** What is taken of pools: a block of a node, or an address of Services. */
export interface SeenBlock {
  readonly cidr: Prefix;
  /** `undefined`: Services have it. */
  readonly node: string | undefined;
}

/** What is to be written of one pool. */
export interface PoolPlan {
  readonly object: ApiObject;
  readonly status: PoolStatus;
  /** That it has in all; `undefined`: it cannot be read. */
  readonly addresses: number | undefined;
  /** `undefined`: as they are. */
  readonly finalizers: readonly string[] | undefined;
}

/** Its bits; the schema's bound of a count. */
const LARGEST_COUNT = 31;

export function poolPlans(
  seen: readonly SeenPool[],
  blocks: readonly SeenBlock[],
  reports: Pick<NodeReports, 'complaints' | 'used'>,
  now: string,
): readonly PoolPlan[] {
  const readable = seen.flatMap(({ object, pool }) =>
    pool === undefined ? [] : [{ pool, finalizers: object.metadata.finalizers ?? [] }],
  );
  const prefixes = blocks.map(({ cidr }) => cidr);
  const decisions = new Map(poolDecisions(readable, prefixes).map((one) => [one.name, one]));
  return seen.map(({ object, pool, problem }): PoolPlan => {
    const decision = decisions.get(object.metadata.name);
    if (pool === undefined || decision === undefined) {
      const invalid = { type: 'Allocatable', status: 'False', reason: 'Invalid', message: problem } as const;
      const conditions = [statusCondition(invalid, object, now)];
      const finalizers = finalizersOfUnread(object, prefixes);
      const nothing = { blocks: 0, nodes: 0, usedAddresses: 0, claimedAddresses: 0 };
      return { object, status: { ...nothing, conditions }, addresses: undefined, finalizers };
    }
    const taken = blocks.filter(({ cidr }) => contains(pool.spec.cidr, cidr));
    const own = taken.filter(({ node }) => node !== undefined);
    const claimed = taken.reduce((sum, { cidr }) => sum + sizeOf(cidr), 0);
    const ofServices = taken.length - own.length;
    const { name } = object.metadata;
    const available = blocksAvailable(pool, claimed);
    const first = [decision.condition, ...(available === undefined ? [] : [available])];
    const bits = blockSizeOf(pool) - prefixLength(pool.spec.cidr);
    const status = {
      blocks: own.length,
      nodes: new Set(own.map(({ node }) => node)).size,
      ...(bits < LARGEST_COUNT ? { capacity: 2 ** Math.max(0, bits) } : {}),
      usedAddresses: Math.min(reports.used(name) + ofServices, Number.MAX_SAFE_INTEGER),
      claimedAddresses: Math.min(claimed, Number.MAX_SAFE_INTEGER),
      conditions: allConditions(object, first, reports.complaints(`IPPool/${name}`), now),
    };
    return { object, status, addresses: sizeOf(pool.spec.cidr), finalizers: decision.finalizers };
  });
}

/** It gets none; one that it has is let go when it is deleted and no block lies in whatever range it names. */
function finalizersOfUnread({ metadata, spec }: ApiObject, blocks: readonly Prefix[]): readonly string[] | undefined {
  const { finalizers = [], deletionTimestamp } = metadata;
  if (deletionTimestamp === undefined || !finalizers.includes(blocksFinalizer)) return undefined;
  const range = parsePrefix(String(fieldOf(spec, 'cidr')));
  if (range !== undefined && blocks.some((block) => overlaps(range, block))) return undefined;
  return finalizers.filter((one) => one !== blocksFinalizer);
}
