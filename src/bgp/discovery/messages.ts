/**
 * Router Advertisements and Solicitations (RFC 4861 §4.1, RFC 4861 §4.2), as far as two neighbours on a link find each
 * other by them. In: the octets of an ICMPv6 message, whose checksum the kernel has checked. Out: what it is, or why it
 * counts for nothing.
 *
 *    0                   1                   2                   3
 *   +---------------+---------------+-------------------------------+
 *   |  type (134)   |   code (0)    |           checksum            |
 *   | cur hop limit |M|O| reserved  |        router lifetime        |
 *   |                        reachable time                         |
 *   |                         retrans timer                         |
 *   | options: type, length in units of 8 octets, value             |
 */
import type { IpAddress } from '#lib/ip.ts';
import { isLinkLocal } from '#lib/ip.ts';
import type { Result } from '#lib/result.ts';
import { fail, ok } from '#lib/result.ts';

export const ROUTER_SOLICITATION = 133;
export const ROUTER_ADVERTISEMENT = 134;

/** Both without options: type, code, checksum, and what is 0 or unspecified. */
const octets = { [ROUTER_SOLICITATION]: 8, [ROUTER_ADVERTISEMENT]: 16 } as const;

/**
 * Who we are, and no more: router lifetime 0, so that nobody makes us a default router (RFC 4861 §6.2.3), and nothing else
 * is specified. The kernel fills in the checksum.
 */
export const advertisement: Uint8Array = message(ROUTER_ADVERTISEMENT);
export const solicitation: Uint8Array = message(ROUTER_SOLICITATION);

function message(type: keyof typeof octets): Uint8Array {
  const bytes = new Uint8Array(octets[type]);
  bytes[0] = type;
  return bytes;
}

/**
 * RFC 4861 §6.1.1 and RFC 4861 §6.1.2: what is not valid is silently discarded, which is why the words are for tests. The
 * hop limit of 255 is the socket's business.
 */
export function decodeDiscovery(
  bytes: Uint8Array,
  source: IpAddress,
): Result<typeof ROUTER_SOLICITATION | typeof ROUTER_ADVERTISEMENT, string> {
  const type = bytes[0];
  if (type !== ROUTER_SOLICITATION && type !== ROUTER_ADVERTISEMENT) return fail(`ICMPv6 type ${type}`);
  if (bytes[1] !== 0) return fail(`code ${bytes[1]}`);
  if (bytes.length < octets[type]) return fail(`${bytes.length} octets`);
  for (let at: number = octets[type]; at < bytes.length; ) {
    const length = 8 * (bytes[at + 1] ?? 0);
    if (length === 0 || at + length > bytes.length) return fail(`option ${bytes[at]} of ${length} octets`);
    at += length;
  }
  if (type === ROUTER_ADVERTISEMENT && !isLinkLocal(source)) return fail(`advertisement from ${source}`);
  return ok(type);
}
