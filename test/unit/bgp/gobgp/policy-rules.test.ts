import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { FilterRule, PathPattern, RouteOperation } from '#bgp/engine.ts';
import { communityText, compileOperations, pathExpression, ruleProblem } from '#bgp/gobgp/policy-rules.ts';

const rule = (more: Partial<FilterRule>): FilterRule => ({ action: 'Accept', match: undefined, ...more });
const routeTarget = [0x0002fde8, 100] as const;
const unknownExtended = [0x43000000, 1] as const;

describe('rules of a BGPFilter in the words of GoBGP', () => {
  test('a pattern of AS numbers matches the paths that it means, as GoBGP writes them, and no others', () => {
    const rows: readonly (readonly [PathPattern, readonly string[], readonly string[]])[] = [
      [[], [''], ['65001']],
      [['*'], ['', '65001', '65001 65002', '65001 {65002,65003}'], []],
      [[65001], ['65001', '{65001}', '{65000,65001}'], ['', '650011', '165001', '65001 65002', '65001 65001']],
      [['?'], ['65001', '{1,2}'], ['', '1 2']],
      [
        [65001, '*'],
        ['65001', '65001 65002', '65001 65002 65003'],
        ['', '65002', '650010', '65002 65001'],
      ],
      [
        ['*', 65001],
        ['65001', '65002 65001', '1 2 65001'],
        ['', '65001 65002', '165001'],
      ],
      [
        ['*', 65001, '*'],
        ['65001', '1 65001', '65001 2', '1 65001 2', '1 {65001,7} 2'],
        ['', '1 2', '1 650012'],
      ],
      [['*', '*'], ['', '1', '1 2'], []],
      [
        [1, '?', '*', 2],
        ['1 9 2', '1 9 8 7 2', '1 2 2'],
        ['1 2', '1 9', '1 9 2 3'],
      ],
      [['*', '?', '*'], ['1', '1 2', '1 2 3'], ['']],
    ];
    for (const [pattern, yes, no] of rows) {
      const expression = new RegExp(pathExpression(pattern));
      for (const path of yes) assert.match(path, expression, `${pattern.join(' ')} matches "${path}"`);
      for (const path of no) assert.doesNotMatch(path, expression, `${pattern.join(' ')} does not match "${path}"`);
    }
  });

  test('communities are written as GoBGP reads them', () => {
    assert.deepEqual(communityText(65001 * 65536 + 7), { kind: 'community', text: '65001:7' });
    assert.deepEqual(communityText(0xffffffff), { kind: 'community', text: '65535:65535' });
    assert.deepEqual(communityText([1, 2, 4294967295]), { kind: 'largeCommunity', text: '1:2:4294967295' });
    assert.deepEqual(communityText(routeTarget), { kind: 'extCommunity', text: 'rt:65000:100' });
    assert.equal(communityText(unknownExtended), undefined);
  });

  test('operations become one action of each kind', () => {
    const operations: readonly RouteOperation[] = [
      { kind: 'setMed', value: 5 },
      { kind: 'prependAsPath', asns: [65001, 65001] },
      { kind: 'addCommunity', community: 1 },
      { kind: 'deleteCommunity', community: [1, 2, 3] },
      { kind: 'prependAsPath', asns: [65001] },
      { kind: 'setLocalPref', value: 200 },
      { kind: 'setMed', value: 6 },
    ];
    assert.deepEqual(compileOperations(operations), {
      ok: true,
      actions: {
        communities: { community: { add: ['0:1'], remove: [] }, largeCommunity: { add: [], remove: ['1:2:3'] } },
        med: 6,
        localPref: 200,
        prepend: { asn: 65001, repeat: 3 },
      },
    });
  });

  test('what GoBGP has no word for is named by the field of the rule', () => {
    const rows: readonly (readonly [string, Partial<FilterRule>, 3 | 4 | undefined, string | undefined])[] = [
      ['nothing', {}, 3, undefined],
      ['an interface', { interface: 'eth*' }, 4, 'interface'],
      ['a MED with version 3', { med: 5 }, 3, 'med'],
      ['a MED with version 4', { med: 5 }, 4, undefined],
      ['a MED before the version is known', { med: 5 }, undefined, undefined],
      ['MED 0', { med: 0 }, 4, 'med'],
      ['a local preference with version 3', { localPref: 5 }, 3, 'localPref'],
      ['a local preference with version 4', { localPref: 5 }, 4, undefined],
      ['local preference 0', { localPref: 0 }, 4, 'localPref'],
      ['a route target', { communities: [routeTarget] }, 3, undefined],
      ['another extended community', { communities: [unknownExtended] }, 4, 'communities'],
      ['all communities away', { operations: [{ kind: 'deleteCommunity', community: '*' }] }, 4, 'operations'],
      [
        'an unknown one away',
        { operations: [{ kind: 'deleteCommunity', community: unknownExtended }] },
        4,
        'operations',
      ],
      ['two AS numbers', { operations: [{ kind: 'prependAsPath', asns: [65001, 65002] }] }, 4, 'operations'],
      [
        'add and delete of one kind',
        {
          operations: [
            { kind: 'addCommunity', community: 1 },
            { kind: 'deleteCommunity', community: 2 },
          ],
        },
        4,
        'operations',
      ],
    ];
    for (const [what, it, version, field] of rows) assert.equal(ruleProblem(rule(it), version)?.field, field, what);
  });
});
