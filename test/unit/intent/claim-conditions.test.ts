// What the Node says of its blocks while they are claimed, and when they cannot be.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compile } from '#intent/compile.ts';
import { conditions } from '#intent/conditions.ts';
import type { Condition } from '#intent/node-intent.ts';
import type { ClaimFacts, ClaimProblem } from '#ipam/claims/intent.ts';
import type { IpAddress, Prefix } from '#lib/ip.ts';
import { own, resources } from '../../support/resources.ts';

const node = '{apiVersion: v1, kind: Node, metadata: {name: node-1, uid: u1}}\n---\n';
const fromPools = own('BGPConfiguration', 'default', 'asNumber: 65001, addressSource: IPPools');
const pods = own('IPPool', 'pods', 'cidr: 10.60.0.0/16');
const block = own(
  'IPBlock',
  'ipv4-0a3c0100-26',
  'cidr: 10.60.1.0/26, node: node-1, nodeUID: u1, area: 0a3c0, state: Claimed',
);

function assigned(yaml: readonly string[], claims?: Partial<ClaimFacts>): Condition | undefined {
  const facts =
    claims === undefined ? {} : { claims: { pending: [], problems: [], foreign: [], outcomes: {}, ...claims } };
  return conditions(compile(resources(node, fromPools, ...yaml), 'node-1', { claims: true }), facts, []).find(
    (it) => it.type === 'BlocksAssigned',
  );
}

const problem = (kind: ClaimProblem['kind'], text: string): ClaimProblem => ({ kind, pools: ['pods'], text });

const rows: readonly (readonly [string, Condition | undefined, string, string, RegExp])[] = [
  [
    'nothing was asked yet',
    assigned([pods]),
    'False',
    'ClaimPending',
    /claims its first block of pods\. It takes a second/,
  ],
  [
    'a block is on its way',
    assigned([pods], { pending: ['10.60.1.0/26' as Prefix] }),
    'False',
    'ClaimPending',
    /first block of pods \(10\.60\.1\.0\/26\)/,
  ],
  [
    'the pool is full',
    assigned([pods], { problems: [problem('exhausted', 'pods: no IPv4 block is left to claim')] }),
    'False',
    'PoolsExhausted',
    /^node-1 has no addresses for pods\. Pods: no IPv4 block is left to claim\.$/,
  ],
  [
    'the API does not answer',
    assigned([pods], { problems: [problem('api', 'no block can be claimed: list ipblocks: no')] }),
    'False',
    'ClaimFailed',
    /No block can be claimed: list ipblocks: no\.$/,
  ],
  [
    'there is no Node',
    assigned([pods], { problems: [problem('noNode', 'there is no Node node-1')] }),
    'False',
    'ClaimFailed',
    /There is no Node node-1\.$/,
  ],
  [
    'a block is there and no further one is to be had',
    assigned([pods, block], { problems: [problem('exhausted', 'pods: no IPv4 block is left')] }),
    'True',
    'BlocksAssigned',
    /Pods: no IPv4 block is left\.$/,
  ],
];

for (const [name, condition, status, reason, message] of rows)
  test(`${name}: ${status}, ${reason}`, () => {
    assert.deepEqual([condition?.status, condition?.reason], [status, reason]);
    assert.match(condition?.message ?? '', message);
  });

test('with a block and without a problem nothing is added', () => {
  assert.deepEqual(assigned([pods, block], {}), assigned([pods, block]));
});

test('a fixed address that another node has is no matter of the Node', () => {
  const taken: ClaimProblem = { ...problem('taken', 'taken'), address: '10.60.1.7' as IpAddress };
  assert.deepEqual(assigned([pods, block], { problems: [taken] }), assigned([pods, block], {}));
});

test('pools of fixed addresses alone wait for a pod that asks for one', () => {
  const manual = own('IPPool', 'vip', 'cidr: 10.62.0.0/24, assignmentMode: Manual');
  assert.notEqual(assigned([manual], {})?.reason, 'ClaimPending');
  assert.equal(assigned([manual], { problems: [problem('api', 'no answer')] })?.reason, 'ClaimFailed');
});
