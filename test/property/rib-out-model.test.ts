// What peers are told, by groups that share messages, against a model that computes each peer's routes anew: peers join, are
// slow, ask for everything again, change their policy and leave at any moment, and each keeps the table that it was told.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { Asn, IpAddress, Prefix } from '#lib/ip.ts';
import { compileExport } from '#bgp/policy/export.ts';
import { compileImport, neverImported } from '#bgp/policy/import.ts';
import { autoKeep } from '#bgp/rib/kept-next-hop.ts';
import { AdjRibOut } from '#bgp/rib/adj-rib-out.ts';
import type { Adjacency } from '#bgp/rib/adjacency.ts';
import type { GroupTerms } from '#bgp/rib/update-groups.ts';
import { groupTerms } from '#bgp/rib/update-groups.ts';
import { Core } from '#bgp/speaker/core.ts';
import { decodeAttributes, encodeAttributes } from '#bgp/wire/attributes.ts';
import type { PathAttributes, WireContext } from '#bgp/wire/messages.ts';
import { nlriOf, routesOf } from '#bgp/wire/nlri.ts';
import { splitUpdate } from '#bgp/wire/update.ts';
import { intent, kernelView, peerIntent } from '../unit/bgp/speaker/network.ts';
import { noAttributes } from '#bgp/wire/messages.ts';

const prefixes = Array.from({ length: 10 }, (_, i) => `10.${i}.0.0/16` as Prefix);
/** What a source is: its AS, and whether it gives identifiers. The first two have one AS, so their paths may look alike. */
const sources = [
  { asn: 65010, hasIds: false },
  { asn: 65010, hasIds: true },
  { asn: 65012, hasIds: false },
  { asn: 65013, hasIds: true },
] as const;
const session = { localAddress: '192.0.2.1' as IpAddress, remoteAddress: '192.0.2.2' as IpAddress };
const contextOf = (paths: number | undefined): WireContext => ({
  fourOctetAs: true,
  external: true,
  families: ['ipv4'],
  // Small, so that a batch is several messages.
  maximumMessageBytes: 90,
  peerAsn: 65099 as Asn,
  addPath: paths === undefined ? undefined : { receive: [], send: ['ipv4'] },
});
const readContext = (paths: number | undefined): WireContext => ({
  ...contextOf(paths),
  peerAsn: 65001 as Asn,
  addPath: paths === undefined ? undefined : { receive: ['ipv4'], send: [] },
});
type Operation =
  | { readonly kind: 'announce'; readonly source: number; readonly routes: readonly Route[]; readonly length: number }
  | { readonly kind: 'withdraw'; readonly source: number; readonly routes: readonly Route[] }
  | { readonly kind: 'lose'; readonly source: number }
  | { readonly kind: 'local'; readonly prefixes: readonly number[] }
  | { readonly kind: 'join'; readonly member: number; readonly paths: number | undefined }
  | { readonly kind: 'leave'; readonly member: number }
  | { readonly kind: 'block'; readonly member: number; readonly after: number }
  | { readonly kind: 'open'; readonly member: number }
  | { readonly kind: 'refresh'; readonly member: number }
  | { readonly kind: 'policy'; readonly members: readonly number[]; readonly policy: number }
  | { readonly kind: 'decide'; readonly count: number }
  | { readonly kind: 'run'; readonly count: number }
  | { readonly kind: 'confirm' };

interface Route {
  readonly prefix: number;
  readonly id: number;
}

const source = fc.nat(sources.length - 1);
const memberCount = 5;
const member = fc.nat(memberCount - 1);
const some = fc.array(fc.record({ prefix: fc.nat(prefixes.length - 1), id: fc.nat(2) }), {
  minLength: 1,
  maxLength: 6,
});
const paths = fc.constantFrom(undefined, undefined, 2, 3);
const of = <K extends Operation['kind']>(kind: K): fc.Arbitrary<K> => fc.constant(kind);
const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({ kind: of('announce'), source, routes: some, length: fc.integer({ min: 1, max: 3 }) }),
  },
  { weight: 5, arbitrary: fc.record({ kind: of('withdraw'), source, routes: some }) },
  { weight: 1, arbitrary: fc.record({ kind: of('lose'), source }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: of('local'),
      prefixes: fc.uniqueArray(fc.nat(prefixes.length - 1), { maxLength: 3 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: of('join'), member, paths }) },
  { weight: 1, arbitrary: fc.record({ kind: of('leave'), member }) },
  { weight: 3, arbitrary: fc.record({ kind: of('block'), member, after: fc.nat(3) }) },
  { weight: 3, arbitrary: fc.record({ kind: of('open'), member }) },
  { weight: 2, arbitrary: fc.record({ kind: of('refresh'), member }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: of('policy'), members: fc.subarray([0, 1, 2, 3, 4]), policy: fc.nat(3) }),
  },
  { weight: 8, arbitrary: fc.record({ kind: of('decide'), count: fc.integer({ min: 1, max: 12 }) }) },
  { weight: 10, arbitrary: fc.record({ kind: of('run'), count: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 3, arbitrary: fc.record({ kind: of('confirm') }) },
);

const budget = 4;
/** Policies: 0 lets everything pass, 1 refuses odd prefixes, 2 has another next hop, 3 lets no more pass than the budget. */
function termsOf(policy: number, most: number | undefined): GroupTerms {
  const rules = compileExport(peerIntent({ name: 'p', transit: true }), true, { reflects: false, clusterId: 0 });
  return groupTerms(`policy ${policy}`, {
    family: 'ipv4',
    paths: most,
    maxAnnounced: policy === 3 ? budget : undefined,
    rules: {
      ...rules,
      ignoresPrefix: policy === 0,
      local: (attributes, family, w0, ...rest) => refused(policy, w0) ?? rules.local(attributes, family, w0, ...rest),
      learned: (attributes, from, hop, family, w0, ...rest) =>
        refused(policy, w0) ?? rules.learned(attributes, from, hop, family, w0, ...rest),
    },
    external: true,
    clusterId: 0,
    localAsn: 65001 as Asn,
    keep: autoKeep,
    nextHop: { global: (policy === 2 ? '192.0.2.3' : '192.0.2.1') as IpAddress, linkLocal: undefined },
    context: contextOf(most),
  });
}
const refused = (policy: number, w0: number): { accepted: false; reason: string } | undefined =>
  policy === 1 && ((w0 >>> 16) & 1) === 1 ? { accepted: false, reason: '' } : undefined;

/** A peer that is told: it keeps a table of what it heard. */
class Told {
  readonly table = new Map<string, string>();
  /** Of a refresh that is on: what was not said again yet. */
  stale: Set<string> | undefined;
  refreshWanted = false;
  policy = 0;
  /** Messages that it takes before it is full. */
  room = Number.POSITIVE_INFINITY;
  /** It was full when the turn began. */
  wasFull = false;
  readonly ribOut: AdjRibOut;
  readonly paths: number | undefined;
  /** Routes of an earlier session of the same peer may still be there. */
  readonly isSecond: boolean;
  /** A member in a source's place is not told what came from there. */
  readonly own: number;

  constructor(core: Core, slot: number, own: number, most: number | undefined, isSecond: boolean) {
    this.own = own;
    this.isSecond = isSecond;
    this.paths = most;
    const group = core.groups.group(termsOf(0, most));
    this.ribOut = new AdjRibOut(group, slot, {
      isBlocked: () => this.room <= 0,
      send: (bytes) => this.hear(bytes),
    });
    group.join(this.ribOut);
  }

  hear(bytes: Uint8Array): void {
    assert.ok(!this.wasFull, 'written to although it is full');
    this.room--;
    for (let at = 0; at < bytes.length; ) {
      const length = ((bytes[at + 16] as number) << 8) | (bytes[at + 17] as number);
      assert.ok(length <= 90 && at + length <= bytes.length);
      const update = splitUpdate(bytes.subarray(at + 19, at + length), readContext(this.paths));
      assert.ok(update.ok, update.ok ? '' : update.error.text);
      assert.ok(update.value.withdrawn.length + update.value.reachable.length > 0, 'an UPDATE with nothing in it');
      for (const block of update.value.withdrawn) for (const route of routesOf(block)) this.#withdraw(route);
      for (const { nlri } of update.value.reachable) {
        const verdict = decodeAttributes(update.value.attributes, readContext(this.paths), { hasClassicNlri: true });
        assert.ok(verdict.kind === 'accept');
        for (const route of routesOf(nlri)) this.#reach(route, verdict.attributes);
      }
      at += length;
    }
  }

  #reach({ prefix, pathId }: { prefix: Prefix; pathId: number | undefined }, attributes: PathAttributes): void {
    const asns = attributes.asPath.flatMap((segment) => segment.asns);
    const key = `${prefix} ${pathId ?? ''}`;
    const said = `${asns.join(' ')} via ${attributes.nextHop}`;
    // The AS of the first two sources is no sign of which it was.
    const own = sources[this.own];
    if (own !== undefined && this.own >= 2 && !this.isSecond)
      assert.notEqual(asns[1], own.asn, 'a route goes back to where it came from');
    if (this.table.get(key) === said) assert.ok(this.stale !== undefined, 'said again without being asked');
    this.table.set(key, said);
    this.stale?.delete(key);
  }

  #withdraw({ prefix, pathId }: { prefix: Prefix; pathId: number | undefined }): void {
    const key = `${prefix} ${pathId ?? ''}`;
    assert.ok(this.table.delete(key), `withdrawn what it does not have: ${key}`);
    this.stale?.delete(key);
  }

  /** As `PeerOutput` does it. */
  run(count: number): boolean {
    if (this.room <= 0) return false;
    if (this.refreshWanted && !this.ribOut.isNew) {
      this.refreshWanted = false;
      this.ribOut.resendAll();
      this.stale = new Set(this.table.keys());
    }
    const worked = this.ribOut.run(count);
    if (this.stale !== undefined && this.ribOut.idle && !this.refreshWanted) {
      assert.deepEqual([...this.stale], [], 'a refresh is over and something was not said');
      this.stale = undefined;
    }
    return worked;
  }
}

class Real {
  readonly pending: { sequence: number }[] = [];
  readonly core = new Core((update) => this.pending.push({ sequence: update.sequence }));
  readonly rib = this.core.ribs.ipv4;
  readonly adjacencies: Adjacency[] = sources.map((_, i) => this.#open(i));
  readonly members = new Map<number, Told>();
  readonly jobs: (() => boolean)[] = [];
  readonly lost = new Set<number>();

  constructor() {
    this.core.nextHops.setView(kernelView([['192.0.2.1/24']]));
  }

  #open(n: number): Adjacency {
    return this.core.adjacencies.open({
      name: `s${n}`,
      external: true,
      address: `192.0.2.${n + 10}` as IpAddress,
      routerId: n + 1,
      rules: compileImport(peerIntent({ name: `s${n}` }), intent({}), neverImported([])),
    });
  }

  block(n: number, routes: readonly Route[]): { family: 'ipv4'; addPath: boolean; bytes: Uint8Array } {
    const addPath = sources[n]?.hasIds === true;
    const texts = routes.map(({ prefix }) => prefixes[prefix] as Prefix);
    return { family: 'ipv4', addPath, bytes: nlriOf(texts, addPath ? routes.map(({ id }) => id) : undefined) };
  }

  dispose(told: Told): void {
    const { ribOut } = told;
    const { group } = ribOut;
    this.core.groups.leave(ribOut);
    this.jobs.push(() => ribOut.dispose(3) || (group.members.size === 0 && group.dispose(3)));
  }

  run(step: Operation): void {
    const { core, rib } = this;
    switch (step.kind) {
      case 'announce': {
        const { asn = 0 } = sources[step.source] ?? {};
        const asns = Array.from({ length: step.length }, () => asn);
        const context: WireContext = { ...contextOf(undefined), peerAsn: asn as Asn };
        const bytes = encodeAttributes(
          { ...noAttributes, asPath: [{ type: 2, asns }], nextHop: '192.0.2.10' as IpAddress },
          context,
        );
        const stored = core.attributes.intern(core.attributes.scope(context, true), bytes);
        // Paths of one length are told apart by the peer and the identifier only.
        const hop = core.nextHops.intern({ global: '192.0.2.10' as IpAddress, linkLocal: undefined }, session);
        rib.announce(this.adjacencies[step.source] as Adjacency, this.block(step.source, step.routes), stored, hop);
        core.nextHops.release(hop);
        core.attributes.settle(stored.id);
        break;
      }
      case 'withdraw':
        rib.withdraw(this.adjacencies[step.source] as Adjacency, this.block(step.source, step.routes));
        break;
      case 'lose': {
        const adjacency = this.adjacencies[step.source] as Adjacency;
        adjacency.alive = false;
        let at = 1;
        this.jobs.push(
          () => (at = rib.sweep({ kind: 'dead', adjacency }, at, 3)) !== 0,
          () => {
            core.adjacencies.close(adjacency);
            return false;
          },
        );
        this.adjacencies[step.source] = this.#open(step.source);
        // Its session is gone too.
        this.lost.add(step.source);
        const told = this.members.get(step.source);
        if (told !== undefined) this.dispose(told);
        this.members.delete(step.source);
        break;
      }
      case 'local':
        rib.setLocal(new Map(step.prefixes.map((n) => [prefixes[n] as Prefix, core.attributes.originate([])])));
        break;
      case 'join': {
        if (this.members.has(step.member)) break;
        const slot = this.adjacencies[step.member]?.slot ?? 1000 + step.member;
        this.members.set(step.member, new Told(core, slot, step.member, step.paths, this.lost.has(step.member)));
        break;
      }
      case 'leave': {
        const told = this.members.get(step.member);
        if (told !== undefined) this.dispose(told);
        this.members.delete(step.member);
        break;
      }
      case 'block':
      case 'open': {
        const told = this.members.get(step.member);
        if (told !== undefined) told.room = step.kind === 'block' ? step.after : Number.POSITIVE_INFINITY;
        break;
      }
      case 'refresh': {
        const told = this.members.get(step.member);
        if (told !== undefined) told.refreshWanted = true;
        break;
      }
      case 'policy':
        for (const n of step.members) {
          const told = this.members.get(n);
          if (told === undefined) continue;
          told.policy = step.policy;
          core.groups.move(told.ribOut, termsOf(step.policy, told.paths));
        }
        break;
      case 'decide':
        rib.decideSome(step.count);
        break;
      case 'run':
        this.work(step.count);
        break;
      case 'confirm':
        this.confirm();
        break;
    }
  }

  confirm(): void {
    this.core.fib.flush(false);
    for (const { sequence } of this.pending.splice(0))
      for (const prefix of this.core.fib.acknowledge(sequence)?.prefixes ?? [])
        if (this.rib.kernelHas(prefix, sequence)) this.core.groups.decided(this.rib, prefix);
  }

  work(count: number): boolean {
    const job = this.jobs[0];
    if (job !== undefined && !job()) this.jobs.shift();
    const { moved, left } = this.core.groups.settle();
    for (const told of this.members.values())
      if (told.stale !== undefined && moved.has(told.ribOut)) told.refreshWanted = true;
    for (const group of left) this.jobs.push(() => group.members.size === 0 && group.dispose(3));
    let worked = false;
    for (const told of this.members.values()) told.wasFull = told.room <= 0;
    for (const told of this.members.values()) if (told.run(count)) worked = true;
    return this.core.groups.run(count, 2) || worked || this.jobs.length > 0;
  }

  rest(): void {
    for (const told of this.members.values()) told.room = Number.POSITIVE_INFINITY;
    for (let i = 0; ; i++) {
      assert.ok(i < 10_000, 'does not come to rest');
      const undecided = this.rib.decideSome(100);
      this.confirm();
      if (!this.work(100) && !undecided && this.pending.length === 0) break;
    }
  }
}

interface Known extends Route {
  readonly source: number;
  readonly length: number;
}

/** What each member should have of each prefix: AS paths with the next hop, sorted. */
function model(steps: readonly Operation[]): (own: number, policy: number, most: number | undefined) => string[] {
  const routes = new Map<string, Known>();
  let local: readonly number[] = [];
  const keyOf = (n: number, { prefix, id }: Route): string => `${n} ${prefix} ${sources[n]?.hasIds === true ? id : 0}`;
  for (const step of steps) {
    if (step.kind === 'announce')
      for (const route of step.routes)
        routes.set(keyOf(step.source, route), { ...route, source: step.source, length: step.length });
    else if (step.kind === 'withdraw') for (const route of step.routes) routes.delete(keyOf(step.source, route));
    else if (step.kind === 'local') local = step.prefixes;
    else if (step.kind === 'lose')
      for (const [key, route] of routes) if (route.source === step.source) routes.delete(key);
  }
  return (own, policy, most) =>
    prefixes.flatMap((prefix, n) => {
      if (policy === 1 && n % 2 === 1) return [];
      const hop = policy === 2 ? '192.0.2.3' : '192.0.2.1';
      const ordered = [...routes.values()]
        .filter((route) => route.prefix === n)
        .map((route) => ({ ...route, id: sources[route.source]?.hasIds === true ? route.id : 0 }))
        .sort((a, b) => a.length - b.length || a.source - b.source || a.id - b.id)
        .map((route) => ({
          source: route.source,
          said: `65001 ${Array.from({ length: route.length }, () => sources[route.source]?.asn).join(' ')} via ${hop}`,
        }));
      if (local.includes(n)) ordered.unshift({ source: -1, said: `65001 via ${hop}` });
      const different = ordered.filter((one, i) => ordered.findIndex(({ said }) => said === one.said) === i);
      return different
        .slice(0, most ?? 1)
        .filter((one) => one.source !== own)
        .map(({ said }) => `${prefix} ${said}`);
    });
}

test('every peer ends with what it should have, whoever is slow, new or changed, and nothing is left over', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 120, size: 'max' }), (steps) => {
      const real = new Real();
      for (const step of steps) real.run(step);
      real.rest();
      const expected = model(steps);
      for (const [n, told] of real.members) {
        const has = [...told.table].map(([key, said]) => `${key.split(' ')[0]} ${said}`).sort();
        const wanted = expected(n, told.policy, told.paths).sort();
        // What all members of the group are told together.
        const all = expected(-2, told.policy, told.paths).length;
        if (told.policy !== 3 || all <= budget) assert.deepEqual(has, wanted, `member ${n}`);
        else {
          for (const route of has) assert.ok(wanted.includes(route), `member ${n} is not to have ${route}`);
          assert.ok(has.length <= budget, `member ${n}`);
          if (sources[n] === undefined) assert.equal(has.length, budget, 'there is room for more');
          assert.ok(told.ribOut.group.leftOut.size > 0);
        }
        if (all <= budget || told.policy !== 3) assert.deepEqual([...told.ribOut.group.leftOut], []);
        assert.equal(told.ribOut.announced, told.table.size, 'the count of what is announced');
        assert.equal(told.stale, undefined, 'a refresh that does not end');
      }
      for (const told of real.members.values()) real.dispose(told);
      real.members.clear();
      for (let n = 0; n < sources.length; n++) real.run({ kind: 'lose', source: n });
      real.run({ kind: 'local', prefixes: [] });
      real.rest();
      const { core, rib } = real;
      assert.deepEqual([rib.table.size, rib.paths.size, core.attributes.size, core.encoded.size], [0, 0, 0, 0]);
    }),
    { numRuns: Number(process.env['RUNS'] ?? 1000) },
  );
});
