import { rule, samplesOf, structure } from './sample.ts';
import type { Row, Sample } from './sample.ts';

const accept = (more: string): string => `importV4: [{action: Accept${more}}]`;
const operation = (one: string): string => `exportV6: [{action: Accept, operations: [${one}]}]`;
const community = (text: string): string => accept(`, communities: {values: ["${text}"]}`);
const noCommunity = 'is not a community; write aa:nn';

const rules: readonly Row[] = [
  ['nothing', '', 'good'],
  ['a default', 'default: Reject', 'good'],
  ['an unknown default', 'default: Drop', structure('Drop is not known here', 'Unsupported value: "Drop"')],
  [
    'a rule without action',
    'importV4: [{}]',
    structure('is required (one of Accept, Reject)', 'importV4[0].action: Required value'),
  ],
  ['a prefix', accept(', cidr: 10.0.0.0/8, matchOperator: In'), 'good'],
  ['IPv6 in the list of IPv6', 'importV6: [{action: Reject, cidr: "2001:DB8::/32", matchOperator: NotIn}]', 'good'],
  [
    'a prefix without operator',
    accept(', cidr: 10.0.0.0/8'),
    rule('cidr and matchOperator stand together, or neither does'),
  ],
  ['an operator without prefix', accept(', matchOperator: In'), rule('cidr and matchOperator stand together')],
  [
    'the other family',
    accept(', cidr: "2001:db8::/32", matchOperator: In'),
    rule('is not an IPv4 prefix; rules of the other family'),
  ],
  [
    'the other family, of IPv6',
    'exportV6: [{action: Reject, cidr: 10.0.0.0/8, matchOperator: In}]',
    rule('is not an IPv6 prefix'),
  ],
  [
    'host bits',
    accept(', cidr: 10.1.0.0/8, matchOperator: In'),
    rule('10.1.0.0/8 has host bits set; write 10.0.0.0/8'),
  ],
  ['no length', accept(', cidr: 10.0.0.0, matchOperator: In'), rule('is not a prefix')],
  ['a length with a zero in front', accept(', cidr: 10.0.0.0/08, matchOperator: In'), rule('is not a prefix')],
  ['IPv4 as IPv6', 'exportV6: [{action: Reject, cidr: "::ffff:0:0/96", matchOperator: In}]', rule('is not a prefix')],
  [
    'a prefix with a zone',
    'exportV6: [{action: Reject, cidr: "fe80::%eth0/64", matchOperator: In}]',
    rule('is not a prefix'),
  ],
  ['lengths', accept(', cidr: 10.0.0.0/8, matchOperator: In, prefixLength: {min: 16, max: 24}'), 'good'],
  [
    'a shortest length below the prefix',
    accept(', cidr: 10.0.0.0/8, matchOperator: In, prefixLength: {min: 1}'),
    'good',
  ],
  ['lengths of nothing', accept(', prefixLength: {min: 16}'), rule('needs cidr and matchOperator In or NotIn')],
  [
    'lengths of an equal prefix',
    accept(', cidr: 10.0.0.0/8, matchOperator: Equal, prefixLength: {min: 16}'),
    rule('needs cidr and matchOperator In or NotIn'),
  ],
  [
    'max below min',
    accept(', cidr: 10.0.0.0/8, matchOperator: In, prefixLength: {min: 24, max: 16}'),
    rule('no prefix has such a length'),
  ],
  [
    'max below the prefix',
    accept(', cidr: 10.0.0.0/8, matchOperator: In, prefixLength: {max: 4}'),
    rule('no prefix has such a length'),
  ],
  [
    'a length of 33',
    accept(', cidr: 10.0.0.0/8, matchOperator: In, prefixLength: {max: 33}'),
    structure('33 is out of bounds', 'less than or equal to 32'),
  ],
  [
    'a length of 128 in IPv6',
    'importV6: [{action: Accept, cidr: "::/0", matchOperator: In, prefixLength: {min: 64, max: 128}}]',
    'good',
  ],
  ['an interface pattern', accept(', interface: "eth*"'), 'good'],
  ['an interface pattern with a space', accept(', interface: "eth 0"'), rule('"eth 0" is no name of an interface')],
  ['a source', accept(', source: RemotePeers, peerType: eBGP'), 'good'],
  [
    'a peer type in capitals',
    accept(', peerType: EBGP'),
    structure('EBGP is not known here; write eBGP', 'Unsupported value: "EBGP"'),
  ],
  ['a path pattern', accept(', asPath: ["*", 65010, "?", "1.10"], asPathPrefix: [65100]'), 'good'],
  ['a path pattern with AS 0', accept(', asPath: [0]'), rule('is not part of an AS path pattern')],
  ['a path pattern with a word', accept(', asPath: [any]'), rule('any is not part of an AS path pattern')],
  ['an empty path pattern', accept(', asPath: []'), structure('at least 1 are needed', 'should have at least 1 items')],
  ['a priority of 0', accept(', priority: 0'), structure('0 is out of bounds', 'greater than or equal to 1')],
  ['a metric', accept(', med: 4294967295'), 'good'],
  ['a metric of 33 bits', accept(', med: 4294967296'), structure('out of bounds', 'less than or equal to 4294967295')],
  [
    'changes to what is rejected',
    'importV4: [{action: Reject, operations: [{setMED: {value: 1}}]}]',
    rule('a route that is rejected cannot be changed; use action Accept'),
  ],
  ['200 rules', `importV4: [${Array.from({ length: 200 }, () => '{action: Accept}').join(', ')}]`, 'good'],
  [
    '201 rules',
    `importV4: [${Array.from({ length: 201 }, () => '{action: Accept}').join(', ')}]`,
    structure('has 201 entries; at most 200', 'must have at most 200 items'),
  ],
  [
    'a rule that is a word',
    'importV4: [Accept]',
    structure('has the wrong type; use a map of fields', 'must be of type object'),
  ],
  [
    'a misspelt field of a rule',
    'importV4: [{action: Accept, acton: x}]',
    structure('unknown field; write action', 'unknown field "spec.importV4[0].acton"'),
  ],
];

const communities: readonly Row[] = [
  ...[
    '65000:100',
    '0:0',
    '65535:65535',
    '4294967295:0:4294967295',
    'NO_EXPORT',
    'rt:65000:4294967295',
    'rt:4294967295:65535',
    'soo:192.0.2.1:100',
    '0x0002fde800000064',
  ].map((text): Row => [`community ${text}`, community(text), 'good']),
  ...[
    '65536:1',
    '1:65536',
    '1',
    '1:2:4294967296',
    '1:2:3:4',
    'no-export',
    'rt:65536:65536',
    'rt:192.0.2.1:65536',
    'rt:192.0.2.256:1',
    'rt:4294967296:1',
    'rt:1',
    'xx:1:2',
    '0x0002fde80000006',
    '0x0002FDE800000064',
    ' 1:2',
  ].map((text): Row => [`community ${text}`, community(text), rule(noCommunity)]),
  [
    'a community as a number',
    accept(', communities: {values: [65000]}'),
    structure('65000 has the wrong type; use a community', 'must be of type string'),
  ],
  [
    'no community',
    accept(', communities: {values: []}'),
    structure('at least 1 are needed', 'should have at least 1 items'),
  ],
];

const operations: readonly Row[] = [
  ['a community more', operation('{addCommunity: {value: "65000:1"}}'), 'good'],
  ['no community more', operation('{deleteCommunity: {value: "*"}}, {addCommunity: {value: BLACKHOLE}}'), 'good'],
  ['all communities more', operation('{addCommunity: {value: "*"}}'), rule(noCommunity)],
  ['a community less that is none', operation('{deleteCommunity: {value: "1:2:3:4"}}'), rule('; * for all')],
  ['a longer path', operation('{prependASPath: {prefix: [65000, "0.65000"]}}'), 'good'],
  ['a path longer by AS_TRANS', operation('{prependASPath: {prefix: [23456]}}'), rule('23456 is AS_TRANS')],
  ['a path longer by AS 0', operation('{prependASPath: {prefix: ["0"]}}'), rule('(RFC 7607)')],
  ['a path longer by no number', operation('{prependASPath: {prefix: [x]}}'), rule('x is not an AS number')],
  [
    'preference and metric',
    operation('{setLocalPref: {value: 200}}, {setMED: {value: 0}}, {setPriority: {value: 1}}'),
    'good',
  ],
  [
    'two operations in one',
    operation('{setLocalPref: {value: 200}, setMED: {value: 0}}'),
    rule('an operation is exactly one of addCommunity'),
  ],
  ['an operation that is none', operation('{}'), rule('an operation is exactly one of addCommunity')],
  [
    'no operation',
    'exportV6: [{action: Accept, operations: []}]',
    structure('at least 1 are needed', 'should have at least 1 items'),
  ],
];

export const filters: readonly Sample[] = samplesOf('BGPFilter', [...rules, ...communities, ...operations]);
