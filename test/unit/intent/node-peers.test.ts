// Sessions between nodes: each test compiles both ends, which must have the two halves of the same sessions.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { wantsSession } from '#bgp/engine.ts';
import { compile } from '#intent/compile.ts';
import { resourceSet } from '#resources/resource-set.ts';
import { nodeYaml, objects, own } from '../../support/resources.ts';

const node = (n: number, labels = '', annotations = ''): string =>
  `{apiVersion: v1, kind: Node, metadata: {name: node-${n}, labels: {${labels}}, annotations: {flatroute.io/bgp-address-ipv4: 192.0.2.${n}${annotations}}}}\n---\n`;
const mesh = own('BGPConfiguration', 'default', 'nodeToNodeMeshEnabled: true');

function network(...yaml: readonly string[]) {
  const set = resourceSet(yaml.flatMap(objects));
  const of = (name: string) => compile(set, name);
  return {
    sessions: (name: string): readonly string[] =>
      (of(name).intent.bgp?.peers ?? [])
        .filter(wantsSession)
        .map(
          (it) =>
            `${it.name} ${it.address} AS ${it.peerAsn}${it.routeReflectorClient === true ? ' client' : ''}${it.port === 179 ? '' : ` port ${it.port}`}${it.passive ? ' passive' : ''}`,
        ),
    peers: (name: string) => of(name).intent.bgp?.peers ?? [],
    clusterId: (name: string) => of(name).intent.bgp?.clusterId,
    condition: (name: string, object: string, type = 'Accepted') =>
      of(name).conditions.find((it) => `${it.kind} ${it.name}` === object && it.type === type),
  };
}

describe('the mesh of all nodes', () => {
  test('is off unless it is asked for', () => {
    assert.deepEqual(network(node(1), node(2)).sessions('node-1'), []);
  });

  test('gives every node a session with every other one, and all routes of theirs', () => {
    const { sessions, peers } = network(mesh, node(1), node(2), node(3));
    assert.deepEqual(sessions('node-1'), ['mesh/node-2 192.0.2.2 AS 64512', 'mesh/node-3 192.0.2.3 AS 64512']);
    assert.deepEqual(sessions('node-3'), ['mesh/node-1 192.0.2.1 AS 64512', 'mesh/node-2 192.0.2.2 AS 64512']);
    assert.equal(peers('node-1')[0]?.importPolicy, 'All');
  });

  test('uses what nodes have of their own: port, AS number, and no port at all', () => {
    const { sessions } = network(
      mesh,
      node(1),
      node(2, '', ', flatroute.io/as-number: "65002"'),
      node(3),
      own('BGPConfiguration', 'node.node-2', 'listenPort: 1179'),
      own('BGPConfiguration', 'node.node-3', 'listenPort: 0'),
    );
    assert.deepEqual(sessions('node-1'), [
      'mesh/node-2 192.0.2.2 AS 65002 port 1179',
      'mesh/node-3 192.0.2.3 AS 64512 passive',
    ]);
  });

  test('leaves out route reflectors, at both ends', () => {
    const reflector = node(3, '', ', flatroute.io/route-reflector-cluster-id: 192.0.2.3');
    const { sessions } = network(mesh, node(1), node(2), reflector);
    assert.deepEqual(sessions('node-1'), ['mesh/node-2 192.0.2.2 AS 64512']);
    assert.deepEqual(sessions('node-3'), []);
  });

  test('goes over IPv6 where only that is common, and names nodes whose address is not known', () => {
    const { sessions, condition } = network(
      mesh,
      nodeYaml('node-1', '192.0.2.1 2001:db8::1', ''),
      nodeYaml('node-2', '2001:db8::2', ''),
      nodeYaml('node-3', '', ''),
    );
    assert.deepEqual(sessions('node-1'), ['mesh/node-2 2001:db8::2 AS 64512']);
    const complete = condition('node-1', 'BGPConfiguration default', 'MeshComplete');
    assert.equal(complete?.reason, 'PeerAddressMissing');
    assert.match(complete.message, /none with node-3: .*flatroute.io\/bgp-address-ipv4/);
  });

  test('of 200 nodes is there, of 201 refused with what to do instead', () => {
    const nodes = (count: number): string =>
      Array.from(
        { length: count },
        (_, i) =>
          `{apiVersion: v1, kind: Node, metadata: {name: n${i}, annotations: {flatroute.io/bgp-address-ipv4: 192.0.${2 + (i >> 8)}.${i & 255}}}}\n---\n`,
      ).join('');
    assert.equal(network(mesh, nodes(200)).sessions('n7').length, 199);
    const large = network(mesh, nodes(201));
    assert.deepEqual(large.sessions('n7'), []);
    const refused = large.condition('n7', 'BGPConfiguration default', 'MeshComplete');
    assert.deepEqual([refused?.status, refused?.reason], ['False', 'MeshTooLarge']);
    assert.match(refused?.message ?? '', /at most 200 nodes, and there are 201.*peerSelector/);
  });

  test('is held down without its password, and leaves a peer of its own alone', () => {
    const secured = own(
      'BGPConfiguration',
      'default',
      'nodeToNodeMeshEnabled: true, nodeMeshPassword: {secretKeyRef: {name: mesh, key: password}}',
    );
    const secret = '{apiVersion: v1, kind: Secret, metadata: {name: mesh}, stringData: {password: hush}}\n---\n';
    const own2 = own('BGPPeer', 'special', 'node: node-1, peerIP: 192.0.2.2, asNumber: 64512');
    assert.deepEqual(network(secured, node(1), node(2)).sessions('node-1'), []);
    assert.equal(
      network(secured, node(1), node(2)).condition('node-1', 'BGPPeer mesh/node-2')?.reason,
      'SecretMissing',
    );
    assert.equal(network(secured, secret, node(1), node(2)).peers('node-1')[0]?.password, 'hush');
    const both = network(mesh, own2, node(1), node(2));
    assert.deepEqual(both.sessions('node-1'), ['special 192.0.2.2 AS 64512']);
    assert.equal(both.condition('node-1', 'BGPPeer mesh/node-2'), undefined);
  });

  test('has the restart time that is said of it', () => {
    const slow = own('BGPConfiguration', 'default', 'nodeToNodeMeshEnabled: true, nodeMeshMaxRestartTime: 1m');
    assert.equal(network(slow, node(1), node(2)).peers('node-1')[0]?.gracefulRestart.restartTime, 60_000);
  });
});

describe('peerSelector', () => {
  const reflector = node(9, 'role: reflector', ', flatroute.io/route-reflector-cluster-id: 192.0.2.9');
  const toReflectors = own('BGPPeer', 'rr', "nodeSelector: '!has(role)', peerSelector: role == 'reflector'");

  test('gives both ends their half; the reflector has the others as clients', () => {
    const { sessions, clusterId } = network(toReflectors, reflector, node(1), node(2));
    assert.deepEqual(sessions('node-1'), ['rr/node-9 192.0.2.9 AS 64512']);
    assert.deepEqual(sessions('node-9'), [
      'rr/node-1 192.0.2.1 AS 64512 client',
      'rr/node-2 192.0.2.2 AS 64512 client',
    ]);
    assert.deepEqual([clusterId('node-9'), clusterId('node-1')], ['192.0.2.9', undefined]);
  });

  test('with reversePeering Manual gives only the selected nodes of nodeSelector their half', () => {
    const manual = toReflectors.replace('nodeSelector', 'reversePeering: Manual, nodeSelector');
    const { sessions } = network(manual, reflector, node(1));
    assert.deepEqual([sessions('node-1').length, sessions('node-9').length], [1, 0]);
  });

  test('reflectors of one cluster are no clients of each other, of two they are', () => {
    const all = own('BGPPeer', 'rr', "nodeSelector: role == 'reflector', peerSelector: role == 'reflector'");
    const second = (cluster: string) =>
      node(8, 'role: reflector', `, flatroute.io/route-reflector-cluster-id: ${cluster}`);
    assert.deepEqual(network(all, reflector, second('192.0.2.9')).sessions('node-9'), ['rr/node-8 192.0.2.8 AS 64512']);
    assert.deepEqual(network(all, reflector, second('192.0.2.8')).sessions('node-9'), [
      'rr/node-8 192.0.2.8 AS 64512 client',
    ]);
  });

  test('follows labels: of this node, and of the others', () => {
    const moved = network(toReflectors, reflector, node(1, 'role: worker'), node(2));
    assert.deepEqual([moved.sessions('node-1'), moved.sessions('node-2').length], [[], 1]);
    assert.equal(moved.condition('node-1', 'BGPPeer rr'), undefined);
  });

  test('as a label selector says the same', () => {
    const labels = own(
      'BGPPeer',
      'rr',
      'nodeSelector: "!has(role)", peerLabelSelector: {matchLabels: {role: reflector}}',
    );
    assert.deepEqual(network(labels, reflector, node(1)).sessions('node-1'), ['rr/node-9 192.0.2.9 AS 64512']);
  });

  test('takes everything else from the BGPPeer: filters that are missing hold down', () => {
    const filtered = own('BGPPeer', 'rr', "filters: [gone], peerSelector: role == 'reflector'");
    const { sessions, condition } = network(filtered, reflector, node(1));
    assert.deepEqual(sessions('node-1'), []);
    assert.equal(condition('node-1', 'BGPPeer rr/node-9')?.reason, 'FilterMissing');
    assert.equal(condition('node-1', 'BGPPeer rr')?.reason, 'Accepted');
  });

  test('that selects more than 1024 nodes gives none a session', () => {
    const crowd = (from: number): string =>
      Array.from({ length: 520 }, (_, i) => node(from + i))
        .join('')
        .replaceAll('192.0.2.', '10.0.0.');
    const many = [crowd(1000), crowd(2000)].map((yaml) => yaml.replaceAll(/10\.0\.0\.(\d)(\d+)/g, '10.$1.0.1'));
    const { condition, sessions } = network(own('BGPPeer', 'all', 'peerSelector: all()'), ...many);
    assert.deepEqual(sessions('node-1000'), []);
    assert.equal(condition('node-1000', 'BGPPeer all')?.reason, 'TooManyNodes');
  });
});
