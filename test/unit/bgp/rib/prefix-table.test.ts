import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Prefix } from '#lib/ip.ts';
import { addressFromBigInt, prefixOf } from '#lib/ip.ts';
import { maskWord } from '#bgp/policy/words.ts';
import { PrefixTable, eachNlri } from '#bgp/rib/prefix-table.ts';
import { nlriOf } from '#bgp/wire/nlri.ts';

for (const family of ['ipv4', 'ipv6'] as const) {
  const nth = (n: number): Prefix =>
    family === 'ipv4'
      ? prefixOf(addressFromBigInt('ipv4', BigInt(n) << 8n), 24)
      : prefixOf(addressFromBigInt('ipv6', (0x20010db8n << 96n) | (BigInt(n) << 64n)), 64);

  test(`${family}: ids stay what they are while the table grows many times over`, () => {
    const table = new PrefixTable(family);
    const ids: number[] = [];
    for (let n = 0; n < 20_000; n++) {
      ids.push(table.internPrefix(nth(n)));
      // In the middle of every move some are in the old slots and some in the new.
      assert.equal(table.findPrefix(nth(n >> 1)), ids[n >> 1]);
    }
    assert.equal(new Set(ids).size, 20_000);
    assert.equal(table.size, 20_000);
    ids.forEach((id, n) => {
      assert.equal(table.findPrefix(nth(n)), id);
      assert.equal(table.internPrefix(nth(n)), id);
    });
    assert.equal(table.prefix(ids[777] as number), nth(777));
  });

  test(`${family}: ids given back are given out again, and others are still found`, () => {
    const table = new PrefixTable(family);
    for (let round = 0; round < 4; round++) {
      for (let n = 0; n < 3000; n++) table.internPrefix(nth(round * 1000 + n));
      for (let n = 0; n < 3000; n += 2) table.release(table.findPrefix(nth(round * 1000 + n)));
      for (let n = 0; n < 3000; n++)
        assert.equal(table.findPrefix(nth(round * 1000 + n)) !== 0, n % 2 === 1, `${round} ${n}`);
      for (let n = 1; n < 3000; n += 2) table.release(table.findPrefix(nth(round * 1000 + n)));
      assert.equal(table.size, 0);
    }
    assert.ok(table.limit <= 3001, `${table.limit} ids for at most 3000 prefixes at a time`);
  });

  test(`${family}: what is given back in the middle of a move is gone from both tables`, () => {
    const table = new PrefixTable(family);
    // The hash moves to larger slots from the 1025th prefix on, a few with each insertion.
    for (let n = 0; n < 1030; n++) table.internPrefix(nth(n));
    for (let n = 0; n < 1030; n += 2) table.release(table.findPrefix(nth(n)));
    for (let n = 0; n < 1030; n++) assert.equal(table.findPrefix(nth(n)) !== 0, n % 2 === 1, `prefix ${n}`);
    for (let n = 2000; n < 2600; n++) table.internPrefix(nth(n));
    for (let n = 0; n < 1030; n++)
      assert.equal(table.findPrefix(nth(n)) !== 0, n % 2 === 1, `prefix ${n} after the move`);
  });

  test(`${family}: NLRI goes out as it came in, host bits cleared`, () => {
    const table = new PrefixTable(family);
    const bytes =
      family === 'ipv4'
        ? [0, 25, 10, 1, 2, 255, 32, 192, 0, 2, 1]
        : [0, 33, 0x20, 1, 0xd, 0xb8, 0xff, 128, ...new Uint8Array(15), 9];
    const ids: number[] = [];
    eachNlri({ family, addPath: false, bytes: Uint8Array.from(bytes) }, (w0, w1, w2, w3, length) =>
      ids.push(table.intern(w0, w1, w2, w3, length)),
    );
    const expected =
      family === 'ipv4' ? ['0.0.0.0/0', '10.1.2.128/25', '192.0.2.1/32'] : ['::/0', '2001:db8:8000::/33', '::9/128'];
    assert.deepEqual(
      ids.map((id) => table.prefix(id)),
      expected,
    );
    const out = new Uint8Array(64);
    let at = 0;
    for (const id of ids) at = table.writeNlri(id, out, at);
    const again: Prefix[] = [];
    eachNlri({ family, addPath: false, bytes: out.subarray(0, at) }, (w0, w1, w2, w3, length) =>
      again.push(table.prefix(table.find(w0, w1, w2, w3, length))),
    );
    assert.deepEqual(again, expected);
  });

  test(`${family}: NLRI with path identifiers are told apart by them`, () => {
    const table = new PrefixTable(family);
    const prefixes = (
      family === 'ipv4' ? ['0.0.0.0/0', '10.0.0.0/8', '10.0.0.0/8'] : ['::/0', '2001:db8::/33', '2001:db8::/33']
    ) as Prefix[];
    const ids = [0, 1, 0xfffffffe];
    const routes: [Prefix, number][] = [];
    eachNlri({ family, addPath: true, bytes: nlriOf(prefixes, ids) }, (w0, w1, w2, w3, length, pathId) =>
      routes.push([table.prefix(table.intern(w0, w1, w2, w3, length)), pathId >>> 0]),
    );
    assert.deepEqual(
      routes,
      prefixes.map((prefix, i) => [prefix, ids[i]]),
    );
  });
}

test('masking keeps the leading bits of a word', () => {
  for (const [word, bits, expected] of [
    [-1, 0, 0],
    [-1, -5, 0],
    [-1, 1, -0x80000000],
    [0x12345678, 16, 0x12340000],
    [-1, 32, -1],
    [-1, 90, -1],
  ] as const)
    assert.equal(maskWord(word, bits), expected, `${word} ${bits}`);
});
