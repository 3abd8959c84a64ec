/**
 * Datagrams from the kernel read without copies and without throwing: lengths that do not fit end the reading, and the
 * caller is told. A WireReader is one datagram with views of every width in the machine's byte order.
 */
import { NLM_F } from './constants.ts';

/** The upper two bits of an attribute's type are flags (nested, byte order). */
export const NLA_TYPE_MASK = 0x3fff;
const decoder = new TextDecoder();

/** Memory that datagrams are received into; multi-byte numbers are read through DataView, so any position will do. */
export class WireReader {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u8(at: number): number {
    return this.bytes[at] as number;
  }
  u16(at: number): number {
    return this.#view.getUint16(at, littleEndian);
  }
  u32(at: number): number {
    return this.#view.getUint32(at, littleEndian);
  }
  i32(at: number): number {
    return this.#view.getInt32(at, littleEndian);
  }
  /** Text up to the first NUL or the end. */
  text(at: number, length: number): string {
    let end = at;
    let text = '';
    let plain = end < at + length;
    // Names are short and ASCII, for which the decoder would cost more than reading them here.
    for (; end < at + length && this.bytes[end] !== 0; end++) {
      const byte = this.bytes[end] as number;
      if (byte > 0x7f) plain = false;
      else if (plain) text += String.fromCharCode(byte);
    }
    return plain ? text : decoder.decode(this.bytes.subarray(at, end));
  }
  /** A copy. */
  slice(at: number, length: number): Uint8Array {
    return this.bytes.slice(at, at + length);
  }
}

const littleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** One message inside a datagram: [payload, end) holds what follows its header. */
export interface MessageHeader {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** Netlink port of whoever asked for what this message tells; 0 is the kernel itself. */
  readonly port: number;
  readonly payload: number;
  readonly end: number;
}

/** Visits the messages of the first `length` bytes; false when the last one does not fit. */
export function eachMessage(reader: WireReader, length: number, visit: (message: MessageHeader) => void): boolean {
  let at = 0;
  const limit = Math.min(length, reader.bytes.length);
  while (limit - at >= 16) {
    const size = reader.u32(at);
    if (size < 16 || at + size > limit) return false;
    visit({
      type: reader.u16(at + 4),
      flags: reader.u16(at + 6),
      sequence: reader.u32(at + 8),
      port: reader.u32(at + 12),
      payload: at + 16,
      end: at + size,
    });
    at += (size + 3) & ~3;
  }
  return at >= limit;
}

/** Visits the attributes in [from, end): type without flags, position and length of the value; false when one does not fit. */
export function eachAttribute(
  reader: WireReader,
  from: number,
  end: number,
  visit: (type: number, at: number, length: number) => void,
): boolean {
  let at = from;
  while (end - at >= 4) {
    const size = reader.u16(at);
    if (size < 4 || at + size > end) return false;
    visit(reader.u16(at + 2) & NLA_TYPE_MASK, at + 4, size - 4);
    at += (size + 3) & ~3;
  }
  return at >= end;
}

/** What the kernel says of one request. */
export interface Acknowledgement {
  /** 0: done. */
  readonly errno: number;
  /** The kernel's own words (extended ack), when it has any; a warning when errno is 0. */
  readonly text: string | undefined;
  /** Position in the request that the words are about, counted from its header. */
  readonly offset: number | undefined;
}

/** Reads NLMSG_ERROR; `undefined` when it is cut. */
export function decodeError(reader: WireReader, message: MessageHeader): Acknowledgement | undefined {
  if (message.end - message.payload < 20) return undefined;
  // The kernel writes -errno; 0 - 0 is 0 where -0 would not be.
  const errno = 0 - reader.i32(message.payload);
  const quotedLength = reader.u32(message.payload + 4);
  // With NLM_F_CAPPED only the header of our request is quoted, otherwise all of it when it failed.
  const quoted =
    (message.flags & NLM_F.CAPPED) === 0 && errno !== 0 ? Math.max(Math.min(quotedLength, message.end), 16) : 16;
  return { errno, ...extendedAck(reader, message, message.payload + 4 + ((quoted + 3) & ~3)) };
}

/** Reads NLMSG_DONE, which carries the errno of a dump that broke off; `undefined` when it is cut. */
export function decodeDone(reader: WireReader, message: MessageHeader): Acknowledgement | undefined {
  if (message.end - message.payload < 4) return undefined;
  return { errno: 0 - Math.min(reader.i32(message.payload), 0), ...extendedAck(reader, message, message.payload + 4) };
}

function extendedAck(
  reader: WireReader,
  message: MessageHeader,
  from: number,
): { text: string | undefined; offset: number | undefined } {
  let text: string | undefined;
  let offset: number | undefined;
  if ((message.flags & NLM_F.ACK_TLVS) !== 0 && from < message.end) {
    eachAttribute(reader, from, message.end, (type, at, length) => {
      if (type === 1) text = reader.text(at, length);
      else if (type === 2 && length >= 4) offset = reader.u32(at);
    });
  }
  return { text, offset };
}
