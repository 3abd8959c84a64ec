// A cluster as kubeadm leaves it, then flatroute from deploy/: one cluster for all of it, each test goes on where the one before it ended.
import { after, before, describe, test } from 'node:test';
import { seconds } from '#lib/time.ts';
import { Cluster } from '#lab/kubernetes/cluster.ts';
import { found, notYet } from '#lab/wait.ts';
import type { NodeAgent } from '#lab/node-agent.ts';
import { keepLogsOnFailure, step } from '../steps.ts';
import { burst } from './burst.ts';
import { underFlow } from './flow.ts';
import { startAgentsFromFiles } from './from-files.ts';
import { installDefinitions } from './install.ts';
import { everybodyAsks, startWorkloads } from './reach.ts';
import { routerDownAndUp } from './router-down.ts';
import { print, sessionsUp } from './world.ts';
import { wrongObjectsAreRefused } from './wrong.ts';

let cluster: Cluster;
let agents: readonly NodeAgent[] = [];
keepLogsOnFailure(() => cluster?.lab.hosts ?? []);
after(async () => await cluster?.[Symbol.asyncDispose]());

describe('a cluster of two nodes', { timeout: seconds(600) }, () => {
  before(async () => {
    cluster = await step('control plane, routers, two nodes', Cluster.create({ nodes: 2, taint: false }));
  });

  test('without a network no node is Ready, and each says why', async () => {
    type NodeObject = {
      readonly status: { readonly conditions: readonly { readonly type: string; readonly message: string }[] };
    };
    await cluster.until('every node to say why it is not Ready', async () => {
      const { items } = JSON.parse(await cluster.plane.run(['get', 'nodes', '-o', 'json'])) as {
        readonly items: readonly NodeObject[];
      };
      const said = items.map(({ status }) => status.conditions.find(({ type }) => type === 'Ready')?.message ?? '');
      return said.length === 2 && said.every((text) => text.includes('cni plugin not initialized'))
        ? found(undefined)
        : notYet(said.join(' | '));
    });
  });

  test('agents make the nodes Ready, and pods, nodes and the VM see each other by their own addresses', async () => {
    agents = await step('agents', startAgentsFromFiles(cluster));
    await step('nodes Ready', cluster.nodesReady());
    await step('sessions', sessionsUp(cluster));
    await step('workloads', startWorkloads(cluster));
    await everybodyAsks(cluster, print);
  });

  test('no datagram is lost while each agent in turn is away', async () => {
    await underFlow(cluster, async (told) => {
      for (const agent of agents) {
        agent.process.kill('SIGTERM');
        await agent.process.exited;
        told(`no agent on ${agent.host.name}`);
        await agent.start();
        await sessionsUp(cluster, [agent.host.name]);
        told(`an agent on ${agent.host.name}`);
      }
    });
  });

  test('a hundred pods at once', async () => await burst(cluster));

  test('a router goes down and comes back', async () => await routerDownAndUp(cluster, 'tor-a'));

  test('wrong objects are refused with a sentence', async () => {
    await installDefinitions(cluster);
    await wrongObjectsAreRefused(cluster);
  });
});
