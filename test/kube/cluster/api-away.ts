/** The API server is away for a while: what runs goes on, pods start and stop, an agent dies, a node boots again. */
import assert from 'node:assert/strict';
import { families } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import { WITNESS_PORT } from '#lab/kubernetes/network.ts';
import type { KubernetesNode } from '#lab/kubernetes/node.ts';
import { VM_ADDRESS } from '#lab/kubernetes/plan.ts';
import { flatroute } from '#lab/program.ts';
import { WITNESS_IMAGE } from '#lab/runtime/images.ts';
import { found, notYet } from '#lab/wait.ts';
import { ask } from './ask.ts';
import { agentOf, print, sessionsUp, SYSTEM } from './world.ts';

const STATIC_POD = 'static-web';

/** What kubelet makes of a file is named after the file's pod and the node. */
const staticPod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: STATIC_POD, namespace: 'default' },
  spec: {
    terminationGracePeriodSeconds: 1,
    containers: [{ name: 'witness', image: WITNESS_IMAGE, imagePullPolicy: 'Never', args: [String(WITNESS_PORT)] }],
  },
};

async function sandboxesOf(node: KubernetesNode): Promise<number> {
  const rows = await node.containerd.cri.listPodSandbox();
  return rows.filter(({ name, ready }) => ready && name === `${STATIC_POD}-${node.name}`).length;
}

/** kubelet starts it from a file, and the VM reaches it by its own address in both families. */
async function podStarts(cluster: Cluster, node: KubernetesNode): Promise<readonly string[]> {
  await node.writeStaticPod(STATIC_POD, staticPod);
  await cluster.until(`kubelet of ${node.name} to run a pod from a file`, async () =>
    (await sandboxesOf(node)) === 1 ? found(undefined) : notYet(await node.logTail('kubelet', 3)),
  );
  const name = `${STATIC_POD}-${node.name}`;
  const row = (await agentOf(cluster, node.name).pods()).find(({ pod, state }) => pod === name && state === 'live');
  assert.ok(row !== undefined, `the agent of ${node.name} has no pod ${name}`);
  const pod = await cluster.endpoint({
    metadata: { name, namespace: 'default', uid: '' },
    spec: { nodeName: node.name },
    status: {},
  });
  for (const family of families)
    await cluster.until(`the VM to reach the pod on ${node.name}`, async () => {
      const answer = await ask({
        from: cluster.network.vm,
        label: ['VM', 'static pod'],
        address: pod.address(family),
        port: WITNESS_PORT,
        answers: [name],
        sees: [VM_ADDRESS[family]],
      });
      return answer.right ? found(undefined) : notYet(answer.saw);
    });
  return row.addresses;
}

/** kubelet ends it when its file is gone. */
async function podStops(cluster: Cluster, node: KubernetesNode): Promise<void> {
  const name = `${STATIC_POD}-${node.name}`;
  await node.writeStaticPod(STATIC_POD, undefined);
  await cluster.until(`the pod on ${node.name} to be gone`, async () => {
    const left = (await agentOf(cluster, node.name).pods()).filter((one) => one.pod === name);
    return left.length === 0 && (await sandboxesOf(node)) === 0 ? found(undefined) : notYet(JSON.stringify(left));
  });
}

/** How often each session of a node went down so far. */
async function flaps(cluster: Cluster, node: string): Promise<Readonly<Record<string, number>>> {
  return Object.fromEntries((await agentOf(cluster, node).peers()).map((peer) => [peer.name, peer.flaps]));
}

/** Process ids of the agent's main process, as the node's namespace counts. */
async function agentPids(node: KubernetesNode): Promise<readonly string[]> {
  const lines = await node.host.processes();
  return lines.filter((line) => line.includes(' agent --kubernetes')).map((line) => line.split(' ')[0] ?? '');
}

/** `kill -9`; kubelet starts the container again, without the API. */
async function killAgent(cluster: Cluster, node: KubernetesNode): Promise<void> {
  const before = await agentPids(node);
  assert.ok(before.length > 0, `no agent on ${node.name}`);
  await node.host.run(['kill', '-9', ...before]);
  await cluster.until(`an agent to be on ${node.name} again`, async () => {
    const now = await agentPids(node);
    return now.some((pid) => !before.includes(pid)) ? found(undefined) : notYet(`pids ${now.join(' ')}`);
  });
  await sessionsUp(cluster, [node.name]);
}

/**
 * At least so long without the API server. A kubelet that boots meanwhile knows only the pods of its files, so a DaemonSet's
 * agent comes back with the API: on the rebooted node an agent is started as a process, with what its disk holds.
 */
export async function withoutApi(cluster: Cluster, milliseconds: number): Promise<void> {
  const [first, second] = cluster.nodes;
  if (first === undefined || second === undefined) throw new TypeError('two nodes');
  const before = await Promise.all(cluster.nodes.map(async ({ name }) => await flaps(cluster, name)));
  const kubeconfig = await cluster.plane.kubeconfig(`system:serviceaccount:${SYSTEM}:flatroute-agent`);
  const since = performance.now();
  await cluster.plane.stopApiServer();
  print('no API server');
  for (const node of cluster.nodes) {
    const addresses = await podStarts(cluster, node);
    await podStops(cluster, node);
    print(`${node.name}: a pod started (${addresses.join(', ')}), was reached by the VM, and stopped`);
  }
  await cluster.until(
    'the time without the API server',
    async () =>
      await Promise.resolve(performance.now() - since >= milliseconds ? found(undefined) : notYet('not over')),
    seconds(milliseconds / 1000 + 10),
  );
  const after = await Promise.all(cluster.nodes.map(async ({ name }) => await flaps(cluster, name)));
  assert.deepEqual(after, before, 'every session stayed');
  print('every session stayed');
  await killAgent(cluster, first);
  await podStarts(cluster, first);
  await podStops(cluster, first);
  print(`${first.name}: its agent was killed; the next one serves pods from what was read last`);

  const booted = await cluster.rebootNode(second.name);
  const agent = await booted.host.spawn(
    flatroute('agent', '--kubernetes', '--kubeconfig', kubeconfig, '--node', second.name),
    { log: 'flatroute.log' },
  );
  await sessionsUp(cluster, [second.name]);
  const addresses = await podStarts(cluster, booted);
  print(`${second.name}: booted anew; sessions are up, a pod started (${addresses.join(', ')})`);
  agent.kill('SIGTERM');
  await agent.exited;
  await cluster.plane.startApiServer();
  print(`the API server is back after ${((performance.now() - since) / 1000).toFixed(0)} s`);
  await cluster.nodesReady();
  await sessionsUp(cluster);
  // A kubelet that has never reached the API ends no pod.
  await podStops(cluster, booted);
}
