// nextHopMode: whose next hop a learned route is announced with. `node` is between `source`, which it learns from, and
// `sink`, which it announces to.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NextHopMode, PeerIntent } from '#bgp/engine.ts';
import { Network, asn, intent, ip, kernelView, peerIntent, prefix } from './network.ts';
import type { Node } from './network.ts';

interface Scenario {
  readonly mode: NextHopMode;
  readonly sourceAsn?: number;
  readonly sinkAsn?: number;
  /** Last octets of their addresses on the common subnet; the sink may be on another. */
  readonly sinkAddress?: string;
  readonly toSink?: Partial<PeerIntent>;
  /** What the source announces; its address comes along. */
  readonly sourceFamily?: 'ipv4' | 'ipv6';
}

const nodeAddresses = ['192.0.2.1/24', '2001:db8::1/64', 'fe80::1/64'];

const between = (ours: string, theirs: string, ourAsn: number, theirAsn: number, more: Partial<PeerIntent> = {}) =>
  peerIntent({
    name: `to-${theirs}`,
    address: ip(theirs),
    sourceAddress: ip(ours),
    localAsn: asn(ourAsn),
    peerAsn: asn(theirAsn),
    ...more,
  });

async function run(
  scenario: Scenario,
): Promise<{ network: Network; node: Node; sink: Node; apply: (mode: NextHopMode) => Promise<void> }> {
  const { sourceAsn = 65002, sinkAsn = 65003, sinkAddress = '192.0.2.3' } = scenario;
  const near = sinkAddress.startsWith('192.0.2.') ? '192.0.2.1' : '198.18.0.1';
  const network = new Network();
  const [node, source, sink] = [network.node('node'), network.node('source'), network.node('sink')];
  node.speaker.setKernelView(kernelView([nodeAddresses, ['198.18.0.1/24']]));
  source.speaker.setKernelView(kernelView([['192.0.2.2/24', '2001:db8::2/64', 'fe80::2/64']]));
  sink.speaker.setKernelView(kernelView([[`${sinkAddress}/24`, '2001:db8::3/64', 'fe80::3/64']]));
  const toNode = (number: number, own: string) => ({
    asn: asn(number),
    routerId: ip(`10.255.0.${own.split('.').at(-1)}`),
    peers: [between(own, own === sinkAddress ? near : '192.0.2.1', number, 65001)],
  });
  source.speaker.apply(
    intent({
      ...toNode(sourceAsn, '192.0.2.2'),
      announcements: [
        { prefix: prefix('203.0.113.0/24'), source: 'advertise' },
        { prefix: prefix('2001:db8:113::/48'), source: 'advertise' },
      ],
    }),
    1,
  );
  sink.speaker.apply(intent(toNode(sinkAsn, sinkAddress)), 1);
  let generation = 0;
  const apply = async (mode: NextHopMode): Promise<void> => {
    node.speaker.apply(
      intent({
        peers: [
          between('192.0.2.1', '192.0.2.2', 65001, sourceAsn),
          between(near, sinkAddress, 65001, sinkAsn, { transit: true, nextHopMode: mode, ...scenario.toSink }),
        ],
      }),
      ++generation,
    );
    await network.advance(200);
  };
  await apply(scenario.mode);
  return { network, node, sink, apply };
}

const nextHops = (sink: Node): unknown[] => sink.received().map((row) => row.nextHop);
const ours = ['192.0.2.1', '2001:db8::1'];
const theirs = ['192.0.2.2', '2001:db8::2'];

const rows: readonly (readonly [string, Scenario, readonly string[]])[] = [
  ['Auto is ours to an external peer', { mode: 'Auto' }, ours],
  ['Self is ours to an external peer', { mode: 'Self' }, ours],
  ['Keep is the third party on a subnet that all three share', { mode: 'Keep' }, theirs],
  ['Keep of a route learned inside the AS, too', { mode: 'Keep', sourceAsn: 65001 }, theirs],
  ['Keep is ours to an external peer on another subnet', { mode: 'Keep', sinkAddress: '198.18.0.3' }, ['198.18.0.1']],
  [
    'Keep is the learned one to an external peer more hops away',
    { mode: 'Keep', sinkAddress: '198.18.0.3', toSink: { ebgpMultihop: 2 } },
    // Without an IPv6 address of ours on that link the family is not announced, whosoever the next hop.
    ['192.0.2.2'],
  ],
  ['Auto is ours to an internal peer', { mode: 'Auto', sinkAsn: 65001 }, ours],
  ['Keep is the learned one to an internal peer', { mode: 'Keep', sinkAsn: 65001 }, theirs],
  [
    'Auto is the learned one for what is reflected',
    { mode: 'Auto', sourceAsn: 65001, sinkAsn: 65001, toSink: { routeReflectorClient: true } },
    theirs,
  ],
  ['Keep is, too', { mode: 'Keep', sourceAsn: 65001, sinkAsn: 65001, toSink: { routeReflectorClient: true } }, theirs],
  [
    'Self is ours even then',
    { mode: 'Self', sourceAsn: 65001, sinkAsn: 65001, toSink: { routeReflectorClient: true } },
    ours,
  ],
];

for (const [name, scenario, expected] of rows)
  test(`next hop: ${name}`, async () => {
    const { sink } = await run(scenario);
    assert.deepEqual(nextHops(sink), expected);
  });

test('what is reflected with our own next hop says who its originator is all the same', async () => {
  const { sink } = await run({
    mode: 'Self',
    sourceAsn: 65001,
    sinkAsn: 65001,
    toSink: { routeReflectorClient: true },
  });
  const [row] = sink.received();
  assert.deepEqual([row?.originatorId, row?.clusterList?.length], ['10.255.0.2', 1]);
});

test('another mode is said in UPDATEs, each way', async () => {
  const { sink, node, apply } = await run({ mode: 'Auto' });
  await apply('Keep');
  assert.deepEqual(nextHops(sink), theirs);
  await apply('Self');
  assert.deepEqual(nextHops(sink), ours);
  assert.equal(node.session('to-192.0.2.3').lastReset, undefined);
});

test('a subnet that goes from the link takes the third party along', async () => {
  const { network, sink, node } = await run({ mode: 'Keep' });
  assert.deepEqual(nextHops(sink), theirs);
  node.speaker.setKernelView(kernelView([['192.0.2.1/24', '2001:db8:7::1/64'], ['2001:db8::1/64']]));
  await network.settle();
  assert.deepEqual(nextHops(sink), ['192.0.2.2', '2001:db8:7::1']);
});

test('a peer is not told its own address as a next hop', async () => {
  const network = new Network();
  const [node, source, sink] = [network.node('node'), network.node('source'), network.node('sink')];
  node.speaker.setKernelView(kernelView([nodeAddresses]));
  source.speaker.setKernelView(kernelView([['192.0.2.2/24']]));
  sink.speaker.setKernelView(kernelView([['192.0.2.3/24']]));
  const keep = { transit: true, nextHopMode: 'Keep' } as const;
  // The sink's route goes round: the source announces it with the sink's own address.
  sink.speaker.apply(
    intent({
      asn: asn(65003),
      routerId: ip('10.255.0.3'),
      peers: [between('192.0.2.3', '192.0.2.1', 65003, 65001), between('192.0.2.3', '192.0.2.2', 65003, 65002)],
      announcements: [{ prefix: prefix('203.0.113.0/24'), source: 'advertise' }],
    }),
    1,
  );
  source.speaker.apply(
    intent({
      asn: asn(65002),
      routerId: ip('10.255.0.2'),
      peers: [
        between('192.0.2.2', '192.0.2.1', 65002, 65001, keep),
        between('192.0.2.2', '192.0.2.3', 65002, 65003, keep),
      ],
    }),
    1,
  );
  node.speaker.apply(
    intent({
      peers: [
        between('192.0.2.1', '192.0.2.2', 65001, 65002, keep),
        between('192.0.2.1', '192.0.2.3', 65001, 65003, { ...keep, importPolicy: 'None' }),
      ],
    }),
    1,
  );
  await network.advance(200);
  assert.deepEqual(
    node.received('to-192.0.2.2').map(({ nextHop }) => nextHop),
    ['192.0.2.3'],
  );
  assert.deepEqual(
    sink.received('to-192.0.2.1').map(({ nextHop }) => nextHop),
    ['192.0.2.1'],
  );
});
