/**
 * What a claim costs in a large cluster: looking whether anything overlaps a block that was just made, among the blocks of all
 * nodes, by a list of every name and by one of what can overlap it, in turns. The client counts answers, the server its processor.
 */
import { apiStore } from '#kubernetes/io/client.ts';
import { kubernetesAccess } from '#kubernetes/io/access.ts';
import type { Prefix } from '#lib/ip.ts';
import { areaOf, blockName } from '#resources/ip-block.ts';
import { kindLists } from '#resources/resource-set.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import { look, lookAround } from '../../../src/agent/claim-steps.ts';
import { timed } from '../pods/agent.ts';
import { median } from '../pods/tables.ts';
import type { Figure } from '../pods/tables.ts';
import { apiServerSeconds, createAll, openScene, progress } from './scene.ts';

export interface ClaimOptions {
  readonly blocks: number;
  readonly nodes: number;
  readonly rounds: number;
}

/** /26 of 10.0.0.0/8, one after the other. */
const blockAt = (index: number): Prefix =>
  `10.${(index >> 10) & 255}.${(index >> 2) & 255}.${(index & 3) << 6}/26` as Prefix;

interface Spent {
  readonly wall: number[];
  bytes: number;
  requests: number;
  server: number;
  client: number;
}

export async function claims({ blocks, nodes, rounds }: ClaimOptions): Promise<Figure[]> {
  await using scene = await openScene('claims');
  await createAll(scene.store, typeOf(kindLists.ipBlocks), blocks, (index) => ({
    apiVersion: 'flatroute.io/v1alpha1',
    kind: 'IPBlock',
    metadata: { name: blockName(blockAt(index)) },
    spec: { cidr: blockAt(index), area: areaOf(blockAt(index)), node: `node-${index % nodes}` },
  }));
  progress(`${blocks} IPBlocks of ${nodes} nodes made`);
  let bytes = 0;
  let requests = 0;
  const store = apiStore({
    access: await kubernetesAccess(scene.admin),
    userAgent: 'flatroute-bench-claims',
    onReceived: (count) => (bytes += count),
    onRequest: () => (requests += 1),
  });
  const ways = {
    'every name': async () => void (await look(store)),
    'what can overlap': async (cidr: Prefix) => void (await lookAround(store, [cidr])),
  };
  const spent = new Map<string, Spent>();
  // The first one of each is the compiler's and the cache's.
  for (let round = -1; round < rounds; round++)
    for (const [name, way] of Object.entries(ways)) {
      const row = spent.get(name) ?? { wall: [], bytes: 0, requests: 0, server: 0, client: 0 };
      const before = { bytes, requests, server: apiServerSeconds(scene.plane), client: process.cpuUsage() };
      const wall = await timed(async () => await way(blockAt((round + 1) * 17)));
      if (round < 0) continue;
      const { user, system } = process.cpuUsage(before.client);
      row.wall.push(wall);
      row.bytes += bytes - before.bytes;
      row.requests += requests - before.requests;
      row.server += apiServerSeconds(scene.plane) - before.server;
      row.client += (user + system) / 1e6;
      spent.set(name, row);
    }
  await store.close();
  return [...spent].flatMap(([name, row]) => [
    { what: `**${name}**: requests`, value: row.requests / rounds, unit: '' },
    { what: '… bytes of answers', value: row.bytes / rounds / 1024, unit: 'KiB' },
    { what: '… CPU of the API server', value: (1000 * row.server) / rounds, unit: 'ms' },
    { what: '… CPU of the agent', value: (1000 * row.client) / rounds, unit: 'ms' },
    { what: '… time, median', value: median(row.wall), unit: 'ms' },
  ]);
}
