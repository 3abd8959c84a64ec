/** An address of a load balancer is withdrawn where nobody serves it: endpoints go, and kube-proxy stops. */
import assert from 'node:assert/strict';
import { families, familyOf } from '#lib/ip.ts';
import type { IpAddress } from '#lib/ip.ts';
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import { untilAnnouncedBy } from './announced.ts';
import { endpointsOf, untilAnswered } from './ask.ts';
import { addressesGiven, startLoadBalancers } from './load-balancer.ts';
import { modeOf } from './kube-proxy.ts';
import { print } from './world.ts';

const ASKED = 12;

const inSeconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(1)} s`;

/** The VM has an answer every time, over both families. */
async function vmIsAnswered(cluster: Cluster, addresses: readonly IpAddress[], app: string): Promise<void> {
  const names = (await endpointsOf(cluster, app)).map(({ name }) => name);
  const from = cluster.network.vm;
  for (const address of addresses) await untilAnswered(cluster, { from, address, port: 80 }, names, ASKED);
  assert.deepEqual(addresses.map(familyOf).sort(), families);
}

async function scale(cluster: Cluster, app: string, replicas: number): Promise<void> {
  await cluster.plane.run(['scale', 'deployment', app, `--replicas=${replicas}`]);
}

export async function withdrawnWithEndpoints(cluster: Cluster): Promise<void> {
  await startLoadBalancers(cluster);
  const [pair, single, local] = await Promise.all(
    ['lb-pair', 'lb-single', 'lb-local-2'].map(async (name) => await addressesGiven(cluster, name)),
  );
  assert.ok(pair !== undefined && single !== undefined && local !== undefined);
  await untilAnnouncedBy(cluster, pair, ['node-1', 'node-2']);

  await scale(cluster, 'lone-2', 0);
  const removed = await untilAnnouncedBy(cluster, pair, ['node-1']);
  print(
    `Local: the endpoint on node-2 is removed; node-2 has withdrawn ${inSeconds(removed)} after the Deployment was scaled`,
  );
  await vmIsAnswered(cluster, pair, 'lone-1');
  print('the VM is answered every time by the one on node-1');
  const last = await untilAnnouncedBy(cluster, [...single, ...local], []);
  print(`both policies: the last endpoint is gone, nobody announces (${inSeconds(last)} later)`);

  await scale(cluster, 'lone-2', 1);
  await cluster.podsReady('default', 'app=lone-2', 1);
  const back = await untilAnnouncedBy(cluster, [...pair, ...single], ['node-1', 'node-2']);
  await untilAnnouncedBy(cluster, local, ['node-2']);
  print(`a new one is ready; announced as before ${inSeconds(back)} later`);
}

export async function withdrawnWithoutProxy(cluster: Cluster): Promise<void> {
  await startLoadBalancers(cluster);
  const node = cluster.node('node-2');
  const [web, local] = [await addressesGiven(cluster, 'lb-web'), await addressesGiven(cluster, 'lb-local-2')];
  await untilAnnouncedBy(cluster, web, ['node-1', 'node-2']);

  await node.stopProxy();
  const stopped = await untilAnnouncedBy(cluster, web, ['node-1']);
  await untilAnnouncedBy(cluster, local, []);
  print(`kube-proxy of ${modeOf(node.name)} is stopped; the node has withdrawn ${inSeconds(stopped)} later`);
  await vmIsAnswered(cluster, web, 'web');
  print('the VM is answered every time, by way of the other node');

  await node.startProxy();
  const started = await untilAnnouncedBy(cluster, web, ['node-1', 'node-2']);
  await untilAnnouncedBy(cluster, local, ['node-2']);
  print(`kube-proxy is back; announced as before ${inSeconds(started)} later`);
  await vmIsAnswered(cluster, web, 'web');
}
