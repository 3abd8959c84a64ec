/** Kinds of a newer flatroute under the agents of this one, and back to the kinds of this one. */
import assert from 'node:assert/strict';
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import { found, notYet } from '#lab/wait.ts';
import { agentOf, print, sessionsUp } from './world.ts';

const FIELD = 'fieldOfTheFuture';

async function flaps(cluster: Cluster): Promise<readonly number[]> {
  const peers = await Promise.all(cluster.nodes.map(async ({ name }) => await agentOf(cluster, name).peers()));
  return peers.flat().map((peer) => peer.flaps);
}

/** Of the peer, as the API has it: '' when there is none. */
async function setField(cluster: Cluster, value: string): Promise<string> {
  const patch = JSON.stringify({ spec: { [FIELD]: value } });
  await cluster.plane.run(['patch', 'bgppeers.flatroute.io', 'tor-b', '--type=merge', '-p', patch]);
  return await cluster.plane.run(['get', 'bgppeers.flatroute.io', 'tor-b', '-o', `jsonpath={.spec.${FIELD}}`]);
}

/** What the agent of a node says of the peer's field. */
async function unknownField(cluster: Cluster, node: string): Promise<string | undefined> {
  const peer = (await agentOf(cluster, node).peers()).find((one) => one.name === 'tor-b');
  return peer?.conditions.find(({ reason }) => reason === 'CONFIG_UNKNOWN_FIELD')?.message;
}

export async function newerSchemaAndBack(cluster: Cluster): Promise<void> {
  const before = await flaps(cluster);
  const path = `/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/${FIELD}`;
  const changeSchema = async (patch: readonly object[]): Promise<string> =>
    await cluster.plane.run(['patch', 'crd', 'bgppeers.flatroute.io', '--type=json', '-p', JSON.stringify(patch)]);
  await changeSchema([{ op: 'add', path, value: { type: 'string', maxLength: 10 } }]);
  await cluster.until('the API server to keep the new field', async () => {
    const kept = await setField(cluster, 'new');
    return kept === 'new' ? found(undefined) : notYet(`it has ${JSON.stringify(kept)}`);
  });
  // Written once: an agent's watch from before the change would leave the field out, so that it has to begin anew.
  for (const { name } of cluster.nodes)
    await cluster.until(`${name} to say that it does not know the field`, async () => {
      const said = await unknownField(cluster, name);
      return said === undefined ? notYet('it says nothing') : found(print(`${name}: ${said}`));
    });
  await changeSchema([{ op: 'remove', path }]);
  await cluster.until('the API server to drop the field', async () => {
    const kept = await setField(cluster, 'newer');
    return kept === '' ? found(undefined) : notYet(`it has ${JSON.stringify(kept)}`);
  });
  for (const { name } of cluster.nodes)
    await cluster.until(`${name} to be content`, async () => {
      const said = await unknownField(cluster, name);
      return said === undefined ? found(undefined) : notYet(said);
    });
  await sessionsUp(cluster);
  assert.deepEqual(await flaps(cluster), before, 'no session went down');
}
