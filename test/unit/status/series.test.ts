// How many series an agent has, at most.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PoolIntent } from '#ipam/intent.ts';
import type { Prefix } from '#lib/ip.ts';
import { createMetrics } from '#status/metrics.ts';
import type { Snapshot } from '#status/snapshot.ts';
import { bfdRuns, bfdSession, bgpFacts, peerFacts, peerIntent, podFacts, snapshot } from '../../support/snapshot.ts';

const series = async (now: Snapshot): Promise<readonly string[]> =>
  (await createMetrics(() => now).text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));

test('a node with two sessions and a pool has less than 150 series', async () => {
  const count = (await series(snapshot())).length;
  assert.ok(count > 80 && count < 150, `${count} series`);
});

test('what has nothing to say has no series, and no 0 that an alert would take for a failure', async () => {
  const lines = await series(snapshot());
  for (const name of [
    'bfd_process_up',
    'cni_conflist_in_place',
    'service_proxy_healthy',
    'kubernetes_received_bytes_total',
  ])
    assert.deepEqual(
      lines.filter((line) => line.startsWith(`flatroute_${name}`)),
      [],
    );
});

test('a thousand sessions with BFD and a hundred pools are less than 2,500 series, and all of them are counted', async () => {
  const names = Array.from({ length: 1000 }, (_, i) => `peer-${String(i).padStart(4, '0')}`);
  const pools = Array.from({ length: 100 }, (_, i): PoolIntent => {
    return { name: `pool-${i}`, blocks: [`10.60.${i}.0/26` as Prefix], assignmentMode: 'Automatic', disabled: false };
  });
  const usual = snapshot();
  assert.ok(usual.bgpIntent);
  const now = snapshot({
    bgpIntent: { ...usual.bgpIntent, peers: names.map((name) => peerIntent(name)) },
    bgp: bgpFacts(names.map((name, i) => peerFacts(name, { state: i < 900 ? 'Established' : 'Idle' }))),
    bfd: { ...usual.bfd, daemon: bfdRuns, sessions: names.map((name) => bfdSession(name)) },
    pools,
    pods: podFacts({
      blocks: pools.map(({ name, blocks: [cidr = '10.60.0.0/26' as Prefix] }) => {
        return { pool: name, cidr, capacity: 62, used: 2, fenced: 0 };
      }),
    }),
  });
  const lines = await series(now);
  assert.ok(lines.length < 2500, `${lines.length} series`);
  assert.equal(lines.filter((line) => line.startsWith('flatroute_bgp_session_up{')).length, 128);
  assert.ok(lines.includes('flatroute_bgp_sessions{state="established"} 900'));
  assert.ok(lines.includes('flatroute_bgp_sessions{state="down"} 100'));
});
