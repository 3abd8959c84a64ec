/**
 * Real agents from the bundle, as many as the machine's memory bears, each in a network namespace of its own and with its own bound token,
 * against one API server: they start together and claim their blocks from one pool; then one object changes that concerns all.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Host } from '#lab/host.ts';
import type { LabProcess } from '#lab/process.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import { bgpNodeState } from '#resources/bgp-node-state.ts';
import { bgpPeer } from '#resources/bgp-peer.ts';
import { ipBlock } from '#resources/ip-block.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import { buildBundle, residentMebibytes, sum, threadSeconds, timed } from '../pods/agent.ts';
import { median } from '../pods/tables.ts';
import type { Figure } from '../pods/tables.ts';
import { resources } from './agent.ts';
import { createNode, credentials, installPlugin, launch, USER } from './place.ts';
import { apiServerSeconds, openScene, progress, several } from './scene.ts';
import type { Scene } from './scene.ts';
import { askedBy, auditArguments, connectionsOf, writeAuditPolicy } from './traffic.ts';

export interface AgentsOptions {
  /** At most. */
  readonly agents: number;
  readonly idleSeconds: number;
}

/** One agent that started a moment ago; and what everything else keeps. */
const MEBIBYTES_OF_AGENT = 170;
const MEBIBYTES_KEPT = 3000;
const AT_A_TIME = 4;
const WITHIN = seconds(180);
const LOOK = milliseconds(500);
const SAY_MILLISECONDS = 10_000;

interface Member {
  readonly name: string;
  readonly node: Host;
  readonly kubeconfig: string;
  readonly agent: LabProcess;
}

function bearable(asked: number): number {
  const [, kibibytes = '0'] = /MemAvailable:\s+(\d+)/.exec(readFileSync('/proc/meminfo', 'utf8')) ?? [];
  return Math.min(asked, Math.floor((Number(kibibytes) / 1024 - MEBIBYTES_KEPT) / MEBIBYTES_OF_AGENT));
}

/** Memory that is its own, and its share of what it shares. */
function proportionalMebibytes(pid: number): number {
  const [, kibibytes = '0'] = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')) ?? [];
  return Number(kibibytes) / 1024;
}

async function prepare(scene: Scene, index: number): Promise<Omit<Member, 'agent'>> {
  const name = `node-${index}`;
  const node = await scene.lab.addHost(name, { forwarding: true });
  const [own, gateway] = [
    `10.200.${index >> 7}.${((index & 127) << 1) + 1}`,
    `10.200.${index >> 7}.${(index & 127) << 1}`,
  ];
  await scene.lab.link({ a: node, b: scene.host, addresses: [[`${own}/31`, `${gateway}/31`]] });
  await node.ip([`route add 198.51.100.1/32 via ${gateway}`]);
  await installPlugin(node);
  const kubeconfig = await credentials({ scene }, name);
  await createNode({ scene }, name, [own, `2001:db8::${index + 1}`]);
  return { name, node, kubeconfig };
}

/** Says how far it is while it takes long. Every look is a list that the API server pays for. */
async function until(what: string, wanted: number, look: () => Promise<number>): Promise<void> {
  let said = performance.now();
  await waitFor(
    what,
    async () => {
      const there = await look();
      if (there >= wanted) return found(undefined);
      if (performance.now() - said > SAY_MILLISECONDS) {
        said = performance.now();
        progress(`${what}: ${there} of ${wanted}`);
      }
      return notYet(`${there} of ${wanted}`);
    },
    { deadline: WITHIN, every: LOOK },
  );
}

export async function agents({ agents: asked, idleSeconds }: AgentsOptions): Promise<Figure[]> {
  buildBundle();
  await using scene = await openScene('agents', auditArguments, writeAuditPolicy);
  const { plane, store } = scene;
  const count = bearable(asked);
  if (count < 1) throw new Error('there is not memory enough for one agent');
  await plane.run(['apply', '-k', resolve('deploy/kustomize')]);
  await plane.run(['apply', '-f', '-'], resources);
  progress(
    `${count} agents${count < asked ? `, which is what the memory of this machine bears of ${asked}` : ''}: nodes are made`,
  );
  const places = await several(count, AT_A_TIME, async (index) => await prepare(scene, index));
  const pid = plane.pidOf('kube-apiserver');
  const memoryBefore = residentMebibytes(pid);
  const cpuBefore = apiServerSeconds(plane);
  const claimed = async (): Promise<number> => {
    const blocks = await store.list(typeOf(ipBlock));
    return blocks.filter((it) => (it['spec'] as { state?: string }).state === 'Claimed').length;
  };
  const states = async (peers: number): Promise<number> => {
    const all = await store.list(typeOf(bgpNodeState));
    return all.filter((it) => (it['status'] as { peers?: number } | undefined)?.peers === peers).length;
  };
  const members: Member[] = [];
  const started = await timed(async () => {
    await several(count, AT_A_TIME, async (index) => {
      const place = places[index];
      if (place !== undefined) members.push({ ...place, agent: await launch(place, place.name, place.kubeconfig) });
    });
    progress('all are launched');
    await until('blocks are claimed', 2 * count, claimed);
    await until('BGPNodeStates are written', count, async () => await states(1));
  });
  const cpuStart = apiServerSeconds(plane) - cpuBefore;
  progress(`${count} agents have their blocks`);
  const ended = members.find((it) => it.agent.ended);
  if (ended !== undefined) throw new Error(`an agent ended: ${(await ended.agent.log()).slice(-500)}`);
  await delay(10_000);
  const memory = residentMebibytes(pid) - memoryBefore;
  const connections = sum(await Promise.all(members.map(async ({ node }) => await connectionsOf(node))));
  const before = askedBy(scene.host, USER);
  const cpuOf = (): number => sum(members.map(({ agent }) => sum([...threadSeconds(agent.pid).values()])));
  const [serverIdle, agentsIdle] = [apiServerSeconds(plane), cpuOf()];
  await delay(1000 * idleSeconds);
  const server = apiServerSeconds(plane) - serverIdle;
  const idle = cpuOf() - agentsIdle;
  const requests = askedBy(scene.host, USER).requests.length - before.requests.length;
  progress('one object for all');
  const changeFrom = apiServerSeconds(plane);
  const changed = await timed(async () => {
    await store.create(typeOf(bgpPeer), {
      apiVersion: 'flatroute.io/v1alpha1',
      kind: 'BGPPeer',
      metadata: { name: 'second' },
      spec: { peerIP: '192.0.2.2', asNumber: 65100 },
    });
    await until('BGPNodeStates have the new peer', count, async () => await states(2));
  });
  const change = apiServerSeconds(plane) - changeFrom;
  const own = members.map(({ agent }) => proportionalMebibytes(agent.pid));
  return [
    { what: `agents that run (of ${asked} asked for)`, value: count, unit: '' },
    {
      what: '**start**, all together: every block is claimed, every BGPNodeState written after',
      value: started / 1000,
      unit: 's',
    },
    { what: '… CPU of the API server by agent', value: (1000 * cpuStart) / count, unit: 'ms' },
    { what: '… memory of the API server by agent', value: (1024 * memory) / count, unit: 'KiB' },
    { what: '… requests of all', value: before.requests.length, unit: '' },
    { what: '**idle**: watches open', value: before.watches, unit: '' },
    { what: '… connections', value: connections, unit: '' },
    { what: '… memory of an agent (PSS), median', value: median(own), unit: 'MiB' },
    { what: '… CPU of an agent', value: (100 * idle) / idleSeconds / count, unit: '% of a core' },
    { what: '… CPU of the API server', value: (100 * server) / idleSeconds, unit: '% of a core' },
    { what: '… requests of an agent an hour', value: (requests * 3600) / idleSeconds / count, unit: '' },
    {
      what: '**a BGPPeer for all is made**: the last agent has said so in its BGPNodeState after',
      value: changed / 1000,
      unit: 's',
    },
    { what: '… CPU of the API server', value: 1000 * change, unit: 'ms' },
  ];
}
