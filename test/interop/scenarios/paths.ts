/** Which paths are used: several at once, and none that leads through a router that is going away. */
import assert from 'node:assert/strict';
import { expectKernel, prefixes } from '../two-routers.ts';
import { expectPaths, judgeAddress } from './rack.ts';
import type { Scenario } from './scenario.ts';

const both = prefixes('10.9.0.0/24');
const farAddress = '172.16.2.2';

export const pathScenarios: readonly Scenario[] = [
  {
    name: 'equal paths of two routers are in the kernel together; GRACEFUL_SHUTDOWN of one moves the traffic to the other',
    judges: ['RFC 4271', 'RFC 8326'],
    play: async (rack) => {
      await rack.setup({ judge: { announce: both, attributes: { origin: 'IGP' } }, far: { announce: both } });
      await expectKernel(rack.node, 'ipv4', { '10.9.0.0/24': [judgeAddress, farAddress] });
      await rack.setup({
        judge: { announce: both, attributes: { origin: 'IGP', communities: ['65535:0'] } },
        far: { announce: both },
      });
      await expectKernel(rack.node, 'ipv4', { '10.9.0.0/24': [farAddress] });
      await expectPaths(rack.node, '10.9.0.0/24', [
        { nextHop: judgeAddress, localPref: 0, best: false },
        { nextHop: farAddress, localPref: 100, best: true },
      ]);
    },
  },
  {
    name: 'a path with AS 0 in it is malformed: its routes go, the session and all others stay',
    judges: ['RFC 7606'],
    play: async (rack) => {
      await rack.setup({ judge: { announce: both, attributes: { path: [0] } } });
      const { flaps } = await rack.session();
      await rack.nodeLogs('it contains AS 0');
      await expectPaths(rack.node, '10.9.0.0/24', []);
      await expectPaths(rack.judge, '10.3.0.0/24', [{ path: '65001 65003' }]);
      assert.equal((await rack.session()).flaps, flaps);
    },
  },
  {
    name: 'a drain moves traffic away, then takes the routes, then ends the session; undrain brings all back',
    judges: ['RFC 8326', 'RFC 4486'],
    play: async (rack) => {
      await rack.setup();
      // Each step lasts long enough to be seen beside three other racks.
      const drained = rack.node.agent.text(['drain', 'judge', '--wait', '2']);
      await expectPaths(rack.judge, '10.1.0.0/24', [{ path: '65001', communities: ['65535:0'] }]);
      await drained;
      await rack.sessionIs('the drain', ({ state, drain }) => state === 'Idle' && drain === 'down');
      await expectPaths(rack.judge, '10.1.0.0/24', []);
      await expectKernel(rack.node, 'ipv4', { '10.2.0.0/24': [judgeAddress], '10.3.0.0/24': [farAddress] });
      await rack.node.agent.text(['undrain', 'judge']);
      await rack.up();
      await rack.expectPlainTables();
    },
  },
];
