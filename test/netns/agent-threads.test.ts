import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { Lab } from '#lab/lab.ts';
import { flatroute } from '#lab/program.ts';
import { GO } from '../support/chaos/early-death.ts';
import { eventually, withNamespace } from '../support/netns.ts';

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

test('a pods thread that dies before its turn to start has come is started once by the agent', {
  timeout: 600_000,
}, async () => {
  await using lab = await Lab.create('agent-threads');
  const host = await lab.addHost('node-1', { forwarding: true });
  await host.run(['mkdir', '/run/resources']);
  const [node = '', ...words] = flatroute('agent', '--resources', '/run/resources', '--node', 'node-1');
  const dies = resolve('test/support/chaos/early-death.ts');
  const agent = await host.spawn([node, '--import', dies, ...words], { log: 'agent.log' });
  const said = (event: string): Promise<boolean> =>
    eventually(`the agent says ${event}`, async () => {
      const log = await agent.log();
      assert.ok(!agent.ended, log);
      return log.includes(`"event":"${event}"`);
    });
  await said('thread.restarted');
  await host.writeFile(GO, '');
  await said('agent.started');
  const log = await agent.log();
  assert.equal(log.split('"event":"thread.died"').length, 2, log);
});
