/** Policies: desired against what GoBGP says. PURE. Other people's policies stay in force behind ours, which judge our peers alone. */
import type { DefinedSetMessage, PolicyAssignmentMessage, PolicyMessage } from './messages.ts';
import type { Step } from './plan.ts';
import { type Policies, policyMark, policyMarks } from './policies.ts';

/** Name of the assignment that holds for all peers, and its directions. */
export const globalTable = 'global';
export const direction = { import: 1, export: 2 } as const;
type Way = keyof typeof direction;

export interface ObservedPolicies {
  readonly sets: readonly DefinedSetMessage[];
  readonly policies: readonly PolicyMessage[];
  readonly assignments: readonly PolicyAssignmentMessage[];
}

/** Names of peers, or of all of them. */
export type Changed = 'all' | ReadonlySet<string>;

/** `name`: of a peer, or of one that came from its listen range. */
export const isAmong = (changed: Changed, name: string): boolean =>
  changed === 'all' || changed.has(name) || changed.has(name.replace(/\/.*$/, ''));

export interface PolicyPlan {
  /**
   * Export policies that were in force before a change that nobody finished, put in force again: what they let through may be with
   * peers still. `undefined`: there are none.
   */
  readonly resume: Step | undefined;
  /** In force after these. */
  readonly before: readonly Step[];
  /** What is not used any more; while an old policy is there, the change to its successor is not finished. */
  readonly after: readonly Step[];
  /** Whose paths are judged otherwise than before. */
  readonly changed: Readonly<Record<Way, Changed>>;
  /** Names of the export policies in force, ours first. */
  readonly exports: readonly string[];
  readonly drift: readonly string[];
}

const isOurs = ({ name }: { readonly name: string }): boolean =>
  name.startsWith(policyMark) && !name.startsWith(policyMarks.started);

/** Puts these in force, in this order. */
export const assign = (way: Way, names: readonly string[]): Step => ({
  method: 'SetPolicyAssignment',
  request: {
    assignment: {
      name: globalTable,
      direction: direction[way],
      policies: names.map((name) => ({ name, statements: [] })),
    },
  },
  what: `put policies ${names.join(' ') || 'none'} in force (${way})`,
});

export function planPolicies(desired: Policies, observed: ObservedPolicies, remove: boolean): PolicyPlan {
  const drift: string[] = [];
  const sets = new Set(observed.sets.map(({ name }) => name));
  const policies = new Map(observed.policies.map((policy) => [policy.name, policy]));
  const wanted = new Map([...desired.import, ...desired.export].map(({ policy }) => [policy.name, policy]));
  const before: Step[] = desired.sets
    .filter(({ name }) => !sets.has(name))
    .map((definedSet) => ({ method: 'AddDefinedSet', request: { definedSet }, what: `add set ${definedSet.name}` }));
  for (const policy of wanted.values()) {
    const present = policies.get(policy.name);
    if (present === undefined)
      before.push({ method: 'AddPolicy', request: { policy }, what: `add policy ${policy.name}` });
    else if (present.statements.length !== policy.statements.length)
      drift.push(`policy ${policy.name} was changed in GoBGP by somebody else`);
  }

  const judge = (way: Way) => {
    const assigned = (observed.assignments.find((it) => it.direction === direction[way])?.policies ?? []).map(
      ({ name }) => name,
    );
    const foreign = assigned.filter((name) => !isOurs({ name }));
    if (!remove) drift.push(...foreign.map((name) => `policy ${name} was put in force by somebody else (${way})`));
    const names = [...desired[way].map(({ policy }) => policy.name), ...(remove ? [] : foreign)];
    const unfinished = observed.policies
      .map(({ name }) => name)
      .filter((name) => name.startsWith(policyMarks[way]) && !wanted.has(name) && !assigned.includes(name));
    const fresh = desired[way].filter(({ policy }) => !assigned.includes(policy.name)).map(({ peer }) => peer);
    const changed: Changed =
      unfinished.length > 0 || fresh.includes(undefined) ? 'all' : new Set(fresh.filter((peer) => peer !== undefined));
    const isInForce = unfinished.length === 0 && names.join(' ') === assigned.join(' ');
    if (!isInForce) before.push(assign(way, names));
    return { names, assigned, unfinished, changed };
  };
  const imports = judge('import');
  const exports = judge('export');

  const used = new Set([...wanted.keys(), ...desired.sets.map(({ name }) => name)]);
  const after: Step[] = [];
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
  return {
    resume:
      exports.unfinished.length === 0 ? undefined : assign('export', [...exports.unfinished, ...exports.assigned]),
    before,
    after,
    changed: { import: imports.changed, export: exports.changed },
    exports: exports.names,
    drift,
  };
}
