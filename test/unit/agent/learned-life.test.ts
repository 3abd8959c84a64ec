// The note of learned routes that an agent leaves for the next one: what counts as lost, and when.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { lastLife, rememberLife } from '#agent/boot-identity.ts';
import { LearnedLife } from '#agent/learned-life.ts';

describe('the note of learned routes', () => {
  let directory: string;
  const logged: string[] = [];
  const newLife = (): LearnedLife => new LearnedLife(directory, (_level, event) => logged.push(event));
  const noted = (): string | undefined => lastLife(directory)?.learned.join();
  beforeEach(() => {
    logged.length = 0;
    directory = mkdtempSync(join(tmpdir(), 'flatroute-life-'));
    rememberLife(directory, { identity: 'boot 1', learned: ['ipv4', 'ipv6'] });
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  test('what the life before noted stands until it was taken over', () => {
    const life = newLife();
    life.learned({ ipv4: 0, ipv6: 0 });
    life.emptying('ipv4');
    assert.equal(noted(), 'ipv4,ipv6');
    assert.deepEqual(life.takeOver({ ipv4: 0, ipv6: 3 }), ['ipv6'], 'routes of ipv4 were lost meanwhile');
    assert.equal(noted(), 'ipv6');
  });

  test('routes that were lost once are not lost again for the next life', () => {
    assert.deepEqual(newLife().takeOver({ ipv4: 0, ipv6: 0 }), []);
    assert.deepEqual(newLife().takeOver({ ipv4: 0, ipv6: 0 }), ['ipv4', 'ipv6']);
  });

  test('killed after the last routes were deleted on purpose, an agent has lost none of them', () => {
    const life = newLife();
    life.takeOver({ ipv4: 1, ipv6: 1 });
    life.emptying('ipv4');
    assert.deepEqual(newLife().takeOver({ ipv4: 0, ipv6: 1 }), ['ipv4', 'ipv6']);
  });

  test('killed before they were deleted, it has lost none either', () => {
    const life = newLife();
    life.takeOver({ ipv4: 1, ipv6: 1 });
    life.emptying('ipv4');
    assert.deepEqual(newLife().takeOver({ ipv4: 1, ipv6: 1 }), ['ipv4', 'ipv6']);
  });

  test('a note that cannot be written is a warning, once', () => {
    const life = newLife();
    life.takeOver({ ipv4: 1, ipv6: 1 });
    rmSync(directory, { recursive: true });
    life.emptying('ipv4');
    life.learned({ ipv4: 0, ipv6: 1 });
    assert.deepEqual(logged, ['agent.life-not-noted']);
  });
});
