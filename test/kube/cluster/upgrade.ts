/** The agents' DaemonSet is rolled, and taken from each node for a while, under a steady flow. */
import { seconds } from '#lib/time.ts';
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import { found, notYet } from '#lab/wait.ts';
import { AGENT, AGENTS, sessionsUp, SYSTEM } from './world.ts';

/** Every pod of the DaemonSet is of its latest template, and ready. */
async function agentsRolledOut(cluster: Cluster): Promise<void> {
  const argv = ['rollout', 'status', '-n', SYSTEM, `daemonset/${AGENT}`, '--timeout=110s'];
  await cluster.until(
    'the agents to be rolled out',
    async () => {
      const { code, stdout, stderr } = await cluster.plane.kubectl(argv);
      return code === 0 ? found(undefined) : notYet(stdout + stderr);
    },
    seconds(480),
  );
  await sessionsUp(cluster);
}

/** A new template, as an upgrade makes one. */
export async function rollAgents(cluster: Cluster): Promise<void> {
  await cluster.plane.run(['rollout', 'restart', '-n', SYSTEM, `daemonset/${AGENT}`]);
  await agentsRolledOut(cluster);
}

/** The programs of this image, which every node has, and back to those from before. */
export async function rollBack(cluster: Cluster, image: string, told: (line: string) => void): Promise<void> {
  await cluster.plane.run(['set', 'image', '-n', SYSTEM, `daemonset/${AGENT}`, `*=${image}`]);
  await agentsRolledOut(cluster);
  told(`the agents are of ${image}`);
  await cluster.plane.run(['rollout', 'undo', '-n', SYSTEM, `daemonset/${AGENT}`]);
  await agentsRolledOut(cluster);
  told('the agents are of this version again');
}

const AWAY_LABEL = 'flatroute.test/no-agent';

/** Agents are on every node without the label, and none is replaced for the sake of this change. */
async function keepAgentsOffLabelled(cluster: Cluster): Promise<void> {
  const affinity = {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchExpressions: [{ key: AWAY_LABEL, operator: 'DoesNotExist' }] }],
      },
    },
  };
  const spec = { updateStrategy: { type: 'OnDelete', rollingUpdate: null }, template: { spec: { affinity } } };
  const patch = ['patch', 'daemonset', AGENT, '-n', SYSTEM, '--type=merge', '-p', JSON.stringify({ spec })];
  await cluster.plane.run(patch);
}

/** Each node in turn has no agent for so long; its pods go on. */
export async function eachWithoutAgent(
  cluster: Cluster,
  milliseconds: number,
  told: (line: string) => void,
): Promise<void> {
  await keepAgentsOffLabelled(cluster);
  for (const { name } of cluster.nodes) {
    const agents = async (): Promise<number> =>
      (await cluster.pods(SYSTEM, AGENTS)).filter(({ spec }) => spec.nodeName === name).length;
    await cluster.plane.run(['label', 'node', name, `${AWAY_LABEL}=`]);
    await cluster.until(`no agent to be on ${name}`, async () =>
      (await agents()) === 0 ? found(undefined) : notYet('it is there'),
    );
    told(`no agent on ${name}`);
    const since = performance.now();
    await cluster.until(
      'the time without an agent',
      async () =>
        await Promise.resolve(performance.now() - since >= milliseconds ? found(undefined) : notYet('not over')),
      seconds(milliseconds / 1000 + 10),
    );
    await cluster.plane.run(['label', 'node', name, `${AWAY_LABEL}-`]);
    await cluster.podsReady(SYSTEM, AGENTS, cluster.nodes.length);
    await sessionsUp(cluster, [name]);
    told(`an agent on ${name} again`);
  }
  const back = { spec: { updateStrategy: { type: 'RollingUpdate' } } };
  await cluster.plane.run(['patch', 'daemonset', AGENT, '-n', SYSTEM, '--type=merge', '-p', JSON.stringify(back)]);
  await agentsRolledOut(cluster);
}
