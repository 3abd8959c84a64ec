/** Contexts and octets that the tables of this folder share. */
import type { Asn } from '#lib/ip.ts';
import type { WireContext } from '#bgp/wire/messages.ts';

/** Between AS 64512 (here) and AS 64513, everything modern. */
export const external: WireContext = {
  fourOctetAs: true,
  external: true,
  families: ['ipv4', 'ipv6'],
  maximumMessageBytes: 4096,
  peerAsn: 64513 as Asn,
};
export const internal: WireContext = { ...external, external: false };
export const twoOctet: WireContext = { ...external, fourOctetAs: false };

export const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));
export const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export const ORIGIN = '40 01 01 00';
/** AS_PATH 64513, four octets each and two octets each. */
export const AS_PATH = '40 02 06 02 01 0000fc01';
export const AS_PATH_2 = '40 02 04 02 01 fc01';
export const NEXT_HOP = '40 03 04 c0000201';
export const LOCAL_PREF = '40 05 04 00000064';
