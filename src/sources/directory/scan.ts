/**
 * Reads a directory of resources from the disk: every `*.yaml`, `*.yml` and `*.json` in it and in its directories; names
 * that begin with a dot are left out (editors' files, and the directories behind a mounted ConfigMap, whose files are
 * reached by their links). Everything is bounded, and what cannot be read is an answer, never an exception.
 */
import { constants } from 'node:fs';
import { lstat, open, readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { brokenFile, readDocuments } from './documents.ts';
import type { Draft, FileReading } from './documents.ts';

export interface Limits {
  readonly fileBytes: number;
  readonly files: number;
  readonly totalBytes: number;
  readonly depth: number;
}

/** 1 MiB is what Kubernetes takes for one object; the others bound what a wrong --resources can cost. */
export const defaultLimits: Limits = { fileBytes: 1_048_576, files: 1024, totalBytes: 64 * 1_048_576, depth: 8 };

export interface Scan {
  readonly readings: readonly FileReading[];
  /** Problems of directories. */
  readonly problems: readonly Draft[];
  /** Path beginnings, relative, of which nothing could be learned; '' is everything. */
  readonly unknown: readonly string[];
  /** Directories that were read, by path, with what tells one directory from another in its place. */
  readonly directories: ReadonlyMap<string, string>;
  /** `false`: the directory itself is not there. */
  readonly present: boolean;
}

/** A file that did not change since it was read is not read again. */
export type ReadCache = Map<
  string,
  { readonly identity: string; readonly settled: boolean; readonly reading: FileReading }
>;

/** A file changed less than this before it was read may have changed again within one tick of the file system's clock. */
const clockTickMilliseconds = 2000;

export async function scan(root: string, limits: Limits, cache: ReadCache): Promise<Scan> {
  const walk = new Walk(root, limits, cache);
  await walk.directory('', 0);
  for (const file of cache.keys()) if (!walk.seen.has(file)) cache.delete(file);
  return {
    readings: walk.readings,
    problems: walk.problems,
    unknown: walk.unknown,
    directories: walk.directories,
    present: walk.directories.has(root),
  };
}

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'permission is denied; it must be readable for the user that the agent runs as',
  EPERM: 'permission is denied; it must be readable for the user that the agent runs as',
  ENOENT: 'it does not exist',
  ENOTDIR: 'it is not a directory',
  ELOOP: 'its links lead in a circle',
};

function why(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? String(error);
  return reasons[code] ?? code;
}

class Walk {
  readonly readings: FileReading[] = [];
  readonly problems: Draft[] = [];
  readonly unknown: string[] = [];
  readonly directories = new Map<string, string>();
  readonly seen = new Set<string>();
  readonly #root: string;
  readonly #limits: Limits;
  readonly #cache: ReadCache;
  readonly #visited = new Set<string>();
  #bytes = 0;

  constructor(root: string, limits: Limits, cache: ReadCache) {
    this.#root = root;
    this.#limits = limits;
    this.#cache = cache;
  }

  async directory(relative: string, depth: number): Promise<void> {
    const path = join(this.#root, relative);
    let names: string[];
    try {
      const real = await realpath(path);
      if (this.#visited.has(real)) return;
      this.#visited.add(real);
      const { dev, ino } = await stat(path);
      names = (await readdir(path)).sort();
      this.directories.set(path, `${dev} ${ino}`);
    } catch (error) {
      const what = relative === '' ? `directory ${this.#root}` : `directory ${relative}`;
      this.#directoryProblem(relative, 'CONFIG_DIRECTORY_UNREADABLE', `${what} cannot be read: ${why(error)}`);
      return;
    }
    for (const name of names) {
      if (name.startsWith('.')) continue;
      const child = relative === '' ? name : `${relative}/${name}`;
      if (/\.(ya?ml|json)$/.test(name)) await this.#entry(child, depth);
      else if (await this.#isDirectory(child)) await this.#below(child, depth);
    }
  }

  #directoryProblem(relative: string, code: Draft['code'], text: string): void {
    this.unknown.push(relative === '' ? '' : `${relative}/`);
    this.problems.push({ code, id: undefined, file: relative, line: 0, column: 0, field: '', text });
  }

  async #below(child: string, depth: number): Promise<void> {
    if (depth + 1 < this.#limits.depth) return this.directory(child, depth + 1);
    const text = `directory ${child} is deeper than ${this.#limits.depth} levels and is not read`;
    this.#directoryProblem(child, 'CONFIG_DIRECTORY_UNREADABLE', text);
  }

  async #isDirectory(relative: string): Promise<boolean> {
    try {
      return (await stat(join(this.#root, relative))).isDirectory();
    } catch {
      // Gone since the listing, or a link to nothing: no directory to go into either way.
      return false;
    }
  }

  async #entry(file: string, depth: number): Promise<void> {
    if (await this.#isDirectory(file)) return this.#below(file, depth);
    this.seen.add(file);
    if (this.readings.length >= this.#limits.files) {
      const text = `more than ${this.#limits.files} files; this one, by order of name, is not read`;
      this.readings.push(brokenFile(file, 'CONFIG_TOO_MANY_FILES', text));
      return;
    }
    const reading = await this.#file(file);
    if (reading !== undefined) this.readings.push(reading);
  }

  /** `undefined`: the file is gone. */
  async #file(file: string): Promise<FileReading | undefined> {
    const path = join(this.#root, file);
    const broken = (code: Draft['code'], text: string): FileReading => brokenFile(file, code, text);
    try {
      // O_NONBLOCK: opening a pipe must not wait for its writer.
      const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
      try {
        const found = await handle.stat({ bigint: true });
        if (!found.isFile()) return broken('CONFIG_FILE_UNREADABLE', 'it is not a regular file');
        const { fileBytes, totalBytes } = this.#limits;
        if (found.size > BigInt(fileBytes))
          return broken(
            'CONFIG_FILE_TOO_LARGE',
            `the file has ${found.size} bytes; at most ${fileBytes} are allowed, split it`,
          );
        this.#bytes += Number(found.size);
        if (this.#bytes > totalBytes)
          return broken(
            'CONFIG_TOO_MANY_FILES',
            `the files together have more than ${totalBytes} bytes; this one is not read`,
          );
        const identity = [found.dev, found.ino, found.size, found.mtimeNs, found.ctimeNs].join(' ');
        const cached = this.#cache.get(file);
        if (cached?.identity === identity && cached.settled) return cached.reading;
        const settled = Date.now() - Number(found.mtimeMs) > clockTickMilliseconds;
        const bytes = Buffer.alloc(Number(found.size));
        const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0);
        const reading = decoded(file, bytes.subarray(0, bytesRead));
        this.#cache.set(file, { identity, settled, reading });
        return reading;
      } finally {
        await handle.close();
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT' && !(await exists(path))) return undefined;
      return broken('CONFIG_FILE_UNREADABLE', `the file cannot be read: ${why(error)}`);
    }
  }
}

function decoded(file: string, bytes: Uint8Array): FileReading {
  try {
    return readDocuments(file, new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return brokenFile(file, 'CONFIG_FILE_UNREADABLE', 'the file is not UTF-8 text');
  }
}

const exists = async (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );
