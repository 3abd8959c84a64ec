import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { kubernetesAccess } from '#kubernetes/io/access.ts';
import { http1Connections } from '#kubernetes/io/connections.ts';
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

test('a token file of a kubeconfig is read, and again when its token was refused', async () => {
  writeFileSync(join(folder, 'token'), 'abc\n');
  const access = await kubernetesAccess(kubeconfig({ tokenFile: 'token' }));
  assert.equal((await access.grant()).headers['Authorization'], 'Bearer abc');
  writeFileSync(join(folder, 'token'), 'def\n');
  access.refused();
  assert.equal((await access.grant()).headers['Authorization'], 'Bearer def');
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

test('a kubeconfig that says another place is gone by when nobody answers at the old one, and not before', async () => {
  const access = await kubernetesAccess(kubeconfig({ token: 'abc' }));
  const { connections } = await access.grant();
  access.unanswered();
  assert.equal((await access.grant()).connections, connections);
  kubeconfig({ token: 'def' }, 'https://192.0.2.2:6443');
  assert.equal((await access.grant()).headers['Authorization'], 'Bearer abc');
  access.unanswered();
  const grant = await access.grant();
  assert.deepEqual([grant.headers['Authorization'], access.server.href], ['Bearer def', 'https://192.0.2.2:6443/']);
  assert.notEqual(grant.connections, connections);
});

test('a kubeconfig that is half written is an error until it is whole', async () => {
  const file = kubeconfig({ token: 'abc' });
  const access = await kubernetesAccess(file);
  writeFileSync(file, '{"clusters":[{"name":');
  access.unanswered();
  await assert.rejects(access.grant(), failsWith('API_UNAUTHORIZED'));
  kubeconfig({ token: 'def' });
  assert.equal((await access.grant()).headers['Authorization'], 'Bearer def');
});

test('an address of the cluster that changed is gone by when nobody answers at the old one', async () => {
  const directory = join(folder, 'moved');
  mkdirSync(directory);
  const write = (host: string): void => {
    writeFileSync(join(directory, 'KUBERNETES_SERVICE_HOST'), host);
    writeFileSync(join(directory, 'KUBERNETES_SERVICE_PORT'), '6443');
  };
  try {
    write('192.0.2.10');
    const access = await kubernetesAccess(undefined, undefined, directory);
    write('192.0.2.11');
    access.unanswered();
    // There is no ServiceAccount here; where the server is does not depend on it.
    await access.grant().catch(() => undefined);
    assert.equal(access.server.href, 'https://192.0.2.11:6443/');
  } finally {
    delete process.env['KUBERNETES_SERVICE_HOST'];
    delete process.env['KUBERNETES_SERVICE_PORT'];
  }
});

test('an authority whose file is replaced is trusted by the next request, on connections of its own', async () => {
  const ca = join(folder, 'ca.crt');
  const file = join(folder, 'by-file');
  const config = {
    clusters: [{ name: 'c', cluster: { server: 'https://192.0.2.1:6443', 'certificate-authority': ca } }],
    users: [{ name: 'u', user: { token: 'abc' } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  };
  writeFileSync(file, JSON.stringify(config));
  writeFileSync(ca, 'one');
  const trusted: string[] = [];
  const access = await kubernetesAccess(file, (tls) => {
    trusted.push(String(tls.ca));
    return http1Connections();
  });
  await access.grant();
  await access.grant();
  writeFileSync(ca, 'two');
  await access.grant();
  assert.deepEqual(trusted, ['one', 'two']);
});
