/** A router loses its power and gets it back. */
import { families } from '#lib/ip.ts';
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import type { RouterName } from '#lab/kubernetes/plan.ts';
import { rackAddress } from '#lab/kubernetes/plan.ts';
import { found, notYet } from '#lab/wait.ts';
import { everybodyAnswers } from './reach.ts';
import { print, sessionsUp } from './world.ts';

/** Default routes of a node and the routers that they lead to. */
async function defaultsBy(cluster: Cluster, node: string, router: RouterName): Promise<number> {
  const routes = await cluster.node(node).host.routes();
  const hops = families.map((family) => rackAddress(router, 1, family));
  return routes.filter(
    ({ prefix, nextHops }) =>
      (prefix === '0.0.0.0/0' || prefix === '::/0') && nextHops.some((hop) => hops.some((one) => hop.includes(one))),
  ).length;
}

export async function routerDownAndUp(cluster: Cluster, router: RouterName): Promise<void> {
  const began = performance.now();
  const took = (): string => `${((performance.now() - began) / 1000).toFixed(1)} s`;
  await cluster.network.powerOff(router);
  for (const { name } of cluster.nodes)
    await cluster.until(`${name} to leave ${router}`, async () => {
      const left = await defaultsBy(cluster, name, router);
      return left === 0 ? found(undefined) : notYet(`${left} default routes lead to it`);
    });
  print(`no node has a route by ${router} ${took()} after its power was cut`);
  await everybodyAnswers(cluster);
  print('everybody reaches everybody by the other router, as before');
  await cluster.network.powerOn(router);
  await sessionsUp(cluster);
  for (const { name } of cluster.nodes)
    await cluster.until(`${name} to use ${router} again`, async () => {
      const there = await defaultsBy(cluster, name, router);
      return there === families.length ? found(undefined) : notYet(`${there} default routes lead to it`);
    });
  await everybodyAnswers(cluster);
  await cluster.nodesReady();
  print(`${router} is used again`);
}
