/**
 * A fabric of speakers on simulated links: spines, two top-of-rack routers a rack, nodes under both. Every speaker is the whole
 * engine with its real session machine; the kernel of each is a table that outlives a crash and not a loss of power.
 */
import type { Asn, IpAddress, Prefix } from '#lib/ip.ts';
import { hostPrefix } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import type { BgpFacts, BgpIntent, PeerIntent } from '#bgp/engine.ts';
import { nothingDropped } from '#bgp/io/dropped-segments.ts';
import type { Listener } from '#bgp/io/listener.ts';
import { Speaker } from '#bgp/speaker/engine.ts';
import type { FibUpdate } from '#dataplane/fib/route.ts';
import type { KernelView } from '#dataplane/kernel-view.ts';
import { intent, kernelView, peerIntent, rowsOf } from '../unit/bgp/speaker/network.ts';
import { VirtualClock } from './clock.ts';
import { SimulatedSession } from './session.ts';
import type { Random } from '../support/random.ts';
import { Addresses, Link } from './wire.ts';

const noListener: Listener = {
  listening: 179,
  listenError: undefined,
  refused: { unknownAddress: 0, interface: 0, key: 0 },
  registerRange: () => {
    throw new Error('simulated sessions do not register');
  },
  register: () => {
    throw new Error('simulated sessions do not register');
  },
  close: () => Promise.resolve(),
};

export type Role = 'spine' | 'tor' | 'node';

interface Port {
  readonly far: Host;
  readonly link: Link;
  readonly local: IpAddress;
  readonly remote: IpAddress;
  readonly view: string;
  carrier: boolean;
}

/** What a kernel holds of ours; `fresh`: said in the present life of the agent. */
interface KernelRow {
  hops: readonly string[];
  fresh: boolean;
}

export class Host {
  readonly name: string;
  readonly role: Role;
  readonly asn: Asn;
  readonly routerId: IpAddress;
  readonly ports: Port[] = [];
  readonly kernel = new Map<string, KernelRow>();
  readonly announced = new Set<Prefix>();
  facts: BgpFacts | undefined;
  speaker: Speaker | undefined;
  readonly #fabric: Fabric;
  #sessions: SimulatedSession[] = [];
  #groups = new Map<number, readonly string[]>();
  #generation = 0;

  constructor(fabric: Fabric, name: string, role: Role, number: number) {
    this.#fabric = fabric;
    this.name = name;
    this.role = role;
    this.asn = (4_200_000_000 + number) as Asn;
    this.routerId = `10.255.${number >>> 8}.${number & 255}` as IpAddress;
  }

  get alive(): boolean {
    return this.speaker !== undefined;
  }

  /** `restarted`: after a crash the kernel still has what it had. */
  boot(restarted: boolean): void {
    const { clock, random, addresses } = this.#fabric;
    if (!restarted) this.kernel.clear();
    for (const row of this.kernel.values()) row.fresh = false;
    this.#groups = new Map();
    const speaker: Speaker = new Speaker(
      { restarted, forwardingPreserved: restarted && this.kernel.size > 0 ? ['ipv4'] : [] },
      {
        clock,
        wallClock: () => 1_700_000_000_000 + clock.now(),
        random: () => random.unit(),
        droppedSegments: () => nothingDropped,
        defer: (work) => void clock.after(0, () => this.speaker === speaker && work()),
        outputs: {
          fib: (update) => {
            if (this.speaker !== speaker) return;
            this.#install(update);
            clock.after(random.unit() * 3, () => this.speaker === speaker && speaker.fibApplied(update.sequence));
          },
          facts: (facts) => {
            if (this.speaker === speaker) this.facts = facts;
          },
          event: () => undefined,
        },
        createSession: (options, modules) => {
          const session = new SimulatedSession(options, modules, addresses);
          this.#sessions.push(session);
          return session;
        },
        createListener: () => noListener,
        createDiscovery: () => ({
          want: () => undefined,
          neighbour: () => {
            throw new Error('no simulated peer is named by its interface');
          },
          close: () => undefined,
        }),
      },
    );
    this.speaker = speaker;
    this.see();
    this.apply();
  }

  /** Links and addresses as they are now. */
  see(): void {
    this.speaker?.setKernelView(this.#view());
  }

  #view(): KernelView {
    const view = kernelView(this.ports.map(({ view }) => [view]));
    const down = new Set(this.ports.flatMap(({ carrier }, i) => (carrier ? [] : [i + 1])));
    return {
      interfaces: view.interfaces.map((link) => (down.has(link.index) ? { ...link, up: false } : link)),
      routes: view.routes.filter((route) => !down.has(route.interfaceIndex)),
    };
  }

  apply(): void {
    const peers = this.ports.map(
      ({ far, local, remote }): PeerIntent =>
        peerIntent({
          name: far.name,
          address: remote,
          sourceAddress: local,
          localAsn: this.asn,
          peerAsn: far.asn,
          families: ['ipv4'],
          holdTime: seconds(9),
          transit: this.role !== 'node',
        }),
    );
    const desired: BgpIntent = intent({
      asn: this.asn,
      routerId: this.routerId,
      peers,
      announcements: [...this.announced].map((prefix) => ({ prefix, source: 'advertise' })),
      ownPrefixes: [hostPrefix(this.routerId)],
      multipath: { maximumPaths: 64, relax: true },
    });
    this.speaker?.apply(desired, ++this.#generation);
  }

  die(how: 'crash' | 'power'): void {
    this.speaker = undefined;
    this.facts = undefined;
    for (const session of this.#sessions) session.die(how);
    this.#sessions = [];
    if (how === 'power') this.kernel.clear();
  }

  #install(update: FibUpdate): void {
    for (const { id, members } of update.groups)
      this.#groups.set(
        id,
        members.map(({ gateway }) => gateway),
      );
    for (const { prefix, group } of rowsOf(update)) {
      if (group === 0) this.kernel.delete(prefix);
      else this.kernel.set(prefix, { hops: this.#groups.get(group) ?? ['unknown group'], fresh: true });
    }
    for (const id of update.releasedGroups) this.#groups.delete(id);
    if (update.complete) for (const [prefix, row] of this.kernel) if (!row.fresh) this.kernel.delete(prefix);
  }
}

export interface FabricSize {
  readonly spines: number;
  readonly racks: number;
  readonly nodesPerRack: number;
}

export class Fabric {
  readonly clock = new VirtualClock();
  readonly random: Random;
  readonly addresses: Addresses;
  readonly hosts: Host[] = [];
  readonly links: {
    readonly link: Link;
    readonly ends: readonly [Port, Port];
    readonly hosts: readonly [Host, Host];
  }[] = [];

  constructor(size: FabricSize, random: Random) {
    this.random = random;
    this.addresses = new Addresses(this.clock, random);
    const make = (name: string, role: Role): Host => {
      const host = new Host(this, name, role, this.hosts.length + 1);
      this.hosts.push(host);
      return host;
    };
    const spines = Array.from({ length: size.spines }, (_, i) => make(`spine-${i}`, 'spine'));
    for (let rack = 0; rack < size.racks; rack++) {
      const tors = ['a', 'b'].map((side) => make(`tor-${rack}${side}`, 'tor'));
      for (const tor of tors) for (const spine of spines) this.#connect(tor, spine);
      for (let i = 0; i < size.nodesPerRack; i++) {
        const node = make(`node-${rack}-${i}`, 'node');
        node.announced.add(`10.60.${this.hosts.length}.0/26` as Prefix);
        for (const tor of tors) this.#connect(node, tor);
      }
    }
  }

  #connect(a: Host, b: Host): void {
    const number = this.links.length;
    const address = (end: 1 | 2): IpAddress => `172.${16 + (number >>> 8)}.${number & 255}.${end}` as IpAddress;
    const link = new Link();
    const port = (far: Host, end: 1 | 2): Port => ({
      far,
      link,
      local: address(end),
      remote: address(end === 1 ? 2 : 1),
      view: `${address(end)}/24`,
      carrier: true,
    });
    const ends = [port(b, 1), port(a, 2)] as const;
    a.ports.push(ends[0]);
    b.ports.push(ends[1]);
    for (const { local, remote } of ends) this.addresses.links.set(`${local}|${remote}`, link);
    this.links.push({ link, ends, hosts: [a, b] });
  }

  async advance(milliseconds: number): Promise<void> {
    await this.clock.runUntil(this.clock.now() + milliseconds);
  }
}
