// Sessions between the nodes of a cluster, against a real API server: the trial without a router of docs/kubernetes.md, whole (two
// nodes, a VM on their segment with a route by one of them), then the same nodes as a reflector and its client.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { type Conflist, HostConflistRunner } from '#lab/conflist.ts';
import type { Host } from '#lab/host.ts';
import { ControlPlane } from '#lab/kubernetes/control-plane.ts';
import { kubernetesTools } from '#lab/kubernetes/tools.ts';
import { Lab } from '#lab/lab.ts';
import { Pod } from '#lab/pod.ts';
import { flatroute } from '#lab/program.ts';
import type { IpAddress } from '#lib/ip.ts';
import { ask } from '../support/agent-lab.ts';
import { eventually } from '../support/netns.ts';
import { keepLogsOnFailure, step } from './steps.ts';

const API = '192.0.2.254' as IpAddress;
const CONFLIST = '/etc/cni/net.d/05-flatroute.conflist';
const BIN = '/run/cni/bin';
const names = ['node-1', 'node-2'] as const;

interface Peer {
  readonly name: string;
  readonly state: string;
}

let lab: Lab | undefined;
let plane: ControlPlane;
let vm: Host;
let nodes: readonly Host[];
const pods: Pod[] = [];

keepLogsOnFailure(() => lab?.hosts ?? []);
after(async () => await lab?.dispose());

const apply = async (...objects: readonly object[]): Promise<string> =>
  await plane.run(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
const own = (kind: string, name: string, spec: object): object => ({
  apiVersion: 'flatroute.io/v1alpha1',
  kind,
  metadata: { name },
  spec,
});
/** The block of yaml of the page under this heading. */
function fromPage(heading: string): string {
  const page = readFileSync('docs/kubernetes.md', 'utf8');
  const [, yaml = ''] = /```yaml\n([^`]*)```/.exec(page.slice(page.indexOf(`## ${heading}`))) ?? [];
  return yaml;
}
const peersOf = async (host: Host): Promise<readonly Peer[]> => {
  const { code, stdout } = await ask({ host, number: 0 }, 'peers', '-o', 'json');
  return code === 0 ? (JSON.parse(stdout) as { readonly peers: readonly Peer[] }).peers : [];
};
const sessions = async (expected: Readonly<Record<string, readonly string[]>>): Promise<void> => {
  for (const host of nodes)
    await eventually(
      `sessions of ${host.name}: ${expected[host.name]?.join(' ')}`,
      async () => {
        const peers = await peersOf(host);
        const up = peers.filter((it) => it.state === 'Established').map((it) => it.name);
        return up.length === peers.length && up.join(' ') === expected[host.name]?.join(' ');
      },
      120_000,
    );
};
const reaches = async (from: { exec: Host['exec'] }, to: IpAddress): Promise<void> => {
  await eventually(
    `an answer of ${to}`,
    async () => (await from.exec(['ping', '-n', '-c1', '-W1', to])).code === 0,
    90_000,
  );
};

before(async () => {
  lab = await Lab.create('mesh');
  const api = await lab.addHost('api', { forwarding: true });
  await api.ip([
    'link add name segment type bridge',
    'link set dev segment up',
    `address add ${API}/24 dev segment`,
    'address add 2001:db8::254/64 dev segment nodad',
  ]);
  const join = async (name: string, number: number): Promise<Host> => {
    const host = await lab?.addHost(name, { forwarding: name !== 'vm' });
    assert.ok(lab !== undefined && host !== undefined);
    await lab.link({ a: api, b: host, names: [name, 'eth0'], addresses: [] });
    await api.ip([`link set dev ${name} master segment`]);
    await host.ip([`address add 192.0.2.${number}/24 dev eth0`, `address add 2001:db8::${number}/64 dev eth0 nodad`]);
    return host;
  };
  nodes = [await join(names[0], 1), await join(names[1], 2)];
  vm = await join('vm', 50);
  plane = await step('API server', ControlPlane.start({ host: api, address: API, tools: kubernetesTools() }));
  await step('custom resource definitions', plane.define('deploy/crds'));
  await plane.run(['create', 'namespace', 'flatroute-system']);
  await apply(
    own('IPPool', 'pods4', { cidr: '10.60.0.0/16' }),
    own('IPPool', 'pods6', { cidr: 'fd60::/48' }),
    ...names.map((name, at) => ({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name,
        annotations: {
          'flatroute.io/bgp-address-ipv4': `192.0.2.${at + 1}`,
          'flatroute.io/bgp-address-ipv6': `2001:db8::${at + 1}`,
        },
      },
    })),
  );
  await plane.run(['apply', '-f', '-'], fromPage('A trial without a router'));
  const kubeconfig = await plane.kubeconfig('kubernetes-admin', ['system:masters']);
  for (const host of nodes) {
    await host.run(flatroute('cni', 'install', '--binary-only', '--bin-dir', BIN));
    const words = ['agent', '--kubernetes', '--kubeconfig', kubeconfig, '--node', host.name];
    await host.spawn(flatroute(...words, '--conflist', CONFLIST, '--cni-bin', BIN), { log: 'agent.log' });
  }
});

describe('nodes without a router', { timeout: 600_000 }, () => {
  test('have a session with each other, and pods that reach each other in both families', async () => {
    await sessions({ 'node-1': ['mesh/node-2'], 'node-2': ['mesh/node-1'] });
    for (const host of nodes) {
      const list = await eventually('the list of the runtime', async () => {
        const { code, stdout } = await host.exec(['cat', CONFLIST]);
        return code === 0 ? (JSON.parse(stdout) as Conflist) : undefined;
      });
      const first = { ...list, plugins: list.plugins.slice(0, 1) };
      pods.push(await Pod.attach(new HostConflistRunner(host, first, [BIN]), `pod-of-${host.name}`));
    }
    const [one, other] = pods;
    assert.ok(one !== undefined && other !== undefined);
    for (const family of ['ipv4', 'ipv6'] as const) await reaches(one, other.address(family));
  });

  test('are reached by a VM on their segment that has a route to the pods by any of them', async () => {
    await vm.ip(['route add 10.60.0.0/16 via 192.0.2.1', 'route add fd60::/48 via 2001:db8::1']);
    for (const pod of pods) for (const family of ['ipv4', 'ipv6'] as const) await reaches(vm, pod.address(family));
  });

  test('are reflector and client when the page’s objects say so, and pods still reach each other', async () => {
    await apply(own('BGPConfiguration', 'default', { asNumber: 65001, addressSource: 'IPPools' }));
    await plane.run(['annotate', 'node', 'node-1', 'flatroute.io/route-reflector-cluster-id=192.0.2.21']);
    await plane.run(['label', 'node', 'node-1', 'flatroute-role=reflector']);
    const spec = { nodeSelector: '!has(flatroute-role)', peerSelector: "flatroute-role == 'reflector'" };
    await apply(own('BGPPeer', 'reflectors', spec));
    await sessions({ 'node-1': ['reflectors/node-2'], 'node-2': ['reflectors/node-1'] });
    const [one, other] = pods;
    assert.ok(one !== undefined && other !== undefined);
    for (const family of ['ipv4', 'ipv6'] as const) await reaches(other, one.address(family));
  });
});
