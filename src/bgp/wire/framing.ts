/**
 * Cuts a byte stream into BGP messages. In: chunks as the socket gives them. Out: frames, each a view of the chunk it
 * came in. There are three answers, so that "not all there yet" is never taken for "wrong" (RFC 4271 §4.1, RFC 4271 §6.1).
 *
 * Octets are judged in the order in which they come, each as soon as it is there: the answer does not depend on how
 * the stream was cut into chunks, and garbage is answered without waiting for 19 octets of it.
 */
import { readU16 } from '#lib/bytes.ts';
import {
  EXTENDED_MESSAGE_BYTES,
  HEADER_BYTES,
  HEADER_ERROR,
  MAXIMUM_MESSAGE_BYTES,
  NOTIFICATION_CODE,
  resetWith,
} from './codes.ts';
import { MESSAGE_TYPE } from './messages.ts';
import type { Reset } from './messages.ts';

const MARKER_BYTES = 16;

/** One message: its type (1 to 5) and the whole of it, header included. A view: keep a copy, not the view. */
export interface Frame {
  readonly type: number;
  readonly bytes: Uint8Array;
}

export type Framing =
  | { readonly kind: 'complete'; readonly frame: Frame }
  /** `need` more octets are certain to be missing. */
  | { readonly kind: 'incomplete'; readonly need: number }
  | { readonly kind: 'invalid'; readonly reset: Reset };

/**
 * Shortest message of each type (RFC 4271 §4.2, RFC 4271 §4.3, RFC 4271 §4.4, RFC 4271 §4.5, RFC 2918 §3); undefined: no
 * such type.
 */
const shortest: readonly (number | undefined)[] = [undefined, 29, 23, 21, 19, 19];

const headerReset = (subcode: number, text: string, data?: Uint8Array): Framing => ({
  kind: 'invalid',
  reset: resetWith(NOTIFICATION_CODE.header, subcode, `${text} (RFC 4271 §6.1)`, data),
});

function badLength(length: number, why: string): Framing {
  // RFC 4271 §6.1: the data field holds the erroneous Length field.
  return headerReset(
    HEADER_ERROR.badMessageLength,
    `message length ${length} is ${why}`,
    Uint8Array.of(length >>> 8, length & 255),
  );
}

/**
 * The message that begins at `at`. `end` is where the received octets end. `longest` is the limit that we offered:
 * 4096, or 65535 when our OPEN had the extended message capability (RFC 8654 §4).
 */
export function frameAt(bytes: Uint8Array, at: number, end: number, longest: number): Framing {
  const present = end - at;
  for (let i = 0; i < MARKER_BYTES && i < present; i++) {
    if (bytes[at + i] !== 0xff)
      return headerReset(HEADER_ERROR.connectionNotSynchronized, 'marker is not all ones: the stream is out of step');
  }
  if (present < MARKER_BYTES + 2) return { kind: 'incomplete', need: HEADER_BYTES - present };
  const length = readU16(bytes, at + MARKER_BYTES);
  if (length < HEADER_BYTES) return badLength(length, `below ${HEADER_BYTES}`);
  if (length > longest) return badLength(length, `above ${longest}`);
  if (present < HEADER_BYTES) return { kind: 'incomplete', need: length - present };
  const type = bytes[at + 18] as number;
  const least = shortest[type];
  if (least === undefined)
    return headerReset(HEADER_ERROR.badMessageType, `message type ${type} is not known`, Uint8Array.of(type));
  if (length < least) return badLength(length, `below ${least} for message type ${type}`);
  if (type === MESSAGE_TYPE.KEEPALIVE && length > HEADER_BYTES)
    return badLength(length, `above ${HEADER_BYTES} for KEEPALIVE`);
  // RFC 8654 §4: OPEN and KEEPALIVE stay within 4096.
  if (type === MESSAGE_TYPE.OPEN && length > MAXIMUM_MESSAGE_BYTES)
    return badLength(length, `above ${MAXIMUM_MESSAGE_BYTES} for OPEN`);
  if (present < length) return { kind: 'incomplete', need: length - present };
  return { kind: 'complete', frame: { type, bytes: bytes.subarray(at, at + length) } };
}

/**
 * Collects chunks and hands out frames. A message that lies in one chunk is a view of it; one that crosses chunks is
 * copied once, into a buffer of its own size. `invalid` stays: nothing after it can be trusted.
 *
 * Chunks are kept by reference until their frames are out; their memory must not be reused before.
 */
export class MessageStream {
  /** May be raised when the OPENs are exchanged. */
  longest: number;
  private chunks: Uint8Array[] = [];
  private at = 0;
  /** The message that crosses chunks: `carried` octets of it are in `carry`. */
  private carry: Uint8Array | undefined;
  private carried = 0;
  private broken: Framing | undefined;

  constructor(longest: number = MAXIMUM_MESSAGE_BYTES) {
    if (longest < MAXIMUM_MESSAGE_BYTES || longest > EXTENDED_MESSAGE_BYTES)
      throw new RangeError(
        `message limit ${longest} is not within ${MAXIMUM_MESSAGE_BYTES} to ${EXTENDED_MESSAGE_BYTES}`,
      );
    this.longest = longest;
  }

  push(chunk: Uint8Array): void {
    if (chunk.length > 0) this.chunks.push(chunk);
  }

  /** The next frame; call until it answers something other than `complete`. */
  next(): Framing {
    if (this.broken !== undefined) return this.broken;
    for (;;) {
      const chunk = this.chunks[0];
      if (chunk === undefined) return this.waiting();
      const answer = this.carry === undefined ? this.fromChunk(chunk) : this.fromCarry(this.carry, chunk);
      if (this.at === chunk.length) {
        this.chunks.shift();
        this.at = 0;
      }
      if (answer === undefined) continue;
      if (answer.kind === 'invalid') {
        this.broken = answer;
        this.chunks = [];
        this.carry = undefined;
      }
      return answer;
    }
  }

  private waiting(): Framing {
    if (this.carry === undefined) return { kind: 'incomplete', need: HEADER_BYTES };
    return frameAt(this.carry, 0, this.carried, this.longest);
  }

  private fromChunk(chunk: Uint8Array): Framing | undefined {
    const answer = frameAt(chunk, this.at, chunk.length, this.longest);
    if (answer.kind === 'complete') {
      this.at += answer.frame.bytes.length;
      return answer;
    }
    if (answer.kind === 'invalid') return answer;
    const present = chunk.length - this.at;
    this.carry = new Uint8Array(present + answer.need);
    this.carry.set(chunk.subarray(this.at));
    this.carried = present;
    this.at = chunk.length;
    return undefined;
  }

  /** Moves what is still missing into the carry, which grows once: when the header has told the length. */
  private fromCarry(carry: Uint8Array, chunk: Uint8Array): Framing | undefined {
    const take = Math.min(carry.length - this.carried, chunk.length - this.at);
    carry.set(chunk.subarray(this.at, this.at + take), this.carried);
    this.at += take;
    this.carried += take;
    const answer = frameAt(carry, 0, this.carried, this.longest);
    if (answer.kind === 'complete') {
      this.carry = undefined;
      return answer;
    }
    if (answer.kind === 'invalid') return answer;
    if (this.carried === carry.length) {
      const grown = new Uint8Array(this.carried + answer.need);
      grown.set(carry);
      this.carry = grown;
    }
    return undefined;
  }
}
