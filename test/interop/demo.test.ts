// The demo as a program: the whole of it with flatroute's own routers, and what a Ctrl-C in the middle leaves behind.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { findHolders } from '#lab/leftovers.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { seconds } from '#lib/time.ts';

interface Demo {
  readonly exited: Promise<number | null>;
  readonly output: () => string;
  readonly kill: (signal: NodeJS.Signals) => void;
  /** Hosts of this demo that are still there. */
  readonly hosts: () => readonly string[];
}

function startDemo(...words: readonly string[]): Demo {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', resolve('src/main.ts'), 'demo', ...words],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      // As a newcomer runs it: from the sources, agents and all.
      env: { ...process.env, FLATROUTE_PROGRAM: undefined },
    },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const name = new RegExp(`^demo-${child.pid}-`);
  return {
    exited: new Promise((done) => child.once('exit', (code) => done(code))),
    output: () => output,
    kill: (signal) => child.kill(signal),
    hosts: () =>
      findHolders()
        .filter(({ lab }) => name.test(lab))
        .map(({ host }) => host),
  };
}

test('the demo passes each of its checks and leaves nothing', { timeout: 600_000 }, async () => {
  const demo = startDemo();
  const code = await demo.exited;
  assert.equal(code, 0, demo.output());
  assert.match(demo.output(), /checks (\d+) passed, 0 failed/);
  assert.deepEqual(demo.hosts(), []);
});

test('a demo that is interrupted while pods are attached leaves nothing', { timeout: 600_000 }, async () => {
  const demo = startDemo();
  try {
    await waitFor(
      'pods to be attached',
      async () => (demo.output().includes('pods attached') ? found(true) : notYet(demo.output().slice(-300))),
      {
        deadline: seconds(300),
      },
    );
    assert.ok(demo.hosts().length > 0);
  } finally {
    demo.kill('SIGINT');
  }
  assert.equal(await demo.exited, 130);
  await waitFor(
    'every host to be gone',
    async () => (demo.hosts().length === 0 ? found(true) : notYet(demo.hosts().join(', '))),
    { deadline: seconds(60) },
  );
});
