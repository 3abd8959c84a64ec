// A cluster as kubeadm leaves it, then flatroute from deploy/: one cluster for all of it, each test goes on where the one before it
// ended. What a test needs of those before it is done once by whoever is first, so that one scenario can be run alone:
//   npm run test:kube -- test/kube/cluster/cluster.test.ts --test-name-pattern='kube-proxy'
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { seconds } from '#lib/time.ts';
import { Cluster } from '#lab/kubernetes/cluster.ts';
import { found, notYet } from '#lab/wait.ts';
import { keepLogsOnFailure, step } from '../steps.ts';
import { withoutApi } from './api-away.ts';
import { burst } from './burst.ts';
import { withoutController } from './controller-away.ts';
import { underFlow } from './flow.ts';
import { buildImage, install } from './install.ts';
import { servicesThroughKubeProxy } from './kube-proxy.ts';
import { loadBalancersAreReached } from './load-balancer.ts';
import { nodeGoneAndBack } from './node-gone.ts';
import { rebootedNode, routersReload } from './readiness.ts';
import { everybodyAnswers, everybodyAsks, startWorkloads } from './reach.ts';
import { routerDownAndUp } from './router-down.ts';
import { newerSchemaAndBack } from './rollback.ts';
import { passwordFromSecret } from './secret.ts';
import { sharedAddress, twoPools } from './sharing.ts';
import { uninstall } from './uninstall.ts';
import { eachWithoutAgent, rollAgents, rollBack } from './upgrade.ts';
import { withdrawnWithEndpoints, withdrawnWithoutProxy } from './withdrawn.ts';
import { print, sessionsUp } from './world.ts';
import { wrongObjectsAreRefused } from './wrong.ts';
import { wrongBesideOthers } from './wrong-together.ts';

let cluster: Cluster;
/** The tar of our image: a node that joins later wants it too. */
const images = mkdtempSync(join(tmpdir(), 'flatroute-image-'));
/** Milliseconds; what takes longer in the world is proved by less here, and by all of it with these variables. */
const AGENT_AWAY = Number(process.env['FLATROUTE_AGENT_AWAY'] ?? 10_000);
const API_AWAY = Number(process.env['FLATROUTE_API_AWAY'] ?? 20_000);
/** Path of a tar with image flatroute:older (`scripts/image.mjs --name flatroute:older` in an older checkout): the agents go back to it. */
const OLDER_IMAGE = process.env['FLATROUTE_OLDER_IMAGE'];
keepLogsOnFailure(() => cluster?.lab.hosts ?? []);
after(async () => {
  await cluster?.[Symbol.asyncDispose]();
  await rm(images, { recursive: true, force: true });
});

const once = <T>(work: () => Promise<T>): (() => Promise<T>) => {
  let begun: Promise<T> | undefined;
  return async () => await (begun ??= work());
};
/** flatroute from deploy/ with sessions to both routers, and pods on every node. */
const installed = once(async () => {
  await step('install', install(cluster));
  await step('nodes Ready', cluster.nodesReady());
  await step('sessions', sessionsUp(cluster));
  await step('workloads', startWorkloads(cluster));
});
const scenario = (name: string, work: (cluster: Cluster) => Promise<void>): void => {
  void test(name, async () => {
    await installed();
    await work(cluster);
  });
};

describe('a cluster of two nodes', { timeout: seconds(2400) }, () => {
  before(async () => {
    const tars = [buildImage(images), ...(OLDER_IMAGE === undefined ? [] : [OLDER_IMAGE])];
    cluster = await step('control plane, routers, two nodes', Cluster.create({ nodes: 2, images: tars }));
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

  scenario(
    'from deploy/: nodes are Ready, and pods, nodes and the VM see each other by their own addresses',
    async () => await everybodyAsks(cluster, print),
  );

  scenario(
    'kube-proxy in iptables and in nftables mode: every way to a Service, hairpin and affinity included',
    servicesThroughKubeProxy,
  );

  scenario('the VM reaches load balancers under both policies', loadBalancersAreReached);

  scenario('endpoints of a load balancer go, the last one too: its route is withdrawn', withdrawnWithEndpoints);

  scenario('kube-proxy of a node is stopped: the node announces no Service', withdrawnWithoutProxy);

  scenario('two pools of addresses for load balancers', twoPools);

  scenario('two Services share an address by their key', sharedAddress);

  scenario(
    'the controller is killed, and stopped past its lease: no address is given twice or lost',
    withoutController,
  );

  scenario('both routers reload: at most maxUnready nodes have the taint', routersReload);

  scenario('a node is rebooted: it has the taint until its blocks are announced', rebootedNode);

  scenario('no datagram is lost while the DaemonSet is rolled, and while each node in turn has no agent', async () => {
    await underFlow(cluster, async (told) => {
      await rollAgents(cluster);
      told('the DaemonSet was rolled');
      if (OLDER_IMAGE !== undefined) await rollBack(cluster, 'flatroute:older', told);
      await eachWithoutAgent(cluster, AGENT_AWAY, told);
    });
  });

  scenario('a hundred pods at once', burst);

  scenario('a router goes down and comes back', async () => await routerDownAndUp(cluster, 'tor-a'));

  scenario('wrong objects are refused with a sentence', wrongObjectsAreRefused);

  scenario('objects that are wrong beside others have a condition that says so', wrongBesideOthers);

  scenario("a peer's Secret is set, changed and removed", passwordFromSecret);

  scenario('kinds of a newer flatroute, and back: no session goes down', newerSchemaAndBack);

  scenario('without the API server pods start and stop, sessions stay, an agent and a node come back', async () => {
    await withoutApi(cluster, API_AWAY);
    await step('everybody reaches everybody', everybodyAnswers(cluster));
  });

  scenario('blocks of a deleted Node are collected, no sooner; its name can be used again', nodeGoneAndBack);

  scenario('uninstalled, nothing of flatroute is left', uninstall);
});
