/**
 * The pod's network namespace as the plugin's caller names it. The path is of the caller's root directory, which is not
 * ours when one of us lives in a container, so it is walked below /proc/PID/root: an absolute symbolic link on the way
 * (/var/run → /run) means the caller's root too, where the kernel would take ours.
 */
import { fstatSync, lstatSync, readlinkSync, statSync } from 'node:fs';
import { posix } from 'node:path';
import { AppError, type Result, fail, ok } from '#lib/result.ts';
import { closeNamespace, inNamespace, openNamespace, openNamespaceWithin } from '#linux/namespace.ts';

export type NamespaceFailure =
  /** No such file; the pod may be gone. */
  | { readonly kind: 'absent'; readonly path: string; readonly reason: string }
  | { readonly kind: 'notANamespace'; readonly path: string }
  /** The node's own, which a pod must not share with us. */
  | { readonly kind: 'ourOwn'; readonly path: string };

const LONGEST_CHAIN = 40;
/** Says nothing of the pod: the agent itself is short of something. */
const SHORTAGES = new Set(['EMFILE', 'ENFILE', 'ENOMEM']);

/** The calling thread's own namespace; a thread never keeps another. */
let own: { readonly ino: number; readonly dev: number } | undefined;

/** `path` below `root` with the symbolic links of its directories followed inside `root`; the last part is left alone. */
function withinRoot(root: string, path: string): string {
  let parts = posix
    .normalize(path)
    .split('/')
    .filter((part) => part !== '');
  let resolved = '';
  let links = 0;
  while (parts.length > 1) {
    const [part = '', ...rest] = parts;
    parts = rest;
    if (part === '..') {
      resolved = posix.dirname(resolved);
      if (resolved === '/' || resolved === '.') resolved = '';
      continue;
    }
    const here = `${root}${resolved}/${part}`;
    if (lstatSync(here, { throwIfNoEntry: false })?.isSymbolicLink() !== true) {
      resolved = `${resolved}/${part}`;
      continue;
    }
    const target = readlinkSync(here);
    links += 1;
    if (links > LONGEST_CHAIN) throw new AppError('OS_ELOOP', `too many symbolic links in ${path}`);
    if (target.startsWith('/')) resolved = '';
    parts = [...target.split('/').filter((one) => one !== '' && one !== '.'), ...parts];
  }
  return `${root}${resolved}/${parts[0] ?? ''}`;
}

/**
 * Opens the namespace; the caller closes the descriptor with closeNamespace. `peer` is the plugin's process id, 0 when
 * it cannot be seen: then the path is taken as ours.
 */
export function openPeerNamespace(peer: number, path: string): Result<number, NamespaceFailure> {
  if (!path.startsWith('/')) return fail({ kind: 'absent', path, reason: 'not an absolute path' });
  let fd: number;
  try {
    // What the kernel cannot or will not walk at once is walked step by step, which also says what is wrong with it.
    fd =
      peer > 0
        ? (openNamespaceWithin(`/proc/${peer}/root`, path) ?? openNamespace(withinRoot(`/proc/${peer}/root`, path)))
        : openNamespace(path);
  } catch (error) {
    // Ours, or that of Node's own functions.
    const code = error instanceof Error && 'code' in error ? String(error.code).replace(/^OS_/, '') : '';
    if (code === '') throw error;
    if (SHORTAGES.has(code)) throw new AppError(`OS_${code}`, `${path} cannot be opened now: ${code}; try again`);
    return fail({ kind: 'absent', path, reason: code });
  }
  try {
    own ??= statSync('/proc/thread-self/ns/net');
    const there = fstatSync(fd);
    if (own.ino === there.ino && own.dev === there.dev) {
      closeNamespace(fd);
      return fail({ kind: 'ourOwn', path });
    }
    // Only entering says whether it is a network namespace.
    inNamespace(fd, () => undefined);
    return ok(fd);
  } catch (error) {
    closeNamespace(fd);
    if (error instanceof AppError && error.code === 'OS_EINVAL') return fail({ kind: 'notANamespace', path });
    throw error;
  }
}
