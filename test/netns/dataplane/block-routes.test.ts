// Blackholes of blocks in a real kernel.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Prefix } from '#lib/ip.ts';
import { BlockRoutes } from '#dataplane/fib/block-routes.ts';
import { NetlinkSocket } from '#netlink/io/socket.ts';
import { createNamespace, type TestNamespace } from '../../support/netns.ts';

const blocks = ['10.9.0.0/26', '2001:db8:9::/122'] as Prefix[];

describe('BlockRoutes', () => {
  let ns: TestNamespace;
  let socket: NetlinkSocket;
  before(async () => {
    ns = await createNamespace('frt-blocks');
    socket = NetlinkSocket.open({ namespace: ns.path });
  });
  after(async () => {
    socket.close();
    await ns.dispose();
  });

  const shown = async (): Promise<string[]> => {
    const both = (await ns.run(['ip', 'route'])) + (await ns.run(['ip', '-6', 'route']));
    return both.split('\n').filter((line) => line.includes('blackhole'));
  };
  const open = (): { routes: BlockRoutes; told: () => number } => {
    let told = 0;
    const routes = new BlockRoutes({ socket }, { changed: () => (told += 1) });
    return { routes, told: () => told };
  };

  test('each block has a blackhole of the worst metric, and facts name it only then', async () => {
    const { routes, told } = open();
    assert.deepEqual(routes.facts().blackholes, []);
    routes.set(blocks);
    assert.deepEqual(routes.facts().blackholes, blocks);
    assert.equal(told(), 1);
    const lines = await shown();
    assert.equal(lines.length, 2);
    for (const line of lines) assert.match(line, /proto 179 .*metric 4294967294/);
  });

  test('what an earlier life left for other blocks goes, foreign blackholes stay', async () => {
    await ns.run(['ip', 'route', 'add', 'blackhole', '10.8.0.0/26', 'metric', '4294967294', 'proto', '179']);
    await ns.run(['ip', 'route', 'add', 'blackhole', '10.7.0.0/26', 'metric', '4294967294', 'proto', '98']);
    await ns.run(['ip', 'route', 'add', 'blackhole', '10.6.0.0/26', 'metric', '7', 'proto', '179']);
    const { routes } = open();
    routes.set(blocks.slice(0, 1));
    const lines = (await shown()).map((line) => line.split(' ')[1] ?? '');
    assert.deepEqual(
      lines.sort((a, b) => a.localeCompare(b)),
      ['10.6.0.0/26', '10.7.0.0/26', '10.9.0.0/26'],
    );
    assert.deepEqual(routes.facts().repairs, { blackhole: 0 }, 'a first look repairs nothing');
  });

  test('a blackhole that somebody deletes is put back and counted; before any intent nothing is touched', async () => {
    const { routes } = open();
    routes.observeAgain();
    assert.deepEqual(routes.facts().blackholes, []);
    routes.set(blocks);
    await ns.run(['ip', 'route', 'del', 'blackhole', '10.9.0.0/26', 'metric', '4294967294']);
    routes.observeAgain();
    assert.deepEqual(routes.facts().repairs, { blackhole: 1 });
    assert.equal((await shown()).filter((line) => line.includes('10.9.0.0/26')).length, 1);
  });

  test('a foreign route at the same place is a conflict until it goes', async () => {
    const block = '10.5.0.0/26' as Prefix;
    await ns.run(['ip', 'route', 'add', 'blackhole', block, 'metric', '4294967294', 'proto', '98']);
    const { routes } = open();
    routes.set([block]);
    assert.deepEqual(routes.facts().blackholes, []);
    assert.deepEqual(routes.facts().routeConflicts, [{ prefix: block, protocol: 98 }]);
    await ns.run(['ip', 'route', 'del', 'blackhole', block, 'metric', '4294967294']);
    routes.observeAgain();
    assert.deepEqual(routes.facts().blackholes, [block]);
    assert.deepEqual(routes.facts().routeConflicts, []);
  });
});
