/**
 * One node and one router beside the API server, and an agent from the bundle in Kubernetes mode on the node, with the rights and the
 * bound token that deploy/ gives it.
 */
import { resolve } from 'node:path';
import type { ResourceType } from '#kubernetes/store.ts';
import type { Host } from '#lab/host.ts';
import type { LabProcess } from '#lab/process.ts';
import { kindLists } from '#resources/resource-set.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import { agentProgram, spentSince, sum, threadSeconds } from '../pods/agent.ts';
import type { Scene } from './scene.ts';
import { askedBy, countTraffic, trafficBytes } from './traffic.ts';

/** Who an agent is to the API server. */
export const USER = 'system:serviceaccount:flatroute-system:flatroute-agent';
export const CONFLIST = '/etc/cni/net.d/05-flatroute.conflist';

/** A node with a link to a router at 192.0.2.1, AS 65100, and one to the API server. */
export interface Place {
  readonly scene: Scene;
  readonly node: Host;
  readonly tor: Host;
}

/** flatroute's objects are there, and `resources`; nothing runs on node and router. */
export async function makePlace(scene: Scene, resources: string): Promise<Place> {
  const { lab, host: api, plane } = scene;
  const node = await lab.addHost('node', { forwarding: true });
  const tor = await lab.addHost('tor', { forwarding: true });
  await lab.link({
    a: node,
    b: tor,
    addresses: [
      ['192.0.2.11/24', '192.0.2.1/24'],
      ['2001:db8::11/64', '2001:db8::1/64'],
    ],
  });
  await lab.link({ a: node, b: api, addresses: [['203.0.113.1/31', '203.0.113.0/31']] });
  await node.ip(['route add 198.51.100.1/32 via 203.0.113.0']);
  await installPlugin(node);
  await plane.run(['apply', '-k', resolve('deploy/kustomize')]);
  await plane.run(['apply', '-f', '-'], resources);
  await countTraffic(node);
  return { scene, node, tor };
}

export async function installPlugin(node: Host): Promise<void> {
  const copy = `cp ${resolve('build/flatroute-cni')} /run/cni/bin/flatroute`;
  await node.run(['sh', '-c', `mkdir -p /run/cni/bin /etc/cni/net.d && ${copy}`]);
}

const NAMESPACE = 'flatroute-system';
const pods: ResourceType = { group: '', version: 'v1', plural: 'pods', kind: 'Pod', namespaced: true };

/** What the kubelet would give the agent's pod on this node. */
export async function credentials({ scene }: Pick<Place, 'scene'>, node: string): Promise<string> {
  const name = `agent-${node}`;
  await scene.store.create(pods, {
    metadata: { name, namespace: NAMESPACE },
    spec: { nodeName: node, serviceAccountName: 'flatroute-agent', containers: [{ name: 'agent', image: 'agent' }] },
  });
  return await scene.plane.tokenKubeconfig(
    name,
    await scene.plane.serviceAccountToken(NAMESPACE, 'flatroute-agent', name),
  );
}

export async function launch(
  { node: host }: Pick<Place, 'node'>,
  node: string,
  kubeconfig: string,
  {
    switches = [],
    environment = {},
  }: { readonly switches?: readonly string[]; readonly environment?: Readonly<Record<string, string>> } = {},
): Promise<LabProcess> {
  const words = [
    'agent',
    '--kubernetes',
    '--kubeconfig',
    kubeconfig,
    '--node',
    node,
    '--state-dir',
    `/run/state-${node}`,
  ];
  const list = ['--conflist', CONFLIST, '--cni-bin', '/run/cni/bin'];
  return await host.spawn(
    [process.execPath, ...switches, agentProgram(), ...words, ...list, '--withdraw-on-stop', '--log-level', 'warn'],
    { log: `agent-${node}`, environment },
  );
}

/** With the addresses that the agent of the place has, if it is given none. */
export const createNode = async (
  { scene }: Pick<Place, 'scene'>,
  name: string,
  [ipv4, ipv6]: readonly [string, string] = ['192.0.2.11', '2001:db8::11'],
): Promise<void> => {
  await scene.store.create(typeOf(kindLists.nodes), {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      annotations: { 'flatroute.io/bgp-address-ipv4': ipv4, 'flatroute.io/bgp-address-ipv6': ipv6 },
    },
  });
};

export interface Spent {
  readonly requests: readonly string[];
  readonly bytes: number;
  readonly cpuSeconds: number;
}

/** What an action costs at the API and in the agent, until everything that it caused has settled. */
export async function spentBy(place: Place, agent: LabProcess, action: () => Promise<void>): Promise<Spent> {
  const before = askedBy(place.scene.host, USER).requests.length;
  const bytes = await trafficBytes(place.node);
  const threads = threadSeconds(agent.pid);
  await action();
  return {
    requests: askedBy(place.scene.host, USER).requests.slice(before),
    bytes: (await trafficBytes(place.node)) - bytes,
    cpuSeconds: sum(spentSince(agent.pid, threads).map(([, used]) => used)),
  };
}
