/** Agents of the checkout as processes of the nodes, in directory mode: everything of a cluster but custom resources. */
import { askByAdminApi } from '#cli/demo/ask.ts';
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import { routerNames } from '#lab/kubernetes/plan.ts';
import { bgpConfiguration, bgpPeer } from '#lab/kubernetes/resources.ts';
import { NodeAgent } from '#lab/node-agent.ts';
import { flatroute } from '#lab/program.ts';
import { found, notYet } from '#lab/wait.ts';
import { CNI_CONFIGURATION, KUBELET_CNI_BINARIES } from '#lab/runtime/containerd.ts';

/** With the Node as the API has it, and addresses from its podCIDRs. */
export async function startAgentsFromFiles(cluster: Cluster): Promise<readonly NodeAgent[]> {
  return await Promise.all(
    cluster.nodes.map(async ({ host, name }) => {
      const agent = new NodeAgent(host, askByAdminApi);
      await agent.write({
        'node.yaml': await nodeManifest(cluster, name),
        'bgp.yaml': JSON.stringify(bgpConfiguration({ addressSource: 'NodePodCIDR' })),
        ...Object.fromEntries(routerNames.map((router) => [`${router}.yaml`, JSON.stringify(bgpPeer(router))])),
      });
      await agent.start();
      await host.run(flatroute('cni', 'install', '--bin-dir', KUBELET_CNI_BINARIES, '--conf-dir', CNI_CONFIGURATION));
      return agent;
    }),
  );
}

/** kube-controller-manager has given it ranges. */
async function nodeManifest(cluster: Cluster, name: string): Promise<string> {
  return await cluster.until(`${name} to have podCIDRs`, async () => {
    const manifest = await cluster.plane.run(['get', 'node', name, '-o', 'yaml']);
    return manifest.includes('podCIDRs:') ? found(manifest) : notYet('none');
  });
}
