/** What intent gives the allocator: the node's blocks by pool. */
import type { Family, IpAddress, Prefix } from '#lib/ip.ts';
import type { ClaimProblem } from './claims/intent.ts';

export interface IpamIntent {
  /** In order of preference; a pod takes one address of each family that any of its pools has. */
  readonly pools: readonly PoolIntent[];
  readonly reserved: readonly Prefix[];
  /** Namespaces whose labels are known; absent when no pool asks for them. */
  readonly knownNamespaces?: readonly string[];
}

/** Whose pods may have addresses of a pool. */
export interface NamespaceLimit {
  /** As the pool has it, for people. */
  readonly selector: string;
  /** Known namespaces that it selects. */
  readonly names: readonly string[];
}

export interface PoolIntent {
  readonly name: string;
  readonly blocks: readonly Prefix[];
  /** Of the blocks: those that give no new addresses, because they are on their way back. */
  readonly closed?: readonly Prefix[];
  /** Range of the pool where this node may claim more blocks of it, and has perhaps none yet. */
  readonly claimable?: Prefix;
  /** `Manual`: only for pods that name the pool. */
  readonly assignmentMode: 'Automatic' | 'Manual';
  /** No new addresses from here; those in use stay. */
  readonly disabled: boolean;
  /** Absent: pods of every namespace. */
  readonly namespaces?: NamespaceLimit;
}

/** What the pods thread works by. */
export interface PodsIntent {
  readonly ipam: IpamIntent;
  readonly nodeAddresses: { readonly ipv4: IpAddress | undefined; readonly ipv6: IpAddress | undefined };
  /** MTU of new pods; `undefined`: the uplinks' minimum. */
  readonly mtu: number | undefined;
}

/** What the rest of the agent tells the pods thread while it runs. */
export interface PodsGate {
  /** Some BGP session is established. */
  readonly anySession: boolean;
  /** Blocks that were written to at least one established session, and those that are to be announced to nobody. */
  readonly announcedBlocks: readonly Prefix[];
  /** Why no more blocks can be had now; absent or empty: a claim is a matter of moments. */
  readonly claimProblems?: readonly ClaimProblem[];
}

export interface PodFacts {
  readonly generation: number;
  readonly pods: number;
  /** Every address of every block: in use, waiting for its veth to be gone, free. */
  readonly blocks: readonly BlockFacts[];
  /** Veths found with an alias that could not be read, and left alone. */
  readonly foreignLinks: readonly string[];
  /** Addresses in use that no block of the node holds any more. */
  readonly outsideBlocks: readonly IpAddress[];
  /** Addresses that wait for their veth to be gone and that no block of the node holds any more. */
  readonly fencedOutsideBlocks: readonly IpAddress[];
  /** What pods asked for lately and only a claim can give. */
  readonly demand: Demand;
  /** Addresses in use that are blocks of their own in a pool with manual assignment: announced while they are. */
  readonly fixedAddresses: readonly IpAddress[];
  /** ADDs that found their pools full, since the start. */
  readonly refusals: readonly Refusals[];
  /** Repairs of pods since the start, by what was repaired. */
  readonly repairs: Readonly<Record<string, number>>;
  /** MTU of new pods, which running ones follow; 0 before the first look. */
  readonly mtu: number;
  /** What keeps pods from being as they should be; a sentence each. */
  readonly problems: readonly { readonly code: string; readonly text: string }[];
}

export interface Demand {
  /** Pods that found every pool they may take from full, by these pools. */
  readonly choices: readonly DemandedChoice[];
  /** Fixed addresses that are in no block of this node. */
  readonly addresses: readonly IpAddress[];
}

export interface DemandedChoice {
  readonly pools: readonly string[];
  readonly family: Family;
  /** Pods. */
  readonly count: number;
}

export interface Refusals {
  readonly pool: string;
  readonly family: Family;
  readonly count: number;
}

export interface BlockFacts {
  readonly pool: string;
  readonly cidr: Prefix;
  readonly capacity: number;
  readonly used: number;
  readonly fenced: number;
  /** It gives no new addresses. */
  readonly closed?: boolean;
}

/** What was taken less what was given back. */
export interface PoolGrowth {
  readonly pool: string;
  readonly family: Family;
  /** Addresses; negative while more are given back. */
  readonly perHour: number;
}

/** One attachment, as `flatroute pods` shows it. */
export interface PodRow {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly network: string;
  /** Interface inside the pod. */
  readonly interface: string;
  /** Interface on the node. */
  readonly hostInterface: string;
  readonly addresses: readonly IpAddress[];
  /** Wall-clock milliseconds since the epoch. */
  readonly since: number;
  readonly state: 'building' | 'live' | 'dying' | 'reaping';
}

/** Something on which the kernel, the agent's books and the container runtime do not agree. */
export interface PodFinding {
  /** One stable word; docs/ipam-check.md lists them. */
  readonly code: string;
  /** The interface or address that it is about. */
  readonly subject: string;
  /** `namespace/name`, or the container; empty when it is nobody's. */
  readonly pod: string;
  readonly text: string;
  /** What to do about it. */
  readonly action: string;
}

export interface PodCheckRequest {
  /** `plan` says what `apply` would do, with the same proofs. */
  readonly repair: 'no' | 'plan' | 'apply';
  /** Younger attachments are not judged by what the runtime says of them. */
  readonly olderThanSeconds: number;
}

export interface PodCheck {
  readonly findings: readonly (PodFinding & {
    /** Only where a repair was asked for. */
    readonly outcome?: 'repaired' | 'wouldRepair' | 'left';
    /** Why, in words: the proofs, or what is missing. */
    readonly reason?: string;
  })[];
  /** How much was compared. */
  readonly pods: number;
  readonly addresses: number;
  /** What could not be seen from here, as sentences. */
  readonly unseen: readonly string[];
}
