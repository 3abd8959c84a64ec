/**
 * Services on one real agent with a session to FRR: how soon a route is out of the router's kernel after the last endpoint of a Service
 * is gone, and what a cluster with thousands of Services costs the agent.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import type { LabProcess } from '#lab/process.ts';
import type { Host } from '#lab/host.ts';
import { FrrRouter } from '#lab/routers/frr.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import type { Asn, IpAddress } from '#lib/ip.ts';
import { families } from '#lib/ip.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import type { ApiObject } from '#kubernetes/store.ts';
import { endpointSliceType, serviceType } from '#sources/kubernetes/services.ts';
import { buildBundle, residentMebibytes, timed, untilRunning } from '../pods/agent.ts';
import { median, percentile } from '../pods/tables.ts';
import type { Figure } from '../pods/tables.ts';
import { createNode, credentials, launch, makePlace, spentBy } from './place.ts';
import type { Place, Spent } from './place.ts';
import { createAll, openScene, progress, several } from './scene.ts';
import { auditArguments, writeAuditPolicy } from './traffic.ts';

export interface ServicesOptions {
  /** Of the endpoint that goes and comes. */
  readonly rounds: number;
  readonly services: number;
  readonly endpoints: number;
  readonly idleSeconds: number;
}

const NODE = 'node-0';
const NODES = 100;
const RANGE = '100.64.0.0/16';
const SETTLE_MILLISECONDS = 3000;
const CHANGES = 500;
const WARM_UP = 5;
const FEW_ROUNDS = 40;

/** Without a kube-proxy to ask, and without a pause after a withdrawal. */
const configuration = (ranges: boolean): object => ({
  apiVersion: 'flatroute.io/v1alpha1',
  kind: 'BGPConfiguration',
  metadata: { name: 'default' },
  spec: {
    asNumber: 65001,
    serviceLoadBalancerIPs: ranges ? [{ cidr: RANGE }] : [],
    serviceLoadBalancerAggregation: 'Disabled',
    serviceProxy: { healthCheck: false },
    serviceAnnounceDelay: '0s',
  },
});
const peer = {
  apiVersion: 'flatroute.io/v1alpha1',
  kind: 'BGPPeer',
  metadata: { name: 'tor' },
  spec: { peerIP: '192.0.2.1', asNumber: 65100 },
};

const addressOf = (index: number): string => `100.64.${(index + 1) >> 8}.${(index + 1) & 255}`;
const nameOf = (index: number): string => `service-${index}`;

const serviceObject = (index: number): ApiObject => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: nameOf(index), namespace: 'default', labels: { app: nameOf(index) } },
  spec: {
    type: 'LoadBalancer',
    loadBalancerClass: 'example.com/bench',
    allocateLoadBalancerNodePorts: false,
    ports: [{ name: 'http', port: 80, targetPort: 8080, protocol: 'TCP' }],
  },
});

/** As kube-controller-manager makes one; `count` endpoints, spread over the nodes of the cluster. */
const sliceObject = (index: number, count: number): ApiObject => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: {
    name: nameOf(index),
    namespace: 'default',
    labels: {
      'kubernetes.io/service-name': nameOf(index),
      'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
    },
  },
  addressType: 'IPv4',
  ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  endpoints: Array.from({ length: count }, (_, at) => ({
    addresses: [`10.${(index >> 7) & 255}.${(index << 1) & 255}.${at + 1}`],
    conditions: { ready: true, serving: true, terminating: false },
    nodeName: `node-${(index + at) % NODES}`,
    targetRef: {
      kind: 'Pod',
      namespace: 'default',
      name: `${nameOf(index)}-7d4b9c8f6d-${String(at).padStart(5, '0')}`,
      uid: `8f3c2b6e-5d1a-4c7e-9b00-${String(100_000_000_000 + index * 1000 + at)}`,
    },
    zone: 'rack-1',
  })),
});

/** The routes of BGP in a router's kernel, as its kernel tells of each change. */
class RouterKernel {
  readonly #monitor: ReturnType<typeof spawn>;
  readonly #there = new Set<string>();
  #changed: () => void = () => undefined;

  constructor(router: Host) {
    const [program, ...words] = [...router.entryCommand(), 'ip', '-o', 'monitor', 'route'];
    this.#monitor = spawn(program, words, { stdio: ['ignore', 'pipe', 'inherit'] });
    const { stdout } = this.#monitor;
    if (stdout === null) throw new Error('ip monitor has no output');
    createInterface({ input: stdout }).on('line', (line) => {
      const [, gone, address = ''] = /^(Deleted )?(100\.64\.\S+)/.exec(line) ?? [];
      if (address === '') return;
      if (gone === undefined) this.#there.add(address);
      else this.#there.delete(address);
      this.#changed();
    });
  }

  get size(): number {
    return this.#there.size;
  }

  /** Resolves in the moment that it is so. */
  async until(so: (there: ReadonlySet<string>) => boolean): Promise<void> {
    const deadline = AbortSignal.timeout(seconds(120));
    await new Promise<void>((resolve, reject) => {
      deadline.onabort = () => reject(new Error(`the router has ${this.#there.size} routes after 120 s`));
      this.#changed = () => {
        if (so(this.#there)) resolve();
      };
      this.#changed();
    });
    deadline.onabort = null;
  }

  end(): void {
    this.#monitor.kill('SIGKILL');
  }
}

const patchSlice = async ({ scene }: Place, index: number, slice: object): Promise<unknown> =>
  await scene.store.patch(endpointSliceType, nameOf(index), slice, { namespace: 'default' });

/** The one endpoint of a Service goes and comes back, again and again. */
async function goneAndBack(place: Place, kernel: RouterKernel, rounds: number, among = ''): Promise<Figure[]> {
  const { endpoints } = sliceObject(0, 1);
  const gone: number[] = [];
  const answered: number[] = [];
  const back: number[] = [];
  const turn = async (list: unknown, there: boolean, after: number[]): Promise<void> => {
    const from = performance.now();
    const patched = patchSlice(place, 0, { endpoints: list }).then(() => performance.now() - from);
    await kernel.until((routes) => routes.has(addressOf(0)) === there);
    after.push(performance.now() - from);
    answered.push(await patched);
  };
  // The first ones are the compiler's.
  for (let round = -WARM_UP; round < rounds; round++) {
    if (round === 0) for (const list of [gone, answered, back]) list.length = 0;
    await turn([], false, gone);
    await turn(endpoints, true, back);
  }
  return [
    {
      what: `**last endpoint gone${among}**: its route is out of the kernel of FRR after, p50`,
      value: median(gone),
      unit: 'ms',
    },
    { what: '… p99', value: percentile(gone, 99), unit: 'ms' },
    { what: '… at most', value: Math.max(...gone), unit: 'ms' },
    { what: '… of which until the API server had answered the change, p50', value: median(answered), unit: 'ms' },
    {
      what: `**an endpoint again${among}**: its route is in the kernel of FRR after, p50`,
      value: median(back),
      unit: 'ms',
    },
    { what: '… p99', value: percentile(back, 99), unit: 'ms' },
  ];
}

async function createCluster({ scene: { store } }: Place, services: number, endpoints: number): Promise<void> {
  const each = endpoints / services;
  const countOf = (index: number): number => Math.floor((index + 1) * each) - Math.floor(index * each);
  const others = services - 1;
  await createAll(store, serviceType, others, (index) => serviceObject(index + 1));
  await createAll(store, endpointSliceType, others, (index) => sliceObject(index + 1, countOf(index + 1)));
  await several(others, 16, async (index) => await giveAddress(store, index + 1));
}

const giveAddress = async (store: Place['scene']['store'], index: number): Promise<unknown> =>
  await store.patch(
    serviceType,
    nameOf(index),
    { status: { loadBalancer: { ingress: [{ ip: addressOf(index) }] } } },
    { namespace: 'default', subresource: 'status' },
  );

const costs = (spent: Spent, of = 1): Figure[] => [
  { what: '… CPU of the agent', value: (1000 * spent.cpuSeconds) / of, unit: 'ms' },
  { what: '… to and from the API server', value: spent.bytes / 1024 / of, unit: 'KiB' },
];

const idle = async (idleSeconds: number): Promise<void> => await delay(1000 * idleSeconds);

/** Slices change one after the other, each of another Service that keeps an endpoint: nothing is to be announced or withdrawn. */
async function churn(place: Place, services: number): Promise<void> {
  for (let n = 0; n < CHANGES; n++) {
    const index = 1 + ((n * 7) % (services - 1));
    await patchSlice(place, index, { metadata: { annotations: { changed: String(n) } } });
  }
  await delay(SETTLE_MILLISECONDS);
}

interface Agent {
  readonly start: () => Promise<LabProcess>;
  process: LabProcess;
}

async function large(place: Place, kernel: RouterKernel, agent: Agent, options: ServicesOptions): Promise<Figure[]> {
  const { services, endpoints, idleSeconds } = options;
  await place.scene.plane.run(['apply', '-f', '-'], JSON.stringify(configuration(false)));
  await kernel.until((routes) => routes.size === 0);
  await delay(SETTLE_MILLISECONDS);
  const without = residentMebibytes(agent.process.pid);
  const unasked = await spentBy(place, agent.process, async () => await createCluster(place, services, endpoints));
  progress(`${services} Services with ${endpoints} endpoints made`);
  let took = 0;
  const asked = await spentBy(place, agent.process, async () => {
    took = await timed(async () => {
      await place.scene.plane.run(['apply', '-f', '-'], JSON.stringify(configuration(true)));
      await kernel.until((routes) => routes.size === services);
    });
    await delay(SETTLE_MILLISECONDS);
  });
  const memory = residentMebibytes(agent.process.pid);
  progress(`a range is announced: all routes at the router after ${took.toFixed(0)} ms`);
  let turns: readonly Figure[] = [];
  const turned = await spentBy(place, agent.process, async () => {
    turns = await goneAndBack(place, kernel, FEW_ROUNDS, ' among them');
  });
  const churned = await spentBy(place, agent.process, async () => await churn(place, services));
  const quiet = await spentBy(place, agent.process, async () => await idle(idleSeconds));
  agent.process.kill('SIGTERM');
  await agent.process.exited;
  await kernel.until((routes) => routes.size === 0);
  const started = await timed(async () => {
    agent.process = await agent.start();
    await untilRunning(place.node, agent.process);
    await kernel.until((routes) => routes.size === services);
  });
  await delay(SETTLE_MILLISECONDS);
  return [
    {
      what: `**${services} Services, ${endpoints} endpoints, no range**: resident memory`,
      value: without,
      unit: 'MiB',
    },
    { what: '… to and from the API server while they were made', value: unasked.bytes / 1024, unit: 'KiB' },
    { what: '**a range is configured**: all routes are in the kernel of FRR after', value: took, unit: 'ms' },
    ...costs(asked),
    { what: '… resident memory', value: memory, unit: 'MiB' },
    ...turns,
    { what: '**an address withdrawn or announced among them**', value: Number.NaN, unit: '' },
    ...costs(turned, 2 * (FEW_ROUNDS + WARM_UP)),
    { what: `**one slice changes** (of ${CHANGES})`, value: Number.NaN, unit: '' },
    ...costs(churned, CHANGES),
    { what: '**at rest**: CPU', value: (100 * quiet.cpuSeconds) / idleSeconds, unit: '% of a core' },
    { what: '… to and from the API server an hour', value: (quiet.bytes * 3600) / idleSeconds / 1024, unit: 'KiB' },
    { what: '**agent started**: all routes are in the kernel of FRR after', value: started, unit: 'ms' },
    { what: '… resident memory', value: residentMebibytes(agent.process.pid), unit: 'MiB' },
  ];
}

export async function services(options: ServicesOptions): Promise<Figure[]> {
  buildBundle();
  await using scene = await openScene('services', auditArguments, writeAuditPolicy);
  const objects = { apiVersion: 'v1', kind: 'List', items: [configuration(true), peer] };
  const place = await makePlace(scene, JSON.stringify(objects));
  const router = new FrrRouter(place.tor, {
    asn: 65100 as Asn,
    routerId: '192.0.2.1' as IpAddress,
    announce: [],
    holdTimeSeconds: 90,
    multipath: false,
    peers: [{ name: NODE, address: '192.0.2.11' as IpAddress, asn: 65001 as Asn, families }],
  });
  await router.start();
  const kernel = new RouterKernel(place.tor);
  try {
    await createNode(place, NODE);
    await scene.store.create(serviceType, serviceObject(0));
    await scene.store.create(endpointSliceType, sliceObject(0, 1));
    await giveAddress(scene.store, 0);
    const kubeconfig = await credentials(place, NODE);
    const start = async (): Promise<LabProcess> => await launch(place, NODE, kubeconfig);
    const agent: Agent = { start, process: await start() };
    await untilRunning(place.node, agent.process);
    await waitFor(
      'the route of the first Service',
      async () => await Promise.resolve(kernel.size === 1 ? found(undefined) : notYet(`${kernel.size} routes`)),
      { deadline: seconds(60), every: milliseconds(50) },
    ).catch(async (error: unknown) => {
      progress((await agent.process.log()).slice(-2000));
      throw error;
    });
    progress('the route of a Service is at the router');
    const rounds = await goneAndBack(place, kernel, options.rounds);
    progress(`${options.rounds} rounds`);
    return [...rounds, ...(await large(place, kernel, agent, options))];
  } finally {
    kernel.end();
  }
}
