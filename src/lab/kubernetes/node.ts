/**
 * A node of a Kubernetes cluster on a host of a lab: containerd, kubelet and kube-proxy with the paths they have on a machine
 * that kubeadm has joined. Nothing of it reaches the machine: its disk is memory of the host, its cgroups are below the
 * lab's, and the machine's sysctls that a kubelet would change are hidden from it.
 *
 *   const node = await KubernetesNode.prepare({ host, plane, tools, addresses, podRanges });
 *   await node.start();
 */
import type { IpAddress, Prefix } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import { hierarchies, labCgroup } from '../cgroups.ts';
import type { Host } from '../host.ts';
import { execute, succeeded } from '../process.ts';
import { referencePlugins } from '../program.ts';
import { Containerd, KUBELET_CNI_BINARIES } from '../runtime/containerd.ts';
import type { ControlPlane } from './control-plane.ts';
import { shieldKernelSettings } from './kernel-settings.ts';
import { kubeletConfiguration, nodePreparation, proxyConfiguration, STATIC_PODS } from './kubelet-config.ts';
import { Programs } from './programs.ts';
import type { KubernetesTools } from './tools.ts';

export interface KubernetesNodeOptions {
  readonly host: Host;
  readonly plane: ControlPlane;
  readonly tools: KubernetesTools;
  /** InternalIPs, one of each family. */
  readonly addresses: readonly IpAddress[];
  /** kube-proxy's clusterCIDR. */
  readonly podRanges: readonly Prefix[];
  /** Registers with the taint that keeps pods away until the node's routes are announced; true if not given. */
  readonly taint?: boolean;
  readonly proxyMode?: 'iptables' | 'nftables';
  /** containerd is of `tools`; of the machine if not given. */
  readonly ownRuntime?: boolean;
}

/** What a machine has on its disk, and finds there when it boots again. */
const DISK = [
  '/var/lib/containerd',
  '/var/lib/kubelet',
  '/var/lib/cni',
  '/var/lib/flatroute',
  '/etc/cni/net.d',
  '/etc/flatroute',
  '/etc/kubernetes',
  '/opt/cni/bin',
];
const CONFIGURATION = '/etc/kubernetes';

type Program = 'kubelet' | 'kube-proxy';

export interface SavedDisk {
  readonly host: Host;
  readonly directory: string;
}

/** With owners, modes and devices, without the file systems that are mounted in it. */
async function copyFolder(from: string, to: string): Promise<void> {
  const argv = ['sh', '-c', '[ ! -e "$1" ] || { mkdir -p "$2" && cp -a -x "$1/." "$2/"; }', 'sh', from, to];
  succeeded('the machine', argv, await execute(argv, { timeout: seconds(180) }));
}

export class KubernetesNode {
  readonly host: Host;
  readonly containerd: Containerd;
  readonly #options: KubernetesNodeOptions;
  readonly #programs: Programs<Program>;

  private constructor(options: KubernetesNodeOptions, containerd: Containerd) {
    this.host = options.host;
    this.containerd = containerd;
    this.#options = options;
    this.#programs = new Programs(options.host, options.tools);
  }

  get name(): string {
    return this.host.name;
  }

  /** Everything on its disk, without starting it. Throws OS_LAB_SETUP, OS_LAB_COMMAND. */
  static async prepare(options: KubernetesNodeOptions): Promise<KubernetesNode> {
    const { host, plane } = options;
    const cgroup = labCgroup(host.lab, host.name);
    await host.run(['sh', '-c', nodePreparation(hierarchies()), 'sh', cgroup]);
    await shieldKernelSettings(host);
    const programs = options.ownRuntime === true ? { programs: options.tools.directory } : {};
    const containerd = await Containerd.prepare(host, { kubelet: true, ...programs });
    const plugins = referencePlugins();
    if (plugins !== undefined) await host.run(['sh', '-c', `cp ${plugins}/* ${KUBELET_CNI_BINARIES}/`]);
    const taint = options.taint ?? true;
    await host.writeFile(`${CONFIGURATION}/kubelet.json`, kubeletConfiguration({ ca: plane.ca, cgroup, taint }));
    await host.writeFile(
      `${CONFIGURATION}/kube-proxy.json`,
      proxyConfiguration({
        node: host.name,
        kubeconfig: await plane.kubeconfig('system:kube-proxy'),
        podRanges: options.podRanges,
        mode: options.proxyMode ?? 'iptables',
      }),
    );
    return new KubernetesNode(options, containerd);
  }

  /** What is on its disk, put away in a directory of another host: nothing of it may run any more. */
  async saveDisk(to: Host): Promise<SavedDisk> {
    const saved: SavedDisk = { host: to, directory: `/run/disk-${this.name}` };
    for (const folder of DISK) await copyFolder(this.host.path(folder), to.path(saved.directory + folder));
    return saved;
  }

  /** The same machine after its power was cut and came back: on a new host, with what was on the disk, and nothing runs. */
  async bootOn(host: Host, disk: SavedDisk): Promise<KubernetesNode> {
    const node = await KubernetesNode.prepare({ ...this.#options, host });
    for (const folder of DISK) await copyFolder(disk.host.path(disk.directory + folder), host.path(folder));
    await disk.host.run(['rm', '-rf', disk.directory]);
    return node;
  }

  /** containerd with `images`, then kubelet and kube-proxy; waits for nothing but the images. */
  async start(images: readonly string[] = []): Promise<void> {
    await this.containerd.start();
    await Promise.all(images.map(async (image) => await this.containerd.importImage(image)));
    await this.startProxy();
    await this.startKubelet();
  }

  async startKubelet(): Promise<void> {
    const { plane, addresses } = this.#options;
    await this.#programs.start('kubelet', [
      `--config=${CONFIGURATION}/kubelet.json`,
      `--kubeconfig=${await plane.kubeconfig(`system:node:${this.name}`, ['system:nodes'])}`,
      `--hostname-override=${this.name}`,
      `--node-ip=${addresses.join(',')}`,
      '--root-dir=/var/lib/kubelet',
      '--cert-dir=/var/lib/kubelet/pki',
    ]);
  }

  async startProxy(): Promise<void> {
    await this.#programs.start('kube-proxy', [`--config=${CONFIGURATION}/kube-proxy.json`]);
  }

  /** Its rules stay in the kernel. */
  async stopProxy(): Promise<void> {
    await this.#programs.end('kube-proxy');
  }

  async stopKubelet(): Promise<void> {
    await this.#programs.end('kubelet');
  }

  /** Throws OS_LAB_KUBERNETES with the end of its log when one of them ended by itself. */
  async expectAlive(): Promise<void> {
    await this.#programs.expectAlive();
  }

  async logTail(program: Program, lines?: number): Promise<string> {
    return await this.#programs.logTail(program, lines);
  }

  /** A pod that kubelet runs from a file, without the API server; `undefined` takes it away. */
  async writeStaticPod(name: string, manifest: object | undefined): Promise<void> {
    const path = `${STATIC_PODS}/${name}.json`;
    if (manifest === undefined) await this.host.run(['rm', '-f', path]);
    else await this.host.writeFile(path, JSON.stringify(manifest));
  }
}
