// Peers of one update group: who hears what, in whose bytes.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Asn, IpAddress, Prefix } from '#lib/ip.ts';
import { compileExport } from '#bgp/policy/export.ts';
import { compileImport, neverImported } from '#bgp/policy/import.ts';
import { autoKeep } from '#bgp/rib/kept-next-hop.ts';
import { AdjRibOut } from '#bgp/rib/adj-rib-out.ts';
import type { Adjacency } from '#bgp/rib/adjacency.ts';
import type { GroupTerms } from '#bgp/rib/update-groups.ts';
import { groupTerms } from '#bgp/rib/update-groups.ts';
import { Core } from '#bgp/speaker/core.ts';
import { encodeAttributes } from '#bgp/wire/attributes.ts';
import type { WireContext } from '#bgp/wire/messages.ts';
import { nlriOf, prefixesOf } from '#bgp/wire/nlri.ts';
import { splitUpdate } from '#bgp/wire/update.ts';
import { intent, kernelView, peerIntent } from '../speaker/network.ts';
import { noAttributes } from '#bgp/wire/messages.ts';

const context: WireContext = {
  fourOctetAs: true,
  external: true,
  families: ['ipv4'],
  maximumMessageBytes: 4096,
  peerAsn: 65002 as Asn,
};
const session = { localAddress: '192.0.2.1' as IpAddress, remoteAddress: '192.0.2.2' as IpAddress };
const many = (from: number, count: number): Prefix[] =>
  Array.from({ length: count }, (_, i) => `20.${(from + i) >> 8}.${(from + i) & 255}.0/24` as Prefix);

/** A peer that is told, and keeps what it heard. */
class Told {
  full = false;
  readonly heard: Uint8Array[] = [];
  readonly table = new Set<Prefix>();
  withdrawals = 0;
  readonly ribOut: AdjRibOut;

  constructor(core: Core, slot: number, terms: GroupTerms) {
    const group = core.groups.group(terms);
    this.ribOut = new AdjRibOut(group, slot, { isBlocked: () => this.full, send: (bytes) => this.#hear(bytes) });
    group.join(this.ribOut);
  }

  #hear(bytes: Uint8Array): void {
    this.heard.push(bytes);
    for (let at = 0; at < bytes.length; ) {
      const length = ((bytes[at + 16] as number) << 8) | (bytes[at + 17] as number);
      const update = splitUpdate(bytes.subarray(at + 19, at + length), { ...context, peerAsn: 65001 as Asn });
      assert.ok(update.ok);
      for (const { nlri } of update.value.reachable) for (const prefix of prefixesOf(nlri)) this.table.add(prefix);
      for (const prefix of update.value.withdrawn.flatMap(prefixesOf)) {
        this.table.delete(prefix);
        this.withdrawals++;
      }
      at += length;
    }
  }
}

class Scene {
  readonly core = new Core((update) => this.#updates.push(update.sequence));
  readonly #updates: number[] = [];
  readonly told: Told[] = [];
  #sources = 0;

  constructor() {
    this.core.nextHops.setView(kernelView([['192.0.2.1/24']]));
  }

  source(): Adjacency {
    const n = ++this.#sources;
    return this.core.adjacencies.open({
      name: `s${n}`,
      external: true,
      address: `192.0.2.${n + 100}` as IpAddress,
      routerId: n,
      rules: compileImport(peerIntent({ name: `s${n}` }), intent({}), neverImported([])),
    });
  }

  terms(policy = '', nextHop = '192.0.2.1'): GroupTerms {
    return groupTerms(policy, {
      family: 'ipv4',
      paths: undefined,
      rules: compileExport(peerIntent({ name: 'p', transit: true }), true, { reflects: false, clusterId: 0 }),
      external: true,
      clusterId: 0,
      localAsn: 65001 as Asn,
      keep: autoKeep,
      nextHop: { global: nextHop as IpAddress, linkLocal: undefined },
      context,
    });
  }

  peer(slot: number, terms = this.terms()): Told {
    const told = new Told(this.core, slot, terms);
    this.told.push(told);
    return told;
  }

  announce(from: Adjacency, prefixes: readonly Prefix[], asns: readonly number[] = [65002, 65100]): void {
    const { attributes, nextHops, ribs } = this.core;
    const bytes = encodeAttributes(
      {
        ...noAttributes,
        asPath: [{ type: 2, asns }],
        nextHop: '192.0.2.2' as IpAddress,
      },
      context,
    );
    const stored = attributes.intern(attributes.scope(context, true), bytes);
    const hop = nextHops.intern({ global: '192.0.2.2' as IpAddress, linkLocal: undefined }, session);
    ribs.ipv4.announce(from, { family: 'ipv4', addPath: false, bytes: nlriOf(prefixes) }, stored, hop);
    nextHops.release(hop);
    attributes.settle(stored.id);
  }

  withdraw(from: Adjacency, prefixes: readonly Prefix[]): void {
    this.core.ribs.ipv4.withdraw(from, { family: 'ipv4', addPath: false, bytes: nlriOf(prefixes) });
  }

  /** Until nobody has anything to say to those who take it. */
  settle(): void {
    const { core } = this;
    const rib = core.ribs.ipv4;
    for (let more = true; more; ) {
      more = rib.decideSome(1000);
      core.fib.flush(false);
      for (const sequence of this.#updates.splice(0))
        for (const prefix of core.fib.acknowledge(sequence)?.prefixes ?? [])
          if (rib.kernelHas(prefix, sequence)) core.groups.decided(rib, prefix);
      core.groups.settle();
      for (const { ribOut, full } of this.told) if (!full && ribOut.run(500)) more = true;
      if (core.groups.run(500, 4)) more = true;
    }
  }
}

describe('peers of one update group', () => {
  test('hear the very same bytes; who announced a part of them hears the rest', () => {
    const scene = new Scene();
    const [a, b] = [scene.source(), scene.source()];
    const [first, second, third] = [scene.peer(1000), scene.peer(1001), scene.peer(a.slot)];
    scene.settle();
    scene.announce(a, many(0, 30));
    scene.announce(b, many(100, 20));
    scene.settle();
    assert.equal(first.heard.length, 1);
    assert.ok(first.heard[0] === second.heard[0], 'one buffer for both');
    assert.equal(first.table.size, 50);
    assert.deepEqual([...third.table], many(100, 20));
    assert.equal(third.ribOut.announced, 20);
  });

  test('do not wait for one that is slow, which hears the last state of each route once', () => {
    const scene = new Scene();
    const source = scene.source();
    const [quick, slow] = [scene.peer(1000), scene.peer(1001)];
    scene.announce(source, many(0, 1000));
    scene.settle();
    slow.full = true;
    const before = slow.heard.length;
    for (let i = 0; i < 5; i++) {
      scene.announce(source, many(0, 100), [65002, 65200 + i]);
      scene.settle();
    }
    scene.withdraw(source, many(900, 100));
    scene.settle();
    assert.equal(quick.table.size, 900);
    assert.equal(slow.heard.length, before);
    slow.full = false;
    scene.settle();
    assert.equal(slow.heard.length, before + 1);
    assert.deepEqual([slow.table.size, slow.withdrawals, slow.ribOut.announced], [900, 100, 900]);
    assert.ok(slow.ribOut.inStep);
    scene.announce(source, many(2000, 10));
    scene.settle();
    assert.ok(quick.heard.at(-1) === slow.heard.at(-1), 'in step again');
  });

  test('that change their policy together stay together, and nothing that stays is withdrawn', () => {
    const scene = new Scene();
    const source = scene.source();
    const [first, second] = [scene.peer(1000), scene.peer(1001)];
    scene.announce(source, many(0, 1000));
    scene.settle();
    const { group } = first.ribOut;
    for (const { ribOut } of scene.told) scene.core.groups.move(ribOut, scene.terms('other', '192.0.2.9'));
    scene.settle();
    assert.ok(first.ribOut.group === group && second.ribOut.group === group);
    assert.ok(first.heard.at(-1) === second.heard.at(-1));
    assert.deepEqual([first.withdrawals, first.table.size], [0, 1000]);
  });

  test('of which one changes its policy part, and nothing that stays is withdrawn from either', () => {
    const scene = new Scene();
    const source = scene.source();
    const [first, second] = [scene.peer(1000), scene.peer(1001)];
    scene.announce(source, many(0, 1000));
    scene.settle();
    scene.core.groups.move(first.ribOut, scene.terms('other', '192.0.2.9'));
    scene.settle();
    assert.ok(first.ribOut.group !== second.ribOut.group);
    const heard = second.heard.length;
    assert.deepEqual([first.withdrawals, first.table.size, first.ribOut.announced], [0, 1000, 1000]);
    // Into a group that somebody else has begun just now.
    const late = scene.peer(1002, scene.terms('third', '192.0.2.10'));
    scene.core.groups.move(first.ribOut, scene.terms('third', '192.0.2.10'));
    scene.settle();
    assert.ok(first.ribOut.group === late.ribOut.group);
    assert.deepEqual([first.withdrawals, first.table.size, late.table.size], [0, 1000, 1000]);
    assert.equal(second.heard.length, heard);
  });

  test('say nothing again for a policy that is another and means the same', () => {
    const scene = new Scene();
    const source = scene.source();
    const told = scene.peer(1000);
    scene.announce(source, many(0, 1000));
    scene.settle();
    const heard = told.heard.length;
    scene.core.groups.move(told.ribOut, scene.terms('other'));
    scene.settle();
    assert.equal(told.heard.length, heard);
  });
});
