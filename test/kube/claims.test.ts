// Claims against a real API server, through a proxy that loses answers: fifty nodes race for the blocks of pools that
// overlap by mistake, and their agents are killed at any moment; then Nodes go, and what they had is collected on two proofs.
// The agents are those of the simulation: real claims, intent, gate and allocator in one process.
import assert from 'node:assert/strict';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { BlockCollector, type CollectorOptions } from '#controller/block-collection.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { kubernetesAccess } from '#kubernetes/io/access.ts';
import type { Access } from '#kubernetes/io/access.ts';
import { type ApiStore, apiStore } from '#kubernetes/io/client.ts';
import type { ApiObject } from '#kubernetes/store.ts';
import { contains, type IpAddress, overlaps, type Prefix } from '#lib/ip.ts';
import { milliseconds, seconds, systemClock } from '#lib/time.ts';
import { kindLists } from '#resources/resource-set.ts';
import type { AnyResource } from '#resources/resource-set.ts';
import { ipBlockType, type LiveBlock, liveBlock } from '#sources/kubernetes/ip-blocks.ts';
import { Agent, fromPools, Machine, nodeObject, readAs, type World } from '../sim/claims-node.ts';
import { nodesType } from '../sim/claims-world.ts';
import { seededRandom } from '../support/random.ts';
import { apiServer } from './support.ts';

const seed = Number(process.env['FLATROUTE_SEED'] ?? Date.now() % 1_000_000);
const random = seededRandom(seed);
const fixed = ['10.62.0.7', '10.62.0.8'] as IpAddress[];

let access: Access;
let admin: ApiStore;
let proxy: Server;
/** Share of the pieces of answers that end their connection instead. */
let losing = 0;
const sockets = new Set<Socket>();
const nodes: RealNode[] = [];
const failures: string[] = [];
let collector: BlockCollector | undefined;

before(async () => {
  const plane = await apiServer();
  access = await kubernetesAccess(await plane.kubeconfig('kubernetes-admin', ['system:masters']));
  admin = apiStore({ access, userAgent: 'claims-test' });
  proxy = createServer((client) => {
    const server = connect(Number(access.server.port), access.server.hostname);
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      sockets.add(one);
      one.on('error', () => undefined);
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
    }
    client.on('data', (bytes) => void server.write(bytes));
    server.on('data', (bytes) => {
      if (random.unit() < losing) client.destroy();
      else client.write(bytes);
    });
  });
  await new Promise<void>((resolve) => void proxy.listen(0, '127.0.0.1', resolve));
});

after(async () => {
  await collector?.stop();
  await Promise.all(nodes.map((it) => it.stop()));
  for (const socket of sockets) socket.destroy();
  proxy.close();
  await admin.close();
});

const proxied = (): Access => {
  const address = proxy.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return { ...access, server: new URL(`https://127.0.0.1:${port}`) };
};

const pool = (name: string, created: string, spec: object): AnyResource =>
  readAs(kindLists.ipPools, {
    apiVersion: 'flatroute.io/v1alpha1',
    kind: 'IPPool',
    metadata: { name, uid: name, creationTimestamp: `2026-01-01T00:00:${created}Z` },
    spec,
  });
const main = pool('main', '10', { cidr: '10.61.0.0/20', blockSize: 28 });
const vip = pool('vip', '20', { cidr: '10.62.0.0/24', assignmentMode: 'Manual' });
/** Made before the others, and known to some nodes only for a while. */
const elder = pool('elder', '05', { cidr: '10.61.1.0/24', blockSize: 29 });

/** A machine with an agent that is killed and started; its watches and its calls go through the proxy. */
class RealNode {
  readonly machine: Machine;
  pools: readonly AnyResource[];
  #store: ApiStore | undefined;
  #blocks: readonly AnyResource[] | undefined;
  #node: AnyResource | undefined;

  constructor(name: string, pools: readonly AnyResource[], machineID = `machine-of-${name}`) {
    this.pools = pools;
    this.machine = new Machine(name, machineID, { resources: [fromPools, ...pools] });
  }

  start(): void {
    const { name } = this.machine;
    const store = apiStore({ access: proxied(), userAgent: name, tuning: { callMilliseconds: 3000 } });
    this.#store = store;
    this.#blocks = undefined;
    const world: World = {
      clock: systemClock,
      random,
      store: () => store,
      watched: () => (this.#blocks === undefined ? undefined : { blocks: this.#blocks, node: this.#node }),
      lag: () => 0,
      told: () => ({ resources: [fromPools, ...this.pools] }),
      fixed,
      changed: check,
    };
    const agent = new Agent(this.machine, world);
    this.machine.agent = agent;
    agent.reap();
    store.watch(nodesType, {
      selection: { name },
      keep: ({ apiVersion, kind, metadata, status }) => ({ apiVersion, kind, metadata, status }) as ApiObject,
      changed: (objects) => {
        const object = objects.get(name);
        this.#node = object === undefined ? undefined : readAs(kindLists.nodes, nodeAsRead(object));
        agent.look();
      },
    });
    store.watch(ipBlockType, {
      selection: { fieldSelector: `spec.node=${name}` },
      keep: (object) => readAs(kindLists.ipBlocks, object),
      changed: (objects) => {
        this.#blocks = [...objects.values()];
        agent.look();
      },
    });
  }

  /** In the middle of whatever it does. */
  async kill(): Promise<void> {
    this.machine.agent?.kill();
    this.machine.agent = undefined;
    await this.#store?.close();
  }

  async die(): Promise<void> {
    this.machine.alive = false;
    await this.kill();
  }

  async stop(): Promise<void> {
    await this.kill();
  }
}

/** What the API server adds to a status is not of interest here. */
const nodeAsRead = ({ metadata, status }: ApiObject): unknown => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: metadata.name, uid: metadata.uid },
  status: { nodeInfo: { machineID: Reflect.get(Reflect.get(status ?? {}, 'nodeInfo') ?? {}, 'machineID') } },
});

function check(machine: Machine): void {
  const mine = machine.uses();
  for (const { machine: other } of nodes) {
    if (other === machine) continue;
    for (const theirs of other.uses()) {
      const both = mine.find((it) => overlaps(it, theirs));
      if (both !== undefined) failures.push(`${machine.name} uses ${both}, ${other.name} uses ${theirs}`);
    }
  }
}

async function register(name: string, machineID = `machine-of-${name}`): Promise<void> {
  const { status, ...object } = nodeObject(name, machineID);
  const made = await admin.create(nodesType, object);
  await admin.replace(nodesType, { ...made, status: fullStatus(status) }, 'status');
}

/** The API server wants every field of nodeInfo. */
const fullStatus = (status: unknown): unknown => ({
  nodeInfo: {
    architecture: '',
    bootID: '',
    containerRuntimeVersion: '',
    kernelVersion: '',
    kubeProxyVersion: '',
    kubeletVersion: '',
    operatingSystem: '',
    osImage: '',
    systemUUID: '',
    ...Reflect.get(status ?? {}, 'nodeInfo'),
  },
});

const allBlocks = async (): Promise<LiveBlock[]> =>
  (await admin.list(ipBlockType)).flatMap((it) => liveBlock(it) ?? []);

const until = (what: string, holds: () => Promise<boolean>, within: number): Promise<undefined> =>
  waitFor(what, async () => ((await holds()) ? found(undefined) : notYet('not yet')), {
    deadline: seconds(within),
    every: milliseconds(200),
  });

const inPool = (it: LiveBlock): boolean => contains('10.61.0.0/20' as Prefix, it.cidr);

/** Everyone alive has a block, and none is only half claimed; otherwise what is missing. */
async function missing(): Promise<string> {
  const blocks = await allBlocks();
  const pending = blocks.filter((it) => it.state === 'Pending').map((it) => `${it.cidr} is Pending`);
  const without = nodes.filter(
    ({ machine }) =>
      machine.alive && !blocks.some((it) => it.node === machine.name && inPool(it) && it.state === 'Claimed'),
  );
  return [...pending, ...without.map(({ machine }) => `${machine.name}: ${machine.agent?.problems}`)].join('; ');
}

function collect(options: CollectorOptions): void {
  collector = new BlockCollector(options, { store: admin, clock: systemClock, log: () => undefined });
  collector.start();
}

test(`fifty nodes race for blocks while answers are lost and agents are killed (FLATROUTE_SEED=${seed})`, async () => {
  for (let i = 0; i < 50; i++) nodes.push(new RealNode(`racer-${i}`, i % 3 === 0 ? [main, vip, elder] : [main, vip]));
  await Promise.all(nodes.map(({ machine }) => register(machine.name)));
  losing = 0.03;
  for (const node of nodes) node.start();
  const end = performance.now() + 12_000;
  while (performance.now() < end) {
    const node = random.pick(nodes);
    const { agent } = node.machine;
    if (agent === undefined) node.start();
    else if (random.unit() < 0.15) await node.kill();
    else if (random.unit() < 0.1) node.pools = node.pools.includes(elder) ? [main, vip] : [main, vip, elder];
    else if (random.unit() < 0.6) agent.add();
    else agent.del();
    await new Promise((resolve) => void setTimeout(resolve, 10));
  }
  losing = 0;
  for (const node of nodes) {
    node.pools = [main, vip];
    if (node.machine.agent === undefined) node.start();
    else node.machine.agent.look();
  }
  await waitFor(
    'a block for every node',
    async () => {
      const what = await missing();
      return what === '' ? found(undefined) : notYet(what);
    },
    { deadline: seconds(120), every: milliseconds(500) },
  );
  assert.deepEqual(failures, [], `FLATROUTE_SEED=${seed}`);
  const blocks = await allBlocks();
  for (const one of blocks)
    for (const other of blocks)
      assert.ok(one === other || !overlaps(one.cidr, other.cidr), `${one.cidr} overlaps ${other.cidr}`);
  for (const { machine } of nodes)
    for (const address of machine.held.keys())
      assert.ok(
        blocks.some((it) => it.node === machine.name && contains(it.cidr, address)),
        `${address} of ${machine.name} lies in none of its blocks`,
      );
});

test('what a dead node had is collected on two proofs, and a living agent whose Node was deleted keeps its blocks', async () => {
  const [dead, living] = nodes;
  assert.ok(dead !== undefined && living !== undefined);
  for (let i = 0; i < 5; i++) living.machine.agent?.add();
  const uid = async ({ machine }: RealNode): Promise<string> =>
    (await admin.get(nodesType, machine.name))?.metadata.uid ?? '';
  const uids = [await uid(dead), await uid(living)];
  const of = async (which: string | undefined): Promise<LiveBlock[]> =>
    (await allBlocks()).filter((it) => it.nodeUID === which);
  assert.ok((await of(uids[0])).length > 0);
  // What its blocks were before each went, and whether one of the living was asked for: a look could miss the time between the two
  // proofs, or before the agent objects.
  const lastOf = new Map<string, string | undefined>();
  let asked = false;
  const watching = admin.watch(ipBlockType, {
    keep: (it) => {
      const block = liveBlock(it);
      if (block !== undefined && block.nodeUID === uids[0]) lastOf.set(block.cidr, block.state);
      asked ||= block?.nodeUID === uids[1] && block?.state === 'Releasing';
      return undefined;
    },
    changed: () => undefined,
  });
  await until('a watch of its blocks', () => Promise.resolve(lastOf.size > 0), 60);
  // Long enough for fifty agents of one process to object, on a machine that is busy.
  collect({ absence: seconds(3), veto: seconds(30) });
  await dead.die();
  await Promise.all([dead, living].map(({ machine }) => admin.remove(nodesType, machine.name)));
  await until('the second proof', async () => (await of(uids[0])).length === 0, 120);
  await until(
    'each to have been Releasing before it went: nothing is deleted on one proof',
    () => Promise.resolve([...lastOf.values()].every((state) => state === 'Releasing')),
    60,
  );
  await until(
    'a block of the living to have been Releasing, which its agent objects to',
    () => Promise.resolve(asked),
    60,
  );
  await watching.stop();
  const held = [...living.machine.held.keys()];
  const kept = await of(uids[1]);
  for (const address of held)
    assert.ok(
      kept.some((it) => contains(it.cidr, address)),
      `${address} lost its block`,
    );
  // The kubelet registers it again: the same machine goes on with its blocks, under its new UID.
  await register(living.machine.name);
  const again = await uid(living);
  await until(
    'adoption',
    async () => {
      const mine = await of(again);
      return held.every((address) => mine.some((it) => it.state === 'Claimed' && contains(it.cidr, address)));
    },
    60,
  );
  assert.deepEqual(failures, []);
});

test('another machine under the same name does not get the blocks of the first', async () => {
  const [, , first] = nodes;
  assert.ok(first !== undefined);
  const { name } = first.machine;
  const before = (await allBlocks()).filter((it) => it.node === name);
  assert.ok(before.length > 0);
  await first.die();
  await admin.remove(nodesType, name);
  await register(name, 'another machine');
  const second = new RealNode(name, [main, vip], 'another machine');
  nodes.push(second);
  second.start();
  await until(
    'its own block, and the end of the old ones',
    async () => {
      const now = await allBlocks();
      const uid = (await admin.get(nodesType, name))?.metadata.uid;
      const mine = now.filter((it) => it.node === name);
      return mine.length > 0 && mine.every((it) => it.nodeUID === uid && it.state === 'Claimed');
    },
    120,
  );
  assert.deepEqual(failures, []);
});
