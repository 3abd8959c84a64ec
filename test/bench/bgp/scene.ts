/**
 * One run: three hosts in a row, `source - speaker - sink`, a speaker that was just started, and the load generator, which
 * plays all its peers from outside. Everything is thrown away afterwards.
 */
import { spawn } from 'node:child_process';
import { readdirSync, readlinkSync } from 'node:fs';
import { resolve } from 'node:path';
import type { EngineKind } from '#lab/gobgp-sidecar.ts';
import type { Host } from '#lab/host.ts';
import { Lab } from '#lab/lab.ts';
import { makeRouter } from '#lab/routers/make.ts';
import type { RouterDescription, RouterKind, RouterPeer } from '#lab/routers/router.ts';
import type { Asn, IpAddress } from '#lib/ip.ts';

export const generator = resolve('build/bgp-load');

/** A speaker under test. */
export interface Subject {
  readonly name: string;
  readonly kind: RouterKind;
  /** Another build than the installed one. */
  readonly program: string | undefined;
  /** Of flatroute; the agent itself if not given. */
  readonly engine?: EngineKind;
  /** It writes kernel routes on Linux. */
  readonly writesKernel: boolean;
}

export type Profile = 'inet' | 'k8s';

export interface Load {
  readonly scenario: 'table' | 'peers' | 'slow';
  readonly profile: Profile;
  readonly fib: boolean;
  /** Words for the generator, such as `size`. */
  readonly words: Readonly<Record<string, number>>;
  readonly peers: readonly RouterPeer[];
  /** Seconds after which the generator is stopped, whatever it waits for. */
  readonly limit: number;
}

/** A time is in seconds; null: it did not come to that. */
export type Spread = {
  readonly count: number;
  readonly p50: number | null;
  readonly p99: number | null;
  readonly max: number | null;
};
export type Answer = { readonly [name: string]: number | null | Answer | Spread };

export const OWN_ASN = 65000;
export const holdTimeSeconds = 9;

const describe = (subject: Subject, load: Load): RouterDescription => ({
  asn: OWN_ASN as Asn,
  routerId: '10.1.0.1' as IpAddress,
  peers: load.peers,
  announce: [],
  holdTimeSeconds: load.words['hold'] ?? holdTimeSeconds,
  multipath: true,
  kernelRoutes: load.fib,
  ...(subject.program === undefined ? {} : { program: subject.program }),
  ...(subject.engine === undefined ? {} : { engine: subject.engine }),
});

async function hosts(lab: Lab): Promise<Record<'source' | 'speaker' | 'sink', Host>> {
  const loose = { 'ipv4/conf/all/rp_filter': '0', 'ipv4/conf/default/rp_filter': '0' };
  const [source, speaker, sink] = await Promise.all([
    lab.addHost('source', { sysctls: loose }),
    lab.addHost('speaker', { forwarding: true, sysctls: loose }),
    lab.addHost('sink', { sysctls: loose }),
  ]);
  await lab.link({ a: source, b: speaker, names: ['up', 'source'], addresses: [['10.1.0.2/16', '10.1.0.1/16']] });
  await lab.link({ a: sink, b: speaker, names: ['up', 'sink'], addresses: [['10.2.0.2/16', '10.2.0.1/16']] });
  // The source has every next hop of the table, and every address in it.
  const all = ['10.1.2.0/23', '10.9.0.0/16', '16.0.0.0/4', '32.0.0.0/3', '64.0.0.0/3', '96.0.0.0/4'];
  await source.ip([...all.map((prefix) => `route add local ${prefix} dev lo`), 'route add default via 10.1.0.1']);
  await sink.ip(['address add 10.2.0.3/16 dev up', 'route add default via 10.2.0.1']);
  await speaker.ip(['route add 10.9.0.0/16 via 10.1.0.2']);
  return { source, speaker, sink };
}

/** All processes of a host but its holder, by the pid namespace that they live in. */
export function processesOf(host: Host): number[] {
  const inside = readlinkSync(`/proc/${host.pid}/ns/pid`);
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      if (!(pid > 0) || pid === host.pid) return false;
      try {
        return readlinkSync(`/proc/${pid}/ns/pid`) === inside;
      } catch {
        return false;
      }
    });
}

/** Runs the generator; its complaints and progress go to stderr. Throws when it answers nothing. */
export async function generate(words: readonly string[], limitSeconds: number): Promise<Answer> {
  const child = spawn(generator, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  const timer = setTimeout(() => child.kill('SIGKILL'), limitSeconds * 1000);
  const code = await new Promise<number | null>((done, failed) => child.once('close', done).once('error', failed));
  clearTimeout(timer);
  if (said.trim() === '') throw new Error(`the load generator ended with ${code ?? 'a signal'} and no result`);
  return JSON.parse(said) as Answer;
}

export async function runOnce(subject: Subject, load: Load): Promise<Answer> {
  await using lab = await Lab.create('bench-bgp');
  const { source, speaker, sink } = await hosts(lab);
  const router = makeRouter(subject.kind, speaker, describe(subject, load));
  await router.start();
  const net = (host: Host): string => `/proc/${host.pid}/ns/net`;
  const words: Record<string, string | number> = {
    ...load.words,
    profile: load.profile,
    fib: load.fib ? 1 : 0,
    asn: OWN_ASN,
    hold: load.words['hold'] ?? holdTimeSeconds,
    source: net(source),
    sink: net(sink),
    kernel: net(speaker),
    triestat: `/proc/${speaker.pid}/net/fib_triestat`,
    pids: processesOf(speaker).join(','),
  };
  const argv = [load.scenario, ...Object.entries(words).map(([name, value]) => `${name}=${value}`)];
  try {
    const answer = await generate(argv, load.limit);
    // A profile of Node (`NODE_OPTIONS=--cpu-prof`, given to Node 26 itself) is written by a process that ends by itself.
    if (process.env['NODE_OPTIONS'] !== undefined) await router.stop('SIGTERM');
    return answer;
  } catch (error) {
    throw new Error(
      `${subject.name}: ${error instanceof Error ? error.message : String(error)}\n${await router.log()}`,
      {
        cause: error,
      },
    );
  }
}
