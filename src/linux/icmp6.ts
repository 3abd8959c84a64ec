/**
 * A raw ICMPv6 socket of the calling thread's namespace: some message types in, any out, hop limit 255 both ways. Errors:
 * AppError `OS_<ERRNO>`; `OS_EPERM` without CAP_NET_RAW. RFC 3542 §3, RFC 3542 §5.
 */
import type { IpAddress } from '#lib/ip.ts';
import { addressBytes } from '#lib/ip.ts';
import * as libc from './libc.ts';
import { AF_INET6, internetSocketAddress, writeNative32 } from './socket-address.ts';
import { attachFilter } from './socket-options.ts';
import { closeDescriptor, openUdpSocket } from './socket.ts';

const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const IPPROTO_IPV6 = 41;
const IPPROTO_ICMPV6 = 58;
const ICMP6_FILTER = 1;
const IPV6_UNICAST_HOPS = 16;
const IPV6_MULTICAST_HOPS = 18;
const IPV6_MULTICAST_LOOP = 19;
const IPV6_ADD_MEMBERSHIP = 20;
const IPV6_DROP_MEMBERSHIP = 21;
const hopLimit = 255;

// Classic BPF, linux/filter.h. SKF_NET_OFF: offsets count from the IPv6 header, whose eighth octet is the hop limit.
const onlyHopLimit255 = [
  [0x30, 0, 0, -0x10_0000 + 7],
  [0x15, 0, 1, hopLimit],
  [0x06, 0, 0, 0xffff_ffff],
  [0x06, 0, 0, 0],
] as const;

function setOption(fd: number, level: number, option: number, value: Buffer, name: string): void {
  libc.checked(libc.setsockopt(fd, level, option, value, value.length), `setsockopt ${name}`, `descriptor ${fd}`);
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  writeNative32(bytes, value, 0);
  return bytes;
}

/**
 * Receives these ICMPv6 types only. Node watches no raw socket, but it watches UDP, and looks at a descriptor's kind when it
 * is handed over and never again: so `watch` gets one of UDP, owns it, and finds the raw socket in its place afterwards.
 */
export function openIcmp6Socket(types: readonly number[], watch: (fd: number) => void): number {
  const raw = libc.checked(
    libc.socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMPV6),
    'socket',
    'raw ICMPv6',
  );
  try {
    setOption(raw, IPPROTO_ICMPV6, ICMP6_FILTER, passing(types), 'ICMP6_FILTER');
    attachFilter(raw, onlyHopLimit255);
    setOption(raw, IPPROTO_IPV6, IPV6_UNICAST_HOPS, number(hopLimit), 'IPV6_UNICAST_HOPS');
    setOption(raw, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, number(hopLimit), 'IPV6_MULTICAST_HOPS');
    setOption(raw, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, number(0), 'IPV6_MULTICAST_LOOP');
    const fd = openUdpSocket('ipv6');
    watch(fd);
    libc.checked(libc.dup3(raw, fd, SOCK_CLOEXEC), 'dup3', `descriptor ${raw}`);
    return fd;
  } finally {
    closeDescriptor(raw);
  }
}

/** struct icmp6_filter: a set bit blocks its type. */
function passing(types: readonly number[]): Buffer {
  const words = new Uint32Array(8).fill(0xffff_ffff);
  for (const type of types) words[type >> 5] = (words[type >> 5] ?? 0) & ~(1 << (type & 31));
  return Buffer.from(words.buffer);
}

function membership(group: IpAddress, interfaceIndex: number): Buffer {
  const bytes = Buffer.alloc(20);
  bytes.set(addressBytes(group), 0);
  writeNative32(bytes, interfaceIndex, 16);
  return bytes;
}

/** Datagrams to the group over this interface are received. `OS_EADDRINUSE`: they are already. */
export function joinGroup(fd: number, group: IpAddress, interfaceIndex: number): void {
  setOption(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, membership(group, interfaceIndex), `join ${group}`);
}

/** `OS_EADDRNOTAVAIL`: they were not, or the interface is gone. */
export function leaveGroup(fd: number, group: IpAddress, interfaceIndex: number): void {
  setOption(fd, IPPROTO_IPV6, IPV6_DROP_MEMBERSHIP, membership(group, interfaceIndex), `leave ${group}`);
}

/** One message, its checksum filled in by the kernel; from the interface's link-local address for a link-local one. */
export function sendIcmp6(fd: number, bytes: Uint8Array, to: IpAddress, interfaceIndex: number): void {
  const target = internetSocketAddress(to, 0, interfaceIndex);
  const sent = libc.sendto(fd, bytes, bytes.length, MSG_DONTWAIT, target, target.length);
  libc.checked(sent, 'sendto', `${to} on interface ${interfaceIndex}`);
}
