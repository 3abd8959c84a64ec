// The picture of the kernel that the rest of the agent gets, and what it is told of.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { systemClock } from '#lib/time.ts';
import { KernelObserver, type OwnRouteChange, type PodLinkChange } from '#dataplane/io/kernel-observer.ts';
import { LINK_GROUP } from '#dataplane/kernel-names.ts';
import type { KernelInterface, KernelView } from '#dataplane/kernel-view.ts';
import { NetlinkSocket } from '#netlink/io/socket.ts';
import { MessageBatch } from '#netlink/wire/batch.ts';
import { appendDelRoute, appendNewRoute } from '#netlink/wire/route.ts';
import { createFibNode, type FibNode, fibUpdate, hop, watchedWriter } from '../../support/fib.ts';
import { eventually } from '../../support/netns.ts';

interface Told {
  view: KernelView;
  readonly views: number[];
  readonly pods: PodLinkChange[];
  readonly own: OwnRouteChange[];
  settings: number;
}

describe('KernelObserver', () => {
  let node: FibNode;
  let told: Told;
  let observer: KernelObserver;
  let socket: NetlinkSocket;
  let onOwn: (change: OwnRouteChange) => void;
  const start = (ignorePorts: readonly number[] = [], podPorts: readonly number[] = []): void => {
    told = { view: { interfaces: [], routes: [] }, views: [], pods: [], own: [], settings: 0 };
    observer = new KernelObserver(
      { namespace: node.ns.path, ignorePorts, podPorts },
      { socket, clock: systemClock },
      {
        view(view) {
          told.view = view;
          told.views.push(view.interfaces.length);
        },
        podLinks: (changes) => told.pods.push(...changes),
        ourRoutesChanged(change) {
          told.own.push(change);
          onOwn(change);
        },
        settingsChanged() {
          told.settings += 1;
        },
        failed(error) {
          throw error;
        },
      },
    );
    observer.start();
  };
  const link = (name: string): KernelInterface | undefined => told.view.interfaces.find((one) => one.name === name);

  beforeEach(async () => {
    onOwn = () => undefined;
    node = await createFibNode('frt-observe');
    socket = NetlinkSocket.open({ namespace: node.ns.path });
  });
  afterEach(async () => {
    await observer.close();
    socket.close();
    await node.dispose();
  });

  test('the first view is told by start(): interfaces with addresses, foreign routes, nothing of ours', async () => {
    await node.ns.run(['ip', 'route', 'add', 'default', 'via', '10.0.0.254', 'metric', '100']);
    await node.ns.run(['ip', 'route', 'add', '30.0.0.0/8', 'via', '10.0.0.2', 'proto', '179']);
    await node.ns.run(['ip', 'route', 'add', '31.0.0.0/8', 'nexthop', 'via', '10.0.0.2', 'nexthop', 'via', '10.0.1.2']);
    start();
    assert.equal(told.views.length, 1);
    const up0 = link('up0');
    assert.equal(up0?.index, node.up[0]);
    assert.equal(up0?.up, true);
    assert.equal(up0?.pod, false);
    assert.ok(up0?.addresses.some((one) => one.address === '10.0.0.1' && one.prefixLength === 24));
    assert.ok(up0?.addresses.some((one) => one.address === 'fd00::1' && one.prefixLength === 64));
    const shown = told.view.routes.map((route) => `${route.prefix} ${route.gateway ?? '-'} ${route.metric}`);
    assert.ok(shown.includes('0.0.0.0/0 10.0.0.254 100'));
    assert.ok(shown.includes('10.0.0.0/24 - 0'));
    assert.ok(shown.includes('31.0.0.0/8 10.0.0.2 0') && shown.includes('31.0.0.0/8 10.0.1.2 0'));
    assert.ok(!shown.some((line) => line.startsWith('30.')));
  });

  test('addresses, routes, carrier and interfaces that come and go are in the next view', async () => {
    start();
    await node.ns.run(['ip', 'address', 'add', '192.0.2.1/32', 'dev', 'lo']);
    await eventually('the address', () => link('lo')?.addresses.some((one) => one.address === '192.0.2.1'));
    await node.ns.run(['ip', 'route', 'add', '40.0.0.0/8', 'via', '10.0.0.2']);
    await eventually('the route', () => told.view.routes.some((route) => route.prefix === '40.0.0.0/8'));
    await node.peer.run(['ip', 'link', 'set', 'up0', 'down']);
    await eventually('no carrier', () => link('up0')?.up === false);
    await eventually('that carrier loss may have taken routes of ours', () =>
      told.own.some((change) => change.learned),
    );
    await node.ns.run(['ip', 'link', 'del', 'up0']);
    await eventually('no up0', () => link('up0') === undefined);
    await eventually('no route', () => !told.view.routes.some((route) => route.prefix === '40.0.0.0/8'));
  });

  test('pod interfaces are known by their group, from the start and when they change', async () => {
    const live = String(LINK_GROUP.live);
    const argv = `ip link add fr1 up group ${live} type veth peer name p1 netns ${node.peer.name}`;
    await node.ns.run(argv.split(' '));
    start();
    assert.deepEqual(
      told.pods.map((change) => `${change.kind} ${change.link.name}`),
      ['changed fr1'],
    );
    assert.equal(link('fr1')?.pod, true);
    await node.ns.run(['ip', 'link', 'set', 'fr1', 'alias', 'x']);
    await node.ns.run(['ip', 'link', 'set', 'fr1', 'group', String(LINK_GROUP.dying)]);
    await eventually('dying', () =>
      told.pods.some(({ link }) => link.group === LINK_GROUP.dying && link.alias === 'x'),
    );
    await node.ns.run(['ip', 'link', 'del', 'fr1']);
    await eventually('removed', () =>
      told.pods.some((change) => change.kind === 'removed' && change.link.name === 'fr1'),
    );
    assert.deepEqual(observer.podLinks(), []);
    assert.ok(!told.own.some((change) => change.learned), 'pods do not make learned routes be read again');
  });

  test('changes of ours by others are told with whose they are; our own writing is not', async () => {
    const watched = watchedWriter(node.ns.path);
    start([watched.socket.portId], [node.socket.portId]);
    try {
      watched.writer.start();
      const groups = [{ id: 1, members: [hop('10.0.0.2', node.up[0])] }];
      watched.writer.apply(fibUpdate(1, [['20.0.0.0/24', 1]], { groups, complete: true }));
      await watched.applied(1);
      // A foreign route is the mark up to which everything before has been told.
      await node.ns.run(['ip', 'route', 'add', '41.0.0.0/8', 'via', '10.0.0.2']);
      await eventually('the mark', () => told.view.routes.some((route) => route.prefix === '41.0.0.0/8'));
      assert.deepEqual(told.own, []);
      await node.ns.run(['ip', 'route', 'del', '20.0.0.0/24']);
      await eventually('learned', () => told.own.some((one) => one.learned && !one.blocks && !one.pods));
      told.own.length = 0;
      await node.ns.run(['ip', 'route', 'add', 'blackhole', '42.0.0.0/8', 'metric', '4294967294', 'proto', '179']);
      await eventually('blocks', () => told.own.some((one) => one.blocks && !one.learned));
      told.own.length = 0;
      await node.ns.run(['ip', 'route', 'add', '43.0.0.1/32', 'dev', 'up0', 'proto', '179']);
      await node.ns.run(['ip', 'route', 'del', '43.0.0.1/32', 'dev', 'up0', 'proto', '179']);
      await eventually('pods', () => told.own.some((one) => one.pods && !one.learned && !one.blocks));
      told.own.length = 0;
      await node.ns.run(['ip', 'nexthop', 'flush', 'proto', '179']);
      await eventually('nexthops', () => told.own.some((one) => one.learned));
    } finally {
      watched.close();
    }
  });

  test('a writer that is told by the observer brings back what somebody deleted', async () => {
    const watched = watchedWriter(node.ns.path);
    start([watched.socket.portId]);
    onOwn = (change) => {
      if (change.learned) watched.writer.observeAgain();
    };
    try {
      watched.writer.start();
      const groups = [{ id: 1, members: [hop('10.0.0.2', node.up[0])] }];
      watched.writer.apply(fibUpdate(1, [['20.0.0.0/24', 1]], { groups, complete: true }));
      await watched.applied(1);
      await node.ns.run(['ip', 'route', 'del', '20.0.0.0/24']);
      await watched.until('deleted route is back', (facts) => facts.repairs['route'] === 1 && facts.pending === 0);
      await node.peer.run(['ip', 'link', 'set', 'up0', 'down']);
      await watched.until('lost', (facts) => facts.learnedRoutes.ipv4 === 0 && facts.problems.length === 1);
      await node.peer.run(['ip', 'link', 'set', 'up0', 'up']);
      await watched.until('back', (facts) => facts.learnedRoutes.ipv4 === 1 && facts.problems.length === 0);
    } finally {
      watched.close();
    }
  });

  test('lost notifications make it look at everything again', async () => {
    await node.ns.run(['sh', '-c', 'for i in 1 2 3; do ip link add d$i type veth peer name e$i; done']);
    start();
    // While the event loop stands still the kernel fills the queue of 8 MiB: route changes of a batch a few times over.
    const writer = NetlinkSocket.open({ namespace: node.ns.path });
    const batch = new MessageBatch();
    for (let round = 0; round < 8; round++) {
      for (const append of [
        (prefix: string) =>
          appendNewRoute(batch, 0x600, { prefix: prefix as never, protocol: 98, interfaceIndex: node.up[0] }),
        (prefix: string) => appendDelRoute(batch, { prefix: prefix as never, protocol: 98 }),
      ]) {
        batch.clear();
        for (let i = 0; i < 1500; i++) append(`50.${i >> 8}.${i & 255}.0/24`);
        writer.execute(batch);
      }
    }
    batch.clear();
    appendNewRoute(batch, 0x600, { prefix: '51.0.0.0/8' as never, protocol: 98, interfaceIndex: node.up[0] });
    writer.execute(batch);
    writer.close();
    await eventually('the last change', () => told.view.routes.some((route) => route.prefix === '51.0.0.0/8'));
    await eventually('everything is doubted', () => told.own.some((one) => one.blocks && one.pods && one.learned));
  });

  test('sysctls of forwarding and reverse path are told, in both families, and not those of pods or of what comes and goes', async () => {
    start();
    const settled = async (what: string, change: readonly (readonly string[])[], told_: boolean): Promise<void> => {
      const before = told.settings;
      for (const argv of change) await node.ns.run(argv);
      // Whatever was told of it came before this one.
      const mtu = (link('up0')?.mtu ?? 0) - 1;
      await node.ns.run(['ip', 'link', 'set', 'up0', 'mtu', String(mtu)]);
      await eventually(`${what}: the view after it`, () => link('up0')?.mtu === mtu);
      assert.equal(told.settings > before, told_, what);
    };
    const toggle = (name: string): string[][] => ['0', '1'].map((value) => ['sysctl', '-qw', `${name}=${value}`]);
    await node.ns.run(['ip', 'link', 'add', 'pod0', 'group', '2818', 'type', 'veth', 'peer', 'name', 'pod1']);
    await eventually('the pod', () => link('pod0')?.pod);
    await settled('IPv4 forwarding', toggle('net.ipv4.ip_forward'), true);
    await settled('IPv6 forwarding', toggle('net.ipv6.conf.all.forwarding'), true);
    await settled('an uplink', toggle('net.ipv4.conf.up0.rp_filter'), true);
    await settled('new interfaces', toggle('net.ipv4.conf.default.forwarding'), true);
    await settled('a pod', toggle('net.ipv4.conf.pod0.rp_filter'), false);
    const veth = ['ip', 'link', 'add', 'pod2', 'group', '2818', 'type', 'veth', 'peer', 'name', 'pod3'];
    await settled('a pod that comes and goes', [veth, ['ip', 'link', 'del', 'pod2']], false);
  });
});
