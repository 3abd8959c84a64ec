// What pods ask for that only a claim can give, how long it is remembered, and what their ADDs are answered when it does not come.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { claimable, Demands, problemOf, type Want } from '#cni/demand.ts';
import { addressFailure } from '#cni/failures.ts';
import type { AttachmentKey } from '#dataplane/pod/attachment.ts';
import { Ground } from '#ipam/claims/ground.ts';
import type { ClaimPool, ClaimProblem } from '#ipam/claims/intent.ts';
import { plan } from '#ipam/claims/plan.ts';
import type { Demand } from '#ipam/intent.ts';
import type { IpAddress, Prefix } from '#lib/ip.ts';
import { instant } from '#lib/time.ts';

const key = (containerId: string): AttachmentKey => ({ networkHash: 'n', containerId, interfaceName: 'eth0' });
const full: Want = { kind: 'full', family: 'ipv4', pools: ['main'], capacity: 62, fenced: 0, claimable: true };
const fixed: Want = { kind: 'unclaimed', address: '10.62.0.7' as IpAddress, pool: 'vip' };
const nothing: Demand = { choices: [], addresses: [] };

test('an attachment counts once however often its runtime calls, and no more when it is served', () => {
  const demands = new Demands();
  for (const at of [0, 10, 20]) demands.asked(key('a'), full, at);
  demands.asked(key('b'), full, 20);
  demands.asked(key('c'), { ...full, family: 'ipv6' }, 20);
  demands.asked(key('d'), fixed, 20);
  assert.deepEqual(demands.now(30), {
    choices: [
      { pools: ['main'], family: 'ipv4', count: 2 },
      { pools: ['main'], family: 'ipv6', count: 1 },
    ],
    addresses: ['10.62.0.7'],
  });
  for (const one of ['a', 'b', 'c', 'd']) demands.served(key(one));
  assert.deepEqual(demands.now(30), nothing);
});

test('an attachment that asks for something else asks for that alone', () => {
  const demands = new Demands();
  demands.asked(key('a'), full, 0);
  demands.asked(key('a'), fixed, 1);
  assert.deepEqual(demands.now(2), { choices: [], addresses: ['10.62.0.7'] });
});

test('who has not called for two minutes asks for nothing', () => {
  const demands = new Demands();
  demands.asked(key('a'), full, 0);
  demands.asked(key('b'), fixed, 60_000);
  assert.deepEqual(demands.now(120_000).choices.length, 1);
  assert.deepEqual(demands.now(120_001), { choices: [], addresses: ['10.62.0.7'] });
  assert.deepEqual(demands.now(180_001), nothing);
});

test('only what a claim can end is asked for', () => {
  assert.equal(claimable(full), true);
  assert.equal(claimable(fixed), true);
  assert.equal(claimable({ ...full, claimable: false }), false);
  assert.equal(claimable({ kind: 'noPool', namespace: '' }), false);
});

test('a problem is that of the pools or the address that is waited for; of the API, everybody’s', () => {
  const exhausted: ClaimProblem = { kind: 'exhausted', pools: ['main', 'more'], text: 'e' };
  const taken: ClaimProblem = { kind: 'taken', pools: ['vip'], address: '10.62.0.7' as IpAddress, text: 't' };
  const api: ClaimProblem = { kind: 'api', pools: [], text: 'a' };
  assert.equal(problemOf(full, [taken, exhausted]), exhausted);
  assert.equal(problemOf({ ...full, pools: ['main', 'third'] }, [exhausted]), undefined);
  assert.equal(problemOf(fixed, [exhausted, taken]), taken);
  assert.equal(problemOf({ ...fixed, address: '10.62.0.8' as IpAddress }, [taken]), undefined);
  assert.equal(problemOf(fixed, [api]), api);
  assert.equal(problemOf(full), undefined);
});

const page = 'docs/errors.md';
const begin = '<!-- what an ADD is answered whose block cannot be claimed: test/unit/cni/demand.test.ts -->';
const end = '<!-- end -->';

/** What the plan says of the claim that this asks for. */
function problem(
  demand: Partial<Demand>,
  ground: readonly string[],
  nodeUID: string | undefined,
): ClaimProblem | undefined {
  const pool = (name: string, cidr: string, use: ClaimPool['use']): ClaimPool => ({
    ...{ name, use, cidr: cidr as Prefix, blockSize: 26 },
  });
  const { problems } = plan({
    nodeName: 'node-1',
    intent: {
      ...{ nodeUID, machineID: undefined, reserved: [], blocks: [] },
      pools: [pool('main', '10.60.0.0/25', 'everyPod'), pool('vip', '10.62.0.0/24', 'named')],
    },
    pods: { blocks: [], outsideBlocks: [], fencedOutsideBlocks: [], demand: { ...nothing, ...demand } },
    withdrawn: new Set(),
    emptySince: new Map(),
    growth: [],
    ground: new Ground(ground as Prefix[]),
    now: instant(0),
  });
  return problemOf(demand.addresses === undefined ? full : fixed, problems);
}

test(`${page} has what an ADD is answered whose block cannot be claimed, word by word`, () => {
  const choices = [{ pools: ['main'], family: 'ipv4' as const, count: 1 }];
  const addresses = ['10.62.0.7' as IpAddress];
  const both = ['10.60.0.0/26', '10.60.0.64/26'];
  const api: ClaimProblem = {
    ...{ kind: 'api', pools: [] },
    text: 'no block can be claimed: list ipblocks: the API server cannot be reached: connect ECONNREFUSED 192.0.2.10:6443. Pods use the addresses that the node has',
  };
  const rows: readonly (readonly [string, Want, ClaimProblem | undefined])[] = [
    ['the node is full and a block comes', full, undefined],
    ['all blocks of the pool are other nodes’', full, problem({ choices }, both, 'u1')],
    ['the API server is away', full, api],
    ['there is no Node of this name', full, problem({ choices }, [], undefined)],
    ['a fixed address that is being claimed', fixed, undefined],
    ['a fixed address that another node has', fixed, problem({ addresses }, ['10.62.0.7/32'], 'u1')],
  ];
  const cells = rows.map(([name, want, why]) => {
    const { code, msg, details } = addressFailure(want, why);
    assert.equal(code, 11, name);
    return `| ${[name, String(code), msg, details].map((it) => it.replaceAll('|', '\\|')).join(' | ')} |`;
  });
  const table = ['| why | code | msg | details |', '|---|---|---|---|', ...cells].join('\n');
  const text = readFileSync(page, 'utf8');
  const [head, rest = ''] = text.split(begin);
  const at = rest.indexOf(end);
  assert.ok(head !== undefined && at >= 0, `${page} has no place for them`);
  if (process.env['FLATROUTE_WRITE_DOCS'] === '1')
    writeFileSync(page, `${head}${begin}\n\n${table}\n\n${rest.slice(at)}`);
  else
    assert.equal(
      rest.slice(0, at).trim(),
      table,
      'FLATROUTE_WRITE_DOCS=1 npm test -- test/unit/cni/demand.test.ts writes it',
    );
});
