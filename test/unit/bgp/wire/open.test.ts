import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatCapability } from '#bgp/wire/capabilities.ts';
import type { Capability } from '#bgp/wire/messages.ts';
import { asnOfOpen, decodeOpen, encodeOpen } from '#bgp/wire/open.ts';
import { hex, toHex } from './contexts.ts';

describe('decodeOpen refuses', () => {
  const rows: readonly {
    readonly name: string;
    readonly body: string;
    readonly subcode: number;
    readonly data?: string;
  }[] = [
    { name: 'a body shorter than the fixed part', body: '04 fc01 005a 0a000001', subcode: 0 },
    { name: 'version 3, saying which one it has', body: '03 fc01 005a 0a000001 00', subcode: 1, data: '0004' },
    { name: 'version 5', body: '05 fc01 005a 0a000001 00', subcode: 1, data: '0004' },
    { name: 'a hold time of one second', body: '04 fc01 0001 0a000001 00', subcode: 6 },
    { name: 'a hold time of two seconds', body: '04 fc01 0002 0a000001 00', subcode: 6 },
    { name: 'identifier 0.0.0.0', body: '04 fc01 005a 00000000 00', subcode: 3 },
    { name: 'AS 0', body: '04 0000 005a 0a000001 00', subcode: 2 },
    { name: 'AS 0 in the capability', body: '04 5ba0 005a 0a000001 08 02 06 41 04 00000000', subcode: 2 },
    { name: 'AS_TRANS in the capability', body: '04 5ba0 005a 0a000001 08 02 06 41 04 00005ba0', subcode: 2 },
    { name: 'two AS numbers that disagree', body: '04 fc01 005a 0a000001 08 02 06 41 04 0000fc02', subcode: 2 },
    { name: 'the authentication parameter of old', body: '04 fc01 005a 0a000001 03 01 01 00', subcode: 4 },
    { name: 'parameters longer than the message', body: '04 fc01 005a 0a000001 09 02 06 41 04 0000fc01', subcode: 0 },
    { name: 'parameters shorter than the message', body: '04 fc01 005a 0a000001 07 02 06 41 04 0000fc01', subcode: 0 },
    { name: 'a parameter beyond the parameters', body: '04 fc01 005a 0a000001 02 02 06', subcode: 0 },
    { name: 'a parameter without a length', body: '04 fc01 005a 0a000001 01 02', subcode: 0 },
    { name: 'a capability beyond its parameter', body: '04 fc01 005a 0a000001 04 02 02 02 01', subcode: 0 },
    { name: 'a capability without a length', body: '04 fc01 005a 0a000001 03 02 01 02', subcode: 0 },
    { name: 'multiprotocol of three octets', body: '04 fc01 005a 0a000001 07 02 05 01 03 000100', subcode: 0 },
    { name: 'route refresh of one octet', body: '04 fc01 005a 0a000001 05 02 03 02 01 00', subcode: 0 },
    { name: 'graceful restart of four octets', body: '04 fc01 005a 0a000001 08 02 06 40 04 00780001', subcode: 0 },
    { name: 'an empty extended next hop', body: '04 fc01 005a 0a000001 04 02 02 05 00', subcode: 0 },
    {
      name: 'long-lived restart of eight octets',
      body: '04 fc01 005a 0a000001 0c 02 0a 47 08 0001018000003c00',
      subcode: 0,
    },
    { name: 'add-path of six octets', body: '04 fc01 005a 0a000001 0a 02 08 45 06 000101010002', subcode: 0 },
    { name: 'four-octet AS of two octets', body: '04 fc01 005a 0a000001 06 02 04 41 02 fc01', subcode: 0 },
    { name: 'extended parameters cut short', body: '04 fc01 005a 0a000001 ff ff 00', subcode: 0 },
    {
      name: 'extended parameters with a wrong length',
      body: '04 fc01 005a 0a000001 ff ff 0006 02 0002 02 00',
      subcode: 0,
    },
  ];
  for (const { name, body, subcode, data } of rows) {
    test(name, () => {
      const decoded = decodeOpen(hex(body));
      assert.ok(!decoded.ok);
      assert.deepEqual(
        [decoded.error.code, decoded.error.subcode, toHex(decoded.error.data)],
        [2, subcode, data ?? ''],
      );
      assert.match(decoded.error.text, /RFC \d+ §/);
    });
  }
});

describe('OPEN', () => {
  test('says its AS number in the capability where there is one', () => {
    const decoded = decodeOpen(hex('04 5ba0 005a 0a000001 08 02 06 41 04 fa56ea01'));
    assert.ok(decoded.ok);
    assert.equal(asnOfOpen(decoded.value), 4200000001);
    const old = decodeOpen(hex('04 fc01 005a 0a000001 00'));
    assert.ok(old.ok);
    assert.equal(asnOfOpen(old.value), 64513);
  });

  test('RFC 9072 §2: the extended form is known by the type octet, whatever the length octet says', () => {
    const decoded = decodeOpen(hex('04 fc01 005a 0a000001 10 ff 0005 02 0002 02 00'));
    assert.ok(decoded.ok);
    assert.deepEqual(decoded.value.capabilities, [{ kind: 'routeRefresh' }]);
  });

  test('is written in the extended form only when it must be', () => {
    const unknown = (size: number): Capability => ({ kind: 'unknown', code: 200, value: new Uint8Array(size) });
    const written = (size: number): string =>
      toHex(
        encodeOpen({
          kind: 'open',
          version: 4,
          myAs: 64513,
          holdTimeSeconds: 90,
          identifier: 1,
          capabilities: [unknown(size)],
        }),
      ).slice(2 * 28);
    assert.ok(written(251).startsWith('ff02fdc8fb'));
    assert.ok(written(252).startsWith('ffff01010200fec8fc'));
  });

  test('RFC 7911 §4: an add-path capability with a send/receive value of 0 or 4 is ignored whole', () => {
    for (const mode of ['00', '04', 'ff']) {
      const decoded = decodeOpen(hex(`04 fc01 005a 0a000001 0c 02 0a 45 08 00010103 000201${mode}`));
      assert.ok(decoded.ok);
      assert.deepEqual(
        decoded.value.capabilities.map(({ kind }) => kind),
        ['unknown'],
      );
    }
  });

  test('a copy is kept of capabilities that are not known', () => {
    const body = hex('04 fc01 005a 0a000001 05 02 03 c8 01 07');
    const decoded = decodeOpen(body);
    body.fill(0);
    assert.ok(decoded.ok);
    assert.deepEqual(decoded.value.capabilities, [{ kind: 'unknown', code: 200, value: Uint8Array.of(7) }]);
  });
});

describe('formatCapability', () => {
  const rows: readonly (readonly [string, Capability])[] = [
    ['multiprotocol ipv6', { kind: 'multiprotocol', afi: 2, safi: 1 }],
    ['multiprotocol 25/70', { kind: 'multiprotocol', afi: 25, safi: 70 }],
    ['route-refresh', { kind: 'routeRefresh' }],
    ['extended-next-hop ipv4 via ipv6', { kind: 'extendedNextHop', tuples: [{ afi: 1, safi: 1, nextHopAfi: 2 }] }],
    [
      'graceful-restart 120s, restarted, notification, ipv4 forwarding',
      {
        kind: 'gracefulRestart',
        restarted: true,
        notification: true,
        restartTimeSeconds: 120,
        families: [{ afi: 1, safi: 1, forwarding: true }],
      },
    ],
    ['four-octet-as 4200000001', { kind: 'fourOctetAs', asn: 4200000001 }],
    [
      'add-path ipv4 both, ipv6 receive, 1/4 send',
      {
        kind: 'addPath',
        families: [
          { afi: 1, safi: 1, receive: true, send: true },
          { afi: 2, safi: 1, receive: true, send: false },
          { afi: 1, safi: 4, receive: false, send: true },
        ],
      },
    ],
    [
      'long-lived-graceful-restart ipv4 3600s forwarding, ipv6 16777215s',
      {
        kind: 'longLivedGracefulRestart',
        families: [
          { afi: 1, safi: 1, forwarding: true, staleTimeSeconds: 3600 },
          { afi: 2, safi: 1, forwarding: false, staleTimeSeconds: 0xff_ffff },
        ],
      },
    ],
    ['add-path (of an unknown kind)', { kind: 'unknown', code: 69, value: new Uint8Array(4) }],
    ['capability 201', { kind: 'unknown', code: 201, value: new Uint8Array(0) }],
  ];
  for (const [text, capability] of rows) test(text, () => assert.equal(formatCapability(capability), text));
});
