/** Objects that are right by themselves and wrong beside what there is: a condition of each says so, and nothing else is disturbed. */
import assert from 'node:assert/strict';
import { blockName } from '#resources/ip-block.ts';
import type { Prefix } from '#lib/ip.ts';
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import { POOL_CIDRS, rackAddress, routerAsn } from '#lab/kubernetes/plan.ts';
import { found, notYet } from '#lab/wait.ts';
import { loadBalancer } from './load-balancer.ts';
import { agentOf, print } from './world.ts';

interface Wrong {
  readonly object: object;
  readonly kind: string;
  readonly name: string;
  readonly reason: string;
}

const custom = (kind: string, name: string, spec: object, reason: string): Wrong => ({
  object: { apiVersion: 'flatroute.io/v1alpha1', kind, metadata: { name }, spec },
  kind: `${kind.toLowerCase()}s.flatroute.io`,
  name,
  reason,
});

const peer = (name: string, reason: string, spec: object): Wrong =>
  custom('BGPPeer', `wrong-${name}`, { asNumber: routerAsn('tor-a'), sourceAddress: 'None', ...spec }, reason);

const block = (cidr: string, reason: string): Wrong =>
  custom('IPBlock', blockName(cidr as Prefix), { cidr, node: 'node-1', state: 'Claimed' }, reason);

/** `own`: a block of node-1. */
function wrongBeside(own: string): readonly Wrong[] {
  const nobody = (n: number): string => rackAddress('tor-a', 200 + n);
  const service = 'wrong-address';
  return [
    peer('filter', 'FilterMissing', { peerIP: nobody(1), filters: ['nobody'] }),
    peer('secret', 'SecretMissing', { peerIP: nobody(2), password: { secretKeyRef: { name: 'nobody', key: 'key' } } }),
    peer('profile', 'BFDProfileMissing', { peerIP: nobody(3), bfd: { profile: 'nobody' } }),
    peer('twin', 'Conflict', { peerIP: rackAddress('tor-a', 1) }),
    peer('pod', 'PeerInOwnBlock', { peerIP: own.split('/')[0], node: 'node-1' }),
    peer('far', 'PeerNotConnected', { peerIP: '198.18.0.1' }),
    custom('IPPool', 'wrong-twin', { cidr: POOL_CIDRS[0], blockSize: 26 }, 'CIDROverlap'),
    block('10.99.0.0/26', 'PoolMissing'),
    block('10.60.255.0/27', 'BlockSizeWrong'),
    custom(
      'BGPConfiguration',
      'node.node-1',
      { prefixAdvertisements: [{ cidr: '10.60.0.0/16', communities: ['nobody'] }] },
      'CommunityMissing',
    ),
    {
      object: loadBalancer({
        name: service,
        policy: 'Cluster',
        selector: { app: 'web' },
        annotations: { 'flatroute.io/addresses': '192.0.2.200' },
      }),
      kind: 'services',
      name: service,
      reason: 'OutsidePools',
    },
  ];
}

async function flaps(cluster: Cluster): Promise<readonly string[]> {
  const peers = await Promise.all(cluster.nodes.map(async ({ name }) => await agentOf(cluster, name).peers()));
  return peers.flatMap((of, i) =>
    of.filter(({ name }) => !name.startsWith('wrong-')).map((one) => `node-${i + 1} ${one.name}: ${one.flaps}`),
  );
}

export async function wrongBesideOthers(cluster: Cluster): Promise<void> {
  const before = await flaps(cluster);
  const blocks = await cluster.plane.run([
    'get',
    'ipblocks',
    '--field-selector=spec.node=node-1',
    '-o',
    'jsonpath={.items[*].spec.cidr}',
  ]);
  const wrong = wrongBeside(blocks.split(' ').find((cidr) => cidr.includes('.')) ?? '');
  await cluster.apply(...wrong.map(({ object }) => object));
  for (const { kind, name, reason } of wrong)
    await cluster.until(`${kind} ${name} to say ${reason}`, async () => {
      const path = 'jsonpath={range .status.conditions[*]}{.reason}: {.message}{"\\n"}{end}';
      const said = (await cluster.plane.run(['get', kind, name, '-o', path])).split('\n');
      const line = said.find((one) => one.startsWith(`${reason}: `) && one.length > reason.length + 2);
      return line === undefined ? notYet(said.join(' | ')) : found(print(`${kind} ${name}: ${line}`));
    });
  for (const { kind, name } of wrong) await cluster.plane.run(['delete', kind, name]);
  assert.deepEqual(await flaps(cluster), before, 'no session of the routers went down');
}
