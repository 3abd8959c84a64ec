/** BGPConfiguration as it holds on one node: `node.<name>` field by field over `default`, and both over the defaults. */
import type { BestPathIntent, Community, EngineIntent, ImportPolicy } from '#bgp/engine.ts';
import type { Asn, IpAddress, Prefix } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import type { Duration } from '#lib/time.ts';
import type { BGPConfiguration } from '#resources/bgp-configuration.ts';
import type { BGPPeer } from '#resources/bgp-peer.ts';
import type { CountOrPercent } from '#resources/formats.ts';
import type { ServiceUse } from '#resources/service-view.ts';

export interface Settings {
  /** From `node.<name>`; it stands before the Node's annotation. */
  readonly nodeAsNumber: Asn | undefined;
  /** From `default`, or Calico's own default. */
  readonly asNumber: Asn;
  readonly listenPort: number;
  readonly routerId: IpAddress | undefined;
  readonly clusterId: IpAddress | undefined;
  /** From `node.<name>` alone: this node is a reflector among nodes. */
  readonly nodeClusterId: IpAddress | undefined;
  readonly mesh: {
    readonly enabled: boolean;
    readonly password: BGPPeer['spec']['password'];
    readonly maxRestartTime: Duration | undefined;
  };
  readonly importPolicy: ImportPolicy | undefined;
  /** By name; those of `node.<name>` beside those of `default`. */
  readonly communities: ReadonlyMap<string, Community>;
  readonly prefixAdvertisements: {
    /** Name of the BGPConfiguration that has them. */
    readonly of: string;
    readonly entries: readonly { readonly cidr: Prefix; readonly communities: readonly string[] }[];
  };
  readonly advertise: { readonly nodeAddresses: boolean; readonly prefixes: readonly Prefix[] };
  readonly multipath: { readonly maximumPaths: number; readonly relax: boolean };
  readonly bestPath: BestPathIntent;
  readonly installRoutes: boolean;
  /** `undefined`: the agent itself. */
  readonly engine: EngineIntent | undefined;
  readonly services: ServiceSettings;
  readonly addressSource: 'NodePodCIDR' | 'IPPools';
  readonly gracefulRestart: {
    readonly enabled: boolean;
    readonly restartTime: Duration;
    /** `undefined`: as the peer's BFD says. */
    readonly notification: boolean | undefined;
    readonly staleTime: Duration | undefined;
  };
  readonly readiness: Readiness;
}

/** When a node takes pods. */
export interface Readiness {
  /** Established sessions that it needs, those of the mesh not counted. */
  readonly minSessions: number;
  /** For how long it must have them before its taint goes. */
  readonly delay: Duration;
  /** How many nodes may be tainted at once because they lost them. */
  readonly maxUnready: CountOrPercent;
}

export interface ServiceRanges {
  /** Name of the BGPConfiguration that has them. */
  readonly of: string;
  readonly cidrs: readonly Prefix[];
}

export interface ServiceSettings {
  readonly ranges: Readonly<Record<ServiceUse, ServiceRanges>>;
  /** Ranges of load balancers are announced as a whole. */
  readonly aggregatesLoadBalancers: boolean;
  /** `undefined`: the proxy is not asked. */
  readonly proxyHealthPort: number | undefined;
  /** Before an address that was withdrawn is announced again. */
  readonly announceDelay: Duration;
}

/** Field by field, as everything else. */
const gobgp = (own: BGPConfiguration['spec']['gobgp'], all: BGPConfiguration['spec']['gobgp']): EngineIntent => ({
  kind: 'gobgp',
  address: own?.address ?? all?.address ?? 'unix:///run/flatroute/gobgp.sock',
  foreign: own?.foreign ?? all?.foreign ?? 'Keep',
});

export function settingsFor(configurations: readonly BGPConfiguration[], nodeName: string): Settings {
  const named = (name: string): BGPConfiguration['spec'] | undefined =>
    configurations.find((it) => it.metadata.name === name)?.spec;
  const own = named(`node.${nodeName}`);
  const all = named('default');
  type Ranges = readonly { readonly cidr: Prefix }[] | undefined;
  const ranges = (list: (spec: BGPConfiguration['spec']) => Ranges): ServiceRanges => {
    const mine = own === undefined ? undefined : list(own);
    const common = all === undefined ? undefined : list(all);
    const of = mine === undefined ? 'default' : `node.${nodeName}`;
    return { of, cidrs: (mine ?? common ?? []).map(({ cidr }) => cidr) };
  };
  return {
    nodeAsNumber: own?.asNumber,
    asNumber: all?.asNumber ?? (64512 as Asn),
    listenPort: own?.listenPort ?? all?.listenPort ?? 179,
    routerId: own?.routerID,
    clusterId: own?.routeReflectorClusterID ?? all?.routeReflectorClusterID,
    nodeClusterId: own?.routeReflectorClusterID,
    mesh: {
      enabled: all?.nodeToNodeMeshEnabled ?? false,
      password: all?.nodeMeshPassword,
      maxRestartTime: all?.nodeMeshMaxRestartTime,
    },
    importPolicy: own?.importPolicy ?? all?.importPolicy,
    communities: new Map(
      [...(all?.communities ?? []), ...(own?.communities ?? [])].map(({ name, value }) => [name, value]),
    ),
    prefixAdvertisements:
      own?.prefixAdvertisements === undefined
        ? { of: 'default', entries: all?.prefixAdvertisements ?? [] }
        : { of: `node.${nodeName}`, entries: own.prefixAdvertisements },
    advertise: {
      nodeAddresses: own?.advertise?.nodeAddresses ?? all?.advertise?.nodeAddresses ?? false,
      prefixes: own?.advertise?.prefixes ?? all?.advertise?.prefixes ?? [],
    },
    multipath: {
      maximumPaths: own?.multipath?.maximumPaths ?? all?.multipath?.maximumPaths ?? 16,
      relax: own?.multipath?.relax ?? all?.multipath?.relax ?? true,
    },
    bestPath: {
      alwaysCompareMed: own?.bestPath?.alwaysCompareMED ?? all?.bestPath?.alwaysCompareMED ?? false,
      missingMedAsWorst: own?.bestPath?.missingMEDAsWorst ?? all?.bestPath?.missingMEDAsWorst ?? false,
      preferOlder: own?.bestPath?.preferOlder ?? all?.bestPath?.preferOlder ?? false,
    },
    services: {
      ranges: {
        ClusterIP: ranges((spec) => spec.serviceClusterIPs),
        ExternalIP: ranges((spec) => spec.serviceExternalIPs),
        LoadBalancer: ranges((spec) => spec.serviceLoadBalancerIPs),
      },
      aggregatesLoadBalancers:
        (own?.serviceLoadBalancerAggregation ?? all?.serviceLoadBalancerAggregation ?? 'Enabled') === 'Enabled',
      proxyHealthPort:
        (own?.serviceProxy?.healthCheck ?? all?.serviceProxy?.healthCheck ?? true)
          ? (own?.serviceProxy?.healthPort ?? all?.serviceProxy?.healthPort ?? 10_256)
          : undefined,
      announceDelay: own?.serviceAnnounceDelay ?? all?.serviceAnnounceDelay ?? seconds(5),
    },
    installRoutes: own?.installRoutes ?? all?.installRoutes ?? true,
    engine: (own?.engine ?? all?.engine) === 'gobgp' ? gobgp(own?.gobgp, all?.gobgp) : undefined,
    addressSource: own?.addressSource ?? all?.addressSource ?? 'NodePodCIDR',
    gracefulRestart: {
      enabled: own?.gracefulRestart?.enabled ?? all?.gracefulRestart?.enabled ?? true,
      restartTime: own?.gracefulRestart?.restartTime ?? all?.gracefulRestart?.restartTime ?? seconds(120),
      notification: own?.gracefulRestart?.notification ?? all?.gracefulRestart?.notification,
      staleTime: own?.gracefulRestart?.staleTime ?? all?.gracefulRestart?.staleTime,
    },
    readiness: {
      minSessions: own?.readiness?.minSessions ?? all?.readiness?.minSessions ?? 1,
      delay: own?.readiness?.delay ?? all?.readiness?.delay ?? seconds(0),
      maxUnready: all?.readiness?.maxUnready ?? { percent: 10 },
    },
  };
}
