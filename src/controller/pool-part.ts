/** The status of IPPools, and the finalizer that holds one while nodes have blocks of it. */
import { parsePrefix } from '#lib/ip.ts';
import type { ApiObject } from '#kubernetes/store.ts';
import { ipBlock } from '#resources/ip-block.ts';
import { ipPool, type IPPool } from '#resources/ip-pool.ts';
import { readObject } from '#sources/kubernetes/read-object.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import { fieldOf } from './conditions.ts';
import { essence, type Part, type PartModules, statusTask } from './part.ts';
import { type PoolPlan, poolPlans, type SeenBlock, type SeenPool } from './pool-status.ts';
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

export const poolPart: Part = (modules) => {
  let pools: ReadonlyMap<string, SeenPool> = new Map();
  let blocks: readonly SeenBlock[] = [];
  modules.watch(types.pools, seenPool, (all) => {
    pools = all;
  });
  modules.watch(types.blocks, seenBlock, (all) => {
    blocks = [...all.values()].flat();
  });
  return (now) =>
    poolPlans([...pools.values()], blocks, now).flatMap((one) => [
      ...finalizerTask(one, pools.get(one.object.metadata.name), modules),
      ...statusTask(types.pools, one.object, one.status, modules),
    ]);
};

function finalizerTask(
  { object, finalizers }: PoolPlan,
  seen: SeenPool | undefined,
  { store, log, wrote }: PartModules,
): readonly Task[] {
  if (finalizers === undefined || seen === undefined) return [];
  const { name, resourceVersion, deletionTimestamp } = object.metadata;
  const run = async (): Promise<void> => {
    // A node may have claimed a block that the watch does not show yet.
    if (deletionTimestamp !== undefined) {
      const [live] = poolPlans([seen], (await store.list(types.blocks)).flatMap(seenBlock), '');
      if (live?.finalizers === undefined) return;
    }
    await store.patch(types.pools, name, { metadata: { resourceVersion, finalizers } });
    wrote('done');
    if (deletionTimestamp !== undefined) log('info', 'controller.pool-released', { pool: name });
  };
  return [{ key: `IPPool/${name} finalizer`, seldom: false, run }];
}
