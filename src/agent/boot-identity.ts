/**
 * Whether this node's agent ran before since the same boot, and what of its routes must stand. A node is its kernel's boot and
 * its network namespace: a lab node that is made anew has rebooted. The answer decides the R and F bits of graceful restart
 * (RFC 4724 §3).
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { RUN_DIRECTORY } from '#dataplane/kernel-names.ts';
import { families, type Family } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import { sysctlDirectory } from '#linux/host-root.ts';
import { networkNamespaceCookie } from '#linux/socket-options.ts';
import { closeDescriptor, openUnixSocket } from '#linux/socket.ts';

const FILE = 'boot';

const BOOT_ID = 'kernel/random/boot_id';

/** boot_id and the cookie of the network namespace, in one line. */
export function bootIdentity(): string {
  // The node's own where it is mounted, as in a lab whose nodes share a kernel; every container shows the kernel's.
  const mounted = join(sysctlDirectory, BOOT_ID);
  const bootId = readFileSync(existsSync(mounted) ? mounted : join('/proc/sys', BOOT_ID), 'utf8').trim();
  const fd = openUnixSocket();
  try {
    return `${bootId} ${networkNamespaceCookie(fd)}`;
  } finally {
    closeDescriptor(fd);
  }
}

/** Makes the run directory (0700) when it is missing. Throws AppError AGENT_RUN_DIRECTORY. */
export function prepareRunDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    // A kubelet that mounts it makes it open to all. Another directory is its owner's business.
    if (directory === RUN_DIRECTORY) chmodSync(directory, 0o700);
  } catch (error) {
    throw unusable(directory, 'made', error);
  }
}

const unusable = (directory: string, verb: string, cause: unknown): AppError =>
  new AppError(
    'AGENT_RUN_DIRECTORY',
    `${directory} cannot be ${verb}: ${cause instanceof Error ? cause.message : String(cause)}; run as root or name another with --run-dir`,
    { cause },
  );

/** An agent's life, as the next one finds it. */
export interface LastLife {
  readonly identity: string;
  /** Families of which it had learned routes in the kernel when it was last looked. */
  readonly learned: readonly Family[];
}

/** What the last agent here left; `undefined` at the first start and after a reboot that empties /run. */
export function lastLife(directory: string): LastLife | undefined {
  try {
    const [identity = '', learned = ''] = readFileSync(join(directory, FILE), 'utf8').split('\n');
    return { identity, learned: families.filter((family) => learned.split(' ').includes(family)) };
  } catch {
    return undefined;
  }
}

/** Written whole or not at all. Throws AppError AGENT_RUN_DIRECTORY. */
export function rememberLife(directory: string, { identity, learned }: LastLife): void {
  const temporary = join(directory, `.${FILE}.${process.pid}`);
  try {
    writeFileSync(temporary, `${identity}\n${learned.join(' ')}\n`, { mode: 0o600 });
    renameSync(temporary, join(directory, FILE));
  } catch (error) {
    throw unusable(directory, 'written', error);
  }
}

/**
 * F of RFC 4724 §3: families whose forwarding state outlived the last agent. What had no learned route has lost none: its
 * blocks and addresses are the kernel's, and F=0 would make the peer forget what leads to them (RFC 4724 §4.2).
 */
export const preserved = (noted: readonly Family[], standing: readonly Family[]): readonly Family[] =>
  families.filter((family) => standing.includes(family) || !noted.includes(family));
