import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { showBlocks, showConditions, showDrift, showPods } from '#cli/show/node.ts';
import { peersAreFine, showPeers } from '#cli/show/peers.ts';
import { showPools } from '#cli/show/pools.ts';
import { destinationIsFine, explainRoute, kernelSentence, showRoutes } from '#cli/show/routes.ts';
import { concerns, showServices } from '#cli/show/services.ts';
import { showStatus, statusIsFine } from '#cli/show/status.ts';
import { textWidth } from '#cli/output/text.ts';
import type { PodAnswer, RouteAnswerRow, RoutesAnswer, ServiceAnswer } from '#status/answers.ts';
import { blockAnswers, statusAnswer } from '#status/node.ts';
import { peerAnswers } from '#status/peers.ts';
import { poolAnswers } from '#status/pools.ts';
import { bfdIntent, bfdSession, bgpFacts, peerFacts, peerIntent, snapshot } from '../../support/snapshot.ts';

const plain = { width: undefined, colour: false };
const now = Date.UTC(2026, 0, 1, 2, 14);

describe('peers', () => {
  test('one line a session, and below it why it is down', () => {
    assert.deepEqual(showPeers(peerAnswers(snapshot()), now, plain), [
      'PEER   ADDRESS       AS  STATE        SINCE  IN (ACC/RCV)  OUT  FAMILIES   FLAPS  NEXT RESTART',
      'tor-a  192.0.2.1  65100  Established  2h14m         1/214    4  ipv4 ipv6      3  hitless (peer keeps routes 120 s, we need 1.1 s); power loss: 90 s',
      'tor-b  192.0.2.1  65100  Idle         2h14m             –    –  ipv4 ipv6      3  –',
      '       └─ SESSION_HOLD_TIMER_EXPIRED: nothing heard for 90 s',
    ]);
  });
  test('a session that waits after a failure says for how long', () => {
    const waiting = peerFacts('tor-b', { state: 'Idle', retryAt: now + 12_000 });
    const lines = showPeers(peerAnswers(snapshot({ bgp: bgpFacts([peerFacts('tor-a'), waiting]) })), now, plain);
    assert.equal(lines.at(-1), '       └─ next try in 12 s; the pause grows with each failure, to 60 s');
  });
  test('with BFD a column says how the path is and how soon a failure is noticed', () => {
    const base = snapshot();
    assert.ok(base.bgpIntent);
    const bfd = bfdIntent();
    const since = now - 41_000;
    const failed = { state: 'Down', diagnostic: 1, failed: true } as const;
    const answers = peerAnswers({
      ...base,
      bgpIntent: {
        ...base.bgpIntent,
        peers: ['a', 'b', 'c', 'd', 'e'].map((name) => peerIntent(name, name === 'e' ? {} : { bfd })),
      },
      bfd: {
        daemon: { state: 'seeking' },
        sessions: [
          bfdSession('a', { since }),
          bfdSession('b', { since, ...failed }),
          bfdSession('c', { since, state: 'Down', remoteState: 'AdminDown' }),
        ],
      },
    });
    assert.deepEqual(
      answers.map((answer) => [answer.bfd?.state, answer.bfd?.diagnostic]),
      [
        ['Up', 'no diagnostic'],
        ['Down', 'no packet came for the detection time'],
        ['Down', 'no diagnostic'],
        ['Unknown', undefined],
        [undefined, undefined],
      ],
    );
    const text = showPeers(answers, now, plain).join('\n');
    for (const cell of ['up 41s 150ms', 'failed 41s', 'off 41s', 'unknown']) assert.ok(text.includes(cell), cell);
  });
  test('80 columns are enough for what matters', () => {
    for (const line of showPeers(peerAnswers(snapshot()), now, { width: 80, colour: false }))
      assert.ok(textWidth(line) <= 80, line);
  });
  test('the exit code follows the sessions that should be up', () => {
    assert.equal(peersAreFine(peerAnswers(snapshot())), false);
    assert.equal(
      peersAreFine(peerAnswers(snapshot({ bgp: bgpFacts([peerFacts('tor-a'), peerFacts('tor-b')]) }))),
      true,
    );
  });
  test('a session that is held down because its peer is refused is not fine, one that is switched off is', () => {
    const [peer] = peerAnswers(snapshot());
    assert.ok(peer);
    const refused = { type: 'Accepted', status: 'False', reason: 'SecretMissing', message: 'Create it.' } as const;
    const down = { ...peer, enabled: false, state: 'Idle', conditions: [] } as const;
    assert.equal(peersAreFine([down]), true);
    const condition = { ...refused, object: 'peers/tor-a', severity: 'error' } as const;
    assert.equal(peersAreFine([{ ...down, conditions: [condition] }]), false);
  });
});

const path = (peer: string, changes: Partial<RouteAnswerRow> = {}): RouteAnswerRow => ({
  prefix: '10.60.2.0/26',
  peer,
  nextHop: '192.0.2.1',
  asPath: '65100 65100',
  origin: 'IGP',
  communities: [],
  accepted: true,
  reason: 'accepted: filter fabric, rule 3',
  best: false,
  multipath: true,
  stale: false,
  ...changes,
});
const kernel = {
  destination: '10.60.2.7',
  prefix: '10.60.2.0/26',
  nextHopId: 4,
  protocol: 179,
  metric: 20,
  type: 'unicast',
  hops: [
    { gateway: '192.0.2.1', interface: 'eth0' },
    { gateway: '192.0.2.2', interface: 'eth1' },
  ],
};

describe('one destination explained', () => {
  test('paths that are used together, and what the kernel does', () => {
    const answer: RoutesAnswer = { routes: [path('tor-a', { best: true }), path('tor-b')], more: false, kernel };
    assert.deepEqual(explainRoute('10.60.2.7', answer, [], undefined, plain), [
      '10.60.2.0/26  2 of 2 used together, in the kernel as group 4',
      '  ✔ via 192.0.2.1  tor-a  AS path 65100 65100   accepted: filter fabric, rule 3 · best',
      '  ✔ via 192.0.2.1  tor-b  AS path 65100 65100   accepted: filter fabric, rule 3 · multipath',
      '  kernel: 10.60.2.0/26 nhid 4 proto 179 metric 20 · packets to 10.60.2.7 leave by eth0 and eth1',
    ]);
  });
  test('a refused path says why', () => {
    const answer: RoutesAnswer = {
      routes: [path('tor-a', { accepted: false, multipath: false, reason: 'refused: importPolicy None' })],
      more: false,
    };
    const lines = explainRoute('10.60.2.7', answer, [], undefined, plain);
    assert.ok(lines[0]?.includes('refused (1 path)'));
    assert.ok(lines[1]?.includes('✘') && lines[1].includes('refused: importPolicy None'));
    assert.equal(destinationIsFine(answer, []), false);
  });
  test('a block of our own says to whom it is announced', () => {
    const own = [path('tor-a', { prefix: '10.60.1.0/26' }), path('tor-b', { prefix: '10.60.1.0/26' })];
    const lines = explainRoute('10.60.1.5', { routes: [], more: false }, own, undefined, plain);
    assert.deepEqual(lines, ['10.60.1.0/26  ours, announced to tor-a, tor-b']);
  });
  test('an address of a pod of this node says whose it is, and a free one that nobody has it', () => {
    const own = [path('tor-a', { prefix: '10.60.1.0/26' })];
    const pod: PodAnswer = {
      namespace: 'shop',
      pod: 'web-1',
      container: 'c1',
      network: 'flatroute',
      interface: 'eth0',
      hostInterface: 'fr3a91',
      addresses: ['10.60.1.5', 'fd60:1::5'],
      since: new Date(now).toISOString(),
      state: 'live',
    };
    const said = explainRoute('10.60.1.5', { routes: [], more: false }, own, pod, plain);
    assert.deepEqual(said.slice(1), ['  pod: shop/web-1 of this node, live, behind fr3a91']);
    const nobody: RoutesAnswer = {
      routes: [],
      more: false,
      kernel: { destination: '10.60.1.9', type: 'blackhole', hops: [] },
    };
    assert.deepEqual(explainRoute('10.60.1.9', nobody, own, undefined, plain).slice(1), [
      '  pod: none has this address',
      '  kernel: 10.60.1.9 · packets to 10.60.1.9: blackhole',
    ]);
  });
  test('a path of a peer that is away says that it is only kept', () => {
    const [, line] = explainRoute(
      '10.60.2.7',
      { routes: [path('tor-a', { best: true, stale: true })], more: false },
      [],
      undefined,
      plain,
    );
    assert.match(line ?? '', /best · stale: kept while tor-a is away$/);
  });
  test('nothing known is said and is not fine', () => {
    const nothing: RoutesAnswer = {
      routes: [],
      more: false,
      kernel: { destination: '10.9.9.9', type: 'unreachable', hops: [], error: 'network is unreachable' },
    };
    assert.deepEqual(explainRoute('10.9.9.9', nothing, [], undefined, plain), [
      '10.9.9.9  no peer has announced a route that covers it',
      '  kernel: 10.9.9.9: network is unreachable',
    ]);
    assert.equal(destinationIsFine(nothing, []), false);
  });
  test('a blackhole is called by its name', () => {
    assert.equal(
      kernelSentence({ destination: '10.60.1.9', prefix: '10.60.1.0/26', protocol: 179, type: 'blackhole', hops: [] }),
      '10.60.1.0/26 proto 179 · packets to 10.60.1.9: blackhole',
    );
  });
});

test('a table of routes marks what is best, multipath and refused, and says when there is more', () => {
  const lines = showRoutes(
    { routes: [path('a', { best: true }), path('b'), path('c', { accepted: false, multipath: false })], more: true },
    'received',
    plain,
  );
  assert.deepEqual(
    lines.slice(1, 4).map((line) => line[0]),
    ['✔', '=', '✘'],
  );
  assert.ok(lines.at(-1)?.includes('more than 3 routes'));
});

test('path identifiers have a column where there are any', () => {
  const lines = showRoutes(
    { routes: [path('a', { best: true, pathId: 0 }), path('a', { pathId: 4294967295 }), path('b')], more: false },
    'received',
    plain,
  );
  assert.match(lines[0] ?? '', /PEER +PATH ID +AS PATH/);
  assert.match(lines[1] ?? '', / a +0 /);
  assert.match(lines[2] ?? '', / a +4294967295 /);
  const explained = explainRoute(
    '10.60.2.7',
    { routes: [path('a', { pathId: 7 })], more: false },
    [],
    undefined,
    plain,
  );
  assert.ok(explained.some((line) => line.includes('a  path 7  AS path')));
});

test('80 columns hold a table of routes with its reasons, and an explanation', () => {
  const routes = [
    path('tor-a', { best: true, localPref: 100, asPath: '65101 64602', reason: 'best: lowest router id' }),
    path('tor-b', { localPref: 100, asPath: '65102 64602', reason: 'multipath: as good as the best' }),
  ];
  const narrow = { width: 80, colour: false };
  assert.deepEqual(showRoutes({ routes, more: false }, 'received', narrow), [
    '   PREFIX        NEXT HOP   PEER   AS PATH      PREF  MED  REASON',
    '✔  10.60.2.0/26  192.0.2.1  tor-a  65101 64602   100    –  lowest router id',
    '=  10.60.2.0/26  192.0.2.1  tor-b  65102 64602   100    –  as good as the best',
  ]);
  const lines = explainRoute('10.60.2.7', { routes, more: false, kernel }, [], undefined, narrow);
  for (const line of lines) assert.ok(textWidth(line) <= 80, line);
  assert.deepEqual(lines.slice(-2), [
    '  kernel: 10.60.2.0/26 nhid 4 proto 179 metric 20 · packets to 10.60.2.7 leave',
    '    by eth0 and eth1',
  ]);
});

test('status names each problem in full and is not fine with one', () => {
  const fine = statusAnswer(snapshot());
  assert.equal(statusIsFine(fine), true);
  assert.ok(showStatus(fine, plain).at(-1)?.includes('nothing is wrong'));
  const wrong = statusAnswer(
    snapshot({
      conditions: [
        {
          object: 'peers.yaml:7',
          type: 'Accepted',
          status: 'False',
          reason: 'CONFIG_YAML_SYNTAX',
          message: 'broken at column 3',
          severity: 'error',
        },
      ],
    }),
  );
  assert.equal(statusIsFine(wrong), false);
  const text = showStatus(wrong, plain).join('\n');
  assert.ok(text.includes('✘ peers.yaml:7  CONFIG_YAML_SYNTAX') && text.includes('broken at column 3'));
});

test('a status fits 80 columns', () => {
  const lines = showStatus(statusAnswer(snapshot()), { width: 80, colour: false });
  for (const line of lines) assert.ok(textWidth(line) <= 80, line);
  assert.ok(lines.some((line) => line.startsWith('            ')));
});

test('pods, blocks, conditions and drift say so when there are none', () => {
  assert.deepEqual(showPods([], now, plain), ['no pods on this node']);
  assert.match(showBlocks([], plain).join(), /no blocks/);
  assert.deepEqual(showConditions([], plain), ['nothing is wrong']);
  assert.match(
    showDrift({ repairs: {}, routeConflicts: [], problems: [], foreignLinks: [] }, plain).join(),
    /as it should be/,
  );
});

test('a pool is shown with how full it is and when it will be', () => {
  const [title, row] = showPools(poolAnswers(snapshot()), plain);
  assert.deepEqual(title?.split(/ {2,}/).filter(Boolean), [
    'POOL',
    'FAMILY',
    'FOR',
    'BLOCKS',
    'SIZE',
    'USED',
    'FENCED',
    'FREE',
    'REFUSED',
    'AN HOUR',
    'FULL IN',
  ]);
  assert.deepEqual(row?.split(/ {2,}/).filter(Boolean), [
    'node',
    'ipv4',
    'every namespace',
    '1',
    '62',
    '2',
    '1',
    '59',
    '0',
    '+30',
    '2h',
  ]);
  assert.match(showPools([], plain).join(), /no blocks/);
});

test('a pod is shown with its addresses, a block with what is free', () => {
  const pod = {
    namespace: 'default',
    pod: 'web-1',
    container: 'abc',
    network: 'flatroute',
    interface: 'eth0',
    hostInterface: 'fr3a91c0de71f',
    addresses: ['10.60.1.5', 'fd60:1::5'],
    since: '2026-01-01T02:00:00.000Z',
    state: 'live',
  } as const;
  assert.ok(showPods([pod], now, plain)[1]?.startsWith('default/web-1  10.60.1.5  fd60:1::5  fr3a91c0de71f'));
  assert.ok(showBlocks(blockAnswers(snapshot()), plain)[1]?.includes('59'));
  const [block = assert.fail()] = blockAnswers(snapshot());
  const fixed = { ...block, cidr: '10.62.0.7/32', capacity: 1, free: 1, used: 0, fixedAddress: true, announcedTo: [] };
  assert.match(showBlocks([fixed], plain)[1] ?? '', /not in use$/);
  assert.match(showBlocks([{ ...fixed, used: 1, free: 0 }], plain)[1] ?? '', /nobody$/);
});

test('a status lists a few blocks and counts many; fixed addresses are counted', () => {
  const status = statusAnswer(snapshot());
  const [block = assert.fail()] = status.blocks;
  const pods = (...blocks: (typeof status.blocks)[number][]): string | undefined =>
    showStatus({ ...status, blocks }, plain).find((line) => line.startsWith('  pods'));
  assert.match(pods(block, { ...block, fixedAddress: true }) ?? '', /26 2 of 62 used · 2 of 1 fixed addresses used$/);
  assert.match(pods(...Array.from({ length: 7 }, () => block)) ?? '', / · 14 addresses of 7 blocks used/);
});

test('a Service is found by name, and by an address that one of its ranges covers', () => {
  const range: ServiceAnswer = {
    prefix: '198.51.100.0/24',
    range: '198.51.100.0/24',
    use: 'LoadBalancer',
    outcome: 'ProxyNotHealthy',
    why: 'the proxy of this node does not work',
    announcedTo: [],
    since: new Date(now).toISOString(),
  };
  const one = { ...range, prefix: '198.51.100.7/32', service: 'shop/web' };
  for (const [word, found] of [
    ['198.51.100.7', [true, true]],
    ['198.51.100.8', [true, false]],
    ['198.51.100.0/25', [true, false]],
    ['203.0.113.1', [false, false]],
    ['web', [false, true]],
    ['shop/web', [false, true]],
  ] as const)
    assert.deepEqual([concerns(word, range), concerns(word, one)], found, word);
  assert.match(showServices([], '203.0.113.1', now, plain).join(), /^203\.0\.113\.1 is not in a range that this node/);
  assert.match(showServices([], 'shop/db', now, plain).join(), /^no address of Service shop\/db is in a range/);
});
