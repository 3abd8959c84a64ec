/**
 * Numbers and byte runs in network order. `ByteReader` answers `undefined` on short input, always; `ByteWriter` grows
 * its one buffer and lets lengths be patched afterwards. `readU16` and `readU32` are for callers that have checked the
 * length already (hot paths).
 */

/** Two octets at `at`; the caller has checked that they are there. */
export const readU16 = (bytes: Uint8Array, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);

/** Four octets at `at` as an unsigned number; the caller has checked that they are there. */
export const readU32 = (bytes: Uint8Array, at: number): number =>
  (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0;

export class ByteReader {
  readonly bytes: Uint8Array;
  /** Index of the next octet to be read. */
  at: number;
  readonly end: number;

  constructor(bytes: Uint8Array, at = 0, end: number = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = Math.min(end, bytes.length);
  }

  get remaining(): number {
    return this.end - this.at;
  }

  u8(): number | undefined {
    if (this.remaining < 1) return undefined;
    return this.bytes[this.at++];
  }

  u16(): number | undefined {
    if (this.remaining < 2) return undefined;
    this.at += 2;
    return readU16(this.bytes, this.at - 2);
  }

  u32(): number | undefined {
    if (this.remaining < 4) return undefined;
    this.at += 4;
    return readU32(this.bytes, this.at - 4);
  }

  /** The next `length` octets as a view; no copy. */
  take(length: number): Uint8Array | undefined {
    if (length < 0 || this.remaining < length) return undefined;
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
}

export class ByteWriter {
  private buffer: Uint8Array;
  /** How many octets are written. */
  length = 0;

  constructor(capacity = 256) {
    this.buffer = new Uint8Array(capacity);
  }

  /** Makes room for `count` more octets and answers the buffer, which is good until the next call that writes. */
  reserve(count: number): Uint8Array {
    const needed = this.length + count;
    if (needed > this.buffer.length) {
      const grown = new Uint8Array(Math.max(needed, 2 * this.buffer.length, 64));
      grown.set(this.buffer.subarray(0, this.length));
      this.buffer = grown;
    }
    return this.buffer;
  }

  u8(value: number): void {
    this.reserve(1)[this.length] = value;
    this.length += 1;
  }

  u16(value: number): void {
    const buffer = this.reserve(2);
    buffer[this.length] = value >>> 8;
    buffer[this.length + 1] = value;
    this.length += 2;
  }

  u32(value: number): void {
    const buffer = this.reserve(4);
    buffer[this.length] = value >>> 24;
    buffer[this.length + 1] = value >>> 16;
    buffer[this.length + 2] = value >>> 8;
    buffer[this.length + 3] = value;
    this.length += 4;
  }

  /** Copies `bytes`. Runs of a prefix's size are copied by hand: a call of `set` costs more than they do. */
  bytes(bytes: Uint8Array): void {
    const buffer = this.reserve(bytes.length);
    if (bytes.length > 24) buffer.set(bytes, this.length);
    else for (let i = 0; i < bytes.length; i++) buffer[this.length + i] = bytes[i] as number;
    this.length += bytes.length;
  }

  /** Overwrites one octet that is written already. */
  patchU8(at: number, value: number): void {
    this.buffer[at] = value;
  }

  /** Overwrites two octets that are written already. */
  patchU16(at: number, value: number): void {
    this.buffer[at] = value >>> 8;
    this.buffer[at + 1] = value;
  }

  /** What was written, as a view; writing on changes it. */
  view(): Uint8Array {
    return this.buffer.subarray(0, this.length);
  }

  /** Hands over what was written; the writer starts again with a new buffer. */
  take(): Uint8Array {
    const written = this.view();
    this.buffer = new Uint8Array(0);
    this.length = 0;
    return written;
  }
}
