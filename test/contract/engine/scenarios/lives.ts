/** Ends and beginnings: resets, failed paths, routers and engines that restart. */
import assert from 'node:assert/strict';
import { expectPaths } from '../../../interop/scenarios/rack.ts';
import { linkAddress } from '../../../interop/two-routers.ts';
import { prefix } from '../../../unit/bgp/speaker/network.ts';
import type { ContractScenario } from '../scenario.ts';
import { blocks, plain, wanted } from '../scene.ts';

const everything = { ...plain.first, ...plain.second };

export const lifeScenarios: readonly ContractScenario[] = [
  {
    name: 'a soft reset leaves the session, a hard one ends it and it comes back, and nobody else has one',
    play: async (scene) => {
      const engine = await scene.begin();
      await engine.kernelIs(everything);
      const { since = 0, messages } = engine.peer('first') ?? {};
      assert.equal(await engine.reset('nobody', 'hard'), false);
      assert.equal(await engine.reset('first', 'soft'), true);
      await engine.until('messages', (it) => (it.peer('first')?.messages.received ?? 0) > (messages?.received ?? 0));
      assert.equal(engine.peer('first')?.since, since);
      await engine.kernelIs(everything);
      assert.equal(await engine.reset('first', 'hard'), true);
      await engine.until('the flap', (it) => {
        const first = it.peer('first');
        return first !== undefined && first.since > since && first.state === 'Established';
      });
      await engine.kernelIs(everything);
      await expectPaths(scene.first, blocks.ipv4, [{ path: '65001' }]);
    },
  },
  {
    name: 'a path that failed takes its routes along at once, whatever a graceful restart would keep, and no other',
    play: async (scene) => {
      const shared = { announce: [prefix('10.9.0.0/24'), prefix('10.2.0.0/24')] };
      const engine = await scene.begin({ first: shared, second: { announce: [prefix('10.9.0.0/24')] } });
      const both = [linkAddress(1, 2), linkAddress(2, 2)];
      await engine.kernelIs({ '10.9.0.0/24': both, '10.2.0.0/24': [linkAddress(1, 2)] });
      await scene.first.signal('SIGSTOP');
      try {
        assert.equal(await engine.pathFailed('nobody', 'BFD'), false);
        assert.equal(await engine.pathFailed('first', 'BFD says so'), true);
        await engine.kernelIs({ '10.9.0.0/24': [linkAddress(2, 2)] });
        if (scene.kind === 'embedded')
          await engine.until('the error', (it) => /BFD says so/.test(it.peer('first')?.lastError?.text ?? ''));
      } finally {
        await scene.first.signal('SIGCONT');
      }
      await engine.established('first');
      await engine.kernelIs({ '10.9.0.0/24': both, '10.2.0.0/24': [linkAddress(1, 2)] });
    },
  },
  {
    name: 'a killed router whose path fails too loses its routes at once, and has the same ones again when it is back',
    play: async (scene) => {
      const engine = await scene.begin();
      await engine.kernelIs(everything);
      await scene.first.stop('SIGKILL');
      await engine.until('the end', (it) => it.peer('first')?.state !== 'Established');
      await engine.kernelIs(everything);
      assert.equal(await engine.pathFailed('first', 'BFD says so'), true);
      await engine.kernelIs(plain.second);
      await scene.first.restart(scene.first.description, 'recovering');
      await engine.established('first');
      await engine.kernelIs(everything);
    },
  },
  {
    name: "a killed router's routes stay until it is back, and then those it still announces",
    play: async (scene) => {
      const described = { announce: [prefix('10.2.0.0/24'), prefix('10.4.0.0/24')] };
      const engine = await scene.begin({ first: described });
      const before = { '10.2.0.0/24': [linkAddress(1, 2)], '10.4.0.0/24': [linkAddress(1, 2)], ...plain.second };
      await engine.kernelIs(before);
      await scene.first.stop('SIGKILL');
      await engine.until('the end', (it) => it.peer('first')?.state !== 'Established');
      await engine.kernelIs(before);
      await scene.first.restart({ ...scene.first.description, announce: [prefix('10.2.0.0/24')] }, 'recovering');
      await engine.established('first');
      await engine.kernelIs({ '10.2.0.0/24': [linkAddress(1, 2)], ...plain.second });
    },
  },
  {
    name: 'a killed engine that is back with what the kernel has loses nothing, and withdraws what it does not announce',
    play: async (scene) => {
      const two = wanted().announcements;
      const before = await scene.begin({}, wanted({ announcements: two }));
      await before.kernelIs(everything);
      await expectPaths(scene.first, blocks.ipv6, [{ path: '65001' }]);
      const inherited = before.kernel.inherited();
      await before.die();
      await scene.routers({ first: { announce: [prefix('10.2.0.0/24')] } });
      await expectPaths(scene.first, blocks.ipv4, [{ path: '65001' }]);
      const engine = scene.startEngine({ restarted: true, forwardingPreserved: ['ipv4', 'ipv6'], inherited });
      await scene.apply(wanted({ announcements: two.slice(0, 1) }));
      await engine.established('first', 'second');
      await engine.until('the whole table', ({ kernel }) => kernel.complete);
      await engine.kernelIs({ '10.2.0.0/24': [linkAddress(1, 2)], ...plain.second });
      await expectPaths(scene.first, blocks.ipv6, []);
      await expectPaths(scene.second, blocks.ipv4, [{ path: '65001' }]);
    },
  },
  {
    name: 'a silent stop leaves its routes with the peers, who wait for its next life',
    play: async (scene) => {
      const before = await scene.begin();
      await before.kernelIs(everything);
      await expectPaths(scene.first, blocks.ipv4, [{ path: '65001' }]);
      const inherited = before.kernel.inherited();
      await before.stop('silent');
      await expectPaths(scene.first, blocks.ipv4, [{ path: '65001' }]);
      const engine = scene.startEngine({ restarted: true, forwardingPreserved: ['ipv4', 'ipv6'], inherited });
      await scene.apply(wanted());
      await engine.established('first', 'second');
      await engine.until('the whole table', ({ kernel }) => kernel.complete);
      await engine.kernelIs(everything);
      await expectPaths(scene.first, blocks.ipv4, [{ path: '65001' }]);
    },
  },
  {
    name: 'a stop with a Cease withdraws everything, and the peers are told',
    play: async (scene) => {
      const before = await scene.begin();
      await before.kernelIs(everything);
      await expectPaths(scene.second, blocks.ipv4, [{ path: '65001' }]);
      await before.stop('cease');
      await expectPaths(scene.first, blocks.ipv4, []);
      await expectPaths(scene.second, blocks.ipv6, []);
      await scene.firstReceived(/Administrative shutdown|Peer de-?configured/i);
      // Version 4 of GoBGP does not begin again in the same process.
      if (before.facts?.engine?.version === 4) {
        await scene.sidecar?.stop('SIGTERM');
        await scene.sidecar?.start();
      }
      const engine = scene.startEngine();
      await scene.apply(wanted());
      await engine.established('first', 'second');
      await engine.kernelIs(everything);
    },
  },
];
