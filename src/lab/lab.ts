/**
 * A lab: hosts and the links between them, for the demo and for tests. Nothing of it touches the machine's own network
 * namespace: links are created inside the namespaces that they join. Several labs can run at once; none uses a name
 * or a subnet of the machine.
 *
 *   await using lab = await Lab.create('ecmp');
 *   const a = await lab.addHost('a'), b = await lab.addHost('b');
 *   await lab.link({ a, b, addresses: [['10.0.0.0/31', '10.0.0.1/31'], ['fd00::/127', 'fd00::1/127']] });
 *   await a.run(['ping', '-c1', '10.0.0.1']);
 */
import { AppError } from '#lib/result.ts';
import { Host } from './host.ts';
import type { HostOptions, LinkEnd } from './host.ts';
import { removeLeftovers } from './leftovers.ts';
import { execute, succeeded } from './process.ts';

export interface LabOptions {
  /** The lab outlives this program if `keep()` is called; otherwise it is disposed of as always. */
  readonly keepable?: boolean;
}

export interface LinkDescription {
  readonly a: Host;
  readonly b: Host;
  /** Interface names; the other end's host name if not given. */
  readonly names?: readonly [a: string, b: string];
  /** One pair for each subnet, `address/length` of either end. */
  readonly addresses: readonly (readonly [a: string, b: string])[];
  /** 1500 if not given. */
  readonly mtu?: number;
}

export interface Link {
  readonly a: LinkEnd;
  readonly b: LinkEnd;
}

let count = 0;
/** Interface indexes of a lab differ from each other: see `link`. */
const FIRST_INDEX = 1000;

export class Lab implements AsyncDisposable {
  /** Unique among all labs of this machine: title, pid of the owner, number. */
  readonly name: string;
  readonly #keepable: boolean;
  readonly #hosts = new Map<string, Host>();
  readonly #links: Link[] = [];
  /** Hosts under way: whoever disposes of the lab meanwhile waits for them. */
  readonly #making = new Set<Promise<Host>>();
  #disposed: Promise<void> | undefined;
  #kept = false;
  #nextIndex = FIRST_INDEX;

  private constructor(name: string, keepable: boolean) {
    this.name = name;
    this.#keepable = keepable;
  }

  /** Removes what dead runs left behind, then starts an empty lab. */
  static async create(title: string, options: LabOptions = {}): Promise<Lab> {
    removeLeftovers();
    count += 1;
    return await Promise.resolve(new Lab(`${title}-${process.pid}-${count}`, options.keepable ?? false));
  }

  /** By name. */
  get hosts(): readonly Host[] {
    return [...this.#hosts.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  get links(): readonly Link[] {
    return this.#links;
  }

  /** Throws OS_LAB_SETUP when the namespaces cannot be made. */
  async addHost(name: string, options: HostOptions = {}): Promise<Host> {
    if (this.#disposed !== undefined) throw new AppError('OS_LAB_SETUP', `lab ${this.name} was disposed of`, {});
    const making = Host.create(this.name, name, this.#keepable, options);
    this.#making.add(making);
    const host = await making.finally(() => this.#making.delete(making));
    if (this.#disposed !== undefined || this.#hosts.has(name)) {
      await host.dispose();
      throw new AppError('OS_LAB_SETUP', `lab ${this.name}: no place for host ${name}`, {});
    }
    this.#hosts.set(name, host);
    return host;
  }

  /** Ends a host, whose links go with it; another one may have its name then. */
  async removeHost(host: Host): Promise<void> {
    await host.dispose();
    if (this.#hosts.get(host.name) === host) this.#hosts.delete(host.name);
    for (const { a, b } of this.#links.filter((link) => link.a.host === host || link.b.host === host)) {
      const end = a.host === host ? b : a;
      // The kernel takes a network namespace away some time after its last process.
      await end.host.exec(['ip', 'link', 'delete', 'dev', end.interface]);
    }
    const left = this.#links.filter((link) => link.a.host !== host && link.b.host !== host);
    this.#links.splice(0, this.#links.length, ...left);
  }

  /** Joins two hosts by a veth pair that is created inside the namespaces. */
  async link(link: LinkDescription): Promise<Link> {
    const { a, b } = link;
    const [aName, bName] = link.names ?? [b.name, a.name];
    const mtu = link.mtu ?? 1500;
    // The kernel reports a veth's loss of carrier at once only if its index differs from its peer's, otherwise up to a
    // second later; in new namespaces both would get the same.
    const index = this.#nextIndex;
    this.#nextIndex += 2;
    const peer = ['peer', 'name', bName, 'index', String(index + 1), 'netns', String(b.pid)];
    const add = ['ip', 'link', 'add', 'name', aName, 'index', String(index), 'type', 'veth', ...peer];
    // Only the network namespace is entered, so that the pid of the other holder means what it means here.
    const result = await execute(['nsenter', `--target=${a.pid}`, '--net', '--', ...add]);
    succeeded(a.name, add, result);
    const made: Link = {
      a: { host: a, interface: aName, addresses: link.addresses.map(([address]) => address) },
      b: { host: b, interface: bName, addresses: link.addresses.map(([, address]) => address) },
    };
    await Promise.all(
      [made.a, made.b].map(async (end) => {
        end.host.joined(end.interface);
        await end.host.ip([
          `link set dev ${end.interface} mtu ${mtu} up`,
          ...end.addresses.map((address) => `address add ${address} dev ${end.interface} nodad`),
        ]);
      }),
    );
    this.#links.push(made);
    return made;
  }

  /** The ends of all links at one host. */
  endsOf(host: Host): readonly LinkEnd[] {
    return this.#links.flatMap((link) => [link.a, link.b]).filter((end) => end.host === host);
  }

  /** From now on `dispose` leaves everything as it is, and the owning program may end. */
  async keep(): Promise<void> {
    if (!this.#keepable)
      throw new AppError('BUG_LAB_KEEP', 'keep() of a lab that was not made keepable', { retry: 'never' });
    this.#kept = true;
    for (const host of this.hosts) await host.release();
  }

  /** Ends every process and takes every namespace away; resolves when all is gone. Any number of calls. */
  async dispose(): Promise<void> {
    if (this.#kept) return;
    this.#disposed ??= this.#end();
    await this.#disposed;
  }

  async #end(): Promise<void> {
    const late = await Promise.allSettled(this.#making);
    const made = late.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    await Promise.all([...new Set([...this.hosts, ...made])].map((host) => host.dispose()));
  }

  /** Like dispose, of a lab that was kept. */
  async remove(): Promise<void> {
    this.#kept = false;
    await this.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}
