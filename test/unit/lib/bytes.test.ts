import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ByteReader, ByteWriter } from '#lib/bytes.ts';

describe('ByteReader', () => {
  test('answers undefined on short input and stays where it is', () => {
    const reader = new ByteReader(Uint8Array.of(1, 2, 3));
    assert.equal(reader.u32(), undefined);
    assert.equal(reader.take(4), undefined);
    assert.equal(reader.take(-1), undefined);
    assert.equal(reader.u16(), 0x0102);
    assert.equal(reader.u16(), undefined);
    assert.equal(reader.u8(), 3);
    assert.equal(reader.u8(), undefined);
    assert.equal(reader.remaining, 0);
  });

  test('ends at the given end, even when there is more', () => {
    const reader = new ByteReader(Uint8Array.of(1, 2, 3, 4), 1, 3);
    assert.deepEqual(reader.take(2), Uint8Array.of(2, 3));
    assert.equal(reader.u8(), undefined);
  });

  test('reads numbers without sign', () => {
    assert.equal(new ByteReader(Uint8Array.of(255, 255, 255, 255)).u32(), 4294967295);
  });
});

describe('ByteWriter', () => {
  test('grows from nothing and keeps what was written', () => {
    const writer = new ByteWriter(0);
    const expected: number[] = [];
    for (let i = 0; i < 1000; i++) {
      writer.u8(i);
      writer.u16(i);
      writer.u32(4294967295 - i);
      writer.bytes(Uint8Array.of(i, i + 1));
      const low = (i & 255) as number;
      expected.push(low, (i >> 8) & 255, low, 255, 255, (0xffff - i) >> 8, (0xffff - i) & 255, low, (i + 1) & 255);
    }
    assert.deepEqual([...writer.take()], expected);
  });

  test('patches what is written already', () => {
    const writer = new ByteWriter();
    writer.u32(0);
    writer.patchU16(1, 0xabcd);
    writer.patchU8(3, 7);
    assert.deepEqual([...writer.view()], [0, 0xab, 0xcd, 7]);
  });

  test('what was taken is not written to again', () => {
    const writer = new ByteWriter(8);
    writer.u8(1);
    const first = writer.take();
    writer.u8(2);
    assert.deepEqual([...first], [1]);
    assert.deepEqual([...writer.take()], [2]);
  });

  test('copies long runs as well as short ones', () => {
    const long = Uint8Array.from({ length: 100 }, (_unused, i) => i);
    const writer = new ByteWriter(0);
    writer.bytes(long);
    writer.bytes(long.subarray(0, 3));
    assert.deepEqual([...writer.take()], [...long, 0, 1, 2]);
  });
});
