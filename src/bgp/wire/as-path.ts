/**
 * AS_PATH and AS4_PATH (RFC 4271 §4.3, RFC 6793 §3). In: the attribute's value with AS numbers of two or four octets.
 * Out: segments, or words about what is malformed (RFC 7606 §7.2).
 *
 *   segment type (1) | number of AS numbers (1) | AS numbers (2 or 4 each)
 */
import type { ByteWriter } from '#lib/bytes.ts';
import { readU16, readU32 } from '#lib/bytes.ts';
import { twoOctetAs } from './open.ts';
import type { AsPathSegment } from './messages.ts';

export const AS_SET = 1;
export const AS_SEQUENCE = 2;
export const AS_CONFED_SEQUENCE = 3;
export const AS_CONFED_SET = 4;

const LONGEST_SEGMENT = 255;

export const isConfederation = (segment: AsPathSegment): boolean => segment.type >= AS_CONFED_SEQUENCE;

export function decodeAsPath(bytes: Uint8Array, at: number, end: number, asnBytes: 2 | 4): AsPathSegment[] | string {
  const segments: AsPathSegment[] = [];
  let next = at;
  while (next < end) {
    if (end - next < 2) return 'one octet is left after the last segment';
    const type = bytes[next] as number;
    const count = bytes[next + 1] as number;
    next += 2;
    if (type < AS_SET || type > AS_CONFED_SET) return `segment type ${type} is not known`;
    if (count === 0) return 'a segment is empty';
    if (end - next < count * asnBytes) return 'a segment is longer than the attribute';
    const asns: number[] = [];
    for (let i = 0; i < count; i++, next += asnBytes) {
      const asn = asnBytes === 4 ? readU32(bytes, next) : readU16(bytes, next);
      // RFC 7607 §2.
      if (asn === 0) return 'it contains AS 0';
      asns.push(asn);
    }
    segments.push({ type: type as AsPathSegment['type'], asns });
  }
  return segments;
}

/** Octets that `encodeAsPath` will write: a segment holds 255 AS numbers at most, longer ones become several. */
export function asPathBytes(path: readonly AsPathSegment[], asnBytes: 2 | 4): number {
  let size = 0;
  for (const { asns } of path) size += 2 * Math.ceil(asns.length / LONGEST_SEGMENT) + asns.length * asnBytes;
  return size;
}

/** With two octets each, larger numbers become AS_TRANS (RFC 6793 §4.2.2). */
export function encodeAsPath(path: readonly AsPathSegment[], asnBytes: 2 | 4, into: ByteWriter): void {
  for (const { type, asns } of path) {
    for (let from = 0; from < asns.length; from += LONGEST_SEGMENT) {
      const count = Math.min(asns.length - from, LONGEST_SEGMENT);
      into.u8(type);
      into.u8(count);
      for (let i = from; i < from + count; i++) {
        const asn = asns[i] as number;
        if (asnBytes === 4) into.u32(asn);
        else into.u16(twoOctetAs(asn));
      }
    }
  }
}

/** Length for the decision process: a set counts one (RFC 4271 §9.1.2.2), confederation segments nothing (RFC 5065 §5.3). */
export function asPathLength(path: readonly AsPathSegment[]): number {
  let length = 0;
  for (const segment of path) {
    if (segment.type === AS_SEQUENCE) length += segment.asns.length;
    else if (segment.type === AS_SET) length += 1;
  }
  return length;
}

/**
 * The real path from AS_PATH of a 2-octet peer and the AS4_PATH beside it (RFC 6793 §4.2.3): as many leading AS numbers
 * of AS_PATH as AS4_PATH has too few, then AS4_PATH. An AS4_PATH that is the longer of the two is ignored.
 */
export function mergeAs4Path(path: readonly AsPathSegment[], as4Path: readonly AsPathSegment[]): AsPathSegment[] {
  let missing = asPathLength(path) - asPathLength(as4Path);
  if (missing < 0) return [...path];
  const merged: AsPathSegment[] = [];
  for (const segment of path) {
    // Confederation segments in front of, or next to, what is taken come along; they count nothing.
    if (isConfederation(segment)) merged.push(segment);
    else if (missing === 0) break;
    else if (segment.type === AS_SET) {
      merged.push(segment);
      missing -= 1;
    } else {
      const asns = segment.asns.slice(0, missing);
      merged.push({ type: segment.type, asns });
      missing -= asns.length;
      if (asns.length < segment.asns.length) break;
    }
  }
  return joinSequences([...merged, ...as4Path]);
}

/** Two AS_SEQUENCEs in a row say the same as one, where one is allowed to be that long. */
function joinSequences(path: readonly AsPathSegment[]): AsPathSegment[] {
  const joined: AsPathSegment[] = [];
  for (const segment of path) {
    const last = joined.at(-1);
    if (
      last?.type === AS_SEQUENCE &&
      segment.type === AS_SEQUENCE &&
      last.asns.length + segment.asns.length <= LONGEST_SEGMENT
    )
      joined[joined.length - 1] = { type: AS_SEQUENCE, asns: [...last.asns, ...segment.asns] };
    else joined.push(segment);
  }
  return joined;
}
