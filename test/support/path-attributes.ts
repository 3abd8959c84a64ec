/** Arbitrary path attributes for properties of the codec and of what is made of them. */
import * as fc from 'fast-check';
import type { AsPathSegment, PathAttributes } from '#bgp/wire/messages.ts';
import { addressBits, addressFromBytes, prefixOf } from '#lib/ip.ts';
import type { Asn, Family, IpAddress, Prefix } from '#lib/ip.ts';

export const record: typeof fc.record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record<T>(model, { noNullPrototype: true });

/** The AS that all paths begin with. */
export const peerAsn = 64513 as Asn;

export const octets = (minLength: number, maxLength = minLength): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength, maxLength }).map((bytes) => Uint8Array.from(bytes));
export const u32 = fc.nat({ max: 0xffffffff });
export const asn = fc.oneof(fc.integer({ min: 1, max: 65535 }), fc.integer({ min: 65536, max: 0xffffffff }));
export const address = (family: Family): fc.Arbitrary<IpAddress> =>
  octets(addressBits(family) / 8).map(addressFromBytes);
export const prefix = (family: Family): fc.Arbitrary<Prefix> =>
  fc.tuple(address(family), fc.integer({ min: 0, max: addressBits(family) })).map(([a, n]) => prefixOf(a, n));
export const hostAddress = octets(4).map((bytes) => addressFromBytes(Uint8Array.of(10, ...bytes.subarray(1))));

export const segment = (longest: number): fc.Arbitrary<AsPathSegment> =>
  record({
    type: fc.constantFrom(1 as const, 2 as const),
    asns: fc.array(asn, { minLength: 1, maxLength: longest }),
  });

export const pathAttributes: fc.Arbitrary<PathAttributes> = record({
  origin: fc.constantFrom(0 as const, 1 as const, 2 as const),
  asPath: fc.array(segment(20), { maxLength: 4 }).map((rest) => [{ type: 2 as const, asns: [peerAsn] }, ...rest]),
  nextHop: hostAddress,
  med: fc.option(u32, { nil: undefined }),
  localPref: u32,
  atomicAggregate: fc.boolean(),
  aggregator: fc.option(record({ asn, address: hostAddress }), { nil: undefined }),
  communities: fc.array(u32, { maxLength: 80 }),
  originatorId: fc.option(u32, { nil: undefined }),
  clusterList: fc.array(u32, { maxLength: 4 }),
  extendedCommunities: fc.array(octets(8), { maxLength: 4 }),
  largeCommunities: fc.array(fc.tuple(u32, u32, u32), { maxLength: 30 }),
  onlyToCustomer: fc.option(u32, { nil: undefined }),
  unknown: fc.uniqueArray(
    fc.tuple(fc.integer({ min: 40, max: 255 }), octets(0, 20)).map(([code, value]) => ({
      code,
      bytes: Uint8Array.of(0xe0, code, value.length, ...value),
    })),
    { maxLength: 3, selector: (u) => u.code },
  ),
});
