// docs/conditions.md and the reasons of the code are the same list, and every reason is really given by something.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { reasons } from '#intent/reasons.ts';

const page = readFileSync('docs/conditions.md', 'utf8');
const rows = [...page.matchAll(/^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$/gm)];
const known = Object.keys(reasons).sort();

test('docs/conditions.md explains every reason once, and no other', () => {
  const explained = rows.map((row) => row[1] ?? '');
  assert.deepEqual(explained.sort(), known);
});

test('every reason of docs/conditions.md has words on what to do', () => {
  for (const row of rows) assert.match(row[4] ?? '', /\w{4,}.*\.\s*$/, row[1] ?? '');
});

test('every reason is given somewhere in src, and every given reason is known', () => {
  const source = globSync(['src/intent/*.ts', 'src/ipam/services/*.ts', 'src/controller/*.ts'])
    .filter((file) => !/\/(reasons|severity)\.ts$/.test(file))
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n');
  const given = new Set([...source.matchAll(/'([A-Z]\w+)'/g)].map((match) => match[1] ?? ''));
  assert.deepEqual(
    known.filter((reason) => !given.has(reason)),
    [],
  );
});
