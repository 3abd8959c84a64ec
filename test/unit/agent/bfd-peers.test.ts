// BFD of the peers in the agent: who is told what when a path fails, comes back, or BGP comes up before it.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BfdPeers } from '#agent/bfd-peers.ts';
import type { PathsCommand } from '#agent/messages.ts';
import type { ObservedBfdSession } from '#bgp/bfd/control-messages.ts';
import type { BgpIntent, PeerFacts } from '#bgp/engine.ts';
import type { BfdPlan } from '#intent/bfd-sessions.ts';
import type { Asn, IpAddress } from '#lib/ip.ts';
import { bfdIntent, bfdRuns, bfdSession, bgpFacts, peerFacts, peerIntent } from '../../support/snapshot.ts';

const ip = (text: string): IpAddress => text as IpAddress;
const gateway = { gateway: ip('192.0.2.1'), interfaceIndex: 2 };
const path = { onLink: true, gateways: [gateway] };
const intent: BgpIntent = {
  asn: 65001 as Asn,
  routerId: ip('192.0.2.2'),
  listenPort: 179,
  peers: [peerIntent('tor-a', { bfd: bfdIntent() })],
  announcements: [],
  ownPrefixes: [],
  multipath: { maximumPaths: 16, relax: true },
};

const session = (changes: Partial<ObservedBfdSession>): ObservedBfdSession => bfdSession('tor-a', changes);
const failure = (failures: number): ObservedBfdSession =>
  session({ state: 'Down', diagnostic: 1, failed: true, failures });

class Bench {
  readonly plans: BfdPlan[] = [];
  readonly failed: string[] = [];
  readonly paths: PathsCommand[] = [];
  readonly peers = new BfdPeers({
    sessions: (plan) => this.plans.push(plan),
    failed: (peer, text) => this.failed.push(`${peer}: ${text}`),
    paths: (paths) => this.paths.push(paths),
  });

  bgp(changes: Partial<PeerFacts>): void {
    this.peers.learn({ bgp: bgpFacts([peerFacts('tor-a', { path, flaps: 0, ...changes })]) });
  }

  sees(...sessions: readonly ObservedBfdSession[]): void {
    this.#sees(7, sessions);
  }

  /** Another process. */
  seesAnew(...sessions: readonly ObservedBfdSession[]): void {
    this.#sees(8, sessions);
  }

  #sees(pid: number, sessions: readonly ObservedBfdSession[]): void {
    this.peers.observed({ daemon: { ...bfdRuns, pid }, sessions });
  }

  loses(): void {
    this.peers.observed({ daemon: { state: 'seeking' }, sessions: [] });
  }

  get told(): string {
    const { watched, failed, isUp } = this.peers.paths;
    return `${watched.length} watched, ${failed.length} failed, ${isUp ? 'up' : 'not up'}`;
  }
}

function up(): Bench {
  const bench = new Bench();
  bench.peers.setIntent(intent);
  bench.bgp({});
  bench.sees(session({}));
  return bench;
}

describe('BFD of the peers', () => {
  test('before the first intent nobody is told anything: what runs must not be ended', () => {
    const bench = new Bench();
    bench.sees(session({}));
    bench.bgp({});
    assert.deepEqual(bench.plans, []);
    bench.peers.setIntent(undefined);
    assert.deepEqual(bench.plans, [{ sessions: [], keep: [] }]);
    bench.peers.stop();
  });

  test('the same again is told to nobody', () => {
    const bench = up();
    const before = [bench.plans.length, bench.paths.length];
    bench.peers.setIntent(structuredClone(intent));
    bench.bgp({});
    bench.sees(session({}));
    assert.deepEqual([bench.plans.length, bench.paths.length], before);
    bench.peers.stop();
  });

  test('a path that fails ends the BGP session once, and its gateways stay away until BFD is up again', () => {
    const bench = up();
    assert.equal(bench.told, '1 watched, 0 failed, up');
    bench.sees(failure(1));
    assert.deepEqual(bench.failed, ['tor-a: BFD with 192.0.2.1 is down: no packet came for the detection time']);
    assert.equal(bench.told, '1 watched, 1 failed, not up');
    // The routes are gone, and with them what is known of the gateways.
    bench.bgp({ state: 'Idle', flaps: 1, path: { onLink: true, gateways: [] } });
    bench.sees(failure(1));
    assert.equal(bench.told, '0 watched, 1 failed, not up');
    assert.equal(bench.failed.length, 1);
    bench.sees(session({ failures: 1 }));
    assert.equal(bench.told, '0 watched, 0 failed, up');
    bench.peers.stop();
  });

  test('BGP that comes up again before BFD has its gateways back, and nothing of it is deleted', () => {
    const bench = up();
    bench.sees(failure(1));
    bench.bgp({ state: 'Established', flaps: 0 });
    assert.equal(bench.told, '1 watched, 1 failed, not up', 'the session that the failure ends');
    bench.bgp({ state: 'Idle', flaps: 1 });
    bench.bgp({ state: 'Established', flaps: 1 });
    assert.equal(bench.told, '1 watched, 0 failed, not up');
    bench.peers.learn({
      kernel: {
        generation: 1,
        blackholes: [],
        learnedRoutes: { ipv4: 0, ipv6: 0 },
        routeConflicts: [],
        repairs: {},
        problems: [],
        nexthops: [{ id: 5, ...gateway }],
      },
    });
    assert.deepEqual(bench.plans.at(-1)?.sessions[0]?.nexthops, []);
    bench.sees(session({ failures: 1 }));
    assert.deepEqual(bench.plans.at(-1)?.sessions[0]?.nexthops, [5]);
    bench.sees(failure(2));
    assert.equal(bench.failed.length, 2);
    assert.equal(bench.told, '1 watched, 1 failed, not up');
    bench.peers.stop();
  });

  test('a failure of before this agent ends no session, but keeps the gateways away until BGP is up', () => {
    const bench = new Bench();
    bench.peers.setIntent(intent);
    bench.bgp({ state: 'Connect' });
    bench.sees(failure(3));
    assert.deepEqual([bench.failed, bench.told], [[], '1 watched, 1 failed, not up']);
    bench.bgp({ state: 'Established' });
    assert.equal(bench.told, '1 watched, 0 failed, not up');
    bench.peers.stop();
  });

  test('a failure while the process was out of reach is told when it is reached again, if it is the same process', () => {
    const bench = up();
    bench.loses();
    bench.sees(failure(1));
    assert.equal(bench.failed.length, 1);
    const other = up();
    other.sees(failure(1));
    other.loses();
    other.seesAnew(session({ state: 'Down' }));
    assert.equal(other.failed.length, 1, 'that the process died is no failure of the path');
    for (const { peers } of [bench, other]) peers.stop();
  });

  test('an end that is administrative is no failure', () => {
    const bench = up();
    bench.sees(session({ state: 'Down', diagnostic: 3, remoteState: 'AdminDown' }));
    assert.deepEqual([bench.failed, bench.told], [[], '1 watched, 0 failed, not up']);
    bench.peers.stop();
  });
});
