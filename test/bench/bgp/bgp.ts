/**
 * Speakers side by side (docs/benchmarks.md): a table from a source through the speaker to a sink, single routes at rest, the
 * loss of the source; many peers; a slow reader. Interleaved: each round runs every case with every speaker once.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { RouterPeer } from '#lab/routers/router.ts';
import type { Asn, IpAddress } from '#lib/ip.ts';
import { aimsTable, type Case, type Result, sizeText, tables } from './report.ts';
import { misfortunesOnce } from './misfortunes.ts';
import { restartOnce } from './restart.ts';
import { type Answer, generate, generator, type Load, OWN_ASN, type Profile, runOnce, type Subject } from './scene.ts';

const bundle = resolve('dist/main.js');
const program = process.env['BENCH_PROGRAM'] ?? bundle;
const subjects: readonly Subject[] = [
  { name: 'bird', kind: 'bird', program: undefined, writesKernel: true },
  { name: 'flatroute', kind: 'flatroute', program, writesKernel: true },
  { name: 'flatroute+gobgp', kind: 'flatroute', program, engine: 'gobgp', writesKernel: true },
  { name: 'frr', kind: 'frr', program: undefined, writesKernel: true },
  { name: 'gobgp', kind: 'gobgp', program: undefined, writesKernel: false },
  { name: 'openbgpd', kind: 'openbgpd', program: undefined, writesKernel: false },
];
/** A case of which one run took longer is run once, not in each round. */
const onceAboveSeconds = 60;
/** A restart is measured with tables of up to this size. */
const restartsUpTo = 100_000;
/** Single routes are measured beside a table of this size. */
const singlesBesides = 100_000;

function buildGenerator(): void {
  mkdirSync('build', { recursive: true });
  const sources = globSync('test/bench/bgp/load/*.c').sort();
  const built = spawnSync('cc', ['-O2', '-o', generator, ...sources, '-lm'], { encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`cc could not build the load generator: ${built.stderr}`);
}

const peer = (name: string, address: string, asn: number, maxPrefixes: number): RouterPeer => ({
  name,
  address: address as IpAddress,
  asn: asn as Asn,
  families: ['ipv4'],
  passive: true,
  maxPrefixes,
  ...(asn === OWN_ASN ? { client: true } : {}),
});

/** `k8s` is route reflection, `inet` is between ASes. */
function tableLoad(size: number, profile: Profile, fib: boolean, singles: number): Load {
  const ibgp = profile === 'k8s';
  const maxPrefixes = 2 * size + 1000;
  return {
    scenario: 'table',
    profile,
    fib,
    words: { size, singles: size === singlesBesides ? singles : 0, ibgp: ibgp ? 1 : 0, deadline: 180 },
    peers: [
      peer('from-source', '10.1.0.2', ibgp ? OWN_ASN : 65001, maxPrefixes),
      peer('to-sink', '10.2.0.2', ibgp ? OWN_ASN : 65002, maxPrefixes),
    ],
    limit: 600,
  };
}

/** Each peer announces `share` prefixes and hears those of all the others. */
function peersLoad(count: number, share: number): Load {
  const address = (i: number): string => `10.1.${2 + (i >> 8)}.${i & 255}`;
  return {
    scenario: 'peers',
    profile: 'k8s',
    fib: false,
    words: { count, share, hold: 3, deadline: 180 },
    peers: Array.from({ length: count }, (_, i) => peer(`p${i}`, address(i), 64600 + i, 10 * share)),
    limit: 400,
  };
}

function idleLoad(count: number, seconds: number): Load {
  return {
    scenario: 'peers',
    profile: 'k8s',
    fib: false,
    words: { count, share: 0, routed: 1, ibgp: 1, seconds, hold: 3 },
    peers: Array.from({ length: count }, (_, i) => peer(`p${i}`, `10.9.${i >> 8}.${i & 255}`, OWN_ASN, 1000)),
    limit: seconds + 120,
  };
}

function slowLoad(size: number): Load {
  const source = peer('from-source', '10.1.0.2', 65001, 2 * size);
  const sinks = [peer('to-fast', '10.2.0.2', 65002, 2 * size), peer('to-slow', '10.2.0.3', 65003, 2 * size)];
  return { scenario: 'slow', profile: 'inet', fib: false, words: { size }, peers: [source, ...sinks], limit: 300 };
}

function sizeOf(word: string): number {
  const [, digits, unit] = /^(\d+)([kM]?)$/.exec(word) ?? [];
  const size = Number(digits) * (unit === 'M' ? 1e6 : unit === 'k' ? 1000 : 1);
  if (!(size >= 100 && size <= 1_200_000)) throw new Error(`--size ${word}: from 100 to 1200000, such as 10k or 1M`);
  return size;
}

/** `50x100`: peers, and the prefixes that each announces. */
function peersOf(word: string): { readonly count: number; readonly share: number } {
  const [, count, share] = /^(\d+)x(\d+)$/.exec(word)?.map(Number) ?? [];
  if (count === undefined || share === undefined || count < 2 || count > 500 || share < 1 || count * share > 1_000_000)
    throw new Error(`--peers ${word}: from 2 to 500 peers, times what each announces, such as 50x100`);
  return { count, share };
}

interface Plan {
  readonly of: Case;
  /** Of the subjects; all if not given. */
  readonly only?: (subject: Subject) => boolean;
  readonly run: (subject: Subject) => Promise<Answer>;
}

function plans(words: {
  size: string;
  profile: string;
  fib: string;
  singles: string;
  cases: string;
  seconds: string;
  peers: string;
  slow: string;
}): Plan[] {
  const made: Plan[] = [];
  const add = (size: number, load: Load, scenario: string = load.scenario): void => {
    const of = { scenario, size, profile: load.profile, fib: load.fib };
    made.push({ of, run: async (subject) => await runOnce(subject, load) });
  };
  const cases = words.cases.split(',');
  if (cases.includes('table'))
    for (const size of words.size.split(',').map(sizeOf))
      for (const profile of words.profile.split(',') as Profile[])
        for (const fib of words.fib.split(','))
          add(size, tableLoad(size, profile, fib === 'on', Number(words.singles)));
  if (cases.includes('restart'))
    for (const size of words.size.split(',').map(sizeOf))
      if (size <= restartsUpTo)
        made.push({
          of: { scenario: 'restart', size, profile: 'inet', fib: true },
          run: async (subject) => await restartOnce(subject, size),
        });
  if (cases.includes('misfortunes'))
    for (const size of words.size.split(',').map(sizeOf))
      if (size <= restartsUpTo)
        made.push({
          of: { scenario: 'misfortunes', size, profile: 'inet', fib: true },
          only: ({ engine }) => engine === 'gobgp',
          run: async (subject) => await misfortunesOnce(subject, size),
        });
  if (cases.includes('peers')) {
    const { count, share } = peersOf(words.peers);
    add(count * share, peersLoad(count, share));
  }
  if (cases.includes('idle')) add(1000, idleLoad(1000, Number(words.seconds)), 'idle');
  if (cases.includes('slow')) add(sizeOf(words.slow), slowLoad(sizeOf(words.slow)));
  return made;
}

/** Answers the exit code: 1 when a run of flatroute, with either engine, was not whole. */
export async function runBgp(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      size: { type: 'string', default: '10k,100k,1M' },
      daemons: { type: 'string', default: 'bird,flatroute,flatroute+gobgp,frr,gobgp,openbgpd' },
      rounds: { type: 'string', default: '3' },
      profile: { type: 'string', default: 'inet,k8s' },
      fib: { type: 'string', default: 'off,on' },
      singles: { type: 'string', default: '200' },
      seconds: { type: 'string', default: '60' },
      peers: { type: 'string', default: '200x1000' },
      slow: { type: 'string', default: '100k' },
      cases: { type: 'string', default: 'table,restart,misfortunes,peers,idle,slow' },
      bird: { type: 'string', multiple: true, default: [] },
      flatroute: { type: 'string', multiple: true, default: [] },
      json: { type: 'string', default: 'build/bench-bgp.json' },
    },
  });
  const others = (['bird', 'flatroute'] as const).flatMap((kind) =>
    values[kind].map((text): Subject => {
      const [name = '', path = ''] = text.split('=');
      return { name, kind, program: resolve(path), writesKernel: true };
    }),
  );
  const known = [...subjects, ...others];
  const chosen = [...values.daemons.split(','), ...others.map(({ name }) => name)].map((name) => {
    const found = known.find((subject) => subject.name === name);
    if (found === undefined) throw new Error(`no daemon ${name}; there are ${known.map((s) => s.name).join(', ')}`);
    return found;
  });
  if (!existsSync(bundle)) throw new Error(`${bundle} is missing: npm run build`);
  buildGenerator();
  for (const profile of ['inet', 'k8s']) {
    const alone = await generate(['capacity', `profile=${profile}`], 60);
    console.log(`The generator alone, 1M ${profile}: ${JSON.stringify(alone)}`);
  }
  const results: Result[] = [];
  const done = new Set<string>();
  const began = performance.now();
  for (let round = 1; round <= Number(values.rounds); round++)
    for (const plan of plans(values))
      for (const subject of chosen) {
        const { of } = plan;
        const what = `${sizeText(of.size)} ${of.scenario} ${of.profile} ${of.fib ? 'fib' : 'no fib'} ${subject.name}`;
        if ((of.fib && !subject.writesKernel) || plan.only?.(subject) === false || done.has(what)) continue;
        const at = performance.now();
        const answer = await plan.run(subject).catch((error: unknown): undefined => {
          console.error(String(error));
        });
        results.push({ ...of, subject: subject.name, answer: answer ?? { whole: 0 } });
        const now = performance.now();
        if (now - at > 1000 * onceAboveSeconds) done.add(what);
        console.error(`${((now - began) / 1000).toFixed(0)} s  round ${round}  ${what}: ${JSON.stringify(answer)}`);
      }
  writeFileSync(values.json, `${JSON.stringify(results, null, 1)}\n`);
  console.log(`\n${tables(results)}\n${aimsTable(results)}`);
  const ours = new Set(known.flatMap(({ name, kind }) => (kind === 'flatroute' ? [name] : [])));
  return results.some(({ subject, answer }) => ours.has(subject) && answer['whole'] !== 1) ? 1 : 0;
}
