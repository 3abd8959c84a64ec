// Peers that are named by interface: found by router advertisements, sessions and next hops over link-local addresses.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BgpIntent, PeerIntent } from '#bgp/engine.ts';
import { Network, asn, intent, ip, kernelView, peerIntent, prefix } from './network.ts';
import type { Node } from './network.ts';

const onInterface = (name: string, overrides: Partial<PeerIntent> = {}): PeerIntent =>
  peerIntent({ name, address: ip('::'), interface: name, sourceAddress: ip('10.255.0.1'), ...overrides });

const leaf = (number: number): BgpIntent =>
  intent({
    asn: asn(65100 + number),
    routerId: ip(`10.255.1.${number}`),
    peers: [onInterface('eth0', { localAsn: asn(65100 + number), peerAsn: asn(65001) })],
    announcements: [
      { prefix: prefix('198.51.100.0/24'), source: 'block' },
      { prefix: prefix('2001:db8:100::/48'), source: 'block' },
    ],
  });

const nodeIntent = (...names: string[]): BgpIntent =>
  intent({
    peers: names.map((name) => onInterface(name, { peerAsn: asn(65101 + Number(name.slice(-1))) })),
    announcements: [
      { prefix: prefix('10.60.1.0/26'), source: 'block' },
      { prefix: prefix('fd00:60:1::/64'), source: 'block' },
    ],
  });

/** `node` with eth0 and eth1, each to a leaf whose only interface is eth0; both leaves have the same link-local address. */
async function fabric(leaves = 2): Promise<{ network: Network; node: Node; leaves: Node[] }> {
  const network = new Network();
  const node = network.node('node');
  const made = Array.from({ length: leaves }, (_, i) => network.node(`leaf${i}`));
  made.forEach((other, i) =>
    network.wires.push([
      { node, name: `eth${i}`, index: i + 1, address: ip(`fe80::${i + 1}`) },
      { node: other, name: 'eth0', index: 1, address: ip('fe80::ff') },
    ]),
  );
  node.speaker.setKernelView(kernelView([['fe80::1/64'], ['fe80::2/64']]));
  node.speaker.apply(nodeIntent(...made.map((_, i) => `eth${i}`)), 1);
  made.forEach((other, i) => {
    other.speaker.setKernelView(kernelView([['fe80::ff/64']]));
    other.speaker.apply(leaf(i + 1), 1);
  });
  await network.advance(2000);
  return { network, node, leaves: made };
}

const kernelOf = (node: Node): object => Object.fromEntries([...node.kernel].sort(([a], [b]) => (a < b ? -1 : 1)));
const peerFacts = (node: Node, name: string) => node.facts?.peers.find((peer) => peer.name === name);

test('a neighbour is found, and both families go by its link-local address', async () => {
  const { node, leaves } = await fabric(1);
  assert.deepEqual(kernelOf(node), { '198.51.100.0/24': ['fe80::ff%1'], '2001:db8:100::/48': ['fe80::ff%1'] });
  assert.deepEqual(kernelOf(leaves[0] as Node), { '10.60.1.0/26': ['fe80::1%1'], 'fd00:60:1::/64': ['fe80::1%1'] });
  const facts = peerFacts(node, 'eth0');
  assert.deepEqual(
    [facts?.state, facts?.address, facts?.neighbour],
    ['Established', 'fe80::ff', { interface: 'eth0', state: 'found', others: [], problem: undefined }],
  );
});

test('two uplinks to neighbours of the same address share the traffic', async () => {
  const { node } = await fabric();
  assert.deepEqual(kernelOf(node), {
    '198.51.100.0/24': ['fe80::ff%1', 'fe80::ff%2'],
    '2001:db8:100::/48': ['fe80::ff%1', 'fe80::ff%2'],
  });
});

test('a link that goes down takes its next hops at once, and the session goes on when it is back in time', async () => {
  const { network, node } = await fabric();
  const view = kernelView([['fe80::1/64'], ['fe80::2/64']]);
  const down = view.interfaces.map((link) => (link.index === 1 ? { ...link, up: false } : link));
  node.speaker.setKernelView({ ...view, interfaces: down });
  await network.advance(200);
  assert.deepEqual(node.kernel.get('198.51.100.0/24'), ['fe80::ff%2']);
  assert.equal(peerFacts(node, 'eth0')?.neighbour?.state, 'interfaceDown');
  node.speaker.setKernelView(view);
  await network.advance(200);
  assert.deepEqual(node.kernel.get('198.51.100.0/24'), ['fe80::ff%1', 'fe80::ff%2']);
  assert.equal(peerFacts(node, 'eth0')?.flaps, 0);
});

test('an interface that appears later is found, one that goes ends the session, another one of its name is another', async () => {
  const network = new Network();
  const [node, other] = [network.node('node'), network.node('leaf')];
  node.speaker.setKernelView({ interfaces: [], routes: [] });
  node.speaker.apply(nodeIntent('eth0'), 1);
  other.speaker.setKernelView(kernelView([['fe80::ff/64']]));
  other.speaker.apply(leaf(1), 1);
  await network.advance(1000);
  assert.deepEqual(
    [peerFacts(node, 'eth0')?.state, peerFacts(node, 'eth0')?.address, peerFacts(node, 'eth0')?.neighbour?.state],
    ['Idle', '::', 'noInterface'],
  );
  const far = { node: other, name: 'eth0', index: 1, address: ip('fe80::ff') };
  network.wires.push([{ node, name: 'eth0', index: 1, address: ip('fe80::1') }, far]);
  node.speaker.setKernelView(kernelView([[]]));
  await network.advance(200);
  assert.equal(peerFacts(node, 'eth0')?.neighbour?.state, 'noLinkLocal');
  node.speaker.setKernelView(kernelView([['fe80::1/64']]));
  await network.advance(5000);
  assert.deepEqual(node.kernel.get('198.51.100.0/24'), ['fe80::ff%1']);

  node.speaker.setKernelView({ interfaces: [], routes: [] });
  await network.advance(200);
  assert.deepEqual(
    [node.kernel.size, peerFacts(node, 'eth0')?.state, peerFacts(node, 'eth0')?.neighbour?.state],
    [0, 'Idle', 'noInterface'],
  );

  network.wires.splice(0, 1, [{ node, name: 'eth0', index: 7, address: ip('fe80::7') }, far]);
  const again = kernelView([['fe80::7/64']]);
  node.speaker.setKernelView({ ...again, interfaces: again.interfaces.map((link) => ({ ...link, index: 7 })) });
  await network.advance(20_000);
  assert.deepEqual(node.kernel.get('198.51.100.0/24'), ['fe80::ff%7']);
});

test('a pod interface is never searched', async () => {
  const network = new Network();
  const node = network.node('node');
  const view = kernelView([['fe80::1/64']]);
  node.speaker.setKernelView({ ...view, interfaces: view.interfaces.map((link) => ({ ...link, pod: true })) });
  node.speaker.apply(nodeIntent('eth0'), 1);
  await network.advance(1000);
  assert.equal(peerFacts(node, 'eth0')?.neighbour?.state, 'podInterface');
});

test('two neighbours on one link: the session stays with the first, and the other one is named until it is gone', async () => {
  const { network, node } = await fabric(1);
  const second = network.node('second');
  network.wires.push([
    { node, name: 'eth0', index: 1, address: ip('fe80::1') },
    { node: second, name: 'eth0', index: 1, address: ip('fe80::2') },
  ]);
  second.speaker.setKernelView(kernelView([['fe80::2/64']]));
  second.speaker.apply(leaf(1), 1);
  await network.advance(2000);
  const facts = () => peerFacts(node, 'eth0');
  assert.deepEqual(
    [facts()?.state, facts()?.address, facts()?.neighbour?.others],
    ['Established', 'fe80::ff', ['fe80::2']],
  );
  network.wires.pop();
  await network.advance(70_000);
  assert.deepEqual([facts()?.state, facts()?.address, facts()?.neighbour?.others], ['Established', 'fe80::ff', []]);
});

test('a router that is replaced by another one: the new one is taken when the old one answers no more', async () => {
  const { network, node, leaves } = await fabric(1);
  const old = leaves[0] as Node;
  const newer = network.node('newer');
  network.wires.splice(0, 1, [
    { node, name: 'eth0', index: 1, address: ip('fe80::1') },
    { node: newer, name: 'eth0', index: 1, address: ip('fe80::ee') },
  ]);
  await old.speaker.stop('cease');
  newer.speaker.setKernelView(kernelView([['fe80::ee/64']]));
  newer.speaker.apply(leaf(1), 1);
  await network.advance(15_000);
  assert.equal(peerFacts(node, 'eth0')?.address, 'fe80::ee');
  assert.deepEqual(node.kernel.get('198.51.100.0/24'), ['fe80::ee%1']);
});

test('another interface in the intent is another neighbour, and a peer that is gone is advertised to no more', async () => {
  const { network, node, leaves } = await fabric();
  const desired = nodeIntent('eth0', 'eth1');
  node.speaker.apply({ ...desired, peers: desired.peers.slice(1) }, 2);
  await network.advance(200);
  assert.deepEqual(node.kernel.get('198.51.100.0/24'), ['fe80::ff%2']);
  const moved = { ...(desired.peers[1] as PeerIntent), interface: 'eth0', peerAsn: asn(65101) };
  node.speaker.apply({ ...desired, peers: [moved] }, 3);
  await network.advance(20_000);
  assert.deepEqual(node.kernel.get('198.51.100.0/24'), ['fe80::ff%1']);
  assert.deepEqual(peerFacts(leaves[1] as Node, 'eth0')?.state === 'Established', false);
});
