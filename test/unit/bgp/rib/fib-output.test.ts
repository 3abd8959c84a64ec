import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IpAddress, Prefix } from '#lib/ip.ts';
import type { FibUpdate } from '#dataplane/fib/route.ts';
import { FibOutput, fibRowsPerUpdate } from '#bgp/rib/fib-output.ts';
import type { Resolution } from '#bgp/rib/next-hops.ts';
import { PrefixTable } from '#bgp/rib/prefix-table.ts';
import { rowsOf } from '../speaker/network.ts';

const via = (gateway: string, interfaceIndex = 1): Resolution => ({
  ok: true,
  hop: { gateway: gateway as IpAddress, interfaceIndex },
  metric: 0,
});
const a = via('192.0.2.1');
const b = via('192.0.2.2');

function output(): { fib: FibOutput; updates: FibUpdate[]; table: PrefixTable } {
  const updates: FibUpdate[] = [];
  return { fib: new FibOutput((update) => updates.push(update)), updates, table: new PrefixTable('ipv4') };
}

test('the same next hops in any order and spelled twice are one group', () => {
  const { fib } = output();
  const group = fib.groupFor([a, b]);
  assert.equal(fib.groupFor([b, a]), group);
  assert.equal(fib.groupFor([a, b, via('192.0.2.1')]), group);
  assert.notEqual(fib.groupFor([a]), group);
  assert.notEqual(fib.groupFor([via('192.0.2.1', 2)]), fib.groupFor([a]));
  assert.equal(fib.groupFor([{ ok: false, reason: 'no' }]), 0);
});

test('a group is introduced with the update that first uses it and released by the one that last did', () => {
  const { fib, updates, table } = output();
  const prefix = table.internPrefix('10.0.0.0/8' as Prefix);
  const first = fib.groupFor([a]);
  fib.row(table, prefix, 0, first);
  fib.flush(false);
  const second = fib.groupFor([a, b]);
  fib.row(table, prefix, first, second);
  fib.flush(false);
  fib.row(table, prefix, second, 0);
  fib.flush(false);
  assert.deepEqual(
    updates.map(({ groups, releasedGroups }) => [groups.map(({ id }) => id), releasedGroups]),
    [
      [[first], []],
      [[second], [first]],
      [[], [second]],
    ],
  );
  assert.deepEqual(updates.map(rowsOf).flat(), [
    { prefix: '10.0.0.0/8', group: first },
    { prefix: '10.0.0.0/8', group: second },
    { prefix: '10.0.0.0/8', group: 0 },
  ]);
  assert.notEqual(fib.groupFor([a]), first, 'a number is never used for another life of a group');
});

test('sequence numbers grow by one, a full update leaves by itself, an empty one only to say complete', () => {
  const { fib, updates, table } = output();
  const group = fib.groupFor([a]);
  for (let n = 0; n <= fibRowsPerUpdate; n++) {
    const id = table.internPrefix(`10.${n >> 8}.${n & 255}.0/24` as Prefix);
    assert.equal(fib.row(table, id, 0, group), n < fibRowsPerUpdate ? 1 : 2);
  }
  assert.deepEqual(
    updates.map(({ groupIds }) => groupIds.length),
    [fibRowsPerUpdate],
  );
  fib.flush(false);
  fib.flush(false);
  fib.flush(true);
  assert.deepEqual(
    updates.map(({ sequence, groupIds, complete }) => [sequence, groupIds.length, complete]),
    [
      [1, fibRowsPerUpdate, false],
      [2, 1, false],
      [3, 0, true],
    ],
  );
  assert.equal(fib.acknowledge(1)?.prefixes.length, fibRowsPerUpdate);
  assert.equal(fib.acknowledge(1), undefined, 'once');
});
