import assert from 'node:assert/strict';
import { test } from 'node:test';
import { after, between, earliest, instant, milliseconds, seconds, systemClock, toSeconds } from '#lib/time.ts';

test('the earliest deadline ignores timers that are off', () => {
  assert.equal(earliest(undefined, instant(5), undefined, instant(3)), 3);
  assert.equal(earliest(undefined), undefined);
  assert.equal(earliest(), undefined);
});

test('instants and durations add up', () => {
  assert.equal(after(instant(10), seconds(2)), 2010);
  assert.equal(between(instant(10), instant(2010)), 2000);
  assert.equal(toSeconds(milliseconds(1500)), 1.5);
});

test('the system clock runs a callback once it is due, and not at all when cancelled', async () => {
  const seen: string[] = [];
  const cancel = systemClock.at(systemClock.now(), () => seen.push('cancelled'));
  cancel();
  await new Promise<void>((resolve) => {
    systemClock.at(after(systemClock.now(), milliseconds(5)), () => {
      seen.push('due');
      resolve();
    });
  });
  assert.deepEqual(seen, ['due']);
});
