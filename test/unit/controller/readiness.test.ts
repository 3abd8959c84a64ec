import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decideReadiness,
  type NetworkReason,
  type ReadinessInput,
  type SeenNode,
  type SeenReport,
  unreadyLimit,
} from '#controller/readiness.ts';
import { type Instant, instant, seconds } from '#lib/time.ts';

const BOOT = 'f2a1';
const node = (tainted: boolean, reason?: NetworkReason, bootID = BOOT): SeenNode => ({
  tainted,
  bootID,
  silent: false,
  network: reason === undefined ? undefined : { unavailable: tainted, reason, message: reason },
});
const report = (established: number, rest: Partial<SeenReport> = {}): SeenReport => ({
  peers: 2,
  established,
  unannounced: 0,
  bootID: BOOT,
  ...rest,
});

const decide = (
  rows: Readonly<Record<string, readonly [SeenNode, SeenReport?]>>,
  more: Partial<Omit<ReadinessInput, 'nodes' | 'reports'>> = {},
) =>
  decideReadiness({
    nodes: new Map(Object.entries(rows).map(([name, [seen]]) => [name, seen])),
    reports: new Map(Object.entries(rows).flatMap(([name, [, said]]) => (said === undefined ? [] : [[name, said]]))),
    settings: () => ({ minSessions: 1, delay: seconds(0) }),
    maxUnready: { count: 1 },
    away: new Set(),
    since: new Map(),
    now: instant(0),
    ...more,
  });

const verdict = (seen: SeenNode, said?: SeenReport, more: Parameters<typeof decide>[1] = {}) => {
  const decision = decide({ one: said === undefined ? [seen] : [seen, said] }, more).nodes.get('one');
  return decision === undefined ? undefined : [decision.tainted, decision.network?.reason];
};

test('each kind of node gets what is its due', () => {
  const rows: readonly (readonly [string, SeenNode, SeenReport | undefined, ReturnType<typeof verdict>])[] = [
    ['nobody reports of it: tainted or not, it is left alone', node(true), undefined, undefined],
    ['nobody reports of one that was ready', node(false, 'RoutingReady'), undefined, undefined],
    ['new, without a session', node(true), report(0), [true, 'RoutingNotYetReady']],
    ['new, its block not announced yet', node(true), report(2, { unannounced: 1 }), [true, 'RoutingNotYetReady']],
    ['new, and ready', node(true), report(1), [false, 'RoutingReady']],
    ['new, registered without the taint', node(false), report(0), [false, undefined]],
    ['no BGPPeer selects it', node(true), report(0, { peers: 0, unannounced: 1 }), [false, 'NoPeers']],
    ['a BGPPeer that was added later', node(false, 'NoPeers'), report(0), [false, 'RoutingNotYetReady']],
    ['ready', node(false, 'RoutingReady'), report(1), [false, 'RoutingReady']],
    ['lost', node(false, 'RoutingReady'), report(0), [true, 'RoutingLost']],
    ['lost its announcements', node(false, 'RoutingReady'), report(1, { unannounced: 1 }), [true, 'RoutingLost']],
    [
      'lost, and the controller ended between taint and condition',
      node(true, 'RoutingReady'),
      report(0),
      [true, 'RoutingLost'],
    ],
    ['back', node(true, 'RoutingLost'), report(1), [false, 'RoutingReady']],
    ['booted, the old report', node(false, 'RoutingReady', 'new'), report(2), [true, 'NodeRebooted']],
    ['booted, no session yet', node(true, 'NodeRebooted'), report(0), [true, 'NodeRebooted']],
    ['booted, not announced yet', node(true, 'NodeRebooted'), report(2, { unannounced: 1 }), [true, 'NodeRebooted']],
    ['booted, and back', node(true, 'NodeRebooted'), report(2), [false, 'RoutingReady']],
    [
      'booted before it was ever ready',
      node(true, 'RoutingNotYetReady', 'new'),
      report(2),
      [true, 'RoutingNotYetReady'],
    ],
    ['a kubelet that does not say its boot', node(false, 'RoutingReady', ''), report(2), [false, 'RoutingReady']],
    [
      'an agent that does not say its boot',
      node(false, 'RoutingReady'),
      report(2, { bootID: '' }),
      [false, 'RoutingReady'],
    ],
    ['somebody tainted a node that is ready', node(true, 'RoutingReady'), report(2), [false, 'RoutingReady']],
    ['somebody let a new node go', node(false, 'RoutingNotYetReady'), report(0), [false, 'RoutingNotYetReady']],
  ];
  for (const [what, seen, said, expected] of rows) assert.deepEqual(verdict(seen, said), expected, what);
});

test('minSessions counts established sessions, and says so when there cannot be enough', () => {
  const two = { settings: () => ({ minSessions: 2, delay: seconds(0) }) };
  assert.deepEqual(verdict(node(false, 'RoutingReady'), report(2), two), [false, 'RoutingReady']);
  assert.deepEqual(verdict(node(false, 'RoutingReady'), report(1), two), [true, 'RoutingLost']);
  const alone = decide({ one: [node(true), report(1, { peers: 1 })] }, two).nodes.get('one');
  assert.equal(
    alone?.network?.message,
    'Of the 2 sessions that readiness.minSessions asks for, BGPPeers give the node 1.',
  );
});

test('after a boot a node without all its sessions is one that lost them: the limit holds', () => {
  const rows = Object.fromEntries(
    ['a', 'b', 'c'].map((name) => [name, [node(true, 'NodeRebooted'), report(1)] as const]),
  );
  const { nodes, beyond } = decide(rows, { settings: () => ({ minSessions: 2, delay: seconds(0) }) });
  assert.deepEqual(
    [...nodes.values()].map((it) => it.tainted),
    [true, false, false],
  );
  assert.deepEqual(beyond, ['b', 'c']);
});

test('the taint goes after the delay, counted anew after each break', () => {
  const settings = () => ({ minSessions: 1, delay: seconds(30) });
  const lost = node(true, 'RoutingLost');
  let since: ReadinessInput['since'] = new Map();
  const at = (now: Instant, established: number) => {
    const decision = decide({ one: [lost, report(established)] }, { settings, since, now });
    ({ since } = decision);
    return [decision.nodes.get('one')?.tainted, decision.next];
  };
  assert.deepEqual(at(instant(0), 1), [true, 30_000]);
  assert.deepEqual(at(instant(20_000), 0), [true, undefined]);
  assert.deepEqual(at(instant(25_000), 1), [true, 55_000]);
  assert.deepEqual(at(instant(54_999), 1), [true, 55_000]);
  assert.deepEqual(at(instant(55_000), 1), [false, undefined]);
});

test('an agent whose pod is not Ready for 150 s on a node that lives is gone; one that is upgraded is not', () => {
  const ready = node(false, 'RoutingReady');
  let since: ReadinessInput['since'] = new Map();
  const at = (now: number, away: boolean, seen = ready) => {
    const decision = decide(
      { one: [seen, report(2)] },
      { since, now: instant(now), away: new Set(away ? ['one'] : []) },
    );
    ({ since } = decision);
    return [decision.nodes.get('one')?.network?.reason, decision.next];
  };
  assert.deepEqual(at(0, true), ['RoutingReady', 150_000]);
  assert.deepEqual(at(60_000, false), ['RoutingReady', undefined]);
  assert.deepEqual(at(100_000, true), ['RoutingReady', 250_000]);
  assert.deepEqual(at(249_999, true), ['RoutingReady', 250_000]);
  assert.deepEqual(at(250_000, true), ['RoutingLost', undefined]);
  // Nothing is heard of its kubelet, and Kubernetes says of its pods that they are not Ready.
  assert.deepEqual(at(250_001, true, { ...ready, silent: true }), ['RoutingReady', undefined]);
  assert.deepEqual(at(250_002, true), ['RoutingReady', 400_002]);
});

test('who has the taint keeps it, then who is unready longest; who waits out a delay is counted', () => {
  const rows = {
    a: [node(false, 'RoutingReady'), report(0)],
    b: [node(false, 'MaxUnreadyReached'), report(0)],
    c: [node(true, 'RoutingLost'), report(0)],
    d: [node(true, 'RoutingLost'), report(1)],
  } as const;
  const since = new Map([['b', { fit: false, at: instant(-1), away: undefined }]]);
  const delayed = { settings: () => ({ minSessions: 1, delay: seconds(30) }), since };
  const tainted = (count: number): string[] =>
    [...decide(rows, { ...delayed, maxUnready: { count } }).nodes].filter(([, it]) => it.tainted).map(([name]) => name);
  assert.deepEqual(tainted(1), ['d']);
  assert.deepEqual(tainted(2), ['c', 'd']);
  assert.deepEqual(tainted(3), ['b', 'c', 'd']);
  const left = decide(rows, { ...delayed, maxUnready: { count: 3 } }).nodes.get('a')?.network;
  assert.deepEqual([left?.unavailable, left?.reason], [false, 'MaxUnreadyReached']);
  assert.match(left?.message ?? '', /^None of the node's 2 sessions is established\. .* lets 3 nodes be tainted/);
});

test('a limit of 0 takes taints off and puts none on, not even after a boot', () => {
  const none = { maxUnready: { count: 0 } };
  assert.deepEqual(verdict(node(true), report(1), none), [false, 'RoutingReady']);
  assert.deepEqual(verdict(node(false, 'RoutingReady'), report(0), none), [false, 'MaxUnreadyReached']);
  assert.deepEqual(verdict(node(false, 'RoutingReady', 'new'), report(2), none), [false, 'MaxUnreadyReached']);
});

test('a share is rounded down, and is one node at least unless it is 0%', () => {
  const limits = [
    [{ percent: 10 }, 0],
    [{ percent: 10 }, 5],
    [{ percent: 10 }, 29],
    [{ percent: 100 }, 29],
    [{ percent: 0 }, 29],
    [{ count: 3 }, 1],
  ] as const;
  assert.deepEqual(
    limits.map(([wanted, nodes]) => unreadyLimit(wanted, nodes)),
    [1, 1, 2, 29, 0, 3],
  );
});
