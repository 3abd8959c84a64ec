import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Candidate, DecisionRules, DecisionStep, LostBy } from '#bgp/rib/decision.ts';
import { decide, lostBy, missingMed } from '#bgp/rib/decision.ts';

const candidate = (path: number, overrides: Partial<Candidate> = {}): Candidate => ({
  longLivedStale: false,
  localPref: 100,
  asPathLength: 2,
  origin: 0,
  med: 0,
  neighborAsn: 65002,
  external: true,
  igpMetric: 0,
  routerId: 10,
  clusterListLength: 0,
  peerAddressKey: 'a',
  pathId: 0,
  asPathKey: '65002 65003',
  path,
  ...overrides,
});

const all = { maximumPaths: 8, relax: true };

/** The first of the two loses by exactly this step, though every later step speaks for it. */
const steps: readonly (readonly [DecisionStep, Partial<Candidate>, Partial<Candidate>])[] = [
  ['localPref', { localPref: 100, asPathLength: 1 }, { localPref: 200, asPathLength: 9 }],
  ['asPathLength', { asPathLength: 3, origin: 0 }, { asPathLength: 2, origin: 2 }],
  ['origin', { origin: 2, med: 0 }, { origin: 0, med: 9 }],
  ['med', { med: 20, external: true }, { med: 10, external: false }],
  ['external', { external: false, igpMetric: 0 }, { external: true, igpMetric: 9 }],
  ['igpMetric', { igpMetric: 5, routerId: 1 }, { igpMetric: 4, routerId: 2 }],
  ['routerId', { routerId: 2, clusterListLength: 0 }, { routerId: 1, clusterListLength: 3 }],
  ['clusterListLength', { clusterListLength: 2, peerAddressKey: 'a' }, { clusterListLength: 1, peerAddressKey: 'b' }],
  ['peerAddress', { peerAddressKey: 'b', pathId: 1 }, { peerAddressKey: 'a', pathId: 2 }],
  ['pathId', { pathId: 2 }, { pathId: 1 }],
];

for (const [step, loser, winner] of steps)
  test(`${step} decides before everything behind it`, () => {
    for (const order of [
      [candidate(1, loser), candidate(2, winner)],
      [candidate(2, winner), candidate(1, loser)],
    ]) {
      const decision = decide(order, all);
      assert.deepEqual([decision?.best.path, decision?.decidedBy], [2, step]);
    }
  });

test('nothing to choose from gives nothing', () => {
  assert.equal(decide([], all), undefined);
  assert.equal(decide([candidate(1)], all)?.decidedBy, 'onlyPath');
});

test('MED is compared within one neighbour AS only, in whatever order the paths come', () => {
  const a = candidate(1, { neighborAsn: 65002, med: 10, routerId: 3 });
  const b = candidate(2, { neighborAsn: 65002, med: 5, routerId: 2 });
  const c = candidate(3, { neighborAsn: 65003, med: 50, routerId: 1 });
  for (const order of [
    [a, b, c],
    [b, c, a],
    [c, a, b],
    [c, b, a],
  ]) {
    const decision = decide(order, all);
    assert.equal(decision?.best.path, 3);
    assert.deepEqual(
      decision?.multipath.map(({ path }) => path),
      [3, 2],
    );
  }
});

test('MED is compared between neighbour ASes too where that is asked for', () => {
  const paths = [
    candidate(1, { neighborAsn: 65002, med: 50, routerId: 1 }),
    candidate(2, { neighborAsn: 65003, med: 5, routerId: 2 }),
  ];
  assert.equal(decide(paths, all)?.best.path, 1);
  const decision = decide(paths, { ...all, alwaysCompareMed: true });
  assert.deepEqual([decision?.best.path, decision?.decidedBy, decision?.multipath.length], [2, 'med', 1]);
});

test('a path without MED is the best or the worst', () => {
  assert.deepEqual([missingMed(all), missingMed({ ...all, missingMedAsWorst: true })], [0, 0xffffffff]);
});

/** RFC 5004 §3: `current` is 1 in each row, and 2 has the lower router id. */
const olderRows: readonly (readonly [
  string,
  Partial<DecisionRules>,
  Partial<Candidate>,
  Partial<Candidate>,
  number,
])[] = [
  ['not asked for', {}, {}, {}, 2],
  ['of two external paths the older one stays', { preferOlder: true }, {}, {}, 1],
  ['internal paths go by their router ids', { preferOlder: true }, { external: false }, { external: false }, 2],
  ['two sessions with one router go by their addresses', { preferOlder: true }, { routerId: 5 }, { routerId: 5 }, 2],
  ['a better path replaces it', { preferOlder: true }, {}, { localPref: 200 }, 2],
];
for (const [name, rules, older, newer, expected] of olderRows)
  test(`older paths: ${name}`, () => {
    const paths = [
      candidate(1, { routerId: 9, peerAddressKey: 'b', ...older }),
      candidate(2, { routerId: 5, peerAddressKey: 'a', ...newer }),
    ];
    const decision = decide(paths, { ...all, ...rules }, 1);
    assert.equal(decision?.best.path, expected);
    assert.equal(decision?.decidedBy === 'older', expected === 1);
    if (newer.localPref === undefined) assert.equal(decision?.multipath.length, 2, 'both are used all the same');
  });

test('each path that is not used is told the step that put it out', () => {
  const paths = [
    candidate(1),
    candidate(2, { routerId: 11 }),
    candidate(3, { routerId: 12 }),
    candidate(4, { localPref: 50 }),
    candidate(5, { asPathLength: 3 }),
    candidate(6, { igpMetric: 4 }),
    candidate(7, { routerId: 13, asPathKey: 'x' }),
  ];
  const told = (rules: DecisionRules): readonly (readonly [number, LostBy])[] => {
    const decision = decide(paths, rules);
    assert.ok(decision !== undefined);
    return [...lostBy(paths, rules, decision)].map(([{ path }, by]) => [path, by] as const).sort(([a], [b]) => a - b);
  };
  const steps = [
    [4, 'localPref'],
    [5, 'asPathLength'],
    [6, 'igpMetric'],
  ] as const;
  assert.deepEqual(told(all), steps);
  assert.deepEqual(told({ maximumPaths: 2, relax: false }), [[3, 'maximumPaths'], ...steps, [7, 'otherAsPath']]);
});

const multipathRows: readonly (readonly [
  string,
  readonly Candidate[],
  { maximumPaths: number; relax: boolean },
  number[],
])[] = [
  ['equal up to the IGP metric', [candidate(1), candidate(2, { routerId: 11 })], all, [1, 2]],
  ['another neighbour AS with relax', [candidate(1), candidate(2, { routerId: 11, asPathKey: 'x' })], all, [1, 2]],
  [
    'another neighbour AS without relax',
    [candidate(1), candidate(2, { routerId: 11, asPathKey: 'x' })],
    { maximumPaths: 8, relax: false },
    [1],
  ],
  ['not an internal path beside an external one', [candidate(1), candidate(2, { external: false })], all, [1]],
  ['not a farther next hop', [candidate(1), candidate(2, { igpMetric: 1 })], all, [1]],
  [
    'at most maximumPaths, by router id',
    [candidate(1, { routerId: 30 }), candidate(2, { routerId: 20 }), candidate(3, { routerId: 10 })],
    { maximumPaths: 2, relax: true },
    [3, 2],
  ],
];

for (const [name, candidates, settings, expected] of multipathRows)
  test(`multipath: ${name}`, () => {
    assert.deepEqual(
      decide(candidates, settings)?.multipath.map(({ path }) => path),
      expected,
    );
  });
