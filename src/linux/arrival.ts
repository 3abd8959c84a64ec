/**
 * How an accepted TCP connection came in: over which interface, and with which TTL or hop limit. The kernel notes both at
 * the handshake and tells them as control data of the socket (ip(7) IP_PKTOPTIONS; RFC 2292 §5.2 for IPv6), when the
 * listener asked for them before.
 */
import type { Family } from '#lib/ip.ts';
import * as libc from './libc.ts';
import { readNative32, writeNative32 } from './socket-address.ts';

const IPPROTO_IP = 0;
const IP_TTL = 2;
const IP_PKTINFO = 8;
const IP_PKTOPTIONS = 9;
const IP_RECVTTL = 12;
const IPPROTO_IPV6 = 41;
const IPV6_2292PKTOPTIONS = 6;
const IPV6_RECVPKTINFO = 49;
const IPV6_PKTINFO = 50;
const IPV6_RECVHOPLIMIT = 51;
const IPV6_HOPLIMIT = 52;
/** struct cmsghdr on a 64-bit machine: length (8), level (4), type (4). */
const CONTROL_HEADER = 16;

const options = {
  ipv4: {
    level: IPPROTO_IP,
    ask: [IP_PKTINFO, IP_RECVTTL],
    tell: IP_PKTOPTIONS,
    packetInfo: IP_PKTINFO,
    hopLimit: IP_TTL,
    /** struct in_pktinfo begins with the index. */
    indexAt: 0,
  },
  ipv6: {
    level: IPPROTO_IPV6,
    ask: [IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT],
    tell: IPV6_2292PKTOPTIONS,
    packetInfo: IPV6_PKTINFO,
    hopLimit: IPV6_HOPLIMIT,
    /** struct in6_pktinfo: address (16), interface index (4). */
    indexAt: 16,
  },
} as const;

/** On a listening socket, before connections come. */
export function noteArrival(fd: number, family: Family): void {
  const on = Buffer.alloc(4);
  writeNative32(on, 1, 0);
  const { level, ask } = options[family];
  for (const option of ask)
    libc.checked(
      libc.setsockopt(fd, level, option, on, on.length),
      `setsockopt ${level}/${option}`,
      `descriptor ${fd}`,
    );
}

/** What the kernel does not tell is `undefined`. */
export interface Arrival {
  readonly interfaceIndex: number | undefined;
  readonly hopLimit: number | undefined;
}

export function arrivalOf(fd: number, family: Family): Arrival {
  const control = Buffer.alloc(256);
  const length = Buffer.alloc(4);
  writeNative32(length, control.length, 0);
  const { level, tell, packetInfo, hopLimit, indexAt } = options[family];
  const found: { interfaceIndex: number | undefined; hopLimit: number | undefined } = {
    interfaceIndex: undefined,
    hopLimit: undefined,
  };
  if (libc.getsockopt(fd, level, tell, control, length) !== 0) return found;
  const end = readNative32(length, 0);
  for (let at = 0; at + CONTROL_HEADER <= end; ) {
    const size = readNative32(control, at);
    if (size < CONTROL_HEADER) return found;
    if (readNative32(control, at + 8) === level) {
      const type = readNative32(control, at + 12);
      if (type === packetInfo) {
        const index = readNative32(control, at + CONTROL_HEADER + indexAt);
        found.interfaceIndex = index === 0 ? undefined : index;
      } else if (type === hopLimit) found.hopLimit = readNative32(control, at + CONTROL_HEADER);
    }
    at += (size + 7) & ~7;
  }
  return found;
}
