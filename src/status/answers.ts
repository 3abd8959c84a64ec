/**
 * What the agent answers when it is asked: the shapes of the admin API and of `flatroute … -o json`. They are a promise
 * to scripts: names are lower camelCase, times are RFC 3339 text, a field that is not known is absent, and a field is
 * never renamed inside one API version.
 */
import type { ServiceOutcome } from '#intent/service-outcomes.ts';
import type { Severity } from '#intent/severity.ts';
import type { DrainStep } from '#bgp/engine.ts';
import type { Family } from '#lib/ip.ts';

export type FamilyCounts = Readonly<Record<Family, number>>;

/** One condition that is worth saying, about one object. */
export interface ConditionAnswer {
  /** What it is about: `peers/tor-b`, `node/node-1`, or a file's name. */
  readonly object: string;
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  /** One word in CamelCase; docs/conditions.md says what to do about each. */
  readonly reason: string;
  /** What happened, to what, what to do. */
  readonly message: string;
  /** `info` needs nobody. */
  readonly severity: Severity;
}

export interface StatusAnswer {
  readonly node: string;
  readonly version: string;
  readonly pid: number;
  readonly startedAt: string;
  readonly uptimeSeconds: number;
  readonly state: 'starting' | 'running' | 'stopping';
  readonly healthy: boolean;
  readonly ready: boolean;
  /** Generation of the intent that the source has last given. */
  readonly generation: number;
  readonly bgp: {
    readonly asn?: number;
    readonly routerId?: string;
    /** Absent while nothing listens. */
    readonly listenPort?: number;
    readonly listenError?: string;
    readonly peers: number;
    readonly established: number;
    readonly prefixes: FamilyCounts;
    readonly paths: FamilyCounts;
  };
  readonly pods: number;
  readonly blocks: readonly BlockAnswer[];
  readonly learnedRoutes: FamilyCounts;
  readonly repairs: Readonly<Record<string, number>>;
  readonly threads: readonly ThreadAnswer[];
  /** What is wrong, worst first; empty when all is well. */
  readonly problems: readonly ConditionAnswer[];
}

interface ThreadAnswer {
  readonly name: string;
  readonly state: 'starting' | 'running' | 'dead';
  readonly restarts: number;
  readonly eventLoopDelayP99Seconds: number;
  /** Generation of the intent that this thread has applied. */
  readonly generation: number;
  /** The oldest call that is still running, when it has been running for more than 5 s. */
  readonly stuck?: string;
}

export interface PeerAnswer {
  readonly name: string;
  /** Of an unnumbered peer with its interface, `fe80::1%eth1`; `%eth1` while nobody is known there. */
  readonly address: string;
  readonly port: number;
  /** Of an established session what the peer said; before that `external` or `internal` where no number is configured. */
  readonly asn: number | 'external' | 'internal';
  readonly localAsn: number;
  readonly state: string;
  /** Last change into or out of Established. */
  readonly since?: string;
  readonly enabled: boolean;
  readonly families: readonly string[];
  /** Families with several paths of a prefix, as both ends agreed. */
  readonly addPath?: { readonly receive: readonly string[]; readonly send: readonly string[] };
  readonly holdTimeSeconds?: number;
  readonly routerId?: string;
  readonly localAddress?: string;
  readonly received: FamilyCounts;
  readonly accepted: FamilyCounts;
  readonly announced: FamilyCounts;
  readonly flaps: number;
  readonly messagesReceived: number;
  readonly messagesSent: number;
  readonly capabilities: readonly string[];
  readonly lastError?: { readonly code: string; readonly text: string; readonly at: string };
  /** When a session that waits after a failure tries again. */
  readonly retryAt?: string;
  /** How far `flatroute drain` is with it. */
  readonly drain?: DrainStep;
  /** Only with BFD. */
  readonly bfd?: BfdAnswer;
  /** What a restart of this agent costs at this peer. */
  readonly nextRestart?: { readonly hitless: boolean; readonly text: string };
  readonly conditions: readonly ConditionAnswer[];
}

export interface BfdAnswer {
  /** `Unknown` while the process for BFD has not reported it. */
  readonly state: 'AdminDown' | 'Down' | 'Init' | 'Up' | 'Unknown';
  /** Last change of state. */
  readonly since?: string;
  readonly hops?: 'single' | 'multi';
  readonly transmitIntervalMilliseconds?: number;
  readonly detectionTimeMilliseconds?: number;
  /** The path was up and failed, and is not up again. */
  readonly failed: boolean;
  /** How often the path failed. */
  readonly failures: number;
  readonly stateChanges: number;
  /** Why the last change to Down was, in words. */
  readonly diagnostic?: string;
  readonly peerState?: string;
  readonly peerDiagnostic?: string;
  /** Our BFD survives the agent, as its packets say (C bit). */
  readonly controlPlaneIndependent?: boolean;
  /** The peer's BFD survives its control plane (C bit). */
  readonly peerControlPlaneIndependent?: boolean;
  /** Why it cannot work. */
  readonly problem?: string;
}

export interface RouteAnswerRow {
  readonly prefix: string;
  readonly peer: string;
  /** Of a path that came or was sent with add-path. */
  readonly pathId?: number;
  readonly nextHop?: string;
  readonly asPath: string;
  readonly origin: string;
  readonly localPref?: number;
  readonly med?: number;
  readonly communities: readonly string[];
  /** Of a reflected path. */
  readonly originatorId?: string;
  readonly clusterList?: readonly string[];
  /** AS of the attribute Only to Customer (OTC). */
  readonly onlyToCustomer?: number;
  readonly accepted: boolean;
  readonly reason: string;
  readonly best: boolean;
  readonly multipath: boolean;
  readonly stale: boolean;
}

/** What the kernel does with a destination (RTM_GETROUTE) and which of our routes stands behind it. */
export interface KernelRouteAnswer {
  readonly destination: string;
  /** The route that matched, of any origin. */
  readonly prefix?: string;
  readonly protocol?: number;
  readonly metric?: number;
  readonly nextHopId?: number;
  readonly type: string;
  readonly source?: string;
  readonly hops: readonly { readonly gateway?: string; readonly interface: string }[];
  readonly error?: string;
}

export interface RoutesAnswer {
  readonly routes: readonly RouteAnswerRow[];
  /** More routes matched than were asked for. */
  readonly more: boolean;
  /** Only when an address or prefix was asked for. */
  readonly kernel?: KernelRouteAnswer;
}

export interface PodAnswer {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly network: string;
  readonly interface: string;
  readonly hostInterface: string;
  readonly addresses: readonly string[];
  readonly since: string;
  readonly state: 'building' | 'live' | 'dying' | 'reaping';
}

export type { PodCheck as CheckAnswer } from '#ipam/intent.ts';

/** One family of a pool on this node. */
export interface PoolAnswer {
  readonly pool: string;
  readonly family: Family;
  readonly assignmentMode: 'Automatic' | 'Manual';
  /** No new addresses come from it. */
  readonly disabled: boolean;
  /** Absent: pods of every namespace. */
  readonly namespaceSelector?: string;
  readonly blocks: number;
  readonly capacity: number;
  readonly used: number;
  /** Waiting for the old veth to be gone. */
  readonly fenced: number;
  readonly free: number;
  /** ADDs that found it full, since the agent started. */
  readonly refused: number;
  /** Net, over the last hour; absent while the agent has not run for ten minutes. */
  readonly growthPerHour?: number;
  /** When it is full if it goes on growing like that; absent when it does not grow, or not within a year. */
  readonly fullInSeconds?: number;
  /** In a cluster: which block is being claimed, or why none can be had; absent when there is nothing to say. */
  readonly claim?: string;
}

/** A range of Services as a whole, or one address of a Service. */
export interface ServiceAnswer {
  readonly prefix: string;
  readonly use: 'ClusterIP' | 'ExternalIP' | 'LoadBalancer';
  /** The configured range that it lies in. */
  readonly range: string;
  /** `NAMESPACE/NAME`; absent: the range as a whole. */
  readonly service?: string;
  readonly policy?: 'Cluster' | 'Local';
  /** `Announced`, or why not. */
  readonly outcome: ServiceOutcome;
  /** The same as a sentence. */
  readonly why: string;
  readonly since: string;
  /** What it was before, and since when. */
  readonly before?: string;
  /** Established peers to which it was written. */
  readonly announcedTo: readonly string[];
}

export interface BlockAnswer {
  readonly pool: string;
  readonly cidr: string;
  readonly capacity: number;
  readonly used: number;
  /** Waiting for the old veth to be gone. */
  readonly fenced: number;
  readonly free: number;
  /** Announced while a pod has it, and only then. */
  readonly fixedAddress: boolean;
  /** The blackhole that covers the block is in the kernel. */
  readonly blackhole: boolean;
  /** Established peers to which the block was written. */
  readonly announcedTo: readonly string[];
}

export interface DriftAnswer {
  /** Repairs since the start, by what was repaired. */
  readonly repairs: Readonly<Record<string, number>>;
  readonly routeConflicts: readonly { readonly prefix: string; readonly protocol: number }[];
  readonly problems: readonly { readonly code: string; readonly text: string }[];
  /** Links in our group whose alias could not be read; left alone. */
  readonly foreignLinks: readonly string[];
}

/** One line of the event stream: the same that the log has. */
export interface EventAnswer {
  readonly at: string;
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}
