/**
 * The path attributes as rows of a table: code, name, flags, which lengths are right, what malformed means (RFC 7606 §7
 * and the plain RFC 4271 §6.3 answer), decode, encode. `attributes.ts` drives it. Codes without a row are unknown
 * attributes; MP_REACH_NLRI (14) and MP_UNREACH_NLRI (15) belong to `update.ts`.
 */
import { addressBytes, addressFromBytes } from '#lib/ip.ts';
import { readU16, readU32 } from '#lib/bytes.ts';
import type { ByteWriter } from '#lib/bytes.ts';
import { ATTRIBUTE, FLAG } from './attribute-row.ts';
import type { AttributeRow } from './attribute-row.ts';
import { asPathBytes, decodeAsPath, encodeAsPath, isConfederation } from './as-path.ts';
import { UPDATE_ERROR } from './codes.ts';
import type { Origin, PathAttributes, WireContext } from './messages.ts';
import { nextHopProblem } from './next-hop.ts';
import { twoOctetAs } from './open.ts';

const WELL_KNOWN = FLAG.transitive;
const OPTIONAL_TRANSITIVE = FLAG.optional | FLAG.transitive;
const OPTIONAL_NON_TRANSITIVE = FLAG.optional;

const fromAnyone = (): undefined => undefined;
const fromInternalPeers = (context: WireContext): string | undefined =>
  context.external ? 'came from an external peer' : undefined;
// RFC 6793 §4.1: between two ends with four-octet AS numbers it has no place.
const fromTwoOctetPeers = (context: WireContext): string | undefined =>
  context.fourOctetAs ? 'came from a peer with four-octet AS numbers' : undefined;

const exactly =
  (right: number) =>
  (length: number): string | undefined =>
    length === right ? undefined : `length ${length}, not ${right}`;
const multipleOf =
  (unit: number) =>
  (length: number): string | undefined =>
    length > 0 && length % unit === 0 ? undefined : `length ${length}, not a multiple of ${unit} above 0`;

const asnBytes = (context: WireContext): 2 | 4 => (context.fourOctetAs ? 4 : 2);

/** Flags, code and length; two octets of length where one does not suffice. */
function header(flags: number, code: number, length: number, into: ByteWriter): void {
  into.u8(length > 255 ? flags | FLAG.extendedLength : flags);
  into.u8(code);
  if (length > 255) into.u16(length);
  else into.u8(length);
}

function u32Attribute(flags: number, code: number, value: number | undefined, into: ByteWriter): void {
  if (value === undefined) return;
  header(flags, code, 4, into);
  into.u32(value);
}

function u32List(flags: number, code: number, values: readonly number[], into: ByteWriter): void {
  if (values.length === 0) return;
  header(flags, code, 4 * values.length, into);
  for (const value of values) into.u32(value);
}

const readU32List = (bytes: Uint8Array, at: number, end: number): number[] => {
  const values: number[] = [];
  for (let next = at; next < end; next += 4) values.push(readU32(bytes, next));
  return values;
};

const aggregatorOf = (asn: number, bytes: Uint8Array, at: number): NonNullable<PathAttributes['aggregator']> => ({
  asn,
  address: addressFromBytes(bytes.subarray(at, at + 4)),
});

const needsAs4 = (asn: number): boolean => asn > 65535;

export const attributeRows: readonly AttributeRow[] = [
  {
    code: ATTRIBUTE.origin,
    name: 'ORIGIN',
    flags: WELL_KNOWN,
    unwanted: fromAnyone,
    lengthProblem: exactly(1),
    malformed: 'treatAsWithdraw',
    source: 'RFC 7606 §7.1',
    subcode: UPDATE_ERROR.invalidOrigin,
    decode: (bytes, at, _end, _context, draft) => {
      const value = bytes[at] as number;
      if (value > 2) return `value ${value} is not known`;
      draft.origin = value as Origin;
      return undefined;
    },
    encode: (attributes, _context, into) => {
      header(WELL_KNOWN, ATTRIBUTE.origin, 1, into);
      into.u8(attributes.origin);
    },
  },
  {
    code: ATTRIBUTE.asPath,
    name: 'AS_PATH',
    flags: WELL_KNOWN,
    unwanted: fromAnyone,
    lengthProblem: fromAnyone,
    malformed: 'treatAsWithdraw',
    source: 'RFC 7606 §7.2',
    subcode: UPDATE_ERROR.malformedAsPath,
    decode: (bytes, at, end, context, draft) => {
      const path = decodeAsPath(bytes, at, end, asnBytes(context));
      if (typeof path === 'string') return path;
      // RFC 5065 §5: confederation segments do not leave the confederation.
      if (context.external && path.some(isConfederation)) return 'confederation segments from an external peer';
      draft.asPath = path;
      return undefined;
    },
    encode: (attributes, context, into) => {
      const size = asnBytes(context);
      header(WELL_KNOWN, ATTRIBUTE.asPath, asPathBytes(attributes.asPath, size), into);
      encodeAsPath(attributes.asPath, size, into);
    },
  },
  {
    code: ATTRIBUTE.nextHop,
    name: 'NEXT_HOP',
    flags: WELL_KNOWN,
    unwanted: fromAnyone,
    lengthProblem: exactly(4),
    malformed: 'treatAsWithdraw',
    source: 'RFC 7606 §7.3',
    subcode: UPDATE_ERROR.invalidNextHop,
    decode: (bytes, at, end, _context, draft) => {
      const value = bytes.subarray(at, end);
      draft.nextHop = addressFromBytes(value);
      draft.nextHopProblem = nextHopProblem(value);
      return undefined;
    },
    encode: (attributes, _context, into) => {
      // An IPv6 next hop stands in MP_REACH_NLRI (RFC 8950 §3), never here.
      if (attributes.nextHop === undefined || attributes.nextHop.includes(':')) return;
      header(WELL_KNOWN, ATTRIBUTE.nextHop, 4, into);
      into.bytes(addressBytes(attributes.nextHop));
    },
  },
  {
    code: ATTRIBUTE.med,
    name: 'MULTI_EXIT_DISC',
    flags: OPTIONAL_NON_TRANSITIVE,
    unwanted: fromAnyone,
    lengthProblem: exactly(4),
    malformed: 'treatAsWithdraw',
    source: 'RFC 7606 §7.4',
    subcode: UPDATE_ERROR.optionalAttribute,
    decode: (bytes, at, _end, _context, draft) => {
      draft.med = readU32(bytes, at);
      return undefined;
    },
    encode: (attributes, _context, into) => u32Attribute(OPTIONAL_NON_TRANSITIVE, ATTRIBUTE.med, attributes.med, into),
  },
  {
    code: ATTRIBUTE.localPref,
    name: 'LOCAL_PREF',
    flags: WELL_KNOWN,
    unwanted: fromInternalPeers,
    lengthProblem: exactly(4),
    malformed: 'treatAsWithdraw',
    source: 'RFC 7606 §7.5',
    subcode: UPDATE_ERROR.attributeLength,
    decode: (bytes, at, _end, _context, draft) => {
      draft.localPref = readU32(bytes, at);
      return undefined;
    },
    encode: (attributes, context, into) => {
      // RFC 4271 §5.1.5: must not go to external peers.
      if (!context.external) u32Attribute(WELL_KNOWN, ATTRIBUTE.localPref, attributes.localPref, into);
    },
  },
  {
    code: ATTRIBUTE.atomicAggregate,
    name: 'ATOMIC_AGGREGATE',
    flags: WELL_KNOWN,
    unwanted: fromAnyone,
    lengthProblem: exactly(0),
    malformed: 'discard',
    source: 'RFC 7606 §7.6',
    subcode: UPDATE_ERROR.attributeLength,
    decode: (_bytes, _at, _end, _context, draft) => {
      draft.atomicAggregate = true;
      return undefined;
    },
    encode: (attributes, _context, into) => {
      if (attributes.atomicAggregate) header(WELL_KNOWN, ATTRIBUTE.atomicAggregate, 0, into);
    },
  },
  {
    code: ATTRIBUTE.aggregator,
    name: 'AGGREGATOR',
    flags: OPTIONAL_TRANSITIVE,
    unwanted: fromAnyone,
    lengthProblem: (length, context) => exactly(4 + asnBytes(context))(length),
    malformed: 'discard',
    source: 'RFC 7606 §7.7',
    subcode: UPDATE_ERROR.optionalAttribute,
    decode: (bytes, at, end, context, draft) => {
      const asn = context.fourOctetAs ? readU32(bytes, at) : readU16(bytes, at);
      if (asn === 0) return 'AS 0';
      draft.aggregator = aggregatorOf(asn, bytes, end - 4);
      return undefined;
    },
    encode: ({ aggregator }, context, into) => {
      if (aggregator === undefined) return;
      header(OPTIONAL_TRANSITIVE, ATTRIBUTE.aggregator, 4 + asnBytes(context), into);
      if (context.fourOctetAs) into.u32(aggregator.asn);
      else into.u16(twoOctetAs(aggregator.asn));
      into.bytes(addressBytes(aggregator.address));
    },
  },
  {
    code: ATTRIBUTE.communities,
    name: 'COMMUNITIES',
    flags: OPTIONAL_TRANSITIVE,
    unwanted: fromAnyone,
    lengthProblem: multipleOf(4),
    malformed: 'treatAsWithdraw',
    source: 'RFC 7606 §7.8',
    subcode: UPDATE_ERROR.optionalAttribute,
    decode: (bytes, at, end, _context, draft) => {
      draft.communities = readU32List(bytes, at, end);
      return undefined;
    },
    encode: (attributes, _context, into) =>
      u32List(OPTIONAL_TRANSITIVE, ATTRIBUTE.communities, attributes.communities, into),
  },
  {
    code: ATTRIBUTE.originatorId,
    name: 'ORIGINATOR_ID',
    flags: OPTIONAL_NON_TRANSITIVE,
    unwanted: fromInternalPeers,
    lengthProblem: exactly(4),
    malformed: 'treatAsWithdraw',
    source: 'RFC 7606 §7.9',
    subcode: UPDATE_ERROR.optionalAttribute,
    decode: (bytes, at, _end, _context, draft) => {
      draft.originatorId = readU32(bytes, at);
      return undefined;
    },
    encode: (attributes, context, into) => {
      if (!context.external)
        u32Attribute(OPTIONAL_NON_TRANSITIVE, ATTRIBUTE.originatorId, attributes.originatorId, into);
    },
  },
  {
    code: ATTRIBUTE.clusterList,
    name: 'CLUSTER_LIST',
    flags: OPTIONAL_NON_TRANSITIVE,
    unwanted: fromInternalPeers,
    lengthProblem: multipleOf(4),
    malformed: 'treatAsWithdraw',
    source: 'RFC 7606 §7.10',
    subcode: UPDATE_ERROR.optionalAttribute,
    decode: (bytes, at, end, _context, draft) => {
      draft.clusterList = readU32List(bytes, at, end);
      return undefined;
    },
    encode: (attributes, context, into) => {
      if (!context.external) u32List(OPTIONAL_NON_TRANSITIVE, ATTRIBUTE.clusterList, attributes.clusterList, into);
    },
  },
  {
    code: ATTRIBUTE.extendedCommunities,
    name: 'EXTENDED COMMUNITIES',
    flags: OPTIONAL_TRANSITIVE,
    unwanted: fromAnyone,
    lengthProblem: multipleOf(8),
    malformed: 'treatAsWithdraw',
    source: 'RFC 7606 §7.14',
    subcode: UPDATE_ERROR.optionalAttribute,
    decode: (bytes, at, end, _context, draft) => {
      for (let next = at; next < end; next += 8) draft.extendedCommunities.push(bytes.slice(next, next + 8));
      return undefined;
    },
    encode: (attributes, _context, into) => {
      const { extendedCommunities } = attributes;
      if (extendedCommunities.length === 0) return;
      header(OPTIONAL_TRANSITIVE, ATTRIBUTE.extendedCommunities, 8 * extendedCommunities.length, into);
      for (const community of extendedCommunities) into.bytes(community);
    },
  },
  {
    code: ATTRIBUTE.as4Path,
    name: 'AS4_PATH',
    flags: OPTIONAL_TRANSITIVE,
    unwanted: fromTwoOctetPeers,
    // RFC 6793 §6: at least one AS number in one segment.
    lengthProblem: (length) => (length >= 6 && length % 2 === 0 ? undefined : `length ${length}`),
    malformed: 'discard',
    source: 'RFC 6793 §6',
    subcode: UPDATE_ERROR.optionalAttribute,
    decode: (bytes, at, end, _context, draft) => {
      const path = decodeAsPath(bytes, at, end, 4);
      if (typeof path === 'string') return path;
      // RFC 6793 §6: confederation segments are dropped, the rest is used.
      draft.as4Path = path.filter((segment) => !isConfederation(segment));
      return undefined;
    },
    encode: ({ asPath }, context, into) => {
      if (context.fourOctetAs || !asPath.some((segment) => segment.asns.some(needsAs4))) return;
      // RFC 6793 §4.2.2: without the confederation segments.
      const path = asPath.filter((segment) => !isConfederation(segment));
      if (path.length === 0) return;
      header(OPTIONAL_TRANSITIVE, ATTRIBUTE.as4Path, asPathBytes(path, 4), into);
      encodeAsPath(path, 4, into);
    },
  },
  {
    code: ATTRIBUTE.as4Aggregator,
    name: 'AS4_AGGREGATOR',
    flags: OPTIONAL_TRANSITIVE,
    unwanted: fromTwoOctetPeers,
    lengthProblem: exactly(8),
    malformed: 'discard',
    source: 'RFC 6793 §6',
    subcode: UPDATE_ERROR.optionalAttribute,
    decode: (bytes, at, _end, _context, draft) => {
      const asn = readU32(bytes, at);
      if (asn === 0) return 'AS 0';
      draft.as4Aggregator = aggregatorOf(asn, bytes, at + 4);
      return undefined;
    },
    encode: ({ aggregator }, context, into) => {
      if (context.fourOctetAs || aggregator === undefined || !needsAs4(aggregator.asn)) return;
      header(OPTIONAL_TRANSITIVE, ATTRIBUTE.as4Aggregator, 8, into);
      into.u32(aggregator.asn);
      into.bytes(addressBytes(aggregator.address));
    },
  },
  {
    code: ATTRIBUTE.largeCommunities,
    name: 'LARGE_COMMUNITY',
    flags: OPTIONAL_TRANSITIVE,
    unwanted: fromAnyone,
    lengthProblem: multipleOf(12),
    malformed: 'treatAsWithdraw',
    source: 'RFC 8092 §6',
    subcode: UPDATE_ERROR.optionalAttribute,
    decode: (bytes, at, end, _context, draft) => {
      for (let next = at; next < end; next += 12)
        draft.largeCommunities.push([readU32(bytes, next), readU32(bytes, next + 4), readU32(bytes, next + 8)]);
      return undefined;
    },
    encode: ({ largeCommunities }, _context, into) => {
      if (largeCommunities.length === 0) return;
      header(OPTIONAL_TRANSITIVE, ATTRIBUTE.largeCommunities, 12 * largeCommunities.length, into);
      for (const [administrator, first, second] of largeCommunities) {
        into.u32(administrator);
        into.u32(first);
        into.u32(second);
      }
    },
  },
  {
    code: ATTRIBUTE.onlyToCustomer,
    name: 'ONLY_TO_CUSTOMER',
    flags: OPTIONAL_TRANSITIVE,
    unwanted: fromAnyone,
    lengthProblem: exactly(4),
    malformed: 'treatAsWithdraw',
    source: 'RFC 9234 §5',
    subcode: UPDATE_ERROR.optionalAttribute,
    decode: (bytes, at, _end, _context, draft) => {
      draft.onlyToCustomer = readU32(bytes, at);
      return undefined;
    },
    encode: (attributes, _context, into) =>
      u32Attribute(OPTIONAL_TRANSITIVE, ATTRIBUTE.onlyToCustomer, attributes.onlyToCustomer, into),
  },
];
