import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IpAddress } from '#lib/ip.ts';
import { advertisement, decodeDiscovery, solicitation } from '#bgp/discovery/messages.ts';

const linkLocal = 'fe80::1' as IpAddress;
const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));

const rows: readonly (readonly [string, string, string, number | string])[] = [
  ['ours', Buffer.from(advertisement).toString('hex'), 'fe80::1', 134],
  ['our solicitation', Buffer.from(solicitation).toString('hex'), 'fe80::1', 133],
  ['a solicitation of a host without an address', '85 00 0000 00000000', '::', 133],
  ['an advertisement with options', '86 00 0000 40 00 0708 00000000 00000000 05 01 0000 000005dc', 'fe80::1', 134],
  [
    'options that this program does not know',
    '86 00 0000 40 00 0708 00000000 00000000 fe 02 0000 00000000 0000000000000000',
    'fe80::1',
    134,
  ],
  ['another type', '88 00 0000 00000000', 'fe80::1', 'ICMPv6 type 136'],
  ['nothing', '', 'fe80::1', 'ICMPv6 type undefined'],
  ['a code', '86 01 0000 40 00 0708 00000000 00000000', 'fe80::1', 'code 1'],
  ['a header cut short', '86 00 0000 40 00 0708 00000000', 'fe80::1', '12 octets'],
  ['an option of length 0', '86 00 0000 40 00 0708 00000000 00000000 05 00', 'fe80::1', 'option 5 of 0 octets'],
  ['an option cut short', '86 00 0000 40 00 0708 00000000 00000000 05 01 0000', 'fe80::1', 'option 5 of 8 octets'],
  ['an option without its length', '86 00 0000 40 00 0708 00000000 00000000 05', 'fe80::1', 'option 5 of 0 octets'],
  [
    'a source that is not link-local',
    '86 00 0000 40 00 0708 00000000 00000000',
    '2001:db8::1',
    'advertisement from 2001:db8::1',
  ],
];

for (const [name, hex, source, expected] of rows)
  test(`a discovery message: ${name}`, () => {
    const decoded = decodeDiscovery(bytes(hex), source as IpAddress);
    assert.equal(decoded.ok ? decoded.value : decoded.error, expected);
  });

test('cut at every length an advertisement is never read beyond its end', () => {
  const whole = bytes('86 00 0000 40 00 0708 00000000 00000000 05 01 0000 000005dc');
  for (let length = 0; length < whole.length; length++) {
    const decoded = decodeDiscovery(whole.slice(0, length), linkLocal);
    assert.equal(decoded.ok, length === 16, `${length} octets`);
  }
});

test('ours makes nobody a default router and says nothing else', () => {
  assert.deepEqual([...advertisement], [134, 0, ...Array.from({ length: 14 }, () => 0)]);
});
