import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { severityOf } from '#intent/severity.ts';
import { changedConditions, conditionAnswers } from '#status/conditions.ts';
import type { ConditionAnswer } from '#status/answers.ts';
import { healthOf, readinessOf } from '#status/health.ts';
import { createMetrics } from '#status/metrics.ts';
import { blockAnswers, routeAnswerRow, statusAnswer } from '#status/node.ts';
import { nextRestart, peerAnswers } from '#status/peers.ts';
import type { Snapshot } from '#status/snapshot.ts';
import type { IpAddress, Prefix } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import { bfdIntent, bfdRuns, bfdSession, bgpFacts, peerFacts, peerIntent, snapshot } from '../../support/snapshot.ts';

const graceful = { peerRestartTimeSeconds: 120, peerForwarding: [], notification: false } as const;

const thread = (changes: object) =>
  ({
    ...snapshot().threads[0],
    name: 'bgp',
    state: 'running',
    restarts: 0,
    delayP50Seconds: 0,
    delayP99Seconds: 0,
    delayMaxSeconds: 0,
    stuck: undefined,
    ...changes,
  }) as const;

describe('health', () => {
  test('all threads running is healthy and ready', () => {
    assert.deepEqual(healthOf(snapshot()), { fine: true, problems: [] });
    assert.deepEqual(readinessOf(snapshot()), { fine: true, problems: [] });
  });
  test('a thread that hangs in a call is unhealthy and says which call', () => {
    const { fine, problems } = healthOf(snapshot({ threads: [thread({ stuck: 'lookup has been running for 6 s' })] }));
    assert.equal(fine, false);
    assert.deepEqual(problems, ['thread bgp is stuck: lookup has been running for 6 s']);
  });
  test('a dead thread is unhealthy', () => {
    assert.equal(healthOf(snapshot({ threads: [thread({ state: 'dead' })] })).fine, false);
  });
  test('start-up is healthy, not ready, and says what it waits for', () => {
    const starting = snapshot({ state: 'starting', waitingFor: ['resources'] });
    assert.equal(healthOf(starting).fine, true);
    assert.deepEqual(readinessOf(starting), { fine: false, problems: ['waiting for resources'] });
  });
  test('a session that is down is neither', () => {
    assert.equal(readinessOf(snapshot({ bgp: bgpFacts([peerFacts('tor-a', { state: 'Idle' })]) })).fine, true);
  });
});

describe('peers', () => {
  test('a peer of the intent of which the engine has said nothing is Idle', () => {
    const [peer] = peerAnswers(snapshot({ bgp: undefined }));
    assert.equal(peer?.state, 'Idle');
    assert.equal(peer.since, undefined);
  });
  test('no answer has the password in it', () => {
    assert.ok(!JSON.stringify([peerAnswers(snapshot()), statusAnswer(snapshot())]).includes('not for anybody'));
  });
  test('conditions stand with the peer that they are about', () => {
    const condition = (object: string): ConditionAnswer => ({
      object,
      type: 'Established',
      status: 'False',
      reason: 'AuthFailed',
      message: 'm',
      severity: 'error',
    });
    const peers = peerAnswers(snapshot({ conditions: [condition('peers/tor-b'), condition('peers/other')] }));
    assert.deepEqual(
      peers.map((peer) => peer.conditions.length),
      [0, 1],
    );
  });
  const restarts = [
    ['session down', peerIntent('a'), peerFacts('a', { state: 'Active' }), 1, undefined],
    [
      'peer keeps routes longer than we need',
      peerIntent('a'),
      peerFacts('a'),
      1.1,
      { hitless: true, text: 'hitless (peer keeps routes 120 s, we need 1.1 s); power loss: 90 s' },
    ],
    [
      'peer without graceful restart',
      peerIntent('a'),
      peerFacts('a', { gracefulRestart: undefined }),
      1,
      { hitless: false, text: 'not hitless: the peer has no graceful restart; power loss: 90 s' },
    ],
    [
      'off here',
      peerIntent('a', { gracefulRestart: { enabled: false, restartTime: seconds(120) } }),
      peerFacts('a'),
      1,
      { hitless: false, text: 'not hitless: graceful restart is off here; power loss: 90 s' },
    ],
    [
      'we need longer than the peer waits',
      peerIntent('a', { gracefulRestart: { enabled: true, restartTime: seconds(2) } }),
      peerFacts('a'),
      5,
      { hitless: false, text: 'not hitless: the peer keeps routes 2 s, we need 5.0 s; power loss: 90 s' },
    ],
    [
      'the N bit keeps routes over an expired hold timer too',
      peerIntent('a'),
      peerFacts('a', { gracefulRestart: { peerRestartTimeSeconds: 120, peerForwarding: [], notification: true } }),
      1,
      { hitless: true, text: 'hitless (peer keeps routes 120 s, we need 1.0 s); power loss: 210 s' },
    ],
    [
      'long-lived graceful restart keeps routes as the last choice, and with the N bit those of a dead node',
      peerIntent('a', { longLivedGracefulRestart: { staleTime: seconds(3600), families: ['ipv4', 'ipv6'] } }),
      peerFacts('a', { gracefulRestart: { ...graceful, notification: true, longLived: true } }),
      1,
      {
        hitless: true,
        text: 'hitless (peer keeps routes 120 s, then 3600 s as the last choice, we need 1.0 s); power loss: 210 s, then 3600 s as the last choice',
      },
    ],
    [
      'long-lived for one family, and too slow for the restart time',
      peerIntent('a', {
        gracefulRestart: { enabled: true, restartTime: seconds(2) },
        longLivedGracefulRestart: { staleTime: seconds(60), families: ['ipv6'] },
      }),
      peerFacts('a', { gracefulRestart: { ...graceful, longLived: true } }),
      5,
      {
        hitless: false,
        text: 'not hitless: the peer keeps routes 2 s, then 60 s as the last choice (ipv6), we need 5.0 s; power loss: 90 s',
      },
    ],
    [
      'the peer has no long-lived graceful restart',
      peerIntent('a', { longLivedGracefulRestart: { staleTime: seconds(60), families: ['ipv4', 'ipv6'] } }),
      peerFacts('a', { gracefulRestart: graceful }),
      1,
      { hitless: true, text: 'hitless (peer keeps routes 120 s, we need 1.0 s); power loss: 90 s' },
    ],
  ] as const;
  for (const [name, intent, facts, needs, expected] of restarts) {
    test(`the next restart: ${name}`, () => assert.deepEqual(nextRestart(intent, facts, needs), expected));
  }
  test('the next restart: BFD that shares the fate of its control plane takes it for a failure, at either end', () => {
    const bgpIntent = { ...snapshot().bgpIntent, peers: [peerIntent('tor-a', { bfd: bfdIntent() })] };
    const text = (daemon: Partial<typeof bfdRuns & { endsWithAgent: boolean }>, peerIndependent: boolean) =>
      peerAnswers(
        snapshot({
          bgpIntent: bgpIntent as Snapshot['bgpIntent'],
          bfd: {
            daemon: { ...bfdRuns, ...daemon },
            sessions: [bfdSession('tor-a', { remoteControlPlaneIndependent: peerIndependent })],
          },
        }),
      )[0]?.nextRestart?.text;
    assert.match(text({}, true) ?? '', /^hitless \(.*\); power loss: as long as BFD takes$/);
    assert.match(text({ endsWithAgent: true }, true) ?? '', /^not hitless: BFD ends with the agent \(C=0\)/);
    assert.match(
      text({}, false) ?? '',
      /^hitless .*; the peer's own restart is a failure of the path \(its BFD has C=0\)$/,
    );
  });
});

describe('the node', () => {
  test('status counts established sessions among those that should be up', () => {
    const status = statusAnswer(snapshot());
    assert.deepEqual([status.bgp.established, status.bgp.peers], [1, 2]);
    assert.equal(status.uptimeSeconds, 8040);
    assert.deepEqual(
      status.threads.map((t) => t.generation),
      [7, 7, 6],
    );
  });
  test('a peer that is shut down is not expected to be up', () => {
    const { bgpIntent } = snapshot();
    assert.ok(bgpIntent);
    const status = statusAnswer(
      snapshot({ bgpIntent: { ...bgpIntent, peers: [peerIntent('tor-b', { enabled: false })] } }),
    );
    assert.deepEqual([status.bgp.established, status.bgp.peers], [0, 0]);
  });
  test('a node without BGP has neither AS nor router id', () => {
    const { bgp } = statusAnswer(snapshot({ bgpIntent: undefined, bgp: undefined }));
    assert.ok(!('asn' in bgp) && !('routerId' in bgp) && !('listenPort' in bgp));
  });
  test('a block says what is free, whether its blackhole stands and who was told', () => {
    assert.deepEqual(blockAnswers(snapshot()), [
      {
        pool: 'node',
        cidr: '10.60.1.0/26',
        capacity: 62,
        used: 2,
        fenced: 1,
        free: 59,
        fixedAddress: false,
        blackhole: true,
        announcedTo: ['tor-a', 'tor-b'],
      },
    ]);
  });
  test('what is not ready is among the problems', () => {
    const { problems } = statusAnswer(snapshot({ waitingFor: ['resources'] }));
    assert.deepEqual(
      problems.map((p) => [p.object, p.reason, p.message]),
      [['node/node-1', 'NotReady', 'waiting for resources']],
    );
  });
  test('a route leaves out what it has not', () => {
    const row = {
      prefix: '10.0.0.0/8' as Prefix,
      peer: 'a',
      nextHop: '192.0.2.1' as IpAddress,
      asPath: '1',
      origin: 'IGP',
      localPref: undefined,
      med: 5,
      communities: [],
      accepted: true,
      reason: 'r',
      best: true,
      multipath: false,
      stale: false,
    } as const;
    const answer = routeAnswerRow(row);
    assert.ok(!('localPref' in answer));
    assert.equal(answer.med, 5);
  });
});

describe('conditions', () => {
  const rows = [
    ['True', 'Established', 'info'],
    ['False', 'NotEstablished', 'error'],
    ['False', 'AdminDown', 'info'],
    ['False', 'NotAccepted', 'info'],
    ['False', 'NothingAccepted', 'warning'],
    ['Unknown', 'Pending', 'info'],
    ['Unknown', 'NotEstablished', 'warning'],
  ] as const;
  for (const [status, reason, severity] of rows) {
    test(`${status} ${reason} is ${severity}`, () => assert.equal(severityOf({ status, reason }), severity));
  }
  test('what a file did wrong comes first, with its line, and is not said twice', () => {
    const problem = {
      code: 'CONFIG_YAML_SYNTAX',
      id: undefined,
      file: 'peers/tor-b.yaml',
      line: 7,
      column: 3,
      field: '',
      message: 'broken',
      lastGoodInForce: false,
    } as const;
    const answers = conditionAnswers(
      [
        { kind: 'BGPPeer', name: 'tor-a', type: 'Established', status: 'True', reason: 'Established', message: '' },
        { kind: 'BGPPeer', name: 'tor-b', type: 'Accepted', status: 'False', reason: 'Invalid', message: 'broken' },
      ],
      [problem],
    );
    assert.deepEqual(
      answers.map((a) => [a.object, a.reason, a.severity]),
      [
        ['peers/tor-b.yaml:7', 'CONFIG_YAML_SYNTAX', 'error'],
        ['peers/tor-a', 'Established', 'info'],
      ],
    );
  });
  test('only what says something else counts as changed', () => {
    const a: ConditionAnswer = {
      object: 'peers/a',
      type: 'Established',
      status: 'True',
      reason: 'Established',
      message: 'x',
      severity: 'info',
    };
    assert.deepEqual(changedConditions([a], [{ ...a, message: 'y' }]), []);
    assert.equal(changedConditions([a], [{ ...a, status: 'False' }]).length, 1);
    assert.equal(changedConditions([], [a]).length, 1);
  });
});

test('metrics are read anew each time, so that a peer that is gone leaves no series behind', async () => {
  let now = snapshot({ bfd: { daemon: bfdRuns, sessions: [bfdSession('tor-a', { failures: 2 })] } });
  const metrics = createMetrics(() => now);
  metrics.attached(0.003);
  const before = await metrics.text();
  for (const line of [
    'flatroute_bgp_session_up{peer="tor-a"} 1',
    'flatroute_bgp_session_up{peer="tor-b"} 0',
    'flatroute_bgp_routes{peer="tor-a",family="ipv4",stage="received"} 200',
    'flatroute_bfd_session_up{peer="tor-a"} 1',
    'flatroute_bfd_path_failures_total{peer="tor-a"} 2',
    'flatroute_bfd_detection_time_seconds{peer="tor-a"} 0.15',
    'flatroute_bfd_process_up 1',
    'flatroute_kernel_drift_repairs_total{what="learned route"} 2',
    'flatroute_ipam_addresses{pool="node",state="free",family="ipv4"} 59',
    'flatroute_pod_attach_seconds_count 1',
    'flatroute_build_info{version="0.1.0",',
    'flatroute_event_loop_delay_seconds{thread="pods",statistic="p99"} 0.012',
  ]) {
    assert.ok(before.includes(line), line);
  }
  now = snapshot({ bgp: bgpFacts([peerFacts('tor-a')]), bgpIntent: undefined });
  const after = await metrics.text();
  assert.ok(!after.includes('peer="tor-b"'));
  assert.ok(!after.includes('flatroute_bfd_session_up{'));
  assert.ok(
    after.includes('flatroute_kernel_drift_repairs_total{what="learned route"} 2'),
    'a counter is not added up at each reading',
  );
});
