import { node, rule, samplesOf, structure } from './sample.ts';
import type { Row, Sample } from './sample.ts';

const good = 'peerIP: 192.0.2.1, asNumber: 65100';
const range = (more: string): string => `asNumber: 65100, listenRange: {cidr: 192.0.2.0/24${more}}`;
const tcpAo = (...ids: readonly (readonly [number, number])[]): string =>
  `authentication: {tcpAO: {keys: [${ids.map(([send, receive]) => `{sendID: ${send}, receiveID: ${receive}, algorithm: HMACSHA1, secretKeyRef: {name: bgp, key: k}}`).join(', ')}]}}`;
const password = 'password: {secretKeyRef: {name: bgp, key: tor-a}}';
const noAddress = 'is not an address; write 192.0.2.1';
const noUnicast = 'is no unicast address; use the address of the peer';
const noAsNumber = 'is not an AS number; use 1 to 4294967295, without 23456';
const noDuration = 'is not a duration; write a number and its unit';

const where: readonly Row[] = [
  ['the least', good, 'good'],
  ['a port', 'peerIP: "192.0.2.1:1179", asNumber: 65100', 'good'],
  ['a port with zeros in front', 'peerIP: "192.0.2.1:00179", asNumber: 65100', 'good'],
  ['IPv6', 'peerIP: "2001:db8::1", asNumber: 65100', 'good'],
  ['IPv6 in capitals and in full', 'peerIP: "2001:DB8:0:0:0:0:0:1", asNumber: 65100', 'good'],
  ['IPv6 in brackets', 'peerIP: "[2001:db8::1]", asNumber: 65100', 'good'],
  ['IPv6 with a port', 'peerIP: "[2001:db8::1]:1179", asNumber: 65100', 'good'],
  ['IPv6 with an IPv4 address in its last four octets', 'peerIP: "2001:db8::192.0.2.1", asNumber: 65100', 'good'],
  ['the loopback', 'peerIP: 127.0.0.1, asNumber: 65100', 'good'],
  ['a name', 'peerIP: tor-a.example, asNumber: 65100', rule(noAddress)],
  ['five numbers', 'peerIP: 192.0.2.1.1, asNumber: 65100', rule(noAddress)],
  ['a leading zero', 'peerIP: 192.0.2.01, asNumber: 65100', rule(noAddress)],
  ['a zone', 'peerIP: "fe80::1%eth0", asNumber: 65100', rule(noAddress)],
  ['a prefix', 'peerIP: 192.0.2.1/24, asNumber: 65100', rule(noAddress)],
  ['port 0', 'peerIP: "192.0.2.1:0", asNumber: 65100', rule(noAddress)],
  ['port 65536', 'peerIP: "[2001:db8::1]:65536", asNumber: 65100', rule(noAddress)],
  ['IPv4 in brackets', 'peerIP: "[192.0.2.1]:179", asNumber: 65100', rule(noAddress)],
  ['a bracket that is not closed', 'peerIP: "[2001:db8::1", asNumber: 65100', rule(noAddress)],
  ['IPv4 as IPv6', 'peerIP: "::ffff:192.0.2.1", asNumber: 65100', rule(noAddress)],
  ['IPv4 as IPv6 in brackets', 'peerIP: "[::ffff:c000:201]:179", asNumber: 65100', rule(noAddress)],
  ['a text with spaces', 'peerIP: "192.0.2.1 or so", asNumber: 65100', rule('"192.0.2.1 or so" is not an address')],
  ['link-local', 'peerIP: "fe80::1", asNumber: 65100', rule('is link-local, which says nothing without an interface')],
  ['link-local IPv4 with a port', 'peerIP: "169.254.1.1:179", asNumber: 65100', rule('is link-local')],
  ['multicast', 'peerIP: 224.0.0.5, asNumber: 65100', rule(noUnicast)],
  ['multicast of IPv6', 'peerIP: "[ff02::5]:179", asNumber: 65100', rule(noUnicast)],
  ['no address', 'peerIP: 0.0.0.0, asNumber: 65100', rule(noUnicast)],
  ['no address of IPv6', 'peerIP: "::", asNumber: 65100', rule(noUnicast)],
  ['net 0', 'peerIP: 0.1.2.3, asNumber: 65100', rule(noUnicast)],
  ['class E', 'peerIP: 240.0.0.1, asNumber: 65100', rule(noUnicast)],
  ['one character', 'peerIP: "1", asNumber: 65100', structure('is too short', 'at least 2 chars long')],
  ['an interface', 'interface: eth1, asNumber: 65100', 'good'],
  ['an interface with a slash', 'interface: eth/1, asNumber: 65100', rule('cannot be the name of an interface')],
  ['the interface ..', 'interface: .., asNumber: 65100', rule('cannot be the name of an interface')],
  [
    'an interface with a long name',
    'interface: abcdefghijklmnop, asNumber: 65100',
    structure('has 16 characters; at most 15', 'may not be more than 15'),
  ],
  [
    'two places',
    `${good}, interface: eth1`,
    rule('peerIP, interface, listenRange, peerSelector or peerLabelSelector must be there, and only one of them'),
  ],
  [
    'no place',
    'asNumber: 65100',
    rule('peerIP, interface, listenRange, peerSelector or peerLabelSelector must be there, and only one of them'),
  ],
  ['a range with a password', `${range('')}, ${password}`, 'good'],
  ['a range that is meant to be open', range(', insecure: true'), 'good'],
  ['a range that is open by mistake', range(''), rule('lets anyone connect who has an address in it')],
  [
    'a range with host bits',
    'asNumber: 65100, listenRange: {cidr: 192.0.2.1/24, insecure: true}',
    rule('192.0.2.1/24 has host bits set; write 192.0.2.0/24'),
  ],
  [
    'a range with host bits, not canonical',
    'asNumber: 65100, listenRange: {cidr: "2001:DB8::1/64", insecure: true}',
    rule('2001:DB8::1/64 has host bits set; write 2001:db8::/64'),
  ],
  [
    'a range that is none',
    'asNumber: 65100, listenRange: {cidr: 192.0.2.0, insecure: true}',
    rule('is not a prefix; write address/length'),
  ],
  [
    'a range longer than an address',
    'asNumber: 65100, listenRange: {cidr: 192.0.2.0/33, insecure: true}',
    rule('is not a prefix'),
  ],
  [
    'a limit of 0',
    range(', insecure: true, limit: 0'),
    structure('0 is out of bounds; use a whole number from 1 to 1024', 'should be greater than or equal to 1'),
  ],
  [
    'TCP-AO for a range',
    `${range(', insecure: true')}, ${tcpAo([1, 1])}`,
    rule('TCP-AO is not there for a listenRange; use password'),
  ],
];

const nodes: readonly Row[] = [
  ['other nodes', `peerSelector: "has(reflector)", reversePeering: Manual`, 'good'],
  ['other nodes by a label selector', 'peerLabelSelector: {matchLabels: {reflector: "1"}}', 'good'],
  [
    'other nodes twice',
    'peerSelector: all(), peerLabelSelector: {}',
    rule('peerLabelSelector must be there, and only one of them'),
  ],
  [
    'other nodes with an AS number',
    'peerSelector: all(), asNumber: 65100',
    rule('the AS numbers of nodes that peerSelector or peerLabelSelector selects are known'),
  ],
  ['a node', `${good}, node: node-1`, 'good'],
  ['a node that is no name', `${good}, node: Node_1`, rule('Node_1 is not a name; use lower-case letters')],
  ['a selector', `${good}, nodeSelector: "rack == 'a' && !has(retired)"`, 'good'],
  ['an empty selector', `${good}, nodeSelector: " "`, 'good'],
  [
    'a selector with everything',
    `${good}, nodeSelector: "!(a in {'x', \\"y\\"} || b not in {}) && (c contains 'd' || e starts with 'f') && !!g ends with 'h' && all() && global()"`,
    'good',
  ],
  ['labels named like words', `${good}, nodeSelector: "not not in {'a'} || in in {'b'} || has == 'c'"`, 'good'],
  ['parentheses inside a text', `${good}, nodeSelector: "a == ')(('"`, 'good'],
  ['a single =', `${good}, nodeSelector: "rack = 'a'"`, rule('is not a selector')],
  ['no quotes', `${good}, nodeSelector: "rack == a"`, rule('is not a selector')],
  ['the word and', `${good}, nodeSelector: "has(a) and has(b)"`, rule('is not a selector')],
  ['a parenthesis that stays open', `${good}, nodeSelector: "(has(a) || has(b)"`, rule('is not a selector')],
  ['an operator at the end', `${good}, nodeSelector: "has(a) &&"`, rule('is not a selector')],
  ['an unknown function', `${good}, nodeSelector: "any(a)"`, rule('is not a selector')],
  ['a set without an end', `${good}, nodeSelector: "a in {'b'"`, rule('is not a selector')],
  [
    'a parenthesis that closes before it opens',
    `${good}, nodeSelector: "has(a)) && (has(b)"`,
    node('is not a selector'),
  ],
  [
    'a label selector',
    `${good}, nodeLabelSelector: {matchLabels: {rack: a, "example.com/row": "7"}, matchExpressions: [{key: x, operator: Exists}, {key: z, operator: In, values: [a]}]}`,
    'good',
  ],
  [
    'In without values',
    `${good}, nodeLabelSelector: {matchExpressions: [{key: x, operator: In}]}`,
    rule('In and NotIn need values, Exists and DoesNotExist take none'),
  ],
  [
    'Exists with values',
    `${good}, nodeLabelSelector: {matchExpressions: [{key: x, operator: Exists, values: [a]}]}`,
    rule('In and NotIn need values'),
  ],
  [
    'a label key with a space',
    `${good}, nodeLabelSelector: {matchLabels: {"a b": x}}`,
    rule('"a b" is not a label name'),
  ],
  [
    'a label key of an expression',
    `${good}, nodeLabelSelector: {matchExpressions: [{key: "-x", operator: Exists}]}`,
    rule('-x is not a label name'),
  ],
  [
    'a label value with a slash',
    `${good}, nodeLabelSelector: {matchLabels: {rack: a/b}}`,
    rule('a/b is not a label value'),
  ],
  [
    'an unknown operator',
    `${good}, nodeLabelSelector: {matchExpressions: [{key: x, operator: Gt, values: ["1"]}]}`,
    structure('Gt is not known here', 'Unsupported value: "Gt"'),
  ],
  [
    'two ways to say which nodes',
    `${good}, node: node-1, nodeSelector: all()`,
    rule('node, nodeSelector and nodeLabelSelector exclude each other; keep one'),
  ],
];

const numbers: readonly Row[] = [
  ['the highest AS number', 'peerIP: 192.0.2.1, asNumber: 4294967295', 'good'],
  ['an AS number as text', 'peerIP: 192.0.2.1, asNumber: "65100"', 'good'],
  ['a dotted AS number', 'peerIP: 192.0.2.1, asNumber: "1.10"', 'good'],
  ['AS 0', 'peerIP: 192.0.2.1, asNumber: 0', rule('0 is not an AS number (RFC 7607)')],
  ['AS 0 as text', 'peerIP: 192.0.2.1, asNumber: "00"', rule('00 is not an AS number (RFC 7607)')],
  ['AS 0 dotted', 'peerIP: 192.0.2.1, asNumber: "0.0"', rule('0.0 is not an AS number (RFC 7607)')],
  ['AS_TRANS', 'peerIP: 192.0.2.1, asNumber: 23456', rule('23456 is AS_TRANS')],
  ['AS_TRANS dotted', 'peerIP: 192.0.2.1, asNumber: "0.23456"', rule('0.23456 is AS_TRANS')],
  ['33 bits', 'peerIP: 192.0.2.1, asNumber: 4294967296', rule(`4294967296 ${noAsNumber}`)],
  ['33 bits as text', 'peerIP: 192.0.2.1, asNumber: "4294967296"', rule(`4294967296 ${noAsNumber}`)],
  ['dotted with 17 bits', 'peerIP: 192.0.2.1, asNumber: "1.65536"', rule(`1.65536 ${noAsNumber}`)],
  ['negative', 'peerIP: 192.0.2.1, asNumber: -1', rule(`-1 ${noAsNumber}`)],
  ['AS in front', 'peerIP: 192.0.2.1, asNumber: AS65100', rule(`AS65100 ${noAsNumber}`)],
  [
    'a fraction',
    'peerIP: 192.0.2.1, asNumber: 1.10',
    structure('1.1 is not a whole number; a dotted AS number stands in quotes', 'spec.asNumber'),
  ],
  [
    'true',
    'peerIP: 192.0.2.1, asNumber: true',
    structure('true has the wrong type; use an AS number', 'spec.asNumber'),
  ],
  [
    'a long text',
    'peerIP: 192.0.2.1, asNumber: "000000065100"',
    structure('has 12 characters; at most 11', 'spec.asNumber'),
  ],
  ['dynamicASN', 'peerIP: 192.0.2.1, dynamicASN: External', 'good'],
  [
    'dynamicASN of another product',
    'peerIP: 192.0.2.1, dynamicASN: external',
    structure('external is not known here; write External', 'Unsupported value: "external"'),
  ],
  ['both', `${good}, dynamicASN: Internal`, rule('asNumber or dynamicASN must be there, and only one of them')],
  ['neither', 'peerIP: 192.0.2.1', rule('asNumber or dynamicASN must be there, and only one of them')],
  ['null is absent', 'peerIP: 192.0.2.1, asNumber: null', rule('asNumber or dynamicASN must be there')],
  ['another local AS', `${good}, localASNumber: "2.1", localASOptions: {noPrepend: false}`, 'good'],
  [
    'localASOptions alone',
    `${good}, localASOptions: {replaceAS: false}`,
    rule('says what becomes of localASNumber in paths; set localASNumber too'),
  ],
];

const secrets: readonly Row[] = [
  ['a password', `${good}, ${password}`, 'good'],
  [
    'a password without a key',
    `${good}, password: {secretKeyRef: {name: bgp}}`,
    structure('is required (a key)', 'spec.password.secretKeyRef.key: Required value'),
  ],
  [
    'a password in clear',
    `${good}, password: secret`,
    structure('has the wrong type; use a map of fields', 'must be of type object'),
  ],
  [
    'a key with a slash',
    `${good}, password: {secretKeyRef: {name: bgp, key: a/b}}`,
    rule('a/b is not a key; use letters, digits, -, _ and .'),
  ],
  ['TCP-AO', `${good}, ${tcpAo([1, 2], [2, 3])}`, 'good'],
  ['TCP-AO and a password', `${good}, ${password}, ${tcpAo([1, 2])}`, rule('TCP MD5 and TCP-AO exclude each other')],
  ['a sendID twice', `${good}, ${tcpAo([1, 2], [1, 3])}`, structure('1 is there twice', 'Duplicate value')],
  ['a receiveID twice', `${good}, ${tcpAo([1, 2], [2, 2])}`, rule('a receiveID is there twice')],
  [
    'no key at all',
    `${good}, ${tcpAo()}`,
    structure('has 0 entries; at least 1 are needed', 'should have at least 1 items'),
  ],
];

const times: readonly Row[] = [
  ['hold time 0', `${good}, holdTime: "0"`, 'good'],
  ['hold time 0s', `${good}, holdTime: 0s`, 'good'],
  ['a minute and a half', `${good}, holdTime: 1m30s, keepaliveTime: 30s`, 'good'],
  ['a fraction of an hour', `${good}, holdTime: 0.05h`, 'good'],
  ['milliseconds that make seconds', `${good}, holdTime: 90000ms`, 'good'],
  ['no unit', `${good}, holdTime: "90"`, rule(noDuration)],
  ['days', `${good}, holdTime: 1d`, rule(noDuration)],
  ['negative', `${good}, holdTime: -90s`, rule(noDuration)],
  ['an hour of ten digits', `${good}, holdTime: 9999999999h`, rule(noDuration)],
  ['a number', `${good}, holdTime: 90`, structure('90 has the wrong type; use a duration', 'must be of type string')],
  ['half a second', `${good}, holdTime: 3.5s`, rule('is not a whole number of seconds')],
  ['a hair more than three seconds', `${good}, holdTime: 3.0001s`, rule('is not a whole number of seconds')],
  ['a hold time of two seconds', `${good}, holdTime: 2s`, rule('2s is out of bounds; use 0s, or 3s to 65535s')],
  ['a hold time of a day', `${good}, holdTime: 24h`, rule('24h is out of bounds')],
  ['no connect time', `${good}, connectTime: 0s`, rule('0s is out of bounds; use 1s to 65535s')],
  [
    'restart time twice',
    `${good}, maxRestartTime: 60s, gracefulRestart: {restartTime: 60s}`,
    rule('says the same as gracefulRestart.restartTime; keep one'),
  ],
  [
    'other times',
    `${good}, connectTime: 5s, maxRestartTime: 60s, gracefulRestart: {staleTime: 10m}, maxPrefixes: {restartAfter: 0s}`,
    'good',
  ],
  ['a keepalive time of ten hours', `${good}, keepaliveTime: 10h`, rule('10h is out of bounds; use 1s to 21845s')],
  [
    'a limit that holds for weeks',
    `${good}, maxPrefixes: {restartAfter: 200h}`,
    rule('200h is out of bounds; use 0s, or 1s to 604800s'),
  ],
  ['a restart time of two hours', `${good}, maxRestartTime: 2h`, rule('2h is out of bounds; use 0s to 4095s')],
  [
    'no time for stale routes',
    `${good}, gracefulRestart: {staleTime: 0s}`,
    rule('0s is out of bounds; use 1s to 4095s'),
  ],
  [
    'stale routes for a year',
    `${good}, longLivedGracefulRestart: {staleTime: 9999h}`,
    rule('9999h is out of bounds; use 1s to 16777215s'),
  ],
  ['long-lived stale routes', `${good}, longLivedGracefulRestart: {staleTime: 24h, families: [ipv4]}`, 'good'],
  [
    'long-lived without graceful restart',
    `${good}, gracefulRestart: {enabled: false}, longLivedGracefulRestart: {staleTime: 1h}`,
    rule('goes only with graceful restart'),
  ],
  [
    'long-lived for a family that is not there',
    `${good}, families: [ipv4], longLivedGracefulRestart: {staleTime: 1h, families: [ipv6]}`,
    rule('names a family that the session does not carry'),
  ],
  [
    'long-lived without a time',
    `${good}, longLivedGracefulRestart: {}`,
    structure('is required (a duration, 1s to 16777215s)', 'staleTime: Required value'),
  ],
];

const rest: readonly Row[] = [
  [
    'everything a router needs',
    `${good}, nodeSelector: "rack == 'a'", bfd: {profile: fast}, importPolicy: DefaultRoute, filters: [a, b], ebgpMultihop: 2, transit: true, maxPrefixes: {limit: 100}, addPath: {send: 4}, families: [ipv6], adminState: Down, adminStateMessage: "router swap, back at 14:00"`,
    'good',
  ],
  ['null for what has a default', `${good}, holdTime: null, filters: null, transit: null`, 'good'],
  [
    'null in a list',
    `${good}, filters: [null]`,
    structure('null has the wrong type; use a name', 'must be of type string'),
  ],
  [
    'a field nobody knows',
    `${good}, holdtime: 90s`,
    structure('unknown field; write holdTime', 'unknown field "spec.holdtime"'),
  ],
  ['a filter that is no name', `${good}, filters: [Fabric]`, rule('Fabric is not a name')],
  [
    '33 filters',
    `${good}, filters: [${Array.from({ length: 33 }, (_, i) => `f${i}`).join(', ')}]`,
    structure('has 33 entries; at most 32', 'must have at most 32 items'),
  ],
  [
    'a text for true',
    `${good}, transit: "true"`,
    structure('has the wrong type; use true or false', 'must be of type boolean'),
  ],
  [
    'a list for a name',
    `${good}, node: [node-1]`,
    structure('has the wrong type; use a name', 'must be of type string'),
  ],
  ['GTSM', `${good}, ttlSecurity: 1`, 'good'],
  ['GTSM off, and several hops', `${good}, ttlSecurity: 0, ebgpMultihop: 3`, 'good'],
  [
    'GTSM and several hops',
    `${good}, ttlSecurity: 1, ebgpMultihop: 3`,
    rule('ttlSecurity says how many hops the peer may be away'),
  ],
  ['256 hops', `${good}, ebgpMultihop: 256`, structure('256 is out of bounds', 'should be less than or equal to 255')],
  ['a role', `${good}, role: Customer, roleRequired: true`, 'good'],
  [
    'roleRequired alone',
    `${good}, roleRequired: true`,
    rule('says that the peer must have the other role; set role too'),
  ],
  ['an unknown role', `${good}, role: Friend`, structure('Friend is not known here', 'Unsupported value: "Friend"')],
  ['addPath that asks for nothing', `${good}, addPath: {}`, rule('nothing is asked for; set receive: true')],
  ['a family twice', `${good}, families: [ipv4, ipv4]`, structure('ipv4 is there twice', 'Duplicate value')],
  ['no family', `${good}, families: []`, structure('at least 1 are needed', 'should have at least 1 items')],
  [
    'bfd and bfdProfile',
    `${good}, bfd: {profile: fast}, bfdProfile: fast`,
    rule('says the same as bfd.profile; keep one'),
  ],
  ["BFD in MetalLB's words", `${good}, bfdProfile: fast`, 'good'],
  ['BFD with the defaults', `${good}, bfd: {}`, 'good'],
  [
    'a message in letters of two octets, too long',
    `${good}, adminStateMessage: "${'ü'.repeat(128)}"`,
    rule('is longer than 255 octets in UTF-8'),
  ],
  ['a message of faces, just short enough', `${good}, adminStateMessage: "${'🙂'.repeat(63)}"`, 'good'],
  ['a message of two lines', `${good}, adminStateMessage: "a\\nb"`, rule('holds a control character or a line break')],
  [
    'a message with a C1 control character',
    `${good}, adminStateMessage: "a\\u0085b"`,
    rule('holds a control character'),
  ],
  [
    'a message of 256 characters',
    `${good}, adminStateMessage: "${'a'.repeat(256)}"`,
    structure('has 256 characters', 'may not be more than 255'),
  ],
];

export const peers: readonly Sample[] = samplesOf('BGPPeer', [
  ...where,
  ...nodes,
  ...numbers,
  ...secrets,
  ...times,
  ...rest,
]);
