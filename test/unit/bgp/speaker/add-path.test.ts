// Several paths of one peer for one prefix (RFC 7911): what comes, with a peer whose bytes the test makes.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Asn, IpAddress } from '#lib/ip.ts';
import type { PeerIntent } from '#bgp/engine.ts';
import { encodeAttributes } from '#bgp/wire/attributes.ts';
import { encodeRouteRefresh } from '#bgp/wire/message.ts';
import type { WireContext } from '#bgp/wire/messages.ts';
import { nlriOf } from '#bgp/wire/nlri.ts';
import { UpdateWriter } from '#bgp/wire/update-writer.ts';
import type { Node } from './network.ts';
import { type FakeSession, Network, asn, intent, ip, kernelView, peerIntent, prefix } from './network.ts';

const context: WireContext = {
  fourOctetAs: true,
  external: true,
  families: ['ipv4', 'ipv6'],
  maximumMessageBytes: 4096,
  peerAsn: 65002 as Asn,
  addPath: { receive: ['ipv4', 'ipv6'], send: ['ipv4', 'ipv6'] },
};

/** A prefix and its identifier. */
type Path = readonly [string, number];
const run = (paths: readonly Path[]): Uint8Array =>
  nlriOf(
    paths.map(([text]) => prefix(text)),
    paths.map(([, id]) => id),
  );

function announce(nextHop: IpAddress, asns: readonly number[], ...paths: readonly Path[]): Uint8Array {
  const writer = new UpdateWriter(context);
  const attributes = encodeAttributes(
    {
      origin: 0,
      asPath: [{ type: 2, asns }],
      nextHop,
      med: undefined,
      localPref: undefined,
      atomicAggregate: false,
      aggregator: undefined,
      communities: [],
      originatorId: undefined,
      clusterList: [],
      extendedCommunities: [],
      largeCommunities: [],
      onlyToCustomer: undefined,
      unknown: [],
    },
    context,
  );
  writer.beginReach(attributes, 'ipv4', undefined);
  writer.nlri(run(paths));
  return writer.take();
}

function withdraw(...paths: readonly Path[]): Uint8Array {
  const writer = new UpdateWriter(context);
  writer.beginWithdraw('ipv4');
  writer.nlri(run(paths));
  return writer.take();
}

/** Gives the bytes of a peer to a session at once. */
function hear(session: FakeSession, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) {
    const length = ((bytes[at + 16] as number) << 8) | (bytes[at + 17] as number);
    session.receive(bytes.slice(at, at + length));
    at += length;
  }
}

/** `node` with the played peer `router`, which offers several paths of a prefix. */
async function listening(toRouter: Partial<PeerIntent> = {}): Promise<{
  network: Network;
  node: Node;
  router: FakeSession;
}> {
  const network = new Network();
  network.mute.add(ip('192.0.2.2'));
  const node = network.node('node');
  const router = network.node('router');
  node.speaker.setKernelView(kernelView([['192.0.2.1/24']]));
  node.speaker.apply(
    intent({ peers: [peerIntent({ name: 'router', addPath: { receive: true, send: 1 }, ...toRouter })] }),
    1,
  );
  router.speaker.setKernelView(kernelView([['192.0.2.2/24']]));
  router.speaker.apply(
    intent({
      asn: asn(65002),
      routerId: ip('10.255.0.2'),
      peers: [
        peerIntent({
          name: 'node',
          address: ip('192.0.2.1'),
          sourceAddress: ip('192.0.2.2'),
          peerAsn: asn(65001),
          localAsn: asn(65002),
          addPath: { receive: true, send: 8 },
        }),
      ],
    }),
    1,
  );
  await network.settle();
  return { network, node, router: node.session('router') };
}

const hop = (n: number): IpAddress => ip(`192.0.2.${n}`);
const p = '198.51.100.0/24';
const said = (node: Node): string[] =>
  node.received('router').map((row) => `${row.prefix} ${row.pathId} ${row.nextHop} ${row.asPath}`);

describe('paths of one peer for one prefix', () => {
  test('are all in use when they are equally good, each under its identifier', async () => {
    const { network, node, router } = await listening();
    hear(router, announce(hop(10), [65002, 65010], [p, 0]));
    hear(router, announce(hop(11), [65002, 65011], [p, 7]));
    hear(router, announce(hop(12), [65002, 65012], [p, 0xffffffff]));
    await network.settle();
    assert.deepEqual(node.kernel.get(p), ['192.0.2.10%1', '192.0.2.11%1', '192.0.2.12%1']);
    assert.deepEqual(said(node), [
      `${p} 0 192.0.2.10 65002 65010`,
      `${p} 7 192.0.2.11 65002 65011`,
      `${p} 4294967295 192.0.2.12 65002 65012`,
    ]);
    const best = node.rows('best').find((row) => row.best);
    assert.deepEqual([best?.pathId, best?.reason], [0, 'best: lowest path identifier']);
  });

  test('are withdrawn and replaced one by one; an identifier that never came is silently ignored', async () => {
    const { network, node, router } = await listening();
    hear(router, announce(hop(10), [65002], [p, 1], ['203.0.113.0/24', 1]));
    hear(router, announce(hop(11), [65002], [p, 2]));
    hear(router, withdraw([p, 3], ['203.0.113.0/24', 2]));
    await network.settle();
    assert.deepEqual(node.kernel.get(p), ['192.0.2.10%1', '192.0.2.11%1']);
    hear(router, announce(hop(12), [65002], [p, 1]));
    await network.settle();
    assert.deepEqual(node.kernel.get(p), ['192.0.2.11%1', '192.0.2.12%1']);
    hear(router, withdraw([p, 2]));
    await network.settle();
    assert.deepEqual(node.kernel.get(p), ['192.0.2.12%1']);
    hear(router, withdraw([p, 1]));
    await network.settle();
    assert.deepEqual([...node.kernel.keys()], ['203.0.113.0/24']);
  });

  test('each count for maxPrefixes', async () => {
    const { network, node, router } = await listening({ maxPrefixes: 2 });
    hear(router, announce(hop(10), [65002], [p, 1], [p, 2], [p, 1]));
    await network.settle();
    assert.equal(router.state, 'Established');
    hear(router, announce(hop(10), [65002], [p, 3]));
    await network.settle();
    assert.deepEqual([router.lastReset?.code, router.lastReset?.subcode], [6, 1]);
    assert.deepEqual([...node.kernel.keys()], []);
  });

  test('are withdrawn, each alone, by malformed attributes (RFC 7606)', async () => {
    const { network, node, router } = await listening();
    hear(router, announce(hop(10), [65002], [p, 1]));
    hear(router, announce(hop(11), [65002], [p, 2]));
    // An empty AS_PATH from an external peer: treat-as-withdraw.
    hear(router, announce(hop(12), [], [p, 1]));
    await network.settle();
    assert.deepEqual(node.kernel.get(p), ['192.0.2.11%1']);
  });

  test('are gone after a marked refresh when they were not said again', async () => {
    const { network, node, router } = await listening({ gracefulRestart: { enabled: false, restartTime: 0 as never } });
    hear(router, announce(hop(10), [65002], [p, 1]));
    hear(router, announce(hop(11), [65002], [p, 2]));
    hear(router, encodeRouteRefresh({ afi: 1, safi: 1, subtype: 1 }));
    hear(router, announce(hop(11), [65002], [p, 2]));
    hear(router, announce(hop(12), [65002], [p, 3]));
    await network.settle();
    assert.deepEqual(node.kernel.get(p), ['192.0.2.10%1', '192.0.2.11%1', '192.0.2.12%1']);
    hear(router, encodeRouteRefresh({ afi: 1, safi: 1, subtype: 2 }));
    await network.settle();
    assert.deepEqual(node.kernel.get(p), ['192.0.2.11%1', '192.0.2.12%1']);
  });

  test('of a restarting peer stay until its End-of-RIB, whatever identifiers it gives them now', async () => {
    const { network, node, router } = await listening();
    hear(router, announce(hop(10), [65002], [p, 1]));
    hear(router, announce(hop(11), [65002], [p, 2]));
    await network.settle();
    network.cut(router, { code: 'SESSION_CONNECTION_CLOSED', text: 'closed', keepRoutes: true, replaced: false });
    await network.settle();
    assert.deepEqual(
      node.received('router').map((row) => [row.pathId, row.stale]),
      [
        [1, true],
        [2, true],
      ],
    );
    await network.advance(10_000);
    assert.equal(router.state, 'Established');
    hear(router, announce(hop(11), [65002], [p, 1]));
    await network.settle();
    assert.deepEqual(node.kernel.get(p), ['192.0.2.11%1'], 'the second path is stale and has the same next hop');
    hear(router, announce(hop(10), [65002], [p, 5]));
    const writer = new UpdateWriter(context);
    writer.endOfRib('ipv4');
    hear(router, writer.take());
    await network.settle();
    assert.deepEqual(said(node), [`${p} 1 192.0.2.11 65002`, `${p} 5 192.0.2.10 65002`]);
    assert.deepEqual(node.kernel.get(p), ['192.0.2.10%1', '192.0.2.11%1']);
  });
});
