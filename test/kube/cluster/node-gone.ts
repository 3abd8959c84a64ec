/** A node joins, is gone for good, and is made again with the same name. */
import assert from 'node:assert/strict';
import { seconds } from '#lib/time.ts';
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import { found, notYet } from '#lab/wait.ts';
import { COLLECT_AFTER_SECONDS } from './install.ts';
import { print, sessionsUp } from './world.ts';

const NAME = 'node-3';

async function blocksOf(cluster: Cluster): Promise<readonly string[]> {
  const argv = ['get', 'ipblocks', `--field-selector=spec.node=${NAME}`, '-o', 'jsonpath={.items[*].spec.cidr}'];
  return (await cluster.plane.run(argv)).split(' ').filter((cidr) => cidr !== '');
}

async function joined(cluster: Cluster): Promise<readonly string[]> {
  await cluster.addNode(3);
  await cluster.nodesReady();
  await sessionsUp(cluster, [NAME]);
  return await cluster.until(`${NAME} to have a block of each pool`, async () => {
    const blocks = await blocksOf(cluster);
    return blocks.length === 2 ? found(blocks) : notYet(blocks.join(' '));
  });
}

export async function nodeGoneAndBack(cluster: Cluster): Promise<void> {
  print(`${NAME} joined, with ${(await joined(cluster)).join(' and ')}`);
  await cluster.removeNode(NAME);
  const since = performance.now();
  await cluster.plane.run(['delete', 'node', NAME]);
  const gone = await cluster.until(
    'its blocks to be collected',
    async () => {
      const blocks = await blocksOf(cluster);
      return blocks.length === 0 ? found(performance.now() - since) : notYet(blocks.join(' '));
    },
    seconds(COLLECT_AFTER_SECONDS + 180),
  );
  assert.ok(gone >= seconds(COLLECT_AFTER_SECONDS), `collected after ${gone} ms`);
  print(`its blocks were collected ${(gone / 1000).toFixed(0)} s after its Node was deleted, no sooner than asked for`);
  print(`${NAME} was made again, with ${(await joined(cluster)).join(' and ')}`);
}
