// How what the leader writes is paced: one round at a time.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Task, taskLoop } from '#controller/tasks.ts';
import { type ApiCode, ApiError } from '#kubernetes/store.ts';
import { seconds } from '#lib/time.ts';
import { manualClock } from '../../support/manual-clock.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a plan that has more for the next round does not have it begin beside this one', async () => {
  const clock = manualClock();
  let plans = 0;
  let running = 0;
  let most = 0;
  const answers: (() => void)[] = [];
  const task: Task = {
    key: 'Service/shop/web addresses',
    seldom: false,
    run: async () => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => answers.push(resolve));
      running -= 1;
    },
  };
  const loop = taskLoop(
    () => {
      if (++plans < 3) loop.changed();
      return [task];
    },
    { clock, watchers: () => 1, failed: () => undefined },
  );
  loop.changed();
  for (let round = 1; round <= 3; round++) {
    clock.advance(seconds(1));
    // The API server takes its time.
    clock.advance(seconds(5));
    assert.equal(plans, round);
    for (const answer of answers.splice(0)) answer();
    await turn();
  }
  clock.advance(seconds(60));
  assert.deepEqual([plans, most, running], [3, 1, 0]);
  await loop.stop();
});

test('a stop waits for the round that runs, and none begins after it', async () => {
  const clock = manualClock();
  let answer = (): void => undefined;
  let plans = 0;
  const run = (): Promise<void> => new Promise((resolve) => (answer = resolve));
  const loop = taskLoop(
    () => {
      plans += 1;
      loop.changed();
      return [{ key: 'Service/shop/web addresses', seldom: false, run }];
    },
    { clock, watchers: () => 1, failed: () => undefined },
  );
  loop.changed();
  clock.advance(seconds(1));
  let stopped = false;
  const stopping = loop.stop().then(() => (stopped = true));
  await turn();
  assert.equal(stopped, false);
  answer();
  await stopping;
  clock.advance(seconds(60));
  assert.equal(plans, 1);
});

test('what a write found in its way is no failure: another version, no object, another leader', async () => {
  const clock = manualClock();
  const codes: readonly ApiCode[] = ['API_CONFLICT', 'API_NOT_FOUND', 'API_NOT_LEADING', 'API_FORBIDDEN'];
  const tasks = codes.map((code): Task => {
    const run = async (): Promise<void> => await Promise.reject(new ApiError(code, 'it was not written'));
    return { key: code, seldom: false, run };
  });
  const failed: string[] = [];
  const loop = taskLoop(() => tasks, { clock, watchers: () => 1, failed: (_key, { code }) => failed.push(code) });
  loop.changed();
  clock.advance(seconds(1));
  await turn();
  await loop.stop();
  assert.deepEqual(failed, ['API_FORBIDDEN']);
});
