/** flatroute in a bare cluster, from deploy/ as docs/kubernetes.md has it. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Cluster } from '#lab/kubernetes/cluster.ts';

export async function installDefinitions(cluster: Cluster): Promise<void> {
  const how = existsSync('deploy/crds/kustomization.yaml') ? '-k' : '-f';
  await cluster.plane.run(['apply', '--server-side', how, resolve('deploy/crds')]);
  await cluster.plane.run(['wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all']);
}
