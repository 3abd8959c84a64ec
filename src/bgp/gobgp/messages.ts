/**
 * What GoBGP's answers look like behind proto-loader, as far as they are read here; proto/gobgp has the definitions. Numbers
 * of enumerations are those of the interface that answered (`dialect.ts`). A message that was not sent is null.
 */
export interface FamilyMessage {
  readonly afi: number;
  readonly safi: number;
}

export interface GlobalMessage {
  readonly asn: number;
  readonly routerId: string;
  readonly listenPort: number;
  readonly useMultiplePaths: boolean;
  readonly routeSelectionOptions: {
    readonly alwaysCompareMed: boolean;
    readonly externalCompareRouterId: boolean;
  } | null;
}

export interface AfiSafiMessage {
  readonly mpGracefulRestart: {
    readonly config: { readonly enabled: boolean } | null;
    readonly state?: { readonly endOfRibReceived: boolean } | null;
  } | null;
  readonly config: { readonly family: FamilyMessage | null; readonly enabled: boolean } | null;
  readonly state?: { readonly received: number; readonly accepted: number; readonly advertised: number } | null;
  readonly prefixLimits: {
    readonly family?: FamilyMessage | null;
    readonly maxPrefixes: number;
    readonly shutdownThresholdPct: number;
  } | null;
  readonly longLivedGracefulRestart: {
    readonly config: { readonly enabled: boolean; readonly restartTime: number } | null;
  } | null;
  readonly addPaths: { readonly config: { readonly receive: boolean; readonly sendMax: number } | null } | null;
}

/** What peers and peer groups share. */
export interface SessionMessage {
  readonly ebgpMultihop: { readonly enabled: boolean; readonly multihopTtl: number } | null;
  readonly routeReflector: {
    readonly routeReflectorClient: boolean;
    readonly routeReflectorClusterId: string;
  } | null;
  readonly timers: {
    readonly config: {
      readonly connectRetry: number;
      readonly holdTime: number;
      readonly keepaliveInterval: number;
    } | null;
    readonly state?: {
      readonly negotiatedHoldTime: number;
      readonly uptime: TimestampMessage | null;
      readonly downtime: TimestampMessage | null;
    } | null;
  } | null;
  readonly transport: {
    readonly localAddress: string;
    readonly passiveMode: boolean;
    readonly remotePort: number;
  } | null;
  readonly gracefulRestart: {
    readonly enabled: boolean;
    readonly restartTime: number;
    readonly notificationEnabled: boolean;
    readonly longlivedEnabled: boolean;
    readonly deferralTime?: number;
    readonly localRestarting?: boolean;
  } | null;
  readonly afiSafis: readonly AfiSafiMessage[];
  readonly ttlSecurity: { readonly enabled: boolean; readonly ttlMin: number } | null;
}

export interface TimestampMessage {
  readonly seconds: number;
  readonly nanos: number;
}

export interface PeerConfMessage {
  readonly authPassword: string;
  readonly description: string;
  readonly localAsn: number;
  readonly neighborAddress: string;
  readonly peerAsn: number;
  readonly peerGroup: string;
  readonly neighborInterface: string;
  readonly allowOwnAsn: number;
  readonly adminDown: boolean;
}

export interface PeerMessage extends SessionMessage {
  readonly conf: PeerConfMessage | null;
  readonly state?: PeerStateMessage | null;
}

export interface PeerStateMessage {
  readonly messages: {
    readonly received: { readonly total: number } | null;
    readonly sent: { readonly total: number } | null;
  } | null;
  readonly neighborAddress: string;
  readonly peerAsn: number;
  readonly peerGroup: string;
  readonly sessionState: number;
  readonly adminState: number;
  readonly flops: number;
  readonly routerId: string;
  readonly remoteCap: readonly CapabilityMessage[];
  readonly disconnectMessage?: string;
}

export interface AnyMessage {
  readonly type_url: string;
  readonly value: Uint8Array;
}

/** Of v4: the name of the one that is set is `cap`. */
export type CapabilityMessage = AnyMessage | Readonly<Record<string, unknown>>;

export interface PeerGroupMessage extends SessionMessage {
  readonly conf: {
    readonly authPassword: string;
    readonly description: string;
    readonly localAsn: number;
    readonly peerAsn: number;
    readonly peerGroupName: string;
  } | null;
}

export interface DynamicNeighborMessage {
  readonly prefix: string;
  readonly peerGroup: string;
}

export interface PathMessage {
  /** v3: google.protobuf.Any; v4: the message itself. */
  readonly nlri:
    | AnyMessage
    | { readonly prefix: { readonly prefixLen: number; readonly prefix: string } | null }
    | null;
  readonly pattrs: readonly (
    | AnyMessage
    | {
        readonly nextHop?: { readonly nextHop: string } | null;
        readonly asPath?: Uint8Array | null;
        readonly mpReach?: { readonly nextHops: readonly string[] } | null;
      }
  )[];
  readonly best: boolean;
  readonly isWithdraw: boolean;
  readonly family: FamilyMessage | null;
  readonly sourceAsn: number;
  readonly sourceId: string;
  readonly filtered: boolean;
  readonly stale: boolean;
  readonly neighborIp: string;
  readonly identifier: number;
  readonly localIdentifier: number;
  readonly nlriBinary: Uint8Array;
  readonly pattrsBinary: readonly Uint8Array[];
}

export interface DestinationMessage {
  readonly prefix: string;
  readonly paths: readonly PathMessage[];
}

export interface WatchMessage {
  readonly peer?: { readonly type: number; readonly peer: PeerMessage | null } | null;
  readonly table?: { readonly paths: readonly PathMessage[] } | null;
}

export interface MatchSetMessage {
  readonly type: number;
  readonly name: string;
}

export interface DefinedSetMessage {
  readonly definedType: number;
  readonly name: string;
  readonly list: readonly string[];
  readonly prefixes: readonly {
    readonly ipPrefix: string;
    readonly maskLengthMin: number;
    readonly maskLengthMax: number;
  }[];
}

export interface StatementMessage {
  readonly name: string;
  readonly conditions: Readonly<Record<string, unknown>> | null;
  readonly actions: Readonly<Record<string, unknown>> | null;
}

export interface PolicyMessage {
  readonly name: string;
  readonly statements: readonly StatementMessage[];
}

export interface PolicyAssignmentMessage {
  readonly name: string;
  readonly direction: number;
  readonly policies: readonly PolicyMessage[];
  readonly defaultAction: number;
}
