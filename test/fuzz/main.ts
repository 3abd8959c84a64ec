/**
 * `npm run fuzz -- [--minutes 60] [--jobs 2] [--seed N] [--target NAME] [--keep]`: fuzzes every decoder, in turns, and prints
 * what it found. `--keep` writes the inputs that reached something new into `test/fuzz/corpus`. Exit code 1: something broke;
 * the inputs are in `test/fuzz/crashers`.
 */
import { availableParallelism } from 'node:os';
import { fork } from 'node:child_process';
import { parseArgs } from 'node:util';
import { readInputs, writeInputs } from './corpus.ts';
import { fuzz } from './fuzzer.ts';
import type { Crash } from './fuzzer.ts';
import { targets } from './targets.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    jobs: { type: 'string', default: String(Math.min(2, availableParallelism())) },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    target: { type: 'string', multiple: true },
    keep: { type: 'boolean', default: false },
    job: { type: 'string' },
  },
});

const number = (name: 'minutes' | 'jobs' | 'seed' | 'job', least: number): number => {
  const value = Number(values[name]);
  if (!(value >= least)) {
    console.error(`fuzz: --${name} ${values[name]} is no number from ${least} on`);
    process.exit(2);
  }
  return value;
};

const unknown = (values.target ?? []).filter((name) => !targets.some((target) => target.name === name));
if (unknown.length > 0) {
  console.error(
    `fuzz: there is no target ${unknown.join(', ')}; there are ${targets.map(({ name }) => name).join(', ')}`,
  );
  process.exit(2);
}
const chosen = targets.filter(({ name }) => values.target?.includes(name) ?? true);
const minutes = number('minutes', 0.01);
const jobs = number('jobs', 1);
const seed = number('seed', 0);

const showCrash = (target: string, crash: Crash): void => {
  console.log(`CRASH ${target}: ${crash.error}\n  input ${Buffer.from(crash.input).toString('hex')}`);
};

/** Every target in turn, for its share of the time. */
async function runJob(job: number): Promise<number> {
  let found = 0;
  const each = (minutes * 60_000) / chosen.length;
  for (const target of job % 2 === 0 ? chosen : chosen.toReversed()) {
    const result = await fuzz({
      target,
      corpus: [...readInputs('corpus', target.name), ...readInputs('crashers', target.name)],
      seed: seed + job,
      milliseconds: each,
      progress: ({ runs, reached, corpus, crashes }) =>
        console.log(
          `  ${target.name}: ${runs} runs, ${reached} characters, corpus ${corpus.length}, crashes ${crashes.length}`,
        ),
    });
    found += result.crashes.length;
    console.log(
      `job ${job} ${target.name}: ${result.runs} runs in ${Math.round(each / 1000)} s, ${result.reached} characters of source, corpus ${result.corpus.length}, crashes ${result.crashes.length}`,
    );
    for (const crash of result.crashes) showCrash(target.name, crash);
    if (result.crashes.length > 0) {
      const known = readInputs('crashers', target.name);
      const file = writeInputs('crashers', target.name, [...known, ...result.crashes.map(({ input }) => input)]);
      console.log(`  kept in ${file}`);
    }
    if (values.keep) writeInputs('corpus', target.name, result.corpus);
  }
  return found;
}

async function runJobs(): Promise<number> {
  console.log(`fuzzing ${chosen.length} targets for ${minutes} minutes with ${jobs} processes, seed ${seed}`);
  const ends = await Promise.all(
    Array.from({ length: jobs }, (_, job) => {
      // Only the first keeps its corpus: two would write the same file.
      const args = process.argv.slice(2).filter((word) => job === 0 || word !== '--keep');
      const child = fork(import.meta.filename, [...args, '--seed', String(seed), '--job', String(job)]);
      return new Promise<number>((resolve) => {
        child.once('exit', (code) => resolve(code ?? 1));
      });
    }),
  );
  return ends.some((code) => code !== 0) ? 1 : 0;
}

process.exitCode = values.job === undefined ? await runJobs() : (await runJob(number('job', 0))) > 0 ? 1 : 0;
