/** Policies: desired against what GoBGP says. PURE. Other people's policies stay in force behind ours, which judge our peers alone. */
import type { DefinedSetMessage, PolicyAssignmentMessage, PolicyMessage } from './messages.ts';
import type { Step } from './plan.ts';
import { type Policies, policyMark } from './policies.ts';

/** Name of the assignment that holds for all peers, and its directions. */
export const globalTable = 'global';
export const direction = { import: 1, export: 2 } as const;

export interface ObservedPolicies {
  readonly sets: readonly DefinedSetMessage[];
  readonly policies: readonly PolicyMessage[];
  readonly assignments: readonly PolicyAssignmentMessage[];
}

export interface PolicyPlan {
  /** In force after these. */
  readonly before: readonly Step[];
  /** What is not used any more. */
  readonly after: readonly Step[];
  readonly changed: { readonly import: boolean; readonly export: boolean };
  /** Names of the export policies in force, ours first. */
  readonly exports: readonly string[];
  readonly drift: readonly string[];
}

const isOurs = ({ name }: { readonly name: string }): boolean => name.startsWith(policyMark);

/** Puts these in force, in this order. */
export const assign = (way: keyof typeof direction, names: readonly string[]): Step => ({
  method: 'SetPolicyAssignment',
  request: {
    assignment: {
      name: globalTable,
      direction: direction[way],
      policies: names.map((name) => ({ name, statements: [] })),
    },
  },
  what: `put policy ${names[0] ?? 'none'} in force`,
});

export function planPolicies(desired: Policies, observed: ObservedPolicies, remove: boolean): PolicyPlan {
  const before: Step[] = [];
  const after: Step[] = [];
  const drift: string[] = [];
  const sets = new Set(observed.sets.map(({ name }) => name));
  const policies = new Map(observed.policies.map((policy) => [policy.name, policy]));
  const changed = { import: false, export: false };
  for (const definedSet of desired.sets)
    if (!sets.has(definedSet.name))
      before.push({ method: 'AddDefinedSet', request: { definedSet }, what: `add set ${definedSet.name}` });
  const wanted = [desired.import, desired.export];
  let exports: readonly string[] = [];
  for (const policy of new Map(wanted.map((it) => [it.name, it])).values()) {
    const present = policies.get(policy.name);
    if (present === undefined)
      before.push({ method: 'AddPolicy', request: { policy }, what: `add policy ${policy.name}` });
    else if (present.statements.length !== policy.statements.length)
      drift.push(`policy ${policy.name} was changed in GoBGP by somebody else`);
  }
  for (const way of ['import', 'export'] as const) {
    const assigned = observed.assignments.find((it) => it.direction === direction[way])?.policies ?? [];
    const foreign = assigned.filter((policy) => !isOurs(policy));
    if (foreign.length > 0 && !remove)
      drift.push(...foreign.map(({ name }) => `policy ${name} was put in force by somebody else (${way})`));
    const names = [desired[way].name, ...(remove ? [] : foreign.map(({ name }) => name))];
    if (way === 'export') exports = names;
    if (names.join(' ') === assigned.map(({ name }) => name).join(' ')) continue;
    changed[way] = true;
    before.push(assign(way, names));
  }
  const used = new Set([...wanted, ...desired.sets].map(({ name }) => name));
  for (const policy of observed.policies)
    if (isOurs(policy) && !used.has(policy.name))
      after.push({
        method: 'DeletePolicy',
        request: { policy: { name: policy.name }, all: true },
        what: `delete policy ${policy.name}`,
      });
  for (const definedSet of observed.sets)
    if (isOurs(definedSet) && !used.has(definedSet.name))
      after.push({
        method: 'DeleteDefinedSet',
        request: { definedSet, all: true },
        what: `delete set ${definedSet.name}`,
      });
  return { before, after, changed, exports, drift };
}
