/** How full the pools of this node are, and when they will be. PURE. */
import type { ClaimFacts } from '#ipam/claims/intent.ts';
import { contains, families, familyOf, type Prefix } from '#lib/ip.ts';
import { isSingleAddress } from '#resources/ip-pool.ts';
import type { PoolAnswer } from './answers.ts';
import type { Snapshot } from './snapshot.ts';

/** Beyond it nobody plans, and nothing grows evenly. */
const LONGEST_FORECAST_SECONDS = 365 * 86_400;

export function poolAnswers({ pools, pods, growth, claims }: Snapshot): readonly PoolAnswer[] {
  const all = pods?.blocks ?? [];
  return pools.flatMap(({ name: pool, assignmentMode, disabled, namespaces, claimable }) =>
    families.flatMap((family): PoolAnswer[] => {
      const blocks = all.filter((it) => it.pool === pool && familyOf(it.cidr) === family);
      const claim =
        claimable === undefined || familyOf(claimable) !== family ? undefined : claimText(claims, pool, claimable);
      if (blocks.length === 0 && claim === undefined) return [];
      const sum = (of: 'capacity' | 'used' | 'fenced'): number => blocks.reduce((total, it) => total + it[of], 0);
      const [capacity, used, fenced] = [sum('capacity'), sum('used'), sum('fenced')];
      const perHour = growth.find((it) => it.pool === pool && it.family === family)?.perHour;
      // Fixed addresses are there to be used; they do not run out.
      const fixed = assignmentMode === 'Manual' && blocks.every((it) => isSingleAddress(it.cidr));
      const seconds = perHour === undefined || perHour <= 0 ? undefined : ((capacity - used) / perHour) * 3600;
      return [
        {
          pool,
          family,
          assignmentMode,
          disabled,
          ...(namespaces === undefined ? {} : { namespaceSelector: namespaces.selector }),
          blocks: blocks.length,
          capacity,
          used,
          fenced,
          free: Math.max(0, capacity - used - fenced),
          refused: pods?.refusals.find((it) => it.pool === pool && it.family === family)?.count ?? 0,
          ...(perHour === undefined ? {} : { growthPerHour: perHour }),
          ...(seconds === undefined || fixed || seconds > LONGEST_FORECAST_SECONDS ? {} : { fullInSeconds: seconds }),
          ...(claim === undefined ? {} : { claim }),
        },
      ];
    }),
  );
}

function claimText(claims: ClaimFacts | undefined, pool: string, range: Prefix): string | undefined {
  const problem = claims?.problems.find(
    ({ kind, pools }) => kind === 'api' || kind === 'noNode' || pools.includes(pool),
  );
  if (problem !== undefined) return problem.text;
  const pending = claims?.pending.filter((it) => contains(range, it)) ?? [];
  return pending.length === 0 ? undefined : `${pending.join(', ')} is being claimed`;
}
