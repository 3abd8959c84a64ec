import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FactsPacer } from '#bgp/speaker/facts.ts';
import { type Clock, instant, milliseconds } from '#lib/time.ts';
import { manualClock } from '../../../support/manual-clock.ts';

/** `cost`: milliseconds that facts take. */
function paced(cost: number) {
  const clock = manualClock();
  const at: number[] = [];
  // Time that publishing took, beside what the test lets pass.
  let spent = 0;
  const late: Clock = {
    now: () => instant(clock.now() + spent),
    at: (due, callback) => clock.at(instant(due - spent), callback),
  };
  const pacer = new FactsPacer(late, () => {
    at.push(late.now());
    spent += cost;
  });
  return { at, pacer, run: (ms: number) => clock.advance(milliseconds(ms)) };
}

test('facts follow the first change at once, later ones not before 100 ms', () => {
  const { at, pacer, run } = paced(0);
  pacer.changed();
  run(0);
  pacer.changed();
  pacer.changed();
  run(500);
  assert.deepEqual(at, [0, 100]);
});

test('what was only counted waits for a second, and for a change no longer than that', () => {
  const { at, pacer, run } = paced(0);
  pacer.changed();
  run(0);
  pacer.counted();
  run(300);
  assert.deepEqual(at, [0]);
  run(700);
  assert.deepEqual(at, [0, 1000]);
  pacer.counted();
  run(50);
  pacer.changed();
  run(1500);
  assert.deepEqual(at, [0, 1000, 1100], 'the change took the count along');
});

test('dear facts are seldom, but never later than a second after a change', () => {
  const dear = paced(20);
  dear.pacer.changed();
  dear.run(0);
  dear.pacer.changed();
  dear.run(2000);
  assert.deepEqual(dear.at, [0, 400]);
  const dearer = paced(500);
  dearer.pacer.changed();
  dearer.run(0);
  dearer.pacer.changed();
  dearer.run(2000);
  assert.deepEqual(dearer.at, [0, 1000]);
});
