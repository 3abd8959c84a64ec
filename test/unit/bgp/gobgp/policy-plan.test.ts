import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PolicyMessage } from '#bgp/gobgp/messages.ts';
import { type Policies, type PeerPolicy, policyMarks } from '#bgp/gobgp/policies.ts';
import { type ObservedPolicies, type PolicyPlan, direction, isAmong, planPolicies } from '#bgp/gobgp/policy-plan.ts';

const policy = (name: string, statements = 1): PolicyMessage => ({
  name,
  statements: Array.from({ length: statements }, (_, i) => ({ name: `${name}-${i}`, conditions: null, actions: null })),
});
const exporting = (digest: string, peer?: string): PeerPolicy => ({
  peer,
  policy: policy(`${policyMarks.export}${digest}`),
});
const importing = (digest: string, peer?: string): PeerPolicy => ({
  peer,
  policy: policy(`${policyMarks.import}${digest}`),
});
const set = (name: string): Policies['sets'][number] => ({ definedType: 0, name, list: [], prefixes: [] });

const desired: Policies = {
  sets: [set('flatroute-s1')],
  import: [importing('i1', 'tor'), importing('i9')],
  export: [exporting('e1', 'tor'), exporting('e9')],
};
const nothing: ObservedPolicies = { sets: [], policies: [], assignments: [] };

/** What GoBGP says when these are in force. */
const inForce = (
  all: Policies,
  more: Partial<Record<keyof typeof direction, readonly string[]>> = {},
): ObservedPolicies => ({
  sets: all.sets,
  policies: [...all.import, ...all.export].map((it) => it.policy),
  assignments: (['import', 'export'] as const).map((way) => ({
    name: 'global',
    direction: direction[way],
    policies: [...all[way].map((it) => it.policy), ...(more[way] ?? []).map((name) => policy(name))],
    defaultAction: 0,
  })),
});
const words = ({ resume, before, after }: PolicyPlan): readonly string[] =>
  [...(resume === undefined ? [] : [resume]), ...before, ...after].map(({ what }) => what);
const changedOf = ({ changed }: PolicyPlan, way: keyof typeof direction): 'all' | readonly string[] =>
  changed[way] === 'all' ? 'all' : [...changed[way]];

describe('what is to be changed of policies in GoBGP', () => {
  test('sets come before the policies that name them, and those before they are in force', () => {
    const plan = planPolicies(desired, nothing, false);
    assert.deepEqual(words(plan), [
      'add set flatroute-s1',
      'add policy flatroute-import-i1',
      'add policy flatroute-import-i9',
      'add policy flatroute-export-e1',
      'add policy flatroute-export-e9',
      'put policies flatroute-import-i1 flatroute-import-i9 in force (import)',
      'put policies flatroute-export-e1 flatroute-export-e9 in force (export)',
    ]);
    assert.equal(changedOf(plan, 'export'), 'all');
  });

  test('what is in force is left alone', () => {
    const plan = planPolicies(desired, inForce(desired), false);
    assert.deepEqual(words(plan), []);
    assert.deepEqual([changedOf(plan, 'import'), changedOf(plan, 'export'), plan.drift], [[], [], []]);
  });

  test('a change concerns the peer whose policy it is, and what is not used any more goes last', () => {
    const next: Policies = { ...desired, sets: [], export: [exporting('e2', 'tor'), exporting('e9')] };
    const plan = planPolicies(next, inForce(desired), false);
    assert.deepEqual(words(plan), [
      'add policy flatroute-export-e2',
      'put policies flatroute-export-e2 flatroute-export-e9 in force (export)',
      'delete policy flatroute-export-e1',
      'delete set flatroute-s1',
    ]);
    assert.deepEqual([changedOf(plan, 'import'), changedOf(plan, 'export')], [[], ['tor']]);
  });

  test('a change that nobody finished is begun again from the policies before it, and concerns everybody', () => {
    const next: Policies = { ...desired, export: [exporting('e2', 'tor'), exporting('e9')] };
    const half = { ...inForce(next), policies: [...inForce(next).policies, exporting('e1').policy] };
    const plan = planPolicies(next, half, false);
    assert.deepEqual(words(plan), [
      'put policies flatroute-export-e1 flatroute-export-e2 flatroute-export-e9 in force (export)',
      'put policies flatroute-export-e2 flatroute-export-e9 in force (export)',
      'delete policy flatroute-export-e1',
    ]);
    assert.equal(changedOf(plan, 'export'), 'all');
  });

  test("somebody else's policy stays in force behind ours and is said, until it is to be removed", () => {
    const observed = inForce(desired, { export: ['theirs'] });
    const kept = planPolicies(desired, observed, false);
    assert.deepEqual(words(kept), []);
    assert.deepEqual(kept.drift, ['policy theirs was put in force by somebody else (export)']);
    assert.deepEqual(kept.exports.at(-1), 'theirs');
    assert.deepEqual(words(planPolicies(desired, observed, true)), [
      'put policies flatroute-export-e1 flatroute-export-e9 in force (export)',
    ]);
  });

  test('one that was put before ours is put behind them', () => {
    const [imports, exports] = inForce(desired).assignments;
    assert.ok(imports !== undefined && exports !== undefined);
    const observed = {
      ...inForce(desired),
      assignments: [imports, { ...exports, policies: [policy('theirs'), ...exports.policies] }],
    };
    assert.deepEqual(words(planPolicies(desired, observed, false)), [
      'put policies flatroute-export-e1 flatroute-export-e9 theirs in force (export)',
    ]);
  });

  test('a policy of ours with more or fewer statements is said, since its name stands for its content', () => {
    const observed = inForce(desired);
    const edited = { ...observed, policies: observed.policies.map(({ name }) => policy(name, 2)) };
    assert.equal(planPolicies(desired, edited, false).drift.length, 4);
  });

  test('the note of how BGP was started is no policy and stays', () => {
    const observed = { ...inForce(desired), sets: [...desired.sets, set(`${policyMarks.started}abc`)] };
    assert.deepEqual(words(planPolicies(desired, observed, false)), []);
  });

  test('whoever came from a listen range is judged by the policy of the range', () => {
    const changed = new Set(['servers']);
    assert.deepEqual(
      ['servers', 'servers/192.0.2.9', 'server', 'tor'].map((name) => isAmong(changed, name)),
      [true, true, false, false],
    );
    assert.equal(isAmong('all', 'tor'), true);
  });
});
