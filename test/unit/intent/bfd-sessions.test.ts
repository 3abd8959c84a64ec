// Which BFD sessions there are to be, from intent and facts.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { BfdIntent, BgpIntent, PeerFacts, PeerIntent } from '#bgp/engine.ts';
import { type BfdPlanOptions, planBfd } from '#intent/bfd-sessions.ts';
import type { Facts } from '#intent/node-intent.ts';
import type { Asn, IpAddress, Prefix } from '#lib/ip.ts';
import { milliseconds } from '#lib/time.ts';
import { bfdIntent, bgpFacts, peerFacts, peerIntent } from '../../support/snapshot.ts';

const ip = (text: string): IpAddress => text as IpAddress;
const bfd = (changes: Partial<BfdIntent> = {}): BfdIntent =>
  bfdIntent({ transmitInterval: milliseconds(60), ...changes });
const intent = (...peers: readonly PeerIntent[]): BgpIntent => ({
  asn: 65001 as Asn,
  routerId: ip('192.0.2.2'),
  listenPort: 179,
  peers,
  announcements: [],
  ownPrefixes: [],
  multipath: { maximumPaths: 16, relax: true },
});
const router = (changes: Partial<PeerIntent> = {}): PeerIntent => peerIntent('tor-a', { bfd: bfd(), ...changes });
const internal = (multihop?: boolean): PeerIntent => router({ peerAsn: 65001 as Asn, bfd: bfd({ multihop }) });
const gateway = (address: string, interfaceIndex = 2) => ({ gateway: ip(address), interfaceIndex });
const path = (...gateways: readonly ReturnType<typeof gateway>[]): PeerFacts['path'] => ({ onLink: true, gateways });

const facts = (rows: readonly PeerFacts[], ids: readonly (readonly [number, string])[] = []): Facts => ({
  bgp: bgpFacts(rows),
  kernel: {
    generation: 1,
    blackholes: [],
    learnedRoutes: { ipv4: 0, ipv6: 0 },
    routeConflicts: [],
    repairs: {},
    problems: [],
    nexthops: ids.map(([id, address]) => ({ id, ...gateway(address) })),
  },
});
const settled: BfdPlanOptions = { starting: false, outlived: new Set() };

describe('the BFD session of a peer', () => {
  test('has the times of its profile, and is wanted before the speaker has said anything', () => {
    const { sessions, keep } = planBfd(intent(router({ sourceAddress: ip('192.0.2.2') })), {}, settled);
    assert.deepEqual(keep, []);
    assert.deepEqual(sessions, [
      {
        name: 'tor-a',
        remote: '192.0.2.1',
        local: '192.0.2.2',
        interface: undefined,
        hops: 'single',
        minimumTtl: 254,
        nexthops: [],
        desiredMinTxMicroseconds: 60_000,
        requiredMinRxMicroseconds: 50_000,
        detectMultiplier: 3,
        passive: false,
        administrativelyDown: false,
      },
    ]);
  });

  test('is not wanted without BFD, nor while the BGP session is held down', () => {
    const without = peerIntent('tor-a');
    for (const peer of [without, router({ enabled: false }), router({ drain: 'down' })])
      assert.deepEqual(planBfd(intent(peer), {}, settled), { sessions: [], keep: [] });
    assert.deepEqual(planBfd(undefined, {}, settled), { sessions: [], keep: [] });
  });

  test('is one for all families, and names the nexthops of all its gateways that the kernel has', () => {
    const seen = facts(
      [peerFacts('tor-a', { path: path(gateway('192.0.2.1'), gateway('fe80::1'), gateway('fe80::1', 3)) })],
      [
        [7, '192.0.2.1'],
        [9, 'fe80::1'],
        [11, '192.0.2.9'],
      ],
    );
    const { sessions } = planBfd(intent(router()), seen, settled);
    assert.deepEqual(
      sessions.map(({ nexthops }) => nexthops),
      [[7, 9]],
    );
    const outlived = planBfd(intent(router()), seen, { ...settled, outlived: new Set(['tor-a']) });
    assert.deepEqual(
      outlived.sessions.map(({ nexthops }) => nexthops),
      [[]],
      'BGP is up again: nothing is to be deleted',
    );
  });

  const hops: readonly (readonly [string, PeerIntent, PeerFacts | undefined, string])[] = [
    ['as the intent says', router({ bfd: bfd({ multihop: true }) }), undefined, 'multi'],
    ['single hop for an internal peer on a link', internal(), peerFacts('tor-a', { path: path() }), 'single'],
    [
      'multi hop for an internal peer elsewhere',
      internal(),
      peerFacts('tor-a', { path: { onLink: false, gateways: [] } }),
      'multi',
    ],
    ['for an internal peer nobody knows yet', internal(), undefined, 'none, keep tor-a'],
    ['for an internal peer of which the intent says it', internal(true), undefined, 'multi'],
  ];
  for (const [name, peer, row, wanted] of hops)
    test(`hops: ${name}`, () => {
      const { sessions, keep } = planBfd(intent(peer), facts(row === undefined ? [] : [row]), settled);
      assert.equal(sessions[0]?.hops ?? `none, keep ${keep.join()}`, wanted);
    });

  test('of a peer on an interface follows the neighbour that the speaker found', () => {
    const peer = router({ address: ip('::'), interface: 'eth0', sourceAddress: ip('192.0.2.2') });
    const starting = { ...settled, starting: true };
    assert.deepEqual(planBfd(intent(peer), {}, starting), { sessions: [], keep: ['tor-a'] });
    assert.deepEqual(planBfd(intent(peer), facts([peerFacts('tor-a', { address: ip('::') })]), settled).sessions, []);
    const found = planBfd(intent(peer), facts([peerFacts('tor-a', { address: ip('fe80::1') })]), settled);
    assert.deepEqual(
      found.sessions.map(({ name, remote, local, interface: link }) => [name, remote, local, link]),
      [['tor-a', 'fe80::1', undefined, 'eth0']],
    );
  });

  test('of a listen range: one for each peer that came in, and what is not back yet stays at the start', () => {
    const range = { prefix: '192.0.2.0/24' as Prefix, limit: 10 };
    const peer = router({ name: 'rack', address: ip('0.0.0.0'), listenRange: range });
    const came = ['192.0.2.7', '192.0.2.8'].map((address) =>
      peerFacts(`rack/${address}`, { address: ip(address), localAddress: ip('192.0.2.2') }),
    );
    const other = peerFacts('rack-2', { address: ip('192.0.2.9') });
    const plan = planBfd(intent(peer), facts([...came, other]), { ...settled, starting: true });
    assert.deepEqual(
      plan.sessions.map(({ name, remote, local }) => [name, remote, local]),
      [
        ['rack/192.0.2.7', '192.0.2.7', '192.0.2.2'],
        ['rack/192.0.2.8', '192.0.2.8', '192.0.2.2'],
      ],
    );
    assert.deepEqual(plan.keep, ['rack']);
    assert.deepEqual(planBfd(intent(peer), facts([]), settled), { sessions: [], keep: [] });
  });

  test('has a source only of its own family', () => {
    const peer = router({ address: ip('2001:db8::1'), sourceAddress: ip('192.0.2.2') });
    assert.equal(planBfd(intent(peer), {}, settled).sessions[0]?.local, undefined);
  });
});
