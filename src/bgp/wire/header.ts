/**
 * The header that every message has (RFC 4271 §4.1), written with the length left open and patched at the end.
 *
 *   marker (16, all ones) | length (2, header included) | type (1)
 */
import type { ByteWriter } from '#lib/bytes.ts';
import { HEADER_BYTES } from './codes.ts';

export function beginMessage(writer: ByteWriter, type: number): void {
  const buffer = writer.reserve(HEADER_BYTES);
  const at = writer.length;
  buffer.fill(0xff, at, at + 16);
  buffer[at + 16] = 0;
  buffer[at + 17] = 0;
  buffer[at + 18] = type;
  writer.length = at + HEADER_BYTES;
}

/** `start`: where the header of this message began. */
export function endMessage(writer: ByteWriter, start: number): void {
  writer.patchU16(start + 16, writer.length - start);
}
