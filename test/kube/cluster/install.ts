/** flatroute in a bare cluster, from deploy/ as docs/kubernetes.md has it. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import { API_ADDRESS } from '#lab/kubernetes/plan.ts';
import { operatorResources } from '#lab/kubernetes/resources.ts';
import { found, notYet } from '#lab/wait.ts';
import { AGENT, print, SYSTEM } from './world.ts';

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { readonly version: string };
export const IMAGE = `flatroute:${version}`;

/** A tar of our image in this directory, made from this checkout. */
export function buildImage(directory: string): string {
  const path = join(directory, 'image.tar');
  const built = spawnSync(process.execPath, ['scripts/image.mjs', '--output', path, '--name', IMAGE], {
    encoding: 'utf8',
  });
  if (built.status !== 0) throw new Error(`scripts/image.mjs: ${built.stderr}`);
  return path;
}

interface NodeObject {
  readonly metadata: { readonly name: string };
  readonly status: {
    readonly conditions: readonly { readonly type: string; readonly message: string }[];
    readonly nodeInfo: { readonly kubeletVersion: string; readonly containerRuntimeVersion: string };
  };
}

/** What a cluster is before anything is installed. */
export async function notReadyWithoutNetwork(cluster: Cluster): Promise<void> {
  const nodes = await cluster.until('every node to say why it is not Ready', async () => {
    const { items } = JSON.parse(await cluster.plane.run(['get', 'nodes', '-o', 'json'])) as {
      readonly items: readonly NodeObject[];
    };
    const said = items.map(({ status }) => status.conditions.find(({ type }) => type === 'Ready')?.message ?? '');
    return said.length === cluster.nodes.length && said.every((text) => text.includes('cni plugin not initialized'))
      ? found(items)
      : notYet(said.join(' | '));
  });
  for (const { metadata, status } of nodes)
    print(`${metadata.name}: kubelet ${status.nodeInfo.kubeletVersion}, ${status.nodeInfo.containerRuntimeVersion}`);
}

export async function installDefinitions(cluster: Cluster): Promise<void> {
  await cluster.plane.run(['apply', '--server-side', '-f', resolve('deploy/crds')]);
  await cluster.plane.run(['wait', '--for=condition=Established', '--timeout=100s', 'crd', '--all']);
}

/** Instead of 15 minutes, for a test: a Node is gone for most of it, and its agent could object for the rest. */
export const COLLECT_AFTER_SECONDS = 20;
const VETO_SECONDS = 5;

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
  await shareBootId(cluster);
  // Shorter than 15 s, for who waits until another one leads.
  const more = [
    '--lease-duration=10s',
    `--collect-after=${COLLECT_AFTER_SECONDS - VETO_SECONDS}s`,
    `--collect-veto=${VETO_SECONDS}s`,
  ];
  const patch = more.map((value) => ({ op: 'add', path: '/spec/template/spec/containers/0/args/-', value }));
  const argv = ['patch', 'deployment', '-n', SYSTEM, 'flatroute-controller', '--type=json'];
  await cluster.plane.run([...argv, '-p', JSON.stringify(patch)]);
}

/** Nodes of a lab share a kernel and have boot ids of their own, which a container does not see. */
async function shareBootId(cluster: Cluster): Promise<void> {
  const name = 'boot-id';
  const path = '/proc/sys/kernel/random/boot_id';
  const patch = [
    { op: 'add', path: '/spec/template/spec/volumes/-', value: { name, hostPath: { path, type: 'File' } } },
    {
      op: 'add',
      path: '/spec/template/spec/containers/0/volumeMounts/-',
      value: { name, mountPath: `/host${path}`, readOnly: true },
    },
  ];
  const argv = ['patch', 'daemonset', '-n', SYSTEM, AGENT, '--type=json', '-p', JSON.stringify(patch)];
  await cluster.plane.run(argv);
}

export async function install(cluster: Cluster): Promise<void> {
  await installDefinitions(cluster);
  await installPrograms(cluster);
  await cluster.apply(...operatorResources());
}
