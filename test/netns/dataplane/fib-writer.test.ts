// Learned routes in a real kernel: what is written, what survives a restart, what is never touched, what is repaired.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { IpAddress } from '#lib/ip.ts';
import { decodeNexthop, appendDumpNexthops } from '#netlink/wire/nexthop.ts';
import { eventually } from '../../support/netns.ts';
import { createFibNode, type FibNode, fibUpdate, hop, watchedWriter } from '../../support/fib.ts';

const prefixes = (count: number, group: number): [string, number][] =>
  Array.from({ length: count }, (_, i) => [`20.${i >> 8}.${i & 255}.0/24`, group]);
const prefixes6 = (count: number, group: number): [string, number][] =>
  Array.from({ length: count }, (_, i) => [
    `2001:db8:${i === 0 ? '' : i.toString(16)}${i === 0 ? ':' : '::'}/48`,
    group,
  ]);

describe('FibWriter', () => {
  let node: FibNode;
  before(async () => {
    node = await createFibNode('frt-fib');
  });
  after(() => node.dispose());

  const routes = async (...filter: string[]): Promise<string[]> => {
    const text = await node.ns.run(['ip', '-o', 'route', 'show', ...filter]);
    return text.split('\n').filter((line) => line !== '');
  };
  const routes6 = async (...filter: string[]): Promise<string[]> => {
    const text = await node.ns.run(['ip', '-o', '-6', 'route', 'show', ...filter]);
    return text.split('\n').filter((line) => line !== '');
  };
  const flush = async (): Promise<void> => {
    await node.ns.exec(['ip', 'route', 'flush', 'metric', '20']);
    for (const family of ['-4', '-6']) await node.ns.exec(['ip', family, 'route', 'flush', 'proto', '179']);
    await node.ns.exec(['ip', 'nexthop', 'flush', 'proto', '179']);
  };
  const nexthops = (): string[] => {
    const dumped = node.socket.dumpList(appendDumpNexthops, decodeNexthop);
    assert.ok(dumped.ok);
    return dumped.value.map((one) => (one.members === undefined ? `${one.gateway}` : `group of ${one.members.length}`));
  };

  test('a prefix of its own links that a peer announces stays on the link, in both families', async () => {
    const watched = watchedWriter(node.ns.path);
    try {
      watched.writer.start();
      const groups = [
        { id: 1, members: [hop('10.0.1.2', node.up[1])] },
        { id: 2, members: [hop('fd00:1::2', node.up[1])] },
      ];
      const rows: [string, number][] = [
        ['10.0.0.0/24', 1],
        ['fd00::/64', 2],
      ];
      watched.writer.apply(fibUpdate(1, rows, { groups, complete: true }));
      await watched.applied(1);
      assert.deepEqual(watched.writer.facts().learnedRoutes, { ipv4: 1, ipv6: 1 });
      for (const address of ['10.0.0.77', 'fd00::77'])
        assert.doesNotMatch(await node.ns.run(['ip', 'route', 'get', address]), / via /, address);
    } finally {
      watched.close();
      await flush();
    }
  });

  test('that the last routes of a family go is told before they do, whoever left them', async () => {
    const first = watchedWriter(node.ns.path);
    const groups = [{ id: 1, members: [hop('10.0.0.2', node.up[0])] }];
    const rows: [string, number][] = [...prefixes(3, 1), ['2001:db8::/48', 2]];
    const groups6 = [{ id: 2, members: [hop('fd00::2', node.up[0])] }];
    try {
      first.writer.start();
      first.writer.apply(fibUpdate(1, rows, { groups: [...groups, ...groups6], complete: true }));
      await first.applied(1);
      first.writer.apply(fibUpdate(2, prefixes(2, 0)));
      await first.applied(2);
      assert.deepEqual(first.emptying, [], 'one is left');
      first.writer.apply(fibUpdate(3, [['20.0.2.0/24', 0]]));
      await first.applied(3);
      assert.deepEqual(first.emptying, ['ipv4 1']);
    } finally {
      first.close();
    }
    const second = watchedWriter(node.ns.path);
    try {
      second.writer.start();
      assert.deepEqual(second.writer.facts().learnedRoutes, { ipv4: 0, ipv6: 1 });
      second.writer.apply(fibUpdate(1, [], { complete: true }));
      await second.applied(1);
      await second.until('no route is left', (facts) => facts.learnedRoutes.ipv6 === 0);
      assert.deepEqual(second.emptying, ['ipv6 1']);
    } finally {
      second.close();
      await flush();
    }
  });

  test('routes of both families go by ECMP groups, with protocol, metric and preferred source', async () => {
    const watched = watchedWriter(node.ns.path, {
      preferredSource: { ipv4: '10.0.0.1' as IpAddress, ipv6: 'fd00::1' as IpAddress },
    });
    try {
      watched.writer.start();
      const groups = [
        { id: 1, members: [hop('10.0.0.2', node.up[0]), hop('10.0.1.2', node.up[1])] },
        { id: 2, members: [hop('fd00::2', node.up[0]), hop('fd00:1::2', node.up[1])] },
        { id: 3, members: [hop('fd00::2', node.up[0])] },
      ];
      const rows: [string, number][] = [
        ['20.0.0.0/24', 1],
        ['2001:db8::/48', 2],
        ['20.0.1.0/24', 3],
        ['::/0', 2],
        ['0.0.0.0/0', 1],
      ];
      watched.writer.apply(fibUpdate(1, rows, { groups, complete: true }));
      await watched.applied(1);
      assert.match((await routes('20.0.0.0/24')).join(), /nhid \d+ proto 179 src 10\.0\.0\.1 metric 20/);
      assert.match((await routes('20.0.1.0/24')).join(), /via inet6 fd00::2/, 'RFC 8950: IPv4 by an IPv6 gateway');
      assert.match((await routes6('2001:db8::/48')).join(), /proto 179 src fd00::1 metric 512/);
      assert.equal((await routes6('default')).length, 1);
      assert.equal((await routes('default')).length, 1);
      assert.match(await node.ns.run(['ip', 'route', 'get', '20.0.0.7']), /10\.0\.[01]\.2/);
      assert.deepEqual(watched.writer.facts().learnedRoutes, { ipv4: 3, ipv6: 2 });
      assert.deepEqual(watched.writer.facts().problems, []);
      // The engine changes the group of some, withdraws others, and lets the groups go.
      const moved: [string, number][] = [
        ['20.0.0.0/24', 3],
        ['2001:db8::/48', 3],
        ['20.0.1.0/24', 0],
        ['::/0', 0],
        ['0.0.0.0/0', 0],
        ['99.0.0.0/8', 0],
      ];
      watched.writer.apply(fibUpdate(2, moved, { releasedGroups: [1, 2] }));
      await watched.applied(2);
      assert.equal((await routes6('2001:db8::/48')).length, 1, 'replaced, not added');
      assert.deepEqual(watched.writer.facts().learnedRoutes, { ipv4: 1, ipv6: 1 });
      assert.deepEqual(nexthops().sort(), ['fd00::2', 'group of 1']);
    } finally {
      watched.close();
      await flush();
    }
  });

  test('10,000 routes of each family are written, moved to another group and withdrawn', async () => {
    const watched = watchedWriter(node.ns.path);
    try {
      watched.writer.start();
      const groups = [
        { id: 1, members: [hop('10.0.0.2', node.up[0])] },
        { id: 2, members: [hop('fd00::2', node.up[0])] },
        { id: 3, members: [hop('10.0.1.2', node.up[1])] },
        { id: 4, members: [hop('fd00:1::2', node.up[1])] },
      ];
      watched.writer.apply(fibUpdate(1, [...prefixes(10_000, 1), ...prefixes6(10_000, 2)], { groups, complete: true }));
      await watched.applied(1);
      assert.equal((await routes('proto', '179')).length, 10_000);
      assert.equal((await routes6('proto', '179')).length, 10_000);
      watched.writer.apply(fibUpdate(2, [...prefixes(10_000, 3), ...prefixes6(10_000, 4)], { releasedGroups: [1, 2] }));
      await watched.applied(2);
      assert.equal((await routes('proto', '179', 'via', '10.0.1.2')).length, 10_000);
      assert.equal((await routes6('proto', '179')).filter((line) => line.includes('fd00:1::2')).length, 10_000);
      assert.equal(nexthops().length, 4);
      watched.writer.apply(fibUpdate(3, [...prefixes(10_000, 0), ...prefixes6(10_000, 0)], { releasedGroups: [3, 4] }));
      await watched.applied(3);
      assert.deepEqual(await routes('proto', '179'), []);
      assert.deepEqual(await routes6('proto', '179'), []);
      assert.deepEqual(nexthops(), []);
    } finally {
      watched.close();
      await flush();
    }
  });

  test('after a restart ids are taken over, named routes are not written again, and the rest goes only at `complete`', async () => {
    const first = watchedWriter(node.ns.path);
    const groups = [
      { id: 1, members: [hop('10.0.0.2', node.up[0]), hop('10.0.1.2', node.up[1])] },
      { id: 2, members: [hop('10.0.0.3', node.up[0])] },
    ];
    first.writer.start();
    first.writer.apply(fibUpdate(1, [...prefixes(300, 1), ['30.0.0.0/8', 2]], { groups, complete: true }));
    await first.applied(1);
    first.close();
    const before = await routes('proto', '179');
    const second = watchedWriter(node.ns.path);
    try {
      second.writer.start();
      assert.deepEqual(second.writer.facts().learnedRoutes, { ipv4: 301, ipv6: 0 });
      const inherited = second.writer.inherited();
      assert.equal(inherited.groupIds.length, 301);
      const sets = inherited.groups.map(({ members }) => members.map(({ gateway }) => gateway).sort());
      assert.deepEqual(new Set(sets.map(String)), new Set(['10.0.0.2,10.0.1.2', '10.0.0.3']));
      const again = [{ id: 77, members: [...(groups[0]?.members ?? [])].reverse() }];
      second.writer.apply(fibUpdate(1, prefixes(200, 77), { groups: again }));
      await second.applied(1);
      assert.deepEqual(await routes('proto', '179'), before, 'neither the inherited nor the named ones were touched');
      second.writer.apply(fibUpdate(2, [], { complete: true }));
      await second.applied(2);
      assert.equal((await routes('proto', '179')).length, 200);
      assert.deepEqual(nexthops().sort(), ['10.0.0.2', '10.0.1.2', 'group of 2']);
    } finally {
      second.close();
      await flush();
    }
  });

  test('a new life of the engine counts as a restart', async () => {
    const watched = watchedWriter(node.ns.path);
    try {
      watched.writer.start();
      const groups = [{ id: 1, members: [hop('10.0.0.2', node.up[0])] }];
      watched.writer.apply(fibUpdate(1, prefixes(20, 1), { groups, complete: true }));
      await watched.applied(1);
      watched.writer.engineRestarted();
      const later = [{ id: 1, members: [hop('10.0.1.2', node.up[1])] }];
      watched.writer.apply(fibUpdate(1, prefixes(5, 1), { groups: later }));
      await watched.until('five moved', (facts) => facts.pending === 0);
      assert.equal((await routes('proto', '179')).length, 20);
      watched.writer.apply(fibUpdate(2, [], { complete: true }));
      await watched.applied(2);
      assert.equal((await routes('proto', '179')).length, 5);
      assert.equal((await routes('proto', '179', 'via', '10.0.1.2')).length, 5);
    } finally {
      watched.close();
      await flush();
    }
  });

  for (const [family, prefix, foreign] of [
    ['IPv4', '20.0.0.0/24', ['20.0.0.0/24', 'via', '10.0.0.9', 'metric', '20', 'proto', '98']],
    ['IPv6', '2001:db8::/48', ['2001:db8::/48', 'via', 'fd00::9', 'metric', '512', 'proto', '98']],
  ] as const) {
    test(`a foreign ${family} route at the same place stays, is reported, and ours comes when it has gone`, async () => {
      await node.ns.run(['ip', 'route', 'add', ...foreign]);
      const watched = watchedWriter(node.ns.path);
      try {
        watched.writer.start();
        const groups = [{ id: 1, members: [hop(family === 'IPv4' ? '10.0.0.2' : 'fd00::2', node.up[0])] }];
        watched.writer.apply(fibUpdate(1, [[prefix, 1]], { groups, complete: true }));
        const facts = await watched.until('the conflict is known', (one) => one.routeConflicts[0]?.protocol === 98);
        assert.deepEqual(facts.routeConflicts, [{ prefix, protocol: 98 }]);
        const shown = family === 'IPv4' ? await routes(prefix) : await routes6(prefix);
        assert.match(shown.join(), /proto 98/);
        assert.equal(shown.length, 1);
        await node.ns.run(['ip', 'route', 'del', ...foreign]);
        watched.writer.observeAgain();
        await watched.until('ours is in', (one) => one.learnedRoutes.ipv4 + one.learnedRoutes.ipv6 === 1);
        assert.deepEqual(watched.writer.facts().routeConflicts, []);
      } finally {
        watched.close();
        await flush();
      }
    });
  }

  test('carrier loss takes nexthops and routes; the other path carries on and all come back with the carrier', async () => {
    const watched = watchedWriter(node.ns.path);
    try {
      watched.writer.start();
      const groups = [
        { id: 1, members: [hop('10.0.0.2', node.up[0]), hop('10.0.1.2', node.up[1])] },
        { id: 2, members: [hop('10.0.0.2', node.up[0])] },
        { id: 3, members: [hop('fd00::2', node.up[0])] },
      ];
      const rows = [...prefixes(50, 1), ['30.0.0.0/8', 2], ['2001:db8::/48', 3]] as [string, number][];
      watched.writer.apply(fibUpdate(1, rows, { groups, complete: true }));
      await watched.applied(1);
      await node.peer.run(['ip', 'link', 'set', 'up0', 'down']);
      // The kernel takes next hops away some time after the link shows that it has no carrier.
      await eventually(
        'the kernel to act on it',
        async () => !(await node.ns.run(['ip', 'nexthop'])).includes(' dev up0 '),
      );
      watched.writer.observeAgain();
      const without = await watched.until(
        'next hops are missed',
        (one) => one.problems.length > 0 && one.pending === 0,
      );
      assert.deepEqual(without.learnedRoutes, { ipv4: 50, ipv6: 0 });
      assert.equal((await routes('proto', '179', 'via', '10.0.1.2')).length, 50);
      await node.peer.run(['ip', 'link', 'set', 'up0', 'up']);
      await eventually('the kernel to act on it', async () =>
        (await node.ns.run(['cat', '/sys/class/net/up0/operstate'])).startsWith('up'),
      );
      watched.writer.observeAgain();
      const back = await watched.until('all is back', (one) => one.learnedRoutes.ipv4 === 51 && one.pending === 0);
      assert.deepEqual(back.problems, []);
      assert.deepEqual(nexthops().sort(), [
        '10.0.0.2',
        '10.0.1.2',
        'fd00::2',
        'group of 1',
        'group of 1',
        'group of 2',
      ]);
    } finally {
      watched.close();
      await node.peer.run(['ip', 'link', 'set', 'up0', 'up']);
      await flush();
    }
  });

  test('what BFD deletes of a failed path stays away until it is told to be well; of a watched one that is well it comes back', async () => {
    const watched = watchedWriter(node.ns.path);
    const paths = [hop('10.0.0.2', node.up[0]), hop('10.0.1.2', node.up[1])];
    const [failing] = paths;
    assert.ok(failing !== undefined);
    const viaFailing = async (): Promise<number> => (await routes('proto', '179', 'via', failing.gateway)).length;
    const idOf = (): number =>
      watched.writer.facts().nexthops.find(({ gateway }) => gateway === failing.gateway)?.id ?? 0;
    const lose = async (): Promise<void> => {
      await node.ns.run(['ip', 'nexthop', 'del', 'id', String(idOf())]);
      watched.writer.observeAgain();
    };
    try {
      watched.writer.start();
      watched.writer.setPaths({ watched: paths, failed: [] });
      watched.writer.apply(fibUpdate(1, prefixes(50, 1), { groups: [{ id: 1, members: paths }], complete: true }));
      await watched.applied(1);
      await watched.until('both are in the kernel', (one) => one.nexthops.length === 2);
      const repairs = watched.writer.facts().repairs['nexthop'];

      await lose();
      await watched.until('one is missed', (one) => one.nexthops.length === 1 && one.pending === 0);
      assert.equal(await viaFailing(), 0);
      watched.writer.setPaths({ watched: paths, failed: [failing] });
      // A new set of next hops does not bring it back either.
      watched.writer.apply(fibUpdate(2, prefixes(1, 2), { groups: [{ id: 2, members: [failing] }] }));
      watched.writer.apply(fibUpdate(3, prefixes(1, 3), { groups: [{ id: 3, members: paths }] }));
      await watched.applied(3);
      assert.equal(await viaFailing(), 0);
      assert.equal((await routes('proto', '179', 'via', '10.0.1.2')).length, 50);
      assert.equal(watched.writer.facts().repairs['nexthop'], repairs, 'that it is missing is no drift');
      watched.writer.setPaths({ watched: paths, failed: [] });
      await watched.until('it is back', (one) => one.nexthops.length === 2 && one.pending === 0);

      // Nobody says that this one failed: it rests a while, and comes back by itself.
      await lose();
      await watched.until('one is missed', (one) => one.nexthops.length === 1);
      await watched.until('it is back', (one) => one.nexthops.length === 2);
    } finally {
      watched.close();
      await flush();
    }
  });

  test('what somebody deletes, changes or adds with our marks is put right and counted', async () => {
    const watched = watchedWriter(node.ns.path);
    try {
      watched.writer.start();
      const groups = [{ id: 1, members: [hop('10.0.0.2', node.up[0]), hop('10.0.1.2', node.up[1])] }];
      watched.writer.apply(fibUpdate(1, prefixes(10, 1), { groups, complete: true }));
      await watched.applied(1);
      await node.ns.run(['ip', 'route', 'del', '20.0.3.0/24', 'proto', '179']);
      await node.ns.run(['ip', 'route', 'replace', '20.0.4.0/24', 'via', '10.0.0.9', 'metric', '20', 'proto', '179']);
      await node.ns.run(['ip', 'route', 'add', '40.0.0.0/8', 'via', '10.0.0.9', 'metric', '20', 'proto', '179']);
      watched.writer.observeAgain();
      await watched.until('repaired', (one) => one.repairs['unexpectedRoute'] === 1 && one.pending === 0);
      assert.equal((await routes('proto', '179')).length, 10);
      assert.equal((await routes('proto', '179', 'via', '10.0.0.9')).length, 0);
      assert.equal(watched.writer.facts().repairs['route'], 2);
      await node.ns.run(['ip', 'nexthop', 'flush', 'proto', '179']);
      assert.deepEqual(await routes('proto', '179'), []);
      watched.writer.observeAgain();
      await watched.until('nexthops repaired', (one) => one.repairs['nexthop'] === 2 && one.pending === 0);
      assert.equal((await routes('proto', '179')).length, 10);
      assert.equal(watched.writer.facts().repairs['nexthopGroup'], 1);
    } finally {
      watched.close();
      await flush();
    }
  });

  test('a node address that no interface has is left out until it is there, and a changed one moves every route', async () => {
    const source = { ipv4: '192.0.2.1' as IpAddress, ipv6: undefined };
    const watched = watchedWriter(node.ns.path, { preferredSource: source });
    try {
      watched.writer.start();
      const groups = [{ id: 1, members: [hop('10.0.0.2', node.up[0])] }];
      watched.writer.apply(fibUpdate(1, prefixes(10, 1), { groups, complete: true }));
      await watched.applied(1);
      assert.equal((await routes('proto', '179')).length, 10);
      assert.deepEqual(
        watched.writer.facts().problems.map((one) => one.code),
        ['PreferredSourceMissing'],
      );
      await node.ns.run(['ip', 'address', 'add', '192.0.2.1/32', 'dev', 'lo']);
      watched.writer.observeAgain();
      await watched.until('the source is known', (one) => one.problems.length === 0 && one.pending === 0);
      assert.equal((await routes('proto', '179', 'src', '192.0.2.1')).length, 10);
      watched.writer.setPreferredSource({ ipv4: '10.0.0.1' as IpAddress, ipv6: undefined });
      watched.writer.apply(fibUpdate(2, []));
      await watched.applied(2);
      assert.equal((await routes('proto', '179', 'src', '10.0.0.1')).length, 10);
    } finally {
      watched.close();
      await node.ns.exec(['ip', 'address', 'del', '192.0.2.1/32', 'dev', 'lo']);
      await flush();
    }
  });

  test('objects of others in our range of ids are stepped around and left alone', async () => {
    const first = 0x0b000000;
    await node.ns.run(['ip', 'nexthop', 'add', 'id', String(first), 'via', '10.0.0.9', 'dev', 'up0', 'proto', '98']);
    const watched = watchedWriter(node.ns.path);
    try {
      watched.writer.start();
      const groups = [{ id: 1, members: [hop('10.0.0.2', node.up[0])] }];
      watched.writer.apply(fibUpdate(1, prefixes(3, 1), { groups, complete: true }));
      await watched.applied(1);
      assert.equal((await routes('proto', '179', 'via', '10.0.0.2')).length, 3);
      watched.writer.apply(fibUpdate(2, prefixes(3, 0), { releasedGroups: [1] }));
      await watched.applied(2);
      assert.deepEqual(nexthops(), ['10.0.0.9']);
    } finally {
      watched.close();
      await node.ns.exec(['ip', 'nexthop', 'del', 'id', String(first)]);
      await flush();
    }
  });
});
