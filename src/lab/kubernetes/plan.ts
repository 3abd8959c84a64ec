/** A lab's cluster on paper: two racks' routers, the nodes under both of them, a VM behind both, and the network that the API is on. */
import type { Asn, Family, IpAddress, Prefix } from '#lib/ip.ts';
import { families } from '#lib/ip.ts';
import type { RouterDescription } from '../routers/router.ts';

const address = (text: string): IpAddress => text as IpAddress;
const prefixes = (...texts: readonly string[]): readonly Prefix[] => texts as readonly Prefix[];
const asn = (n: number): Asn => n as Asn;

/** Of the API server, on the management network that every node has a link to. */
export const API_ADDRESS = address('10.250.0.1');
/** All nodes are in one AS, and learn nothing but the routers' default routes. */
export const NODE_ASN = asn(65001);
/** kube-proxy's clusterCIDR: the ranges of kube-controller-manager and the pools lie in it. */
export const POD_RANGES = prefixes('10.60.0.0/16', 'fd60::/48');
/** What kube-controller-manager gives the nodes, a /26 and a /122 each. */
export const NODE_CIDRS = prefixes('10.60.0.0/17', 'fd60::/108');
/** What is left for IPPools. */
export const POOL_CIDRS = prefixes('10.60.128.0/17', 'fd60:0:0:1::/64');
/** Addresses of Services that the routers take from the nodes: of load balancers from two pools, and external ones. */
export const SERVICE_CIDRS = {
  front: prefixes('198.51.100.0/28', '2001:db8:100::/124'),
  back: prefixes('198.51.100.128/28', '2001:db8:100::80/124'),
  external: prefixes('203.0.113.0/28', '2001:db8:113::/124'),
} as const;
export const VM_ADDRESS = { ipv4: address('192.0.2.50'), ipv6: address('2001:db8::50') } as const;

export const routerNames = ['tor-a', 'tor-b'] as const;
export type RouterName = (typeof routerNames)[number];
const routerAsns = { 'tor-a': asn(65100), 'tor-b': asn(65200) } as const;
export const routerAsn = (name: RouterName): Asn => routerAsns[name];
const MOST_NODES = 4;

const numberOf = (name: RouterName): number => routerNames.indexOf(name) + 1;

/** InternalIP of `node-N`. */
export const nodeAddress = (n: number, family: Family): IpAddress =>
  address(family === 'ipv4' ? `10.250.0.${10 + n}` : `fd25::${10 + n}`);
export const nodeAddresses = (n: number): readonly IpAddress[] => families.map((family) => nodeAddress(n, family));

/** In the segment that a router shares with the nodes; the router is 1, `node-N` is 10 + N. */
export const rackAddress = (router: RouterName, host: number, family: Family = 'ipv4'): IpAddress =>
  address(family === 'ipv4' ? `172.16.${numberOf(router)}.${host}` : `fd16:${numberOf(router)}::${host}`);

/** What is behind both routers, with a link of its own to each. */
export const behindRouters = ['vm', 'control'] as const;
export type BehindRouters = (typeof behindRouters)[number];

/** On the link between a router (1) and what is behind it (2), and between the routers. */
export function linkAddress(router: RouterName, host: BehindRouters, end: 1 | 2, family: Family): IpAddress {
  const number = 10 * (1 + 2 * behindRouters.indexOf(host)) + numberOf(router);
  return address(family === 'ipv4' ? `172.16.${number}.${end}` : `fd16:${number}::${end}`);
}
export const routerLinkAddress = (router: RouterName, family: Family): IpAddress =>
  address(family === 'ipv4' ? `172.16.20.${numberOf(router)}` : `fd16:20::${numberOf(router)}`);

export const linkLength = (family: Family): number => (family === 'ipv4' ? 24 : 64);
export const hostLength = (family: Family): number => (family === 'ipv4' ? 32 : 128);

/**
 * A default route for the nodes, and from them what lies in the pods' ranges and their own addresses. Of graceful restart FRR
 * has its default: it helps.
 */
export const routerDescription = (name: RouterName, password?: string): RouterDescription => ({
  asn: routerAsns[name],
  routerId: address(`10.255.0.${numberOf(name)}`),
  announce: prefixes('0.0.0.0/0', '::/0'),
  holdTimeSeconds: 9,
  multipath: true,
  peers: Array.from({ length: MOST_NODES }, (_, i) => ({
    name: `node-${i + 1}`,
    address: rackAddress(name, 11 + i),
    asn: NODE_ASN,
    families,
    accept: [...POD_RANGES, ...Object.values(SERVICE_CIDRS).flat(), ...prefixes('10.250.0.0/24', 'fd25::/64')],
    maxPrefixes: 1000,
    ...(password === undefined ? {} : { password }),
  })),
});
