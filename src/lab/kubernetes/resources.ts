/** What an operator applies in a lab's cluster: one AS on all nodes, a peer for each router, a pool of each family. */
import { NODE_ASN, POOL_CIDRS, rackAddress, routerAsn, routerNames } from './plan.ts';
import type { RouterName } from './plan.ts';

const GROUP = 'flatroute.io/v1alpha1';

export const bgpConfiguration = (more: object = {}): object => ({
  apiVersion: GROUP,
  kind: 'BGPConfiguration',
  metadata: { name: 'default' },
  spec: {
    asNumber: NODE_ASN,
    importPolicy: 'DefaultRoute',
    addressSource: 'IPPools',
    advertise: { nodeAddresses: true },
    ...more,
  },
});

export const bgpPeer = (router: RouterName, more: object = {}): object => ({
  apiVersion: GROUP,
  kind: 'BGPPeer',
  metadata: { name: router },
  spec: {
    peerIP: rackAddress(router, 1),
    asNumber: routerAsn(router),
    // The session runs between the addresses of the segment.
    sourceAddress: 'None',
    holdTime: '9s',
    connectTime: '1s',
    ...more,
  },
});

export const ipPools = (): readonly object[] =>
  POOL_CIDRS.map((cidr) => ({
    apiVersion: GROUP,
    kind: 'IPPool',
    metadata: { name: cidr.includes(':') ? 'pods6' : 'pods4' },
    spec: { cidr, blockSize: cidr.includes(':') ? 122 : 26 },
  }));

/** All of it. */
export const operatorResources = (): readonly object[] => [
  bgpConfiguration(),
  ...routerNames.map((router) => bgpPeer(router)),
  ...ipPools(),
];
