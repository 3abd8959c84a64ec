// Custom resources as an operator has them, by real kubectl: explained, listed, found, changed, owned by several, and kept
// through an older schema and back.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { parse } from 'yaml';
import { kubernetesAccess } from '#kubernetes/io/access.ts';
import { apiStore } from '#kubernetes/io/client.ts';
import type { ControlPlane } from '#lab/kubernetes/control-plane.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import { bgpPeer } from '#resources/bgp-peer.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import { apiServer } from './support.ts';

let plane: ControlPlane;
before(async () => (plane = await apiServer()));

const object = (kind: string, name: string, spec: object): string =>
  JSON.stringify({ apiVersion: 'flatroute.io/v1alpha1', kind, metadata: { name }, spec });
const apply = async (text: string, ...more: readonly string[]): Promise<string> =>
  await plane.run(['apply', ...more, '-f', '-'], text);
const specOf = async (resource: string): Promise<Record<string, unknown>> =>
  JSON.parse(await plane.run(['get', resource, '-o', 'jsonpath={.spec}'])) as Record<string, unknown>;
/** Rows of a table, without the age. */
const rows = async (...args: readonly string[]): Promise<string[][]> =>
  (await plane.run(['get', ...args]))
    .trim()
    .split('\n')
    .map((line) =>
      line
        .trim()
        .split(/\s{2,}/)
        .slice(0, -1),
    );

describe('kubectl', () => {
  test('explains each field: what it is, what stands without it, what a change does', async () => {
    const explained = (await plane.run(['explain', 'bgppeer.spec.dynamicASN'])).replace(/\s+/g, ' ');
    assert.match(explained, /FIELD: dynamicASN <string> ENUM: External Internal/);
    assert.match(explained, /Instead of asNumber: the peer's AS number is whatever it says/);
    assert.match(explained, /One is needed: this or asNumber/);
    assert.match(explained, /A change takes the session down and up again/);
    const poolSize = (await plane.run(['explain', 'frpool.spec.blockSize'])).replace(/\s+/g, ' ');
    assert.match(poolSize, /20 to 32 for IPv4, 116 to 128 for IPv6\. Immutable\. Default: 26 for IPv4, 122 for IPv6\./);
    const kinds = await plane.run(['explain', 'bgpfilter']);
    assert.match(kinds, /Ordered rules, named by BGPPeers/);
  });

  test('lists what an operator looks for, by short names and by the category', async () => {
    await apply(object('BGPPeer', 'tor-a', { peerIP: '192.0.2.1', asNumber: 65100, nodeSelector: "rack == 'a'" }));
    await apply(object('BGPPeer', 'tor-b', { interface: 'eth1', dynamicASN: 'External' }));
    await apply(object('IPPool', 'pods', { cidr: '10.60.0.0/16' }));
    await apply(object('IPBlock', 'ipv4-0a3c0100-26', { cidr: '10.60.1.0/26', node: 'node-1' }));
    await apply(object('IPBlock', 'ipv4-0a3c0140-26', { cidr: '10.60.1.64/26', node: 'node-2' }));
    const peers = await rows('frpeer');
    assert.deepEqual(peers[0]?.slice(0, 5), ['NAME', 'PEER', 'AS', 'NODE', 'ADMIN']);
    assert.deepEqual(peers[1]?.slice(0, 5), ['tor-a', '192.0.2.1', '65100', "rack == 'a'", 'Up']);
    assert.deepEqual(peers[2]?.slice(0, 3), ['tor-b', 'eth1', 'External']);
    assert.deepEqual(await rows('ipblocks', '--field-selector=spec.node=node-2'), [
      ['NAME', 'CIDR', 'NODE', 'STATE', 'PROBLEM'],
      ['ipv4-0a3c0140-26', '10.60.1.64/26', 'node-2', 'Claimed'],
    ]);
    const all = await plane.run(['get', 'flatroute', '-o', 'name']);
    assert.deepEqual(all.trim().split('\n').sort(), [
      'bgppeer.flatroute.io/tor-a',
      'bgppeer.flatroute.io/tor-b',
      'ipblock.flatroute.io/ipv4-0a3c0100-26',
      'ipblock.flatroute.io/ipv4-0a3c0140-26',
      'ippool.flatroute.io/pods',
    ]);
  });

  test('refuses a field that nobody knows, and without validation the server prunes it', async () => {
    const text = object('BGPPeer', 'tor-c', { peerIP: '192.0.2.3', asNumber: 65100, holdtime: '3s' });
    const refused = await plane.kubectl(['apply', '-f', '-'], text);
    assert.match(refused.stderr, /unknown field "spec.holdtime"/);
    await apply(text, '--validate=ignore');
    assert.equal((await specOf('frpeer/tor-c'))['holdtime'], undefined);
  });
});

describe('a stored object', () => {
  const patch = async (resource: string, spec: object): Promise<string> =>
    (await plane.kubectl(['patch', resource, '--type=merge', '-p', JSON.stringify({ spec })])).stderr;

  test('keeps the range and the block size of a pool, and the range of a block', async () => {
    await apply(object('IPPool', 'still', { cidr: '10.61.0.0/16' }));
    await apply(object('IPBlock', 'ipv4-0a3d0000-26', { cidr: '10.61.0.0/26', node: 'node-1' }));
    assert.match(await patch('ippool/still', { cidr: '10.62.0.0/16' }), /spec\.cidr: Forbidden: cannot be changed/);
    assert.match(await patch('ippool/still', { blockSize: 28 }), /spec\.blockSize: Forbidden: cannot be changed/);
    assert.equal(await patch('ippool/still', { blockSize: 26 }), '', 'the block size that holds may be written down');
    assert.match(await patch('ippool/still', { blockSize: 28 }), /Forbidden: cannot be changed/);
    assert.equal(await patch('ippool/still', { blockSize: null, disabled: true }), '');
    assert.match(
      await patch('ipblock/ipv4-0a3d0000-26', { cidr: '10.61.0.64/26' }),
      /spec\.cidr: Forbidden: cannot be changed; the block is another object/,
    );
    assert.equal(await patch('ipblock/ipv4-0a3d0000-26', { state: 'Releasing' }), '');
    assert.match(
      await patch('ippool/still', { allowedUses: ['LoadBalancer'] }),
      /spec\.allowedUses: Forbidden: cannot be changed between pods and Services/,
    );
  });

  test('keeps the address of a claim, and lets Services come and go on it', async () => {
    const service = (name: string): object => ({ namespace: 'shop', name, uid: `uid-${name}`, ports: [] });
    await apply(
      object('ServiceAddress', 'ipv4-0a3d0107', { address: '10.61.1.7', pool: 'vips', services: [service('a')] }),
    );
    assert.match(
      await patch('fraddress/ipv4-0a3d0107', { address: '10.61.1.8' }),
      /spec\.address: Forbidden: cannot be changed; the claim of another address is another object/,
    );
    assert.equal(await patch('fraddress/ipv4-0a3d0107', { services: [service('a'), service('b')] }), '');
    assert.match(await patch('fraddress/ipv4-0a3d0107', { services: [] }), /should have at least 1 items/);
    assert.match(await plane.run(['get', 'fraddress']), /10\.61\.1\.7 +vips +shop +a/);
  });

  test('has one owner for each reserved prefix: two who apply are not in each other’s way', async () => {
    const reserve = async (who: string, ...reservedCIDRs: readonly string[]): Promise<void> => {
      await apply(object('IPReservation', 'shared', { reservedCIDRs }), '--server-side', `--field-manager=${who}`);
    };
    await reserve('one', '10.60.0.0/30');
    await reserve('two', '10.60.0.4/30');
    await reserve('one', '10.60.0.8/30');
    const { reservedCIDRs } = await specOf('ipreservation/shared');
    assert.deepEqual([...(reservedCIDRs as string[])].sort(), ['10.60.0.4/30', '10.60.0.8/30']);
  });

  test('its status is written apart from its spec, and neither touches the other', async () => {
    const status = { status: { nodes: 7 }, spec: { adminState: 'Down' } };
    await apply(object('BGPPeer', 'halves', { peerIP: '192.0.2.9', asNumber: 65100 }));
    await plane.run(['patch', 'frpeer/halves', '--subresource=status', '--type=merge', '-p', JSON.stringify(status)]);
    assert.equal((await specOf('frpeer/halves'))['adminState'], 'Up');
    await plane.run(['patch', 'frpeer/halves', '--type=merge', '-p', JSON.stringify({ status: { nodes: 1 } })]);
    assert.equal(await plane.run(['get', 'frpeer/halves', '-o', 'jsonpath={.status.nodes}']), '7');
  });
});

interface Definition {
  readonly spec: {
    readonly versions: readonly {
      readonly schema: { readonly openAPIV3Schema: { readonly properties: { readonly spec: SpecSchema } } };
    }[];
  };
}
interface SpecSchema {
  readonly properties: Record<string, unknown>;
  readonly 'x-kubernetes-validations': unknown[];
}

test('an older schema hides what it does not know; only an object that is written under it loses that', async () => {
  const file = readFileSync('deploy/crds/bgppeers.yaml', 'utf8');
  const older = parse(file) as Definition;
  const spec = older.spec.versions[0]?.schema.openAPIV3Schema.properties.spec;
  assert.ok(spec);
  delete spec.properties['adminStateMessage'];
  spec['x-kubernetes-validations'].length = 0;
  for (const name of ['kept', 'written'])
    await apply(
      object('BGPPeer', name, { peerIP: '192.0.2.7', asNumber: 65100, adminState: 'Down', adminStateMessage: 'swap' }),
    );
  const replace = async (text: string): Promise<void> => {
    await plane.run(['apply', '--server-side', '--force-conflicts', '-f', '-'], text);
  };
  /** The server takes a moment to serve a changed schema. */
  const seen = async (name: string, wanted: unknown): Promise<void> => {
    await waitFor(
      `BGPPeer ${name} to have the message ${String(wanted)}`,
      async () => {
        const { adminStateMessage } = await specOf(`frpeer/${name}`);
        return adminStateMessage === wanted ? found(undefined) : notYet(String(adminStateMessage));
      },
      { deadline: seconds(60), every: milliseconds(200) },
    );
  };
  await replace(JSON.stringify(older));
  await seen('kept', undefined);
  await plane.run(['label', 'frpeer/written', 'touched=yes']);
  assert.equal((await specOf('frpeer/written'))['adminState'], 'Down');
  await replace(file);
  await seen('kept', 'swap');
  await seen('written', undefined);
  assert.equal((await specOf('frpeer/written'))['adminState'], 'Down', 'what both schemas know stays');
});

test('a field that a schema gets is seen by a watch that began before, though the object is not written again', async () => {
  const store = apiStore({
    access: await kubernetesAccess(await plane.kubeconfig('kubernetes-admin', ['system:masters'])),
    userAgent: 'flatroute-test/0',
  });
  const type = typeOf(bgpPeer);
  await apply(object('BGPPeer', 'watched', { peerIP: '192.0.2.8', asNumber: 65100 }));
  let seen: string | undefined;
  store.watch(type, {
    selection: { name: 'watched' },
    keep: (it) => String(Reflect.get(Object(it['spec']), 'newer')),
    changed: (objects) => (seen = objects.get('watched')),
  });
  const until = async (wanted: string): Promise<void> => {
    const look = async (): Promise<ReturnType<typeof found<boolean>>> =>
      await Promise.resolve(seen === wanted ? found(true) : notYet(String(seen)));
    await waitFor(`the watch to see ${wanted}`, look, { deadline: seconds(60) });
  };
  await until('undefined');
  const newer = parse(readFileSync('deploy/crds/bgppeers.yaml', 'utf8')) as Definition;
  const spec = newer.spec.versions[0]?.schema.openAPIV3Schema.properties.spec;
  assert.ok(spec);
  spec.properties['newer'] = { type: 'string' };
  await plane.run(['apply', '--server-side', '--force-conflicts', '-f', '-'], JSON.stringify(newer));
  await waitFor(
    'the server to keep the field',
    async () => {
      const written = await store.patch(type, 'watched', { spec: { newer: 'here' } });
      return Reflect.get(Object(written['spec']), 'newer') === 'here' ? found(true) : notYet('it drops it');
    },
    { deadline: seconds(60), every: milliseconds(20) },
  );
  await until('here');
  await store.close();
  await plane.define('deploy/crds');
});
