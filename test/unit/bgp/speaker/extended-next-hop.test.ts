// RFC 8950: IPv4 routes over IPv6 sessions.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Network, asn, intent, ip, kernelView, peerIntent, prefix } from './network.ts';
import type { Node } from './network.ts';

const over = (ours: string, theirs: string, ourAsn: number, theirAsn: number) =>
  peerIntent({
    name: 'other',
    address: ip(theirs),
    sourceAddress: ip(ours),
    localAsn: asn(ourAsn),
    peerAsn: asn(theirAsn),
  });

async function pair(
  addresses: readonly [string, string],
  views: readonly [readonly string[], readonly string[]],
): Promise<{ network: Network; a: Node; b: Node }> {
  const network = new Network();
  const [a, b] = [network.node('a'), network.node('b')];
  a.speaker.setKernelView(kernelView([views[0]]));
  b.speaker.setKernelView(kernelView([views[1]]));
  a.speaker.apply(
    intent({
      peers: [over(addresses[0], addresses[1], 65001, 65002)],
      announcements: [{ prefix: prefix('10.60.1.0/26'), source: 'block' }],
    }),
    1,
  );
  b.speaker.apply(
    intent({
      asn: asn(65002),
      routerId: ip('10.255.0.2'),
      peers: [over(addresses[1], addresses[0], 65002, 65001)],
      announcements: [{ prefix: prefix('198.51.100.0/24'), source: 'block' }],
    }),
    1,
  );
  await network.advance(200);
  return { network, a, b };
}

test('without an IPv4 address on the link IPv4 routes go by IPv6 next hops, both ways', async () => {
  const { a, b } = await pair(['2001:db8::1', '2001:db8::2'], [['2001:db8::1/64'], ['2001:db8::2/64']]);
  assert.deepEqual(Object.fromEntries(a.kernel), { '198.51.100.0/24': ['2001:db8::2%1'] });
  assert.deepEqual(Object.fromEntries(b.kernel), { '10.60.1.0/26': ['2001:db8::1%1'] });
  assert.deepEqual(a.facts?.peers[0]?.noNextHop, []);
  assert.equal(a.rows('announced')[0]?.nextHop, '2001:db8::1');
});

test('an IPv4 address that comes to the link becomes the next hop, and one that goes is replaced: UPDATEs only', async () => {
  const { network, a, b } = await pair(
    ['2001:db8::1', '2001:db8::2'],
    [['2001:db8::1/64'], ['2001:db8::2/64', '192.0.2.2/24']],
  );
  assert.deepEqual(b.kernel.get('10.60.1.0/26'), ['2001:db8::1%1']);
  assert.deepEqual(
    a.rows('received')[0]?.reason,
    'accepted: importPolicy All; not installed: next hop 192.0.2.2 is not reachable by a connected or static route',
  );
  a.speaker.setKernelView(kernelView([['2001:db8::1/64', '192.0.2.1/24']]));
  await network.settle();
  assert.deepEqual(b.kernel.get('10.60.1.0/26'), ['192.0.2.1%1']);
  assert.deepEqual(a.kernel.get('198.51.100.0/24'), ['192.0.2.2%1']);
  a.speaker.setKernelView(kernelView([['2001:db8::1/64']]));
  await network.settle();
  assert.deepEqual(b.kernel.get('10.60.1.0/26'), ['2001:db8::1%1']);
  assert.equal(a.session('other').lastReset, undefined);
});

test('an IPv4 session does not offer it, and a missing address is said', async () => {
  const { network, a } = await pair(['192.0.2.1', '192.0.2.2'], [['192.0.2.1/24'], ['192.0.2.2/24']]);
  await network.settle();
  assert.equal(a.session('other').context?.extendedNextHop, false);
  assert.deepEqual(a.facts?.peers[0]?.noNextHop, ['ipv6']);
});
