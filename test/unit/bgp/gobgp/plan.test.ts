import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { BgpIntent, PeerIntent } from '#bgp/engine.ts';
import { desiredOf, pathOf } from '#bgp/gobgp/desired.ts';
import { dialects } from '#bgp/gobgp/dialect.ts';
import type { PeerMessage } from '#bgp/gobgp/messages.ts';
import { type Observed, type Plan, nothingThere, planGobgp } from '#bgp/gobgp/plan.ts';
import { seconds } from '#lib/time.ts';
import { asn, intent, ip, peerIntent, prefix } from '../speaker/network.ts';

const block = prefix('10.60.1.0/26');
const tor = (more: Partial<PeerIntent> = {}): PeerIntent =>
  peerIntent({ name: 'tor', address: ip('192.0.2.2'), peerAsn: asn(65002), ...more });
const range = (more: Partial<PeerIntent> = {}): PeerIntent =>
  peerIntent({
    name: 'servers',
    address: ip('0.0.0.0'),
    peerAsn: asn(65003),
    listenRange: { prefix: prefix('198.51.100.0/24'), limit: 5 },
    ...more,
  });
const wanted = (...peers: PeerIntent[]): BgpIntent =>
  intent({ peers, announcements: [{ prefix: block, source: 'block' }], ownPrefixes: [block] });
const [, dialect] = dialects as [(typeof dialects)[number], (typeof dialects)[number]];

interface Asked {
  readonly foreign?: 'Keep' | 'Remove';
  readonly restarting?: boolean;
}
const plan = (desired: BgpIntent, observed: Observed, { foreign = 'Keep', restarting = false }: Asked = {}): Plan =>
  planGobgp({
    observed,
    desired: desiredOf(desired, new Map()),
    dialect,
    foreign,
    pathOf: (it) => pathOf({ prefix: it, source: 'advertise' }),
    isRestart: () => restarting,
  });
const words = ({ before, paths, after }: Plan): readonly string[] =>
  [...before, ...paths, ...after].map((it) => it.what);

/** What GoBGP says when it has taken all that is wanted. */
function taken(desired: BgpIntent): Observed {
  const { global, peers, groups, paths } = desiredOf(desired, new Map());
  return {
    global,
    peers: peers.map(({ message }) => message),
    groups: groups.map(({ message }) => message as unknown as Observed['groups'][number]),
    dynamic: groups.map(({ name, prefix: of }) => ({ prefix: of, peerGroup: name })),
    paths: [...paths.values()].map((it) => ({ prefix: it.prefix, own: true, attributes: it.attributes })),
  };
}
const downAt = (peer: PeerMessage): PeerMessage => ({
  ...peer,
  state: {
    messages: null,
    neighborAddress: '',
    peerAsn: 65002,
    peerGroup: '',
    sessionState: 1,
    adminState: dialect.adminState.down,
    flops: 0,
    routerId: '',
    remoteCap: [],
  },
});
const somebodys: PeerMessage = {
  ...(taken(wanted(tor())).peers[0] as PeerMessage),
  conf: {
    ...((taken(wanted(tor())).peers[0] as PeerMessage).conf as NonNullable<PeerMessage['conf']>),
    description: '',
  },
};

describe('what is to be changed in GoBGP', () => {
  test('paths come before the peers that they are for, ranges before single peers', () => {
    assert.deepEqual(words(plan(wanted(tor(), range()), nothingThere)), [
      `announce ${block}`,
      'add peer group flatroute:servers',
      'open listen range 198.51.100.0/24',
      'add peer tor',
    ]);
  });

  test('what is there as it is wanted is left alone', () => {
    const all = wanted(tor({ password: 'secret' }), range());
    assert.deepEqual(words(plan(all, taken(all))), []);
  });

  test('a peer whose session would be another one is made anew, whatever differs', () => {
    for (const more of [{ password: 'secret' }, { holdTime: seconds(30) }, { peerAsn: asn(65009) }])
      assert.deepEqual(words(plan(wanted(tor(more)), taken(wanted(tor())))), ['delete peer tor', 'add peer tor']);
  });

  test('a peer that nobody wants goes, and its path with the last announcement', () => {
    const nothing = intent({ peers: [], announcements: [] });
    assert.deepEqual(words(plan(nothing, taken(wanted(tor())))), ['delete peer tor', `withdraw ${block}`]);
  });

  test('no password is in what is logged', () => {
    const found = plan(
      wanted(tor({ password: 'secret' }), range({ password: 'secret' })),
      taken(wanted(tor(), range())),
    );
    assert.doesNotMatch(words(found).join(), /secret/);
  });

  test('a peer is taken down with the words that it is to be told, and up again', () => {
    const on = wanted(tor());
    const off = wanted(tor({ enabled: false, shutdownText: 'maintenance' }));
    const down = { ...taken(on), peers: taken(on).peers.map(downAt) };
    assert.deepEqual(
      plan(off, taken(on)).after.map(({ method, request }) => [method, request]),
      [['DisablePeer', { address: '192.0.2.2', communication: 'maintenance' }]],
    );
    assert.deepEqual(words(plan(off, down)), []);
    assert.deepEqual(words(plan(on, down)), ['enable peer tor']);
  });

  test("somebody else's peer stays and is said; in the place of ours it is a conflict", () => {
    const found = plan(wanted(tor()), { ...taken(wanted()), peers: [somebodys] });
    assert.deepEqual(words(found), []);
    assert.deepEqual(found.drift, ['peer 192.0.2.2 was added to GoBGP by somebody else']);
    assert.match(found.conflicts.get('tor') ?? '', /gobgp neighbor del 192\.0\.2\.2/);
  });

  test("somebody else's peer, range and path go where they are to be removed", () => {
    const observed: Observed = {
      ...taken(wanted()),
      peers: [somebodys],
      groups: [{ ...somebodys, conf: { ...somebodys.conf, peerGroupName: 'theirs' } as never }],
      dynamic: [{ prefix: '203.0.113.0/24', peerGroup: 'theirs' }],
      paths: [...taken(wanted()).paths, { prefix: prefix('203.0.113.0/24'), own: false, attributes: [] }],
    };
    assert.deepEqual(words(plan(wanted(), observed, { foreign: 'Remove' })), [
      'delete peer 192.0.2.2',
      'close listen range 203.0.113.0/24',
      'delete peer group theirs',
      'delete path 203.0.113.0/24 of somebody else',
    ]);
    const kept = plan(wanted(), observed);
    assert.deepEqual(words(kept), []);
    assert.deepEqual(kept.drift.length, 3);
  });

  test('a range that changes is closed, and everybody who came from it goes', () => {
    const observed = taken(wanted(range()));
    const [name] = observed.dynamic.map(({ peerGroup }) => peerGroup);
    const child: PeerMessage = {
      ...somebodys,
      conf: {
        ...(somebodys.conf as NonNullable<PeerMessage['conf']>),
        peerGroup: name ?? '',
        neighborAddress: '198.51.100.7',
      },
    };
    assert.deepEqual(words(plan(wanted(range()), { ...observed, peers: [child] })), []);
    assert.deepEqual(words(plan(wanted(range({ password: 'secret' })), { ...observed, peers: [child] })), [
      'close listen range 198.51.100.0/24',
      'delete peer flatroute:servers/198.51.100.7',
      'delete peer group flatroute:servers',
      'add peer group flatroute:servers',
      'open listen range 198.51.100.0/24',
    ]);
  });

  test('a path is said again when its attributes differ, and not for the next hop, which GoBGP writes itself', () => {
    const all = wanted(tor());
    const [path] = taken(all).paths as [Observed['paths'][number]];
    const elsewhere = path.attributes.map((it) => (it[1] === 3 ? Uint8Array.of(0x40, 3, 4, 192, 0, 2, 1) : it));
    assert.deepEqual(words(plan(all, { ...taken(all), paths: [{ ...path, attributes: elsewhere }] })), []);
    const marked = pathOf({ prefix: block, source: 'block', communities: [[0x01000000, 65001, 7]] as never });
    const other = [{ ...path, attributes: marked.attributes }];
    assert.deepEqual(words(plan(all, { ...taken(all), paths: other })), [`announce ${block}`]);
  });

  test('a peer of a node that restarts is told so; routes wait for others only where they are passed on', () => {
    const restartOf = ({ after: [step] }: Plan): object => {
      assert.ok(step !== undefined);
      return (step.request as { peer: PeerMessage }).peer.gracefulRestart as object;
    };
    const of = { gracefulRestart: { enabled: true, restartTime: seconds(40) } } as Partial<PeerIntent>;
    const first = restartOf(plan(wanted(tor(of)), nothingThere, { restarting: true }));
    assert.deepEqual({ ...first, deferralTime: 1, localRestarting: true }, first);
    const passing = restartOf(plan(wanted(tor({ ...of, transit: true })), nothingThere));
    assert.deepEqual({ ...passing, deferralTime: 40, localRestarting: false }, passing);
  });
});
