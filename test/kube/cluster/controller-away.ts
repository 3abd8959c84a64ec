/** The controller that leads is killed, and stopped past its lease, while Services come and go: no address is given twice, none is lost. */
import assert from 'node:assert/strict';
import { seconds } from '#lib/time.ts';
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import type { KubernetesNode } from '#lab/kubernetes/node.ts';
import { found, notYet } from '#lab/wait.ts';
import { addressesGiven, loadBalancer, startLoadBalancers } from './load-balancer.ts';
import { claims } from './sharing.ts';
import { print, SYSTEM } from './world.ts';

const CONTROLLERS = 'app.kubernetes.io/name=flatroute,app.kubernetes.io/component=controller';
const LEASE = 'flatroute-controller';

interface Leader {
  readonly holder: string;
  readonly node: KubernetesNode;
}

async function leader(cluster: Cluster, other?: string): Promise<Leader> {
  return await cluster.until(
    'a controller to lead',
    async () => {
      const argv = ['get', 'lease', '-n', SYSTEM, LEASE, '-o', 'jsonpath={.spec.holderIdentity}'];
      const holder = await cluster.plane.run(argv);
      const pods = await cluster.pods(SYSTEM, CONTROLLERS);
      // A process that is started anew in the same pod is another holder.
      const pod = pods.find(({ metadata }) => holder.startsWith(metadata.name));
      return pod?.spec.nodeName === undefined || holder === other
        ? notYet(`${holder} of ${pods.map(({ metadata }) => metadata.name).join()}`)
        : found({ holder, node: cluster.node(pod.spec.nodeName) });
    },
    seconds(180),
  );
}

/** A node runs at most one. */
async function signal({ node }: Leader, name: 'KILL' | 'STOP' | 'CONT'): Promise<void> {
  const lines = (await node.host.processes()).filter((line) => line.includes(' controller --identity'));
  assert.ok(lines.length > 0, `no controller runs on ${node.name}`);
  await node.host.run(['kill', `-${name}`, ...lines.map((line) => line.split(' ')[0] ?? '')]);
}

const web = (name: string): object => loadBalancer({ name, policy: 'Cluster', selector: { app: 'web' } });

interface ServiceObject {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly status: { readonly loadBalancer?: { readonly ingress?: readonly { readonly ip: string }[] } };
}

/** Every address of a Service is claimed for it alone, and nothing else is claimed. */
async function nothingDoubledOrLost(cluster: Cluster): Promise<number> {
  return await cluster.until('claims and Services to agree', async () => {
    const { items } = JSON.parse(await cluster.plane.run(['get', 'services', '-o', 'json'])) as {
      readonly items: readonly ServiceObject[];
    };
    const shown = items.flatMap(({ metadata, status }) =>
      (status.loadBalancer?.ingress ?? []).map(({ ip }) => `${ip} ${metadata.name} ${metadata.uid}`),
    );
    const claimed = (await claims(cluster)).flatMap(({ spec }) =>
      spec.services.map(({ name, uid }) => `${spec.address} ${name} ${uid}`),
    );
    const addresses = shown.map((line) => line.split(' ')[0]);
    assert.equal(new Set(addresses).size, addresses.length, `an address was given twice: ${shown.join(', ')}`);
    const same = shown.sort().join('\n') === claimed.sort().join('\n');
    return same ? found(shown.length) : notYet(`shown ${shown.join(', ')}; claimed ${claimed.join(', ')}`);
  });
}

async function giveAll(cluster: Cluster, names: readonly string[]): Promise<void> {
  for (const name of names) await addressesGiven(cluster, name);
}

export async function withoutController(cluster: Cluster): Promise<void> {
  await startLoadBalancers(cluster);
  await cluster.podsReady(SYSTEM, CONTROLLERS, 2);
  const first = await leader(cluster);

  await signal(first, 'KILL');
  await cluster.apply(web('lb-killed-1'), web('lb-killed-2'));
  await cluster.plane.run(['delete', 'service', 'lb-local-1']);
  await giveAll(cluster, ['lb-killed-1', 'lb-killed-2']);
  print(
    `${first.holder} was killed; Services that came meanwhile have addresses from ${(await leader(cluster)).holder}`,
  );
  print(`${await nothingDoubledOrLost(cluster)} addresses, each claimed for the Service that shows it`);

  const second = await leader(cluster);
  await signal(second, 'STOP');
  await cluster.plane.run(['delete', 'service', 'lb-killed-1', 'lb-single']);
  await cluster.apply(...['lb-stopped-1', 'lb-stopped-2', 'lb-stopped-3'].map(web));
  const third = await leader(cluster, second.holder);
  print(`${second.holder} is stopped; ${third.holder} leads`);
  await giveAll(cluster, ['lb-stopped-1', 'lb-stopped-2', 'lb-stopped-3']);
  await signal(second, 'CONT');
  await cluster.plane.run(['delete', 'service', 'lb-stopped-1', 'lb-killed-2']);
  await cluster.apply(web('lb-resumed'));
  await giveAll(cluster, ['lb-resumed', 'lb-stopped-2', 'lb-stopped-3']);
  const count = await nothingDoubledOrLost(cluster);
  assert.notEqual((await leader(cluster)).holder, second.holder);
  print(`${second.holder} goes on, and leads no more; ${count} addresses, each claimed for the Service that shows it`);
  await cluster.plane.run(['delete', 'service', 'lb-stopped-2', 'lb-stopped-3', 'lb-resumed']);
  await cluster.podsReady(SYSTEM, CONTROLLERS, 2);
}
