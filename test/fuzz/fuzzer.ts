/**
 * Coverage-guided fuzzing in one thread. In: a target and a time; out: inputs that reach new source, and those that make the
 * target throw. Inputs run in batches; only a batch that
 * reached something new is run again, one by one.
 */
import { Coverage } from './coverage.ts';
import { mutate } from './mutate.ts';
import { seededRandom } from '../support/random.ts';
import type { Target } from './target.ts';

export interface Crash {
  readonly input: Uint8Array;
  readonly error: string;
}

export interface FuzzResult {
  readonly target: string;
  readonly runs: number;
  /** Characters of source reached at least once. */
  readonly reached: number;
  /** Inputs that reached source that no input before them did; smallest first. */
  readonly corpus: readonly Uint8Array[];
  readonly crashes: readonly Crash[];
}

export interface FuzzOptions {
  readonly target: Target;
  readonly corpus: readonly Uint8Array[];
  readonly seed: number;
  readonly milliseconds: number;
  /** Longest that one input may compute, milliseconds of processor time; above it is a hang. */
  readonly hang?: number;
  /** Ends the turn before its time. */
  readonly until?: (crashes: readonly Crash[]) => boolean;
  readonly progress?: (result: FuzzResult) => void;
}

const batchSize = 128;
const mostCrashes = 20;
const progressEvery = 10_000;

export async function fuzz(options: FuzzOptions): Promise<FuzzResult> {
  const { target, hang = 2000 } = options;
  const random = seededRandom(options.seed);
  const coverage = new Coverage((url) => url.includes('/src/'));
  const corpus: Uint8Array[] = [];
  const crashes = new Map<string, Crash>();
  let runs = 0;
  const result = (): FuzzResult => ({
    target: target.name,
    runs,
    reached: coverage.reached,
    corpus: corpus.toSorted((a, b) => a.length - b.length),
    crashes: [...crashes.values()],
  });

  const run = async (input: Uint8Array): Promise<void> => {
    runs++;
    const began = process.threadCpuUsage();
    const copy = input.slice();
    try {
      await target.run(input);
      const took = process.threadCpuUsage(began).user / 1000;
      if (took > hang) throw new Error(`took ${Math.round(took)} ms`);
      if (Buffer.compare(copy, input) !== 0) throw new Error('wrote into its input');
    } catch (error) {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      // One of each kind: by where it was thrown.
      const key = text.split('\n').slice(0, 3).join('\n').replaceAll(/\d+/g, '0');
      const known = crashes.get(key);
      if (known === undefined || known.input.length > copy.length) crashes.set(key, { input: copy, error: text });
    }
  };
  const keepIfNew = async (input: Uint8Array): Promise<void> => {
    await run(input);
    if (coverage.merge(coverage.take())) corpus.push(input);
  };

  try {
    for (const input of [...target.seeds(), ...options.corpus]) await keepIfNew(input.slice(0, target.longest));
    if (corpus.length === 0) corpus.push(new Uint8Array(0));
    const end = performance.now() + options.milliseconds;
    const isOver = (): boolean => performance.now() > end || options.until?.([...crashes.values()]) === true;
    let told = performance.now();
    while (!isOver() && crashes.size < mostCrashes) {
      const batch = Array.from({ length: batchSize }, () =>
        mutate(random.pick(corpus), random.pick(corpus), target.words ?? [], target.longest, random),
      );
      for (const input of batch) {
        await run(input);
        if (isOver()) break;
      }
      const ran = coverage.take();
      if (coverage.hasNew(ran)) {
        for (const input of batch) await keepIfNew(input);
        // What only the first run reached, such as code that runs once in a process, is known from now on.
        coverage.merge(ran);
      }
      if (performance.now() - told < progressEvery) continue;
      told = performance.now();
      options.progress?.(result());
    }
  } finally {
    coverage.close();
  }
  return result();
}
