/**
 * Engines in one process on a simulated network: sessions that come up when both ends want them, bytes through the real
 * codec, a clock that only moves when told. Everything runs in `settle`, in a fixed order.
 */
import type { Asn, Family, IpAddress, Prefix } from '#lib/ip.ts';
import { addressBytes, contains, prefixOf } from '#lib/ip.ts';
import type { Clock, Instant } from '#lib/time.ts';
import { instant, seconds } from '#lib/time.ts';
import { type BgpFacts, type BgpIntent, type PeerIntent, type RouteRow, isExternal } from '#bgp/engine.ts';
import type { FibUpdate } from '#dataplane/fib/route.ts';
import { fibRowBytes } from '#dataplane/fib/route.ts';
import type { KernelInterface, KernelView } from '#dataplane/kernel-view.ts';
import type { Session, SessionModules, SessionOptions } from '#bgp/io/session-runner.ts';
import type { SessionDown } from '#bgp/io/session-port.ts';
import { createDiscovery } from '#bgp/discovery/io/discovery.ts';
import type { Icmp6Datagram, Icmp6Port } from '#bgp/discovery/io/icmp6-port.ts';
import { nothingDropped } from '#bgp/io/dropped-segments.ts';
import type { ExpectedRange, Listener } from '#bgp/io/listener.ts';
import type { SessionState } from '#bgp/engine.ts';
import { AFI, HEADER_BYTES, SAFI_UNICAST } from '#bgp/wire/codes.ts';
import type { Capability, Reset, WireContext } from '#bgp/wire/messages.ts';
import { decodeMessage } from '#bgp/wire/message.ts';
import { isFinal } from '#bgp/wire/notification.ts';
import { Speaker } from '#bgp/speaker/engine.ts';
import type { SpeakerOptions } from '#bgp/speaker/modules.ts';
import { prefixFromBytes } from '#lib/ip.ts';

class FakeClock implements Clock {
  #now = 0;
  #timers: { at: number; callback: () => void }[] = [];

  now(): Instant {
    return instant(this.#now);
  }

  at(at: Instant, callback: () => void): () => void {
    const timer = { at, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Runs one timer that is due by `until`, moving time to it; false when there is none. */
  fire(until: number): boolean {
    const due = this.#timers.filter((timer) => timer.at <= until).sort((a, b) => a.at - b.at)[0];
    if (due === undefined) return false;
    this.#timers = this.#timers.filter((other) => other !== due);
    this.#now = Math.max(this.#now, due.at);
    due.callback();
    return true;
  }

  set(now: number): void {
    this.#now = Math.max(this.#now, now);
  }
}

export class FakeSession implements Session {
  state: SessionState = 'Idle';
  lastError: Session['lastError'];
  retryAt: Session['retryAt'];
  messages = { received: 0, sent: 0 };
  families: readonly Family[] = [];
  started = false;
  /** The socket takes nothing until it is opened again. */
  full = false;
  sentBytes = 0;
  /** Message types, in order. */
  readonly typesSent: number[] = [];
  /** ROUTE-REFRESH subtypes that this end sent. */
  readonly refreshesSent: number[] = [];
  lastReset: Reset | undefined;
  readonly options: SessionOptions;
  readonly modules: SessionModules;
  readonly #network: Network;
  other: FakeSession | undefined;

  readonly node: Node;

  constructor(options: SessionOptions, modules: SessionModules, network: Network, node: Node) {
    this.options = options;
    this.modules = modules;
    this.#network = network;
    this.node = node;
  }

  get localAddress(): IpAddress {
    const { interface: link, peer } = this.options;
    return link === undefined
      ? (peer.sourceAddress as IpAddress)
      : (this.#network.farEnd(this.node, link.name)?.near.address as IpAddress);
  }

  start(): void {
    this.started = true;
    this.#network.sessions.add(this);
  }

  send(bytes: Uint8Array): boolean {
    const { other } = this;
    this.sentBytes += bytes.length;
    for (let at = 0; at < bytes.length; ) {
      const length = ((bytes[at + 16] as number) << 8) | (bytes[at + 17] as number);
      const frame = bytes.slice(at, at + length);
      at += length;
      if (this.#network.mute.has(this.localAddress)) continue;
      this.messages.sent++;
      this.typesSent.push(frame[18] as number);
      if (frame[18] === 5) this.refreshesSent.push(frame[HEADER_BYTES + 2] as number);
      this.#network.queue.push(() => {
        if (other !== undefined && this.other === other) other.receive(frame);
      });
    }
    return !this.full;
  }

  receive(frame: Uint8Array): void {
    this.messages.received++;
    const context: WireContext | undefined = this.context;
    const decoded = decodeMessage({ type: frame[18] as 2 | 5, bytes: frame }, context);
    if (!decoded.ok) throw new Error(decoded.error.text);
    if (decoded.value.kind === 'update') {
      const reset = this.modules.handlers.update(decoded.value);
      if (reset !== undefined) this.reset(reset);
    } else if (decoded.value.kind === 'routeRefresh') this.modules.handlers.routeRefresh(decoded.value);
  }

  context: WireContext | undefined;
  /** Both ends have the N bit. */
  notificationRestart = false;

  reset(reset: Reset): void {
    const keepRoutes = this.notificationRestart && !isFinal(reset);
    this.lastReset = reset;
    // Idle hold time: it does not come back at once.
    this.started = false;
    this.modules.clock.at(instant(this.modules.clock.now() + 5000), () => {
      this.started = true;
    });
    this.#network.cut(this, { code: 'SESSION_RESET', text: reset.text, keepRoutes, replaced: false });
  }

  async stop(how: 'silent' | Reset): Promise<void> {
    this.started = false;
    this.#network.sessions.delete(this);
    const keepRoutes =
      how === 'silent' ? this.modules.gracefulRestart() !== undefined : this.notificationRestart && !isFinal(how);
    if (how !== 'silent') this.lastReset = how;
    // What was sent before is delivered first.
    await Promise.resolve();
    this.#network.queue.push(() =>
      this.#network.cut(this, { code: 'SESSION_CONNECTION_CLOSED', text: 'closed', keepRoutes, replaced: false }),
    );
  }

  paused = false;

  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  /** Keys that were put onto it while it lived. */
  readonly keys: (string | undefined)[] = [];
  setPassword(password: string | undefined): void {
    this.keys.push(password);
  }
}

const listenerOf = (node: Node): Listener => ({
  listening: 179,
  listenError: undefined,
  refused: { unknownAddress: 0, interface: 0, key: 0 },
  register: () => {
    throw new Error('fake sessions do not register');
  },
  registerRange: (range) => {
    node.ranges.add(range);
    node.rangeKeys.push(range.password);
    return {
      problem: undefined,
      setPassword: (password) => void node.rangeKeys.push(password),
      close: () => void node.ranges.delete(range),
    };
  },
  close: async () => {},
});

export interface Row {
  readonly prefix: Prefix;
  readonly group: number;
}

export class Node {
  readonly name: string;
  readonly speaker: Speaker;
  readonly fib: FibUpdate[] = [];
  /** The kernel that the updates make: prefix to gateways, sorted. */
  readonly kernel = new Map<string, string[]>();
  readonly groups = new Map<number, string[]>();
  facts: BgpFacts | undefined;
  readonly events: { event: string; fields: Readonly<Record<string, unknown>> }[] = [];
  /** False: the kernel confirms nothing until `confirm`. */
  confirms = true;
  /** What this node's kernel counts. */
  dropped = nothingDropped;
  readonly sessions: FakeSession[] = [];
  readonly ranges = new Set<ExpectedRange>();
  /** Keys that were put onto the listener for ranges. */
  readonly rangeKeys: (string | undefined)[] = [];

  constructor(network: Network, name: string, restart: SpeakerOptions) {
    this.name = name;
    this.speaker = new Speaker(restart, {
      clock: network.clock,
      wallClock: () => 1_700_000_000_000 + network.clock.now(),
      random: () => 0.5,
      droppedSegments: () => this.dropped,
      defer: (work) => void network.deferred.push(work),
      outputs: {
        fib: (update) => {
          this.fib.push(update);
          this.#install(update);
          if (this.confirms) network.deferred.push(() => this.speaker.fibApplied(update.sequence));
        },
        facts: (facts) => {
          this.facts = facts;
        },
        event: (_level, event, fields) => void this.events.push({ event, fields }),
      },
      createSession: (options, modules) => {
        const session = new FakeSession(options, modules, network, this);
        this.sessions.push(session);
        return session;
      },
      createListener: () => listenerOf(this),
      createDiscovery: (modules) => createDiscovery(modules, (received) => network.icmp6(this, received)),
    });
  }

  #install(update: FibUpdate): void {
    for (const group of update.groups)
      this.groups.set(
        group.id,
        group.members.map(({ gateway, interfaceIndex }) => `${gateway}%${interfaceIndex}`),
      );
    for (const { prefix, group } of rowsOf(update)) {
      const members = this.groups.get(group);
      if (group === 0) this.kernel.delete(prefix);
      else if (members === undefined) throw new Error(`row of ${prefix} uses unknown group ${group}`);
      else this.kernel.set(prefix, members);
    }
    for (const id of update.releasedGroups) this.groups.delete(id);
  }

  /** Somebody connects from this address: whether it is let in; `undefined`: no range holds it. */
  arrives(address: string): boolean | undefined {
    return [...this.ranges].find((range) => contains(range.prefix, ip(address)))?.admit(ip(address));
  }

  confirm(): void {
    for (const { sequence } of this.fib) this.speaker.fibApplied(sequence);
  }

  received(peer?: string): RouteRow[] {
    return this.rows('received', peer);
  }

  rows(direction: 'received' | 'accepted' | 'announced' | 'best', peer?: string): RouteRow[] {
    return [...this.speaker.routes({ direction, limit: 100_000, ...(peer === undefined ? {} : { peer }) }).rows];
  }

  session(peer: string): FakeSession {
    const session = this.sessions.findLast((s) => s.options.peer.name === peer);
    if (session === undefined) throw new Error(`${this.name} has no session ${peer}`);
    return session;
  }
}

export function rowsOf(update: FibUpdate): Row[] {
  return Array.from(update.groupIds, (group, i) => {
    const row = update.prefixes.subarray(i * fibRowBytes, (i + 1) * fibRowBytes);
    const width = row[0] === 4 ? 4 : 16;
    return { prefix: prefixFromBytes(row.slice(2, 2 + width), row[1] as number), group };
  });
}

export interface LinkEnd {
  readonly node: Node;
  /** Of the interface, as in the node's view. */
  readonly name: string;
  readonly index: number;
  readonly address: IpAddress;
}

export class Network {
  readonly clock = new FakeClock();
  readonly sessions = new Set<FakeSession>();
  queue: (() => void)[] = [];
  deferred: (() => void)[] = [];
  /** Pairs `a|b` that cannot reach each other. */
  readonly broken = new Set<string>();
  /** Addresses whose sessions say nothing: the test plays what they would. */
  readonly mute = new Set<IpAddress>();
  readonly nodes: Node[] = [];

  node(name: string, restart: SpeakerOptions = { restarted: false, forwardingPreserved: [] }): Node {
    const node = new Node(this, name, restart);
    this.nodes.push(node);
    return node;
  }

  /** Two ends of one unnumbered link; what one says there the other hears. */
  readonly wires: (readonly [LinkEnd, LinkEnd])[] = [];
  readonly #icmp6 = new Map<Node, (datagram: Icmp6Datagram) => void>();

  farEnd(node: Node, name: string): { readonly near: LinkEnd; readonly far: LinkEnd } | undefined {
    const isEnd = (end: LinkEnd): boolean => end.node === node && end.name === name;
    for (const [a, b] of this.wires) {
      if (isEnd(a)) return { near: a, far: b };
      if (isEnd(b)) return { near: b, far: a };
    }
    return undefined;
  }

  icmp6(node: Node, received: (datagram: Icmp6Datagram) => void): Icmp6Port {
    this.#icmp6.set(node, received);
    return {
      join: () => undefined,
      leave: () => undefined,
      send: (bytes, _to, interfaceIndex) => {
        const near = this.wires.flat().filter((end) => end.node === node && end.index === interfaceIndex);
        for (const end of near) {
          const far = this.wires.find((wire) => wire.includes(end))?.find((other) => other !== end);
          if (far === undefined) continue;
          const datagram = { bytes: bytes.slice(), source: end.address, interface: far.name };
          this.queue.push(() => this.#icmp6.get(far.node)?.(datagram));
        }
      },
      close: () => void this.#icmp6.delete(node),
    };
  }

  #onOneLink(a: FakeSession, b: FakeSession): boolean {
    const [here, there] = [a.options.interface?.name, b.options.interface?.name];
    if (here === undefined || there === undefined) return here === there;
    const far = this.farEnd(a.node, here)?.far;
    return far?.node === b.node && far.name === there;
  }

  #connect(): boolean {
    for (const session of this.sessions) {
      if (session.other !== undefined || !session.started) continue;
      const { peer } = session.options;
      if (this.broken.has(`${session.localAddress}|${peer.address}`)) continue;
      const other = [...this.sessions].find(
        (candidate) =>
          candidate.started &&
          candidate.other === undefined &&
          candidate.localAddress === peer.address &&
          candidate.options.peer.address === session.localAddress &&
          this.#onOneLink(session, candidate),
      );
      if (other === undefined) continue;
      session.other = other;
      other.other = session;
      this.#establish(session, other);
      this.#establish(other, session);
      return true;
    }
    return false;
  }

  #establish(session: FakeSession, other: FakeSession): void {
    const { peer } = session.options;
    const families = peer.families.filter((family) => other.options.peer.families.includes(family));
    const ours = session.modules.gracefulRestart();
    const theirs = other.modules.gracefulRestart();
    const gracefulRestart: Extract<Capability, { kind: 'gracefulRestart' }> | undefined =
      ours === undefined || theirs === undefined
        ? undefined
        : {
            kind: 'gracefulRestart',
            restarted: theirs.restarted,
            notification: theirs.notification,
            restartTimeSeconds: theirs.restartTimeSeconds,
            families: theirs.families.map(({ family, forwarding }) => ({
              afi: AFI[family],
              safi: SAFI_UNICAST,
              forwarding,
            })),
          };
    const longLived: Extract<Capability, { kind: 'longLivedGracefulRestart' }> | undefined = theirs?.longLived && {
      kind: 'longLivedGracefulRestart',
      families: theirs.families
        .filter(({ family }) => theirs.longLived?.families.includes(family))
        .map(({ family, forwarding }) => ({
          afi: AFI[family],
          safi: SAFI_UNICAST,
          forwarding,
          staleTimeSeconds: theirs.longLived?.staleTimeSeconds ?? 0,
        })),
    };
    const [mine, yours] = [peer.addPath, other.options.peer.addPath];
    const sends = (from: PeerIntent['addPath'], to: PeerIntent['addPath']): readonly Family[] =>
      (from?.send ?? 1) > 1 && to?.receive === true ? families : [];
    session.context = {
      fourOctetAs: true,
      external: isExternal(peer),
      families,
      maximumMessageBytes: 4096,
      peerAsn: typeof peer.peerAsn === 'number' ? peer.peerAsn : other.options.peer.localAsn,
      extendedNextHop: [session, other].every(({ options }) => options.local.capabilities.extendedNextHop),
      addPath: { receive: sends(yours, mine), send: sends(mine, yours) },
    };
    session.notificationRestart = ours?.notification === true && theirs?.notification === true;
    session.state = 'Established';
    session.families = families;
    session.modules.handlers.established({
      context: session.context,
      localAddress: session.localAddress,
      remoteAddress: peer.address,
      interfaceIndex: session.options.interface?.index,
      peerIdentifier: new DataView(addressBytes(other.options.local.routerId).buffer).getUint32(0),
      holdTime: peer.holdTime,
      peerCapabilities: [
        { kind: 'routeRefresh' },
        { kind: 'enhancedRouteRefresh' },
        ...(gracefulRestart === undefined ? [] : [gracefulRestart]),
        ...(longLived === undefined ? [] : [longLived]),
      ],
      routeRefresh: true,
      gracefulRestart,
      longLivedGracefulRestart: ours?.longLived === undefined ? undefined : longLived,
      notificationRestart: session.notificationRestart,
    });
    session.modules.handlers.changed();
  }

  /** Ends the connection of a session at both ends. */
  cut(session: FakeSession, reason: SessionDown): void {
    for (const end of [session, session.other]) {
      if (end?.other === undefined && end?.state !== 'Established') continue;
      end.state = 'Idle';
      end.other = undefined;
      end.lastError = { code: reason.code, text: reason.text, at: 0 };
      end.modules.handlers.down(reason);
      end.modules.handlers.changed();
    }
  }

  /** Runs until nothing is left to do at the present time. */
  async settle(until: number = this.clock.now()): Promise<void> {
    for (let i = 0; ; i++) {
      if (i > 1_000_000) throw new Error('the network does not come to rest');
      const work = this.deferred.shift() ?? this.queue.shift();
      if (work !== undefined) work();
      else if (!this.#connect() && !this.clock.fire(until)) {
        // Promises of sessions that stop.
        for (let turn = 0; turn < 10; turn++) await Promise.resolve();
        if (this.deferred.length + this.queue.length === 0 && !this.#connect()) break;
      }
    }
    this.clock.set(until);
  }

  /** As settle, but only until `reached`, looked at before each piece of work. */
  async step(reached: () => boolean): Promise<void> {
    for (let i = 0; !reached(); i++) {
      if (i > 100_000) throw new Error('the network does not get there');
      const work = this.deferred.shift() ?? this.queue.shift();
      if (work !== undefined) work();
      else if (!this.#connect() && !this.clock.fire(this.clock.now())) await Promise.resolve();
    }
  }

  async advance(milliseconds: number): Promise<void> {
    await this.settle(this.clock.now() + milliseconds);
  }
}

export const ip = (text: string): IpAddress => text as IpAddress;
export const prefix = (text: string): Prefix => text as Prefix;
export const asn = (number: number): Asn => number as Asn;

export function peerIntent(overrides: Partial<PeerIntent> & Pick<PeerIntent, 'name'>): PeerIntent {
  return {
    address: ip('192.0.2.2'),
    port: 179,
    peerAsn: asn(65002),
    localAsn: asn(65001),
    families: ['ipv4', 'ipv6'],
    password: undefined,
    sourceAddress: ip('192.0.2.1'),
    passive: false,
    holdTime: seconds(90),
    connectRetryTime: seconds(5),
    ebgpMultihop: 1,
    importPolicy: 'All',
    filters: [],
    transit: false,
    maxPrefixes: 10_000,
    gracefulRestart: { enabled: true, restartTime: seconds(120) },
    allowedLocalAsns: 0,
    enabled: true,
    ...overrides,
  };
}

export function intent(overrides: Partial<BgpIntent>): BgpIntent {
  return {
    asn: asn(65001),
    routerId: ip('10.255.0.1'),
    listenPort: 179,
    peers: [],
    announcements: [],
    ownPrefixes: [],
    multipath: { maximumPaths: 8, relax: true },
    ...overrides,
  };
}

/** One interface per entry, with its connected routes; index from 1 in order. */
export function kernelView(interfaces: readonly (readonly string[])[]): KernelView {
  const links = interfaces.map(
    (addresses, i): KernelInterface => ({
      index: i + 1,
      name: `eth${i}`,
      up: true,
      mtu: 1500,
      pod: false,
      addresses: addresses.map((text) => ({
        address: ip(text.slice(0, text.indexOf('/'))),
        prefixLength: Number(text.slice(text.indexOf('/') + 1)),
      })),
    }),
  );
  return {
    interfaces: links,
    routes: links.flatMap((link) =>
      link.addresses.map(({ address, prefixLength }) => ({
        prefix: prefixOf(address, prefixLength),
        gateway: undefined,
        interfaceIndex: link.index,
        metric: 0,
        protocol: 2,
      })),
    ),
  };
}
