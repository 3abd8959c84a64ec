import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { UpdateMessage, WireContext } from '#bgp/wire/messages.ts';
import { prefixesOf } from '#bgp/wire/nlri.ts';
import { splitUpdate } from '#bgp/wire/update.ts';
import { AS_PATH, NEXT_HOP, ORIGIN, external, hex, toHex } from './contexts.ts';

const u16 = (value: number): string => value.toString(16).padStart(4, '0');
/** The body of an UPDATE from its three fields, with their lengths. */
function body(withdrawn: string, attributes: string, nlri: string): Uint8Array {
  const [w, a] = [hex(withdrawn), hex(attributes)];
  return hex(`${u16(w.length)}${toHex(w)}${u16(a.length)}${toHex(a)}${nlri}`);
}
/** An attribute with its header, in the short form. */
const attribute = (flagsAndCode: string, value: string): string =>
  `${flagsAndCode} ${hex(value).length.toString(16).padStart(2, '0')} ${value}`;

const GLOBAL = '20010db8000000000000000000000001';
const LINK_LOCAL = 'fe800000000000000000000000000001';
const PREFIX6 = '20 20010db8';
const reach6 = (hops = GLOBAL, nlri = PREFIX6): string =>
  attribute('80 0e', `0002 01 ${hex(hops).length.toString(16).padStart(2, '0')} ${hops} 00 ${nlri}`);
const whole = `${ORIGIN} ${AS_PATH} ${NEXT_HOP}`;

const only4: WireContext = { ...external, families: ['ipv4'] };
const only6: WireContext = { ...external, families: ['ipv6'] };

const ids: WireContext = { ...external, addPath: { receive: ['ipv4', 'ipv6'], send: [] } };

const split = (bytes: Uint8Array, context = external): UpdateMessage => {
  const update = splitUpdate(bytes, context);
  assert.ok(update.ok, update.ok ? '' : update.error.text);
  return update.value;
};

describe('splitUpdate resets the session for', () => {
  /** Name, body, subcode, data, words. */
  const rows: readonly (readonly [string, Uint8Array, number, string, RegExp, WireContext?])[] = [
    ['three octets', hex('000000'), 1, '', /3 octets/],
    ['withdrawn routes beyond the message', hex('0001 0000'), 1, '', /Withdrawn Routes Length/],
    ['withdrawn routes that leave no room for the next length', hex('0002 0000'), 1, '', /Withdrawn Routes Length/],
    ['attributes beyond the message', hex('0000 0001'), 1, '', /Total Path Attribute Length/],
    [
      'a withdrawn prefix of 33 bits',
      body('21 0a00000000', '', ''),
      10,
      '',
      /Withdrawn Routes: prefix length 33.*§5\.3/,
    ],
    ['a withdrawn prefix cut short', body('18 0a00', '', ''), 10, '', /Withdrawn Routes: the last prefix/],
    ['an announced prefix of 255 bits', body('', whole, 'ff 0a'), 10, '', /NLRI: prefix length 255/],
    ['an announced prefix cut short', body('', whole, '18 0a01'), 10, '', /NLRI: the last prefix is cut short/],
    [
      'MP_REACH_NLRI twice',
      body('', `${reach6()} ${reach6()}`, ''),
      1,
      '',
      /MP_REACH_NLRI stands there twice \(RFC 7606 §3\(g\)\)/,
    ],
    [
      'MP_UNREACH_NLRI twice',
      body('', '80 0f 03 000201 80 0f 03 000201', ''),
      1,
      '',
      /MP_UNREACH_NLRI stands there twice/,
    ],
    [
      'MP_REACH_NLRI with the Transitive bit',
      body('', 'c0 0e 05 0002010000', ''),
      4,
      'c00e050002010000',
      /MP_REACH_NLRI: flags 0xc0/,
    ],
    [
      'MP_UNREACH_NLRI without the Optional bit',
      body('', '00 0f 03 000201', ''),
      4,
      '000f03000201',
      /MP_UNREACH_NLRI: flags 0x00/,
    ],
    [
      'MP_REACH_NLRI of four octets',
      body('', '80 0e 04 00020100', ''),
      9,
      '800e0400020100',
      /shorter than its fixed part/,
    ],
    ['MP_UNREACH_NLRI of two octets', body('', '80 0f 02 0002', ''), 9, '800f020002', /shorter than its fixed part/],
    [
      'a next hop of 4 octets for IPv6',
      body('', reach6('0a000001'), ''),
      9,
      toHex(hex(reach6('0a000001'))),
      /next hop of 4 octets for ipv6 \(RFC 7606 §7\.11\)/,
    ],
    [
      'a next hop of 15 octets',
      body('', reach6(GLOBAL.slice(2)), ''),
      9,
      toHex(hex(reach6(GLOBAL.slice(2)))),
      /next hop of 15 octets/,
    ],
    [
      'a next hop beyond the attribute',
      body('', '80 0e 06 0002 01 20 0000', ''),
      9,
      '800e06000201200000',
      /next hop of 32 octets/,
    ],
    [
      'an IPv6 next hop for IPv4 that was not negotiated',
      body('', attribute('80 0e', `0001 01 10 ${GLOBAL} 00 18 0a0102`), ''),
      9,
      toHex(hex(attribute('80 0e', `0001 01 10 ${GLOBAL} 00 18 0a0102`))),
      /next hop of 16 octets for ipv4/,
    ],
    [
      'an IPv6 prefix of 129 bits',
      body('', reach6(GLOBAL, `81 ${GLOBAL}00`), ''),
      9,
      toHex(hex(reach6(GLOBAL, `81 ${GLOBAL}00`))),
      /MP_REACH_NLRI: prefix length 129/,
    ],
    [
      'a withdrawn IPv6 prefix cut short',
      body('', attribute('80 0f', '0002 01 20 20010d'), ''),
      9,
      '800f070002012020010d',
      /MP_UNREACH_NLRI: the last prefix/,
    ],
    ['a path identifier without a prefix', body('', whole, '00000001'), 10, '', /NLRI: the last path identifier/, ids],
    ['a path identifier cut short', body('000000', '', ''), 10, '', /Withdrawn Routes: the last path identifier/, ids],
    ['a prefix behind its identifier cut short', body('', whole, '00000001 18 0a01'), 10, '', /cut short.*§5\.3/, ids],
    [
      'an IPv6 prefix of 129 bits behind its identifier',
      body('', reach6(GLOBAL, `00000001 81 ${GLOBAL}00`), ''),
      9,
      toHex(hex(reach6(GLOBAL, `00000001 81 ${GLOBAL}00`))),
      /MP_REACH_NLRI: prefix length 129/,
      ids,
    ],
    [
      'a malformed attribute without reachable NLRI',
      body('18 0a0102', '40 01 01 07', ''),
      6,
      '40010107',
      /without reachable NLRI \(RFC 7606 §5\.2\)/,
    ],
    ['a list cut short without reachable NLRI', body('', '40 01', ''), 1, '', /cut short.*§5\.2/],
    [
      'a malformed attribute beside an MP_REACH_NLRI with no prefix',
      body('', `${reach6(GLOBAL, '')} 40 01 01 07`, ''),
      6,
      '40010107',
      /§5\.2/,
    ],
    [
      'an unknown well-known attribute beside MP_UNREACH_NLRI',
      body('', '80 0f 03 000201 40 63 00', ''),
      2,
      '406300',
      /well-known/,
    ],
  ];
  for (const [name, bytes, subcode, data, words, context] of rows) {
    test(name, () => {
      const update = splitUpdate(bytes, context ?? external);
      assert.ok(!update.ok);
      assert.deepEqual([update.error.code, update.error.subcode, toHex(update.error.data)], [3, subcode, data]);
      assert.match(update.error.text, words);
    });
  }
});

describe('splitUpdate', () => {
  test('treats as withdrawn what comes with a list that is cut short', () => {
    const update = split(body('', `${whole} c0 08`, '18 0a0102'));
    assert.match(update.treatAsWithdraw ?? '', /RFC 7606 §4/);
    assert.deepEqual(
      update.reachable.map(({ nlri }) => prefixesOf(nlri)),
      [['10.1.2.0/24']],
    );
  });

  const noHosts: readonly (readonly [string, string])[] = [
    ['::', '00'.repeat(16)],
    ['::1', `${'00'.repeat(15)}01`],
    ['ff02::1', `ff02${'00'.repeat(13)}01`],
  ];
  for (const [name, hop] of noHosts) {
    test(`withdraws what comes with next hop ${name}`, () => {
      const update = split(body('', `${reach6(hop)} ${ORIGIN} ${AS_PATH}`, ''));
      assert.match(update.treatAsWithdraw ?? '', /is not a host address/);
      assert.deepEqual(update.withdrawn.flatMap(prefixesOf), ['2001:db8::/32']);
      assert.deepEqual(update.reachable, []);
    });
  }

  const hops: readonly (readonly [string, string, object])[] = [
    ['a global address', GLOBAL, { global: '2001:db8::1', linkLocal: undefined }],
    ['a link-local address alone', LINK_LOCAL, { global: 'fe80::1', linkLocal: 'fe80::1' }],
    ['both', GLOBAL + LINK_LOCAL, { global: '2001:db8::1', linkLocal: 'fe80::1' }],
    ['FRR unnumbered: :: and link-local', '00'.repeat(16) + LINK_LOCAL, { global: 'fe80::1', linkLocal: 'fe80::1' }],
    ['link-local twice', LINK_LOCAL + LINK_LOCAL, { global: 'fe80::1', linkLocal: 'fe80::1' }],
    ['a second address that is not link-local', GLOBAL + GLOBAL, { global: '2001:db8::1', linkLocal: undefined }],
  ];
  for (const [name, hop, expected] of hops) {
    test(`reads a next hop of ${name}`, () => {
      const update = split(body('', `${reach6(hop)} ${ORIGIN} ${AS_PATH}`, ''));
      assert.deepEqual(update.reachable[0]?.nextHop, expected);
    });
  }

  test('RFC 8950: takes an IPv6 next hop for IPv4 where it was negotiated', () => {
    const reach = attribute('80 0e', `0001 01 10 ${GLOBAL} 00 18 0a0102`);
    const update = split(body('', `${reach} ${ORIGIN} ${AS_PATH}`, ''), { ...external, extendedNextHop: true });
    assert.deepEqual(
      update.reachable.map(({ nlri }) => prefixesOf(nlri)),
      [['10.1.2.0/24']],
    );
    assert.equal(update.reachable[0]?.nextHop?.global, '2001:db8::1');
  });

  test('takes IPv4 in MP_REACH_NLRI and MP_UNREACH_NLRI as well', () => {
    const reach = attribute('80 0e', '0001 01 04 c0000201 00 18 0a0102');
    const update = split(body('', `${attribute('80 0f', '0001 01 10 0a63')} ${reach} ${ORIGIN} ${AS_PATH}`, ''));
    assert.deepEqual(update.withdrawn.flatMap(prefixesOf), ['10.99.0.0/16']);
    assert.equal(update.reachable[0]?.nextHop?.global, '192.0.2.1');
  });

  const mixed: readonly (readonly [string, string])[] = [
    ['first', `${reach6()} ${attribute('80 0f', '0002 01')} ${whole}`],
    ['last', `${whole} ${attribute('80 0f', '0002 01')} ${reach6()}`],
    ['between', `${ORIGIN} ${reach6()} ${AS_PATH} ${attribute('80 0f', '0002 01')} ${NEXT_HOP}`],
    ['on both ends', `${attribute('80 0f', '0002 01')} ${whole} ${reach6()}`],
  ];
  for (const [where, attributes] of mixed) {
    test(`takes out MP_REACH_NLRI and MP_UNREACH_NLRI that stand ${where}; both families in one message`, () => {
      const update = split(body('', attributes, '18 0a0102'));
      assert.equal(toHex(update.attributes), toHex(hex(whole)));
      assert.deepEqual(
        update.reachable.map(({ nlri, nextHop }) => [prefixesOf(nlri), nextHop?.global]),
        [
          [['2001:db8::/32'], '2001:db8::1'],
          [['10.1.2.0/24'], undefined],
        ],
      );
      assert.equal(update.endOfRib, undefined);
    });
  }

  test('copies nothing where the attributes are one run', () => {
    const bytes = body('', `${reach6()} ${whole}`, '18 0a0102');
    const update = split(bytes);
    assert.equal(update.attributes.buffer, bytes.buffer);
    assert.ok(update.reachable.every(({ nlri }) => nlri.bytes.buffer === bytes.buffer));
  });

  const ends: readonly (readonly [string, Uint8Array, 'ipv4' | 'ipv6' | undefined, WireContext])[] = [
    ['ipv4 by an empty UPDATE', body('', '', ''), 'ipv4', external],
    ['ipv6 by an empty MP_UNREACH_NLRI', body('', '80 0f 03 000201', ''), 'ipv6', external],
    ['ipv4 by an empty MP_UNREACH_NLRI', body('', '80 0f 03 000101', ''), 'ipv4', external],
    ['ipv6 with extended length', body('', '90 0f 0003 000201', ''), 'ipv6', external],
    ['nothing when ipv4 was not negotiated', body('', '', ''), undefined, only6],
    ['nothing when ipv6 was not negotiated', body('', '80 0f 03 000201', ''), undefined, only4],
    ['nothing when something is withdrawn', body('10 0a63', '80 0f 03 000201', ''), undefined, external],
    ['nothing when there are other attributes', body('', `80 0f 03 000201 ${ORIGIN}`, ''), undefined, external],
  ];
  for (const [name, bytes, family, context] of ends)
    test(`End-of-RIB: ${name}`, () => assert.equal(split(bytes, context).endOfRib, family));

  const foreign: readonly (readonly [string, Uint8Array, WireContext])[] = [
    ['routes of ipv4', body('', whole, '18 0a0102'), only6],
    ['withdrawn routes of ipv4', body('18 0a0102', '', ''), only6],
    ['MP_REACH_NLRI of family 2/1', body('', `${reach6()} ${whole}`, ''), only4],
    ['MP_UNREACH_NLRI of family 2/1', body('', attribute('80 0f', `0002 01 ${PREFIX6}`), ''), only4],
    ['MP_REACH_NLRI of family 25/70', body('', attribute('80 0e', '0019 46 02 ffff 00 deadbeef'), ''), external],
    ['MP_UNREACH_NLRI of family 1/128', body('', attribute('80 0f', '0001 80 ff'), ''), external],
  ];
  for (const [name, bytes, context] of foreign) {
    test(`leaves out ${name}, which was not negotiated`, () => {
      const update = split(bytes, context);
      assert.deepEqual([update.withdrawn, update.reachable], [[], []]);
      assert.deepEqual(update.ignored, [`${name}, which was not negotiated`]);
    });
  }

  test('keeps the session when the attributes of routes that are left out are malformed', () => {
    const update = split(body('', `${reach6()} 40 01 01 07`, ''), only4);
    assert.deepEqual(update.reachable, []);
  });
});
