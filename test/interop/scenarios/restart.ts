/** Restarts: who keeps whose routes, and for how long. */
import assert from 'node:assert/strict';
import { expectKernel, expectTable, linkAddress, prefixes, sessionDown } from '../two-routers.ts';
import type { Rack } from './rack.ts';
import { expectPaths, judgeAddress, nodeAddress } from './rack.ts';
import type { Scenario } from './scenario.ts';

const longLived = {
  gracefulRestart: { restartTimeSeconds: 1 },
  longLivedGracefulRestart: { staleTimeSeconds: 60 },
};
/** LLGR_STALE. */
const stale = '65535:6';
/** Longer than a busy machine takes for all that is looked at meanwhile; what ends the waiting is End-of-RIB. */
const restart = { gracefulRestart: { restartTimeSeconds: 120 } };

/** Of the judge; the link to the far router is not what is tried. */
const nodesRoutes = { '10.1.0.0/24': [nodeAddress], '10.2.0.0/24': ['local'], '10.3.0.0/24': [nodeAddress] };
const judgesRoutes = { '10.2.0.0/24': [judgeAddress], '10.3.0.0/24': [linkAddress(2, 2)] };

async function judgeKeeps(rack: Rack): Promise<void> {
  const [row] = await rack.judge.sessions();
  assert.equal(row?.established, false);
  await expectTable(rack.judge, 'ipv4', nodesRoutes);
}

export const restartScenarios: readonly Scenario[] = [
  {
    name: 'a killed agent keeps its routes at the daemon until it is back, and then those it still announces',
    judges: ['RFC 4724'],
    play: async (rack) => {
      await rack.setup({ both: restart });
      await rack.expectPlainTables();
      await rack.node.stop('SIGKILL');
      await sessionDown(rack.judge);
      await judgeKeeps(rack);
      await rack.setup({ both: restart, node: { announce: prefixes('fd01::/64') }, up: false });
      await judgeKeeps(rack);
      await rack.startNode();
      await rack.up();
      await expectTable(rack.judge, 'ipv4', { '10.2.0.0/24': ['local'], '10.3.0.0/24': [nodeAddress] });
    },
  },
  {
    name: "a killed daemon's routes stay in the kernel until it is back, and then those it still announces",
    judges: ['RFC 4724'],
    except: { openbgpd: 'it waits for others, and restarts without keeping anything' },
    play: async (rack) => {
      await rack.setup({ both: restart });
      await expectKernel(rack.node, 'ipv4', judgesRoutes);
      await rack.judge.stop('SIGKILL');
      await sessionDown(rack.node);
      await expectKernel(rack.node, 'ipv4', judgesRoutes);
      await rack.judge.restart({ ...rack.judge.description, announce: prefixes('10.2.0.0/24') }, 'recovering');
      await rack.up();
      await expectKernel(rack.node, 'ipv6', { 'fd03::/64': [linkAddress(2, 2, 'ipv6')] });
      await expectKernel(rack.node, 'ipv4', judgesRoutes);
    },
  },
  {
    name: 'beyond the restart time routes stay as the last choice, here and at the daemon, and are as before with their owner',
    judges: ['RFC 9494'],
    play: async (rack) => {
      await rack.setup({ both: longLived });
      await rack.expectPlainTables();
      await rack.judge.stop('SIGKILL');
      await expectPaths(rack.node, '10.2.0.0/24', [{ nextHop: judgeAddress, communities: [stale] }]);
      await expectKernel(rack.node, 'ipv4', judgesRoutes);
      await rack.judge.restart(rack.judge.description);
      await rack.up();
      await expectPaths(rack.node, '10.2.0.0/24', [{ nextHop: judgeAddress, communities: [] }]);
      await rack.node.stop('SIGKILL');
      await expectPaths(rack.judge, '10.1.0.0/24', [{ nextHop: nodeAddress, communities: [stale] }]);
      await rack.startNode();
      await rack.up();
      await expectPaths(rack.judge, '10.1.0.0/24', [{ nextHop: nodeAddress, communities: [] }]);
    },
  },
];
