// What policy fields of BGPConfiguration and BGPPeer become: reflection, roles, communities.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PeerIntent } from '#bgp/engine.ts';
import { compile } from '#intent/compile.ts';
import type { Compiled } from '#intent/node-intent.ts';
import { nodeYaml, own, resources } from '../../support/resources.ts';

const node1 = nodeYaml('node-1', '192.0.2.11 2001:db8::11', '10.60.1.0/26, "fd60:1::/64"', 'rack: a');

const compiled = (...yaml: readonly string[]): Compiled => compile(resources(node1, ...yaml), 'node-1');

function peer(result: Compiled, name: string): PeerIntent {
  const found = result.intent.bgp?.peers.find((it) => it.name === name);
  assert.ok(found !== undefined, `no peer ${name}`);
  return found;
}

const messageOf = (result: Compiled, object: string): string =>
  result.conditions.find((it) => `${it.kind} ${it.name}` === object && it.type === 'Accepted')?.message ?? '';

test('a reflector has clients and a cluster id; the id of the node stands before the one of all', () => {
  const client = own('BGPPeer', 'c', 'peerIP: 192.0.2.12, asNumber: 64512, routeReflectorClient: true');
  const all = own('BGPConfiguration', 'default', 'routeReflectorClusterID: 10.0.0.1');
  const mine = own('BGPConfiguration', 'node.node-1', 'routeReflectorClusterID: 10.0.0.2');
  assert.equal(peer(compiled(client), 'c').routeReflectorClient, true);
  assert.equal(compiled(client).intent.bgp?.clusterId, undefined);
  assert.equal(compiled(client, all).intent.bgp?.clusterId, '10.0.0.1');
  assert.equal(compiled(client, all, mine).intent.bgp?.clusterId, '10.0.0.2');
});

test('what becomes of the local AS in paths is the choice of a peer that has one', () => {
  const options = 'localASNumber: 65010, localASOptions: { noPrepend: false, replaceAS: false }';
  const result = compiled(
    own('BGPPeer', 'plain', 'peerIP: 192.0.2.1, asNumber: 65100, localASNumber: 65010'),
    own('BGPPeer', 'both', `peerIP: 192.0.2.2, asNumber: 65100, ${options}`),
    own('BGPPeer', 'internal', `peerIP: 192.0.2.3, asNumber: 65010, ${options}`),
  );
  const of = (name: string): unknown => {
    const { localAsn, innerAsn, prependsReceived } = peer(result, name);
    return [localAsn, innerAsn, prependsReceived];
  };
  assert.deepEqual(of('plain'), [65010, undefined, undefined]);
  assert.deepEqual(of('both'), [65010, 64512, true]);
  assert.deepEqual(of('internal'), [65010, undefined, undefined]);
});

test('a role is of an external peer; an internal one is told that it does nothing', () => {
  const result = compiled(
    own('BGPPeer', 'tor', 'peerIP: 192.0.2.1, asNumber: 65100, role: Customer, roleRequired: true'),
    own('BGPPeer', 'rs', 'peerIP: 192.0.2.2, asNumber: 65200, role: RouteServerClient, enforceFirstAS: false'),
    own('BGPPeer', 'twin', 'peerIP: 192.0.2.3, asNumber: 64512, role: Peer'),
  );
  assert.deepEqual([peer(result, 'tor').role, peer(result, 'tor').roleRequired], ['Customer', true]);
  assert.deepEqual([peer(result, 'rs').role, peer(result, 'rs').enforceFirstAs], ['RouteServerClient', false]);
  assert.match(messageOf(result, 'BGPPeer twin'), /it is internal, so role does nothing/);
});

test('an external peer that is called a client is told so and has its session', () => {
  const result = compiled(own('BGPPeer', 'c', 'peerIP: 192.0.2.12, asNumber: 65100, routeReflectorClient: true'));
  assert.equal(peer(result, 'c').enabled, true);
  assert.match(messageOf(result, 'BGPPeer c'), /it is external, so routeReflectorClient does nothing/);
});

test('prefixAdvertisements put communities on the announcements inside their cidr, by value and by name', () => {
  const all = own(
    'BGPConfiguration',
    'default',
    'communities: [{name: pods, value: "64512:7"}, {name: target, value: "rt:64512:9"}], advertise: {prefixes: [198.51.100.0/24]}, prefixAdvertisements: [{cidr: 10.60.0.0/16, communities: [pods, NO_EXPORT]}, {cidr: 10.60.1.0/26, communities: [target, pods]}, {cidr: 10.60.1.0/27, communities: ["64512:1"]}]',
  );
  const result = compiled(all);
  assert.deepEqual(result.intent.bgp?.announcements, [
    { prefix: '10.60.1.0/26', source: 'block', communities: [0xfc000007, 0xffffff01, [0x0002fc00, 9]] },
    { prefix: '198.51.100.0/24', source: 'advertise' },
    { prefix: 'fd60:1::/64', source: 'block' },
  ]);
  assert.match(messageOf(result, 'BGPConfiguration default'), /is in force/);
});

test("a node's own prefixAdvertisements stand instead of everybody's and may use everybody's names", () => {
  const all = own(
    'BGPConfiguration',
    'default',
    'communities: [{name: pods, value: "64512:7"}], prefixAdvertisements: [{cidr: 10.60.0.0/16, communities: [NO_EXPORT]}]',
  );
  const mine = own('BGPConfiguration', 'node.node-1', 'prefixAdvertisements: [{cidr: 0.0.0.0/0, communities: [pods]}]');
  assert.deepEqual(compiled(all, mine).intent.bgp?.announcements[0]?.communities, [0xfc000007]);
});

test('a community that nobody has named is a condition, and the prefix is announced without it', () => {
  const result = compiled(
    own('BGPConfiguration', 'default', 'prefixAdvertisements: [{cidr: 10.60.0.0/16, communities: [podz, NO_EXPORT]}]'),
  );
  assert.deepEqual(result.intent.bgp?.announcements[0]?.communities, [0xffffff01]);
  const found = result.conditions.find((it) => it.kind === 'BGPConfiguration');
  assert.deepEqual([found?.status, found?.reason], ['False', 'CommunityMissing']);
  assert.match(found?.message ?? '', /prefixAdvertisements names podz, which is neither/);
});
