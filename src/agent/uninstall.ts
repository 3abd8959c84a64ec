/**
 * Takes flatroute off this node: the runtime's configuration and plugin first, so that no new pod comes, then what is in the
 * kernel, then our directories. It holds the agent's lock meanwhile, and refuses while an agent or BFD runs, or while pods
 * are attached: their interfaces would go.
 */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CONFIG_FILE, PLUGIN_NAME } from '#cni/install.ts';
import { BFD_LOCK_SOCKET } from '#dataplane/kernel-names.ts';
import { podsOnNode, removeFromKernel } from '#dataplane/io/removal.ts';
import { AppError } from '#lib/result.ts';
import { firstFew } from '#lib/text.ts';
import { acquireLock, type Lock } from '#linux/lock.ts';
import { lockedText, takeLock } from './lock.ts';

export interface UninstallOptions {
  readonly runDirectory: string;
  readonly stateDirectory: string;
  readonly binDirectory: string;
  readonly confDirectory: string;
  /** Take the interfaces of pods away too. */
  readonly force: boolean;
}

/** Answers what was removed, a line each. Throws AppError AGENT_LOCKED, AGENT_PODS, OS_*. */
export async function uninstallNode(options: UninstallOptions): Promise<readonly string[]> {
  const locks: Lock[] = [await takeLock()];
  try {
    locks.push(await bfdLock());
    const pods = podsOnNode();
    if (pods.length > 0 && !options.force) {
      throw new AppError(
        'AGENT_PODS',
        `${pods.length} ${pods.length === 1 ? 'pod is' : 'pods are'} attached to this node: ${firstFew(pods)}. Drain the node first (kubectl drain --ignore-daemonsets), or cut them off with --force. Nothing was removed.`,
      );
    }
    const removed: string[] = [];
    for (const file of [join(options.confDirectory, CONFIG_FILE), join(options.binDirectory, PLUGIN_NAME)])
      if (removeFile(file)) removed.push(file);
    const kernel = await removeFromKernel();
    const counts: readonly (readonly [number, string])[] = [
      [kernel.links, 'interface'],
      [kernel.routes, 'route'],
      [kernel.nexthops, 'nexthop'],
    ];
    for (const [count, what] of counts) if (count > 0) removed.push(`${count} ${what}${count === 1 ? '' : 's'}`);
    for (const table of kernel.tables) removed.push(`nftables table ${table}`);
    for (const directory of [options.runDirectory, options.stateDirectory])
      if (emptyDirectory(directory)) removed.push(directory);
    return removed;
  } finally {
    for (const lock of locks) await lock.release();
  }
}

async function bfdLock(): Promise<Lock> {
  const taken = await acquireLock(BFD_LOCK_SOCKET);
  if (taken.ok) return taken.value;
  throw new AppError('AGENT_LOCKED', `the process for BFD still runs: ${lockedText(taken.error)}`);
}

function removeFile(path: string): boolean {
  if (!existsSync(path)) return false;
  rmSync(path);
  return true;
}

/** The directory itself stays where it is a mount of the container. */
function emptyDirectory(directory: string): boolean {
  if (!existsSync(directory)) return false;
  const entries = readdirSync(directory);
  for (const entry of entries) rmSync(join(directory, entry), { recursive: true, force: true });
  try {
    rmSync(directory, { recursive: true });
    return true;
  } catch {
    return entries.length > 0;
  }
}
