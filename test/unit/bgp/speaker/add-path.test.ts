// Several paths for one prefix in one session (RFC 7911): what comes, with a peer whose bytes the test makes, and what goes.
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
import { noAttributes } from '#bgp/wire/messages.ts';

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
      ...noAttributes,
      asPath: [{ type: 2, asns }],
      nextHop,
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

/**
 * A router in transit between `edges` (AS 65011 and on), which all announce the prefix, and `leaf` (AS 65002), to which it may
 * announce `send` paths.
 */
async function transit(
  send: number,
  toEdge: Partial<PeerIntent> = {},
): Promise<{ network: Network; router: Node; leaf: Node; edges: Node[] }> {
  const network = new Network();
  const router = network.node('router');
  const leaf = network.node('leaf');
  const edges = [1, 2, 3].map((n) => network.node(`edge${n}`));
  router.speaker.setKernelView(kernelView([['192.0.2.1/24'], ['203.0.113.1/24']]));
  leaf.speaker.setKernelView(kernelView([['192.0.2.2/24']]));
  router.speaker.apply(
    intent({
      peers: [
        peerIntent({ name: 'leaf', transit: true, addPath: { receive: true, send } }),
        ...edges.map((_, n) =>
          peerIntent({
            name: `edge${n + 1}`,
            address: ip(`203.0.113.${11 + n}`),
            sourceAddress: ip('203.0.113.1'),
            peerAsn: asn(65011 + n),
            transit: true,
            addPath: { receive: true, send },
            ...toEdge,
          }),
        ),
      ],
    }),
    1,
  );
  leaf.speaker.apply(
    intent({
      asn: asn(65002),
      routerId: ip('10.255.0.2'),
      peers: [
        peerIntent({
          name: 'router',
          address: ip('192.0.2.1'),
          sourceAddress: ip('192.0.2.2'),
          peerAsn: asn(65001),
          localAsn: asn(65002),
          addPath: { receive: true, send: 1 },
        }),
      ],
    }),
    1,
  );
  for (const [n, edge] of edges.entries()) announceAt(edge, n, [p]);
  await network.settle();
  return { network, router, leaf, edges };
}

function announceAt(edge: Node, n: number, prefixes: readonly string[], generation = 1): void {
  edge.speaker.setKernelView(kernelView([[`203.0.113.${11 + n}/24`]]));
  edge.speaker.apply(
    intent({
      asn: asn(65011 + n),
      routerId: ip(`10.255.1.${n}`),
      announcements: prefixes.map((text) => ({ prefix: prefix(text), source: 'advertise' as const })),
      peers: [
        peerIntent({
          name: 'router',
          address: ip('203.0.113.1'),
          sourceAddress: ip(`203.0.113.${11 + n}`),
          peerAsn: asn(65001),
          localAsn: asn(65011 + n),
          addPath: { receive: true, send: 1 },
        }),
      ],
    }),
    generation,
  );
}

const heard = (node: Node): (readonly [number | undefined, string])[] =>
  node.received('router').map((row) => [row.pathId, row.asPath]);

describe('paths that are announced', () => {
  test('are the best ones, as many as were asked for, with identifiers', async () => {
    const { router, leaf } = await transit(2);
    assert.deepEqual(
      heard(leaf).map(([, path]) => path),
      ['65001 65011', '65001 65012'],
    );
    const ids = heard(leaf).map(([id]) => id);
    assert.equal(new Set(ids).size, 2);
    assert.ok(ids.every((id) => id !== undefined && id > 0));
    const announced = router.rows('announced', 'leaf');
    assert.deepEqual(
      announced.map((row) => [row.pathId, row.best, row.reason]),
      [
        [ids[0], true, 'announced: transit'],
        [ids[1], false, 'announced: transit'],
      ],
    );
    assert.equal(router.facts?.peers.find(({ name }) => name === 'leaf')?.announced.ipv4, 2);
  });

  test('are one, without an identifier, where nothing was agreed', async () => {
    const { leaf } = await transit(1);
    assert.deepEqual(heard(leaf), [[undefined, '65001 65011']]);
  });

  test('do not go back to the peer that they came from', async () => {
    const { edges } = await transit(3, { allowedLocalAsns: 1 });
    assert.deepEqual(
      edges.map((edge) => heard(edge).map(([, path]) => path)),
      [
        ['65001 65012', '65001 65013'],
        ['65001 65011', '65001 65013'],
        ['65001 65011', '65001 65012'],
      ],
    );
  });

  test('keep their identifiers when another comes or goes, and only what changed is said', async () => {
    const { network, router, leaf, edges } = await transit(2);
    const before = new Map(heard(leaf).map(([id, path]) => [path, id]));
    const messages = router.session('leaf').messages.sent;
    announceAt(edges[0] as Node, 0, [], 2);
    await network.settle();
    const after = new Map(heard(leaf).map(([id, path]) => [path, id]));
    assert.deepEqual([...after.keys()], ['65001 65012', '65001 65013']);
    assert.equal(after.get('65001 65012'), before.get('65001 65012'));
    assert.equal(
      router.session('leaf').messages.sent - messages,
      2,
      'the third path is announced, the first withdrawn',
    );
    announceAt(edges[1] as Node, 1, [], 2);
    announceAt(edges[2] as Node, 2, [], 2);
    await network.settle();
    assert.deepEqual(heard(leaf), []);
  });

  test('are said again, all of them, when the peer asks', async () => {
    const { network, router, leaf } = await transit(2);
    const before = router.session('leaf').messages.sent;
    const table = heard(leaf);
    assert.ok(leaf.speaker.reset('router', 'soft'));
    await network.settle();
    assert.deepEqual(heard(leaf), table);
    assert.equal(router.session('leaf').messages.sent - before, 4, 'two UPDATEs between two markers');
  });
});
