// A cluster from its first day to its last: flatroute is installed from deploy/, Services and load balancers, routers, wrong objects,
// nodes that boot and go, a burst of pods, and nothing is left in the end.
import { withoutController } from './controller-away.ts';
import { burst } from './burst.ts';
import { servicesThroughKubeProxy } from './kube-proxy.ts';
import { loadBalancersAreReached } from './load-balancer.ts';
import { nodeGoneAndBack } from './node-gone.ts';
import { notReadyWithoutNetwork } from './install.ts';
import { rebootedNode, routersReload } from './readiness.ts';
import { everybodyAsks } from './reach.ts';
import { routerDownAndUp } from './router-down.ts';
import { newerSchemaAndBack } from './rollback.ts';
import { scenariosOfCluster } from './scenarios.ts';
import { passwordFromSecret } from './secret.ts';
import { sharedAddress, twoPools } from './sharing.ts';
import { uninstall } from './uninstall.ts';
import { withdrawnWithEndpoints, withdrawnWithoutProxy } from './withdrawn.ts';
import { print } from './world.ts';
import { wrongObjectsAreRefused } from './wrong.ts';
import { wrongBesideOthers } from './wrong-together.ts';

scenariosOfCluster('a cluster of two nodes', [], ({ bare, scenario }) => {
  bare('without a network no node is Ready, and each says why', notReadyWithoutNetwork);

  scenario(
    'from deploy/: nodes are Ready, and pods, nodes and the VM see each other by their own addresses',
    async (cluster) => await everybodyAsks(cluster, print),
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

  scenario('a hundred pods at once', burst);

  scenario('a router goes down and comes back', async (cluster) => await routerDownAndUp(cluster, 'tor-a'));

  scenario('wrong objects are refused with a sentence', wrongObjectsAreRefused);

  scenario('objects that are wrong beside others have a condition that says so', wrongBesideOthers);

  scenario("a peer's Secret is set, changed and removed", passwordFromSecret);

  scenario('kinds of a newer flatroute, and back: no session goes down', newerSchemaAndBack);

  scenario('blocks of a deleted Node are collected, no sooner; its name can be used again', nodeGoneAndBack);

  scenario('uninstalled, nothing of flatroute is left', uninstall);
});
