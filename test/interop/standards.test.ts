// Every scenario beside every daemon that has what it judges; at the end the table of what was judged by whom.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { DaemonKind } from '#lab/routers/make.ts';
import { daemonKinds } from '#lab/routers/make.ts';
import { scenarios } from './scenarios/all.ts';
import { lacks, versions } from './scenarios/lacks.ts';
import { everything, Rack } from './scenarios/rack.ts';
import type { Scenario } from './scenarios/scenario.ts';
import type { Outcome } from './scenarios/table.ts';
import { isPlayed, standardsTable } from './scenarios/table.ts';
import { cannotRun } from './two-routers.ts';

const ran = new Map<DaemonKind, Map<Scenario, Outcome>>();

describe('standards', { concurrency: daemonKinds.length }, () => {
  after(() => console.log(`\n${standardsTable(ran)}\n`));
  for (const kind of daemonKinds) {
    describe(`flatroute with ${kind}`, { skip: cannotRun(kind), concurrency: false, timeout: 600_000 }, () => {
      const outcomes = new Map<Scenario, Outcome>();
      let made: Rack | undefined;
      const rack = (): Rack => {
        assert.ok(made !== undefined, 'there is a rack');
        return made;
      };
      before(async () => {
        made = await Rack.create(kind);
        ran.set(kind, outcomes);
      });
      after(async () => await made?.dispose());

      for (const scenario of scenarios.filter((it) => isPlayed(it, kind))) {
        test(scenario.name, async () => {
          outcomes.set(scenario, 'failed');
          await scenario.play(rack());
          outcomes.set(scenario, 'passed');
        });
      }

      test(`${versions[kind]} lacks what the table says that it lacks`, async () => {
        await rack().setup({ toNode: everything });
        const { capabilities } = await rack().session();
        for (const [standard, { refuses, offersNo }] of Object.entries(lacks[kind])) {
          if (offersNo !== undefined)
            assert.ok(!capabilities.some((it) => it.startsWith(offersNo)), `${standard}: ${capabilities.join(', ')}`);
          if (refuses !== undefined)
            assert.notEqual(await rack().judge.refusal(refuses), undefined, `${standard}: ${refuses} is taken`);
        }
        assert.equal(await rack().judge.refusal(''), undefined);
      });
    });
  }
});
