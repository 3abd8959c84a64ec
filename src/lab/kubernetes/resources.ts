/** What an operator applies in a lab's cluster: one AS on all nodes, a peer for each router. */
import { NODE_ASN, rackAddress, routerAsn } from './plan.ts';
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
