// What an agent without its rights, or without its run directory, is told at the start.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { lastIdentity, rememberIdentity } from '#agent/boot-identity.ts';
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

test('the identity of a boot is read back; a directory that cannot be written is an error with a code', () => {
  const directory = mkdtempSync(join(tmpdir(), 'flatroute-identity-'));
  try {
    rememberIdentity(directory, 'boot 1');
    assert.equal(lastIdentity(directory), 'boot 1');
  } finally {
    rmSync(directory, { recursive: true });
  }
  assert.throws(() => rememberIdentity(directory, 'boot 2'), { code: 'AGENT_RUN_DIRECTORY' });
});
