/** What can happen to an engine that is another program: only with GoBGP. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { expectPaths } from '../../../interop/scenarios/rack.ts';
import { prefix } from '../../../unit/bgp/speaker/network.ts';
import type { BgpIntent } from '#bgp/engine.ts';
import { GobgpSidecar } from '#lab/gobgp-sidecar.ts';
import type { Prefix } from '#lib/ip.ts';
import type { ContractScenario } from '../scenario.ts';
import { blocks, plain, type Scene, wanted } from '../scene.ts';

const everything = { ...plain.first, ...plain.second };

const sidecarOf = ({ sidecar }: Scene): GobgpSidecar => {
  assert.ok(sidecar !== undefined, 'the engine is a gobgpd');
  return sidecar;
};

const another: BgpIntent['announcements'] = [
  ...wanted().announcements,
  { prefix: prefix('10.71.0.0/24'), source: 'advertise' },
];

async function isWhole(scene: Scene): Promise<void> {
  await scene.engine.established('first', 'second');
  await scene.engine.kernelIs(everything);
  for (const router of [scene.first, scene.second]) await expectPaths(router, blocks.ipv6, [{ path: '65001' }]);
  await scene.engine.until(
    'no problem',
    ({ facts }) => facts?.engine !== undefined && facts.engine.problem === undefined,
  );
}

export const gobgpdScenarios: readonly ContractScenario[] = [
  {
    name: 'gobgpd is killed: learned routes stay, the facts say so, and its next life is told everything',
    play: async (scene) => {
      const sidecar = sidecarOf(scene);
      const engine = await scene.begin();
      await isWhole(scene);
      await sidecar.stop('SIGKILL');
      await engine.until('the problem', ({ facts }) => facts?.engine?.problem !== undefined);
      await engine.until('no session', ({ facts }) => facts?.peers.every((it) => it.state !== 'Established') === true);
      scene.applyOnly(wanted({ announcements: another }));
      await engine.kernelIs(everything);
      await sidecar.start();
      await isWhole(scene);
      await expectPaths(scene.first, '10.71.0.0/24', [{ path: '65001' }]);
    },
  },
  {
    name: 'gobgpd hangs: the facts say so, routes stay, and what was wanted meanwhile is done when it goes on',
    play: async (scene) => {
      const sidecar = sidecarOf(scene);
      const engine = await scene.begin();
      await isWhole(scene);
      sidecar.process.kill('SIGSTOP');
      try {
        scene.applyOnly(wanted({ announcements: another }));
        await engine.until('the problem', ({ facts }) => facts?.engine?.problem !== undefined);
        await engine.kernelIs(everything);
      } finally {
        sidecar.process.kill('SIGCONT');
      }
      await engine.until('the end of the problem', ({ facts }) => facts?.engine?.problem === undefined);
      await isWhole(scene);
      await expectPaths(scene.first, '10.71.0.0/24', [{ path: '65001' }]);
    },
  },
  {
    name: 'an engine whose socket is gone says so, and goes on with a gobgpd that starts late',
    play: async (scene) => {
      const sidecar = sidecarOf(scene);
      const before = await scene.begin();
      await isWhole(scene);
      await before.stop('cease');
      await rm(sidecar.host.path(GobgpSidecar.address.slice('unix://'.length)));
      const engine = scene.startEngine();
      scene.applyOnly(wanted());
      await engine.until('the problem', ({ facts }) => facts?.engine?.problem !== undefined);
      await sidecar.stop('SIGKILL');
      await sidecar.start();
      await isWhole(scene);
    },
  },
  {
    name: 'a peer that somebody added by hand is said and left alone, until it is to be removed',
    play: async (scene) => {
      const sidecar = sidecarOf(scene);
      const engine = await scene.begin();
      await isWhole(scene);
      await sidecar.ask('neighbor', 'add', '172.16.9.9', 'as', '65009');
      await scene.apply(wanted());
      await engine.until('drift', ({ facts }) => facts?.engine?.drift.some((it) => it.includes('172.16.9.9')) === true);
      assert.match(await sidecar.ask('neighbor'), /172\.16\.9\.9/);
      await scene.apply(wanted(), 'Remove');
      await engine.until('no drift', ({ facts }) => facts?.engine?.drift.length === 0);
      assert.doesNotMatch(await sidecar.ask('neighbor'), /172\.16\.9\.9/);
      await isWhole(scene);
    },
  },
  {
    name: 'a table of 20,000 routes comes, and goes with one change of policy',
    play: async (scene) => {
      const announce = Array.from(
        { length: 20_000 },
        (_, i) => `${30 + (i >> 14)}.${(i >> 6) & 255}.${(i & 63) << 2}.0/24` as Prefix,
      );
      const engine = await scene.begin(
        {},
        wanted({ peers: wanted().peers.map((it) => ({ ...it, maxPrefixes: 50_000 })) }),
      );
      await scene.routers({ first: { announce } });
      const count =
        (n: number) =>
        ({ kernel }: typeof engine) =>
          kernel.size === n;
      await engine.until('the whole table', count(announce.length + 2), 180);
      await scene.routers();
      await engine.until('its end', count(4), 180);
      await engine.kernelIs(everything);
    },
  },
];
