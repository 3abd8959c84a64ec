import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IpAddress, Prefix } from '#lib/ip.ts';
import type { KernelRoute, KernelView } from '#dataplane/kernel-view.ts';
import { NextHops } from '#bgp/rib/next-hops.ts';
import { kernelView } from '../speaker/network.ts';

const address = (text: string): IpAddress => text as IpAddress;
const route = (prefix: string, gateway: string | undefined, interfaceIndex: number, metric: number): KernelRoute => ({
  prefix: prefix as Prefix,
  gateway: gateway as IpAddress | undefined,
  interfaceIndex,
  metric,
  protocol: 4,
});
const base = kernelView([['192.0.2.1/24', '2001:db8::1/64', 'fe80::1/64'], ['203.0.113.1/24']]);
const view: KernelView = {
  interfaces: [...base.interfaces, { index: 9, name: 'fr0', up: true, mtu: 1500, pod: true, addresses: [] }],
  routes: [
    ...base.routes,
    route('0.0.0.0/0', '192.0.2.254', 1, 100),
    route('198.51.100.0/24', '192.0.2.7', 1, 50),
    route('198.51.100.0/24', '203.0.113.7', 2, 40),
    route('198.51.100.128/25', '192.0.2.8', 1, 60),
    route('10.60.1.9/32', undefined, 9, 0),
  ],
};

const rows: readonly (readonly [string, string, string | undefined])[] = [
  ['a connected address is its own gateway', '192.0.2.9', '192.0.2.9%1 metric 0'],
  ['of the other family too', '2001:db8::9', '2001:db8::9%1 metric 0'],
  ['a static route gives its gateway, the lowest metric first', '198.51.100.1', '203.0.113.7%2 metric 40'],
  ['the longest match wins over the metric', '198.51.100.200', '192.0.2.8%1 metric 60'],
  ['a default route resolves nothing', '8.8.8.8', undefined],
  ['an address of ours is no next hop', '192.0.2.1', undefined],
  ['nothing resolves through a pod', '10.60.1.9', undefined],
  ['link-local goes out by the interface of the session', 'fe80::9', 'fe80::9%1 metric 0'],
];

for (const [name, nextHop, expected] of rows)
  test(name, () => {
    const hops = new NextHops();
    hops.setView(view);
    const id = hops.intern({ global: address(nextHop), linkLocal: undefined }, { localAddress: address('192.0.2.1') });
    const resolution = hops.resolution(id);
    const text = resolution.ok
      ? `${resolution.hop.gateway}%${resolution.hop.interfaceIndex} metric ${resolution.metric}`
      : undefined;
    assert.equal(text, expected);
    if (!resolution.ok) assert.match(resolution.reason, /^next hop .+/);
  });

test('a changed view names the next hops whose answer changed, and only those', () => {
  const hops = new NextHops();
  assert.deepEqual(hops.setView(view), []);
  const near = hops.intern(
    { global: address('192.0.2.9'), linkLocal: undefined },
    { localAddress: address('192.0.2.1') },
  );
  const far = hops.intern(
    { global: address('203.0.113.9'), linkLocal: undefined },
    { localAddress: address('192.0.2.1') },
  );
  assert.deepEqual(hops.setView({ ...view, interfaces: [...view.interfaces] }), []);
  const down = view.interfaces.map((link) => (link.index === 2 ? { ...link, up: false } : link));
  assert.deepEqual(hops.setView({ ...view, interfaces: down }), [far]);
  assert.deepEqual([hops.resolution(near).ok, hops.resolution(far).ok], [true, false]);
  assert.deepEqual(hops.setView(view), [far]);
});

test('a next hop lives as long as somebody refers to it', () => {
  const hops = new NextHops();
  const nextHop = { global: address('192.0.2.9'), linkLocal: undefined };
  const id = hops.intern(nextHop, { localAddress: address('192.0.2.1') });
  hops.retain(id);
  hops.release(id);
  assert.equal(hops.address(id), '192.0.2.9');
  hops.release(id);
  assert.equal(hops.address(id), undefined);
  assert.equal(hops.resolution(id).ok, false);
});

const twoLinks = kernelView([['fe80::1/64'], ['fe80::1/64', '2001:db8::1/64']]);
const gateway = (nextHop: Parameters<NextHops['intern']>[0], session: Parameters<NextHops['intern']>[1]): string => {
  const hops = new NextHops();
  hops.setView(twoLinks);
  const resolution = hops.resolution(hops.intern(nextHop, session));
  return resolution.ok ? `${resolution.hop.gateway}%${resolution.hop.interfaceIndex}` : resolution.reason;
};

test('the session says on which link a link-local next hop is, when several have our address', () => {
  const nextHop = { global: address('fe80::9'), linkLocal: address('fe80::9') };
  const localAddress = address('fe80::1');
  assert.equal(gateway(nextHop, { localAddress, interfaceIndex: 1 }), 'fe80::9%1');
  assert.equal(gateway(nextHop, { localAddress, interfaceIndex: 2 }), 'fe80::9%2');
  assert.match(gateway(nextHop, { localAddress, interfaceIndex: 3 }), /no interface that is up/);
});

test('over link-local addresses the link-local next hop is taken, otherwise the global one', () => {
  const nextHop = { global: address('2001:db8::9'), linkLocal: address('fe80::9') };
  assert.equal(gateway(nextHop, { localAddress: address('fe80::1'), interfaceIndex: 2 }), 'fe80::9%2');
  assert.equal(gateway(nextHop, { localAddress: address('2001:db8::1') }), '2001:db8::9%2');
});

test('the same link-local address on two links is two next hops', () => {
  const hops = new NextHops();
  hops.setView(twoLinks);
  const nextHop = { global: address('fe80::9'), linkLocal: address('fe80::9') };
  const ids = [1, 2].map((interfaceIndex) =>
    hops.intern(nextHop, { localAddress: address('fe80::1'), interfaceIndex }),
  );
  assert.notEqual(ids[0], ids[1]);
});

test('the gateways of a peer are its own address and what only its paths name', () => {
  const hops = new NextHops();
  hops.setView(view);
  const learn = (peer: string, nextHop: string): number =>
    hops.intern({ global: address(nextHop), linkLocal: undefined }, { localAddress: address('192.0.2.1'), peer });
  const of = (peer: string, own: string): string[] =>
    hops
      .gatewaysOf(peer, address(own), undefined)
      .map(({ gateway, interfaceIndex }) => `${gateway}%${interfaceIndex}`)
      .sort();
  assert.deepEqual(of('tor-a', '192.0.2.9'), ['192.0.2.9%1'], 'before a path has come');
  assert.deepEqual(of('tor-a', '198.51.100.1'), [], 'a peer behind a router');
  learn('tor-a', '192.0.2.9');
  learn('tor-a', 'fe80::9');
  const third = learn('tor-a', '192.0.2.30');
  assert.deepEqual(of('tor-a', '192.0.2.9'), ['192.0.2.30%1', '192.0.2.9%1', 'fe80::9%1']);
  // A third router, and the gateway behind which it is.
  learn('tor-b', '192.0.2.30');
  learn('tor-b', '192.0.2.9');
  assert.deepEqual(of('tor-a', '192.0.2.9'), ['192.0.2.9%1', 'fe80::9%1']);
  assert.deepEqual(of('tor-b', '192.0.2.10'), ['192.0.2.10%1']);
  hops.release(third);
  assert.ok(hops.isOnLink(address('192.0.2.9'), undefined));
  assert.ok(hops.isOnLink(address('fe80::1234'), 2));
  assert.ok(!hops.isOnLink(address('198.51.100.1'), undefined));
});
