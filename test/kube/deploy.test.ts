// What is in deploy/ against a real API server: every manifest is taken, each component may do what it must and nothing else,
// and an agent writes its own node's objects alone.
import assert from 'node:assert/strict';
import { join, resolve } from 'node:path';
import { existsSync, readFileSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import type { ControlPlane } from '#lab/kubernetes/control-plane.ts';
import type { CommandResult } from '#lab/process.ts';
import { kubernetesTools } from '#lab/kubernetes/tools.ts';
import { seconds } from '#lib/time.ts';
import { parseAllDocuments } from 'yaml';
import { apiServer } from './support.ts';

let plane: ControlPlane;

const agent = 'system:serviceaccount:flatroute-system:flatroute-agent';
const controller = 'system:serviceaccount:flatroute-system:flatroute-controller';
const bfd = 'system:serviceaccount:flatroute-system:flatroute-bfd';

before(async () => {
  plane = await apiServer();
  await plane.run(['apply', '--validate=strict', '-k', resolve('deploy/kustomize')]);
});

const node = (name: string): object => ({ apiVersion: 'v1', kind: 'Node', metadata: { name } });

/** A pod of the agent's account that is on this node, as the kubelet would run it. */
const pod = (name: string, nodeName: string): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'flatroute-system' },
  spec: { nodeName, serviceAccountName: 'flatroute-agent', containers: [{ name: 'agent', image: 'flatroute' }] },
});

const block = (cidr: string, name: string, nodeName: string): object => ({
  apiVersion: 'flatroute.io/v1alpha1',
  kind: 'IPBlock',
  metadata: { name },
  spec: { cidr, node: nodeName, nodeUID: '00000000-0000-0000-0000-000000000000' },
});

const blocks = {
  a: block('10.60.1.0/26', 'ipv4-0a3c0100-26', 'node-a'),
  b: block('10.60.2.0/26', 'ipv4-0a3c0200-26', 'node-b'),
};

const state = (name: string): object => ({
  apiVersion: 'flatroute.io/v1alpha1',
  kind: 'BGPNodeState',
  metadata: { name },
});

/** Without a look at the CRDs, which an agent may not have. */
const create = ['create', '--validate=false', '-f', '-'];

const list = (...items: readonly object[]): string => JSON.stringify({ apiVersion: 'v1', kind: 'List', items });

describe('an agent by the bound token of its pod', () => {
  let asAgent: (args: readonly string[], stdin?: string) => Promise<CommandResult>;
  let unbound: (args: readonly string[], stdin?: string) => Promise<CommandResult>;

  before(async () => {
    await plane.run(create, list(node('node-a'), node('node-b'), pod('agent-a', 'node-a')));
    const with_ = async (name: string, token: string) => {
      const file = await plane.tokenKubeconfig(name, token);
      return async (args: readonly string[], stdin?: string) =>
        await plane.kubectl([`--kubeconfig=${file}`, ...args], stdin);
    };
    asAgent = await with_('agent-a', await plane.serviceAccountToken('flatroute-system', 'flatroute-agent', 'agent-a'));
    unbound = await with_('unbound', await plane.serviceAccountToken('flatroute-system', 'flatroute-agent'));
  });

  const refused = (answer: CommandResult, sentence: RegExp): void => {
    assert.notEqual(answer.code, 0, answer.stdout);
    assert.match(answer.stderr, sentence);
  };

  test('makes, changes and deletes a block of its node', async () => {
    for (const [args, stdin] of [
      [create, JSON.stringify(blocks.a)],
      [['patch', 'ipblock', 'ipv4-0a3c0100-26', '--type=merge', '-p', '{"metadata":{"labels":{"a":"b"}}}'], undefined],
      [['delete', 'ipblock', 'ipv4-0a3c0100-26'], undefined],
    ] as const) {
      const answer = await asAgent(args, stdin);
      assert.equal(answer.code, 0, answer.stderr);
    }
  });

  test('is refused a block of another node with a sentence that names both, be it made, changed or deleted', async () => {
    const sentence = /the agent of node node-a may write only what is its own; this IPBlock is of node node-b/;
    refused(await asAgent(create, JSON.stringify(blocks.b)), sentence);
    await plane.run(create, JSON.stringify(blocks.b));
    const change = ['patch', 'ipblock', 'ipv4-0a3c0200-26', '--type=merge', '-p', '{"metadata":{"labels":{"a":"b"}}}'];
    refused(await asAgent(change), sentence);
    refused(await asAgent(['delete', 'ipblock', 'ipv4-0a3c0200-26']), sentence);
  });

  test('is refused without a node in its token', async () => {
    refused(await unbound(create, JSON.stringify(blocks.a)), /not bound to a pod on a node/);
  });

  test('makes the BGPNodeState of its node and no other', async () => {
    const made = await asAgent(create, JSON.stringify(state('node-a')));
    assert.equal(made.code, 0, made.stderr);
    refused(await asAgent(create, JSON.stringify(state('node-b'))), /this BGPNodeState is of node node-b/);
  });

  test('reads Secrets of flatroute-system and of no other namespace', async () => {
    assert.equal((await asAgent(['get', 'secrets', '-n', 'flatroute-system'])).code, 0);
    refused(await asAgent(['get', 'secrets', '-n', 'kube-system']), /Forbidden/);
    refused(await asAgent(['get', 'secrets', '-A']), /Forbidden/);
  });
});

describe('kubectl auth can-i', () => {
  const rows: readonly (readonly [string, string, string, 'yes' | 'no'])[] = [
    [agent, 'list', 'bgppeers.flatroute.io', 'yes'],
    [agent, 'update', 'bgppeers.flatroute.io', 'no'],
    [agent, 'update', 'bgppeers.flatroute.io/status', 'no'],
    [agent, 'create', 'ipblocks.flatroute.io', 'yes'],
    [agent, 'patch', 'ippools.flatroute.io', 'no'],
    [agent, 'patch', 'bgpnodestates.flatroute.io/status', 'yes'],
    [agent, 'patch', 'nodes', 'no'],
    [agent, 'list', 'pods', 'no'],
    [agent, 'create', 'events', 'yes'],
    [agent, 'list', 'events', 'no'],
    [controller, 'create', 'ipblocks.flatroute.io', 'no'],
    [controller, 'delete', 'ipblocks.flatroute.io', 'yes'],
    [controller, 'patch', 'ippools.flatroute.io/status', 'yes'],
    [controller, 'create', 'ippools.flatroute.io', 'no'],
    [controller, 'delete', 'ippools.flatroute.io', 'no'],
    [controller, 'get', 'secrets', 'no'],
    [controller, 'update', 'nodes', 'no'],
    [bfd, 'list', 'bgppeers.flatroute.io', 'no'],
    [bfd, 'get', 'secrets', 'no'],
  ];
  for (const [user, verb, resource, answer] of rows)
    test(`${user.split(':').at(-1) ?? ''} ${verb} ${resource}: ${answer}`, async () => {
      const { stdout } = await plane.kubectl([
        'auth',
        'can-i',
        verb,
        resource,
        `--as=${user}`,
        '-n',
        'flatroute-system',
      ]);
      assert.equal(stdout.trim(), answer);
    });
});

/** What is in a stream of documents, by kind and name. */
function manifests(text: string): Readonly<Record<string, unknown>> {
  const all = parseAllDocuments(text).map((one) => one.toJS() as { kind: string; metadata: { name: string } } | null);
  return Object.fromEntries(all.flatMap((one) => (one === null ? [] : [[`${one.kind} ${one.metadata.name}`, one]])));
}

const helmFile = join(kubernetesTools().directory, 'helm');

describe('Helm', { skip: existsSync(helmFile) ? false : `no ${helmFile}: let npm run test:kube build it` }, () => {
  const charts = { crds: resolve('deploy/charts/flatroute-crds'), flatroute: resolve('deploy/charts/flatroute') };
  const namespace = '--namespace=flatroute-system';

  async function helm(...args: readonly string[]): Promise<string> {
    const environment = {
      HOME: '/run',
      KUBECONFIG: await plane.kubeconfig('kubernetes-admin', ['system:masters']),
    };
    const { code, stdout, stderr } = await plane.host.exec([helmFile, ...args], { timeout: seconds(120), environment });
    assert.equal(code, 0, stderr + stdout);
    return stdout;
  }

  test('finds nothing wrong with the charts', async () => {
    assert.match(
      await helm('lint', '--strict', charts.crds, charts.flatroute),
      /2 chart\(s\) linted, 0 chart\(s\) failed/,
    );
  });

  test('renders with the default values what deploy/kustomize holds, and the version of package.json', async () => {
    const rendered = await helm('template', 'flatroute', charts.flatroute, namespace, '--kube-version=1.34.4');
    assert.deepEqual(manifests(rendered), manifests(readFileSync('deploy/kustomize/flatroute.yaml', 'utf8')));
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    for (const chart of Object.values(charts))
      assert.match(readFileSync(join(chart, 'Chart.yaml'), 'utf8'), new RegExp(`^appVersion: ${version}$`, 'm'));
    assert.match(rendered, new RegExp(`image: "flatroute:${version}"`));
  });

  test('says where the API server is, and leaves BFD out, by values', async () => {
    const values = ['--set=apiServer.host=192.0.2.10', '--set=bfd.enabled=false', '--set=agent.resources=null'];
    const found = manifests(await helm('template', 'x', charts.flatroute, '--kube-version=1.34.4', ...values));
    assert.deepEqual((found['ConfigMap flatroute-apiserver'] as { data: object }).data, {
      KUBERNETES_SERVICE_HOST: '192.0.2.10',
      KUBERNETES_SERVICE_PORT: '6443',
    });
    assert.equal(found['DaemonSet flatroute-bfd'], undefined);
  });

  test('installs, upgrades, rolls back and uninstalls; kinds and objects stay', async () => {
    const peer = {
      apiVersion: 'flatroute.io/v1alpha1',
      kind: 'BGPPeer',
      metadata: { name: 'tor-a' },
      spec: { peerIP: '192.0.2.1', asNumber: 65100 },
    };
    await plane.run(['apply', '-f', '-'], JSON.stringify(peer));
    // Objects that kubectl made are taken over.
    for (const [name, chart] of [
      ['flatroute-crds', charts.crds],
      ['flatroute', charts.flatroute],
    ] as const)
      await helm('upgrade', '--install', '--take-ownership', name, chart, namespace);
    const levelOf = async (): Promise<string> =>
      await plane.run([
        'get',
        'daemonset',
        'flatroute-agent',
        '-n',
        'flatroute-system',
        '-o',
        'jsonpath={.spec.template.spec.containers[0].args}',
      ]);
    await helm('upgrade', 'flatroute', charts.flatroute, namespace, '--set=agent.logLevel=debug');
    assert.match(await levelOf(), /--log-level=debug/);
    await helm('rollback', 'flatroute', '1', namespace);
    assert.match(await levelOf(), /--log-level=info/);
    await helm('uninstall', 'flatroute', 'flatroute-crds', namespace);
    const kinds = 'daemonsets,deployments,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings';
    const policies = 'validatingadmissionpolicies,validatingadmissionpolicybindings';
    const left = await plane.run([
      'get',
      `${kinds},${policies}`,
      '-A',
      '-l',
      'app.kubernetes.io/name=flatroute',
      '-o',
      'name',
    ]);
    assert.equal(left, '');
    assert.match(await plane.run(['get', 'bgppeer', 'tor-a', '-o', 'name']), /tor-a/);
  });
});
