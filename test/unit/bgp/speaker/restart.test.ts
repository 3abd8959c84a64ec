/** Routes over the end of a session: graceful restart, NOTIFICATIONs with the N bit, failed paths. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { seconds } from '#lib/time.ts';
import type { PeerIntent } from '#bgp/engine.ts';
import { Network, type Node, asn, intent, ip, kernelView, peerIntent, prefix } from './network.ts';

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
  const rows = [
    { name: 'both ends have it', toRouter: {}, negotiated: true },
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
