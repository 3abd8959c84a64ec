// The status of every kind that people make, and the Events on it, against the fake API server.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeType } from '#controller/readiness-node.ts';
import { networkPolicyType } from '#controller/network-policies.ts';
import {
  api,
  blocks,
  complaint,
  conditionOf,
  configurations,
  filters,
  of,
  pass,
  peers,
  pools,
  profiles,
  put,
  reasonOf,
  replica,
  report,
  reservations,
  sessions,
  statusOf,
  told,
  until,
  writes,
} from '../../support/controller.ts';

const tor = { peerIP: '192.0.2.1', asNumber: 65100 };

test('every kind says whether it is in force, and what is in force is no Event', async () => {
  api.put(nodeType, { metadata: { name: 'node-1' } });
  put(configurations, 'default', { spec: { asNumber: 65001 } });
  put(configurations, 'node.node-1', { spec: { asNumber: 65002 } });
  put(filters, 'fabric', { spec: { default: 'Reject' } });
  put(profiles, 'fast', { spec: { receiveInterval: 50 } });
  put(pools, 'a', { spec: { cidr: '10.60.0.0/16' } });
  put(reservations, 'routers', { spec: { reservedCIDRs: ['10.60.0.1/32', '192.0.2.0/24'] } });
  put(peers, 'tor-a', { spec: { ...tor, filters: ['fabric'], bfd: { profile: 'fast' } } });
  put(peers, 'tor-b', { spec: { ...tor, filters: ['fabric'] } });
  replica('one');
  for (const [type, name] of [
    [configurations, 'default'],
    [configurations, 'node.node-1'],
    [filters, 'fabric'],
    [profiles, 'fast'],
    [reservations, 'routers'],
    [peers, 'tor-a'],
  ] as const) {
    await until(`${type.kind} ${name}`, () => reasonOf(type, name, 'Accepted') === 'Accepted');
    assert.equal(conditionOf(type, name)?.observedGeneration, of(type, name)?.metadata.generation);
  }
  assert.deepEqual(
    [statusOf(filters, 'fabric').peers, statusOf(profiles, 'fast').peers, statusOf(reservations, 'routers').pools],
    [2, 1, 1],
  );
  await pass(5);
  assert.deepEqual(told(), []);
});

test('what a hundred nodes refuse is said once, with their names, on the object and in one Event', async () => {
  put(peers, 'tor', { spec: { ...tor, filters: ['missing'] } });
  const text = 'BGPFilter missing does not exist.';
  for (let i = 100; i < 200; i++)
    report(`node-${i}`, { conditions: [complaint('BGPPeer/tor', 'Accepted', 'FilterMissing', text, 1)] });
  replica('one');
  await until('the condition', () => reasonOf(peers, 'tor', 'Accepted') === 'FilterMissing');
  assert.equal(
    conditionOf(peers, 'tor', 'Accepted')?.message,
    `${text} Said by 100 nodes: node-100, node-101, node-102, node-103, node-104 and 95 more.`,
  );
  await until('the Event', () => told().length > 0);
  assert.deepEqual(told(), ['BGPPeer/tor: Warning FilterMissing']);
  for (let i = 100; i < 200; i++) report(`node-${i}`, { conditions: [] });
  await until('it to be accepted', () => reasonOf(peers, 'tor', 'Accepted') === 'Accepted');
  await until('the other Event', () => told().length > 1);
  assert.deepEqual(told(), ['BGPPeer/tor: Normal Accepted', 'BGPPeer/tor: Warning FilterMissing']);
});

test('what nodes said of an earlier version of an object says nothing of this one', async () => {
  put(filters, 'fabric', { spec: { default: 'Reject' } });
  report('node-1', { conditions: [complaint('BGPFilter/fabric', 'Accepted', 'Invalid', 'Wrong.', 1)] });
  replica('one');
  await until('the condition', () => reasonOf(filters, 'fabric') === 'Invalid');
  const there = of(filters, 'fabric');
  assert.ok(there);
  api.put(filters, { ...there, spec: { default: 'Accept' } });
  await until('it to be accepted', () => reasonOf(filters, 'fabric') === 'Accepted');
  assert.equal(conditionOf(filters, 'fabric')?.observedGeneration, 2);
});

test('an object that the API took and flatroute cannot read says why, and so does an Event', async () => {
  put(profiles, 'slow', { spec: { receiveInterval: 'soon' } });
  replica('one');
  await until('the condition', () => reasonOf(profiles, 'slow') === 'Invalid');
  assert.match(conditionOf(profiles, 'slow')?.message ?? '', /spec\.receiveInterval: .*is not in force/);
  await until('the Event', () => told().length > 0);
  assert.deepEqual(told(), ['BFDProfile/slow: Warning Invalid']);
});

test('a configuration and a block for a Node that is not there say so; other blocks have no status', async () => {
  put(configurations, 'node.gone', { spec: { asNumber: 65001 } });
  put(blocks, 'ipv4-0a3c0100-26', { spec: { cidr: '10.60.1.0/26', node: 'gone' } });
  put(blocks, 'ipv4-0a3c0140-26', { spec: { cidr: '10.60.1.64/26', node: 'gone', nodeUID: 'claimed' } });
  replica('one');
  await until('the configuration', () => reasonOf(configurations, 'node.gone') === 'NodeMissing');
  await until('the block', () => reasonOf(blocks, 'ipv4-0a3c0100-26') === 'NodeMissing');
  api.put(nodeType, { metadata: { name: 'gone' } });
  await until('the block in force', () => reasonOf(blocks, 'ipv4-0a3c0100-26') === 'Accepted');
  assert.equal(of(blocks, 'ipv4-0a3c0140-26')?.['status'], undefined);
});

test('a peer says why it is down, and an Event says that it went down and came back', async () => {
  put(peers, 'tor', { spec: tor });
  const why = complaint('BGPPeer/tor', 'Established', 'AuthFailed', 'The passwords of both ends differ.', 1);
  sessions('node-1', ['tor', 'Active']);
  report('node-1', { conditions: [why] });
  sessions('node-2', ['tor', 'Established']);
  replica('one');
  await until('the reason', () => reasonOf(peers, 'tor') === 'AuthFailed');
  assert.equal(
    conditionOf(peers, 'tor')?.message,
    'Down on 1 of 2: node-1. The passwords of both ends differ. Said by node-1.',
  );
  await pass(5);
  // It was never up: the node itself tells of a session that does not come up.
  assert.deepEqual(told(), []);
  sessions('node-1', ['tor', 'Established']);
  report('node-1', { conditions: [] });
  await until('it is up', () => reasonOf(peers, 'tor') === 'Established');
  sessions('node-2', ['tor', 'Idle']);
  await until('it is down', () => reasonOf(peers, 'tor') === 'NotEstablished');
  await until('the Events', () => told().length === 2);
  assert.deepEqual(told(), ['BGPPeer/tor: Normal Established', 'BGPPeer/tor: Warning NotEstablished']);
});

test('sessions of a node of which nothing is heard do not count as up', async () => {
  put(peers, 'tor', { spec: tor });
  for (const name of ['node-1', 'node-2']) {
    api.put(nodeType, { metadata: { name }, status: { conditions: [{ type: 'Ready', status: 'True' }] } });
    sessions(name, ['tor', 'Established']);
  }
  replica('one');
  await until('both up', () => reasonOf(peers, 'tor') === 'Established');
  const there = of(nodeType, 'node-2');
  assert.ok(there);
  api.put(nodeType, { ...there, status: { conditions: [{ type: 'Ready', status: 'Unknown' }] } });
  await until('one silent', () => reasonOf(peers, 'tor') === 'NodeSilent');
  assert.deepEqual([statusOf(peers, 'tor').nodes, statusOf(peers, 'tor').established], [2, 1]);
  assert.match(conditionOf(peers, 'tor')?.message ?? '', /^Up on 1 of 2 nodes\. Nothing is heard of node-2/);
});

test('conditions of sessions stand on the peer while a node says so, and of addresses on the pool', async () => {
  put(peers, 'tor', { spec: tor });
  put(pools, 'a', { spec: { cidr: '10.60.0.0/16' } });
  sessions('node-1', ['tor', 'Established']);
  const none = complaint('BGPPeer/tor/192.0.2.7', 'RoutesAccepted', 'NothingReceived', 'It announces nothing.', 1);
  const full = complaint('IPPool/a', 'AddressesAvailable', 'AddressesExhausted', 'No address is free.', 1);
  report('node-1', { conditions: [none, full], blocks: [{ cidr: '10.60.1.0/26', pool: 'a', used: 62 }] });
  report('node-2', { blocks: [{ cidr: '10.60.1.64/26', pool: 'a', used: 3 }] });
  put(blocks, 'ipv4-0a3c0100-26', { spec: { cidr: '10.60.1.0/26', node: 'node-1', nodeUID: 'x' } });
  replica('one');
  await until('the peer', () => reasonOf(peers, 'tor', 'RoutesAccepted') === 'NothingReceived');
  await until('the pool', () => reasonOf(pools, 'a', 'AddressesAvailable') === 'AddressesExhausted');
  assert.equal(reasonOf(peers, 'tor', 'Established'), 'Established');
  assert.deepEqual([statusOf(pools, 'a').usedAddresses, statusOf(pools, 'a').claimedAddresses], [65, 64]);
  report('node-1', { conditions: [] });
  await until('both are gone', () => statusOf(peers, 'tor').conditions?.length === 2);
  await until('both are gone', () => reasonOf(pools, 'a', 'AddressesAvailable') === undefined);
});

test('a pool of which the blocks are nearly all taken says so before it is full', async () => {
  put(pools, 'a', { spec: { cidr: '10.60.0.0/24', blockSize: 28 } });
  for (let i = 0; i < 15; i++) {
    const name = `ipv4-0a3c00${(i * 16).toString(16).padStart(2, '0')}-28`;
    put(blocks, name, { spec: { cidr: `10.60.0.${i * 16}/28`, node: 'node-1', nodeUID: 'x' } });
  }
  replica('one');
  await until('few', () => reasonOf(pools, 'a', 'BlocksAvailable') === 'BlocksLow');
  put(blocks, 'ipv4-0a3c00f0-28', { spec: { cidr: '10.60.0.240/28', node: 'node-1', nodeUID: 'x' } });
  await until('none', () => reasonOf(pools, 'a', 'BlocksAvailable') === 'BlocksExhausted');
  await until('the Events', () => told().length === 2);
  assert.deepEqual(told(), ['IPPool/a: Warning BlocksExhausted', 'IPPool/a: Warning BlocksLow']);
});

test('a new leader says nothing that the one before has said', async () => {
  put(filters, 'fabric', { spec: { default: 'perhaps' } });
  const one = replica('one');
  await until('the Event', () => told().length === 1);
  await one.controller.stop();
  const two = replica('two');
  await until('the other leads', () => two.controller.state().leads, [two]);
  api.requests.length = 0;
  await pass(60);
  assert.deepEqual(writes(), []);
});

test('each NetworkPolicy is told that it is not enforced, once', async () => {
  const policy = (name: string): void => {
    api.put(networkPolicyType, { metadata: { name, namespace: 'shop' }, spec: {} });
  };
  policy('deny-all');
  const one = replica('one');
  await until('the Event', () => told().length === 1);
  policy('allow-dns');
  await until('the other', () => told().length === 2);
  await pass(30);
  assert.deepEqual(told(), [
    'NetworkPolicy/allow-dns: Warning NetworkPolicyNotEnforced',
    'NetworkPolicy/deny-all: Warning NetworkPolicyNotEnforced',
  ]);
  assert.deepEqual(one.controller.state().measures.get('unenforced_network_policies'), [{ labels: {}, value: 2 }]);
});
