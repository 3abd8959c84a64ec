/**
 * Which BFD sessions there are to be, and whom the kernel must not send to. PURE: intent and facts in, one session for
 * each peer out, whatever the families of its BGP session. A peer without a fixed address has a session once the speaker
 * knows its address.
 */
import type { DesiredBfdSession } from '#bgp/bfd/control-messages.ts';
import { type BgpIntent, type PeerFacts, type PeerIntent, isExternal, wantsSession } from '#bgp/engine.ts';
import type { NextHop } from '#dataplane/fib/route.ts';
import { type IpAddress, familyOf, isLinkLocal, unspecifiedAddress } from '#lib/ip.ts';
import type { Facts } from './node-intent.ts';

export interface BfdPlan {
  readonly sessions: readonly DesiredBfdSession[];
  /** Peers of which it is not known yet what their sessions are; what there is of them stays. */
  readonly keep: readonly string[];
}

export interface BfdPlanOptions {
  /** The agent has just begun: peers without a fixed address may still be on their way back. */
  readonly starting: boolean;
  /** Peers whose path failed and whose BGP session has come up since: BGP does not wait for BFD. */
  readonly outlived: ReadonlySet<string>;
}

export function planBfd(intent: BgpIntent | undefined, facts: Facts, options: BfdPlanOptions): BfdPlan {
  const sessions: DesiredBfdSession[] = [];
  const keep: string[] = [];
  const ids = new Map((facts.kernel?.nexthops ?? []).map((row) => [hopKey(row), row.id]));
  for (const peer of intent?.peers ?? []) {
    // One that is held down is not watched: its router may well be switched off.
    if (!wantsSession(peer) || peer.bfd === undefined) continue;
    const all = facts.bgp?.peers ?? [];
    const known = isFixed(peer)
      ? [all.find(({ name }) => name === peer.name)]
      : all.filter(({ name }) => name === peer.name || name.startsWith(`${peer.name}/`));
    const found = known.flatMap((row) => sessionOf(peer, row, options.outlived, ids) ?? []);
    sessions.push(...found);
    if (isFixed(peer) ? found.length === 0 : options.starting) keep.push(peer.name);
  }
  return { sessions, keep };
}

const hopKey = ({ gateway, interfaceIndex }: NextHop): string => `${gateway}%${interfaceIndex}`;

const isFixed = (peer: PeerIntent): boolean => peer.listenRange === undefined && peer.interface === undefined;

const isUnspecified = (address: IpAddress): boolean => address === unspecifiedAddress(familyOf(address));

function sessionOf(
  peer: PeerIntent,
  facts: PeerFacts | undefined,
  outlived: ReadonlySet<string>,
  ids: ReadonlyMap<string, number>,
): DesiredBfdSession | undefined {
  const { bfd } = peer;
  const name = facts?.name ?? peer.name;
  const remote = isFixed(peer) ? peer.address : (facts?.address ?? peer.address);
  // An internal peer on no link of ours is some hops away; where it is the speaker says.
  const multihop = bfd?.multihop ?? (isExternal(peer) ? false : facts?.path && !facts.path.onLink);
  if (bfd === undefined || multihop === undefined || isUnspecified(remote)) return undefined;
  const local = peer.sourceAddress ?? (peer.listenRange === undefined ? undefined : facts?.localAddress);
  const isLink = isLinkLocal(remote);
  return {
    name,
    remote,
    local: local !== undefined && !isLink && familyOf(local) === familyOf(remote) ? local : undefined,
    interface: facts?.neighbour?.interface ?? peer.interface,
    hops: multihop ? 'multi' : 'single',
    minimumTtl: bfd.minimumTtl,
    nexthops: outlived.has(name) ? [] : (facts?.path?.gateways ?? []).flatMap((hop) => ids.get(hopKey(hop)) ?? []),
    desiredMinTxMicroseconds: bfd.transmitInterval * 1000,
    requiredMinRxMicroseconds: bfd.receiveInterval * 1000,
    detectMultiplier: bfd.detectMultiplier,
    passive: bfd.passive,
    administrativelyDown: false,
  };
}
