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
      after(async () => {
        await made?.dispose();
        for (const { name, except } of scenarios)
          if (except?.[kind] !== undefined) console.log(`Engine ${kind}, not played: ${name}: ${except[kind]}.`);
      });
      for (const scenario of scenarios.filter(({ except }) => except?.[kind] === undefined))
        test(scenario.name, async () => {
          assert.ok(made !== undefined, 'there is a scene');
          await scenario.play(made);
          assert.deepEqual(made.engine.kernel.violations, []);
        });
    });
  }
});
