/** What is learned: what is taken, which way it leaves, and what is said about it. */
import assert from 'node:assert/strict';
import { linkAddress } from '../../../interop/two-routers.ts';
import { asn, kernelView, prefix } from '../../../unit/bgp/speaker/network.ts';
import type { FilterIntent, FilterRule } from '#bgp/engine.ts';
import type { Prefix } from '#lib/ip.ts';
import type { ContractScenario } from '../scenario.ts';
import { blocks, plain, view, wanted, wantedWith } from '../scene.ts';

const [first, second] = [linkAddress(1, 2), linkAddress(2, 2)];
const said = (...texts: readonly string[]): { readonly announce: readonly Prefix[] } => ({
  announce: texts.map(prefix),
});

/** Exactly this prefix, or what is inside of it between two lengths. */
const matching = (
  cidr: string,
  lengths: readonly [number, number] = [Number(cidr.split('/')[1]), Number(cidr.split('/')[1])],
): NonNullable<FilterRule['match']> => ({
  operator: 'In',
  cidr: prefix(cidr),
  minLength: lengths[0],
  maxLength: lengths[1],
});

const importing = (ipv4: readonly FilterRule[], rest?: FilterIntent['default']): FilterIntent => ({
  name: 'tried',
  import: { ipv4, ipv6: [] },
  export: { ipv4: [], ipv6: [] },
  default: rest,
});

export const routeScenarios: readonly ContractScenario[] = [
  {
    name: 'an import policy takes nothing, the default route, or all, and changes without a new session',
    play: async (scene) => {
      const announced = said('0.0.0.0/0', '10.2.0.0/24', '::/0', 'fd02::/64');
      const engine = await scene.begin({ first: announced }, wantedWith({ importPolicy: 'None' }));
      await engine.kernelIs(plain.second);
      await engine.until('what came', (it) => it.peer('first')?.received.ipv6 === 2);
      const since = engine.peer('first')?.since;
      await scene.apply(wantedWith({ importPolicy: 'DefaultRoute' }));
      const defaults = { '0.0.0.0/0': [first], '::/0': [linkAddress(1, 2, 'ipv6')] };
      await engine.kernelIs({ ...plain.second, ...defaults });
      await scene.apply(wanted());
      await engine.kernelIs({ ...plain.first, ...plain.second, ...defaults });
      await engine.until('what was accepted', (it) => it.peer('first')?.accepted.ipv4 === 2);
      await scene.apply(wantedWith({ importPolicy: 'None' }));
      await engine.kernelIs(plain.second);
      assert.equal(engine.peer('first')?.since, since);
    },
  },
  {
    name: 'filters decide before the import policy, in order, by prefix and by length',
    play: async (scene) => {
      const announced = said('10.2.0.0/24', '10.4.0.0/16', '10.4.4.0/24', '10.4.4.4/32', '10.5.0.0/24', 'fd02::/64');
      const engine = await scene.begin({ first: announced });
      const rules: FilterRule[] = [
        { action: 'Reject', match: matching('10.4.4.0/24') },
        { action: 'Accept', match: matching('10.4.0.0/16', [16, 24]) },
        { action: 'Accept', match: matching('10.4.4.0/24', [25, 32]) },
      ];
      await scene.apply(wantedWith({ filters: [importing(rules, 'Reject')] }));
      await engine.kernelIs({ ...plain.second, '10.4.0.0/16': [first], '10.4.4.4/32': [first] });
      // What no rule of it names is left to the import policy.
      await scene.apply(wantedWith({ filters: [importing(rules)] }));
      await engine.kernelIs({
        ...plain.first,
        ...plain.second,
        '10.4.0.0/16': [first],
        '10.4.4.4/32': [first],
        '10.5.0.0/24': [first],
      });
    },
  },
  {
    name: 'a filter matches communities and paths, and changes the local preference, which decides',
    play: async (scene) => {
      const shared = ['10.9.0.0/24', 'fd09::/64'];
      const engine = await scene.begin({
        first: { ...said(...shared), attributes: { communities: ['65002:7', '65002:1:2', 'rt:65002:8'] } },
        second: said(...shared),
      });
      const both = [first, second];
      const both6 = [linkAddress(1, 2, 'ipv6'), linkAddress(2, 2, 'ipv6')];
      await engine.kernelIs({ '10.9.0.0/24': both, 'fd09::/64': both6 });
      const preferred: FilterRule = {
        action: 'Accept',
        match: undefined,
        // One of each kind; the path carries all of them.
        communities: [65002 * 65536 + 7, [65002, 1, 2], [0x0002fdea, 8]],
        asPaths: [[65002]],
        operations: [{ kind: 'setLocalPref', value: 200 }],
      };
      await scene.apply(wantedWith({ filters: [importing([preferred])] }));
      await engine.kernelIs({ '10.9.0.0/24': [first], 'fd09::/64': both6 });
      const other: FilterRule = { ...preferred, communities: [65002 * 65536 + 8] };
      await scene.apply(wantedWith({ filters: [importing([other])] }));
      await engine.kernelIs({ '10.9.0.0/24': both, 'fd09::/64': both6 });
      const byPath: FilterRule = { action: 'Reject', match: undefined, asPaths: [[65002]] };
      await scene.apply(wantedWith({ filters: [importing([byPath])] }));
      await engine.kernelIs({ '10.9.0.0/24': [second], 'fd09::/64': both6 });
    },
  },
  {
    name: "what lies inside this node's own prefixes is refused, and what is beside them is not",
    play: async (scene) => {
      const engine = await scene.begin({
        first: said('10.60.1.0/26', '10.60.1.16/28', '10.60.1.64/26', '10.60.0.0/16', 'fd60:1::/120', 'fd02::/64'),
      });
      const beside = { '10.60.1.64/26': [first], '10.60.0.0/16': [first] };
      await engine.kernelIs({ ...plain.second, ...beside, 'fd02::/64': plain.first['fd02::/64'] });
      await engine.until('what came', (it) => it.peer('first')?.received.ipv4 === 4);
      await scene.apply(wanted({ ownPrefixes: [prefix('10.60.0.0/16'), blocks.ipv6] }));
      await engine.kernelIs({ ...plain.second, 'fd02::/64': plain.first['fd02::/64'] });
    },
  },
  {
    name: 'equal paths leave by one group, which loses and gains members, up to the most that is allowed',
    play: async (scene) => {
      const shared = said('10.9.0.0/24', '10.9.1.0/24');
      const both = [first, second];
      const engine = await scene.begin({ first: shared, second: shared });
      await engine.kernelIs({ '10.9.0.0/24': both, '10.9.1.0/24': both });
      assert.equal(engine.kernel.groups, 1, 'two prefixes with the same next hops share a group');
      await scene.routers({ first: said('10.9.0.0/24'), second: shared });
      await engine.kernelIs({ '10.9.0.0/24': both, '10.9.1.0/24': [second] });
      await scene.apply(wanted({ multipath: { maximumPaths: 1, relax: true } }));
      await engine.until('one next hop each', ({ kernel }) =>
        Object.values(kernel.routes()).every((hops) => hops.length === 1),
      );
      await scene.apply(wanted());
      await engine.kernelIs({ '10.9.0.0/24': both, '10.9.1.0/24': [second] });
    },
  },
  {
    name: 'paths through other ASes are no equal paths where that is not wanted',
    play: async (scene) => {
      const shared = said('10.9.0.0/24');
      const engine = await scene.begin({ first: shared, second: shared });
      await engine.kernelIs({ '10.9.0.0/24': [first, second] });
      await scene.apply(wanted({ multipath: { maximumPaths: 8, relax: false } }));
      await engine.until('one next hop', ({ kernel }) => kernel.routes()['10.9.0.0/24']?.length === 1);
      await scene.apply(wanted());
      await engine.kernelIs({ '10.9.0.0/24': [first, second] });
    },
  },
  {
    name: 'a next hop goes and comes with the link that leads to it, and moves with it',
    play: async (scene) => {
      const engine = await scene.begin();
      await engine.kernelIs({ ...plain.first, ...plain.second });
      const addresses = view.interfaces.map((link) => link.addresses.map((it) => `${it.address}/${it.prefixLength}`));
      const [one = [], two = []] = addresses;
      // Another index in front: both links have another number now.
      engine.setKernelView(kernelView([[], one, two]));
      await engine.until('the new interfaces', ({ kernel }) => {
        const hops = kernel.routes();
        return hops['10.2.0.0/24']?.join() === `${first}%2` && hops['10.3.0.0/24']?.join() === `${second}%3`;
      });
      engine.setKernelView({ ...view, routes: view.routes.filter((route) => route.interfaceIndex !== 2) });
      await engine.kernelIs(plain.first);
      engine.setKernelView(view);
      await engine.kernelIs({ ...plain.first, ...plain.second });
    },
  },
  {
    name: 'learned routes stay out of the kernel where they are not wanted there',
    play: async (scene) => {
      const engine = await scene.begin();
      await engine.kernelIs({ ...plain.first, ...plain.second });
      await scene.apply(wanted({ installRoutes: false }));
      await engine.kernelIs({});
      assert.equal(engine.peer('first')?.accepted.ipv4, 1);
      await scene.apply(wanted());
      await engine.kernelIs({ ...plain.first, ...plain.second });
    },
  },
  {
    name: 'questions about routes are answered: what came, what was taken and why not, what is best, what is announced',
    play: async (scene) => {
      const engine = await scene.begin({ first: said('10.2.0.0/24', '10.60.1.0/28', 'fd02::/64') });
      await engine.kernelIs({ ...plain.first, ...plain.second });
      await engine.until('all that is asked for', (it) => {
        const { received, announced } = it.peer('first') ?? {};
        return received?.ipv4 === 2 && announced?.ipv4 === 1 && announced.ipv6 === 1;
      });
      const rows = async (direction: 'received' | 'accepted' | 'announced' | 'best', more = {}) =>
        (await engine.routes({ direction, peer: 'first', limit: 100, ...more })).rows;
      const received = await rows('received');
      assert.deepEqual(received.map((row) => row.prefix).sort(), ['10.2.0.0/24', '10.60.1.0/28', 'fd02::/64']);
      const refused = received.find((row) => row.prefix === '10.60.1.0/28');
      assert.equal(refused?.accepted, false);
      // docs/engines.md: GoBGP does not say which rule it was.
      assert.match(refused.reason ?? '', scene.kind === 'gobgp' ? /import policy in GoBGP/ : /10\.60\.1\.0\/26/);
      const [accepted] = await rows('accepted', { family: 'ipv4' });
      const { prefix: at, peer, nextHop, asPath, origin, best } = accepted ?? {};
      assert.deepEqual(
        { at, peer, nextHop, asPath, origin, best },
        { at: '10.2.0.0/24', peer: 'first', nextHop: first, asPath: '65002', origin: 'IGP', best: true },
      );
      assert.deepEqual((await rows('announced')).map((row) => row.prefix).sort(), [blocks.ipv4, blocks.ipv6]);
      const within = await engine.routes({ direction: 'best', prefix: prefix('10.0.0.0/8'), within: true, limit: 1 });
      assert.deepEqual([within.rows.length, within.more], [1, true]);
      const covering = await rows('best', { prefix: '10.2.0.9' });
      assert.deepEqual(
        covering.map((row) => row.prefix),
        ['10.2.0.0/24'],
      );
    },
  },
  {
    name: 'what was refused counts as received and not as accepted',
    play: async (scene) => {
      const engine = await scene.begin({ first: said('10.2.0.0/24', '10.60.1.0/28', 'fd02::/64') });
      await engine.until('counts', (it) => {
        const { accepted, received } = it.peer('first') ?? {};
        return accepted?.ipv4 === 1 && received?.ipv4 === 2;
      });
      assert.deepEqual(
        engine.facts?.peers.map((it) => it.peerAsn),
        [asn(65002), asn(65003)],
      );
    },
  },
];
