import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Serial } from '#cni/serial.ts';
import { Undo } from '#cni/undo.ts';

describe('serial', () => {
  test('one key one after the other, other keys beside it, a failure stops nobody', async () => {
    const serial = new Serial();
    const log: string[] = [];
    let release: () => void = () => undefined;
    const first = serial.run('a', async () => {
      log.push('a1');
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      log.push('a1 end');
      throw new Error('a1 failed');
    });
    const second = serial.run('a', async () => log.push('a2'));
    await serial.run('b', async () => log.push('b'));
    assert.deepEqual(log, ['a1', 'b']);
    assert.ok(serial.busy('a'));
    release();
    await assert.rejects(first, /a1 failed/);
    await second;
    assert.deepEqual(log, ['a1', 'b', 'a1 end', 'a2']);
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(!serial.busy('a') && !serial.busy('b'));
  });
});

describe('undo', () => {
  test('steps are taken back last first, each tried, failures told', () => {
    const undo = new Undo();
    const log: number[] = [];
    undo.push(() => log.push(1));
    undo.push(() => {
      throw new Error('two');
    });
    undo.push(() => log.push(3));
    const failures = undo.run();
    assert.deepEqual(log, [3, 1]);
    assert.deepEqual(failures.map(String), ['Error: two']);
    assert.deepEqual(undo.run(), []);
  });
  test('nothing is taken back after commit', () => {
    const undo = new Undo();
    let undone = false;
    undo.push(() => {
      undone = true;
    });
    undo.commit();
    undo.run();
    assert.equal(undone, false);
  });
});
