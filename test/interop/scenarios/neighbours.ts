/** Neighbours that nobody names, and neighbours whose path is watched. */
import assert from 'node:assert/strict';
import { expectKernel, linkAddress, prefixes } from '../two-routers.ts';
import { address } from '../two-routers.ts';
import type { Setup } from './rack.ts';
import { expectPaths, judgeAddress } from './rack.ts';
import type { Scenario } from './scenario.ts';

const [range] = prefixes('172.16.1.0/24');
const withPassword: Setup = {
  both: { password: 'range' },
  ...(range !== undefined && { toJudge: { listenRange: range } }),
  up: false,
};

export const neighbourScenarios: readonly Scenario[] = [
  {
    name: 'a daemon connects from a listen range with its password, has both families, and is gone with its session',
    judges: ['listen range'],
    exceptEngine: {
      gobgp: {
        why: 'the peer is held, and its condition names the field password; without one GoBGP is given no IPv6 next hop for a range',
        says: { field: 'password', setup: withPassword },
      },
    },
    play: async (rack) => {
      await rack.setup(withPassword);
      const name = `judge/${judgeAddress}`;
      await rack.peersAre(`${name} established`, (peers) =>
        peers.some((peer) => peer.name === name && peer.state === 'Established'),
      );
      await expectPaths(rack.judge, '10.1.0.0/24', [{ path: '65001' }]);
      await expectPaths(rack.judge, 'fd03::/64', [{ path: '65001 65003' }]);
      await expectKernel(rack.node, 'ipv4', { '10.2.0.0/24': [judgeAddress], '10.3.0.0/24': [linkAddress(2, 2)] });
      await rack.judge.stop('SIGTERM');
      await rack.peersAre('the range alone', (peers) => !peers.some((peer) => peer.name === name));
      await rack.judge.restart(rack.judge.description);
    },
  },
  {
    name: 'node and daemon know only the link between them: both families over link-local addresses',
    judges: ['RFC 4861', 'RFC 8950'],
    play: async (rack) => {
      const somebody = { address: address('::') };
      await rack.setup({
        toJudge: { ...somebody, interface: 'judge' },
        toNode: { ...somebody, interface: 'node' },
      });
      for (const prefix of ['10.1.0.0/24', 'fd01::/64']) await expectPaths(rack.judge, prefix, [{ path: '65001' }]);
      for (const prefix of ['10.2.0.0/24', 'fd02::/64']) await expectPaths(rack.node, prefix, [{ path: '65002' }]);
      assert.match((await rack.session()).address, /^fe80::.*%judge$/);
    },
  },
  {
    name: 'a frozen daemon fails BFD long before its hold time: the session ends with Cease/10, and its routes go',
    judges: ['RFC 5880'],
    differs: { gobgp: { why: 'with Cease/2' } },
    play: async (rack) => {
      await rack.setup({ both: { bfd: {}, gracefulRestart: { restartTimeSeconds: 20 } }, holdTime: 90 });
      await rack.sessionIs('BFD', ({ bfd }) => bfd?.state === 'Up');
      await expectKernel(rack.node, 'ipv4', { '10.2.0.0/24': [judgeAddress], '10.3.0.0/24': [linkAddress(2, 2)] });
      await rack.judge.signal('SIGSTOP');
      await rack.sessionIs('the failure', ({ lastError }) => lastError?.text.includes('BFD') === true);
      await expectKernel(rack.node, 'ipv4', { '10.3.0.0/24': [linkAddress(2, 2)] });
      await rack.judge.signal('SIGCONT');
      await rack.up();
    },
  },
];
