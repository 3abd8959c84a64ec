/** What the scenarios share: the one cluster, what is printed, and how flatroute is asked on a node. */
import { askByAdminApi } from '#cli/demo/ask.ts';
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import { rackAddress, routerNames } from '#lab/kubernetes/plan.ts';
import type { RouterName } from '#lab/kubernetes/plan.ts';
import type { AgentQuestions } from '#lab/node-agent.ts';
import { found, notYet } from '#lab/wait.ts';

export const SYSTEM = 'flatroute-system';
export const AGENT = 'flatroute-agent';
/** Labels of the agents' pods. */
export const AGENTS = 'app.kubernetes.io/name=flatroute,app.kubernetes.io/component=agent';

/** A line of the test's report, with the time since the file began. */
const began = performance.now();
export const print = (line: string): void =>
  console.log(`# ${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ${line}`);

export const agentOf = (cluster: Cluster, node: string): AgentQuestions => askByAdminApi(cluster.node(node).host);

/** Of `node-N`. */
export const numberOf = (node: string): number => Number(node.split('-')[1]);

/** Both ends of every session between these nodes and routers are established, and the routers have routes of the nodes. */
export async function sessionsUp(
  cluster: Cluster,
  nodes: readonly string[] = cluster.nodes.map(({ name }) => name),
  routers: readonly RouterName[] = routerNames,
): Promise<void> {
  await cluster.until(`the sessions of ${nodes.join(', ')} with ${routers.join(', ')}`, async () => {
    for (const node of nodes) {
      const peers = await agentOf(cluster, node).peers();
      const down = routers.filter((router) => peers.find(({ name }) => name === router)?.state !== 'Established');
      if (down.length > 0) return notYet(`${node}: ${JSON.stringify(peers)}`);
    }
    for (const router of routers) {
      const rows = await cluster.network.routers[router].sessions();
      for (const node of nodes) {
        const peer = rackAddress(router, 10 + numberOf(node));
        const row = rows.find((one) => one.peer === peer);
        if (row?.established !== true) return notYet(`${router} says of ${node}: ${row?.state}`);
      }
    }
    return found(undefined);
  });
}
