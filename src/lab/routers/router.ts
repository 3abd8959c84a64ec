/**
 * A router of a lab: one description, several programs that carry it out. Tables are read from the router's own
 * command line and normalised, so that one expected table serves for all of them.
 */
import type { Asn, Family, IpAddress, Prefix } from '#lib/ip.ts';
import { comparePrefixes } from '#lib/ip.ts';
import type { Host } from '../host.ts';

/** `gobgp` and `openbgpd` put nothing into the kernel: they judge what is said, and forward nothing. */
export type RouterKind = ForwardingKind | 'gobgp' | 'openbgpd';
export type ForwardingKind = 'flatroute' | 'bird' | 'frr';

export interface RouterPeer {
  /** Letters, digits, `-`; unique on this router. */
  readonly name: string;
  readonly address: IpAddress;
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
  /** Internal; the router is a route reflector and the peer its client. */
  readonly client?: boolean;
  /** Between loopbacks: the hops that it may be away, and our own address. */
  readonly multihop?: { readonly hops: number; readonly from: IpAddress };
  /** GTSM: hops that the peer may be away at most. */
  readonly ttlSecurity?: number;
  /** Only these prefixes and what lies inside them are accepted; everything if not given. */
  readonly accept?: readonly Prefix[];
}

export interface RouterDescription {
  readonly asn: Asn;
  readonly routerId: IpAddress;
  readonly peers: readonly RouterPeer[];
  /** Originated here; the kernel's routes to them are the lab's business. */
  readonly announce: readonly Prefix[];
  readonly holdTimeSeconds: number;
  /** CLUSTER_ID of a route reflector; the router id if not given. */
  readonly clusterId?: IpAddress;
  /** Equal paths go into the kernel together, whatever AS they lead through. */
  readonly multipath: boolean;
  /** What is learned goes into the kernel; true if not given. */
  readonly kernelRoutes?: boolean;
  /** Path of another build of the program than the installed one. */
  readonly program?: string;
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
  sessions(): Promise<readonly SessionRow[]>;
  /** The router's BGP table, sorted by prefix. */
  table(family: Family): Promise<readonly TableRow[]>;
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
