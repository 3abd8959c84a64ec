/**
 * What a table costs a fresh process: the whole engine without sockets, one source, one sink, each run a process of its own, so
 * that the compiler's part is in it. Prints the medians of CPU time, how long it took, and by how much the resident memory grew.
 *
 *   node test/bench/rib/fresh.ts [PREFIXES] [ROUNDS] [SWITCHES OF NODE]...
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PeerIntent } from '#bgp/engine.ts';
import { nothingDropped } from '#bgp/io/dropped-segments.ts';
import type { Negotiated } from '#bgp/io/session-port.ts';
import type { Session, SessionModules, SessionOptions } from '#bgp/io/session-runner.ts';
import { Speaker } from '#bgp/speaker/engine.ts';
import type { EngineModules } from '#bgp/speaker/modules.ts';
import { MessageStream } from '#bgp/wire/framing.ts';
import type { WireContext } from '#bgp/wire/messages.ts';
import { splitUpdate } from '#bgp/wire/update.ts';
import type { Asn } from '#lib/ip.ts';
import { fail } from '#lib/result.ts';
import { seconds, systemClock } from '#lib/time.ts';
import { asn, intent, ip, kernelView, peerIntent } from '../../unit/bgp/speaker/network.ts';

const chunk = 65_536;
const prefixesPerSet = 5;
const marker = Array.from({ length: 16 }, () => 255);

function table(count: number): Buffer {
  let seed = 7;
  const chance = (below: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = chance(i + 1);
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  const u32 = (value: number): number[] => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
  const messages: Buffer[] = [];
  for (let at = 0; at < count; at += prefixesPerSet) {
    const asns = [65_002, ...Array.from({ length: 1 + chance(5) }, () => 1000 + chance(60_000)), 100_000 + at];
    const path = [2, asns.length, ...asns.flatMap(u32)];
    const communities = Array.from({ length: chance(7) }, () => u32(chance(2 ** 32))).flat();
    const attributes = [
      ...[0x40, 1, 1, 0],
      ...[0x40, 2, path.length, ...path],
      ...[0x40, 3, 4, 10, 1, 0, 2],
      ...(communities.length === 0 ? [] : [0xc0, 8, communities.length, ...communities]),
    ];
    const nlri = order.slice(at, at + prefixesPerSet).flatMap((i) => [24, ...u32((16 << 24) + (i << 8)).slice(0, 3)]);
    const length = 23 + attributes.length + nlri.length;
    messages.push(
      Buffer.from([
        ...marker,
        length >> 8,
        length & 255,
        2,
        0,
        0,
        attributes.length >> 8,
        attributes.length & 255,
        ...attributes,
        ...nlri,
      ]),
    );
  }
  return Buffer.concat(messages);
}

const contextOf = (peerAsn: Asn): WireContext => ({
  fourOctetAs: true,
  external: true,
  families: ['ipv4'],
  maximumMessageBytes: 4096,
  peerAsn,
});

const agreed = (peer: PeerIntent): Negotiated => ({
  context: contextOf(peer.peerAsn as Asn),
  localAddress: peer.sourceAddress ?? peer.address,
  remoteAddress: peer.address,
  peerIdentifier: 1,
  holdTime: seconds(90),
  peerCapabilities: [],
  routeRefresh: false,
  gracefulRestart: undefined,
  longLivedGracefulRestart: undefined,
  notificationRestart: false,
});

interface Spent {
  readonly cpu: number;
  readonly wall: number;
  readonly grown: number;
}

/** Octets that the sink is told; the engine is idle when they do not grow. */
let told = 0;
let paused = false;
const sessions = new Map<string, { readonly peer: PeerIntent; readonly modules: SessionModules }>();

function createSession({ peer }: SessionOptions, modules: SessionModules): Session {
  sessions.set(peer.name, { peer, modules });
  return {
    state: 'Established',
    lastError: undefined,
    retryAt: undefined,
    messages: { received: 0, sent: 0 },
    families: ['ipv4'],
    start: () => undefined,
    send: (bytes) => {
      told += bytes.length;
      return true;
    },
    reset: () => undefined,
    stop: async () => undefined,
    pause: () => void (paused = true),
    resume: () => void (paused = false),
    setPassword: () => undefined,
  };
}

const createListener: EngineModules['createListener'] = () => ({
  listening: 179,
  listenError: undefined,
  refused: { unknownAddress: 0, interface: 0, key: 0 },
  register: () => fail({ code: 'SESSION_DUPLICATE_ADDRESS', text: 'sessions of the bench do not register' }),
  registerRange: () => ({ problem: undefined, setPassword: () => undefined, close: () => undefined }),
  close: async () => undefined,
});

async function play(file: string): Promise<Spent> {
  const bytes = new Uint8Array(readFileSync(file));
  const engine = new Speaker(
    { restarted: false, forwardingPreserved: [] },
    {
      clock: systemClock,
      wallClock: () => Date.now(),
      random: Math.random,
      droppedSegments: () => nothingDropped,
      outputs: {
        fib: ({ sequence }) => setImmediate(() => engine.fibApplied(sequence)),
        facts: () => undefined,
        event: () => undefined,
      },
      createSession,
      createListener,
      createDiscovery: () => {
        throw new TypeError('no peer of the bench is named by interface');
      },
    },
  );
  engine.setKernelView(kernelView([['10.1.0.1/24'], ['10.2.0.1/24']]));
  const of = (name: string, address: string, peerAsn: number): PeerIntent =>
    peerIntent({
      name,
      address: ip(address),
      sourceAddress: ip(address.replace(/2$/, '1')),
      peerAsn: asn(peerAsn),
      importPolicy: 'All',
      maxPrefixes: 2_000_000,
      transit: true,
    });
  engine.apply(intent({ peers: [of('source', '10.1.0.2', 65_002), of('sink', '10.2.0.2', 65_003)] }), 1);
  for (const { peer, modules } of sessions.values()) modules.handlers.established(agreed(peer));
  await new Promise((resolve) => setTimeout(resolve, 300));
  const source = sessions.get('source');
  if (source === undefined) throw new TypeError('the engine opened no session');
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const context = contextOf(asn(65_002));
  const resident = process.memoryUsage.rss();
  const spent = process.cpuUsage();
  const began = performance.now();
  const stream = new MessageStream();
  for (let at = 0; at < bytes.length; at += chunk) {
    stream.push(bytes.subarray(at, at + chunk));
    for (let next = stream.next(); next.kind === 'complete'; next = stream.next()) {
      const update = splitUpdate(next.frame.bytes.subarray(19), context);
      if (!update.ok) throw new Error(update.error.text);
      source.modules.handlers.update(update.value);
    }
    do await turn();
    while (paused);
  }
  for (let before = -1; before !== told; await new Promise((resolve) => setTimeout(resolve, 20))) before = told;
  const wall = performance.now() - began - 20;
  const { user, system } = process.cpuUsage(spent);
  return { cpu: (user + system) / 1000, wall, grown: (process.resourceUsage().maxRSS * 1024 - resident) / 2 ** 20 };
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

const [first = '100000', rounds = '5', ...variants] = process.argv.slice(2);
if (first.startsWith('/')) {
  console.log(JSON.stringify(await play(first)));
  process.exit();
}
const folder = mkdtempSync(join(tmpdir(), 'fresh-'));
const file = join(folder, 'table');
writeFileSync(file, table(Number(first)));
const all = new Map<string, Spent[]>();
for (let round = 0; round < Number(rounds); round++)
  for (const variant of ['', ...variants]) {
    const switches = variant.split(' ').filter((word) => word !== '');
    const ran = spawnSync(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', ...switches, import.meta.filename, file],
      { encoding: 'utf8' },
    );
    if (ran.status !== 0) throw new Error(ran.stderr);
    all.set(variant, [...(all.get(variant) ?? []), JSON.parse(ran.stdout) as Spent]);
  }
rmSync(folder, { recursive: true });
for (const [variant, spent] of all) {
  const column = (key: keyof Spent): string => median(spent.map((one) => one[key])).toFixed(0);
  console.log(
    `${first} prefixes  CPU ${column('cpu').padStart(5)} ms  wall ${column('wall').padStart(5)} ms  memory +${column('grown')} MiB  ${variant}`,
  );
}
