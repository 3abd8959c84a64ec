/**
 * Pods: ADD and DEL of many, flatroute (dual stack, behind a real BGP session) beside ptp + host-local (IPv4 only, its
 * faster form), interleaved, each in a node of its own: an agent that follows the other's interfaces would slow it down. The load generator is a C program (driver.c). CPU counts everything
 * involved: the plugin processes and, for flatroute, the whole agent.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Host } from '#lab/host.ts';
import { Lab } from '#lab/lab.ts';
import type { LabProcess } from '#lab/process.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { seconds } from '#lib/time.ts';

interface DriverAnswer {
  readonly wallMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuSeconds: number;
  readonly failed: number;
}

interface Sample extends DriverAnswer {
  readonly who: string;
  readonly verb: 'ADD' | 'DEL';
  readonly at: number;
  /** Milliseconds from the start of the calls until no host end was left; DEL only. */
  readonly goneMs: number | undefined;
  /** CPU of the agent alone, per thread. */
  readonly threads: string;
}

const driver = resolve('build/bench-driver');
const plugin = resolve('build/flatroute-cni');
const resources = '/run/bench-resources';

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
  'bgp.yaml': `apiVersion: flatroute.io/v1alpha1
kind: BGPConfiguration
metadata: { name: default }
spec: { asNumber: 65001 }
---
apiVersion: flatroute.io/v1alpha1
kind: BGPPeer
metadata: { name: tor }
spec: { peerIP: 192.0.2.1, asNumber: 65100 }
`,
};

const flatrouteConf = '{"cniVersion":"1.0.0","name":"flatroute","type":"flatroute"}';
const ptpConf = JSON.stringify({
  cniVersion: '1.0.0',
  name: 'ptpnet',
  type: 'ptp',
  ipMasq: false,
  ipam: { type: 'host-local', ranges: [[{ subnet: '10.99.0.0/16' }]], dataDir: '/run/bench-host-local' },
});

function buildDriver(): void {
  mkdirSync('build', { recursive: true });
  const compiler = spawnSync('musl-gcc', ['--version']).status === 0 ? 'musl-gcc' : 'gcc';
  const built = spawnSync(compiler, ['-O2', '-static', '-o', driver, 'test/bench/pods/driver.c'], { encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`${compiler} could not build the load generator: ${built.stderr}`);
}

/** CPU seconds of a process with all its threads. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** CPU milliseconds of each named thread, to see where the time goes; the kernel cuts names to 15 characters. */
function threadMilliseconds(pid: number): Map<string, number> {
  const spent = new Map<string, number>();
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const name = readFileSync(`/proc/${pid}/task/${task}/comm`, 'utf8').trim();
    const [nanoseconds = ''] = readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ');
    spent.set(name, (spent.get(name) ?? 0) + Number(nanoseconds) / 1e6);
  }
  return spent;
}

const hostEnds = (node: Host): number =>
  readdirSync(node.path('/sys/class/net')).filter((name) => name.startsWith('fr') || name.startsWith('veth')).length;

async function startAgent(lab: Lab): Promise<{ readonly node: Host; readonly agent: LabProcess }> {
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
  await tor.writeFile(
    '/run/bird.conf',
    `router id 192.0.2.1;
protocol device {}
protocol kernel { ipv4 { export all; }; }
protocol bgp node { local 192.0.2.1 as 65100; neighbor 192.0.2.11 as 65001; ipv4 { import all; export none; }; ipv6 { import all; export none; }; }
`,
  );
  await tor.spawn(['bird', '-f', '-c', '/run/bird.conf', '-s', '/run/bird.ctl', '-P', '/run/bird.pid']);
  for (const [name, text] of Object.entries(files)) await node.writeFile(`${resources}/${name}`, text);
  const words = [
    process.execPath,
    resolve('src/main.ts'),
    'agent',
    '--resources',
    resources,
    '--node',
    'node-1',
    '--log-level',
    'warn',
  ];
  const agent = await node.spawn(words, { log: 'agent' });
  await waitFor(
    'the node to announce its block',
    async () => {
      if (agent.ended) return notYet(`the agent ended: ${(await agent.log()).slice(-500)}`);
      const table = await tor.exec(['birdc', '-s', '/run/bird.ctl', 'show', 'route']);
      return table.stdout.includes('10.60.0.0/19') ? found(true) : notYet(table.stdout.trim());
    },
    { deadline: seconds(30) },
  );
  return { node, agent };
}

async function drive(node: Host, words: readonly string[]): Promise<DriverAnswer> {
  const out = await node.run([driver, ...words], { timeout: seconds(300) });
  return JSON.parse(out) as DriverAnswer;
}

interface Contender {
  readonly name: string;
  readonly node: Host;
  readonly plugin: string;
  readonly conf: string;
  /** Of the agent. */
  readonly pid: number | undefined;
}

async function measure(who: Contender, verb: 'ADD' | 'DEL', at: number, pods: number): Promise<Sample> {
  const { node } = who;
  const before = who.pid === undefined ? 0 : cpuSeconds(who.pid);
  const threadsBefore = who.pid === undefined ? new Map<string, number>() : threadMilliseconds(who.pid);
  const started = performance.now();
  const answer = await drive(node, [
    'run',
    verb,
    who.plugin,
    '/usr/lib/cni',
    who.conf,
    String(at),
    String(pods),
    'bench',
  ]);
  let goneMs: number | undefined;
  if (verb === 'DEL') {
    await waitFor(
      'every host end to be gone',
      async () => (hostEnds(node) === 0 ? found(true) : notYet(`${hostEnds(node)}`)),
      {
        deadline: seconds(60),
      },
    );
    goneMs = performance.now() - started;
  } else if (hostEnds(node) !== pods) {
    throw new Error(`${who.name}: ${pods} pods were added, but there are ${hostEnds(node)} host ends`);
  }
  const agentCpu = who.pid === undefined ? 0 : cpuSeconds(who.pid) - before;
  const threads = [...(who.pid === undefined ? [] : threadMilliseconds(who.pid))]
    .map(([name, spent]) => ({ name, perPod: (spent - (threadsBefore.get(name) ?? 0)) / pods }))
    .filter(({ perPod }) => perPod >= 0.005)
    .map(({ name, perPod }) => `${name} ${perPod.toFixed(2)}`)
    .join(', ');
  return { ...answer, cpuSeconds: answer.cpuSeconds + agentCpu, who: who.name, verb, at, goneMs, threads };
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

function table(samples: readonly Sample[], pods: number): string {
  const rows = [['verb', 'at once', 'who', 'wall ms', 'p50 ms', 'p99 ms', 'CPU ms/pod', 'gone after ms']];
  const groups = new Map<string, Sample[]>();
  for (const sample of samples) {
    const key = `${sample.verb} ${sample.at} ${sample.who}`;
    groups.set(key, [...(groups.get(key) ?? []), sample]);
  }
  const of = (key: string, pick: (sample: Sample) => number): number => median((groups.get(key) ?? []).map(pick));
  for (const [key, group] of groups) {
    const [first] = group;
    if (first === undefined) continue;
    rows.push([
      first.verb,
      String(first.at),
      first.who,
      of(key, (s) => s.wallMs).toFixed(0),
      of(key, (s) => s.p50Ms).toFixed(2),
      of(key, (s) => s.p99Ms).toFixed(2),
      ((of(key, (s) => s.cpuSeconds) * 1000) / pods).toFixed(2),
      first.goneMs === undefined ? '' : of(key, (s) => s.goneMs ?? 0).toFixed(0),
    ]);
    if (first.who !== 'flatroute') {
      const ours = `${first.verb} ${first.at} flatroute`;
      const ratio = (pick: (sample: Sample) => number): string => `${(of(key, pick) / of(ours, pick)).toFixed(1)}x`;
      rows.push([
        '',
        '',
        'times less',
        ratio((s) => s.wallMs),
        ratio((s) => s.p50Ms),
        ratio((s) => s.p99Ms),
        ratio((s) => s.cpuSeconds),
        first.goneMs === undefined ? '' : ratio((s) => s.goneMs ?? 0),
      ]);
    }
  }
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((row) => (row[i] ?? '').length))) ?? [];
  return rows
    .map((row) =>
      row.map((cell, i) => (i === 2 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  '),
    )
    .join('\n');
}

/** Answers the exit code: 1 if any call failed. */
export async function runPods(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      pods: { type: 'string', default: '1000' },
      at: { type: 'string', default: '8' },
      rounds: { type: 'string', default: '3' },
      alone: { type: 'boolean', default: false },
    },
  });
  const pods = Number(values.pods);
  const concurrencies = values.at.split(',').map(Number);
  const rounds = Number(values.rounds);
  if (![pods, rounds, ...concurrencies].every((n) => Number.isInteger(n) && n >= 1) || pods > 8000) {
    console.error('bench pods: --pods is 1 to 8000, --at a list such as 1,8,32, --rounds at least 1');
    return 2;
  }
  buildDriver();
  if (!existsSync(plugin)) throw new Error(`${plugin} is missing: npm run build:plugin`);
  await using lab = await Lab.create('bench-pods');
  const { node, agent } = await startAgent(lab);
  await node.writeFile('/run/flatroute.conf', flatrouteConf);
  const contenders: Contender[] = [{ name: 'flatroute', node, plugin, conf: '/run/flatroute.conf', pid: agent.pid }];
  if (!values.alone) {
    const other = await lab.addHost('node-2', { forwarding: true });
    await other.writeFile('/run/ptp.conf', ptpConf);
    const name = 'ptp + host-local';
    contenders.push({ name, node: other, plugin: '/usr/lib/cni/ptp', conf: '/run/ptp.conf', pid: undefined });
  }
  for (const who of contenders) await who.node.run([driver, 'make', String(pods), 'bench'], { timeout: seconds(60) });
  const samples: Sample[] = [];
  for (let round = 1; round <= rounds; round++) {
    for (const at of concurrencies) {
      for (const who of contenders) {
        for (const verb of ['ADD', 'DEL'] as const) {
          const sample = await measure(who, verb, at, pods);
          samples.push(sample);
          console.error(
            `round ${round}/${rounds}  ${verb} at ${at}  ${who.name}: ${sample.wallMs.toFixed(0)} ms, ${sample.failed} failed, ${((1000 * sample.cpuSeconds) / pods).toFixed(2)} ms CPU per pod${sample.threads === '' ? '' : `; agent: ${sample.threads}`}`,
          );
        }
      }
    }
  }
  console.log(
    `${pods} pods, medians of ${rounds} interleaved rounds; flatroute dual stack${values.alone ? '' : ', ptp IPv4 only'}\n`,
  );
  console.log(table(samples, pods));
  return samples.some((sample) => sample.failed > 0) ? 1 : 0;
}
