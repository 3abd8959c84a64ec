/** The status of IPPools, and the finalizer that holds one while nodes have blocks of it, or Services addresses. */
import { hostPrefix, parsePrefix } from '#lib/ip.ts';
import type { ApiObject } from '#kubernetes/store.ts';
import { ipBlock } from '#resources/ip-block.ts';
import { ipPool, type IPPool } from '#resources/ip-pool.ts';
import { readObject } from '#sources/kubernetes/read-object.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import { fieldOf } from './conditions.ts';
import { essence, type Measurement, type Part, type PartModules, statusTask } from './part.ts';
import { type PoolPlan, poolPlans, type SeenBlock, type SeenPool } from './pool-status.ts';
import { ReportIndex } from './report-index.ts';
import { addressType, seeClaim } from './service-claims.ts';
import type { Task } from './tasks.ts';

const types = { pools: typeOf(ipPool), blocks: typeOf(ipBlock) } as const;

function seenPool(object: ApiObject): SeenPool {
  const { resource, problems } = readObject(object);
  const [first] = problems;
  const why = first === undefined ? 'it cannot be read' : `${first.field}: ${first.text}`;
  return {
    object: { ...essence(object), spec: object['spec'] },
    pool: resource?.kind === ipPool.kind ? (resource as IPPool) : undefined,
    problem: `${why}. No addresses are given from it; correct it, or delete it.`,
  };
}

function seenBlock({ spec }: ApiObject): readonly SeenBlock[] {
  const cidr = parsePrefix(String(fieldOf(spec, 'cidr')));
  return cidr === undefined ? [] : [{ cidr, node: String(fieldOf(spec, 'node')) }];
}

function seenAddress(object: ApiObject): readonly SeenBlock[] {
  const claim = seeClaim(object);
  return claim === undefined ? [] : [{ cidr: hostPrefix(claim.address), node: undefined }];
}

export const poolPart: Part = (modules) => {
  let pools: ReadonlyMap<string, SeenPool> = new Map();
  let blocks: readonly SeenBlock[] = [];
  let addresses: readonly SeenBlock[] = [];
  /** As they were decided last; `undefined`: something changed that decides about pools. */
  let tasks: readonly Task[] | undefined;
  const learning =
    <T>(learn: (all: ReadonlyMap<string, T>) => void) =>
    (all: ReadonlyMap<string, T>): void => {
      learn(all);
      tasks = undefined;
    };
  modules.watch(
    types.pools,
    seenPool,
    learning((all) => (pools = all)),
  );
  modules.watch(
    types.blocks,
    seenBlock,
    learning((all) => (blocks = [...all.values()].flat())),
  );
  modules.watch(
    addressType,
    seenAddress,
    learning((all) => (addresses = [...all.values()].flat())),
  );
  const reports = modules.reports((objects) => {
    for (const object of objects) if (object.startsWith(`${ipPool.kind}/`)) tasks = undefined;
  });
  function decide(now: string): readonly Task[] {
    const plans = poolPlans([...pools.values()], [...blocks, ...addresses], reports, now);
    modules.measured('pool_addresses', plans.slice(0, MOST_MEASURED).flatMap(poolMeasurements));
    return plans.flatMap((one) => [
      ...finalizerTask(one, pools, modules),
      ...statusTask(types.pools, one.object, one.status, modules),
    ]);
  }
  // Other kinds change all the time, and there may be tens of thousands of blocks.
  return (now) => (tasks ??= decide(now));
};

/** Pools that have series of their own. */
const MOST_MEASURED = 256;

function poolMeasurements({ object, status, addresses }: PoolPlan): readonly Measurement[] {
  const { name: pool } = object.metadata;
  const row = (state: string, value: number): Measurement => ({ labels: { pool, state }, value });
  return [
    row('used', status.usedAddresses),
    row('claimed', status.claimedAddresses),
    ...(addresses === undefined ? [] : [row('all', addresses)]),
  ];
}

function finalizerTask(
  { object, finalizers }: PoolPlan,
  pools: ReadonlyMap<string, SeenPool>,
  { store, log, wrote }: PartModules,
): readonly Task[] {
  if (finalizers === undefined) return [];
  const { name, resourceVersion, deletionTimestamp } = object.metadata;
  const run = async (): Promise<void> => {
    // There may be a claim that the watch does not show yet.
    if (deletionTimestamp !== undefined) {
      const blocks = (await store.list(types.blocks)).flatMap(seenBlock);
      const addresses = (await store.list(addressType)).flatMap(seenAddress);
      const plans = poolPlans([...pools.values()], [...blocks, ...addresses], new ReportIndex(), '');
      const live = plans.find((one) => one.object.metadata.name === name);
      if (live?.finalizers === undefined) return;
    }
    await store.patch(types.pools, name, { metadata: { resourceVersion, finalizers } });
    wrote('done');
    if (deletionTimestamp !== undefined) log('info', 'controller.pool-released', { pool: name });
  };
  return [{ key: `IPPool/${name} finalizer`, seldom: false, run }];
}
