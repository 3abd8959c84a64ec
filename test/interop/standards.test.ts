// Every scenario with every engine beside every daemon that has what it judges; at the end a table for each engine of what was
// judged by whom.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { EngineKind } from '#lab/gobgp-sidecar.ts';
import { engineKinds } from '#lab/gobgp-sidecar.ts';
import type { DaemonKind } from '#lab/routers/make.ts';
import { daemonKinds } from '#lab/routers/make.ts';
import { scenarios } from './scenarios/all.ts';
import type { EngineLack } from './scenarios/lacks.ts';
import { engineLacks, lacks, versions } from './scenarios/lacks.ts';
import { everything, nodeAddress, Rack } from './scenarios/rack.ts';
import type { Scenario } from './scenarios/scenario.ts';
import type { Outcome } from './scenarios/table.ts';
import { isPlayed, standardsTable } from './scenarios/table.ts';
import { cannotRun } from './two-routers.ts';

/** All of it with this engine; else all with the agent itself, and with GoBGP, which takes its time to connect, what is marked as quick. */
const named = process.env['FLATROUTE_ENGINE'];
const engines = engineKinds.filter((engine) => named === undefined || named === engine);
assert.ok(engines.length > 0, `FLATROUTE_ENGINE is one of ${engineKinds.join(', ')}; it is ${named}`);
/** One judge alone. */
const judge = process.env['FLATROUTE_JUDGE'];
const isToday = (engine: EngineKind, kind: DaemonKind, quick: boolean): boolean =>
  (judge === undefined || kind === judge) &&
  (named !== undefined || engine === 'embedded' || (kind === 'bird' && quick));
const racks = engines
  .flatMap((engine) =>
    daemonKinds.map((kind) => ({
      engine,
      kind,
      played: scenarios.filter((it) => isPlayed(it, kind, engine) && isToday(engine, kind, it.quick === true)),
    })),
  )
  .filter(({ played }) => played.length > 0);
const ran = new Map(engineKinds.map((engine) => [engine, new Map<DaemonKind, Map<Scenario, Outcome>>()]));

describe('standards', { concurrency: racks.length }, () => {
  after(() => {
    for (const [engine, outcomes] of ran)
      if (outcomes.size > 0) console.log(`\nEngine ${engine}:\n\n${standardsTable(engine, outcomes)}\n`);
  });
  for (const { engine, kind, played } of racks) {
    describe(`flatroute (${engine}) with ${kind}`, {
      skip: cannotRun(kind),
      concurrency: false,
      timeout: named === undefined ? 600_000 : 1_200_000,
    }, () => {
      const outcomes = new Map<Scenario, Outcome>();
      let made: Rack | undefined;
      const rack = async (): Promise<Rack> => (made ??= await Rack.create(kind, engine));
      const dispose = async (): Promise<void> => {
        await made?.dispose();
        made = undefined;
      };
      before(() => void ran.get(engine)?.set(kind, outcomes));
      after(dispose);

      for (const scenario of played) {
        test(scenario.name, async () => {
          outcomes.set(scenario, 'failed');
          try {
            await scenario.play(await rack());
          } catch (error) {
            // Whatever it left behind, a frozen daemon for one, is not for the next scenario.
            await dispose();
            throw error;
          }
          outcomes.set(scenario, 'passed');
        });
      }

      if (engine === 'embedded')
        test(`${versions[kind]} lacks what the table says that it lacks`, async () => {
          const { judge } = await rack();
          await (await rack()).setup({ toNode: everything });
          const { capabilities } = await (await rack()).session();
          for (const [standard, { refuses, offersNo }] of Object.entries(lacks[kind])) {
            if (offersNo !== undefined)
              assert.ok(!capabilities.some((it) => it.startsWith(offersNo)), `${standard}: ${capabilities.join(', ')}`);
            if (refuses !== undefined)
              assert.notEqual(await judge.refusal(refuses), undefined, `${standard}: ${refuses} is taken`);
          }
          assert.equal(await judge.refusal(''), undefined);
        });

      if (kind === 'bird')
        for (const [what, { says, offersNo }] of lacksOf(engine)) {
          if (says !== undefined)
            test(`${what}: who asks for it is told that ${engine} has no ${says.field}`, async () => {
              const on = await rack();
              await on.setup({ ...says.setup, up: false });
              await on.sessionIs(`that ${says.field} is not supported`, ({ conditions }) =>
                conditions.some((it) => it.reason === 'FieldNotSupported' && it.message.includes(` ${says.field}: `)),
              );
            });
          if (offersNo !== undefined)
            test(`${what}: ${engine} does not offer it`, async () => {
              const on = await rack();
              await on.setup();
              const said = await on.judge.about(nodeAddress);
              const offered = /Neighbor capabilities\n([^]*?)Session:/.exec(said)?.[1] ?? '';
              assert.match(offered, /Route refresh/);
              assert.ok(!offered.includes(offersNo), offered);
            });
        }
    });
  }
});

/** Each with what it is that is lacking: a standard or a scenario. */
function lacksOf(engine: EngineKind): (readonly [string, EngineLack])[] {
  const ofScenarios = scenarios.flatMap(({ name, exceptEngine, differs }) => {
    const lack = exceptEngine?.[engine] ?? differs?.[engine];
    return lack === undefined ? [] : [[name, lack] as const];
  });
  return [...Object.entries(engineLacks[engine]), ...ofScenarios];
}
