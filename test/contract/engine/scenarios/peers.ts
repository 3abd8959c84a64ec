/** Peers and their sessions: what is applied, what is said about it, and how they end. */
import assert from 'node:assert/strict';
import { linkAddress } from '../../../interop/two-routers.ts';
import { expectPaths } from '../../../interop/scenarios/rack.ts';
import { asn } from '../../../unit/bgp/speaker/network.ts';
import { seconds } from '#lib/time.ts';
import type { ContractScenario } from '../scenario.ts';
import { blocks, peer, plain, wanted, wantedWith } from '../scene.ts';

export const peerScenarios: readonly ContractScenario[] = [
  {
    name: 'the same intent twice is no change: no session moves, no route is said again',
    play: async (scene) => {
      const engine = await scene.begin();
      await engine.kernelIs({ ...plain.first, ...plain.second });
      await engine.until('the whole table', ({ kernel }) => kernel.complete);
      await expectPaths(scene.first, blocks.ipv4, [{ path: '65001', nextHop: linkAddress(1, 1) }]);
      await expectPaths(scene.first, blocks.ipv6, [{ path: '65001', nextHop: linkAddress(1, 1, 'ipv6') }]);
      const { sequence } = engine.kernel;
      const since = engine.facts?.peers.map((it) => [it.since, it.flaps]);
      const said = await scene.first.about(linkAddress(1, 1));
      await scene.apply(wanted());
      await scene.apply(wanted());
      assert.equal(engine.kernel.sequence, sequence);
      assert.deepEqual(
        engine.facts?.peers.map((it) => [it.since, it.flaps]),
        since,
      );
      assert.equal(updatesIn(await scene.first.about(linkAddress(1, 1))), updatesIn(said));
    },
  },
  {
    name: 'facts say what a session is',
    play: async (scene) => {
      const engine = await scene.begin();
      await engine.kernelIs({ ...plain.first, ...plain.second });
      await engine.until('counts and announcements', (it) => {
        const said = it.facts?.announced.map(({ peers }) => peers.length).join();
        const isCounted = it.facts?.peers.every(({ announced, received, accepted }) =>
          [announced, received, accepted].every(({ ipv4, ipv6 }) => ipv4 === 1 && ipv6 === 1),
        );
        return said === '2,2' && isCounted === true;
      });
      const first = engine.peer('first');
      assert.ok(first !== undefined);
      const { address, peerAsn, families, holdTimeSeconds, routerId, localAddress, received, accepted } = first;
      assert.deepEqual(
        { address, peerAsn, families: [...families].sort(), holdTimeSeconds, routerId, localAddress },
        {
          address: linkAddress(1, 2),
          peerAsn: asn(65002),
          families: ['ipv4', 'ipv6'],
          holdTimeSeconds: 90,
          routerId: '10.255.0.2',
          localAddress: linkAddress(1, 1),
        },
      );
      for (const counts of [received, accepted]) assert.deepEqual(counts, { ipv4: 1, ipv6: 1 });
      for (const capability of ['multiprotocol', 'route-refresh', 'graceful-restart', 'four-octet-as'])
        assert.ok(
          first.capabilities.some((it) => it.startsWith(capability)),
          `${capability} in ${first.capabilities.join()}`,
        );
      assert.deepEqual(first.gracefulRestart?.peerRestartTimeSeconds, 20);
      assert.deepEqual(first.noNextHop, []);
      assert.ok(first.messages.received > 0 && first.messages.sent > 0);
      assert.ok(Math.abs(first.since - Date.now()) < 600_000, `since ${first.since}`);
      assert.equal(engine.facts?.listening, 179);
      const announced = engine.facts?.announced.map((it) => [it.prefix, [...it.peers].sort().join(' ')] as const);
      assert.deepEqual(Object.fromEntries(announced ?? []), {
        [blocks.ipv4]: 'first second',
        [blocks.ipv6]: 'first second',
      });
      for (const family of ['ipv4', 'ipv6'] as const) assert.ok((engine.facts?.routes[family].prefixes ?? 0) >= 2);
    },
  },
  {
    name: 'a peer goes, comes, and changes; the other does not notice',
    play: async (scene) => {
      const engine = await scene.begin();
      await engine.kernelIs({ ...plain.first, ...plain.second });
      const since = engine.peer('first')?.since;
      await scene.apply(wanted({ peers: [peer('first')] }));
      await engine.kernelIs(plain.first);
      await engine.until('one peer', ({ facts }) => facts?.peers.length === 1);
      await expectPaths(scene.second, blocks.ipv4, []);
      await scene.apply(wanted({ peers: [peer('first'), peer('second', { holdTime: seconds(80) })] }));
      await engine.established('second');
      assert.equal(engine.peer('second')?.holdTimeSeconds, 80);
      await engine.kernelIs({ ...plain.first, ...plain.second });
      await scene.apply(wanted({ peers: [peer('first'), peer('second', { holdTime: seconds(70) })] }));
      await engine.until('the new hold time', (it) => it.peer('second')?.holdTimeSeconds === 70);
      await engine.kernelIs({ ...plain.first, ...plain.second });
      assert.equal(engine.peer('first')?.since, since);
    },
  },
  {
    name: 'a peer with another AS or another password has no session, and the error says why',
    play: async (scene) => {
      const engine = await scene.begin();
      await scene.apply(wantedWith({ peerAsn: asn(65099) }));
      await engine.until('the error of the AS', (it) => {
        const first = it.peer('first');
        const why = scene.kind === 'gobgp' ? /the log of gobgpd says why/ : /AS/;
        return first?.state !== 'Established' && why.test(first?.lastError?.text ?? '');
      });
      await engine.kernelIs(plain.second);
      await scene.apply(wantedWith({ password: 'nobody knows' }));
      await engine.until('no session', (it) => it.peer('first')?.state !== 'Established');
      await scene.routers({
        first: { peers: scene.first.description.peers.map((it) => ({ ...it, password: 'nobody knows' })) },
      });
      await engine.established('first');
      await engine.kernelIs({ ...plain.first, ...plain.second });
    },
  },
];

/** Sessions that are ended for long: GoBGP waits before it lets such a one begin again. */
export const endedPeerScenarios: readonly ContractScenario[] = [
  {
    name: 'a peer that is disabled is told why, and is down until it is enabled',
    play: async (scene) => {
      const engine = await scene.begin();
      await scene.apply(wantedWith({ enabled: false, shutdownText: 'until noon' }));
      await engine.until('the end', (it) => it.peer('first')?.state === 'Idle');
      await engine.kernelIs(plain.second);
      await scene.firstReceived(/Administrative shutdown/i);
      await scene.apply(wanted());
      await engine.established('first');
      await engine.kernelIs({ ...plain.first, ...plain.second });
    },
  },
  {
    name: 'more prefixes than a peer may announce end its session',
    play: async (scene) => {
      const engine = await scene.begin();
      await scene.apply(wantedWith({ maxPrefixes: 2 }));
      await scene.routers({
        first: { announce: ['10.2.0.0/24', '10.2.1.0/24', '10.2.2.0/24', 'fd02::/64'] as never },
      });
      await engine.until('the limit', (it) => it.peer('first')?.lastError?.code === 'SESSION_MAXIMUM_PREFIXES');
      await engine.kernelIs(plain.second);
      await scene.routers();
      await scene.apply(wanted());
      await engine.established('first');
      await engine.kernelIs({ ...plain.first, ...plain.second });
    },
  },
];

/** UPDATE messages and routes that a BIRD counts of its peer. */
const updatesIn = (about: string): string =>
  [...about.matchAll(/(?:Import|Export) (?:updates|withdraws):.*/g)].map(([line]) => line).join('\n');
