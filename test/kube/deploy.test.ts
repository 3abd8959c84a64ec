// What is in deploy/ against a real API server: every manifest is taken, each component may do what it must and nothing else,
// and an agent writes its own node's objects alone.
import assert from 'node:assert/strict';
import { join, resolve } from 'node:path';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { after, before, describe, test } from 'node:test';
import type { ControlPlane } from '#lab/kubernetes/control-plane.ts';
import type { CommandResult, LabProcess } from '#lab/process.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { kubernetesTools } from '#lab/kubernetes/tools.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import { parse, parseAllDocuments } from 'yaml';
import { apiServer } from './support.ts';

const system = 'flatroute-system';
let plane: ControlPlane;

const agent = 'system:serviceaccount:flatroute-system:flatroute-agent';
const controller = 'system:serviceaccount:flatroute-system:flatroute-controller';
const bfd = 'system:serviceaccount:flatroute-system:flatroute-bfd';

before(async () => {
  plane = await apiServer();
  const apply = ['apply', '--validate=strict', '-k'];
  await plane.run([...apply, resolve('deploy/kustomize')]);
  for (const folder of ['kustomize', 'uninstall'])
    await plane.run([...apply, resolve('deploy', folder), '--dry-run=server']);
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
    // The server takes roles and policies up some time after it has stored them.
    await waitFor(
      'roles and policies to be in force',
      async () => {
        const own = await asAgent([...create, '--dry-run=server'], JSON.stringify(blocks.a));
        const foreign = await asAgent([...create, '--dry-run=server'], JSON.stringify(blocks.b));
        return own.code === 0 && foreign.code !== 0 ? found(undefined) : notYet(own.stderr + foreign.stdout);
      },
      { deadline: seconds(120), every: milliseconds(200) },
    );
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
    [agent, 'create', 'events.events.k8s.io', 'yes'],
    [agent, 'list', 'events.events.k8s.io', 'no'],
    [agent, 'list', 'networkpolicies.networking.k8s.io', 'no'],
    [controller, 'patch', 'nodes', 'yes'],
    [controller, 'delete', 'nodes', 'no'],
    [controller, 'create', 'ipblocks.flatroute.io', 'no'],
    [controller, 'delete', 'ipblocks.flatroute.io', 'yes'],
    [controller, 'patch', 'ippools.flatroute.io/status', 'yes'],
    [controller, 'create', 'ippools.flatroute.io', 'no'],
    [controller, 'delete', 'ippools.flatroute.io', 'no'],
    [controller, 'create', 'serviceaddresses.flatroute.io', 'yes'],
    [controller, 'patch', 'services/status', 'yes'],
    [controller, 'patch', 'services', 'no'],
    [agent, 'create', 'serviceaddresses.flatroute.io', 'no'],
    [controller, 'get', 'secrets', 'no'],
    [controller, 'update', 'nodes', 'no'],
    [bfd, 'list', 'bgppeers.flatroute.io', 'no'],
    [bfd, 'get', 'secrets', 'no'],
  ];
  for (const [user, verb, resource, answer] of rows)
    test(`${user.split(':').at(-1) ?? ''} ${verb} ${resource}: ${answer}`, async () => {
      const [kind = resource, subresource] = resource.split('/');
      const { stdout } = await plane.kubectl([
        'auth',
        'can-i',
        verb,
        kind,
        // RESOURCE/NAME is what kubectl takes a slash for.
        ...(subresource === undefined ? [] : [`--subresource=${subresource}`]),
        `--as=${user}`,
        '-n',
        'flatroute-system',
      ]);
      assert.equal(stdout.trim(), answer);
    });
});

describe('the controller, as its ServiceAccount', () => {
  const running = new Map<string, LabProcess>();
  let kubeconfig: string;

  before(async () => {
    kubeconfig = await plane.tokenKubeconfig(
      'controller',
      await plane.serviceAccountToken(system, 'flatroute-controller'),
    );
  });
  after(async () => {
    for (const one of running.values()) {
      one.kill('SIGCONT');
      one.kill('SIGTERM');
      await one.exited;
    }
  });

  async function start(name: string): Promise<LabProcess> {
    const words = ['controller', `--kubeconfig=${kubeconfig}`, `--identity=${name}`];
    const one = await plane.host.spawn([process.execPath, resolve('src/main.ts'), ...words], { log: `${name}.log` });
    running.set(name, one);
    return one;
  }

  const holder = async (): Promise<string> => {
    const path = 'jsonpath={.spec.holderIdentity}';
    return (await plane.kubectl(['get', 'lease', 'flatroute-controller', '-n', system, '-o', path])).stdout;
  };
  const leads = async (name: string): Promise<void> =>
    await waitFor(
      `${name} to lead`,
      async () => {
        const who = await holder();
        return who.startsWith(`${name}_`) ? found(undefined) : notYet(`the Lease is held by ${who}`);
      },
      { deadline: seconds(120), every: milliseconds(200) },
    );
  const conditionOf = async (peer: string): Promise<string> =>
    (await plane.kubectl(['get', 'bgppeer', peer, '-o', 'jsonpath={.status.conditions[0].reason}'])).stdout;
  const says = async (peer: string, reason: string): Promise<void> =>
    await waitFor(
      `BGPPeer ${peer} to say ${reason}`,
      async () => {
        const said = await conditionOf(peer);
        return said === reason ? found(undefined) : notYet(`it says ${said}`);
      },
      { deadline: seconds(120), every: milliseconds(200) },
    );
  const peer = (name: string, peerIP: string): object => ({
    apiVersion: 'flatroute.io/v1alpha1',
    kind: 'BGPPeer',
    metadata: { name },
    spec: { peerIP, asNumber: 65100 },
  });

  test('writes statuses with the rights that it has, and no word of refusal', async () => {
    await start('one');
    await leads('one');
    await plane.run(['apply', '-f', '-'], JSON.stringify(peer('tor-x', '192.0.2.71')));
    await says('tor-x', 'Pending');
    assert.doesNotMatch(await plane.host.readFile('/run/log/one.log'), /API_FORBIDDEN|"level":"error"/);
  });

  test('stopped past its lease it is followed, and resumed it writes nothing', async () => {
    const one = running.get('one');
    assert.ok(one);
    await start('two');
    one.kill('SIGSTOP');
    await leads('two');
    one.kill('SIGCONT');
    await waitFor(
      'the first to find out',
      async () => {
        const log = await plane.host.readFile('/run/log/one.log');
        return log.includes('controller.leads-no-longer') ? found(undefined) : notYet(log.slice(-500));
      },
      { deadline: seconds(120), every: milliseconds(200) },
    );
    await plane.run(['apply', '-f', '-'], JSON.stringify(peer('tor-y', '192.0.2.72')));
    await says('tor-y', 'Pending');
    assert.match(await holder(), /^two_/);
    assert.doesNotMatch(await plane.host.readFile('/run/log/one.log'), /controller\.write-failed/);
  });

  test('told to stop it hands over at once', async () => {
    const two = running.get('two');
    assert.ok(two);
    two.kill('SIGTERM');
    assert.equal((await two.exited).code, 0);
    running.delete('two');
    // A lease that it had kept would be its own for fifteen seconds more.
    assert.doesNotMatch(await holder(), /^two_/);
    await leads('one');
  });
});

describe('the image', () => {
  test('holds what the last stage of the Dockerfile copies, starts as it says, and its program runs there', async () => {
    const tree = mkdtempSync(join(tmpdir(), 'flatroute-image-'));
    try {
      const tar = join(tree, 'image.tar');
      const made = await plane.host.exec([process.execPath, resolve('scripts/image.mjs'), '--output', tar], {
        timeout: seconds(600),
      });
      assert.equal(made.code, 0, made.stderr);
      const unpack = `cd ${tree} && tar xf image.tar config.json layer.tar && mkdir root && tar xf layer.tar -C root && chroot root /usr/bin/flatroute version`;
      const ran = await plane.host.exec(['sh', '-ec', unpack], { timeout: seconds(180) });
      assert.equal(ran.code, 0, ran.stderr);
      assert.match(ran.stdout, /^flatroute /);
      const { config } = JSON.parse(readFileSync(join(tree, 'config.json'), 'utf8')) as {
        config: { Entrypoint: unknown };
      };
      const entry = /^ENTRYPOINT (.*)$/m.exec(readFileSync('deploy/Dockerfile', 'utf8'))?.[1] ?? '';
      assert.deepEqual(config.Entrypoint, JSON.parse(entry));
      assert.equal(existsSync(join(tree, 'root/bin/sh')), false);
    } finally {
      rmSync(tree, { recursive: true });
    }
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
    const { code, stdout, stderr } = await plane.host.exec([helmFile, ...args], { timeout: seconds(600), environment });
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

  test('has the alerts of deploy/monitoring and two PodMonitors, by values', async () => {
    const values = ['--set=monitoring.podMonitors=true', '--set=monitoring.rules=true'];
    const text = await helm('template', 'x', charts.flatroute, '--kube-version=1.34.4', ...values);
    const found = parseAllDocuments(text).map((it) => it.toJS() as { readonly kind: string; readonly spec: unknown });
    assert.equal(found.filter((it) => it.kind === 'PodMonitor').length, 2);
    assert.deepEqual(
      found.find((it) => it.kind === 'PrometheusRule')?.spec,
      parse(readFileSync('deploy/monitoring/rules.yaml', 'utf8')),
    );
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
