/**
 * Which pools give addresses, which one a block belongs to, and what is wrong with pools. PURE, and from the objects alone,
 * so that every node and the controller say the same of them.
 */
import { contains, overlaps, prefixLength } from '#lib/ip.ts';
import type { Prefix } from '#lib/ip.ts';
import { defaultBlockSize, isSingleAddress } from '#resources/ip-pool.ts';
import type { IPPool } from '#resources/ip-pool.ts';
import type { Condition } from './node-intent.ts';

/** A pool, and the elder one that it overlaps. */
export type Overlapping = ReadonlyMap<IPPool, IPPool>;

/** By creation and UID where an API server wrote them, then by name: whoever was there first keeps the range. */
const seniority = ({ metadata: { creationTimestamp = '', uid = '', name } }: IPPool): readonly string[] => [
  creationTimestamp,
  uid,
  name,
];

function byAge(a: IPPool, b: IPPool): number {
  const [one, two] = [seniority(a), seniority(b)];
  const at = one.findIndex((text, i) => text !== two[i]);
  return at < 0 ? 0 : (one[at] ?? '') < (two[at] ?? '') ? -1 : 1;
}

/** One that overlaps an elder pool in force gives no new addresses. */
export function overlappedPools(pools: readonly IPPool[]): Overlapping {
  const found = new Map<IPPool, IPPool>();
  const inForce: IPPool[] = [];
  for (const pool of [...pools].sort(byAge)) {
    const first = inForce.find((it) => overlaps(it.spec.cidr, pool.spec.cidr));
    if (first === undefined) inForce.push(pool);
    else found.set(pool, first);
  }
  return found;
}

export const isManual = (pool: IPPool | undefined): boolean => pool?.spec.assignmentMode === 'Manual';

export const blockSizeOf = ({ spec }: IPPool): number => spec.blockSize ?? defaultBlockSize(spec.cidr);

/** A Manual pool has fixed addresses beside its blocks. */
export const fits = (cidr: Prefix, pool: IPPool): boolean =>
  prefixLength(cidr) === blockSizeOf(pool) || (isManual(pool) && isSingleAddress(cidr));

export const poolOf = (cidr: Prefix, pools: readonly IPPool[], overlapping: Overlapping): IPPool | undefined =>
  pools.find((pool) => !overlapping.has(pool) && contains(pool.spec.cidr, cidr)) ??
  pools.find((pool) => contains(pool.spec.cidr, cidr));

/** Gives no new addresses to any node. */
export const isClosed = (pool: IPPool, overlapping: Overlapping): boolean =>
  pool.spec.disabled ||
  overlapping.has(pool) ||
  pool.metadata.deletionTimestamp !== undefined ||
  !pool.spec.allowedUses.includes('Workload');

export function allocatable(pool: IPPool, overlapping: Overlapping): Condition {
  const { name, deletionTimestamp } = pool.metadata;
  const base = { kind: 'IPPool', name, type: 'Allocatable' } as const;
  const first = overlapping.get(pool);
  if (first !== undefined) {
    const message = `${pool.spec.cidr} overlaps ${first.spec.cidr} of IPPool ${first.metadata.name}, which was there first. No new addresses are given from ${name}; give it a range of its own.`;
    return { ...base, status: 'False', reason: 'CIDROverlap', message };
  }
  if (deletionTimestamp !== undefined) {
    const last = pool.spec.allowedUses.includes('LoadBalancer')
      ? 'no Service has an address of it. Move its Services away'
      : 'no node has a block of it. Move its pods away';
    const message = `${name} is being deleted: no new addresses are given from it, and it is gone when ${last}.`;
    return { ...base, status: 'False', reason: 'Terminating', message };
  }
  if (pool.spec.disabled) {
    const message = `${name} is disabled: who has an address keeps it, no new ones are given. Set spec.disabled to false to use it again.`;
    return { ...base, status: 'False', reason: 'PoolDisabled', message };
  }
  const whom = pool.spec.allowedUses.includes('Workload') ? 'pods' : 'Services, and none to pods';
  return { ...base, status: 'True', reason: 'OK', message: `Addresses of ${pool.spec.cidr} are given to ${whom}.` };
}
