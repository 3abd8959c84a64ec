// What policy fields of BGPConfiguration and BGPPeer become: reflection, roles.
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
