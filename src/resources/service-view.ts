/** Services of Kubernetes as one node sees them: what a source says of them, and what intent decides by. */
import type { Family, Prefix } from '#lib/ip.ts';

/** Where the address of a Service comes from. */
export type ServiceUse = 'ClusterIP' | 'ExternalIP' | 'LoadBalancer';

/** A range of addresses of Services, from BGPConfiguration. */
export interface ServiceRange {
  readonly use: ServiceUse;
  readonly cidr: Prefix;
  /** Announced as a whole. */
  readonly aggregated: boolean;
}

/** `here`: on this node, whether there are others or not. */
export type EndpointPlace = 'none' | 'elsewhere' | 'here';

/** A Service that has an address in one of the ranges. */
export interface ServiceView {
  /** `NAMESPACE/NAME` */
  readonly service: string;
  readonly addresses: readonly ServiceAddressView[];
  /** Where endpoints are that the proxy would send packets to. How many there are decides nothing, and changes all the time. */
  readonly endpoints: Readonly<Record<Family, EndpointPlace>>;
}

export interface ServiceAddressView {
  /** Of the one address. */
  readonly prefix: Prefix;
  readonly use: ServiceUse;
  /** The range that it lies in; of several the smallest. */
  readonly range: Prefix;
  readonly policy: 'Cluster' | 'Local';
}
