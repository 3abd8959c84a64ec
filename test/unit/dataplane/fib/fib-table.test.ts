import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Prefix, prefixParts } from '#lib/ip.ts';
import { EntryQueue } from '#dataplane/fib/entry-queue.ts';
import { FibTable } from '#dataplane/fib/fib-table.ts';

const key = (text: string): [number, Uint8Array, number, number] => {
  const { bytes, length } = prefixParts(text as Prefix);
  return [bytes.length, bytes, 0, length];
};

describe('FibTable', () => {
  test('the same address at another length or in the other family is another entry', () => {
    const table = new FibTable();
    const texts = ['0.0.0.0/0', '::/0', '10.0.0.0/8', '10.0.0.0/9', '2001:db8::/32', '2001:db8::/33'];
    const entries = texts.map((text) => table.insert(...key(text)));
    assert.equal(new Set(entries).size, texts.length);
    assert.deepEqual(
      entries.map((entry) => table.prefix(entry)),
      texts,
    );
    assert.deepEqual(
      texts.map((text) => table.insert(...key(text))),
      entries,
      'inserting again finds',
    );
    assert.equal(table.find(...key('10.0.0.0/10')), -1);
    assert.equal(table.find(4, new Uint8Array(0), -1, 0), entries[0], 'a position of -1 is the all-zero address');
    assert.equal(table.find(16, new Uint8Array(0), -1, 0), entries[1]);
  });

  test('a removed entry is gone, its number is used again, and its columns are clean', () => {
    const table = new FibTable();
    const entry = table.insert(...key('10.0.0.0/8'));
    table.desired[entry] = 5;
    table.observed[entry] = 6;
    table.flags[entry] = 255;
    table.remove(entry);
    table.remove(entry);
    assert.equal(table.find(...key('10.0.0.0/8')), -1);
    assert.equal(table.size, 0);
    assert.equal(table.exists(entry), false);
    assert.equal(table.insert(...key('11.0.0.0/8')), entry);
    assert.deepEqual([table.desired[entry], table.observed[entry], table.flags[entry]], [0, 0, 0]);
  });

  test('it agrees with a Map over any sequence of inserts and removals, growth included', () => {
    const prefix = fc.tuple(fc.boolean(), fc.nat({ max: 400 }), fc.constantFrom(20, 24, 28)).map(([v6, n, length]) => {
      const text = v6 ? `2001:db8:${(n + 1).toString(16)}::/${length + 20}` : `${n & 255}.${n >> 4}.0.0/${length}`;
      return text;
    });
    fc.assert(
      fc.property(fc.array(fc.tuple(prefix, fc.boolean(), fc.nat({ max: 99 })), { maxLength: 600 }), (steps) => {
        const table = new FibTable(4);
        const model = new Map<string, number>();
        for (const [text, insert, value] of steps) {
          if (insert) {
            // Growing makes new columns, so the entry comes first.
            const entry = table.insert(...key(text));
            table.desired[entry] = value;
            model.set(text, value);
          } else {
            const entry = table.find(...key(text));
            assert.equal(entry >= 0, model.has(text));
            if (entry >= 0) table.remove(entry);
            model.delete(text);
          }
        }
        assert.equal(table.size, model.size);
        const seen = new Map<string, number>();
        for (let entry = 0; entry < table.end; entry++)
          if (table.exists(entry)) seen.set(table.prefix(entry), table.desired[entry] ?? -1);
        assert.deepEqual(seen, model);
      }),
      { numRuns: 100 },
    );
  });
});

describe('EntryQueue', () => {
  test('first in, first out, over growth and wrap-around, with positions that only rise', () => {
    const queue = new EntryQueue();
    let pushed = 0;
    let popped = 0;
    for (let round = 0; round < 50; round++) {
      for (let i = 0; i < 100; i++) queue.push(pushed++);
      for (let i = 0; i < 60; i++) assert.equal(queue.pop(), popped++);
    }
    assert.deepEqual([queue.pushed, queue.popped, queue.length], [5000, 3000, 2000]);
    while (queue.length > 0) assert.equal(queue.pop(), popped++);
  });
});
