/** Attributes: what is announced, what passes through, and what an old speaker makes of it. */
import { asn } from '../two-routers.ts';
import type { Rack } from './rack.ts';
import { expectPaths, judgeAddress, nodeAddress } from './rack.ts';
import type { Scenario } from './scenario.ts';

/** Sorted as text. */
const communities = ['65100:1', '65100:2:3', 'rt:65100:4'];
/** flatroute passes extended communities on; it sets none. */
const own = ['65001:1', '65001:2:3'];

/** An AS number that has no place in two octets. */
const large = 4_200_000_001;

/** FRR does not look at AS4_PATH when the peer has four octets, even where it has not itself: it shows AS_TRANS. */
const asSeen = (rack: Rack, path: string): string =>
  rack.judge.kind === 'frr' ? path.replaceAll(/\d{6,}/g, '23456') : path;

export const attributeScenarios: readonly Scenario[] = [
  {
    name: 'path, origin, MED and communities of all kinds arrive, pass through, and the MED goes no further',
    judges: ['RFC 4271', 'RFC 1997', 'RFC 4360', 'RFC 8092'],
    play: async (rack) => {
      const { asn: judge } = rack.judge.description;
      await rack.setup({
        judge: { attributes: { origin: 'EGP', med: 50, communities, path: [judge] } },
        node: { attributes: { med: 60, communities: own, path: [65001] } },
        far: { attributes: { origin: 'INCOMPLETE', med: 70, communities, path: [large] } },
      });
      for (const prefix of ['10.2.0.0/24', 'fd02::/64']) {
        await expectPaths(rack.node, prefix, [{ path: '65002 65002', origin: 'EGP', med: 50, communities }]);
        await expectPaths(rack.far, prefix, [
          { path: '65001 65002 65002', origin: 'EGP', med: undefined, communities },
        ]);
      }
      for (const prefix of ['10.3.0.0/24', 'fd03::/64'])
        await expectPaths(rack.judge, prefix, [{ path: `65001 65003 ${large}`, origin: 'INCOMPLETE', communities }]);
      for (const prefix of ['10.1.0.0/24', 'fd01::/64'])
        await expectPaths(rack.judge, prefix, [{ path: '65001 65001', origin: 'IGP', med: 60, communities: own }]);
    },
  },
  {
    name: 'a path that must not leave the AS does not: NO_EXPORT',
    judges: ['RFC 1997'],
    play: async (rack) => {
      // On an internal session: some daemons do not even send it to another AS.
      await rack.setup({ judge: { asn: asn(65001), attributes: { communities: ['65535:65281'] } } });
      await expectPaths(rack.node, '10.2.0.0/24', [{ communities: ['65535:65281'] }]);
      await expectPaths(rack.far, '10.1.0.0/24', [{ path: '65001' }]);
      await expectPaths(rack.far, '10.2.0.0/24', []);
    },
  },
  {
    name: 'an internal session carries local preference and MED, an empty path, and the next hop of the node',
    judges: ['RFC 4271'],
    play: async (rack) => {
      await rack.setup({
        judge: { asn: asn(65001), attributes: { localPref: 200, med: 50 } },
        node: { attributes: { localPref: 250, med: 60 } },
      });
      await expectPaths(rack.node, '10.2.0.0/24', [{ nextHop: judgeAddress, path: '', localPref: 200, med: 50 }]);
      await expectPaths(rack.judge, '10.1.0.0/24', [{ nextHop: nodeAddress, path: '', localPref: 250, med: 60 }]);
      await expectPaths(rack.judge, '10.3.0.0/24', [{ nextHop: nodeAddress, path: '65003', localPref: 100 }]);
      await expectPaths(rack.far, '10.2.0.0/24', [{ path: '65001', localPref: 100 }]);
    },
  },
  {
    name: 'AS numbers of four octets reach a speaker that has two, and come back from it',
    judges: ['RFC 6793'],
    play: async (rack) => {
      // OpenBGPD puts no number but its own into a path.
      const behind = rack.judge.kind === 'openbgpd' ? 65002 : large + 2;
      await rack.setup({
        node: { asn: asn(large) },
        far: { attributes: { path: [large + 1] } },
        judge: { attributes: { path: [behind] } },
        both: { families: ['ipv4'] },
        toNode: { fourOctetAs: false },
      });
      await expectPaths(rack.judge, '10.1.0.0/24', [{ path: asSeen(rack, `${large}`) }]);
      await expectPaths(rack.judge, '10.3.0.0/24', [{ path: asSeen(rack, `${large} 65003 ${large + 1}`) }]);
      await expectPaths(rack.node, '10.2.0.0/24', [{ path: `65002 ${behind}` }]);
      await expectPaths(rack.far, '10.2.0.0/24', [{ path: `${large} 65002 ${behind}` }]);
    },
  },
];
