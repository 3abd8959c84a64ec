// A cluster as kubeadm leaves it, then flatroute from deploy/: one cluster for all of it, each test goes on where the one before it ended.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { seconds } from '#lib/time.ts';
import { Cluster } from '#lab/kubernetes/cluster.ts';
import { ROUTING_TAINT } from '#lab/kubernetes/kubelet-config.ts';
import { found, notYet } from '#lab/wait.ts';
import { keepLogsOnFailure, step } from '../steps.ts';

let cluster: Cluster;
keepLogsOnFailure(() => cluster?.lab.hosts ?? []);

describe('a cluster of two nodes', { timeout: seconds(600) }, () => {
  before(async () => {
    cluster = await step('control plane, routers, two nodes', Cluster.create({ nodes: 2 }));
  });
  after(async () => await cluster?.[Symbol.asyncDispose]());

  test('without a network no node is Ready, each says why and keeps pods away by its taint', async () => {
    type NodeObject = {
      readonly spec: { readonly taints?: readonly { readonly key: string }[] };
      readonly status: { readonly conditions: readonly { readonly type: string; readonly message: string }[] };
    };
    const why = await cluster.until('every node to say why it is not Ready', async () => {
      const { items } = JSON.parse(await cluster.plane.run(['get', 'nodes', '-o', 'json'])) as {
        readonly items: readonly NodeObject[];
      };
      const said = items.map(({ status }) => status.conditions.find(({ type }) => type === 'Ready')?.message ?? '');
      return said.length === 2 && said.every((text) => text.includes('cni plugin not initialized'))
        ? found(items)
        : notYet(said.join(' | '));
    });
    for (const { spec } of why) assert.ok(spec.taints?.some(({ key }) => key === ROUTING_TAINT));
  });
});
