/**
 * Pods: ADD and DEL of many, flatroute (dual stack, from the bundle, behind a real BGP session) beside the reference plugins
 * and a floor in C, interleaved; then the agent at rest with all pods there. The load generator is a C program (driver.c).
 */
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Lab } from '#lab/lab.ts';
import { buildBundle, startAgent } from './agent.ts';
import { burst, driver, podNames, type Sample } from './burst.ts';
import { makeContenders, peerNames } from './contenders.ts';
import { buildPrograms, plugin } from './programs.ts';
import { atRest } from './rest.ts';
import { aimsTable, burstTables, type Figure, figureTable } from './tables.ts';

const cases = ['burst', 'rest'];

const progress = ({ round, who, verb, at, wallMs, cpuMs, failed, threads }: Sample, rounds: number): string =>
  `round ${round}/${rounds}  ${verb} at ${at}  ${who}: ${wallMs.toFixed(2)} ms wall, ${cpuMs.toFixed(2)} ms CPU per pod, ${failed} failed${threads === '' ? '' : `; ${threads}`}`;

const refused = (why: string): number => {
  console.error(`bench pods: ${why}`);
  return 2;
};

/** Answers the exit code: 1 if any call failed. */
export async function runPods(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      pods: { type: 'string', default: '1000' },
      at: { type: 'string', default: '1,2,8,32' },
      rounds: { type: 'string', default: '3' },
      peers: { type: 'string', default: peerNames.join(',') },
      cases: { type: 'string', default: cases.join(',') },
      seconds: { type: 'string', default: '30' },
      alone: { type: 'boolean', default: false },
    },
  });
  const [wanted, rounds, forSeconds] = [values.pods, values.rounds, values.seconds].map(Number) as [
    number,
    number,
    number,
  ];
  const concurrencies = values.at.split(',').map(Number);
  const peers = values.alone ? [] : values.peers.split(',').filter((name) => name !== '');
  const chosen = values.cases.split(',');
  if (![wanted, rounds, forSeconds, ...concurrencies].every((n) => Number.isInteger(n) && n >= 1) || wanted > 8000)
    return refused('--pods is 1 to 8000, --at a list such as 1,8,32, --rounds and --seconds at least 1');
  if (!peers.every((name) => peerNames.includes(name))) return refused(`--peers is a list of ${peerNames.join(', ')}`);
  if (!chosen.every((name) => cases.includes(name))) return refused(`--cases is a list of ${cases.join(', ')}`);
  if (peers.includes('bridge') && wanted > 1000) return refused('a bridge has 1024 ports: --peers without bridge');
  if (!existsSync(plugin)) throw new Error(`${plugin} is missing: npm run build:plugin`);
  buildPrograms();
  buildBundle();
  await using lab = await Lab.create('bench-pods');
  const agent = await startAgent(lab);
  const contenders = await makeContenders(lab, agent, chosen.includes('burst') ? peers : []);
  const most = (who: (typeof contenders)[number]): number =>
    Math.max(...concurrencies.map((at) => who.pods(at, wanted)));
  const nodes = new Map(contenders.map((who) => [who.node, most(who)]));
  for (const [node, count] of nodes) await driver(node, ['make', String(count), podNames]);
  const samples: Sample[] = [];
  for (let round = 1; chosen.includes('burst') && round <= rounds; round++) {
    for (const at of concurrencies) {
      for (const who of contenders) {
        for (const verb of ['ADD', 'DEL'] as const) {
          const sample = await burst(who, { verb, at, round, wanted });
          samples.push(sample);
          console.error(progress(sample, rounds));
        }
      }
    }
  }
  let rest: readonly Figure[] = [];
  const [own] = contenders;
  if (chosen.includes('rest') && own !== undefined) {
    const fill = async (): Promise<void> => {
      const sample = await burst(own, { verb: 'ADD', at: 8, round: 1, wanted });
      console.error(`${progress(sample, 1)}\nat rest with ${wanted} pods, ${forSeconds} s …`);
    };
    rest = await atRest(agent, fill, forSeconds);
  }
  if (samples.length > 0) {
    console.log(`${wanted} pods, medians of ${rounds} interleaved rounds; in brackets: times flatroute's figure.`);
    console.log(burstTables(samples));
  }
  if (rest.length > 0) console.log(figureTable(`The agent with ${wanted} pods:`, rest));
  console.log(aimsTable(samples, rest));
  // A profile of Node (`NODE_OPTIONS=--cpu-prof`) is written by a process that ends by itself.
  if (process.env['NODE_OPTIONS'] !== undefined) {
    agent.process.kill('SIGTERM');
    await agent.process.exited;
  }
  return samples.some((sample) => sample.failed > 0) ? 1 : 0;
}
