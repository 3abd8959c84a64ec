// The contract of the store, against the fake API server; test/kube/store.test.ts runs it against the real one.
import { plainAccess } from '#kubernetes/io/access.ts';
import { clusterTypes } from '../../support/kubernetes/cluster-types.ts';
import { fakeApi } from '../../support/kubernetes/fake-api.ts';
import { configMaps, storeContract } from '../../support/kubernetes/store-contract.ts';

storeContract(async () => {
  const api = await fakeApi([...clusterTypes, configMaps]);
  api.misfortune = ({ headers }) =>
    headers['authorization'] === 'stranger' ? { status: 403, reason: 'Forbidden', message: 'forbidden' } : undefined;
  return {
    access: () => Promise.resolve(api.access()),
    stranger: () => Promise.resolve(plainAccess(api.url, { authorization: 'stranger' })),
    restart: async () => {
      await api.stop();
      api.objects.compact();
      await api.start();
    },
    close: () => api.close(),
  };
});
