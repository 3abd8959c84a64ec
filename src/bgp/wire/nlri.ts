/**
 * Network layer reachability information: runs of (length octet, prefix octets), RFC 4271 §4.3 and RFC 4760 §5.
 * In: a field of an UPDATE. Out: whether every prefix in it can be told from the next; the octets stay where they are.
 */
import type { Prefix } from '#lib/ip.ts';
import { prefixFromBytes, prefixParts } from '#lib/ip.ts';
import { ByteWriter } from '#lib/bytes.ts';
import type { NlriBlock } from './messages.ts';

/** What makes the run from `at` to `end` unreadable, in words; `undefined`: it is well formed. `bits` is 32 or 128. */
export function nlriProblem(bytes: Uint8Array, at: number, end: number, bits: number): string | undefined {
  let next = at;
  while (next < end) {
    const length = bytes[next] as number;
    if (length > bits) return `prefix length ${length} is above ${bits}`;
    next += 1 + ((length + 7) >>> 3);
  }
  return next === end ? undefined : 'the last prefix is cut short';
}

/** The prefixes of a block that `splitUpdate` has validated, host bits cleared. Not for the hot path. */
export function prefixesOf(block: NlriBlock): Prefix[] {
  const prefixes: Prefix[] = [];
  const width = block.family === 'ipv4' ? 4 : 16;
  for (let at = 0; at < block.bytes.length; ) {
    const length = block.bytes[at] as number;
    const octets = (length + 7) >>> 3;
    const address = new Uint8Array(width);
    address.set(block.bytes.subarray(at + 1, at + 1 + octets));
    const rest = length & 7;
    // RFC 4271 §4.3: the value of trailing bits is irrelevant.
    if (rest !== 0) address[octets - 1] = (address[octets - 1] as number) & (0xff00 >>> rest) & 0xff;
    prefixes.push(prefixFromBytes(address, length));
    at += 1 + octets;
  }
  return prefixes;
}

/** A run of NLRI from prefixes of one family. Not for the hot path. */
export function nlriOf(prefixes: readonly Prefix[]): Uint8Array {
  const writer = new ByteWriter(5 * prefixes.length);
  for (const prefix of prefixes) {
    const parts = prefixParts(prefix);
    writer.u8(parts.length);
    writer.bytes(parts.bytes.subarray(0, (parts.length + 7) >>> 3));
  }
  return writer.take();
}
