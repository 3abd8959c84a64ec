// Dynamic neighbours: whoever connects from a range is a peer of its own, and leaves nothing behind.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BgpIntent, PeerIntent } from '#bgp/engine.ts';
import { Network, asn, intent, ip, kernelView, peerIntent, prefix } from './network.ts';
import type { Node } from './network.ts';

const range = (overrides: Partial<PeerIntent> = {}): PeerIntent =>
  peerIntent({
    name: 'rack',
    address: ip('0.0.0.0'),
    peerAsn: 'external',
    listenRange: { prefix: prefix('192.0.2.0/28'), limit: 2 },
    ...overrides,
  });

const nodeIntent = (...peers: readonly PeerIntent[]): BgpIntent =>
  intent({ peers, announcements: [{ prefix: prefix('10.60.1.0/26'), source: 'block' }] });

/** The node at .1 with a range, and a router at each of the other addresses, which are `192.0.2.N`. */
async function rack(peers: readonly PeerIntent[], ...routers: number[]): Promise<{ network: Network; node: Node }> {
  const network = new Network();
  const node = network.node('node');
  node.speaker.setKernelView(kernelView([['192.0.2.1/24']]));
  node.speaker.apply(nodeIntent(...peers), 1);
  for (const n of routers) {
    const router = network.node(`router${n}`);
    router.speaker.setKernelView(kernelView([[`192.0.2.${n}/24`]]));
    const own = { localAsn: asn(65100 + n), peerAsn: asn(65001), sourceAddress: ip(`192.0.2.${n}`) };
    router.speaker.apply(
      intent({
        asn: own.localAsn,
        routerId: ip(`10.255.0.${n}`),
        peers: [peerIntent({ name: 'node', address: ip('192.0.2.1'), ...own })],
        announcements: [{ prefix: prefix(`198.51.${n}.0/24`), source: 'block' }],
      }),
      1,
    );
  }
  await network.advance(100);
  return { network, node };
}

const names = (node: Node): string[] => (node.facts?.peers ?? []).map(({ name }) => name).sort();
const factsOf = (node: Node, name: string) => node.facts?.peers.find((peer) => peer.name === name);

test('whoever connects from the range is a peer of its own, up to the limit', async () => {
  const { network, node } = await rack([range()], 2, 3, 4);
  assert.equal(node.arrives('192.0.2.2'), true);
  assert.equal(node.arrives('192.0.2.3'), true);
  assert.equal(node.arrives('192.0.2.4'), false, 'full');
  assert.equal(node.arrives('192.0.2.20'), undefined, 'outside');
  await network.advance(1000);
  assert.deepEqual(names(node), ['rack', 'rack/192.0.2.2', 'rack/192.0.2.3']);
  assert.equal(factsOf(node, 'rack/192.0.2.2')?.peerAsn, 65102);
  assert.deepEqual(factsOf(node, 'rack')?.range, {
    prefix: '192.0.2.0/28',
    peers: 2,
    established: 2,
    limit: 2,
    refused: 1,
  });
  assert.deepEqual([...node.kernel.keys()].sort(), ['198.51.2.0/24', '198.51.3.0/24']);
  assert.equal(node.speaker.reset('rack/192.0.2.2', 'soft'), true);
  node.speaker.apply(nodeIntent(range({ listenRange: { prefix: prefix('192.0.2.0/28'), limit: 3 } })), 2);
  assert.equal(node.arrives('192.0.2.4'), true, 'a higher limit touches no session');
  await network.advance(1000);
  assert.deepEqual([factsOf(node, 'rack/192.0.2.2')?.flaps, factsOf(node, 'rack')?.range?.established], [0, 3]);
});

test('our own address and one that has a session already are refused', async () => {
  const { node } = await rack([range()], 2);
  assert.equal(node.arrives('192.0.2.1'), false);
  assert.equal(node.arrives('192.0.2.2'), true);
  assert.equal(node.arrives('192.0.2.2'), false);
});

test('who has gone is forgotten, when none of its routes is kept any more', async () => {
  const { network, node } = await rack([range()], 2);
  node.arrives('192.0.2.2');
  await network.advance(1000);
  network.broken.add('192.0.2.1|192.0.2.2').add('192.0.2.2|192.0.2.1');
  network.cut(node.session('rack/192.0.2.2'), {
    code: 'SESSION_CONNECTION_LOST',
    text: 'lost',
    keepRoutes: true,
    replaced: false,
  });
  await network.advance(1000);
  assert.deepEqual(names(node), ['rack', 'rack/192.0.2.2']);
  assert.equal(node.kernel.size, 1, 'its routes are kept through its restart');
  await network.advance(121_000);
  assert.deepEqual(names(node), ['rack']);
  assert.equal(node.kernel.size, 0);
  assert.match(factsOf(node, 'rack')?.lastError?.text ?? '', /^192\.0\.2\.2: lost/);
});

test('a connection that never says OPEN leaves nothing behind', async () => {
  const { network, node } = await rack([range()]);
  for (let i = 0; i < 200; i++) node.arrives(`192.0.2.${2 + (i % 13)}`);
  await network.advance(1000);
  assert.deepEqual(names(node), ['rack']);
  assert.equal([...network.sessions].filter(({ node: it }) => it === node).length, 0);
});

test('a removed range takes its peers with it, another prefix those outside, a configured peer its own', async () => {
  const { network, node } = await rack([range()], 2, 3);
  const both = (): void => void [node.arrives('192.0.2.2'), node.arrives('192.0.2.3')];
  both();
  await network.advance(1000);
  node.speaker.apply(nodeIntent(range({ listenRange: { prefix: prefix('192.0.2.2/32'), limit: 2 } })), 2);
  await network.advance(1000);
  assert.deepEqual(names(node), ['rack', 'rack/192.0.2.2']);
  assert.equal(factsOf(node, 'rack/192.0.2.2')?.state, 'Established');
  const named = peerIntent({ name: 'tor', address: ip('192.0.2.2'), peerAsn: asn(65102) });
  node.speaker.apply(nodeIntent(range(), named), 3);
  await network.advance(10_000);
  assert.deepEqual(names(node), ['rack', 'tor']);
  assert.equal(factsOf(node, 'tor')?.state, 'Established');
  node.speaker.apply(nodeIntent(named), 4);
  await network.advance(1000);
  assert.equal(node.arrives('192.0.2.3'), undefined);
  assert.deepEqual(names(node), ['tor']);
});

test('another password goes onto the live sessions; a disabled range ends them', async () => {
  const { network, node } = await rack([range({ password: 'old' })], 2);
  node.arrives('192.0.2.2');
  await network.advance(1000);
  node.speaker.apply(nodeIntent(range({ password: 'new' })), 2);
  assert.deepEqual(node.session('rack/192.0.2.2').keys, ['new']);
  assert.deepEqual(node.rangeKeys, ['old', 'new']);
  node.speaker.apply(nodeIntent(range({ password: 'new', enabled: false })), 3);
  await network.advance(1000);
  assert.equal(node.arrives('192.0.2.2'), undefined);
  assert.deepEqual(names(node), ['rack']);
  assert.equal(node.kernel.size, 0);
});
