/**
 * A list that is kept in step: everything is listed page by page, then a watch tells what changes. Data in: pages and lines
 * of a watch. Data out: a map of what was kept of each object, and which keys changed.
 *
 * Lists are never asked with `resourceVersion=0`: an API server that lags behind would give back yesterday's peers as
 * today's, and everything that is not in them would be taken down. API servers of the supported versions answer a
 * consistent list from their watch cache.
 *
 * A watch that ends, is cut or is silent goes on at the last resourceVersion without a list. What makes that impossible
 * (410, a line that cannot be read, any other refusal) means: list again. What is gone by then is found by comparing.
 *
 * A watch of a custom resource that the server ends before its time means: list again and look at everything anew. The API
 * server does so when the definition of the kind was changed, and until then leaves out of what it sends the fields that are new
 * (tried with 1.34); the objects come with the same resourceVersion, so that no watch would bring them again.
 */
import { isRecord } from '#lib/json.ts';
import { ApiError, keyOf } from '../store.ts';
import type { ObjectMeta, ResourceType, WatchOptions, Watching } from '../store.ts';
import { objectOf, parseAnswer, statusError } from './answers.ts';
import type { Page } from './answers.ts';

/** What list-and-watch needs of the API for one selection of one type. */
export interface Reader {
  readonly type: ResourceType;
  page(continueToken: string | undefined, signal: AbortSignal): Promise<Page>;
  /**
   * Calls `open` when the watch stands and `line` for each line of it; resolves when the server ended it. What `line`
   * throws ends it. `early`: before the time that it was asked to last.
   */
  watch(
    resourceVersion: string,
    on: { readonly open: () => void; readonly line: (text: string) => void },
    signal: AbortSignal,
  ): Promise<'early' | 'due'>;
}

export interface Tuning {
  /** Pause after the first failure; each further one doubles it. What is waited is half of it to all of it, at random. */
  readonly firstPauseMilliseconds: number;
  readonly longestPauseMilliseconds: number;
  /** A watch that lived this long was a success: the next pause is the first one again. */
  readonly steadyMilliseconds: number;
  /** Lists that every node needs at once, because its watches ended early or are too old, are asked for within this time. */
  readonly spreadMilliseconds: number;
}

export const usualTuning: Tuning = {
  firstPauseMilliseconds: 800,
  longestPauseMilliseconds: 30_000,
  steadyMilliseconds: 10_000,
  spreadMilliseconds: 3_000,
};

interface Kept<T> {
  readonly value: T;
  /** uid, resourceVersion and how often the definition may have changed: the same twice is the same object. */
  readonly identity: string;
}

/**
 * The watches of one client. When one of them begins, the server is there: the others need not wait out pauses that have
 * grown while it was away.
 */
export interface Companions {
  /** Pauses of those that failed; each ends when it is called. */
  readonly pauses: Set<() => void>;
}

export function listAndWatch<T>(
  reader: Reader,
  options: WatchOptions<T>,
  tuning: Tuning = usualTuning,
  companions: Companions = { pauses: new Set() },
): Watching {
  const stopping = new AbortController();
  const { signal } = stopping;
  const kept = new Map<string, Kept<T>>();
  const view = new Map<string, T>();
  let changed = new Set<string>();
  let listed = false;
  let flush: NodeJS.Immediate | undefined;
  let healthy: boolean | undefined;
  let failures = 0;
  /** Refusals of a version since a watch lived long enough. */
  let expirations = 0;
  /** Where the watch goes on; `undefined`: a list is needed. */
  let version: string | undefined;
  let definition = 0;
  const identityOf = ({ uid = '', resourceVersion = '' }: ObjectMeta): string =>
    `${uid} ${resourceVersion} ${definition}`;

  const tell = (): void => {
    flush ??= setImmediate(() => {
      flush = undefined;
      const keys = changed;
      changed = new Set();
      options.changed(view, keys);
    });
  };
  const put = (key: string, entry: Kept<T>): void => {
    if (kept.get(key)?.identity === entry.identity) return;
    kept.set(key, entry);
    view.set(key, entry.value);
    changed.add(key);
  };
  const drop = (key: string): void => {
    if (!kept.delete(key)) return;
    view.delete(key);
    changed.add(key);
  };
  const health = (error: ApiError | undefined): void => {
    if (signal.aborted || (error === undefined && healthy === true)) return;
    healthy = error === undefined;
    options.health?.(error);
  };

  /** Pages are kept aside until the last one is there: half a list takes nothing away. */
  async function list(): Promise<void> {
    const found = new Map<string, Kept<T>>();
    let token: string | undefined;
    let at: string;
    do {
      const page = await reader.page(token, signal);
      for (const object of page.objects) {
        const key = keyOf(object.metadata);
        const identity = identityOf(object.metadata);
        const known = kept.get(key);
        found.set(key, known?.identity === identity ? known : { identity, value: options.keep(object) });
      }
      token = page.next;
      at = page.resourceVersion;
    } while (token !== undefined);
    signal.throwIfAborted();
    for (const key of kept.keys()) if (!found.has(key)) drop(key);
    for (const [key, entry] of found) put(key, entry);
    version = at;
    if (!listed || changed.size > 0) tell();
    listed = true;
  }

  function line(text: string): void {
    if (signal.aborted) return;
    const what = `watch ${reader.type.plural}`;
    const event = parseAnswer(what, text);
    const { type, object } = event;
    if (type === 'ERROR') {
      const status = isRecord(object) ? object : undefined;
      throw statusError(what, typeof status?.['code'] === 'number' ? status['code'] : 500, status);
    }
    const metadata = isRecord(object) ? object['metadata'] : undefined;
    const at = isRecord(metadata) ? metadata['resourceVersion'] : undefined;
    if (typeof at !== 'string' || at === '') throw new ApiError('API_ANSWER', `${what}: an event without a version`);
    if (type !== 'BOOKMARK') {
      const it = objectOf(what, reader.type, object);
      const key = keyOf(it.metadata);
      if (type === 'DELETED') drop(key);
      else if (type !== 'ADDED' && type !== 'MODIFIED')
        throw new ApiError('API_ANSWER', `${what}: an event of a type that is not known`);
      else {
        const identity = identityOf(it.metadata);
        if (kept.get(key)?.identity !== identity) put(key, { identity, value: options.keep(it) });
      }
      if (changed.size > 0) tell();
    }
    version = at;
  }

  /** True: it lived long enough to count as a success. */
  async function follow(from: string): Promise<boolean> {
    let opened: number | undefined;
    const lived = (): boolean => opened !== undefined && performance.now() - opened >= tuning.steadyMilliseconds;
    try {
      const ended = await reader.watch(
        from,
        {
          open: () => {
            opened = performance.now();
            for (const end of companions.pauses) end();
            health(undefined);
          },
          line,
        },
        signal,
      );
      if (ended === 'early' && isCustom(reader.type)) {
        definition += 1;
        version = undefined;
      }
      return lived();
    } catch (error) {
      if (lived()) failures = expirations = 0;
      throw error;
    }
  }

  /** Ends early when another watch of the client begins: the server is there. */
  async function restUnlessWoken(milliseconds: number): Promise<void> {
    const woken = new AbortController();
    const wake = (): void => woken.abort();
    companions.pauses.add(wake);
    await rest(milliseconds, AbortSignal.any([signal, woken.signal]));
    companions.pauses.delete(wake);
    // Not all in one moment.
    if (woken.signal.aborted) await rest(Math.min(tuning.firstPauseMilliseconds, 1000) * Math.random(), signal);
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      let asked = 0;
      let expired = false;
      try {
        if (version === undefined) await list();
        if (version !== undefined && (await follow(version))) {
          failures = 0;
          expirations = 0;
          // It ended early: every node's did, and an API server that restarts is not to be asked for all lists in one moment.
          if (version === undefined) await rest(tuning.spreadMilliseconds * Math.random(), signal);
          continue;
        }
      } catch (error) {
        if (signal.aborted) return;
        // Anything else is a bug of ours.
        if (!(error instanceof ApiError)) throw error;
        const resumable =
          error.code === 'API_UNREACHABLE' || error.code === 'API_BUSY' || error.code === 'API_UNAUTHORIZED';
        if (!resumable || error.status === 500) version = undefined;
        // That a list is needed again is nothing that is wrong.
        expired = error.code === 'API_EXPIRED';
        if (!expired) health(error);
        if (error.retryAfter !== undefined) asked = error.retryAfter + tuning.firstPauseMilliseconds * Math.random();
      }
      // Behind an API server that was started anew the watches of every node are too old, each once.
      if (expired && expirations++ === 0) {
        await rest(tuning.spreadMilliseconds * Math.random(), signal);
        continue;
      }
      const grown = Math.min(
        tuning.longestPauseMilliseconds,
        tuning.firstPauseMilliseconds * 2 ** Math.min(failures, 20),
      );
      failures++;
      // What the server asks for is waited out whatever others find. It says one second to each of thousands, so that is no reason to come
      // back each second for as long as it has too much to do.
      await rest(asked, signal);
      await restUnlessWoken(Math.max(0, grown * (0.5 + Math.random() / 2) - asked));
    }
  }

  const running = run();
  return {
    async stop() {
      stopping.abort();
      clearImmediate(flush);
      await running;
    },
  };
}

/** Kubernetes' own groups have names without dots, or under k8s.io. */
const isCustom = ({ group }: ResourceType): boolean => group.includes('.') && !group.endsWith('.k8s.io');

/** Ends early, without an error, when the signal says so. Keeps no process alive. */
export function rest(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    timer.unref();
    signal.addEventListener('abort', done);
  });
}
