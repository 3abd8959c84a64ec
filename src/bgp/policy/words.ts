/** Addresses as four signed 32-bit words: what the per-route comparisons of policy and RIB work on. IPv4 has the first word only. */
import type { Prefix } from '#lib/ip.ts';
import { prefixParts } from '#lib/ip.ts';

/** `word` with everything behind `bits` bits cleared; bits outside 0 to 32 keep nothing or all. */
export const maskWord = (word: number, bits: number): number =>
  bits >= 32 ? word | 0 : bits <= 0 ? 0 : word & (-1 << (32 - bits));

export type Words = readonly [number, number, number, number];

/** The signed 32-bit words of 4 or 16 address bytes. */
export function addressWords(bytes: Uint8Array): Words {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const word = (i: number): number => (4 * i < bytes.length ? view.getInt32(4 * i) : 0);
  return [word(0), word(1), word(2), word(3)];
}

export function prefixWords(prefix: Prefix): { readonly words: Words; readonly length: number } {
  const parts = prefixParts(prefix);
  return { words: addressWords(parts.bytes), length: parts.length };
}
