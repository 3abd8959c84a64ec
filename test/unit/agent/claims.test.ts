// What claims ask of the API, against the fake one: how a free block is found, what is read for it, and what an API server of
// older definitions makes of it. Races and lost answers: test/sim/claims.test.ts.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { BlockClaimer } from '#agent/claims.ts';
import type { ClaimerInput } from '#agent/claims.ts';
import { compile } from '#intent/compile.ts';
import type { ClaimFacts } from '#ipam/claims/intent.ts';
import type { Prefix } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import { areaOf, blockName } from '#resources/ip-block.ts';
import { ipBlockType } from '#sources/kubernetes/ip-blocks.ts';
import { clusterTypes } from '../../support/kubernetes/cluster-types.ts';
import { fakeApi } from '../../support/kubernetes/fake-api.ts';
import type { FakeApi } from '../../support/kubernetes/fake-api.ts';
import { type ManualClock, manualClock } from '../../support/manual-clock.ts';
import { eventually } from '../../support/netns.ts';
import { own, resources } from '../../support/resources.ts';
import { podFacts } from '../../support/snapshot.ts';

const nodeWithUID = '{apiVersion: v1, kind: Node, metadata: {name: node-1, uid: u1}}\n---\n';
const fromPools = own('BGPConfiguration', 'default', 'asNumber: 65001, addressSource: IPPools');
const input = (pool: string): ClaimerInput => {
  const compiled = compile(resources(nodeWithUID, fromPools, own('IPPool', 'pods', pool)), 'node-1', { claims: true });
  assert.ok(compiled.claims !== undefined);
  return { claims: compiled.claims, facts: { pods: podFacts() }, intent: compiled.intent, generation: 1 };
};

let api: FakeApi;
let clock: ManualClock;
let claimer: BlockClaimer;
let facts: ClaimFacts | undefined;
const logged: string[] = [];

const begin = async (types = clusterTypes): Promise<void> => {
  api = await fakeApi(types);
  clock = manualClock();
  facts = undefined;
  logged.length = 0;
  claimer = new BlockClaimer('node-1', {
    store: api.store(),
    clock,
    random: () => 0,
    settled: () => Promise.resolve(),
    growth: () => [],
    facts: (it) => (facts = it),
    log: (_, event) => void logged.push(event),
  });
};
beforeEach(async () => await begin());
afterEach(async () => {
  await claimer.stop();
  await api.close();
});

const put = (cidr: string, area: string | undefined | false = areaOf(cidr as Prefix)): void => {
  api.put(ipBlockType, {
    apiVersion: 'flatroute.io/v1alpha1',
    metadata: { name: blockName(cidr as Prefix) },
    spec: { cidr, node: 'node-2', nodeUID: 'u2', ...(area === undefined || area === false ? {} : { area }) },
  });
};
const ours = (): string[] =>
  api.objects
    .all(api.type(ipBlockType))
    .map((it) => it['spec'] as { cidr: string; node: string; state: string; area?: string })
    .filter((it) => it.node === 'node-1')
    .map((it) => `${it.cidr} ${it.state} ${it.area ?? ''}`);
/** Selectors of the lists of blocks, in order; '' is everything. */
const lists = (): string[] =>
  api.requests
    .filter((it) => it.verb === 'list' && it.type.kind === 'IPBlock')
    .map((it) => it.query.get('fieldSelector') ?? '');
const claimed = (): Promise<unknown> =>
  eventually('a claimed block', () => ours().some((it) => it.includes(' Claimed ')));
/** All /26 of a range. */
const all = (range: string, count: number): string[] =>
  Array.from({ length: count }, (_, at) => `${range}.${at >> 2}.${(at & 3) << 6}/26`);

test('a block is claimed by reading only what could overlap it', async () => {
  for (const cidr of all('10.60', 64)) put(cidr);
  claimer.learn(input('cidr: 10.61.0.0/20'));
  await claimed();
  assert.deepEqual(lists(), ['spec.area=0a3d0', 'spec.area=']);
  assert.match(ours()[0] ?? '', /^10\.61\.\d+\.\d+\/26 Claimed 0a3d0$/);
});

test('where another node has the block, what is around it is read, and the next try is right', async () => {
  const free = '10.61.9.64/26';
  for (const cidr of all('10.61', 64)) if (cidr !== free) put(cidr);
  claimer.learn(input('cidr: 10.61.0.0/20'));
  await claimed();
  assert.deepEqual(ours(), [`${free} Claimed 0a3d0`]);
  // The one that was taken, what is around it, and the look before the own one is used.
  assert.equal(api.requests.filter((it) => it.verb === 'create').length, 2);
  assert.deepEqual(lists(), ['spec.area=0a3d0', 'spec.area=', 'spec.area=0a3d0', 'spec.area=']);
});

test('a pool with whole ranges that are taken is read as a whole after the fourth of them', async () => {
  const free = '10.61.137.64/26';
  for (const cidr of all('10.61', 1024)) if (cidr !== free) put(cidr);
  claimer.learn(input('cidr: 10.61.0.0/16'));
  await claimed();
  assert.deepEqual(ours(), [`${free} Claimed 0a3d8`]);
  assert.ok(lists().filter((it) => it === '').length <= 3, lists().join(' '));
  assert.ok(api.requests.filter((it) => it.verb === 'create').length <= 5);
});

test('a full pool is told of, is looked at again ever more rarely, and a block that comes free is taken', async () => {
  for (const cidr of all('10.61', 4)) put(cidr);
  claimer.learn(input('cidr: 10.61.0.0/24'));
  await eventually('the problem', () => facts?.problems.some((it) => it.kind === 'exhausted') === true);
  assert.deepEqual(ours(), []);
  const looks = lists().length;
  clock.advance(seconds(1));
  assert.equal(lists().length, looks);
  clock.advance(seconds(1));
  await eventually('a further look', () => lists().length > looks);
  api.remove(ipBlockType, blockName('10.61.0.64/26' as Prefix));
  await eventually('the free block', () => {
    clock.advance(seconds(60));
    return ours().length > 0;
  });
  await claimed();
  await eventually('no problem', () => facts?.problems.length === 0);
});

test('a block without an area, made by hand or by an older agent, is given way to', async () => {
  put('10.61.0.0/25', false);
  put('10.61.0.128/26', false);
  claimer.learn(input('cidr: 10.61.0.0/24'));
  await claimed();
  assert.deepEqual(ours(), ['10.61.0.192/26 Claimed 0a3d0']);
});

test('a larger block, which has no area, is given way to', async () => {
  put('10.61.0.0/17');
  claimer.learn(input('cidr: 10.61.0.0/16'));
  await claimed();
  assert.match(ours()[0] ?? '', /^10\.61\.(1[3-9]\d|12[89]|2\d\d)\.\d+\/26 Claimed/);
});

test('an API server whose definitions know no areas is asked for all names', async () => {
  await claimer.stop();
  await api.close();
  await begin(clusterTypes.map((it) => ({ ...it, selectableFields: ['spec.node'] })));
  claimer.learn(input('cidr: 10.61.0.0/20'));
  await claimed();
  assert.deepEqual(lists(), ['spec.area=0a3d0', '']);
});

test('an API server that refuses is a problem in its own words, asked again after its pause, and then forgotten', async () => {
  api.misfortune = ({ verb }) =>
    verb === 'create' ? { status: 503, message: 'etcd is full', retryAfter: 7 } : undefined;
  claimer.learn(input('cidr: 10.61.0.0/20'));
  await eventually('the problem', () => facts?.problems[0]?.kind === 'api');
  assert.match(facts?.problems[0]?.text ?? '', /etcd is full.*Pods use the addresses that the node has/);
  api.misfortune = undefined;
  clock.advance(seconds(6));
  assert.deepEqual(ours(), []);
  clock.advance(seconds(1));
  await claimed();
  await eventually('no problem', () => facts?.problems.length === 0);
});
