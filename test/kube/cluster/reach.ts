/** Everybody asks everybody, in both families: who answers, and the source address that it sees. */
import { families, familyOf } from '#lib/ip.ts';
import type { Family, IpAddress } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import type { Endpoint } from '#lab/endpoint.ts';
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import { WITNESS_PORT } from '#lab/kubernetes/network.ts';
import { nodeAddress, VM_ADDRESS } from '#lab/kubernetes/plan.ts';
import { daemonSet, deployment, service } from '#lab/kubernetes/workloads.ts';
import type { PodEndpoint } from '#lab/pod-endpoint.ts';
import { found, notYet } from '#lab/wait.ts';
import { addressesOf, answerTable, askAll, endpointsOf, onNode, wrongOf } from './ask.ts';
import type { Answer, Question } from './ask.ts';

export const HOST_PORT = 18080;
const NODE_PORT = 30080;
const LOCAL_NODE_PORT = 30081;

interface ServiceObject {
  readonly spec: { readonly clusterIPs: readonly IpAddress[] };
}

/** Two Deployments over all nodes, a DaemonSet with a port of the node, and Services; all Ready. */
export async function startWorkloads(cluster: Cluster): Promise<void> {
  const nodes = cluster.nodes.length;
  await cluster.apply(
    deployment({ name: 'web', replicas: 2 * nodes }),
    deployment({ name: 'api', replicas: 2 * nodes }),
    daemonSet({ name: 'edge', hostPort: HOST_PORT }),
    service('api', 'api'),
    service('web', 'outside', {
      type: 'NodePort',
      ports: [{ port: 80, targetPort: WITNESS_PORT, nodePort: NODE_PORT }],
    }),
    service('edge', 'outside-local', {
      type: 'NodePort',
      externalTrafficPolicy: 'Local',
      ports: [{ port: 80, targetPort: WITNESS_PORT, nodePort: LOCAL_NODE_PORT }],
    }),
  );
  await cluster.podsReady('default', 'app=web', 2 * nodes);
  await cluster.podsReady('default', 'app=api', 2 * nodes);
  await cluster.podsReady('default', 'app=edge', nodes);
}

async function questions(cluster: Cluster, family: Family): Promise<readonly Question[]> {
  const [web, api, edge] = await Promise.all(['web', 'api', 'edge'].map((app) => endpointsOf(cluster, app)));
  if (web === undefined || api === undefined || edge === undefined) throw new TypeError('three workloads');
  const [first, second] = cluster.nodes;
  if (first === undefined || second === undefined) throw new TypeError('two nodes');
  const { vm } = cluster.network;
  const asked = (
    from: Endpoint,
    label: Question['label'],
    address: IpAddress,
    port: number,
    answers: readonly string[],
    sees: readonly string[],
  ): Question => ({ from, label, address, port, answers, sees });
  const [web1, web2, api1, edge1, edge2] = [
    onNode(web, first.name),
    onNode(web, second.name),
    onNode(api, first.name),
    onNode(edge, first.name),
    onNode(edge, second.name),
  ];
  const toPod = (from: Endpoint, label: Question['label'], pod: PodEndpoint, sees: readonly string[]): Question =>
    asked(from, label, pod.address(family), WITNESS_PORT, [pod.name], sees);
  const own = (pod: PodEndpoint): readonly string[] => [pod.address(family)];
  const node1 = await addressesOf(first.host, family);
  const clusterIp = (
    JSON.parse(await cluster.plane.run(['get', 'service', 'api', '-o', 'json'])) as ServiceObject
  ).spec.clusterIPs.find((address) => familyOf(address) === family);
  const node = (n: number): IpAddress => nodeAddress(n, family);
  const vmAddress = VM_ADDRESS[family];
  const names = (pods: readonly PodEndpoint[]): readonly string[] => pods.map(({ name }) => name);
  return [
    toPod(web1, ['pod', 'pod on the same node'], api1, own(web1)),
    toPod(web1, ['pod', 'pod on another node'], web2, own(web1)),
    toPod(web2, ['pod', 'pod on another node'], web1, own(web2)),
    asked(web1, ['pod', 'VM'], vmAddress, WITNESS_PORT, [vm.name], own(web1)),
    asked(web2, ['pod', 'VM'], vmAddress, WITNESS_PORT, [vm.name], own(web2)),
    toPod(vm, ['VM', 'pod on node-1'], web1, [vmAddress]),
    toPod(vm, ['VM', 'pod on node-2'], web2, [vmAddress]),
    toPod(first.host, ['node', 'its pod'], web1, node1),
    toPod(first.host, ['node', 'pod on another node'], web2, node1),
    asked(vm, ['VM', 'hostPort of node-1'], node(1), HOST_PORT, [edge1.name], [vmAddress]),
    asked(vm, ['VM', 'hostPort of node-2'], node(2), HOST_PORT, [edge2.name], [vmAddress]),
    asked(web1, ['pod', 'hostPort of another node'], node(2), HOST_PORT, [edge2.name], own(web1)),
    asked(web1, ['pod', 'Service (ClusterIP)'], clusterIp ?? vmAddress, 80, names(api), own(web1)),
    // Kubernetes' own rule for this policy: the node that took the packet stands in for the client.
    asked(vm, ['VM', 'NodePort, Cluster'], node(1), NODE_PORT, names(web), node1),
    asked(vm, ['VM', 'NodePort, Local'], node(1), LOCAL_NODE_PORT, [edge1.name], [vmAddress]),
  ];
}

async function answersOf(cluster: Cluster): Promise<readonly Answer[]> {
  const answers: Answer[] = [];
  for (const family of families) answers.push(...(await askAll(await questions(cluster, family))));
  return answers;
}

/** Asks all of it and prints the table. */
export async function everybodyAsks(cluster: Cluster, print: (line: string) => void): Promise<void> {
  const answers = await everybodyAnswers(cluster);
  for (const line of answerTable(answers)) print(line);
}

/**
 * Until all answers are right: kubelet and kube-proxy take their time to make the pods of a node that booted anew, and their
 * rules, and a router to give its kernel what it was told.
 */
export async function everybodyAnswers(cluster: Cluster): Promise<readonly Answer[]> {
  return await cluster.until(
    'everybody to reach everybody',
    async () => {
      // It throws where a pod that is being made has no address to ask from.
      const answers = await answersOf(cluster);
      const wrong = wrongOf(answers);
      return wrong.length === 0 ? found(answers) : notYet(wrong.join('; '));
    },
    seconds(300),
  );
}
