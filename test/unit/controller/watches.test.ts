// Parts that look at one kind share its watch, against the fake API server.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { watches } from '#controller/watches.ts';
import { bgpPeer } from '#resources/bgp-peer.ts';
import { ipPool } from '#resources/ip-pool.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import { fakeApi } from '../../support/kubernetes/fake-api.ts';
import { eventually } from '../../support/netns.ts';

const [peers, pools] = [typeOf(bgpPeer), typeOf(ipPool)];
const api = await fakeApi([peers, pools]);
after(async () => await api.close());

test('a kind that two parts look at is watched once, and each has of it what it keeps', async () => {
  api.put(peers, { metadata: { name: 'a', labels: { rack: 'x' } } });
  const told: string[] = [];
  const reading = watches(api.store(), { changed: () => told.push('changed'), health: () => undefined });
  let names: readonly string[] = [];
  let racks: readonly unknown[] = [];
  reading.watch(
    peers,
    ({ metadata }) => metadata.name,
    (all) => (names = [...all.values()]),
  );
  reading.watch(
    peers,
    ({ metadata }) => metadata.labels?.['rack'],
    (all) => (racks = [...all.values()]),
  );
  reading.watch(
    pools,
    () => 0,
    () => undefined,
  );
  assert.equal(reading.listed(), false);
  reading.start();
  await eventually('the lists', () => reading.listed());
  assert.deepEqual([names, racks, api.watches(peers), told.length], [['a'], ['x'], 1, 2]);
  api.put(peers, { metadata: { name: 'b', labels: { rack: 'y' } } });
  await eventually('the other', () => names.length === 2);
  assert.deepEqual(racks, ['x', 'y']);
  api.remove(peers, 'a');
  await eventually('one is gone', () => names.length === 1);
  assert.deepEqual([names, racks], [['b'], ['y']]);
  await reading.stop();
});
