/**
 * DELs that the plugin wrote down because no agent was there (protocol.ts has the bytes). The directory is drained before
 * the agent listens and watched from then on. A record that was dealt with is removed; one that cannot be read is put
 * aside under a name that begins with a dot and reported, so that it is looked at once and not lost.
 */
import {
  type FSWatcher,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  unlinkSync,
  watch,
} from 'node:fs';
import { join } from 'node:path';
import { decodeRecord, MAX_ENVIRONMENT_BYTES, MAX_STDIN_BYTES, type SpoolRecord } from './protocol.ts';

const LARGEST_RECORD = MAX_ENVIRONMENT_BYTES + MAX_STDIN_BYTES + 1024;

export interface SpoolModules {
  /** Deals with one record; `keep` leaves it for the next time. */
  readonly handle: (record: SpoolRecord) => Promise<'done' | 'keep' | 'foreign'>;
  readonly unreadable: (name: string, reason: string) => void;
  /** The directory, or a record in it, cannot be used now; tried again with every drain, and said once for each reason. */
  readonly unusable: (reason: string) => void;
}

const ABSENT = 'ENOENT';
const errnoOf = (error: unknown): string =>
  typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';

export class Spool {
  readonly #directory: string;
  readonly #modules: SpoolModules;
  #watcher: FSWatcher | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  readonly #complained = new Set<string>();

  constructor(directory: string, modules: SpoolModules) {
    this.#directory = directory;
    this.#modules = modules;
  }

  /** Makes the directory (0700), deals with all that is in it, then watches. */
  async start(): Promise<void> {
    await this.drain();
  }

  /** Watching comes first: what is written while we drain is seen by the one or the other. */
  #open(): void {
    if (this.#watcher !== undefined) return;
    try {
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      this.#watcher = watch(this.#directory, { persistent: false }, () => {
        void this.drain();
      });
      this.#watcher.on('error', () => undefined);
    } catch (error) {
      this.#complain(error);
    }
  }

  #complain(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    if (this.#complained.has(reason)) return;
    this.#complained.add(reason);
    this.#modules.unusable(reason);
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
      this.#open();
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
    try {
      const found = lstatSync(path);
      // A pipe would hold us up, and what a link leads to is nobody's record.
      if (!found.isFile()) return this.#putAside(name, 'not a file');
      if (found.size > LARGEST_RECORD) return this.#putAside(name, 'larger than any record');
      const record = decodeRecord(readFileSync(path));
      if (!record.ok) return this.#putAside(name, record.error);
      const dealtWith = await this.#modules.handle(record.value);
      if (dealtWith === 'foreign') return this.#putAside(name, 'it is no deletion');
      if (dealtWith === 'done') unlinkSync(path);
    } catch (error) {
      if (errnoOf(error) === '') throw error;
      // Gone: its plugin reached us after all and took it back.
      if (errnoOf(error) !== ABSENT) this.#complain(error);
    }
    return undefined;
  }

  #putAside(name: string, reason: string): void {
    renameSync(join(this.#directory, name), join(this.#directory, `.unreadable-${name}`));
    this.#modules.unreadable(name, reason);
  }
}
