/**
 * The engine port: a declarative set of peers and routes goes in, routes for the kernel and facts come out.
 * Everything above `src/bgp` knows only this file; `embedded` (speaker.ts) is the engine of this program,
 * `gobgp/` will be a second one. All values cross threads, so they are plain data.
 */
import type { Asn, Family, IpAddress, Prefix } from '#lib/ip.ts';
import type { Duration } from '#lib/time.ts';
import type { FibUpdate, NextHop } from '#dataplane/fib/route.ts';
import type { KernelView } from '#dataplane/kernel-view.ts';

/** `external`: any AS but our own, `internal`: our own; which one it is the peer says in its OPEN. */
export type PeerAsn = Asn | 'external' | 'internal';

/** Whether a session with this peer leads to another AS; known before it says which. */
export const isExternal = ({ peerAsn, localAsn }: Pick<PeerIntent, 'peerAsn' | 'localAsn'>): boolean =>
  peerAsn !== 'internal' && peerAsn !== localAsn;

/** Whether the peer is to have a session at all. */
export const wantsSession = ({ enabled, drain }: Pick<PeerIntent, 'enabled' | 'drain'>): boolean =>
  enabled && drain !== 'down';

export type ImportPolicy = 'None' | 'DefaultRoute' | 'All';

export interface BgpIntent {
  readonly asn: Asn;
  /** BGP identifier (RFC 6286), written as an IPv4 address. */
  readonly routerId: IpAddress;
  /** `undefined`: active only. Several nodes of a lab share nothing, so every engine listens on all addresses of its namespace. */
  readonly listenPort: number | undefined;
  readonly peers: readonly PeerIntent[];
  readonly announcements: readonly Announcement[];
  /** Never imported: this node's own blocks and addresses, Service ranges. Equal to or inside is refused. */
  readonly ownPrefixes: readonly Prefix[];
  readonly multipath: { readonly maximumPaths: number; readonly relax: boolean };
  /** Choices that RFC 4271 §9.1.2.2 leaves open. A field that is absent is off. */
  readonly bestPath?: BestPathIntent | undefined;
  /** `false`: learned routes stay out of the kernel, for a node that only reflects them. */
  readonly installRoutes?: boolean | undefined;
  /** CLUSTER_ID of this node as a route reflector, written as an IPv4 address; `undefined`: the router id. */
  readonly clusterId?: IpAddress | undefined;
  /** Another program that speaks BGP for this node; absent: this one does. */
  readonly engine?: EngineIntent | undefined;
}

export interface EngineIntent {
  readonly kind: 'gobgp';
  /** Where its gRPC interface is: `unix:///run/flatroute/gobgp.sock`, `/run/flatroute/gobgp.sock` or `127.0.0.1:50051`. */
  readonly address: string;
  /** Peers, paths and policies that somebody else gave it: left alone and said, or removed. Absent: `Keep`. */
  readonly foreign?: 'Keep' | 'Remove' | undefined;
}

export interface BestPathIntent {
  /** MED counts between paths of different neighbour ASes too. */
  readonly alwaysCompareMed: boolean;
  /** A path without MED is the worst, not the best. */
  readonly missingMedAsWorst: boolean;
  /** An external path that is the best stays it against equal ones (RFC 5004). */
  readonly preferOlder: boolean;
}

/** A field that is absent is off. */
export interface PeerIntent {
  /** Unique; the BGPPeer's name. */
  readonly name: string;
  /** Of a peer that is found by interface or a listen range: the unspecified address of its family. */
  readonly address: IpAddress;
  readonly port: number;
  readonly peerAsn: PeerAsn;
  readonly localAsn: Asn;
  /** The node's own AS number, said behind `localAsn` to an external peer (RFC 7705 §3.2 without Replace AS); absent: only `localAsn` is. */
  readonly innerAsn?: Asn | undefined;
  /** `localAsn` stands in front of what an external peer announces (RFC 7705 §3.1). */
  readonly prependsReceived?: boolean | undefined;
  readonly families: readonly Family[];
  /** TCP MD5 key (RFC 2385), 1 to 80 bytes. Never logged, never in an answer. */
  readonly password: string | undefined;
  readonly sourceAddress: IpAddress | undefined;
  readonly passive: boolean;
  /** 0 or at least 3 s (RFC 4271 §4.2). */
  readonly holdTime: Duration;
  readonly connectRetryTime: Duration;
  /** Time-to-live of our packets on an external session; 1 is the default of RFC 4271 practice. */
  readonly ebgpMultihop: number;
  readonly importPolicy: ImportPolicy;
  readonly filters: readonly FilterIntent[];
  /** A router's role: what is learned from others is announced to this peer too. */
  readonly transit: boolean;
  /** Paths of one family, counted before policy; the session goes down with Cease/1 above it. */
  readonly maxPrefixes: number;
  readonly gracefulRestart: { readonly enabled: boolean; readonly restartTime: Duration };
  /** How often our own AS may stand in a received AS_PATH (allowas-in). */
  readonly allowedLocalAsns: number;
  /** `false`: the session is held down with an administrative shutdown. */
  readonly enabled: boolean;
  /** Said with the administrative shutdown, at most 255 octets of UTF-8. */
  readonly shutdownText?: string | undefined;
  /** `undefined`: a third of the hold time. */
  readonly keepaliveTime?: Duration | undefined;
  /** GTSM: hops the peer is away; 1 means that only packets with a time-to-live of 255 are taken. */
  readonly ttlSecurity?: number | undefined;
  /** TCP-AO (RFC 5925) instead of the MD5 password: all are valid at once, and we sign with the first. Never logged, never in an answer. */
  readonly tcpAo?: readonly TcpAoKey[] | undefined;
  /** Sessions from any address in it, each a peer of its own named `NAME/ADDRESS`. */
  readonly listenRange?: { readonly prefix: Prefix; readonly limit: number } | undefined;
  /** Unnumbered: the neighbour on this interface, found by its router advertisements. */
  readonly interface?: string | undefined;
  /** Percent of maxPrefixes from which on there is a warning. */
  readonly maxPrefixesWarning?: number | undefined;
  /** How long a session stays down that had too many prefixes; `undefined`: until it is reset by hand. */
  readonly maxPrefixesRestart?: Duration | undefined;
  /** Prefixes of one family that are announced to this peer at most; nothing more is said beyond. */
  readonly maxAnnounced?: number | undefined;
  /** RFC 7911. `receive`: several paths of a prefix may come; `send`: so many are announced at most, 1 without add-path. */
  readonly addPath?: { readonly receive: boolean; readonly send: number } | undefined;
  /** Our role. */
  readonly role?: BgpRole | undefined;
  /** The peer must say its role too (strict mode). */
  readonly roleRequired?: boolean | undefined;
  /** `false`: a route server, whose AS does not stand in front of its paths; absent: it must. */
  readonly enforceFirstAs?: boolean | undefined;
  /** The peer is a client of this route reflector. */
  readonly routeReflectorClient?: boolean | undefined;
  readonly nextHopMode?: NextHopMode | undefined;
  /** Long-lived graceful restart; `staleTime` is what we ask of the peer and the most that we grant it. */
  readonly longLivedGracefulRestart?:
    | { readonly staleTime: Duration; readonly families: readonly Family[] }
    | undefined;
  /** The N bit: a NOTIFICATION or an expired hold timer keeps routes. `undefined`: with BFD, from the next session on. */
  readonly notificationRestart?: boolean | undefined;
  /** How long a restarted peer may take to say its routes again once it is back; `undefined`: 360 s. */
  readonly staleTime?: Duration | undefined;
  readonly bfd?: BfdIntent | undefined;
  readonly drain?: DrainStep | undefined;
}

/**
 * How far traffic has been taken away from a peer; each step holds what the one before it does.
 * `deprefer`: what we announce carries GRACEFUL_SHUTDOWN, what it announces is used only where nothing else is there.
 * `withdraw`: nothing is announced to it. `down`: the session is ended; its routes stay in use for the stale time.
 */
export type DrainStep = 'deprefer' | 'withdraw' | 'down';

/**
 * Of learned routes. `Auto`: ours, but unchanged for what is reflected; `Self`: ours always; `Keep`: the learned one wherever
 * the receiver can use it.
 */
export type NextHopMode = 'Auto' | 'Self' | 'Keep';

export type BgpRole = 'Provider' | 'RouteServer' | 'RouteServerClient' | 'Customer' | 'Peer';

/** One Master Key Tuple. The key is never logged and never in an answer. */
export interface TcpAoKey {
  readonly sendId: number;
  readonly receiveId: number;
  readonly algorithm: 'hmac-sha1' | 'aes-128-cmac' | 'hmac-sha256';
  readonly key: string;
}

/** BFD with one peer, shared by both families of its session. */
export interface BfdIntent {
  readonly receiveInterval: Duration;
  readonly transmitInterval: Duration;
  readonly detectMultiplier: number;
  readonly passive: boolean;
  /** Lowest time-to-live that a received packet of a multihop session may have. */
  readonly minimumTtl: number;
  /** `undefined`: whether the peer is on no subnet of this node. */
  readonly multihop: boolean | undefined;
}

/** One BGPFilter in its compiled form. Rules are tried in order; the first that matches decides. */
export interface FilterIntent {
  readonly name: string;
  readonly import: Readonly<Record<Family, readonly FilterRule[]>>;
  readonly export: Readonly<Record<Family, readonly FilterRule[]>>;
  /** Decides what no rule matched; `undefined` hands on to the next filter, then to importPolicy. */
  readonly default: 'Accept' | 'Reject' | undefined;
}

export interface FilterRule {
  readonly action: 'Accept' | 'Reject';
  /** No match condition: matches everything. */
  readonly match:
    | {
        readonly operator: 'Equal' | 'NotEqual' | 'In' | 'NotIn';
        readonly cidr: Prefix;
        readonly minLength: number;
        readonly maxLength: number;
      }
    | undefined;
  /** Kind of the session that the filter is used on. */
  readonly peerType?: 'eBGP' | 'iBGP' | undefined;
  /** Only what a peer announced, not what this node announces itself. */
  readonly source?: 'RemotePeers' | undefined;
  /** The path carries all of them. */
  readonly communities?: readonly Community[] | undefined;
  /** The AS_PATH matches all of them. */
  readonly asPaths?: readonly PathPattern[] | undefined;
  /** Name of the interface by which the path's next hop is reached; `*` stands for any characters. Own routes have none. */
  readonly interface?: string | undefined;
  /** The path's MED is this one; a path without one has 0. */
  readonly med?: number | undefined;
  /** The path's local preference is this one. */
  readonly localPref?: number | undefined;
  /** In order, on what an Accept rule matched. */
  readonly operations?: readonly RouteOperation[] | undefined;
}

/**
 * A standard community (RFC 1997) as its unsigned number, an extended one (RFC 4360) as its two 32-bit halves, unsigned, a
 * large one (RFC 8092) as its three numbers.
 */
export type Community = number | readonly [number, number] | readonly [number, number, number];

/** An AS number stands for itself, or for an AS_SET that holds it; `?` for any one AS; `*` for any number of them, or none. */
export type PathPattern = readonly (number | '?' | '*')[];

export type RouteOperation =
  | { readonly kind: 'addCommunity'; readonly community: Community }
  /** `*`: all of every kind. */
  | { readonly kind: 'deleteCommunity'; readonly community: Community | '*' }
  /** In front of the path, the first first; the local AS stands before them on an external session. */
  | { readonly kind: 'prependAsPath'; readonly asns: readonly number[] }
  | { readonly kind: 'setMed'; readonly value: number }
  | { readonly kind: 'setLocalPref'; readonly value: number };

export interface Announcement {
  readonly prefix: Prefix;
  readonly source: 'block' | 'fixedAddress' | 'nodeAddress' | 'advertise' | 'service';
  /** Attributes that it carries to every peer (prefixAdvertisements). */
  readonly communities?: readonly Community[] | undefined;
}

/** Whether a family's prefixes are so many that people are to know before the session goes down. */
export const isNearLimit = (
  received: number,
  { maxPrefixes, maxPrefixesWarning }: Pick<PeerIntent, 'maxPrefixes' | 'maxPrefixesWarning'>,
): boolean => maxPrefixesWarning !== undefined && received * 100 >= maxPrefixes * maxPrefixesWarning;

/** How long a session waits at most after a failure before it tries again. */
export const longestPauseSeconds = 60;

export type SessionState = 'Idle' | 'Connect' | 'Active' | 'OpenSent' | 'OpenConfirm' | 'Established';

/** What stands between an unnumbered peer and its neighbour; `searching`: nobody was heard yet. */
export type NeighbourState =
  | 'noInterface'
  | 'podInterface'
  | 'interfaceDown'
  | 'noLinkLocal'
  | 'noSocket'
  | 'searching'
  | 'found';

/** Who is on the interface of an unnumbered peer. */
export interface NeighbourFacts {
  readonly interface: string;
  readonly state: NeighbourState;
  /** Heard beside the one that the session is with. */
  readonly others: readonly IpAddress[];
  /** Why router advertisements cannot be heard or sent. */
  readonly problem: string | undefined;
}

/** What one session is, for conditions, metrics and people. */
export interface PeerFacts {
  readonly name: string;
  /** Of an unnumbered peer: link-local on `neighbour.interface`, and unspecified while nobody is known there. */
  readonly address: IpAddress;
  /** Of an established session what the peer said in its OPEN. */
  readonly peerAsn: PeerAsn;
  readonly state: SessionState;
  /** Wall-clock milliseconds since the epoch of the last change of state into or out of Established. */
  readonly since: number;
  readonly families: readonly Family[];
  /** Families with several paths of a prefix (RFC 7911), as both ends agreed; absent: none. */
  readonly addPath?: { readonly receive: readonly Family[]; readonly send: readonly Family[] } | undefined;
  readonly holdTimeSeconds: number | undefined;
  readonly capabilities: readonly string[];
  readonly routerId: IpAddress | undefined;
  readonly localAddress: IpAddress | undefined;
  readonly received: Readonly<Record<Family, number>>;
  readonly accepted: Readonly<Record<Family, number>>;
  readonly announced: Readonly<Record<Family, number>>;
  /** Prefixes of both families that are not announced because of maxAnnounced: how many, and some of them. */
  readonly leftOut: { readonly count: number; readonly some: readonly Prefix[] } | undefined;
  /** Families that cannot be announced because there is no next hop of ours for them. */
  readonly noNextHop: readonly Family[];
  readonly flaps: number;
  readonly lastError: PeerError | undefined;
  /** When a session that waits after a failure tries again, wall-clock milliseconds since the epoch. */
  readonly retryAt: number | undefined;
  /**
   * Segments that the kernel dropped since this peer was last up (or its session began), for their TCP MD5 signature or for
   * a TTL that GTSM does not let pass, as far as they can be this peer's. The kernel counts by namespace: other peers like
   * this one count too.
   */
  readonly drops: { readonly signature: number; readonly hopLimit: number };
  readonly messages: { readonly received: number; readonly sent: number };
  readonly gracefulRestart:
    | {
        readonly peerRestartTimeSeconds: number;
        readonly peerForwarding: readonly Family[];
        /** Both ends sent the N bit. */
        readonly notification: boolean;
        /** Both ends have long-lived graceful restart (RFC 9494). */
        readonly longLived?: boolean;
      }
    | undefined;
  /** Only of a peer with BFD: what a failure of the path to it takes away. */
  readonly path?:
    | {
        /** The peer's address is on a link of this node. */
        readonly onLink: boolean;
        /** Gateways that lead to this peer and to no other. */
        readonly gateways: readonly NextHop[];
      }
    | undefined;
  /** Of an unnumbered peer. */
  readonly neighbour?: NeighbourFacts | undefined;
  /** Of a peer with a listen range, which has no session of its own; those of its sessions are peers named `NAME/ADDRESS`. */
  readonly range?: RangeFacts | undefined;
}

/** Those who came from the listen range of the peer. */
export const dynamicPeers = (name: string, peers: readonly PeerFacts[]): readonly PeerFacts[] =>
  peers.filter((peer) => peer.name.startsWith(`${name}/`));

export interface RangeFacts {
  readonly prefix: Prefix;
  /** Connected, or gone with routes that are still kept. */
  readonly peers: number;
  readonly established: number;
  readonly limit: number;
  /** Connections that came while the range was full. */
  readonly refused: number;
}

/** For people: `192.0.2.1`, `fe80::1%eth1`; `%eth1` while nobody is known there. */
export const peerAddressText = ({ address, neighbour }: Pick<PeerFacts, 'address' | 'neighbour'>): string =>
  neighbour === undefined ? address : `${address === '::' ? '' : address}%${neighbour.interface}`;

export interface PeerError {
  /** A stable code of docs/errors.md, such as SESSION_HOLD_TIMER_EXPIRED or SESSION_NOTIFICATION_RECEIVED. */
  readonly code: string;
  readonly text: string;
  /** Wall-clock milliseconds since the epoch. */
  readonly at: number;
}

export interface BgpFacts {
  /** Generation of the intent that is in force. */
  readonly generation: number;
  /** `undefined` while nothing listens; with `listenError` saying why. */
  readonly listening: number | undefined;
  readonly listenError: string | undefined;
  /** Octets that a listener may hold for its options, TCP MD5 keys above all; absent: unknown. */
  readonly optionMemory?: number | undefined;
  readonly peers: readonly PeerFacts[];
  /** For each announced prefix the names of established peers to which it was written. */
  readonly announced: readonly { readonly prefix: Prefix; readonly peers: readonly string[] }[];
  readonly routes: Readonly<
    Record<Family, { readonly prefixes: number; readonly paths: number; readonly best: number }>
  >;
  /** Of another program that speaks BGP for this node. */
  readonly engine?: EngineFacts | undefined;
}

export interface EngineFacts {
  readonly kind: EngineIntent['kind'];
  readonly address: string;
  /** Of its interface; `undefined` while it does not answer. */
  readonly version: 3 | 4 | undefined;
  /** Why it does not do what is wanted, one sentence. */
  readonly problem: string | undefined;
  /** What somebody else gave it, one sentence each. */
  readonly drift: readonly string[];
}

/** Why a route was taken or not; for `flatroute routes`. */
export interface RouteRow {
  readonly prefix: Prefix;
  readonly peer: string;
  /** The identifier that came or was sent with the path; absent without add-path. */
  readonly pathId?: number;
  readonly nextHop: IpAddress | undefined;
  /** Of a link-local next hop: where it is. */
  readonly nextHopInterface?: string | undefined;
  readonly asPath: string;
  readonly origin: 'IGP' | 'EGP' | 'INCOMPLETE';
  readonly localPref: number | undefined;
  readonly med: number | undefined;
  readonly communities: readonly string[];
  /** ORIGINATOR_ID and CLUSTER_LIST of a reflected path. */
  readonly originatorId?: IpAddress;
  readonly clusterList?: readonly IpAddress[];
  /** AS of the attribute Only to Customer. */
  readonly onlyToCustomer?: number;
  readonly accepted: boolean;
  /** One short sentence: `accepted: filter fabric, rule 3`, `refused: importPolicy None`, `refused: inside own block 10.60.1.0/26`. */
  readonly reason: string;
  readonly best: boolean;
  readonly multipath: boolean;
  readonly stale: boolean;
}

export interface RouteQuery {
  readonly direction: 'received' | 'accepted' | 'announced' | 'best';
  readonly peer?: string;
  /** An address or prefix: every route that covers it, or lies in it when `within`. */
  readonly prefix?: Prefix | IpAddress;
  readonly within?: boolean;
  readonly family?: Family;
  /** Rows at most; the answer says whether more matched. */
  readonly limit: number;
}

export interface RouteAnswer {
  readonly rows: readonly RouteRow[];
  readonly more: boolean;
}

/** What an engine tells its owner. All are called on the engine's thread. */
export interface BgpEngineOutputs {
  /** Routes for the kernel. Rows of one prefix come in order. */
  fib(update: FibUpdate): void;
  /** Facts changed; already coalesced (at most ten a second while things change). */
  facts(facts: BgpFacts): void;
  /** One line for the log and the event stream. `event` is a constant name such as `session.established`. */
  event(level: 'debug' | 'info' | 'warn' | 'error', event: string, fields: Readonly<Record<string, unknown>>): void;
}

/**
 * `silent`: the agent ends and will be back. Sessions close without a word, so that the peers' graceful restart holds; an engine that is
 * another program goes on. `handOver`: another engine speaks next, and peers keep what they can. `cease`: nobody does; what was
 * announced is withdrawn, and peers get Cease/2 (administrative shutdown).
 */
export type EngineStop = 'silent' | 'handOver' | 'cease';

export interface BgpEngine {
  /** Makes `desired` what this engine does. The same value twice is no change. */
  apply(desired: BgpIntent, generation: number): void;
  /** Links, addresses and routes of the kernel; next hops are resolved against them. */
  setKernelView(view: KernelView): void;
  /** The kernel has every row of the FibUpdate with this sequence number. */
  fibApplied(sequence: number): void;
  /** A promise where another program is asked. */
  routes(query: RouteQuery): RouteAnswer | Promise<RouteAnswer>;
  /** Drops a session; it comes back by itself. `soft` sends ROUTE-REFRESH and our routes again instead. */
  reset(peer: string, how: 'hard' | 'soft'): boolean;
  /** The path to the peer failed: its session ends with Cease/10 and its routes go, whatever a graceful restart would keep. */
  pathFailed(peer: string, text: string): boolean;
  /**
   * Peers were told of this node, by this engine or the one before it, and the kernel forwards as they were told: whoever speaks
   * next may say so (R and F of RFC 4724 §4.1).
   */
  readonly forwards: boolean;
  /** Ends as `how` says. Resolves when the last byte is out, at most 2 s later; what is in the kernel stays there. */
  stop(how: EngineStop): Promise<void>;
}
