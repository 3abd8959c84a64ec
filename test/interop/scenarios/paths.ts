/** Which paths are used: several at once, and none that leads through a router that is going away. */
import assert from 'node:assert/strict';
import { expectKernel, prefixes } from '../two-routers.ts';
import { seconds } from '#lib/time.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import type { Rack } from './rack.ts';
import { expectPaths, judgeAddress } from './rack.ts';
import type { Scenario } from './scenario.ts';

const both = prefixes('10.9.0.0/24');
const farAddress = '172.16.2.2';

/** Drains; a step that was over before the daemon was looked at is tried again, for longer. */
async function drainSeen(rack: Rack): Promise<void> {
  for (let wait = 2; ; wait *= 2) {
    let isOver = false;
    const drained = rack.node.agent.text(['drain', 'judge', '--wait', `${wait}`]).finally(() => (isOver = true));
    const isSeen = await waitFor(
      'GRACEFUL_SHUTDOWN at the daemon, or the end of the drain',
      async () => {
        const rows = (await rack.judge.paths('ipv4')).filter(({ prefix }) => prefix === '10.1.0.0/24');
        if (rows.some(({ communities }) => communities?.join() === '65535:0')) return found(true);
        return isOver ? found(false) : notYet(JSON.stringify(rows));
      },
      { deadline: seconds(60) },
    );
    await drained;
    if (isSeen) return;
    assert.ok(wait < 16, 'the daemon never had it');
    await rack.node.agent.text(['undrain', 'judge']);
    await rack.up();
    await rack.expectPlainTables();
  }
}

export const pathScenarios: readonly Scenario[] = [
  {
    name: 'equal paths of two routers are in the kernel together; GRACEFUL_SHUTDOWN of one moves the traffic to the other',
    judges: ['RFC 4271', 'RFC 8326'],
    quick: true,
    play: async (rack) => {
      await rack.setup({ judge: { announce: both, attributes: { origin: 'IGP' } }, far: { announce: both } });
      await expectKernel(rack.node, 'ipv4', { '10.9.0.0/24': [judgeAddress, farAddress] });
      await rack.setup({
        judge: { announce: both, attributes: { origin: 'IGP', communities: ['65535:0'] } },
        far: { announce: both },
      });
      await expectKernel(rack.node, 'ipv4', { '10.9.0.0/24': [farAddress] });
      await expectPaths(rack.node, '10.9.0.0/24', [
        // The least that GoBGP's policies can say; what came without one it shows without.
        { nextHop: judgeAddress, localPref: rack.engine === 'gobgp' ? 1 : 0, best: false },
        { nextHop: farAddress, localPref: rack.engine === 'gobgp' ? undefined : 100, best: true },
      ]);
    },
  },
  {
    name: 'a path with AS 0 in it is malformed: its routes go, the session and all others stay',
    judges: ['RFC 7606'],
    play: async (rack) => {
      await rack.setup({ judge: { announce: both, attributes: { path: [0] } } });
      const { flaps } = await rack.session();
      await rack.arrived('10.9.0.0/24', /it contains AS 0/);
      await expectKernel(rack.node, 'ipv4', { '10.3.0.0/24': [farAddress] });
      await expectPaths(rack.node, '10.9.0.0/24', []);
      await expectPaths(rack.judge, '10.3.0.0/24', [{ path: '65001 65003' }]);
      assert.equal((await rack.session()).flaps, flaps);
    },
  },
  {
    name: 'a drain moves traffic away, then takes the routes, then ends the session; undrain brings all back',
    judges: ['RFC 8326', 'RFC 4486'],
    differs: {
      gobgp: { why: "the peer's routes leave the kernel with its session, and are not kept for pods that still run" },
    },
    quick: true,
    play: async (rack) => {
      await rack.setup();
      await drainSeen(rack);
      await rack.sessionIs('the drain', ({ state, drain }) => state === 'Idle' && drain === 'down');
      await expectPaths(rack.judge, '10.1.0.0/24', []);
      const kept = rack.engine === 'embedded' ? { '10.2.0.0/24': [judgeAddress] } : {};
      await expectKernel(rack.node, 'ipv4', { ...kept, '10.3.0.0/24': [farAddress] });
      await rack.node.agent.text(['undrain', 'judge']);
      await rack.up();
      await rack.expectPlainTables();
    },
  },
];
