// An HTTP server in process that behaves as the Kubernetes API server does, for the client and what is above it. The
// contract in store-contract.ts runs against this one and against the real one.
import { createServer, ServerResponse } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { Http2ServerRequest } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { plainAccess } from '#kubernetes/io/access.ts';
import type { Access } from '#kubernetes/io/access.ts';
import { http1Connections, plainHttp2Connections } from '#kubernetes/io/connections.ts';
import type { Http2Tuning } from '#kubernetes/io/http2.ts';
import { apiStore } from '#kubernetes/io/client.ts';
import type { ApiStore, ClientOptions, ClientTuning } from '#kubernetes/io/client.ts';
import { keyOf } from '#kubernetes/store.ts';
import type { ApiObject, ResourceType } from '#kubernetes/store.ts';
import { Refused, fakeObjects, typeKey } from './fake-objects.ts';
import type { Change, FakeObjects, FakeType } from './fake-objects.ts';
import { matcherOf, mergePatched } from './fake-selectors.ts';

export type { FakeType } from './fake-objects.ts';

export interface FakeRequest {
  readonly verb: 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete';
  readonly type: FakeType;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
  readonly query: URLSearchParams;
  readonly body: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/** What is done to a request instead of, or after, answering it. */
export type Misfortune =
  | { readonly status: number; readonly reason?: string; readonly message?: string; readonly retryAfter?: number }
  /** The connection ends before anything happened. */
  | 'drop-before'
  /** It happened, and the connection ends without an answer. */
  | 'drop-after'
  /** Nothing is ever answered. */
  | 'hang'
  /** The answer is not what it should be. */
  | { readonly text: string };

export interface FakeApi {
  readonly url: string;
  readonly objects: FakeObjects;
  /** All requests since the start, or since the list was emptied (`length = 0`). */
  readonly requests: FakeRequest[];
  access(tuning?: Http2Tuning): Access;
  /** A client with short pauses, closed with the server. */
  store(options?: Partial<Omit<ClientOptions, 'tuning'>> & { readonly tuning?: Partial<ClientTuning> }): ApiStore;
  /** The type as the server knows it; unknown ones are 404. */
  type(type: ResourceType): FakeType;
  put(type: ResourceType, object: ApiObject): ApiObject;
  remove(type: ResourceType, key: string): void;
  /** Decides about each request; `undefined` lets it through. */
  misfortune: ((request: FakeRequest) => Misfortune | undefined) | undefined;
  /** Ends all watches: as the server does, by cutting connections, or with an ERROR event. */
  cutWatches(how: 'end' | 'cut' | 'expire' | { readonly line: string }): void;
  /** How many watches are open, of a type or of all. */
  watches(type?: ResourceType): number;
  bookmark(): void;
  /** Pages that were begun cannot be continued (410). */
  expirePages(): void;
  /** Nobody listens on the port any more, and all connections end. */
  stop(): Promise<void>;
  /** Listens on the same port again. */
  start(): Promise<void>;
  close(): Promise<void>;
}

type AnyRequest = IncomingMessage | Http2ServerRequest;

/** What the responses of both versions of HTTP have in common. */
interface AnyResponse {
  readonly writableEnded: boolean;
  writeHead(status: number, headers: Record<string, string>): unknown;
  write(text: string): unknown;
  end(text: string): unknown;
  on(event: 'close', then: () => void): unknown;
}

interface OpenWatch {
  readonly type: FakeType;
  readonly response: AnyResponse;
  readonly send: (text: string) => void;
  readonly hangUp: () => void;
}

/** `fixedPort`: instead of a free one. `http`: the version that it speaks. */
export async function fakeApi(types: readonly FakeType[], fixedPort = 0, http: 1 | 2 = 1): Promise<FakeApi> {
  const objects = fakeObjects();
  const known = new Map(types.map((type) => [typeKey(type), type]));
  const sockets = new Set<Socket>();
  const watches = new Set<OpenWatch>();
  const pages = new Map<string, { readonly items: readonly ApiObject[]; readonly version: number }>();
  const stores: ApiStore[] = [];
  let nextPage = 0;
  let port = fixedPort;

  const server =
    http === 1
      ? createServer({ keepAliveTimeout: 0 }, (request, response) => void answer(request, response))
      : createHttp2Server((request, response) => void answer(request, response));
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  const listen = (): Promise<void> =>
    new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', () => {
        server.off('error', reject);
        port = (server.address() as AddressInfo).port;
        resolve();
      });
    });
  const stop = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    });

  const json = (response: AnyResponse, status: number, value: unknown, headers: Record<string, string> = {}): void => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(value));
  };
  const statusOf = (status: number, reason: string, message: string): unknown => ({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    reason,
    code: status,
  });

  async function answer(request: AnyRequest, response: AnyResponse): Promise<void> {
    let body = '';
    for await (const part of request) body += String(part);
    const asked = parseRequest(request, body, known);
    if (asked === undefined) {
      json(response, 404, statusOf(404, 'NotFound', 'the server could not find the requested resource'));
      return;
    }
    api.requests.push(asked);
    const misfortune = api.misfortune?.(asked);
    if (misfortune === 'hang') return;
    if (misfortune === 'drop-before') {
      hangUp(request);
      return;
    }
    if (typeof misfortune === 'object') {
      if ('text' in misfortune) {
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end(misfortune.text);
        return;
      }
      const { status, reason = '', message = 'injected', retryAfter } = misfortune;
      const headers: Record<string, string> = retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) };
      json(response, status, statusOf(status, reason, message), headers);
      return;
    }
    try {
      if (asked.verb === 'watch') {
        watch(asked, response, () => hangUp(request));
        return;
      }
      const [status, value] = served(asked);
      if (misfortune === 'drop-after') hangUp(request);
      else json(response, status, value);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      json(response, error.status, statusOf(error.status, error.reason, error.message));
    }
  }

  function served(asked: FakeRequest): readonly [number, unknown] {
    const { type, verb } = asked;
    if (verb === 'list') return [200, list(asked)];
    if (verb === 'create') return [201, objects.create(type, placed(asked, JSON.parse(asked.body) as ApiObject))];
    const key = keyOf({
      name: asked.name ?? '',
      ...(asked.namespace === undefined ? {} : { namespace: asked.namespace }),
    });
    if (verb === 'update')
      return [200, objects.replace(type, placed(asked, JSON.parse(asked.body) as ApiObject), asked.subresource)];
    if (verb === 'delete') {
      const options =
        asked.body === ''
          ? {}
          : (JSON.parse(asked.body) as { preconditions?: { uid?: string; resourceVersion?: string } });
      return [200, objects.remove(type, key, options.preconditions)];
    }
    const found = objects.get(type, key);
    if (found === undefined)
      throw new Refused(404, 'NotFound', `${type.plural}.${type.group} "${asked.name}" not found`);
    if (verb === 'get') return [200, found];
    const wanted = mergePatched(found, JSON.parse(asked.body)) as ApiObject;
    return [200, objects.replace(type, wanted, asked.subresource)];
  }

  function list(asked: FakeRequest): unknown {
    const limit = Number(asked.query.get('limit') ?? '0');
    const token = asked.query.get('continue');
    const begun = token === null ? undefined : pages.get(token);
    if (token !== null && begun === undefined)
      throw new Refused(
        410,
        'Expired',
        'The provided continue parameter is too old to display a consistent list result.',
      );
    const matches = matcherOf(asked.type, asked);
    const { items, version } = begun ?? {
      items: objects.all(asked.type).filter(matches),
      version: objects.version,
    };
    const here = limit > 0 ? items.slice(0, limit) : items;
    const rest = items.slice(here.length);
    const metadata: Record<string, unknown> = { resourceVersion: String(version) };
    if (rest.length > 0) {
      const next = `page-${++nextPage}`;
      pages.set(next, { items: rest, version });
      metadata['continue'] = next;
      metadata['remainingItemCount'] = rest.length;
    }
    const partial = asked.headers['accept']?.includes('as=PartialObjectMetadataList') === true;
    return {
      kind: partial ? 'PartialObjectMetadataList' : `${asked.type.kind}List`,
      apiVersion: partial ? 'meta.k8s.io/v1' : undefined,
      metadata,
      items: here.map((object) =>
        partial ? partialOf(object) : { ...object, kind: undefined, apiVersion: undefined },
      ),
    };
  }

  function watch(asked: FakeRequest, response: AnyResponse, hangUp: () => void): void {
    const from = Number(asked.query.get('resourceVersion') ?? '0');
    const matches = matcherOf(asked.type, asked);
    const partial = asked.headers['accept']?.includes('as=PartialObjectMetadata') === true;
    response.writeHead(200, { 'content-type': 'application/json' });
    if (response instanceof ServerResponse) response.flushHeaders();
    const event = (type: string, object: unknown): string => `${JSON.stringify({ type, object })}\n`;
    const send = (text: string): void => {
      if (!response.writableEnded) response.write(text);
    };
    const tell = ({ type, before, after, version }: Change): void => {
      if (type !== asked.type) return;
      const was = before !== undefined && matches(before);
      const is = after !== undefined && matches(after);
      if (!was && !is) return;
      const kind = is ? (was ? 'MODIFIED' : 'ADDED') : 'DELETED';
      const source = after ?? before;
      if (source === undefined) return;
      const object = is ? source : { ...source, metadata: { ...source.metadata, resourceVersion: String(version) } };
      send(event(kind, partial ? partialOf(object) : object));
    };
    try {
      for (const change of objects.since(from)) tell(change);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      response.end(event('ERROR', statusOf(error.status, error.reason, error.message)));
      return;
    }
    const off = objects.onChange(tell);
    const open: OpenWatch = { type: asked.type, response, send, hangUp };
    watches.add(open);
    // As the real one does: whoever watches too long is sent away, perhaps to another server.
    const seconds = Number(asked.query.get('timeoutSeconds') ?? '0');
    const end = seconds > 0 ? setTimeout(() => response.end(''), seconds * 1000).unref() : undefined;
    response.on('close', () => {
      clearTimeout(end);
      off();
      watches.delete(open);
    });
  }

  const api: FakeApi = {
    get url() {
      return `http://127.0.0.1:${port}`;
    },
    objects,
    requests: [],
    misfortune: undefined,
    access: (tuning) => plainAccess(api.url, {}, http === 1 ? http1Connections() : plainHttp2Connections(tuning)),
    store(options = {}) {
      const { tuning, ...rest } = options;
      const made = apiStore({
        access: api.access(),
        userAgent: 'flatroute-test/0',
        ...rest,
        tuning: {
          ...{
            firstPauseMilliseconds: 2,
            longestPauseMilliseconds: 20,
            steadyMilliseconds: 1000,
            spreadMilliseconds: 20,
          },
          ...tuning,
        },
      });
      stores.push(made);
      return made;
    },
    type(type) {
      const found = known.get(typeKey(type));
      if (found === undefined) throw new Error(`the fake API server does not know ${type.plural}`);
      return found;
    },
    put(type, object) {
      const here = api.type(type);
      const existing = objects.get(here, keyOf(object.metadata));
      const full = { ...object, apiVersion: object.apiVersion ?? '', kind: type.kind };
      const put = existing === undefined ? objects.create(here, full) : objects.replace(here, full, undefined);
      if (here.status !== true || object['status'] === undefined) return put;
      const { resourceVersion: _, ...metadata } = put.metadata;
      return objects.replace(here, { ...full, metadata }, 'status');
    },
    remove(type, key) {
      objects.remove(api.type(type), key);
    },
    cutWatches(how) {
      for (const open of watches) {
        watches.delete(open);
        if (how === 'cut') open.hangUp();
        else if (how === 'expire')
          open.response.end(
            `${JSON.stringify({ type: 'ERROR', object: statusOf(410, 'Expired', 'too old resource version') })}\n`,
          );
        else open.response.end(typeof how === 'string' ? '' : `${how.line}\n`);
      }
    },
    watches: (type) =>
      type === undefined ? watches.size : [...watches].filter((it) => typeKey(it.type) === typeKey(type)).length,
    bookmark() {
      for (const { type, send } of watches)
        send(
          `${JSON.stringify({ type: 'BOOKMARK', object: { kind: type.kind, metadata: { resourceVersion: String(objects.version) } } })}\n`,
        );
    },
    expirePages: () => pages.clear(),
    stop,
    start: listen,
    async close() {
      await Promise.all(stores.map((it) => it.close()));
      await stop();
    },
  };
  await listen();
  return api;
}

/** The connection ends, and all that is on it. */
function hangUp(request: AnyRequest): void {
  if ('stream' in request) request.stream.session?.destroy();
  else request.socket.destroy();
}

const partialOf = (object: ApiObject): unknown => ({
  kind: 'PartialObjectMetadata',
  apiVersion: 'meta.k8s.io/v1',
  metadata: object.metadata,
});

/** The namespace of the path is the object's. */
const placed = (asked: FakeRequest, object: ApiObject): ApiObject =>
  asked.namespace === undefined ? object : { ...object, metadata: { ...object.metadata, namespace: asked.namespace } };

function parseRequest(
  request: AnyRequest,
  body: string,
  known: ReadonlyMap<string, FakeType>,
): FakeRequest | undefined {
  const url = new URL(request.url ?? '/', 'http://fake');
  const match =
    /^\/(?:api\/(?<core>[^/]+)|apis\/(?<group>[^/]+\/[^/]+))(?:\/namespaces\/(?<namespace>[^/]+)(?=\/[^/]+))?\/(?<plural>[^/]+)(?:\/(?<name>[^/]+))?(?:\/(?<sub>[^/]+))?$/.exec(
      url.pathname,
    )?.groups;
  const type = match === undefined ? undefined : known.get(`${match['core'] ?? match['group']}/${match['plural']}`);
  if (match === undefined || type === undefined) return undefined;
  const name = match['name'];
  const watching = url.searchParams.get('watch') === 'true';
  const collection = watching ? 'watch' : 'list';
  const verbs = {
    GET: name === undefined ? collection : 'get',
    POST: 'create',
    PUT: 'update',
    PATCH: 'patch',
    DELETE: 'delete',
  } as const;
  const verb = verbs[(request.method ?? 'GET') as keyof typeof verbs];
  return {
    verb,
    type,
    namespace: match['namespace'],
    name: name === undefined ? undefined : decodeURIComponent(name),
    subresource: match['sub'],
    query: url.searchParams,
    body,
    headers: {
      accept: request.headers.accept,
      'user-agent': request.headers['user-agent'],
      authorization: request.headers.authorization,
    },
  };
}
