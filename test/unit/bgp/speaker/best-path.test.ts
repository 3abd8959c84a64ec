// Which of several paths is the best, with the choices of `bestPath`, and what `flatroute routes` says of the others.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BestPathIntent, BgpIntent, RouteOperation } from '#bgp/engine.ts';
import type { Node } from './network.ts';
import { Network, asn, intent, ip, kernelView, peerIntent, prefix } from './network.ts';

const theirs = prefix('203.0.113.0/24');
const plain: BestPathIntent = { alwaysCompareMed: false, missingMedAsWorst: false, preferOlder: false };

/** A node under routers of other ASes that announce the same, each with what is done to its announcement. */
class Rack {
  readonly network = new Network();
  readonly node: Node = this.network.node('node');
  readonly routers: readonly Node[] = [1, 2, 3].map((n) => this.network.node(`r${n}`));
  #generation = 0;

  constructor() {
    const nets = this.routers.map((_, i) => [`192.0.${i + 1}.1/24`]);
    this.node.speaker.setKernelView(kernelView(nets));
    this.routers.forEach((router, i) => router.speaker.setKernelView(kernelView([[`192.0.${i + 1}.2/24`]])));
  }

  /** The router with number `n`, 1 to 3, announces; `undefined`: nothing. Its router id falls as `n` grows. */
  async announce(n: number, operations: readonly RouteOperation[] | undefined): Promise<void> {
    const rules = [{ action: 'Accept', match: undefined, operations: operations ?? [] }] as const;
    const filter = {
      name: 'out',
      import: { ipv4: [], ipv6: [] },
      export: { ipv4: rules, ipv6: [] },
      default: undefined,
    };
    this.routers[n - 1]?.speaker.apply(
      intent({
        asn: asn(65001 + n),
        routerId: ip(`10.255.0.${9 - n}`),
        announcements: operations === undefined ? [] : [{ prefix: theirs, source: 'block' }],
        peers: [
          peerIntent({
            name: 'node',
            address: ip(`192.0.${n}.1`),
            sourceAddress: ip(`192.0.${n}.2`),
            peerAsn: asn(65001),
            localAsn: asn(65001 + n),
            filters: [filter],
          }),
        ],
      }),
      ++this.#generation,
    );
    await this.network.advance(200);
  }

  async use(
    bestPath: BestPathIntent,
    multipath: BgpIntent['multipath'] = { maximumPaths: 8, relax: true },
  ): Promise<void> {
    const peers = this.routers.map((_, i) =>
      peerIntent({
        name: `r${i + 1}`,
        address: ip(`192.0.${i + 1}.2`),
        sourceAddress: ip(`192.0.${i + 1}.1`),
        peerAsn: asn(65002 + i),
      }),
    );
    this.node.speaker.apply(intent({ peers, bestPath, multipath }), ++this.#generation);
    await this.network.advance(200);
  }

  get best(): string | undefined {
    return this.node.rows('best').find((row) => row.best)?.peer;
  }

  /** By router, without what policy said. */
  get reasons(): readonly string[] {
    return this.node
      .rows('accepted')
      .sort((a, b) => (a.peer < b.peer ? -1 : 1))
      .map(({ reason }) => reason.replace(/^accepted: importPolicy All(; )?/, ''));
  }
}

test('every path says which step chose it or put it out', async () => {
  const rack = new Rack();
  await rack.use(plain);
  await rack.announce(1, []);
  assert.deepEqual(rack.reasons, [''], 'one path alone needs no reason');
  await rack.announce(2, [{ kind: 'prependAsPath', asns: [65003] }]);
  await rack.announce(3, []);
  assert.deepEqual(rack.reasons, [
    'used: as good as the best',
    'not used: AS path of 2, the best has 1',
    'best: lowest router id',
  ]);
  await rack.use(plain, { maximumPaths: 1, relax: true });
  assert.equal(
    rack.reasons[0],
    'not used: as good as the best, but no more are used together (multipath.maximumPaths)',
  );
  await rack.use(plain, { maximumPaths: 8, relax: false });
  assert.equal(rack.reasons[0], 'not used: as good as the best, but through other ASes (multipath.relax is off)');
});

test('MED decides between ASes, and a missing one is the worst, where that is asked for', async () => {
  const rack = new Rack();
  await rack.use(plain);
  await rack.announce(1, [{ kind: 'setMed', value: 10 }]);
  await rack.announce(2, [{ kind: 'setMed', value: 20 }]);
  await rack.announce(3, []);
  assert.equal(rack.node.kernel.get(theirs)?.length, 3, 'MED of different ASes is not compared');
  await rack.use({ ...plain, alwaysCompareMed: true });
  assert.equal(rack.best, 'r3', 'without MED is the best');
  assert.deepEqual(rack.reasons, [
    'not used: MED 10, another path has a lower one',
    'not used: MED 20, another path has a lower one',
    'best: lowest MED',
  ]);
  await rack.use({ ...plain, alwaysCompareMed: true, missingMedAsWorst: true });
  assert.equal(rack.best, 'r1');
  assert.match(rack.reasons[2] ?? '', /^not used: without MED/);
});

test('the path that is the best stays it against an equal one, and is forgotten with its withdrawal', async () => {
  const rack = new Rack();
  await rack.use({ ...plain, preferOlder: true });
  await rack.announce(1, []);
  await rack.announce(2, []);
  assert.equal(rack.best, 'r1', 'r2 has the lower router id');
  assert.deepEqual(rack.reasons, [
    'best: it was so before an equal one came (preferOlder)',
    'used: as good as the best',
  ]);
  await rack.use(plain);
  assert.equal(rack.best, 'r2');
  await rack.use({ ...plain, preferOlder: true });
  assert.equal(rack.best, 'r2', 'now that one is the older one');
  await rack.announce(2, undefined);
  assert.equal(rack.best, 'r1');
  await rack.announce(2, []);
  assert.equal(rack.best, 'r1');
  // What takes the number of a path that is gone is not the older one.
  await rack.announce(1, undefined);
  await rack.announce(3, []);
  await rack.announce(1, []);
  assert.equal(rack.best, 'r2');
});
