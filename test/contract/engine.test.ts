// The contract of the engine port (src/bgp/engine.ts): the same scenarios with every engine, beside real routers.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { trials } from './engine/all.ts';
import { Scene } from './engine/scene.ts';

describe('the engine port', { concurrency: trials.length }, () => {
  for (const { kind, what, scenarios } of trials) {
    describe(`${kind}: ${what}`, { concurrency: false, timeout: 600_000 }, () => {
      let made: Scene | undefined;
      before(async () => {
        made = await Scene.create(kind);
      });
      // Whatever a scenario that failed has left behind is not for the next one.
      const fresh = async (): Promise<Scene> => (made ??= await Scene.create(kind));
      const dispose = async (): Promise<void> => {
        const old = made;
        made = undefined;
        await old?.dispose();
      };
      after(async () => {
        await dispose();
        for (const { name, except } of scenarios)
          if (except?.[kind] !== undefined) console.log(`Engine ${kind}, not played: ${name}: ${except[kind]}.`);
      });
      for (const scenario of scenarios.filter(({ except }) => except?.[kind] === undefined))
        test(scenario.name, async () => {
          const scene = await fresh();
          try {
            await scenario.play(scene);
            assert.deepEqual(scene.engine.kernel.violations, []);
          } catch (error) {
            await dispose();
            throw error;
          }
        });
    });
  }
});
