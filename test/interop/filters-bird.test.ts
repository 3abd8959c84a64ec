// Filters against two BIRDs: what our operations look like over there, what our conditions see of what BIRD sends, and a router
// that announces its own maintenance.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { seconds } from '#lib/time.ts';
import type { BgpFacts, BgpIntent, FilterIntent, PeerIntent } from '#bgp/engine.ts';
import type { TestNamespace } from '../support/netns.ts';
import { createNamespace, eventually, execute } from '../support/netns.ts';
import { asn, intent, ip, kernelView, peerIntent, prefix } from '../unit/bgp/speaker/network.ts';
import type { Command } from './engine-process.ts';

interface Line {
  readonly facts?: BgpFacts;
  readonly fib?: {
    readonly groups: readonly { readonly id: number; readonly members: readonly { readonly gateway: string }[] }[];
    readonly rows: readonly { readonly prefix: string; readonly group: number }[];
  };
}

/** A router: its namespace, its AS and how it is reached. */
class Router {
  readonly namespace: TestNamespace;
  readonly asn: number;
  /** First three numbers of the link to the node, which is .1 on it. */
  readonly net: string;
  readonly #directory: string;
  #process: ChildProcess | undefined;

  constructor(namespace: TestNamespace, number: number, net: string, directory: string) {
    this.namespace = namespace;
    this.asn = number;
    this.net = net;
    this.#directory = directory;
  }

  #file(name: string): string {
    return join(this.#directory, `${this.asn}.${name}`);
  }

  /** `marks`: statements of the export filter. */
  async configure(marks: string): Promise<void> {
    await writeFile(
      this.#file('conf'),
      `
log "${this.#file('log')}" all;
router id ${this.net}.2;
protocol device { scan time 1; }
protocol static { ipv4; route 198.51.100.0/24 blackhole; }
protocol bgp node {
  local ${this.net}.2 as ${this.asn};
  neighbor ${this.net}.1 as 65001;
  connect delay time 1;
  error wait time 1,2;
  ipv4 { import all; export filter { if source != RTS_STATIC then reject; ${marks} accept; }; };
}
`,
    );
    if (this.#process !== undefined) {
      await this.ask('configure');
      return;
    }
    this.#process = spawn(
      'ip',
      ['netns', 'exec', this.namespace.name, 'bird', '-f', '-c', this.#file('conf'), '-s', this.#file('ctl')],
      { stdio: 'ignore' },
    );
  }

  async ask(...words: string[]): Promise<string> {
    return (await execute(['birdc', '-s', this.#file('ctl'), ...words])).stdout;
  }

  kill(): void {
    this.#process?.kill('SIGKILL');
  }
}

const both: FilterIntent = {
  name: 'fabric',
  import: {
    ipv4: [
      {
        action: 'Accept',
        match: undefined,
        communities: [65002 * 65536 + 7, [65002, 1, 2], [0x0002fdea, 8]],
        asPaths: [[65002]],
        operations: [{ kind: 'setLocalPref', value: 400 }],
      },
    ],
    ipv6: [],
  },
  export: {
    ipv4: [
      {
        action: 'Accept',
        match: undefined,
        operations: [
          { kind: 'addCommunity', community: 65001 * 65536 + 9 },
          { kind: 'addCommunity', community: [65001, 1, 9] },
          { kind: 'addCommunity', community: [0x0003fde9, 100_000] },
          { kind: 'prependAsPath', asns: [65001, 65001] },
          { kind: 'setMed', value: 50 },
        ],
      },
    ],
    ipv6: [],
  },
  default: undefined,
};

const peerOf = (name: string, number: number, net: string, overrides: Partial<PeerIntent>): PeerIntent =>
  peerIntent({
    name,
    address: ip(`${net}.2`),
    sourceAddress: ip(`${net}.1`),
    peerAsn: asn(number),
    families: ['ipv4'],
    connectRetryTime: seconds(1),
    ...overrides,
  });

const wanted = (filters: readonly FilterIntent[]): BgpIntent =>
  intent({
    peers: [
      peerOf('a', 65002, '192.0.2', { importPolicy: 'None', filters }),
      peerOf('b', 65003, '203.0.113', { importPolicy: 'All' }),
    ],
    announcements: [{ prefix: prefix('10.60.1.0/26'), source: 'block' }],
  });

const tags = 'bgp_community.add((65002,7)); bgp_large_community.add((65002,1,2)); bgp_ext_community.add((rt,65002,8));';

describe('filters and two BIRDs', { timeout: 120_000 }, () => {
  let node: TestNamespace;
  let a: Router;
  let b: Router;
  let directory: string;
  let engine: ChildProcess | undefined;
  let facts: BgpFacts | undefined;
  const kernel = new Map<string, string[]>();
  const groups = new Map<number, string[]>();

  const hear = (line: Line): void => {
    if (line.facts !== undefined) facts = line.facts;
    for (const { id, members } of line.fib?.groups ?? [])
      groups.set(
        id,
        members.map(({ gateway }) => gateway),
      );
    for (const { prefix: route, group } of line.fib?.rows ?? []) {
      if (group === 0) kernel.delete(route);
      else kernel.set(route, groups.get(group) ?? ['?']);
    }
  };
  const say = (command: Command): void => void engine?.stdin?.write(`${JSON.stringify(command)}\n`);
  const route = (): string => (kernel.get('198.51.100.0/24') ?? []).join(' ');

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'frt-filters-'));
    node = await createNamespace('frt-filters');
    a = new Router(await createNamespace('frt-filters'), 65002, '192.0.2', directory);
    b = new Router(await createNamespace('frt-filters'), 65003, '203.0.113', directory);
    for (const [i, { namespace, net }] of [a, b].entries()) {
      const link = `eth${i}`;
      const peer = ['peer', 'name', 'eth0', 'netns', namespace.name];
      await execute(['ip', '-n', node.name, 'link', 'add', link, 'type', 'veth', ...peer]);
      await node.run(['ip', 'addr', 'add', `${net}.1/24`, 'dev', link]);
      await node.run(['ip', 'link', 'set', link, 'up']);
      await namespace.run(['ip', 'addr', 'add', `${net}.2/24`, 'dev', 'eth0']);
      await namespace.run(['ip', 'link', 'set', 'eth0', 'up']);
    }
    await a.configure(tags);
    await b.configure('');
    const script = new URL('./engine-process.ts', import.meta.url).pathname;
    engine = spawn('ip', ['netns', 'exec', node.name, process.execPath, script], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    if (engine.stdout === null) throw new Error('no stdout');
    createInterface({ input: engine.stdout }).on('line', (line) => hear(JSON.parse(line) as Line));
    say({ view: kernelView([['192.0.2.1/24'], ['203.0.113.1/24']]) });
    say({ apply: wanted([both]) });
  });

  after(async () => {
    for (const router of [a, b]) router?.kill();
    engine?.kill('SIGKILL');
    for (const namespace of [node, a?.namespace, b?.namespace]) await namespace?.dispose();
    if (directory !== undefined) await rm(directory, { recursive: true, force: true });
  });

  test('BIRD has the communities, the longer path and the MED that a rule set', async () => {
    const detail = (router: Router): Promise<string> => router.ask('show', 'route', '10.60.1.0/26', 'all');
    await eventually('our route in both', async () =>
      (await Promise.all([detail(a), detail(b)])).every((text) => text.includes('BGP.as_path')),
    );
    const changed = await detail(a);
    assert.match(changed, /BGP\.as_path: 65001 65001 65001\n/);
    assert.match(changed, /BGP\.med: 50\n/);
    assert.match(changed, /BGP\.community: \(65001,9\)\n/);
    assert.match(changed, /BGP\.large_community: \(65001, 1, 9\)\n/);
    assert.match(changed, /BGP\.ext_community: \(ro, 65001, 100000\)\n/);
    const plain = await detail(b);
    assert.match(plain, /BGP\.as_path: 65001\n/);
    assert.doesNotMatch(plain, /BGP\.(med|community|large_community|ext_community)/);
  });

  test('the communities and the path that BIRD sends match a rule, and its local preference decides', async () => {
    await eventually('both sessions', () => facts?.peers.every((peer) => peer.received.ipv4 === 1) === true);
    await eventually('the route by a alone', () => route() === '192.0.2.2');
    assert.equal(facts?.peers.find((peer) => peer.name === 'a')?.accepted.ipv4, 1);
  });

  test('without the communities the rule does not match, and the other router has the traffic', async () => {
    await a.configure('bgp_community.add((65002,7));');
    await eventually('the route by b', () => route() === '203.0.113.2');
    await a.configure(tags);
    await eventually('the route by a again', () => route() === '192.0.2.2');
  });

  test('GRACEFUL_SHUTDOWN moves the traffic to the other router and back', async () => {
    await a.configure(`${tags} bgp_community.add((65535,0));`);
    await eventually('the route by b', () => route() === '203.0.113.2');
    await eventually('still accepted from a', () => facts?.peers.find(({ name }) => name === 'a')?.accepted.ipv4 === 1);
    await a.configure(tags);
    await eventually('the route by a again', () => route() === '192.0.2.2');
  });

  test('a changed filter is UPDATEs, not a new session', async () => {
    // Two connections that were opened at once may have cost a session at the start.
    const flaps = () => facts?.peers.map((peer) => peer.flaps);
    const before = flaps();
    say({ apply: wanted([]), generation: 2 });
    await eventually('the route by b', () => route() === '203.0.113.2');
    await eventually('nothing set any more', async () =>
      /BGP\.as_path: 65001\n/.test(await a.ask('show', 'route', '10.60.1.0/26', 'all')),
    );
    await eventually('the new generation', () => facts?.generation === 2);
    assert.deepEqual(flaps(), before);
    assert.equal(before?.length, 2);
  });
});
