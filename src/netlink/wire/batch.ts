/**
 * Requests on their way to the kernel: messages one behind the other in one block of memory, so that a batch of a thousand
 * makes no garbage. A message is begin(), its fixed header field by field, attributes, end(). Numbers are written in the
 * machine's byte order; addresses are bytes in network order. The block grows when it must, at most to `limit` bytes.
 */
import { AppError } from '#lib/result.ts';
import { NLM_F } from './constants.ts';

export const headerBytes = 16;
const NLA_F_NESTED = 0x8000;

const encoder = new TextEncoder();

export class MessageBatch {
  #bytes: Uint8Array;
  #u16: Uint16Array;
  #u32: Uint32Array;
  readonly #limit: number;
  #length = 0;
  #start = 0;
  #count = 0;
  #open = false;

  constructor(capacity = 65536, limit = 4 * 1024 * 1024) {
    const rounded = (capacity + 7) & ~7;
    this.#bytes = new Uint8Array(rounded);
    this.#u16 = new Uint16Array(this.#bytes.buffer);
    this.#u32 = new Uint32Array(this.#bytes.buffer);
    this.#limit = Math.max(limit, rounded);
  }

  /** The messages so far; valid until the next message is begun or the batch is cleared. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }
  /** The block itself, of which the first `byteLength` bytes are used. */
  get memory(): Uint8Array {
    return this.#bytes;
  }
  get byteLength(): number {
    return this.#length;
  }
  get count(): number {
    return this.#count;
  }

  clear(): void {
    this.#length = 0;
    this.#count = 0;
    this.#open = false;
  }

  /** Begins a message; NLM_F_REQUEST is added, sequence numbers are the socket's. Answers its index in the batch. */
  begin(type: number, flags: number): number {
    if (this.#open) throw new AppError('BUG_NETLINK_BATCH', 'begin() before the last message was ended');
    this.#open = true;
    this.#start = this.#length;
    this.#room(headerBytes);
    this.#u16[(this.#start >> 1) + 2] = type;
    this.#u16[(this.#start >> 1) + 3] = flags | NLM_F.REQUEST;
    this.#u32[(this.#start >> 2) + 2] = 0;
    this.#u32[(this.#start >> 2) + 3] = 0;
    this.#length += headerBytes;
    this.#count += 1;
    return this.#count - 1;
  }

  /** Ends the message: writes its length. */
  end(): void {
    this.#open = false;
    this.#u32[this.#start >> 2] = this.#length - this.#start;
  }

  /** Takes back the message that was begun last and not ended. */
  abandon(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#length = this.#start;
    this.#count -= 1;
  }

  u8(value: number): this {
    this.#room(1);
    this.#bytes[this.#length] = value;
    this.#length += 1;
    return this;
  }
  /** The position must be even. */
  u16(value: number): this {
    this.#room(2);
    this.#u16[this.#length >> 1] = value;
    this.#length += 2;
    return this;
  }
  /** The position must be a multiple of four. */
  u32(value: number): this {
    this.#room(4);
    this.#u32[this.#length >> 2] = value;
    this.#length += 4;
    return this;
  }

  attributeU8(type: number, value: number): this {
    this.#attribute(type, 1);
    this.#bytes[this.#length] = value;
    return this.#pad(1);
  }
  attributeU16(type: number, value: number): this {
    this.#attribute(type, 2);
    this.#u16[this.#length >> 1] = value;
    return this.#pad(2);
  }
  attributeU32(type: number, value: number): this {
    this.#attribute(type, 4);
    this.#u32[this.#length >> 2] = value;
    return this.#pad(4);
  }
  /** Without a value: presence is the message. */
  attributeFlag(type: number): this {
    this.#attribute(type, 0);
    return this;
  }
  /** `count` bytes of `bytes` from `offset`. */
  attributeBytes(type: number, bytes: Uint8Array, offset = 0, count = bytes.length - offset): this {
    this.#attribute(type, count);
    for (let i = 0; i < count; i++) this.#bytes[this.#length + i] = bytes[offset + i] as number;
    return this.#pad(count);
  }
  /** Text as UTF-8 with the NUL at its end that the kernel expects. */
  attributeString(type: number, text: string): this {
    const bytes = encoder.encode(text);
    this.#attribute(type, bytes.length + 1);
    this.#bytes.set(bytes, this.#length);
    this.#bytes[this.#length + bytes.length] = 0;
    return this.#pad(bytes.length + 1);
  }

  /** Opens an attribute that holds attributes; the answer is for nestEnd(). */
  nestBegin(type: number, flagged = true): number {
    const at = this.#length;
    this.#attribute(flagged ? type | NLA_F_NESTED : type, 0);
    return at;
  }
  nestEnd(at: number): this {
    this.#u16[at >> 1] = this.#length - at;
    return this;
  }

  /** Numbers the messages from `first` and asks for an acknowledgement of the last one. Answers the last number. */
  number(first: number): number {
    let sequence = first;
    for (let at = 0; at < this.#length; at += ((this.#u32[at >> 2] as number) + 3) & ~3) {
      this.#u32[(at >> 2) + 2] = sequence >>> 0;
      if (sequence - first === this.#count - 1)
        this.#u16[(at >> 1) + 3] = (this.#u16[(at >> 1) + 3] as number) | NLM_F.ACK;
      sequence += 1;
    }
    return sequence - 1;
  }

  #attribute(type: number, length: number): void {
    this.#room(4 + length + 4);
    this.#u16[this.#length >> 1] = 4 + length;
    this.#u16[(this.#length >> 1) + 1] = type;
    this.#length += 4;
  }

  #pad(length: number): this {
    for (let i = length; (i & 3) !== 0; i++) this.#bytes[this.#length + i] = 0;
    this.#length += (length + 3) & ~3;
    return this;
  }

  #room(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const wanted = Math.min(Math.max(this.#bytes.length * 2, this.#length + more + 8), this.#limit) & ~7;
    if (this.#length + more > wanted)
      throw new AppError('BUG_NETLINK_BATCH', `a batch holds at most ${this.#limit} bytes`, {
        data: { limit: this.#limit },
      });
    const bytes = new Uint8Array(wanted);
    bytes.set(this.#bytes);
    this.#bytes = bytes;
    this.#u16 = new Uint16Array(bytes.buffer);
    this.#u32 = new Uint32Array(bytes.buffer);
  }
}
