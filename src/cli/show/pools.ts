/** `flatroute pools` for people. PURE. */
import type { PoolAnswer } from '#status/answers.ts';
import { age } from '../output/age.ts';
import { renderTable, type TableOptions } from '../output/table.ts';

const number = (value: number): string => (value >= 2 ** 32 ? 'plenty' : String(value));

/** Fixed addresses are there to be used. */
export const poolIsFine = (it: PoolAnswer): boolean => it.disabled || it.assignmentMode === 'Manual' || it.free > 0;

function whoFor({ assignmentMode, disabled, namespaceSelector }: PoolAnswer): string {
  if (disabled) return 'nobody (disabled)';
  const who = namespaceSelector === undefined ? 'every namespace' : `namespaces ${namespaceSelector}`;
  return assignmentMode === 'Manual' ? `who asks, ${who}` : who;
}

function growth({ growthPerHour: perHour }: PoolAnswer): string {
  if (perHour === undefined) return '';
  const rounded = Math.round(perHour * 10) / 10;
  return `${rounded > 0 ? '+' : ''}${rounded}`;
}

export function showPools(pools: readonly PoolAnswer[], options: TableOptions): readonly string[] {
  if (pools.length === 0)
    return ['this node has no blocks: give its Node a spec.podCIDRs, or make an IPPool and an IPBlock'];
  const table = renderTable<PoolAnswer>(
    [
      { title: 'POOL', value: (p) => p.pool, shrinkTo: 8 },
      { title: 'FAMILY', value: (p) => p.family },
      { title: 'FOR', value: whoFor, shrinkTo: 12, drop: 1 },
      { title: 'BLOCKS', value: (p) => String(p.blocks), align: 'right', drop: 3 },
      { title: 'SIZE', value: (p) => number(p.capacity), align: 'right' },
      { title: 'USED', value: (p) => String(p.used), align: 'right' },
      { title: 'FENCED', value: (p) => String(p.fenced), align: 'right', drop: 2 },
      {
        title: 'FREE',
        value: (p) => number(p.free),
        align: 'right',
        colour: (p) => (poolIsFine(p) ? undefined : 'red'),
      },
      { title: 'REFUSED', value: (p) => String(p.refused), align: 'right', drop: 4 },
      { title: 'AN HOUR', value: growth, align: 'right', drop: 5 },
      {
        title: 'FULL IN',
        value: (p) => (p.fullInSeconds === undefined ? '' : age(p.fullInSeconds)),
        align: 'right',
        colour: (p) => ((p.fullInSeconds ?? Number.POSITIVE_INFINITY) < 3600 ? 'yellow' : undefined),
      },
    ],
    pools,
    options,
  );
  const claims = pools.flatMap(({ pool, family, claim }) =>
    claim === undefined ? [] : [`${pool} ${family}: ${claim}`],
  );
  return claims.length === 0 ? table : [...table, '', ...claims];
}
