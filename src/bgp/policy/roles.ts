/**
 * Roles and the attribute Only to Customer (RFC 9234 §5). In: our role on a session; out: which paths are route leaks, which
 * paths get the attribute, and which must not leave by it. Without a role nothing of this holds, and no filter can change it.
 */
import type { BgpRole, PeerIntent } from '../engine.ts';
import { isExternal } from '../engine.ts';
import type { PathAttributes } from '../wire/messages.ts';

export interface RoleRules {
  /** Why a path that came with this value is a leak; `asn`: the peer's. */
  leak(onlyToCustomer: number, asn: number): string | undefined;
  /** A path that comes without the attribute gets it, with the peer's AS. */
  readonly marksReceived: boolean;
  /** A path that leaves without it gets it, with our AS. */
  readonly marksSent: boolean;
  /** A path that has it must not leave. */
  readonly holdsBack: boolean;
}

const downward: RoleRules = {
  leak: (value) => `OTC ${value} came from a customer`,
  marksReceived: false,
  marksSent: true,
  holdsBack: false,
};
const upward: RoleRules = { leak: () => undefined, marksReceived: true, marksSent: false, holdsBack: true };

const rules: Readonly<Record<BgpRole, RoleRules>> = {
  Provider: downward,
  RouteServer: { ...downward, leak: (value) => `OTC ${value} came from a route server's client` },
  Customer: upward,
  RouteServerClient: upward,
  Peer: {
    leak: (value, asn) => (value === asn ? undefined : `OTC ${value} came from peer AS ${asn}`),
    marksReceived: true,
    marksSent: true,
    holdsBack: true,
  },
};

/** Roles are of external sessions only. */
export const roleRules = (peer: Pick<PeerIntent, 'role' | 'peerAsn' | 'localAsn'>): RoleRules | undefined =>
  peer.role === undefined || !isExternal(peer) ? undefined : rules[peer.role];

/** First AS of a path, 0 for one that began in our own AS or in a set. */
export function firstAsn({ asPath }: Pick<PathAttributes, 'asPath'>): number {
  const first = asPath.find(({ type }) => type === 1 || type === 2);
  return first?.type === 2 ? (first.asns[0] ?? 0) : 0;
}

/** The peer's AS: the intent's, or what its paths must begin with. */
export const remoteAsn = ({ peerAsn }: Pick<PeerIntent, 'peerAsn'>, first: number): number =>
  typeof peerAsn === 'number' ? peerAsn : first;
