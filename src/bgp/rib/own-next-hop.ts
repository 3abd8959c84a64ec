/**
 * The next hop that this node gives for itself on one session. In: the session's addresses and the kernel's view; out: per
 * family an address, or `undefined`: then the family is not announced and the facts say so. Never an IPv4-mapped address.
 */
import type { Family, IpAddress, Prefix } from '#lib/ip.ts';
import { contains, familyOf, prefixOf } from '#lib/ip.ts';
import type { KernelInterface, KernelView } from '#dataplane/kernel-view.ts';
import type { MpNextHop } from '../wire/messages.ts';
import { isLinkLocal } from './next-hops.ts';

const notGlobal = ['127.0.0.0/8', '169.254.0.0/16', '::/8', 'fe80::/10', '::ffff:0:0/96'] as Prefix[];
const isGlobal = (address: IpAddress): boolean => !notGlobal.some((range) => contains(range, address));

/** The interface that has the session's local address, `undefined` if the view does not know it. */
export const sessionInterface = (view: KernelView, localAddress: IpAddress): KernelInterface | undefined =>
  view.interfaces.find((link) => link.addresses.some(({ address }) => address === localAddress));

export function ownNextHop(
  family: Family,
  session: { readonly localAddress: IpAddress; readonly remoteAddress: IpAddress },
  view: KernelView,
): MpNextHop | undefined {
  const { localAddress, remoteAddress } = session;
  const link = sessionInterface(view, localAddress);
  const addresses = (link?.addresses ?? []).filter(({ address }) => familyOf(address) === family);
  const linkLocal = addresses.find(({ address }) => isLinkLocal(address))?.address;
  const global =
    familyOf(localAddress) === family && isGlobal(localAddress)
      ? localAddress
      : addresses.find(({ address }) => isGlobal(address))?.address;
  if (global === undefined) {
    if (familyOf(localAddress) === family) return { global: localAddress, linkLocal: undefined };
    return undefined;
  }
  // RFC 2545 §3: the link-local address goes along only where the peer shares the subnet.
  const onLink =
    isLinkLocal(remoteAddress) ||
    (link?.addresses ?? []).some(
      ({ address, prefixLength }) =>
        familyOf(address) === familyOf(remoteAddress) && contains(prefixOf(address, prefixLength), remoteAddress),
    );
  return { global, linkLocal: family === 'ipv6' && onLink ? linkLocal : undefined };
}
