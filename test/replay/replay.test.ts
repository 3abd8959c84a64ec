/**
 * Lives of sessions with real daemons (`capture.ts` made them) played again: the machine does today what it did then. A difference is
 * either a fault, or a change that is meant; then the records are made again.
 */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { eventText } from '#cli/show/replay.ts';
import { replayer } from '#bgp/session/replay.ts';
import type { Replayed } from '#bgp/session/replay.ts';

const play = (text: string): Replayed[] => {
  const player = replayer();
  return text.split('\n').flatMap((line) => player(line) ?? []);
};

const records = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.jsonl'));
const recordOf = (name: string): string => readFileSync(join(import.meta.dirname, name), 'utf8');

describe('recorded sessions', () => {
  for (const name of records) {
    test(`${name}: every step is the one that was recorded`, () => {
      const played = play(recordOf(name));
      const steps = played.filter((one) => one.kind === 'step');
      assert.ok(steps.length > 30, `${steps.length} steps`);
      assert.ok(steps.some(({ after }) => after.kind === 'Established'));
      const texts = steps.map(({ event, before }) => eventText(event, before));
      assert.ok(
        texts.some((text) => text.includes('announces 10.2.0.0/24 via 172.16.1.2, path 65002')),
        texts.join('\n'),
      );
      assert.deepEqual(
        played.filter((one) => one.kind === 'broken' || (one.kind === 'step' && one.differs !== undefined)),
        [],
      );
    });
  }

  test('a changed event, a cut line and a missing beginning are seen', () => {
    const lines = recordOf(records[0] ?? '').split('\n');
    const open = lines.findIndex((line) => line.includes('"openReceived"'));
    const changed = lines.with(open, (lines[open] ?? '').replace(/"holdTimeSeconds":\d+/, '"holdTimeSeconds":1'));
    assert.ok(play(changed.join('\n')).some((one) => one.kind === 'step' && one.differs !== undefined));
    const cut = lines.with(open, (lines[open] ?? '').slice(0, 40));
    const [broken, ...rest] = play(cut.join('\n')).filter((one) => one.kind === 'broken');
    assert.match(broken?.kind === 'broken' ? broken.problem : '', /cut short/);
    assert.ok(rest.every((one) => one.kind === 'broken' && /beginning/.test(one.problem)));
    assert.ok(play(lines.slice(1).join('\n'))[0]?.kind === 'broken');
  });
});
