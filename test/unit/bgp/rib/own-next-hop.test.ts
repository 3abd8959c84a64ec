import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Family } from '#lib/ip.ts';
import { ownNextHop } from '#bgp/rib/own-next-hop.ts';
import { ip, kernelView } from '../speaker/network.ts';

const nextHopRows: readonly (readonly [string, Family, string, string, readonly string[], string | undefined])[] = [
  ['the local address', 'ipv4', '192.0.2.1', '192.0.2.2', ['192.0.2.1/24'], '192.0.2.1'],
  [
    'the other family of the interface',
    'ipv6',
    '192.0.2.1',
    '192.0.2.2',
    ['192.0.2.1/24', '2001:db8::1/64'],
    '2001:db8::1',
  ],
  [
    'link-local beside it on link',
    'ipv6',
    '192.0.2.1',
    '192.0.2.2',
    ['192.0.2.1/24', '2001:db8::1/64', 'fe80::1/64'],
    '2001:db8::1 fe80::1',
  ],
  [
    'no link-local for a peer behind a router',
    'ipv6',
    '2001:db8::1',
    '2001:db8:9::2',
    ['2001:db8::1/64', 'fe80::1/64'],
    '2001:db8::1',
  ],
  ['nothing of the family', 'ipv6', '192.0.2.1', '192.0.2.2', ['192.0.2.1/24', 'fe80::1/64'], undefined],
  ['never a mapped address', 'ipv6', '192.0.2.1', '192.0.2.2', ['192.0.2.1/24', '::ffff:c000:201/128'], undefined],
  ['an interface that is not known', 'ipv6', '192.0.2.5', '192.0.2.2', ['192.0.2.1/24', '2001:db8::1/64'], undefined],
  ['the local address even then', 'ipv4', '192.0.2.5', '192.0.2.2', ['192.0.2.1/24'], '192.0.2.5'],
];

for (const [name, family, localAddress, remoteAddress, addresses, expected] of nextHopRows)
  test(`own next hop: ${name}`, () => {
    const found = ownNextHop(
      family,
      { localAddress: ip(localAddress), remoteAddress: ip(remoteAddress), context: {} },
      kernelView([addresses]),
    );
    const text = found === undefined ? undefined : [found.global, found.linkLocal].filter(Boolean).join(' ');
    assert.equal(text, expected);
  });

const extendedRows: readonly (readonly [string, Family, string, string, readonly string[], string | undefined])[] = [
  [
    'an IPv4 address in a subnet comes first',
    'ipv4',
    '2001:db8::1',
    '2001:db8::2',
    ['2001:db8::1/64', '192.0.2.1/24'],
    '192.0.2.1',
  ],
  [
    'an IPv4 host address does not',
    'ipv4',
    '2001:db8::1',
    '2001:db8::2',
    ['2001:db8::1/64', '192.0.2.1/32'],
    '2001:db8::1',
  ],
  [
    'no IPv4 address: both IPv6 ones',
    'ipv4',
    '2001:db8::1',
    '2001:db8::2',
    ['2001:db8::1/64', 'fe80::1/64'],
    '2001:db8::1 fe80::1',
  ],
  ['link-local alone', 'ipv4', 'fe80::1', 'fe80::2', ['fe80::1/64'], 'fe80::1'],
  ['over link-local IPv6 comes first', 'ipv4', 'fe80::1', 'fe80::2', ['fe80::1/64', '192.0.2.1/24'], 'fe80::1'],
  ['an IPv4 session has its own', 'ipv4', '192.0.2.1', '192.0.2.2', ['192.0.2.1/24', 'fe80::1/64'], '192.0.2.1'],
];

for (const [name, family, localAddress, remoteAddress, addresses, expected] of extendedRows)
  test(`own next hop with RFC 8950: ${name}`, () => {
    // The same link-local address on two links: the session's interface says which.
    const found = ownNextHop(
      family,
      {
        localAddress: ip(localAddress),
        remoteAddress: ip(remoteAddress),
        context: { extendedNextHop: true },
        ...(localAddress.startsWith('fe80') ? { interfaceIndex: 2 } : {}),
      },
      kernelView([localAddress.startsWith('fe80') ? ['fe80::1/64', '198.51.100.1/24'] : [], addresses]),
    );
    const text = found === undefined ? undefined : [found.global, found.linkLocal].filter(Boolean).join(' ');
    assert.equal(text, expected);
  });

test('own next hop: without RFC 8950 an IPv6 session announces IPv4 by an address of the interface or not at all', () => {
  const session = { localAddress: ip('2001:db8::1'), remoteAddress: ip('2001:db8::2'), context: {} };
  const view = (...addresses: string[]) => kernelView([['2001:db8::1/64', ...addresses]]);
  assert.equal(ownNextHop('ipv4', session, view('192.0.2.1/32'))?.global, '192.0.2.1');
  assert.equal(ownNextHop('ipv4', session, view()), undefined);
});
