// The contract of the store, against the fake API server; test/kube/store.test.ts runs it against the real one.
import { plainAccess } from '#kubernetes/io/access.ts';
import { http1Connections, plainHttp2Connections } from '#kubernetes/io/connections.ts';
import { clusterTypes } from '../../support/kubernetes/cluster-types.ts';
import { fakeApi } from '../../support/kubernetes/fake-api.ts';
import { configMaps, storeContract } from '../../support/kubernetes/store-contract.ts';

for (const http of [1, 2] as const)
  storeContract(`a store over HTTP/${http}`, async () => {
    const api = await fakeApi([...clusterTypes, configMaps], 0, http);
    const connections = http === 1 ? http1Connections : plainHttp2Connections;
    api.misfortune = ({ headers }) =>
      headers['authorization'] === 'stranger' ? { status: 403, reason: 'Forbidden', message: 'forbidden' } : undefined;
    return {
      access: () => Promise.resolve(api.access()),
      stranger: () => Promise.resolve(plainAccess(api.url, { authorization: 'stranger' }, connections())),
      restart: async () => {
        await api.stop();
        api.objects.compact();
        await api.start();
      },
      close: () => api.close(),
    };
  });
