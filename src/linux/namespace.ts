/**
 * Entering another network namespace for the length of one action: setns, open a socket or a file, setns back, with
 * nothing between. The namespace belongs to the thread, so the way there and back must be one synchronous piece. A
 * thread that cannot come back ends the process: everything it did from then on would hit the wrong network. The pool of
 * libuv inherits the namespace of the thread that starts it, so `warmThreadPool` must have been called before.
 */
import { closeSync, constants, openSync, stat } from 'node:fs';
import { AppError } from '#lib/result.ts';
import { closeDescriptor, hold } from './descriptors.ts';
import { errnoName } from './errno.ts';
import * as libc from './libc.ts';

const CLONE_NEWNET = 0x40000000;

/** What a path leads to may be anything: a pipe that nobody writes to would be waited for without end. */
const READ_ONLY = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

/** The calling thread's own namespace; a thread never keeps another, so one descriptor serves its whole life. */
let home: number | undefined;

function homeNamespace(): number {
  home ??= openNamespace('/proc/thread-self/ns/net');
  return home;
}

/** Opens a namespace file; the caller closes the descriptor. Errors: AppError `OS_ENOENT` and the like. */
export function openNamespace(path: string): number {
  try {
    return hold(openSync(path, READ_ONLY));
  } catch (error) {
    throw libc.systemError('open', path, error);
  }
}

/** The same number for every machine that Linux runs on. */
const SYS_OPENAT2 = 437;
const AT_FDCWD = -100;
const O_CLOEXEC = 0o2000000;
const O_PATH = 0o10000000;
const RESOLVE_IN_ROOT = 0x10;

/** struct open_how: flags, mode, resolve. */
const openHow = (flags: number, resolve: number): Uint8Array =>
  new Uint8Array(new BigUint64Array([BigInt(flags), 0n, BigInt(resolve)]).buffer);
const howRoot = openHow(O_PATH | O_CLOEXEC, 0);
const howWithin = openHow(READ_ONLY | O_CLOEXEC, RESOLVE_IN_ROOT);

/**
 * Opens a file as a process would whose root directory is `root`, symbolic links included; `undefined` when that fails for
 * any reason. /proc/PID/ns/net is one: the kernel follows no such link below another root.
 */
export function openNamespaceWithin(root: string, path: string): number | undefined {
  const directory = libc.syscall(SYS_OPENAT2, AT_FDCWD, Buffer.from(`${root}\0`), howRoot, howRoot.length);
  if (directory < 0) return undefined;
  const fd = libc.syscall(SYS_OPENAT2, directory, Buffer.from(`${path}\0`), howWithin, howWithin.length);
  closeSync(directory);
  return fd < 0 ? undefined : hold(fd);
}

export const closeNamespace = closeDescriptor;

/**
 * Runs `action` in the namespace of a path or an open descriptor and answers its result. The action may open sockets and
 * files and nothing else; what it throws is thrown after the way back. Errors: AppError `OS_EINVAL` when the descriptor is no network namespace.
 */
export function inNamespace<T>(target: string | number, action: () => T extends PromiseLike<unknown> ? never : T): T {
  const own = homeNamespace();
  const fd = typeof target === 'string' ? openNamespace(target) : target;
  try {
    if (libc.setns(fd, CLONE_NEWNET) < 0) throw libc.osError('setns', String(target), libc.lastErrno());
    try {
      return action();
    } finally {
      if (libc.setns(own, CLONE_NEWNET) < 0) {
        process.stderr.write(`flatroute: no way back into the own network namespace: ${errnoName(libc.lastErrno())}\n`);
        process.abort();
      }
    }
  } finally {
    if (typeof target === 'string') closeDescriptor(fd);
  }
}

/**
 * The calling thread lives in that namespace from now on, and so does every thread and process that it starts.
 * Errors: AppError `OS_EINVAL` when the path is no network namespace.
 */
export function moveToNamespace(path: string): void {
  const fd = openNamespace(path);
  try {
    if (libc.setns(fd, CLONE_NEWNET) < 0) throw libc.osError('setns', path, libc.lastErrno());
    if (home !== undefined) closeDescriptor(home);
    home = undefined;
  } finally {
    closeDescriptor(fd);
  }
}

/** Starts the threads of libuv's pool in the process's own namespace. Call once in the main thread, before any inNamespace. */
export async function warmThreadPool(threads: number): Promise<void> {
  await Promise.all(
    Array.from(
      { length: threads },
      () =>
        new Promise<void>((resolve, reject) => {
          stat('/proc/self', (error) =>
            error === null
              ? resolve()
              : reject(
                  new AppError('OS_PROC_MISSING', '/proc is not mounted; mount it and start again', { cause: error }),
                ),
          );
        }),
    ),
  );
}
