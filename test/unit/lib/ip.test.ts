import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addressAt,
  addressBytes,
  addressFromBytes,
  checkPrefix,
  comparePrefixes,
  contains,
  hostPrefix,
  inPrefixOrder,
  overlaps,
  parseAddress,
  parsePrefix,
  prefixOf,
  prefixSize,
  type IpAddress,
  type Prefix,
} from '#lib/ip.ts';

const address = (text: string): IpAddress => {
  const parsed = parseAddress(text);
  assert.ok(parsed, text);
  return parsed;
};
const prefix = (text: string): Prefix => {
  const parsed = parsePrefix(text);
  assert.ok(parsed, text);
  return parsed;
};

const canonical: readonly [string, string][] = [
  ['10.0.0.1', '10.0.0.1'],
  ['0.0.0.0', '0.0.0.0'],
  ['255.255.255.255', '255.255.255.255'],
  ['::', '::'],
  ['::1', '::1'],
  ['1::', '1::'],
  ['FD00:0:0:1:0:0:0:A', 'fd00:0:0:1::a'],
  ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['::ffff:192.0.2.1', '::ffff:c000:201'],
  ['fe80::ecee:eeff:feee:eeee', 'fe80::ecee:eeff:feee:eeee'],
];
for (const [text, expected] of canonical) {
  test(`the address ${text} is written ${expected} (RFC 5952)`, () => {
    assert.equal(parseAddress(text), expected);
    assert.equal(addressFromBytes(addressBytes(address(text))), expected);
  });
}

const notAddresses = [
  '',
  '1.2.3',
  '1.2.3.4.5',
  '1.2.3.256',
  '01.2.3.4',
  '1.2.3.4 ',
  ' 1.2.3.4',
  '0x1.2.3.4',
  ':',
  ':::',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '1::2::3',
  '12345::',
  'fe80::1%eth0',
  '::1.2.3',
  '1.2.3.4::',
  'g::',
  '1:2:3:4:5:6:7:8::',
  '::1:2:3:4:5:6:7:8',
];
for (const text of notAddresses) {
  test(`"${text}" is no address`, () => assert.equal(parseAddress(text), undefined));
}

test('a prefix with host bits says which prefix was probably meant', () => {
  assert.deepEqual(checkPrefix('10.60.1.5/26'), { ok: false, error: { kind: 'hostBits', meant: '10.60.1.0/26' } });
  assert.deepEqual(checkPrefix('fd00::1/64'), { ok: false, error: { kind: 'hostBits', meant: 'fd00::/64' } });
});

test('a prefix that is too long for its family says what the longest is', () => {
  assert.deepEqual(checkPrefix('10.0.0.0/33'), { ok: false, error: { kind: 'length', longest: 32 } });
  assert.deepEqual(checkPrefix('::/129'), { ok: false, error: { kind: 'length', longest: 128 } });
});

for (const text of ['10.0.0.0', '10.0.0.0/', '10.0.0.0/x', '10.0.0.0/-1', '10.0.0.0/08', '/8', '10.0.0/8', '']) {
  test(`"${text}" is no prefix`, () =>
    assert.deepEqual(checkPrefix(text), { ok: false, error: { kind: 'notAPrefix' } }));
}

test('containment knows families, lengths and odd bit boundaries', () => {
  assert.ok(contains(prefix('10.60.0.0/15'), address('10.61.255.255')));
  assert.ok(!contains(prefix('10.60.0.0/15'), address('10.62.0.0')));
  assert.ok(contains(prefix('10.60.1.0/26'), prefix('10.60.1.0/26')));
  assert.ok(!contains(prefix('10.60.1.0/26'), prefix('10.60.1.0/25')));
  assert.ok(contains(prefix('0.0.0.0/0'), prefix('10.0.0.0/8')));
  assert.ok(!contains(prefix('::/0'), prefix('10.0.0.0/8')));
  assert.equal(prefixOf(address('fdff::1'), 7), 'fc00::/7');
  assert.ok(overlaps(prefix('10.60.0.0/16'), prefix('10.60.1.0/24')));
  assert.ok(overlaps(prefix('10.60.1.0/24'), prefix('10.60.0.0/16')));
  assert.ok(!overlaps(prefix('10.60.0.0/24'), prefix('10.60.1.0/24')));
});

test('addresses of a prefix are counted from its network address', () => {
  assert.equal(addressAt(prefix('10.60.1.0/26'), 63n), '10.60.1.63');
  assert.equal(addressAt(prefix('fd60:1::/122'), 63n), 'fd60:1::3f');
  assert.equal(prefixSize(prefix('10.60.1.0/26')), 64n);
  assert.equal(prefixSize(prefix('::/0')), 1n << 128n);
  assert.equal(hostPrefix(address('fd60:1::5')), 'fd60:1::5/128');
});

test('prefixes sort by family, then value, then length', () => {
  const unsorted = ['fd00::/8', '10.0.0.0/16', '9.0.0.0/8', '10.0.0.0/8'].map(prefix);
  const sorted = ['9.0.0.0/8', '10.0.0.0/8', '10.0.0.0/16', 'fd00::/8'];
  assert.deepEqual(unsorted.toSorted(comparePrefixes), sorted);
  assert.deepEqual(
    inPrefixOrder(unsorted, (it) => it),
    sorted,
  );
});
