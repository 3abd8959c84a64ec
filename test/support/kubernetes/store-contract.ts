// What every API server does for the client: run against the fake one (test/unit/kubernetes) and the real one (test/kube).
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { seconds } from '#lib/time.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { bgpPeer } from '#resources/bgp-peer.ts';
import { ipBlock } from '#resources/ip-block.ts';
import type { Access } from '#kubernetes/io/access.ts';
import { apiStore } from '#kubernetes/io/client.ts';
import type { ApiStore, ClientTuning } from '#kubernetes/io/client.ts';
import { ApiError } from '#kubernetes/store.ts';
import type { ApiCode, ApiObject, ResourceType, Selection, WatchOptions, Watching } from '#kubernetes/store.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import { tcpProxy } from './tcp-proxy.ts';
import type { TcpProxy } from './tcp-proxy.ts';

const core = (kind: string, namespaced: boolean): ResourceType => ({
  group: '',
  version: 'v1',
  plural: `${kind.toLowerCase()}s`,
  kind,
  namespaced,
});
export const configMaps = core('ConfigMap', true);
const namespaces = core('Namespace', false);
const peers = typeOf(bgpPeer);
const blocks = typeOf(ipBlock);

export interface ContractSubject {
  /** Of somebody who may do everything. */
  readonly access: () => Promise<Access>;
  /** Of somebody who may do nothing. */
  readonly stranger: () => Promise<Access>;
  /** The server ends and begins again; watches from before this cannot go on where they were. */
  readonly restart: () => Promise<void>;
  /** The same server may serve another contract: its objects are gone, or it is. */
  readonly close: () => Promise<void>;
}

const namespace = 'contract';

export const failsWith =
  (code: ApiCode, words?: RegExp) =>
  (error: unknown): true => {
    assert.ok(error instanceof ApiError, String(error));
    assert.equal(error.code, code, error.message);
    if (words !== undefined) assert.match(error.message, words);
    return true;
  };

const configMap = (
  name: string,
  data: Record<string, string> = {},
  labels: Record<string, string> = {},
): ApiObject => ({
  metadata: { name, namespace, labels },
  data,
});

/** A watch whose calls are remembered. */
class Watched {
  readonly seen: { readonly objects: Readonly<Record<string, string>>; readonly keys: readonly string[] }[] = [];
  readonly health: (ApiCode | undefined)[] = [];
  readonly watching: Watching;

  constructor(store: ApiStore, type: ResourceType, selection: Selection, keep?: WatchOptions<string>['keep']) {
    this.watching = store.watch(type, {
      selection,
      keep: keep ?? ((object) => (object['data'] as { readonly n?: string } | undefined)?.n ?? ''),
      changed: (objects, keys) => void this.seen.push({ objects: Object.fromEntries(objects), keys: [...keys] }),
      health: (error) => void this.health.push(error?.code),
    });
  }

  async until(objects: Readonly<Record<string, string>>): Promise<void> {
    const text = (it: object | undefined): string =>
      JSON.stringify(Object.entries(it ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)));
    await waitFor(
      `a watch that holds ${text(objects)}`,
      () => {
        const last = this.seen.at(-1)?.objects;
        return Promise.resolve(last !== undefined && text(last) === text(objects) ? found(true) : notYet(text(last)));
      },
      { deadline: seconds(60) },
    );
  }
}

export function storeContract(title: string, open: () => Promise<ContractSubject>): void {
  describe(title, () => contract(open));
}

function contract(open: () => Promise<ContractSubject>): void {
  let subject: ContractSubject;
  const stores: ApiStore[] = [];
  const requests: string[] = [];
  let store: ApiStore;
  let proxy: TcpProxy;
  let proxied: ApiStore;

  const storeOf = (access: Access, tuning: Partial<ClientTuning> = {}): ApiStore => {
    const made = apiStore({
      access,
      userAgent: 'flatroute-test/0',
      onRequest: (verb, code) => void requests.push(`${verb} ${code}`),
      tuning: { firstPauseMilliseconds: 50, longestPauseMilliseconds: 500, ...tuning },
    });
    stores.push(made);
    return made;
  };

  before(async () => {
    subject = await open();
    const { access } = subject;
    const direct = await access();
    store = storeOf(direct);
    const { hostname, port } = direct.server;
    proxy = await tcpProxy({ host: hostname, port: Number(port) });
    proxied = storeOf(at(proxy.port, await access()));
    if ((await store.get(namespaces, namespace)) === undefined)
      await store.create(namespaces, { metadata: { name: namespace } });
  });
  after(async () => {
    await Promise.all(stores.map((it) => it.close()));
    await proxy.stop();
    await subject.close();
  });

  /** The same server through another port. */
  const at = (port: number, access: Access): Access => {
    const server = new URL(access.server);
    server.port = String(port);
    return { ...access, server };
  };
  const create = (name: string, n: string, label: string): Promise<ApiObject> =>
    store.create(configMaps, configMap(name, { n }, { test: label }));
  const remove = (name: string): Promise<'removed' | 'absent'> => store.remove(configMaps, name, { namespace });
  const labelled = (test: string): Selection => ({ namespace, labelSelector: `test=${test}` });

  describe('objects', () => {
    test('an object is made, read, replaced, patched and removed', async () => {
      const made = await store.create(configMaps, configMap('one', { a: '1' }));
      assert.ok(made.metadata.uid !== undefined && made.metadata.resourceVersion !== undefined);
      assert.deepEqual([made.kind, made.apiVersion], ['ConfigMap', 'v1']);
      const replaced = await store.replace(configMaps, { ...made, data: { a: '2' } });
      assert.notEqual(replaced.metadata.resourceVersion, made.metadata.resourceVersion);
      const patched = await store.patch(configMaps, 'one', { data: { a: null, b: '4' } }, { namespace });
      assert.deepEqual(patched['data'], { b: '4' });
      assert.deepEqual((await store.get(configMaps, 'one', namespace))?.['data'], { b: '4' });
      assert.equal(await remove('one'), 'removed');
      assert.equal(await store.get(configMaps, 'one', namespace), undefined);
      assert.equal(await remove('one'), 'absent');
    });

    test('a write of a state that is no longer the newest is a conflict, and one without a version is not', async () => {
      const made = await create('versions', '1', 'versions');
      await store.replace(configMaps, { ...made, data: { n: '2' } });
      await assert.rejects(store.replace(configMaps, { ...made, data: { n: '3' } }), failsWith('API_CONFLICT'));
      const stale = { metadata: { resourceVersion: made.metadata.resourceVersion }, data: { n: '3' } };
      await assert.rejects(store.patch(configMaps, 'versions', stale, { namespace }), failsWith('API_CONFLICT'));
      await store.replace(configMaps, configMap('versions', { n: '4' }));
      assert.deepEqual((await store.get(configMaps, 'versions', namespace))?.['data'], { n: '4' });
    });

    test('a removal of another object of the name, or of an older state, is a conflict', async () => {
      const first = await create('removal', '1', 'removal');
      const { uid, resourceVersion } = first.metadata;
      assert.ok(uid !== undefined && resourceVersion !== undefined);
      await store.patch(configMaps, 'removal', { data: { n: '2' } }, { namespace });
      const older = store.remove(configMaps, 'removal', { namespace, resourceVersion });
      await assert.rejects(older, failsWith('API_CONFLICT'));
      await remove('removal');
      await create('removal', '1', 'removal');
      await assert.rejects(store.remove(configMaps, 'removal', { namespace, uid }), failsWith('API_CONFLICT'));
      assert.ok((await store.get(configMaps, 'removal', namespace)) !== undefined);
    });

    test('a second object of one name is told apart from other conflicts', async () => {
      await create('twice', '1', 'twice');
      await assert.rejects(create('twice', '2', 'twice'), failsWith('API_ALREADY_EXISTS'));
    });

    test('an object that the server refuses is an error with its sentence, naming the field', async () => {
      const wrong = { metadata: { name: 'wrong' }, spec: { peerIP: '192.0.2.1', asNumber: 0 } };
      await assert.rejects(store.create(peers, wrong), failsWith('API_INVALID', /asNumber/));
    });

    test('what is not there is an error where it has to be', async () => {
      await assert.rejects(store.patch(configMaps, 'nothing', { data: {} }, { namespace }), failsWith('API_NOT_FOUND'));
      await assert.rejects(store.list({ ...peers, plural: 'nokinds' }), failsWith('API_NOT_FOUND'));
    });

    test('who may do nothing is told so', async () => {
      const stranger = storeOf(await subject.stranger());
      await assert.rejects(stranger.list(configMaps, { namespace }), failsWith('API_FORBIDDEN'));
    });

    test('a status is written apart from the spec, and only the spec has generations', async () => {
      const made = await store.create(peers, {
        metadata: { name: 'status' },
        spec: { peerIP: '192.0.2.1', asNumber: 65_001 },
        status: { conditions: [] },
      });
      assert.deepEqual([made.metadata.generation, made['status']], [1, undefined]);
      const status = { conditions: [] };
      const withStatus = await store.replace(
        peers,
        { ...made, spec: { peerIP: '192.0.2.2', asNumber: 65_001 }, status },
        'status',
      );
      assert.equal(withStatus.metadata.generation, 1);
      assert.deepEqual(withStatus['status'], status);
      assert.equal((withStatus['spec'] as { peerIP: string }).peerIP, '192.0.2.1');
      const changed = await store.patch(peers, 'status', { spec: { asNumber: 65_002 }, status: null });
      assert.equal(changed.metadata.generation, 2);
      assert.deepEqual(changed['status'], status);
      await store.remove(peers, 'status');
    });

    test('a finalizer holds an object that is to go until it is taken off', async () => {
      const made = await store.create(configMaps, {
        metadata: { name: 'held', namespace, finalizers: ['flatroute.io/test'] },
      });
      assert.equal(await remove('held'), 'removed');
      const dying = await store.get(configMaps, 'held', namespace);
      assert.ok(dying?.metadata.deletionTimestamp !== undefined);
      assert.equal(dying.metadata.uid, made.metadata.uid);
      await store.patch(configMaps, 'held', { metadata: { finalizers: [] } }, { namespace });
      assert.equal(await store.get(configMaps, 'held', namespace), undefined);
    });
  });

  describe('lists', () => {
    test('1200 objects come in three pages, each once', async () => {
      for (let i = 0; i < 1200; i += 50) {
        const names = Array.from({ length: 50 }, (_, k) => `page-${i + k}`);
        await Promise.all(names.map((name) => create(name, '1', 'pages')));
      }
      requests.length = 0;
      const listed = await store.list(configMaps, labelled('pages'));
      assert.equal(new Set(listed.map((it) => it.metadata.name)).size, 1200);
      assert.equal(listed.length, 1200);
      assert.ok(listed.every((it) => it.kind === 'ConfigMap'));
      assert.deepEqual(requests, ['list 200', 'list 200', 'list 200']);
      requests.length = 0;
      assert.equal((await store.list(configMaps, { ...labelled('pages'), atMost: 11 })).length, 11);
      assert.deepEqual(requests, ['list 200']);
    });

    test('a watch begins with all pages of 1200 objects, in one call', async () => {
      const watched = new Watched(store, configMaps, labelled('pages'));
      await waitFor('1200 objects', () => Promise.resolve(watched.seen.length > 0 ? found(true) : notYet('none')), {
        deadline: seconds(60),
      });
      assert.deepEqual([watched.seen.length, watched.seen[0]?.keys.length], [1, 1200]);
      await watched.watching.stop();
    });

    test('fields and labels select', async () => {
      const claim = (name: string, cidr: string, node: string): Promise<ApiObject> =>
        store.create(blocks, { metadata: { name, labels: { node } }, spec: { cidr, node } });
      await claim('ipv4-0a3c0100-26', '10.60.1.0/26', 'node-1');
      await claim('ipv4-0a3c0200-26', '10.60.2.0/26', 'node-2');
      const names = async (selection: Selection): Promise<string[]> =>
        (await store.list(blocks, selection)).map((it) => it.metadata.name);
      assert.deepEqual(await names({ fieldSelector: 'spec.node=node-1' }), ['ipv4-0a3c0100-26']);
      assert.deepEqual(await names({ name: 'ipv4-0a3c0200-26' }), ['ipv4-0a3c0200-26']);
      const spec = { cidr: '10.60.32.0/26', node: 'node-3', area: '0a3c2' };
      await store.create(blocks, { metadata: { name: 'ipv4-0a3c2000-26', labels: { node: 'node-3' } }, spec });
      assert.deepEqual(await names({ fieldSelector: 'spec.area=0a3c2' }), ['ipv4-0a3c2000-26']);
      assert.deepEqual(await names({ fieldSelector: 'spec.area=' }), ['ipv4-0a3c0100-26', 'ipv4-0a3c0200-26']);
      assert.deepEqual(await names({ labelSelector: 'node in (node-2)' }), ['ipv4-0a3c0200-26']);
      assert.deepEqual(await names({ labelSelector: '!node' }), []);
      await assert.rejects(store.list(blocks, { fieldSelector: 'spec.cidr=x' }), failsWith('API_INVALID'));
    });

    test('a list of metadata has nothing else', async () => {
      await create('bare', 'secret', 'bare');
      const [it] = await store.list(configMaps, { ...labelled('bare'), metadataOnly: true });
      assert.deepEqual([it?.kind, it?.metadata.name, it?.['data']], ['ConfigMap', 'bare', undefined]);
    });
  });

  describe('counting', () => {
    test('objects are counted without being read', async () => {
      const before = await store.count(configMaps);
      for (const name of ['count-a', 'count-b', 'count-c']) await store.create(configMaps, configMap(name));
      assert.equal(await store.count(configMaps), before + 3);
      for (const name of ['count-a', 'count-b', 'count-c']) await store.remove(configMaps, name, { namespace });
      assert.equal(await store.count(configMaps), before);
    });
  });

  describe('watching', () => {
    test('a watch tells what is there, then what changes, and nothing after stop', async () => {
      await create('watched-a', '1', 'watched');
      const watched = new Watched(store, configMaps, labelled('watched'));
      await watched.until({ 'contract/watched-a': '1' });
      await create('watched-b', '2', 'watched');
      await watched.until({ 'contract/watched-a': '1', 'contract/watched-b': '2' });
      await remove('watched-a');
      await watched.until({ 'contract/watched-b': '2' });
      assert.deepEqual(watched.seen.at(-1)?.keys, ['contract/watched-a']);
      assert.deepEqual(watched.health, [undefined]);
      await watched.watching.stop();
      const before = watched.seen.length;
      await remove('watched-b');
      await store.list(configMaps, labelled('watched'));
      assert.equal(watched.seen.length, before);
    });

    test('an object that begins or ceases to be selected comes and goes', async () => {
      const watched = new Watched(store, configMaps, labelled('mover'));
      await create('mover', '1', 'elsewhere');
      await store.patch(configMaps, 'mover', { metadata: { labels: { test: 'mover' } } }, { namespace });
      await watched.until({ 'contract/mover': '1' });
      await store.patch(configMaps, 'mover', { metadata: { labels: { test: 'elsewhere' } } }, { namespace });
      await watched.until({});
      await watched.watching.stop();
    });

    test('own blocks are watched by their node, and one object by its name', async () => {
      const keep = (object: ApiObject): string => (object['spec'] as { readonly cidr: string }).cidr;
      const own = new Watched(store, blocks, { fieldSelector: 'spec.node=node-7' }, keep);
      const claim = (name: string, cidr: string, node: string): Promise<ApiObject> =>
        store.create(blocks, { metadata: { name }, spec: { cidr, node } });
      const one = new Watched(store, blocks, { name: 'ipv4-0a3c0400-26' }, keep);
      await claim('ipv4-0a3c0300-26', '10.60.3.0/26', 'node-7');
      await claim('ipv4-0a3c0400-26', '10.60.4.0/26', 'node-8');
      await own.until({ 'ipv4-0a3c0300-26': '10.60.3.0/26' });
      await one.until({ 'ipv4-0a3c0400-26': '10.60.4.0/26' });
      await Promise.all([own.watching.stop(), one.watching.stop()]);
    });

    test('a watch of metadata has nothing else, and tells of changes of the rest', async () => {
      await create('outline', '1', 'outline');
      const keep = (object: ApiObject): string =>
        `${object.kind} ${String(object['data'])} ${object.metadata.labels?.['more'] ?? ''}`;
      const watched = new Watched(store, configMaps, { ...labelled('outline'), metadataOnly: true }, keep);
      await watched.until({ 'contract/outline': 'ConfigMap undefined ' });
      await store.patch(configMaps, 'outline', { metadata: { labels: { more: 'x' } } }, { namespace });
      await watched.until({ 'contract/outline': 'ConfigMap undefined x' });
      await watched.watching.stop();
    });

    test('a watch that the server ends goes on where it was, without a list', async () => {
      const short = storeOf(await subject.access(), { watchSeconds: 1 });
      const watched = new Watched(short, configMaps, labelled('ended'));
      await waitFor('a watch', () => Promise.resolve(watched.health.length > 0 ? found(true) : notYet('')), {
        deadline: seconds(30),
      });
      requests.length = 0;
      const again = (): boolean => requests.includes('watch 200');
      await waitFor('the next watch', () => Promise.resolve(again() ? found(true) : notYet(requests.join())), {
        deadline: seconds(30),
      });
      await create('ended', '1', 'ended');
      await watched.until({ 'contract/ended': '1' });
      assert.ok(!requests.some((it) => it.startsWith('list')));
      assert.deepEqual(watched.health, [undefined]);
      await watched.watching.stop();
    });

    test('a connection that is cut loses nothing, and needs no list', async () => {
      const watched = new Watched(proxied, configMaps, labelled('cut'));
      await watched.until({});
      requests.length = 0;
      proxy.close();
      await create('cut-a', '1', 'cut');
      await create('cut-b', '1', 'cut');
      await remove('cut-a');
      proxy.open();
      await watched.until({ 'contract/cut-b': '1' });
      assert.ok(!requests.some((it) => it.startsWith('list')));
      assert.ok(watched.health.includes('API_UNREACHABLE'));
      assert.equal(watched.health.at(-1), undefined);
      await watched.watching.stop();
    });

    test('a connection that is silently dead is given up, and a new one finds what changed', async () => {
      const impatient = storeOf(at(proxy.port, await subject.access()), { idleMilliseconds: 300 });
      const watched = new Watched(impatient, configMaps, labelled('dead'));
      await watched.until({});
      proxy.swallow(true);
      await create('dead', '1', 'dead');
      await waitFor(
        'the failure',
        () => Promise.resolve(watched.health.includes('API_UNREACHABLE') ? found(true) : notYet('')),
        {
          deadline: seconds(30),
        },
      );
      proxy.swallow(false);
      proxy.cut();
      await watched.until({ 'contract/dead': '1' });
      await watched.watching.stop();
    });

    test('what was removed and made while the server could not be followed is told after the list', async () => {
      await create('gap-a', '1', 'gap');
      await create('gap-b', '1', 'gap');
      const watched = new Watched(proxied, configMaps, labelled('gap'));
      await watched.until({ 'contract/gap-a': '1', 'contract/gap-b': '1' });
      proxy.close();
      await remove('gap-a');
      await create('gap-c', '1', 'gap');
      await subject.restart();
      requests.length = 0;
      proxy.open();
      await watched.until({ 'contract/gap-b': '1', 'contract/gap-c': '1' });
      assert.ok(
        requests.some((it) => it.startsWith('list')),
        requests.join(),
      );
      assert.deepEqual([...(watched.seen.at(-1)?.keys ?? [])].sort(), ['contract/gap-a', 'contract/gap-c']);
      await watched.watching.stop();
    });
  });

  describe('answers that are lost', () => {
    test('a write that happened and was not answered is marked so, and a read is tried again', async () => {
      await proxied.get(configMaps, 'nothing', namespace);
      proxy.loseNextAnswer();
      await assert.rejects(proxied.create(configMaps, configMap('lost', { n: '1' })), (error) => {
        failsWith('API_UNREACHABLE')(error);
        assert.ok(error instanceof ApiError && error.maybeDone);
        return true;
      });
      await waitFor(
        'the object',
        async () => ((await store.get(configMaps, 'lost', namespace)) === undefined ? notYet('') : found(true)),
        { deadline: seconds(30) },
      );
      await proxied.get(configMaps, 'lost', namespace);
      proxy.loseNextAnswer();
      assert.deepEqual((await proxied.get(configMaps, 'lost', namespace))?.['data'], { n: '1' });
    });

    test('a write that never left is not', async () => {
      const closed = await tcpProxy({ host: '127.0.0.1', port: proxy.port });
      await closed.stop();
      const nowhere = storeOf(at(closed.port, await subject.access()));
      await assert.rejects(nowhere.create(configMaps, configMap('never')), (error) => {
        failsWith('API_UNREACHABLE')(error);
        assert.ok(error instanceof ApiError && !error.maybeDone);
        return true;
      });
    });
  });
}
