/** Which nodes are kept from new pods: one that booted until its block is announced, and of those that lost their routers not all. */
import assert from 'node:assert/strict';
import { seconds } from '#lib/time.ts';
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import { ROUTING_TAINT } from '#lab/kubernetes/kubelet-config.ts';
import { routerDescription, routerNames } from '#lab/kubernetes/plan.ts';
import { found, notYet } from '#lab/wait.ts';
import { nodesOf } from './load-balancer.ts';
import { everybodyAnswers } from './reach.ts';
import { print, sessionsUp } from './world.ts';

interface NodeObject {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly taints?: readonly { readonly key: string }[] };
  readonly status: {
    readonly conditions: readonly { readonly type: string; readonly reason: string; readonly message: string }[];
    readonly nodeInfo: { readonly bootID: string };
  };
}

interface Routing {
  readonly tainted: boolean;
  /** Of NetworkUnavailable. */
  readonly reason: string;
  readonly message: string;
  readonly established: number;
  /** Of the kernel, as the kubelet and the agent say it. */
  readonly booted: { readonly kubelet: string; readonly agent: string };
}

async function routingOf(cluster: Cluster, name: string): Promise<Routing> {
  const node = JSON.parse(await cluster.plane.run(['get', 'node', name, '-o', 'json'])) as NodeObject;
  const condition = node.status.conditions.find(({ type }) => type === 'NetworkUnavailable');
  const path = 'jsonpath={.status.routing.established} {.status.bootID}';
  const [established, agent = ''] = (await cluster.plane.run(['get', 'bgpnodestate', name, '-o', path])).split(' ');
  return {
    tainted: (node.spec.taints ?? []).some(({ key }) => key === ROUTING_TAINT),
    reason: condition?.reason ?? '',
    message: condition?.message ?? '',
    booted: { kubelet: node.status.nodeInfo.bootID, agent },
    established: Number(established),
  };
}

async function untilRouting(
  cluster: Cluster,
  name: string,
  what: string,
  so: (routing: Routing) => boolean,
): Promise<Routing> {
  return await cluster.until(
    `${name} to be ${what}`,
    async () => {
      const routing = await routingOf(cluster, name);
      return so(routing) ? found(routing) : notYet(JSON.stringify(routing));
    },
    seconds(300),
  );
}

/** The routers do not know it as a neighbour. */
async function forget(cluster: Cluster, node: string | undefined): Promise<void> {
  for (const name of routerNames) {
    const all = routerDescription(name);
    await cluster.network.routers[name].reconfigure({ ...all, peers: all.peers.filter((peer) => peer.name !== node) });
  }
}

async function blocksOf(cluster: Cluster, node: string): Promise<readonly string[]> {
  const argv = ['get', 'ipblocks', `--field-selector=spec.node=${node}`, '-o', 'jsonpath={.items[*].spec.cidr}'];
  return (await cluster.plane.run(argv)).split(' ').filter((cidr) => cidr !== '');
}

/** Its sessions do not come up at first, so that there is a while in which it is Ready to its kubelet alone. */
export async function rebootedNode(cluster: Cluster): Promise<void> {
  const name = 'node-2';
  const before = await untilRouting(cluster, name, 'without the taint', ({ tainted }) => !tainted);
  await forget(cluster, name);
  await cluster.rebootNode(name);
  const { message } = await untilRouting(cluster, name, 'tainted after its boot', ({ tainted, reason, booted }) => {
    return tainted && reason === 'NodeRebooted' && booted.kubelet !== before.booted.kubelet;
  });
  print(`${name} booted and has the taint: ${message}`);
  await cluster.nodesReady();
  const waiting = await untilRouting(
    cluster,
    name,
    'heard of from its agent',
    (now) => now.booted.agent === now.booted.kubelet && now.message !== message,
  );
  assert.ok(waiting.tainted, 'nobody announces its blocks');
  print(`its kubelet and its agent are there, and it still has the taint: ${waiting.message}`);
  await forget(cluster, undefined);
  const blocks = await blocksOf(cluster, name);
  await untilRouting(
    cluster,
    name,
    'without the taint',
    ({ tainted, reason }) => !tainted && reason === 'RoutingReady',
  );
  await sessionsUp(cluster, [name]);
  print(`its sessions are up and ${blocks.join(' and ')} announced; the taint is gone`);
  await everybodyAnswers(cluster);
}

/** What a watch of all Nodes has told: how many had the taint at once at most. */
function mostTainted(log: string): number {
  const tainted = new Set<string>();
  let most = 0;
  for (const line of log.split('\n')) {
    const [name = '', ...keys] = line.trim().split(' ');
    if (keys.includes(ROUTING_TAINT)) tainted.add(name);
    else tainted.delete(name);
    most = Math.max(most, tainted.size);
  }
  return most;
}

export async function routersReload(cluster: Cluster): Promise<void> {
  for (const name of nodesOf(cluster))
    await untilRouting(cluster, name, 'without the taint', ({ tainted }) => !tainted);
  const watch = await cluster.plane.watch('nodes', '{.metadata.name} {.spec.taints[*].key}{"\\n"}');
  await cluster.until('the watch of the nodes to have begun', async () => {
    const told = await watch.log();
    return nodesOf(cluster).every((name) => told.includes(name)) ? found(undefined) : notYet(told);
  });
  for (const name of routerNames) await cluster.network.routers[name].stop('SIGTERM');
  print('both routers are stopped');
  await cluster.until('every node to have lost its sessions, and one to have the taint', async () => {
    const all = await Promise.all(nodesOf(cluster).map(async (name) => await routingOf(cluster, name)));
    const [lost, tainted] = [all.filter((one) => one.established === 0), all.filter((one) => one.tainted)];
    return lost.length === all.length && tainted.length === 1
      ? found(print(`every session is lost; one node has the taint: ${tainted[0]?.message}`))
      : notYet(JSON.stringify(all));
  });
  for (const name of routerNames) await cluster.network.routers[name].start();
  await sessionsUp(cluster);
  for (const name of nodesOf(cluster))
    await untilRouting(cluster, name, 'without the taint', ({ tainted }) => !tainted);
  const log = await watch.log();
  watch.kill('SIGKILL');
  assert.equal(mostTainted(log), 1, log);
  print('the routers are back and no node has the taint; never had more than one');
}
