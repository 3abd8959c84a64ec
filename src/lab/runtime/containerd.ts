/**
 * containerd with runc on a host of a lab, as Debian packages them or another one, asked over the CRI as kubelet does. It has its default
 * paths, all of which belong to the host: /run and /etc are the host's own, /var/lib/containerd is a file system of its own,
 * and so are its sockets, shims, mounts and network namespaces, which go with the host. Its cgroups are removed after it.
 *
 *   const containerd = await Containerd.prepare(host);
 *   await installCni(host);
 *   await containerd.start();
 *   const web = await containerd.runPod({ name: 'web' });
 */
import { existsSync } from 'node:fs';
import { cp, writeFile } from 'node:fs/promises';
import { AppError } from '#lib/result.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import { labCgroup, removeCgroup } from '../cgroups.ts';
import type { Host } from '../host.ts';
import { execute, succeeded } from '../process.ts';
import type { LabProcess } from '../process.ts';
import { flatroute, referencePlugins } from '../program.ts';
import { found, notYet, waitFor } from '../wait.ts';
import type { Cri, SandboxDescription } from './cri.ts';
import { connectCri } from './cri.ts';
import { PAUSE_IMAGE, pauseImage } from './images.ts';
import { Sandbox } from './sandbox.ts';

export const CNI_BINARIES = '/run/cni/bin';
/** Where kubeadm's packages have the plugins. */
export const KUBELET_CNI_BINARIES = '/opt/cni/bin';
export const CNI_CONFIGURATION = '/etc/cni/net.d';
/** What survives a power failure of the host: images, and what containerd and libcni remember of sandboxes. */
const DISK = ['/var/lib/containerd', '/var/lib/cni', CNI_CONFIGURATION];
const SOCKET = '/run/containerd/containerd.sock';
const CONFIGURATION = '/run/containerd.toml';
const LOG = 'containerd.log';
/** An image of a hundred megabytes on a busy machine. */
const IMPORT_WITHIN = seconds(60);

export interface ContainerdOptions {
  /** Lines for the section of the `cni` of its CRI plugin. */
  readonly cni?: readonly string[];
  /** For a kubelet: with cgroups, which the host has mounted as the machine has them, and with plugins where kubeadm has them. */
  readonly kubelet?: boolean;
  /** Directory of `containerd`, its shim and `ctr`; those of the machine if not given. */
  readonly programs?: string;
}

const configuration = (options: ContainerdOptions): string => `version = 2
# It would make /opt/containerd on the machine.
disabled_plugins = ["io.containerd.internal.v1.opt"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  # A container of the tests may lack CAP_SYS_RESOURCE; runc would fail to lower the score.
  restrict_oom_score_adj = true
  # A machine of cgroup v1 has no controllers in the unified hierarchy; networks do not need any.
  disable_cgroup = ${options.kubelet !== true}
  disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "${options.kubelet === true ? KUBELET_CNI_BINARIES : CNI_BINARIES}"
  conf_dir = "${CNI_CONFIGURATION}"
${(options.cni ?? []).map((line) => `  ${line}\n`).join('')}
`;

// $1: the cgroup of the host, or nothing. Without /sys/fs/cgroup runc finds nothing to work with, and overlayfs takes no
// overlay, which /var/lib of a host is, for its upper directory.
const PREPARATION = `
set -e
if [ -n "$1" ]; then
  [ -e /sys/fs/cgroup/cgroup.procs ] || mount -t cgroup2 cgroup2 /sys/fs/cgroup
  # Another lab may take the empty directories above away in between.
  for try in 1 2 3 4 5; do ! mkdir -p "/sys/fs/cgroup$1/runtime" || break; done
fi
mkdir -p /var/lib/containerd ${CNI_BINARIES} ${CNI_CONFIGURATION}
mountpoint -q /var/lib/containerd || mount -t tmpfs -o mode=711 tmpfs /var/lib/containerd
`;

/** Why this machine cannot run it, or false. */
export const cannotRunContainerd = (): string | false => {
  if (process.env['FLATROUTE_ROOT'] === 'user-namespace') return 'containerd needs root';
  return existsSync('/usr/bin/containerd') && existsSync('/usr/sbin/runc') ? false : 'containerd or runc is missing';
};

export class Containerd {
  readonly host: Host;
  readonly #cgroup: string;
  readonly #options: ContainerdOptions;
  #process: LabProcess | undefined;
  #cri: Cri | undefined;

  private constructor(host: Host, options: ContainerdOptions) {
    this.host = host;
    this.#options = options;
    this.#cgroup = labCgroup(host.lab, host.name);
  }

  /** Everything it needs on the host, without starting it. Throws OS_LAB_SETUP, OS_LAB_COMMAND. */
  static async prepare(host: Host, options: ContainerdOptions = {}): Promise<Containerd> {
    const containerd = new Containerd(host, options);
    host.atEnd(async () => {
      containerd.#cri?.close();
      await removeCgroup(containerd.#cgroup);
    });
    await host.run(['sh', '-c', PREPARATION, 'sh', options.kubelet === true ? '' : containerd.#cgroup]);
    await host.writeFile(CONFIGURATION, configuration(options));
    return containerd;
  }

  /** On another host what was on the disk of this one, which has lost its power: a machine that boots again. */
  async bootOn(host: Host, options: ContainerdOptions = {}): Promise<Containerd> {
    const containerd = await Containerd.prepare(host, options);
    for (const folder of DISK)
      if (existsSync(this.host.path(folder)))
        await cp(this.host.path(folder), host.path(folder), { recursive: true, force: true, preserveTimestamps: true });
    return containerd;
  }

  get process(): LabProcess {
    if (this.#process === undefined) throw new AppError('BUG_LAB_RUNTIME', `${this.host.name}: not started`, {});
    return this.#process;
  }

  get cri(): Cri {
    if (this.#cri === undefined) throw new AppError('BUG_LAB_RUNTIME', `${this.host.name}: not started`, {});
    return this.#cri;
  }

  /** Resolves when it answers and has the image of the sandboxes. Throws OS_LAB_RUNTIME with the end of its log. */
  async start(): Promise<void> {
    const { host } = this;
    // runc makes a sandbox's cgroup beside its own.
    const enter = `echo $$ > "/sys/fs/cgroup$0/runtime/cgroup.procs" && exec containerd --config ${CONFIGURATION}`;
    const argv =
      this.#options.kubelet === true ? ['containerd', '--config', CONFIGURATION] : ['sh', '-c', enter, this.#cgroup];
    const started = await host.spawn(argv, { log: LOG, environment: this.#environment });
    this.#process = started;
    this.#cri?.close();
    const cri = connectCri(host.path(SOCKET));
    this.#cri = cri;
    let imported = false;
    await waitFor(
      `containerd of ${host.name} to answer and to have its image`,
      async () => {
        host.expectAlive();
        if (started.ended)
          throw new AppError('OS_LAB_RUNTIME', `containerd of ${host.name} ended: ${await this.log()}`, {
            retry: 'never',
          });
        if ((await cri.imageNames()).includes(PAUSE_IMAGE)) return found(undefined);
        if (!imported) {
          imported = true;
          await writeFile(host.path('/run/pause.tar'), pauseImage());
          await this.importImage(host.path('/run/pause.tar'));
        }
        return notYet('the image is not there');
      },
      { deadline: seconds(60), every: milliseconds(20) },
    );
  }

  /** A tar as `docker save` writes it, by its path on the machine. */
  async importImage(path: string): Promise<void> {
    const { host } = this;
    const argv = ['ctr', '--address', host.path(SOCKET), '--namespace', 'k8s.io', 'images', 'import', path];
    const environment = this.#environment;
    succeeded(host.name, argv, await execute(argv, { timeout: IMPORT_WITHIN, environment }));
  }

  /** Where it finds its own programs first; the shim is looked for in the PATH too. */
  get #environment(): Readonly<Record<string, string>> {
    const { programs } = this.#options;
    return programs === undefined ? {} : { PATH: `${programs}:${process.env['PATH'] ?? ''}` };
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    this.process.kill(signal);
    await this.process.exited;
  }

  /** Until kubelet would make the node Ready, or not Ready, of the runtime's network. */
  async untilNetwork(ready: boolean): Promise<void> {
    await waitFor(
      `the runtime's network to be ${ready ? 'ready' : 'not ready'}`,
      async () => {
        const { status, message } = await this.cri.condition('NetworkReady');
        return status === ready ? found(undefined) : notYet(message);
      },
      { deadline: seconds(60) },
    );
  }

  /** RunPodSandbox, and its status. Throws OS_LAB_CRI. */
  async runPod(description: SandboxDescription): Promise<Sandbox> {
    const id = await this.cri.runPodSandbox(description);
    return new Sandbox(this.host, await this.cri.podSandboxStatus(id));
  }

  /** StopPodSandbox and RemovePodSandbox: kubelet's order. */
  async removePod(id: string): Promise<void> {
    await this.cri.stopPodSandbox(id);
    await this.cri.removePodSandbox(id);
  }

  async log(lines = 20): Promise<string> {
    const text = this.#process === undefined ? '' : await this.#process.log();
    return text.trimEnd().split('\n').slice(-lines).join('\n');
  }
}

/** What an operator does on a node: the plugin and its list by `flatroute cni install`, the reference plugins beside it. */
export async function installCni(host: Host, options: readonly string[] = []): Promise<void> {
  const folder = referencePlugins();
  if (folder !== undefined)
    await host.run(['sh', '-c', `mkdir -p ${CNI_BINARIES} && cd ${CNI_BINARIES} && ln -sf ${folder}/* .`]);
  await host.run(flatroute('cni', 'install', '--bin-dir', CNI_BINARIES, '--conf-dir', CNI_CONFIGURATION, ...options));
}
