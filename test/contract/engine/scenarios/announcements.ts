/** What is announced, to whom, and with which attributes. */
import assert from 'node:assert/strict';
import { linkAddress } from '../../../interop/two-routers.ts';
import { expectPaths } from '../../../interop/scenarios/rack.ts';
import { prefix } from '../../../unit/bgp/speaker/network.ts';
import type { Announcement, FilterIntent, FilterRule } from '#bgp/engine.ts';
import type { ContractScenario } from '../scenario.ts';
import { blocks, peer, plain, wanted, wantedWith } from '../scene.ts';

const announcement = (text: string, communities: Announcement['communities'] = []): Announcement => ({
  prefix: prefix(text),
  source: 'advertise',
  communities,
});
const standard = (high: number, low: number): number => high * 65536 + low;

const exporting = (ipv4: readonly FilterRule[]): FilterIntent => ({
  name: 'told',
  import: { ipv4: [], ipv6: [] },
  export: { ipv4, ipv6: [] },
  default: undefined,
});

export const announcementScenarios: readonly ContractScenario[] = [
  {
    name: 'announcements come, change their communities and go, in both families, to every peer',
    play: async (scene) => {
      const engine = await scene.begin();
      const said = async (path: string, communities: readonly string[]): Promise<void> => {
        for (const router of [scene.first, scene.second])
          await expectPaths(router, path, [{ path: '65001', communities, origin: 'IGP' }]);
      };
      const of = (communities: Announcement['communities']): readonly Announcement[] =>
        ['10.70.0.0/24', 'fd70::/64'].map((text) => announcement(text, communities));
      await scene.apply(wanted({ announcements: of([]) }));
      for (const text of ['10.70.0.0/24', 'fd70::/64']) await said(text, []);
      await expectPaths(scene.first, blocks.ipv4, []);
      await scene.apply(wanted({ announcements: of([standard(65001, 1), [65001, 2, 3]]) }));
      for (const text of ['10.70.0.0/24', 'fd70::/64']) await said(text, ['65001:1', '65001:2:3']);
      const since = engine.peer('first')?.since;
      await scene.apply(wanted({ announcements: of([standard(65001, 9)]).slice(0, 1) }));
      await said('10.70.0.0/24', ['65001:9']);
      await expectPaths(scene.second, 'fd70::/64', []);
      await engine.until('the fact', ({ facts }) => facts?.announced.map((it) => it.prefix).join() === '10.70.0.0/24');
      await scene.apply(wanted({ announcements: [] }));
      await expectPaths(scene.first, '10.70.0.0/24', []);
      assert.equal(engine.peer('first')?.since, since);
    },
  },
  {
    name: 'what one peer says is told to the other only in transit, with this AS in the path and its own next hop',
    play: async (scene) => {
      const engine = await scene.begin();
      await engine.kernelIs({ ...plain.first, ...plain.second });
      await expectPaths(scene.second, '10.2.0.0/24', []);
      await scene.apply(wanted({ peers: [peer('first'), peer('second', { transit: true })] }));
      const hop = (family: 'ipv4' | 'ipv6') => linkAddress(2, 1, family);
      await expectPaths(scene.second, '10.2.0.0/24', [{ path: '65001 65002', nextHop: hop('ipv4') }]);
      await expectPaths(scene.second, 'fd02::/64', [{ path: '65001 65002', nextHop: hop('ipv6') }]);
      await expectPaths(scene.first, '10.3.0.0/24', []);
      await scene.apply(wanted());
      await expectPaths(scene.second, '10.2.0.0/24', []);
    },
  },
  {
    name: 'an export filter holds back, prepends, and sets MED and communities, for one peer',
    play: async (scene) => {
      const three = ['10.70.0.0/24', '10.70.1.0/24', '10.70.2.0/24'];
      await scene.begin({}, wanted({ announcements: three.map((text) => announcement(text)) }));
      const match = (text: string): NonNullable<FilterRule['match']> => ({
        operator: 'Equal',
        cidr: prefix(text),
        minLength: 24,
        maxLength: 24,
      });
      const filter = exporting([
        { action: 'Reject', match: match('10.70.1.0/24') },
        {
          action: 'Accept',
          match: match('10.70.2.0/24'),
          operations: [
            { kind: 'prependAsPath', asns: [65001, 65001] },
            { kind: 'setMed', value: 50 },
            { kind: 'addCommunity', community: standard(65001, 5) },
            { kind: 'addCommunity', community: [65001, 1, 9] },
            { kind: 'addCommunity', community: [0x0002fde9, 100_000] },
          ],
        },
      ]);
      await scene.apply(wantedWith({ filters: [filter] }, { announcements: three.map((text) => announcement(text)) }));
      await expectPaths(scene.first, '10.70.1.0/24', []);
      await expectPaths(scene.first, '10.70.2.0/24', [
        { path: '65001 65001 65001', med: 50, communities: ['65001:1:9', '65001:5', 'rt:65001:100000'] },
      ]);
      await expectPaths(scene.first, '10.70.0.0/24', [{ path: '65001', med: undefined, communities: [] }]);
      for (const text of three) await expectPaths(scene.second, text, [{ path: '65001', communities: [] }]);
    },
  },
  {
    name: 'a drain moves traffic away, withdraws, ends the session, and is taken back, step by step',
    play: async (scene) => {
      const shared = { announce: [prefix('10.9.0.0/24')] };
      const engine = await scene.begin({ first: shared, second: shared });
      const both = [linkAddress(1, 2), linkAddress(2, 2)];
      await engine.kernelIs({ '10.9.0.0/24': both });
      await scene.apply(wantedWith({ drain: 'deprefer' }));
      await engine.kernelIs({ '10.9.0.0/24': [linkAddress(2, 2)] });
      await expectPaths(scene.first, blocks.ipv4, [{ communities: ['65535:0'] }]);
      await expectPaths(scene.second, blocks.ipv4, [{ communities: [] }]);
      await scene.apply(wantedWith({ drain: 'withdraw' }));
      await expectPaths(scene.first, blocks.ipv4, []);
      await scene.apply(wantedWith({ drain: 'down' }));
      await engine.until('the end', (it) => it.peer('first')?.state === 'Idle');
      await scene.apply(wanted());
      await engine.established('first');
      await engine.kernelIs({ '10.9.0.0/24': both });
      await expectPaths(scene.first, blocks.ipv4, [{ communities: [] }]);
    },
  },
];
