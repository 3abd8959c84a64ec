/** struct sockaddr in, sockaddr_in6, sockaddr_nl and sockaddr_un as bytes; families and ports as the kernel wants them. */
import { addressBytes, type IpAddress } from '#lib/ip.ts';

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;

/** sockaddr_in (16 bytes) or sockaddr_in6 (28 bytes); `scopeId` is the interface index of a link-local address. */
export function internetSocketAddress(address: IpAddress, port: number, scopeId = 0): Buffer {
  const bytes = addressBytes(address);
  if (bytes.length === 4) {
    const out = Buffer.alloc(16);
    writeNative16(out, AF_INET, 0);
    out.writeUInt16BE(port, 2);
    out.set(bytes, 4);
    return out;
  }
  const out = Buffer.alloc(28);
  writeNative16(out, AF_INET6, 0);
  out.writeUInt16BE(port, 2);
  out.set(bytes, 8);
  writeNative32(out, scopeId, 24);
  return out;
}

/** sockaddr_nl; port 0 lets the kernel choose. */
export function netlinkSocketAddress(port: number): Buffer {
  const out = Buffer.alloc(12);
  writeNative16(out, AF_NETLINK, 0);
  writeNative32(out, port, 4);
  return out;
}

/** sockaddr_un of a path, or of an abstract name when it begins with NUL. */
export function unixSocketAddress(name: string): Buffer {
  const path = Buffer.from(name.startsWith('\0') ? name : `${name}\0`);
  const out = Buffer.alloc(2 + path.length);
  writeNative16(out, AF_UNIX, 0);
  out.set(path, 2);
  return out;
}

const bigEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 0;

/** The machine's own byte order, which kernel interfaces use. */
export function writeNative16(out: Buffer, value: number, offset: number): void {
  if (bigEndian) out.writeUInt16BE(value, offset);
  else out.writeUInt16LE(value, offset);
}

export function writeNative32(out: Buffer, value: number, offset: number): void {
  if (bigEndian) out.writeUInt32BE(value >>> 0, offset);
  else out.writeUInt32LE(value >>> 0, offset);
}

export const readNative16 = (bytes: Buffer, offset: number): number =>
  bigEndian ? bytes.readUInt16BE(offset) : bytes.readUInt16LE(offset);

export const readNative32 = (bytes: Buffer, offset: number): number =>
  bigEndian ? bytes.readUInt32BE(offset) : bytes.readUInt32LE(offset);

export const readNative64 = (bytes: Buffer, offset: number): bigint =>
  bigEndian ? bytes.readBigUInt64BE(offset) : bytes.readBigUInt64LE(offset);
