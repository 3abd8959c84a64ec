// What an agent without its rights, or without its run directory, is told at the start.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { lastLife, preserved, rememberLife } from '#agent/boot-identity.ts';
import type { Family } from '#lib/ip.ts';
import { missingRights, requireRights } from '#agent/rights.ts';

describe('rights of a process, by /proc/self/status', () => {
  const rows: readonly (readonly [string, string, readonly string[]])[] = [
    ['root', 'CapPrm:\t000001ffffffffff\nCapEff:\t000001ffffffffff\nCapBnd:\t0\n', []],
    ['nobody', 'CapEff:\t0000000000000000\n', ['CAP_NET_ADMIN', 'CAP_SYS_ADMIN']],
    ['root of an ordinary container', 'CapEff:\t00000000a80425fb\n', ['CAP_NET_ADMIN', 'CAP_SYS_ADMIN']],
    ['a container with NET_ADMIN', 'CapEff:\t00000000a80435fb\n', ['CAP_SYS_ADMIN']],
    ['a kernel that says nothing', 'Name:\tnode\n', []],
  ];
  for (const [name, status, missing] of rows) test(name, () => assert.deepEqual(missingRights(status), missing));
});

test('an agent without rights is refused with the capability and what to do', () => {
  assert.throws(() => requireRights('CapEff:\t0000000000001000\n'), {
    code: 'AGENT_RIGHTS',
    message: /CAP_SYS_ADMIN missing; run it as root/,
  });
});

test('what an agent left is read back; a directory that cannot be written is an error with a code', () => {
  const directory = mkdtempSync(join(tmpdir(), 'flatroute-identity-'));
  try {
    assert.equal(lastLife(directory), undefined);
    for (const learned of [[], ['ipv6'], ['ipv4', 'ipv6']] as const) {
      rememberLife(directory, { identity: 'boot 1', learned });
      assert.deepEqual(lastLife(directory), { identity: 'boot 1', learned });
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
  assert.throws(() => rememberLife(directory, { identity: 'boot 2', learned: [] }), { code: 'AGENT_RUN_DIRECTORY' });
});

describe('forwarding state that outlived the last agent', () => {
  const rows: readonly (readonly [string, readonly Family[], readonly Family[], readonly Family[]])[] = [
    ['routes of both families stand', ['ipv4', 'ipv6'], ['ipv4', 'ipv6'], ['ipv4', 'ipv6']],
    ['there were none', [], [], ['ipv4', 'ipv6']],
    ['one family had none', ['ipv4'], ['ipv4'], ['ipv4', 'ipv6']],
    ['all were taken away meanwhile', ['ipv4', 'ipv6'], [], []],
    ['those of one family were', ['ipv4', 'ipv6'], ['ipv6'], ['ipv6']],
    ['more stand than were noted', [], ['ipv4'], ['ipv4', 'ipv6']],
  ];
  for (const [name, noted, standing, expected] of rows)
    test(name, () => assert.deepEqual(preserved(noted, standing), expected));
});
