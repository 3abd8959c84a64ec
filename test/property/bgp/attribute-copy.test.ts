import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { exportRecipe, exportedAttributes } from '#bgp/policy/export.ts';
import { copyAttributes } from '#bgp/wire/attribute-copy.ts';
import { decodeAttributes, encodeAttributes } from '#bgp/wire/attributes.ts';
import type { PathAttributes, WireContext } from '#bgp/wire/messages.ts';
import { ByteWriter } from '#lib/bytes.ts';
import type { Asn, IpAddress } from '#lib/ip.ts';
import { pathAttributes, peerAsn, u32 } from '../../support/path-attributes.ts';

const contextWith = (external: boolean): WireContext => ({
  fourOctetAs: true,
  external,
  families: ['ipv4'],
  maximumMessageBytes: 65_535,
  peerAsn,
});

const way = fc
  .record({
    from: fc.boolean(),
    to: fc.boolean(),
    nextHop: fc.constantFrom('192.0.2.1' as IpAddress, undefined),
    onlyToCustomer: fc.constantFrom(undefined, 65_001 as Asn),
    originatorId: u32,
    clusterId: u32,
  })
  .map(({ originatorId, clusterId, ...one }) => ({
    ...one,
    // Only between internal peers.
    reflection: !one.from && !one.to && clusterId % 2 === 0 ? { originatorId, clusterId } : undefined,
  }));

/** As some speaker might write them: in another order, one of them changed somewhere. */
function mangled(
  bytes: Uint8Array,
  order: readonly number[],
  flip: { at: number; by: number } | undefined,
): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const extended = ((bytes[at] ?? 0) & 0x10) !== 0;
    const length = extended ? ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0) : (bytes[at + 2] ?? 0);
    const next = at + (extended ? 4 : 3) + length;
    parts.push(bytes.slice(at, next));
    at = next;
  }
  const moved = parts.map((part, i) => ({ part, rank: order[i] ?? i })).sort((a, b) => a.rank - b.rank);
  const all = Uint8Array.from(moved.flatMap(({ part }) => [...part]));
  if (flip !== undefined && all.length > 0) all[flip.at % all.length] = (all[flip.at % all.length] ?? 0) ^ flip.by;
  return all;
}

function check(
  bytes: Uint8Array,
  { from, to, nextHop, onlyToCustomer, reflection }: typeof way extends fc.Arbitrary<infer T> ? T : never,
): boolean {
  const verdict = decodeAttributes(bytes, contextWith(from), { hasClassicNlri: true });
  if (verdict.kind !== 'accept' || verdict.discarded.length > 0) return false;
  const target = { external: to, localAsn: 65_001 as Asn, onlyToCustomer };
  const into = new ByteWriter(16);
  if (!copyAttributes(bytes, exportRecipe(target, nextHop, reflection), into)) return false;
  const value = exportedAttributes(verdict.attributes, target, nextHop, undefined, reflection);
  assert.deepEqual(into.take(), encodeAttributes(value, contextWith(to)));
  return true;
}

test('copied attributes are what decoding, changing and encoding would make of them', () => {
  const flips = fc.option(fc.record({ at: fc.nat(400), by: fc.integer({ min: 1, max: 255 }) }), { nil: undefined });
  const orders = fc.oneof(fc.constant([]), fc.array(fc.nat(20), { maxLength: 14 }));
  let copied = 0;
  fc.assert(
    fc.property(pathAttributes, way, orders, flips, (attributes, one, order, flip) => {
      if (check(mangled(encodeAttributes(attributes, contextWith(one.from)), order, flip), one)) copied++;
    }),
    { numRuns: 3000 },
  );
  assert.ok(copied > 100, `${copied} were copied`);
});

test('confederation segments are not copied to another AS', () => {
  // ORIGIN, AS_PATH (64513), NEXT_HOP, LOCAL_PREF.
  const path = [64, 1, 1, 0, 64, 2, 6, 3, 1, 0, 0, 252, 1, 64, 3, 4, 10, 0, 0, 1, 64, 5, 4, 0, 0, 0, 100];
  const toExternal = {
    from: false,
    to: true,
    nextHop: '192.0.2.1' as IpAddress,
    onlyToCustomer: undefined,
    reflection: undefined,
  };
  assert.equal(check(Uint8Array.from(path), toExternal), false);
});

test('the common case is copied: few attributes in order, from anybody to anybody', () => {
  const usual = pathAttributes.map(
    (it): PathAttributes => ({
      ...it,
      asPath: it.asPath.slice(0, 1),
      communities: it.communities.slice(0, 20),
      extendedCommunities: [],
      largeCommunities: it.largeCommunities.slice(0, 5),
      unknown: [],
    }),
  );
  fc.assert(
    fc.property(usual, way, (attributes, one) => {
      assert.ok(check(encodeAttributes(attributes, contextWith(one.from)), one));
    }),
    { numRuns: 500 },
  );
});
