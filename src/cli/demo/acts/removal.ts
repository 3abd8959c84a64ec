/** Last act: pods go one by one, and what they had is looked for. */
import { seconds } from '#lib/time.ts';
import { families } from '#lib/ip.ts';
import type { Host } from '#lab/host.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { Unexpected } from '../checks.ts';
import type { NodePlan } from '../topology.ts';
import { nodes } from '../topology.ts';
import type { Stage } from './play.ts';

export async function deletePods({ network, checks }: Stage): Promise<void> {
  await checks.check('pods deleted', async () => {
    const count = network.pods.length;
    const started = performance.now();
    await Promise.all(
      nodes.map(async (plan) => {
        for (const pod of network.podsOf(plan.name)) await pod.detach();
      }),
    );
    return `${count} pods, DEL of the whole chain: ${((performance.now() - started) / count).toFixed(0)} ms a pod`;
  });
  for (const plan of nodes) {
    await checks.check(`nothing left on ${plan.name}`, async () => {
      const host = network.host(plan.name);
      await waitFor(
        `${plan.name} to be clean`,
        async () => {
          const left = [
            ...(await leftOn(host, plan)),
            ...(await network.agent(plan.name).questions.pods()).map((row) => `pod ${row.pod}`),
          ];
          return left.length === 0 ? found(undefined) : notYet(left.join(', '));
        },
        { deadline: seconds(10) },
      ).catch((error: unknown) => {
        throw new Unexpected({
          expected: 'no link, route, rule, file or process of a pod',
          seen: error instanceof Error ? error.message : String(error),
          command: `ip link; ip route; nft list ruleset; ls -R /run/flatroute (on ${plan.name})`,
        });
      });
      return '0 links, 0 routes, 0 rules, 0 spool files, 0 namespaces, 0 processes';
    });
  }
}

/** What reminds of pods: host ends, routes into the blocks, neighbours, portmap's rules, spool files, namespaces, processes. */
async function leftOn(host: Host, plan: NodePlan): Promise<readonly string[]> {
  const left: string[] = [];
  for (const link of await host.links()) if (/^fr[0-9a-f]{12}$/.test(link.name)) left.push(`link ${link.name}`);
  for (const route of await host.routes()) {
    const ofPod = families.some(
      (family) => /\/(32|128)$/.test(route.prefix) && route.prefix.startsWith(start(plan, family)),
    );
    if (ofPod) left.push(`route ${route.prefix}`);
  }
  const neighbours = await host.run(['ip', 'neigh', 'show', 'nud', 'permanent']);
  for (const line of neighbours.split('\n')) if (line.includes(' dev fr')) left.push(`neighbour ${line.trim()}`);
  const rules = await host.exec(['nft', 'list', 'ruleset']);
  for (const line of rules.stdout.split('\n')) {
    const ofPod = families.some((family) => line.includes(start(plan, family)) && !line.includes(plan.block[family]));
    if (ofPod) left.push(`rule ${line.trim()}`);
  }
  const spool = await host.exec(['ls', '-A', '/run/flatroute/spool']);
  for (const file of spool.stdout.split('\n')) if (file !== '') left.push(`spool file ${file}`);
  const namespaces = await host.run(['ls', '-A', '/run/netns']);
  for (const name of namespaces.split('\n')) if (name !== '') left.push(`namespace ${name}`);
  for (const line of await host.processes()) if (line.includes('witness.ts')) left.push(`process ${line}`);
  return left;
}

/** What addresses of a node's block begin with. */
const start = (plan: NodePlan, family: 'ipv4' | 'ipv6'): string =>
  plan.block[family].slice(
    0,
    family === 'ipv4' ? plan.block[family].lastIndexOf('.') + 1 : plan.block[family].indexOf('/'),
  );

export async function stopAgents({ network, checks }: Stage): Promise<void> {
  await checks.check('agents stopped', async () => {
    await Promise.all(
      nodes.map(async (plan) => {
        const agent = network.agent(plan.name);
        await agent.stop('SIGTERM');
        const { code, signal } = await agent.process.exited;
        if (code === 0) return;
        throw new Unexpected({
          expected: `exit code 0 of the agent of ${plan.name} at SIGTERM`,
          seen: `${code ?? signal}: ${await agent.log(5)}`,
        });
      }),
    );
    return 'a clean stop, exit code 0';
  });
}
