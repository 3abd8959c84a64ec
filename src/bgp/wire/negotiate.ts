/**
 * What two OPENs mean together. Pure: `checkOpen` says whether this peer is the one that was expected, `negotiate`
 * what both ends agreed upon. In: OpenMessages. Out: a NOTIFICATION to send or the terms of the session.
 * RFC 4271 §6.2, RFC 4271 §4.2, RFC 4724 §3, RFC 4760 §8, RFC 5492 §3, RFC 6286 §2.2, RFC 6793 §4.1, RFC 8654 §4,
 * RFC 8950 §4, RFC 7911 §5.
 */
import type { Asn, Family, IpAddress } from '#lib/ip.ts';
import { addressFromBytes, families as allFamilies } from '#lib/ip.ts';
import { ByteWriter } from '#lib/bytes.ts';

import { encodeCapability, findCapability, roleName } from './capabilities.ts';
import {
  AFI,
  BGP_VERSION,
  EXTENDED_MESSAGE_BYTES,
  MAXIMUM_MESSAGE_BYTES,
  NOTIFICATION_CODE,
  OPEN_ERROR,
  ROLE,
  SAFI_UNICAST,
  familyOfAfi,
  resetWith,
} from './codes.ts';
import type { RoleName } from './codes.ts';
import type { Capability, OpenMessage, Reset, WireContext } from './messages.ts';
import { asnOfOpen, twoOctetAs } from './open.ts';

export interface OpenTerms {
  readonly localAsn: Asn;
  /** Unsigned 32 bits. */
  readonly identifier: number;
  readonly holdTimeSeconds: number;
  readonly families: readonly Family[];
  /** RFC 7313: the RIB marks beginning and end of a refresh and sweeps what was not sent again. */
  readonly enhancedRouteRefresh: boolean;
  readonly extendedMessage: boolean;
  /** RFC 8950: our end can forward IPv4 over IPv6 next hops. */
  readonly extendedNextHop: boolean;
  readonly gracefulRestart: Omit<Extract<Capability, { kind: 'gracefulRestart' }>, 'kind'> | undefined;
  /** RFC 9494; sent only beside graceful restart. */
  readonly longLivedGracefulRestart?:
    | Omit<Extract<Capability, { kind: 'longLivedGracefulRestart' }>, 'kind'>
    | undefined;
  /** RFC 7911, for all families. */
  readonly addPath?: { readonly receive: boolean; readonly send: boolean } | undefined;
  /** RFC 9234; `undefined`: the capability is not sent. */
  readonly role?: RoleName | undefined;
}

/** The OPEN that says these terms. */
export function openMessage(terms: OpenTerms): OpenMessage {
  const capabilities: Capability[] = terms.families.map((family) => multiprotocol(family));
  capabilities.push({ kind: 'routeRefresh' });
  if (terms.enhancedRouteRefresh) capabilities.push({ kind: 'enhancedRouteRefresh' });
  if (terms.extendedNextHop && terms.families.includes('ipv4'))
    capabilities.push({
      kind: 'extendedNextHop',
      tuples: [{ afi: AFI.ipv4, safi: SAFI_UNICAST, nextHopAfi: AFI.ipv6 }],
    });
  if (terms.extendedMessage) capabilities.push({ kind: 'extendedMessage' });
  if (terms.gracefulRestart !== undefined) {
    capabilities.push({ kind: 'gracefulRestart', ...terms.gracefulRestart });
    // RFC 9494 §4.1: never without the other one.
    if (terms.longLivedGracefulRestart !== undefined)
      capabilities.push({ kind: 'longLivedGracefulRestart', ...terms.longLivedGracefulRestart });
  }
  const { addPath } = terms;
  if (addPath !== undefined && (addPath.receive || addPath.send))
    capabilities.push({
      kind: 'addPath',
      families: terms.families.map((family) => ({ afi: AFI[family], safi: SAFI_UNICAST, ...addPath })),
    });
  if (terms.role !== undefined) capabilities.push({ kind: 'role', value: ROLE[terms.role] });
  capabilities.push({ kind: 'fourOctetAs', asn: terms.localAsn });
  return {
    kind: 'open',
    version: BGP_VERSION,
    myAs: twoOctetAs(terms.localAsn),
    holdTimeSeconds: terms.holdTimeSeconds,
    identifier: terms.identifier,
    capabilities,
  };
}

const multiprotocol = (family: Family): Capability => ({
  kind: 'multiprotocol',
  afi: AFI[family],
  safi: SAFI_UNICAST,
});

/** Families an OPEN offers. RFC 4760 §8: without the capability it is IPv4 unicast alone. */
function familiesOf(open: OpenMessage): Family[] {
  const offered = open.capabilities.filter((c) => c.kind === 'multiprotocol');
  if (offered.length === 0) return ['ipv4'];
  return allFamilies.filter((family) => offered.some((c) => familyOfAfi(c.afi, c.safi) === family));
}

/** What must hold of the peer's OPEN. */
interface ExpectedOpen {
  /** `external`: any AS but ours; `internal`: ours. */
  readonly peerAsn: Asn | 'external' | 'internal';
  readonly localAsn: Asn;
  /** Unsigned 32 bits. */
  readonly localIdentifier: number;
  /** At least one of them must be offered by the peer. */
  readonly families: readonly Family[];
  /** Ours; `undefined`: the peer's does not matter. */
  readonly role?: RoleName | undefined;
  /** The peer must say its role (RFC 9234 §4.2, strict mode). */
  readonly roleRequired?: boolean | undefined;
}

/** `undefined`: this is the peer that was expected. Its syntax was judged by `decodeOpen`. */
export function checkOpen(open: OpenMessage, expected: ExpectedOpen): Reset | undefined {
  const asn = asnOfOpen(open);
  const { peerAsn, localAsn } = expected;
  const wanted = peerAsn === 'internal' ? localAsn : peerAsn;
  if (wanted === 'external' ? asn === localAsn : asn !== wanted)
    return resetWith(
      NOTIFICATION_CODE.open,
      OPEN_ERROR.badPeerAs,
      wanted === 'external'
        ? `peer says AS ${asn}, which is ours; expected is an external peer (RFC 4271 §6.2)`
        : `peer says AS ${asn}, expected is AS ${wanted} (RFC 4271 §6.2)`,
    );
  // RFC 6286 §2.2: only within one AS must identifiers differ.
  if (asn === localAsn && open.identifier === expected.localIdentifier)
    return resetWith(
      NOTIFICATION_CODE.open,
      OPEN_ERROR.badBgpIdentifier,
      `internal peer has our own BGP identifier ${identifierText(open.identifier)} (RFC 6286 §2.2)`,
    );
  const offered = familiesOf(open);
  if (!expected.families.some((family) => offered.includes(family))) {
    // RFC 5492 §5: the data field lists the capabilities that are missing.
    const data = new ByteWriter(16);
    for (const family of expected.families) encodeCapability(multiprotocol(family), data);
    return resetWith(
      NOTIFICATION_CODE.open,
      OPEN_ERROR.unsupportedCapability,
      `peer offers none of our families (${expected.families.join(', ')}) (RFC 5492 §5)`,
      data.take(),
    );
  }
  return expected.role === undefined ? undefined : roleProblem(open, expected.role, expected.roleRequired === true);
}

/** RFC 9234 §4.2: the role that the other end of a session has. */
const counterpart: Readonly<Record<RoleName, RoleName>> = {
  Provider: 'Customer',
  Customer: 'Provider',
  RouteServer: 'RouteServerClient',
  RouteServerClient: 'RouteServer',
  Peer: 'Peer',
};

function roleProblem(open: OpenMessage, ours: RoleName, required: boolean): Reset | undefined {
  const mismatch = (text: string): Reset =>
    resetWith(NOTIFICATION_CODE.open, OPEN_ERROR.roleMismatch, `${text} (RFC 9234 §4.2)`);
  const said = [...new Set(open.capabilities.filter((c) => c.kind === 'role').map(({ value }) => value))];
  const [theirs] = said;
  if (theirs === undefined)
    return required ? mismatch(`peer says no role, and one is required; ours is ${ours}`) : undefined;
  if (said.length > 1) return mismatch(`peer says several roles: ${said.map(roleName).join(', ')}`);
  const fits = counterpart[ours];
  return theirs === ROLE[fits] ? undefined : mismatch(`peer's role is ${roleName(theirs)}, ours ${ours} needs ${fits}`);
}

export interface AgreedTerms {
  readonly context: WireContext;
  /** The smaller offer; 0: no keepalives and no hold timer (RFC 4271 §4.2). */
  readonly holdTimeSeconds: number;
  readonly peerIdentifier: number;
  readonly peerCapabilities: readonly Capability[];
  /** The peer understands ROUTE-REFRESH and so do we. */
  readonly routeRefresh: boolean;
  /** Beginning and end of a refresh may be marked (RFC 7313). */
  readonly enhancedRouteRefresh: boolean;
  /** The peer's capability, when both sent it (RFC 4724 §3). */
  readonly gracefulRestart: Extract<Capability, { kind: 'gracefulRestart' }> | undefined;
  /** The peer's capability, when both sent it, and graceful restart beside it (RFC 9494 §4.5). */
  readonly longLivedGracefulRestart: Extract<Capability, { kind: 'longLivedGracefulRestart' }> | undefined;
  /** Longest message that we offered to take: what `MessageStream.longest` is to be. */
  readonly maximumReceiveBytes: number;
}

/** The peer takes routes that are stale for long (RFC 9494 §4.3), for whatever families. */
export const takesLongLived = (capabilities: readonly Capability[]): boolean =>
  findCapability(capabilities, 'longLivedGracefulRestart') !== undefined &&
  findCapability(capabilities, 'gracefulRestart') !== undefined;

const has = (open: OpenMessage, kind: Capability['kind']): boolean => open.capabilities.some((c) => c.kind === kind);

const viaIpv6 = (open: OpenMessage): boolean =>
  findCapability(open.capabilities, 'extendedNextHop')?.tuples.some(
    (t) => t.afi === AFI.ipv4 && t.safi === SAFI_UNICAST && t.nextHopAfi === AFI.ipv6,
  ) ?? false;

/** Families of which an OPEN offers one direction of add-path. */
function addPathFamilies(open: OpenMessage, way: 'receive' | 'send'): Family[] {
  const offered = findCapability(open.capabilities, 'addPath')?.families ?? [];
  return offered.flatMap((f) => (f[way] ? (familyOfAfi(f.afi, f.safi) ?? []) : []));
}

/** RFC 7911 §5: a direction is on where one end offers to send and the other to receive. */
function addPathOf(local: OpenMessage, peer: OpenMessage, families: readonly Family[]): WireContext['addPath'] {
  const agreed = (ours: readonly Family[], theirs: readonly Family[]): Family[] =>
    families.filter((family) => ours.includes(family) && theirs.includes(family));
  const receive = agreed(addPathFamilies(local, 'receive'), addPathFamilies(peer, 'send'));
  const send = agreed(addPathFamilies(local, 'send'), addPathFamilies(peer, 'receive'));
  return receive.length + send.length === 0 ? undefined : { receive, send };
}

/** `local` is the OPEN that was sent, `peer` the one that came and that `checkOpen` let pass. */
export function negotiate(
  local: OpenMessage,
  peer: OpenMessage,
  config: { readonly enforceFirstAs?: boolean | undefined } = {},
): AgreedTerms {
  const both = (kind: Capability['kind']): boolean => has(local, kind) && has(peer, kind);
  const offered = familiesOf(peer);
  const families = familiesOf(local).filter((family) => offered.includes(family));
  return {
    context: {
      fourOctetAs: both('fourOctetAs'),
      external: asnOfOpen(local) !== asnOfOpen(peer),
      families,
      // DEVIATION: RFC 8654 §4 asks for the peer's offer alone; BIRD takes long messages only when both offered.
      maximumMessageBytes: both('extendedMessage') ? EXTENDED_MESSAGE_BYTES : MAXIMUM_MESSAGE_BYTES,
      peerAsn: asnOfOpen(peer) as Asn,
      extendedNextHop: viaIpv6(local) && viaIpv6(peer),
      enforceFirstAs: config.enforceFirstAs ?? true,
      addPath: addPathOf(local, peer, families),
    },
    holdTimeSeconds: Math.min(local.holdTimeSeconds, peer.holdTimeSeconds),
    peerIdentifier: peer.identifier,
    peerCapabilities: peer.capabilities,
    routeRefresh: both('routeRefresh'),
    enhancedRouteRefresh: both('enhancedRouteRefresh'),
    gracefulRestart: both('gracefulRestart') ? findCapability(peer.capabilities, 'gracefulRestart') : undefined,
    longLivedGracefulRestart:
      both('gracefulRestart') && both('longLivedGracefulRestart')
        ? findCapability(peer.capabilities, 'longLivedGracefulRestart')
        : undefined,
    maximumReceiveBytes: has(local, 'extendedMessage') ? EXTENDED_MESSAGE_BYTES : MAXIMUM_MESSAGE_BYTES,
  };
}

/** A BGP identifier as it is written: four octets with dots. */
export const identifierText = (identifier: number): IpAddress =>
  addressFromBytes(
    Uint8Array.of(identifier >>> 24, (identifier >>> 16) & 255, (identifier >>> 8) & 255, identifier & 255),
  );
