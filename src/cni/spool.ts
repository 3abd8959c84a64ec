/**
 * DELs that the plugin wrote down because no agent was there (protocol.ts has the bytes). The directory is drained before
 * the agent listens and watched from then on. A record that was dealt with is removed; one that cannot be read is put
 * aside under a name that begins with a dot and reported, so that it is looked at once and not lost.
 */
import { type FSWatcher, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, watch } from 'node:fs';
import { join } from 'node:path';
import { decodeRecord, MAX_ENVIRONMENT_BYTES, MAX_STDIN_BYTES, type SpoolRecord } from './protocol.ts';

const LARGEST_RECORD = MAX_ENVIRONMENT_BYTES + MAX_STDIN_BYTES + 1024;

export interface SpoolModules {
  /** Deals with one record; false keeps it for the next time. */
  readonly handle: (record: SpoolRecord) => Promise<boolean>;
  readonly unreadable: (name: string, reason: string) => void;
}

export class Spool {
  readonly #directory: string;
  readonly #modules: SpoolModules;
  #watcher: FSWatcher | undefined;
  #running: Promise<void> | undefined;
  #again = false;

  constructor(directory: string, modules: SpoolModules) {
    this.#directory = directory;
    this.#modules = modules;
  }

  /** Makes the directory (0700), deals with all that is in it, then watches. Errors: those of the file system. */
  async start(): Promise<void> {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    // Watching comes first: what is written while we drain is seen by the one or the other.
    this.#watcher = watch(this.#directory, { persistent: false }, () => {
      void this.drain();
    });
    this.#watcher.on('error', () => undefined);
    await this.drain();
  }

  stop(): Promise<void> {
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#again = false;
    return this.#running ?? Promise.resolve();
  }

  /** Resolves when the directory was looked through after this call. */
  drain(): Promise<void> {
    this.#again = true;
    this.#running ??= this.#drainAll().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #drainAll(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      // Names begin with the boot time, so their order is that of the deletions.
      for (const name of this.#names()) await this.#one(name);
    }
  }

  #names(): string[] {
    try {
      return readdirSync(this.#directory)
        .filter((name) => !name.startsWith('.'))
        .sort();
    } catch {
      return [];
    }
  }

  async #one(name: string): Promise<void> {
    const path = join(this.#directory, name);
    let bytes: Buffer;
    try {
      if (statSync(path).size > LARGEST_RECORD) return this.#putAside(name, 'larger than any record');
      bytes = readFileSync(path);
    } catch {
      // Its plugin reached us after all and took it back.
      return undefined;
    }
    const record = decodeRecord(bytes);
    if (!record.ok) return this.#putAside(name, record.error);
    if (await this.#modules.handle(record.value)) rmSync(path, { force: true });
    return undefined;
  }

  #putAside(name: string, reason: string): void {
    renameSync(join(this.#directory, name), join(this.#directory, `.unreadable-${name}`));
    this.#modules.unreadable(name, reason);
  }
}
