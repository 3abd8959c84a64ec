// No bench is left lying: every file under test/bench is reached from the list that `npm run bench` prints.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

const files = globSync('test/bench/**/*.ts');

/** Files that `file` imports or starts: both are string literals here. */
const reachedFrom = (file: string): string[] =>
  [...readFileSync(file, 'utf8').matchAll(/'([\w./-]+\.ts)'/g)]
    .map((match) => join(dirname(file), match[1] ?? ''))
    .filter((other) => files.includes(other));

test('every file of test/bench belongs to a bench that npm run bench lists', () => {
  assert.ok(files.length > 4);
  const reached = new Set(['test/bench/main.ts']);
  for (const file of reached) for (const next of reachedFrom(file)) reached.add(next);
  assert.deepEqual(
    files.filter((file) => !reached.has(file)),
    [],
  );
});
