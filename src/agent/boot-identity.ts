/**
 * Whether this node's agent ran before since the same boot. A node is its kernel's boot and its network namespace: a lab
 * node that is made anew has rebooted. The answer decides the R and F bits of graceful restart (RFC 4724 §3).
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AppError } from '#lib/result.ts';
import { networkNamespaceCookie } from '#linux/socket-options.ts';
import { closeDescriptor, openUnixSocket } from '#linux/socket.ts';

const FILE = 'boot';

/** boot_id and the cookie of the network namespace, in one line. */
export function bootIdentity(): string {
  const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
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

/** The identity that the last agent here left; `undefined` at the first start and after a reboot that empties /run. */
export function lastIdentity(directory: string): string | undefined {
  try {
    return readFileSync(join(directory, FILE), 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** Written whole or not at all. Throws AppError AGENT_RUN_DIRECTORY. */
export function rememberIdentity(directory: string, identity: string): void {
  const temporary = join(directory, `.${FILE}.${process.pid}`);
  try {
    writeFileSync(temporary, `${identity}\n`, { mode: 0o600 });
    renameSync(temporary, join(directory, FILE));
  } catch (error) {
    throw unusable(directory, 'written', error);
  }
}
