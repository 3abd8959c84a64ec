// The client against a real API server, by the same contract as against the fake one.
import { kubernetesAccess } from '#kubernetes/io/access.ts';
import { storeContract } from '../support/kubernetes/store-contract.ts';
import { apiServer } from './support.ts';

storeContract(async () => {
  const plane = await apiServer();
  return {
    access: async () => await kubernetesAccess(await plane.kubeconfig('contract-admin', ['system:masters'])),
    stranger: async () => await kubernetesAccess(await plane.kubeconfig('contract-stranger')),
    restart: async () => {
      await plane.stopApiServer();
      await plane.startApiServer();
    },
    close: () => Promise.resolve(),
  };
});
