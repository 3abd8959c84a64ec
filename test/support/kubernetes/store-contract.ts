// What every API server does for the client: run against the fake one (test/unit/kubernetes) and the real one (test/kube).
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { seconds } from '#lib/time.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { ApiError } from '#kubernetes/store.ts';
import type { ApiCode, ApiObject, ResourceStore, ResourceType } from '#kubernetes/store.ts';

export const configMaps: ResourceType = {
  group: '',
  version: 'v1',
  plural: 'configmaps',
  kind: 'ConfigMap',
  namespaced: true,
};

export interface ContractSubject {
  readonly store: ResourceStore;
}

const namespace = 'default';

export const failsWith = (code: ApiCode) => (error: unknown) => {
  assert.ok(error instanceof ApiError, String(error));
  assert.equal(error.code, code, error.message);
  return true;
};

const configMap = (
  name: string,
  data: Record<string, string> = {},
  labels: Record<string, string> = {},
): ApiObject => ({
  metadata: { name, namespace, labels: { contract: 'yes', ...labels } },
  data,
});

export function storeContract(subject: () => ContractSubject): void {
  describe('objects', () => {
    test('an object is made, read, replaced, patched and removed', async () => {
      const { store } = subject();
      const made = await store.create(configMaps, configMap('one', { a: '1' }));
      assert.ok(made.metadata.uid !== undefined && made.metadata.resourceVersion !== undefined);
      assert.equal(made.kind, 'ConfigMap');
      const replaced = await store.replace(configMaps, { ...made, data: { a: '2' } });
      assert.notEqual(replaced.metadata.resourceVersion, made.metadata.resourceVersion);
      await assert.rejects(store.replace(configMaps, { ...made, data: { a: '3' } }), failsWith('API_CONFLICT'));
      const patched = await store.patch(configMaps, 'one', { data: { a: null, b: '4' } }, { namespace });
      assert.deepEqual(patched['data'], { b: '4' });
      assert.deepEqual((await store.get(configMaps, 'one', namespace))?.['data'], { b: '4' });
      await assert.rejects(store.create(configMaps, configMap('one')), failsWith('API_ALREADY_EXISTS'));
      assert.equal(await store.remove(configMaps, 'one', { namespace }), 'removed');
      assert.equal(await store.get(configMaps, 'one', namespace), undefined);
      assert.equal(await store.remove(configMaps, 'one', { namespace }), 'absent');
    });
  });

  describe('watching', () => {
    test('a watch tells what is there, then what changes, and nothing after stop', async () => {
      const { store } = subject();
      await store.create(configMaps, configMap('watched-a', { n: '1' }));
      const seen: { readonly objects: Record<string, unknown>; readonly keys: readonly string[] }[] = [];
      const watching = store.watch(configMaps, {
        selection: { namespace, labelSelector: 'contract=yes' },
        keep: (object) => (object['data'] as { n: string }).n,
        changed: (objects, keys) => void seen.push({ objects: Object.fromEntries(objects), keys: [...keys] }),
      });
      const settled = (objects: Record<string, string>): Promise<unknown> =>
        waitFor(
          JSON.stringify(objects),
          () => {
            const last = seen.at(-1)?.objects;
            return Promise.resolve(
              JSON.stringify(last) === JSON.stringify(objects) ? found(true) : notYet(JSON.stringify(last)),
            );
          },
          { deadline: seconds(20) },
        );
      await settled({ 'default/watched-a': '1' });
      await store.create(configMaps, configMap('watched-b', { n: '2' }));
      await settled({ 'default/watched-a': '1', 'default/watched-b': '2' });
      await store.remove(configMaps, 'watched-a', { namespace });
      await settled({ 'default/watched-b': '2' });
      assert.deepEqual(seen.at(-1)?.keys, ['default/watched-a']);
      await watching.stop();
      const before = seen.length;
      await store.remove(configMaps, 'watched-b', { namespace });
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(seen.length, before);
    });
  });
}
