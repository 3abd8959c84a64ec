/**
 * What it costs that many peers are told each other's routes, without sockets: every peer announces its own, and each is told
 * those of all the others. CPU of learning, deciding and announcing, octets out, memory. Run with --expose-gc.
 */
import type { Asn, IpAddress } from '#lib/ip.ts';
import { compileExport } from '#bgp/policy/export.ts';
import { autoKeep } from '#bgp/rib/kept-next-hop.ts';
import { compileImport, neverImported } from '#bgp/policy/import.ts';
import { AdjRibOut } from '#bgp/rib/adj-rib-out.ts';
import type { Adjacency } from '#bgp/rib/adjacency.ts';
import { groupTerms } from '#bgp/rib/update-groups.ts';
import { Core } from '#bgp/speaker/core.ts';
import { encodeAttributes } from '#bgp/wire/attributes.ts';
import type { WireContext } from '#bgp/wire/messages.ts';
import { splitUpdate } from '#bgp/wire/update.ts';
import { UpdateWriter } from '#bgp/wire/update-writer.ts';
import { intent, kernelView, peerIntent } from '../../unit/bgp/speaker/network.ts';
import { noAttributes } from '#bgp/wire/messages.ts';
import { memory } from './memory.ts';

const context = (peer: number): WireContext => ({
  fourOctetAs: true,
  external: true,
  families: ['ipv4'],
  maximumMessageBytes: 4096,
  peerAsn: (66001 + peer) as Asn,
});
const addressOf = (peer: number): IpAddress => `192.0.${peer >> 8}.${(peer & 255) + 2}` as IpAddress;

/** UPDATEs of one peer, without their headers. */
function table(peer: number, routes: number): Uint8Array[] {
  const writer = new UpdateWriter(context(peer));
  const attributes = encodeAttributes(
    {
      ...noAttributes,
      asPath: [{ type: 2, asns: [66001 + peer, 1, 2] }],
      nextHop: addressOf(peer),
    },
    context(peer),
  );
  writer.beginReach(attributes, 'ipv4', undefined);
  for (let i = 0; i < routes; i++) writer.prefix4((0x14000000 + ((peer * routes + i) << 8)) >>> 0, 24);
  const bytes = writer.take();
  const bodies: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = ((bytes[at + 16] as number) << 8) | (bytes[at + 17] as number);
    bodies.push(bytes.slice(at + 19, at + length));
    at += length;
  }
  return bodies;
}

export function runMesh(args: readonly string[]): number {
  const [peers = 200, routes = 1000] = args.map(Number);
  const tables = Array.from({ length: peers }, (_, peer) => table(peer, routes));
  const before = memory();
  const updates: { sequence: number }[] = [];
  const core = new Core((update) => updates.push({ sequence: update.sequence }));
  core.nextHops.setView(kernelView([['192.0.0.1/16']]));
  const rib = core.ribs.ipv4;
  let octets = 0;
  let sends = 0;
  const adjacencies: Adjacency[] = [];
  const members: AdjRibOut[] = [];
  for (let peer = 0; peer < peers; peer++) {
    const rules = compileImport(peerIntent({ name: `p${peer}`, maxPrefixes: 1e9 }), intent({}), neverImported([]));
    const adjacency = core.adjacencies.open({
      name: `p${peer}`,
      external: true,
      address: addressOf(peer),
      routerId: peer + 1,
      rules,
    });
    adjacencies.push(adjacency);
    const group = core.groups.group(
      groupTerms('mesh', {
        family: 'ipv4',
        paths: undefined,
        rules: compileExport(peerIntent({ name: 'p', transit: true }), true, { reflects: false, clusterId: 0 }),
        external: true,
        clusterId: 0,
        localAsn: 65000 as Asn,
        keep: autoKeep,
        nextHop: { global: '192.0.0.1' as IpAddress, linkLocal: undefined },
        context: context(peer),
      }),
    );
    const member = new AdjRibOut(group, adjacency.slot, {
      isBlocked: () => false,
      send: (bytes) => {
        octets += bytes.length;
        sends++;
      },
    });
    group.join(member);
    while (member.run(4096));
    members.push(member);
  }
  const time = (what: string, work: () => void): void => {
    const start = process.cpuUsage();
    work();
    const used = process.cpuUsage(start);
    // CPU time: the machine may have other work.
    console.log(`${what.padEnd(30)} ${((used.user + used.system) / 1000).toFixed(0)} ms CPU`);
  };
  const settle = (): void => {
    for (let more = true; more; ) {
      more = rib.decideSome(1024);
      core.fib.flush(false);
      for (const { sequence } of updates.splice(0))
        for (const prefix of core.fib.acknowledge(sequence)?.prefixes ?? [])
          if (rib.kernelHas(prefix, sequence)) core.groups.decided(rib, prefix);
      if (core.groups.run(4096, 2)) more = true;
    }
  };
  const learn = (peer: number): void => {
    const scope = core.attributes.scope(context(peer), true);
    const localAddress = '192.0.0.1' as IpAddress;
    for (const body of tables[peer] ?? []) {
      const split = splitUpdate(body, context(peer));
      if (!split.ok) throw new Error(split.error.text);
      const stored = core.attributes.intern(scope, split.value.attributes);
      const next = core.nextHops.intern({ global: addressOf(peer), linkLocal: undefined }, { localAddress });
      for (const { nlri } of split.value.reachable) rib.announce(adjacencies[peer] as Adjacency, nlri, stored, next);
      core.nextHops.release(next);
      core.attributes.settle(stored.id);
    }
  };
  console.log(`${peers} peers, ${routes} routes of each to all others: ${peers * (peers - 1) * routes} routes out`);
  time('learn', () => {
    for (let peer = 0; peer < peers; peer++) learn(peer);
  });
  time('decide and announce', settle);
  const expected = (peers - 1) * routes;
  if (members.some(({ announced }) => announced !== expected)) throw new Error('somebody was not told everything');
  console.log(`${(octets / 1e6).toFixed(0)} MB out in ${sends} writes`);
  console.log(`${((memory() - before) / peers / routes).toFixed(0)} bytes/prefix`);
  time('one peer goes, all are told', () => {
    const adjacency = adjacencies[0] as Adjacency;
    adjacency.alive = false;
    for (let at = 1; at !== 0; ) at = rib.sweep({ kind: 'dead', adjacency }, at, 8192);
    settle();
  });
  return 0;
}

if (process.argv[1] === import.meta.filename) process.exit(runMesh(process.argv.slice(2)));
