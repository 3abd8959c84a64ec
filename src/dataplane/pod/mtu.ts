/** PURE: which MTU a pod has, at its start and when that of the uplinks changes. */
import { familyOf, type IpAddress } from '#lib/ip.ts';
import type { Link } from '#netlink/wire/link.ts';
import { isHostInterfaceName } from './attachment.ts';

/** Interfaces that are no uplink although they are up: what others put on top of uplinks or beside them. */
const innerKinds = new Set([
  'bridge',
  'dummy',
  'ifb',
  'tun',
  'wireguard',
  'vxlan',
  'geneve',
  'ipip',
  'sit',
  'gre',
  'ip6tnl',
]);
const DEFAULT_MTU = 1500;
const ARPHRD_LOOPBACK = 772;
/** RFC 8200 §5: below it an interface has no IPv6, and the kernel takes its addresses. */
const SMALLEST_IPV6_MTU = 1280;

/** The smallest MTU of what may be an uplink: up, no loopback, no pod, no part of a bridge. */
export function uplinkMtu(links: readonly Link[], isUp: (link: Link) => boolean): number {
  const mtus = links
    .filter((link) => isUp(link) && link.hardwareType !== ARPHRD_LOOPBACK && link.master === undefined)
    .filter((link) => !innerKinds.has(link.kind) && !(link.kind === 'veth' && isHostInterfaceName(link.name)))
    .map((link) => link.mtu);
  return mtus.length === 0 ? DEFAULT_MTU : Math.min(...mtus);
}

/** What a pod with these addresses gets where the uplinks have `mtu`. */
export const podMtu = (mtu: number, addresses: readonly IpAddress[]): number =>
  addresses.some((address) => familyOf(address) === 'ipv6') ? Math.max(mtu, SMALLEST_IPV6_MTU) : mtu;

export interface MtuPlan {
  readonly host: number;
  readonly pod: number;
}

/**
 * A pod's end that differs from the node's was set by somebody in the pod, tuning for instance: it is left alone unless it
 * is more than the node's end will take.
 */
export const planMtu = (wanted: number, host: number, pod: number): MtuPlan => ({
  host: wanted,
  pod: pod === host ? wanted : Math.min(pod, wanted),
});
