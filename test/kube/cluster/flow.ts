/** A steady flow between pods of two nodes and the VM, of which nothing may be lost whatever is done meanwhile. */
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import { VM_ADDRESS } from '#lab/kubernetes/plan.ts';
import { assertNothingLost, clock, Streams } from '../../support/streams.ts';
import type { StreamEnd } from '../../support/streams.ts';
import { print } from './world.ts';

const RATE = 100;
const MOST_SECONDS = 1800;

/** `web` of node-1 with `web` of node-2, `api` of node-1 with the VM; each way, both families. */
export async function underFlow(
  cluster: Cluster,
  action: (told: (line: string) => void) => Promise<void>,
): Promise<void> {
  const [first, second] = cluster.nodes;
  if (first === undefined || second === undefined) throw new TypeError('two nodes');
  const [a, b, c] = await Promise.all([
    podEnd(cluster, 'web', first.name),
    podEnd(cluster, 'web', second.name),
    podEnd(cluster, 'api', first.name),
  ]);
  const vm = { endpoint: cluster.network.vm, address: VM_ADDRESS };
  const timeline: string[] = [];
  const streams = [await Streams.start(a, b, RATE, MOST_SECONDS), await Streams.start(c, vm, RATE, MOST_SECONDS)];
  await action((line) => {
    timeline.push(`${clock(Date.now())} ${line}`);
    print(line);
  });
  const directions = (await Promise.all(streams.map(async (one) => await one.stop()))).flat();
  for (const { name, sent, lost } of directions) print(`${name.padEnd(60)} ${sent} sent, ${lost} lost`);
  assertNothingLost(directions, timeline);
}

async function podEnd(cluster: Cluster, app: string, node: string): Promise<StreamEnd> {
  const pods = await cluster.pods('default', `app=${app}`);
  const pod = pods.find(({ spec }) => spec.nodeName === node);
  if (pod === undefined) throw new TypeError(`no pod of ${app} on ${node}`);
  const endpoint = await cluster.endpoint(pod);
  return { endpoint, address: { ipv4: endpoint.address('ipv4'), ipv6: endpoint.address('ipv6') } };
}
