/**
 * Services through kube-proxy, which is in iptables mode on odd nodes and in nftables mode on even ones: who reaches what by which
 * way, and the source address that the pod sees. Everybody asks one pod on each node through its Service: from that pod itself
 * (hairpin), from pods, nodes and the VM.
 */
import assert from 'node:assert/strict';
import { families, familyOf } from '#lib/ip.ts';
import type { Family, IpAddress } from '#lib/ip.ts';
import type { Endpoint } from '#lab/endpoint.ts';
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import { WITNESS_PORT } from '#lab/kubernetes/network.ts';
import { nodeAddress, VM_ADDRESS } from '#lab/kubernetes/plan.ts';
import { deployment, service } from '#lab/kubernetes/workloads.ts';
import { PodEndpoint } from '#lab/pod-endpoint.ts';
import { found, notYet } from '#lab/wait.ts';
import { addressesOf, endpointsOf, onNode, untilAllRight, untilAnswered } from './ask.ts';
import type { Question } from './ask.ts';
import { numberOf, print } from './world.ts';

const policies = ['Cluster', 'Local'] as const;
type Policy = (typeof policies)[number];

const NODE_PORTS = { lone: 30_100, local: 30_110, sticky: 30_120 } as const;
const ASKED = 12;

/** `lone-N` has one pod on node-N, with label `lone`, and Services of both policies; `sticky` is of all pods of `web`. */
export async function startServices(cluster: Cluster): Promise<void> {
  const nodePort = (at: number): object => ({ ports: [{ port: 80, targetPort: WITNESS_PORT, nodePort: at }] });
  await cluster.apply(
    ...cluster.nodes.flatMap(({ name: node }) => {
      const name = `lone-${numberOf(node)}`;
      return [
        deployment({ name, node, labels: { lone: 'yes' } }),
        service(name, name, { type: 'NodePort', ...nodePort(NODE_PORTS.lone + numberOf(node)) }),
        service(name, `${name}-local`, {
          type: 'NodePort',
          externalTrafficPolicy: 'Local',
          ...nodePort(NODE_PORTS.local + numberOf(node)),
        }),
      ];
    }),
    service('web', 'sticky', { type: 'NodePort', sessionAffinity: 'ClientIP', ...nodePort(NODE_PORTS.sticky) }),
  );
  for (const { name } of cluster.nodes) await cluster.podsReady('default', `app=lone-${numberOf(name)}`, 1);
}

export async function clusterIp(cluster: Cluster, name: string, family: Family): Promise<IpAddress> {
  const argv = ['get', 'service', name, '-o', 'jsonpath={.spec.clusterIPs[*]}'];
  const addresses = (await cluster.plane.run(argv)).split(' ') as IpAddress[];
  const address = addresses.find((one) => familyOf(one) === family);
  assert.ok(address !== undefined, `Service ${name} has no ${family} address`);
  return address;
}

export interface Client {
  readonly kind: 'pod' | 'node' | 'vm';
  readonly label: string;
  readonly from: Endpoint;
  /** The addresses that it has without translation; nodes have several. */
  readonly own: readonly string[];
  /** Where it is; the VM is nowhere. */
  readonly node: string | undefined;
}

/** The node whose port is asked. */
interface Via {
  readonly node: string;
  readonly addresses: readonly string[];
}

interface Target {
  readonly pod: PodEndpoint;
  readonly node: string;
  readonly clusterIp: IpAddress;
}

export const modeOf = (node: string): string => `${node} (${numberOf(node) % 2 === 0 ? 'nftables' : 'iptables'})`;

const podOf = (client: Client, target: Target): string =>
  client.from === target.pod ? 'itself' : `pod on ${target.node}`;

/** `taken`: addresses of the node that translates. */
export function seenBy(
  client: Client,
  target: PodEndpoint,
  taken: readonly string[],
  way: Policy | 'ClusterIP',
): readonly string[] {
  // What comes back to its sender is masqueraded, or the pod would answer itself past the node.
  if (client.from === target || way === 'Cluster') return taken;
  return client.own;
}

/** The VM, and of each node itself and its pod `lone-N`. */
export async function clientsOf(cluster: Cluster, family: Family): Promise<readonly Client[]> {
  const vm: Client = { kind: 'vm', label: 'VM', from: cluster.network.vm, own: [VM_ADDRESS[family]], node: undefined };
  const inside = cluster.nodes.map(async ({ name: node, host }): Promise<readonly Client[]> => {
    const pod = onNode(await endpointsOf(cluster, `lone-${numberOf(node)}`), node);
    return [
      { kind: 'pod', label: `pod on ${modeOf(node)}`, from: pod, own: [pod.address(family)], node },
      { kind: 'node', label: modeOf(node), from: host, own: await addressesOf(host, family), node },
    ];
  });
  return [vm, ...(await Promise.all(inside)).flat()];
}

/** Through the port of a node: dropped where a stranger asks for a pod that the node does not have. */
function byNodePort(client: Client, target: Target, via: Via, policy: Policy, family: Family): Question {
  const port = (policy === 'Local' ? NODE_PORTS.local : NODE_PORTS.lone) + numberOf(target.node);
  // Pods, and the node itself, are of the cluster: the policy is for what comes from outside.
  const stranger = client.kind === 'vm' || (client.kind === 'node' && client.node !== via.node);
  const silent = policy === 'Local' && stranger && target.node !== via.node;
  return {
    from: client.from,
    label: [client.label, `NodePort of ${modeOf(via.node)}, ${policy}, ${podOf(client, target)}`],
    address: nodeAddress(numberOf(via.node), family),
    port,
    answers: silent ? [] : [target.pod.name],
    sees: seenBy(client, target.pod, via.addresses, policy),
  };
}

async function questions(cluster: Cluster, family: Family): Promise<readonly Question[]> {
  const clients = await clientsOf(cluster, family);
  const vias = clients.flatMap(({ kind, node, own }) =>
    kind === 'node' && node !== undefined ? [{ node, addresses: own }] : [],
  );
  const targets: Target[] = [];
  for (const { from, node } of clients)
    if (from instanceof PodEndpoint && node !== undefined)
      targets.push({ pod: from, node, clusterIp: await clusterIp(cluster, `lone-${numberOf(node)}`, family) });
  const byClusterIp = (client: Client, target: Target): Question => ({
    from: client.from,
    label: [client.label, `ClusterIP, ${podOf(client, target)}`],
    address: target.clusterIp,
    port: 80,
    answers: [target.pod.name],
    sees: seenBy(client, target.pod, vias.find(({ node }) => node === client.node)?.addresses ?? [], 'ClusterIP'),
  });
  return clients.flatMap((client) =>
    targets.flatMap((target) => [
      ...(client.kind === 'vm' ? [] : [byClusterIp(client, target)]),
      ...vias.flatMap((via) => policies.map((policy) => byNodePort(client, target, via, policy, family))),
    ]),
  );
}

async function affinity(cluster: Cluster): Promise<void> {
  const web = (await endpointsOf(cluster, 'web')).map(({ name }) => name);
  const answering = async (
    from: Endpoint,
    address: IpAddress,
    port: number,
  ): Promise<ReadonlySet<string | undefined>> =>
    new Set((await untilAnswered(cluster, { from, address, port }, web, ASKED)).map(({ name }) => name));
  for (const family of families) {
    const [sticky, plain] = [await clusterIp(cluster, 'sticky', family), await clusterIp(cluster, 'outside', family)];
    for (const node of cluster.nodes) {
      const pod = onNode(await endpointsOf(cluster, `lone-${numberOf(node.name)}`), node.name);
      const at = nodeAddress(numberOf(node.name), family);
      const ways = [
        ['pod, ClusterIP', pod, sticky, 80],
        ['VM, NodePort', cluster.network.vm, at, NODE_PORTS.sticky],
      ] as const;
      for (const [who, from, address, port] of ways) {
        const names = await cluster.until(`one pod to answer ${who} at ${node.name}`, async () => {
          const all = await answering(from, address, port);
          return all.size === 1 ? found(all) : notYet([...all].join(' '));
        });
        print(`${modeOf(node.name)} ${family}: affinity, ${who}: ${ASKED} times ${[...names].join()}`);
      }
      const without = await answering(pod, plain, 80);
      assert.ok(without.size > 1, `without affinity only ${[...without].join()} answered`);
    }
  }
}

/** What every pod wants first: the Service of the API server, whose endpoint is no pod. */
async function apiServerAnswers(cluster: Cluster): Promise<void> {
  const address = await clusterIp(cluster, 'kubernetes', 'ipv4');
  for (const { name } of cluster.nodes) {
    const pod = onNode(await endpointsOf(cluster, `lone-${numberOf(name)}`), name);
    await cluster.until(`a pod on ${name} to reach the API server`, async () => {
      const { code, stderr } = await pod.exec(['timeout', '5', 'bash', '-c', `exec 3<>/dev/tcp/${address}/443`]);
      return code === 0 ? found(undefined) : notYet(stderr);
    });
    print(`${modeOf(name)}: a pod reaches the API server at ${address}`);
  }
}

export async function servicesThroughKubeProxy(cluster: Cluster): Promise<void> {
  await startServices(cluster);
  for (const family of families)
    await untilAllRight(cluster, `Services over ${family}`, async () => await questions(cluster, family));
  await affinity(cluster);
  await apiServerAnswers(cluster);
}
