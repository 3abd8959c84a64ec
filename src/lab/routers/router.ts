/**
 * A router of a lab: one description, several programs that carry it out. Tables are read from the router's own
 * command line and normalised, so that one expected table serves for all of them.
 */
import type { Asn, Family, IpAddress, Prefix } from '#lib/ip.ts';
import { comparePrefixes } from '#lib/ip.ts';
import type { EngineKind } from '../gobgp-sidecar.ts';
import type { Host } from '../host.ts';

/** `gobgp` and `openbgpd` put nothing into the kernel: they judge what is said, and forward nothing. */
export type RouterKind = ForwardingKind | 'gobgp' | 'openbgpd';
export type ForwardingKind = 'flatroute' | 'bird' | 'frr';

/** Ours towards a peer. */
export type PeeringRole = 'Provider' | 'Customer' | 'Peer' | 'RouteServer' | 'RouteServerClient';

/** What can be asked of a session; what is absent is left as the program has it by default. */
export interface SessionOptions {
  /** Four-octet AS numbers are not offered: an old speaker. */
  readonly fourOctetAs?: false;
  readonly extendedMessages?: true;
  readonly enhancedRefresh?: true;
  /** IPv4 routes with IPv6 next hops. */
  readonly extendedNextHop?: true;
  /** Both as the one that restarts and as the one that waits. */
  readonly gracefulRestart?: { readonly restartTimeSeconds: number };
  /** A NOTIFICATION or an expired hold timer keeps routes too. */
  readonly notificationRestart?: true;
  readonly longLivedGracefulRestart?: { readonly staleTimeSeconds: number };
  readonly addPath?: { readonly receive: boolean; readonly send: number };
  readonly role?: { readonly ours: PeeringRole; readonly required: boolean };
  /** Between loopbacks: the hops that it may be away, and our own address. */
  readonly multihop?: { readonly hops: number; readonly from: IpAddress };
  /** GTSM: hops that the peer is away at most. */
  readonly ttlSecurity?: number;
  /** Internal; the router is a route reflector and the peer its client. */
  readonly client?: boolean;
  readonly bfd?: BfdOptions;
  /** The OPEN has the extended form of its optional parameters, however short they are. */
  readonly extendedParameters?: true;
  /** Whoever connects from this prefix is the peer, whose address is not named. flatroute's alone. */
  readonly listenRange?: Prefix;
  /** Prefixes of a family that are announced to the peer at most. */
  readonly maxAnnounced?: number;
}

/** BFD at 50 ms x 3, whatever the program. */
export interface BfdOptions {
  /** Over several hops; without it single hop, also on an internal session. */
  readonly multihop?: true;
  /** Its failure begins a graceful restart instead of ending one: BIRD's `bfd graceful`. The others have no word for it. */
  readonly graceful?: true;
}

export const bfdTimes = { intervalMilliseconds: 50, multiplier: 3 } as const;

export interface RouterPeer extends SessionOptions {
  /** Letters, digits, `-`; unique on this router. */
  readonly name: string;
  readonly address: IpAddress;
  /** Unnumbered: the neighbour on this interface, whose address nobody configures; `address` is unspecified then. */
  readonly interface?: string;
  readonly asn: Asn;
  /** Families carried in this one session. */
  readonly families: readonly Family[];
  /** TCP MD5 key. */
  readonly password?: string;
  /** The router waits for the peer to connect. */
  readonly passive?: boolean;
  /** How often our own AS may stand in a received path: one AS everywhere. */
  readonly allowedOwnAsns?: number;
  readonly maxPrefixes?: number;
  /** Only these prefixes and what lies inside them are accepted; everything if not given. */
  readonly accept?: readonly Prefix[];
}

/** Attributes of a route, said the same way for every program. */
export interface RouteAttributes {
  readonly origin?: 'IGP' | 'EGP' | 'INCOMPLETE';
  readonly med?: number;
  readonly localPref?: number;
  /** `65000:1`, `65000:1:2` and `rt:65000:1`. */
  readonly communities?: readonly string[];
  /** AS numbers that stand in the path already when the route is originated, the first in front. */
  readonly path?: readonly number[];
}

export interface RouterDescription {
  readonly asn: Asn;
  readonly routerId: IpAddress;
  readonly clusterId?: IpAddress;
  readonly peers: readonly RouterPeer[];
  /** Originated here; the kernel's routes to them are the lab's business. */
  readonly announce: readonly Prefix[];
  /** Of all that is originated here. */
  readonly attributes?: RouteAttributes;
  /** 0: neither end watches the other. */
  readonly holdTimeSeconds: number;
  /** Equal paths go into the kernel together, whatever AS they lead through. */
  readonly multipath: boolean;
  /** What is learned goes into the kernel; true if not given. */
  readonly kernelRoutes?: boolean;
  /** Path of another build of the program than the installed one. */
  readonly program?: string;
  /** Of flatroute; the agent itself if not given. */
  readonly engine?: EngineKind;
}

export interface SessionRow {
  readonly peer: IpAddress;
  readonly asn: number;
  readonly established: boolean;
  /** In the router's own words. */
  readonly state: string;
}

export interface TableRow {
  readonly prefix: Prefix;
  /** Next hops of the best path and of those that are used beside it; sorted. `local` for what is originated here. */
  readonly nextHops: readonly string[];
}

/** One path of a router's table, of a peer or its own. */
export interface PathRow {
  readonly prefix: Prefix;
  /** `local` for what is originated here. */
  readonly nextHop: string;
  /** AS numbers with a space between them, sets in braces. */
  readonly path: string;
  readonly origin: 'IGP' | 'EGP' | 'INCOMPLETE';
  readonly med: number | undefined;
  readonly localPref: number | undefined;
  /** Of all three kinds, sorted. */
  readonly communities: readonly string[];
  readonly best: boolean;
}

export interface LabRouter {
  readonly kind: RouterKind;
  readonly host: Host;
  readonly description: RouterDescription;
  /** Starts the program and resolves when it answers. */
  start(): Promise<void>;
  /** Gives the running program another description. */
  reconfigure(description: RouterDescription): Promise<void>;
  /** Ends the program with this signal and waits until it is gone. */
  stop(signal: NodeJS.Signals): Promise<void>;
  /** Sends a signal to every process that has a part in speaking BGP: to freeze it and let it go on, or to kill it. */
  signal(signal: NodeJS.Signals): Promise<void>;
  /** Drops the session to a peer; it comes back by itself. */
  resetSession(peer: IpAddress): Promise<void>;
  /** Holds the session down with an administrative shutdown that says `text`. */
  shutDown(peer: IpAddress, text: string): Promise<void>;
  /** Asks a peer for all its routes again; the session stays. */
  refresh(peer: IpAddress): Promise<void>;
  /** All that the program says about the session with a peer, in its own words. */
  about(peer: IpAddress): Promise<string>;
  sessions(): Promise<readonly SessionRow[]>;
  /** The router's BGP table, sorted by prefix. */
  table(family: Family): Promise<readonly TableRow[]>;
  /** Every path of the router's table with its attributes, by prefix and next hop. */
  paths(family: Family): Promise<readonly PathRow[]>;
  /** Configuration files, as the router-side guide shows them. */
  configuration(): Readonly<Record<string, string>>;
  /** The end of what the program has logged, for failure texts. */
  log(): Promise<string>;
}

/** Rows in order of their prefixes, next hops in order of their text. */
export const byPrefix = (rows: ReadonlyMap<string, ReadonlySet<string>>): readonly TableRow[] =>
  [...rows]
    .map(([prefix, hops]) => ({ prefix: prefix as Prefix, nextHops: [...hops].sort() }))
    .sort((a, b) => comparePrefixes(a.prefix, b.prefix));

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** By prefix, then by next hop and path. */
export const comparePaths = (a: PathRow, b: PathRow): number =>
  comparePrefixes(a.prefix, b.prefix) || compareText(a.nextHop, b.nextHop) || compareText(a.path, b.path);

/** Communities that programs show by a name of their own. */
const namedCommunities: Readonly<Record<string, string>> = {
  'graceful-shutdown': '65535:0',
  'no-export': '65535:65281',
  'no-advertise': '65535:65282',
  'llgr-stale': '65535:6',
  'no-llgr': '65535:7',
};

/** A community as numbers: `65535:0` whatever the program calls it, `rt:65000:1` however it writes it. */
export function communityText(shown: string): string {
  const known = namedCommunities[shown.toLowerCase().replaceAll('_', '-').replaceAll(' ', '-')];
  return known ?? shown.toLowerCase().replace(/^(?:route-target|rt)[: ]/, 'rt:');
}
