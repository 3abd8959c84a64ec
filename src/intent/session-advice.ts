/** What to do about a session that is not up, by what happened last. PURE. In: the peer and its session. Out: a sentence. */
import type { PeerFacts, PeerIntent } from '#bgp/engine.ts';
import { peerAddressText } from '#bgp/engine.ts';

type Advice = (peer: PeerIntent, address: string) => string;

/** Where the neighbours of the router, with this node's AS, are not the first place to look. */
const byError: ReadonlyMap<string, Advice> = new Map<string, Advice>([
  [
    'SESSION_BAD_PEER_AS',
    (peer) => `Set spec.asNumber of ${peer.name} to the AS that the router says, or correct it there.`,
  ],
  [
    'SESSION_CONNECT_FAILED',
    (_peer, address) => `Is the link up, and is there a route? \`ip route get ${address}\` on this node.`,
  ],
  [
    'SESSION_NO_COMMON_FAMILY',
    (_peer, address) => `Compare spec.families with the address families that ${address} has for this node.`,
  ],
  [
    'SESSION_SOURCE_ADDRESS_UNAVAILABLE',
    () => `Set spec.sourceAddress to None, or give this node the address that its Node says.`,
  ],
  ['GOBGP_UNREACHABLE', () => `Condition EngineReady of the Node is about that; the router may well be fine.`],
]);

export function sessionAdvice(peer: PeerIntent, session: PeerFacts): string {
  const address = peerAddressText(session);
  const special = byError.get(session.lastError?.code ?? '')?.(peer, address);
  if (special !== undefined) return special;
  const neighbour = `has this node as neighbour with AS ${peer.localAsn}`;
  if (session.state === 'OpenSent')
    return `TCP with ${address} is up, and it says nothing: check that its BGP process is not stuck, and that it ${neighbour}.`;
  const port = peer.passive ? '' : ` answers on TCP port ${peer.port} and`;
  // GoBGP does not say why a session ended, and a wrong password looks like any other silence.
  const password =
    peer.password !== undefined && session.lastError?.code === 'GOBGP_SESSION_DOWN' ? ', and the same password' : '';
  return `Check that ${address}${port} ${neighbour}${password}.`;
}
