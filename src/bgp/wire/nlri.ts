/**
 * Network layer reachability information: runs of (length octet, prefix octets), RFC 4271 §4.3 and RFC 4760 §5, each behind
 * a path identifier of four octets where add-path was negotiated (RFC 7911 §3).
 * In: a field of an UPDATE. Out: whether every prefix in it can be told from the next; the octets stay where they are.
 */
import type { Prefix } from '#lib/ip.ts';
import { prefixFromBytes, prefixParts } from '#lib/ip.ts';
import { ByteWriter, readU32 } from '#lib/bytes.ts';
import { PATH_ID_BYTES } from './codes.ts';
import type { NlriBlock } from './messages.ts';

/** What makes the run from `at` to `end` unreadable, in words; `undefined`: it is well formed. `bits` is 32 or 128. */
export function nlriProblem(
  bytes: Uint8Array,
  at: number,
  end: number,
  bits: number,
  addPath: boolean,
): string | undefined {
  const idOctets = addPath ? PATH_ID_BYTES : 0;
  let next = at;
  while (next < end) {
    next += idOctets;
    if (next >= end) return 'the last path identifier has no prefix';
    const length = bytes[next] as number;
    if (length > bits) return `prefix length ${length} is above ${bits}`;
    next += 1 + ((length + 7) >>> 3);
  }
  return next === end ? undefined : 'the last prefix is cut short';
}

/** The routes of a block that `splitUpdate` has validated, host bits cleared. Not for the hot path. */
export function routesOf(block: NlriBlock): { readonly pathId: number | undefined; readonly prefix: Prefix }[] {
  const routes: { pathId: number | undefined; prefix: Prefix }[] = [];
  const width = block.family === 'ipv4' ? 4 : 16;
  for (let at = 0; at < block.bytes.length; ) {
    const pathId = block.addPath ? readU32(block.bytes, at) : undefined;
    if (block.addPath) at += PATH_ID_BYTES;
    const length = block.bytes[at] as number;
    const octets = (length + 7) >>> 3;
    const address = new Uint8Array(width);
    address.set(block.bytes.subarray(at + 1, at + 1 + octets));
    const rest = length & 7;
    // RFC 4271 §4.3: the value of trailing bits is irrelevant.
    if (rest !== 0) address[octets - 1] = (address[octets - 1] as number) & (0xff00 >>> rest) & 0xff;
    routes.push({ pathId, prefix: prefixFromBytes(address, length) });
    at += 1 + octets;
  }
  return routes;
}

/** Their prefixes alone. */
export const prefixesOf = (block: NlriBlock): Prefix[] => routesOf(block).map(({ prefix }) => prefix);

/** A run of NLRI from prefixes of one family; with identifiers, one for each prefix. Not for the hot path. */
export function nlriOf(prefixes: readonly Prefix[], pathIds?: readonly number[]): Uint8Array {
  const writer = new ByteWriter(5 * prefixes.length);
  for (const [i, prefix] of prefixes.entries()) {
    const parts = prefixParts(prefix);
    if (pathIds !== undefined) writer.u32(pathIds[i] ?? 0);
    writer.u8(parts.length);
    writer.bytes(parts.bytes.subarray(0, (parts.length + 7) >>> 3));
  }
  return writer.take();
}
