import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Condition } from '#intent/node-intent.ts';
import type { Prefix } from '#lib/ip.ts';
import { type Instant, instant, seconds } from '#lib/time.ts';
import type { PeerFacts, PeerIntent } from '#bgp/engine.ts';
import { type BGPNodeStatus, bgpNodeState, mostConditions } from '#resources/bgp-node-state.ts';
import { type FieldProblem, invalid } from '#resources/schema.ts';
import { differenceOf, nodeState, writeInterval, writeTime } from '#status/node-state.ts';
import { seededRandom } from '../../support/random.ts';
import { routingReport } from '#status/routing.ts';
import type { Snapshot } from '#status/snapshot.ts';
import { bgpFacts, peerFacts, peerIntent, snapshot } from '../../support/snapshot.ts';

const options = { bootID: 'boot 1', generationOf: () => undefined };
const condition = (changes: Partial<Condition> = {}): Condition => ({
  kind: 'BGPPeer',
  name: 'tor-b',
  type: 'Established',
  status: 'False',
  reason: 'NotEstablished',
  message: 'The session is Idle.',
  ...changes,
});

describe('what an agent writes about its node', () => {
  test('is what the schema of BGPNodeState takes, as JSON', () => {
    const status = nodeState(snapshot({ objectConditions: [condition()] }), options, undefined);
    const problems: FieldProblem[] = [];
    const raw: unknown = JSON.parse(
      JSON.stringify({
        apiVersion: 'flatroute.io/v1alpha1',
        kind: 'BGPNodeState',
        metadata: { name: 'node-1' },
        status,
      }),
    );
    const read = bgpNodeState.schema.read(raw, [], problems);
    assert.deepEqual(problems, []);
    assert.notEqual(read, invalid);
    assert.equal(differenceOf(read === invalid ? undefined : read.status, status, 1), 'none');
  });

  test('has sessions that are down first, with their error, and blocks with whether a peer was told of them', () => {
    const { sessions = [], blocks, peers, established } = nodeState(snapshot(), options, undefined);
    assert.deepEqual(
      sessions.map(({ peer, state, lastError }) => [peer, state, lastError?.code]),
      [
        ['tor-b', 'Idle', 'SESSION_HOLD_TIMER_EXPIRED'],
        ['tor-a', 'Established', undefined],
      ],
    );
    assert.deepEqual(blocks, [{ cidr: '10.60.1.0/26', pool: 'node', announced: true, used: 2 }]);
    assert.deepEqual([peers, established], [2, 1]);
  });

  test('has all conditions of the node and those of other objects that are not True, with the generation they are about', () => {
    const objectConditions = [
      condition({ name: 'tor-a', status: 'True', reason: 'Established' }),
      condition(),
      condition({ kind: 'Node', name: 'node-1', type: 'KernelReady', status: 'True', reason: 'KernelReady' }),
    ];
    const { conditions = [] } = nodeState(
      snapshot({ objectConditions }),
      { ...options, generationOf: (kind, name) => (kind === 'BGPPeer' && name === 'tor-b' ? 4 : undefined) },
      undefined,
    );
    assert.deepEqual(
      conditions.map((it) => [it.object, it.type, it.status, it.observedGeneration]),
      [
        ['Node/node-1', 'Ready', 'True', undefined],
        ['Node/node-1', 'KernelReady', 'True', undefined],
        ['BGPPeer/tor-b', 'Established', 'False', 4],
      ],
    );
  });

  test('says since when a condition has its status, not since when it has its words', () => {
    const first = snapshot({ objectConditions: [condition()], now: Date.UTC(2026, 0, 1) });
    const before = nodeState(first, options, undefined);
    const later = { ...first, now: Date.UTC(2026, 0, 2) };
    const words = nodeState(
      { ...later, objectConditions: [condition({ message: 'The session is Connect.' })] },
      options,
      before,
    );
    const moved = nodeState(
      { ...later, objectConditions: [condition({ status: 'Unknown', reason: 'Invalid' })] },
      options,
      before,
    );
    assert.equal(words.conditions?.[1]?.lastTransitionTime, '2026-01-01T00:00:00.000Z');
    assert.equal(moved.conditions?.[1]?.lastTransitionTime, '2026-01-02T00:00:00.000Z');
    assert.equal(differenceOf(before, words, 1), 'words');
    assert.equal(differenceOf(before, moved, 1), 'state');
  });

  test('does not change while counters grow, time passes and a session fails again in the same way', () => {
    const failing = (at: number) =>
      bgpFacts([
        peerFacts('tor-a', { flaps: at, messages: { received: at, sent: at }, received: { ipv4: at, ipv6: at } }),
        peerFacts('tor-b', { state: 'Idle', lastError: { code: 'SESSION_CONNECT_TIMEOUT', text: 'no answer', at } }),
      ]);
    const before = nodeState(snapshot({ bgp: failing(1) }), options, undefined);
    const now = nodeState(snapshot({ bgp: failing(2), now: Date.UTC(2027, 0, 1) }), options, before);
    assert.equal(differenceOf(before, now, 1), 'none');
  });

  test('says how full its blocks are anew when that has moved by an eighth of a block, like new words', () => {
    const { pods } = snapshot();
    assert.ok(pods);
    const full = (used: number) =>
      nodeState(
        snapshot({ pods: { ...pods, blocks: pods.blocks.map((it) => ({ ...it, used })) } }),
        options,
        undefined,
      );
    const differences = [9, 10, 62].map((used) => differenceOf(full(2), full(used), 1));
    assert.deepEqual(differences, ['none', 'words', 'words']);
  });

  test('stays inside the bounds of its schema, errors before warnings', () => {
    const many = Array.from({ length: 300 }, (_, i) => condition({ name: `peer-${i}` }));
    const worst = condition({ name: 'worst', reason: 'SecretMissing', message: 'x'.repeat(5000) });
    const { conditions = [] } = nodeState(
      snapshot({ objectConditions: [...many.map((it): Condition => ({ ...it, reason: 'NoNextHop' })), worst] }),
      options,
      undefined,
    );
    assert.equal(conditions.length, mostConditions);
    assert.equal(conditions[1]?.object, 'BGPPeer/worst');
    assert.equal(conditions[1].message.length, 1024);
  });

  test('names what stands in the way in the kernel, and no counts of repairs', () => {
    const { kernel } = snapshot();
    assert.ok(kernel);
    const prefix = '10.60.9.0/26' as Prefix;
    const broken = { ...kernel, routeConflicts: [{ prefix, protocol: 4 }], repairs: { route: 9 } };
    const { drift } = nodeState(snapshot({ kernel: broken }), options, undefined);
    assert.deepEqual(drift, { routeConflicts: [prefix], foreignLinks: [], problems: [] });
  });
});

describe('what an agent reports of its routing', () => {
  const block = '10.60.1.0/26' as Prefix;
  const intent = (peers: readonly PeerIntent[]): NonNullable<Snapshot['bgpIntent']> => ({
    ...(snapshot().bgpIntent ?? assert.fail()),
    peers,
    announcements: [
      { prefix: block, source: 'block' },
      { prefix: '192.0.2.2/32' as Prefix, source: 'nodeAddress' },
    ],
  });
  const report = (peers: readonly PeerIntent[], facts: readonly PeerFacts[], changes: Partial<Snapshot> = {}) => {
    const {
      peers: wanted,
      established,
      unannounced,
    } = routingReport(snapshot({ bgpIntent: intent(peers), bgp: bgpFacts(facts), ...changes }));
    return [wanted, established, unannounced];
  };

  test('counts peers and those that are up, and blocks that none of them was told of', () => {
    const down = peerFacts('tor-b', { state: 'Active' });
    assert.deepEqual(report([peerIntent('tor-a'), peerIntent('tor-b')], [peerFacts('tor-a'), down]), [2, 1, 0]);
    const silent = { ...bgpFacts([peerFacts('tor-a')]), announced: [{ prefix: block, peers: [] }] };
    assert.deepEqual(report([peerIntent('tor-a')], [], { bgp: silent }), [1, 1, 1]);
  });

  test('does not count the mesh: neither its sessions nor what only they were told', () => {
    const mesh = [peerIntent('mesh/node-2'), peerIntent('mesh/node-3')];
    const up = [peerFacts('mesh/node-2'), peerFacts('mesh/node-3')];
    assert.deepEqual(report(mesh, up), [0, 0, 1]);
    assert.deepEqual(report([...mesh, peerIntent('tor-a')], [...up, peerFacts('tor-a', { state: 'Idle' })]), [1, 0, 1]);
  });

  test('counts a listen range once, and everybody who came from there', () => {
    const range = peerIntent('leaves', { listenRange: { prefix: '192.0.2.0/24' as Prefix, limit: 10 } });
    assert.deepEqual(report([range], [peerFacts('leaves/192.0.2.7'), peerFacts('leaves/192.0.2.8')]), [1, 2, 0]);
  });

  test('a block that is being claimed, or waits for the kernel, is not announced', () => {
    const waits = (reason: 'ClaimPending' | 'BlackholeMissing'): Condition =>
      condition({ kind: 'Node', name: 'node-1', type: 'BlocksAssigned', reason });
    for (const reason of ['ClaimPending', 'BlackholeMissing'] as const)
      assert.deepEqual(
        report([peerIntent('tor-a')], [peerFacts('tor-a')], { objectConditions: [waits(reason)] }),
        [1, 1, 1],
      );
  });

  test('is another state of readiness exactly when it changes whether the node is fit for pods', () => {
    const before = nodeState(snapshot(), options, undefined);
    const status = (established: number, bootID = 'boot 1'): BGPNodeStatus => ({
      ...before,
      bootID,
      established,
      routing: { peers: 2, established, unannounced: 0 },
    });
    assert.equal(differenceOf(status(2), status(1), 1), 'state');
    assert.equal(differenceOf(status(2), status(1), 2), 'readiness');
    assert.equal(differenceOf(status(1), status(0), 1), 'readiness');
    assert.equal(differenceOf(status(1), status(1, 'boot 2'), 1), 'readiness');
    assert.equal(differenceOf({ ...status(2), routing: undefined }, status(2), 1), 'readiness');
  });
});

describe('when an agent writes', () => {
  test('at most every 10 s up to 500 nodes, and every nodes / 50 s above', () => {
    assert.deepEqual([1, 500, 1000, 5000].map(writeInterval), [10_000, 10_000, 20_000, 100_000]);
  });

  test('a lone change is written after a second, and the next one after the interval', () => {
    const first = { last: undefined, nodes: 3, prompt: true };
    const second = { ...first, last: instant(2000) };
    assert.equal(writeTime('state', instant(1000), first, 0), 2000);
    assert.equal(writeTime('state', instant(5000), second, 0), 12_000);
    assert.equal(writeTime('words', instant(5000), second, 0), 302_000);
  });

  test('5,000 nodes whose sessions flap together for ten minutes write 50 times a second at most', () => {
    const nodes = 5000;
    const chance = seededRandom(1);
    const perSecond = new Map<number, number>();
    let writes = 0;
    // Each node sees a change every second; it writes, and looks again at once.
    for (let node = 0; node < nodes; node++) {
      let last: Instant | undefined;
      for (let at = instant(0); at < seconds(600); ) {
        const due = writeTime('state', at, { last, nodes, prompt: true }, chance.unit());
        const second = Math.floor(due / 1000);
        perSecond.set(second, (perSecond.get(second) ?? 0) + 1);
        writes++;
        last = due;
        at = due;
      }
    }
    const busiest = Math.max(...perSecond.values());
    // The first wave is spread over the 100 s that all writes need: 50 a second on average, and chance on top.
    assert.ok(busiest <= 50 + 4 * Math.sqrt(50), `${busiest} writes in one second`);
    assert.ok(writes / 600 < 50, `${writes / 600} writes a second`);
  });

  test('what decides about pods is written within 11 s by all of 5,000 nodes, and as often as anything when it flaps', () => {
    const prompt = { last: instant(4000), nodes: 5000, prompt: true };
    assert.equal(writeTime('readiness', instant(5000), prompt, 0), 6000);
    assert.equal(writeTime('readiness', instant(5000), prompt, 1), 16_000);
    assert.equal(writeTime('readiness', instant(5000), { ...prompt, prompt: false }, 0), 104_000);
  });
});
