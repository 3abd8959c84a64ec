/**
 * Stream sockets of the unix family as plain descriptors, for a server whose calls are over in less time than a `net.Socket`
 * takes to be made. Nothing here waits. Errors: AppError `OS_<ERRNO>`.
 */
import { hold } from './descriptors.ts';
import { EAGAIN, ECONNABORTED, ECONNRESET, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPIPE } from './errno.ts';
import * as libc from './libc.ts';

const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;

/** accept(2): what may pass by itself. A connection that could not be taken for want of room waits. */
const NOT_NOW = new Set([EAGAIN, EINTR, ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM]);

/** The next connection of a listening socket, non-blocking, closed on exec; `undefined` when none can be taken now. */
export function acceptConnection(listening: number): number | undefined {
  const fd = libc.accept4(listening, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) return hold(fd);
  const errno = libc.lastErrno();
  if (NOT_NOW.has(errno)) return undefined;
  throw libc.osError('accept4', `descriptor ${listening}`, errno);
}

/**
 * What is there: how many bytes, `wait` when there are none yet, `end` when the other side has closed, `reset` when it has
 * closed with bytes of ours unread.
 */
export function receiveStream(fd: number, into: Uint8Array): number | 'wait' | 'end' | 'reset' {
  const length = libc.recv(fd, into, into.length, MSG_DONTWAIT);
  if (length > 0) return length;
  if (length === 0) return 'end';
  const errno = libc.lastErrno();
  if (errno === EAGAIN || errno === EINTR) return 'wait';
  if (errno === ECONNRESET) return 'reset';
  throw libc.osError('recv', `descriptor ${fd}`, errno);
}

/** How many bytes the kernel took; `gone` when nobody is there to read them. */
export function sendStream(fd: number, bytes: Uint8Array): number | 'gone' {
  const sent = libc.send(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0) return sent;
  const errno = libc.lastErrno();
  if (errno === EAGAIN || errno === EINTR) return 0;
  if (errno === EPIPE || errno === ECONNRESET) return 'gone';
  throw libc.osError('send', `descriptor ${fd}`, errno);
}
