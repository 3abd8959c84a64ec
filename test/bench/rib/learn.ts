/**
 * How fast the RIB learns, decides and announces, without sockets: UPDATEs of 20 prefixes, one attribute set per 25
 * prefixes, a second peer with the same prefixes, all of it sent on to a third. Run with --expose-gc for bytes per prefix.
 */
import type { Asn, Family, IpAddress, Prefix } from '#lib/ip.ts';
import { compileExport } from '#bgp/policy/export.ts';
import { compileImport, neverImported } from '#bgp/policy/import.ts';
import { autoKeep } from '#bgp/rib/kept-next-hop.ts';
import { AdjRibOut } from '#bgp/rib/adj-rib-out.ts';
import type { Adjacency } from '#bgp/rib/adjacency.ts';
import { groupTerms } from '#bgp/rib/update-groups.ts';
import { Core } from '#bgp/speaker/core.ts';
import { encodeAttributes } from '#bgp/wire/attributes.ts';
import type { WireContext } from '#bgp/wire/messages.ts';
import { nextHopBytes } from '#bgp/wire/next-hop.ts';
import { splitUpdate } from '#bgp/wire/update.ts';
import { UpdateWriter } from '#bgp/wire/update-writer.ts';
import { intent, kernelView, peerIntent } from '../../unit/bgp/speaker/network.ts';
import { noAttributes } from '#bgp/wire/messages.ts';
import { memory } from './memory.ts';

const context: WireContext = {
  fourOctetAs: true,
  external: true,
  families: ['ipv4', 'ipv6'],
  maximumMessageBytes: 4096,
  peerAsn: 65002 as Asn,
};
const session = { localAddress: '192.0.2.1' as IpAddress };

/** Bodies of UPDATEs, prefixes in random order as in a real table. */
function updates(family: Family, count: number, nextHop: string): Uint8Array[] {
  const sets = Math.max(1, Math.floor(count / 25));
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  let seed = 42;
  for (let i = count - 1; i > 0; i--) {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    const j = seed % (i + 1);
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  const bodies: Uint8Array[] = [];
  const writer = new UpdateWriter(context);
  const address = new Uint8Array(16);
  address.set([0x20, 1, 0xd, 0xb8]);
  const view = new DataView(address.buffer);
  for (let i = 0; i < count; i += 20) {
    const set = Math.imul(i / 20, 2654435761) >>> 0;
    const attributes = encodeAttributes(
      {
        ...noAttributes,
        asPath: [{ type: 2, asns: [65002, 1 + (set % sets), 3 + (set % 7)] }],
        nextHop: family === 'ipv4' ? (nextHop as IpAddress) : undefined,
        communities: [set % sets],
      },
      context,
    );
    writer.beginReach(attributes, family, family === 'ipv4' ? undefined : nextHopBytes(nextHop as IpAddress));
    for (let j = i; j < Math.min(i + 20, count); j++) {
      const n = order[j] as number;
      if (family === 'ipv4') writer.prefix4(((1 << 24) + (n << 6)) >>> 0, 26);
      else {
        view.setUint32(4, n);
        writer.prefix(address, 0, 64);
      }
    }
    bodies.push(writer.take().slice(19));
  }
  return bodies;
}

class Bench {
  fibRows = 0;
  readonly core: Core;
  readonly family: Family;
  bytesOut = 0;

  constructor(family: Family) {
    this.family = family;
    this.core = new Core((update) => {
      this.fibRows += update.groupIds.length;
      const batch = this.core.fib.acknowledge(update.sequence);
      // The played kernel is done at once, after the engine's own bookkeeping.
      if (batch !== undefined) this.applied.push({ sequence: update.sequence, prefixes: batch.prefixes });
    });
    this.core.nextHops.setView(kernelView([['192.0.2.1/24', '2001:db9::1/64']]));
  }

  readonly applied: { sequence: number; prefixes: Int32Array }[] = [];

  peer(name: string, address: string): Adjacency {
    const rules = compileImport(
      peerIntent({ name, maxPrefixes: 1e9 }),
      intent({}),
      neverImported(['10.60.1.0/26' as Prefix]),
    );
    return this.core.adjacencies.open({ name, external: true, address: address as IpAddress, routerId: 1, rules });
  }

  learn(adjacency: Adjacency, bodies: readonly Uint8Array[]): void {
    const scope = this.core.attributes.scope(context, this.family === 'ipv4');
    const rib = this.core.ribs[this.family];
    for (const body of bodies) {
      const split = splitUpdate(body, context);
      if (!split.ok) throw new Error(split.error.text);
      const stored = this.core.attributes.intern(scope, split.value.attributes);
      for (const { nlri, nextHop } of split.value.reachable) {
        const global = nextHop?.global ?? stored.accepted?.value.nextHop;
        if (global === undefined) throw new Error('no next hop');
        const id = this.core.nextHops.intern(nextHop ?? { global, linkLocal: undefined }, session);
        rib.announce(adjacency, nlri, stored, id);
        this.core.nextHops.release(id);
      }
      this.core.attributes.settle(stored.id);
    }
  }

  decide(): void {
    const rib = this.core.ribs[this.family];
    while (rib.decideSome(4096)) this.confirm();
    this.core.fib.flush(false);
    this.confirm();
  }

  confirm(): void {
    const rib = this.core.ribs[this.family];
    for (const { sequence, prefixes } of this.applied.splice(0))
      for (const prefix of prefixes) if (rib.kernelHas(prefix, sequence)) this.core.groups.decided(rib, prefix);
  }

  announce(): void {
    while (this.core.groups.run(4096, 1));
  }

  transitPeer(): void {
    const terms = groupTerms('bench', {
      family: this.family,
      paths: undefined,
      rules: compileExport(peerIntent({ name: 'p', transit: true }), true, { reflects: false, clusterId: 0 }),
      external: true,
      clusterId: 0,
      localAsn: 65001 as Asn,
      keep: autoKeep,
      nextHop: {
        global: (this.family === 'ipv4' ? '192.0.2.1' : '2001:db9::1') as IpAddress,
        linkLocal: undefined,
      },
      context,
    });
    const group = this.core.groups.group(terms);
    const member = new AdjRibOut(group, 99, {
      isBlocked: () => false,
      send: (bytes) => {
        this.bytesOut += bytes.length;
      },
    });
    group.join(member);
    while (member.run(4096));
  }
}

export async function runLearn(args: readonly string[]): Promise<number> {
  const count = Number(args[0] ?? 1_000_000);
  // In a function of its own, so that the tables of one family are garbage when the other is measured.
  for (const family of ['ipv4', 'ipv6'] as const) measure(family, count);
  return 0;
}

function measure(family: Family, count: number): void {
  const hop = family === 'ipv4' ? '192.0.2.' : '2001:db9::';
  const first = updates(family, count, `${hop}2`);
  const second = updates(family, count, `${hop}3`);
  const bench = new Bench(family);
  const a = bench.peer('a', '192.0.2.2');
  const b = bench.peer('b', '192.0.2.3');
  const before = memory();
  const time = (what: string, work: () => void): void => {
    const start = process.cpuUsage();
    work();
    const used = process.cpuUsage(start);
    // CPU time: the machine may have other work.
    const ms = (used.user + used.system) / 1000;
    console.log(`${family} ${what.padEnd(34)} ${(count / ms / 1000).toFixed(2)} Mpps  ${ms.toFixed(0)} ms CPU`);
  };
  const size = (what: string): void =>
    console.log(`${family} ${what.padEnd(34)} ${((memory() - before) / count).toFixed(0)} bytes/prefix`);
  time('learn peer A', () => bench.learn(a, first));
  time('decide, rows for the kernel', () => bench.decide());
  size('memory, one peer');
  bench.transitPeer();
  time('announce to a transit peer', () => bench.announce());
  size('memory, one peer and one told');
  time('learn peer B', () => bench.learn(b, second));
  time('decide, groups of two', () => bench.decide());
  time('announce what changed', () => bench.announce());
  size('memory, two peers and one told');
  time('the same again', () => bench.learn(b, second));
  time('drop peer B', () => {
    b.alive = false;
    const rib = bench.core.ribs[family];
    for (let at = 1; at !== 0; ) at = rib.sweep({ kind: 'dead', adjacency: b }, at, 8192);
    bench.decide();
  });
}

if (process.argv[1] === import.meta.filename) process.exit(await runLearn(process.argv.slice(2)));
