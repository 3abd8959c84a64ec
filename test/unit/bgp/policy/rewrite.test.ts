import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FilterIntent, FilterRule, PathPattern, PeerIntent, RouteOperation } from '#bgp/engine.ts';
import { summarize } from '#bgp/policy/accepted-attributes.ts';
import { compileExport, exportedAttributes, ownPath } from '#bgp/policy/export.ts';
import { compileImport, neverImported } from '#bgp/policy/import.ts';
import { matchesPattern } from '#bgp/policy/path-match.ts';
import { GRACEFUL_SHUTDOWN, compileRewrite } from '#bgp/policy/rewrite.ts';
import { prefixWords } from '#bgp/policy/words.ts';
import type { PathAttributes } from '#bgp/wire/messages.ts';
import { asn, ip, peerIntent, prefix } from '../speaker/network.ts';
import { noAttributes } from '#bgp/wire/messages.ts';

const patternRows: readonly (readonly [string, readonly (number | number[])[], PathPattern, boolean])[] = [
  ['nothing matches an empty path', [], [], true],
  ['nothing matches no longer path', [1], [], false],
  ['* matches an empty path', [], ['*'], true],
  ['? needs one AS', [], ['?'], false],
  ['the path itself', [1, 2], [1, 2], true],
  ['a path with more behind', [1, 2, 3], [1, 2], false],
  ['the beginning', [1, 2, 3], [1, 2, '*'], true],
  ['the beginning alone', [1, 2], [1, 2, '*'], true],
  ['the origin', [1, 2, 3], ['*', 3], true],
  ['another origin', [1, 2, 3], ['*', 2], false],
  ['somewhere', [1, 2, 3], ['*', 2, '*'], true],
  ['nowhere', [1, 2, 3], ['*', 4, '*'], false],
  ['exactly two', [1, 2], ['?', '?'], true],
  ['not three', [1, 2, 3], ['?', '?'], false],
  ['a star that must give back', [1, 2, 1, 2, 3], ['*', 1, 2, 3], true],
  ['two stars', [9, 1, 8, 2, 7], ['*', 1, '*', 2, '*'], true],
  ['two stars in the other order', [9, 2, 8, 1, 7], ['*', 1, '*', 2, '*'], false],
  ['an AS of a set', [1, [5, 6]], [1, 6], true],
  ['a set is one item', [1, [5, 6]], [1, 5, 6], false],
];
for (const [name, path, pattern, expected] of patternRows)
  test(`AS path pattern: ${name}`, () => assert.equal(matchesPattern(path, pattern), expected));

test('a pattern full of stars costs path times pattern', () => {
  const path = Array.from({ length: 4000 }, () => 1);
  const pattern: PathPattern = Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? ('*' as const) : 1));
  const start = performance.now();
  assert.equal(matchesPattern(path, [...pattern, 2]), false);
  assert.ok(performance.now() - start < 30_000, 'and no power of it, which would never end');
});

/** `rt:65002:NUMBER`. */
const target = (number: number): Uint8Array => Uint8Array.of(0, 2, 0xfd, 0xea, 0, 0, 0, number);

const value = (overrides: Partial<PathAttributes> = {}): PathAttributes => ({
  ...noAttributes,
  asPath: [{ type: 2, asns: [65002, 65009] }],
  nextHop: ip('192.0.2.2'),
  med: 7,
  communities: [1, 2],
  extendedCommunities: [target(7)],
  largeCommunities: [[1, 2, 3]],
  ...overrides,
});

const operationRows: readonly (readonly [string, readonly RouteOperation[], Partial<PathAttributes>])[] = [
  ['add', [{ kind: 'addCommunity', community: 3 }], { communities: [1, 2, 3] }],
  ['add what is there', [{ kind: 'addCommunity', community: 2 }], {}],
  [
    'add a large one',
    [{ kind: 'addCommunity', community: [1, 2, 4] }],
    {
      largeCommunities: [
        [1, 2, 3],
        [1, 2, 4],
      ],
    },
  ],
  ['add a large one that is there', [{ kind: 'addCommunity', community: [1, 2, 3] }], {}],
  ['delete', [{ kind: 'deleteCommunity', community: 1 }], { communities: [2] }],
  [
    'add an extended one',
    [{ kind: 'addCommunity', community: [0x0002fdea, 8] }],
    { extendedCommunities: [target(7), target(8)] },
  ],
  ['add an extended one that is there', [{ kind: 'addCommunity', community: [0x0002fdea, 7] }], {}],
  ['delete an extended one', [{ kind: 'deleteCommunity', community: [0x0002fdea, 7] }], { extendedCommunities: [] }],
  ['delete an extended one that is not there', [{ kind: 'deleteCommunity', community: [0x4002fdea, 7] }], {}],
  ['delete a large one', [{ kind: 'deleteCommunity', community: [1, 2, 3] }], { largeCommunities: [] }],
  [
    'replace all',
    [
      { kind: 'deleteCommunity', community: '*' },
      { kind: 'addCommunity', community: 9 },
    ],
    { communities: [9], largeCommunities: [], extendedCommunities: [] },
  ],
  [
    'prepend keeps the order',
    [{ kind: 'prependAsPath', asns: [7, 8] }],
    { asPath: [{ type: 2, asns: [7, 8, 65002, 65009] }] },
  ],
  ['set MED', [{ kind: 'setMed', value: 0 }], { med: 0 }],
  ['set local preference', [{ kind: 'setLocalPref', value: 5 }], { localPref: 5 }],
];
for (const [name, operations, changed] of operationRows)
  test(`operation: ${name}`, () => {
    const before = value();
    assert.deepEqual(compileRewrite(operations)?.apply(before), { ...before, ...changed });
    assert.deepEqual(before, value(), 'the received attributes are untouched');
  });

const filter = (direction: 'import' | 'export', ...rules: readonly Partial<FilterRule>[]): FilterIntent => {
  const none = { ipv4: [], ipv6: [] };
  const lists = { ipv4: rules.map((rule) => ({ action: 'Accept' as const, match: undefined, ...rule })), ipv6: [] };
  return {
    name: 'f',
    import: direction === 'import' ? lists : none,
    export: direction === 'export' ? lists : none,
    default: undefined,
  };
};
const { words, length } = prefixWords(prefix('10.0.0.0/8'));
const plainNode = { reflects: false, clusterId: 0 };
const external = { external: true, client: false };
const importOf = (peer: Partial<PeerIntent>): ReturnType<typeof compileImport> =>
  compileImport(peerIntent({ name: 'p', ...peer }), { asn: asn(65001), routerId: ip('10.255.0.1') }, neverImported([]));

const conditionRows: readonly (readonly [string, Partial<FilterRule>, Partial<PathAttributes>, boolean])[] = [
  ['eBGP on an external session', { peerType: 'eBGP' }, {}, true],
  ['iBGP on an external session', { peerType: 'iBGP' }, {}, false],
  ['RemotePeers', { source: 'RemotePeers' }, {}, true],
  ['one community', { communities: [1] }, {}, true],
  ['all communities are needed', { communities: [1, 3] }, {}, false],
  ['standard and large', { communities: [2, [1, 2, 3]] }, {}, true],
  ['another large one', { communities: [[1, 2, 4]] }, {}, false],
  ['AS path', { asPaths: [[65002, '*']] }, {}, true],
  [
    'both AS paths are needed',
    {
      asPaths: [
        [65002, '*'],
        ['*', 1],
      ],
    },
    {},
    false,
  ],
  ['local preference by default', { localPref: 100 }, {}, true],
  ['local preference', { localPref: 100 }, { localPref: 5 }, false],
];
for (const [name, rule, path, expected] of conditionRows)
  test(`condition on import: ${name}`, () => {
    const rules = importOf({ importPolicy: 'None', filters: [filter('import', rule)] });
    const judgement = rules.prefix('ipv4', ...words, length, summarize(value(path)));
    assert.equal(judgement.reason, expected ? 'accepted: filter f, rule 1' : 'refused: importPolicy None');
  });

test('a rule that cannot match on this kind of session still counts in the number of the next', () => {
  const filters = [filter('import', { peerType: 'iBGP' }, { action: 'Reject' })];
  const judgement = importOf({ filters }).prefix('ipv4', ...words, length, summarize(value()));
  assert.equal(judgement.reason, 'refused: filter f, rule 2');
});

test('on export RemotePeers leaves out what the node announces itself', () => {
  const filters = [filter('export', { action: 'Reject', source: 'RemotePeers' })];
  const rules = compileExport(peerIntent({ name: 'p', transit: true, filters }), true, plainNode);
  assert.equal(
    rules.local(summarize(ownPath([]), true), 'ipv4', ...words, length).reason,
    'announced: originated here',
  );
  assert.equal(
    rules.learned(summarize(value()), external, 1, 'ipv4', ...words, length).reason,
    'refused: filter f, rule 1',
  );
});

const shutdownRows: readonly (readonly [string, Partial<PeerIntent>, readonly RouteOperation[], number | undefined])[] =
  [
    ['from another AS the lowest local preference', {}, [], 0],
    ['within the AS nothing', { peerAsn: asn(65001) }, [], undefined],
    ['over what a rule sets', {}, [{ kind: 'setLocalPref', value: 500 }], 0],
    [
      'not when a rule deletes the community',
      {},
      [
        { kind: 'deleteCommunity', community: GRACEFUL_SHUTDOWN },
        { kind: 'setLocalPref', value: 500 },
      ],
      500,
    ],
  ];
for (const [name, peer, operations, expected] of shutdownRows)
  test(`GRACEFUL_SHUTDOWN: ${name}`, () => {
    const rules = importOf({ ...peer, filters: operations.length > 0 ? [filter('import', { operations })] : [] });
    const path = value({ communities: [GRACEFUL_SHUTDOWN] });
    const judgement = rules.prefix('ipv4', ...words, length, summarize(path));
    const rewrite = rules.rewrite(judgement, summarize(path));
    assert.equal((rewrite?.apply(path) ?? path).localPref, expected);
  });

test('on export the local AS stands before what a rule prepends, and a MED of ours reaches another AS', () => {
  const rewrite = compileRewrite([
    { kind: 'prependAsPath', asns: [65001, 65001] },
    { kind: 'setMed', value: 50 },
    { kind: 'setLocalPref', value: 7 },
  ]);
  const to = { external: true, localAsn: asn(65001) };
  const sent = exportedAttributes(ownPath([]), to, ip('192.0.2.1'), rewrite);
  assert.deepEqual(sent.asPath, [{ type: 2, asns: [65001, 65001, 65001] }]);
  assert.deepEqual([sent.med, sent.localPref], [50, undefined]);
  const within = exportedAttributes(value(), { external: false, localAsn: asn(65001) }, undefined, rewrite);
  assert.deepEqual([within.med, within.localPref], [50, 7]);
});

test('a NO_EXPORT that a rule adds on import keeps the route in the AS', () => {
  const rewrite = compileRewrite([{ kind: 'addCommunity', community: 0xffffff01 }]);
  assert.ok(rewrite !== undefined);
  const rules = compileExport(peerIntent({ name: 'p', transit: true }), true, plainNode);
  const reason = rules.learned(summarize(rewrite.apply(value())), external, 1, 'ipv4', ...words, length).reason;
  assert.equal(reason, 'not announced: community NO_EXPORT');
});

/** Whether an export rule with this condition matches: a learned path by eth7, and an own route. */
const exportConditionRows: readonly (readonly [string, Partial<FilterRule>, boolean, boolean])[] = [
  ['MED', { med: 7 }, true, false],
  ['another MED', { med: 8 }, false, false],
  ['MED 0 of a route without one', { med: 0 }, false, true],
  ['an interface', { interface: 'eth7' }, true, false],
  ['another interface', { interface: 'eth' }, false, false],
  ['a pattern', { interface: 'e*7' }, true, false],
  ['a pattern for all', { interface: '*' }, true, false],
  ['a pattern with a point', { interface: 'eth.' }, false, false],
  ['what peers announced', { source: 'RemotePeers' }, true, false],
  ['the local preference of both', { localPref: 100 }, true, true],
  ['an AS path that has to be there', { asPaths: [['?', '*']] }, true, false],
  ['an empty AS path', { asPaths: [[]] }, false, true],
  ['a community', { communities: [1, [1, 2, 3], [0x0002fdea, 7]] }, true, false],
  ['a community that is not there', { communities: [1, [0x0002fdea, 6]] }, false, false],
];
for (const [name, condition, learned, own] of exportConditionRows)
  test(`condition on export: ${name}`, () => {
    const filters = [filter('export', { ...condition, action: 'Reject' })];
    const interfaceOf = (hop: number): string => `eth${hop}`;
    const rules = compileExport(peerIntent({ name: 'p', transit: true, filters }), true, plainNode, false, interfaceOf);
    const judgement = rules.learned(summarize(value()), external, 7, 'ipv4', ...words, length);
    assert.equal(judgement.reason.startsWith('refused'), learned, judgement.reason);
    const ours = rules.local(summarize(ownPath([]), true), 'ipv4', ...words, length);
    assert.equal(ours.reason.startsWith('refused'), own, ours.reason);
  });
