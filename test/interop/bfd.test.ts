// BFD of ours against FRR's bfdd and BIRD at 50 ms x 3, and against itself: up, a frozen neighbour, AdminDown, TTL, restarts.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Host } from '#lab/host.ts';
import { Lab } from '#lab/lab.ts';
import type { LabProcess } from '#lab/process.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import { type BfdHost, connectBfd, fastSession, startBfd } from '../support/bfd.ts';

const families = ['ipv4', 'ipv6'] as const;
type Family = (typeof families)[number];
const near = { ipv4: '172.16.9.1', ipv6: 'fd99::1' } as const;
const far = { ipv4: '172.16.9.2', ipv6: 'fd99::2' } as const;

async function twoHosts(t: TestContext): Promise<readonly [Host, Host]> {
  const lab = await Lab.create('frt-bfd');
  t.after(async () => await lab.dispose());
  const a = await lab.addHost('a');
  const b = await lab.addHost('b');
  await lab.link({
    a,
    b,
    names: ['up-a', 'up-b'],
    addresses: [
      [`${near.ipv4}/30`, `${far.ipv4}/30`],
      [`${near.ipv6}/64`, `${far.ipv6}/64`],
    ],
  });
  return [a, b];
}

interface Neighbour {
  readonly speaker: LabProcess;
  /** The neighbour's own word for the state of the session with us. */
  state(): Promise<string>;
}

interface Daemon {
  readonly name: string;
  readonly up: string;
  readonly adminDown: readonly string[];
  /** TTL of its multi hop packets. */
  readonly multiHopTtl: number;
  start(host: Host, family: Family, hops: 'single' | 'multi'): Promise<Neighbour>;
}

const frr: Daemon = {
  name: 'FRR',
  up: 'up',
  adminDown: ['down'],
  multiHopTtl: 255,
  async start(host, family, hops) {
    const directory = '/run/frr';
    const peer = hops === 'single' ? near[family] : `${near[family]} multihop local-address ${far[family]}`;
    await host.writeFile(`${directory}/zebra.conf`, `hostname ${host.name}\n`);
    await host.writeFile(
      `${directory}/bfdd.conf`,
      `bfd\n peer ${peer}\n  detect-multiplier 3\n  receive-interval 50\n  transmit-interval 50\n  no shutdown\n exit\nexit\n`,
    );
    await host.run(['chown', '-R', 'frr:frr', directory]);
    const daemon = (program: string, more: readonly string[]): string[] => {
      const files = ['-f', `${directory}/${program}.conf`, '-i', `${directory}/${program}.pid`];
      const sockets = ['-z', `${directory}/zserv.api`, '--vty_socket', directory, '-P', '0'];
      return [`/usr/lib/frr/${program}`, '-u', 'frr', '-g', 'frr', ...files, ...sockets, '--log', 'stdout', ...more];
    };
    const ask = async (program: string, command: string): Promise<string> =>
      (await host.exec(['vtysh', '--vty_socket', directory, '-d', program, '-c', command])).stdout;
    const zebra = await host.spawn(daemon('zebra', []), { log: 'zebra.log' });
    await waitFor(
      'zebra',
      async () => ((await ask('zebra', 'show version')).includes('FRR') ? found(true) : notYet(await zebra.log())),
      { deadline: seconds(15) },
    );
    const speaker = await host.spawn(daemon('bfdd', ['--bfdctl', `${directory}/bfdd.sock`]), { log: 'bfdd.log' });
    return {
      speaker,
      state: async () => {
        const text = await ask('bfdd', 'show bfd peers json');
        if (!text.trimStart().startsWith('[')) return 'no answer';
        const peers = JSON.parse(text) as readonly { readonly status?: string }[];
        return peers[0]?.status ?? 'none';
      },
    };
  },
};

const bird: Daemon = {
  name: 'BIRD',
  up: 'Up',
  adminDown: ['Down', 'none'],
  multiHopTtl: 64,
  async start(host, family, hops) {
    const options = 'min rx interval 50 ms; min tx interval 50 ms; idle tx interval 300 ms; multiplier 3;';
    const neighbour =
      hops === 'single' ? `${near[family]} dev "up-b"` : `${near[family]} local ${far[family]} multihop on`;
    await host.writeFile(
      '/run/bird/bird.conf',
      [
        'router id 10.9.9.9;',
        'protocol device {}',
        `protocol bfd { interface "up-b" { ${options} }; multihop { ${options} }; neighbor ${neighbour}; }`,
        '',
      ].join('\n'),
    );
    const control = '/run/bird/bird.ctl';
    const speaker = await host.spawn(['bird', '-f', '-c', '/run/bird/bird.conf', '-s', control], { log: 'bird.log' });
    return {
      speaker,
      state: async () => {
        const { stdout } = await host.exec(['birdc', '-s', control, 'show bfd sessions']);
        const row = stdout.split('\n').find((line) => line.startsWith(near[family]));
        return row?.split(/\s+/)[2] ?? 'none';
      },
    };
  },
};

async function neighbourIs(neighbour: Neighbour, wanted: readonly string[]): Promise<void> {
  await waitFor(
    `the neighbour to say ${wanted.join(' or ')}`,
    async () => {
      const state = await neighbour.state();
      return wanted.includes(state) ? found(state) : notYet(`${state}\n${(await neighbour.speaker.log()).slice(-800)}`);
    },
    { deadline: seconds(10), every: milliseconds(50) },
  );
}

const upAndFast = (session: { readonly state: string; readonly detectionTimeMilliseconds: number }): boolean =>
  session.state === 'Up' && session.detectionTimeMilliseconds === 150;

/** Freezes the neighbour; answers how long it took until we said Down, in milliseconds. */
async function freeze(ours: BfdHost, speaker: LabProcess): Promise<number> {
  const at = performance.now();
  speaker.kill('SIGSTOP');
  const down = await ours.until('router', 'down', ({ state }) => state === 'Down', seconds(3));
  assert.equal(down.diagnostic, 1, 'Control Detection Time Expired');
  const told = ours.told.findLast(({ message }) => message.kind === 'changed' && message.session.state === 'Down');
  return (told?.at ?? Number.POSITIVE_INFINITY) - at;
}

for (const daemon of [frr, bird]) {
  for (const family of families) {
    test(`single hop with ${daemon.name} over ${family}: up at 50 ms x 3, stays up, a frozen router is seen within 250 ms, up again`, async (t) => {
      const [a, b] = await twoHosts(t);
      const neighbour = await daemon.start(b, family, 'single');
      const ours = await startBfd(a);
      ours.client.setSessions([fastSession(far[family])]);
      await ours.until('router', 'up at 150 ms', upAndFast, seconds(15));
      await neighbourIs(neighbour, [daemon.up]);
      await delay(1000);
      assert.equal(ours.latest('router')?.failures, 0, 'nothing flaps');
      const took = await freeze(ours, neighbour.speaker);
      t.diagnostic(`down after ${took.toFixed(0)} ms`);
      assert.ok(took >= 100 && took <= 250, `${took} ms`);
      neighbour.speaker.kill('SIGCONT');
      await ours.until('router', 'up again', upAndFast, seconds(15));
      await neighbourIs(neighbour, [daemon.up]);
    });
  }

  test(`multi hop with ${daemon.name}: up at 50 ms x 3, and a frozen router is seen within 250 ms`, async (t) => {
    const [a, b] = await twoHosts(t);
    const neighbour = await daemon.start(b, 'ipv4', 'multi');
    const ours = await startBfd(a);
    const local = fastSession(near.ipv4).remote;
    ours.client.setSessions([fastSession(far.ipv4, { hops: 'multi', local, minimumTtl: daemon.multiHopTtl })]);
    await ours.until('router', 'up at 150 ms', upAndFast, seconds(15));
    await neighbourIs(neighbour, [daemon.up]);
    const took = await freeze(ours, neighbour.speaker);
    assert.ok(took <= 250, `${took} ms`);
    neighbour.speaker.kill('SIGCONT');
    await ours.until('router', 'up again', upAndFast, seconds(15));
    if (daemon.multiHopTtl === 255) return;
    ours.client.setSessions([fastSession(far.ipv4, { hops: 'multi', local, minimumTtl: daemon.multiHopTtl + 1 })]);
    await ours.until('router', 'deaf to a TTL that is too low', ({ diagnostic }) => diagnostic === 1);
  });

  test(`${daemon.name} hears that an end is administrative, and comes up with the process that follows`, async (t) => {
    const [a, b] = await twoHosts(t);
    const neighbour = await daemon.start(b, 'ipv4', 'single');
    const ours = await startBfd(a);
    ours.client.setSessions([fastSession(far.ipv4)]);
    await ours.until('router', 'up', upAndFast, seconds(15));
    await neighbourIs(neighbour, [daemon.up]);
    ours.client.end();
    await ours.process.exited;
    await neighbourIs(neighbour, daemon.adminDown);
    const next = await startBfd(a);
    next.client.setSessions([fastSession(far.ipv4)]);
    await next.until('router', 'up', upAndFast, seconds(15));
    await neighbourIs(neighbour, [daemon.up]);
  });

  test(`with ${daemon.name}: who told us goes away and another comes, and nothing flaps`, async (t) => {
    const [a, b] = await twoHosts(t);
    const neighbour = await daemon.start(b, 'ipv4', 'single');
    const ours = await startBfd(a);
    ours.client.setSessions([fastSession(far.ipv4)]);
    await ours.until('router', 'up', upAndFast, seconds(15));
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
