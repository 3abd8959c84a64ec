import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { matches, parseSelector, uses } from '#resources/selector.ts';
import type { Labels } from '#resources/selector.ts';

const labels: Labels = { rack: 'a', role: 'compute-gpu', 'example.com/zone': 'eu-1', empty: '' };

describe('a selector expression', () => {
  const rows: readonly (readonly [string, boolean])[] = [
    ['all()', true],
    ['global()', true],
    ["rack == 'a'", true],
    ['rack == "a"', true],
    ["rack=='b'", false],
    ["absent == 'a'", false],
    ["rack != 'a'", false],
    ["rack != 'b'", true],
    ["absent != 'a'", true],
    ['has(rack)', true],
    ['has(absent)', false],
    ['has( empty )', true],
    ['!has(absent)', true],
    ['!!has(rack)', true],
    ["rack in {'a', 'b'}", true],
    ["rack in {'b'}", false],
    ['rack in {}', false],
    ['rack not in {}', true],
    ["rack not in {'a'}", false],
    ["absent not in {'a'}", true],
    ["absent in {'a'}", false],
    ["role contains 'gpu'", true],
    ["absent contains ''", false],
    ["role starts with 'comp'", true],
    ["role starts with 'gpu'", false],
    ["role ends with 'gpu'", true],
    ["role ends with 'comp'", false],
    ["example.com/zone == 'eu-1'", true],
    ["empty == ''", true],
    ["rack == 'a' && role == 'x'", false],
    ["rack == 'b' || has(role)", true],
    // && binds tighter than ||.
    ['has(rack) || has(absent) && has(absent)', true],
    ['(has(rack) || has(absent)) && has(absent)', false],
    ["!(rack == 'a' && has(absent))", true],
    ["\track\n==\n'a'  ", true],
    ["toString == 'x'", false],
    ['has(constructor)', false],
    ["in == 'x' || not != 'y'", true],
  ];
  for (const [text, expected] of rows) {
    test(`${JSON.stringify(text)} is ${expected}`, () => {
      const parsed = parseSelector(text);
      assert.ok(parsed.ok, JSON.stringify(parsed));
      assert.equal(matches(parsed.value.expression, labels), expected);
    });
  }
});

describe('a wrong selector expression is refused with its place', () => {
  const rows: readonly (readonly [string, number, RegExp])[] = [
    ['', 0, /expected a label, .* found the end/],
    ["rack = 'a'", 5, /a comparison is written ==/],
    ["rack == 'a' & has(x)", 12, /write &&/],
    ["rack == 'a' | has(x)", 12, /write \|\|/],
    ["rack == 'a", 8, /has no end/],
    ['rack == a', 8, /values stand in quotes: 'a'/],
    ['rack', 4, /expected ==, .* after rack, found the end/],
    ["rack in 'a'", 8, /expected \{, found 'a'/],
    ["rack in {'a' 'b'}", 13, /expected \}/],
    ["rack in {'a',}", 13, /in quotes/],
    ['(has(a)', 7, /expected \), found the end/],
    ['has(a))', 6, /expected &&, \|\| or the end/],
    ['has()', 4, /expected a label in has\(\)/],
    ['some()', 0, /some\(\) is not known; use has\(label\), all\(\) or global\(\)/],
    ['all() has(a)', 6, /expected &&, \|\| or the end, found has/],
    ['rack # x', 5, /"#" has no meaning here/],
    ["rack not 'a'", 5, /expected ==/],
    [`${'('.repeat(100)}has(a)${')'.repeat(100)}`, 65, /nested deeper than 64 levels/],
    [`${'!'.repeat(1000)}has(a)`, 65, /nested deeper/],
  ];
  for (const [text, at, pattern] of rows) {
    test(JSON.stringify(text.slice(0, 40)), () => {
      const parsed = parseSelector(text);
      assert.ok(!parsed.ok);
      assert.match(parsed.error.text, pattern);
      assert.equal(parsed.error.at, at);
    });
  }
});

test('uses() finds an operator at any depth', () => {
  const parsed = parseSelector("has(a) && !(b == 'x' || global())");
  assert.ok(parsed.ok);
  assert.equal(uses(parsed.value.expression, 'global'), true);
  assert.equal(uses(parsed.value.expression, 'all'), false);
});
