// What the controller does with pools, against the fake API server.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { api, blocks, of, pass, pools, put, reasonOf, replica, statusOf, until } from '../../support/controller.ts';

test('pools say what is taken of them and whether they give addresses, and get the finalizer', async () => {
  put(pools, 'a', { spec: { cidr: '10.60.0.0/16' } });
  put(blocks, 'ipv4-0a3c0100-26', { spec: { cidr: '10.60.1.0/26', node: 'node-1' } });
  put(blocks, 'ipv4-0a3c0140-26', { spec: { cidr: '10.60.1.64/26', node: 'node-1' } });
  replica('one');
  await until('the status of a', () => reasonOf(pools, 'a') === 'OK');
  const { blocks: used, capacity, nodes } = statusOf(pools, 'a');
  assert.deepEqual({ used, capacity, nodes }, { used: 2, capacity: 1024, nodes: 1 });
  assert.deepEqual(of(pools, 'a')?.metadata.finalizers, ['flatroute.io/blocks']);
  put(pools, 'b', { spec: { cidr: '10.60.128.0/17' } });
  // Whoever was there first keeps the range; of two that came in one second the UID decides.
  const said = (): ReadonlySet<unknown> => new Set([reasonOf(pools, 'a'), reasonOf(pools, 'b')]);
  await until('one of them to lose', () => isDeepStrictEqual(said(), new Set(['CIDROverlap', 'OK'])));
});

test('a pool that cannot be read says why', async () => {
  put(pools, 'a', { spec: { cidr: '10.60.0.1/16' } });
  replica('one');
  await until('the status', () => reasonOf(pools, 'a') === 'Invalid');
  assert.match(statusOf(pools, 'a').conditions?.[0]?.message ?? '', /^spec\.cidr: .*No addresses are given from it/);
});

test('a pool that cannot be read and is deleted goes when no block lies in its range', async () => {
  const spec = { cidr: '10.60.0.0/16', blockSize: 'large' };
  const finalizers = ['flatroute.io/blocks'];
  api.put(pools, { apiVersion: 'flatroute.io/v1alpha1', kind: 'IPPool', metadata: { name: 'a', finalizers }, spec });
  put(blocks, 'ipv4-0a3c0100-26', { spec: { cidr: '10.60.1.0/26', node: 'node-1' } });
  api.remove(pools, 'a');
  replica('one');
  await until('the status', () => reasonOf(pools, 'a') === 'Invalid');
  api.remove(blocks, 'ipv4-0a3c0100-26');
  await until('the pool to go', () => of(pools, 'a') === undefined);
});

test('a pool that is deleted stays while nodes have blocks of it', async () => {
  put(pools, 'a', { spec: { cidr: '10.60.0.0/16' } });
  put(blocks, 'ipv4-0a3c0100-26', { spec: { cidr: '10.60.1.0/26', node: 'node-1' } });
  replica('one');
  await until('the finalizer', () => of(pools, 'a')?.metadata.finalizers?.length === 1);
  api.remove(pools, 'a');
  await until('the condition', () => reasonOf(pools, 'a') === 'Terminating');
  api.remove(blocks, 'ipv4-0a3c0100-26');
  await until('the pool to go', () => of(pools, 'a') === undefined);
});

test('a pool over another that was there first goes though that one has blocks', async () => {
  const both = ['a', 'b'];
  for (const name of both) put(pools, name, { spec: { cidr: '10.60.0.0/16' } });
  put(blocks, 'ipv4-0a3c0100-26', { spec: { cidr: '10.60.1.0/26', node: 'node-1' } });
  replica('one');
  await until('the finalizers', () => both.every((name) => of(pools, name)?.metadata.finalizers?.length === 1));
  const overlapping = (): readonly string[] => both.filter((name) => reasonOf(pools, name) === 'CIDROverlap');
  await until('the condition', () => overlapping().length === 1);
  const [younger = ''] = overlapping();
  api.remove(pools, younger);
  await until('the pool to go', () => of(pools, younger) === undefined);
  assert.equal(both.filter((name) => of(pools, name) !== undefined).length, 1);
});

test('a block that the watch does not show yet keeps its pool', async () => {
  put(pools, 'a', { spec: { cidr: '10.60.0.0/16' } });
  replica('one');
  await until('the finalizer', () => of(pools, 'a')?.metadata.finalizers?.length === 1);
  // The block comes to be between the decision and the write.
  api.misfortune = ({ verb, type, query }) => {
    if (verb === 'list' && type.kind === 'IPBlock' && query.get('watch') === null && of(blocks, 'late') === undefined)
      put(blocks, 'late', { spec: { cidr: '10.60.1.0/26', node: 'node-1' } });
    return undefined;
  };
  api.remove(pools, 'a');
  await until('the late block', () => of(blocks, 'late') !== undefined);
  await pass(10);
  assert.ok(of(pools, 'a'));
});
