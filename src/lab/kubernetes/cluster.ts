/**
 * A Kubernetes cluster in a lab: control plane, nodes with containerd, kubelet and kube-proxy, FRR as both routers and a VM
 * behind them. It is bare as kubeadm leaves it: nodes are not Ready until somebody brings a network.
 *
 *   await using cluster = await Cluster.create({ nodes: 2, images: ['image.tar'] });
 *   await cluster.plane.run(['apply', '-k', 'deploy/base']);
 */
import { writeFile } from 'node:fs/promises';
import { families } from '#lib/ip.ts';
import type { IpAddress } from '#lib/ip.ts';
import type { Duration } from '#lib/time.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import { Lab } from '../lab.ts';
import { PodEndpoint } from '../pod-endpoint.ts';
import { witnessImage } from '../runtime/images.ts';
import { found, notYet, waitFor } from '../wait.ts';
import type { Look } from '../wait.ts';
import { ControlPlane } from './control-plane.ts';
import { ClusterNetwork } from './network.ts';
import { KubernetesNode } from './node.ts';
import { API_ADDRESS, NODE_CIDRS, nodeAddresses, POD_RANGES } from './plan.ts';
import { hasContainerd, kubernetesTools } from './tools.ts';
import type { KubernetesTools } from './tools.ts';

export interface ClusterOptions {
  readonly nodes: number;
  /** Further images that every node has: paths of tars as `docker save` writes them, which may be made while the control plane starts. */
  readonly images?: readonly (string | Promise<string>)[];
  readonly taint?: boolean;
  readonly log?: (line: string) => void;
}

const PROGRAMS = [
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kubelet',
  'kube-proxy',
  'kubectl',
  'etcd',
];

/** The fields of a Pod that a lab looks at. */
export interface PodObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
  readonly spec: { readonly nodeName?: string; readonly hostNetwork?: boolean };
  readonly status: {
    readonly phase?: string;
    readonly podIPs?: readonly { readonly ip: IpAddress }[];
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
    readonly containerStatuses?: readonly {
      readonly restartCount: number;
      readonly state?: Readonly<Record<string, { readonly reason?: string; readonly message?: string }>>;
    }[];
  };
}

export class Cluster implements AsyncDisposable {
  readonly lab: Lab;
  readonly network: ClusterNetwork;
  readonly plane: ControlPlane;
  readonly tools: KubernetesTools;
  readonly #nodes: KubernetesNode[] = [];
  readonly #options: ClusterOptions;
  readonly #images: readonly string[];

  private constructor(
    network: ClusterNetwork,
    plane: ControlPlane,
    tools: KubernetesTools,
    options: ClusterOptions,
    images: readonly string[],
  ) {
    this.lab = network.lab;
    this.network = network;
    this.plane = plane;
    this.tools = tools;
    this.#options = options;
    this.#images = images;
  }

  /** Every node is registered; none is Ready. Throws OS_LAB_SETUP, OS_LAB_KUBERNETES. */
  static async create(options: ClusterOptions): Promise<Cluster> {
    const tools = kubernetesTools(PROGRAMS);
    const lab = await Lab.create('cluster');
    try {
      const network = await ClusterNetwork.create(lab);
      const plane = await ControlPlane.start({
        host: network.control,
        address: API_ADDRESS,
        tools,
        controllers: true,
        controllerManager: [
          '--allocate-node-cidrs=true',
          `--cluster-cidr=${NODE_CIDRS.join(',')}`,
          '--node-cidr-mask-size-ipv4=26',
          '--node-cidr-mask-size-ipv6=122',
          // A node that is gone is noticed soon, and nothing waits for it five minutes.
          '--node-monitor-grace-period=20s',
        ],
        ...(options.log === undefined ? {} : { log: options.log }),
      });
      const witness = '/run/witness.tar';
      await writeFile(network.control.path(witness), witnessImage());
      const images = [network.control.path(witness)];
      for (const image of options.images ?? []) images.push(await image);
      const cluster = new Cluster(network, plane, tools, options, images);
      await Promise.all(Array.from({ length: options.nodes }, async (_, i) => await cluster.addNode(i + 1)));
      return cluster;
    } catch (error) {
      await lab.dispose();
      throw error;
    }
  }

  get nodes(): readonly KubernetesNode[] {
    return this.#nodes;
  }

  /** `node-N`. */
  node(name: string): KubernetesNode {
    const node = this.#nodes.find((one) => one.name === name);
    if (node === undefined) throw new TypeError(`no node ${name}`);
    return node;
  }

  /** A new machine, which registers itself. */
  async addNode(n: number): Promise<KubernetesNode> {
    const { plane, tools } = this;
    const node = await KubernetesNode.prepare({
      host: await this.network.addNode(n),
      plane,
      tools,
      addresses: nodeAddresses(n),
      podRanges: POD_RANGES,
      // Both that kubeadm offers.
      proxyMode: n % 2 === 0 ? 'nftables' : 'iptables',
      // containerd 2 on odd nodes where it was built, and the machine's older one on even ones.
      ownRuntime: n % 2 !== 0 && hasContainerd(tools),
      ...(this.#options.taint === undefined ? {} : { taint: this.#options.taint }),
    });
    this.#nodes.push(node);
    this.#nodes.sort((a, b) => (a.name < b.name ? -1 : 1));
    await node.start(this.#images);
    await this.until(`${node.name} to be registered`, async () => {
      await node.expectAlive();
      const { code, stderr } = await plane.kubectl(['get', 'node', node.name]);
      return code === 0 ? found(undefined) : notYet(`${stderr.trim()}; kubelet: ${await node.logTail('kubelet', 3)}`);
    });
    return node;
  }

  /** Its power is cut for ever; its Node object stays. */
  async removeNode(name: string): Promise<void> {
    const node = this.node(name);
    await this.lab.removeHost(node.host);
    this.#nodes.splice(this.#nodes.indexOf(node), 1);
  }

  /** Its power is cut, and comes back: a kernel that knows nothing, and the disk as it was. */
  async rebootNode(name: string): Promise<KubernetesNode> {
    const before = this.node(name);
    await before.host.powerOff();
    const disk = await before.saveDisk(this.network.control);
    await this.lab.removeHost(before.host);
    const node = await before.bootOn(await this.network.addNode(Number(name.split('-')[1])), disk);
    this.#nodes[this.#nodes.indexOf(before)] = node;
    await node.start();
    return node;
  }

  /** Waits for what a busy machine may take a while for. */
  async until<T>(what: string, look: () => Promise<Look<T>>, deadline: Duration = seconds(180)): Promise<T> {
    return await waitFor(what, look, { deadline, every: milliseconds(250) });
  }

  /** Pods by namespace, or by namespace and label. */
  async pods(namespace: string, selector?: string): Promise<readonly PodObject[]> {
    const which = selector === undefined ? [] : ['-l', selector];
    const answer = await this.plane.run(['get', 'pods', '-n', namespace, ...which, '-o', 'json']);
    return (JSON.parse(answer) as { readonly items: readonly PodObject[] }).items;
  }

  async apply(...manifests: readonly object[]): Promise<void> {
    await this.plane.run(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests }));
  }

  async nodesReady(): Promise<void> {
    await this.until('every node to be Ready', async () => {
      for (const node of this.#nodes) await node.expectAlive();
      const text = await this.plane.run([
        'get',
        'nodes',
        '-o',
        'jsonpath={range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Ready")].message}{"\\n"}{end}',
      ]);
      const waiting = text.split('\n').filter((line) => line !== '' && line.split(' ')[1] !== 'True');
      return waiting.length === 0 ? found(undefined) : notYet(waiting.join(' | '));
    });
  }

  /** Exactly so many pods, all Ready, none on its way out. */
  async podsReady(
    namespace: string,
    selector: string,
    count: number,
    deadline?: Duration,
  ): Promise<readonly PodObject[]> {
    return await this.until(
      `${count} pods ${selector} to be Ready`,
      async () => {
        const all = await this.pods(namespace, selector);
        const ready = all.filter(isReady);
        return all.length === count && ready.length === count
          ? found(ready)
          : notYet(`${ready.length} of ${all.length} ready; ${await this.#whyNot(all)}`);
      },
      deadline,
    );
  }

  async #whyNot(pods: readonly PodObject[]): Promise<string> {
    const waiting = pods.find((pod) => !isReady(pod));
    if (waiting === undefined) return 'none waits';
    const { name, namespace } = waiting.metadata;
    const events = await this.plane.kubectl([
      'get',
      'events',
      '-n',
      namespace,
      `--field-selector=involvedObject.name=${name}`,
      '-o',
      'jsonpath={range .items[*]}{.reason}: {.message}{"\\n"}{end}',
    ]);
    return `${name}: ${JSON.stringify(waiting.status.containerStatuses?.map((it) => it.state))} ${events.stdout.trim().split('\n').slice(-3).join(' | ')}`;
  }

  /** The network of a pod, in which programs of the machine can be run. */
  async endpoint(pod: PodObject): Promise<PodEndpoint> {
    const node = this.node(pod.spec.nodeName ?? '');
    const { cri } = node.containerd;
    const row = (await cri.listPodSandbox()).find((one) => one.ready && one.name === pod.metadata.name);
    if (row === undefined) throw new TypeError(`${node.name} has no sandbox of ${pod.metadata.name}`);
    const status = await cri.podSandboxStatus(row.id);
    return new PodEndpoint(node.host, pod.metadata.name, status.networkNamespace?.split('/').at(-1), status.addresses);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab.dispose();
  }
}

export const isReady = (pod: PodObject): boolean =>
  pod.metadata.deletionTimestamp === undefined &&
  pod.status.podIPs?.length === families.length &&
  pod.status.conditions?.find(({ type }) => type === 'Ready')?.status === 'True';
