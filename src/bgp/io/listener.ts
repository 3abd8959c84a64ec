/**
 * The engine's listening sockets, one per family on one port. In: the peers that may connect, with their keys. Out:
 * their connections, each to its own session; all others are closed. Keys are in the kernel before the socket listens and
 * before `register` returns. What is sent has TTL 255, or peers with GTSM would drop the SYN-ACK (RFC 5082 §3).
 *
 * A port that is taken is reported and tried again; sessions are active only meanwhile.
 */
import { type Server, type Socket, createServer } from 'node:net';
import {
  type Family,
  type IpAddress,
  type Prefix,
  contains,
  families,
  familyOf,
  parseAddress,
  networkAddress,
  prefixLength,
  unspecifiedAddress,
} from '#lib/ip.ts';
import { AppError, type Result, fail, ok } from '#lib/result.ts';
import { type Clock, after, seconds } from '#lib/time.ts';
import { arrivalOf, noteArrival } from '#linux/arrival.ts';
import { setHopLimit, setIpv6Only, setMinimumHopLimit, setReuseAddress } from '#linux/socket-options.ts';
import { bindInternet, closeDescriptor, listenSocket, openTcpSocket } from '#linux/socket.ts';
import type { TcpAoKey } from '../engine.ts';
import type { SessionError } from '../session/errors.ts';
import { putTcpAoKeys, removeTcpAoKeys } from './tcp-ao.ts';
import { descriptorOf, setKey } from './tcp-socket.ts';

export interface ListenerModules {
  readonly clock: Clock;
  /** Connections that come in over this interface are refused: our pod veths. Without it none is. */
  readonly refusesInterface?: (interfaceIndex: number) => boolean;
  /** `listening`, `listenError` or a registration's `problem` changed. */
  readonly changed: () => void;
}

/** A peer that may connect to us. */
export interface ExpectedPeer {
  readonly address: IpAddress;
  /** Of a link-local address: the same one on another link is another peer. */
  readonly interfaceIndex?: number | undefined;
  readonly password: string | undefined;
  /** Keys of TCP-AO; `undefined`: without. */
  readonly tcpAo?: readonly TcpAoKey[] | undefined;
  /** Least TTL of its segments (RFC 5082 §3); `undefined`: any. */
  readonly minimumHopLimit: number | undefined;
  /** The key of the range that it came from is its key too: none of its own stands on the listener. */
  readonly inRange?: boolean | undefined;
  /** A connection of this peer, not read yet. Whoever gets it owns it. */
  accept(socket: Socket): void;
}

/** Addresses from which may connect who is no registered peer yet. */
export interface ExpectedRange {
  readonly prefix: Prefix;
  readonly password: string | undefined;
  readonly minimumHopLimit: number | undefined;
  /** Somebody there connects: registers a peer of this address, or answers false. */
  admit(address: IpAddress): boolean;
}

export interface Registration {
  /** The key is not in the kernel: the peer's connections are refused. */
  readonly problem: SessionError | undefined;
  /** Another key for the same peer, in the kernel before this returns; see `problem`. */
  setPassword(password: string | undefined): void;
  /** The peer is refused from now on and its key leaves the kernel. Connections that were handed over live on. */
  close(): void;
}

export interface Listener {
  /** The port, or `undefined` while nothing listens (none configured, or the port is taken). */
  readonly listening: number | undefined;
  /** Why a family does not listen, one sentence. It is tried again every 5 s. */
  readonly listenError: string | undefined;
  /** Connections refused so far: of addresses that are no peer's, over an interface of a pod, of peers without their key. */
  readonly refused: { readonly unknownAddress: number; readonly interface: number; readonly key: number };
  /** Lets a peer in. `SESSION_DUPLICATE_ADDRESS`: another peer of this address is registered. */
  register(peer: ExpectedPeer): Result<Registration, SessionError>;
  /** Lets in whom the range admits, unless a registered peer has the address; of several ranges the longest one. */
  registerRange(range: ExpectedRange): Registration;
  close(): Promise<void>;
}

/** How soon a taken port is tried again; a connection of the peer waits that long at most, nothing else depends on it. */
const retryTime = seconds(5);
const backlog = 128;
const hopLimit = 255;

/** `port` undefined: nothing is listened on and `register` still succeeds (active only). Port 0 lets the kernel choose. */
export const createListener = (options: { readonly port: number | undefined }, modules: ListenerModules): Listener =>
  new TcpListener(options.port, modules);

const peerKey = ({ address, interfaceIndex }: Pick<ExpectedPeer, 'address' | 'interfaceIndex'>): string =>
  interfaceIndex === undefined ? address : `${address}%${interfaceIndex}`;

class Registered implements Registration {
  readonly peer: ExpectedPeer;
  password: string | undefined;
  problem: SessionError | undefined;
  private readonly listener: TcpListener;

  constructor(peer: ExpectedPeer, listener: TcpListener) {
    this.peer = peer;
    this.password = peer.password;
    this.listener = listener;
  }

  setPassword(password: string | undefined): void {
    this.password = password;
    this.listener.putKey(this.peer.address);
  }

  close(): void {
    this.listener.remove(this);
  }
}

/** The kernel keeps one set of them for an address. */
const secretsOf = ({ password, peer }: Registered): string => JSON.stringify([password ?? null, peer.tcpAo ?? null]);

class RegisteredRange implements Registration {
  readonly range: ExpectedRange;
  password: string | undefined;
  problem: SessionError | undefined;
  private readonly listener: TcpListener;

  constructor(range: ExpectedRange, listener: TcpListener) {
    this.range = range;
    this.password = range.password;
    this.listener = listener;
  }

  setPassword(password: string | undefined): void {
    this.password = password;
    this.listener.putRangeKey(this);
  }

  close(): void {
    this.listener.removeRange(this);
  }
}

interface Open {
  readonly fd: number;
  readonly server: Server;
}

class TcpListener implements Listener {
  readonly refused = { unknownAddress: 0, interface: 0, key: 0 };
  private readonly modules: ListenerModules;
  private readonly registered = new Map<string, Registered>();
  private readonly ranges = new Set<RegisteredRange>();
  private readonly sockets = new Map<Family, Open>();
  private readonly errors = new Map<Family, string>();
  private port: number | undefined;
  private cancelRetry: (() => void) | undefined;
  private closed = false;

  constructor(port: number | undefined, modules: ListenerModules) {
    this.port = port;
    this.modules = modules;
    this.open();
  }

  get listening(): number | undefined {
    return this.sockets.size === 0 ? undefined : this.port;
  }

  get listenError(): string | undefined {
    return this.errors.size === 0 ? undefined : [...new Set(this.errors.values())].join('; ');
  }

  register(peer: ExpectedPeer): Result<Registration, SessionError> {
    const key = peerKey(peer);
    if (this.registered.has(key))
      return fail({
        code: 'SESSION_DUPLICATE_ADDRESS',
        text: `another peer has the address ${peer.address}; the first one keeps it`,
      });
    const registration = new Registered(peer, this);
    this.registered.set(key, registration);
    this.putKey(peer.address);
    this.putMinimumHopLimit(familyOf(peer.address));
    return ok(registration);
  }

  registerRange(range: ExpectedRange): Registration {
    const registration = new RegisteredRange(range, this);
    this.ranges.add(registration);
    this.putRangeKey(registration);
    this.putMinimumHopLimit(familyOf(range.prefix));
    return registration;
  }

  removeRange(registration: RegisteredRange): void {
    if (!this.ranges.delete(registration)) return;
    const { prefix } = registration.range;
    const open = this.sockets.get(familyOf(prefix));
    if (open !== undefined && registration.password !== undefined)
      setKey(open.fd, networkAddress(prefix), undefined, prefixLength(prefix));
    this.putMinimumHopLimit(familyOf(prefix));
  }

  putRangeKey(registration: RegisteredRange): void {
    const { range, password, problem } = registration;
    const open = this.sockets.get(familyOf(range.prefix));
    if (open !== undefined) this.keyRange(open.fd, registration, password);
    else registration.problem = undefined;
    if (registration.problem?.text !== problem?.text) this.modules.changed();
  }

  private keyRange(fd: number, registration: RegisteredRange, password: string | undefined): void {
    const { prefix } = registration.range;
    const keyed = setKey(fd, networkAddress(prefix), password, prefixLength(prefix));
    registration.problem = keyed.ok ? undefined : keyed.error;
  }

  private rangeOf(address: IpAddress): RegisteredRange | undefined {
    let longest: RegisteredRange | undefined;
    for (const it of this.ranges)
      if (
        contains(it.range.prefix, address) &&
        (longest === undefined || prefixLength(it.range.prefix) > prefixLength(longest.range.prefix))
      )
        longest = it;
    return longest;
  }

  /** Of all peers that have the address: the kernel keeps one key for it, whatever the link (tcp(7)). */
  putKey(address: IpAddress): void {
    const open = this.sockets.get(familyOf(address));
    const sharing = this.keyed.filter((it) => it.peer.address === address);
    if (sharing.length === 0) return;
    const before = sharing.map((it) => it.problem?.text);
    if (open !== undefined) this.keySharing(open.fd, address, sharing);
    else for (const registration of sharing) registration.problem = undefined;
    if (sharing.some((it, i) => it.problem?.text !== before[i])) this.modules.changed();
  }

  /** Those with a key of their own. */
  private get keyed(): Registered[] {
    return [...this.registered.values()].filter((it) => it.peer.inRange !== true);
  }

  /** The first peer's key; others of the same address are refused if theirs is another. */
  private keySharing(fd: number, address: IpAddress, sharing: readonly Registered[]): void {
    const [first] = sharing;
    if (first === undefined) return;
    const { tcpAo } = first.peer;
    let keyed = setKey(fd, address, first.password);
    if (keyed.ok && tcpAo !== undefined) {
      removeTcpAoKeys(fd, address, tcpAo);
      keyed = putTcpAoKeys(fd, address, tcpAo, 'listening');
    }
    for (const registration of sharing) {
      if (secretsOf(registration) === secretsOf(first)) registration.problem = keyed.ok ? undefined : keyed.error;
      else
        registration.problem = {
          code:
            tcpAo === undefined && registration.peer.tcpAo === undefined
              ? 'SESSION_MD5_UNAVAILABLE'
              : 'SESSION_TCP_AO_UNAVAILABLE',
          text: `${address} is the neighbour on another link too, with another password, and the kernel keeps one for an address; give both the same`,
        };
    }
  }

  remove(registration: Registered): void {
    const { peer } = registration;
    const key = peerKey(peer);
    if (this.registered.get(key) !== registration) return;
    this.registered.delete(key);
    this.putMinimumHopLimit(familyOf(peer.address));
    if (peer.inRange === true) return;
    // A key that stays for an address that is refused anyway does no harm, so what the kernel says is not asked.
    const open = this.sockets.get(familyOf(peer.address));
    if (open !== undefined && peer.tcpAo !== undefined) removeTcpAoKeys(open.fd, peer.address, peer.tcpAo);
    if (this.keyed.some((it) => it.peer.address === peer.address)) this.putKey(peer.address);
    else if (open !== undefined) setKey(open.fd, peer.address, undefined);
  }

  /** Where all peers of a family have GTSM, strangers do not even get a SYN-ACK; each connection is looked at again. */
  private minimumHopLimit(family: Family): number {
    const peers = [
      ...[...this.registered.values()].map(({ peer }) => peer).filter((it) => familyOf(it.address) === family),
      ...[...this.ranges].map(({ range }) => range).filter((it) => familyOf(it.prefix) === family),
    ];
    return peers.length === 0 ? 0 : Math.min(...peers.map((peer) => peer.minimumHopLimit ?? 0));
  }

  private putMinimumHopLimit(family: Family): void {
    const open = this.sockets.get(family);
    if (open !== undefined) setMinimumHopLimit(open.fd, family, this.minimumHopLimit(family));
  }

  async close(): Promise<void> {
    this.closed = true;
    this.cancelRetry?.();
    const servers = [...this.sockets.values()].map(({ server }) => server);
    this.sockets.clear();
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }

  private open(): void {
    this.cancelRetry = undefined;
    if (this.port === undefined || this.closed) return;
    const before = `${this.sockets.size} ${this.listenError ?? ''}`;
    for (const family of families) {
      if (!this.sockets.has(family)) this.openFamily(family, this.port);
    }
    if (this.errors.size > 0) {
      const { clock } = this.modules;
      this.cancelRetry = clock.at(after(clock.now(), retryTime), () => this.open());
    }
    if (`${this.sockets.size} ${this.listenError ?? ''}` !== before) this.modules.changed();
  }

  private openFamily(family: Family, port: number): void {
    let fd: number | undefined;
    try {
      fd = openTcpSocket(family);
      setReuseAddress(fd);
      if (family === 'ipv6') setIpv6Only(fd);
      setHopLimit(fd, family, hopLimit);
      noteArrival(fd, family);
      setMinimumHopLimit(fd, family, this.minimumHopLimit(family));
      bindInternet(fd, unspecifiedAddress(family), port);
      const registered = this.keyed.filter((it) => familyOf(it.peer.address) === family);
      const keyed = registered
        .filter((it) => it.password !== undefined || it.peer.tcpAo !== undefined)
        .map((it) => it.peer.address);
      for (const address of new Set(keyed)) {
        const sharing = registered.filter((it) => it.peer.address === address);
        this.keySharing(fd, address, sharing);
      }
      for (const it of this.ranges)
        if (familyOf(it.range.prefix) === family && it.password !== undefined) this.keyRange(fd, it, it.password);
      listenSocket(fd, backlog);
    } catch (error) {
      if (fd !== undefined) closeDescriptor(fd);
      if (!(error instanceof AppError)) throw error;
      // A kernel without IPv6 lacks nothing that we were asked for.
      if (family === 'ipv6' && (error.code === 'OS_EAFNOSUPPORT' || error.code === 'OS_EADDRNOTAVAIL'))
        this.errors.delete(family);
      else this.errors.set(family, listenProblem(error, port));
      return;
    }
    const server = createServer({ pauseOnConnect: true }, (socket) => this.arrived(family, socket));
    server.on('error', (error) => this.failed(family, error));
    server.listen({ fd, backlog });
    this.sockets.set(family, { fd, server });
    this.errors.delete(family);
    const address = server.address();
    if (port === 0 && address !== null && typeof address === 'object') this.port = address.port;
  }

  private failed(family: Family, error: Error): void {
    this.sockets.get(family)?.server.close();
    this.sockets.delete(family);
    this.errors.set(family, `listening failed: ${error.message}`);
    this.modules.changed();
    if (this.cancelRetry !== undefined || this.closed) return;
    const { clock } = this.modules;
    this.cancelRetry = clock.at(after(clock.now(), retryTime), () => this.open());
  }

  private arrived(family: Family, socket: Socket): void {
    // Closed before it was accepted, or while it waits for its session: nobody is to fall over it.
    socket.on('error', () => undefined);
    const from = this.origin(family, socket);
    const registration = from && this.registered.get(peerKey(from));
    // Link-local addresses are no range's.
    const isGlobal = from !== undefined && from.interfaceIndex === undefined;
    const expected = registration ?? (isGlobal ? this.rangeOf(from.address) : undefined);
    if (from === undefined || expected === undefined) {
      this.refused.unknownAddress++;
      socket.destroy();
      return;
    }
    if (this.isRefusedInterface(family, socket)) {
      this.refused.interface++;
      socket.destroy();
      return;
    }
    if (expected.problem !== undefined) {
      this.refused.key++;
      socket.destroy();
      return;
    }
    if (expected instanceof Registered) return expected.peer.accept(socket);
    const admitted = expected.range.admit(from.address) ? this.registered.get(peerKey(from)) : undefined;
    if (admitted === undefined) socket.destroy();
    else admitted.peer.accept(socket);
  }

  private origin(family: Family, socket: Socket): Pick<ExpectedPeer, 'address' | 'interfaceIndex'> | undefined {
    // Node writes the zone of a link-local address behind it.
    const [text = '', zone] = (socket.remoteAddress ?? '').split('%');
    const address = parseAddress(text);
    if (address === undefined) return undefined;
    const fd = zone === undefined ? undefined : descriptorOf(socket);
    const interfaceIndex = fd === undefined ? undefined : arrivalOf(fd, family).interfaceIndex;
    return { address, interfaceIndex };
  }

  /** An interface that the kernel does not name is refused when any is: fail closed. */
  private isRefusedInterface(family: Family, socket: Socket): boolean {
    const { refusesInterface } = this.modules;
    if (refusesInterface === undefined) return false;
    const fd = descriptorOf(socket);
    const index = fd === undefined ? undefined : arrivalOf(fd, family).interfaceIndex;
    return index === undefined || refusesInterface(index);
  }
}

function listenProblem(error: AppError, port: number): string {
  if (error.code === 'OS_EADDRINUSE')
    return `port ${port} is taken by another program; sessions are active only until it is free`;
  if (error.code === 'OS_EACCES') return `port ${port} needs CAP_NET_BIND_SERVICE; sessions are active only without it`;
  return `port ${port} cannot be listened on: ${error.message}`;
}
