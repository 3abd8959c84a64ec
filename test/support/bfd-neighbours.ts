/** FRR's bfdd and BIRD as neighbours of BFD at 50 ms x 3, in a lab of two hosts. */
import type { Host } from '#lab/host.ts';
import type { Lab } from '#lab/lab.ts';
import type { LabProcess } from '#lab/process.ts';
import { realTime } from '#lab/routers/daemon.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { seconds } from '#lib/time.ts';

export const families = ['ipv4', 'ipv6'] as const;
type Family = (typeof families)[number];
export const near = { ipv4: '172.16.9.1', ipv6: 'fd99::1' } as const;
export const far = { ipv4: '172.16.9.2', ipv6: 'fd99::2' } as const;

/** Host a is ours, host b the neighbour's. */
export async function twoHosts(lab: Lab): Promise<readonly [Host, Host]> {
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

export interface Neighbour {
  readonly speaker: LabProcess;
  /** The neighbour's own word for the state of the session with us. */
  state(): Promise<string>;
}

export interface BfdDaemon {
  readonly name: string;
  readonly up: string;
  readonly adminDown: readonly string[];
  /** TTL of its multi hop packets. */
  readonly multiHopTtl: number;
  start(host: Host, family: Family, hops: 'single' | 'multi'): Promise<Neighbour>;
}

const frr: BfdDaemon = {
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
      { deadline: seconds(60) },
    );
    const speaker = await host.spawn(realTime(daemon('bfdd', ['--bfdctl', `${directory}/bfdd.sock`])), {
      log: 'bfdd.log',
    });
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

const bird: BfdDaemon = {
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
    const speaker = await host.spawn(realTime(['bird', '-f', '-c', '/run/bird/bird.conf', '-s', control]), {
      log: 'bird.log',
    });
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

export const bfdDaemons: readonly BfdDaemon[] = [frr, bird];
