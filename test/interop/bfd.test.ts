// BFD of ours against FRR's bfdd and BIRD at 50 ms x 3: up, a frozen neighbour, AdminDown, TTL, restarts.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Host } from '#lab/host.ts';
import { Lab } from '#lab/lab.ts';
import type { LabProcess } from '#lab/process.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import { type BfdHost, connectBfd, fastSession, startBfd } from '../support/bfd.ts';
import { bfdDaemons, families, far, near, type Neighbour, twoHosts } from '../support/bfd-neighbours.ts';

async function hostsOf(t: TestContext): Promise<readonly [Host, Host]> {
  const lab = await Lab.create('frt-bfd');
  t.after(async () => await lab.dispose());
  return await twoHosts(lab);
}

async function neighbourIs(neighbour: Neighbour, wanted: readonly string[]): Promise<void> {
  await waitFor(
    `the neighbour to say ${wanted.join(' or ')}`,
    async () => {
      const state = await neighbour.state();
      return wanted.includes(state) ? found(state) : notYet(`${state}\n${(await neighbour.speaker.log()).slice(-800)}`);
    },
    { deadline: seconds(60), every: milliseconds(50) },
  );
}

const upAndFast = (session: { readonly state: string; readonly detectionTimeMilliseconds: number }): boolean =>
  session.state === 'Up' && session.detectionTimeMilliseconds === 150;

interface LogLine {
  readonly time: string;
  readonly event: string;
  readonly state?: string;
}

interface Took {
  readonly least: number;
  readonly most: number;
}

/**
 * Freezes the neighbour; answers after how many milliseconds our process, which runs real-time, wrote down that it is gone.
 * This process does not run real-time: it knows no more than between which two moments the neighbour was frozen.
 */
async function freeze(ours: BfdHost, speaker: LabProcess): Promise<Took> {
  const before = Date.now();
  speaker.kill('SIGSTOP');
  const after = Date.now();
  const down = await ours.until('router', 'down', ({ state }) => state === 'Down');
  assert.equal(down.diagnostic, 1, 'Control Detection Time Expired');
  return await waitFor(
    'the log to say when',
    async () => {
      const lines = (await ours.process.log()).split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'));
      const took = lines
        .map((line) => JSON.parse(line) as LogLine)
        .filter(({ event, state }) => event === 'bfd.session.changed' && state === 'Down')
        .map(({ time }) => Date.parse(time))
        .findLast((time) => time > before);
      if (took === undefined) return notYet(lines.slice(-3).join('\n'));
      return found({ least: took - after, most: took - before });
    },
    { deadline: seconds(60) },
  );
}

for (const daemon of bfdDaemons) {
  for (const family of families) {
    test(`single hop with ${daemon.name} over ${family}: up at 50 ms x 3, stays up, a frozen router is seen within 250 ms, up again`, async (t) => {
      const [a, b] = await hostsOf(t);
      const neighbour = await daemon.start(b, family, 'single');
      const ours = await startBfd(a);
      ours.client.setSessions([fastSession(far[family])]);
      await ours.until('router', 'up at 150 ms', upAndFast);
      await neighbourIs(neighbour, [daemon.up]);
      await delay(1000);
      assert.equal(ours.latest('router')?.failures, 0, 'nothing flaps');
      const took = await freeze(ours, neighbour.speaker);
      t.diagnostic(`down after ${took.least} to ${took.most} ms`);
      assert.ok(took.most >= 50 && took.least <= 250, JSON.stringify(took));
      neighbour.speaker.kill('SIGCONT');
      await ours.until('router', 'up again', upAndFast);
      await neighbourIs(neighbour, [daemon.up]);
    });
  }

  test(`multi hop with ${daemon.name}: up at 50 ms x 3, and a frozen router is seen within 250 ms`, async (t) => {
    const [a, b] = await hostsOf(t);
    const neighbour = await daemon.start(b, 'ipv4', 'multi');
    const ours = await startBfd(a);
    const local = fastSession(near.ipv4).remote;
    ours.client.setSessions([fastSession(far.ipv4, { hops: 'multi', local, minimumTtl: daemon.multiHopTtl })]);
    await ours.until('router', 'up at 150 ms', upAndFast);
    await neighbourIs(neighbour, [daemon.up]);
    const took = await freeze(ours, neighbour.speaker);
    assert.ok(took.least <= 250, JSON.stringify(took));
    neighbour.speaker.kill('SIGCONT');
    await ours.until('router', 'up again', upAndFast);
    if (daemon.multiHopTtl === 255) return;
    ours.client.setSessions([fastSession(far.ipv4, { hops: 'multi', local, minimumTtl: daemon.multiHopTtl + 1 })]);
    await ours.until('router', 'deaf to a TTL that is too low', ({ diagnostic }) => diagnostic === 1);
  });

  test(`${daemon.name} hears that an end is administrative, and comes up with the process that follows`, async (t) => {
    const [a, b] = await hostsOf(t);
    const neighbour = await daemon.start(b, 'ipv4', 'single');
    const ours = await startBfd(a);
    ours.client.setSessions([fastSession(far.ipv4)]);
    await ours.until('router', 'up', upAndFast);
    await neighbourIs(neighbour, [daemon.up]);
    ours.client.end();
    await ours.process.exited;
    await neighbourIs(neighbour, daemon.adminDown);
    const next = await startBfd(a);
    next.client.setSessions([fastSession(far.ipv4)]);
    await next.until('router', 'up', upAndFast);
    await neighbourIs(neighbour, [daemon.up]);
  });

  test(`with ${daemon.name}: who told us goes away and another comes, and nothing flaps`, async (t) => {
    const [a, b] = await hostsOf(t);
    const neighbour = await daemon.start(b, 'ipv4', 'single');
    const ours = await startBfd(a);
    ours.client.setSessions([fastSession(far.ipv4)]);
    await ours.until('router', 'up', upAndFast);
    ours.client.close();
    await delay(500);
    const again = await connectBfd(a, ours.process);
    const session = await again.until('router', 'known', () => true);
    assert.deepEqual([session.state, session.failures], ['Up', 0]);
    again.client.setSessions([fastSession(far.ipv4)]);
    await delay(500);
    assert.deepEqual([again.latest('router')?.state, again.latest('router')?.failures], ['Up', 0]);
    await neighbourIs(neighbour, [daemon.up]);
  });
}
