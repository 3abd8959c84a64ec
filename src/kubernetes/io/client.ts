/**
 * The client behind `ResourceStore`: JSON over kept connections, one in all where the server speaks HTTP/2. It knows no kinds, so that none of the
 * library's models are loaded. A call takes at most 30 s (a page of a list 60 s) and an answer has a bound; 429 is tried
 * again after the pause that the server names, a read also once after a connection that was closed while it lay idle.
 */
import { ApiError, apiVersionOf } from '../store.ts';
import type { ApiObject, ResourceStore, ResourceType, Selection, WatchOptions, Watching } from '../store.ts';
import type { Access } from './access.ts';
import { objectOf, pageOf, parseAnswer, statusError } from './answers.ts';
import type { Foreign, Page } from './answers.ts';
import { lineCutter } from './lines.ts';
import { listAndWatch, rest, usualTuning } from './list-watch.ts';
import type { Companions, Reader, Tuning } from './list-watch.ts';
import { acceptOf, collectionPath, objectPath, selectionQuery } from './paths.ts';
import { send, unreachable, wholeText } from './transport.ts';
import type { Answer } from './exchange.ts';
import type { Call } from './transport.ts';

export interface ClientOptions {
  readonly access: Access;
  /** `flatroute-agent/0.1.0` */
  readonly userAgent: string;
  /** Told of each answer; `code` is the HTTP status, or `none` without an answer. */
  readonly onRequest?: (verb: Verb, code: string) => void;
  /** Told of each piece of an answer. */
  readonly onReceived?: (bytes: number) => void;
  readonly tuning?: Partial<ClientTuning>;
}

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete';

export interface ClientTuning extends Tuning {
  readonly pageSize: number;
  readonly callMilliseconds: number;
  readonly pageMilliseconds: number;
  /** A watch that says nothing for this long, not even a bookmark (the API server sends one each minute), is taken for dead. */
  readonly idleMilliseconds: number;
  /** A watch is asked to end after this long to twice as long, at random, so that the watchers spread over the API servers. */
  readonly watchSeconds: number;
  readonly busyAttempts: number;
}

const usual: ClientTuning = {
  ...usualTuning,
  pageSize: 500,
  callMilliseconds: 30_000,
  pageMilliseconds: 60_000,
  idleMilliseconds: 100_000,
  watchSeconds: 1200,
  busyAttempts: 5,
};

const longestObject = 16 * 1024 * 1024;
const longestPage = 128 * 1024 * 1024;
/** A continue token lives five minutes; a list that outlives three of them is not to be had. */
const listAttempts = 3;

export interface ApiStore extends ResourceStore {
  /** Stops all watches and closes all connections. */
  close(): Promise<void>;
}

export function apiStore(options: ClientOptions): ApiStore {
  const tuning: ClientTuning = { ...usual, ...options.tuning };
  const closing = new AbortController();
  const watchings = new Set<Watching>();
  const companions: Companions = { pauses: new Set() };

  async function sendOnce(verb: Verb, call: Call): Promise<Answer> {
    try {
      const answer = await send(options.access, options.userAgent, call);
      options.onRequest?.(verb, String(answer.status));
      if (options.onReceived !== undefined)
        answer.stream.on('data', (part: Buffer) => options.onReceived?.(part.length));
      answer.stream.pause();
      if (answer.status === 401) options.access.refused();
      return answer;
    } catch (error) {
      if (!call.signal?.aborted) {
        options.onRequest?.(verb, 'none');
        options.access.unanswered();
      }
      throw error;
    }
  }

  /** One call with its whole answer. `attempts`: at a server that has too much to do. */
  async function whole(
    verb: Verb,
    call: Call,
    {
      bytes,
      time,
      attempts = tuning.busyAttempts,
    }: { readonly bytes: number; readonly time: number; readonly attempts?: number },
  ): Promise<Foreign> {
    const write = call.method !== 'GET';
    const deadline = performance.now() + time;
    const signal = call.signal ?? closing.signal;
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await sendOnce(verb, {
          ...call,
          signal,
          headMilliseconds: Math.max(1, deadline - performance.now()),
        });
        const bounds = { bytes, milliseconds: Math.max(1, deadline - performance.now()) };
        const text = await wholeText(answer, call, bounds);
        if (answer.status >= 200 && answer.status < 300) return parseAnswer(call.what, text, write);
        throw statusError(call.what, answer.status, bodyOf(call, text), {
          retryAfterSeconds: answer.retryAfterSeconds,
          write,
        });
      } catch (error) {
        if (!(error instanceof ApiError) || signal.aborted) throw error;
        const pause = pauseBefore(error, { attempt, attempts, write });
        if (pause === undefined || performance.now() + pause >= deadline) throw error;
        await rest(pause, signal);
      }
    }
  }

  /** How long to wait before the same call is made again; `undefined`: not at all. */
  function pauseBefore(
    error: ApiError,
    { attempt, attempts, write }: { readonly attempt: number; readonly attempts: number; readonly write: boolean },
  ): number | undefined {
    if (error.code === 'API_BUSY' && attempt < attempts) return (error.retryAfter ?? 1000) + Math.random() * 500;
    if (attempt > 1) return undefined;
    if (error.code === 'API_UNAUTHORIZED' && error.status === 401) return 0;
    // A kept connection may have ended while nobody looked at it.
    return !write && error.code === 'API_UNREACHABLE' && error.status === undefined ? 0 : undefined;
  }

  async function one(verb: Verb, type: ResourceType, call: Omit<Call, 'headMilliseconds'>): Promise<ApiObject> {
    const full = { ...call, headMilliseconds: tuning.callMilliseconds };
    const value = await whole(verb, full, { bytes: longestObject, time: tuning.callMilliseconds });
    return objectOf(call.what, type, value, call.method !== 'GET');
  }

  async function page(
    type: ResourceType,
    selection: Selection,
    token: string | undefined,
    { signal, attempts = tuning.busyAttempts }: { readonly signal: AbortSignal; readonly attempts?: number },
  ): Promise<Page> {
    const query = selectionQuery(selection, {
      limit: String(Math.min(tuning.pageSize, selection.pageSize ?? Infinity, selection.atMost ?? Infinity)),
      continue: token,
    });
    const what = `list ${type.plural}`;
    const call: Call = {
      method: 'GET',
      path: `${collectionPath(type, selection.namespace)}${query}`,
      what,
      accept: acceptOf(selection, false),
      headMilliseconds: tuning.pageMilliseconds,
      signal,
    };
    const about = { bytes: longestPage, time: tuning.pageMilliseconds, attempts };
    return pageOf(what, type, await whole('list', call, about));
  }

  async function follow(
    type: ResourceType,
    selection: Selection,
    version: string,
    on: Parameters<Reader['watch']>[1],
    signal: AbortSignal,
  ): Promise<'early' | 'due'> {
    const what = `watch ${type.plural}`;
    const timeoutSeconds = Math.round(tuning.watchSeconds * (1 + Math.random()));
    const query = selectionQuery(selection, {
      watch: 'true',
      resourceVersion: version,
      allowWatchBookmarks: 'true',
      timeoutSeconds: String(timeoutSeconds),
    });
    const call: Call = {
      method: 'GET',
      path: `${collectionPath(type, selection.namespace)}${query}`,
      what,
      accept: acceptOf(selection, true),
      headMilliseconds: tuning.callMilliseconds,
      signal,
    };
    const answer = await sendOnce('watch', call);
    if (answer.status !== 200) {
      const text = await wholeText(answer, call, { bytes: longestObject, milliseconds: tuning.callMilliseconds });
      throw statusError(what, answer.status, bodyOf(call, text), { retryAfterSeconds: answer.retryAfterSeconds });
    }
    on.open();
    const due = performance.now() + timeoutSeconds * 1000;
    await readLines(answer, what, on.line);
    // The server's clock and ours need not agree to the second.
    return performance.now() < due - 2000 ? 'early' : 'due';
  }

  function readLines(answer: Answer, what: string, line: (text: string) => void): Promise<void> {
    const { stream } = answer;
    const cutter = lineCutter(line);
    return new Promise((resolve, reject) => {
      const end = (error: unknown): void => {
        clearTimeout(idle);
        stream.destroy();
        if (error === undefined) resolve();
        else reject(error);
      };
      const idle = setTimeout(() => {
        end(unreachable(what, new Error(`nothing came for ${tuning.idleMilliseconds / 1000} s`)));
      }, tuning.idleMilliseconds);
      stream.on('data', (part: Buffer) => {
        idle.refresh();
        try {
          cutter.push(part);
        } catch (error) {
          end(error);
        }
      });
      stream.on('end', () => end(answer.cut() ? unreachable(what, new Error('the connection was closed')) : undefined));
      stream.on('error', (error) => end(unreachable(what, error)));
      stream.on('close', () => end(unreachable(what, new Error('the connection was closed'))));
      stream.resume();
    });
  }

  const store: ApiStore = {
    async get(type, name, namespace) {
      try {
        return await one('get', type, {
          method: 'GET',
          path: objectPath(type, name, namespace),
          what: `get ${type.plural} ${name}`,
        });
      } catch (error) {
        if (error instanceof ApiError && error.code === 'API_NOT_FOUND') return undefined;
        throw error;
      }
    },
    async list(type, selection = {}) {
      for (let attempt = 1; ; attempt++) {
        const objects: ApiObject[] = [];
        try {
          for (let token: string | undefined; ; ) {
            const next = await page(type, selection, token, { signal: closing.signal });
            objects.push(...next.objects);
            if (next.next === undefined || objects.length >= (selection.atMost ?? Infinity)) return objects;
            token = next.next;
          }
        } catch (error) {
          if (!(error instanceof ApiError && error.code === 'API_EXPIRED' && attempt < listAttempts)) throw error;
        }
      }
    },
    async count(type) {
      const one: Selection = { metadataOnly: true, atMost: 1 };
      const { objects, remaining } = await page(type, one, undefined, { signal: closing.signal });
      return objects.length + remaining;
    },
    create: (type, object) =>
      one('create', type, {
        method: 'POST',
        path: collectionPath(type, object.metadata.namespace),
        what: `create ${type.plural} ${object.metadata.name}`,
        body: jsonBody(type, object),
      }),
    replace: (type, object, subresource) =>
      one('update', type, {
        method: 'PUT',
        path: objectPath(type, object.metadata.name, object.metadata.namespace, subresource),
        what: `update ${type.plural} ${object.metadata.name}`,
        body: jsonBody(type, object),
      }),
    patch: (type, name, mergePatch, about = {}) =>
      one('patch', type, {
        method: 'PATCH',
        path: objectPath(type, name, about.namespace, about.subresource),
        what: `patch ${type.plural} ${name}`,
        body: { type: 'application/merge-patch+json', text: JSON.stringify(mergePatch) },
      }),
    async remove(type, name, about = {}) {
      const { namespace, ...preconditions } = about;
      const call: Call = {
        method: 'DELETE',
        path: objectPath(type, name, namespace),
        what: `delete ${type.plural} ${name}`,
        body: {
          type: 'application/json',
          text: JSON.stringify({
            kind: 'DeleteOptions',
            apiVersion: 'v1',
            propagationPolicy: 'Background',
            preconditions,
          }),
        },
        headMilliseconds: tuning.callMilliseconds,
      };
      try {
        await whole('delete', call, { bytes: longestObject, time: tuning.callMilliseconds });
        return 'removed';
      } catch (error) {
        if (error instanceof ApiError && error.code === 'API_NOT_FOUND') return 'absent';
        throw error;
      }
    },
    watch<T>(type: ResourceType, about: WatchOptions<T>): Watching {
      const selection = about.selection ?? {};
      const reader: Reader = {
        type,
        // Pauses before a list are the watch's own; one that is half read would have to be begun anew.
        page: (token, signal) =>
          page(type, selection, token, token === undefined ? { signal, attempts: 1 } : { signal }),
        watch: (version, on, signal) => follow(type, selection, version, on, signal),
      };
      const inner = listAndWatch(reader, about, tuning, companions);
      const watching: Watching = {
        async stop() {
          watchings.delete(watching);
          await inner.stop();
        },
      };
      watchings.add(watching);
      return watching;
    },
    async close() {
      closing.abort();
      await Promise.all([...watchings].map((it) => it.stop()));
      options.access.close();
    },
  };
  return store;
}

function jsonBody(type: ResourceType, object: ApiObject): NonNullable<Call['body']> {
  return {
    type: 'application/json',
    text: JSON.stringify({ ...object, apiVersion: apiVersionOf(type), kind: type.kind }),
  };
}

/** The Status of a failed call; a gateway in between may say something else. */
function bodyOf(call: Call, text: string): Foreign | undefined {
  try {
    return parseAnswer(call.what, text);
  } catch {
    return undefined;
  }
}
