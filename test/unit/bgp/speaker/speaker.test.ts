import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seconds } from '#lib/time.ts';
import type { BgpIntent, FilterIntent, PeerIntent } from '#bgp/engine.ts';
import type { Node } from './network.ts';
import { Network, asn, intent, ip, kernelView, peerIntent, prefix } from './network.ts';

const block = (text: string): BgpIntent['announcements'][number] => ({ prefix: prefix(text), source: 'block' });

/** `node` (AS 65001, 192.0.2.1) and `router` (AS 65002, 192.0.2.2) on one link of both families. */
interface PairOptions {
  readonly toRouter?: Partial<PeerIntent>;
  readonly toNode?: Partial<PeerIntent>;
  readonly node?: Partial<BgpIntent>;
  readonly router?: Partial<BgpIntent>;
}

const nodeView = kernelView([['192.0.2.1/24', '2001:db8::1/64', 'fe80::1/64']]);
const routerView = kernelView([['192.0.2.2/24', '2001:db8::2/64', 'fe80::2/64']]);

const toNodePeer = (overrides: Partial<PeerIntent> = {}): PeerIntent =>
  peerIntent({
    name: 'node',
    address: ip('192.0.2.1'),
    sourceAddress: ip('192.0.2.2'),
    peerAsn: asn(65001),
    localAsn: asn(65002),
    ...overrides,
  });

const nodeIntent = (options: PairOptions): BgpIntent =>
  intent({
    peers: [peerIntent({ name: 'router', ...options.toRouter })],
    announcements: [block('10.60.1.0/26'), block('fd00:60:1::/64')],
    ownPrefixes: [prefix('10.60.1.0/26'), prefix('fd00:60:1::/64')],
    ...options.node,
  });

const routerIntent = (options: PairOptions): BgpIntent =>
  intent({
    asn: asn(65002),
    routerId: ip('10.255.0.2'),
    peers: [toNodePeer(options.toNode)],
    announcements: [block('198.51.100.0/24'), block('2001:db8:100::/48')],
    ...options.router,
  });

async function pair(options: PairOptions = {}): Promise<{ network: Network; node: Node; router: Node }> {
  const network = new Network();
  const node = network.node('node');
  const router = network.node('router');
  node.speaker.setKernelView(nodeView);
  router.speaker.setKernelView(routerView);
  node.speaker.apply(nodeIntent(options), 1);
  router.speaker.apply(routerIntent(options), 1);
  await network.settle();
  return { network, node, router };
}

const kernelOf = (node: Node): Record<string, string[]> =>
  Object.fromEntries([...node.kernel].sort(([a], [b]) => (a < b ? -1 : 1)));

test('two speakers exchange both families over one session and install them', async () => {
  const { node, router } = await pair();
  assert.deepEqual(kernelOf(node), {
    '198.51.100.0/24': ['192.0.2.2%1'],
    '2001:db8:100::/48': ['2001:db8::2%1'],
  });
  assert.deepEqual(kernelOf(router), { '10.60.1.0/26': ['192.0.2.1%1'], 'fd00:60:1::/64': ['2001:db8::1%1'] });
});

test('facts say who was told what', async () => {
  const { network, node } = await pair();
  await network.advance(200);
  const facts = node.facts;
  assert.deepEqual(facts?.announced, [
    { prefix: '10.60.1.0/26', peers: ['router'] },
    { prefix: 'fd00:60:1::/64', peers: ['router'] },
  ]);
  const peer = facts?.peers[0];
  assert.deepEqual(
    [peer?.state, peer?.received, peer?.accepted, peer?.announced, peer?.noNextHop],
    ['Established', { ipv4: 1, ipv6: 1 }, { ipv4: 1, ipv6: 1 }, { ipv4: 1, ipv6: 1 }, []],
  );
  assert.equal(facts?.generation, 1);
});

test('a peer of any other AS is external, and facts have the number that it said', async () => {
  const toRouter = { peerAsn: 'external' } as const;
  const { network, node, router } = await pair({ toRouter });
  await network.advance(200);
  assert.equal(node.facts?.peers[0]?.peerAsn, 65002);
  assert.equal(router.rows('received')[0]?.asPath, '65001', 'our AS stands in front');
  network.broken.add('192.0.2.1|192.0.2.2');
  node.session('router').reset({ code: 6, subcode: 4, text: 'reset', data: new Uint8Array(0) });
  await network.advance(200);
  assert.equal(node.facts?.peers[0]?.peerAsn, 'external');
});

test('an external peer that is not on the link has no session until it is, or may be farther away', async () => {
  const network = new Network();
  const node = network.node('node');
  const router = network.node('router');
  router.speaker.setKernelView(routerView);
  const far = kernelView([['192.0.3.1/24']]);
  const states = (): unknown[] => [node.facts?.peers[0]?.state, node.facts?.peers[0]?.lastError?.code];
  node.speaker.setKernelView(far);
  node.speaker.apply(nodeIntent({}), 1);
  router.speaker.apply(routerIntent({}), 1);
  await network.advance(200);
  assert.deepEqual(states(), ['Idle', 'SESSION_PEER_NOT_CONNECTED']);
  node.speaker.setKernelView({ ...far, routes: [...far.routes, ...kernelView([['192.0.2.2/32']]).routes] });
  await network.advance(200);
  assert.deepEqual(states(), ['Established', undefined], 'a route to the link will do');
  node.speaker.setKernelView(far);
  await network.advance(200);
  assert.deepEqual(states(), ['Established', undefined], 'a session that is up is left to its timers');
  network.broken.add('192.0.2.1|192.0.2.2').add('192.0.2.2|192.0.2.1');
  network.cut(node.session('router'), {
    code: 'SESSION_CONNECTION_LOST',
    text: '',
    keepRoutes: false,
    replaced: false,
  });
  node.speaker.setKernelView(far);
  await network.advance(200);
  assert.deepEqual(states(), ['Idle', 'SESSION_PEER_NOT_CONNECTED']);
  network.broken.clear();
  node.speaker.apply(nodeIntent({ toRouter: { ebgpMultihop: 2 } }), 2);
  await network.advance(200);
  assert.deepEqual(states(), ['Established', undefined]);
});

test('the link-local address goes beside the global one where the peer shares the subnet', async () => {
  const { router } = await pair();
  const row = router.rows('received').find(({ prefix }) => prefix === 'fd00:60:1::/64');
  assert.equal(row?.nextHop, '2001:db8::1');
});

test('a family without an address of ours is not announced and is said so', async () => {
  const network = new Network();
  const node = network.node('node');
  const router = network.node('router');
  node.speaker.setKernelView(kernelView([['192.0.2.1/24']]));
  router.speaker.setKernelView(routerView);
  node.speaker.apply(nodeIntent({}), 1);
  router.speaker.apply(routerIntent({}), 1);
  await network.advance(200);
  assert.deepEqual([...router.kernel.keys()], ['10.60.1.0/26']);
  assert.deepEqual(node.facts?.peers[0]?.noNextHop, ['ipv6']);
  node.speaker.setKernelView(nodeView);
  await network.advance(200);
  assert.deepEqual([...router.kernel.keys()].sort(), ['10.60.1.0/26', 'fd00:60:1::/64']);
  assert.deepEqual(node.facts?.peers[0]?.noNextHop, []);
  node.speaker.setKernelView(kernelView([['192.0.2.1/24']]));
  await network.advance(200);
  assert.deepEqual([...router.kernel.keys()], ['10.60.1.0/26'], 'the address went, so the family is withdrawn');
});

test('importPolicy None keeps everything received and installs nothing; a changed policy needs no reset', async () => {
  const { network, node } = await pair({ toRouter: { importPolicy: 'None' } });
  assert.equal(node.kernel.size, 0);
  assert.deepEqual(
    node.received().map((row) => [row.prefix, row.accepted, row.reason]),
    [
      ['198.51.100.0/24', false, 'refused: importPolicy None'],
      ['2001:db8:100::/48', false, 'refused: importPolicy None'],
    ],
  );
  node.speaker.apply(nodeIntent({ toRouter: { importPolicy: 'All' } }), 2);
  await network.settle();
  assert.equal(node.kernel.size, 2);
  node.speaker.apply(nodeIntent({ toRouter: { importPolicy: 'DefaultRoute' } }), 3);
  await network.advance(200);
  assert.equal(node.kernel.size, 0);
  assert.equal(node.facts?.peers[0]?.flaps, 0);
  assert.equal(node.sessions.length, 1);
});

test('a changed import filter is applied to what was received before', async () => {
  const filter = (action: 'Accept' | 'Reject'): FilterIntent => ({
    name: 'fabric',
    import: {
      ipv4: [
        {
          action,
          match: { operator: 'In', cidr: prefix('198.51.0.0/16'), minLength: 16, maxLength: 32 },
        },
      ],
      ipv6: [],
    },
    export: { ipv4: [], ipv6: [] },
    default: undefined,
  });
  const { network, node } = await pair({ toRouter: { filters: [filter('Reject')] } });
  assert.deepEqual([...node.kernel.keys()], ['2001:db8:100::/48']);
  node.speaker.apply(nodeIntent({ toRouter: { filters: [filter('Accept')] } }), 2);
  await network.settle();
  assert.deepEqual([...node.kernel.keys()].sort(), ['198.51.100.0/24', '2001:db8:100::/48']);
  assert.equal(node.received()[0]?.reason, 'accepted: filter fabric, rule 1');
});

test('announcements come and go as UPDATEs of the same session', async () => {
  const { network, node, router } = await pair();
  node.speaker.apply(nodeIntent({ node: { announcements: [block('10.60.2.0/26')] } }), 2);
  await network.settle();
  assert.deepEqual([...router.kernel.keys()], ['10.60.2.0/26']);
  assert.equal(router.sessions.length, 1);
  assert.equal(router.events.filter(({ event }) => event === 'session.down').length, 0);
});

test('the same intent twice changes nothing', async () => {
  const { network, node } = await pair();
  const sent = node.session('router').sentBytes;
  node.speaker.apply(nodeIntent({}), 2);
  await network.advance(200);
  assert.equal(node.session('router').sentBytes, sent);
  assert.equal(node.facts?.generation, 2);
});

test('a changed hold time resets the session and the routes come back', async () => {
  const { network, node, router } = await pair();
  node.speaker.apply(nodeIntent({ toRouter: { holdTime: seconds(30) } }), 2);
  await network.settle();
  assert.equal(node.sessions.length, 2);
  assert.equal(node.sessions[0]?.lastReset?.subcode, 6);
  assert.equal(router.kernel.size, 2);
  assert.equal(node.kernel.size, 2);
});

test('a removed peer is told so and its routes go; a disabled one stays down', async () => {
  const { network, node, router } = await pair();
  node.speaker.apply(nodeIntent({ toRouter: { enabled: false } }), 2);
  await network.advance(200);
  assert.equal(node.sessions[0]?.lastReset?.subcode, 2);
  assert.deepEqual([node.kernel.size, router.kernel.size], [0, 0]);
  assert.equal(node.facts?.peers[0]?.state, 'Idle');
  node.speaker.apply(nodeIntent({}), 3);
  await network.settle();
  assert.equal(node.kernel.size, 2);
  node.speaker.apply(nodeIntent({ node: { peers: [] } }), 4);
  await network.advance(200);
  assert.equal(node.session('router').lastReset?.subcode, 3);
  assert.deepEqual(node.facts?.peers, []);
  assert.deepEqual(node.facts?.routes.ipv4, { prefixes: 1, paths: 0, best: 1 });
});

test('learned routes go to transit peers only, with our AS in front and ourselves as next hop', async () => {
  const network = new Network();
  const left = network.node('left');
  const middle = network.node('middle');
  const right = network.node('right');
  left.speaker.setKernelView(kernelView([['192.0.2.1/24', '2001:db8::1/64']]));
  middle.speaker.setKernelView(
    kernelView([
      ['192.0.2.2/24', '2001:db8::2/64'],
      ['203.0.113.2/24', '2001:db8:1::2/64'],
    ]),
  );
  right.speaker.setKernelView(kernelView([['203.0.113.1/24', '2001:db8:1::1/64']]));
  const middleIntent = (transit: boolean): BgpIntent =>
    intent({
      asn: asn(65002),
      routerId: ip('10.255.0.2'),
      peers: [
        toNodePeer({ name: 'left', transit }),
        toNodePeer({
          name: 'right',
          address: ip('203.0.113.1'),
          sourceAddress: ip('203.0.113.2'),
          peerAsn: asn(65003),
          transit,
        }),
      ],
    });
  left.speaker.apply(nodeIntent({}), 1);
  middle.speaker.apply(middleIntent(false), 1);
  right.speaker.apply(
    intent({
      asn: asn(65003),
      routerId: ip('10.255.0.3'),
      peers: [
        peerIntent({
          name: 'middle',
          address: ip('203.0.113.2'),
          sourceAddress: ip('203.0.113.1'),
          localAsn: asn(65003),
        }),
      ],
    }),
    1,
  );
  await network.settle();
  assert.equal(right.kernel.size, 0, 'not a transit peer');
  middle.confirms = false;
  middle.speaker.apply(middleIntent(true), 2);
  await network.settle();
  assert.deepEqual(kernelOf(right), { '10.60.1.0/26': ['203.0.113.2%1'], 'fd00:60:1::/64': ['2001:db8:1::2%1'] });
  assert.deepEqual(
    right.received().map((row) => row.asPath),
    ['65002 65001', '65002 65001'],
  );
  left.speaker.apply(nodeIntent({ node: { announcements: [block('10.60.9.0/26')] } }), 2);
  await network.settle();
  assert.deepEqual([...right.kernel.keys()], [], 'withdrawn at once, announced only when the kernel has it');
  middle.confirm();
  await network.settle();
  assert.deepEqual([...right.kernel.keys()], ['10.60.9.0/26']);
  assert.equal(left.received().length, 0, 'nothing goes back to where it came from');
});

/** One node with two routers that announce the same prefix. */
async function dualHomed(options: { readonly node?: Partial<BgpIntent> } = {}): Promise<{
  network: Network;
  node: Node;
  routers: Node[];
  nodeIs: (overrides: Partial<BgpIntent>) => BgpIntent;
}> {
  const network = new Network();
  const node = network.node('node');
  node.speaker.setKernelView(kernelView([['192.0.2.1/24'], ['203.0.113.1/24']]));
  const links = ['192.0.2', '203.0.113'];
  const nodeIs = (overrides: Partial<BgpIntent>): BgpIntent =>
    intent({
      peers: links.map((link, i) =>
        peerIntent({
          name: `router${i}`,
          address: ip(`${link}.2`),
          sourceAddress: ip(`${link}.1`),
          peerAsn: asn(65010 + i),
        }),
      ),
      announcements: [block('10.60.1.0/26')],
      ...overrides,
    });
  node.speaker.apply(nodeIs(options.node ?? {}), 1);
  const routers = links.map((link, i) => {
    const router = network.node(`router${i}`);
    router.speaker.setKernelView(kernelView([[`${link}.2/24`]]));
    router.speaker.apply(
      intent({
        asn: asn(65010 + i),
        routerId: ip(`10.255.1.${i + 1}`),
        peers: [toNodePeer({ address: ip(`${link}.1`), sourceAddress: ip(`${link}.2`), localAsn: asn(65010 + i) })],
        announcements: [block('198.51.100.0/24'), block(`198.51.10${i + 1}.0/24`)],
      }),
      1,
    );
    return router;
  });
  await network.settle();
  return { network, node, routers, nodeIs };
}

test('equal paths over two routers become one group of two, and one of one when a router goes', async () => {
  const { network, node, routers } = await dualHomed();
  assert.deepEqual(node.kernel.get('198.51.100.0/24'), ['192.0.2.2%1', '203.0.113.2%2']);
  const best = node.rows('best').filter((row) => row.prefix === '198.51.100.0/24');
  assert.deepEqual(
    best.map((row) => [row.peer, row.best, row.multipath]),
    [
      ['router0', true, true],
      ['router1', false, true],
    ],
  );
  assert.equal(best[0]?.reason, 'best: lowest router id');
  await routers[1]?.speaker.stop('cease');
  await network.settle();
  assert.deepEqual(kernelOf(node), { '198.51.100.0/24': ['192.0.2.2%1'], '198.51.101.0/24': ['192.0.2.2%1'] });
  const groupsInUse = new Set(node.groups.keys());
  assert.equal(groupsInUse.size, 1, 'the groups that nobody uses were released');
});

test('maximumPaths 1 leaves one next hop; multipath without relax wants the same AS path', async () => {
  const { network, node, nodeIs } = await dualHomed({ node: { multipath: { maximumPaths: 1, relax: true } } });
  assert.deepEqual(node.kernel.get('198.51.100.0/24'), ['192.0.2.2%1']);
  node.speaker.apply(nodeIs({ multipath: { maximumPaths: 8, relax: false } }), 2);
  await network.settle();
  assert.deepEqual(node.kernel.get('198.51.100.0/24'), ['192.0.2.2%1'], 'other neighbour AS');
  node.speaker.apply(nodeIs({ multipath: { maximumPaths: 8, relax: true } }), 3);
  await network.settle();
  assert.deepEqual(node.kernel.get('198.51.100.0/24'), ['192.0.2.2%1', '203.0.113.2%2']);
});

test('a link that goes down takes its next hop out, and brings it back', async () => {
  const { network, node } = await dualHomed();
  const view = kernelView([['192.0.2.1/24'], ['203.0.113.1/24']]);
  node.speaker.setKernelView({
    ...view,
    interfaces: view.interfaces.map((link) => (link.index === 2 ? { ...link, up: false } : link)),
  });
  await network.settle();
  assert.deepEqual(kernelOf(node), { '198.51.100.0/24': ['192.0.2.2%1'], '198.51.101.0/24': ['192.0.2.2%1'] });
  const hidden = node.received('router1').find((row) => row.prefix === '198.51.102.0/24');
  assert.match(
    hidden?.reason ?? '',
    /not installed: next hop 203.0.113.2 is not reachable by a connected or static route/,
  );
  node.speaker.setKernelView(view);
  await network.settle();
  assert.equal(node.kernel.size, 3);
});

const crash = { code: 'SESSION_CONNECTION_CLOSED', text: 'closed', keepRoutes: true, replaced: false };

test('helper: routes of a restarting peer stay, stale, and go when its restart time is over', async () => {
  const { network, node, router } = await pair({
    toNode: { gracefulRestart: { enabled: true, restartTime: seconds(20) } },
  });
  network.broken.add('192.0.2.1|192.0.2.2').add('192.0.2.2|192.0.2.1');
  network.cut(router.session('node'), crash);
  await network.advance(19_000);
  assert.equal(node.kernel.size, 2);
  assert.deepEqual(
    node.received().map((row) => row.stale),
    [true, true],
  );
  await network.advance(2_000);
  assert.equal(node.kernel.size, 0);
  assert.equal(node.received().length, 0);
});

test('helper: what the restarted peer does not say again goes with its End-of-RIB, the rest never left', async () => {
  const { network, node, router } = await pair();
  network.cut(router.session('node'), crash);
  const rows = node.fib.length;
  router.speaker.apply(routerIntent({ router: { announcements: [block('198.51.100.0/24')] } }), 2);
  await network.settle();
  assert.deepEqual([...node.kernel.keys()], ['198.51.100.0/24']);
  const withdrawn = node.fib.slice(rows);
  assert.equal(withdrawn.length, 1);
  assert.deepEqual(Array.from(withdrawn[0]?.groupIds ?? []), [0], 'one row: the IPv6 route went');
  assert.deepEqual(
    node.received().map((row) => row.stale),
    [false],
  );
});

test('helper: a family that the peer did not forward through its restart is flushed at once', async () => {
  const { network, node, router } = await pair();
  network.broken.add('192.0.2.1|192.0.2.2').add('192.0.2.2|192.0.2.1');
  const session = router.session('node');
  network.cut(session, crash);
  await network.settle();
  assert.equal(node.kernel.size, 2);
  // A new life of the router, whose kernel lost IPv6.
  await router.speaker.stop('silent');
  await network.settle();
  const reborn = network.node('router', { restarted: true, forwardingPreserved: ['ipv4'] });
  reborn.speaker.setKernelView(routerView);
  reborn.speaker.apply(routerIntent({ router: { announcements: [] } }), 1);
  const observed = node.session('router').modules.handlers;
  const seen: string[][] = [];
  const update = observed.update.bind(observed);
  observed.update = (message) => {
    seen.push([...node.kernel.keys()]);
    return update(message);
  };
  network.broken.clear();
  await network.settle();
  assert.deepEqual(seen[0], ['198.51.100.0/24'], 'IPv6 was flushed before anything came');
  assert.deepEqual(kernelOf(node), {}, 'and the other goes with End-of-RIB');
});

test('a NOTIFICATION removes routes at once, graceful restart or not', async () => {
  const { network, node, router } = await pair();
  network.broken.add('192.0.2.1|192.0.2.2').add('192.0.2.2|192.0.2.1');
  await router.speaker.stop('cease');
  await network.settle();
  assert.equal(node.kernel.size, 0);
});

test('restarter: complete waits for End-of-RIB of every peer, and for one dead peer at most 30 s', async () => {
  const { node } = await pair();
  assert.deepEqual(node.fib.map((update) => update.complete).filter(Boolean), [true]);
  const network = new Network();
  const lonely = network.node('node');
  lonely.speaker.setKernelView(nodeView);
  lonely.speaker.apply(nodeIntent({}), 1);
  await network.advance(29_000);
  assert.equal(
    lonely.fib.some((update) => update.complete),
    false,
  );
  await network.advance(2_000);
  assert.equal(lonely.fib.filter((update) => update.complete).length, 1);
});

test('restarter: without peers complete comes at once, but never before the kernel was seen', async () => {
  const network = new Network();
  const node = network.node('node');
  node.speaker.apply(intent({}), 1);
  await network.settle();
  assert.equal(node.fib.length, 0);
  node.speaker.setKernelView(nodeView);
  await network.settle();
  assert.deepEqual(
    node.fib.map(({ complete, groupIds }) => [complete, groupIds.length]),
    [[true, 0]],
  );
});

test('restarter in transit: learned routes and End-of-RIB wait until all peers are heard and the kernel has them', async () => {
  const network = new Network();
  const router = network.node('router', { restarted: true, forwardingPreserved: ['ipv4', 'ipv6'] });
  router.confirms = false;
  router.speaker.setKernelView(
    kernelView([
      ['192.0.2.2/24', '2001:db8::2/64'],
      ['203.0.113.2/24', '2001:db8:1::2/64'],
    ]),
  );
  const second = toNodePeer({
    name: 'second',
    address: ip('203.0.113.1'),
    sourceAddress: ip('203.0.113.2'),
    peerAsn: asn(65003),
    transit: true,
  });
  router.speaker.apply(routerIntent({ router: { peers: [toNodePeer({ transit: true }), second] } }), 1);
  const node = network.node('node');
  node.speaker.setKernelView(nodeView);
  node.speaker.apply(nodeIntent({}), 1);
  const other = network.node('second');
  other.speaker.setKernelView(kernelView([['203.0.113.1/24', '2001:db8:1::1/64']]));
  await network.settle();
  assert.equal(router.kernel.size, 2, 'installed at once');
  assert.equal(
    router.fib.some(({ complete }) => complete),
    false,
  );
  other.speaker.apply(
    intent({
      asn: asn(65003),
      routerId: ip('10.255.0.3'),
      peers: [
        peerIntent({
          name: 'router',
          address: ip('203.0.113.2'),
          sourceAddress: ip('203.0.113.1'),
          localAsn: asn(65003),
        }),
      ],
    }),
    1,
  );
  await network.settle();
  assert.equal(
    router.fib.some(({ complete }) => complete),
    true,
  );
  assert.deepEqual(
    [...other.kernel.keys()].sort(),
    ['198.51.100.0/24', '2001:db8:100::/48'],
    'what it originates itself',
  );
  router.confirm();
  await network.settle();
  assert.equal(other.kernel.size, 4);
});

test('max-prefix counts before policy and ends the session with Cease/1 and the limit', async () => {
  const many = Array.from({ length: 12 }, (_, i) => block(`198.51.${i}.0/24`));
  const { node } = await pair({
    toRouter: { maxPrefixes: 10, importPolicy: 'None' },
    router: { announcements: many },
  });
  const reset = node.sessions[0]?.lastReset;
  assert.deepEqual([reset?.code, reset?.subcode, [...(reset?.data ?? [])]], [6, 1, [0, 1, 1, 0, 0, 0, 10]]);
});

const prefixes = (count: number): Partial<BgpIntent> => ({
  announcements: Array.from({ length: count }, (_, i) => block(`198.51.${i}.0/24`)),
});

test('a peer with too many prefixes stays away for the restart time, and comes back with less', async () => {
  const toRouter = { maxPrefixes: 10, maxPrefixesRestart: seconds(300) };
  const { network, node, router } = await pair({ toRouter, router: prefixes(12) });
  const peer = () => node.facts?.peers[0];
  await network.advance(200);
  assert.deepEqual([peer()?.state, peer()?.lastError?.text], ['Idle', '12 ipv4 prefixes received, 10 allowed']);
  assert.equal(Math.round(((peer()?.retryAt ?? 0) - (peer()?.lastError?.at ?? 0)) / 1000), 300);
  assert.equal(node.kernel.size, 0);
  await network.advance(299_000);
  assert.equal(node.sessions.length, 1, 'no try before the time is over');
  router.speaker.apply(routerIntent({ router: prefixes(3) }), 2);
  await network.advance(2000);
  assert.deepEqual([peer()?.state, node.kernel.size, node.sessions.length], ['Established', 3, 2]);
});

test('without a restart time it stays away until it is reset, or the limit is another one', async () => {
  const { network, node } = await pair({ toRouter: { maxPrefixes: 10 }, router: prefixes(12) });
  const states = async (): Promise<unknown[]> => {
    await network.advance(200);
    return [node.facts?.peers[0]?.state, node.sessions.length];
  };
  await network.advance(86_400_000);
  assert.deepEqual(await states(), ['Idle', 1]);
  assert.equal(node.speaker.reset('router', 'hard'), true);
  assert.deepEqual(await states(), ['Idle', 2], 'let in, and out again');
  node.speaker.apply(nodeIntent({ toRouter: { maxPrefixes: 20 } }), 2);
  assert.deepEqual(await states(), ['Established', 3]);
  node.speaker.apply(nodeIntent({ toRouter: { maxPrefixes: 11 } }), 3);
  assert.deepEqual(await states(), ['Idle', 3], 'a lower limit counts for what is there');
  node.speaker.apply(nodeIntent({ toRouter: { maxPrefixes: 11, enabled: false } }), 4);
  node.speaker.apply(nodeIntent({ toRouter: { maxPrefixes: 11 } }), 5);
  assert.deepEqual(await states(), ['Idle', 4], 'switched off and on is a new chance');
});

test('a budget of announcements is kept, what is left out is named and follows when there is room', async () => {
  const blocks = (...numbers: number[]): Partial<BgpIntent> => ({
    announcements: numbers.map((i) => block(`10.60.${i}.0/26`)),
  });
  const { network, node, router } = await pair({ toRouter: { maxAnnounced: 3 }, node: blocks(1, 2, 3, 4, 5) });
  const told = (): unknown => router.received().map(({ prefix }) => prefix.split('.')[2]);
  const left = (): unknown => node.facts?.peers[0]?.leftOut;
  await network.advance(200);
  assert.deepEqual(told(), ['1', '2', '3']);
  assert.deepEqual(left(), { count: 2, some: ['10.60.4.0/26', '10.60.5.0/26'] });
  const now = async (most: number | undefined, ...numbers: number[]): Promise<unknown> => {
    const toRouter = most === undefined ? {} : { maxAnnounced: most };
    node.speaker.apply(nodeIntent({ toRouter, node: blocks(...numbers) }), 2);
    await network.advance(200);
    return told();
  };
  assert.deepEqual(await now(3, 1, 3, 4, 5), ['1', '3', '4'], 'one goes, one follows');
  assert.deepEqual(await now(2, 1, 3, 4, 5), ['3', '4'], 'a smaller budget takes back');
  assert.deepEqual(left(), { count: 2, some: ['10.60.1.0/26', '10.60.5.0/26'] });
  assert.deepEqual(await now(undefined, 1, 3, 4, 5), ['1', '3', '4', '5']);
  assert.equal(left(), undefined);
  assert.equal(node.sessions.length, 1, 'all of it without a new session');
});

test('another password goes onto the live session, and nothing else happens', async () => {
  const { network, node } = await pair({ toRouter: { password: 'one' } });
  const session = node.session('router');
  const sent = session.sentBytes;
  node.speaker.apply(nodeIntent({ toRouter: { password: 'two' } }), 2);
  await network.advance(200);
  assert.deepEqual([session.keys, session.sentBytes, session.state], [['two'], sent, 'Established']);
  node.speaker.apply(nodeIntent({}), 3);
  await network.advance(200);
  assert.equal(node.sessions.length, 2, 'without a password it is another session');
});

test('a peer that comes near its limit is said once a session', async () => {
  const toRouter = { maxPrefixes: 10, maxPrefixesWarning: 80 };
  const { network, node, router } = await pair({ toRouter, router: prefixes(7) });
  const warnings = () => node.events.filter(({ event }) => event === 'session.nearMaximumPrefixes');
  assert.equal(warnings().length, 0);
  for (const count of [8, 10, 5, 9]) {
    router.speaker.apply(routerIntent({ router: prefixes(count) }), count);
    await network.settle();
  }
  assert.deepEqual(
    warnings().map(({ fields }) => fields),
    [{ peer: 'router', family: 'ipv4', received: 8, limit: 10 }],
  );
});

test('a peer that asks for a refresh gets everything again between its markers', async () => {
  const { network, node, router } = await pair();
  const session = node.session('router');
  const before = session.messages.sent;
  assert.equal(router.speaker.reset('node', 'soft'), true);
  await network.settle();
  assert.deepEqual(session.refreshesSent, [1, 2, 1, 2]);
  assert.ok(session.messages.sent - before >= 6);
  assert.equal(router.kernel.size, 2);
  assert.deepEqual(
    router.received().map((row) => row.stale),
    [false, false],
  );
});

test('a slow peer hears the last state once it has room, and nothing meanwhile', async () => {
  const { network, node, router } = await pair();
  const session = node.session('router');
  session.full = true;
  const announce = (...prefixes: string[]): void =>
    node.speaker.apply(nodeIntent({ node: { announcements: prefixes.map(block) } }), 2);
  announce('10.60.3.0/26');
  await network.settle();
  const sent = session.sentBytes;
  announce('10.60.4.0/26');
  await network.settle();
  announce('10.60.5.0/26');
  await network.settle();
  assert.equal(session.sentBytes, sent);
  session.full = false;
  session.modules.handlers.writable();
  await network.settle();
  assert.deepEqual([...router.kernel.keys()], ['10.60.5.0/26']);
});

test('own prefixes, loops and ranges that nobody may announce are refused with a sentence', async () => {
  const { node } = await pair({
    router: {
      announcements: [
        '10.60.1.0/26',
        '10.60.1.64/27',
        '10.60.1.16/28',
        '127.1.0.0/16',
        '169.254.9.0/24',
        '0.0.0.0/0',
      ].map(block),
    },
  });
  assert.deepEqual(Object.fromEntries(node.received().map((row) => [row.prefix, row.reason])), {
    '0.0.0.0/0': 'accepted: importPolicy All',
    '10.60.1.0/26': 'refused: own block 10.60.1.0/26',
    '10.60.1.16/28': 'refused: inside own block 10.60.1.0/26',
    '10.60.1.64/27': 'accepted: importPolicy All',
    '127.1.0.0/16': 'refused: inside range 127.0.0.0/8',
    '169.254.9.0/24': 'refused: inside range 169.254.0.0/16',
  });
  assert.deepEqual([...node.kernel.keys()].sort(), ['0.0.0.0/0', '10.60.1.64/27']);
});

test('what is announced is listed with its attributes', async () => {
  const { node } = await pair();
  assert.deepEqual(
    node.rows('announced').map((row) => [row.prefix, row.peer, row.asPath, row.nextHop, row.reason]),
    [
      ['10.60.1.0/26', 'router', '65001', '192.0.2.1', 'announced: originated here'],
      ['fd00:60:1::/64', 'router', '65001', '2001:db8::1', 'announced: originated here'],
    ],
  );
});

test('an internal session carries LOCAL_PREF and no AS of ours', async () => {
  const { router } = await pair({
    toRouter: { peerAsn: asn(65001) },
    toNode: { peerAsn: asn(65001), localAsn: asn(65001) },
    router: { asn: asn(65001) },
  });
  assert.deepEqual(
    router.received().map((row) => [row.asPath, row.localPref]),
    [
      ['', 100],
      ['', 100],
    ],
  );
});

test('routes can be asked for by address, by prefix and within a prefix', async () => {
  const { node } = await pair();
  const ask = (query: object): string[] =>
    node.speaker.routes({ direction: 'received', limit: 10, ...query }).rows.map((row) => row.prefix);
  assert.deepEqual(ask({ prefix: ip('198.51.100.7') }), ['198.51.100.0/24']);
  assert.deepEqual(ask({ prefix: prefix('198.51.0.0/16') }), []);
  assert.deepEqual(ask({ prefix: prefix('198.51.0.0/16'), within: true }), ['198.51.100.0/24']);
  assert.deepEqual(ask({ family: 'ipv6' }), ['2001:db8:100::/48']);
  assert.equal(node.speaker.routes({ direction: 'received', limit: 1 }).more, true);
});

test('a node that installs no routes passes them on without a word to the kernel, and takes them out when told so later', async () => {
  const { network, node } = await pair({ toRouter: { importPolicy: 'All' }, node: { installRoutes: false } });
  assert.equal(node.speaker.routes({ direction: 'best', limit: 9, prefix: prefix('198.51.100.0/24') }).rows.length, 1);
  assert.deepEqual(kernelOf(node), {});
  node.speaker.apply(nodeIntent({ toRouter: { importPolicy: 'All' } }), 2);
  await network.settle();
  assert.deepEqual(Object.keys(kernelOf(node)), ['198.51.100.0/24', '2001:db8:100::/48']);
  node.speaker.apply(nodeIntent({ toRouter: { importPolicy: 'All' }, node: { installRoutes: false } }), 3);
  await network.settle();
  assert.deepEqual(kernelOf(node), {});
});
