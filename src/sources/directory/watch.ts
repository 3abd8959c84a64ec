/**
 * Says when something in a set of directories may have changed. It may say so too often, and must never be silent: what
 * notification cannot cover (no inotify instance left, a network file system, a link to a file elsewhere) is covered by
 * looking again from time to time.
 */
import { watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import { basename, dirname } from 'node:path';

export interface DirectoryWatch {
  /** Watches these directories and no others. True: some are new, and may have changed before they were watched. */
  set(directories: ReadonlyMap<string, string>): boolean;
  /** Some directory could not be watched. */
  readonly incomplete: boolean;
  close(): void;
}

/** `changed` is called for every event. The directory above `root` is watched for `root` itself. */
export function watchDirectories(root: string, changed: () => void): DirectoryWatch {
  const watchers = new Map<string, { readonly identity: string; readonly watcher: FSWatcher }>();
  let failed = 0;

  const drop = (path: string): void => {
    watchers.get(path)?.watcher.close();
    watchers.delete(path);
  };
  const add = (path: string, identity: string, only: string | undefined): void => {
    try {
      const watcher = watch(path, (_, name) => {
        if (only === undefined || name === null || name === only) changed();
      });
      watcher.on('error', () => {
        drop(path);
        changed();
      });
      watchers.set(path, { identity, watcher });
    } catch {
      failed++;
    }
  };

  return {
    set(directories) {
      failed = 0;
      const wanted = new Map(
        [...directories].map(([path, identity]) => [path, { identity, only: undefined as string | undefined }]),
      );
      const above = dirname(root);
      if (above !== root) wanted.set(above, { identity: 'above', only: basename(root) });
      for (const [path, { identity }] of watchers) if (wanted.get(path)?.identity !== identity) drop(path);
      const before = watchers.size;
      for (const [path, { identity, only }] of wanted) if (!watchers.has(path)) add(path, identity, only);
      return watchers.size > before;
    },
    get incomplete() {
      return failed > 0;
    },
    close() {
      for (const path of watchers.keys()) drop(path);
    },
  };
}
