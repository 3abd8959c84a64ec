/** What the claims say of the node's addresses, where blocks are claimed. PURE. */
import type { ClaimProblem } from '#ipam/claims/intent.ts';
import type { Compiled, Condition, Facts } from './node-intent.ts';

const sentence = ({ text }: ClaimProblem): string => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`;

/** Stands over what resources alone say of BlocksAssigned. */
export function claimConditions({ nodeName, claims, conditions }: Compiled, facts: Facts): Condition[] {
  if (claims === undefined || claims.pools.length === 0) return [];
  const base = { kind: 'Node', name: nodeName, type: 'BlocksAssigned' } as const;
  const problems = (facts.claims?.problems ?? []).filter((it) => it.kind !== 'taken');
  const said = problems.map(sentence).join(' ');
  const assigned = conditions.find((it) => it.type === base.type && it.status === 'True');
  if (assigned !== undefined) return said === '' ? [] : [{ ...assigned, message: `${assigned.message} ${said}` }];
  // Fixed addresses alone are claimed when a pod asks for one.
  if (claims.pools.every((it) => it.use !== 'everyPod') && problems.length === 0) return [];
  const [first] = problems;
  if (first === undefined) {
    const pending = facts.claims?.pending ?? [];
    const which = pending.length === 0 ? '' : ` (${pending.join(', ')})`;
    const message = `${nodeName} claims its first block of ${claims.pools.map((it) => it.name).join(', ')}${which}. It takes a second; if it lasts, look at the agent's log.`;
    return [{ ...base, status: 'False', reason: 'ClaimPending', message }];
  }
  const reason = first.kind === 'exhausted' ? 'PoolsExhausted' : 'ClaimFailed';
  return [{ ...base, status: 'False', reason, message: `${nodeName} has no addresses for pods. ${said}` }];
}
