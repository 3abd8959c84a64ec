// Preloaded into the agent (`--import`): on SIGUSR2 its main thread opens a watch of all EndpointSlices with flatroute's own
// client, as the agent does it for the kinds that it reads, keeps of each what a Service needs, and writes when it was complete to the file that
// FLATROUTE_BENCH_LIST names. FLATROUTE_BENCH_KUBECONFIG says how to reach the API.
import { appendFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const file = process.env.FLATROUTE_BENCH_LIST;
const kubeconfig = process.env.FLATROUTE_BENCH_KUBECONFIG;

const kept = ({ metadata, endpoints, ports }) => ({
  service: metadata.labels?.['kubernetes.io/service-name'],
  ports,
  addresses: (endpoints ?? []).filter((one) => one.conditions?.ready !== false).flatMap((one) => one.addresses),
});

async function list() {
  const { apiStore } = await import('../../../src/kubernetes/io/client.ts');
  const { kubernetesAccess } = await import('../../../src/kubernetes/io/access.ts');
  const store = apiStore({ access: await kubernetesAccess(kubeconfig), userAgent: 'flatroute-bench-list' });
  appendFileSync(file, `began ${Date.now()}\n`);
  store.watch(
    { group: 'discovery.k8s.io', version: 'v1', plural: 'endpointslices', kind: 'EndpointSlice', namespaced: true },
    {
      keep: kept,
      changed: (objects) => {
        let addresses = 0;
        for (const one of objects.values()) addresses += one.addresses.length;
        appendFileSync(file, `listed ${Date.now()} ${addresses}\n`);
      },
      health: (error) => error !== undefined && appendFileSync(file, `failed ${error.message}\n`),
    },
  );
}

if (isMainThread && file !== undefined && kubeconfig !== undefined) process.once('SIGUSR2', () => void list());
