// What lets an agent in at a real API server is replaced while it runs: its token, as the kubelet does each hour, and the authority that
// signed the server's certificate. What was read stays, and everything goes on.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { kubernetesAccess } from '#kubernetes/io/access.ts';
import { apiStore } from '#kubernetes/io/client.ts';
import type { ApiStore } from '#kubernetes/io/client.ts';
import type { ControlPlane } from '#lab/kubernetes/control-plane.ts';
import { eventually } from '../support/netns.ts';
import { configMaps } from '../support/kubernetes/store-contract.ts';
import { step } from './steps.ts';
import { apiServer } from './support.ts';

const namespace = 'default';
const folder = mkdtempSync(join(tmpdir(), 'flatroute-credentials-'));
const tokenFile = join(folder, 'token');
const kubeconfig = join(folder, 'kubeconfig');
const seen = new Map<string, string>();
const health: (string | undefined)[] = [];
let plane: ControlPlane;
let store: ApiStore;

const pod = (name: string): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace },
  spec: { nodeName: 'node-1', serviceAccountName: 'agent', containers: [{ name: 'agent', image: 'agent' }] },
});

/** In place of the file that was there, in one moment. */
function replace(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

function writeKubeconfig(authority: string): void {
  const cluster = {
    server: plane.url,
    'certificate-authority-data': readFileSync(authority).toString('base64'),
  };
  const config = {
    clusters: [{ name: 'lab', cluster }],
    users: [{ name: 'agent', user: { tokenFile } }],
    contexts: [{ name: 'lab', context: { cluster: 'lab', user: 'agent' } }],
    'current-context': 'lab',
  };
  replace(kubeconfig, JSON.stringify(config));
}

const put = async (name: string): Promise<void> => {
  await plane.run(['create', 'configmap', name, `--namespace=${namespace}`, `--from-literal=n=${name}`]);
};
const ours = (): readonly string[] => [...seen.keys()].filter((key) => key.startsWith(`${namespace}/map-`)).toSorted();

before(async () => {
  plane = await apiServer();
  await plane.run(['create', 'serviceaccount', 'agent']);
  await plane.run([
    'create',
    'clusterrolebinding',
    'agent',
    '--clusterrole=cluster-admin',
    '--serviceaccount=default:agent',
  ]);
  for (const name of ['first', 'second']) await plane.run(['apply', '-f', '-'], JSON.stringify(pod(name)));
  await put('map-1');
  replace(tokenFile, await plane.serviceAccountToken(namespace, 'agent', 'first'));
  writeKubeconfig(plane.ca);
  store = apiStore({
    access: await kubernetesAccess(kubeconfig),
    userAgent: 'flatroute-test/0',
    tuning: { longestPauseMilliseconds: 1000 },
  });
  store.watch(configMaps, {
    selection: { namespace },
    keep: ({ metadata }) => metadata.name,
    changed: (objects) => {
      seen.clear();
      for (const [key, name] of objects) seen.set(key, name);
    },
    health: (error) => void health.push(error?.message),
  });
  await eventually('the first object', () => ours().length === 1);
});
after(async () => {
  await store.close();
  rmSync(folder, { recursive: true });
});

test('a server of another authority and a token that is over: what was read stays, and each file that is replaced lets in', {
  timeout: 300_000,
}, async () => {
  // A token is over with the Pod that it is bound to; a server that ran meanwhile would remember it for ten seconds.
  await plane.run(['delete', 'pod', 'first', '--force', '--grace-period=0']);
  const authority = await plane.replaceServerAuthority();
  await plane.stopApiServer();
  await step('API server with another certificate', plane.startApiServer());
  const said = (what: RegExp): Promise<unknown> => eventually(String(what), () => what.test(health.at(-1) ?? ''));
  await said(/certificate/);
  await put('map-2');
  writeKubeconfig(authority);
  await said(/Unauthorized/);
  assert.deepEqual(ours(), ['default/map-1']);
  replace(tokenFile, await plane.serviceAccountToken(namespace, 'agent', 'second'));
  await eventually('the second object', () => ours().length === 2);
  assert.equal(health.at(-1), undefined);
});
