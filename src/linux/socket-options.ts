/**
 * Socket options that Node has no words for. Errors: AppError `OS_<ERRNO>`, with the option's name as operation.
 * TCP MD5 is RFC 2385, the TTL options serve RFC 5082 (GTSM).
 */
import { type Family, type IpAddress, addressBits, familyOf } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import { ENOPROTOOPT, EPERM } from './errno.ts';
import * as libc from './libc.ts';
import { internetSocketAddress, readNative32, readNative64, writeNative16, writeNative32 } from './socket-address.ts';

const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_ERROR = 4;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_PEERCRED = 17;
const SO_RCVTIMEO = 20;
const SO_BINDTODEVICE = 25;
const SO_ATTACH_FILTER = 26;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SO_NETNS_COOKIE = 71;
const IPPROTO_IP = 0;
const IP_TOS = 1;
const IP_TTL = 2;
const IP_MINTTL = 21;
const IPPROTO_TCP = 6;
const TCP_MD5SIG = 14;
const TCP_USER_TIMEOUT = 18;
const TCP_MD5SIG_EXT = 32;
const TCP_MD5SIG_FLAG_PREFIX = 1;
const TCP_MD5SIG_FLAG_IFINDEX = 2;
const IPPROTO_IPV6 = 41;
const IPV6_UNICAST_HOPS = 16;
const IPV6_V6ONLY = 26;
const IPV6_TCLASS = 67;
const IPV6_MINHOPCOUNT = 73;
const SOL_NETLINK = 270;

function setOption(fd: number, level: number, option: number, value: Uint8Array, name: string): void {
  libc.checked(libc.setsockopt(fd, level, option, value, value.length), `setsockopt ${name}`, `descriptor ${fd}`);
}

function setNumber(fd: number, level: number, option: number, value: number, name: string): void {
  const bytes = Buffer.alloc(4);
  writeNative32(bytes, value, 0);
  setOption(fd, level, option, bytes, name);
}

function getOption(fd: number, level: number, option: number, size: number, name: string): Buffer {
  const value = Buffer.alloc(size);
  const length = Buffer.alloc(4);
  writeNative32(length, size, 0);
  libc.checked(libc.getsockopt(fd, level, option, value, length), `getsockopt ${name}`, `descriptor ${fd}`);
  return value;
}

export const setReuseAddress = (fd: number): void => setNumber(fd, SOL_SOCKET, SO_REUSEADDR, 1, 'SO_REUSEADDR');

/** An IPv6 socket that leaves the same port of IPv4 to others. */
export const setIpv6Only = (fd: number): void => setNumber(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1, 'IPV6_V6ONLY');

/** Only traffic of this interface; needs CAP_NET_RAW once the socket is bound to a device. */
export function bindToDevice(fd: number, interfaceName: string): void {
  setOption(fd, SOL_SOCKET, SO_BINDTODEVICE, Buffer.from(`${interfaceName}\0`), 'SO_BINDTODEVICE');
}

/** TTL or hop limit of what is sent, 1 to 255. */
export function setHopLimit(fd: number, family: Family, hops: number): void {
  if (family === 'ipv4') setNumber(fd, IPPROTO_IP, IP_TTL, hops, 'IP_TTL');
  else setNumber(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, hops, 'IPV6_UNICAST_HOPS');
}

/** DSCP and ECN of what is sent, as one octet; it sets the queueing priority of the socket with it. */
export function setTrafficClass(fd: number, family: Family, octet: number): void {
  if (family === 'ipv4') setNumber(fd, IPPROTO_IP, IP_TOS, octet, 'IP_TOS');
  else setNumber(fd, IPPROTO_IPV6, IPV6_TCLASS, octet, 'IPV6_TCLASS');
}

/** Packets with a lower TTL or hop limit are dropped (RFC 5082 §3); 0 switches it off. */
export function setMinimumHopLimit(fd: number, family: Family, hops: number): void {
  if (family === 'ipv4') setNumber(fd, IPPROTO_IP, IP_MINTTL, hops, 'IP_MINTTL');
  else setNumber(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, hops, 'IPV6_MINHOPCOUNT');
}

/** How long sent bytes may stay unacknowledged before the connection is given up (RFC 5482), in milliseconds. */
export const setTcpUserTimeout = (fd: number, milliseconds: number): void =>
  setNumber(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, milliseconds, 'TCP_USER_TIMEOUT');

export interface TcpMd5Key {
  /** The peer; a family other than the socket's is refused by the kernel (an IPv4 peer on an IPv6 socket is written ::ffff:a.b.c.d). */
  readonly address: IpAddress;
  /** All peers inside address/prefixLength; without it this one address. */
  readonly prefixLength?: number;
  /** Only for connections over this interface. */
  readonly interfaceIndex?: number;
  /** 1 to 80 bytes; `undefined` removes the key. */
  readonly key: Uint8Array | undefined;
}

const longestMd5Key = 80;

/**
 * Sets or removes an RFC 2385 key. Before connect(), or on a listener for those that will connect. Errors:
 * `OS_ENOMEM` when net.core.optmem_max is used up; `OS_ENOENT` when there is no such key to remove.
 */
export function setTcpMd5Key(fd: number, { address, prefixLength, interfaceIndex, key }: TcpMd5Key): void {
  if (key !== undefined && (key.length === 0 || key.length > longestMd5Key))
    throw new AppError('CONFIG_MD5_KEY_LENGTH', `a TCP MD5 key has 1 to ${longestMd5Key} bytes, not ${key.length}`);
  // struct tcp_md5sig: sockaddr_storage[128], u8 flags, u8 prefixlen, u16 keylen, int ifindex, u8 key[80].
  const bytes = Buffer.alloc(128 + 8 + longestMd5Key);
  bytes.set(internetSocketAddress(address, 0), 0);
  const extended = prefixLength !== undefined || interfaceIndex !== undefined;
  if (extended) {
    bytes[128] = TCP_MD5SIG_FLAG_PREFIX | (interfaceIndex === undefined ? 0 : TCP_MD5SIG_FLAG_IFINDEX);
    bytes[129] = prefixLength ?? addressBits(familyOf(address));
    writeNative32(bytes, interfaceIndex ?? 0, 132);
  }
  writeNative16(bytes, key?.length ?? 0, 130);
  if (key !== undefined) bytes.set(key, 136);
  const [option, name] = extended ? [TCP_MD5SIG_EXT, 'TCP_MD5SIG_EXT'] : [TCP_MD5SIG, 'TCP_MD5SIG'];
  try {
    setOption(fd, IPPROTO_TCP, option, bytes, `${name} for ${address}`);
  } finally {
    bytes.fill(0);
  }
}

/** Whether this kernel has RFC 2385 keys at all. */
export function supportsTcpMd5(fd: number, address: IpAddress): boolean {
  try {
    setTcpMd5Key(fd, { address, key: undefined });
    return true;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return error.data['errno'] !== ENOPROTOOPT;
  }
}

export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** Who made the other end of a unix socket; pid 0 when it lives in a pid namespace that we cannot see. */
export function peerCredentials(fd: number): PeerCredentials {
  const value = getOption(fd, SOL_SOCKET, SO_PEERCRED, 12, 'SO_PEERCRED');
  return { pid: readNative32(value, 0), uid: readNative32(value, 4), gid: readNative32(value, 8) };
}

/** The number of the socket's network namespace, unique until the next boot. */
export const networkNamespaceCookie = (fd: number): bigint =>
  readNative64(getOption(fd, SOL_SOCKET, SO_NETNS_COOKIE, 8, 'SO_NETNS_COOKIE'), 0);

/** Takes the pending error of a socket, an errno or 0. */
export const takeSocketError = (fd: number): number =>
  readNative32(getOption(fd, SOL_SOCKET, SO_ERROR, 4, 'SO_ERROR'), 0);

/** Longest wait of a receive, in milliseconds. */
export function setReceiveTimeout(fd: number, milliseconds: number): void {
  const bytes = Buffer.alloc(16);
  writeNative32(bytes, Math.floor(milliseconds / 1000), 0);
  writeNative32(bytes, (milliseconds % 1000) * 1000, 8);
  setOption(fd, SOL_SOCKET, SO_RCVTIMEO, bytes, 'SO_RCVTIMEO');
}

/** Asks for buffers beyond the system's limits; answers false when we are not privileged and got the ordinary ones. */
export function setSocketBuffers(fd: number, receiveBytes: number, sendBytes: number): boolean {
  try {
    setNumber(fd, SOL_SOCKET, SO_RCVBUFFORCE, receiveBytes, 'SO_RCVBUFFORCE');
    setNumber(fd, SOL_SOCKET, SO_SNDBUFFORCE, sendBytes, 'SO_SNDBUFFORCE');
    return true;
  } catch (error) {
    if (!(error instanceof AppError) || error.data['errno'] !== EPERM) throw error;
    setNumber(fd, SOL_SOCKET, SO_RCVBUF, receiveBytes, 'SO_RCVBUF');
    setNumber(fd, SOL_SOCKET, SO_SNDBUF, sendBytes, 'SO_SNDBUF');
    return false;
  }
}

/** One classic BPF instruction: code, jump if true, jump if false, operand. */
export type FilterInstruction = readonly [code: number, whenTrue: number, whenFalse: number, operand: number];

/** Attaches a classic BPF program that decides which datagrams are queued. */
export function attachFilter(fd: number, program: readonly FilterInstruction[]): void {
  const instructions = Buffer.alloc(8 * program.length);
  program.forEach(([code, whenTrue, whenFalse, operand], i) => {
    writeNative16(instructions, code, 8 * i);
    instructions[8 * i + 2] = whenTrue;
    instructions[8 * i + 3] = whenFalse;
    writeNative32(instructions, operand, 8 * i + 4);
  });
  libc.checked(
    libc.attachFilter(fd, SOL_SOCKET, SO_ATTACH_FILTER, instructions, program.length),
    'setsockopt SO_ATTACH_FILTER',
    `descriptor ${fd}`,
  );
}

export const NETLINK_ADD_MEMBERSHIP = 1;
export const NETLINK_CAP_ACK = 10;
export const NETLINK_EXT_ACK = 11;
export const NETLINK_GET_STRICT_CHK = 12;

const netlinkOptionNames: ReadonlyMap<number, string> = new Map([
  [NETLINK_ADD_MEMBERSHIP, 'NETLINK_ADD_MEMBERSHIP'],
  [NETLINK_CAP_ACK, 'NETLINK_CAP_ACK'],
  [NETLINK_EXT_ACK, 'NETLINK_EXT_ACK'],
  [NETLINK_GET_STRICT_CHK, 'NETLINK_GET_STRICT_CHK'],
]);

export function setNetlinkOption(fd: number, option: number, value: number): void {
  setNumber(fd, SOL_NETLINK, option, value, netlinkOptionNames.get(option) ?? `netlink option ${option}`);
}
