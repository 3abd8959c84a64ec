// Decoders of netlink on any bytes: they never throw, and the packed reader of routes agrees with the one of values.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeAddress } from '#netlink/wire/address.ts';
import { decodeLink } from '#netlink/wire/link.ts';
import { decodeNeighbour } from '#netlink/wire/neighbour.ts';
import { decodeNexthop } from '#netlink/wire/nexthop.ts';
import { decodeDone, decodeError, eachMessage, type MessageHeader, WireReader } from '#netlink/wire/reader.ts';
import { decodePackedRoute, decodeRoute, emptyPackedRoute } from '#netlink/wire/route.ts';
import { decodeSourceRule } from '#netlink/wire/rule.ts';

/** Attributes that look right often enough to reach the insides of the decoders. */
const attribute = fc
  .tuple(fc.nat({ max: 40 }), fc.boolean(), fc.uint8Array({ maxLength: 24 }), fc.integer({ min: -2, max: 6 }))
  .map(([type, nested, value, lie]) => {
    const length = 4 + value.length;
    const bytes = new Uint8Array((length + 3) & ~3);
    new DataView(bytes.buffer).setUint16(0, Math.max(length + (lie > 3 ? lie - 3 : lie < 0 ? lie : 0), 0), true);
    new DataView(bytes.buffer).setUint16(2, nested ? type | 0x8000 : type, true);
    bytes.set(value, 4);
    return bytes;
  });
const payload = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc
    .tuple(
      fc.constantFrom(0, 2, 10),
      fc.uint8Array({ minLength: 7, maxLength: 19 }),
      fc.array(attribute, { maxLength: 8 }),
    )
    .map(([family, head, attributes]) => Uint8Array.from([family, ...head, ...attributes.flatMap((one) => [...one])])),
);
const header = (bytes: Uint8Array, flags: number): MessageHeader => ({
  type: 24,
  flags,
  sequence: 1,
  port: 1,
  payload: 0,
  end: bytes.length,
});

test('no decoder throws on any payload', () => {
  fc.assert(
    fc.property(payload, fc.nat({ max: 0xffff }), (bytes, flags) => {
      const reader = new WireReader(bytes);
      for (const decode of [
        decodeLink,
        decodeAddress,
        decodeNeighbour,
        decodeNexthop,
        decodeRoute,
        decodeSourceRule,
        decodeError,
        decodeDone,
      ])
        decode(reader, header(bytes, flags));
      decodePackedRoute(reader, header(bytes, flags), emptyPackedRoute());
    }),
    { numRuns: 3000 },
  );
});

test('splitting any datagram ends, and never reads outside of it', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat({ max: 400 }), (bytes, length) => {
      eachMessage(new WireReader(bytes), length, (message) => {
        assert.ok(message.payload <= message.end && message.end <= Math.min(length, bytes.length));
      });
    }),
    { numRuns: 2000 },
  );
});

test('the packed reader of routes agrees with the reader of values', () => {
  fc.assert(
    fc.property(payload, (bytes) => {
      const reader = new WireReader(bytes);
      const slow = decodeRoute(reader, header(bytes, 0));
      if (slow === undefined) return;
      const fast = emptyPackedRoute();
      assert.ok(decodePackedRoute(reader, header(bytes, 0), fast));
      assert.deepEqual(
        [fast.table, fast.protocol, fast.type, fast.tos, fast.metric, fast.nexthopId, fast.length],
        [
          slow.table,
          slow.protocol,
          slow.type,
          slow.tos,
          slow.metric,
          slow.nexthopId ?? 0,
          Number(slow.prefix.split('/')[1]),
        ],
      );
    }),
    { numRuns: 3000 },
  );
});
