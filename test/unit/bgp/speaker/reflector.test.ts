// Route reflection (RFC 4456): engines of one AS around reflectors that are engines too.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BgpIntent, PeerIntent } from '#bgp/engine.ts';
import type { Family } from '#lib/ip.ts';
import type { Node } from './network.ts';
import { Network, asn, intent, ip, kernelView, peerIntent, prefix } from './network.ts';

/** A speaker at 192.0.2.NUMBER with BGP identifier 10.255.0.NUMBER, and whom it peers with. */
interface Member {
  readonly number: number;
  readonly asn?: number;
  readonly peers: readonly (Partial<PeerIntent> & { readonly to: string })[];
  readonly intent?: Partial<BgpIntent>;
}

class Cluster {
  readonly network = new Network();
  readonly nodes = new Map<string, Node>();
  readonly #members: Record<string, Member>;
  #generation = 0;

  constructor(members: Record<string, Member>) {
    this.#members = members;
    for (const name of Object.keys(members)) this.start(name);
  }

  /** A new process of the member. */
  start(name: string, ...how: [] | [{ restarted: boolean; forwardingPreserved: readonly Family[] }]): void {
    const node = this.network.node(name, ...how);
    const number = this.#members[name]?.number;
    node.speaker.setKernelView(kernelView([[`192.0.2.${number}/24`, `2001:db8::${number}/64`]]));
    this.nodes.set(name, node);
  }

  static async of(members: Record<string, Member>): Promise<Cluster> {
    const cluster = new Cluster(members);
    await cluster.apply({});
    return cluster;
  }

  /** Every member's intent, those in `changed` with another one than at first. */
  async apply(changed: Record<string, Partial<Member>>): Promise<void> {
    this.#generation++;
    for (const [name, first] of Object.entries(this.#members)) {
      const member = { ...first, ...changed[name] };
      const localAsn = asn(member.asn ?? 65001);
      const peers = member.peers.map(({ to, ...more }) => {
        const other = this.#members[to];
        return peerIntent({
          name: to,
          address: ip(`192.0.2.${other?.number}`),
          sourceAddress: ip(`192.0.2.${member.number}`),
          localAsn,
          peerAsn: asn(other?.asn ?? 65001),
          ...more,
        });
      });
      this.at(name).speaker.apply(
        intent({
          asn: localAsn,
          routerId: ip(`10.255.0.${member.number}`),
          peers,
          announcements: [
            { prefix: prefix(`10.60.${member.number}.0/26`), source: 'block' },
            { prefix: prefix(`fd00:60:${member.number}::/64`), source: 'block' },
          ],
          ...member.intent,
        }),
        this.#generation,
      );
    }
    await this.network.settle();
  }

  at(name: string): Node {
    const node = this.nodes.get(name);
    if (node === undefined) throw new Error(`no node ${name}`);
    return node;
  }

  /** IPv4 and IPv6 blocks that the node has received, by the number in them, with their next hops. */
  learned(name: string): Record<string, string> {
    const rows = this.at(name).received();
    return Object.fromEntries(rows.map((row) => [row.prefix, row.nextHop ?? '']));
  }
}

const client = { routeReflectorClient: true } as const;
const aroundOne: Record<string, Member> = {
  rr: { number: 1, peers: [{ to: 'c1', ...client }, { to: 'c2', ...client }, { to: 'n1' }, { to: 'n2' }] },
  c1: { number: 11, peers: [{ to: 'rr' }] },
  c2: { number: 12, peers: [{ to: 'rr' }] },
  n1: { number: 21, peers: [{ to: 'rr' }] },
  n2: { number: 22, peers: [{ to: 'rr' }] },
};

const both = (...numbers: readonly number[]): Record<string, string> =>
  Object.fromEntries(
    numbers.flatMap((n) => [
      [`10.60.${n}.0/26`, `192.0.2.${n}`],
      [`fd00:60:${n}::/64`, `2001:db8::${n}`],
    ]),
  );

test('clients hear of everybody, others of clients only, with the next hop that the path came with', async () => {
  const cluster = await Cluster.of(aroundOne);
  assert.deepEqual(cluster.learned('c1'), both(1, 12, 21, 22));
  assert.deepEqual(cluster.learned('c2'), both(1, 11, 21, 22));
  assert.deepEqual(cluster.learned('n1'), both(1, 11, 12));
  assert.deepEqual(cluster.at('c1').kernel.get('10.60.12.0/26'), ['192.0.2.12%1'], 'straight, not by the reflector');
});

test('the reflector says why a path is passed on or not', async () => {
  const cluster = await Cluster.of(aroundOne);
  const rr = cluster.at('rr');
  const reasons = (peer: string): Record<string, string> =>
    Object.fromEntries(
      rr
        .rows('announced', peer)
        .filter((row) => row.prefix.startsWith('10.60.'))
        .map((row) => [row.prefix, row.reason]),
    );
  assert.deepEqual(reasons('c1'), {
    '10.60.1.0/26': 'announced: originated here',
    '10.60.12.0/26': 'announced: reflected to a client',
    '10.60.21.0/26': 'announced: reflected to a client',
    '10.60.22.0/26': 'announced: reflected to a client',
  });
  assert.deepEqual(reasons('n1'), {
    '10.60.1.0/26': 'announced: originated here',
    '10.60.11.0/26': 'announced: reflected from a client',
    '10.60.12.0/26': 'announced: reflected from a client',
  });
});

test('with two reflectors of one cluster each refuses what the other reflected, and clients have both paths', async () => {
  const one = ip('10.255.255.1');
  const reflector = (number: number, other: string): Member => ({
    number,
    peers: [{ to: 'c1', ...client }, { to: 'c2', ...client }, { to: other }],
    intent: { clusterId: one },
  });
  const cluster = await Cluster.of({
    rr1: reflector(1, 'rr2'),
    rr2: reflector(2, 'rr1'),
    c1: { number: 11, peers: [{ to: 'rr1' }, { to: 'rr2' }] },
    c2: { number: 12, peers: [{ to: 'rr1' }, { to: 'rr2' }] },
  });
  const fromOther = cluster.at('rr1').received('rr2');
  assert.deepEqual(
    fromOther.filter(({ prefix: p }) => p === '10.60.11.0/26').map(({ reason }) => reason),
    ['refused: CLUSTER_LIST has our own 10.255.255.1'],
  );
  const paths = cluster
    .at('c1')
    .received()
    .filter(({ prefix: p }) => p === '10.60.12.0/26');
  assert.deepEqual(
    paths.map(({ peer, nextHop, accepted }) => [peer, nextHop, accepted]),
    [
      ['rr1', '192.0.2.12', true],
      ['rr2', '192.0.2.12', true],
    ],
  );
});

test('reflectors of two clusters pass paths on, and the cluster list of the longer way decides against it', async () => {
  const cluster = await Cluster.of({
    rr1: { number: 1, peers: [{ to: 'c1', ...client }, { to: 'rr2' }, { to: 'c2', ...client }] },
    rr2: { number: 2, peers: [{ to: 'rr1' }, { to: 'c2', ...client }] },
    c1: { number: 11, peers: [{ to: 'rr1' }] },
    c2: { number: 12, peers: [{ to: 'rr2' }, { to: 'rr1' }] },
  });
  const best = cluster
    .at('c2')
    .rows('best')
    .filter(({ prefix: p }) => p === '10.60.11.0/26');
  assert.deepEqual(
    best.map(({ peer, best: first, reason }) => [peer, first, reason]),
    [
      ['rr1', true, 'best: shortest cluster list'],
      ['rr2', false, 'multipath: as good as the best'],
    ],
  );
});

test('an originator refuses its own path when a reflector sends it back', async () => {
  const cluster = await Cluster.of({
    rr1: { number: 1, peers: [{ to: 'c1', ...client }, { to: 'rr2' }] },
    rr2: { number: 2, peers: [{ to: 'c1', ...client, importPolicy: 'None' }, { to: 'rr1' }] },
    c1: { number: 11, peers: [{ to: 'rr1' }, { to: 'rr2' }] },
  });
  assert.equal(cluster.learned('rr2')['10.60.11.0/26'], '192.0.2.11');
  const back = cluster
    .at('c1')
    .received('rr2')
    .filter((row) => row.originatorId === '10.255.0.11');
  assert.deepEqual(
    back.map(({ prefix: p, reason }) => [p, reason]),
    [
      ['10.60.11.0/26', 'refused: ORIGINATOR_ID is our own 10.255.0.11'],
      ['fd00:60:11::/64', 'refused: ORIGINATOR_ID is our own 10.255.0.11'],
    ],
  );
});

test('a path whose next hop does not resolve at the reflector is reflected, and not installed there', async () => {
  const cluster = new Cluster({
    ...aroundOne,
    rr: { number: 1, peers: [...(aroundOne['rr']?.peers ?? []), { to: 'ext', transit: true, ebgpMultihop: 2 }] },
    ext: { number: 99, asn: 65099, peers: [{ to: 'rr' }], intent: { announcements: [] } },
  });
  cluster.at('rr').speaker.setKernelView(kernelView([['192.0.2.1/32', '2001:db8::1/128']]));
  await cluster.apply({});
  assert.deepEqual(Object.keys(cluster.learned('ext')), Object.keys(both(1)), 'no traffic is drawn here for nothing');
  assert.deepEqual([...cluster.at('rr').kernel.keys()], []);
  assert.deepEqual(cluster.learned('c1'), both(1, 12, 21, 22));
  const row = cluster.at('rr').received('c1')[0];
  assert.match(row?.reason ?? '', /accepted: importPolicy All; not installed: next hop 192\.0\.2\.11 is not reachable/);

  const peers = ['c1', 'c2', 'n1', 'n2', 'ext'].map((to) => ({
    to,
    transit: to === 'ext',
    ebgpMultihop: to === 'ext' ? 2 : 1,
  }));
  await cluster.apply({ rr: { peers } });
  assert.deepEqual(cluster.learned('c1'), both(1), 'no client, no reflector');
  await cluster.apply({});
  assert.deepEqual(cluster.learned('c1'), both(1, 12, 21, 22));
  assert.equal(cluster.at('rr').sessions.length, 5, 'no session was reset');
});

test('an external route goes to clients with our own next hop, and only when the kernel has it', async () => {
  const members: Record<string, Member> = {
    rr: { number: 1, peers: [{ to: 'c1', ...client }, { to: 'n1' }, { to: 'ext' }] },
    c1: { number: 11, peers: [{ to: 'rr' }] },
    n1: { number: 21, peers: [{ to: 'rr' }] },
    ext: { number: 99, asn: 65099, peers: [{ to: 'rr' }] },
  };
  const cluster = new Cluster(members);
  cluster.at('rr').confirms = false;
  await cluster.apply({});
  assert.equal(cluster.learned('c1')['10.60.99.0/26'], undefined);
  assert.equal(cluster.learned('c1')['10.60.21.0/26'], '192.0.2.21', 'traffic of a reflected path goes past us');
  cluster.at('rr').confirm();
  await cluster.network.settle();
  assert.equal(cluster.learned('c1')['10.60.99.0/26'], '192.0.2.1');
  assert.equal(cluster.learned('n1')['10.60.99.0/26'], undefined, 'no client and no transit peer');
  assert.deepEqual(Object.keys(cluster.learned('ext')), ['10.60.1.0/26', 'fd00:60:1::/64']);
});

test('ORIGINATOR_ID is the first announcer, the cluster list grows at its front, the rest stays', async () => {
  const cluster = await Cluster.of({
    rr1: { number: 1, peers: [{ to: 'c1', ...client }, { to: 'rr2' }] },
    rr2: { number: 2, peers: [{ to: 'rr1' }, { to: 'c2', ...client }], intent: { clusterId: ip('10.255.255.2') } },
    c1: {
      number: 11,
      peers: [
        {
          to: 'rr1',
          filters: [
            {
              name: 'f',
              import: { ipv4: [], ipv6: [] },
              export: {
                ipv4: [
                  {
                    action: 'Accept',
                    match: undefined,
                    operations: [
                      { kind: 'setMed', value: 7 },
                      { kind: 'setLocalPref', value: 250 },
                      { kind: 'addCommunity', community: 0xfde90001 },
                      { kind: 'prependAsPath', asns: [65010] },
                    ],
                  },
                ],
                ipv6: [],
              },
              default: undefined,
            },
          ],
        },
      ],
    },
    c2: { number: 12, peers: [{ to: 'rr2' }] },
  });
  const [sent] = cluster
    .at('rr2')
    .rows('announced', 'c2')
    .filter(({ prefix: p }) => p === '10.60.11.0/26');
  assert.deepEqual(
    [sent?.nextHop, sent?.asPath, sent?.localPref, sent?.med, sent?.communities, sent?.originatorId, sent?.clusterList],
    ['192.0.2.11', '65010', 250, 7, ['65001:1'], '10.255.0.11', ['10.255.255.2', '10.255.0.1']],
  );
});

test('a changed cluster id and a peer that is a client no longer are UPDATEs, not sessions', async () => {
  const cluster = await Cluster.of(aroundOne);
  await cluster.apply({ rr: { intent: { clusterId: ip('10.255.255.9') } } });
  const list = (): readonly string[] | undefined =>
    cluster
      .at('c1')
      .received()
      .find(({ prefix: p }) => p === '10.60.12.0/26')?.clusterList;
  assert.deepEqual(list(), ['10.255.255.9']);
  await cluster.apply({ rr: { peers: [{ to: 'c1', ...client }, { to: 'c2' }, { to: 'n1' }, { to: 'n2' }] } });
  assert.deepEqual(cluster.learned('c2'), both(1, 11));
  assert.equal(cluster.at('rr').sessions.length, 4);
});

test('clients keep what was reflected to them while the reflector restarts, and nothing is stale afterwards', async () => {
  const cluster = await Cluster.of(aroundOne);
  const c1 = cluster.at('c1');
  const before = Object.fromEntries(c1.kernel);
  await cluster.at('rr').speaker.stop('silent');
  await cluster.network.settle();
  assert.deepEqual(Object.fromEntries(c1.kernel), before);
  assert.ok(c1.received().every((row) => row.stale));
  cluster.start('rr', { restarted: true, forwardingPreserved: ['ipv4', 'ipv6'] });
  await cluster.apply({});
  assert.deepEqual(cluster.learned('c1'), both(1, 12, 21, 22));
  assert.ok(c1.received().every((row) => !row.stale));
  assert.deepEqual(Object.fromEntries(c1.kernel), before);
});

test('a client that one of two reflectors is drained of keeps its traffic, and is kept by the others', async () => {
  const reflector = (number: number, other: string, drain?: PeerIntent['drain']): Member => ({
    number,
    peers: [{ to: 'c1', ...client, drain }, { to: 'c2', ...client }, { to: other }],
  });
  const cluster = await Cluster.of({
    rr1: reflector(1, 'rr2'),
    rr2: reflector(2, 'rr1'),
    c1: { number: 11, peers: [{ to: 'rr1' }, { to: 'rr2' }] },
    c2: { number: 12, peers: [{ to: 'rr1' }, { to: 'rr2' }] },
  });
  const used = (name: string, n: number): unknown => cluster.at(name).kernel.get(`10.60.${n}.0/26`);
  const seen = (name: string, from: string, n: number): unknown =>
    cluster
      .at(name)
      .received(from)
      .filter((row) => row.prefix === `10.60.${n}.0/26`)
      .map(({ localPref }) => localPref);
  const written = (): number => cluster.at('c1').fib.length + cluster.at('c2').fib.length;
  const before = written();
  await cluster.apply({ rr1: reflector(1, 'rr2', 'deprefer') });
  // Reflected paths too: this reflector is about to take them away, and where nobody else has them they are left in time.
  assert.deepEqual([seen('c1', 'rr1', 12), seen('c1', 'rr2', 12)], [[0], [100]]);
  // What the client says is heard of the other reflector, and passed on as that one says it.
  assert.deepEqual([seen('c2', 'rr1', 11), seen('c2', 'rr2', 11)], [[100], [100]]);
  await cluster.apply({ rr1: reflector(1, 'rr2', 'withdraw') });
  assert.deepEqual([seen('c1', 'rr1', 12), seen('c1', 'rr2', 12)], [[], [100]]);
  await cluster.apply({ rr1: reflector(1, 'rr2', 'down') });
  await cluster.apply({});
  assert.deepEqual([used('c1', 12), used('c2', 11)], [['192.0.2.12%1'], ['192.0.2.11%1']]);
  assert.equal(written(), before, 'no route of either has changed on the way');
});
