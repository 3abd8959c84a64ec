// The agent's hold on BFD's process: who starts it dies, another finds it, it is killed, it is wanted no more.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Host } from '#lab/host.ts';
import { Lab } from '#lab/lab.ts';
import type { LabProcess } from '#lab/process.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import { fastSession, startBfd } from '../../support/bfd.ts';
import { far, near, twoHosts } from '../../support/bfd-neighbours.ts';

async function hostsOf(t: TestContext): Promise<readonly [Host, Host]> {
  const lab = await Lab.create('frt-bfd-link');
  t.after(async () => await lab.dispose());
  return await twoHosts(lab);
}

let owners = 0;

const own = (host: Host, ...words: readonly string[]): Promise<LabProcess> => {
  owners += 1;
  const program = new URL('../../support/bfd-owner.ts', import.meta.url).pathname;
  const flags = ['--disable-warning=ExperimentalWarning'];
  return host.spawn([process.execPath, ...flags, program, ...words], { log: `owner-${owners}.log` });
};

interface Line {
  readonly event?: string;
  readonly pid?: number;
  readonly state?: string;
  readonly failures?: number;
}

const linesOf = async (owner: LabProcess): Promise<readonly Line[]> =>
  (await owner.log())
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line) => JSON.parse(line) as Line);

const says = (owner: LabProcess, what: string, fits: (line: Line) => boolean): Promise<Line> =>
  waitFor(
    `the owner to say ${what}`,
    async () => {
      const line = (await linesOf(owner)).findLast(fits);
      return line === undefined ? notYet((await owner.log()).slice(-1500)) : found(line);
    },
    { deadline: seconds(60), every: milliseconds(20) },
  );

const isUp = ({ state }: Line): boolean => state === 'Up';

test("killing who started BFD's process is no failure, and the next one finds the same process", async (t) => {
  const [a, b] = await hostsOf(t);
  const neighbour = await startBfd(b);
  neighbour.client.setSessions([fastSession(near.ipv4)]);
  const first = await own(a, far.ipv4);
  await says(first, 'Up', isUp);
  const { pid } = await says(first, 'whom it found', ({ event }) => event === 'bfd.found');
  await neighbour.until('router', 'up at 150 ms', (s) => s.state === 'Up' && s.detectionTimeMilliseconds === 150);
  for (let round = 0; round < 3; round++) {
    const owner = round === 0 ? first : await own(a, far.ipv4);
    await says(owner, 'Up', isUp);
    assert.equal((await says(owner, 'whom it found', ({ event }) => event === 'bfd.found')).pid, pid);
    const started = (await linesOf(owner)).filter(({ event }) => event === 'bfd.process.started');
    assert.equal(started.length, round === 0 ? 1 : 0);
    owner.kill('SIGKILL');
    await owner.exited;
    await delay(400);
    assert.deepEqual([neighbour.latest('router')?.state, neighbour.latest('router')?.failures], ['Up', 0]);
  }
  // The last owner wants none: it ends on purpose.
  const last = await own(a, far.ipv4, 'none');
  const down = await neighbour.until('router', 'down', (s) => s.state === 'Down');
  assert.deepEqual([down.remoteState, down.failures], ['AdminDown', 0]);
  await says(last, 'that it is gone', ({ event }) => event === 'bfd.lost');
  last.kill('SIGTERM');
  await last.exited;
  await waitFor(
    "BFD's process to end",
    async () => {
      const left = (await a.processes()).filter((line) => line.includes(' bfd '));
      return left.length === 0 ? found(true) : notYet(left.join('\n'));
    },
    { deadline: seconds(60) },
  );
});

test("BFD's process that is killed is started again by its owner, and the session comes back", async (t) => {
  const [a, b] = await hostsOf(t);
  const neighbour = await startBfd(b);
  neighbour.client.setSessions([fastSession(near.ipv4)]);
  const owner = await own(a, far.ipv4);
  await says(owner, 'Up', isUp);
  const { pid } = await says(owner, 'whom it found', ({ event }) => event === 'bfd.found');
  await neighbour.until('router', 'up at 150 ms', (s) => s.state === 'Up' && s.detectionTimeMilliseconds === 150);
  await a.run(['kill', '-9', String(pid)]);
  const down = await neighbour.until('router', 'down', (s) => s.state === 'Down');
  assert.equal(down.failed, true);
  const next = await says(owner, 'that it found another', (line) => line.event === 'bfd.found' && line.pid !== pid);
  assert.notEqual(next.pid, pid);
  await neighbour.until('router', 'up again', (s) => s.state === 'Up' && !s.failed);
  owner.kill('SIGKILL');
});

test("a process that is somebody else's is looked for, not started, and stays when nothing is wanted", async (t) => {
  const [a, b] = await hostsOf(t);
  const neighbour = await startBfd(b);
  neighbour.client.setSessions([fastSession(near.ipv4)]);
  const owner = await own(a, far.ipv4, 'external');
  const absent = await says(owner, 'that none is there', ({ event }) => event === 'bfd.absent');
  assert.ok(absent);
  assert.equal((await linesOf(owner)).filter(({ event }) => event === 'bfd.process.started').length, 0);
  const process = await startBfd(a, '--stay');
  await says(owner, 'Up', isUp);
  await neighbour.until('router', 'up', ({ state }) => state === 'Up');
  owner.kill('SIGKILL');
  await owner.exited;
  const other = await own(a, far.ipv4, 'external', 'none');
  const down = await neighbour.until('router', 'down', ({ state }) => state === 'Down');
  assert.deepEqual([down.remoteState, down.failures], ['AdminDown', 0]);
  assert.equal(process.process.ended, false);
  const again = await own(a, far.ipv4, 'external');
  await says(again, 'Up', isUp);
  for (const one of [other, again]) one.kill('SIGKILL');
});
