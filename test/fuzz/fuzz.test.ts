/** A short, time-boxed turn of the fuzzer on every target, with its seed; inputs that once broke something stay mended. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readInputs } from './corpus.ts';
import { type Crash, fuzz } from './fuzzer.ts';
import type { Target } from './target.ts';
import { targets } from './targets.ts';

const seed = Number(process.env['FLATROUTE_SEED'] ?? Date.now() % 1_000_000);
const milliseconds = Number(process.env['FLATROUTE_FUZZ_MS'] ?? 300);

describe(`fuzzing, seed ${seed} (FLATROUTE_SEED), ${milliseconds} ms each (FLATROUTE_FUZZ_MS)`, () => {
  for (const target of targets) {
    test(`${target.name}: no input breaks what must hold`, async (context) => {
      const corpus = [...readInputs('crashers', target.name), ...readInputs('corpus', target.name)];
      const result = await fuzz({ target, corpus, seed, milliseconds });
      context.diagnostic(`${target.name}: ${result.runs} runs, ${result.reached} characters of source reached`);
      assert.ok(result.reached > 0, 'nothing of src was reached: the coverage is blind');
      assert.deepEqual(
        result.crashes.map(({ input, error }) => `${error}\ninput ${Buffer.from(input).toString('hex')}`),
        [],
      );
    });
  }
});

test('the fuzzer finds a fault that hides behind two conditions, and an input that hangs', async () => {
  const planted: Target = {
    name: 'planted',
    longest: 32,
    seeds: () => [new Uint8Array(8)],
    run(input) {
      // The fuzzer counts processor time: on a busy machine 60 ms by the clock are less than that.
      if (input.length > 20)
        for (const start = process.threadCpuUsage(); process.threadCpuUsage(start).user < 60_000; );
      if (input[2] === 255 && input.length > 4) throw new Error('planted');
    },
  };
  const wanted = ['planted', 'took '];
  const missing = (crashes: readonly Crash[]): readonly string[] =>
    wanted.filter((words) => !crashes.some(({ error }) => error.includes(words)));
  // How many inputs a time holds is the machine's business.
  const { crashes } = await fuzz({
    target: planted,
    corpus: [],
    seed: 1,
    milliseconds: 120_000,
    hang: 50,
    until: (found) => missing(found).length === 0,
  });
  assert.deepEqual(missing(crashes), []);
});
