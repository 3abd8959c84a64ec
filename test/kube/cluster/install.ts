/** flatroute in a bare cluster, from deploy/ as docs/kubernetes.md has it. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { seconds } from '#lib/time.ts';
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import { API_ADDRESS } from '#lab/kubernetes/plan.ts';
import { operatorResources } from '#lab/kubernetes/resources.ts';
import { execute, succeeded } from '#lab/process.ts';
import { found, notYet } from '#lab/wait.ts';
import { AGENT, print, SYSTEM } from './world.ts';

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { readonly version: string };
export const IMAGE = `flatroute:${version}`;

/** A tar of our image in this directory, made from this checkout. */
export async function buildImage(directory: string): Promise<string> {
  const path = join(directory, 'image.tar');
  const argv = [process.execPath, 'scripts/image.mjs', '--output', path, '--name', IMAGE];
  succeeded('the machine', argv, await execute(argv, { timeout: seconds(300) }));
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
  // Shorter than 15 s, for who waits until another one leads.
  const more = [
    '--lease-duration=10s',
    `--collect-after=${COLLECT_AFTER_SECONDS - VETO_SECONDS}s`,
    `--collect-veto=${VETO_SECONDS}s`,
  ];
  await applyOverlay(cluster, [
    { kind: 'DaemonSet', name: AGENT, operations: sharedBootId },
    {
      kind: 'Deployment',
      name: 'flatroute-controller',
      operations: more.map((value) => ({ op: 'add', path: '/spec/template/spec/containers/0/args/-', value })),
    },
  ]);
}

/** Nodes of a lab share a kernel and have boot ids of their own, which a container does not see. */
const BOOT_ID = '/proc/sys/kernel/random/boot_id';
const sharedBootId = [
  {
    op: 'add',
    path: '/spec/template/spec/volumes/-',
    value: { name: 'boot-id', hostPath: { path: BOOT_ID, type: 'File' } },
  },
  {
    op: 'add',
    path: '/spec/template/spec/containers/0/volumeMounts/-',
    value: { name: 'boot-id', mountPath: `/host${BOOT_ID}`, readOnly: true },
  },
];

interface OverlayPatch {
  readonly kind: string;
  readonly name: string;
  /** Of a JSON patch. */
  readonly operations: readonly object[];
}

/** deploy/kustomize as an operator would change it, so that no first pod is replaced at once. */
async function applyOverlay(cluster: Cluster, patches: readonly OverlayPatch[]): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'flatroute-overlay-'));
  try {
    const overlay = {
      resources: [relative(directory, resolve('deploy/kustomize'))],
      patches: patches.map(({ kind, name, operations }) => ({
        target: { kind, name },
        patch: JSON.stringify(operations),
      })),
    };
    await writeFile(join(directory, 'kustomization.yaml'), JSON.stringify(overlay));
    await cluster.plane.run(['apply', '-k', directory]);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

export async function install(cluster: Cluster): Promise<void> {
  await installDefinitions(cluster);
  await installPrograms(cluster);
  await cluster.apply(...operatorResources());
}
