// What HTTP/2 adds to the contract of the store: one connection, and when it is given up, left, or not to be had.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, createSecureServer } from 'node:http2';
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream, Settings } from 'node:http2';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { kubernetesAccess, plainAccess } from '#kubernetes/io/access.ts';
import { plainHttp2Connections, tlsConnections } from '#kubernetes/io/connections.ts';
import { apiStore } from '#kubernetes/io/client.ts';
import type { ApiStore } from '#kubernetes/io/client.ts';
import { usualHttp2 } from '#kubernetes/io/http2.ts';
import type { Http2Tuning } from '#kubernetes/io/http2.ts';
import type { ApiCode, Watching } from '#kubernetes/store.ts';
import { CertificateAuthority } from '#lab/kubernetes/pki.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { seconds } from '#lib/time.ts';
import { configMaps, failsWith } from '../../support/kubernetes/store-contract.ts';
import { tcpProxy } from '../../support/kubernetes/tcp-proxy.ts';

const eventually = (what: string, holds: () => boolean): Promise<unknown> =>
  waitFor(what, () => Promise.resolve(holds() ? found(true) : notYet('')), { deadline: seconds(20) });

const json = { ':status': 200, 'content-type': 'application/json' };
const one = JSON.stringify({ metadata: { name: 'one', resourceVersion: '1' } });

/** Lists are empty, watches say nothing, everything else is answered with one object. */
function serve(stream: ServerHttp2Stream, path: string): void {
  stream.on('error', () => undefined);
  stream.respond(json);
  if (path.includes('watch=true')) return;
  stream.end(path.includes('?') ? JSON.stringify({ metadata: { resourceVersion: '1' }, items: [] }) : one);
}

class Rig {
  readonly sessions = new Set<ServerHttp2Session>();
  opened = 0;
  readonly server: Http2Server;
  readonly asked: string[] = [];
  /** Instead of serving. */
  before: ((stream: ServerHttp2Stream) => boolean) | undefined;
  readonly #stores: ApiStore[] = [];

  constructor(settings: Settings = {}) {
    this.server = createServer({ settings });
    this.server.on('session', (session) => {
      this.opened += 1;
      this.sessions.add(session);
      session.on('error', () => undefined);
      session.on('close', () => this.sessions.delete(session));
    });
    this.server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      this.asked.push(`${headers[':method']} ${headers[':path']?.split('?')[0]}`);
      if (this.before?.(stream) !== true) serve(stream, headers[':path'] ?? '');
    });
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => void this.server.listen(0, '127.0.0.1', resolve));
    return this;
  }

  store(tuning?: Partial<Http2Tuning>, port = this.port): ApiStore {
    const connections = plainHttp2Connections({ ...usualHttp2, ...tuning });
    const made = apiStore({
      access: plainAccess(`http://127.0.0.1:${port}`, {}, connections),
      userAgent: 'flatroute-test/0',
      tuning: { firstPauseMilliseconds: 5, longestPauseMilliseconds: 20 },
    });
    this.#stores.push(made);
    return made;
  }

  async close(): Promise<void> {
    await Promise.all(this.#stores.map((it) => it.close()));
    for (const session of this.sessions) session.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

interface Watched {
  readonly health: (ApiCode | undefined)[];
  readonly sentences: string[];
  readonly watching: Watching;
}

function watch(store: ApiStore): Watched {
  const health: Watched['health'] = [];
  const sentences: string[] = [];
  const watching = store.watch(configMaps, {
    selection: { namespace: 'default' },
    keep: () => true,
    changed: () => undefined,
    health: (error) => {
      health.push(error?.code);
      if (error !== undefined) sentences.push(error.message);
    },
  });
  return { health, sentences, watching };
}

let rig: Rig;
beforeEach(async () => (rig = await new Rig().listen()));
afterEach(() => rig.close());

const watches = (): number => rig.asked.filter((it) => it === 'GET /api/v1/namespaces/default/configmaps').length;

describe('a connection', () => {
  test('carries all watches and calls of a store, from the first moment on', async () => {
    const store = rig.store();
    const all = Array.from({ length: 12 }, () => watch(store));
    await Promise.all(Array.from({ length: 40 }, async (_, i) => await store.get(configMaps, `a-${i}`, 'default')));
    await eventually('all watches', () => all.every((it) => it.health.length === 1));
    assert.equal(rig.opened, 1);
  });

  test('that answers no ping is given up with all its watches, which go on over another one', async () => {
    const proxy = await tcpProxy({ host: '127.0.0.1', port: rig.port });
    const store = rig.store({ pingMilliseconds: 20, pongMilliseconds: 60 }, proxy.port);
    const both = [watch(store), watch(store)];
    await eventually('watches', () => both.every((it) => it.health.length === 1));
    proxy.swallow(true);
    await eventually('the failure', () => both.every((it) => it.health.at(-1) === 'API_UNREACHABLE'));
    assert.match(both[0]?.sentences[0] ?? '', /a ping was not answered/);
    proxy.swallow(false);
    await eventually('health', () => both.every((it) => it.health.at(-1) === undefined));
    await store.close();
    await proxy.stop();
  });

  test('that answers pings and says nothing else stays', async () => {
    let pings = 0;
    rig.server.on('session', (session: ServerHttp2Session) => session.on('ping', () => (pings += 1)));
    const watched = watch(rig.store({ pingMilliseconds: 10, pongMilliseconds: 2000 }));
    await eventually('pings', () => pings > 4);
    assert.deepEqual([watched.health, rig.opened], [[undefined], 1]);
  });

  test('on which nothing runs any more is closed', async () => {
    const store = rig.store({ pingMilliseconds: 10 });
    await store.get(configMaps, 'one', 'default');
    await eventually('the end of it', () => rig.opened === 1 && rig.sessions.size === 0);
    await store.get(configMaps, 'one', 'default');
    assert.equal(rig.opened, 2);
  });

  test('whose server takes its leave keeps its watches until they end, and what is new goes elsewhere', async () => {
    const store = rig.store({ pingMilliseconds: 10 });
    const watched = watch(store);
    await eventually('the watch', () => watched.health.length === 1);
    const [first] = rig.sessions;
    first?.close();
    await eventually('another connection', () => {
      void store.get(configMaps, 'one', 'default');
      return rig.opened > 1;
    });
    // It cannot be asked for a sign of life any more, and is not given up for that.
    let pings = 0;
    for (const session of rig.sessions) session.on('ping', () => (pings += 1));
    const other = watch(store);
    await eventually('pings on the other one', () => pings > 4);
    await other.watching.stop();
    assert.deepEqual([watched.health, watches(), first?.destroyed], [[undefined], 4, false]);
    await watched.watching.stop();
    await eventually('the end of the first', () => first?.destroyed === true);
  });

  test('that is full gets another one beside it', async () => {
    const small = await new Rig({ maxConcurrentStreams: 3 }).listen();
    const store = small.store();
    const all = Array.from({ length: 7 }, () => watch(store));
    await eventually('all watches', () => all.every((it) => it.health.length === 1));
    await store.get(configMaps, 'one', 'default');
    assert.equal(small.opened, 3);
    await small.close();
  });

  test('that ends as soon as it stands is an error, and not tried for ever', async () => {
    rig.server.on('session', (session) => session.close());
    await assert.rejects(rig.store().get(configMaps, 'one', 'default'), failsWith('API_UNREACHABLE'));
    assert.ok(rig.opened <= 20, String(rig.opened));
  });

  test('without an end of its beginning is given up', async () => {
    const proxy = await tcpProxy({ host: '127.0.0.1', port: rig.port });
    proxy.swallow(true);
    const store = rig.store({ connectMilliseconds: 50 }, proxy.port);
    await assert.rejects(
      store.create(configMaps, { metadata: { name: 'one', namespace: 'default' } }),
      (error) =>
        failsWith('API_UNREACHABLE', /no connection within/)(error) && !Reflect.get(Object(error), 'maybeDone'),
    );
    await store.close();
    await proxy.stop();
  });
});

describe('a stream', () => {
  test('that the server refused to look at is sent again, a write as well', async () => {
    let refusals = 2;
    rig.before = (stream) => {
      if (refusals-- <= 0) return false;
      stream.on('error', () => undefined);
      stream.close(7);
      return true;
    };
    await rig.store().create(configMaps, { metadata: { name: 'one', namespace: 'default' } });
    assert.equal(rig.asked.length, 3);
  });

  test('that ends in the middle of an answer is no answer', async () => {
    rig.before = (stream) => {
      stream.on('error', () => undefined);
      stream.respond(json);
      stream.write('{"metadata":{"na', () => stream.session?.destroy());
      return true;
    };
    await assert.rejects(
      rig.store().create(configMaps, { metadata: { name: 'one', namespace: 'default' } }),
      (error) => failsWith('API_UNREACHABLE')(error) && Reflect.get(Object(error), 'maybeDone') === true,
    );
  });

  test('of a watch that is stopped is told to the server', async () => {
    const ended: number[] = [];
    rig.server.on('stream', (stream) => stream.on('close', () => ended.push(stream.rstCode ?? 0)));
    const watched = watch(rig.store());
    await eventually('the watch', () => watched.health.length === 1);
    await watched.watching.stop();
    await eventually('its end', () => ended.length === 2);
    assert.equal(rig.sessions.size, 1);
  });
});

describe('the version of HTTP', () => {
  const folder = mkdtempSync(join(tmpdir(), 'flatroute-http2-'));
  after(() => rmSync(folder, { recursive: true }));

  let authority: CertificateAuthority;
  let tls: { readonly cert: Buffer; readonly key: Buffer };
  before(async () => {
    authority = await CertificateAuthority.create(folder);
    const { certificate, key } = await authority.issueServer('server', ['127.0.0.1']);
    tls = { cert: readFileSync(certificate), key: readFileSync(key) };
  });

  test('is what a server agrees to', async () => {
    const versions: string[] = [];
    const answer = (request: { readonly httpVersion: string }, response: { end(text: string): unknown }): void => {
      versions.push(request.httpVersion);
      response.end(one);
    };
    const servers = [
      createSecureServer({ ...tls, allowHTTP1: true }, answer),
      createSecureServer(tls, answer),
      createTlsServer(tls, answer),
    ];
    for (const server of servers) {
      await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
      const kubeconfig = join(folder, 'kubeconfig');
      const config = {
        clusters: [
          {
            name: 'c',
            cluster: {
              server: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
              'certificate-authority': authority.certificate,
            },
          },
        ],
        users: [{ name: 'u', user: { token: 'abc' } }],
        contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
        'current-context': 'x',
      };
      writeFileSync(kubeconfig, JSON.stringify(config));
      const store = apiStore({ access: await kubernetesAccess(kubeconfig), userAgent: 'flatroute-test/0' });
      await store.get(configMaps, 'one', 'default');
      await store.get(configMaps, 'one', 'default');
      await store.close();
      await new Promise((resolve) => server.close(resolve));
    }
    assert.deepEqual(versions, ['2.0', '2.0', '2.0', '2.0', '1.1', '1.1']);
  });

  test('is not asked of a server whose certificate is another’s', async () => {
    const connections = tlsConnections({});
    const server = createSecureServer(tls);
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    const access = plainAccess(`https://127.0.0.1:${(server.address() as AddressInfo).port}`, {}, connections);
    const store = apiStore({ access, userAgent: 'flatroute-test/0' });
    await assert.rejects(store.get(configMaps, 'one', 'default'), failsWith('API_UNREACHABLE', /certificate/));
    await store.close();
    await new Promise((resolve) => server.close(resolve));
  });
});
