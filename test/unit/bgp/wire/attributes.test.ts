import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeAttributes, encodeAttributes } from '#bgp/wire/attributes.ts';
import type { PathAttributes, WireContext } from '#bgp/wire/messages.ts';
import type { IpAddress } from '#lib/ip.ts';
import {
  AS_PATH,
  AS_PATH_2,
  LOCAL_PREF,
  NEXT_HOP,
  ORIGIN,
  external,
  hex,
  internal,
  toHex,
  twoOctet,
} from './contexts.ts';

const whole = `${ORIGIN} ${AS_PATH} ${NEXT_HOP}`;
const classic = { hasClassicNlri: true };
const decode = (attributes: string, context: WireContext = external) =>
  decodeAttributes(hex(attributes), context, classic);

/** What has to be left out of `whole` to make room for another version of it. */
const instead = (code: number, attribute: string): string =>
  [ORIGIN, AS_PATH, NEXT_HOP, attribute].filter((_one, i) => i + 1 !== code).join(' ');

describe('treat as withdraw', () => {
  /** Name, attributes, the subcode of RFC 4271 §6.3, words that the reason has. */
  const rows: readonly (readonly [string, string, number, RegExp, WireContext?])[] = [
    ['ORIGIN missing', `${AS_PATH} ${NEXT_HOP}`, 3, /ORIGIN is missing \(RFC 7606 §3\(d\)\)/],
    ['AS_PATH missing', `${ORIGIN} ${NEXT_HOP}`, 3, /AS_PATH is missing/],
    ['NEXT_HOP missing', `${ORIGIN} ${AS_PATH}`, 3, /NEXT_HOP is missing/],
    ['OTC of three octets', `${whole} c0 23 03 00fc01`, 5, /ONLY_TO_CUSTOMER: length 3.*RFC 9234 §5/],
    ['OTC without the Transitive bit', `${whole} 80 23 04 0000fc01`, 4, /ONLY_TO_CUSTOMER: flags 0x80/],
    ['LOCAL_PREF missing from an internal peer', whole, 3, /LOCAL_PREF is missing/, internal],
    ['nothing at all', '', 3, /ORIGIN is missing/],
    ['ORIGIN of two octets', instead(1, '40 01 02 0000'), 5, /ORIGIN: length 2.*§7\.1/],
    ['ORIGIN of no octets', instead(1, '40 01 00'), 5, /ORIGIN: length 0/],
    ['ORIGIN 3', instead(1, '40 01 01 03'), 6, /ORIGIN: value 3/],
    ['ORIGIN with the Optional bit', instead(1, 'c0 01 01 00'), 4, /ORIGIN: flags 0xc0.*§3\(c\)/],
    ['ORIGIN without the Transitive bit', instead(1, '00 01 01 00'), 4, /ORIGIN: flags 0x00/],
    [
      'AS_PATH with an unknown segment type',
      instead(2, '40 02 06 05 01 0000fc01'),
      11,
      /AS_PATH: segment type 5.*§7\.2/,
    ],
    ['AS_PATH with segment type 0', instead(2, '40 02 06 00 01 0000fc01'), 11, /segment type 0/],
    ['AS_PATH with a segment beyond it', instead(2, '40 02 06 02 02 0000fc01'), 11, /longer than the attribute/],
    ['AS_PATH with one octet left', instead(2, '40 02 07 02 01 0000fc01 02'), 11, /one octet is left/],
    ['AS_PATH with an empty segment', instead(2, '40 02 08 02 01 0000fc01 02 00'), 11, /a segment is empty/],
    ['AS_PATH with AS 0', instead(2, '40 02 0a 02 02 0000fc01 00000000'), 11, /AS 0/],
    ['AS_PATH empty from an external peer', instead(2, '40 02 00'), 11, /empty from an external peer/],
    [
      'AS_PATH that does not begin with the peer',
      instead(2, '40 02 06 02 01 0000fc02'),
      11,
      /does not begin with AS 64513/,
    ],
    ['AS_PATH that begins with a set', instead(2, '40 02 06 01 01 0000fc01'), 11, /does not begin/],
    [
      'AS_PATH with a confederation from an external peer',
      instead(2, '40 02 0c 02 01 0000fc01 03 01 0000fc02'),
      11,
      /confederation/,
    ],
    ['NEXT_HOP of five octets', instead(3, '40 03 05 c000020100'), 5, /NEXT_HOP: length 5.*§7\.3/],
    ['NEXT_HOP of sixteen octets', instead(3, `40 03 10 ${'20'.repeat(16)}`), 5, /NEXT_HOP: length 16/],
    ['NEXT_HOP 0.0.0.0', instead(3, '40 03 04 00000000'), 8, /0\.0\.0\.0 is not a host address/],
    ['NEXT_HOP 127.0.0.1', instead(3, '40 03 04 7f000001'), 8, /127\.0\.0\.1/],
    ['NEXT_HOP 224.0.0.1', instead(3, '40 03 04 e0000001'), 8, /224\.0\.0\.1/],
    ['NEXT_HOP 255.255.255.255', instead(3, '40 03 04 ffffffff'), 8, /255\.255\.255\.255/],
    ['MULTI_EXIT_DISC of three octets', `${whole} 80 04 03 000000`, 5, /MULTI_EXIT_DISC: length 3.*§7\.4/],
    ['MULTI_EXIT_DISC with the Transitive bit', `${whole} c0 04 04 00000000`, 4, /MULTI_EXIT_DISC: flags/],
    ['LOCAL_PREF of two octets', `${whole} 40 05 02 0064`, 5, /LOCAL_PREF: length 2.*§7\.5/, internal],
    ['ATOMIC_AGGREGATE with the Optional bit', `${whole} c0 06 00`, 4, /ATOMIC_AGGREGATE: flags/],
    ['COMMUNITIES of no octets', `${whole} c0 08 00`, 5, /COMMUNITIES: length 0.*§7\.8/],
    ['COMMUNITIES of five octets', `${whole} c0 08 05 0000000000`, 5, /COMMUNITIES: length 5/],
    ['ORIGINATOR_ID of five octets', `${whole} ${LOCAL_PREF} 80 09 05 0a00000100`, 5, /ORIGINATOR_ID.*§7\.9/, internal],
    ['CLUSTER_LIST of no octets', `${whole} ${LOCAL_PREF} 80 0a 00`, 5, /CLUSTER_LIST.*§7\.10/, internal],
    ['EXTENDED COMMUNITIES of nine octets', `${whole} c0 10 09 000000000000000000`, 5, /EXTENDED.*§7\.14/],
    ['LARGE_COMMUNITY of eight octets', `${whole} c0 20 08 0000000000000000`, 5, /LARGE_COMMUNITY.*RFC 8092/],
    ['an attribute beyond the list', `${whole} c0 08 08 00000000`, 1, /cut short \(RFC 7606 §4\)/],
    ['two octets left', `${whole} c0 08`, 1, /cut short/],
    ['an extended length cut short', `${whole} d0 08 00`, 1, /cut short/],
  ];
  for (const [name, attributes, subcode, reason, context] of rows) {
    test(name, () => {
      const verdict = decode(attributes, context);
      assert.ok(verdict.kind === 'treatAsWithdraw', JSON.stringify(verdict));
      assert.match(verdict.text, reason);
      assert.deepEqual([verdict.reset.code, verdict.reset.subcode], [3, subcode]);
    });
  }

  test('the reset for a malformed attribute carries it, a missing one its code, a malformed AS_PATH nothing', () => {
    const data = (attributes: string): string => {
      const verdict = decode(attributes);
      return verdict.kind === 'treatAsWithdraw' ? toHex(verdict.reset.data) : verdict.kind;
    };
    assert.equal(data(instead(1, '40 01 01 03')), '40010103');
    assert.equal(data(`${ORIGIN} ${AS_PATH}`), '03');
    assert.equal(data(instead(2, '40 02 06 05 01 0000fc01')), '');
  });
});

describe('session reset', () => {
  test('an unknown well-known attribute, with the attribute', () => {
    const verdict = decode(`${whole} 40 63 01 07`);
    assert.ok(verdict.kind === 'reset');
    assert.deepEqual([verdict.reset.code, verdict.reset.subcode, toHex(verdict.reset.data)], [3, 2, '40630107']);
  });

  test('wins over treat as withdraw that came before it', () => {
    assert.equal(decode(`40 01 01 09 ${AS_PATH} ${NEXT_HOP} 00 63 00`).kind, 'reset');
  });
});

describe('discarded', () => {
  const as4Path = 'c0 11 06 02 01 fa56ea01';
  const rows: readonly (readonly [string, string, RegExp, WireContext?])[] = [
    ['LOCAL_PREF from an external peer', `${whole} ${LOCAL_PREF}`, /LOCAL_PREF: came from an external peer.*§7\.5/],
    [
      'LOCAL_PREF from an external peer, malformed as well',
      `${whole} c0 05 01 00`,
      /LOCAL_PREF: came from an external/,
    ],
    ['ORIGINATOR_ID from an external peer', `${whole} 80 09 04 0a000001`, /ORIGINATOR_ID.*§7\.9/],
    ['CLUSTER_LIST from an external peer', `${whole} 80 0a 04 0a000001`, /CLUSTER_LIST.*§7\.10/],
    ['ATOMIC_AGGREGATE of one octet', `${whole} 40 06 01 00`, /ATOMIC_AGGREGATE: length 1.*§7\.6/],
    [
      'AGGREGATOR of six octets between four-octet speakers',
      `${whole} c0 07 06 fc01 c0000201`,
      /AGGREGATOR: length 6.*§7\.7/,
    ],
    ['AGGREGATOR with AS 0', `${whole} c0 07 08 00000000 c0000201`, /AGGREGATOR: AS 0/],
    ['a second ORIGIN', `${whole} 40 01 01 02`, /ORIGIN: not the first one \(RFC 7606 §3\(g\)\)/],
    ['a second COMMUNITIES, malformed as well', `${whole} c0 08 04 fc010001 c0 08 01 00`, /COMMUNITIES: not the first/],
    ['a second unknown attribute', `${whole} c0 63 00 c0 63 00`, /attribute 99: not the first/],
    ['AS4_PATH between four-octet speakers', `${whole} ${as4Path}`, /AS4_PATH: came from a peer with four-octet/],
    ['AS4_AGGREGATOR between four-octet speakers', `${whole} c0 12 08 fa56ea01 c0000201`, /AS4_AGGREGATOR/],
    [
      'AS4_PATH of four octets',
      `${ORIGIN} ${AS_PATH_2} ${NEXT_HOP} c0 11 04 02 01 fa56`,
      /AS4_PATH: length 4.*RFC 6793/,
      twoOctet,
    ],
    [
      'AS4_PATH with AS 0',
      `${ORIGIN} ${AS_PATH_2} ${NEXT_HOP} c0 11 06 02 01 00000000`,
      /AS4_PATH: it contains AS 0/,
      twoOctet,
    ],
    [
      'AS4_AGGREGATOR with AS 0',
      `${ORIGIN} ${AS_PATH_2} ${NEXT_HOP} c0 12 08 00000000 c0000201`,
      /AS4_AGGREGATOR: AS 0/,
      twoOctet,
    ],
  ];
  for (const [name, attributes, reason, context] of rows) {
    test(`${name}: the rest is accepted`, () => {
      const verdict = decode(attributes, context);
      assert.ok(verdict.kind === 'accept', JSON.stringify(verdict));
      assert.equal(verdict.discarded.length, 1);
      assert.match(verdict.discarded[0] ?? '', reason);
      assert.equal(verdict.attributes.origin, 0);
      assert.equal(verdict.attributes.localPref, undefined);
      assert.deepEqual(verdict.attributes.asPath, [{ type: 2, asns: [64513] }]);
    });
  }
});

describe('accepted', () => {
  const accepted = (attributes: string, context?: WireContext): PathAttributes => {
    const verdict = decode(attributes, context);
    assert.ok(verdict.kind === 'accept', JSON.stringify(verdict));
    assert.deepEqual(verdict.discarded, []);
    return verdict.attributes;
  };

  test('attributes in any order', () => {
    assert.deepEqual(accepted(`${NEXT_HOP} ${AS_PATH} ${ORIGIN}`), accepted(whole));
  });

  test('extended length where a short one would do', () => {
    assert.deepEqual(accepted(`50 01 0001 00 ${AS_PATH} ${NEXT_HOP}`), accepted(whole));
  });

  test('the four low bits of the flags, and Partial, say nothing', () => {
    assert.deepEqual(accepted(`6f 01 01 00 ${AS_PATH} ${NEXT_HOP}`), accepted(whole));
  });

  test('an unknown optional transitive attribute is kept with Partial set, one that is not transitive is dropped', () => {
    const { unknown } = accepted(`${whole} c0 63 02 0708 80 64 01 00`);
    assert.deepEqual(
      unknown.map(({ code, bytes }) => [code, toHex(bytes)]),
      [[99, 'e063020708']],
    );
  });

  test('NEXT_HOP is left aside when all NLRI are in MP_REACH_NLRI, even a wrong one', () => {
    const verdict = decodeAttributes(hex(instead(3, '40 03 04 00000000')), external, { hasClassicNlri: false });
    assert.ok(verdict.kind === 'accept');
    assert.equal(verdict.attributes.nextHop, undefined);
  });

  test('a route server need not put its own AS in front', () => {
    const path = instead(2, '40 02 06 02 01 0000fc02');
    assert.equal(decode(path, { ...external, enforceFirstAs: false }).kind, 'accept');
  });

  test('an internal peer: empty AS_PATH, LOCAL_PREF, ORIGINATOR_ID, CLUSTER_LIST', () => {
    const attributes = accepted(
      `${ORIGIN} 40 02 00 ${NEXT_HOP} ${LOCAL_PREF} 80 09 04 0a000001 80 0a 08 0a000002 0a000003`,
      internal,
    );
    assert.deepEqual(attributes.asPath, []);
    assert.equal(attributes.localPref, 100);
    assert.equal(attributes.originatorId, 0x0a000001);
    assert.deepEqual(attributes.clusterList, [0x0a000002, 0x0a000003]);
  });
});

describe('AS numbers of four octets through a speaker with two (RFC 6793 §4.2.3)', () => {
  const segments = (rest: string): unknown => {
    const verdict = decode(`${ORIGIN} ${NEXT_HOP} ${rest}`, twoOctet);
    return verdict.kind === 'accept' ? verdict.attributes.asPath : verdict;
  };
  const rows: readonly (readonly [string, string, readonly unknown[]])[] = [
    ['no AS4_PATH', '40 02 06 02 02 fc01 5ba0', [{ type: 2, asns: [64513, 23456] }]],
    [
      'AS4_PATH shorter than AS_PATH: what is in front comes from AS_PATH',
      '40 02 08 02 03 fc01 5ba0 5ba0 c0 11 0a 02 02 fa56ea01 fa56ea02',
      [{ type: 2, asns: [64513, 4200000001, 4200000002] }],
    ],
    [
      'AS4_PATH longer than AS_PATH: ignored',
      '40 02 04 02 01 fc01 c0 11 0a 02 02 fa56ea01 fa56ea02',
      [{ type: 2, asns: [64513] }],
    ],
    [
      'a set counts one',
      '40 02 0c 02 02 fc01 5ba0 01 02 fc02 fc03 c0 11 10 02 01 fa56ea01 01 02 0000fc02 0000fc03',
      [
        { type: 2, asns: [64513, 4200000001] },
        { type: 1, asns: [64514, 64515] },
      ],
    ],
    [
      'an AGGREGATOR without AS_TRANS beside AS4_AGGREGATOR: AS4_PATH is ignored',
      '40 02 06 02 02 fc01 5ba0 c0 07 06 fc02 c0000202 c0 11 06 02 01 fa56ea01 c0 12 08 fa56ea01 c0000201',
      [{ type: 2, asns: [64513, 23456] }],
    ],
  ];
  for (const [name, rest, path] of rows) test(name, () => assert.deepEqual(segments(rest), path));

  test('AGGREGATOR with AS_TRANS takes the number of AS4_AGGREGATOR', () => {
    const verdict = decode(
      `${ORIGIN} ${AS_PATH_2} ${NEXT_HOP} c0 07 06 5ba0 c0000202 c0 12 08 fa56ea01 c0000202`,
      twoOctet,
    );
    assert.ok(verdict.kind === 'accept');
    assert.deepEqual(verdict.attributes.aggregator, { asn: 4200000001, address: '192.0.2.2' });
  });
});

describe('encodeAttributes', () => {
  const full: PathAttributes = {
    origin: 2,
    asPath: [{ type: 2, asns: [64513, 4200000001] }],
    nextHop: '192.0.2.1' as IpAddress,
    med: 7,
    localPref: 100,
    atomicAggregate: true,
    aggregator: { asn: 4200000001, address: '192.0.2.9' as IpAddress },
    communities: [0xffffff01],
    originatorId: 0x0a000001,
    clusterList: [0x0a000002],
    extendedCommunities: [hex('0002fc0100000007')],
    largeCommunities: [[1, 2, 3]],
    onlyToCustomer: 64500,
    unknown: [
      { code: 99, bytes: hex('e0630107') },
      { code: 36, bytes: hex('e0240400000001') },
    ],
  };

  test('writes codes in order, to an internal peer everything', () => {
    assert.equal(
      toHex(encodeAttributes(full, internal)),
      toHex(
        hex(`40010102 40020a 0202 0000fc01 fa56ea01 400304c0000201 80040400000007 40050400000064 400600
          c00708 fa56ea01c0000209 c00804ffffff01 8009040a000001 800a040a000002 c010080002fc0100000007
          c0200c000000010000000200000003 c023040000fbf4 e0240400000001 e0630107`),
      ),
    );
  });

  test('writes to an external peer no LOCAL_PREF, ORIGINATOR_ID and CLUSTER_LIST', () => {
    const bytes = encodeAttributes(full, { ...external, enforceFirstAs: false });
    const verdict = decodeAttributes(bytes, external, classic);
    assert.ok(verdict.kind === 'accept');
    assert.deepEqual(verdict.discarded, []);
    assert.deepEqual(
      [verdict.attributes.localPref, verdict.attributes.originatorId, verdict.attributes.clusterList],
      [undefined, undefined, []],
    );
  });

  test('writes AS_TRANS, AS4_PATH and AS4_AGGREGATOR to a peer with two octets, only where they are needed', () => {
    const written = toHex(encodeAttributes(full, twoOctet));
    assert.ok(written.includes('4002060202fc015ba0'));
    assert.ok(written.includes('c007065ba0c0000209'));
    assert.ok(written.includes('c0110a02020000fc01fa56ea01'));
    assert.ok(written.includes('c01208fa56ea01c0000209'));
    const small = { ...full, asPath: [{ type: 2 as const, asns: [64513] }], aggregator: undefined };
    assert.ok(!toHex(encodeAttributes(small, twoOctet)).includes('c011'));
  });

  test('leaves an IPv6 next hop to MP_REACH_NLRI', () => {
    const bytes = encodeAttributes({ ...full, nextHop: '2001:db8::1' as IpAddress }, internal);
    assert.ok(!toHex(bytes).includes('4003'));
  });

  test('uses two octets of length above 255', () => {
    const communities = Array.from({ length: 64 }, (_unused, i) => i);
    assert.ok(toHex(encodeAttributes({ ...full, communities }, internal)).includes('d0080100'));
  });
});
