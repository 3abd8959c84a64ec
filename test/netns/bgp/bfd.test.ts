// BFD's process on a real kernel: two of ours, TTLs, link-local neighbours, a port that is taken, its lock and its socket.
import assert from 'node:assert/strict';
import { createConnection } from 'node:net';
import { statSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Host } from '#lab/host.ts';
import { Lab } from '#lab/lab.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import { FrameReader, readFromBfd } from '#bgp/bfd/control-messages.ts';
import { fastSession, startBfd } from '../../support/bfd.ts';

const addresses = { ipv4: ['172.16.9.1', '172.16.9.2'], ipv6: ['fd99::1', 'fd99::2'] } as const;

async function twoHosts(t: TestContext): Promise<readonly [Host, Host]> {
  const lab = await Lab.create('frt-bfd-own');
  t.after(async () => await lab.dispose());
  const a = await lab.addHost('a');
  const b = await lab.addHost('b');
  await lab.link({
    a,
    b,
    names: ['up-a', 'up-b'],
    addresses: [
      ['172.16.9.1/30', '172.16.9.2/30'],
      ['fd99::1/64', 'fd99::2/64'],
    ],
  });
  return [a, b];
}

/** Sends BFD packets from a host: lines of TTL and payload, from `port`. */
const sendFrom = async (host: Host, ttl: number, hex: string, target: string): Promise<void> => {
  const family = target.includes(':') ? 'udp6' : 'udp4';
  const code = `const s = require('node:dgram').createSocket('${family}'); s.bind(50000, () => { s.setTTL(${ttl});
    s.send(Buffer.from('${hex}', 'hex'), 3784, '${target}', () => s.close()); });`;
  await host.run([process.execPath, '-e', code]);
};

/** Down, my discriminator 7, a second each way. */
const downPacket = '2040031800000007 00000000 000f4240 000f4240 00000000'.replaceAll(' ', '');

test('single and multi hop over both families come up side by side, among neighbours that are silent', async (t) => {
  const [a, b] = await twoHosts(t);
  const [left, right] = [await startBfd(a), await startBfd(b)];
  const names = ['four', 'six', 'four-multi', 'six-multi'] as const;
  const all = (side: 0 | 1) => [
    fastSession('172.16.9.77', { name: 'silent-four', hops: 'multi', minimumTtl: 1 }),
    fastSession('fd99::77', { name: 'silent-six', hops: 'multi', minimumTtl: 1 }),
    fastSession(addresses.ipv4[side], { name: 'four' }),
    fastSession(addresses.ipv6[side], { name: 'six', passive: side === 0 }),
    fastSession(addresses.ipv4[side], { name: 'four-multi', hops: 'multi', minimumTtl: 255 }),
    fastSession(addresses.ipv6[side], { name: 'six-multi', hops: 'multi', minimumTtl: 255 }),
  ];
  left.client.setSessions(all(1));
  right.client.setSessions(all(0));
  for (const name of names) {
    const up = await left.until(name, 'up', (s) => s.state === 'Up' && s.detectionTimeMilliseconds === 150);
    assert.equal(up.remoteControlPlaneIndependent, true);
  }
  // Told again, and told something else: neither is a failure.
  left.client.setSessions(all(1));
  const slower = all(1).map((session) => ({ ...session, detectMultiplier: 5, desiredMinTxMicroseconds: 80_000 }));
  left.client.setSessions(slower);
  for (const name of names) await right.until(name, 'of 5 times 80 ms', (s) => s.detectionTimeMilliseconds === 400);
  await delay(500);
  for (const side of [left, right]) {
    side.client.observe();
    for (const name of names) {
      const { failures } = await side.until(name, 'counted', (s) => s.sent > 4 && s.received > 4);
      assert.equal(failures, 0);
    }
  }
  // One of them is wanted no more: its neighbour hears AdminDown, the others go on.
  left.client.setSessions(slower.filter(({ name }) => name !== 'six-multi'));
  await right.until('six-multi', 'down', (s) => s.state === 'Down' && s.remoteState === 'AdminDown');
  await delay(500);
  for (const name of ['four', 'six', 'four-multi']) assert.equal(right.latest(name)?.failures, 0);
});

test('a link-local neighbour is reached by the interface of the session', async (t) => {
  const [a, b] = await twoHosts(t);
  const linkLocal = async (host: Host, name: string): Promise<string> =>
    await waitFor(
      `a link-local address of ${name}`,
      async () => {
        const text = await host.run(['ip', '-6', 'addr', 'show', 'dev', name, 'scope', 'link', '-tentative']);
        const address = /inet6 (fe80[0-9a-f:]+)/.exec(text)?.[1];
        return address === undefined ? notYet(text) : found(address);
      },
      { deadline: seconds(60) },
    );
  const [left, right] = [await startBfd(a), await startBfd(b)];
  left.client.setSessions([fastSession(await linkLocal(b, 'up-b'), { interface: 'up-a' })]);
  right.client.setSessions([fastSession(await linkLocal(a, 'up-a'), { interface: 'up-b' })]);
  await left.until('router', 'up', (s) => s.state === 'Up' && s.detectionTimeMilliseconds === 150);
  await right.until('router', 'up', (s) => s.state === 'Up' && s.detectionTimeMilliseconds === 150);
});

for (const family of ['ipv4', 'ipv6'] as const) {
  test(`a single hop packet over ${family} with TTL 254 does not reach us, one with 255 does (RFC 5881 §5)`, async (t) => {
    const [a, b] = await twoHosts(t);
    const [us, them] = addresses[family];
    const ours = await startBfd(a);
    ours.client.setSessions([fastSession(them, { passive: true })]);
    await ours.until('router', 'known', () => true);
    await sendFrom(b, 254, downPacket, us);
    await sendFrom(b, 255, downPacket, us);
    const session = await ours.until('router', 'in Init', (s) => s.state === 'Init');
    assert.equal(session.received, 1);
    assert.equal(session.remoteState, 'Down');
  });
}

test('packets that are none, or nobody has asked for, change nothing', async (t) => {
  const [a, b] = await twoHosts(t);
  const ours = await startBfd(a);
  ours.client.setSessions([fastSession(addresses.ipv4[1], { passive: true })]);
  await ours.until('router', 'known', () => true);
  const bad = [
    '',
    '20',
    downPacket.slice(0, 46),
    downPacket.replace('2040', '4040'),
    '20c0031800000007deadbeef000f4240000f424000000000',
  ];
  for (const hex of bad) await sendFrom(b, 255, hex, addresses.ipv4[0]);
  ours.client.setSessions([
    fastSession(addresses.ipv4[1], { passive: true }),
    fastSession('172.16.9.3', { name: 'other' }),
  ]);
  await ours.until('other', 'known', () => true);
  assert.deepEqual([ours.latest('router')?.state, ours.latest('router')?.received], ['Down', 0]);
  ours.client.end();
  await ours.process.exited;
  const ended = (await ours.process.log()).split('\n').find((line) => line.includes('"bfd.ended"'));
  assert.deepEqual((JSON.parse(ended ?? '{}') as { discarded?: unknown }).discarded, {
    lengthBeyondPayload: 3,
    version: 1,
    noSession: 1,
  });
});

test('who was kept from running reads what waits before it believes that a neighbour is gone', async (t) => {
  const [a, b] = await twoHosts(t);
  const [left, right] = [await startBfd(a), await startBfd(b)];
  // The neighbour gives us 30 s; we give it 150 ms.
  left.client.setSessions([
    fastSession(addresses.ipv4[1], { desiredMinTxMicroseconds: 1_000_000, detectMultiplier: 30 }),
  ]);
  right.client.setSessions([fastSession(addresses.ipv4[0])]);
  const fast = { state: 'Up', detection: 150 };
  await left.until('router', 'up', (s) => s.state === fast.state && s.detectionTimeMilliseconds === fast.detection);
  for (let round = 0; round < 3; round++) {
    left.process.kill('SIGSTOP');
    await delay(700);
    left.process.kill('SIGCONT');
    await delay(200);
  }
  left.client.observe();
  await left.until('router', 'counted', (s) => s.received > 40);
  assert.deepEqual([left.latest('router')?.state, left.latest('router')?.failures], ['Up', 0]);
  assert.equal(right.latest('router')?.failures, 0);
});

test('the nexthops of a path that fails leave the kernel at once, with their routes moved and nothing else touched', async (t) => {
  const [a, b] = await twoHosts(t);
  const [left, right] = [await startBfd(a), await startBfd(b)];
  const [ours, other, group, foreign] = [0x0b000001, 0x0b000002, 0x0b000003, 5];
  const make = [
    `nexthop add id ${ours} via ${addresses.ipv4[1]} dev up-a proto 179`,
    `nexthop add id ${other} via 172.16.9.5 dev up-a onlink proto 179`,
    `nexthop add id ${group} group ${ours}/${other} proto 179`,
    `nexthop add id ${foreign} via ${addresses.ipv4[1]} dev up-a`,
  ];
  await a.ip([...make, `route add 10.99.0.0/16 nhid ${group} proto 179`]);
  const ids = async (): Promise<readonly number[]> =>
    (JSON.parse(await a.run(['ip', '-json', 'nexthop', 'show'])) as readonly { readonly id: number }[]).map(
      ({ id }) => id,
    );
  const session = fastSession(addresses.ipv4[1], { nexthops: [ours, foreign] });
  left.client.setSessions([session]);
  right.client.setSessions([fastSession(addresses.ipv4[0])]);
  const up = async () =>
    await left.until('router', 'up', (s) => s.state === 'Up' && s.detectionTimeMilliseconds === 150);
  assert.equal((await up()).failed, false);

  // An end on purpose is no failure (RFC 5882 §3.2).
  right.client.setSessions([fastSession(addresses.ipv4[0], { administrativelyDown: true })]);
  const quiet = await left.until('router', 'down on purpose', (s) => s.remoteState === 'AdminDown');
  assert.deepEqual([quiet.state, quiet.failed, quiet.failures], ['Down', false, 0]);
  assert.deepEqual(await ids(), [foreign, ours, other, group]);
  right.client.setSessions([fastSession(addresses.ipv4[0])]);
  await up();

  right.process.kill('SIGSTOP');
  const down = await left.until('router', 'down', (s) => s.state === 'Down');
  assert.deepEqual([down.failed, down.failures], [true, 1]);
  assert.deepEqual(await ids(), [foreign, other, group], 'it was deleted before anybody was told');
  assert.match(await a.run(['ip', 'route', 'get', '10.99.0.1']), /via 172\.16\.9\.5/);

  // Whoever made it again did so too early.
  await a.ip([make[0] ?? '']);
  left.client.setSessions([{ ...session, detectMultiplier: 3 }]);
  left.client.observe();
  await waitFor(
    'the nexthop to be deleted again',
    async () => ((await ids()).includes(ours) ? notYet('it is there') : found(true)),
    { deadline: seconds(60) },
  );
  right.process.kill('SIGCONT');
  assert.equal((await up()).failed, false);
  await a.ip([make[0] ?? '']);
  left.client.setSessions([session]);
  left.client.end();
  await left.process.exited;
  assert.deepEqual(await ids(), [foreign, ours, other, group], 'an end of ours touches nothing');
  assert.match(await left.process.log(), /"bfd\.nexthops\.foreign","name":"router","ids":\[5\]/);
});

test('a port that another program has is told, and taken when it is free', async (t) => {
  const [a, b] = await twoHosts(t);
  const code = `require('node:dgram').createSocket('udp4').bind(3784, () => console.log('bound'));`;
  const squatter = await a.spawn([process.execPath, '-e', code], { log: 'squatter.log' });
  await waitFor(
    'the port to be taken',
    async () => ((await squatter.log()).includes('bound') ? found(true) : notYet('')),
    { deadline: seconds(60) },
  );
  const [left, right] = [await startBfd(a), await startBfd(b)];
  left.client.setSessions([fastSession(addresses.ipv4[1])]);
  right.client.setSessions([fastSession(addresses.ipv4[0])]);
  const session = await left.until('router', 'in trouble', (s) => s.problem !== undefined);
  assert.match(session.problem ?? '', /^UDP port 3784: .*EADDRINUSE/);
  squatter.kill('SIGKILL');
  await left.until('router', 'up without a problem', (s) => s.state === 'Up' && s.problem === undefined);
});

test('an address that is not there is a problem of its session, until it comes', async (t) => {
  const [a, b] = await twoHosts(t);
  const [left, right] = [await startBfd(a), await startBfd(b)];
  left.client.setSessions([fastSession(addresses.ipv4[1], { local: fastSession('172.16.9.9').remote })]);
  const session = await left.until('router', 'in trouble', (s) => s.problem !== undefined);
  assert.match(session.problem ?? '', /EADDRNOTAVAIL/);
  right.client.setSessions([fastSession('172.16.9.9')]);
  await a.ip(['address add 172.16.9.9/28 dev up-a']);
  await b.ip(['route add 172.16.9.9/32 dev up-b']);
  await left.until('router', 'up without a problem', (s) => s.state === 'Up' && s.problem === undefined);
});

test('one process per network namespace; its socket is for root alone; SIGTERM says AdminDown', async (t) => {
  const [a, b] = await twoHosts(t);
  const [left, right] = [await startBfd(a), await startBfd(b)];
  assert.equal(statSync(a.path('/run/flatroute/bfd.sock')).mode & 0o777, 0o600);
  const second = await a.exec([
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    new URL('../../../src/main.ts', import.meta.url).pathname,
    'bfd',
    '--run-dir',
    '/run/other',
  ]);
  assert.equal(second.code, 1);
  assert.match(second.stderr, /BFD already runs here: pid \d+ holds the lock @flatroute-bfd/);
  left.client.setSessions([fastSession(addresses.ipv4[1])]);
  right.client.setSessions([fastSession(addresses.ipv4[0])]);
  await right.until('router', 'up', (s) => s.state === 'Up' && s.detectionTimeMilliseconds === 150);
  left.process.kill('SIGTERM');
  const down = await right.until('router', 'down', (s) => s.state === 'Down');
  assert.deepEqual([down.remoteState, down.diagnostic, down.remoteDiagnostic], ['AdminDown', 3, 7]);
  await left.process.exited;
});

test('it runs real-time, because nice values count only inside a session; where it may not, it says so', async (t) => {
  const [a] = await twoHosts(t);
  const ours = await startBfd(a);
  const hello = await waitFor(
    'the greeting',
    () => {
      const message = ours.told.map((row) => row.message).find(({ kind }) => kind === 'hello');
      return Promise.resolve(message?.kind === 'hello' ? found(message) : notYet(''));
    },
    { deadline: seconds(60) },
  );
  // proc(5): field 40 is rt_priority, 41 policy; the first after the name is field 3.
  const fields = (await a.run(['cat', `/proc/${hello.pid}/stat`])).split(') ')[1]?.split(' ') ?? [];
  const refused = (await ours.process.log()).includes('"bfd.priority"');
  assert.deepEqual(fields.slice(37, 39), refused ? ['0', '0'] : ['1', '2']);
});

test('another major version of the control protocol is refused with a sentence, and the sessions stay', async (t) => {
  const [a, b] = await twoHosts(t);
  const [left, right] = [await startBfd(a), await startBfd(b)];
  left.client.setSessions([fastSession(addresses.ipv4[1])]);
  right.client.setSessions([fastSession(addresses.ipv4[0])]);
  await left.until('router', 'up', (s) => s.state === 'Up');
  const answer = await new Promise<unknown[]>((resolve, reject) => {
    const socket = createConnection(a.path('/run/flatroute/bfd.sock'));
    const reader = new FrameReader();
    const values: unknown[] = [];
    socket.on('connect', () => socket.write(Buffer.from([0, 0, 0, 4, 9, 0, 0x7b, 0x7d])));
    socket.on('data', (bytes: Buffer) => {
      const read = reader.push(bytes);
      if (read.ok) values.push(...read.value);
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(values));
  });
  const last = readFromBfd(answer.at(-1));
  assert.ok(last?.kind === 'refused');
  assert.match(last.reason, /version 9 of the control protocol; this program speaks 1/);
  await delay(milliseconds(300));
  assert.equal(left.latest('router')?.failures, 0);
});
