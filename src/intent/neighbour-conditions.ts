/** Condition NeighbourKnown of an unnumbered peer: is there one router on its interface. PURE. */
import type { NeighbourFacts, PeerFacts } from '#bgp/engine.ts';
import { assertNever } from '#lib/result.ts';
import type { Condition } from './node-intent.ts';

export function neighbourKnown(
  session: Pick<PeerFacts, 'address'>,
  { interface: name, state, others, problem }: NeighbourFacts,
): Pick<Condition, 'status' | 'reason' | 'message'> {
  const not = (reason: Condition['reason'], message: string) => ({ status: 'False', reason, message }) as const;
  const why = problem === undefined ? '' : ` ${problem}.`;
  switch (state) {
    case 'noInterface':
      return not(
        'InterfaceUnusable',
        `This node has no interface ${name}. Correct spec.interface, or give the BGPPeer to the nodes that have it.`,
      );
    case 'podInterface':
      return not('InterfaceUnusable', `${name} leads to a pod. Set spec.interface to one that leads to a router.`);
    case 'interfaceDown':
      return not('InterfaceUnusable', `${name} is down or has no carrier.`);
    case 'noLinkLocal':
      return not(
        'InterfaceUnusable',
        `${name} has no IPv6 link-local address; is IPv6 switched off there (net.ipv6.conf.${name}.disable_ipv6)?`,
      );
    case 'noSocket':
      return not('NeighbourUnknown', `The neighbour on ${name} cannot be looked for:${why}`);
    case 'searching':
      return not(
        'NeighbourUnknown',
        `No router advertisement was heard on ${name}.${why} The router there must send them: FRR does for an unnumbered neighbour, BIRD with protocol radv.`,
      );
    case 'found':
      return others.length === 0
        ? { status: 'True', reason: 'NeighbourFound', message: `The neighbour on ${name} is ${session.address}.` }
        : not(
            'NeighbourAmbiguous',
            `${[session.address, ...others].join(' and ')} advertise themselves on ${name}; the session is with ${session.address}, which was there first. An unnumbered link has one router: take the others off it, or set spec.peerIP.`,
          );
  }
  return assertNever(state, 'state of a neighbour');
}
