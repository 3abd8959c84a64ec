import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BgpIntent, FilterIntent, FilterRule, PeerIntent } from '#bgp/engine.ts';
import type { Node } from './network.ts';
import { Network, asn, intent, ip, kernelView, peerIntent, prefix } from './network.ts';

const lists = (rules: readonly Partial<FilterRule>[] = []): FilterIntent['import'] => {
  const made = rules.map((rule) => ({ action: 'Accept' as const, match: undefined, ...rule }));
  return { ipv4: made, ipv6: made };
};
const filter = (rules: { import?: Partial<FilterRule>[]; export?: Partial<FilterRule>[] }): FilterIntent => ({
  name: 'f',
  import: lists(rules.import),
  export: lists(rules.export),
  default: undefined,
});
const announcements: BgpIntent['announcements'] = [
  { prefix: prefix('198.51.100.0/24'), source: 'block' },
  { prefix: prefix('2001:db8:100::/48'), source: 'block' },
];

/** A node (AS 65001) that learns from a router (AS 65002). */
class Pair {
  readonly network = new Network();
  readonly node: Node = this.network.node('node');
  readonly router: Node = this.network.node('router');
  #generation = 0;

  async apply(toRouter: Partial<PeerIntent>, toNode: Partial<PeerIntent>): Promise<void> {
    this.#generation++;
    this.node.speaker.apply(intent({ peers: [peerIntent({ name: 'router', ...toRouter })] }), this.#generation);
    this.router.speaker.apply(
      intent({
        asn: asn(65002),
        routerId: ip('10.255.0.2'),
        announcements,
        peers: [
          peerIntent({
            name: 'node',
            address: ip('192.0.2.1'),
            sourceAddress: ip('192.0.2.2'),
            peerAsn: asn(65001),
            localAsn: asn(65002),
            ...toNode,
          }),
        ],
      }),
      this.#generation,
    );
    await this.network.settle();
  }

  static async of(toRouter: Partial<PeerIntent>, toNode: Partial<PeerIntent>): Promise<Pair> {
    const pair = new Pair();
    pair.node.speaker.setKernelView(kernelView([['192.0.2.1/24', '2001:db8::1/64']]));
    pair.router.speaker.setKernelView(kernelView([['192.0.2.2/24', '2001:db8::2/64']]));
    await pair.apply(toRouter, toNode);
    return pair;
  }

  /** What the node has of both families, the same for each. */
  rows(direction: 'received' | 'accepted' | 'best'): (string | number | undefined | readonly string[])[][] {
    return this.node.rows(direction).map((row) => [row.asPath, row.localPref, row.med, row.communities, row.reason]);
  }
}

test('operations change what is announced and what is accepted, and a change of them is no new session', async () => {
  const tagged = filter({
    export: [
      {
        operations: [
          { kind: 'addCommunity', community: 0xfdea0007 },
          { kind: 'addCommunity', community: [65002, 1, 2] },
          { kind: 'prependAsPath', asns: [65002, 65002] },
          { kind: 'setMed', value: 50 },
        ],
      },
    ],
  });
  const picks = filter({
    import: [{ communities: [0xfdea0007, [65002, 1, 2]], operations: [{ kind: 'setLocalPref', value: 400 }] }],
  });
  const pair = await Pair.of({ importPolicy: 'None', filters: [picks] }, { filters: [tagged] });
  const path = '65002 65002 65002';
  const communities = ['65002:7', '65002:1:2'];
  const accepted = [path, 400, 50, communities, 'accepted: filter f, rule 1'];
  assert.deepEqual(pair.rows('accepted'), [accepted, accepted]);
  assert.equal(pair.rows('received')[0]?.[1], 100, 'as it came');

  const other = filter({
    import: [
      {
        operations: [
          { kind: 'deleteCommunity', community: '*' },
          { kind: 'setMed', value: 1 },
        ],
      },
    ],
  });
  await pair.apply({ importPolicy: 'None', filters: [other] }, { filters: [tagged] });
  const changed = [path, 100, 1, [], 'accepted: filter f, rule 1'];
  assert.deepEqual(pair.rows('accepted'), [changed, changed]);

  await pair.apply({ importPolicy: 'None', filters: [picks] }, { filters: [] });
  assert.deepEqual(pair.rows('accepted'), []);
  assert.equal(pair.node.kernel.size, 0);
  await pair.apply({ importPolicy: 'All' }, { filters: [] });
  assert.deepEqual(pair.rows('accepted')[0], ['65002', 100, undefined, [], 'accepted: importPolicy All']);
  assert.equal(pair.node.sessions.length, 1);
});

test('a rule about an interface is asked again when the way to the next hop changes', async () => {
  const byEth1 = filter({ import: [{ interface: 'eth1', operations: [{ kind: 'setLocalPref', value: 400 }] }] });
  const pair = await Pair.of({ filters: [byEth1] }, {});
  const reasons = (): unknown[] => pair.rows('received').map((row) => row[4]);
  assert.deepEqual(reasons(), ['accepted: importPolicy All', 'accepted: importPolicy All']);
  pair.node.speaker.setKernelView(kernelView([['198.51.100.1/24'], ['192.0.2.1/24', '2001:db8::1/64']]));
  await pair.network.settle();
  assert.deepEqual(reasons(), ['accepted: filter f, rule 1', 'accepted: filter f, rule 1']);
  assert.deepEqual(
    pair.rows('accepted').map((row) => row[1]),
    [400, 400],
  );
  pair.node.speaker.setKernelView(kernelView([['198.51.100.1/24']]));
  await pair.network.settle();
  assert.match(String(reasons()[0]), /^accepted: importPolicy All; not installed: /, 'no way, no interface');
});

test('GRACEFUL_SHUTDOWN comes and goes without a new session, and the reason says so', async () => {
  const leaving = filter({ export: [{ operations: [{ kind: 'addCommunity', community: 0xffff0000 }] }] });
  const pair = await Pair.of({}, {});
  await pair.apply({}, { filters: [leaving] });
  const row = pair.rows('accepted')[0];
  assert.equal(row?.[1], 0);
  assert.equal(row?.[4], 'accepted: importPolicy All; GRACEFUL_SHUTDOWN: local preference 0');
  await pair.apply({}, {});
  assert.equal(pair.rows('accepted')[0]?.[1], 100);
  assert.equal(pair.node.sessions.length, 1);
});

test('a local AS stands alone in paths, or with the real one behind it, and in front of what came, as is asked for (RFC 7705)', async () => {
  const real = asn(65001);
  const seen = async (router: Partial<PeerIntent>): Promise<unknown> => {
    const pair = await Pair.of(
      { localAsn: asn(65010), peerAsn: asn(65002), ...router },
      { peerAsn: asn(65010), importPolicy: 'All' },
    );
    pair.node.speaker.apply(
      intent({
        announcements: [{ prefix: prefix('10.60.1.0/26'), source: 'block' }],
        peers: [
          peerIntent({ name: 'router', localAsn: asn(65010), peerAsn: asn(65002), importPolicy: 'All', ...router }),
        ],
      }),
      9,
    );
    await pair.network.settle();
    return [
      [...new Set(pair.router.rows('received').map(({ asPath }) => asPath))],
      [...new Set(pair.node.rows('accepted').map(({ asPath }) => asPath))],
    ];
  };
  assert.deepEqual(await seen({}), [['65010'], ['65002']]);
  assert.deepEqual(await seen({ innerAsn: real }), [['65010 65001'], ['65002']]);
  assert.deepEqual(await seen({ innerAsn: real, prependsReceived: true }), [['65010 65001'], ['65010 65002']]);
});
