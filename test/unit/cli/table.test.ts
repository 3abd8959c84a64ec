import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { age, shortSeconds } from '#cli/output/age.ts';
import { type Column, renderTable } from '#cli/output/table.ts';
import { printable, textWidth, truncate, wrap } from '#cli/output/text.ts';

interface Row {
  readonly name: string;
  readonly count: string;
  readonly detail: string;
}
const columns: readonly Column<Row>[] = [
  { title: 'NAME', value: (r) => r.name, shrinkTo: 6 },
  { title: 'COUNT', value: (r) => r.count, align: 'right' },
  { title: 'DETAIL', value: (r) => r.detail, drop: 1 },
];
const rows: readonly Row[] = [
  { name: 'tor-a', count: '1', detail: 'first' },
  { name: 'a-very-long-name', count: '100', detail: '' },
];
const plain = { width: undefined, colour: false };

test('columns line up, numbers on the right, what is empty is a dash', () => {
  assert.deepEqual(renderTable(columns, rows, plain), [
    'NAME              COUNT  DETAIL',
    'tor-a                 1  first',
    'a-very-long-name    100  –',
  ]);
});

test('where room is scarce the optional column goes first, then the long one is cut', () => {
  assert.deepEqual(renderTable(columns, rows, { width: 16, colour: false }), [
    'NAME       COUNT',
    'tor-a          1',
    'a-very-l…    100',
  ]);
});

test('a column that is narrower than the width it may be cut down to keeps its own width', () => {
  const narrow: readonly Column<Row>[] = [
    { title: 'NAME', value: (r) => r.name, shrinkTo: 12 },
    { title: 'DETAIL', value: (r) => r.detail, shrinkTo: 8 },
  ];
  const row = { name: 'tor-a', count: '1', detail: 'first and second' };
  assert.deepEqual(renderTable(narrow, [row], { width: 20, colour: false }), ['NAME   DETAIL', 'tor-a  first and se…']);
});

test('no line is wider than the terminal, at any width that the columns can shrink to', () => {
  for (let width = 13; width < 60; width++) {
    for (const line of renderTable(columns, rows, { width, colour: false }))
      assert.ok(textWidth(line) <= width, `${width}: ${line}`);
  }
});

test('colour takes no room and is there only when asked for', () => {
  const coloured: readonly Column<Row>[] = [
    { ...columns[0], title: 'NAME', value: (r) => r.name, colour: () => 'green' },
  ];
  const lines = renderTable(coloured, rows, { width: undefined, colour: true });
  assert.ok(lines.some((line) => line.includes('\u001b[32mtor-a\u001b[39m')));
  assert.ok(renderTable(coloured, rows, plain).every((line) => !line.includes('\u001b')));
});

test('notes hang below their row and are wrapped to the width', () => {
  const lines = renderTable(columns, rows.slice(0, 1), { width: 40, colour: false }, () => [
    { text: 'AuthFailed: 17 segments with a wrong MD5 signature came from 192.0.2.2' },
  ]);
  assert.ok(lines[2]?.includes('└─ AuthFailed'));
  assert.ok(lines.length > 3);
  for (const line of lines) assert.ok(textWidth(line) <= 40, line);
});

test('control characters of foreign text never reach the terminal', () => {
  const lines = renderTable(columns, [{ name: 'evil\u001b[2J', count: '1', detail: 'a\nb' }], plain);
  assert.equal(lines.length, 2);
  assert.ok(lines.every((line) => !line.includes('\u001b')));
  assert.equal(printable('a\u0007b'), 'a\\x07b');
});

describe('width of text', () => {
  const cases: readonly (readonly [string, number])[] = [
    ['', 0],
    ['abc', 3],
    ['├─ ✔', 4],
    ['\u001b[31mred\u001b[39m', 3],
    ['日本', 4],
    ['e\u0301', 1],
  ];
  for (const [text, width] of cases) test(JSON.stringify(text), () => assert.equal(textWidth(text), width));
});

test('text is cut to the width with an ellipsis', () => {
  assert.equal(truncate('abcdef', 6), 'abcdef');
  assert.equal(truncate('abcdef', 4), 'abc…');
  assert.equal(truncate('日本語', 4), '日…');
  assert.equal(truncate('abc', 0), '');
});

test('wrapping keeps every word', () => {
  const text = 'one two three four five';
  for (let width = 3; width < 30; width++) assert.equal(wrap(text, width).join(' '), text);
});

describe('ages', () => {
  const cases: readonly (readonly [number, string])[] = [
    [0, '0s'],
    [41.9, '41s'],
    [119, '119s'],
    [120, '2m'],
    [3600, '1h'],
    [8040, '2h14m'],
    [86_400 * 3 + 3600 * 4, '3d4h'],
    [86_400 * 200, '200d'],
    [-5, '0s'],
  ];
  for (const [seconds, expected] of cases) test(`${seconds} s`, () => assert.equal(age(seconds), expected));
});

test('short times have a unit that suits them', () => {
  assert.equal(shortSeconds(0.0001), '100 µs');
  assert.equal(shortSeconds(0.0123), '12.3 ms');
  assert.equal(shortSeconds(2.04), '2.0 s');
});
