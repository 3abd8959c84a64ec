import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { OctetStore } from '#bgp/rib/octet-store.ts';

/** Few and short, so that equal ones come often and holes are used again. */
const string = fc.oneof(
  fc.uint8Array({ maxLength: 3, max: 2 }),
  fc.integer({ min: 0, max: 400 }).map((length) => new Uint8Array(length).fill(length)),
);
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.integer({ min: 0, max: 1 }), octets: string }) },
  { weight: 3, arbitrary: fc.record({ release: fc.nat() }) },
);

interface Known {
  readonly id: number;
  readonly kind: number;
  readonly octets: Uint8Array;
  references: number;
}

test('equal octets of a kind are one number as long as somebody refers to them, and read back as they came', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const store = new OctetStore();
      const known = new Map<string, Known>();
      for (const one of steps) {
        if ('release' in one) {
          const [key, victim] = [...known][one.release % Math.max(known.size, 1)] ?? [];
          if (key === undefined || victim === undefined) continue;
          victim.references--;
          assert.equal(store.release(victim.id), victim.references === 0);
          store.settle(victim.id);
          if (victim.references === 0) known.delete(key);
        } else {
          const key = `${one.kind} ${one.octets.join(',')}`;
          const id = store.intern(one.kind, one.octets);
          const before = known.get(key);
          if (before === undefined) known.set(key, { id, ...one, references: 1 });
          else {
            assert.equal(id, before.id);
            before.references++;
          }
          store.retain(id);
        }
        assert.equal(store.size, known.size);
        for (const { id, kind, octets } of known.values()) {
          assert.equal(store.kind(id), kind);
          assert.deepEqual(store.octets(id), octets);
        }
        assert.equal(new Set([...known.values()].map(({ id }) => id)).size, known.size);
      }
    }),
    { numRuns: 200 },
  );
});

test('a string to which nobody refers is gone when it is settled', () => {
  const store = new OctetStore();
  const first = store.intern(1, Uint8Array.of(1));
  const second = store.intern(1, Uint8Array.of(2));
  store.settle(first);
  assert.deepEqual([store.has(first), store.has(second), store.size], [false, true, 1]);
  assert.deepEqual(store.octets(second), Uint8Array.of(2));
});

test('many strings of many lengths stay apart', () => {
  const store = new OctetStore();
  const octetsOf = (i: number): Uint8Array => new Uint8Array(4 + ((i * 37) % 4000)).fill(i & 255, 4).fill(i >> 8, 0, 4);
  const ids = Array.from({ length: 2000 }, (_, i) => store.intern(i % 3, octetsOf(i)));
  for (const [i, id] of ids.entries()) assert.deepEqual(store.octets(id), octetsOf(i));
  assert.equal(store.size, 2000);
});
