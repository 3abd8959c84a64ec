// The client against a real API server, by the same contract as against the fake one, over both versions of HTTP.
import { Agent as HttpsAgent } from 'node:https';
import { kubernetesAccess } from '#kubernetes/io/access.ts';
import { http1Connections, tlsConnections } from '#kubernetes/io/connections.ts';
import { http1Pool } from '#kubernetes/io/http1.ts';
import { storeContract } from '../support/kubernetes/store-contract.ts';
import { apiServer } from './support.ts';

const versions = {
  'HTTP/2': tlsConnections,
  'HTTP/1': (tls: Parameters<typeof tlsConnections>[0]) => http1Connections(new HttpsAgent({ ...http1Pool, ...tls })),
};

for (const [version, overTls] of Object.entries(versions))
  storeContract(`a store over ${version}`, async () => {
    const plane = await apiServer();
    return {
      access: async () => await kubernetesAccess(await plane.kubeconfig('contract-admin', ['system:masters']), overTls),
      stranger: async () => await kubernetesAccess(await plane.kubeconfig('contract-stranger'), overTls),
      restart: async () => {
        await plane.stopApiServer();
        await plane.startApiServer();
      },
      close: async () => {
        await plane.run(['delete', 'configmaps', '--all', '-n', 'contract', '--wait=false']);
        await plane.run(['delete', 'ipblocks,bgppeers', '--all']);
      },
    };
  });
