// What a peer, the kernel or an operator can do at the wrong moment: in the middle of a sweep, before a decision, too often.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Asn, Family } from '#lib/ip.ts';
import type { BgpIntent, PeerIntent } from '#bgp/engine.ts';
import type { SessionDown } from '#bgp/io/session-port.ts';
import { AdjRibOut } from '#bgp/rib/adj-rib-out.ts';
import { FamilyRib } from '#bgp/rib/family-rib.ts';
import { encodeAttributes } from '#bgp/wire/attributes.ts';
import { encodeRouteRefresh } from '#bgp/wire/message.ts';
import type { WireContext } from '#bgp/wire/messages.ts';
import { UpdateWriter } from '#bgp/wire/update-writer.ts';
import type { Node } from './network.ts';
import { type FakeSession, Network, asn, intent, ip, kernelView, peerIntent, prefix } from './network.ts';
import { noAttributes } from '#bgp/wire/messages.ts';

const context: WireContext = {
  fourOctetAs: true,
  external: true,
  families: ['ipv4', 'ipv6'],
  maximumMessageBytes: 4096,
  peerAsn: 65002 as Asn,
};

/** UPDATEs that announce /32s from `first`, `count` of them; `set` makes the attributes differ. */
function announce(first: number, count: number, set = 0): Uint8Array {
  const writer = new UpdateWriter(context);
  const attributes = encodeAttributes(
    {
      ...noAttributes,
      asPath: [{ type: 2, asns: [65002, 100 + set] }],
      nextHop: ip('192.0.2.2'),
    },
    context,
  );
  writer.beginReach(attributes, 'ipv4', undefined);
  for (let i = first; i < first + count; i++) writer.prefix4((0x14000000 + i) >>> 0, 32);
  return writer.take();
}

function withdraw(first: number, count: number): Uint8Array {
  const writer = new UpdateWriter(context);
  writer.beginWithdraw('ipv4');
  for (let i = first; i < first + count; i++) writer.prefix4((0x14000000 + i) >>> 0, 32);
  return writer.take();
}

function endOfRib(family: Family): Uint8Array {
  const writer = new UpdateWriter(context);
  writer.endOfRib(family);
  return writer.take();
}

const refresh = (subtype: number): Uint8Array => encodeRouteRefresh({ afi: 1, safi: 1, subtype });

/** Gives the bytes of a peer to a session at once, without letting the engine work in between. */
function hear(session: FakeSession, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) {
    const length = ((bytes[at + 16] as number) << 8) | (bytes[at + 17] as number);
    session.receive(bytes.slice(at, at + length));
    at += length;
  }
}

const lost: SessionDown = { code: 'SESSION_CONNECTION_CLOSED', text: 'closed', keepRoutes: true, replaced: false };

const view = kernelView([['192.0.2.1/24'], ['203.0.113.1/24']]);

/** A node with a played peer `router`, whose bytes the test makes, and a real one, `other`, that is told everything. */
async function transitNode(
  options: { readonly router?: Partial<PeerIntent>; readonly other?: Partial<PeerIntent> } = {},
): Promise<{ network: Network; node: Node; router: FakeSession; other: Node; nodeIs: BgpIntent }> {
  const network = new Network();
  network.mute.add(ip('192.0.2.2'));
  const node = network.node('node');
  const router = network.node('router');
  const other = network.node('other');
  const peers = [
    peerIntent({ name: 'router', maxPrefixes: 1e6, ...options.router }),
    peerIntent({
      name: 'other',
      address: ip('203.0.113.2'),
      sourceAddress: ip('203.0.113.1'),
      peerAsn: asn(65003),
      transit: true,
      ...options.other,
    }),
  ];
  const nodeIs = intent({ peers });
  node.speaker.setKernelView(view);
  node.speaker.apply(nodeIs, 1);
  router.speaker.setKernelView(kernelView([['192.0.2.2/24']]));
  router.speaker.apply(
    intent({
      asn: asn(65002),
      routerId: ip('10.255.0.2'),
      peers: [
        peerIntent({
          name: 'node',
          address: ip('192.0.2.1'),
          sourceAddress: ip('192.0.2.2'),
          localAsn: asn(65002),
          peerAsn: asn(65001),
        }),
      ],
    }),
    1,
  );
  other.speaker.setKernelView(kernelView([['203.0.113.2/24']]));
  other.speaker.apply(
    intent({
      asn: asn(65003),
      routerId: ip('10.255.0.3'),
      peers: [
        peerIntent({
          name: 'node',
          address: ip('203.0.113.1'),
          sourceAddress: ip('203.0.113.2'),
          localAsn: asn(65003),
          peerAsn: asn(65001),
          maxPrefixes: 1e6,
        }),
      ],
    }),
    1,
  );
  await network.settle();
  return { network, node, router: node.session('router'), other, nodeIs };
}

test('announced routes can be asked for while their prefixes wait for a decision', async () => {
  const { network, node, router, other } = await transitNode();
  hear(router, announce(0, 10));
  await network.settle();
  assert.equal(other.kernel.size, 10);
  hear(router, withdraw(0, 10));
  assert.deepEqual([...new Set(node.rows('announced').map((row) => row.reason))], ['announced: to be decided again']);
  await network.settle();
  assert.equal(node.rows('announced').length, 0);
});

test('a session that is lost while a sweep of stale routes is under way keeps its routes', async () => {
  const { network, node, router } = await transitNode();
  const count = 30_000;
  hear(router, announce(0, count));
  await network.settle();
  const { kernel } = node;
  assert.equal(kernel.size, count);
  // First restart: half of the routes come again, End-of-RIB begins the sweep of the rest.
  network.cut(router, lost);
  await network.settle();
  const second = node.session('router');
  hear(second, announce(0, count / 2));
  hear(second, endOfRib('ipv4'));
  // Before the sweep gets its turn the session is lost again.
  network.cut(second, lost);
  await network.settle();
  assert.equal(kernel.size, count / 2, 'what was said again is kept over the second loss, the rest is gone');
  const rows = node.fib.length;
  hear(node.session('router'), announce(0, count / 2));
  hear(node.session('router'), endOfRib('ipv4'));
  await network.settle();
  assert.equal(kernel.size, count / 2);
  assert.deepEqual(
    node.fib.slice(rows).map(({ groupIds }) => groupIds.length),
    [],
    'and the kernel hears nothing',
  );
});

test('what is stale since an earlier restart goes when the next one begins, and not what came between', async () => {
  const { network, node, router } = await transitNode();
  hear(router, announce(0, 10));
  await network.settle();
  network.cut(router, lost);
  await network.settle();
  const second = node.session('router');
  hear(second, announce(0, 4));
  await network.settle();
  assert.equal(node.kernel.size, 10);
  network.cut(second, lost);
  await network.settle();
  assert.equal(node.kernel.size, 4);
});

test('End-of-RIB again and again sweeps nothing', async (t) => {
  const { network, node, router } = await transitNode();
  hear(router, announce(0, 100));
  await network.settle();
  const sweep = t.mock.method(FamilyRib.prototype, 'sweep');
  for (let i = 0; i < 1000; i++) hear(router, endOfRib('ipv4'));
  await network.settle();
  assert.equal(sweep.mock.callCount(), 0);
  assert.equal(node.kernel.size, 100);
});

test('a flood of ROUTE-REFRESH is answered once, when it is over', async (t) => {
  const { network, node, router } = await transitNode();
  hear(router, announce(0, 2000));
  await network.settle();
  const told = node.session('other');
  const before = told.sentBytes;
  const resend = t.mock.method(AdjRibOut.prototype, 'resendAll');
  for (let i = 0; i < 1000; i++) hear(told, refresh(0));
  await network.settle();
  assert.equal(resend.mock.callCount(), 1);
  assert.ok(told.sentBytes - before < 2 * before, `${told.sentBytes - before} octets after ${before}`);
  assert.deepEqual(told.refreshesSent, [1, 2]);
});

test('a refresh that is asked for before our End-of-RIB has no markers of its own', async () => {
  const { network, node, router } = await transitNode();
  network.cut(node.session('other'), { ...lost, keepRoutes: false });
  hear(router, announce(0, 9000));
  const told = node.session('other');
  await network.step(() => told.state === 'Established');
  hear(told, refresh(0));
  await network.settle();
  assert.deepEqual(told.refreshesSent, []);
  assert.equal(node.rows('announced').length, 9000);
});

test('the beginning of a refresh before End-of-RIB is ignored, a second one changes nothing', async () => {
  const { network, node, router } = await transitNode();
  hear(router, refresh(1));
  hear(router, announce(0, 4));
  hear(router, refresh(2));
  await network.settle();
  assert.deepEqual([node.kernel.size, node.events.some(({ event }) => event === 'session.refreshIgnored')], [4, true]);
  hear(router, endOfRib('ipv4'));
  hear(router, refresh(1));
  hear(router, announce(0, 2));
  hear(router, refresh(1));
  hear(router, announce(2, 1));
  hear(router, refresh(2));
  await network.settle();
  assert.equal(node.kernel.size, 3);
});

test('a kernel that is slow bounds what is on its way to it, and the peer is not read while too much waits', async () => {
  const { network, node, router } = await transitNode();
  const rowsSent = (): number => node.fib.reduce((rows, { groupIds }) => rows + groupIds.length, 0);
  node.confirms = false;
  const count = 60_000;
  hear(router, announce(0, 20_000));
  await network.settle();
  assert.ok(rowsSent() < 20_000, `${rowsSent()} rows are on their way`);
  assert.equal(router.paused, false);
  hear(router, announce(20_000, count - 20_000));
  await network.settle();
  assert.equal(router.paused, true);
  const told = node.session('other').sentBytes;
  // What flaps meanwhile is not written a hundred times.
  for (let i = 0; i < 100; i++) {
    hear(router, withdraw(0, 1000));
    hear(router, announce(0, 1000, i));
  }
  await network.settle();
  assert.ok(rowsSent() < 20_000, `${rowsSent()} rows are on their way`);
  assert.equal(node.session('other').sentBytes, told);
  node.confirms = true;
  node.confirm();
  await network.settle();
  assert.equal(node.kernel.size, count);
  assert.equal(router.paused, false);
  assert.ok(rowsSent() < count + 2500, `${rowsSent()} rows`);
  assert.equal(node.rows('announced').length, count);
});

test('a session that begins while the engine is behind is paused like the others, and goes on with them', async () => {
  const { network, node, router } = await transitNode();
  node.confirms = false;
  hear(router, announce(0, 60_000));
  await network.settle();
  node.speaker.apply(
    intent({
      peers: [peerIntent({ name: 'router', maxPrefixes: 1e6 }), peerIntent({ name: 'late', address: ip('192.0.2.9') })],
    }),
    2,
  );
  await network.settle();
  assert.deepEqual([router.paused, node.session('late').paused], [true, true]);
  node.confirms = true;
  node.confirm();
  await network.settle();
  assert.deepEqual([router.paused, node.session('late').paused], [false, false]);
});

test('a question costs what it is about, not what there is', async (t) => {
  const { network, node, router } = await transitNode();
  hear(router, announce(0, 1000));
  await network.settle();
  const explain = t.mock.method(FamilyRib.prototype, 'explain');
  const asked = (query: object): [number, number] => {
    explain.mock.resetCalls();
    const { rows } = node.speaker.routes({ direction: 'received', limit: 10_000, ...query });
    return [rows.length, explain.mock.callCount()];
  };
  assert.deepEqual(asked({}), [1000, 1000]);
  assert.deepEqual(asked({ peer: 'other' }), [0, 0]);
  assert.deepEqual(asked({ prefix: '20.0.0.0/29', within: true }), [8, 8]);
  assert.deepEqual(asked({ direction: 'best', peer: 'nobody' }), [0, 0]);
  assert.deepEqual(asked({ direction: 'announced', peer: 'other' }), [1000, 0]);
});

test('wrong signatures of before, or of peers that sign otherwise than this one should, are not laid at its door', async () => {
  const { network, node, router, nodeIs } = await transitNode();
  const failures = (): number[] => node.facts?.peers.map(({ drops }) => drops.signature) ?? [];
  const [first, second] = nodeIs.peers as [PeerIntent, PeerIntent];
  node.dropped = { md5: { notFound: 3, unexpected: 0, failure: 4 }, hopLimit: 0 };
  node.speaker.apply({ ...nodeIs, peers: [{ ...first, password: 'secret' }, second] }, 2);
  await network.advance(200);
  network.broken.add('192.0.2.1|192.0.2.2').add('192.0.2.2|192.0.2.1');
  network.cut(node.session('router'), lost);
  network.broken.add('203.0.113.1|203.0.113.2').add('203.0.113.2|203.0.113.1');
  network.cut(node.session('other'), lost);
  await network.advance(200);
  assert.deepEqual(failures(), [0, 0], 'all of that was before');
  node.dropped = { md5: { notFound: 3, unexpected: 0, failure: 6 }, hopLimit: 0 };
  node.speaker.apply({ ...nodeIs, peers: [{ ...first, password: 'secret' }, second] }, 3);
  await network.advance(200);
  assert.deepEqual(failures(), [2, 0], 'two with a wrong key since; the second peer has no key');
  node.dropped = { md5: { notFound: 3, unexpected: 5, failure: 6 }, hopLimit: 0 };
  node.speaker.apply({ ...nodeIs, peers: [{ ...first, password: 'secret' }, second] }, 4);
  await network.advance(200);
  assert.deepEqual(failures(), [2, 5]);
  const far = { ...second, ttlSecurity: 1 };
  node.speaker.apply({ ...nodeIs, peers: [{ ...first, password: 'secret' }, far] }, 5);
  node.dropped = { ...node.dropped, hopLimit: 7 };
  await network.advance(200);
  const ttl = node.facts?.peers.map(({ drops }) => drops.hopLimit);
  assert.deepEqual(ttl, [0, 7], 'only one of them looks at the TTL');
  assert.equal(router.state, 'Idle');
});

test('a thousand messages that are refused make one line a second', async () => {
  const { network, node, router } = await transitNode();
  const lines = (): unknown[] =>
    node.events.filter(({ event }) => event === 'route.refused').map(({ fields }) => fields['unsaid'] ?? 0);
  const looped = announce(0, 1, 65001 - 100);
  for (let i = 0; i < 1000; i++) hear(router, looped);
  await network.settle();
  assert.deepEqual(lines(), [0]);
  await network.advance(1000);
  hear(router, looped);
  assert.deepEqual(lines(), [0, 999]);
});

test('attributes that would fill the memory end the session with Cease/8', async () => {
  const { network, node, router } = await transitNode({ router: { maxPrefixes: 10_000 } });
  const attributes = (n: number, set: number): Uint8Array => {
    const bytes = new Uint8Array(3800);
    bytes.set([0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xea, 0x40, 3, 4, 192, 0, 2, 2]);
    bytes.set([0xd0, 99, (3800 - 24) >> 8, (3800 - 24) & 255, n >> 8, n & 255, set], 20);
    return bytes;
  };
  const large = (n: number, set = 0): Uint8Array => {
    const writer = new UpdateWriter(context);
    writer.beginReach(attributes(n, set), 'ipv4', undefined);
    writer.prefix4((0x14000000 + n) >>> 0, 32);
    return writer.take();
  };
  const reset = (): readonly [number, number] | undefined =>
    router.lastReset && [router.lastReset.code, router.lastReset.subcode];
  const enough = Math.floor((16 * 1024 * 1024) / 3800);
  // Said again with other attributes, or withdrawn and said again, they count once.
  for (const set of [0, 1]) for (let n = 0; n < enough; n++) hear(router, large(n, set));
  hear(router, withdraw(0, 1));
  hear(router, large(0));
  assert.equal(reset(), undefined);
  hear(router, large(enough));
  await network.settle();
  assert.deepEqual(reset(), [6, 8]);
  assert.equal(node.received('router').length, 0);
});

test('what we announce ourselves wins over what a peer says, and the peer is used again when we stop', async () => {
  const { network, node, router, nodeIs } = await transitNode();
  hear(router, announce(0, 2));
  await network.settle();
  const announcements = [{ prefix: prefix('20.0.0.0/32'), source: 'advertise' as const }];
  node.speaker.apply({ ...nodeIs, announcements }, 2);
  await network.settle();
  assert.deepEqual([...node.kernel.keys()], ['20.0.0.1/32']);
  assert.equal(node.rows('announced', 'other').find((row) => row.prefix === '20.0.0.0/32')?.asPath, '65001');
  node.speaker.apply(nodeIs, 3);
  await network.settle();
  assert.deepEqual([...node.kernel.keys()].sort(), ['20.0.0.0/32', '20.0.0.1/32']);
  assert.equal(node.rows('announced', 'other').find((row) => row.prefix === '20.0.0.0/32')?.asPath, '65001 65002 100');
});

test('withdrawn and said again before the kernel has answered, in any order of its answers', async () => {
  const { network, node, router } = await transitNode();
  node.confirms = false;
  hear(router, announce(0, 3));
  await network.settle();
  hear(router, withdraw(0, 2));
  await network.settle();
  hear(router, announce(1, 1, 5));
  await network.settle();
  assert.equal(node.rows('announced', 'other').length, 0, 'the kernel has none of them, as far as it said');
  node.confirm();
  await network.settle();
  assert.deepEqual([...node.kernel.keys()].sort(), ['20.0.0.1/32', '20.0.0.2/32']);
  assert.deepEqual(
    node.rows('announced', 'other').map((row) => [row.prefix, row.asPath]),
    [
      ['20.0.0.1/32', '65001 65002 105'],
      ['20.0.0.2/32', '65001 65002 100'],
    ],
  );
});

test('a next hop of ten thousand paths that goes and comes back is one row each way for each, and nothing else', async () => {
  const { network, node, router } = await transitNode();
  const count = 10_000;
  hear(router, announce(0, count));
  await network.settle();
  const rows = (): number => node.fib.reduce((sum, { groupIds }) => sum + groupIds.length, 0);
  const before = rows();
  const down = { ...view, interfaces: view.interfaces.map((link) => ({ ...link, up: link.index !== 1 })) };
  node.speaker.setKernelView(down);
  // The next view comes before the sweep is over.
  node.speaker.setKernelView(view);
  await network.settle();
  assert.deepEqual([rows(), node.kernel.size], [before, count], 'down and up at once is nothing');
  node.speaker.setKernelView(down);
  await network.settle();
  assert.deepEqual([rows(), node.kernel.size, node.groups.size], [before + count, 0, 0]);
  assert.equal(node.rows('announced', 'other').length, 0);
  node.speaker.setKernelView(view);
  await network.settle();
  assert.deepEqual([rows(), node.kernel.size, node.groups.size], [before + 2 * count, count, 1]);
  assert.equal(node.rows('announced', 'other').length, count);
});
