/** Which paths are used: several at once, and none that leads through a router that is going away. */
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
];
