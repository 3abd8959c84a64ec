/**
 * The foreign functions: libc through koffi, always synchronous, looked up once per thread. Nothing outside this folder
 * calls them. A call that fails becomes an AppError `OS_<ERRNO>` whose data says operation, errno and object.
 */
import koffi from 'koffi';
import { AppError, type RetryClass } from '#lib/result.ts';
import { EAGAIN, EBUSY, EINTR, ENOBUFS, ENOMEM, errnoName } from './errno.ts';

// dlopen(NULL): whichever libc this Node was built for.
const libc = koffi.load(null);

/** Buffers are passed as they are: koffi gives the callee the memory itself, no copy. */
export type Memory = Uint8Array;

interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Memory, length: number): number;
  connect(fd: number, address: Memory, length: number): number;
  listen(fd: number, backlog: number): number;
  accept4(fd: number, address: null, length: null, flags: number): number;
  getsockname(fd: number, address: Memory, length: Memory): number;
  setsockopt(fd: number, level: number, name: number, value: Memory, length: number): number;
  getsockopt(fd: number, level: number, name: number, value: Memory, length: Memory): number;
  send(fd: number, bytes: Memory, length: number, flags: number): number;
  sendto(fd: number, bytes: Memory, length: number, flags: number, address: Memory, addressLength: number): number;
  dup3(from: number, onto: number, flags: number): number;
  recv(fd: number, bytes: Memory, length: number, flags: number): number;
  poll(fds: Memory, count: number, timeoutMs: number): number;
  setns(fd: number, type: number): number;
  /** openat2 alone, which libc has no function for. */
  syscall(number: number, directory: number, path: Memory, how: Memory, size: number): number;
  gettid(): number;
  getpriority(which: number, who: number): number;
  setpriority(which: number, who: number, priority: number): number;
  sched_setscheduler(thread: number, policy: number, parameter: Memory): number;
}

function foreign<K extends keyof Libc>(name: K, result: string, parameters: readonly string[]): Libc[K] {
  return libc.func(name, result, [...parameters]) as unknown as Libc[K];
}

export const socket = foreign('socket', 'int', ['int', 'int', 'int']);
export const bind = foreign('bind', 'int', ['int', 'void *', 'uint32']);
export const connect = foreign('connect', 'int', ['int', 'void *', 'uint32']);
export const listen = foreign('listen', 'int', ['int', 'int']);
export const accept4 = foreign('accept4', 'int', ['int', 'void *', 'void *', 'int']);
export const getsockname = foreign('getsockname', 'int', ['int', 'void *', 'void *']);
export const setsockopt = foreign('setsockopt', 'int', ['int', 'int', 'int', 'void *', 'uint32']);
export const getsockopt = foreign('getsockopt', 'int', ['int', 'int', 'int', 'void *', 'void *']);
export const send = foreign('send', 'int64', ['int', 'void *', 'size_t', 'int']);
export const sendto = foreign('sendto', 'int64', ['int', 'void *', 'size_t', 'int', 'void *', 'uint32']);
export const dup3 = foreign('dup3', 'int', ['int', 'int', 'int']);
export const recv = foreign('recv', 'int64', ['int', 'void *', 'size_t', 'int']);
export const poll = foreign('poll', 'int', ['void *', 'ulong', 'int']);
export const setns = foreign('setns', 'int', ['int', 'int']);
export const syscall = foreign('syscall', 'long', ['long', 'int', 'void *', 'void *', 'size_t']);
export const gettid = foreign('gettid', 'int', []);
export const getpriority = foreign('getpriority', 'int', ['int', 'uint32']);
export const setpriority = foreign('setpriority', 'int', ['int', 'uint32', 'int']);
export const schedSetScheduler = foreign('sched_setscheduler', 'int', ['int', 'int', 'void *']);

// struct sock_fprog holds a pointer, so it is the one structure that koffi has to lay out.
const sockFprog = koffi.struct({ len: 'uint16', filter: 'void *' });
const setsockoptFprog = libc.func('setsockopt', 'int', [
  'int',
  'int',
  'int',
  koffi.pointer(sockFprog),
  'uint32',
]) as unknown as (
  fd: number,
  level: number,
  name: number,
  program: { readonly len: number; readonly filter: Memory },
  length: number,
) => number;

/** setsockopt(SO_ATTACH_FILTER) with `count` instructions of struct sock_filter. */
export const attachFilter = (fd: number, level: number, name: number, instructions: Memory, count: number): number =>
  setsockoptFprog(fd, level, name, { len: count, filter: instructions }, koffi.sizeof(sockFprog));

/** The errno of the call just made; any other call in between may change it. */
export const lastErrno = (): number => koffi.errno();
export const clearErrno = (): void => {
  koffi.errno(0);
};

const retryClass: ReadonlyMap<number, RetryClass> = new Map([
  [EAGAIN, 'backoff'],
  [EBUSY, 'backoff'],
  [EINTR, 'now'],
  [ENOBUFS, 'backoff'],
  [ENOMEM, 'backoff'],
]);

/** An AppError `OS_<ERRNO>`, for instance `OS_EPERM: setns /run/netns/a: operation refused`. */
export function osError(operation: string, object: string, errno: number, cause?: unknown): AppError {
  const name = errnoName(errno);
  return new AppError(`OS_${name}`, `${operation} ${object} failed with ${name} (errno ${errno})`, {
    retry: retryClass.get(errno) ?? 'change',
    data: { operation, errno, object },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** The same of an error of node:fs, which has the errno; the object is said as the caller knows it. */
export function systemError(operation: string, object: string, error: unknown): AppError {
  const errno = typeof error === 'object' && error !== null && 'errno' in error ? Math.abs(Number(error.errno)) : 0;
  return osError(operation, object, errno, error);
}

/** Passes on the result of a libc call; throws osError when it is negative. */
export function checked(result: number, operation: string, object: string): number {
  if (result < 0) throw osError(operation, object, lastErrno());
  return result;
}
