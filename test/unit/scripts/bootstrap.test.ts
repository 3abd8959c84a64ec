// What the bootstrap says before it installs anything.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';

const run = (words: readonly string[], environment: Readonly<Record<string, string>> = {}) =>
  spawnSync(process.execPath, ['scripts/bootstrap.mjs', ...words], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], ...environment },
  });

test('without a command it names them and ends with 2', () => {
  const { status, stderr } = run([]);
  assert.equal(status, 2);
  assert.match(stderr, /usage: .*demo \| test/);
});

describe('an option that npm kept for itself is not lost in silence', () => {
  const rows: readonly (readonly [string, string[], string, RegExp])[] = [
    ['npm run demo --keep', ['demo'], 'npm_config_keep', /npm run demo -- --keep/],
    ['npm run demo --router bird', ['demo', 'bird'], 'npm_config_router', /npm run demo -- --router/],
    [
      'npm run flatroute routes --announced',
      ['flatroute', 'routes'],
      'npm_config_announced',
      /npm run flatroute -- routes --announced/,
    ],
  ];
  for (const [name, words, variable, expected] of rows) {
    test(name, () => {
      const { status, stderr } = run(words, { npm_lifecycle_event: words[0] ?? '', [variable]: 'true' });
      assert.equal(status, 2);
      assert.match(stderr, expected);
    });
  }
});
