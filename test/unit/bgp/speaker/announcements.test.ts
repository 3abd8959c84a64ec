// Communities of what a node announces itself, towards external and internal peers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BgpIntent } from '#bgp/engine.ts';
import type { Node } from './network.ts';
import { Network, asn, intent, ip, kernelView, peerIntent, prefix } from './network.ts';

const block = { prefix: prefix('10.60.1.0/26'), source: 'block' } as const;
const tagged = {
  prefix: prefix('10.60.2.0/26'),
  source: 'block',
  communities: [0xfde90007, 0xffffff01, [65001, 1, 2], [0x0002fde9, 9]],
} as const;

test('communities of an announcement go to every peer; NO_EXPORT on it is for the receiver; a change is an UPDATE', async () => {
  const network = new Network();
  const node = network.node('node');
  node.speaker.setKernelView(kernelView([['192.0.2.1/24']]));
  const neighbour = (name: string, number: number, own: number): Node => {
    const other = network.node(name);
    other.speaker.setKernelView(kernelView([[`192.0.2.${number}/24`]]));
    const addresses = { address: ip('192.0.2.1'), sourceAddress: ip(`192.0.2.${number}`) };
    const peer = peerIntent({ name: 'node', ...addresses, localAsn: asn(own), peerAsn: asn(65001) });
    other.speaker.apply(intent({ asn: asn(own), routerId: ip(`10.255.0.${number}`), peers: [peer] }), 1);
    return other;
  };
  const others = [neighbour('router', 2, 65002), neighbour('inside', 3, 65001)];
  const apply = async (generation: number, announcements: BgpIntent['announcements']): Promise<void> => {
    const peers = [
      peerIntent({ name: 'router' }),
      peerIntent({ name: 'inside', address: ip('192.0.2.3'), peerAsn: asn(65001) }),
    ];
    node.speaker.apply(intent({ announcements, peers }), generation);
    await network.settle();
  };
  const seen = (): (readonly string[])[][] => others.map((it) => it.received().map((row) => row.communities));
  const own = [[], ['65001:7', 'NO_EXPORT', 'rt:65001:9', '65001:1:2']];

  await apply(1, [block, tagged]);
  assert.deepEqual(seen(), [own, own]);
  assert.deepEqual(
    node.rows('best').map((row) => row.communities),
    own,
  );
  await apply(2, [block, { ...tagged, communities: [0xfde90008] }]);
  assert.deepEqual(seen(), [
    [[], ['65001:8']],
    [[], ['65001:8']],
  ]);
  await apply(3, [block]);
  assert.deepEqual(seen(), [[[]], [[]]]);
  assert.equal(node.sessions.length, 2, 'UPDATEs alone');
});
