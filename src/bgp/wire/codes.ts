/**
 * Numbers of the BGP registries that this program acts upon, and the one constructor of a `Reset`. Names for people are
 * in `notification.ts` and in the tables of `capabilities.ts` and `attributes.ts`.
 */
import type { Family } from '#lib/ip.ts';
import type { Reset } from './messages.ts';

/** RFC 6793 §9: stands in 2-octet fields for a number that does not fit. */
export const AS_TRANS = 23456;
export const BGP_VERSION = 4;

/** RFC 4271 §4.1: marker, length, type. */
export const HEADER_BYTES = 19;
/** RFC 4271 §4.1. */
export const MAXIMUM_MESSAGE_BYTES = 4096;
/** RFC 8654 §4. */
export const EXTENDED_MESSAGE_BYTES = 65535;

/** RFC 7911 §3. */
export const PATH_ID_BYTES = 4;

export const AFI = { ipv4: 1, ipv6: 2 } as const;
export const SAFI_UNICAST = 1;

export const NOTIFICATION_CODE = {
  header: 1,
  open: 2,
  update: 3,
  holdTimerExpired: 4,
  fsm: 5,
  cease: 6,
  routeRefresh: 7,
  sendHoldTimerExpired: 8,
} as const;

/** RFC 4271 §6.1. */
export const HEADER_ERROR = { connectionNotSynchronized: 1, badMessageLength: 2, badMessageType: 3 } as const;

/** RFC 4271 §6.2, RFC 5492 §5, RFC 9234 §4.2. */
export const OPEN_ERROR = {
  unspecific: 0,
  unsupportedVersion: 1,
  badPeerAs: 2,
  badBgpIdentifier: 3,
  unsupportedOptionalParameter: 4,
  unacceptableHoldTime: 6,
  unsupportedCapability: 7,
  roleMismatch: 11,
} as const;

/** RFC 4271 §6.3. */
export const UPDATE_ERROR = {
  malformedAttributeList: 1,
  unrecognizedWellKnownAttribute: 2,
  missingWellKnownAttribute: 3,
  attributeFlags: 4,
  attributeLength: 5,
  invalidOrigin: 6,
  invalidNextHop: 8,
  optionalAttribute: 9,
  invalidNetworkField: 10,
  malformedAsPath: 11,
} as const;

/** RFC 6608 §3. */
export const FSM_ERROR = { unspecified: 0, openSent: 1, openConfirm: 2, established: 3 } as const;

/** RFC 4486 §3, RFC 8538 §3, RFC 9384 §3. */
export const CEASE = {
  maximumPrefixes: 1,
  administrativeShutdown: 2,
  peerDeconfigured: 3,
  administrativeReset: 4,
  connectionRejected: 5,
  otherConfigurationChange: 6,
  connectionCollision: 7,
  outOfResources: 8,
  hardReset: 9,
  bfdDown: 10,
} as const;

/** RFC 7313 §5. */
export const ROUTE_REFRESH_ERROR = { invalidMessageLength: 1 } as const;

export const noData = new Uint8Array(0);

export const resetWith = (code: number, subcode: number, text: string, data: Uint8Array = noData): Reset => ({
  code,
  subcode,
  data,
  text,
});

/** BGP Roles, as the capability has them (RFC 9234 §4.1). */
export const ROLE = { Provider: 0, RouteServer: 1, RouteServerClient: 2, Customer: 3, Peer: 4 } as const;
export type RoleName = keyof typeof ROLE;

/** The family of an AFI/SAFI pair, `undefined` for those this program does not speak. */
export function familyOfAfi(afi: number, safi: number): Family | undefined {
  if (safi !== SAFI_UNICAST) return undefined;
  if (afi === AFI.ipv4) return 'ipv4';
  return afi === AFI.ipv6 ? 'ipv6' : undefined;
}
