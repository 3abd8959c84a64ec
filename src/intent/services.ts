/**
 * Which addresses of Services this node announces. PURE. In: ranges from BGPConfiguration, the label of the Node that keeps
 * load balancers away from it, and a short account of each Service that has an address in a range. Out: a verdict on each
 * range and address, and what is wrong with ranges.
 *
 * What counts is what the proxy of this node would do with a packet (kube-proxy, CategorizeEndpoints): of an address with
 * policy Local only endpoints of the node are used, so that it is announced only by nodes with one. As with Calico a range
 * is announced as a whole by every node, unless it is a single address or aggregation is off; then it is an address while
 * its Service has any endpoint.
 */
import { contains, familyOf, overlaps } from '#lib/ip.ts';
import type { IpAddress, Prefix } from '#lib/ip.ts';
import { isSingleAddress } from '#resources/ip-pool.ts';
import type { IPPool } from '#resources/ip-pool.ts';
import type { EndpointPlace, ServiceRange, ServiceUse, ServiceView } from '#resources/service-view.ts';
import type { Complaint } from './node.ts';
import type { ServiceSettings } from './settings.ts';

/** Nodes with this label, whatever its value, take no traffic from outside for Services (KEP-1143). */
export const excludingLabel = 'node.kubernetes.io/exclude-from-external-load-balancers';

/** Why something is announced or not, by resources and endpoints alone. */
export type ServiceReason = 'Announced' | 'InRange' | 'NoEndpoints' | 'NoEndpointsHere' | 'NodeExcluded';

/** On one range as a whole, or on one address of a Service. */
export interface ServiceVerdict {
  readonly prefix: Prefix;
  readonly use: ServiceUse;
  readonly range: Prefix;
  /** `NAMESPACE/NAME`; `undefined`: the range as a whole. */
  readonly service: string | undefined;
  readonly policy: 'Cluster' | 'Local' | undefined;
  readonly reason: ServiceReason;
}

/** What intent says of Services. */
export interface ServiceIntent {
  readonly ranges: readonly ServiceRange[];
  readonly verdicts: readonly ServiceVerdict[];
  /** `undefined`: the proxy is not asked whether it works. */
  readonly proxyHealthPort: number | undefined;
  readonly announceDelay: ServiceSettings['announceDelay'];
  readonly excluded: boolean;
  /** Services were listed. */
  readonly known: boolean;
}

/** What ranges must stay away from. */
export interface Occupied {
  readonly pools: readonly IPPool[];
  readonly blocks: readonly Prefix[];
  readonly nodeAddresses: readonly IpAddress[];
}

export interface RangesInForce {
  readonly ranges: readonly ServiceRange[];
  /** About the BGPConfiguration of this name. */
  readonly complaints: readonly (Complaint & { readonly of: string })[];
}

const uses: readonly ServiceUse[] = ['ClusterIP', 'ExternalIP', 'LoadBalancer'];

/** Ranges that may be announced: what is a pod's or the node's own would be cut off by them. */
export function rangesOf(settings: ServiceSettings, occupied: Occupied): RangesInForce {
  const ranges: ServiceRange[] = [];
  const complaints: RangesInForce['complaints'][number][] = [];
  for (const use of uses) {
    const { of, cidrs } = settings.ranges[use];
    for (const cidr of cidrs) {
      const whose = occupant(cidr, occupied);
      if (whose !== undefined) {
        complaints.push({
          of,
          reason: 'CIDROverlap',
          message: `${fieldOf[use]}: ${cidr} overlaps ${whose}, so it is left out. Choose a range of which only Services have addresses.`,
        });
        continue;
      }
      const aggregated = !isSingleAddress(cidr) && (use !== 'LoadBalancer' || settings.aggregatesLoadBalancers);
      ranges.push({ use, cidr, aggregated });
    }
  }
  return { ranges, complaints };
}

/** Name of the field that has the ranges of a use. */
export const fieldOf: Readonly<Record<ServiceUse, string>> = {
  ClusterIP: 'serviceClusterIPs',
  ExternalIP: 'serviceExternalIPs',
  LoadBalancer: 'serviceLoadBalancerIPs',
};

function occupant(cidr: Prefix, { pools, blocks, nodeAddresses }: Occupied): string | undefined {
  const pool = pools.find((it) => it.spec.allowedUses.includes('Workload') && overlaps(it.spec.cidr, cidr));
  if (pool !== undefined) return `IPPool ${pool.metadata.name} (${pool.spec.cidr}), which has addresses of pods`;
  const block = blocks.find((it) => overlaps(it, cidr));
  if (block !== undefined) return `the node's block ${block}`;
  const address = nodeAddresses.find((it) => contains(cidr, it));
  return address === undefined ? undefined : `the node's address ${address}`;
}

export function serviceIntent(
  settings: ServiceSettings,
  ranges: readonly ServiceRange[],
  excluded: boolean,
  views: readonly ServiceView[] | undefined,
): ServiceIntent {
  const inForce = new Map(ranges.map((it) => [`${it.use} ${it.cidr}`, it]));
  const wholes = ranges
    .filter((it) => it.aggregated)
    .map(
      ({ use, cidr }): ServiceVerdict => ({
        prefix: cidr,
        use,
        range: cidr,
        service: undefined,
        policy: undefined,
        reason: excluded ? 'NodeExcluded' : 'Announced',
      }),
    );
  const singles = (views ?? []).flatMap(({ service, addresses, endpoints }) =>
    addresses.flatMap(({ prefix, use, range, policy }): ServiceVerdict[] => {
      const of = inForce.get(`${use} ${range}`);
      if (of === undefined) return [];
      const reason = excluded ? 'NodeExcluded' : reasonOf(policy, endpoints[familyOf(prefix)], of.aggregated);
      return [{ prefix, use, range, service, policy, reason }];
    }),
  );
  return {
    ranges,
    verdicts: [...wholes, ...singles],
    proxyHealthPort: settings.proxyHealthPort,
    announceDelay: settings.announceDelay,
    excluded,
    known: views !== undefined,
  };
}

function reasonOf(policy: 'Cluster' | 'Local', endpoints: EndpointPlace, aggregated: boolean): ServiceReason {
  if (policy === 'Cluster' && aggregated) return 'InRange';
  if (endpoints === 'none') return 'NoEndpoints';
  return policy === 'Cluster' || endpoints === 'here' ? 'Announced' : 'NoEndpointsHere';
}

/** What would be announced if the proxy worked, each once: two Services may share an address. */
export const serviceAnnouncements = ({ verdicts }: Pick<ServiceIntent, 'verdicts'>): readonly Prefix[] => [
  ...new Set(verdicts.filter((it) => it.reason === 'Announced').map((it) => it.prefix)),
];
