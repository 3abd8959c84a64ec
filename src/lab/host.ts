/**
 * A host of a lab: a network, mount, pid and UTS namespace kept alive by one holder process, which is the init of the
 * pid namespace. Its /run is a tmpfs of its own, /etc and /var/lib are overlays, so that fixed paths such as
 * /run/flatroute/cni.sock, /etc/cni and /run/frr belong to that host and nothing of it reaches the machine's disk.
 *
 * The holder reads a pipe whose other end this program has: when the program ends, in whatever way, the pipe closes,
 * the holder ends, the kernel ends every process of the pid namespace and takes the namespaces and links away. A host
 * that is to outlive the program (`keep`) sleeps instead and is found again by its arguments (leftovers.ts).
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, openSync, closeSync } from 'node:fs';
import { readFile, writeFile, mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { IpAddress } from '#lib/ip.ts';
import { familyOf } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import { seconds } from '#lib/time.ts';
import type { Endpoint, ExecOptions, SpawnOptions } from './endpoint.ts';
import type { KernelRoute, LinkRow } from './kernel.ts';
import { readAddresses, readLinks, readRoutes } from './kernel.ts';
import { holderArguments, KEPT_FILE } from './leftovers.ts';
import { execute, LabProcess, succeeded } from './process.ts';
import type { CommandResult } from './process.ts';

export interface HostOptions {
  /** Forwards packets: a router or a node. */
  readonly forwarding?: boolean;
  /** Network sysctls of its own namespace, by their path under /proc/sys/net, such as `ipv4/ip_forward`. */
  readonly sysctls?: Readonly<Record<string, string>>;
  /** Addresses of the loopback interface, such as a node's routed address: /32 and /128. */
  readonly loopback?: readonly IpAddress[];
}

/** One end of a link. */
export interface LinkEnd {
  readonly host: Host;
  readonly interface: string;
  /** `address/length`, both families. */
  readonly addresses: readonly string[];
}

// $1 lab, $2 host, $3 owner, $4 tied|keepable, then pairs of sysctl and value.
// Where a container allows no overlay, /etc is a copy and /var/lib is empty.
// SIGCHLD is ignored, which `cat` inherits: orphans of the pid namespace are reaped by the kernel.
const HOLDER_SCRIPT = `
set -e
trap '' CHLD
mode=$4
hostname "$2"
shift 4
mount -t tmpfs -o mode=755 run /run
for d in /etc /var/lib; do
  o=/run/.overlay/$(basename $d)
  mkdir -p "$o/upper" "$o/work"
  if ! mount -t overlay -o "lowerdir=$d,upperdir=$o/upper,workdir=$o/work" overlay $d 2>/dev/null; then
    [ $d = /var/lib ] || cp -a $d/. "$o/upper"
    mount --bind "$o/upper" $d
  fi
done
mkdir -p /run/log /run/netns
mount -t sysfs sysfs /sys 2>/dev/null || true
while [ $# -gt 0 ]; do echo "$2" > "/proc/sys/net/$1"; shift 2; done
ip link set lo up
echo ready
if [ "$mode" = keepable ]; then exec sleep infinity </dev/null >/dev/null 2>&1; fi
exec cat >/dev/null 2>&1
`;

/** No duplicate-address detection and no router advertisements: addresses of a lab are usable at once. */
const BASE_SYSCTLS: Readonly<Record<string, string>> = {
  'ipv6/conf/all/accept_dad': '0',
  'ipv6/conf/default/accept_dad': '0',
  'ipv6/conf/default/accept_ra': '0',
  // A new network namespace starts with what the machine's own has.
  'ipv4/ip_forward': '0',
  'ipv6/conf/all/forwarding': '0',
  'ipv6/conf/default/forwarding': '0',
};
/** Hash over ports as well: two flows between the same two hosts may take two paths. */
export const MULTIPATH_SYSCTLS = { 'ipv4/fib_multipath_hash_policy': '1', 'ipv6/fib_multipath_hash_policy': '1' };
/** A link without carrier is no next hop, as on a router. */
export const CARRIER_SYSCTLS = {
  'ipv4/conf/all/ignore_routes_with_linkdown': '1',
  'ipv4/conf/default/ignore_routes_with_linkdown': '1',
  'ipv6/conf/all/ignore_routes_with_linkdown': '1',
  'ipv6/conf/default/ignore_routes_with_linkdown': '1',
};
const FORWARDING_SYSCTLS: Readonly<Record<string, string>> = {
  'ipv4/ip_forward': '1',
  'ipv6/conf/all/forwarding': '1',
  'ipv6/conf/default/forwarding': '1',
  ...MULTIPATH_SYSCTLS,
};

export class Host implements Endpoint {
  /** Of the lab it belongs to. */
  readonly lab: string;
  readonly name: string;
  /** Pid of the holder, by which the namespaces are entered. */
  readonly pid: number;
  readonly #entry: ChildProcess;
  readonly #processes = new Set<LabProcess>();
  readonly #endings: (() => Promise<void>)[] = [];
  #links: string[] = [];
  #disposed = false;

  private constructor(lab: string, name: string, pid: number, entry: ChildProcess) {
    this.lab = lab;
    this.name = name;
    this.pid = pid;
    this.#entry = entry;
  }

  /** Makes the namespaces. Throws OS_LAB_SETUP when the kernel or the machine does not allow it. */
  static async create(lab: string, name: string, keep: boolean, options: HostOptions): Promise<Host> {
    const sysctls = { ...BASE_SYSCTLS, ...(options.forwarding === true ? FORWARDING_SYSCTLS : {}), ...options.sysctls };
    const entry = spawn(
      'unshare',
      [
        '--net',
        '--mount',
        '--uts',
        '--pid',
        '--fork',
        '--kill-child',
        '--mount-proc',
        'sh',
        '-c',
        HOLDER_SCRIPT,
        ...holderArguments(lab, name, keep ? 'keepable' : 'tied'),
        ...Object.entries(sysctls).flat(),
      ],
      { stdio: ['pipe', 'pipe', 'pipe'], detached: true },
    );
    const pid = await new Promise<number>((resolve, reject) => {
      let said = '';
      let errors = '';
      const fail = (why: string): void => {
        entry.kill('SIGKILL');
        reject(
          new AppError('OS_LAB_SETUP', `host ${name} of lab ${lab} could not be made: ${errors.trim() || why}`, {
            data: { lab, host: name },
          }),
        );
      };
      const timer = setTimeout(() => fail('no answer within 60 s'), seconds(60));
      entry.once('error', (error) => fail(error.message));
      entry.once('exit', (code) => fail(`unshare ended with ${code ?? 'a signal'}`));
      entry.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
      entry.stdout.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        if (!said.includes('ready')) return;
        clearTimeout(timer);
        entry.removeAllListeners('exit');
        entry.removeAllListeners('error');
        void childOf(entry.pid ?? 0).then(resolve, reject);
      });
    });
    if (keep) {
      entry.stdin.destroy();
      entry.stdout.destroy();
      entry.stderr.destroy();
      entry.unref();
    }
    const host = new Host(lab, name, pid, entry);
    const loopback = options.loopback ?? [];
    await host.ip(loopback.map((a) => `address add ${a}/${familyOf(a) === 'ipv4' ? 32 : 128} dev lo nodad`));
    return host;
  }

  /** The command line that enters this host's namespaces; a pod gives its own network namespace. */
  entryCommand(networkNamespace?: string): readonly string[] {
    const net = networkNamespace === undefined ? '--net' : `--net=${this.path(`/run/netns/${networkNamespace}`)}`;
    return ['nsenter', `--target=${this.pid}`, '--mount', '--uts', '--pid', net, '--'];
  }

  /** Throws OS_LAB_GONE, which ends every waiting, when the host was disposed of. */
  expectAlive(): void {
    if (this.#disposed) throw new AppError('OS_LAB_GONE', `${this.name} was disposed of`, { retry: 'never' });
  }

  async exec(argv: readonly string[], options: ExecOptions = {}): Promise<CommandResult> {
    this.expectAlive();
    return await execute([...this.entryCommand(), ...argv], options);
  }

  async run(argv: readonly string[], options: ExecOptions = {}): Promise<string> {
    return succeeded(this.name, argv, await this.exec(argv, options));
  }

  async spawn(argv: readonly string[], options: SpawnOptions = {}): Promise<LabProcess> {
    return await this.spawnIn(undefined, argv, options);
  }

  /** Like spawn, in the network namespace of a pod. */
  async spawnIn(
    networkNamespace: string | undefined,
    argv: readonly string[],
    options: SpawnOptions,
  ): Promise<LabProcess> {
    this.expectAlive();
    const log = this.path(`/run/log/${options.log ?? (argv[0] ?? 'process').split('/').at(-1) ?? 'process'}`);
    mkdirSync(dirname(log), { recursive: true });
    const file = openSync(log, 'a');
    try {
      const entry = [...this.entryCommand(networkNamespace), ...argv];
      const started = await LabProcess.start(argv, entry, options.environment ?? {}, file, log);
      this.#processes.add(started);
      void started.exited.then(() => this.#processes.delete(started));
      return started;
    } finally {
      closeSync(file);
    }
  }

  /** Lines for `ip -batch`, inside this host. */
  async ip(lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return;
    const argv = ['ip', '-batch', '-'];
    const result = await this.exec(argv, { input: `${lines.join('\n')}\n` });
    succeeded(this.name, ['ip', '-batch', `(${lines.join(' | ')})`], result);
  }

  /** A file of this host as this process can open it. */
  path(inside: string): string {
    return `/proc/${this.pid}/root${inside}`;
  }

  async readFile(inside: string): Promise<string> {
    return await readFile(this.path(inside), 'utf8');
  }

  async writeFile(inside: string, text: string, mode = 0o644): Promise<void> {
    await mkdir(dirname(this.path(inside)), { recursive: true });
    await writeFile(this.path(inside), text, { mode });
  }

  async links(): Promise<readonly LinkRow[]> {
    return await readLinks(this);
  }

  /** Every address of every interface, without link-local ones. */
  async addresses(): Promise<readonly IpAddress[]> {
    return await readAddresses(this);
  }

  /** Routes of the main table in both families. */
  async routes(): Promise<readonly KernelRoute[]> {
    return await readRoutes(this);
  }

  /** Told by the lab which interfaces join this host to others. */
  joined(link: string): void {
    this.#links.push(link);
  }

  /** Loses power: every process is killed and every link loses its carrier. The namespaces stay. */
  async powerOff(): Promise<void> {
    await this.ip(this.#links.map((link) => `link set dev ${link} down`));
    await this.killAll();
  }

  /** Links have a carrier again; what ran before must be started by whoever knows it. */
  async powerOn(addresses: readonly LinkEnd[] = []): Promise<void> {
    await this.ip([
      ...this.#links.map((link) => `link set dev ${link} up`),
      // The kernel removes IPv6 addresses of an interface that goes down.
      ...addresses.flatMap((end) => end.addresses.map((a) => `address replace ${a} dev ${end.interface} nodad`)),
    ]);
  }

  /** Kills every process of the host but its holder, including those that daemons left behind. */
  async killAll(): Promise<void> {
    const running = [...this.#processes];
    // -1 reaches every process of the pid namespace but its init and the sender.
    await execute([...this.entryCommand(), 'sh', '-c', 'kill -9 -1']);
    for (const one of running) one.kill('SIGKILL');
    await Promise.all(running.map((p) => p.exited));
  }

  /** Processes of this host, as seen from inside, without the holder and the reader. */
  async processes(): Promise<readonly string[]> {
    const out = await this.run(['ps', '-e', '-o', 'pid=,args=']);
    return out
      .split('\n')
      .map((line) => line.trim())
      .filter(
        (line) => line !== '' && !line.startsWith('1 ') && !line.includes('ps -e -o') && !line.endsWith('<defunct>'),
      );
  }

  /** Lets the owning program end while this host goes on. */
  async release(): Promise<void> {
    await this.writeFile(KEPT_FILE, '');
    for (const running of this.#processes) running.release();
  }

  /** Done by `dispose` when no process of the host is left: for what the kernel does not take away with them. */
  atEnd(action: () => Promise<void>): void {
    this.#endings.push(action);
  }

  /** Ends the holder and with it everything; resolves when the last process is gone. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    const entry = this.#entry;
    // That of a kept host does not hold this program up; waiting for its end has to.
    entry.ref();
    const gone =
      entry.exitCode !== null || entry.signalCode !== null
        ? Promise.resolve()
        : new Promise<void>((resolve) => entry.once('exit', () => resolve()));
    try {
      process.kill(this.pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
    const entered = [...this.#processes];
    for (const one of entered) {
      one.hold();
      one.kill('SIGKILL');
    }
    await gone;
    // Whoever entered the host is not in its pid namespace, and ends after the child that it reaps.
    await Promise.all(entered.map((one) => one.exited));
    for (const ending of this.#endings.splice(0)) await ending();
  }
}

async function childOf(pid: number): Promise<number> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  const first = Number(children.trim().split(' ')[0]);
  if (!(first > 0)) throw new AppError('OS_LAB_SETUP', `unshare (pid ${pid}) has no child`, {});
  return first;
}
