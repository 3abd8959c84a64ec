// Golden tables: what one node does, from resources as they stand in files.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PeerIntent } from '#bgp/engine.ts';
import { compile } from '#intent/compile.ts';
import type { Compiled } from '#intent/node-intent.ts';
import { nodeYaml, own, resources } from '../../support/resources.ts';

const node1 = nodeYaml('node-1', '192.0.2.11 2001:db8::11', '10.60.1.0/26, "fd60:1::/64"', 'rack: a');
const node2 = nodeYaml('node-2', '192.0.2.12', '10.60.2.0/26', 'rack: b');
const torA = own('BGPPeer', 'tor-a', "nodeSelector: rack == 'a', peerIP: 192.0.2.1, asNumber: 65100");

const compiled = (...yaml: readonly string[]): Compiled => compile(resources(...yaml), 'node-1');

function peer(result: Compiled, name: string): PeerIntent {
  const found = result.intent.bgp?.peers.find((it) => it.name === name);
  assert.ok(found !== undefined, `no peer ${name}`);
  return found;
}

const peerNames = (result: Compiled): string[] => (result.intent.bgp?.peers ?? []).map((it) => it.name);

function reasonOf(result: Compiled, object: string, type = 'Accepted'): string {
  const found = result.conditions.find((it) => `${it.kind} ${it.name}` === object && it.type === type);
  return found === undefined ? 'none' : `${found.status} ${found.reason}`;
}

function messageOf(result: Compiled, object: string, type = 'Accepted'): string {
  return result.conditions.find((it) => `${it.kind} ${it.name}` === object && it.type === type)?.message ?? '';
}

test('the whole intent of a node with one router', () => {
  assert.deepEqual(compiled(node1, node2, torA).intent, {
    bgp: {
      asn: 64512,
      routerId: '192.0.2.11',
      listenPort: 179,
      peers: [
        {
          name: 'tor-a',
          address: '192.0.2.1',
          port: 179,
          peerAsn: 65100,
          localAsn: 64512,
          families: ['ipv4', 'ipv6'],
          password: undefined,
          sourceAddress: '192.0.2.11',
          passive: false,
          holdTime: 90_000,
          connectRetryTime: 10_000,
          ebgpMultihop: 1,
          importPolicy: 'None',
          filters: [],
          transit: false,
          maxPrefixes: 10_000,
          maxPrefixesWarning: 75,
          maxPrefixesRestart: 300_000,
          gracefulRestart: { enabled: true, restartTime: 120_000 },
          notificationRestart: undefined,
          staleTime: undefined,
          allowedLocalAsns: 0,
          enabled: true,
        },
      ],
      announcements: [
        { prefix: '10.60.1.0/26', source: 'block' },
        { prefix: 'fd60:1::/64', source: 'block' },
      ],
      ownPrefixes: ['10.60.1.0/26', '192.0.2.11/32', '2001:db8::11/128', 'fd60:1::/64'],
      multipath: { maximumPaths: 16, relax: true },
      bestPath: { alwaysCompareMed: false, missingMedAsWorst: false, preferOlder: false },
    },
    pods: {
      ipam: {
        pools: [
          { name: 'node', blocks: ['10.60.1.0/26', 'fd60:1::/64'], assignmentMode: 'Automatic', disabled: false },
        ],
        reserved: [],
      },
      nodeAddresses: { ipv4: '192.0.2.11', ipv6: '2001:db8::11' },
      mtu: undefined,
    },
    dataplane: {
      blocks: ['10.60.1.0/26', 'fd60:1::/64'],
      nodeAddresses: { ipv4: '192.0.2.11', ipv6: '2001:db8::11' },
      natOutgoing: [],
      poolPrefixes: [],
      serviceRanges: [],
    },
  });
});

test('installRoutes of one node stands before that of all', () => {
  const all = own('BGPConfiguration', 'default', 'installRoutes: false');
  const one = own('BGPConfiguration', 'node.node-1', 'installRoutes: true');
  assert.equal(compiled(node1, all).intent.bgp?.installRoutes, false);
  assert.equal(compiled(node1, all, one).intent.bgp?.installRoutes, undefined);
});

describe('which peers a node has', () => {
  const spec = 'peerIP: 192.0.2.1, asNumber: 65100';
  const rows: readonly (readonly [string, string, boolean])[] = [
    ['by node', `node: node-1, ${spec}`, true],
    ['of another node', `node: node-2, ${spec}`, false],
    ['by a selector that matches', `nodeSelector: has(rack), ${spec}`, true],
    ['by a selector that does not', `nodeSelector: rack == 'b', ${spec}`, false],
    ['by an empty selector', `nodeSelector: "", ${spec}`, true],
    ['by a label selector that matches', `nodeLabelSelector: {matchLabels: {rack: a}}, ${spec}`, true],
    ['by a label selector that does not', `nodeLabelSelector: {matchLabels: {rack: b}}, ${spec}`, false],
    ['for every node', spec, true],
  ];
  for (const [name, text, expected] of rows) {
    test(name, () => assert.deepEqual(peerNames(compiled(node1, own('BGPPeer', 'p', text))), expected ? ['p'] : []));
  }

  test('a peer that is the node itself is left out and no fault', () => {
    const result = compiled(node1, own('BGPPeer', 'p', 'peerIP: 192.0.2.11, asNumber: 64512'));
    assert.deepEqual(peerNames(result), []);
    assert.equal(reasonOf(result, 'BGPPeer p'), 'True PeerIsSelf');
  });
});

test('addPath goes into the intent as it is, with its defaults', () => {
  const addPathOf = (text: string): unknown =>
    compiled(node1, own('BGPPeer', 'p', `peerIP: 192.0.2.1, asNumber: 65100${text}`)).intent.bgp?.peers[0]?.addPath;
  assert.equal(addPathOf(''), undefined);
  assert.deepEqual(addPathOf(', addPath: {receive: true}'), { receive: true, send: 1 });
  assert.deepEqual(addPathOf(', addPath: {send: 4}'), { receive: false, send: 4 });
});

test('nextHopMode goes into the intent unless it is Auto', () => {
  const mode = (text: string): unknown =>
    compiled(node1, own('BGPPeer', 'p', `peerIP: 192.0.2.1, asNumber: 65100${text}`)).intent.bgp?.peers[0]?.nextHopMode;
  assert.deepEqual(['', ', nextHopMode: Auto', ', nextHopMode: Self', ', nextHopMode: Keep'].map(mode), [
    undefined,
    undefined,
    'Self',
    'Keep',
  ]);
});

describe('an unnumbered peer', () => {
  const unnumbered = (name: string, spec: string): string =>
    own('BGPPeer', name, `interface: eth1, dynamicASN: External${spec}`);

  test('has an interface, no address, and no source of its own', () => {
    const result = compiled(node1, unnumbered('p', ', sourceAddress: UseNodeIP'));
    const [peer] = result.intent.bgp?.peers ?? [];
    assert.deepEqual([peer?.interface, peer?.address, peer?.sourceAddress, peer?.port], ['eth1', '::', undefined, 179]);
    assert.equal(messageOf(result, 'BGPPeer p'), 'node-1 has a session with the neighbour on eth1.');
  });

  test('is the only one on its interface', () => {
    const result = compiled(node1, unnumbered('b', ''), unnumbered('a', ''));
    assert.deepEqual(peerNames(result), ['a']);
    assert.equal(reasonOf(result, 'BGPPeer b'), 'False Conflict');
    assert.match(messageOf(result, 'BGPPeer b'), /BGPPeer a \(for every node\) has the same interface eth1 /);
  });
});

describe('a listen range', () => {
  const range = (name: string, cidr: string): string =>
    own('BGPPeer', name, `listenRange: { cidr: "${cidr}", limit: 4, insecure: true }, dynamicASN: External`);

  test('has the prefix, no address, and is waited for', () => {
    const result = compiled(node1, range('p', '192.0.2.0/24'));
    const [peer] = result.intent.bgp?.peers ?? [];
    assert.deepEqual(peer?.listenRange, { prefix: '192.0.2.0/24', limit: 4 });
    assert.deepEqual([peer?.address, peer?.sourceAddress, peer?.passive], ['0.0.0.0', '192.0.2.11', true]);
    assert.equal(messageOf(result, 'BGPPeer p'), 'node-1 has a session with whoever connects from 192.0.2.0/24.');
    assert.equal(compiled(node1, range('p', '2001:db8::/64')).intent.bgp?.peers[0]?.address, '::');
  });

  test('is the only one with its prefix', () => {
    const result = compiled(node1, range('b', '192.0.2.0/24'), range('a', '192.0.2.0/24'));
    assert.deepEqual(peerNames(result), ['a']);
    assert.match(messageOf(result, 'BGPPeer b'), /has the same listenRange 192\.0\.2\.0\/24 /);
  });

  test('that holds addresses of pods is held down', () => {
    const result = compiled(node1, range('p', '10.60.0.0/16'));
    assert.equal(reasonOf(result, 'BGPPeer p'), 'False PeerInOwnBlock');
    assert.equal(peer(result, 'p').enabled, false);
  });
});

describe('two peers with one address', () => {
  const byNode = own('BGPPeer', 'z-node', 'node: node-1, peerIP: 192.0.2.1, asNumber: 65100');
  const bySelector = own('BGPPeer', 'm-selector', 'nodeSelector: all(), peerIP: 192.0.2.1, asNumber: 65100');
  const all = own('BGPPeer', 'a-all', 'peerIP: "192.0.2.1:1179", asNumber: 65100');
  const rows: readonly (readonly [string, readonly string[], string, string])[] = [
    ['by node before by selector', [bySelector, byNode], 'z-node', 'm-selector'],
    ['by selector before every node', [all, bySelector], 'm-selector', 'a-all'],
    ['by node before every node', [all, byNode], 'z-node', 'a-all'],
    ['then the first name', [own('BGPPeer', 'b-all', 'peerIP: 192.0.2.1, asNumber: 65100'), all], 'a-all', 'b-all'],
  ];
  for (const [name, yaml, winner, loser] of rows) {
    test(name, () => {
      const result = compiled(node1, ...yaml);
      assert.deepEqual(peerNames(result), [winner]);
      assert.equal(reasonOf(result, `BGPPeer ${winner}`), 'True Accepted');
      assert.equal(reasonOf(result, `BGPPeer ${loser}`), 'False Conflict');
      assert.match(
        messageOf(result, `BGPPeer ${loser}`),
        new RegExp(`BGPPeer ${winner} .* has the same peerIP 192.0.2.1`),
      );
    });
  }
});

describe('a peer that is not complete is held down, and the others are not', () => {
  const other = own('BGPPeer', 'other', 'peerIP: 192.0.2.9, asNumber: 65100');
  const secret = (body: string, name = 'bgp', namespace = ''): string =>
    `{apiVersion: v1, kind: Secret, metadata: {name: ${name}${namespace}}, ${body}}\n---\n`;
  const locked = own(
    'BGPPeer',
    'p',
    'peerIP: 192.0.2.1, asNumber: 65100, password: {secretKeyRef: {name: bgp, key: k}}',
  );
  const rows: readonly (readonly [string, readonly string[], string, RegExp])[] = [
    [
      'no Secret',
      [locked],
      'SecretMissing',
      /Secret bgp does not exist in namespace flatroute-system\. Create it with key k/,
    ],
    [
      'a Secret in another namespace',
      [locked, secret('stringData: {k: x}', 'bgp', ', namespace: default')],
      'SecretMissing',
      /One of that name is in namespace default/,
    ],
    ['no key', [locked, secret('stringData: {other: x}')], 'SecretMissing', /Secret bgp has no key k/],
    [
      'an empty value',
      [locked, secret('stringData: {k: ""}')],
      'SecretInvalid',
      /has 0 bytes; a TCP MD5 password has 1 to 80/,
    ],
    ['81 bytes', [locked, secret(`stringData: {k: ${'x'.repeat(81)}}`)], 'SecretInvalid', /has 81 bytes/],
    [
      'echo instead of printf',
      [locked, secret('data: {k: aHVudGVyMgo=}')],
      'SecretInvalid',
      /line break .*\(printf, not echo\)/,
    ],
    ['no text', [locked, secret('data: {k: //8=}')], 'SecretInvalid', /not UTF-8/],
    [
      'an unknown filter',
      [
        own('BGPPeer', 'p', 'peerIP: 192.0.2.1, asNumber: 65100, filters: [fabric, fabrik]'),
        own('BGPFilter', 'fabric', ''),
      ],
      'FilterMissing',
      /names BGPFilter fabrik, which does not exist \(there are fabric\)/,
    ],
    [
      'a peer in an own block',
      [own('BGPPeer', 'p', 'peerIP: 10.60.1.5, asNumber: 65100')],
      'PeerInOwnBlock',
      /10\.60\.1\.5 lies in 10\.60\.1\.0\/26/,
    ],
  ];
  for (const [name, yaml, reason, message] of rows) {
    test(name, () => {
      const result = compiled(node1, other, ...yaml);
      assert.equal(peer(result, 'p').enabled, false);
      assert.equal(peer(result, 'p').password, undefined);
      assert.equal(peer(result, 'other').enabled, true);
      assert.equal(reasonOf(result, 'BGPPeer p'), `False ${reason}`);
      assert.match(messageOf(result, 'BGPPeer p'), message);
      assert.match(messageOf(result, 'BGPPeer p'), /The session of p stays down until then\.$/);
      assert.equal(result.peers.find((it) => it.name === 'p')?.heldDown, 'NotAccepted');
    });
  }

  test('with its Secret it is opened with the password', () => {
    const result = compiled(node1, locked, secret('data: {k: aHVudGVyMg==}'));
    assert.equal(peer(result, 'p').enabled, true);
    assert.equal(peer(result, 'p').password, 'hunter2');
    assert.equal(JSON.stringify([result.conditions, result.peers]).includes('hunter2'), false);
  });

  const keyed = own(
    'BGPPeer',
    'p',
    `peerIP: 192.0.2.1, asNumber: 65100, authentication: {tcpAO: {keys: [
      {sendID: 1, receiveID: 2, algorithm: HMACSHA1, secretKeyRef: {name: bgp, key: k}},
      {sendID: 3, receiveID: 4, algorithm: AES128CMAC, secretKeyRef: {name: bgp, key: l}}]}}`,
  );
  const keyRows: readonly (readonly [string, string, string, RegExp])[] = [
    [
      'no Secret',
      secret('stringData: {k: x, l: y}', 'other'),
      'SecretMissing',
      /Secret bgp does not exist .* correct spec\.authentication\./,
    ],
    ['one key of two', secret('stringData: {k: x}'), 'SecretMissing', /Secret bgp has no key l\./],
    [
      'an empty key',
      secret('stringData: {k: x, l: ""}'),
      'SecretInvalid',
      /key l, has 0 bytes; a TCP-AO key has 1 to 80/,
    ],
  ];
  for (const [name, yaml, reason, message] of keyRows)
    test(`TCP-AO with ${name}`, () => {
      const result = compiled(node1, other, keyed, yaml);
      assert.equal(peer(result, 'p').enabled, false);
      assert.equal(peer(result, 'p').tcpAo, undefined);
      assert.equal(peer(result, 'other').enabled, true);
      assert.equal(reasonOf(result, 'BGPPeer p'), `False ${reason}`);
      assert.match(messageOf(result, 'BGPPeer p'), message);
    });

  test('with its Secrets it is opened with the TCP-AO keys, in order', () => {
    const result = compiled(node1, keyed, secret('stringData: {k: hunter2, l: hunter3}'));
    assert.equal(peer(result, 'p').enabled, true);
    assert.deepEqual(peer(result, 'p').tcpAo, [
      { sendId: 1, receiveId: 2, algorithm: 'hmac-sha1', key: 'hunter2' },
      { sendId: 3, receiveId: 4, algorithm: 'aes-128-cmac', key: 'hunter3' },
    ]);
    assert.equal(JSON.stringify([result.conditions, result.peers]).includes('hunter'), false);
  });

  test('an 80-byte password is the longest', () => {
    const result = compiled(node1, locked, secret(`stringData: {k: ${'x'.repeat(80)}}`));
    assert.equal(peer(result, 'p').enabled, true);
  });

  test('adminState Down holds it down without a fault', () => {
    const result = compiled(node1, own('BGPPeer', 'p', 'peerIP: 192.0.2.1, asNumber: 65100, adminState: Down'));
    assert.equal(peer(result, 'p').enabled, false);
    assert.equal(reasonOf(result, 'BGPPeer p'), 'True Accepted');
    assert.equal(result.peers[0]?.heldDown, 'AdminDown');
  });
});

describe('BGPConfiguration', () => {
  const global = own(
    'BGPConfiguration',
    'default',
    'asNumber: 64600, listenPort: 1179, importPolicy: All, advertise: {nodeAddresses: true, prefixes: [198.51.100.0/24]}, gracefulRestart: {restartTime: 60s, notification: true, staleTime: 5m}',
  );
  const one = own(
    'BGPConfiguration',
    'node.node-1',
    'routerID: 192.0.2.99, asNumber: 64601, advertise: {nodeAddresses: false}',
  );
  const other = own('BGPConfiguration', 'node.node-2', 'asNumber: 64602');

  test('default holds for every node', () => {
    const { bgp } = compiled(node1, torA, global, other).intent;
    assert.equal(bgp?.asn, 64600);
    assert.equal(bgp?.listenPort, 1179);
    assert.equal(bgp?.peers[0]?.importPolicy, 'All');
    assert.deepEqual(bgp?.peers[0]?.gracefulRestart, { enabled: true, restartTime: 60_000 });
    assert.equal(bgp?.peers[0]?.notificationRestart, true);
    assert.equal(bgp?.peers[0]?.staleTime, 300_000);
    assert.deepEqual(bgp?.announcements, [
      { prefix: '10.60.1.0/26', source: 'block' },
      { prefix: '192.0.2.11/32', source: 'nodeAddress' },
      { prefix: '198.51.100.0/24', source: 'advertise' },
      { prefix: '2001:db8::11/128', source: 'nodeAddress' },
      { prefix: 'fd60:1::/64', source: 'block' },
    ]);
  });

  test('node.<name> stands field by field', () => {
    const { bgp } = compiled(node1, torA, global, one).intent;
    assert.equal(bgp?.asn, 64601);
    assert.equal(bgp?.routerId, '192.0.2.99');
    assert.equal(bgp?.listenPort, 1179);
    assert.deepEqual(
      bgp?.announcements.map((it) => it.prefix),
      ['10.60.1.0/26', '198.51.100.0/24', 'fd60:1::/64'],
    );
  });

  test('port 0, or no peer, opens no port', () => {
    assert.equal(
      compiled(node1, torA, own('BGPConfiguration', 'default', 'listenPort: 0')).intent.bgp?.listenPort,
      undefined,
    );
    assert.equal(compiled(node1).intent.bgp?.listenPort, undefined);
    assert.equal(reasonOf(compiled(node1), 'Node node-1', 'PeersConfigured'), 'False NoPeers');
  });

  test('the AS number comes from node.<name>, the annotation, default, in this order', () => {
    const annotated = node1.replace('metadata: {', 'metadata: {annotations: {flatroute.io/as-number: "1.10"}, ');
    assert.equal(compiled(annotated, global).intent.bgp?.asn, 65546);
    assert.equal(compiled(annotated, global, one).intent.bgp?.asn, 64601);
    assert.equal(compiled(node1).intent.bgp?.asn, 64512);
  });

  test('an internal session imports all, an external one nothing, unless told', () => {
    const internal = own('BGPPeer', 'i', 'peerIP: 192.0.2.2, asNumber: 64512');
    const byLocal = own('BGPPeer', 'l', 'peerIP: 192.0.2.3, asNumber: 65100, localASNumber: 65100');
    const told = own('BGPPeer', 't', 'peerIP: 192.0.2.4, asNumber: 65100, importPolicy: DefaultRoute');
    const result = compiled(node1, torA, internal, byLocal, told);
    assert.deepEqual(
      ['tor-a', 'i', 'l', 't'].map((name) => peer(result, name).importPolicy),
      ['None', 'All', 'All', 'DefaultRoute'],
    );
  });
});

describe('the addresses of the node', () => {
  test('annotations stand before InternalIP, and lose a length', () => {
    const annotated = node1.replace(
      'metadata: {',
      'metadata: {annotations: {flatroute.io/bgp-address-ipv4: 198.51.100.7/24}, ',
    );
    const result = compiled(annotated, torA);
    assert.equal(result.intent.dataplane.nodeAddresses.ipv4, '198.51.100.7');
    assert.equal(peer(result, 'tor-a').sourceAddress, '198.51.100.7');
    assert.equal(result.intent.bgp?.routerId, '198.51.100.7');
  });

  test('sourceAddress None leaves it to the kernel', () => {
    const result = compiled(node1, own('BGPPeer', 'p', 'peerIP: 192.0.2.1, asNumber: 65100, sourceAddress: None'));
    assert.equal(peer(result, 'p').sourceAddress, undefined);
  });

  test('a session over IPv6 starts at the IPv6 address', () => {
    const result = compiled(node1, own('BGPPeer', 'p', 'peerIP: "[2001:db8::1]:1179", asNumber: 65100'));
    assert.equal(peer(result, 'p').sourceAddress, '2001:db8::11');
    assert.equal(peer(result, 'p').port, 1179);
  });

  test('without an address of the family that is said, and the session is still opened', () => {
    const result = compile(resources(node2, own('BGPPeer', 'p', 'peerIP: "2001:db8::1", asNumber: 65100')), 'node-2');
    assert.equal(peer(result, 'p').sourceAddress, undefined);
    assert.match(messageOf(result, 'BGPPeer p'), /has no ipv6 address, so the kernel chooses/);
  });

  test('pods of a family without a node address of it are a condition', () => {
    const result = compiled(nodeYaml('node-1', '192.0.2.11', '10.60.1.0/26, "fd60:1::/64"'));
    assert.equal(reasonOf(result, 'Node node-1'), 'False NodeAddressMissing');
    assert.match(messageOf(result, 'Node node-1'), /ipv6.*bgp-address-ipv6/);
  });

  test('without an IPv4 address the BGP identifier comes from the name, always the same one', () => {
    const v6 = nodeYaml('node-1', '2001:db8::11', '"fd60:1::/64"');
    const first = compiled(v6).intent.bgp?.routerId;
    assert.match(first ?? '', /^\d+\.\d+\.\d+\.\d+$/);
    assert.equal(compiled(v6).intent.bgp?.routerId, first);
    assert.notEqual(compile(resources(v6.replaceAll('node-1', 'node-9')), 'node-9').intent.bgp?.routerId, first);
  });

  test('without a Node, what needs none goes on', () => {
    const result = compiled(
      own('BGPPeer', 'p', 'peerIP: 192.0.2.1, asNumber: 65100'),
      own('BGPConfiguration', 'node.node-1', 'routerID: 192.0.2.50, advertise: {prefixes: [192.0.2.50/32]}'),
    );
    assert.deepEqual(peerNames(result), ['p']);
    assert.equal(result.intent.bgp?.routerId, '192.0.2.50');
    assert.equal(reasonOf(result, 'Node node-1'), 'False NodeMissing');
    assert.equal(reasonOf(result, 'Node node-1', 'BlocksAssigned'), 'False NoBlocks');
  });
});

describe('pools and blocks', () => {
  const ipPools = own('BGPConfiguration', 'default', 'addressSource: IPPools');
  const pool = (name: string, spec: string): string => own('IPPool', name, spec);
  const block = (name: string, cidr: string, node = 'node-1'): string =>
    own('IPBlock', name, `cidr: ${cidr}, node: ${node}`);
  const own26 = block('ipv4-0a3d0000-26', '10.61.0.0/26');

  test('a podCIDR takes the pool that it lies in', () => {
    const result = compiled(node1, pool('p', 'cidr: 10.60.0.0/16, natOutgoing: true, disableBGPExport: true'));
    assert.deepEqual(result.intent.pods.ipam.pools, [
      { name: 'node', blocks: ['fd60:1::/64'], assignmentMode: 'Automatic', disabled: false },
      { name: 'p', blocks: ['10.60.1.0/26'], assignmentMode: 'Automatic', disabled: false },
    ]);
    assert.deepEqual(result.intent.dataplane.natOutgoing, ['10.60.1.0/26']);
    assert.deepEqual(result.intent.dataplane.poolPrefixes, ['10.60.0.0/16']);
    assert.deepEqual(result.intent.bgp?.announcements, [{ prefix: 'fd60:1::/64', source: 'block' }]);
    assert.deepEqual(result.intent.dataplane.blocks, ['10.60.1.0/26', 'fd60:1::/64']);
  });

  test('with addressSource IPPools the IPBlocks count and podCIDRs do not', () => {
    const result = compiled(
      node1,
      ipPools,
      pool('p', 'cidr: 10.61.0.0/16'),
      own26,
      block('ipv4-0a3d0040-26', '10.61.0.64/26', 'node-2'),
    );
    assert.deepEqual(result.intent.dataplane.blocks, ['10.61.0.0/26']);
    assert.equal(reasonOf(result, 'IPBlock ipv4-0a3d0000-26'), 'True Accepted');
    assert.equal(reasonOf(result, 'IPBlock ipv4-0a3d0040-26'), 'none');
  });

  // FLATROUTE_SEED=23757 of test/sim/claims.test.ts: a pod had an address of the machine that died under the same name.
  test('without a Node a claimed block is kept and gives no new addresses: it may be of an earlier Node of this name', () => {
    const claimed = own(
      'IPBlock',
      'ipv4-0a3d0000-26',
      'cidr: 10.61.0.0/26, node: node-1, nodeUID: u1, machineID: m1, area: 0a3d0, state: Claimed',
    );
    const byHand = block('ipv4-0a3d0040-26', '10.61.0.64/26');
    const words = [ipPools, pool('p', 'cidr: 10.61.0.0/16'), claimed, byHand];
    const alone = compiled(...words);
    const [pools] = alone.intent.pods.ipam.pools;
    assert.deepEqual([pools?.blocks, pools?.closed], [['10.61.0.0/26', '10.61.0.64/26'], ['10.61.0.0/26']]);
    assert.equal(reasonOf(alone, 'IPBlock ipv4-0a3d0000-26'), 'Unknown Pending');
    assert.equal(reasonOf(alone, 'IPBlock ipv4-0a3d0040-26'), 'True Accepted');
    assert.deepEqual(alone.intent.dataplane.blocks, ['10.61.0.0/26', '10.61.0.64/26']);
    const known = compiled('{apiVersion: v1, kind: Node, metadata: {name: node-1, uid: u1}}\n---\n', ...words);
    assert.equal(known.intent.pods.ipam.pools[0]?.closed, undefined);
    assert.equal(reasonOf(known, 'IPBlock ipv4-0a3d0000-26'), 'True Accepted');
  });

  test('a single address of a Manual pool is a fixed address', () => {
    const result = compiled(
      node1,
      ipPools,
      pool('m', 'cidr: 10.62.0.0/24, assignmentMode: Manual'),
      block('ipv4-0a3e0007-32', '10.62.0.7/32'),
    );
    assert.deepEqual(result.intent.bgp?.announcements, [{ prefix: '10.62.0.7/32', source: 'fixedAddress' }]);
    assert.deepEqual(result.intent.pods.ipam.pools, [
      { name: 'm', blocks: ['10.62.0.7/32'], assignmentMode: 'Manual', disabled: false },
    ]);
  });

  const rows: readonly (readonly [string, readonly string[], string, string, readonly string[]])[] = [
    ['a block in no pool is not used', [own26], 'IPBlock ipv4-0a3d0000-26', 'False PoolMissing', []],
    [
      'a block of the wrong size is not used',
      [pool('p', 'cidr: 10.61.0.0/16, blockSize: 27'), own26],
      'IPBlock ipv4-0a3d0000-26',
      'False BlockSizeWrong',
      [],
    ],
    [
      'a block whose pool leaves the node out gives no new addresses',
      [pool('p', "cidr: 10.61.0.0/16, nodeSelector: rack == 'b'"), own26],
      'IPBlock ipv4-0a3d0000-26',
      'False NodeNotSelected',
      ['10.61.0.0/26'],
    ],
  ];
  for (const [name, yaml, object, verdict, blocks] of rows) {
    test(name, () => {
      const result = compiled(node1, ipPools, ...yaml);
      assert.equal(reasonOf(result, object), verdict);
      assert.deepEqual(result.intent.dataplane.blocks, blocks);
      assert.equal(
        result.intent.pods.ipam.pools.every((it) => it.disabled),
        true,
      );
    });
  }

  test('of two pools that overlap the first by name gives addresses', () => {
    const result = compiled(
      node1,
      ipPools,
      pool('b', 'cidr: 10.61.0.0/17'),
      pool('a', 'cidr: 10.61.0.0/16'),
      pool('c', 'cidr: 10.63.0.0/16, disabled: true'),
      own26,
    );
    assert.equal(reasonOf(result, 'IPPool a', 'Allocatable'), 'True OK');
    assert.equal(reasonOf(result, 'IPPool b', 'Allocatable'), 'False CIDROverlap');
    assert.equal(reasonOf(result, 'IPPool c', 'Allocatable'), 'False PoolDisabled');
    assert.match(
      messageOf(result, 'IPPool b', 'Allocatable'),
      /10\.61\.0\.0\/17 overlaps 10\.61\.0\.0\/16 of IPPool a/,
    );
    assert.deepEqual(
      result.intent.pods.ipam.pools.map((it) => [it.name, it.disabled]),
      [['a', false]],
    );
  });

  test('two nodes with one podCIDR: both agents choose the same one', () => {
    const twin = nodeYaml('node-0', '192.0.2.10', '10.60.1.0/26');
    const set = resources(node1, twin);
    assert.deepEqual(compile(set, 'node-0').intent.dataplane.blocks, ['10.60.1.0/26']);
    const loser = compile(set, 'node-1');
    assert.deepEqual(loser.intent.dataplane.blocks, ['fd60:1::/64']);
    assert.equal(reasonOf(loser, 'Node node-1'), 'False Conflict');
    assert.match(messageOf(loser, 'Node node-1'), /overlaps 10\.60\.1\.0\/26 of Node node-0/);
  });

  test('a block inside one of another node loses, whatever its name', () => {
    const inner = block('ipv4-0a3d0000-27', '10.61.0.0/27');
    const result = compiled(
      node1,
      ipPools,
      pool('p', 'cidr: 10.61.0.0/16'),
      inner,
      block('ipv4-0a3d0000-26', '10.61.0.0/26', 'node-2'),
    );
    assert.equal(reasonOf(result, 'IPBlock ipv4-0a3d0000-27'), 'False Conflict');
    assert.deepEqual(result.intent.dataplane.blocks, []);
  });

  test('with podCIDRs, blocks of Manual pools are used beside them, others are not and say so', () => {
    const manual = pool('m', 'cidr: 10.62.0.0/24, assignmentMode: Manual');
    const fixed = block('ipv4-0a3e0007-32', '10.62.0.7/32');
    const others = block('ipv4-0a3e0008-32', '10.62.0.8/32', 'node-2');
    const result = compiled(node1, pool('p', 'cidr: 10.61.0.0/16'), manual, own26, fixed, others);
    assert.deepEqual(result.intent.dataplane.blocks, ['10.60.1.0/26', '10.62.0.7/32', 'fd60:1::/64']);
    assert.equal(reasonOf(result, 'IPBlock ipv4-0a3d0000-26'), 'False BlockNotUsed');
    assert.equal(reasonOf(result, 'IPBlock ipv4-0a3e0007-32'), 'True Accepted');
    assert.deepEqual(result.strays.foreign, [{ cidr: '10.62.0.8/32', node: 'node-2' }]);
  });

  test('a namespaceSelector becomes the names of the known namespaces that it selects', () => {
    const namespaced = (selector: string): string => pool('p', `cidr: 10.61.0.0/16, namespaceSelector: "${selector}"`);
    const named = (name: string, labels: string): string =>
      `{apiVersion: v1, kind: Namespace, metadata: {name: ${name}, labels: {${labels}}}}\n---\n`;
    const namespaces = named('shop', 'team: a') + named('bank', 'team: b') + named('bare', '');
    const limits = (selector: string): unknown => {
      const { ipam } = compiled(node1, ipPools, namespaced(selector), own26, namespaces).intent.pods;
      return [ipam.pools[0]?.namespaces, ipam.knownNamespaces];
    };
    const known = ['bank', 'bare', 'shop'];
    for (const [selector, names] of [
      ["team == 'a'", ['shop']],
      ["team != 'a'", ['bank', 'bare']],
      ["kubernetes.io/metadata.name in {'bare', 'bank'}", ['bank', 'bare']],
      ['has(nothing)', []],
    ] as const)
      assert.deepEqual(limits(selector), [{ selector, names }, known], selector);
    for (const selector of ['', 'all()']) assert.deepEqual(limits(selector), [undefined, undefined]);
  });

  test('reservations and the node’s own addresses inside its blocks are kept from pods', () => {
    const inside = nodeYaml('node-1', '10.60.1.1', '10.60.1.0/26');
    const result = compiled(inside, own('IPReservation', 'r', 'reservedCIDRs: [10.60.1.8/29, 10.60.9.0/24]'));
    assert.deepEqual(result.intent.pods.ipam.reserved, ['10.60.1.1/32', '10.60.1.8/29']);
  });
});

test('conditions and operations of a filter become numbers that the speaker compares', () => {
  const filter = own(
    'BGPFilter',
    'f',
    'importV4: [{action: Accept, source: RemotePeers, peerType: eBGP, interface: "eth*", med: 5, communities: {values: ["65010:7", "65010:1:2", NO_EXPORT, "rt:65010:9"]}, asPathPrefix: [65010, "1.10"], asPath: ["*", 65020, "?"], priority: 1000}], exportV6: [{action: Accept, operations: [{addCommunity: {value: GRACEFUL_SHUTDOWN}}, {deleteCommunity: {value: "*"}}, {deleteCommunity: {value: "1:2"}}, {prependASPath: {prefix: [65001, 65002]}}, {setPriority: {value: 1}}, {setLocalPref: {value: 0}}, {setMED: {value: 50}}]}]',
  );
  const result = compiled(node1, filter, own('BGPPeer', 'p', 'peerIP: 192.0.2.1, asNumber: 65100, filters: [f]'));
  assert.deepEqual(peer(result, 'p').filters[0]?.import.ipv4, [
    {
      action: 'Accept',
      match: undefined,
      peerType: 'eBGP',
      source: 'RemotePeers',
      interface: 'eth*',
      med: 5,
      communities: [0xfdf20007, [65010, 1, 2], 0xffffff01, [0x0002fdf2, 9]],
      asPaths: [
        [65010, 65546, '*'],
        ['*', 65020, '?'],
      ],
      localPref: 2147482647,
    },
  ]);
  assert.deepEqual(peer(result, 'p').filters[0]?.export.ipv6, [
    {
      action: 'Accept',
      match: undefined,
      operations: [
        { kind: 'addCommunity', community: 0xffff0000 },
        { kind: 'deleteCommunity', community: '*' },
        { kind: 'deleteCommunity', community: 0x10002 },
        { kind: 'prependAsPath', asns: [65001, 65002] },
        { kind: 'setLocalPref', value: 2147483646 },
        { kind: 'setLocalPref', value: 0 },
        { kind: 'setMed', value: 50 },
      ],
    },
  ]);
});

test('filters are compiled with their bounds worked out', () => {
  const filter = own(
    'BGPFilter',
    'f',
    'importV4: [{action: Accept, cidr: 10.0.0.0/8, matchOperator: In, prefixLength: {max: 24}}, {action: Reject, cidr: 10.1.0.0/16, matchOperator: Equal}, {action: Accept, cidr: 0.0.0.0/0, matchOperator: In, prefixLength: {min: 8}}, {action: Reject, cidr: 10.0.0.0/16, matchOperator: NotIn, prefixLength: {min: 8}}], exportV6: [{action: Reject}], default: Reject',
  );
  const result = compiled(node1, filter, own('BGPPeer', 'p', 'peerIP: 192.0.2.1, asNumber: 65100, filters: [f]'));
  const match = (operator: string, cidr: string, minLength: number, maxLength: number) => ({
    operator,
    cidr,
    minLength,
    maxLength,
  });
  assert.deepEqual(peer(result, 'p').filters, [
    {
      name: 'f',
      import: {
        ipv4: [
          { action: 'Accept', match: match('In', '10.0.0.0/8', 8, 24) },
          { action: 'Reject', match: match('Equal', '10.1.0.0/16', 16, 16) },
          { action: 'Accept', match: match('In', '0.0.0.0/0', 8, 32) },
          { action: 'Reject', match: match('NotIn', '10.0.0.0/16', 16, 32) },
        ],
        ipv6: [],
      },
      export: { ipv4: [], ipv6: [{ action: 'Reject', match: undefined }] },
      default: 'Reject',
    },
  ]);
});

test('a peer whose AS number is left to it is external or internal from the start', () => {
  const result = compiled(
    node1,
    own('BGPPeer', 'a', 'peerIP: 192.0.2.1, dynamicASN: External'),
    own('BGPPeer', 'b', 'peerIP: 192.0.2.2, dynamicASN: Internal'),
  );
  assert.deepEqual(
    ['a', 'b'].map((name) => [peer(result, name).peerAsn, peer(result, name).importPolicy]),
    [
      ['external', 'None'],
      ['internal', 'All'],
    ],
  );
});
