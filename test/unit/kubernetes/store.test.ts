// The contract of the store, against the fake API server; test/kube runs it against the real one.
import { after, before } from 'node:test';
import type { FakeApi } from '../../support/kubernetes/fake-api.ts';
import { fakeApi } from '../../support/kubernetes/fake-api.ts';
import { configMaps, storeContract } from '../../support/kubernetes/store-contract.ts';
import type { ApiStore } from '#kubernetes/io/client.ts';

let api: FakeApi;
let store: ApiStore;

before(async () => {
  api = await fakeApi([configMaps]);
  store = api.store();
});
after(() => api.close());

storeContract(() => ({ store }));
