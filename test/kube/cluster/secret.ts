/** The password of a session comes from a Secret: it is set, changed and taken away. */
import assert from 'node:assert/strict';
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import { routerDescription } from '#lab/kubernetes/plan.ts';
import { bgpPeer } from '#lab/kubernetes/resources.ts';
import { found, notYet } from '#lab/wait.ts';
import { agentOf, print, sessionsUp, SYSTEM } from './world.ts';

const secret = (password: string): object => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'bgp', namespace: SYSTEM },
  stringData: { 'tor-a': password },
});

async function flapsOf(cluster: Cluster, router: string): Promise<readonly number[]> {
  return await Promise.all(
    cluster.nodes.map(
      async ({ name }) => (await agentOf(cluster, name).peers()).find((peer) => peer.name === router)?.flaps ?? -1,
    ),
  );
}

export async function passwordFromSecret(cluster: Cluster): Promise<void> {
  const { 'tor-a': router } = cluster.network.routers;
  const other = await flapsOf(cluster, 'tor-b');
  const withPassword = { password: { secretKeyRef: { name: 'bgp', key: 'tor-a' } } };

  await cluster.apply(secret('the-first-of-them'), bgpPeer('tor-a', withPassword));
  await router.reconfigure(routerDescription('tor-a', 'the-first-of-them'));
  await sessionsUp(cluster);
  print('sessions with a password are up');

  const before = await flapsOf(cluster, 'tor-a');
  await cluster.apply(secret('the-second-of-them'));
  await router.reconfigure(routerDescription('tor-a', 'the-second-of-them'));
  await sessionsUp(cluster);
  const after = await flapsOf(cluster, 'tor-a');
  // FRR ends a session whose password changes; flatroute gives the kernel another key and goes on.
  print(
    `the password was changed at both ends; the session went down ${after.map((n, i) => n - (before[i] ?? 0)).join(', ')} times`,
  );

  await cluster.plane.run(['delete', 'secret', '-n', SYSTEM, 'bgp']);
  for (const { name } of cluster.nodes)
    await cluster.until(`${name} to say that the Secret is missing`, async () => {
      const peer = (await agentOf(cluster, name).peers()).find((one) => one.name === 'tor-a');
      const said = peer?.conditions.find(({ reason }) => reason === 'SecretMissing');
      return said !== undefined && peer?.state !== 'Established'
        ? found(print(`${name}: ${said.message}`))
        : notYet(JSON.stringify(peer));
    });
  await router.reconfigure(routerDescription('tor-a'));
  await cluster.plane.run(['replace', '-f', '-'], JSON.stringify(bgpPeer('tor-a')));
  await sessionsUp(cluster);
  assert.deepEqual(await flapsOf(cluster, 'tor-b'), other, 'nothing happened to the other router');
  print('without a password the sessions are back; those of the other router were up throughout');
}
