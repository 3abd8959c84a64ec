/** What a session can have beyond the basics, when both ends offer it. */
import { expectKernel, expectTable, linkAddress, prefixes, sessionDown } from '../two-routers.ts';
import { expectPaths, judgeAddress } from './rack.ts';
import type { Scenario } from './scenario.ts';

const shared = prefixes('10.9.0.0/24');

export const extensionScenarios: readonly Scenario[] = [
  {
    name: 'two paths of one prefix are announced, each with its identifier, and identifiers are taken',
    judges: ['RFC 7911'],
    play: async (rack) => {
      await rack.setup({
        node: { announce: shared },
        far: { announce: shared },
        both: { addPath: { receive: true, send: 4 } },
      });
      await expectPaths(rack.judge, '10.9.0.0/24', [{ path: '65001' }, { path: '65001 65003' }]);
      await expectPaths(rack.node, '10.2.0.0/24', [{ nextHop: judgeAddress, path: '65002' }]);
    },
  },
  {
    name: 'roles that fit open the session, roles that do not fit end it',
    judges: ['RFC 9234'],
    play: async (rack) => {
      await rack.setup({
        toJudge: { role: { ours: 'Customer', required: true } },
        toNode: { role: { ours: 'Provider', required: true } },
      });
      await expectPaths(rack.node, '10.2.0.0/24', [{ nextHop: judgeAddress, path: '65002' }]);
      await rack.setup({ both: { role: { ours: 'Provider', required: false } }, up: false });
      await rack.sessionIs('the mismatch', ({ lastError }) =>
        /role mismatch|peer's role is Provider/i.test(lastError?.text ?? ''),
      );
    },
  },
  {
    name: "an expired hold timer keeps the daemon's routes until it is back",
    judges: ['RFC 8538'],
    play: async (rack) => {
      const kept = { '10.2.0.0/24': [judgeAddress], '10.3.0.0/24': [linkAddress(2, 2)] };
      await rack.setup({
        holdTime: 3,
        both: { gracefulRestart: { restartTimeSeconds: 20 }, notificationRestart: true },
      });
      await expectKernel(rack.node, 'ipv4', kept);
      await rack.judge.signal('SIGSTOP');
      await sessionDown(rack.node);
      await expectKernel(rack.node, 'ipv4', kept);
      await rack.judge.signal('SIGCONT');
      await rack.up();
      await expectKernel(rack.node, 'ipv4', kept);
    },
  },
  {
    name: "a reflecting node tells its client of another internal router's routes, with that router's next hop",
    judges: ['RFC 4456'],
    play: async (rack) => {
      const one = rack.node.description.asn;
      await rack.setup({ judge: { asn: one }, far: { asn: one }, toJudge: { client: true } });
      await expectPaths(rack.judge, '10.3.0.0/24', [{ nextHop: linkAddress(2, 2), path: '' }]);
      await expectPaths(rack.judge, '10.1.0.0/24', [{ nextHop: linkAddress(1, 1), path: '' }]);
    },
  },
  {
    name: 'IPv4 routes have IPv6 next hops over an IPv6 session',
    judges: ['RFC 8950'],
    play: async (rack) => {
      await rack.setup({
        both: { extendedNextHop: true },
        toJudge: { address: linkAddress(1, 2, 'ipv6') },
        toNode: { address: linkAddress(1, 1, 'ipv6') },
      });
      await expectTable(rack.node, 'ipv4', {
        '10.1.0.0/24': ['local'],
        '10.2.0.0/24': [linkAddress(1, 2, 'ipv6')],
        '10.3.0.0/24': [linkAddress(2, 2)],
      });
      await expectPaths(rack.judge, '10.1.0.0/24', [{ path: '65001' }]);
    },
  },
];
