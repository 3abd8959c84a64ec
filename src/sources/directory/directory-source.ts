/**
 * Directory mode: resources are YAML files in a directory, read at the start and again whenever something in it changes.
 * The directory is never written to. Data out: everything that is in force, and a sentence for each thing that is not.
 */
import { resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { resourceSet } from '#resources/resource-set.ts';
import type { ResourceProblem, ResourceSet } from '#resources/resource-set.ts';
import type { ResourceSource } from '../source.ts';
import type { FileReading } from './documents.ts';
import { defaultLimits, scan } from './scan.ts';
import type { Limits, ReadCache } from './scan.ts';
import { nothingRemembered, settle } from './settle.ts';
import type { Remembered } from './settle.ts';
import { watchDirectories } from './watch.ts';

export interface DirectorySourceOptions {
  readonly directory: string;
  readonly limits?: Partial<Limits>;
  /** The directory is read when nothing happened in it for this long: a file that is being written is not half read. */
  readonly quietMilliseconds?: number;
  /** It is read at the latest this long after the first event. */
  readonly longestWaitMilliseconds?: number;
  /** Without any event it is read this often. */
  readonly rescanMilliseconds?: number;
  /** The same while something cannot be watched, or the directory is not there. */
  readonly unwatchedRescanMilliseconds?: number;
}

type OnChange = (resources: ResourceSet, problems: readonly ResourceProblem[]) => void;

export class DirectorySource implements ResourceSource {
  readonly #root: string;
  readonly #limits: Limits;
  readonly #quiet: number;
  readonly #longestWait: number;
  readonly #rescan: number;
  readonly #unwatchedRescan: number;
  readonly #watch;
  readonly #cache: ReadCache = new Map();
  #remembered: Remembered = nothingRemembered;
  #last: { readonly resources: ResourceSet; readonly problems: readonly ResourceProblem[] } | undefined;
  #onChange: OnChange | undefined;
  #timer: NodeJS.Timeout | undefined;
  #firstEvent: number | undefined;
  #reading: Promise<void> | undefined;
  #stopped = false;

  constructor(options: DirectorySourceOptions) {
    this.#root = resolve(options.directory);
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#quiet = options.quietMilliseconds ?? 100;
    this.#longestWait = options.longestWaitMilliseconds ?? 1000;
    this.#rescan = options.rescanMilliseconds ?? 30_000;
    this.#unwatchedRescan = options.unwatchedRescanMilliseconds ?? 1000;
    this.#watch = watchDirectories(this.#root, () => this.#event());
  }

  async start(onChange: OnChange): Promise<void> {
    this.#onChange = onChange;
    await this.#read();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#watch.close();
    await this.#reading;
  }

  #event(): void {
    if (this.#stopped) return;
    const now = performance.now();
    this.#firstEvent ??= now;
    this.#arm(Math.min(this.#quiet, Math.max(0, this.#firstEvent + this.#longestWait - now)));
  }

  #arm(milliseconds: number): void {
    clearTimeout(this.#timer);
    if (!this.#stopped) this.#timer = setTimeout(() => void this.#read(), milliseconds);
  }

  /** One reading at a time; an event during a reading brings another one after it. */
  #read(): Promise<void> {
    if (this.#reading !== undefined) {
      this.#event();
      return this.#reading;
    }
    this.#firstEvent = undefined;
    this.#reading = this.#readOnce().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #readOnce(): Promise<void> {
    const found = await scan(this.#root, this.#limits, this.#cache);
    if (this.#stopped) return;
    const readings = [...found.readings, ...this.#unseen(found.unknown, found.readings)];
    const settled = settle(this.#remembered, readings);
    this.#remembered = settled.remembered;
    const directories = found.problems.map((it): ResourceProblem => {
      const kept = settled.resources.length > 0;
      const meanwhile = kept ? 'What was last read from it stays in force.' : 'Nothing is in force.';
      return { ...it, message: `${it.text}. ${meanwhile}`, lastGoodInForce: kept };
    });
    const next = { resources: resourceSet(settled.resources), problems: [...directories, ...settled.problems] };
    const changed = !isDeepStrictEqual(this.#last, next);
    this.#last = next;
    const added = this.#watch.set(found.directories);
    if (this.#firstEvent === undefined) {
      const unwatched = this.#watch.incomplete || !found.present;
      if (added) this.#event();
      else this.#arm(unwatched ? this.#unwatchedRescan : this.#rescan);
    }
    if (changed) this.#onChange?.(next.resources, next.problems);
  }

  /** Files known from before in places that could not be looked at now: they say nothing, so their objects stay. */
  #unseen(unknown: readonly string[], readings: readonly FileReading[]): FileReading[] {
    const seen = new Set(readings.map((it) => it.file));
    return [...this.#remembered.objectsOf.keys()]
      .filter((file) => !seen.has(file) && unknown.some((place) => file.startsWith(place)))
      .map((file) => ({ file, whole: false, unidentified: true, claims: [], problems: [] }));
  }
}
