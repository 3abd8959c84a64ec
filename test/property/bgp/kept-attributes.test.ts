import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { AcceptedAttributes } from '#bgp/policy/accepted-attributes.ts';
import { KeptAttributes, marksOf, summarize } from '#bgp/policy/accepted-attributes.ts';
import { pathAttributes } from '../../support/path-attributes.ts';

/** NO_EXPORT, NO_ADVERTISE, NO_EXPORT_SUBCONFED, BLACKHOLE, GRACEFUL_SHUTDOWN, LLGR_STALE, NO_LLGR. */
const wellKnown = [0xffffff01, 0xffffff02, 0xffffff03, 0xffff029a, 0xffff0000, 0xffff0006, 0xffff0007];

const fields = (from: AcceptedAttributes, all: AcceptedAttributes): Partial<AcceptedAttributes> =>
  Object.fromEntries(Object.keys(all).map((name) => [name, from[name as keyof AcceptedAttributes]]));

test('a set that is kept as numbers answers everything as it did when it came', () => {
  fc.assert(
    fc.property(pathAttributes, fc.subarray(wellKnown), fc.boolean(), (attributes, communities, own) => {
      const value = { ...attributes, communities };
      const accepted = summarize(value, own);
      const { localPref, asPathLength, neighborAsn } = accepted;
      const kept = new KeptAttributes(
        1,
        { marks: marksOf(accepted), localPref, asPathLength, neighborAsn },
        () => value,
      );
      assert.deepEqual(fields(kept, accepted), fields(accepted, accepted));
    }),
  );
});
