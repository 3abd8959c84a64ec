/** flatroute in a bare cluster, from deploy/ as docs/kubernetes.md has it. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after } from 'node:test';
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import { API_ADDRESS } from '#lab/kubernetes/plan.ts';
import { operatorResources } from '#lab/kubernetes/resources.ts';
import { SYSTEM } from './world.ts';

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { readonly version: string };
export const IMAGE = `flatroute:${version}`;

/** A tar of our image under these names, made from this checkout; it goes with the test. */
export function buildImage(): string {
  const directory = mkdtempSync(join(tmpdir(), 'flatroute-image-'));
  after(async () => await rm(directory, { recursive: true, force: true }));
  const path = join(directory, 'image.tar');
  const built = spawnSync(process.execPath, ['scripts/image.mjs', '--output', path, '--name', IMAGE], {
    encoding: 'utf8',
  });
  if (built.status !== 0) throw new Error(`scripts/image.mjs: ${built.stderr}`);
  return path;
}

export async function installDefinitions(cluster: Cluster): Promise<void> {
  await cluster.plane.run([
    'apply',
    '--server-side',
    existsSync('deploy/crds/kustomization.yaml') ? '-k' : '-f',
    resolve('deploy/crds'),
  ]);
  await cluster.plane.run(['wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all']);
}

/** The address of the API server, then agents, BFD and controller; nothing says what to peer with yet. */
export async function installPrograms(cluster: Cluster): Promise<void> {
  await cluster.plane.run(['apply', '-f', resolve('deploy/kustomize/namespace.yaml')]);
  await cluster.apply({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'flatroute-apiserver', namespace: SYSTEM },
    data: { KUBERNETES_SERVICE_HOST: API_ADDRESS, KUBERNETES_SERVICE_PORT: '6443' },
  });
  await cluster.plane.run(['apply', '-k', resolve('deploy/kustomize')]);
}

export async function install(cluster: Cluster): Promise<void> {
  await installDefinitions(cluster);
  await installPrograms(cluster);
  await cluster.apply(...operatorResources());
}
