/**
 * Over which interface an accepted TCP connection came in. The kernel notes it at the handshake and tells it as control
 * data of the socket (ip(7) IP_PKTOPTIONS; RFC 2292 §5.2 for IPv6), when the listener asked for it before.
 */
import type { Family } from '#lib/ip.ts';
import * as libc from './libc.ts';
import { readNative32, writeNative32 } from './socket-address.ts';

const IPPROTO_IP = 0;
const IP_PKTINFO = 8;
const IP_PKTOPTIONS = 9;
const IPPROTO_IPV6 = 41;
const IPV6_2292PKTOPTIONS = 6;
const IPV6_RECVPKTINFO = 49;
const IPV6_PKTINFO = 50;
/** struct cmsghdr on a 64-bit machine: length (8), level (4), type (4). */
const CONTROL_HEADER = 16;
/** struct in6_pktinfo: address (16), interface index (4); struct in_pktinfo begins with the index. */
const INDEX_AT = { ipv4: 0, ipv6: 16 } as const;

/** On a listening socket, before connections come. */
export function noteArrivalInterface(fd: number, family: Family): void {
  const on = Buffer.alloc(4);
  writeNative32(on, 1, 0);
  const [level, option] = family === 'ipv4' ? [IPPROTO_IP, IP_PKTINFO] : [IPPROTO_IPV6, IPV6_RECVPKTINFO];
  libc.checked(libc.setsockopt(fd, level, option, on, on.length), 'setsockopt PKTINFO', `descriptor ${fd}`);
}

/** The interface's index; `undefined` when the kernel does not tell. */
export function arrivalInterface(fd: number, family: Family): number | undefined {
  const control = Buffer.alloc(256);
  const length = Buffer.alloc(4);
  writeNative32(length, control.length, 0);
  const [level, option, type] =
    family === 'ipv4' ? [IPPROTO_IP, IP_PKTOPTIONS, IP_PKTINFO] : [IPPROTO_IPV6, IPV6_2292PKTOPTIONS, IPV6_PKTINFO];
  if (libc.getsockopt(fd, level, option, control, length) !== 0) return undefined;
  const end = readNative32(length, 0);
  for (let at = 0; at + CONTROL_HEADER <= end; ) {
    const size = readNative32(control, at);
    if (size < CONTROL_HEADER) return undefined;
    if (readNative32(control, at + 8) === level && readNative32(control, at + 12) === type) {
      const index = readNative32(control, at + CONTROL_HEADER + INDEX_AT[family]);
      return index === 0 ? undefined : index;
    }
    at += (size + 7) & ~7;
  }
  return undefined;
}
