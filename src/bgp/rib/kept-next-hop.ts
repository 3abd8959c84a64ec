/**
 * Which next hops are announced to a peer as they were learned, in place of ours. In: the peer's mode, its session and the
 * kernel's view; out: a rule, and a text that is equal for equal rules. Whether the peer can be told a next hop of that
 * family at all is not asked here.
 */
import type { IpAddress, Prefix } from '#lib/ip.ts';
import { contains, familyOf, isLinkLocal, prefixOf } from '#lib/ip.ts';
import type { KernelView } from '#dataplane/kernel-view.ts';
import type { NextHopMode } from '../engine.ts';
import type { OwnSession } from './own-next-hop.ts';
import { sessionInterface } from './own-next-hop.ts';

export interface KeepRule {
  readonly key: string;
  readonly keeps: (nextHop: IpAddress) => boolean;
}

/** What is reflected keeps its next hop (RFC 4456 §10), nothing else does; whoever asks knows what is reflected. */
export const autoKeep: KeepRule = { key: 'Auto', keeps: () => false };
const self: KeepRule = { key: 'Self', keeps: () => false };

export function keepRule(
  peer: { readonly mode: NextHopMode; readonly external: boolean; readonly multihop: boolean },
  session: OwnSession,
  view: KernelView,
): KeepRule {
  if (peer.mode === 'Auto') return autoKeep;
  if (peer.mode === 'Self') return self;
  const { remoteAddress } = session;
  // RFC 4271 §5.1.3 1 and 3: unchanged within the AS, and to a peer more hops away if configured so.
  const anywhere = !peer.external || peer.multihop;
  const shared = anywhere ? [] : sharedSubnets(session, view);
  return {
    key: `Keep ${remoteAddress} ${anywhere ? '*' : shared.join()}`,
    // RFC 4271 §5.1.3: a peer is never told an address of its own.
    keeps: remembered(
      (nextHop) => nextHop !== remoteAddress && (anywhere || shared.some((subnet) => contains(subnet, nextHop))),
    ),
  };
}

/** Next hops are few, and each route asks. */
const mostRemembered = 4096;

function remembered(asks: (nextHop: IpAddress) => boolean): KeepRule['keeps'] {
  const known = new Map<IpAddress, boolean>();
  return (nextHop) => {
    let answer = known.get(nextHop);
    if (answer === undefined) {
      if (known.size === mostRemembered) known.clear();
      answer = asks(nextHop);
      known.set(nextHop, answer);
    }
    return answer;
  };
}

/** Of the link that both are on; none for a peer behind a router. */
function sharedSubnets(session: OwnSession, view: KernelView): Prefix[] {
  const { remoteAddress } = session;
  const subnets = (sessionInterface(view, session)?.addresses ?? [])
    .filter(({ address }) => !isLinkLocal(address))
    .map(({ address, prefixLength }) => prefixOf(address, prefixLength));
  const isOnLink =
    isLinkLocal(remoteAddress) ||
    subnets.some((subnet) => familyOf(subnet) === familyOf(remoteAddress) && contains(subnet, remoteAddress));
  return isOnLink ? subnets : [];
}
