// What a wrong file is answered, word for word: place, field, what is wrong, what is allowed.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bgpPeer } from '#resources/bgp-peer.ts';
import { readDocuments } from '#sources/directory/documents.ts';

const peer = (spec: string): string => `apiVersion: flatroute.io/v1alpha1
kind: BGPPeer
metadata: {name: tor-b}
spec:
${spec
  .split('\n')
  .map((line) => `  ${line}`)
  .join('\n')}
`;
const { shape } = bgpPeer.schema;
const specShape = shape.kind === 'object' ? shape.fields['spec']?.schema.shape : undefined;
const peerFields = specShape?.kind === 'object' ? Object.keys(specShape.fields) : [];
const good = 'peerIP: 192.0.2.1\nasNumber: 65100\n';
const of = (kind: string, spec: string, name = 'x'): string =>
  `apiVersion: flatroute.io/v1alpha1\nkind: ${kind}\nmetadata: {name: ${name}}\nspec:\n  ${spec.split('\n').join('\n  ')}\n`;

const tcpAo = (...ids: readonly (readonly [number, number])[]): string => {
  const keys = ids.map(
    ([send, receive]) =>
      `{sendID: ${send}, receiveID: ${receive}, algorithm: HMACSHA1, secretKeyRef: {name: s, key: k}}`,
  );
  return `authentication: {tcpAO: {keys: [${keys.join(', ')}]}}`;
};

function verdicts(yaml: string): string[] {
  return readDocuments('f.yaml', yaml).problems.map((it) =>
    [`${it.line}`, it.field, it.text].filter((part) => part !== '').join(': '),
  );
}

const allNumbers = 'use 1 to 4294967295, without 23456';

/** What a community may be. */
const communities =
  'write aa:nn with numbers up to 65535, aa:nn:mm with numbers up to 4294967295, rt:aa:nn or soo:aa:nn for an extended one, its 16 hexadecimal digits behind 0x, or GRACEFUL_SHUTDOWN, ACCEPT_OWN, LLGR_STALE, NO_LLGR, BLACKHOLE, NO_EXPORT, NO_ADVERTISE, NO_EXPORT_SUBCONFED, NOPEER';

describe('a wrong object is refused with line, field, what is wrong and what is allowed', () => {
  const rows: readonly (readonly [string, string, readonly string[]])[] = [
    [
      'TCP-AO beside a password',
      peer(`${good}password: {secretKeyRef: {name: s, key: k}}\n${tcpAo([1, 2])}`),
      ['8: spec.authentication: TCP MD5 and TCP-AO exclude each other; keep password or authentication'],
    ],
    [
      'a KeyID of TCP-AO twice, to send',
      peer(good + tcpAo([1, 2], [1, 3])),
      ['7: spec.authentication.tcpAO.keys[1].sendID: 1 is there twice'],
    ],
    [
      'a KeyID of TCP-AO twice, to receive',
      peer(good + tcpAo([1, 2], [2, 2])),
      ['7: spec.authentication.tcpAO.keys: a receiveID is there twice'],
    ],
    [
      'AS 0',
      peer('peerIP: 192.0.2.1\nasNumber: 0'),
      [`6: spec.asNumber: 0 is not an AS number (RFC 7607); ${allNumbers}`],
    ],
    [
      'AS 0 as text',
      peer('peerIP: 192.0.2.1\nasNumber: "0"'),
      [`6: spec.asNumber: 0 is not an AS number (RFC 7607); ${allNumbers}`],
    ],
    [
      'AS 23456',
      peer('peerIP: 192.0.2.1\nasNumber: 23456'),
      [
        `6: spec.asNumber: 23456 is AS_TRANS, which stands for numbers an old router cannot write (RFC 6793); ${allNumbers}`,
      ],
    ],
    [
      'AS too large',
      peer('peerIP: 192.0.2.1\nasNumber: 4294967296'),
      [`6: spec.asNumber: 4294967296 is not an AS number; ${allNumbers}`],
    ],
    [
      'negative AS',
      peer('peerIP: 192.0.2.1\nasNumber: -1'),
      [`6: spec.asNumber: -1 is not an AS number; ${allNumbers}`],
    ],
    [
      'dotted AS without quotes',
      peer('peerIP: 192.0.2.1\nasNumber: 1.10'),
      ['6: spec.asNumber: 1.1 is not a whole number; a dotted AS number stands in quotes, such as "1.10"'],
    ],
    [
      'dotted AS too large',
      peer('peerIP: 192.0.2.1\nasNumber: "1.65536"'),
      [`6: spec.asNumber: 1.65536 is not an AS number; ${allNumbers}`],
    ],
    [
      'AS of the wrong type',
      peer('peerIP: 192.0.2.1\nasNumber: true'),
      ['6: spec.asNumber: true has the wrong type; use an AS number'],
    ],
    [
      'unknown field, near a known one',
      peer(`${good}holdtime: 90s`),
      ['7: spec.holdtime: unknown field; write holdTime'],
    ],
    [
      'unknown field of a list entry',
      of('BGPFilter', 'importV4:\n- action: Accept\n  acton: x'),
      ['7: spec.importV4[0].acton: unknown field; write action'],
    ],
    [
      'unknown field, near nothing',
      of('IPReservation', 'ranges: []'),
      ['5: spec.ranges: unknown field; known here: reservedCIDRs'],
    ],
    [
      'a field of Calico that is not built',
      peer(`${good}keepOriginalNextHop: true`),
      [`7: spec.keepOriginalNextHop: unknown field; known here: ${peerFields.join(', ')}`],
    ],
    [
      'no AS number',
      peer('peerIP: 192.0.2.1'),
      ['4: spec: asNumber or dynamicASN must be there, and only one of them'],
    ],
    [
      'two AS numbers',
      peer(`${good}dynamicASN: External`),
      ['4: spec: asNumber or dynamicASN must be there, and only one of them'],
    ],
    [
      "MetalLB's spelling",
      peer('peerIP: 192.0.2.1\ndynamicASN: external'),
      ['6: spec.dynamicASN: external is not known here; write External'],
    ],
    [
      'no place',
      peer('asNumber: 65100'),
      [
        '4: spec: peerIP, interface, listenRange, peerSelector or peerLabelSelector must be there, and only one of them',
      ],
    ],
    [
      'explicit null',
      peer('peerIP: null\nasNumber: 65100'),
      [
        '4: spec: peerIP, interface, listenRange, peerSelector or peerLabelSelector must be there, and only one of them',
      ],
    ],
    [
      'two places',
      peer(`${good}interface: eth1`),
      [
        '4: spec: peerIP, interface, listenRange, peerSelector or peerLabelSelector must be there, and only one of them',
      ],
    ],
    [
      'a place and a range',
      peer(`${good}listenRange: { cidr: 192.0.2.0/24, insecure: true }`),
      [
        '4: spec: peerIP, interface, listenRange, peerSelector or peerLabelSelector must be there, and only one of them',
      ],
    ],
    [
      'a range without a password',
      peer('listenRange: { cidr: 192.0.2.0/24 }\ndynamicASN: External'),
      [
        '5: spec.listenRange: lets anyone connect who has an address in it; set password, or insecure: true if that is meant',
      ],
    ],
    [
      'an interface of no name',
      peer('interface: "eth1%"\nasNumber: 65100'),
      ['5: spec.interface: eth1% cannot be the name of an interface; write one that `ip link` shows, such as eth1'],
    ],
    [
      'an interface name that is too long',
      peer('interface: abcdefghijklmnop\nasNumber: 65100'),
      ['5: spec.interface: has 16 characters; at most 15 are allowed'],
    ],
    ['wrong type', peer(`${good}passive: yes`), ['7: spec.passive: "yes" has the wrong type; use true or false']],
    [
      'number for text',
      peer('peerIP: 12\nasNumber: 65100'),
      ['5: spec.peerIP: 12 has the wrong type; use an address, optionally with a port'],
    ],
    [
      'a list where a map should be',
      peer(`${good}password: []`),
      ['7: spec.password: [] has the wrong type; use a map of fields'],
    ],
    [
      'bad address',
      peer('peerIP: 192.0.2.300\nasNumber: 65100'),
      [
        '5: spec.peerIP: 192.0.2.300 is not an address; write 192.0.2.1, 192.0.2.1:179, 2001:db8::1 or [2001:db8::1]:179, without a zone',
      ],
    ],
    [
      'port 0',
      peer('peerIP: 192.0.2.1:0\nasNumber: 65100'),
      [
        '5: spec.peerIP: 192.0.2.1:0 is not an address; write 192.0.2.1, 192.0.2.1:179, 2001:db8::1 or [2001:db8::1]:179, without a zone',
      ],
    ],
    [
      'link-local peer',
      peer('peerIP: fe80::1\nasNumber: 65100'),
      [
        '5: spec.peerIP: fe80::1 is link-local, which says nothing without an interface; name the interface in spec.interface, or use a routed address of the peer',
      ],
    ],
    [
      'multicast peer',
      peer('peerIP: 224.0.0.1\nasNumber: 65100'),
      ['5: spec.peerIP: 224.0.0.1 is no unicast address; use the address of the peer'],
    ],
    [
      'broadcast peer',
      peer('peerIP: 255.255.255.255\nasNumber: 65100'),
      ['5: spec.peerIP: 255.255.255.255 is no unicast address; use the address of the peer'],
    ],
    [
      'two ways to name nodes',
      peer(`${good}node: a\nnodeSelector: all()`),
      ['4: spec: node, nodeSelector and nodeLabelSelector exclude each other; keep one'],
    ],
    [
      'selector that is none',
      peer(`${good}nodeSelector: rack = 'a'`),
      [`7: spec.nodeSelector: "rack = 'a'" is not a selector: a comparison is written == (character 6)`],
    ],
    [
      'hold time of 2 s',
      peer(`${good}holdTime: 2s`),
      ['7: spec.holdTime: 2s is out of bounds; use 0s, or 3s to 65535s'],
    ],
    [
      'hold time without unit',
      peer(`${good}holdTime: "90"`),
      ['7: spec.holdTime: 90 is not a duration; write a number and its unit, such as 90s or 1m30s'],
    ],
    [
      'hold time as number',
      peer(`${good}holdTime: 90`),
      ['7: spec.holdTime: 90 has the wrong type; use a duration, 0s, or 3s to 65535s'],
    ],
    [
      'half a second',
      peer(`${good}holdTime: 3500ms`),
      ['7: spec.holdTime: 3500ms is not a whole number of seconds, which is all that BGP can say'],
    ],
    [
      'restart time over 12 bits',
      peer(`${good}maxRestartTime: 2h`),
      ['7: spec.maxRestartTime: 2h is out of bounds; use 0s to 4095s'],
    ],
    [
      'restart time twice',
      peer(`${good}maxRestartTime: 60s\ngracefulRestart: {restartTime: 60s}`),
      ['7: spec.maxRestartTime: says the same as gracefulRestart.restartTime; keep one'],
    ],
    [
      'long-lived restart without a restart',
      peer(`${good}gracefulRestart: {enabled: false}\nlongLivedGracefulRestart: {staleTime: 1h}`),
      [
        '8: spec.longLivedGracefulRestart: goes only with graceful restart, which gracefulRestart.enabled turns off (RFC 9494)',
      ],
    ],
    [
      'long-lived restart of a family that is not there',
      peer(`${good}families: [ipv4]\nlongLivedGracefulRestart: {staleTime: 1h, families: [ipv6]}`),
      ['8: spec.longLivedGracefulRestart.families: names a family that the session does not carry'],
    ],
    [
      'long-lived restart over 24 bits',
      peer(`${good}longLivedGracefulRestart: {staleTime: 5000h}`),
      ['7: spec.longLivedGracefulRestart.staleTime: 5000h is out of bounds; use 1s to 16777215s'],
    ],
    [
      'unknown word',
      peer(`${good}importPolicy: Some`),
      ['7: spec.importPolicy: Some is not known here; use one of None, DefaultRoute, All'],
    ],
    [
      'word in the wrong case',
      peer(`${good}importPolicy: all`),
      ['7: spec.importPolicy: all is not known here; write All'],
    ],
    ['family twice', peer(`${good}families: [ipv4, ipv4]`), ['7: spec.families[1]: ipv4 is there twice']],
    ['no family', peer(`${good}families: []`), ['7: spec.families: has 0 entries; at least 1 are needed']],
    [
      'too many filters',
      peer(`${good}filters: [${Array.from({ length: 33 }, (_, i) => `f${i}`).join(', ')}]`),
      ['7: spec.filters: has 33 entries; at most 32 are allowed'],
    ],
    [
      'name of a filter that is none',
      peer(`${good}filters:\n- a\n- Tor_B`),
      [
        '9: spec.filters[1]: Tor_B is not a name; use lower-case letters, digits, - and ., with a letter or digit at both ends',
      ],
    ],
    [
      'hops out of bounds',
      peer(`${good}ebgpMultihop: 256`),
      ['7: spec.ebgpMultihop: 256 is out of bounds; use a whole number from 1 to 255'],
    ],
    [
      'bad prefix',
      of('IPPool', 'cidr: 10.60.0.0'),
      ['5: spec.cidr: 10.60.0.0 is not a prefix; write address/length, such as 10.60.0.0/16 or fd60::/48'],
    ],
    [
      'prefix too long',
      of('IPPool', 'cidr: 10.60.0.0/33'),
      ['5: spec.cidr: 10.60.0.0/33 is not a prefix; write address/length, such as 10.60.0.0/16 or fd60::/48'],
    ],
    [
      'host bits set',
      of('IPPool', 'cidr: 10.60.1.5/26'),
      ['5: spec.cidr: 10.60.1.5/26 has host bits set; write 10.60.1.0/26'],
    ],
    [
      'pool smaller than its block',
      of('IPPool', 'cidr: 10.60.1.0/27'),
      ['5: spec.cidr: the pool is smaller than one of its blocks; write a shorter prefix or a larger blockSize'],
    ],
    [
      'link-local pool',
      of('IPPool', 'cidr: 169.254.0.0/16'),
      ['5: spec.cidr: link-local addresses are not routed; use another range'],
    ],
    [
      'block size of the other family',
      of('IPPool', 'cidr: fd60::/48\nblockSize: 26'),
      ['6: spec.blockSize: use 20 to 32 for IPv4, 116 to 128 for IPv6'],
    ],
    [
      'global() in a pool',
      of('IPPool', 'cidr: 10.60.0.0/16\nnodeSelector: global()'),
      ['6: spec.nodeSelector: global(): global() has no meaning for an address pool; use all()'],
    ],
    [
      'pool with the reserved name',
      of('IPPool', 'cidr: 10.60.0.0/16', 'node'),
      ['3: metadata.name: no pool is named node: that is what blocks outside every pool are called'],
    ],
    [
      'block with another name',
      of('IPBlock', 'cidr: 10.60.1.0/26\nnode: node-1'),
      ['3: metadata.name: the IPBlock of 10.60.1.0/26 is named ipv4-0a3c0100-26'],
    ],
    [
      'configuration with another name',
      of('BGPConfiguration', 'asNumber: 64513'),
      ['3: metadata.name: a BGPConfiguration is named default, or node. and the name of a node'],
    ],
    [
      'BGP identifier for every node',
      of('BGPConfiguration', 'routerID: 192.0.2.1', 'default'),
      ['5: spec.routerID: no two nodes may have the same BGP identifier (RFC 6286); set it in node.<name>'],
    ],
    [
      'filter rule with half a match',
      of('BGPFilter', 'importV4:\n- {action: Accept, cidr: 10.0.0.0/8}'),
      ['6: spec.importV4[0]: cidr and matchOperator stand together, or neither does'],
    ],
    [
      'filter rule of the other family',
      of('BGPFilter', 'importV4:\n- {action: Accept, cidr: "fd60::/48", matchOperator: In}'),
      ['6: spec.importV4[0].cidr: fd60::/48 is not an IPv4 prefix; rules of the other family have a list of their own'],
    ],
    [
      'filter rule with impossible lengths',
      of(
        'BGPFilter',
        'importV4:\n- {action: Accept, cidr: 10.0.0.0/8, matchOperator: In, prefixLength: {min: 24, max: 20}}',
      ),
      [
        '6: spec.importV4[0].prefixLength: no prefix has such a length: max is smaller than min or than the length of cidr',
      ],
    ],
    [
      'a community out of bounds',
      of('BGPFilter', 'importV4:\n- {action: Accept, communities: {values: ["65536:1"]}}'),
      [`6: spec.importV4[0].communities.values[0]: 65536:1 is not a community; ${communities}`],
    ],
    [
      'no community',
      of('BGPFilter', 'importV4:\n- {action: Accept, communities: {values: []}}'),
      ['6: spec.importV4[0].communities.values: has 0 entries; at least 1 are needed'],
    ],
    [
      'a community by the name of another router',
      of('BGPFilter', 'importV4:\n- {action: Accept, communities: {values: [no-export]}}'),
      [`6: spec.importV4[0].communities.values[0]: no-export is not a community; ${communities}`],
    ],
    [
      'what cannot be deleted',
      of('BGPFilter', 'importV4:\n- {action: Accept, operations: [{deleteCommunity: {value: all}}]}'),
      [`6: spec.importV4[0].operations[0].deleteCommunity.value: all is not a community; ${communities}; * for all`],
    ],
    [
      'an AS path pattern as a regular expression',
      of('BGPFilter', 'importV4:\n- {action: Accept, asPath: ["^65010"]}'),
      [
        '6: spec.importV4[0].asPath[0]: ^65010 is not part of an AS path pattern; write an AS number, ? for any one AS or * for any number of them',
      ],
    ],
    [
      'priority 0',
      of('BGPFilter', 'importV4:\n- {action: Accept, priority: 0}'),
      ['6: spec.importV4[0].priority: 0 is out of bounds; use a whole number from 1 to 2147483646'],
    ],
    [
      'operations on what is rejected',
      of('BGPFilter', 'importV4:\n- {action: Reject, operations: [{setMED: {value: 1}}]}'),
      ['6: spec.importV4[0].operations: a route that is rejected cannot be changed; use action Accept'],
    ],
    [
      'two operations in one',
      of('BGPFilter', 'importV4:\n- {action: Accept, operations: [{setMED: {value: 1}, setLocalPref: {value: 1}}]}'),
      [
        '6: spec.importV4[0].operations[0]: an operation is exactly one of addCommunity, deleteCommunity, prependASPath, setPriority, setLocalPref, setMED',
      ],
    ],
    [
      'an unknown source',
      of('BGPFilter', 'importV4:\n- {action: Accept, source: Local}'),
      ['6: spec.importV4[0].source: Local is not known here; use one of RemotePeers'],
    ],
    [
      'lengths without In',
      of('BGPFilter', 'importV4:\n- {action: Accept, cidr: 10.0.0.0/8, matchOperator: Equal, prefixLength: {min: 24}}'),
      ['6: spec.importV4[0].prefixLength: needs cidr and matchOperator In or NotIn'],
    ],
    [
      'addPath that asks for nothing',
      peer(`${good}addPath: {send: 1}`),
      ['7: spec.addPath: nothing is asked for; set receive: true, or send above 1, or leave addPath out'],
    ],
    [
      'label selector with values for Exists',
      peer(`${good}nodeLabelSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}`),
      [
        '7: spec.nodeLabelSelector.matchExpressions[0].values: In and NotIn need values, Exists and DoesNotExist take none',
      ],
    ],
    [
      'annotation of a Node',
      'apiVersion: v1\nkind: Node\nmetadata:\n  name: n\n  annotations:\n    flatroute.io/as-number: "0"\n',
      ['6: metadata.annotations["flatroute.io/as-number"]: is not an AS number; use 1 to 4294967295, without 23456'],
    ],
    [
      'misspelt field of a Node',
      'apiVersion: v1\nkind: Node\nmetadata: {name: n}\nspec: {podCIDRS: [10.60.1.0/26]}',
      ['4: spec.podCIDRS: unknown field; write podCIDRs'],
    ],
    [
      'two podCIDRs of one family',
      'apiVersion: v1\nkind: Node\nmetadata: {name: n}\nspec: {podCIDRs: [10.60.1.0/26, 10.60.2.0/26]}',
      ['4: spec.podCIDRs: has two prefixes of one family; a Node has at most one of each'],
    ],
    [
      'namespace on a cluster-scoped kind',
      'apiVersion: flatroute.io/v1alpha1\nkind: IPReservation\nmetadata: {name: n, namespace: x}\nspec: {}',
      [
        '3: metadata.namespace: unknown field; known here: name, labels, annotations, generation, uid, creationTimestamp, deletionTimestamp',
      ],
    ],
    [
      'unknown kind',
      'apiVersion: flatroute.io/v1alpha1\nkind: BGPPear\nmetadata: {name: n}',
      ['2: kind: "BGPPear" is not known here; write BGPPeer'],
    ],
    [
      'foreign kind',
      'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: n}',
      [
        '2: kind: "Deployment" is not known here; known here: BGPConfiguration, BGPPeer, BGPFilter, BFDProfile, IPPool, IPBlock, IPReservation, Node, Namespace, Secret',
      ],
    ],
    [
      "Calico's version",
      'apiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {name: n}',
      ['1: apiVersion: "projectcalico.org/v3" is not known here; write flatroute.io/v1alpha1'],
    ],
    [
      'no kind',
      'metadata: {name: n}',
      [
        '1: kind: is required; known here: BGPConfiguration, BGPPeer, BGPFilter, BFDProfile, IPPool, IPBlock, IPReservation, Node, Namespace, Secret',
      ],
    ],
    ['not an object', '- 1\n- 2\n', ['1: [1,2] is no object; a document has apiVersion, kind, metadata and spec']],
    [
      'broken YAML',
      'apiVersion: v1\nkind: [Node\nmetadata: {name: n}\n',
      ['3: the file is not YAML: Flow sequence in block collection must be sufficiently indented and end with a ]'],
    ],
    ['a key twice', `${peer(good)}  asNumber: 65101\n`, ['8: the file is not YAML: Map keys must be unique']],
    ['an unknown tag', 'apiVersion: !secret v1\n', ['1: the file is not YAML: Unresolved tag: !secret']],
    ['empty file', ' \n', ['0: the file is empty; delete it to remove its objects']],
  ];
  for (const [name, yaml, expected] of rows) {
    test(name, () => assert.deepEqual(verdicts(yaml), expected));
  }

  test('every problem of an object is said, at most ten', () => {
    assert.equal(verdicts(peer('peerIP: x\nasNumber: 0\nholdTime: 1s\npassive: 1')).length, 4);
    assert.equal(verdicts(peer(`${good}filters: [${Array.from({ length: 20 }, () => 'A').join(', ')}]`)).length, 10);
  });
});

describe('a value of a Secret never stands in a message', () => {
  const secret = (body: string): string => `apiVersion: v1\nkind: Secret\nmetadata: {name: bgp}\n${body}`;
  const noEntry =
    'holds an entry that is not a key and its value (not shown); write KEY: VALUE, with a space after the colon, and letters, digits, -, _ and . in the key';
  const rows: readonly (readonly [string, string, string])[] = [
    [
      'no base64',
      'data: {k: "hunter2!"}',
      '4: data.k: is not base64 (value not shown); plain text goes into stringData',
    ],
    ['a number', 'stringData: {k: 4711}', '4: stringData.k: the value (not shown) has the wrong type; use text'],
    ['a map', 'data: {k: {hunter2: x}}', '4: data.k: the value (not shown) has the wrong type; use base64'],
    ['no space after the colon, in braces', 'data: {k:hunter2}', `4: data: ${noEntry}`],
    [
      'no space after the colon',
      'stringData:\n  k:hunter2',
      '5: stringData: the value (not shown) has the wrong type; use a map of fields',
    ],
    ['an equals sign for the colon', 'stringData:\n  k=hunter2:', `4: stringData: ${noEntry}`],
    ['a list', 'stringData: [hunter2]', '4: stringData: the value (not shown) has the wrong type; use a map of fields'],
  ];
  for (const [name, body, expected] of rows) {
    test(name, () => assert.deepEqual(verdicts(secret(body)), [expected]));
  }
});

describe('what is right is taken', () => {
  const rows: readonly (readonly [string, string])[] = [
    ['the smallest peer', peer(good)],
    [
      'every field of a peer',
      peer(`nodeLabelSelector: {matchLabels: {rack: a}, matchExpressions: [{key: x, operator: NotIn, values: [y]}]}
peerIP: "[2001:db8::1]:1179"
asNumber: "1.10"
localASNumber: 64513
password: {secretKeyRef: {name: bgp, key: tor-a}}
sourceAddress: None
holdTime: 0s
connectTime: 1m30s
passive: true
ebgpMultihop: 2
filters: [a, b.c]
importPolicy: DefaultRoute
nextHopMode: Keep
transit: true
maxPrefixes: {limit: 100}
families: [ipv6]
numAllowedLocalASNumbers: 1
gracefulRestart: {enabled: true, restartTime: 4095s, notification: true, staleTime: 180s}
longLivedGracefulRestart: {staleTime: 24h, families: [ipv6]}
adminState: Down`),
    ],
    ['an unnumbered peer', peer('interface: enp1s0f0np0.100\ndynamicASN: External')],
    ['a listen range', peer('listenRange: { cidr: 192.0.2.0/24, insecure: true }\ndynamicASN: External')],
    ['loopback peer', peer('peerIP: 127.0.0.1:1179\nasNumber: 65100')],
    ['JSON with tabs', JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'x' } }, null, '\t')],
    ['comments alone', '# nothing yet\n'],
    ['empty documents between', `---\n---\n${peer(good)}---\n`],
    [
      'what kubectl get -o yaml adds',
      `apiVersion: v1
kind: List
metadata: {resourceVersion: ""}
items:
- apiVersion: v1
  kind: Node
  metadata:
    name: node-1
    uid: 7b1f
    creationTimestamp: "2025-01-01T00:00:00Z"
    managedFields: [{manager: kubelet}]
    annotations: {node.alpha.kubernetes.io/ttl: "0", flatroute.io/bgp-address-ipv4: 192.0.2.11/24}
    labels: {kubernetes.io/hostname: node-1, node-role.kubernetes.io/control-plane: ""}
  spec: {podCIDR: 10.60.1.0/26, podCIDRs: [10.60.1.0/26, "fd60:1::/64"], taints: [{key: a, effect: NoSchedule}]}
  status: {nodeInfo: {osImage: x}, addresses: [{type: InternalIP, address: 192.0.2.11}, {type: Hostname, address: node-1}]}
`,
    ],
    ['anchors', 'apiVersion: v1\nkind: Namespace\nmetadata: {name: &n x, labels: {a: *n}}\n'],
  ];
  for (const [name, yaml] of rows) test(name, () => assert.deepEqual(verdicts(yaml), []));
});

describe('hostile text has an answer', () => {
  test('aliases that would grow without end', () => {
    const lines = ['a: &a [x, x, x, x, x, x, x, x, x]'];
    for (let i = 1; i < 12; i++) {
      const before = String.fromCharCode(96 + i);
      const name = String.fromCharCode(97 + i);
      lines.push(`${name}: &${name} [${Array.from({ length: 9 }, () => `*${before}`).join(', ')}]`);
    }
    assert.match(verdicts(lines.join('\n'))[0] ?? '', /not YAML: Excessive alias count/);
  });

  test('nesting without end', () => {
    for (const text of ['['.repeat(100_000), '{a: '.repeat(50_000), `${'- '.repeat(50_000)}x`]) {
      assert.match(verdicts(text)[0] ?? '', /the file is not YAML/);
    }
  });

  test('keys that JavaScript gives a meaning', () => {
    assert.deepEqual(
      verdicts(`apiVersion: v1\nkind: Namespace\nmetadata: {name: x, labels: {__proto__: a, constructor: b}}`),
      [
        '3: metadata.labels.__proto__: __proto__ is not a label name; use [domain/]name with letters, digits, -, _ and .',
      ],
    );
    assert.deepEqual(verdicts('apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n__proto__: {}'), [
      '4: __proto__: unknown field; known here: apiVersion, kind, metadata',
    ]);
  });

  test('more objects than a file may have', () => {
    assert.match(verdicts('{}\n---\n'.repeat(1001))[0] ?? '', /has 1001 objects; at most 1000 are allowed/);
  });
});
