/** Addresses of load balancers: announced by whom, reached by the VM under both policies, withdrawn when nobody serves them. */
import assert from 'node:assert/strict';
import { families, familyOf } from '#lib/ip.ts';
import type { Family, IpAddress } from '#lib/ip.ts';
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import { WITNESS_PORT } from '#lab/kubernetes/network.ts';
import { SERVICE_CIDRS } from '#lab/kubernetes/plan.ts';
import { bgpConfiguration } from '#lab/kubernetes/resources.ts';
import { service } from '#lab/kubernetes/workloads.ts';
import { PodEndpoint } from '#lab/pod-endpoint.ts';
import { found, notYet } from '#lab/wait.ts';
import { untilAnnouncedBy } from './announced.ts';
import { addressesOf, endpointsOf, untilAllRight, untilAnswered } from './ask.ts';
import type { Question } from './ask.ts';
import { clientsOf, modeOf, seenBy, startServices } from './kube-proxy.ts';
import { numberOf, print } from './world.ts';

const ASKED = 24;
/** Of the lab's configuration; the product's default is longer. */
const ANNOUNCE_DELAY = '2s';

const ranges = (cidrs: readonly string[]): object => cidrs.map((cidr) => ({ cidr }));

const configuration = (): object =>
  bgpConfiguration({
    serviceLoadBalancerIPs: ranges([...SERVICE_CIDRS.front, ...SERVICE_CIDRS.back]),
    serviceLoadBalancerAggregation: 'Disabled',
    serviceExternalIPs: ranges(SERVICE_CIDRS.external),
    serviceAnnounceDelay: ANNOUNCE_DELAY,
  });

/** `front` for whoever asks for nothing, `back` for who asks for it; both families each. */
const pools = (): readonly object[] =>
  (['front', 'back'] as const).flatMap((name) =>
    SERVICE_CIDRS[name].map((cidr) => ({
      apiVersion: 'flatroute.io/v1alpha1',
      kind: 'IPPool',
      metadata: { name: `${name}-${familyOf(cidr)}` },
      spec: {
        cidr,
        blockSize: familyOf(cidr) === 'ipv4' ? 32 : 128,
        allowedUses: ['LoadBalancer'],
        assignmentMode: name === 'back' ? 'Manual' : 'Automatic',
      },
    })),
  );

interface LoadBalancer {
  readonly name: string;
  readonly policy: 'Cluster' | 'Local';
  readonly selector: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly port?: number;
}

export const loadBalancer = ({ name, policy, selector, annotations, port }: LoadBalancer): object => ({
  ...service('', name, {
    type: 'LoadBalancer',
    loadBalancerClass: 'flatroute.io/bgp',
    externalTrafficPolicy: policy,
    allocateLoadBalancerNodePorts: false,
    selector,
    ...(port === undefined ? {} : { ports: [{ port, targetPort: WITNESS_PORT }] }),
  }),
  metadata: { name, namespace: 'default', ...(annotations === undefined ? {} : { annotations }) },
});

/** Both families. */
export async function addressesGiven(cluster: Cluster, name: string): Promise<readonly IpAddress[]> {
  return await cluster.until(`Service ${name} to have its addresses`, async () => {
    const path = 'jsonpath={.status.loadBalancer.ingress[*].ip}';
    const text = await cluster.plane.run(['get', 'service', name, '-o', path]);
    const addresses = text.split(' ').filter((one) => one !== '') as IpAddress[];
    return addresses.length === families.length ? found(addresses) : notYet(text);
  });
}

const services: readonly LoadBalancer[] = [
  { name: 'lb-web', policy: 'Cluster', selector: { app: 'web' } },
  { name: 'lb-single', policy: 'Cluster', selector: { app: 'lone-2' } },
  { name: 'lb-pair', policy: 'Local', selector: { lone: 'yes' } },
  { name: 'lb-local-1', policy: 'Local', selector: { app: 'lone-1' } },
  { name: 'lb-local-2', policy: 'Local', selector: { app: 'lone-2' } },
];

/** By an address that a person wrote into it. */
const external = { Local: 'external-1', Cluster: 'external-2' } as const;
const externalServices = (): readonly object[] =>
  (['Local', 'Cluster'] as const).map((policy) => {
    const name = external[policy];
    const externalIPs = [`203.0.113.${numberOf(name)}`, `2001:db8:113::${numberOf(name)}`];
    return service(`lone-${numberOf(name)}`, name, { externalIPs, externalTrafficPolicy: policy });
  });

export const nodesOf = (cluster: Cluster): readonly string[] => cluster.nodes.map(({ name }) => name);

/** Ranges, pools and Services with their addresses, announced by whom they should be. */
export async function startLoadBalancers(cluster: Cluster): Promise<ReadonlyMap<string, readonly IpAddress[]>> {
  await startServices(cluster);
  await cluster.apply(configuration(), ...pools(), ...services.map(loadBalancer), ...externalServices());
  const given = new Map<string, readonly IpAddress[]>();
  for (const { name } of services) {
    given.set(name, await addressesGiven(cluster, name));
    print(`${name} has ${given.get(name)?.join(' and ')}`);
  }
  return given;
}

type Given = ReadonlyMap<string, readonly IpAddress[]>;

function addressOf(given: Given, name: string, family: Family): IpAddress {
  const address = given.get(name)?.find((one) => familyOf(one) === family);
  assert.ok(address !== undefined, `${name} has no ${family} address`);
  return address;
}

/** From within the cluster a node asks itself; the VM asks the only node with a pod of the Service. */
async function questions(cluster: Cluster, given: Given, family: Family): Promise<readonly Question[]> {
  const clients = await clientsOf(cluster, family);
  const pods = clients.flatMap(({ from, node }) => (from instanceof PodEndpoint ? [{ pod: from, node }] : []));
  return clients.flatMap((client) =>
    pods.flatMap(({ pod, node }) => {
      const taken = clients.find((one) => one.kind === 'node' && one.node === client.node)?.own ?? [];
      const question = (name: string, policy: 'Cluster' | 'Local'): Question => ({
        from: client.from,
        label: [client.label, `${policy}, ${client.from === pod ? 'itself' : `pod on ${node}`}`],
        address: addressOf(given, name, family),
        port: 80,
        answers: [pod.name],
        sees: seenBy(client, pod, taken, policy),
      });
      const local = question(`lb-local-${numberOf(node ?? '')}`, 'Local');
      return client.kind !== 'vm' && node === 'node-2' ? [local, question('lb-single', 'Cluster')] : [local];
    }),
  );
}

/** Policy Cluster: whichever node a router chooses stands in for the VM. Every node is chosen sooner or later. */
async function vmByEveryNode(cluster: Cluster, given: Given, family: Family): Promise<void> {
  const web = (await endpointsOf(cluster, 'web')).map(({ name }) => name);
  const by = new Map<string, number>();
  const [from, address] = [cluster.network.vm, addressOf(given, 'lb-web', family)];
  // A router tells its kernel of the second node a moment after its table has it.
  await cluster.until(`the VM to be answered by way of each node over ${family}`, async () => {
    by.clear();
    for (const { saw } of await untilAnswered(cluster, { from, address, port: 80 }, web, ASKED)) {
      const node = await nodeWith(cluster, family, saw);
      by.set(node, (by.get(node) ?? 0) + 1);
    }
    return by.size === cluster.nodes.length ? found(undefined) : notYet([...by.keys()].join());
  });
  for (const node of nodesOf(cluster))
    print(`VM, Cluster, ${family}: ${by.get(node) ?? 0} of ${ASKED} saw an address of ${modeOf(node)}`);
}

async function nodeWith(cluster: Cluster, family: Family, address: string): Promise<string> {
  for (const { name, host } of cluster.nodes) if ((await addressesOf(host, family)).includes(address)) return name;
  throw new Error(`${address} is no node's`);
}

/** The range goes to every node, an address with policy Local to the node with the pod, and what is nobody's is dropped there. */
async function externalAddresses(cluster: Cluster, family: Family): Promise<void> {
  const { vm } = cluster.network;
  const range = SERVICE_CIDRS.external.find((one) => familyOf(one) === family);
  const start = family === 'ipv4' ? '203.0.113.' : '2001:db8:113::';
  assert.ok(range !== undefined);
  await untilAnnouncedBy(cluster, [range], nodesOf(cluster));
  await untilAnnouncedBy(cluster, [`${start}1` as IpAddress], ['node-1']);
  const clients = await clientsOf(cluster, family);
  const nodes = clients.flatMap(({ kind, own }) => (kind === 'node' ? own : []));
  await untilAllRight(cluster, `external addresses over ${family}`, async () =>
    (['Local', 'Cluster'] as const).map((policy) => {
      const number = numberOf(external[policy]);
      const pod = clients.find(({ kind, node }) => kind === 'pod' && node === `node-${number}`);
      return {
        from: vm,
        label: ['VM', `external, ${policy}, pod on node-${number}`],
        address: `${start}${number}` as IpAddress,
        port: 80,
        answers: [pod?.from.name ?? ''],
        sees: policy === 'Local' ? (clients.find(({ kind }) => kind === 'vm')?.own ?? []) : nodes,
      };
    }),
  );
  const { stdout } = await vm.exec(['ping', '-c', '1', '-W', '1', `${start}9`]);
  assert.match(stdout, /100% packet loss/);
  assert.doesNotMatch(stdout, /exceeded/i, 'between router and node it goes round in circles');
}

/** Under both policies, from everywhere, with the source addresses. */
export async function loadBalancersAreReached(cluster: Cluster): Promise<void> {
  const given = await startLoadBalancers(cluster);
  const all = nodesOf(cluster);
  for (const { name, policy } of services) {
    const nodes = name.startsWith('lb-local') ? [`node-${numberOf(name.slice('lb-'.length))}`] : all;
    await untilAnnouncedBy(cluster, given.get(name) ?? [], nodes);
    print(`${name}: ${policy}, announced by ${nodes.join(' and ')}`);
  }
  for (const family of families) {
    await untilAllRight(cluster, `load balancers over ${family}`, async () => await questions(cluster, given, family));
    await vmByEveryNode(cluster, given, family);
    await externalAddresses(cluster, family);
  }
}
