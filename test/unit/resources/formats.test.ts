import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { labelSelectorExpression } from '#resources/labels.ts';
import { parseAsNumber, parseDuration, parseEndpoint } from '#resources/formats.ts';
import { blockName } from '#resources/ip-block.ts';
import { secretValue } from '#resources/core.ts';
import type { Secret } from '#resources/core.ts';
import { matches } from '#resources/selector.ts';
import { fieldClass } from '#bgp/speaker/reconfigure.ts';
import type { PeerIntent } from '#bgp/engine.ts';
import { formatExtendedCommunity } from '#bgp/wire/format.ts';
import { bgpPeer } from '#resources/bgp-peer.ts';
import type { CommunityValue } from '#resources/route-fields.ts';
import { parseCommunity } from '#resources/route-fields.ts';
import { parsePrefix } from '#lib/ip.ts';
import { objects } from '../../support/resources.ts';

test('an endpoint is read in every spelling', () => {
  const rows: readonly (readonly [string, string | undefined, number | undefined])[] = [
    ['192.0.2.1', '192.0.2.1', undefined],
    ['192.0.2.1:1179', '192.0.2.1', 1179],
    ['2001:DB8::0:1', '2001:db8::1', undefined],
    ['[2001:db8::1]', '2001:db8::1', undefined],
    ['[2001:db8::1]:179', '2001:db8::1', 179],
    ['[192.0.2.1]:179', undefined, undefined],
    ['192.0.2.1:65536', undefined, undefined],
    ['192.0.2.1:', undefined, undefined],
    ['[::1]:', undefined, undefined],
    ['fe80::1%eth0', undefined, undefined],
    ['tor-a', undefined, undefined],
  ];
  for (const [text, address, port] of rows) {
    const expected = address === undefined ? undefined : { address, port };
    assert.deepEqual(parseEndpoint(text), expected, text);
  }
});

test('AS numbers are read as numbers, as text and dotted', () => {
  const rows: readonly (readonly [number | string, number | undefined])[] = [
    [65100, 65100],
    ['65100', 65100],
    ['1.10', 65546],
    ['65535.65535', 4294967295],
    ['65536.0', undefined],
    ['1.2.3', undefined],
    ['', undefined],
    ['0x10', undefined],
    [1.5, undefined],
    [4294967296, undefined],
  ];
  for (const [raw, expected] of rows) assert.equal(parseAsNumber(raw), expected, String(raw));
});

test('durations are read in Kubernetes spelling', () => {
  const rows: readonly (readonly [string, number | undefined])[] = [
    ['90s', 90_000],
    ['1m30s', 90_000],
    ['1.5h', 5_400_000],
    ['250ms', 250],
    ['0', 0],
    ['', undefined],
    ['90', undefined],
    ['-1s', undefined],
    ['1d', undefined],
    ['1s ', undefined],
  ];
  for (const [raw, expected] of rows) assert.equal(parseDuration(raw), expected, raw);
});

describe('a Kubernetes label selector', () => {
  const rows: readonly (readonly [string, Parameters<typeof labelSelectorExpression>[0], boolean])[] = [
    ['empty matches everything', { matchLabels: undefined, matchExpressions: undefined }, true],
    ['labels that are there', { matchLabels: { rack: 'a' }, matchExpressions: undefined }, true],
    ['labels that differ', { matchLabels: { rack: 'b' }, matchExpressions: undefined }, false],
    [
      'NotIn holds for an absent label',
      { matchLabels: undefined, matchExpressions: [{ key: 'x', operator: 'NotIn', values: ['a'] }] },
      true,
    ],
    [
      'DoesNotExist',
      { matchLabels: undefined, matchExpressions: [{ key: 'rack', operator: 'DoesNotExist', values: undefined }] },
      false,
    ],
    [
      'all parts must hold',
      { matchLabels: { rack: 'a' }, matchExpressions: [{ key: 'x', operator: 'Exists', values: undefined }] },
      false,
    ],
    ['In', { matchLabels: undefined, matchExpressions: [{ key: 'rack', operator: 'In', values: ['b', 'a'] }] }, true],
  ];
  for (const [name, selector, expected] of rows) {
    test(name, () => assert.equal(matches(labelSelectorExpression(selector), { rack: 'a' }), expected));
  }
});

test('the name of a block is its family, address and length', () => {
  for (const [cidr, name] of [
    ['10.60.1.0/26', 'ipv4-0a3c0100-26'],
    ['fd60:1::/64', 'ipv6-fd600001000000000000000000000000-64'],
  ] as const) {
    const prefix = parsePrefix(cidr);
    assert.ok(prefix !== undefined);
    assert.equal(blockName(prefix), name);
  }
});

test('stringData stands before data, as in Kubernetes', () => {
  const [secret] = objects(
    'apiVersion: v1\nkind: Secret\nmetadata: {name: bgp}\ndata: {a: b2xk, b: b2s=}\nstringData: {a: new}\n',
  );
  assert.equal(secret?.kind, 'Secret');
  const value = (key: string) => Buffer.from(secretValue(secret as Secret, key) ?? 'none').toString();
  assert.deepEqual(['a', 'b', 'c', 'toString'].map(value), ['new', 'ok', 'none', 'none']);
});

test('the reset class of every BGPPeer field is what the speaker does', () => {
  const becomes: Readonly<Record<string, keyof PeerIntent>> = {
    peerIP: 'address',
    interface: 'interface',
    listenRange: 'listenRange',
    asNumber: 'peerAsn',
    dynamicASN: 'peerAsn',
    localASNumber: 'localAsn',
    password: 'password',
    authentication: 'tcpAo',
    sourceAddress: 'sourceAddress',
    holdTime: 'holdTime',
    connectTime: 'connectRetryTime',
    keepaliveTime: 'keepaliveTime',
    passive: 'passive',
    ebgpMultihop: 'ebgpMultihop',
    ttlSecurity: 'ttlSecurity',
    filters: 'filters',
    importPolicy: 'importPolicy',
    nextHopMode: 'nextHopMode',
    transit: 'transit',
    maxPrefixes: 'maxPrefixes',
    maxAnnounced: 'maxAnnounced',
    localASOptions: 'innerAsn',
    addPath: 'addPath',
    families: 'families',
    numAllowedLocalASNumbers: 'allowedLocalAsns',
    gracefulRestart: 'gracefulRestart',
    maxRestartTime: 'gracefulRestart',
    longLivedGracefulRestart: 'longLivedGracefulRestart',
    adminState: 'enabled',
    adminStateMessage: 'shutdownText',
    bfd: 'bfd',
    bfdProfile: 'bfd',
    routeReflectorClient: 'routeReflectorClient',
    role: 'role',
    roleRequired: 'roleRequired',
    enforceFirstAS: 'enforceFirstAs',
  };
  const { shape } = bgpPeer.schema;
  const spec = shape.kind === 'object' ? shape.fields['spec']?.schema.shape : undefined;
  assert.ok(spec?.kind === 'object');
  for (const [name, field] of Object.entries(spec.fields)) {
    const intent = becomes[name];
    // Which nodes have the session at all: it is opened or closed, never reset.
    const selections = ['node', 'nodeSelector', 'nodeLabelSelector', 'peerSelector', 'peerLabelSelector'];
    if ([...selections, 'reversePeering'].includes(name)) assert.equal(field.reset, 'none', name);
    else {
      assert.ok(intent !== undefined, `${name} becomes nothing`);
      assert.equal(field.reset, fieldClass[intent], name);
    }
  }
});

const communityRows: readonly (readonly [string, CommunityValue | undefined])[] = [
  ['65000:100', 0xfde80064],
  ['0:0', 0],
  ['65535:65535', 0xffffffff],
  ['65536:1', undefined],
  ['65000:1:2', [65000, 1, 2]],
  ['4294967295:4294967295:0', [4294967295, 4294967295, 0]],
  ['4294967296:0:0', undefined],
  ['BLACKHOLE', 0xffff029a],
  ['blackhole', undefined],
  ['rt:64512:100', [0x0002fc00, 100]],
  ['rt:64512:4294967295', [0x0002fc00, 0xffffffff]],
  ['rt:64512:4294967296', undefined],
  ['soo:64512:1', [0x0003fc00, 1]],
  ['rt:4200000000:65535', [0x0202fa56, 0xea00ffff]],
  ['rt:4200000000:65536', undefined],
  ['rt:4294967296:1', undefined],
  ['rt:192.0.2.1:7', [0x0102c000, 0x02010007]],
  ['soo:192.0.2.1:65536', undefined],
  ['rt:192.0.2:7', undefined],
  ['rt:192.0.2.256:7', undefined],
  ['rt:2001:db8::1:7', undefined],
  ['rt:64512', undefined],
  ['rt:64512:1:2', undefined],
  ['ro:64512:1', undefined],
  ['0x4006000044aa0000', [0x40060000, 0x44aa0000]],
  ['0x40060000', undefined],
];
for (const [text, expected] of communityRows)
  test(`community ${text}`, () => {
    assert.deepEqual(parseCommunity(text), expected);
    if (typeof expected !== 'object' || expected.length !== 2) return;
    const bytes = new DataView(new ArrayBuffer(8));
    expected.forEach((half, i) => bytes.setUint32(4 * i, half));
    assert.equal(formatExtendedCommunity(new Uint8Array(bytes.buffer)), text, 'what is shown can be written');
  });
