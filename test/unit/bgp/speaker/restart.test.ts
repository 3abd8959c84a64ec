/** Routes over the end of a session: graceful restart, NOTIFICATIONs with the N bit, failed paths. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { seconds } from '#lib/time.ts';
import type { FilterIntent, PeerIntent } from '#bgp/engine.ts';
import type { InheritedRoutes, NextHop } from '#dataplane/fib/route.ts';
import { fibRowBytes } from '#dataplane/fib/route.ts';
import { familyOf, prefixParts } from '#lib/ip.ts';
import { Network, type Node, asn, intent, ip, kernelView, peerIntent, prefix, rowsOf } from './network.ts';

interface Pair {
  readonly network: Network;
  readonly node: Node;
  readonly router: Node;
  /** Other fields of the node's peer from now on. */
  readonly change: (toRouter: Partial<PeerIntent>) => Promise<void>;
}

const routes = ['198.51.100.0/24', '2001:db8:100::/48'];

/** `node` (AS 65001, 192.0.2.1) and `router` (AS 65002, 192.0.2.2), which announces `routes`. */
async function pair(both: Partial<PeerIntent>, toRouter: Partial<PeerIntent> = {}): Promise<Pair> {
  const network = new Network();
  const node = network.node('node');
  const router = network.node('router');
  node.speaker.setKernelView(kernelView([['192.0.2.1/24', '2001:db8::1/64', 'fe80::1/64']]));
  router.speaker.setKernelView(kernelView([['192.0.2.2/24', '2001:db8::2/64', 'fe80::2/64']]));
  let generation = 1;
  const change = async (fields: Partial<PeerIntent>): Promise<void> => {
    const peers = [peerIntent({ name: 'router', ...both, ...fields })];
    node.speaker.apply(intent({ peers }), generation++);
    await network.settle();
  };
  const toNode = peerIntent({
    name: 'node',
    address: ip('192.0.2.1'),
    sourceAddress: ip('192.0.2.2'),
    peerAsn: asn(65001),
    localAsn: asn(65002),
    ...both,
  });
  router.speaker.apply(
    intent({
      asn: asn(65002),
      routerId: ip('10.255.0.2'),
      peers: [toNode],
      announcements: routes.map((text) => ({ prefix: prefix(text), source: 'block' as const })),
    }),
    1,
  );
  await change(toRouter);
  assert.deepEqual([...node.kernel.keys()].sort(), routes);
  return { network, node, router, change };
}

const cutOff = (network: Network): void => {
  network.broken.add('192.0.2.1|192.0.2.2').add('192.0.2.2|192.0.2.1');
};
const crash = { code: 'SESSION_CONNECTION_CLOSED', text: 'closed', keepRoutes: true, replaced: false };
const notify: Partial<PeerIntent> = {
  notificationRestart: true,
  gracefulRestart: { enabled: true, restartTime: seconds(20) },
};

suite('the N bit (RFC 8538)', () => {
  const bfd = {
    receiveInterval: seconds(1),
    transmitInterval: seconds(1),
    detectMultiplier: 3,
    passive: false,
    minimumTtl: 254,
    multihop: undefined,
  };
  const rows = [
    { name: 'both ends have it', toRouter: {}, negotiated: true },
    { name: 'it comes with BFD', toRouter: { notificationRestart: undefined, bfd }, negotiated: true },
    { name: 'it does not come without', toRouter: { notificationRestart: undefined }, negotiated: false },
    { name: 'only the peer has it', toRouter: { notificationRestart: false }, negotiated: false },
  ];
  for (const { name, toRouter, negotiated } of rows) {
    test(`${name}: a reset by the operator ${negotiated ? 'keeps' : 'drops'} the routes of either end`, async () => {
      const { network, node } = await pair(notify, toRouter);
      assert.equal(node.facts?.peers[0]?.gracefulRestart?.notification, negotiated);
      cutOff(network);
      node.speaker.reset('router', 'hard');
      await network.advance(19_000);
      assert.equal(node.kernel.size, negotiated ? 2 : 0);
      await network.advance(2_000);
      assert.equal(node.kernel.size, 0, 'no longer than the restart time');
    });
  }

  test('a session that is reset because its configuration changed loses no route', async () => {
    const { network, node, change } = await pair(notify);
    const rowsBefore = node.fib.length;
    await change({ holdTime: seconds(30) });
    await network.advance(10_000);
    assert.equal(node.session('router').options.peer.holdTime, 30_000);
    assert.equal(node.facts?.peers[0]?.state, 'Established');
    assert.deepEqual(
      node.fib.slice(rowsBefore).flatMap(({ groupIds }) => [...groupIds]),
      [],
    );
    assert.deepEqual(
      node.received().map((row) => row.stale),
      [false, false],
    );
  });

  test('a peer that becomes another, is disabled or removed leaves nothing', async () => {
    for (const gone of [{ address: ip('192.0.2.99') }, { peerAsn: asn(65099) }, { enabled: false }] as const) {
      const { node, change } = await pair(notify);
      await change(gone);
      assert.deepEqual([...node.kernel.keys()], [], JSON.stringify(gone));
    }
    const { network, node } = await pair(notify);
    node.speaker.apply(intent({}), 9);
    await network.settle();
    assert.equal(node.kernel.size, 0);
  });

  test('a stop for good is final at the other end', async () => {
    const { network, node, router } = await pair(notify);
    cutOff(network);
    await router.speaker.stop('cease');
    await network.settle();
    assert.equal(node.kernel.size, 0);
  });

  test('what the peer did not say again after one restart stays over the next, but not for ever', async () => {
    const { network, node, router } = await pair({ ...notify, staleTime: seconds(30) });
    network.mute.add(ip('192.0.2.2'));
    // The peer comes back, says nothing, and goes again.
    for (let i = 0; i < 3; i++) {
      network.cut(router.session('node'), crash);
      await network.advance(12_000);
      assert.equal(node.kernel.size, 2, `restart ${i + 1}`);
    }
    // 20 s of restart time and 30 s of stale time since the first one.
    await network.advance(13_000);
    assert.equal(node.kernel.size, 2);
    await network.advance(2_000);
    assert.equal(node.kernel.size, 0);
  });
});

suite('a failed path', () => {
  for (const notificationRestart of [false, true]) {
    const both = { ...notify, notificationRestart };
    test(`ends the session and its routes, ${notificationRestart ? 'N bit or not' : 'graceful restart or not'}`, async () => {
      const { network, node } = await pair(both);
      cutOff(network);
      node.speaker.pathFailed('router', 'BFD is down');
      await network.settle();
      assert.equal(node.session('router').lastReset?.subcode, 10);
      assert.deepEqual([...node.kernel.keys()], []);
    });
  }

  test('ends the wait for a peer that is restarting', async () => {
    const { network, node, router } = await pair({});
    cutOff(network);
    network.cut(router.session('node'), crash);
    await network.advance(1_000);
    assert.equal(node.kernel.size, 2);
    node.speaker.pathFailed('router', 'BFD is down');
    await network.settle();
    assert.deepEqual([...node.kernel.keys()], []);
    // It comes back as a new one.
    network.broken.clear();
    await network.advance(10_000);
    assert.equal(node.kernel.size, 2);
  });
});

test('the stale time bounds what a peer that is back may take to say its routes', async () => {
  const { network, node, router } = await pair({ staleTime: seconds(7) });
  network.mute.add(ip('192.0.2.2'));
  network.cut(router.session('node'), crash);
  await network.advance(6_000);
  assert.equal(node.kernel.size, 2);
  await network.advance(2_000);
  assert.equal(node.kernel.size, 0);
  assert.equal(node.facts?.peers[0]?.state, 'Established');
});

/** The kernel's table at the start: gateways and interfaces by prefix, as `192.0.2.2%1`. */
function inheritedRoutes(table: Readonly<Record<string, readonly string[]>>): InheritedRoutes {
  const entries = Object.entries(table);
  const prefixes = new Uint8Array(fibRowBytes * entries.length);
  const hop = (text: string): NextHop => {
    const [gateway = '', index = ''] = text.split('%');
    return { gateway: ip(gateway), interfaceIndex: Number(index) };
  };
  entries.forEach(([text], i) => {
    const { bytes, length } = prefixParts(prefix(text));
    prefixes.set([familyOf(prefix(text)) === 'ipv4' ? 4 : 6, length, ...bytes], i * fibRowBytes);
  });
  return {
    groups: entries.map(([, members], i) => ({ id: i + 1, members: members.map(hop) })),
    prefixes,
    groupIds: Uint32Array.from(entries, (_, i) => i + 1),
  };
}

suite('routes that the kernel has of an earlier life', () => {
  const [first, second] = ['192.0.2.2%1', '203.0.113.2%2'];
  const view = kernelView([['192.0.2.1/24'], ['203.0.113.1/24']]);
  const shared = '198.51.100.0/24';

  interface Restarted {
    readonly network: Network;
    readonly node: Node;
    /** Starts router 1 or 2 with these announcements. */
    readonly router: (number: 1 | 2, announce: readonly string[]) => Promise<Node>;
    /** What was ever written for a prefix since the start, in order. */
    readonly written: (text: string) => readonly string[];
    readonly kernel: () => Readonly<Record<string, readonly string[]>>;
  }

  async function restarted(
    table: Readonly<Record<string, readonly string[]>>,
    again: { readonly restarted: boolean; readonly peers?: readonly number[] } = { restarted: true },
  ): Promise<Restarted> {
    const network = new Network();
    const node = network.node('node', {
      restarted: again.restarted,
      forwardingPreserved: ['ipv4'],
      inherited: inheritedRoutes(table),
    });
    for (const [text, members] of Object.entries(table)) node.kernel.set(text, [...members]);
    node.speaker.setKernelView(view);
    const links = [
      { address: '192.0.2.2', source: '192.0.2.1' },
      { address: '203.0.113.2', source: '203.0.113.1' },
    ] as const;
    node.speaker.apply(
      intent({
        peers: (again.peers ?? [1, 2]).map((number) =>
          peerIntent({
            name: `router${number}`,
            families: ['ipv4'],
            address: ip(links[number === 1 ? 0 : 1].address),
            sourceAddress: ip(links[number === 1 ? 0 : 1].source),
            peerAsn: asn(65001 + number),
          }),
        ),
      }),
      1,
    );
    await network.settle();
    const router = async (number: 1 | 2, announce: readonly string[]): Promise<Node> => {
      const link = links[number - 1] ?? links[0];
      const made = network.node(`router${number}`);
      made.speaker.setKernelView(kernelView([[`${link.address}/24`]]));
      const toNode = peerIntent({
        name: 'node',
        families: ['ipv4'],
        address: ip(link.source),
        sourceAddress: ip(link.address),
        peerAsn: asn(65001),
        localAsn: asn(65001 + number),
      });
      made.speaker.apply(
        intent({
          asn: asn(65001 + number),
          routerId: ip(`10.255.0.${number + 1}`),
          peers: [toNode],
          announcements: announce.map((text) => ({ prefix: prefix(text), source: 'block' as const })),
        }),
        1,
      );
      await network.settle();
      return made;
    };
    const hops = new Map<number, string>([[0, 'nothing']]);
    const written = (text: string): readonly string[] =>
      node.fib.flatMap((update) => {
        for (const { id, members } of update.groups)
          hops.set(id, members.map(({ gateway, interfaceIndex }) => `${gateway}%${interfaceIndex}`).join(' '));
        return rowsOf(update).flatMap((row) => (row.prefix === text ? [hops.get(row.group) ?? '?'] : []));
      });
    const kernel = (): Readonly<Record<string, readonly string[]>> => Object.fromEntries(node.kernel);
    return { network, node, router, written, kernel };
  }

  test('equal paths that come back one by one never shrink', async () => {
    const { node, router, written, kernel } = await restarted({ [shared]: [first, second] });
    assert.deepEqual(written(shared), [], 'nothing is touched before a peer is there');
    await router(1, [shared]);
    assert.deepEqual(kernel(), { [shared]: [first, second] });
    assert.equal(node.rows('best').length, 1, 'only what was learned is a route');
    await router(2, [shared]);
    assert.deepEqual(written(shared), [`${first} ${second}`]);
    assert.equal(node.fib.filter(({ complete }) => complete).length, 1);
  });

  test('a next hop that its peer does not name again goes with the End-of-RIB', async () => {
    const { network, router, kernel } = await restarted({ [shared]: [first, second], '198.51.101.0/24': [second] });
    await router(1, [shared]);
    await network.advance(10_000);
    assert.deepEqual(kernel(), { [shared]: [first, second], '198.51.101.0/24': [second] });
    await router(2, []);
    assert.deepEqual(kernel(), { [shared]: [first] });
  });

  test('a dead peer keeps its own next hops for 30 s, and nobody else’s', async () => {
    const table = { [shared]: [first, second], '198.51.101.0/24': [first], '198.51.102.0/24': [second] };
    const { network, router, kernel, written } = await restarted(table);
    await router(1, [shared]);
    // What the living peer said no more is gone at once.
    assert.deepEqual(kernel(), { [shared]: [first, second], '198.51.102.0/24': [second] });
    await network.advance(29_000);
    assert.deepEqual(kernel(), { [shared]: [first, second], '198.51.102.0/24': [second] });
    await network.advance(2_000);
    assert.deepEqual(kernel(), { [shared]: [first] });
    assert.deepEqual(written('198.51.102.0/24'), ['nothing']);
  });

  test('a path that is no part of the earlier set replaces it at once', async () => {
    const { router, kernel } = await restarted({ [shared]: [second] });
    await router(1, [shared]);
    assert.deepEqual(kernel(), { [shared]: [first] });
  });

  test('a next hop whose link is gone, or whose path has failed, is hoped for no more', async () => {
    for (const how of ['link', 'path'] as const) {
      const { network, node, kernel } = await restarted({ [shared]: [first, second] });
      if (how === 'path') node.speaker.pathFailed('router2', 'BFD is down');
      else {
        const interfaces = view.interfaces.map((link) => (link.index === 2 ? { ...link, up: false } : link));
        node.speaker.setKernelView({ ...view, interfaces });
      }
      await network.settle();
      assert.deepEqual(kernel(), { [shared]: [first] }, how);
    }
  });

  test('a next hop of nobody’s may be anybody’s until all are heard; without peers nothing stays', async () => {
    const { kernel } = await restarted({ [shared]: [first, second] }, { restarted: true, peers: [1] });
    // It is on a link without a peer now.
    assert.deepEqual(kernel(), { [shared]: [first, second] });
    const none = await restarted({ [shared]: [first, second] }, { restarted: true, peers: [] });
    assert.deepEqual(none.kernel(), {});
  });

  test('a prefix that this node announces itself now is not sent elsewhere', async () => {
    const { network, node, kernel } = await restarted({ [shared]: [first, second] });
    const announcements = [{ prefix: prefix(shared), source: 'block' as const }];
    node.speaker.apply(intent({ ...nodeIntentOf(node), announcements }), 2);
    await network.settle();
    assert.deepEqual(kernel(), {});
  });

  test('after a reboot nothing is taken for the earlier life’s', async () => {
    const { router, kernel, written } = await restarted({ [shared]: [first, second] }, { restarted: false });
    await router(1, [shared]);
    assert.deepEqual(kernel(), { [shared]: [first] });
    assert.deepEqual(written(shared), [first]);
  });
});

/** The peers that a node has. */
const nodeIntentOf = (node: Node): { readonly peers: readonly PeerIntent[] } => ({
  peers: node.sessions.map((session) => session.options.peer),
});

suite('long-lived graceful restart (RFC 9494)', () => {
  const restart = { enabled: true, restartTime: seconds(20) };
  const granted = (time: number): Partial<PeerIntent> => ({
    longLivedGracefulRestart: { staleTime: seconds(time), families: ['ipv4'] },
  });
  const addresses = { origin: 2, other: 3, knows: 4, external: 5, internal: 6 } as const;
  type Name = keyof typeof addresses;
  const internal = (name: Name): boolean => name === 'internal';

  interface Star {
    readonly network: Network;
    readonly node: Node;
    readonly leaf: Record<Name, Node>;
    /** Cuts the origin off from the node, or lets it come back. */
    readonly away: (isAway: boolean) => Promise<void>;
    readonly announce: (
      name: Name,
      rows: readonly (readonly [text: string, communities?: readonly number[]])[],
    ) => Promise<void>;
    /** What a leaf was told of a prefix: communities and local preference; `undefined`: nothing. */
    readonly told: (name: Name, text: string) => string | undefined;
  }

  /** Adds communities to what is announced of a prefix. */
  const carrying = (text: string, communities: readonly number[]): FilterIntent => ({
    name: text,
    default: undefined,
    import: { ipv4: [], ipv6: [] },
    export: {
      ipv4: [
        {
          action: 'Accept',
          match: { operator: 'Equal', cidr: prefix(text), minLength: 0, maxLength: 32 },
          operations: communities.map((community) => ({ kind: 'addCommunity' as const, community })),
        },
      ],
      ipv6: [],
    },
  });

  /** A node in transit between `origin`, whose routes may be stale for `time`, and others. */
  async function star(time: { readonly origin: number; readonly node: number }): Promise<Star> {
    const network = new Network();
    const names = Object.keys(addresses) as Name[];
    const node = network.node('node');
    node.speaker.setKernelView(kernelView(names.map((name) => [`192.0.${addresses[name]}.1/24`])));
    const speaksLongLived = (name: Name): number | undefined =>
      name === 'origin' ? time.origin : name === 'knows' ? 60 : undefined;
    const peerOf = (name: Name): PeerIntent => {
      const ours = name === 'origin' ? time.node : speaksLongLived(name);
      return peerIntent({
        name,
        families: ['ipv4'],
        address: ip(`192.0.${addresses[name]}.2`),
        sourceAddress: ip(`192.0.${addresses[name]}.1`),
        peerAsn: asn(internal(name) ? 65001 : 65000 + addresses[name]),
        transit: true,
        gracefulRestart: restart,
        ...(ours === undefined ? {} : granted(ours)),
      });
    };
    node.speaker.apply(intent({ peers: names.map(peerOf) }), 1);
    let generation = 1;
    const leaf = Object.fromEntries(names.map((name) => [name, network.node(name)])) as Record<Name, Node>;
    const announce: Star['announce'] = async (name, rows) => {
      const own = asn(internal(name) ? 65001 : 65000 + addresses[name]);
      const time9494 = speaksLongLived(name);
      const toNode = peerIntent({
        name: 'node',
        families: ['ipv4'],
        address: ip(`192.0.${addresses[name]}.1`),
        sourceAddress: ip(`192.0.${addresses[name]}.2`),
        peerAsn: asn(65001),
        localAsn: own,
        gracefulRestart: restart,
        filters: rows.map(([text, communities = []]) => carrying(text, communities)),
        ...(time9494 === undefined ? {} : granted(time9494)),
      });
      leaf[name].speaker.apply(
        intent({
          asn: own,
          routerId: ip(`10.255.0.${addresses[name]}`),
          peers: [toNode],
          announcements: rows.map(([text]) => ({ prefix: prefix(text), source: 'advertise' as const })),
        }),
        generation++,
      );
      await network.settle();
    };
    for (const name of names) {
      leaf[name].speaker.setKernelView(kernelView([[`192.0.${addresses[name]}.2/24`]]));
      await announce(name, []);
    }
    const away = async (isAway: boolean): Promise<void> => {
      const ways = ['192.0.2.1|192.0.2.2', '192.0.2.2|192.0.2.1'];
      for (const way of ways) {
        if (isAway) network.broken.add(way);
        else network.broken.delete(way);
      }
      if (isAway) network.cut(leaf.origin.session('node'), crash);
      await network.settle();
    };
    const told: Star['told'] = (name, text) => {
      const row = leaf[name].received().find((it) => it.prefix === text);
      if (row === undefined) return undefined;
      return [...row.communities, ...(internal(name) ? [`preference ${row.localPref}`] : [])].join(' ');
    };
    return { network, node, leaf, away, announce, told };
  }

  const route = '198.51.100.0/24';

  test('after the restart time a route is the last choice, and says so to those who know', async () => {
    const { network, node, away, announce, told } = await star({ origin: 100, node: 60 });
    await announce('origin', [[route], ['198.51.101.0/24', [0xffff0007]]]);
    await away(true);
    await network.advance(19_000);
    assert.deepEqual([...node.kernel.keys()], [route, '198.51.101.0/24']);
    assert.equal(told('knows', route), '');
    await network.advance(2_000);
    assert.deepEqual([...node.kernel.keys()], [route], 'NO_LLGR went with the restart time');
    assert.equal(told('knows', route), 'LLGR_STALE');
    assert.equal(told('external', route), undefined);
    assert.equal(told('internal', route), 'LLGR_STALE NO_EXPORT preference 0');
    // A longer path of somebody else is better now.
    await announce('other', [[route]]);
    assert.deepEqual(node.kernel.get(route), ['192.0.3.2%2']);
    assert.equal(told('knows', route), '');
    assert.equal(told('external', route), '');
    await announce('other', []);
    assert.equal(told('knows', route), 'LLGR_STALE');
    // 60 s, the smaller of both times.
    await network.advance(57_000);
    assert.equal(node.kernel.size, 1);
    await network.advance(2_000);
    assert.equal(node.kernel.size, 0);
    assert.equal(told('internal', route), undefined);
  });

  test('a route that is said again is as good as before; what is not goes with the End-of-RIB', async () => {
    const { network, node, leaf, away, announce, told } = await star({ origin: 100, node: 60 });
    await announce('origin', [[route], ['198.51.101.0/24']]);
    await away(true);
    await network.advance(30_000);
    assert.equal(told('knows', '198.51.101.0/24'), 'LLGR_STALE');
    // The same attributes, but not both prefixes.
    await announce('origin', [[route]]);
    await away(false);
    await network.advance(100);
    assert.deepEqual([...node.kernel.keys()], [route]);
    assert.equal(told('knows', route), '');
    assert.equal(told('external', route), '');
    await network.advance(200_000);
    assert.equal(node.kernel.size, 1);
    assert.equal(leaf.origin.facts?.peers[0]?.state, 'Established');
  });

  test('the stale time runs on until the peer has said all again', async () => {
    const { network, node, away, announce } = await star({ origin: 100, node: 60 });
    await announce('origin', [[route]]);
    await away(true);
    await network.advance(30_000);
    // 10 s of the 60 are over. It comes back, says nothing, and goes again.
    network.mute.add(ip('192.0.2.2'));
    await away(false);
    await network.advance(10_000);
    assert.equal(node.kernel.size, 1);
    await away(true);
    await network.advance(39_000);
    assert.equal(node.kernel.size, 1);
    await network.advance(2_000);
    assert.equal(node.kernel.size, 0);
  });

  test('a peer that lost its forwarding meanwhile keeps nothing when it is back', async () => {
    const { network, node, leaf, away, announce } = await star({ origin: 100, node: 60 });
    await announce('origin', [[route]]);
    await away(true);
    await network.advance(30_000);
    await leaf.origin.speaker.stop('silent');
    await network.settle();
    const reborn = network.node('origin', { restarted: false, forwardingPreserved: [] });
    reborn.speaker.setKernelView(kernelView([['192.0.2.2/24']]));
    network.mute.add(ip('192.0.2.2'));
    await away(false);
    leaf.origin = reborn;
    await announce('origin', [[route]]);
    assert.equal(node.facts?.peers.find(({ name }) => name === 'origin')?.state, 'Established');
    assert.equal(node.kernel.size, 0);
  });

  test('without our consent, or for another family, nothing is stale for long', async () => {
    for (const nodeTime of [0, 60]) {
      const { network, node, away, announce } = await star({ origin: nodeTime === 0 ? 100 : 0, node: nodeTime });
      await announce('origin', [[route]]);
      await away(true);
      await network.advance(21_000);
      assert.equal(node.kernel.size, 0);
    }
  });

  test('LLGR_STALE of a peer makes its route the last choice', async () => {
    const { node, announce, told } = await star({ origin: 100, node: 60 });
    await announce('origin', [[route, [0xffff0006]]]);
    assert.deepEqual(node.kernel.get(route), ['192.0.2.2%1']);
    assert.equal(told('external', route), undefined);
    assert.equal(told('knows', route), 'LLGR_STALE');
    await announce('internal', [[route]]);
    assert.deepEqual(node.kernel.get(route), ['192.0.6.2%5'], 'an internal path wins over it');
  });
});
