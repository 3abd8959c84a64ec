/**
 * Takes routes out of UPDATEs that were written for several peers, so that one of them is not told its own. In: whole messages
 * of `UpdateWriter` and the ranges of NLRI that go; out: the messages that are left, their lengths put right.
 */
import { readU16 } from '#lib/bytes.ts';
import { ATTRIBUTE } from './attribute-row.ts';
import { HEADER_BYTES } from './codes.ts';

/** Octets from `from` to `to`. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** `ranges` are in order, apart from each other, and each within the NLRI of one message. A message without NLRI goes. */
export function withoutNlri(messages: Uint8Array, ranges: readonly Range[]): Uint8Array {
  const out = new Uint8Array(messages.length);
  let length = 0;
  let next = 0;
  for (let at = 0; at < messages.length; ) {
    const end = at + readU16(messages, at + 16);
    const start = length;
    let taken = 0;
    let from = at;
    for (let range = ranges[next]; range !== undefined && range.from < end; range = ranges[++next]) {
      out.set(messages.subarray(from, range.from), length);
      length += range.from - from;
      taken += range.to - range.from;
      from = range.to;
    }
    out.set(messages.subarray(from, end), length);
    length += end - from;
    if (taken > 0 && !shorten(out, start, end - at, taken)) length = start;
    at = end;
  }
  return out.subarray(0, length);
}

/** Puts the lengths right of the message at `start` that had `size` octets and lost `taken`; false: no NLRI is left. */
function shorten(out: Uint8Array, start: number, size: number, taken: number): boolean {
  const body = start + HEADER_BYTES;
  const less = (at: number): number => {
    const value = readU16(out, at) - taken;
    out[at] = value >>> 8;
    out[at + 1] = value;
    return value;
  };
  less(start + 16);
  if (readU16(out, body) > 0) return less(body) > 0;
  const attributes = readU16(out, body + 2);
  const first = body + 4;
  const code = attributes === 0 ? 0 : out[first + 1];
  // `UpdateWriter` puts these first, with a length of two octets.
  if (code === ATTRIBUTE.mpReachNlri || code === ATTRIBUTE.mpUnreachNlri) {
    less(body + 2);
    const left = less(first + 2);
    // AFI, SAFI; then the length of the next hop, the next hop and a reserved octet.
    const fixed = code === ATTRIBUTE.mpReachNlri ? 3 + 1 + (out[first + 7] as number) + 1 : 3;
    return left > fixed;
  }
  return size - taken > HEADER_BYTES + 4 + attributes;
}
