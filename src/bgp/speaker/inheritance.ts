/**
 * Which next hops of the kernel's inherited routes may still be named again, and by whom. In: a next hop, the peers and what
 * they are still expected to say; out: yes or no. The kernel does not know whom it has a next hop from: it is the
 * peer with that address; else one of those on the same link, since a peer names itself by an address of its link; else any.
 */
import { type IpAddress, type Prefix, contains } from '#lib/ip.ts';
import type { NextHop } from '#dataplane/fib/route.ts';

export interface ExpectedPeer {
  readonly address: IpAddress;
  /** Instead of the address: of whom it is not known yet where in it they are. */
  readonly range?: Prefix | undefined;
  /** Of the link to the peer; `undefined`: there is no way to it now. */
  readonly interfaceIndex: number | undefined;
  /** Its routes of the family may still come. */
  readonly awaited: boolean;
}

export function isHoped(hop: NextHop, peers: readonly ExpectedPeer[]): boolean {
  const named = peers.filter(({ address }) => address === hop.gateway);
  if (named.length > 0) return named.some(({ awaited }) => awaited);
  const within = peers.filter(({ range }) => range !== undefined && contains(range, hop.gateway));
  if (within.length > 0) return within.some(({ awaited }) => awaited);
  const onLink = peers.filter(({ interfaceIndex }) => interfaceIndex === hop.interfaceIndex);
  return (onLink.length > 0 ? onLink : peers).some(({ awaited }) => awaited);
}
