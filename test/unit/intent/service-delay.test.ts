// Announcing again after a withdrawal, with time as input.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { delayed, type Delayed, type Delays } from '#intent/service-delay.ts';
import type { Prefix } from '#lib/ip.ts';
import { instant, seconds } from '#lib/time.ts';

const one = '198.51.100.7/32' as Prefix;
const other = '198.51.100.8/32' as Prefix;

/** Steps of `[at, wanted, known]`; answers what each step announces. */
function play(steps: readonly (readonly [at: number, wanted: readonly Prefix[], known?: readonly Prefix[]])[]) {
  let delays: Delays = new Map();
  return steps.map(([at, wanted, known = [one, other]]) => {
    const step: Delayed = delayed(delays, { wanted: new Set(wanted), known }, instant(at * 1000), seconds(5));
    ({ delays } = step);
    return { announced: wanted.filter((it) => !step.waiting.has(it)), next: step.next };
  });
}
const announced = (steps: Parameters<typeof play>[0]): readonly (readonly Prefix[])[] =>
  play(steps).map((it) => it.announced);

describe('an address of a Service', () => {
  test('is announced at once the first time, whatever happened to others', () => {
    assert.deepEqual(
      announced([
        [0, [one]],
        [100, [one, other]],
      ]),
      [[one], [one, other]],
    );
  });
  test('is announced again when it was wanted for the delay, and says when to look again', () => {
    const steps = play([
      [0, [one]],
      [10, []],
      [11, [one]],
      [15.9, [one]],
      [16, [one]],
    ]);
    assert.deepEqual(
      steps.map((it) => it.announced),
      [[one], [], [], [], [one]],
    );
    assert.deepEqual([steps[2]?.next, steps[4]?.next], [instant(16_000), undefined]);
  });
  test('that comes and goes begins to wait anew each time', () => {
    assert.deepEqual(
      announced([
        [0, [one]],
        [1, []],
        [2, [one]],
        [6, []],
        [6.5, [one]],
        [11, [one]],
        [11.5, [one]],
      ]),
      [[one], [], [], [], [], [], [one]],
    );
  });
  test('is forgotten with its Service', () => {
    assert.deepEqual(
      announced([
        [0, [one]],
        [1, []],
        [2, [], []],
        [3, [one]],
      ]),
      [[one], [], [], [one]],
    );
  });
  test('waits no longer when it waited out while nobody looked', () => {
    assert.deepEqual(
      announced([
        [0, [one]],
        [1, []],
        [2, [one]],
        [60, [one]],
      ]),
      [[one], [], [], [one]],
    );
  });
});
