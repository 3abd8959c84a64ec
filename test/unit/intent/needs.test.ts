import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { needsOf } from '#intent/needs.ts';
import { nodeYaml, own, resources } from '../../support/resources.ts';

const node = nodeYaml('node-1', '192.0.2.1', '', 'rack: a');
const withPassword = (name: string, more: string): string =>
  own(
    'BGPPeer',
    name,
    `peerIP: 192.0.2.9, asNumber: 65100, password: {secretKeyRef: {name: of-${name}, key: p}}, ${more}`,
  );
const needs = (...yaml: readonly string[]) => needsOf(resources(node, ...yaml), 'node-1');

describe('what a node reads beside what all read', () => {
  test('nothing, as long as nothing asks for it', () => {
    assert.deepEqual(needs(own('IPPool', 'pods', 'cidr: 10.60.0.0/16')), {
      secrets: [],
      namespaces: false,
      nodes: false,
    });
  });

  test('Secrets of its own sessions alone, each once', () => {
    const keys = '{sendID: 1, receiveID: 1, algorithm: HMACSHA1, secretKeyRef: {name: of-a, key: k}}';
    const { secrets } = needs(
      withPassword('a', "nodeSelector: rack == 'a'"),
      withPassword('b', "nodeSelector: rack == 'b'"),
      withPassword('all', ''),
      own(
        'BGPPeer',
        'ao',
        `node: node-1, interface: eth1, asNumber: 65100, authentication: {tcpAO: {keys: [${keys}]}}`,
      ),
    );
    assert.deepEqual(secrets, ['of-a', 'of-all']);
  });

  test('labels of namespaces where a pool selects by them', () => {
    assert.ok(needs(own('IPPool', 'pods', "cidr: 10.60.0.0/16, namespaceSelector: team == 'a'")).namespaces);
  });

  test('other nodes for a mesh, with its Secret, and for a selection that concerns this one from either side', () => {
    const mesh = needs(
      own(
        'BGPConfiguration',
        'default',
        'nodeToNodeMeshEnabled: true, nodeMeshPassword: {secretKeyRef: {name: m, key: p}}',
      ),
    );
    assert.deepEqual([mesh.nodes, mesh.secrets], [true, ['m']]);
    assert.ok(needs(own('BGPPeer', 'rr', "nodeSelector: rack == 'b', peerSelector: rack == 'a'")).nodes);
    assert.ok(needs(own('BGPPeer', 'rr', "nodeSelector: rack == 'a', peerSelector: rack == 'b'")).nodes);
    assert.ok(!needs(own('BGPPeer', 'rr', "nodeSelector: rack == 'b', peerSelector: rack == 'c'")).nodes);
    assert.ok(
      !needs(own('BGPPeer', 'rr', "reversePeering: Manual, nodeSelector: rack == 'b', peerSelector: rack == 'a'"))
        .nodes,
    );
  });
});
