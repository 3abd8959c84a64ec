/** The agent of the bench, from the bundle, behind a real BGP session, and what can be asked of a running one. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectAgent } from '#cli/client.ts';
import { ADMIN_SOCKET } from '#dataplane/kernel-names.ts';
import type { Host } from '#lab/host.ts';
import type { Lab } from '#lab/lab.ts';
import type { LabProcess } from '#lab/process.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import type { Look } from '#lab/wait.ts';
import { AppError } from '#lib/result.ts';
import { milliseconds, seconds } from '#lib/time.ts';

/** Of this process alone: agents of another bench that runs meanwhile start from files that nobody replaces. */
const bundle = join(tmpdir(), `flatroute-bench-${process.pid}`);
const resources = '/run/bench-resources';
const heartbeatFile = '/run/bench-heartbeat';
const METRICS_PORT = 9412;

/** One router at 192.0.2.1, AS 65100. */
export const bgpManifest = `apiVersion: flatroute.io/v1alpha1
kind: BGPConfiguration
metadata: { name: default }
spec: { asNumber: 65001 }
---
apiVersion: flatroute.io/v1alpha1
kind: BGPPeer
metadata: { name: tor }
spec: { peerIP: 192.0.2.1, asNumber: 65100 }
`;

const files: Readonly<Record<string, string>> = {
  'node.yaml': `apiVersion: v1
kind: Node
metadata:
  name: node-1
  annotations:
    flatroute.io/bgp-address-ipv4: 192.0.2.11
    flatroute.io/bgp-address-ipv6: 2001:db8::11
spec:
  podCIDRs: [10.60.0.0/19, "fd60::/115"]
`,
  'bgp.yaml': bgpManifest,
};

const birdConf = `router id 192.0.2.1;
protocol device {}
protocol kernel { ipv4 { export all; }; }
protocol bgp node { local 192.0.2.1 as 65100; neighbor 192.0.2.11 as 65001; ipv4 { import all; export none; }; ipv6 { import all; export none; }; }
`;

export interface BenchAgent {
  readonly node: Host;
  readonly tor: Host;
  process: LabProcess;
}

export function buildBundle(): void {
  if (existsSync(bundle)) return;
  process.once('exit', () => rmSync(bundle, { recursive: true, force: true }));
  const built = spawnSync(process.execPath, ['scripts/build.mjs', bundle], { encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`the bundle could not be built: ${built.stderr}`);
}

export const agentProgram = (): string => join(bundle, 'main.js');

/** Node and router are made; the agent runs and its block is at the router. */
export async function startAgent(lab: Lab): Promise<BenchAgent> {
  const node = await lab.addHost('node-1', { forwarding: true });
  const tor = await lab.addHost('tor', { forwarding: true });
  await lab.link({
    a: node,
    b: tor,
    addresses: [
      ['192.0.2.11/24', '192.0.2.1/24'],
      ['2001:db8::11/64', '2001:db8::1/64'],
    ],
  });
  await tor.writeFile('/run/bird.conf', birdConf);
  await tor.spawn(['bird', '-f', '-c', '/run/bird.conf', '-s', '/run/bird.ctl', '-P', '/run/bird.pid']);
  for (const [name, text] of Object.entries(files)) await node.writeFile(`${resources}/${name}`, text);
  const agent = { node, tor, process: await launch(node, true) };
  await untilAnnounced(agent);
  return agent;
}

/** With the heartbeat only where its lateness is measured: its timer alone would be a part of an idle agent's work. */
export async function launch(node: Host, heartbeat: boolean): Promise<LabProcess> {
  const words = ['agent', '--resources', resources, '--node', 'node-1', '--log-level', 'warn'];
  const metrics = ['--metrics', `127.0.0.1:${METRICS_PORT}`];
  const preload = heartbeat ? [`--import=${join(import.meta.dirname, 'heartbeat.mjs')}`] : [];
  return await node.spawn([process.execPath, ...preload, agentProgram(), ...words, ...metrics], {
    log: 'agent',
    environment: heartbeat ? { FLATROUTE_BENCH_HEARTBEAT: heartbeatFile } : {},
  });
}

/** Resolves when the agent of this node says that it runs; where it does not, the end of its log says why. */
export async function untilRunning(node: Host, agent: LabProcess): Promise<void> {
  const look = async (): Promise<Look<void>> => {
    if (agent.ended) throw new AppError('OS_LAB_COMMAND', 'the agent ended', { retry: 'never' });
    const client = await connectAgent(node.path(ADMIN_SOCKET));
    try {
      const { state } = await client.status();
      return state === 'running' ? found(undefined) : notYet(state);
    } finally {
      client.close();
    }
  };
  try {
    await waitFor('the agent to be running', look, { deadline: seconds(60), every: milliseconds(20) });
  } catch (error) {
    throw new Error(`${String(error)}; its log: ${(await agent.log()).slice(-2000)}`, { cause: error });
  }
}

/** Milliseconds that it takes. */
export async function timed(action: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  await action();
  return performance.now() - from;
}

/** The session is there and the block is at the router. */
export async function untilAnnounced({ process: agent, tor }: BenchAgent): Promise<void> {
  await waitFor(
    'the node to announce its block',
    async () => {
      if (agent.ended) return notYet(`the agent ended: ${(await agent.log()).slice(-500)}`);
      const table = await tor.exec(['birdc', '-s', '/run/bird.ctl', 'show', 'route']);
      return table.stdout.includes('10.60.0.0/19') ? found(true) : notYet(table.stdout.trim());
    },
    { deadline: seconds(30) },
  );
}

/** Seconds of processor of each thread, by its name as the kernel has it (15 characters), and together. */
export function threadSeconds(pid: number): Map<string, number> {
  const spent = new Map<string, number>();
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const name = readFileSync(`/proc/${pid}/task/${task}/comm`, 'utf8').trim();
    const [nanoseconds = ''] = readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ');
    spent.set(name, (spent.get(name) ?? 0) + Number(nanoseconds) / 1e9);
  }
  return spent;
}

/** What the threads spent since `before`, the largest first. */
export function spentSince(pid: number, before: ReadonlyMap<string, number>): readonly (readonly [string, number])[] {
  return [...threadSeconds(pid)]
    .map(([name, spent]) => [name, spent - (before.get(name) ?? 0)] as const)
    .sort(([, a], [, b]) => b - a);
}

export const sum = (values: readonly number[]): number => values.reduce((all, one) => all + one, 0);

/** Milliseconds by which the heartbeat of the bgp thread was late since `since` (milliseconds since the epoch). */
export function lateness(node: Host, since: number): readonly number[] {
  return readFileSync(node.path(heartbeatFile), 'utf8')
    .split('\n')
    .map((line) => line.split(' ').map(Number))
    .filter(([at = 0, late]) => at >= since && late !== undefined)
    .map(([, late = 0]) => late);
}

/** MiB, as the kernel counts resident pages. */
export function residentMebibytes(pid: number): number {
  const [, kibibytes = ''] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kibibytes) / 1024;
}

export const metricsUrl = `http://127.0.0.1:${METRICS_PORT}/metrics`;
