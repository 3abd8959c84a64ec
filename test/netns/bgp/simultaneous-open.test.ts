// Two of our own speakers that connect to each other at the same moment, in two processes, so that every order of messages occurs.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { test } from 'node:test';
import { type TestNamespace, withNamespace } from '../../support/netns.ts';
import type { OpenRaceOptions, OpenRaceReport } from '../../support/open-race-process.ts';

const script = new URL('../../support/open-race-process.ts', import.meta.url).pathname;
/** Pairs of sessions that open at once; all 200 in one go hide races behind the queue of a busy event loop. */
const pairs = 20;
const rounds = 10;
const ports = [20_179, 20_180] as const;

const says = (child: ChildProcess): Promise<unknown> =>
  new Promise((resolve, reject) => {
    child.once('message', resolve);
    child.once('exit', (code) => reject(new Error(`a side ended with ${code}`)));
  });

async function race(ns: TestNamespace): Promise<OpenRaceReport[]> {
  const children = ([1, 2] as const).map((side) => {
    const options: OpenRaceOptions = {
      side,
      sessions: pairs,
      port: ports[side - 1] as number,
      peerPort: ports[2 - side] as number,
    };
    // Nobody else has these ports in a namespace of its own.
    const argv = ['netns', 'exec', ns.name, process.execPath, script, JSON.stringify(options)];
    return spawn('ip', argv, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  });
  try {
    await Promise.all(children.map(says));
    const reports = Promise.all(children.map(says));
    for (const child of children) child.send('go');
    return (await reports) as OpenRaceReport[];
  } finally {
    for (const child of children) child.kill('SIGKILL');
  }
}

test('both sides connect at the same moment, 200 times: one connection stands, at once', {
  timeout: 600_000,
}, async (t) => {
  const settled: number[] = [];
  const errors: Record<string, number> = {};
  let flaps = 0;
  await withNamespace(async (ns) => {
    for (let round = 0; round < rounds; round++) {
      for (const report of await race(ns)) {
        for (const milliseconds of report.settled) settled.push(milliseconds ?? Number.POSITIVE_INFINITY);
        for (const ups of report.ups) flaps += Math.max(0, ups - 1);
        for (const [text, count] of Object.entries(report.errors)) errors[text] = (errors[text] ?? 0) + count;
      }
    }
  }, 'frt-open');
  settled.sort((a, b) => a - b);
  t.diagnostic(`median ${settled[settled.length >> 1]?.toFixed(0)} ms, longest ${settled.at(-1)?.toFixed(0)} ms`);
  assert.equal(settled.length, 2 * pairs * rounds);
  assert.deepEqual([flaps, errors], [0, {}], 'no session was up and lost again');
  // A second attempt would come after ConnectRetryTime, which is longer than anybody waits here.
  assert.ok(Number.isFinite(settled.at(-1)), 'all were up without a second attempt');
});
