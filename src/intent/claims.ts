/** PURE: where this node may claim blocks, and which it has, as the claims see it. */
import type { ClaimIntent, ClaimPool } from '#ipam/claims/intent.ts';
import type { PoolIntent } from '#ipam/intent.ts';
import type { IPPool } from '#resources/ip-pool.ts';
import type { ResourceSet } from '#resources/resource-set.ts';
import { matches } from '#resources/selector.ts';
import type { Labels } from '#resources/selector.ts';
import { namespaceLimit } from './namespaces.ts';
import { blockSizeOf, isClosed, isManual, overlappedPools } from './pools.ts';

export function claimIntent(
  resources: ResourceSet,
  nodeName: string,
  labels: Labels,
  source: 'NodePodCIDR' | 'IPPools',
): ClaimIntent {
  const node = resources.nodes.find((it) => it.metadata.name === nodeName);
  const overlapping = overlappedPools(resources.ipPools);
  const open = resources.ipPools.filter(
    (pool) =>
      !isClosed(pool, overlapping) &&
      matches(pool.spec.nodeSelector.expression, labels) &&
      (source === 'IPPools' || isManual(pool)),
  );
  return {
    nodeUID: node?.metadata.uid,
    machineID: node?.status?.nodeInfo?.machineID,
    pools: open.map(
      (pool): ClaimPool => ({
        name: pool.metadata.name,
        cidr: pool.spec.cidr,
        blockSize: blockSizeOf(pool),
        use: useOf(pool, resources),
      }),
    ),
    reserved: resources.ipReservations.flatMap((it) => it.spec.reservedCIDRs),
    blocks: resources.ipBlocks
      .filter((it) => it.spec.node === nodeName)
      .map(({ metadata: { name }, spec: { cidr, state, nodeUID, machineID } }) => ({
        name,
        cidr,
        state,
        nodeUID,
        machineID,
      })),
  };
}

const useOf = (pool: IPPool, resources: ResourceSet): ClaimPool['use'] =>
  isManual(pool) ? 'named' : namespaceLimit(pool, resources.namespaces) === undefined ? 'everyPod' : 'somePods';

/** Pools in which the node may claim count although it has no block of them yet: a pod of theirs must not fall to others. */
export function withClaimable(
  pools: readonly PoolIntent[],
  claims: ClaimIntent,
  resources: ResourceSet,
): readonly PoolIntent[] {
  const byName = new Map(pools.map((it) => [it.name, it]));
  for (const { name, cidr, use } of claims.pools) {
    const pool = resources.ipPools.find((it) => it.metadata.name === name);
    const namespaces = pool === undefined ? undefined : namespaceLimit(pool, resources.namespaces);
    const fresh: PoolIntent = {
      name,
      blocks: [],
      assignmentMode: use === 'named' ? 'Manual' : 'Automatic',
      disabled: false,
      ...(namespaces === undefined ? {} : { namespaces }),
    };
    byName.set(name, { ...(byName.get(name) ?? fresh), claimable: cidr });
  }
  return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}
