/** Two pools of addresses for load balancers, and two Services on one address. */
import assert from 'node:assert/strict';
import { families, familyOf, contains } from '#lib/ip.ts';
import type { IpAddress } from '#lib/ip.ts';
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import { SERVICE_CIDRS } from '#lab/kubernetes/plan.ts';
import { found, notYet } from '#lab/wait.ts';
import { untilAnnouncedBy } from './announced.ts';
import { endpointsOf, untilAnswered } from './ask.ts';
import { addressesGiven, loadBalancer, nodesOf, startLoadBalancers } from './load-balancer.ts';
import { print } from './world.ts';

async function vmReaches(cluster: Cluster, addresses: readonly IpAddress[], port: number): Promise<void> {
  const answers = (await endpointsOf(cluster, 'web')).map(({ name }) => name);
  const from = cluster.network.vm;
  for (const address of addresses) await untilAnswered(cluster, { from, address, port }, answers);
}

export async function twoPools(cluster: Cluster): Promise<void> {
  await startLoadBalancers(cluster);
  const pool = families.map((family) => `back-${family}`).join();
  const annotations = { 'flatroute.io/pool': pool };
  await cluster.apply(loadBalancer({ name: 'lb-back', policy: 'Cluster', selector: { app: 'web' }, annotations }));
  for (const [name, cidrs] of [
    ['lb-web', SERVICE_CIDRS.front],
    ['lb-back', SERVICE_CIDRS.back],
  ] as const) {
    const addresses = await addressesGiven(cluster, name);
    for (const address of addresses)
      assert.ok(
        cidrs.some((cidr) => familyOf(cidr) === familyOf(address) && contains(cidr, address)),
        `${name} has ${address}`,
      );
    await untilAnnouncedBy(cluster, addresses, nodesOf(cluster));
    await vmReaches(cluster, addresses, 80);
    print(`${name} has ${addresses.join(' and ')}, and the VM reaches it there`);
  }
  await cluster.plane.run(['delete', 'service', 'lb-back']);
}

/** Names of those that stand on an address, as its claim has them. */
async function holdersOf(cluster: Cluster, address: IpAddress): Promise<readonly string[]> {
  const items = await claims(cluster);
  return items.find(({ spec }) => spec.address === address)?.spec.services.map(({ name }) => name) ?? [];
}

export interface Claim {
  readonly spec: {
    readonly address: IpAddress;
    readonly services: readonly { readonly name: string; readonly uid: string }[];
  };
}

export const claims = async (cluster: Cluster): Promise<readonly Claim[]> =>
  (
    JSON.parse(await cluster.plane.run(['get', 'serviceaddresses', '-o', 'json'])) as {
      readonly items: readonly Claim[];
    }
  ).items;

/** By key: two ports of one address. The address stays for as long as one of the two is there. */
export async function sharedAddress(cluster: Cluster): Promise<void> {
  await startLoadBalancers(cluster);
  const annotations = { 'flatroute.io/sharing-key': 'one' };
  const names = ['lb-shared-80', 'lb-shared-81'] as const;
  const both = names.map((name) =>
    loadBalancer({ name, policy: 'Cluster', selector: { app: 'web' }, annotations, port: Number(name.slice(-2)) }),
  );
  await cluster.apply(...both);
  const [addresses, others] = [await addressesGiven(cluster, names[0]), await addressesGiven(cluster, names[1])];
  assert.deepEqual(others, addresses);
  for (const address of addresses) assert.deepEqual([...(await holdersOf(cluster, address))].sort(), names);
  await untilAnnouncedBy(cluster, addresses, nodesOf(cluster));
  for (const port of [80, 81]) await vmReaches(cluster, addresses, port);
  print(`${names.join(' and ')} share ${addresses.join(' and ')}; the VM reaches both`);

  await cluster.plane.run(['delete', 'service', names[0]]);
  for (const address of addresses)
    await cluster.until(`${names[1]} to have ${address} alone`, async () => {
      const holders = await holdersOf(cluster, address);
      return holders.join() === names[1] ? found(undefined) : notYet(holders.join());
    });
  await untilAnnouncedBy(cluster, addresses, nodesOf(cluster));
  await vmReaches(cluster, addresses, 81);
  print(`${names[0]} is deleted; the other one has the address alone, and is reached`);

  await cluster.plane.run(['delete', 'service', names[1]]);
  await untilAnnouncedBy(cluster, addresses, []);
  for (const address of addresses)
    await cluster.until(`nobody to have ${address}`, async () => {
      const holders = await holdersOf(cluster, address);
      return holders.length === 0 ? found(undefined) : notYet(holders.join());
    });
  print('both are deleted; nobody announces the address, and it can be given again');
}
