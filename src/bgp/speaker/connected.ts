/**
 * Whether an external peer is where it must be: on a subnet of this node, unless its intent lets it be more hops away (RFC
 * 4271 §5.1.3 tells the two apart). In: a peer's intent and the kernel's view; out: why no session is opened. Our packets to
 * a near peer have TTL 1, so a session with one behind a router could not come up; this says why.
 */
import { contains, prefixLength, prefixOf } from '#lib/ip.ts';
import type { KernelView } from '#dataplane/kernel-view.ts';
import { type PeerIntent, isExternal } from '../engine.ts';
import type { SessionError } from '../session/errors.ts';

/** `undefined`: nothing stands in the way. */
export function notConnected(peer: PeerIntent, { interfaces, routes }: KernelView): SessionError | undefined {
  const { address, ebgpMultihop, ttlSecurity = 1 } = peer;
  if (!isExternal(peer) || ebgpMultihop > 1 || ttlSecurity > 1 || peer.interface !== undefined) return undefined;
  const isConnected =
    interfaces.some((link) =>
      link.addresses.some((own) => contains(prefixOf(own.address, own.prefixLength), address)),
    ) || routes.some((it) => it.gateway === undefined && prefixLength(it.prefix) > 0 && contains(it.prefix, address));
  // Every kernel has an interface: none means that it was not asked yet.
  if (isConnected || interfaces.length === 0) return undefined;
  return {
    code: 'SESSION_PEER_NOT_CONNECTED',
    text: `${address} is on no subnet of this node, where an external peer must be unless ebgpMultihop says how many hops away it is`,
  };
}
