import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { withNamespace } from '../support/netns.ts';

test('a background thread that dies with a parked read ends, is built again from the kernel, and keeps nothing up', {
  timeout: 600_000,
}, async () => {
  await withNamespace(async (ns) => {
    const { stdout, stderr, code } = await ns.exec([
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      resolve('test/support/thread-death.ts'),
    ]);
    assert.equal(code, 0, stderr);
    assert.deepEqual(JSON.parse(stdout), {
      rebuilt: [['bgp', 'background', 'pods']],
      deaths: ['background', 'background'],
      inTime: true,
    });
  }, 'frt-threads');
});
