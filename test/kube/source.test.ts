// What one agent reads of a real API server, with the rights of its ServiceAccount and no others.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { needsOf } from '#intent/needs.ts';
import { kubernetesAccess } from '#kubernetes/io/access.ts';
import { apiStore } from '#kubernetes/io/client.ts';
import type { ApiStore } from '#kubernetes/io/client.ts';
import type { ControlPlane } from '#lab/kubernetes/control-plane.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { seconds } from '#lib/time.ts';
import type { ResourceProblem, ResourceSet } from '#resources/resource-set.ts';
import { KubernetesSource } from '#sources/kubernetes/kubernetes-source.ts';
import { apiServer } from './support.ts';

const folder = mkdtempSync(join(tmpdir(), 'flatroute-source-'));
const requests: string[] = [];
let plane: ControlPlane;
let store: ApiStore;
let source: KubernetesSource;
let last: { readonly resources: ResourceSet; readonly problems: readonly ResourceProblem[] } | undefined;

const ours = (kind: string, name: string, spec: object): object => ({
  apiVersion: 'flatroute.io/v1alpha1',
  kind,
  metadata: { name },
  spec,
});
const secret = (password: string): object => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'tor', namespace: 'flatroute-system' },
  stringData: { password },
});
const peer = (more: object): object =>
  ours('BGPPeer', 'tor', {
    peerIP: '192.0.2.1',
    asNumber: 65_001,
    password: { secretKeyRef: { name: 'tor', key: 'password' } },
    ...more,
  });
const apply = async (...items: readonly object[]): Promise<void> => {
  await plane.run(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
};
const until = (
  what: string,
  holds: (set: ResourceSet, problems: readonly ResourceProblem[]) => boolean,
): Promise<unknown> =>
  waitFor(
    what,
    () =>
      Promise.resolve(
        last !== undefined && holds(last.resources, last.problems)
          ? found(true)
          : notYet(JSON.stringify(last?.problems)),
      ),
    { deadline: seconds(60) },
  );

before(async () => {
  plane = await apiServer();
  await plane.run(['apply', '-k', resolve('deploy/kustomize')]);
  await apply(
    { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-1' } },
    { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-2' } },
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels: { team: 'a' } } },
    ours('IPPool', 'pool', { cidr: '10.60.0.0/16', namespaceSelector: "team == 'a'" }),
    ours('IPBlock', 'ipv4-0a3c0100-26', { cidr: '10.60.1.0/26', node: 'node-1' }),
    ours('IPBlock', 'ipv4-0a3c0200-26', { cidr: '10.60.2.0/26', node: 'node-2' }),
    peer({}),
    secret('one'),
  );
  const token = await plane.serviceAccountToken('flatroute-system', 'flatroute-agent');
  store = apiStore({
    access: await kubernetesAccess(await plane.tokenKubeconfig('agent', token)),
    userAgent: 'flatroute-agent/0',
    onRequest: (verb, code) => void requests.push(`${verb} ${code}`),
  });
  source = new KubernetesSource(
    { node: 'node-1', cacheFile: join(folder, 'resources.json'), bootstrapDirectory: join(folder, 'bootstrap') },
    { store, needs: (set) => needsOf(set, 'node-1') },
  );
  await source.start((resources, problems) => (last = { resources, problems }));
});
after(async () => {
  await source.stop();
  await store.close();
  rmSync(folder, { recursive: true });
});

test('its own Node and blocks, what is said to all, its peer’s Secret and labels of namespaces: one list and one watch each', async () => {
  assert.deepEqual(last?.problems, []);
  const names = (list: readonly { readonly metadata: { readonly name: string } }[] = []): string[] =>
    list.map((it) => it.metadata.name);
  assert.deepEqual(names(last?.resources.nodes), ['node-1']);
  assert.deepEqual(names(last?.resources.ipBlocks), ['ipv4-0a3c0100-26']);
  assert.deepEqual([names(last?.resources.bgpPeers), names(last?.resources.secrets)], [['tor'], ['tor']]);
  assert.equal(last?.resources.namespaces.find((it) => it.metadata.name === 'shop')?.metadata.labels['team'], 'a');
  // A server that has just started answers 429 until its cache of a kind is filled.
  const answered = (): string[] => requests.filter((it) => !it.endsWith(' 429')).toSorted();
  const wanted = [...Array<string>(10).fill('list 200'), ...Array<string>(10).fill('watch 200')];
  await waitFor(
    'ten lists and ten watches',
    () => Promise.resolve(answered().length >= wanted.length ? found(true) : notYet(requests.join())),
    { deadline: seconds(60) },
  );
  assert.deepEqual(answered(), wanted);
});

test('changes arrive by the watches alone', async () => {
  requests.length = 0;
  await apply(secret('two'), peer({ asNumber: 65_002 }));
  await until(
    'both changes',
    ({ secrets, bgpPeers }) => secrets[0]?.data?.['password'] === 'dHdv' && bgpPeers[0]?.spec.asNumber === 65_002,
  );
  assert.deepEqual(requests, []);
});

test('a Secret that is removed is gone, and no other is read', async () => {
  await plane.run(['delete', 'secret', 'tor', '--namespace=flatroute-system']);
  await until('no Secret', ({ secrets }) => secrets.length === 0);
});

test('an API server that is away takes nothing away, is said, and is followed again when it is back', async () => {
  await plane.stopApiServer();
  await until(
    'the problem',
    ({ bgpPeers, ipPools }, problems) =>
      problems.some((it) => it.code === 'API_UNREACHABLE') && bgpPeers.length === 1 && ipPools.length === 1,
  );
  await plane.startApiServer();
  await apply(peer({ asNumber: 65_003 }));
  await until('the change', ({ bgpPeers }, problems) => problems.length === 0 && bgpPeers[0]?.spec.asNumber === 65_003);
});
