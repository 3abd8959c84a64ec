// One engine after the other: who greets the peers while the one before still takes its leave.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EngineTurns } from '#agent/threads/engine-turns.ts';
import type { BgpEngine, BgpIntent } from '#bgp/engine.ts';
import { intent } from '../bgp/speaker/network.ts';

const ours: BgpIntent = intent({});
const gobgp: BgpIntent = { ...ours, engine: { kind: 'gobgp', address: '127.0.0.1:50051', foreign: 'Keep' } };
const start = {
  restarted: true,
  forwardingPreserved: [],
  record: undefined,
  protoFolder: '',
  inherited: undefined,
} as const;

/** Engines that say when they begin and end, and take their leave for as long as they are let. */
function world(forwards = true) {
  const said: string[] = [];
  const leaves: (() => void)[] = [];
  const turns = new EngineTurns({
    make: ({ restarted, forwardingPreserved }, engine): BgpEngine => {
      const name = engine?.kind ?? 'ours';
      let stopped = false;
      said.push(`${name} begins${restarted ? ` again ${forwardingPreserved.join()}` : ''}`.trim());
      return {
        forwards,
        apply: (_, generation) => void said.push(`${name} applies ${generation}`),
        setKernelView: () => undefined,
        fibApplied: () => undefined,
        routes: () => ({ rows: [], more: false }),
        reset: () => false,
        pathFailed: () => false,
        stop: async (how) => {
          if (stopped && name === 'gobgp') said.push(`${name} is let go`);
          if (stopped) return;
          stopped = true;
          said.push(`${name} leaves, ${how}`);
          await new Promise<void>((resolve) => leaves.push(resolve));
          said.push(`${name} is gone`);
        },
      };
    },
    none: (generation) => void said.push(`none ${generation}`),
  });
  const left = async (): Promise<void> => {
    for (const leave of leaves.splice(0)) leave();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { turns, left, said: () => said.splice(0) };
}

test('another engine begins when the one before is gone, with what is wanted by then', async () => {
  const { turns, left, said } = world();
  turns.want(ours, 1);
  assert.deepEqual(said(), []);
  turns.begin(start);
  assert.deepEqual(said(), ['ours begins again', 'ours applies 1']);
  turns.want(gobgp, 2);
  turns.want(gobgp, 3);
  assert.deepEqual(said(), ['ours leaves, handOver']);
  await left();
  assert.deepEqual(said(), ['ours is gone', 'gobgp begins again ipv4,ipv6', 'gobgp applies 3']);
  turns.want(ours, 4);
  await left();
  assert.deepEqual(said(), [
    'gobgp leaves, handOver',
    'gobgp is gone',
    'ours begins again ipv4,ipv6',
    'ours applies 4',
  ]);
  // One that did not answer may still be being told to end.
  turns.want(gobgp, 5);
  await left();
  const last = ['gobgp is let go', 'gobgp begins again ipv4,ipv6', 'gobgp applies 5'];
  assert.deepEqual(said(), ['ours leaves, handOver', 'ours is gone', ...last]);
});

test('no engine begins while one that nobody wanted any more takes its leave', async () => {
  const { turns, left, said } = world();
  turns.begin(start);
  turns.want(ours, 1);
  turns.want(undefined, 2);
  turns.want(ours, 3);
  assert.deepEqual(said(), ['ours begins again', 'ours applies 1', 'ours leaves, cease', 'none 2']);
  await left();
  assert.deepEqual(said(), ['ours is gone', 'ours begins', 'ours applies 3']);
});

test('where nothing was said in this boot, or the kernel forwards no more, the next engine claims no restart', async () => {
  const { turns, left, said } = world(false);
  turns.begin(start);
  turns.want(gobgp, 1);
  turns.want(ours, 2);
  await left();
  assert.deepEqual(said().slice(2), ['gobgp leaves, handOver', 'gobgp is gone', 'ours begins', 'ours applies 2']);
});

test('an end waits for the engine that takes its leave, and none begins after it', async () => {
  const { turns, left, said } = world();
  turns.begin(start);
  turns.want(gobgp, 1);
  turns.want(ours, 2);
  let ended = false;
  const ending = turns.stop('silent').then(() => (ended = true));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(ended, false);
  await left();
  await ending;
  turns.want(ours, 3);
  assert.deepEqual(said(), [
    'gobgp begins again',
    'gobgp applies 1',
    'gobgp leaves, handOver',
    'gobgp is gone',
    'gobgp is let go',
  ]);
});
