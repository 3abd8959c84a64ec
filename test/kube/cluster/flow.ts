/** A steady flow between pods of two nodes and the VM, of which nothing may be lost whatever is done meanwhile. */
import { families } from '#lib/ip.ts';
import type { Host } from '#lab/host.ts';
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import { routerNames, VM_ADDRESS } from '#lab/kubernetes/plan.ts';
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
  const streams = [await started(cluster, a, b), await started(cluster, c, vm)];
  await action((line) => {
    timeline.push(`${clock(Date.now())} ${line}`);
    print(line);
  });
  const directions = (await Promise.all(streams.map(async (one) => await one.stop()))).flat();
  for (const { name, sent, lost } of directions) print(`${name.padEnd(60)} ${sent} sent, ${lost} lost`);
  assertNothingLost(directions, timeline);
}

/** Where they do not come through, what every machine on the way knows of both ends is printed. */
async function started(cluster: Cluster, from: StreamEnd, to: StreamEnd): Promise<Streams> {
  try {
    return await Streams.start(from, to, RATE, MOST_SECONDS);
  } catch (error) {
    const routers = routerNames.map((name) => cluster.network.routers[name].host);
    const hosts = [...cluster.nodes.map(({ host }) => host), ...routers, cluster.network.vm];
    for (const host of hosts) print(await knownOf(host, [from, to]));
    throw error;
  }
}

async function knownOf(host: Host, ends: readonly StreamEnd[]): Promise<string> {
  const addresses = ends.flatMap(({ address }) => families.map((family) => address[family]));
  const script = [
    `for a in ${addresses.join(' ')}; do ip route get $a; done`,
    'ip neighbour; ip -6 neighbour',
    ...families.map((family) => `conntrack -L -f ${family} -p udp 2>/dev/null | grep port=7000`),
    'nft list ruleset | grep -c .',
  ].join('; ');
  const { stdout, stderr } = await host.exec(['sh', '-c', script]);
  return `what ${host.name} knows of the way:\n${stdout}${stderr}`;
}

async function podEnd(cluster: Cluster, app: string, node: string): Promise<StreamEnd> {
  const pods = await cluster.pods('default', `app=${app}`);
  const pod = pods.find(({ spec }) => spec.nodeName === node);
  if (pod === undefined) throw new TypeError(`no pod of ${app} on ${node}`);
  const endpoint = await cluster.endpoint(pod);
  return { endpoint, address: { ipv4: endpoint.address('ipv4'), ipv6: endpoint.address('ipv6') } };
}
