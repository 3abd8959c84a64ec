import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { kubernetesAccess } from '#kubernetes/io/access.ts';
import { failsWith } from '../../support/kubernetes/store-contract.ts';

const folder = mkdtempSync(join(tmpdir(), 'flatroute-access-'));
after(() => rmSync(folder, { recursive: true }));

/** JSON is YAML. */
function kubeconfig(user: object, server = 'https://192.0.2.1:6443/prefix'): string {
  const file = join(folder, 'kubeconfig');
  const config = {
    clusters: [{ name: 'c', cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  };
  writeFileSync(file, JSON.stringify(config));
  return file;
}

test('a token of a kubeconfig file is sent', async () => {
  const access = await kubernetesAccess(kubeconfig({ token: 'abc' }));
  assert.equal(access.server.href, 'https://192.0.2.1:6443/prefix');
  assert.equal((await access.grant()).headers['Authorization'], 'Bearer abc');
});

test('connections are kept while the credentials are the same', async () => {
  const access = await kubernetesAccess(kubeconfig({ token: 'abc' }));
  assert.equal((await access.grant()).connections, (await access.grant()).connections);
});

test('credentials that were refused are read again', async () => {
  const access = await kubernetesAccess(kubeconfig({ token: 'abc' }));
  kubeconfig({ token: 'def' });
  assert.equal((await access.grant()).headers['Authorization'], 'Bearer abc');
  access.refused();
  assert.equal((await access.grant()).headers['Authorization'], 'Bearer def');
});

test('an exec plugin gives the token', async () => {
  const said = { apiVersion: 'client.authentication.k8s.io/v1', kind: 'ExecCredential', status: { token: 'made' } };
  const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: 'echo', args: [JSON.stringify(said)] };
  const access = await kubernetesAccess(kubeconfig({ exec }));
  assert.equal((await access.grant()).headers['Authorization'], 'Bearer made');
});

test('an exec plugin that fails is an error with its words', async () => {
  const exec = {
    apiVersion: 'client.authentication.k8s.io/v1',
    command: 'sh',
    args: ['-c', 'echo no ticket >&2; exit 1'],
  };
  const access = await kubernetesAccess(kubeconfig({ exec }));
  await assert.rejects(access.grant(), /no ticket/);
});

test('without a file and without a cluster around it the message says what to do', async () => {
  delete process.env['KUBERNETES_SERVICE_HOST'];
  await assert.rejects(kubernetesAccess(undefined), (error) => {
    assert.match(String(error), /--kubeconfig FILE/);
    return failsWith('API_UNAUTHORIZED')(error);
  });
});

test('in a cluster the address is that of the files, and without them that of the variables', async () => {
  const directory = join(folder, 'apiserver');
  Object.assign(process.env, { KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' });
  const server = async (): Promise<string> => (await kubernetesAccess(undefined, undefined, directory)).server.href;
  try {
    assert.equal(await server(), 'https://10.96.0.1/');
    mkdirSync(directory);
    writeFileSync(join(directory, 'KUBERNETES_SERVICE_HOST'), '192.0.2.10\n');
    writeFileSync(join(directory, 'KUBERNETES_SERVICE_PORT'), '6443');
    assert.equal(await server(), 'https://192.0.2.10:6443/');
  } finally {
    delete process.env['KUBERNETES_SERVICE_HOST'];
    delete process.env['KUBERNETES_SERVICE_PORT'];
  }
});
