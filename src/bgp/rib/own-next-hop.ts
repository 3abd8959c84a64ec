/**
 * The next hop that this node gives for itself on one session. In: the session's addresses and the kernel's view; out: per
 * family an address, or `undefined`: then the family is not announced and the facts say so. Never an IPv4-mapped address.
 *
 * In this order: the session's local address; a global address of the family on the session's interface; for IPv4 an IPv6
 * address, if both ends agreed to that (RFC 8950 §4). Over link-local addresses the last comes first: such a link need not
 * have a subnet, and an address that it has all the same need not be one of the peer's subnets.
 */
import type { Family, IpAddress, Prefix } from '#lib/ip.ts';
import { addressBits, contains, familyOf, isLinkLocal, prefixOf } from '#lib/ip.ts';
import type { KernelInterface, KernelView } from '#dataplane/kernel-view.ts';
import type { MpNextHop, WireContext } from '../wire/messages.ts';
import type { NextHopSession } from './next-hops.ts';

const notGlobal = ['127.0.0.0/8', '169.254.0.0/16', '::/8', 'fe80::/10', '::ffff:0:0/96'] as Prefix[];
const isGlobal = (address: IpAddress): boolean => !notGlobal.some((range) => contains(range, address));

export interface OwnSession extends NextHopSession {
  readonly remoteAddress: IpAddress;
  readonly context: Pick<WireContext, 'extendedNextHop'>;
}

/** The interface of the session, `undefined` if the view does not know it. */
export const sessionInterface = (view: KernelView, session: NextHopSession): KernelInterface | undefined =>
  view.interfaces.find(
    session.interfaceIndex === undefined
      ? (link) => link.addresses.some(({ address }) => address === session.localAddress)
      : (link) => link.index === session.interfaceIndex,
  );

export function ownNextHop(family: Family, session: OwnSession, view: KernelView): MpNextHop | undefined {
  const link = sessionInterface(view, session);
  if (family === 'ipv6') return ipv6NextHop(session, link);
  const { localAddress } = session;
  const isOwnFamily = familyOf(localAddress) === 'ipv4';
  if (isOwnFamily && isGlobal(localAddress)) return { global: localAddress, linkLocal: undefined };
  const viaIpv6 = session.context.extendedNextHop === true ? ipv6NextHop(session, link) : undefined;
  if (viaIpv6 !== undefined && isLinkLocal(localAddress)) return viaIpv6;
  // A host address on a link is in no subnet that the peer could reach it by.
  const found = link?.addresses.find(
    ({ address, prefixLength }) =>
      familyOf(address) === 'ipv4' &&
      isGlobal(address) &&
      (viaIpv6 === undefined || prefixLength < addressBits('ipv4')),
  );
  const address = found?.address ?? (isOwnFamily ? localAddress : undefined);
  return address === undefined ? viaIpv6 : { global: address, linkLocal: undefined };
}

function ipv6NextHop(session: OwnSession, link: KernelInterface | undefined): MpNextHop | undefined {
  const { localAddress, remoteAddress } = session;
  const addresses = (link?.addresses ?? []).filter(({ address }) => familyOf(address) === 'ipv6');
  const linkLocal = addresses.find(({ address }) => isLinkLocal(address))?.address;
  const global =
    familyOf(localAddress) === 'ipv6' && isGlobal(localAddress)
      ? localAddress
      : addresses.find(({ address }) => isGlobal(address))?.address;
  if (global === undefined)
    return familyOf(localAddress) === 'ipv6' ? { global: localAddress, linkLocal: undefined } : undefined;
  // RFC 2545 §3: the link-local address goes along only where the peer shares the subnet.
  const onLink =
    isLinkLocal(remoteAddress) ||
    (link?.addresses ?? []).some(
      ({ address, prefixLength }) =>
        familyOf(address) === familyOf(remoteAddress) && contains(prefixOf(address, prefixLength), remoteAddress),
    );
  return { global, linkLocal: onLink ? linkLocal : undefined };
}
