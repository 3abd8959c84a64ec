/**
 * Path attributes as people write them. In: decoded values. Out: short text in the spelling of the standards and of
 * BGPFilter: `64512 64513 {64514,64515}`, `64512:100`, `NO_EXPORT`, `64512:1:2`, `rt:64512:100`.
 */
import { addressFromBytes } from '#lib/ip.ts';
import { readU16, readU32 } from '#lib/bytes.ts';
import { AS_CONFED_SEQUENCE, AS_SEQUENCE, AS_SET } from './as-path.ts';
import type { AsPathSegment, Origin } from './messages.ts';

export const formatOrigin = (origin: Origin): 'IGP' | 'EGP' | 'INCOMPLETE' =>
  (['IGP', 'EGP', 'INCOMPLETE'] as const)[origin];

/** Sequences plain, sets in braces, confederations in round and square brackets; empty for a route of this AS. */
export const formatAsPath = (path: readonly AsPathSegment[]): string => path.map(formatSegment).join(' ');

function formatSegment({ type, asns }: AsPathSegment): string {
  if (type === AS_SEQUENCE) return asns.join(' ');
  if (type === AS_SET) return `{${asns.join(',')}}`;
  return type === AS_CONFED_SEQUENCE ? `(${asns.join(' ')})` : `[${asns.join(',')}]`;
}

/** Names of RFC 1997, RFC 3765, RFC 7611, RFC 7999, RFC 8326, RFC 9494. */
const wellKnownCommunities: ReadonlyMap<number, string> = new Map([
  [0xffff0000, 'GRACEFUL_SHUTDOWN'],
  [0xffff0001, 'ACCEPT_OWN'],
  [0xffff0006, 'LLGR_STALE'],
  [0xffff0007, 'NO_LLGR'],
  [0xffff029a, 'BLACKHOLE'],
  [0xffffff01, 'NO_EXPORT'],
  [0xffffff02, 'NO_ADVERTISE'],
  [0xffffff03, 'NO_EXPORT_SUBCONFED'],
  [0xffffff04, 'NOPEER'],
]);

export const formatCommunity = (community: number): string =>
  wellKnownCommunities.get(community) ?? `${community >>> 16}:${community & 0xffff}`;

export const formatLargeCommunity = (community: readonly [number, number, number]): string => community.join(':');

/** RFC 4360 §4, RFC 5668 §2: transitive route targets and origins of the three common types; the rest as hexadecimal. */
export function formatExtendedCommunity(bytes: Uint8Array): string {
  const type = bytes[0];
  const kind = bytes[1] === 2 ? 'rt' : 'soo';
  if (bytes.length === 8 && (bytes[1] === 2 || bytes[1] === 3)) {
    if (type === 0) return `${kind}:${readU16(bytes, 2)}:${readU32(bytes, 4)}`;
    if (type === 1) return `${kind}:${addressFromBytes(bytes.subarray(2, 6))}:${readU16(bytes, 6)}`;
    if (type === 2) return `${kind}:${readU32(bytes, 2)}:${readU16(bytes, 6)}`;
  }
  return `0x${Array.from(bytes, (octet) => octet.toString(16).padStart(2, '0')).join('')}`;
}
