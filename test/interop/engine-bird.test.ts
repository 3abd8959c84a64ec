// The engine with its real sessions against BIRD: both families over one session, policy, transit attributes, restart.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { seconds } from '#lib/time.ts';
import type { BgpFacts, BgpIntent, PeerIntent } from '#bgp/engine.ts';
import type { TestNamespace } from '../support/netns.ts';
import { createNamespace, eventually, execute } from '../support/netns.ts';
import { intent, ip, kernelView, peerIntent, prefix } from '../unit/bgp/speaker/network.ts';
import type { Command } from './engine-process.ts';

const birdConfiguration = (directory: string): string => `
log "${directory}/bird.log" all;
router id 10.255.0.2;
protocol device { scan time 1; }
protocol direct { ipv4; ipv6; }
protocol static static4 { ipv4; route 198.51.100.0/24 blackhole; route 198.51.101.0/24 blackhole; route 10.60.1.0/28 blackhole; }
protocol static static6 { ipv6; route 2001:db8:100::/48 blackhole; }
protocol bgp node {
  local 192.0.2.2 as 65002;
  neighbor 192.0.2.1 as 65001;
  error wait time 1,2;
  connect delay time 1;
  password "correct horse";
  graceful restart on;
  ipv4 { import all; export where source = RTS_STATIC; };
  ipv6 { import all; export where source = RTS_STATIC; };
}
`;

interface Line {
  readonly facts?: BgpFacts;
  readonly event?: { readonly event: string };
  readonly fib?: {
    readonly groups: readonly { readonly id: number; readonly members: readonly { readonly gateway: string }[] }[];
    readonly rows: readonly { readonly prefix: string; readonly group: number }[];
    readonly complete: boolean;
  };
}

/** The engine's process: what it last said. */
class Engine {
  facts: BgpFacts | undefined;
  readonly kernel = new Map<string, string[]>();
  readonly #groups = new Map<number, string[]>();
  readonly events: string[] = [];
  complete = false;
  readonly #process: ChildProcess;
  readonly exited: Promise<void>;
  errors = '';

  constructor(namespace: string, options: object) {
    const script = new URL('./engine-process.ts', import.meta.url).pathname;
    this.#process = spawn('ip', ['netns', 'exec', namespace, process.execPath, script, JSON.stringify(options)], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.exited = new Promise((resolve) => this.#process.once('exit', () => resolve()));
    this.#process.stderr?.on('data', (chunk: Buffer) => {
      this.errors += chunk.toString();
    });
    const output = this.#process.stdout;
    if (output === null) throw new Error('no stdout');
    createInterface({ input: output }).on('line', (line) => this.#hear(JSON.parse(line) as Line));
  }

  #hear(line: Line): void {
    if (line.facts !== undefined) this.facts = line.facts;
    if (line.event !== undefined) this.events.push(line.event.event);
    if (line.fib === undefined) return;
    for (const { id, members } of line.fib.groups)
      this.#groups.set(
        id,
        members.map(({ gateway }) => gateway),
      );
    for (const { prefix, group } of line.fib.rows) {
      if (group === 0) this.kernel.delete(prefix);
      else this.kernel.set(prefix, this.#groups.get(group) ?? ['?']);
    }
    if (line.fib.complete) this.complete = true;
  }

  say(command: Command): void {
    this.#process.stdin?.write(`${JSON.stringify(command)}\n`);
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }
}

const view = kernelView([['192.0.2.1/24', '2001:db8::1/64']]);
const wanted = (peer: Partial<PeerIntent> = {}, overrides: Partial<BgpIntent> = {}): BgpIntent =>
  intent({
    peers: [
      peerIntent({
        name: 'bird',
        holdTime: seconds(9),
        connectRetryTime: seconds(1),
        password: 'correct horse',
        sourceAddress: ip('192.0.2.1'),
        ...peer,
      }),
    ],
    announcements: [
      { prefix: prefix('10.60.1.0/26'), source: 'block' },
      { prefix: prefix('fd00:60:1::/64'), source: 'block' },
    ],
    ownPrefixes: [prefix('10.60.1.0/26')],
    ...overrides,
  });

describe('the engine and BIRD, one session with both families and a password', { timeout: 120_000 }, () => {
  let node: TestNamespace;
  let router: TestNamespace;
  let directory: string;
  let bird: ChildProcess | undefined;
  let engine: Engine;

  const birdc = async (...words: string[]): Promise<string> =>
    (await execute(['birdc', '-s', join(directory, 'ctl'), ...words])).stdout;
  /** Networks that BIRD has from the node. */
  const learned = async (): Promise<string[]> =>
    [...(await birdc('show', 'route', 'protocol', 'node')).matchAll(/^([0-9a-f][0-9a-f.:]*\/\d+)/gm)]
      .map((m) => m[1] ?? '')
      .sort();

  before(async () => {
    node = await createNamespace('frt-engine');
    router = await createNamespace('frt-engine');
    await execute([
      'ip',
      '-n',
      node.name,
      'link',
      'add',
      'eth0',
      'type',
      'veth',
      'peer',
      'name',
      'eth0',
      'netns',
      router.name,
    ]);
    for (const [ns, last] of [
      [node, 1],
      [router, 2],
    ] as const) {
      await ns.run(['ip', 'addr', 'add', `192.0.2.${last}/24`, 'dev', 'eth0']);
      await ns.run(['ip', 'addr', 'add', `2001:db8::${last}/64`, 'dev', 'eth0', 'nodad']);
      await ns.run(['ip', 'link', 'set', 'eth0', 'up']);
    }
    directory = await mkdtemp(join(tmpdir(), 'frt-engine-'));
    await writeFile(join(directory, 'bird.conf'), birdConfiguration(directory));
    bird = spawn(
      'ip',
      ['netns', 'exec', router.name, 'bird', '-f', '-c', join(directory, 'bird.conf'), '-s', join(directory, 'ctl')],
      {
        stdio: 'ignore',
      },
    );
    engine = new Engine(node.name, { restarted: false, forwardingPreserved: [] });
    engine.say({ view });
    engine.say({ apply: wanted() });
  });

  after(async () => {
    engine?.kill();
    bird?.kill('SIGKILL');
    await engine?.exited;
    await node?.dispose();
    await router?.dispose();
    if (directory !== undefined) await rm(directory, { recursive: true, force: true });
  });

  test('routes go both ways, and what is inside our own block is refused', async () => {
    await eventually('routes of BIRD in the played kernel', () => engine.kernel.size === 3);
    assert.deepEqual(Object.fromEntries(engine.kernel), {
      '198.51.100.0/24': ['192.0.2.2'],
      '198.51.101.0/24': ['192.0.2.2'],
      '2001:db8:100::/48': ['2001:db8::2'],
    });
    await eventually('our routes in BIRD', async () => (await learned()).length === 2);
    assert.deepEqual(await learned(), ['10.60.1.0/26', 'fd00:60:1::/64']);
    await eventually('facts', () => engine.facts?.peers[0]?.received.ipv4 === 3);
    assert.deepEqual(engine.facts?.peers[0]?.accepted, { ipv4: 2, ipv6: 1 });
    assert.ok(engine.complete, 'End-of-RIB of BIRD was heard');
    const detail = await birdc('show', 'route', '10.60.1.0/26', 'all');
    assert.match(detail, /BGP.as_path: 65001\n/);
    assert.match(detail, /BGP.next_hop: 192.0.2.1\n/);
    assert.doesNotMatch(detail, /BGP.local_pref: (?!100)/);
  });

  test('a changed policy and changed announcements are UPDATEs, not a new session', async () => {
    // Two connections that were opened at once may have cost a session at the start.
    const flaps = engine.facts?.peers[0]?.flaps;
    engine.say({ apply: wanted({ importPolicy: 'None' }, { announcements: [] }), generation: 2 });
    await eventually('everything withdrawn', async () => engine.kernel.size === 0 && (await learned()).length === 0);
    engine.say({ apply: wanted(), generation: 3 });
    await eventually('everything back', async () => engine.kernel.size === 3 && (await learned()).length === 2);
    await eventually('facts', () => engine.facts?.generation === 3);
    assert.equal(engine.facts?.peers[0]?.flaps, flaps);
  });

  test('BIRD asks for a refresh and gets everything again', async () => {
    await birdc('reload', 'in', 'node');
    await eventually('refresh seen', () => engine.events.includes('session.refreshRequested'));
    await eventually('routes in BIRD', async () => (await learned()).length === 2);
  });

  test('killed and started again: BIRD keeps our routes, and drops what the new life does not announce', async () => {
    engine.kill();
    await engine.exited;
    assert.deepEqual(await learned(), ['10.60.1.0/26', 'fd00:60:1::/64']);
    engine = new Engine(node.name, { restarted: true, forwardingPreserved: ['ipv4', 'ipv6'] });
    engine.say({ view });
    const announcements: BgpIntent['announcements'] = [{ prefix: prefix('10.60.1.0/26'), source: 'block' }];
    engine.say({ apply: wanted({}, { announcements }) });
    let gone = false;
    await eventually('only the announced one stays', async () => {
      const have = await learned();
      if (!have.includes('10.60.1.0/26')) gone = true;
      return have.length === 1;
    });
    assert.equal(gone, false, 'the route never left BIRD');
    await eventually('complete', () => engine.complete && engine.kernel.size === 3);
  });

  test('BIRD is killed: its routes stay while it restarts, and go when it says so', async () => {
    bird?.kill('SIGKILL');
    await eventually('session down', () => engine.events.includes('session.down'));
    assert.equal(engine.kernel.size, 3, 'kept as stale');
    bird = spawn(
      'ip',
      [
        'netns',
        'exec',
        router.name,
        'bird',
        '-f',
        '-R',
        '-c',
        join(directory, 'bird.conf'),
        '-s',
        join(directory, 'ctl'),
      ],
      {
        stdio: 'ignore',
      },
    );
    await eventually(
      'established again',
      () => engine.events.filter((event) => event === 'session.established').length === 2,
    );
    await eventually('not stale', () => engine.facts?.peers[0]?.accepted.ipv4 === 2 && engine.kernel.size === 3);
    await birdc('down');
    await eventually('a NOTIFICATION removes them', () => engine.kernel.size === 0);
  });
});
