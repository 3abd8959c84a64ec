/**
 * Events and watchers: as many clients as there are nodes, each with the watches of one agent and connections of its own,
 * against one API server. How long one change takes to reach all of them, and what each delivery costs the server.
 */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ResourceType } from '#kubernetes/store.ts';
import type { Prefix } from '#lib/ip.ts';
import { blockName } from '#resources/ip-block.ts';
import { kindLists } from '#resources/resource-set.ts';
import { standingScopes } from '#sources/kubernetes/scopes.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import { median, percentile } from '../pods/tables.ts';
import { residentMebibytes } from '../pods/agent.ts';
import type { Figure } from '../pods/tables.ts';
import { apiServerSeconds, createAll, openScene, progress } from './scene.ts';
import type { Scene } from './scene.ts';
import type { FromWatchers } from './watcher-process.ts';

export interface WatcherOptions {
  readonly agents: number;
  readonly processes: number;
  readonly rounds: number;
  readonly idleSeconds: number;
}

/** Bookmarks of the first minute and what the lists left to the collector. */
const SETTLE_MILLISECONDS = 2000;
const nodeName = (index: number): string => `node-${index}`;
const now = (): number => Number(process.hrtime.bigint()) / 1e6;

interface Crowd {
  readonly children: readonly ChildProcess[];
  /** Milliseconds of the machine's clock at which a watcher saw this version, as they come in. */
  readonly seen: Map<string, number[]>;
  totals(): Promise<{ readonly requests: number; readonly bytes: number }>;
}

/** What is changed, and how many of the watchers are told. */
interface Change {
  readonly what: string;
  readonly type: ResourceType;
  readonly name: (round: number) => string;
  /** A merge patch that changes something each time. */
  readonly body: (unique: string) => object;
  readonly watchers: number;
}

async function gather(scene: Scene, { agents, processes }: WatcherOptions): Promise<Crowd> {
  const seen = new Map<string, number[]>();
  const children: ChildProcess[] = [];
  const ready: Promise<void>[] = [];
  const counts = new Map<ChildProcess, (total: { requests: number; bytes: number }) => void>();
  const share = Math.ceil(agents / processes);
  for (let from = 0; from < agents; from += share) {
    const words = [scene.admin, String(from), String(Math.min(agents, from + share))];
    const child = fork(join(import.meta.dirname, 'watcher-process.ts'), words, {
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    children.push(child);
    ready.push(
      new Promise((resolve, reject) => {
        child.once('exit', (code) => reject(new Error(`a process of watchers ended with ${code}`)));
        child.on('message', (message: FromWatchers) => {
          if (message.what === 'ready') resolve();
          else if (message.what === 'totals') counts.get(child)?.(message);
          else seen.set(message.version, [...(seen.get(message.version) ?? []), ...message.at]);
        });
      }),
    );
  }
  await Promise.all(ready);
  const totals = async (): Promise<{ requests: number; bytes: number }> => {
    const all = await Promise.all(
      children.map(
        (child) =>
          new Promise<{ requests: number; bytes: number }>((resolve) => {
            counts.set(child, resolve);
            child.send('totals');
          }),
      ),
    );
    return {
      requests: all.reduce((total, one) => total + one.requests, 0),
      bytes: all.reduce((total, one) => total + one.bytes, 0),
    };
  };
  return { children, seen, totals };
}

async function untilSeen(crowd: Crowd, version: string, watchers: number): Promise<readonly number[]> {
  const deadline = now() + 30_000;
  for (;;) {
    const at = crowd.seen.get(version) ?? [];
    if (at.length >= watchers) return at;
    if (now() > deadline) throw new Error(`version ${version} was seen by ${at.length} of ${watchers} watchers`);
    await delay(5);
  }
}

interface Cost {
  /** Milliseconds from just before the write until each watcher had it, and until the last one had. */
  readonly late: readonly number[];
  readonly last: readonly number[];
  /** Of the API server and of one change. */
  readonly cpuMilliseconds: number;
}

/** Without a crowd nobody watches: what the write alone costs. */
async function measure(scene: Scene, change: Change, rounds: number, crowd?: Crowd): Promise<Cost> {
  const late: number[] = [];
  const last: number[] = [];
  const before = apiServerSeconds(scene.plane);
  for (let round = 0; round < rounds; round++) {
    const from = now();
    const changed = await scene.store.patch(change.type, change.name(round), change.body(`${round}-${from}`));
    if (crowd === undefined) continue;
    const at = await untilSeen(crowd, changed.metadata.resourceVersion ?? '', change.watchers);
    late.push(...at.map((time) => time - from));
    last.push(Math.max(...at) - from);
  }
  return { late, last, cpuMilliseconds: (1000 * (apiServerSeconds(scene.plane) - before)) / rounds };
}

const block = (index: number): Prefix => `fd00:10:0:${(index + 1).toString(16)}::/64` as Prefix;

async function prepare({ store }: Scene, agents: number): Promise<void> {
  await createAll(store, typeOf(kindLists.nodes), agents, (index) => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: nodeName(index) },
  }));
  await store.create(typeOf(kindLists.bgpConfigurations), {
    apiVersion: 'flatroute.io/v1alpha1',
    kind: 'BGPConfiguration',
    metadata: { name: 'default' },
    spec: { asNumber: 65001 },
  });
  await createAll(store, typeOf(kindLists.bgpPeers), 2, (index) => ({
    apiVersion: 'flatroute.io/v1alpha1',
    kind: 'BGPPeer',
    metadata: { name: `tor-${index}` },
    spec: { peerIP: `192.0.2.${index + 1}`, asNumber: 65100 },
  }));
  await createAll(store, typeOf(kindLists.ipBlocks), agents, (index) => ({
    apiVersion: 'flatroute.io/v1alpha1',
    kind: 'IPBlock',
    metadata: { name: blockName(block(index)) },
    spec: { cidr: block(index), node: nodeName(index) },
  }));
}

const annotate = (unique: string): object => ({ metadata: { annotations: { bench: unique } } });

const changes = (agents: number): Readonly<Record<'all' | 'block' | 'node', Change>> => ({
  all: {
    what: 'a BGPPeer changes, which all watch',
    type: typeOf(kindLists.bgpPeers),
    name: () => 'tor-0',
    body: annotate,
    watchers: agents,
  },
  block: {
    what: 'an IPBlock changes, which its node watches by field selector',
    type: typeOf(kindLists.ipBlocks),
    name: (round) => blockName(block(round % agents)),
    body: annotate,
    watchers: 1,
  },
  node: {
    what: 'a Node changes, which it itself watches by name',
    type: typeOf(kindLists.nodes),
    name: (round) => nodeName(round % agents),
    body: annotate,
    watchers: 1,
  },
});

const MANY = 5000;

/** A cost grows by the watchers of the kind: those that are told, and those that are passed over. */
function figuresOf(change: Change, alone: Cost, watched: Cost, agents: number): Figure[] {
  const each = (watched.cpuMilliseconds - alone.cpuMilliseconds) / agents;
  return [
    { what: `**${change.what}**: p50 until a watcher has it`, value: percentile(watched.late, 50), unit: 'ms' },
    { what: '… p99', value: percentile(watched.late, 99), unit: 'ms' },
    { what: '… the last of them, median', value: median(watched.last), unit: 'ms' },
    { what: '… CPU of the API server, nobody watches', value: alone.cpuMilliseconds, unit: 'ms' },
    { what: `… ${agents} watch`, value: watched.cpuMilliseconds, unit: 'ms' },
    { what: `… computed: ${MANY} watch`, value: alone.cpuMilliseconds + MANY * Math.max(0, each), unit: 'ms' },
  ];
}

export async function watchers(options: WatcherOptions): Promise<Figure[]> {
  await using scene = await openScene('watchers');
  const { agents, rounds, idleSeconds } = options;
  await prepare(scene, agents);
  progress(`${agents} Nodes and IPBlocks made`);
  const { all, block: ofBlock, node } = changes(agents);
  const alone = {
    all: await measure(scene, all, rounds),
    block: await measure(scene, ofBlock, 5 * rounds),
    node: await measure(scene, node, 5 * rounds),
  };
  const pid = scene.plane.pidOf('kube-apiserver');
  const memoryBefore = residentMebibytes(pid);
  const cpuBefore = apiServerSeconds(scene.plane);
  const from = now();
  const crowd = await gather(scene, options);
  try {
    const listed = now() - from;
    const connecting = apiServerSeconds(scene.plane) - cpuBefore;
    const perAgent = (residentMebibytes(pid) - memoryBefore) / agents;
    const watches = standingScopes('any').length;
    progress(`${agents} agents watch`);
    const start = await crowd.totals();
    await delay(SETTLE_MILLISECONDS);
    const idleFrom = apiServerSeconds(scene.plane);
    const idleStart = await crowd.totals();
    await delay(1000 * idleSeconds);
    const idle = apiServerSeconds(scene.plane) - idleFrom;
    const idleEnd = await crowd.totals();
    const hourly = (what: 'requests' | 'bytes'): number =>
      ((idleEnd[what] - idleStart[what]) * 3600) / idleSeconds / agents;
    progress('changes');
    return [
      { what: 'watches of each agent, on one connection', value: watches, unit: '' },
      { what: `**start**: all ${agents} agents listed and watching after`, value: listed / 1000, unit: 's' },
      { what: '… CPU of the API server by agent', value: (1000 * connecting) / agents, unit: 'ms' },
      { what: '… memory of the API server by agent', value: 1024 * perAgent, unit: 'KiB' },
      { what: '… requests by agent', value: start.requests / agents, unit: '' },
      { what: '… bytes of answers by agent', value: start.bytes / agents / 1024, unit: 'KiB' },
      { what: `… computed: memory at ${MANY} nodes`, value: (perAgent * MANY) / 1024, unit: 'GiB' },
      { what: `… computed: watches at ${MANY} nodes`, value: watches * MANY, unit: '' },
      { what: '**idle**: CPU of the API server, all agents', value: (100 * idle) / idleSeconds, unit: '% of a core' },
      { what: '… requests of an agent an hour', value: hourly('requests'), unit: '' },
      { what: '… bytes of answers of an agent an hour', value: hourly('bytes') / 1024, unit: 'KiB' },
      ...figuresOf(all, alone.all, await measure(scene, all, rounds, crowd), agents),
      ...figuresOf(ofBlock, alone.block, await measure(scene, ofBlock, 5 * rounds, crowd), agents),
      ...figuresOf(node, alone.node, await measure(scene, node, 5 * rounds, crowd), agents),
    ];
  } finally {
    for (const child of crowd.children) child.kill();
  }
}
