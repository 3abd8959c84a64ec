// What the demo prints: lines for a check that passed, one that failed, output of commands, the table; at several widths.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Checks, DemoStopped, Unexpected } from '#cli/demo/checks.ts';
import type { CheckResult } from '#cli/demo/checks.ts';
import { checkLines, outputLines, secondsText, summaryLines } from '#cli/demo/format.ts';
import { drawing } from '#cli/demo/topology.ts';
import { textWidth } from '#cli/output/text.ts';

const plain = (width: number) => ({ width, colour: false });
const passed: CheckResult = {
  title: 'network built',
  passed: true,
  tookMilliseconds: 400,
  atMilliseconds: 1234,
  detail: '5 hosts, 7 links',
};
const failure = new Unexpected({
  expected: '10.60.1.0/26 via node-1',
  seen: 'an empty table',
  command: 'flatroute routes',
});
const failed: CheckResult = { ...passed, title: 'tor-a has learned', passed: false, detail: failure.message, failure };

describe('a check', () => {
  test('that passed is one line with time, title and what was seen', () => {
    assert.deepEqual(checkLines(passed, plain(100)), [' ✔  1.2 s  network built                 5 hosts, 7 links']);
  });

  test('that passed has what was seen below it on a narrow terminal', () => {
    assert.deepEqual(checkLines(passed, plain(60)), [' ✔  1.2 s  network built', '             5 hosts, 7 links']);
  });

  test('that failed says what was expected, what was seen, and the command that shows it', () => {
    assert.deepEqual(checkLines(failed, plain(100)), [
      ' ✘  1.2 s  tor-a has learned',
      '           expected  10.60.1.0/26 via node-1',
      '           seen      an empty table',
      '           look with flatroute routes',
    ]);
  });

  test('that failed by an exception says the message', () => {
    const error = new Error('exit code 1: no such device');
    assert.deepEqual(checkLines({ ...failed, detail: error.message, failure: error }, plain(100)), [
      ' ✘  1.2 s  tor-a has learned',
      '           failed    exit code 1: no such device',
    ]);
  });

  test('cannot move the cursor by what it quotes', () => {
    const evil = new Unexpected({ expected: 'peace', seen: 'a\u001b[2Jb' });
    assert.ok(checkLines({ ...failed, failure: evil }, plain(100)).every((line) => !line.includes('\u001b')));
    assert.ok(outputLines('node-1', 'cat', 'a\u001b[2Jb', plain(100)).every((line) => !line.includes('\u001b')));
  });

  for (const width of [40, 58, 80, 120]) {
    test(`fits into ${width} columns, as do output, table and drawing`, () => {
      const long = {
        ...passed,
        title: 'a title of several words that is long',
        detail: 'many words '.repeat(30).trim(),
      };
      const lines = [
        ...checkLines(long, plain(width)),
        ...checkLines(
          { ...failed, failure: new Unexpected({ expected: 'many words '.repeat(30), seen: 'x' }) },
          plain(width),
        ),
        ...outputLines('node-1', 'ip route', `${'word '.repeat(80)}\nshort`, plain(width)),
        ...summaryLines([passed, failed, long], 5000, plain(width)),
        ...drawing(width),
      ];
      assert.deepEqual(
        lines.filter((line) => textWidth(line) > width),
        [],
      );
    });
  }

  test('is coloured only where colours are wanted', () => {
    assert.ok(checkLines(failed, { width: 100, colour: true }).join('').includes('\u001b[31m'));
    assert.ok(!checkLines(failed, plain(100)).join('').includes('\u001b'));
  });
});

test('the table counts what passed and what failed', () => {
  const lines = summaryLines([passed, failed], 25_300, plain(100));
  assert.equal(lines.at(-1), ' checks 1 passed, 1 failed · 25 s');
  assert.equal(lines[1], '  1  network built        0.40 s  ✔ passed');
  assert.equal(lines[2], '  2  tor-a has learned    0.40 s  ✘ failed');
});

test('output longer than the limit is cut, and the rest is counted', () => {
  assert.deepEqual(outputLines('tor-a', 'birdc show route', 'a\nb\nc\nd\n', plain(80), 2), [
    '    tor-a$ birdc show route',
    '    a',
    '    b',
    '    … 2 more lines',
  ]);
});

for (const [ms, text] of [
  [0, '0.0 s'],
  [940, '0.9 s'],
  [9940, '9.9 s'],
  [9960, '10 s'],
  [61_000, '61 s'],
] as const) {
  test(`${ms} ms are ${text}`, () => assert.equal(secondsText(ms), text));
}

describe('checks', () => {
  const silent = { begin: () => undefined, end: () => undefined };

  test('go on after a failure, and a needed one stops them', async () => {
    const checks = new Checks(silent);
    assert.equal(await checks.check('one', async () => await Promise.resolve('fine')), true);
    assert.equal(await checks.check('two', async () => await Promise.reject(failure)), false);
    await assert.rejects(
      checks.check('three', async () => await Promise.reject(new Error('no')), { needed: true }),
      DemoStopped,
    );
    assert.deepEqual(
      checks.results.map((result) => [result.title, result.passed]),
      [
        ['one', true],
        ['two', false],
        ['three', false],
      ],
    );
    assert.equal(checks.failed.length, 2);
  });
});
