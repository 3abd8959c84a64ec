import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seconds } from '#lib/time.ts';
import type { PeerIntent } from '#bgp/engine.ts';
import { changeOf, fieldClass, planPeers } from '#bgp/speaker/reconfigure.ts';
import { asn, intent, ip, peerIntent } from './network.ts';

const observed = peerIntent({ name: 'p' });

const rows: readonly (readonly [string, Partial<PeerIntent>, 'none' | 'refresh' | 'reset'])[] = [
  ['nothing', {}, 'none'],
  ['equal values that are other objects', { families: ['ipv4', 'ipv6'], filters: [] }, 'none'],
  ['address', { address: ip('192.0.2.9') }, 'reset'],
  ['AS', { peerAsn: asn(1) }, 'reset'],
  ['password, from none', { password: 'x' }, 'reset'],
  ['families', { families: ['ipv4'] }, 'reset'],
  ['hold time', { holdTime: seconds(30) }, 'reset'],
  ['graceful restart', { gracefulRestart: { enabled: false, restartTime: seconds(120) } }, 'reset'],
  ['importPolicy', { importPolicy: 'None' }, 'refresh'],
  ['transit', { transit: true }, 'refresh'],
  ['maxPrefixes', { maxPrefixes: 1 }, 'refresh'],
  ['the severest of several', { importPolicy: 'None', peerAsn: asn(1) }, 'reset'],
];

for (const [name, changed, expected] of rows)
  test(`changed ${name} is ${expected}`, () => {
    assert.equal(changeOf(observed, { ...observed, ...changed }), expected);
  });

test('another password is put onto the live session; the first and the last one reset it', () => {
  const one = { ...observed, password: 'one' };
  assert.equal(changeOf(one, { ...one, password: 'two' }), 'none');
  assert.equal(changeOf(one, observed), 'reset');
});

test('every field of a peer has a class', () => {
  for (const field of Object.keys(observed)) assert.ok(field in fieldClass, field);
});

test('a plan names who comes, who goes and who changes', () => {
  const [a, b, c] = ['a', 'b', 'c'].map((name) => peerIntent({ name }));
  if (a === undefined || b === undefined || c === undefined) throw new Error('three peers');
  const plan = planPeers(intent({ peers: [a, b] }), intent({ peers: [{ ...b, transit: true }, c] }));
  assert.deepEqual(plan.removed, ['a']);
  assert.deepEqual(
    plan.added.map(({ name }) => name),
    ['c'],
  );
  assert.deepEqual(
    plan.changed.map(({ peer, change }) => [peer.name, change]),
    [['b', 'refresh']],
  );
});

test('another router id resets every session', () => {
  const plan = planPeers(intent({ peers: [observed] }), intent({ peers: [observed], routerId: ip('10.255.0.9') }));
  assert.deepEqual(
    plan.changed.map(({ change }) => change),
    ['reset'],
  );
});
