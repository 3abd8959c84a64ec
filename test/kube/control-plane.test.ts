// The control plane that every other file here stands on.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { get } from 'node:https';
import { before, describe, test } from 'node:test';
import type { ControlPlane } from '#lab/kubernetes/control-plane.ts';
import { apiServer } from './support.ts';

let plane: ControlPlane;
before(async () => (plane = await apiServer()));

/** Status code and body of a GET by this very process. */
const ask = async (path: string, token?: string): Promise<{ readonly code: number; readonly body: string }> => {
  const ca = await readFile(plane.ca);
  return await new Promise((resolve, reject) => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    get(`${plane.url}${path}`, { ca, headers, agent: false }, (answer) => {
      let body = '';
      answer.setEncoding('utf8').on('data', (text: string) => (body += text));
      answer.on('end', () => resolve({ code: answer.statusCode ?? 0, body }));
    }).on('error', reject);
  });
};

describe('a control plane in namespaces', () => {
  test('it answers the test process at its loopback address, by the certificate of its authority', async () => {
    assert.deepEqual(await ask('/readyz'), { code: 200, body: 'ok' });
  });

  test('a client certificate is a user with groups, and rights come from roles', async () => {
    const nobody = await plane.kubeconfig('somebody', ['team']);
    const asked = await plane.kubectl(['auth', 'whoami', '-o', 'json', `--kubeconfig=${nobody}`]);
    const { status } = JSON.parse(asked.stdout) as { status: { userInfo: { username: string; groups: string[] } } };
    assert.equal(status.userInfo.username, 'somebody');
    assert.deepEqual(status.userInfo.groups.sort(), ['system:authenticated', 'team']);
    const refused = await plane.kubectl(['get', 'nodes', `--kubeconfig=${nobody}`]);
    assert.match(refused.stderr, /User "somebody" cannot list resource "nodes"/);
  });

  test('a token bound to a pod carries the name of its node', async () => {
    const manifest = {
      apiVersion: 'v1',
      kind: 'List',
      items: [
        { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1' } },
        { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'agent', namespace: 'default' } },
        {
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: { name: 'agent-1', namespace: 'default' },
          spec: { nodeName: 'n1', serviceAccountName: 'agent', containers: [{ name: 'a', image: 'a' }] },
        },
      ],
    };
    await plane.run(['apply', '-f', '-'], JSON.stringify(manifest));
    const token = await plane.serviceAccountToken('default', 'agent', 'agent-1');
    const kubeconfig = await plane.tokenKubeconfig('agent-1', token);
    const asked = await plane.kubectl(['auth', 'whoami', '-o', 'json', `--kubeconfig=${kubeconfig}`]);
    const { status } = JSON.parse(asked.stdout) as {
      status: { userInfo: { username: string; extra: Record<string, string[]> } };
    };
    assert.equal(status.userInfo.username, 'system:serviceaccount:default:agent');
    assert.deepEqual(status.userInfo.extra['authentication.kubernetes.io/node-name'], ['n1']);
  });

  test('the API server goes away at once and comes back at the same address with the same objects', async () => {
    await plane.run(['create', 'configmap', 'kept', '--from-literal=a=b']);
    await plane.stopApiServer();
    await assert.rejects(ask('/readyz'), { code: 'ECONNREFUSED' });
    await plane.startApiServer();
    assert.equal(await plane.run(['get', 'configmap', 'kept', '-o', 'jsonpath={.data.a}']), 'b');
  });
});
