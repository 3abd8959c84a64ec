// A peer that is drained: what each step says to it and does to its routes, in the simulated network.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BgpIntent, PeerIntent } from '#bgp/engine.ts';
import type { Node } from './network.ts';
import { Network, asn, intent, ip, kernelView, peerIntent, prefix } from './network.ts';

const ours = prefix('10.60.1.0/26');
const theirs = prefix('203.0.113.0/24');

/** A node under two routers of other ASes that announce the same. */
class Rack {
  readonly network = new Network();
  readonly node: Node = this.network.node('node');
  readonly routers: readonly Node[] = ['first', 'second'].map((name) => this.network.node(name));
  #generation = 0;

  static async of(): Promise<Rack> {
    const rack = new Rack();
    rack.node.speaker.setKernelView(kernelView([['192.0.2.1/24'], ['198.51.100.1/24']]));
    rack.routers.forEach((router, i) => {
      const net = i === 0 ? '192.0.2' : '198.51.100';
      router.speaker.setKernelView(kernelView([[`${net}.2/24`]]));
      const peer = { name: 'node', address: ip(`${net}.1`), sourceAddress: ip(`${net}.2`) };
      router.speaker.apply(
        intent({
          asn: asn(65002 + i),
          routerId: ip(`10.255.0.${i + 2}`),
          announcements: [{ prefix: theirs, source: 'block' }],
          peers: [peerIntent({ ...peer, peerAsn: asn(65001), localAsn: asn(65002 + i) })],
        }),
        1,
      );
    });
    await rack.drain(undefined);
    return rack;
  }

  async drain(step: PeerIntent['drain'], second?: PeerIntent['drain']): Promise<void> {
    const peers = [
      peerIntent({ name: 'first', drain: step }),
      peerIntent({
        name: 'second',
        address: ip('198.51.100.2'),
        sourceAddress: ip('198.51.100.1'),
        peerAsn: asn(65003),
        drain: second,
      }),
    ];
    const announcements: BgpIntent['announcements'] = [{ prefix: ours, source: 'block' }];
    this.node.speaker.apply(intent({ peers, announcements }), ++this.#generation);
    // Long enough for the facts to follow.
    await this.network.advance(200);
  }

  /** What a router has of our block: its communities, or nothing. */
  at(router: number): readonly (readonly string[])[] {
    return (this.routers[router]?.rows('received') ?? [])
      .filter((row) => row.prefix === ours)
      .map((row) => row.communities);
  }

  get used(): readonly string[] | undefined {
    return this.node.kernel.get(theirs);
  }
}

test('each step takes more away from one router, while the other carries everything', async () => {
  const rack = await Rack.of();
  assert.deepEqual(rack.used, ['192.0.2.2%1', '198.51.100.2%2']);
  await rack.drain('deprefer');
  assert.deepEqual(rack.at(0), [['GRACEFUL_SHUTDOWN']]);
  assert.deepEqual(rack.at(1), [[]]);
  assert.deepEqual(rack.used, ['198.51.100.2%2']);
  assert.match(rack.node.rows('announced', 'first')[0]?.reason ?? '', /GRACEFUL_SHUTDOWN: the peer is drained/);
  await rack.drain('withdraw');
  assert.deepEqual(rack.at(0), []);
  assert.deepEqual(rack.used, ['198.51.100.2%2']);
  assert.equal(rack.node.session('first').state, 'Established');
  const session = rack.node.session('first');
  await rack.drain('down');
  assert.deepEqual([session.lastReset?.code, session.lastReset?.subcode], [6, 2]);
  assert.notEqual(rack.node.facts?.peers[0]?.state, 'Established');
  assert.deepEqual(rack.used, ['198.51.100.2%2']);
  await rack.drain(undefined);
  assert.equal(rack.node.facts?.peers[0]?.state, 'Established');
  assert.deepEqual(rack.at(0), [[]]);
  assert.deepEqual(rack.used, ['192.0.2.2%1', '198.51.100.2%2']);
});

test('when every router is drained, what they announced stays in use after the sessions are gone', async () => {
  const rack = await Rack.of();
  for (const step of ['deprefer', 'withdraw', 'down'] as const) await rack.drain(step, step);
  assert.deepEqual([rack.at(0), rack.at(1)], [[], []]);
  assert.deepEqual(rack.used, ['192.0.2.2%1', '198.51.100.2%2']);
  await rack.network.advance(100_000);
  assert.deepEqual(rack.used, ['192.0.2.2%1', '198.51.100.2%2']);
  // Back again: at no moment is the route gone.
  const before = rack.node.fib.length;
  await rack.drain(undefined, undefined);
  assert.deepEqual(rack.used, ['192.0.2.2%1', '198.51.100.2%2']);
  assert.deepEqual([rack.at(0), rack.at(1)], [[[]], [[]]]);
  const gone = rack.node.fib.slice(before).some(({ groupIds }) => groupIds.includes(0));
  assert.equal(gone, false, 'the route left the kernel on the way');
});

test('what a drained peer announced does not stay for ever', async () => {
  const rack = await Rack.of();
  for (const step of ['deprefer', 'withdraw', 'down'] as const) await rack.drain(step, step);
  await rack.network.advance(800_000);
  assert.equal(rack.used, undefined);
});

test('a drain that is called off before its end leaves no trace', async () => {
  const rack = await Rack.of();
  await rack.drain('withdraw');
  await rack.drain(undefined);
  assert.deepEqual(rack.at(0), [[]]);
  assert.deepEqual(rack.used, ['192.0.2.2%1', '198.51.100.2%2']);
  assert.equal(rack.node.facts?.peers[0]?.flaps, 0);
});
