/** Many pods at once: Kubernetes' own pace, and no two of them with one address. */
import assert from 'node:assert/strict';
import { seconds } from '#lib/time.ts';
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import { deployment } from '#lab/kubernetes/workloads.ts';
import { found, notYet } from '#lab/wait.ts';
import { print } from './world.ts';

const PODS = 100;

export async function burst(cluster: Cluster): Promise<void> {
  const began = performance.now();
  const took = (): string => `${((performance.now() - began) / 1000).toFixed(1)} s`;
  await cluster.apply(deployment({ name: 'burst', replicas: PODS }));
  const pods = await cluster.podsReady('default', 'app=burst', PODS, seconds(480));
  print(`${PODS} pods ready ${took()} after their Deployment was made`);
  const addresses = pods.flatMap(({ status }) => (status.podIPs ?? []).map(({ ip }) => ip));
  assert.equal(new Set(addresses).size, 2 * PODS);
  await cluster.plane.run(['delete', 'deployment', 'burst', '--wait=false']);
  await cluster.until(
    'the pods to be gone',
    async () => {
      const left = await cluster.pods('default', 'app=burst');
      return left.length === 0 ? found(undefined) : notYet(`${left.length} are there`);
    },
    seconds(480),
  );
  print(`all gone ${took()} after it was made`);
}
