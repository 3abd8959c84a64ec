// When the blocks of Nodes that are gone are collected, and everything that keeps them: against the fake API server, in time
// that the test makes. Against the real one with agents that veto: test/kube/claims.test.ts.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { BlockCollector } from '#controller/block-collection.ts';
import { seconds } from '#lib/time.ts';
import type { ApiObject } from '#kubernetes/store.ts';
import { ipBlockType } from '#sources/kubernetes/ip-blocks.ts';
import { clusterTypes, typeNamed } from '../../support/kubernetes/cluster-types.ts';
import { fakeApi } from '../../support/kubernetes/fake-api.ts';
import type { FakeApi } from '../../support/kubernetes/fake-api.ts';
import { type ManualClock, manualClock } from '../../support/manual-clock.ts';
import { eventually } from '../../support/netns.ts';

const NAME = 'ipv4-0a3c0100-26';
const nodes = typeNamed('Node');
const ABSENCE = 900;
const VETO = 120;

let api: FakeApi;
let clock: ManualClock;
let collector: BlockCollector;
let logged: string[];

beforeEach(async () => {
  api = await fakeApi(clusterTypes);
  clock = manualClock();
  logged = [];
  collector = new BlockCollector(
    { absence: seconds(ABSENCE), veto: seconds(VETO) },
    { store: api.store(), clock, log: (_, event) => void logged.push(event) },
  );
});
afterEach(async () => {
  await collector.stop();
  await api.close();
});

const putBlock = (spec: object = {}): ApiObject =>
  api.put(ipBlockType, {
    apiVersion: 'flatroute.io/v1alpha1',
    metadata: { name: NAME },
    spec: { cidr: '10.60.1.0/26', node: 'node-1', nodeUID: 'gone', ...spec },
  });
const putNode = (): ApiObject => api.put(nodes, { apiVersion: 'v1', metadata: { name: 'node-1' } });
const block = (): ApiObject | undefined => api.objects.get(api.type(ipBlockType), NAME);
const state = (): string | undefined => (block()?.['spec'] as { state?: string } | undefined)?.state;
const reads = (): number => api.requests.filter((it) => it.verb === 'get' && it.type.kind === 'Node').length;
/** The first live read begins the first proof. */
const begin = async (cases = 1): Promise<void> => {
  collector.start();
  await eventually('the case', () => collector.cases === cases && reads() >= cases);
  await eventually('the pause', () => clock.armed.length === 1);
};
/** Time goes on in steps, and what it sets off is waited for. */
const pass = async (whole: number): Promise<void> => {
  for (let left = whole; left > 0; left -= 10) {
    clock.advance(seconds(Math.min(10, left)));
    await eventually('a deadline, or nothing to do', () => clock.armed.length > 0 || collector.cases === 0);
  }
};

test('a block goes after two proofs: its Node is absent, then it is Releasing and nobody objects', async () => {
  putBlock();
  await begin();
  await pass(ABSENCE - 10);
  assert.equal(state(), undefined);
  await pass(10);
  await eventually('Releasing', () => state() === 'Releasing');
  await pass(VETO - 10);
  assert.equal(state(), 'Releasing');
  await pass(10);
  await eventually('its end', () => block() === undefined);
  assert.deepEqual(logged, ['collection.releasing', 'collection.collected']);
});

test('a block made by hand stays for good', async () => {
  api.put(ipBlockType, {
    apiVersion: 'flatroute.io/v1alpha1',
    metadata: { name: NAME },
    spec: { cidr: '10.60.1.0/26', node: 'node-1' },
  });
  collector.start();
  await eventually('the watches', () => api.watches() === 2);
  clock.advance(seconds(10 * ABSENCE));
  assert.deepEqual([collector.cases, reads()], [0, 0]);
});

test('a block whose Node is there is no case', async () => {
  const uid = putNode().metadata.uid;
  putBlock({ nodeUID: uid });
  collector.start();
  await eventually('the watches', () => api.watches() === 2);
  assert.deepEqual([collector.cases, reads()], [0, 0]);
});

test('an agent that lives writes Claimed again, and the first proof begins anew', async () => {
  putBlock();
  await begin();
  await pass(ABSENCE);
  await eventually('Releasing', () => state() === 'Releasing');
  putBlock({ state: 'Claimed' });
  await pass(VETO);
  await eventually('the veto', () => logged.includes('collection.vetoed'));
  await pass(ABSENCE - 10);
  assert.equal(state(), 'Claimed');
  await pass(10);
  await eventually('Releasing again', () => state() === 'Releasing');
});

test('a block that the same machine takes over under its new Node is no case any more', async () => {
  putBlock();
  await begin();
  await pass(ABSENCE);
  await eventually('Releasing', () => state() === 'Releasing');
  putBlock({ nodeUID: putNode().metadata.uid, state: 'Claimed' });
  await eventually('no case', () => collector.cases === 0);
  clock.advance(seconds(ABSENCE + VETO));
  assert.equal(state(), 'Claimed');
});

test('a block that was written between the look and the delete stays: the delete names the version', async () => {
  putBlock();
  await begin();
  await pass(ABSENCE);
  await eventually('Releasing', () => state() === 'Releasing');
  api.misfortune = ({ verb }) => {
    if (verb === 'delete') putBlock({ state: 'Claimed' });
    return undefined;
  };
  await pass(VETO);
  await eventually('the delete', () => api.requests.some((it) => it.verb === 'delete'));
  assert.equal(state(), 'Claimed');
});

test('a live read that finds the Node ends the proof, though the watch does not have it', async () => {
  putBlock();
  api.misfortune = ({ verb, type }) =>
    verb === 'get' && type.kind === 'Node'
      ? { text: JSON.stringify({ metadata: { name: 'node-1', uid: 'gone', resourceVersion: '1' } }) }
      : undefined;
  await begin();
  await pass(ABSENCE);
  assert.equal(state(), undefined);
  api.misfortune = undefined;
  await pass(20);
  await pass(ABSENCE - 20);
  assert.equal(state(), undefined);
});

test('an API server that fails is asked again, and proves nothing', async () => {
  putBlock();
  api.misfortune = ({ verb }) => (verb === 'get' ? { status: 500, message: 'no' } : undefined);
  await begin();
  await pass(2 * ABSENCE);
  assert.equal(state(), undefined);
  assert.ok(logged.every((it) => it === 'collection.failed'));
});
