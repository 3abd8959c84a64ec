/**
 * A real agent from the bundle in Kubernetes mode, with the rights and the bound token that deploy/ gives it, behind a BGP session to
 * BIRD: how soon a Node's block is at the router, what the agent asks of the API at its start, at rest and in a burst of pods, its memory.
 */
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { HostConflistRunner } from '#lab/conflist.ts';
import type { Conflist } from '#lab/conflist.ts';
import type { Host } from '#lab/host.ts';
import { Pod } from '#lab/pod.ts';
import type { LabProcess } from '#lab/process.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import { kindLists } from '#resources/resource-set.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import {
  agentProgram,
  buildBundle,
  residentMebibytes,
  spentSince,
  sum,
  threadSeconds,
  timed,
  untilRunning,
} from '../pods/agent.ts';
import { median } from '../pods/tables.ts';
import type { Figure } from '../pods/tables.ts';
import { openScene, progress } from './scene.ts';
import type { Scene } from './scene.ts';
import { askedBy, auditArguments, countTraffic, tally, trafficBytes, writeAuditPolicy } from './traffic.ts';

const USER = 'system:serviceaccount:flatroute-system:flatroute-agent';
const CONFLIST = '/etc/cni/net.d/05-flatroute.conflist';
const SETTLE_MILLISECONDS = 5000;
const AT_A_TIME = 8;

const resources = `apiVersion: flatroute.io/v1alpha1
kind: BGPConfiguration
metadata: { name: default }
spec: { asNumber: 65001, addressSource: IPPools }
---
apiVersion: flatroute.io/v1alpha1
kind: BGPPeer
metadata: { name: tor }
spec: { peerIP: 192.0.2.1, asNumber: 65100 }
---
apiVersion: flatroute.io/v1alpha1
kind: IPPool
metadata: { name: pods-v4 }
spec: { cidr: 10.60.0.0/16 }
---
apiVersion: flatroute.io/v1alpha1
kind: IPPool
metadata: { name: pods-v6 }
spec: { cidr: "fd60::/64" }
`;

const birdConf = `router id 192.0.2.1;
protocol device {}
protocol bgp node { local 192.0.2.1 as 65100; neighbor 192.0.2.11 as 65001; ipv4 { import all; export none; }; ipv6 { import all; export none; }; }
`;

export interface AgentOptions {
  readonly rounds: number;
  readonly pods: number;
  readonly idleSeconds: number;
}

interface Place {
  readonly scene: Scene;
  readonly node: Host;
  readonly tor: Host;
}

async function makePlace(scene: Scene): Promise<Place> {
  const { lab, host: api, plane } = scene;
  const node = await lab.addHost('node', { forwarding: true });
  const tor = await lab.addHost('tor', { forwarding: true });
  await lab.link({
    a: node,
    b: tor,
    addresses: [
      ['192.0.2.11/24', '192.0.2.1/24'],
      ['2001:db8::11/64', '2001:db8::1/64'],
    ],
  });
  await lab.link({ a: node, b: api, addresses: [['203.0.113.1/31', '203.0.113.0/31']] });
  await node.ip(['route add 198.51.100.1/32 via 203.0.113.0']);
  await tor.writeFile('/run/bird.conf', birdConf);
  await tor.spawn(['bird', '-f', '-c', '/run/bird.conf', '-s', '/run/bird.ctl', '-P', '/run/bird.pid']);
  await node.run([
    'sh',
    '-c',
    `mkdir -p /run/cni/bin /etc/cni/net.d && cp ${resolve('build/flatroute-cni')} /run/cni/bin/flatroute`,
  ]);
  await plane.run(['apply', '-k', resolve('deploy/kustomize')]);
  await plane.run(['apply', '-f', '-'], resources);
  await countTraffic(node);
  return { scene, node, tor };
}

const podOf = (node: string): string => `agent-${node}`;

/** What the kubelet would give the agent's pod on this node. */
async function credentials({ scene }: Place, node: string): Promise<string> {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: podOf(node), namespace: 'flatroute-system' },
    spec: { nodeName: node, serviceAccountName: 'flatroute-agent', containers: [{ name: 'agent', image: 'agent' }] },
  };
  await scene.plane.run(['apply', '-f', '-'], JSON.stringify(pod));
  const token = await scene.plane.serviceAccountToken('flatroute-system', 'flatroute-agent', podOf(node));
  return await scene.plane.tokenKubeconfig(podOf(node), token);
}

async function launch({ node: host }: Place, node: string, kubeconfig: string): Promise<LabProcess> {
  const words = [
    'agent',
    '--kubernetes',
    '--kubeconfig',
    kubeconfig,
    '--node',
    node,
    '--state-dir',
    `/run/state-${node}`,
  ];
  const list = ['--conflist', CONFLIST, '--cni-bin', '/run/cni/bin'];
  return await host.spawn(
    [process.execPath, agentProgram(), ...words, ...list, '--withdraw-on-stop', '--log-level', 'warn'],
    { log: `agent-${node}` },
  );
}

/** Resolves when the router has a block of both families, or none. */
async function untilAtRouter({ tor }: Place, agent: LabProcess, there: boolean): Promise<void> {
  await waitFor(
    `the router to have ${there ? 'the block' : 'nothing'}`,
    async () => {
      const { stdout } = await tor.exec(['birdc', '-s', '/run/bird.ctl', 'show', 'route']);
      const both = stdout.includes('10.60.') && stdout.includes('fd60:');
      const either = stdout.includes('10.60.') || stdout.includes('fd60:');
      if (there ? both : !either) return found(undefined);
      return notYet(`${stdout.trim()}; the agent says ${(await agent.log()).slice(-800)}`);
    },
    { deadline: seconds(60), every: milliseconds(10) },
  );
}

const createNode = async ({ scene }: Place, name: string): Promise<void> => {
  await scene.store.create(typeOf(kindLists.nodes), {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      annotations: { 'flatroute.io/bgp-address-ipv4': '192.0.2.11', 'flatroute.io/bgp-address-ipv6': '2001:db8::11' },
    },
  });
};

interface Spent {
  readonly requests: readonly string[];
  readonly bytes: number;
  readonly cpuSeconds: number;
}

/** What an action costs at the API and in the agent, until everything that it caused has settled. */
async function spentBy(place: Place, agent: LabProcess, action: () => Promise<void>): Promise<Spent> {
  const before = askedBy(place.scene.host, USER).requests.length;
  const bytes = await trafficBytes(place.node);
  const threads = threadSeconds(agent.pid);
  await action();
  return {
    requests: askedBy(place.scene.host, USER).requests.slice(before),
    bytes: (await trafficBytes(place.node)) - bytes,
    cpuSeconds: sum(spentSince(agent.pid, threads).map(([, used]) => used)),
  };
}

/** So many at a time. */
async function each<T>(items: readonly T[], action: (item: T) => Promise<void>): Promise<void> {
  const left = [...items];
  const worker = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await action(item);
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
}

async function attachAll({ node }: Place, count: number): Promise<readonly Pod[]> {
  const conflist = JSON.parse(await node.readFile(CONFLIST)) as Conflist;
  // The first plugin alone: what comes behind it asks nothing of the API.
  const runner = new HostConflistRunner(node, { ...conflist, plugins: conflist.plugins.slice(0, 1) }, ['/run/cni/bin']);
  const pods: Pod[] = [];
  await each(
    Array.from({ length: count }, (_, at) => `pod-${at}`),
    async (name) => {
      pods.push(await Pod.attach(runner, name));
    },
  );
  return pods;
}

export async function agent({ rounds, pods, idleSeconds }: AgentOptions): Promise<Figure[]> {
  buildBundle();
  await using scene = await openScene('agent', auditArguments, writeAuditPolicy);
  const place = await makePlace(scene);
  const waiting: number[] = [];
  const starting: number[] = [];
  const starts: Spent[] = [];
  let running: LabProcess | undefined;
  for (let round = 0; round < rounds; round++) {
    const name = `node-${round}`;
    const kubeconfig = await credentials(place, name);
    let process = await launch(place, name, kubeconfig);
    await untilRunning(place.node);
    waiting.push(
      await timed(async () => {
        await createNode(place, name);
        await untilAtRouter(place, process, true);
      }),
    );
    process.kill('SIGTERM');
    await process.exited;
    await untilAtRouter(place, process, false);
    const before = askedBy(scene.host, USER).requests.length;
    const bytes = await trafficBytes(place.node);
    starting.push(
      await timed(async () => {
        process = await launch(place, name, kubeconfig);
        await untilAtRouter(place, process, true);
      }),
    );
    await delay(SETTLE_MILLISECONDS);
    starts.push({
      requests: askedBy(scene.host, USER).requests.slice(before),
      bytes: (await trafficBytes(place.node)) - bytes,
      cpuSeconds: sum([...threadSeconds(process.pid).values()]),
    });
    progress(`round ${round + 1} of ${rounds}: ${tally(starts.at(-1)?.requests ?? [])}`);
    running = process;
    if (round === rounds - 1) break;
    process.kill('SIGTERM');
    await process.exited;
    await untilAtRouter(place, process, false);
  }
  if (running === undefined) throw new Error('--rounds is at least 1');
  const { pid } = running;
  // Events of the start, and what is looked at once.
  await delay(2 * SETTLE_MILLISECONDS);
  const memory = residentMebibytes(pid);
  const { watches } = askedBy(scene.host, USER);
  const idle = await spentBy(place, running, async () => await delay(1000 * idleSeconds));
  progress(`at rest: ${tally(idle.requests)}`);
  let made: readonly Pod[] = [];
  const burst = await spentBy(place, running, async () => {
    made = await attachAll(place, pods);
    await delay(SETTLE_MILLISECONDS);
  });
  progress(`${pods} pods added: ${tally(burst.requests)}`);
  const gone = await spentBy(place, running, async () => {
    await each(made, async (pod) => await pod.detach());
    await delay(SETTLE_MILLISECONDS);
  });
  progress(`${pods} pods deleted: ${tally(gone.requests)}`);
  const hourly = 3600 / idleSeconds;
  return [
    {
      what: '**Node created**, its agent waits: both blocks are at the router after, median',
      value: median(waiting),
      unit: 'ms',
    },
    { what: '… at most', value: Math.max(...waiting), unit: 'ms' },
    {
      what: '**agent started**, its blocks are claimed: they are at the router after, median',
      value: median(starting),
      unit: 'ms',
    },
    { what: '… at most', value: Math.max(...starting), unit: 'ms' },
    { what: '… requests', value: median(starts.map(({ requests }) => requests.length)), unit: '' },
    { what: '… on the wire', value: median(starts.map((one) => one.bytes)) / 1024, unit: 'KiB' },
    { what: '… CPU of the agent', value: 1000 * median(starts.map((one) => one.cpuSeconds)), unit: 'ms' },
    { what: '**at rest**: resident memory', value: memory, unit: 'MiB' },
    { what: '… watches open', value: watches, unit: '' },
    { what: '… requests an hour', value: idle.requests.length * hourly, unit: '' },
    { what: '… on the wire an hour', value: (idle.bytes * hourly) / 1024, unit: 'KiB' },
    { what: '… CPU', value: (100 * idle.cpuSeconds) / idleSeconds, unit: '% of a core' },
    { what: `**${pods} pods added**, ${AT_A_TIME} at a time: requests`, value: burst.requests.length, unit: '' },
    { what: '… on the wire', value: burst.bytes / 1024, unit: 'KiB' },
    { what: `**${pods} pods deleted**: requests`, value: gone.requests.length, unit: '' },
    { what: '… on the wire', value: gone.bytes / 1024, unit: 'KiB' },
    { what: 'resident memory after that', value: residentMebibytes(pid), unit: 'MiB' },
  ];
}
