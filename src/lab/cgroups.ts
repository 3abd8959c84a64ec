/**
 * The cgroups of a lab's hosts. They are the only thing of a lab that the kernel does not take away with its processes: a
 * runtime makes them below a directory of its host, which is removed with the host, or by the next run when the owner died.
 * Networks need only the unified hierarchy (version 2), which every machine has or can mount, wherever it mounts it; kubelet
 * wants the controllers, which on a machine of version 1 are hierarchies of their own.
 */
import { readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { milliseconds, seconds } from '#lib/time.ts';
import { pidNamespace } from './owner.ts';
import { found, notYet, waitFor } from './wait.ts';

/** All labs of all pid namespaces are below it. */
const LABS = 'flatroute-lab';

/** Of the lab's host, as a path in the hierarchy; it is not made yet. */
export const labCgroup = (lab: string, host: string): string => `/${LABS}/${pidNamespace()}/${lab}/${host}`;

/** One of the machine's hierarchies of cgroups. */
export interface Hierarchy {
  readonly type: 'cgroup' | 'cgroup2';
  readonly mountPoint: string;
  /** What it is mounted with: controllers of version 1, or `name=…`. */
  readonly options: string;
}

/** None at all: nobody can have made a cgroup from here. */
export function hierarchies(): readonly Hierarchy[] {
  const found: Hierarchy[] = [];
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const [type, , options = ''] = after.split(' ');
    if (type !== 'cgroup' && type !== 'cgroup2') continue;
    const mountPoint = before.split(' ')[4] ?? '';
    found.push({ type, mountPoint, options: options.replace(/^r[wo],?/, '') });
  }
  return found;
}

/** Every directory below and the one itself; false when a process is still in one of them. */
function removeTree(directory: string): boolean {
  try {
    for (const entry of readdirSync(directory, { withFileTypes: true }))
      if (entry.isDirectory() && !removeTree(join(directory, entry.name))) return false;
    rmdirSync(directory);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return true;
    if (code === 'EBUSY' || code === 'ENOTEMPTY') return false;
    throw error;
  }
}

/** Removes a host's cgroup with all below it, once its processes are gone; a lab's own directory goes with its last host. */
export async function removeCgroup(cgroup: string): Promise<void> {
  for (const { mountPoint } of hierarchies()) {
    await waitFor(
      `the cgroup ${cgroup} of ${mountPoint} to be empty`,
      async () =>
        await Promise.resolve(removeTree(join(mountPoint, cgroup)) ? found(undefined) : notYet('it has processes')),
      { deadline: seconds(60), every: milliseconds(10) },
    );
    removeEmptyParents(mountPoint, cgroup);
  }
}

function removeEmptyParents(root: string, cgroup: string): void {
  for (let path = join(cgroup, '..'); path !== '/'; path = join(path, '..')) {
    try {
      rmdirSync(join(root, path));
    } catch {
      // Another lab has its cgroups there, or has just taken it away.
      return;
    }
  }
}

/** Takes away what killed runs of this pid namespace left: the cgroups of every lab that is not alive when it is asked for. */
export function removeCgroupsOfDead(livingLabs: () => ReadonlySet<string>): void {
  const ours = `/${LABS}/${pidNamespace()}`;
  for (const { mountPoint } of hierarchies()) {
    const labs = labsBelow(join(mountPoint, ours));
    if (labs.length === 0) continue;
    // A lab lives before it has a cgroup, so one that was made meanwhile is among them.
    const living = livingLabs();
    for (const lab of labs) {
      if (living.has(lab)) continue;
      removeTree(join(mountPoint, ours, lab));
      removeEmptyParents(mountPoint, join(ours, lab));
    }
  }
}

function labsBelow(directory: string): readonly string[] {
  try {
    return readdirSync(directory, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? [entry.name] : [],
    );
  } catch {
    return [];
  }
}
