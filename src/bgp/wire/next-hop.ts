/**
 * Next hops on the wire: the NEXT_HOP attribute (RFC 4271 §5.1.3) and the field inside MP_REACH_NLRI (RFC 4760 §3,
 * RFC 2545 §3, RFC 8950 §3). In: octets. Out: addresses, or words about what cannot be a next hop.
 */
import type { Family, IpAddress } from '#lib/ip.ts';
import { addressBytes, addressFromBytes } from '#lib/ip.ts';
import type { MpNextHop, WireContext } from './messages.ts';

/** RFC 4271 §6.3: must be a host address. `undefined`: it can be one. The octets are those of an address. */
export function nextHopProblem(bytes: Uint8Array): string | undefined {
  const first = bytes[0] ?? 0;
  if (bytes.length === 4) {
    if (first === 0 || first === 127 || first >= 224) return `${addressFromBytes(bytes)} is not a host address`;
    return undefined;
  }
  const leading = bytes.subarray(0, 15).every((octet) => octet === 0);
  if (first === 0xff || (leading && (bytes[15] ?? 0) <= 1)) return `${addressFromBytes(bytes)} is not a host address`;
  return undefined;
}

const isLinkLocal = (bytes: Uint8Array): boolean => bytes[0] === 0xfe && ((bytes[1] ?? 0) & 0xc0) === 0x80;

/** Whether a next hop of this many octets may stand before NLRI of this family. */
export function nextHopLengthAllowed(length: number, family: Family, context: WireContext): boolean {
  if (family === 'ipv4' && length === 4) return true;
  // RFC 8950 §3: IPv4 NLRI with an IPv6 next hop only where both ends said so.
  return (family === 'ipv6' || context.extendedNextHop === true) && (length === 16 || length === 32);
}

/** 4, 16 or 32 octets to a next hop, or words: treat what it belongs to as withdrawn. */
export function decodeMpNextHop(bytes: Uint8Array): MpNextHop | string {
  if (bytes.length === 4) return nextHopProblem(bytes) ?? { global: addressFromBytes(bytes), linkLocal: undefined };
  const global = bytes.subarray(0, 16);
  const second = bytes.subarray(16);
  // RFC 2545 §3: the second address is a link-local one. What is none cannot be used and is left aside.
  const linkLocal = second.length === 16 && isLinkLocal(second) ? addressFromBytes(second) : undefined;
  // FRR without a global address of its own sends `::` or the link-local address in the global's place.
  if (linkLocal !== undefined && (isLinkLocal(global) || global.every((octet) => octet === 0)))
    return { global: linkLocal, linkLocal };
  const problem = nextHopProblem(global);
  if (problem !== undefined) return problem;
  const address = addressFromBytes(global);
  return { global: address, linkLocal: linkLocal ?? (isLinkLocal(global) ? address : undefined) };
}

/** The octets for MP_REACH_NLRI: 4 or 16, or 32 when a link-local address stands beside a global one. */
export function nextHopBytes(global: IpAddress, linkLocal?: IpAddress): Uint8Array {
  const first = addressBytes(global);
  if (linkLocal === undefined || linkLocal === global) return first;
  const both = new Uint8Array(32);
  both.set(first);
  both.set(addressBytes(linkLocal), 16);
  return both;
}
