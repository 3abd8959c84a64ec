/**
 * TCP-AO keys (RFC 5925) on sockets: Linux 6.7 or later with CONFIG_TCP_AO. Errors: AppError `OS_<ERRNO>`, with the option's
 * name as operation; `OS_ENOPROTOOPT` is a kernel without it.
 */
import { type IpAddress, addressBits, familyOf } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import * as libc from './libc.ts';
import { internetSocketAddress, writeNative32 } from './socket-address.ts';

const IPPROTO_TCP = 6;
const TCP_AO_ADD_KEY = 38;
const TCP_AO_DEL_KEY = 39;

/** Names of the kernel's crypto API; each MAC is cut to 96 bits (RFC 5926 §3.2). */
export type TcpAoAlgorithm = 'hmac(sha1)' | 'cmac(aes128)' | 'hmac(sha256)';

/** A Master Key Tuple (RFC 5925 §3.1) for all connections with one address. */
export interface TcpAoSocketKey {
  readonly address: IpAddress;
  /** 0 to 255; an address has one key of each. */
  readonly sendId: number;
  readonly receiveId: number;
  readonly algorithm: TcpAoAlgorithm;
  /** 1 to 80 bytes. */
  readonly key: Uint8Array;
  /** What we send is signed with it, and the peer is asked to sign with it. Not on a listener, where the kernel refuses that. */
  readonly preferred: boolean;
}

const longestKey = 80;
const storageBytes = 128;
const algorithmBytes = 64;
const setCurrent = 1;
const setNext = 2;

/**
 * struct tcp_ao_add: sockaddr_storage[128], char alg_name[64], s32 ifindex, u32 flags, u16 reserved, u8 prefix, u8 sndid,
 * u8 rcvid, u8 maclen, u8 keyflags, u8 keylen, u8 key[80]. A maclen of 0 is 12 octets.
 */
export function tcpAoAddBytes({ address, sendId, receiveId, algorithm, key, preferred }: TcpAoSocketKey): Buffer {
  if (key.length === 0 || key.length > longestKey)
    throw new AppError('CONFIG_TCP_AO_KEY_LENGTH', `a TCP-AO key has 1 to ${longestKey} bytes, not ${key.length}`);
  const bytes = Buffer.alloc(storageBytes + algorithmBytes + 16 + longestKey);
  bytes.set(internetSocketAddress(address, 0), 0);
  bytes.write(algorithm, storageBytes, 'latin1');
  writeNative32(bytes, preferred ? setCurrent | setNext : 0, 196);
  bytes[202] = addressBits(familyOf(address));
  bytes[203] = sendId;
  bytes[204] = receiveId;
  bytes[207] = key.length;
  bytes.set(key, 208);
  return bytes;
}

/**
 * struct tcp_ao_del: sockaddr_storage[128], s32 ifindex, u32 flags, u16 reserved, u8 prefix, u8 sndid, u8 rcvid,
 * u8 current_key, u8 rnext, u8 keyflags.
 */
export function tcpAoDelBytes({
  address,
  sendId,
  receiveId,
}: Pick<TcpAoSocketKey, 'address' | 'sendId' | 'receiveId'>): Buffer {
  const bytes = Buffer.alloc(storageBytes + 16);
  bytes.set(internetSocketAddress(address, 0), 0);
  bytes[138] = addressBits(familyOf(address));
  bytes[139] = sendId;
  bytes[140] = receiveId;
  return bytes;
}

function setOption(fd: number, option: number, value: Uint8Array, name: string): void {
  libc.checked(libc.setsockopt(fd, IPPROTO_TCP, option, value, value.length), `setsockopt ${name}`, `descriptor ${fd}`);
}

/** Before connect(), or on a listener for those that will connect. `OS_EEXIST`: the address has a key of these ids. */
export function addTcpAoKey(fd: number, key: TcpAoSocketKey): void {
  const bytes = tcpAoAddBytes(key);
  try {
    setOption(fd, TCP_AO_ADD_KEY, bytes, `TCP_AO_ADD_KEY for ${key.address}`);
  } finally {
    bytes.fill(0);
  }
}

/** Errors: `OS_ENOENT` when there is no such key. */
export const deleteTcpAoKey = (fd: number, key: Pick<TcpAoSocketKey, 'address' | 'sendId' | 'receiveId'>): void =>
  setOption(fd, TCP_AO_DEL_KEY, tcpAoDelBytes(key), `TCP_AO_DEL_KEY for ${key.address}`);

/** Whether this kernel has TCP-AO at all: a fresh socket has no key to delete, and another one does not know the option. */
export function supportsTcpAo(fd: number, address: IpAddress): boolean {
  try {
    deleteTcpAoKey(fd, { address, sendId: 0, receiveId: 0 });
    return true;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return error.code !== 'OS_ENOPROTOOPT';
  }
}
