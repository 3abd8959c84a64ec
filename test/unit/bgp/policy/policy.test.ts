import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Family, Prefix } from '#lib/ip.ts';
import { familyOf } from '#lib/ip.ts';
import type { FilterIntent, FilterRule, ImportPolicy, PeerIntent } from '#bgp/engine.ts';
import { compileExport, exportedAttributes, ownPath } from '#bgp/policy/export.ts';
import { prependAll } from '#bgp/policy/rewrite.ts';
import { compileImport, neverImported } from '#bgp/policy/import.ts';
import { compileFilters } from '#bgp/policy/matcher.ts';
import { summarize } from '#bgp/policy/accepted-attributes.ts';
import type { AcceptedAttributes } from '#bgp/policy/accepted-attributes.ts';
import { prefixWords } from '#bgp/policy/words.ts';
import type { PathAttributes } from '#bgp/wire/messages.ts';
import { asn, ip, peerIntent } from '../speaker/network.ts';
import { noAttributes } from '#bgp/wire/messages.ts';

const prefix = (text: string): Prefix => text as Prefix;
const match = (
  operator: 'Equal' | 'NotEqual' | 'In' | 'NotIn',
  cidr: string,
  minLength: number,
  maxLength: number,
): FilterRule['match'] => ({ operator, cidr: prefix(cidr), minLength, maxLength });

function filter(overrides: {
  import?: Partial<Record<Family, FilterRule[]>>;
  export?: Partial<Record<Family, FilterRule[]>>;
  default?: FilterIntent['default'];
}): FilterIntent {
  return {
    name: 'f',
    import: { ipv4: [], ipv6: [], ...overrides.import },
    export: { ipv4: [], ipv6: [], ...overrides.export },
    default: overrides.default,
  };
}

const matchRows: readonly (readonly [string, FilterRule['match'], string, boolean])[] = [
  ['no condition matches everything', undefined, '10.0.0.0/8', true],
  ['Equal: the same', match('Equal', '10.0.0.0/8', 8, 8), '10.0.0.0/8', true],
  ['Equal: not what is inside', match('Equal', '10.0.0.0/8', 8, 8), '10.1.0.0/16', false],
  ['NotEqual: what is inside', match('NotEqual', '10.0.0.0/8', 8, 8), '10.1.0.0/16', true],
  ['NotEqual: not the same', match('NotEqual', '10.0.0.0/8', 8, 8), '10.0.0.0/8', false],
  ['In: equal counts', match('In', '10.0.0.0/8', 8, 32), '10.0.0.0/8', true],
  ['In: inside', match('In', '10.0.0.0/8', 8, 32), '10.1.2.0/24', true],
  ['In: beside', match('In', '10.0.0.0/8', 8, 32), '11.0.0.0/24', false],
  ['In: shorter than the prefix', match('In', '10.0.0.0/8', 8, 32), '0.0.0.0/0', false],
  ['In: too short', match('In', '10.0.0.0/8', 24, 26), '10.1.0.0/16', false],
  ['In: too long', match('In', '10.0.0.0/8', 24, 26), '10.1.1.1/32', false],
  ['In: the limits count', match('In', '10.0.0.0/8', 24, 26), '10.1.1.0/26', true],
  ['NotIn: beside', match('NotIn', '10.0.0.0/8', 8, 32), '11.0.0.0/24', true],
  ['NotIn: inside', match('NotIn', '10.0.0.0/8', 8, 32), '10.1.0.0/16', false],
  ['In over more than one word', match('In', '2001:db8:0:1::/64', 64, 128), '2001:db8:0:1::5/128', true],
  ['In differs in the second word', match('In', '2001:db8:0:1::/64', 64, 128), '2001:db8:0:2::5/128', false],
];

for (const [name, condition, route, expected] of matchRows)
  test(`rule ${name}`, () => {
    const family = familyOf(prefix(route));
    const filters = compileFilters(
      [filter({ import: { [family]: [{ action: 'Accept', match: condition }] } })],
      'import',
      family,
      true,
    );
    const { words, length } = prefixWords(prefix(route));
    assert.equal(filters(...words, length, attributes(), 0) !== undefined, expected);
  });

const everything: FilterRule = { action: 'Accept', match: undefined };
const attributes = (overrides: Partial<PathAttributes> = {}): AcceptedAttributes =>
  summarize({
    ...noAttributes,
    asPath: [{ type: 2, asns: [65002] }],
    nextHop: ip('192.0.2.2'),
    med: 7,
    localPref: 300,
    ...overrides,
  });

const importOf = (peer: Partial<PeerIntent>, own: readonly string[] = []): ReturnType<typeof compileImport> =>
  compileImport(
    peerIntent({ name: 'p', ...peer }),
    { asn: asn(65001), routerId: ip('10.255.0.1') },
    neverImported(own.map(prefix)),
  );

const importRows: readonly (readonly [string, ImportPolicy, readonly FilterIntent[], string])[] = [
  ['10.0.0.0/8', 'None', [], 'refused: importPolicy None'],
  ['10.0.0.0/8', 'All', [], 'accepted: importPolicy All'],
  ['0.0.0.0/0', 'DefaultRoute', [], 'accepted: importPolicy DefaultRoute'],
  ['::/0', 'DefaultRoute', [], 'accepted: importPolicy DefaultRoute'],
  ['10.0.0.0/8', 'DefaultRoute', [], 'refused: importPolicy DefaultRoute'],
  ['0.0.0.0/0', 'All', [], 'accepted: importPolicy All'],
  ['0.1.0.0/16', 'All', [], 'refused: inside range 0.0.0.0/8'],
  ['127.0.0.0/8', 'All', [], 'refused: range 127.0.0.0/8'],
  ['128.0.0.0/2', 'All', [], 'accepted: importPolicy All'],
  ['169.254.0.0/16', 'All', [], 'refused: range 169.254.0.0/16'],
  ['224.0.0.0/4', 'All', [], 'refused: inside range 224.0.0.0/3'],
  ['::1/128', 'All', [], 'refused: inside range ::/8'],
  ['fe80::/64', 'All', [], 'refused: inside range fe80::/10'],
  ['ff02::1/128', 'All', [], 'refused: inside range ff00::/8'],
  ['fd00::/8', 'All', [], 'accepted: importPolicy All'],
  ['100.64.0.0/10', 'All', [], 'accepted: importPolicy All'],
  ['10.60.1.0/26', 'All', [filter({ import: { ipv4: [everything] } })], 'refused: own block 10.60.1.0/26'],
  ['10.60.1.5/32', 'All', [], 'refused: inside own block 10.60.1.0/26'],
  ['10.60.0.0/16', 'All', [], 'accepted: importPolicy All'],
  ['10.0.0.0/8', 'None', [filter({ import: { ipv4: [everything] } })], 'accepted: filter f, rule 1'],
  ['10.0.0.0/8', 'All', [filter({ default: 'Reject' })], 'refused: default of filter f'],
  ['10.0.0.0/8', 'None', [filter({}), filter({ default: 'Accept' })], 'accepted: default of filter f'],
  [
    '10.0.0.0/8',
    'None',
    [filter({ default: 'Reject' }), filter({ import: { ipv4: [everything] } })],
    'refused: default of filter f',
  ],
];

for (const [route, policy, filters, reason] of importRows)
  test(`import of ${route} with ${policy} and ${filters.length} filters: ${reason}`, () => {
    const { words, length } = prefixWords(prefix(route));
    const judgement = importOf({ importPolicy: policy, filters }, ['10.60.1.0/26']).prefix(
      familyOf(prefix(route)),
      ...words,
      length,
      attributes(),
    );
    assert.equal(judgement.reason, reason);
    assert.equal(judgement.accepted, reason.startsWith('accepted'));
  });

const loopRows: readonly (readonly [string, Partial<PeerIntent>, Partial<PathAttributes>, RegExp | undefined])[] = [
  ['a path without us', {}, {}, undefined],
  ['our AS once', {}, { asPath: [{ type: 2, asns: [65002, 65001] }] }, /own AS 65001 stands 1 times/],
  ['our AS once, once allowed', { allowedLocalAsns: 1 }, { asPath: [{ type: 2, asns: [65002, 65001] }] }, undefined],
  ['our AS twice, once allowed', { allowedLocalAsns: 1 }, { asPath: [{ type: 2, asns: [65001, 65001] }] }, /2 times/],
  ['our AS in a set', {}, { asPath: [{ type: 1, asns: [65001] }] }, /own AS/],
  [
    'a set of others',
    {},
    {
      asPath: [
        { type: 2, asns: [65002] },
        { type: 1, asns: [7, 8] },
      ],
    },
    /set of ASes \(RFC 9774\)/,
  ],
  ['a confederation set', {}, { asPath: [{ type: 4, asns: [7] }] }, /set of ASes/],
  ['the AS that this session uses', { localAsn: asn(64999) }, { asPath: [{ type: 2, asns: [64999] }] }, /own AS/],
  ['our router id as ORIGINATOR_ID', {}, { originatorId: 0x0aff0001 }, /ORIGINATOR_ID/],
  ['our router id in CLUSTER_LIST', {}, { clusterList: [1, 0x0aff0001] }, /CLUSTER_LIST/],
];

for (const [name, peer, path, reason] of loopRows)
  test(`loop check: ${name}`, () => {
    const judgement = importOf(peer).attributes(attributes(path));
    if (reason === undefined) assert.equal(judgement, undefined);
    else assert.match(judgement?.reason ?? '', reason);
  });

const plainNode = { reflects: false, clusterId: 0x0aff0001 };
const reject: FilterRule = { action: 'Reject', match: undefined };
const exportRows: readonly (readonly [
  string,
  boolean,
  boolean,
  boolean,
  Partial<PathAttributes>,
  readonly FilterIntent[],
  string,
])[] = [
  // transit, to external, from external
  ['no transit', false, true, true, {}, [], 'not announced: learned routes go to transit peers only'],
  ['transit', true, true, true, {}, [], 'announced: transit'],
  [
    'internal to internal',
    true,
    false,
    false,
    {},
    [],
    'not announced: learned over an internal session (RFC 4271 §9.2)',
  ],
  ['external to internal', true, false, true, {}, [], 'announced: transit'],
  ['internal to external', true, true, false, {}, [], 'announced: transit'],
  ['NO_ADVERTISE', true, false, true, { communities: [0xffffff02] }, [], 'not announced: community NO_ADVERTISE'],
  ['NO_EXPORT to external', true, true, true, { communities: [0xffffff01] }, [], 'not announced: community NO_EXPORT'],
  [
    'NO_EXPORT_SUBCONFED to external',
    true,
    true,
    true,
    { communities: [0xffffff03] },
    [],
    'not announced: community NO_EXPORT_SUBCONFED',
  ],
  ['BLACKHOLE to external', true, true, true, { communities: [0xffff029a] }, [], 'not announced: community BLACKHOLE'],
  ['BLACKHOLE to internal', true, false, true, { communities: [0xffff029a] }, [], 'announced: transit'],
  ['NOPEER', true, true, true, { communities: [0xffffff04] }, [], 'announced: transit'],
  ['NO_EXPORT to internal', true, false, true, { communities: [0xffffff01] }, [], 'announced: transit'],
  ['export filter', true, true, true, {}, [filter({ export: { ipv4: [reject] } })], 'refused: filter f, rule 1'],
  ['a filter written for import only', true, true, true, {}, [filter({ default: 'Reject' })], 'announced: transit'],
  [
    'the default of a filter with export rules',
    true,
    true,
    true,
    {},
    [filter({ export: { ipv6: [everything] }, default: 'Reject' })],
    'refused: default of filter f',
  ],
];

for (const [name, transit, external, fromExternal, path, filters, reason] of exportRows)
  test(`export of a learned route: ${name}`, () => {
    const { words, length } = prefixWords(prefix('10.0.0.0/8'));
    const rules = compileExport(peerIntent({ name: 'p', transit, filters }), external, plainNode);
    assert.equal(
      rules.learned(attributes(path), { external: fromExternal, client: false }, 1, 'ipv4', ...words, length).reason,
      reason,
    );
  });

test('towards another AS: our AS in front, no LOCAL_PREF, no MED, nothing of reflection or non-transitive', () => {
  const path = attributes({
    originatorId: 5,
    clusterList: [6],
    extendedCommunities: [Uint8Array.of(0x40, 1, 0, 0, 0, 0, 0, 0), Uint8Array.of(0, 2, 0, 0, 0, 0, 0, 0)],
  }).value;
  const sent = exportedAttributes(path, { external: true, localAsn: asn(65001) }, ip('192.0.2.1'));
  assert.deepEqual(
    [
      sent.asPath,
      sent.localPref,
      sent.med,
      sent.originatorId,
      sent.clusterList,
      sent.extendedCommunities.length,
      sent.nextHop,
    ],
    [[{ type: 2, asns: [65001, 65002] }], undefined, undefined, undefined, [], 1, '192.0.2.1'],
  );
});

test('within the AS: path unchanged, LOCAL_PREF and MED stay', () => {
  const sent = exportedAttributes(attributes().value, { external: false, localAsn: asn(65001) }, undefined);
  assert.deepEqual([sent.asPath, sent.localPref, sent.med], [[{ type: 2, asns: [65002] }], 300, 7]);
  assert.equal(exportedAttributes(ownPath([]), { external: false, localAsn: asn(65001) }, undefined).localPref, 100);
});

test('a full or foreign first segment gets a new one in front', () => {
  const full = { type: 2 as const, asns: Array.from({ length: 255 }, () => 1) };
  assert.deepEqual(
    prependAll([full], [asn(9)]).map(({ asns }) => asns.length),
    [1, 255],
  );
  assert.deepEqual(prependAll([{ type: 1, asns: [1, 2] }], [asn(9)]), [
    { type: 2, asns: [9] },
    { type: 1, asns: [1, 2] },
  ]);
  assert.deepEqual(prependAll([], [asn(9)]), [{ type: 2, asns: [9] }]);
});

test('confederation segments do not leave the AS', () => {
  const path = attributes({
    asPath: [
      { type: 3, asns: [64600] },
      { type: 2, asns: [65002] },
    ],
  }).value;
  const sent = exportedAttributes(path, { external: true, localAsn: asn(65001) }, undefined);
  assert.deepEqual(sent.asPath, [{ type: 2, asns: [65001, 65002] }]);
  const within = exportedAttributes(path, { external: false, localAsn: asn(65001) }, undefined);
  assert.deepEqual(within.asPath, path.asPath);
});
