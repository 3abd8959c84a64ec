/**
 * How much of a pod's start is ours: sandboxes of real containerd with flatroute (dual stack, behind a BGP session, from the
 * bundle), with ptp + host-local (IPv4), and in the node's own network, which calls no plugin. Each on a node of its own, in turns.
 * A program in the plugin's place times each call.
 */
import { existsSync } from 'node:fs';
import { copyFile, readFile, rm } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import type { Host } from '#lab/host.ts';
import { Lab } from '#lab/lab.ts';
import {
  CNI_BINARIES,
  CNI_CONFIGURATION,
  cannotRunContainerd,
  Containerd,
  installCni,
} from '#lab/runtime/containerd.ts';
import { buildBundle, spentSince, startAgent, sum, threadSeconds } from '../pods/agent.ts';
import { buildPrograms, plugin, programPath } from '../pods/programs.ts';
import { median, percentile } from '../pods/tables.ts';

const TIMES = '/run/cni-times';

interface Contender {
  readonly name: string;
  readonly containerd: Containerd;
  /** Of the agent. */
  readonly pid: number | undefined;
  readonly hostNetwork: boolean;
}

/** One direction of one round; milliseconds. */
interface Sample {
  readonly who: string;
  readonly verb: 'ADD' | 'DEL';
  readonly at: number;
  readonly wall: number;
  readonly calls: readonly number[];
  /** Of the plugin: how long each took, what all of them and the agent spent. */
  readonly plugin: readonly number[];
  readonly cpu: number;
}

const ptp = {
  cniVersion: '1.0.0',
  name: 'ptpnet',
  plugins: [
    {
      type: 'ptp',
      ipMasq: false,
      ipam: { type: 'host-local', ranges: [[{ subnet: '10.99.0.0/16' }]], dataDir: '/run/bench-host-local' },
    },
  ],
};

/** The program that times takes the plugin's name. */
async function timed(host: Host, name: string): Promise<void> {
  const [place, real] = [`${CNI_BINARIES}/${name}`, `/run/cni/real/${name}`];
  await host.run(['sh', '-c', `mkdir -p /run/cni/real && cp -L ${place} ${real} && rm ${place}`]);
  await copyFile(programPath('timed'), host.path(place));
}

async function makeContenders(lab: Lab): Promise<readonly Contender[]> {
  const agent = await startAgent(lab);
  const ours = await Containerd.prepare(agent.node);
  await installCni(agent.node, ['--no-portmap']);
  await timed(agent.node, 'flatroute');
  const other = await lab.addHost('node-2', { forwarding: true });
  const theirs = await Containerd.prepare(other);
  await installCni(other);
  await other.run(['rm', `${CNI_CONFIGURATION}/05-flatroute.conflist`]);
  await other.writeFile(`${CNI_CONFIGURATION}/10-ptp.conflist`, JSON.stringify(ptp));
  await timed(other, 'ptp');
  for (const containerd of [ours, theirs]) {
    await containerd.start();
    await containerd.untilNetwork(true);
  }
  return [
    { name: 'flatroute', containerd: ours, pid: agent.process.pid, hostNetwork: false },
    { name: 'ptp + host-local', containerd: theirs, pid: undefined, hostNetwork: false },
    { name: 'network of the node', containerd: theirs, pid: undefined, hostNetwork: true },
  ];
}

/** Calls for all of them, so many at a time; answers how long each took and the results. */
async function inParallel<T, R>(
  all: readonly T[],
  at: number,
  call: (one: T) => Promise<R>,
): Promise<{ readonly took: readonly number[]; readonly results: readonly R[] }> {
  const took: number[] = [];
  const results: R[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < all.length; i = next++) {
      const started = performance.now();
      results[i] = await call(all[i] as T);
      took[i] = performance.now() - started;
    }
  };
  await Promise.all(Array.from({ length: at }, worker));
  return { took, results };
}

async function measure<T, R>(
  who: Contender,
  verb: 'ADD' | 'DEL',
  at: number,
  all: readonly T[],
  call: (one: T) => Promise<R>,
): Promise<{ readonly sample: Sample; readonly results: readonly R[] }> {
  const file = who.containerd.host.path(TIMES);
  await rm(file, { force: true });
  const before = who.pid === undefined ? new Map<string, number>() : threadSeconds(who.pid);
  const started = performance.now();
  const { took, results } = await inParallel(all, at, call);
  const wall = performance.now() - started;
  const agent = who.pid === undefined ? 0 : sum(spentSince(who.pid, before).map(([, spent]) => spent)) * 1000;
  const lines = existsSync(file) ? (await readFile(file, 'utf8')).trim().split('\n') : [];
  const rows = lines.map((line) => line.split(' ')).filter(([first]) => first === verb);
  const plugins = rows.map(([, nanoseconds]) => Number(nanoseconds) / 1e6);
  const cpu = sum(rows.map(([, , nanoseconds]) => Number(nanoseconds) / 1e6)) + agent;
  return { sample: { who: who.name, verb, at, wall, calls: took, plugin: plugins, cpu }, results };
}

async function round(who: Contender, at: number, names: readonly string[]): Promise<readonly Sample[]> {
  const { cri } = who.containerd;
  const up = await measure(who, 'ADD', at, names, async (name) =>
    cri.runPodSandbox({ name, hostNetwork: who.hostNetwork }),
  );
  const down = await measure(who, 'DEL', at, up.results, async (id) => await who.containerd.removePod(id));
  return [up.sample, down.sample];
}

function table(samples: readonly Sample[], pods: number): string {
  const mean = (values: readonly number[]): number => sum(values) / values.length;
  const text = [
    '| at a time | | | sandboxes/s | p50 ms | p95 ms | plugin, mean ms | share of the call | CPU of plugin and agent, ms |',
    '|---|---|---|---|---|---|---|---|---|',
  ];
  for (const at of new Set(samples.map((one) => one.at)))
    for (const verb of ['ADD', 'DEL'] as const)
      for (const who of new Set(samples.map((one) => one.who))) {
        const group = samples.filter((one) => one.who === who && one.at === at && one.verb === verb);
        const of = (pick: (sample: Sample) => number): number => median(group.map(pick));
        const hasPlugin = group.some((one) => one.plugin.length > 0);
        const share = of((s) => (100 * sum(s.plugin)) / sum(s.calls));
        const cells = [
          of((s) => (1000 * pods) / s.wall).toFixed(1),
          of((s) => percentile(s.calls, 50)).toFixed(0),
          of((s) => percentile(s.calls, 95)).toFixed(0),
          hasPlugin ? of((s) => mean(s.plugin)).toFixed(1) : '',
          hasPlugin ? `${share.toFixed(1)} %` : '',
          hasPlugin ? of((s) => s.cpu / pods).toFixed(1) : '',
        ];
        text.push(`| ${at} | ${verb === 'ADD' ? 'run' : 'stop, remove'} | ${who} | ${cells.join(' | ')} |`);
      }
  return text.join('\n');
}

/** Answers the exit code. */
export async function runContainerd(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      pods: { type: 'string', default: '40' },
      at: { type: 'string', default: '1,8' },
      rounds: { type: 'string', default: '3' },
    },
  });
  const pods = Number(values.pods);
  const concurrencies = values.at.split(',').map(Number);
  const rounds = Number(values.rounds);
  if (![pods, rounds, ...concurrencies].every((n) => Number.isInteger(n) && n >= 1) || pods > 500) {
    console.error('bench containerd: --pods is 1 to 500, --at a list such as 1,8, --rounds at least 1');
    return 2;
  }
  const why = cannotRunContainerd();
  if (why !== false || !existsSync(plugin)) throw new Error(why === false ? `${plugin} is missing` : why);
  buildPrograms();
  buildBundle();
  await using lab = await Lab.create('bench-containerd');
  const contenders = await makeContenders(lab);
  const samples: Sample[] = [];
  const names = Array.from({ length: pods }, (_, i) => `pod-${i}`);
  // The first sandbox of a containerd unpacks its image, and the agent's code is not compiled yet.
  for (const who of contenders) await round(who, 4, names.slice(0, 8));
  for (let i = 1; i <= rounds; i++)
    for (const at of concurrencies)
      for (const who of contenders) {
        samples.push(...(await round(who, at, names)));
        const [up, down] = samples.slice(-2);
        console.error(
          `round ${i}/${rounds}, ${at} at a time, ${who.name}: up ${up?.wall.toFixed(0)} ms, down ${down?.wall.toFixed(0)} ms`,
        );
      }
  console.log(
    `${pods} sandboxes of ${await contenders[0]?.containerd.cri.version()}, medians of ${rounds} rounds in turns\n`,
  );
  console.log(table(samples, pods));
  return 0;
}
