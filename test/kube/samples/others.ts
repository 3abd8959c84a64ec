import { node, rule, samplesOf, structure } from './sample.ts';
import type { Sample } from './sample.ts';

const notCommunity = 'is not a community; write aa:nn';

const configurations = samplesOf('BGPConfiguration', [
  ['nothing', '', 'good', 'default'],
  ['of a node', 'asNumber: 64513, routerID: 192.0.2.11, listenPort: 0', 'good', 'node.node-1'],
  ['of a node with dots', 'asNumber: "1.1"', 'good', 'node.node-1.example.com'],
  ['GoBGP', 'engine: gobgp, gobgp: {address: "unix:///run/flatroute/gobgp.sock"}', 'good', 'default'],
  [
    'GoBGP on the loopback',
    'engine: gobgp, gobgp: {address: "127.0.0.1:50051", foreign: Remove}',
    'good',
    'node.node-1',
  ],
  ['GoBGP of another machine', 'gobgp: {address: "192.0.2.1:50051"}', rule('gobgpd runs on this machine'), 'default'],
  ['another name', '', rule('a BGPConfiguration is named default, or node. and the name of a node'), 'global'],
  [
    'a router id for all',
    'routerID: 192.0.2.11',
    rule('no two nodes may have the same BGP identifier (RFC 6286)'),
    'default',
  ],
  ['a router id of IPv6', 'routerID: "2001:db8::1"', rule('is not an IPv4 address; write four numbers'), 'node.a'],
  ['a router id that is a number', 'routerID: "3221226001"', rule('is not an IPv4 address'), 'node.a'],
  ['router id 0', 'routerID: 0.0.0.0', rule('cannot be a BGP identifier (RFC 6286)'), 'node.a'],
  ['a cluster id', 'routeReflectorClusterID: 192.0.2.1', 'good', 'default'],
  ['readiness by a number', 'readiness: {minSessions: 2, delay: 0s, maxUnready: 3}', 'good', 'default'],
  ['readiness by a share, after a while', 'readiness: {delay: 1h, maxUnready: "0%"}', 'good', 'default'],
  ['readiness of one node', 'readiness: {minSessions: 1, delay: 30s}', 'good', 'node.a'],
  [
    'how many unready nodes, of one node',
    'readiness: {maxUnready: 100%}',
    rule('readiness.maxUnready is counted over all nodes; set it in default'),
    'node.a',
  ],
  ['too long a delay', 'readiness: {delay: 3601s}', rule('3601s is out of bounds; use 0s, or 1s to 3600s'), 'default'],
  [
    'more than all nodes unready',
    'readiness: {maxUnready: 101%}',
    rule('101% is neither a number of nodes nor a percentage'),
    'default',
  ],
  [
    'fewer than no unready nodes',
    'readiness: {maxUnready: -1}',
    rule('-1 is neither a number of nodes nor a percentage'),
    'default',
  ],
  [
    'no session at all',
    'readiness: {minSessions: 0}',
    structure('0 is out of bounds', 'greater than or equal to 1'),
    'default',
  ],
  ['AS 0', 'asNumber: 0', rule('0 is not an AS number (RFC 7607)'), 'default'],
  ['AS_TRANS', 'asNumber: "23456"', rule('23456 is AS_TRANS'), 'default'],
  ['no AS number', 'asNumber: a', rule('a is not an AS number'), 'default'],
  [
    'a port of 17 bits',
    'listenPort: 65536',
    structure('65536 is out of bounds', 'less than or equal to 65535'),
    'default',
  ],
  ['a port as text', 'listenPort: "179"', structure('has the wrong type', 'must be of type integer'), 'default'],
  [
    'an unknown policy',
    'importPolicy: Some',
    structure('Some is not known here; use one of None, DefaultRoute, All', 'Unsupported value: "Some"'),
    'default',
  ],
  [
    'all sorts',
    'advertise: {nodeAddresses: true, prefixes: [192.0.2.0/24, "2001:db8::/32"]}, multipath: {maximumPaths: 64}, bestPath: {preferOlder: true}, installRoutes: false, addressSource: IPPools, gracefulRestart: {restartTime: 0s, staleTime: 5m}',
    'good',
    'default',
  ],
  [
    'ranges of Services',
    'serviceClusterIPs: [{cidr: 10.96.0.0/16}, {cidr: "fd00:96::/112"}], serviceExternalIPs: [{cidr: 203.0.113.7/32}], serviceLoadBalancerIPs: [{cidr: 198.51.100.0/24}], serviceLoadBalancerAggregation: Disabled, serviceProxy: {healthCheck: false, healthPort: 10256}, serviceAnnounceDelay: 10s',
    'good',
    'default',
  ],
  ['a delay of an hour', 'serviceAnnounceDelay: 1h', rule('1h is out of bounds; use 0s to 600s'), 'default'],
  [
    'a range of Services twice',
    'serviceExternalIPs: [{cidr: 203.0.113.0/24}, {cidr: 203.0.113.0/24}]',
    structure('203.0.113.0/24 is there twice', 'Duplicate value'),
    'default',
  ],
  [
    'a prefix with host bits',
    'advertise: {prefixes: [192.0.2.1/24]}',
    rule('192.0.2.1/24 has host bits set; write 192.0.2.0/24'),
    'default',
  ],
  ['a prefix that is none', 'advertise: {prefixes: [all]}', rule('all is not a prefix'), 'default'],
  [
    'a prefix twice',
    'advertise: {prefixes: [192.0.2.0/24, 192.0.2.0/24]}',
    structure('192.0.2.0/24 is there twice', 'Duplicate value'),
    'default',
  ],
  [
    'communities by name',
    'communities: [{name: rack, value: "65000:1"}], prefixAdvertisements: [{cidr: 10.0.0.0/8, communities: [rack, "65000:2"]}]',
    'good',
    'default',
  ],
  ['a community that is none', 'communities: [{name: rack, value: rack}]', rule(notCommunity), 'default'],
  [
    'a community without a name',
    'communities: [{name: "", value: "1:1"}]',
    structure('is too short', 'at least 1 chars long'),
    'default',
  ],
  [
    'a name twice',
    'communities: [{name: rack, value: "1:1"}, {name: rack, value: "1:2"}]',
    structure('rack is there twice', 'Duplicate value'),
    'default',
  ],
  [
    'advertisements of a prefix twice',
    'prefixAdvertisements: [{cidr: 10.0.0.0/8, communities: []}, {cidr: 10.0.0.0/8, communities: ["1:1"]}]',
    structure('10.0.0.0/8 is there twice', 'Duplicate value'),
    'default',
  ],
  [
    'advertisements of host bits',
    'prefixAdvertisements: [{cidr: 10.0.0.1/8, communities: []}]',
    rule('has host bits set; write 10.0.0.0/8'),
    'default',
  ],
  [
    '65 paths',
    'multipath: {maximumPaths: 65}',
    structure('65 is out of bounds', 'less than or equal to 64'),
    'default',
  ],
  [
    'a restart time beyond 12 bits',
    'gracefulRestart: {restartTime: 4096s}',
    rule('4096s is out of bounds; use 0s to 4095s'),
    'default',
  ],
  [
    'a restart time in halves',
    'gracefulRestart: {restartTime: 1.5s}',
    rule('is not a whole number of seconds'),
    'default',
  ],
  ['a restart time that is none', 'gracefulRestart: {restartTime: soon}', rule('soon is not a duration'), 'default'],
  [
    'no time for stale routes',
    'gracefulRestart: {staleTime: 0s}',
    rule('0s is out of bounds; use 1s to 4095s'),
    'default',
  ],
  [
    'a mesh',
    'nodeToNodeMeshEnabled: true, nodeMeshPassword: {secretKeyRef: {name: bgp, key: mesh}}, nodeMeshMaxRestartTime: 1m',
    'good',
    'default',
  ],
  ['a mesh of one node', 'nodeToNodeMeshEnabled: true', rule('a mesh is of all nodes'), 'node.node-1'],
  [
    'a password of a mesh with a wrong name',
    'nodeMeshPassword: {secretKeyRef: {name: BGP, key: mesh}}',
    rule('BGP is not a name'),
    'default',
  ],
  [
    'a password of a mesh with a wrong key',
    'nodeMeshPassword: {secretKeyRef: {name: bgp, key: "a b"}}',
    rule('"a b" is not a key'),
    'default',
  ],
]);

const profiles = samplesOf('BFDProfile', [
  ['nothing', '', 'good'],
  ['fast', 'receiveInterval: 50, transmitInterval: 50, detectMultiplier: 3', 'good'],
  ['of MetalLB', 'echoMode: false, echoInterval: 50, passiveMode: true', 'good'],
  ['echo', 'echoMode: true', rule('BFD echo is not spoken here')],
  ['too fast', 'receiveInterval: 9', structure('9 is out of bounds', 'greater than or equal to 10')],
  ['a multiplier of one', 'detectMultiplier: 1', structure('1 is out of bounds', 'greater than or equal to 2')],
  ['a duration', 'receiveInterval: 50ms', structure('has the wrong type', 'must be of type integer')],
  ['a half', 'receiveInterval: 50.5', structure('has the wrong type', 'must be of type integer')],
]);

const pools = samplesOf('IPPool', [
  ['the least', 'cidr: 10.60.0.0/16', 'good'],
  ['IPv6', 'cidr: fd60::/48, blockSize: 116', 'good'],
  [
    'all',
    'cidr: 10.60.0.0/24, blockSize: 28, nodeSelector: "rack == \'a\'", namespaceSelector: "team == \'x\'", natOutgoing: true, disabled: true, disableBGPExport: true, assignmentMode: Manual, allowedUses: [LoadBalancer]',
    'good',
  ],
  ['no cidr', 'blockSize: 26', structure('is required (a prefix)', 'spec.cidr: Required value')],
  ['null for the cidr', 'cidr: null', structure('is required (a prefix)', 'spec.cidr: Required value')],
  ['an address', 'cidr: 10.60.0.0', rule('is not a prefix')],
  ['host bits', 'cidr: 10.60.0.1/16', rule('10.60.0.1/16 has host bits set; write 10.60.0.0/16')],
  ['host bits, not canonical', 'cidr: "FD60:0:0::1/48"', rule('FD60:0:0::1/48 has host bits set; write fd60::/48')],
  ['the name of what has no pool', 'cidr: 10.60.0.0/16', rule('no pool is named node'), 'node'],
  ['link-local', 'cidr: 169.254.0.0/20', rule('link-local addresses are not routed')],
  ['what holds link-local', 'cidr: 169.0.0.0/8', rule('link-local addresses are not routed')],
  ['link-local of IPv6', 'cidr: fe80::/64', rule('link-local addresses are not routed')],
  [
    'a block size of the other family',
    'cidr: 10.60.0.0/16, blockSize: 122',
    rule('use 20 to 32 for IPv4, 116 to 128 for IPv6'),
  ],
  [
    'a block size of the other family, of IPv6',
    'cidr: fd60::/48, blockSize: 64',
    rule('use 20 to 32 for IPv4, 116 to 128 for IPv6'),
  ],
  [
    'a block size of 19',
    'cidr: 10.0.0.0/8, blockSize: 19',
    structure('19 is out of bounds', 'greater than or equal to 20'),
  ],
  ['smaller than a block', 'cidr: 10.60.0.0/28', rule('the pool is smaller than one of its blocks')],
  [
    'smaller than the block it names',
    'cidr: 10.60.0.0/26, blockSize: 24',
    rule('the pool is smaller than one of its blocks'),
  ],
  ['a pool of one block', 'cidr: 10.60.0.0/26', 'good'],
  [
    'a selector with global()',
    'cidr: 10.60.0.0/16, nodeSelector: "!global( )"',
    rule('global() has no meaning for an address pool; use all()'),
  ],
  ['global() inside a text', 'cidr: 10.60.0.0/16, nodeSelector: "a == \'global(\'"', 'good'],
  ['a selector that is none', 'cidr: 10.60.0.0/16, namespaceSelector: "team = x"', rule('is not a selector')],
  [
    'a selector that closes before it opens',
    'cidr: 10.60.0.0/16, namespaceSelector: "has(a)) || (has(b)"',
    node('is not a selector'),
  ],
  [
    'a selector of 1025 characters',
    `cidr: 10.60.0.0/16, nodeSelector: "${' '.repeat(1025)}"`,
    structure('has 1025 characters', 'may not be more than 1024'),
  ],
  [
    'encapsulation',
    'cidr: 10.60.0.0/16, ipipMode: Always',
    structure('unknown field', 'unknown field "spec.ipipMode"'),
  ],
  [
    'a use twice',
    'cidr: 10.60.0.0/16, allowedUses: [Workload, Workload]',
    structure('Workload is there twice', 'Duplicate value'),
  ],
  [
    'for pods and for Services',
    'cidr: 10.60.0.0/16, allowedUses: [Workload, LoadBalancer]',
    rule('a pool is for pods or for Services; make one for each'),
  ],
]);

const blocks = samplesOf('IPBlock', [
  ['IPv4', 'cidr: 10.60.1.0/26, node: node-1', 'good', 'ipv4-0a3c0100-26'],
  [
    'with everything',
    'cidr: 10.60.1.0/26, node: node-1, nodeUID: 6a1, machineID: m, state: Releasing',
    'good',
    'ipv4-0a3c0100-26',
  ],
  ['an address', 'cidr: 255.255.255.255/32, node: node-1', 'good', 'ipv4-ffffffff-32'],
  ['IPv6', 'cidr: "fd60:0:0:1::/122", node: node-1', 'good', 'ipv6-fd600000000000010000000000000000-122'],
  [
    'IPv6, not canonical',
    'cidr: "FD60:0:0:0001::0/122", node: node-1',
    'good',
    'ipv6-fd600000000000010000000000000000-122',
  ],
  ['an address of IPv6', 'cidr: "::1.2.3.4/128", node: node-1', 'good', 'ipv6-00000000000000000000000001020304-128'],
  [
    'the name of another block',
    'cidr: 10.60.1.0/26, node: node-1',
    rule('the IPBlock of 10.60.1.0/26 is named ipv4-0a3c0100-26'),
    'ipv4-0a3c0140-26',
  ],
  [
    'the name of another length',
    'cidr: 10.60.1.0/26, node: node-1',
    rule('is named ipv4-0a3c0100-26'),
    'ipv4-0a3c0100-27',
  ],
  [
    'a length with a zero in front',
    'cidr: 10.0.0.0/8, node: node-1',
    rule('is named ipv4-0a000000-8'),
    'ipv4-0a000000-08',
  ],
  ['a name of its own', 'cidr: 10.60.1.0/26, node: node-1', rule('is named ipv4-0a3c0100-26'), 'mine'],
  [
    'the name of another IPv6 block',
    'cidr: "fd60::/122", node: node-1',
    rule('the IPBlock of fd60::/122 is named ipv6-'),
    'ipv6-fd610000000000000000000000000000-122',
  ],
  [
    'a name of IPv6 that says no prefix',
    'cidr: "fd60::/122", node: node-1',
    rule('is named ipv6-'),
    'ipv6-fd600000000000000000000000000000-999',
  ],
  ['an area', 'cidr: 10.60.1.0/26, node: node-1, area: 0a3c0', 'good', 'ipv4-0a3c0100-26'],
  [
    'an area of IPv6',
    'cidr: "fd60:0:0:1::/122", node: node-1, area: fd600000000000010000000000000',
    'good',
    'ipv6-fd600000000000010000000000000000-122',
  ],
  [
    'the area of another block',
    'cidr: 10.60.1.0/26, node: node-1, area: 0a3c1',
    rule('the first 5 digits of the address in the name'),
    'ipv4-0a3c0100-26',
  ],
  [
    'an area of another length',
    'cidr: "fd60::/122", node: node-1, area: fd600',
    rule('the first 5 digits of the address in the name'),
    'ipv6-fd600000000000000000000000000000-122',
  ],
  [
    'an area of a larger block',
    'cidr: 10.0.0.0/8, node: node-1, area: 0a000',
    rule('a larger block has none'),
    'ipv4-0a000000-8',
  ],
  ['host bits', 'cidr: 10.60.1.1/26, node: node-1', rule('has host bits set; write 10.60.1.0/26'), 'ipv4-0a3c0100-26'],
  ['no prefix', 'cidr: 10.60.1, node: node-1', rule('10.60.1 is not a prefix'), 'ipv4-0a3c0100-26'],
  ['no node', 'cidr: 10.60.1.0/26', structure('is required (a name)', 'spec.node: Required value'), 'ipv4-0a3c0100-26'],
  ['a node that is no name', 'cidr: 10.60.1.0/26, node: "a b"', rule('"a b" is not a name'), 'ipv4-0a3c0100-26'],
  [
    'an unknown state',
    'cidr: 10.60.1.0/26, node: a, state: Free',
    structure('Free is not known here', 'Unsupported value: "Free"'),
    'ipv4-0a3c0100-26',
  ],
]);

const web = '{namespace: shop, name: web, uid: 6a1, ports: [{protocol: TCP, port: 443}]}';
const addresses = samplesOf('ServiceAddress', [
  ['IPv4', `address: 10.60.1.7, pool: vips, services: [${web}]`, 'good', 'ipv4-0a3c0107'],
  [
    'shared',
    `address: 255.255.255.255, pool: vips, sharingKey: "dns of the house", services: [${web}, {namespace: shop, name: dns, uid: 6a2, ports: [{protocol: UDP, port: 53}], policy: Local, selector: "app=dns"}]`,
    'good',
    'ipv4-ffffffff',
  ],
  ['IPv6', `address: "fd60::7", pool: vips, services: [${web}]`, 'good', 'ipv6-fd600000000000000000000000000007'],
  [
    'IPv6, not canonical',
    `address: "FD60:0::0007", pool: vips, services: [${web}]`,
    'good',
    'ipv6-fd600000000000000000000000000007',
  ],
  [
    'the name of another address',
    `address: 10.60.1.7, pool: vips, services: [${web}]`,
    rule('the ServiceAddress of 10.60.1.7 is named ipv4-0a3c0107'),
    'ipv4-0a3c0108',
  ],
  [
    'the name of a block',
    `address: 10.60.1.7, pool: vips, services: [${web}]`,
    rule('is named ipv4-0a3c0107'),
    'ipv4-0a3c0107-32',
  ],
  [
    'the name of another IPv6 address',
    `address: "fd60::7", pool: vips, services: [${web}]`,
    rule('the ServiceAddress of fd60::7 is named ipv6-'),
    'ipv6-fd600000000000000000000000000008',
  ],
  [
    'a prefix',
    `address: 10.60.1.7/32, pool: vips, services: [${web}]`,
    rule('10.60.1.7/32 is not an address'),
    'ipv4-0a3c0107',
  ],
  [
    'an IPv4 address in disguise',
    `address: "::ffff:10.60.1.7", pool: vips, services: [${web}]`,
    rule('is not an address'),
    'ipv4-0a3c0107',
  ],
  [
    'of nobody',
    'address: 10.60.1.7, pool: vips, services: []',
    structure('at least 1 are needed', 'at least 1 items'),
    'ipv4-0a3c0107',
  ],
  [
    'of one Service twice',
    `address: 10.60.1.7, pool: vips, services: [${web}, ${web}]`,
    structure('6a1 is there twice', 'Duplicate value'),
    'ipv4-0a3c0107',
  ],
  [
    'of a Service with a wrong name',
    'address: 10.60.1.7, pool: vips, services: [{namespace: shop, name: Web, uid: 6a1, ports: []}]',
    rule('Web is not a name'),
    'ipv4-0a3c0107',
  ],
]);

const reservations = samplesOf('IPReservation', [
  ['nothing', '', 'good'],
  ['an address and a prefix', 'reservedCIDRs: [10.60.0.1/32, "fd60::/64"]', 'good'],
  ['an address without a length', 'reservedCIDRs: [10.60.0.1]', rule('10.60.0.1 is not a prefix')],
  ['host bits', 'reservedCIDRs: [10.60.0.1/31]', rule('10.60.0.1/31 has host bits set; write 10.60.0.0/31')],
  [
    'a prefix twice',
    'reservedCIDRs: [10.60.0.0/31, 10.60.0.0/31]',
    structure('10.60.0.0/31 is there twice', 'Duplicate value'),
  ],
  ['a prefix twice, in other words', 'reservedCIDRs: ["fd60::/64", "FD60::/64"]', 'good'],
  [
    'a text of fifty characters',
    `reservedCIDRs: ["${'1'.repeat(50)}"]`,
    structure('has 50 characters; at most 49', 'may not be more than 49'),
  ],
  [
    'a text for the list',
    'reservedCIDRs: 10.60.0.0/31',
    structure('has the wrong type; use a list', 'must be of type array'),
  ],
]);

/** What is wrong outside of the spec. */
const around: readonly Sample[] = [
  {
    what: 'no spec',
    kind: 'IPPool',
    yaml: '{apiVersion: flatroute.io/v1alpha1, kind: IPPool, metadata: {name: a}}',
    verdict: structure('is required (a map of fields)', 'spec: Required value'),
  },
  {
    what: 'a name in capitals',
    kind: 'BFDProfile',
    yaml: '{apiVersion: flatroute.io/v1alpha1, kind: BFDProfile, metadata: {name: Fast}, spec: {}}',
    verdict: structure('Fast is not a name', 'metadata.name: Invalid value: "Fast"'),
  },
  {
    what: 'a field beside the spec',
    kind: 'BFDProfile',
    yaml: '{apiVersion: flatroute.io/v1alpha1, kind: BFDProfile, metadata: {name: fast}, specs: {}, spec: {}}',
    verdict: structure('unknown field; write spec', 'unknown field "specs"'),
  },
  {
    what: 'another version',
    kind: 'BFDProfile',
    yaml: '{apiVersion: flatroute.io/v1, kind: BFDProfile, metadata: {name: fast}, spec: {}}',
    verdict: structure(
      'is not known here; write flatroute.io/v1alpha1',
      'BFDProfile in version "v1" cannot be handled',
    ),
  },
  {
    what: 'what kubectl and the server add',
    kind: 'BFDProfile',
    yaml: '{apiVersion: flatroute.io/v1alpha1, kind: BFDProfile, metadata: {name: fast, labels: {a: b}, annotations: {c: d}, finalizers: [example.com/x]}, spec: {}}',
    verdict: 'good',
  },
];

export const others: readonly Sample[] = [
  ...configurations,
  ...profiles,
  ...pools,
  ...blocks,
  ...addresses,
  ...reservations,
  ...around,
];
