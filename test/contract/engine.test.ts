// The contract of the engine port (src/bgp/engine.ts): the same scenarios with every engine, beside real routers.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { contractScenarios } from './engine/all.ts';
import { Scene } from './engine/scene.ts';
import type { EngineKind } from '#lab/gobgp-sidecar.ts';

const kinds: readonly EngineKind[] = ['embedded'];

describe('the engine port', { concurrency: kinds.length }, () => {
  for (const kind of kinds) {
    describe(kind, { concurrency: false, timeout: 240_000 }, () => {
      let made: Scene | undefined;
      before(async () => {
        made = await Scene.create(kind);
      });
      after(async () => await made?.dispose());
      for (const scenario of contractScenarios)
        test(scenario.name, async () => {
          assert.ok(made !== undefined, 'there is a scene');
          await scenario.play(made);
          assert.deepEqual(made.engine.kernel.violations, []);
        });
    });
  }
});
