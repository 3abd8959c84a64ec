/** Which nodes the routers have a way to an address by. */
import { hostPrefix, familyOf } from '#lib/ip.ts';
import type { IpAddress, Prefix } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import type { Duration } from '#lib/time.ts';
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import { rackAddress, routerNames } from '#lab/kubernetes/plan.ts';
import type { RouterName } from '#lab/kubernetes/plan.ts';
import { found, notYet } from '#lab/wait.ts';
import { numberOf } from './world.ts';

/** Names of nodes, of those that the cluster has now. */
async function announcers(cluster: Cluster, router: RouterName, prefix: Prefix): Promise<readonly string[]> {
  const family = familyOf(prefix);
  const row = (await cluster.network.routers[router].table(family)).find((one) => one.prefix === prefix);
  return cluster.nodes
    .map(({ name }) => name)
    .filter((name) => row?.nextHops.includes(rackAddress(router, 10 + numberOf(name), family)));
}

/** Both routers have a way to each of these addresses by exactly these nodes. Answers the milliseconds until it was so. */
export async function untilAnnouncedBy(
  cluster: Cluster,
  addresses: readonly (IpAddress | Prefix)[],
  nodes: readonly string[],
  deadline: Duration = seconds(120),
): Promise<number> {
  const since = performance.now();
  const prefixes = addresses.map((one) => (one.includes('/') ? (one as Prefix) : hostPrefix(one as IpAddress)));
  return await cluster.until(
    `${prefixes.join(' and ')} to be announced by ${nodes.join(' and ') || 'nobody'}`,
    async () => {
      for (const router of routerNames)
        for (const prefix of prefixes) {
          const by = await announcers(cluster, router, prefix);
          if (by.join() !== nodes.join()) return notYet(`${router} has ${prefix} by ${by.join(' and ') || 'nobody'}`);
        }
      return found(performance.now() - since);
    },
    deadline,
  );
}
