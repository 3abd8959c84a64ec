// The RIB with its pools, slices and interning against a model of thirty lines that computes everything anew.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { IpAddress, Prefix } from '#lib/ip.ts';
import type { FibUpdate } from '#dataplane/fib/route.ts';
import type { Rewrite } from '#bgp/policy/rewrite.ts';
import type { Judgement } from '#bgp/policy/matcher.ts';
import type { Adjacency } from '#bgp/rib/adjacency.ts';
import { Adjacencies } from '#bgp/rib/adjacency.ts';
import { AttributeStore } from '#bgp/rib/attribute-store.ts';
import type { Sweep } from '#bgp/rib/family-rib.ts';
import { FamilyRib } from '#bgp/rib/family-rib.ts';
import { FibOutput } from '#bgp/rib/fib-output.ts';
import { NextHops } from '#bgp/rib/next-hops.ts';
import type { NlriBlock } from '#bgp/wire/messages.ts';
import { nlriOf } from '#bgp/wire/nlri.ts';
import { kernelView, rowsOf } from '../unit/bgp/speaker/network.ts';
import { noAttributes } from '#bgp/wire/messages.ts';

const prefixes = Array.from({ length: 12 }, (_, i) => `10.${i}.0.0/16` as Prefix);
const peerCount = 4;
/** The first peers have one path for a prefix, the others one for each identifier. */
const hasIds = (peer: number): boolean => peer >= 2;
const pathIds = [0, 7, 0xffffffff];
const context = {
  fourOctetAs: true,
  external: true,
  families: ['ipv4' as const],
  maximumMessageBytes: 4096,
  peerAsn: 65002 as never,
};

/** A prefix, and which identifier where the peer gives one. */
interface Route {
  readonly prefix: number;
  readonly id: number;
}

type Operation =
  | {
      readonly kind: 'announce';
      readonly peer: number;
      readonly routes: readonly Route[];
      readonly pref: number;
      readonly hop: number;
    }
  | { readonly kind: 'withdraw'; readonly peer: number; readonly routes: readonly Route[] }
  | { readonly kind: 'loss'; readonly peer: number }
  | { readonly kind: 'restart'; readonly peer: number }
  | { readonly kind: 'endOfRib'; readonly peer: number }
  | { readonly kind: 'policy'; readonly peer: number; readonly refuseOdd: boolean }
  | { readonly kind: 'link'; readonly up: boolean }
  | { readonly kind: 'decide'; readonly count: number };

const peer = fc.nat(peerCount - 1);
const some = fc.array(fc.record({ prefix: fc.nat(prefixes.length - 1), id: fc.nat(pathIds.length - 1) }), {
  minLength: 1,
  maxLength: 6,
});
const block = (of: number, routes: readonly Route[]): NlriBlock => ({
  family: 'ipv4',
  addPath: hasIds(of),
  bytes: nlriOf(
    routes.map(({ prefix }) => prefixes[prefix] as Prefix),
    hasIds(of) ? routes.map(({ id }) => pathIds[id] as number) : undefined,
  ),
});
const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('announce' as const),
      peer,
      routes: some,
      pref: fc.nat(2),
      hop: fc.nat(2),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('withdraw' as const), peer, routes: some }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('loss' as const), peer }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const), peer }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('endOfRib' as const), peer }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('policy' as const), peer, refuseOdd: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('link' as const), up: fc.boolean() }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('decide' as const), count: fc.integer({ min: 1, max: 20 }) }) },
);

/** Paths get attributes of their own under one of the two policies, equal to those that came. */
const unchanged: Rewrite = { key: 'unchanged', apply: (path) => path, med: undefined };

const rulesOf = (refuseOdd: boolean): Adjacency['rules'] => ({
  attributes: ({ localPref }) => (refuseOdd && localPref === 102 ? { accepted: false, reason: '' } : undefined),
  prefix: (_family, w0): Judgement => ({ accepted: !(refuseOdd && ((w0 >>> 16) & 1) === 1), reason: '' }),
  rewrite: () => (refuseOdd ? undefined : unchanged),
  looksAtInterfaces: false,
});
const view = kernelView([['192.0.2.1/24'], ['203.0.113.1/24']]);
const hops = ['192.0.2.10', '192.0.2.11', '203.0.113.10'] as IpAddress[];

/** The real thing, with sweeps done in random small slices. */
class Real {
  readonly updates: FibUpdate[] = [];
  readonly adjacencies = new Adjacencies();
  readonly attributes = new AttributeStore((bytes) => ({
    kind: 'accept',
    discarded: [],
    attributes: {
      ...noAttributes,
      localPref: 100 + (bytes[0] ?? 0),
    },
  }));
  readonly nextHops = new NextHops();
  readonly fib = new FibOutput((update) => this.updates.push(update));
  readonly rib = new FamilyRib(
    'ipv4',
    { maximumPaths: 8, relax: true },
    {
      adjacencies: this.adjacencies,
      attributes: this.attributes,
      nextHops: this.nextHops,
      fib: this.fib,
      decided: () => {},
    },
  );
  readonly peers = new Map<number, Adjacency>();
  readonly jobs: (() => boolean)[] = [];
  readonly refuseOdd = new Set<number>();

  peer(n: number): Adjacency {
    let adjacency = this.peers.get(n);
    if (adjacency === undefined) {
      adjacency = this.adjacencies.open({
        name: `p${n}`,
        external: true,
        address: `192.0.2.${n + 10}` as IpAddress,
        routerId: n + 1,
        rules: rulesOf(this.refuseOdd.has(n)),
      });
      this.peers.set(n, adjacency);
    }
    return adjacency;
  }

  sweep(sweep: Sweep): void {
    let at = 1;
    this.jobs.push(() => {
      at = this.rib.sweep(sweep, at, 3);
      return at !== 0;
    });
  }

  work(count: number): void {
    const job = this.jobs[0];
    if (job !== undefined && !job()) this.jobs.shift();
    this.rib.decideSome(count);
  }

  run(step: Operation): void {
    switch (step.kind) {
      case 'announce': {
        const stored = this.attributes.intern(this.attributes.scope(context, true), Uint8Array.of(step.pref));
        const hop = this.nextHops.intern(
          { global: hops[step.hop] as IpAddress, linkLocal: undefined },
          { localAddress: view.interfaces[0]?.addresses[0]?.address as IpAddress },
        );
        this.rib.announce(this.peer(step.peer), block(step.peer, step.routes), stored, hop);
        this.nextHops.release(hop);
        this.attributes.settle(stored.id);
        break;
      }
      case 'withdraw':
        this.rib.withdraw(this.peer(step.peer), block(step.peer, step.routes));
        break;
      case 'loss': {
        const adjacency = this.peer(step.peer);
        adjacency.alive = false;
        this.peers.delete(step.peer);
        this.sweep({ kind: 'dead', adjacency });
        this.jobs.push(() => {
          this.adjacencies.close(adjacency);
          return false;
        });
        break;
      }
      case 'restart': {
        const adjacency = this.peer(step.peer);
        this.sweep({ kind: 'stale', adjacency, life: adjacency.life.ipv4 });
        adjacency.life.ipv4 = (adjacency.life.ipv4 + 1) & 255;
        break;
      }
      case 'endOfRib': {
        const adjacency = this.peer(step.peer);
        this.sweep({ kind: 'stale', adjacency, life: adjacency.life.ipv4 });
        break;
      }
      case 'policy': {
        if (step.refuseOdd) this.refuseOdd.add(step.peer);
        else this.refuseOdd.delete(step.peer);
        const adjacency = this.peer(step.peer);
        adjacency.rules = rulesOf(step.refuseOdd);
        this.sweep({ kind: 'rejudge', adjacency });
        break;
      }
      case 'link': {
        const interfaces = view.interfaces.map((link) => (link.index === 2 ? { ...link, up: step.up } : link));
        this.sweep({ kind: 'nextHops', changed: new Set(this.nextHops.setView({ ...view, interfaces })) });
        this.fib.forgetResolutions();
        break;
      }
      case 'decide':
        this.work(step.count);
        break;
    }
  }

  kernel(): Record<string, string[]> {
    while (this.jobs.length > 0 || this.rib.undecidedCount > 0) this.work(100);
    this.fib.flush(false);
    const groups = new Map<number, string[]>();
    const kernel = new Map<string, string[]>();
    for (const update of this.updates) {
      for (const { id, members } of update.groups)
        groups.set(
          id,
          members.map(({ gateway }) => gateway),
        );
      for (const { prefix, group } of rowsOf(update)) {
        if (group === 0) assert.ok(kernel.delete(prefix), 'a row withdraws what is not there');
        else {
          const members = groups.get(group);
          assert.ok(members !== undefined, 'a row uses a released group');
          assert.notDeepEqual(kernel.get(prefix), members, 'a row that changes nothing');
          kernel.set(prefix, members);
        }
      }
      for (const id of update.releasedGroups) assert.ok(groups.delete(id));
    }
    assert.deepEqual(
      new Set([...groups.values()].map(String)),
      new Set([...kernel.values()].map(String)),
      'groups in use',
    );
    return Object.fromEntries([...kernel].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}

/** Paths by peer, prefix and identifier, everything else on demand. */
function model(steps: readonly Operation[]): Record<string, string[]> {
  const routes = new Map<string, { peer: number; prefix: number; pref: number; hop: number; fresh: boolean }>();
  const refuseOdd = new Set<number>();
  const keyOf = (of: number, { prefix, id }: Route): string => `${of} ${prefix} ${hasIds(of) ? id : 0}`;
  let linkUp = true;
  const drop = (test: (route: { peer: number; fresh: boolean }) => boolean): void => {
    for (const [key, route] of routes) if (test(route)) routes.delete(key);
  };
  for (const step of steps) {
    if (step.kind === 'announce')
      for (const route of step.routes) routes.set(keyOf(step.peer, route), { ...step, ...route, fresh: true });
    else if (step.kind === 'withdraw') for (const route of step.routes) routes.delete(keyOf(step.peer, route));
    else if (step.kind === 'loss') drop((route) => route.peer === step.peer);
    else if (step.kind === 'restart') {
      drop((route) => route.peer === step.peer && !route.fresh);
      for (const route of routes.values()) if (route.peer === step.peer) route.fresh = false;
    } else if (step.kind === 'endOfRib') drop((route) => route.peer === step.peer && !route.fresh);
    else if (step.kind === 'policy') refuseOdd[step.refuseOdd ? 'add' : 'delete'](step.peer);
    else if (step.kind === 'link') linkUp = step.up;
  }
  const kernel: [string, string[]][] = [];
  prefixes.forEach((prefix, n) => {
    const usable = [...routes.values()].filter(
      (r) => r.prefix === n && !((n % 2 === 1 || r.pref === 2) && refuseOdd.has(r.peer)) && (r.hop < 2 || linkUp),
    );
    const best = usable.filter((r) => r.pref === Math.max(...usable.map((other) => other.pref)));
    if (best.length > 0)
      kernel.push([
        prefix,
        [...new Set(best.map((r) => r.hop))].sort((a, b) => a - b).map((hop) => hops[hop] as string),
      ]);
  });
  return Object.fromEntries(kernel.sort(([a], [b]) => (a < b ? -1 : 1)));
}

test('whatever happens in whatever slices, the kernel ends with what the model says, and nothing is left over', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 80, size: 'max' }), (steps) => {
      const real = new Real();
      real.nextHops.setView(view);
      for (const step of steps) real.run(step);
      assert.deepEqual(real.kernel(), model(steps));
      for (const { received, slot } of real.peers.values()) {
        let paths = 0;
        for (let path = 1; path < real.rib.paths.limit; path++)
          if (real.rib.paths.prefix[path] !== 0 && real.rib.paths.slot[path] === slot) paths++;
        assert.equal(received.ipv4, paths, 'what max-prefix counts');
      }
      for (let n = 0; n < peerCount; n++) real.run({ kind: 'loss', peer: n });
      assert.deepEqual(real.kernel(), {});
      assert.deepEqual(
        [real.rib.table.size, real.rib.paths.size, real.attributes.size, real.rib.bestCount],
        [0, 0, 0, 0],
      );
    }),
    { numRuns: 600 },
  );
});
