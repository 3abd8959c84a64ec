/**
 * Sockets as plain file descriptors. The calls never wait unless said so; what would block answers `undefined`. Errors:
 * AppError `OS_<ERRNO>`. A descriptor belongs to whoever made it, who closes it or gives it to `net`.
 */
import type { Family, IpAddress } from '#lib/ip.ts';
import { hold } from './descriptors.ts';
import { EAGAIN, EINPROGRESS, EINTR } from './errno.ts';
import * as libc from './libc.ts';
import {
  AF_INET,
  AF_INET6,
  AF_NETLINK,
  AF_UNIX,
  internetSocketAddress,
  netlinkSocketAddress,
  readNative16,
  readNative32,
  unixSocketAddress,
  writeNative16,
  writeNative32,
} from './socket-address.ts';

const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;

export { closeDescriptor } from './descriptors.ts';

export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;

/** A TCP socket of the calling thread's namespace, non-blocking, closed on exec; neither bound nor connected. */
export function openTcpSocket(family: Family): number {
  const domain = family === 'ipv4' ? AF_INET : AF_INET6;
  return libc.checked(
    libc.socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
    'socket',
    `TCP over ${family}`,
  );
}

/** A UDP socket of the calling thread's namespace, non-blocking, closed on exec; not bound. */
export function openUdpSocket(family: Family): number {
  const domain = family === 'ipv4' ? AF_INET : AF_INET6;
  return libc.checked(
    libc.socket(domain, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
    'socket',
    `UDP over ${family}`,
  );
}

/** A stream socket of the unix family, non-blocking, closed on exec. */
export function openUnixSocket(): number {
  return hold(
    libc.checked(libc.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket', 'unix stream'),
  );
}

/** A netlink socket of the calling thread's namespace, blocking, closed on exec. */
export function openNetlinkSocket(protocol: number): number {
  return libc.checked(libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), 'socket', `netlink ${protocol}`);
}

/** Binds to an address and port; `scopeId` is the interface index that a link-local address needs. */
export function bindInternet(fd: number, address: IpAddress, port: number, scopeId = 0): void {
  const bytes = internetSocketAddress(address, port, scopeId);
  libc.checked(libc.bind(fd, bytes, bytes.length), 'bind', `${address} port ${port}`);
}

/** Starts a connection; `false`: it is under way and the socket becomes writable when it is decided. */
export function connectInternet(fd: number, address: IpAddress, port: number, scopeId = 0): boolean {
  const bytes = internetSocketAddress(address, port, scopeId);
  if (libc.connect(fd, bytes, bytes.length) === 0) return true;
  const errno = libc.lastErrno();
  if (errno === EINPROGRESS) return false;
  throw libc.osError('connect', `${address} port ${port}`, errno);
}

/** Connects to a path or, with a leading NUL, to an abstract name; a listener whose queue is full is `OS_EAGAIN`. */
export function connectUnix(fd: number, name: string): void {
  const bytes = unixSocketAddress(name);
  libc.checked(libc.connect(fd, bytes, bytes.length), 'connect', name.replace('\0', '@'));
}

export function listenSocket(fd: number, backlog: number): void {
  libc.checked(libc.listen(fd, backlog), 'listen', `descriptor ${fd}`);
}

/** Binds a netlink socket and answers the port the kernel chose for it. */
export function bindNetlink(fd: number): number {
  const address = netlinkSocketAddress(0);
  libc.checked(libc.bind(fd, address, address.length), 'bind', 'netlink');
  const length = Buffer.alloc(4);
  writeNative32(length, address.length, 0);
  libc.checked(libc.getsockname(fd, address, length), 'getsockname', 'netlink');
  return readNative32(address, 4);
}

/** Sends one datagram of the first `length` bytes to the kernel; returns when the kernel has worked on it. */
export function sendDatagram(fd: number, bytes: Uint8Array, length: number): void {
  for (;;) {
    if (libc.send(fd, bytes, length, 0) >= 0) return;
    const errno = libc.lastErrno();
    if (errno !== EINTR) throw libc.osError('send', `netlink descriptor ${fd}, ${length} bytes`, errno);
  }
}

/** Sends one UDP datagram and waits for nothing: a full queue is `OS_EAGAIN`, no route `OS_ENETUNREACH`. */
export function sendInternet(fd: number, bytes: Uint8Array, address: IpAddress, port: number): void {
  const target = internetSocketAddress(address, port);
  const sent = libc.sendto(fd, bytes, bytes.length, MSG_DONTWAIT, target, target.length);
  libc.checked(sent, 'sendto', `${address} port ${port}`);
}

/**
 * Sends one datagram to a netlink port of this namespace, one's own included. False: its queue is full, where a sender
 * that may wait would wait for ever if the reader is itself.
 */
export function sendToNetlinkPort(fd: number, bytes: Uint8Array, port: number): boolean {
  const address = netlinkSocketAddress(port);
  if (libc.sendto(fd, bytes, bytes.length, MSG_DONTWAIT, address, address.length) >= 0) return true;
  const errno = libc.lastErrno();
  if (errno === EAGAIN) return false;
  throw libc.osError('sendto', `netlink port ${port}`, errno);
}

/**
 * Receives one datagram into `buffer`. Answers its true length, which is greater than the buffer when the datagram was
 * cut; `undefined` when there is none (with `wait`: none within the socket's receive timeout).
 */
export function receiveDatagram(fd: number, buffer: Uint8Array, wait: boolean): number | undefined {
  const flags = MSG_TRUNC | (wait ? 0 : MSG_DONTWAIT);
  for (;;) {
    const length = libc.recv(fd, buffer, buffer.length, flags);
    if (length >= 0) return length;
    const errno = libc.lastErrno();
    if (errno === EAGAIN) return undefined;
    if (errno !== EINTR) throw libc.osError('recv', `descriptor ${fd}`, errno);
  }
}

export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 16;

/** struct pollfd; calls are synchronous, so one is enough for a thread. */
const polled = Buffer.alloc(8);

/** Waits for events on a descriptor, at most `timeoutMs` (-1: without end); answers what happened, 0 for nothing. */
export function pollDescriptor(fd: number, events: number, timeoutMs: number): number {
  writeNative32(polled, fd, 0);
  writeNative16(polled, events, 4);
  writeNative16(polled, 0, 6);
  if (libc.poll(polled, 1, timeoutMs) < 0) {
    const errno = libc.lastErrno();
    if (errno !== EINTR) throw libc.osError('poll', `descriptor ${fd}`, errno);
    return 0;
  }
  return readNative16(polled, 6);
}
