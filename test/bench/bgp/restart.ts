/**
 * A speaker that is killed and started again, behind a BIRD that announces a table and exchanges one of its routes meanwhile: the
 * kernel says when the new route is there, when the old one is gone, and how many others were missing until then.
 */
import { readFileSync } from 'node:fs';
import type { Host } from '#lab/host.ts';
import { Lab } from '#lab/lab.ts';
import { DaemonRouter } from '#lab/routers/daemon.ts';
import { BirdRouter } from '#lab/routers/bird.ts';
import { makeRouter } from '#lab/routers/make.ts';
import type { LabRouter, RouterDescription, RouterPeer } from '#lab/routers/router.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import type { Asn, IpAddress, Prefix } from '#lib/ip.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import { type Answer, OWN_ASN, processesOf, type Subject } from './scene.ts';

const SOURCE_ASN = 65001 as Asn;
const gracefulRestart = { restartTimeSeconds: 120 };

const prefixes = (count: number): readonly Prefix[] =>
  Array.from({ length: count }, (_, i) => `${20 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}.0/24` as Prefix);

const describe = (asn: number, id: string, peer: RouterPeer, announce: readonly Prefix[]): RouterDescription => ({
  asn: asn as Asn,
  routerId: id as IpAddress,
  peers: [peer],
  announce,
  holdTimeSeconds: 90,
  multipath: true,
});

const peer = (name: string, address: string, asn: number): RouterPeer => ({
  name,
  address: address as IpAddress,
  asn: asn as Asn,
  families: ['ipv4'],
  maxPrefixes: 2_000_000,
  gracefulRestart,
});

/** IPv4 prefixes in a host's kernel; its two tables are one trie, which is shown twice. */
const prefixesIn = (host: Host): number =>
  Number(/Prefixes:\s+(\d+)/.exec(readFileSync(`/proc/${host.pid}/net/fib_triestat`, 'utf8'))?.[1] ?? 0);

/** CPU seconds so far and the peak of memory, of all processes of a host, and the peak of each by its name. */
export function spent(host: Host): Answer {
  let [ticks, kibibytes] = [0, 0];
  const peaks: Record<string, number> = {};
  for (const pid of processesOf(host)) {
    const words = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    ticks += Number(words[11]) + Number(words[12]);
    const peak = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
    kibibytes += peak;
    peaks[readFileSync(`/proc/${pid}/comm`, 'utf8').trim()] = peak / 1024;
  }
  return { cpu: ticks / 100, peakMiB: kibibytes / 1024, peaks };
}

/** A speaker behind a BIRD that announces a table to it. */
export interface BehindBird {
  readonly host: Host;
  readonly source: BirdRouter;
  readonly router: LabRouter;
  readonly size: number;
  /** Prefixes in the kernel before the first was learned. */
  readonly before: number;
}

/** Resolves when the whole table is in the kernel. */
export async function behindBird(
  lab: Lab,
  size: number,
  make: (host: Host, description: RouterDescription) => LabRouter,
): Promise<BehindBird> {
  const [from, host] = await Promise.all([lab.addHost('source'), lab.addHost('speaker', { forwarding: true })]);
  await lab.link({ a: from, b: host, addresses: [['10.1.0.2/24', '10.1.0.1/24']] });
  const table = describe(SOURCE_ASN, '10.1.0.2', peer('to-speaker', '10.1.0.1', OWN_ASN), prefixes(size));
  const source = new BirdRouter(from, { ...table, kernelRoutes: false });
  const router = make(host, describe(OWN_ASN, '10.1.0.1', peer('from-source', '10.1.0.2', SOURCE_ASN), []));
  const before = prefixesIn(host);
  await Promise.all([source.start(), router.start()]);
  await waitFor(
    'the whole table in the kernel',
    async () => {
      const seen = prefixesIn(host) - before;
      return await Promise.resolve(seen === size ? found(undefined) : notYet(`${seen} routes`));
    },
    { deadline: seconds(400) },
  );
  return { host, source, router, size, before };
}

/** What happens, and what ends it: the time runs from there. `nth`: from 0, another route is exchanged each time. */
export interface Misfortune {
  readonly nth: number;
  readonly befall: () => Promise<void>;
  readonly mend: () => Promise<void>;
}

export async function suffer(
  { host, source, size, before }: BehindBird,
  { nth, befall, mend }: Misfortune,
): Promise<Readonly<Record<'fresh' | 'swept' | 'missing', number>>> {
  await befall();
  const [gone, ...stays] = source.description.announce;
  const come = `19.0.${nth}.0/24` as Prefix;
  await source.reconfigure({ ...source.description, announce: [...stays, come] });
  const begun = performance.now();
  const since = (): number => (performance.now() - begun) / 1000;
  const mended = mend();
  let lowest = size;
  const times: Record<'fresh' | 'swept', number | undefined> = { fresh: undefined, swept: undefined };
  await waitFor(
    'the new table in the kernel',
    async () => {
      lowest = Math.min(lowest, prefixesIn(host) - before);
      const at = since();
      const shown = await host.run(['ip', '-4', 'route', 'show', come]);
      if (shown.trim() !== '') times.fresh ??= at;
      if ((await host.run(['ip', '-4', 'route', 'show', gone as Prefix])).trim() === '') times.swept ??= at;
      const isDone = times.fresh !== undefined && times.swept !== undefined;
      return isDone ? found(undefined) : notYet(JSON.stringify(times));
    },
    { deadline: seconds(400), every: milliseconds(10) },
  );
  await mended;
  // One route goes and one comes.
  return { fresh: times.fresh ?? 0, swept: times.swept ?? 0, missing: Math.max(0, size - 1 - lowest) };
}

export async function restartOnce({ kind, program, engine }: Subject, size: number): Promise<Answer> {
  await using lab = await Lab.create('bench-restart');
  const scene = await behindBird(lab, size, (host, description) =>
    makeRouter(kind, host, {
      ...description,
      ...(program === undefined ? {} : { program }),
      ...(engine === undefined ? {} : { engine }),
    }),
  );
  const { router } = scene;
  const seen = await suffer(scene, {
    nth: 0,
    befall: async () => await router.stop('SIGKILL'),
    mend: async () =>
      await (router instanceof DaemonRouter ? router.restart(router.description, 'recovering') : router.start()),
  });
  return { whole: 1, wrong: 0, ...seen, ...spent(scene.host) };
}
