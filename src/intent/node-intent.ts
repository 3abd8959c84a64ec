/** What intent is made of: one value for each part of the agent, and the facts that come back. */
import type { BfdFacts } from '#bgp/bfd/facts.ts';
import type { BgpFacts, BgpIntent } from '#bgp/engine.ts';
import type { DataplaneIntent, KernelFacts } from '#dataplane/intent.ts';
import type { ClaimFacts, ClaimIntent } from '#ipam/claims/intent.ts';
import type { PodFacts, PodsIntent } from '#ipam/intent.ts';
import type { Prefix } from '#lib/ip.ts';
import type { Instant } from '#lib/time.ts';
import type { Reason } from './reasons.ts';
import type { ServiceIntent } from './services.ts';
import type { Strays } from './strays.ts';

export interface NodeIntent {
  /** `undefined`: this node speaks no BGP. */
  readonly bgp: BgpIntent | undefined;
  readonly pods: PodsIntent;
  readonly dataplane: DataplaneIntent;
}

/** The configuration list that the agent keeps for the container runtime. */
export interface ConflistFacts {
  readonly file: string;
  /** It is there as it should be. */
  readonly inPlace: boolean;
  /** Why it cannot be read or written. */
  readonly problem: string | undefined;
  /** Files of the same directory that a runtime takes instead of it, and that do not lead to flatroute. */
  readonly foreign: readonly string[];
  /** How often somebody else's change of it was undone, since the start. */
  readonly restored: number;
}

/** The proxy that translates addresses of Services on this node, as its own health check says. */
export interface ProxyFacts {
  /** `undefined`: it was not asked yet. */
  readonly healthy: boolean | undefined;
  /** Why it is not healthy, a sentence. */
  readonly problem: string | undefined;
}

/** What every part last said; absent until it has said something. */
export interface Facts {
  readonly bgp?: BgpFacts | undefined;
  readonly kernel?: KernelFacts | undefined;
  readonly pods?: PodFacts | undefined;
  readonly bfd?: BfdFacts | undefined;
  /** Only where the agent keeps one. */
  readonly conflist?: ConflistFacts | undefined;
  readonly claims?: ClaimFacts | undefined;
  readonly proxy?: ProxyFacts | undefined;
  /** Why Services are not known. */
  readonly servicesProblem?: string | undefined;
  /** Of Services: what was withdrawn and is not announced again before then. */
  readonly delayed?: ReadonlyMap<Prefix, Instant> | undefined;
}

export type ConditionType =
  | 'Accepted'
  | 'ResourcesRead'
  | 'EngineReady'
  | 'EngineManaged'
  | 'EngineSupports'
  | 'Established'
  | 'NeighbourKnown'
  | 'ListenRange'
  | 'PrefixLimit'
  | 'SeveralPaths'
  | 'RoutesAccepted'
  | 'RoutesAnnounced'
  | 'BFDUp'
  | 'BFDReady'
  | 'Listening'
  | 'NetworkConfigured'
  | 'PasswordsFit'
  | 'PeersConfigured'
  | 'MeshComplete'
  | 'BlocksAssigned'
  | 'BlocksAnnounced'
  | 'KernelReady'
  | 'RoutesInstalled'
  | 'AddressesAvailable'
  | 'PodsAnnounced'
  | 'Allocatable'
  | 'BlocksAvailable'
  | 'flatroute.io/AddressAssigned'
  | 'ServicesAnnounced';

/** One condition on one object, as seen by this node. `True` is the good state of every type. */
export interface Condition {
  readonly kind: string;
  readonly name: string;
  readonly type: ConditionType;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: Reason;
  /** What happened, to what, and what to do. */
  readonly message: string;
}

/** What conditions must know of a peer and its session need not. */
export interface PeerOrigin {
  readonly name: string;
  readonly password: { readonly secret: string; readonly key: string } | undefined;
  /** Why the session is held down, if it is. */
  readonly heldDown: 'AdminDown' | 'NotAccepted' | undefined;
  /** A BFDProfile that the peer names and that does not exist: it has no BFD. */
  readonly missingProfile: string | undefined;
}

/** What `compile` answers: the intent, and the conditions that resources alone decide. */
export interface Compiled {
  readonly nodeName: string;
  readonly intent: NodeIntent;
  readonly conditions: readonly Condition[];
  /** One for each peer of the intent, in the same order. */
  readonly peers: readonly PeerOrigin[];
  readonly strays: Strays;
  /** Blocks on their way back. */
  readonly releasing: readonly Prefix[];
  readonly services: ServiceIntent;
  /** What claims go by; `undefined` where nothing is claimed (directory mode). */
  readonly claims: ClaimIntent | undefined;
}
