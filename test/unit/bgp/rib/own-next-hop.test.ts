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
      { localAddress: ip(localAddress), remoteAddress: ip(remoteAddress) },
      kernelView([addresses]),
    );
    const text = found === undefined ? undefined : [found.global, found.linkLocal].filter(Boolean).join(' ');
    assert.equal(text, expected);
  });
