/**
 * Capabilities of an OPEN (RFC 5492) as rows of a table: code, name, decode, encode. In: the value octets of one
 * capability. Out: a `Capability`, or words about what is malformed. Codes without a row are kept as they came.
 *
 *    0                   1
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5
 *   +-------------------------------+
 *   |     code      |    length     |  then `length` octets of value
 *   +-------------------------------+
 */
import type { ByteWriter } from '#lib/bytes.ts';
import { readU16, readU32 } from '#lib/bytes.ts';
import type { Result } from '#lib/result.ts';
import { fail, ok } from '#lib/result.ts';
import { ROLE, familyOfAfi } from './codes.ts';
import type { Capability } from './messages.ts';

type Kind = Exclude<Capability['kind'], 'unknown'>;
type Of<K extends Kind> = Extract<Capability, { kind: K }>;

interface Row<K extends Kind> {
  readonly code: number;
  readonly name: string;
  /** Words: what is malformed; `undefined`: to be ignored as if it were not understood. */
  decode(value: Uint8Array): Of<K> | string | undefined;
  encode(capability: Of<K>, into: ByteWriter): void;
  /** What is in it, for people; empty when the name says it all. */
  format(capability: Of<K>): string;
}

const empty = <K extends 'routeRefresh' | 'enhancedRouteRefresh' | 'extendedMessage'>(
  code: number,
  name: string,
  capability: Of<K>,
): Row<K> => ({
  code,
  name,
  decode: (value) => (value.length === 0 ? capability : `length ${value.length}, not 0`),
  encode: () => {},
  format: () => '',
});

/** A role of the registry by its name. */
export const roleName = (value: number): string =>
  Object.entries(ROLE).find(([, number]) => number === value)?.[0] ?? `role ${value}`;

const familyText = (afi: number, safi: number): string => familyOfAfi(afi, safi) ?? `${afi}/${safi}`;

const rows: { readonly [K in Kind]: Row<K> } = {
  // RFC 4760 §8: AFI, reserved octet, SAFI.
  multiprotocol: {
    code: 1,
    name: 'multiprotocol',
    decode: (value) =>
      value.length === 4
        ? { kind: 'multiprotocol', afi: readU16(value, 0), safi: value[3] as number }
        : `length ${value.length}, not 4`,
    encode: (capability, into) => {
      into.u16(capability.afi);
      into.u8(0);
      into.u8(capability.safi);
    },
    format: (capability) => familyText(capability.afi, capability.safi),
  },
  // RFC 2918 §2.
  routeRefresh: empty(2, 'route-refresh', { kind: 'routeRefresh' }),
  // RFC 8950 §4: AFI, SAFI in two octets, AFI of the next hop.
  extendedNextHop: {
    code: 5,
    name: 'extended-next-hop',
    decode: (value) => {
      if (value.length === 0 || value.length % 6 !== 0) return `length ${value.length}, not a multiple of 6`;
      const tuples: { afi: number; safi: number; nextHopAfi: number }[] = [];
      for (let at = 0; at < value.length; at += 6)
        tuples.push({ afi: readU16(value, at), safi: readU16(value, at + 2), nextHopAfi: readU16(value, at + 4) });
      return { kind: 'extendedNextHop', tuples };
    },
    encode: (capability, into) => {
      for (const tuple of capability.tuples) {
        into.u16(tuple.afi);
        into.u16(tuple.safi);
        into.u16(tuple.nextHopAfi);
      }
    },
    format: (capability) =>
      capability.tuples.map((t) => `${familyText(t.afi, t.safi)} via ${familyText(t.nextHopAfi, 1)}`).join(', '),
  },
  // RFC 8654 §3.
  extendedMessage: empty(6, 'extended-message', { kind: 'extendedMessage' }),
  // RFC 9234 §4.1.
  role: {
    code: 9,
    name: 'role',
    decode: (value) =>
      value.length === 1 ? { kind: 'role', value: value[0] as number } : `length ${value.length}, not 1`,
    encode: (capability, into) => into.u8(capability.value),
    format: (capability) => roleName(capability.value),
  },
  // RFC 4724 §3: flags (4 bits) and restart time (12 bits), then AFI, SAFI, flags of each family. N: RFC 8538 §2.
  gracefulRestart: {
    code: 64,
    name: 'graceful-restart',
    decode: (value) => {
      if (value.length % 4 !== 2) return `length ${value.length}, not 2 and a multiple of 4`;
      const head = readU16(value, 0);
      const families: { afi: number; safi: number; forwarding: boolean }[] = [];
      for (let at = 2; at < value.length; at += 4)
        families.push({
          afi: readU16(value, at),
          safi: value[at + 2] as number,
          forwarding: ((value[at + 3] as number) & 0x80) !== 0,
        });
      return {
        kind: 'gracefulRestart',
        restarted: (head & 0x8000) !== 0,
        notification: (head & 0x4000) !== 0,
        restartTimeSeconds: head & 0x0fff,
        families,
      };
    },
    encode: (capability, into) => {
      const time = Math.min(Math.max(Math.trunc(capability.restartTimeSeconds), 0), 0x0fff);
      into.u16((capability.restarted ? 0x8000 : 0) | (capability.notification ? 0x4000 : 0) | time);
      for (const family of capability.families) {
        into.u16(family.afi);
        into.u8(family.safi);
        into.u8(family.forwarding ? 0x80 : 0);
      }
    },
    format: (capability) => {
      const marks = [
        `${capability.restartTimeSeconds}s`,
        ...(capability.restarted ? ['restarted'] : []),
        ...(capability.notification ? ['notification'] : []),
        ...capability.families.map((f) => `${familyText(f.afi, f.safi)}${f.forwarding ? ' forwarding' : ''}`),
      ];
      return marks.join(', ');
    },
  },
  // RFC 6793 §3.
  fourOctetAs: {
    code: 65,
    name: 'four-octet-as',
    decode: (value) =>
      value.length === 4 ? { kind: 'fourOctetAs', asn: readU32(value, 0) } : `length ${value.length}, not 4`,
    encode: (capability, into) => into.u32(capability.asn),
    format: (capability) => String(capability.asn),
  },
  // RFC 7911 §4: AFI, SAFI, and 1 for receive, 2 for send, 3 for both. Another value takes the capability away.
  addPath: {
    code: 69,
    name: 'add-path',
    decode: (value) => {
      if (value.length % 4 !== 0) return `length ${value.length}, not a multiple of 4`;
      const families: { afi: number; safi: number; receive: boolean; send: boolean }[] = [];
      for (let at = 0; at < value.length; at += 4) {
        const mode = value[at + 3] as number;
        if (mode < 1 || mode > 3) return undefined;
        families.push({
          afi: readU16(value, at),
          safi: value[at + 2] as number,
          receive: (mode & 1) !== 0,
          send: (mode & 2) !== 0,
        });
      }
      return { kind: 'addPath', families };
    },
    encode: (capability, into) => {
      for (const family of capability.families) {
        into.u16(family.afi);
        into.u8(family.safi);
        into.u8((family.receive ? 1 : 0) | (family.send ? 2 : 0));
      }
    },
    format: (capability) =>
      capability.families
        .map((f) => {
          const way = f.receive && f.send ? 'both' : f.receive ? 'receive' : 'send';
          return `${familyText(f.afi, f.safi)} ${way}`;
        })
        .join(', '),
  },
  // RFC 9494 §3.1: AFI, SAFI, flags and 24 bits of stale time for each family.
  longLivedGracefulRestart: {
    code: 71,
    name: 'long-lived-graceful-restart',
    decode: (value) => {
      if (value.length % 7 !== 0) return `length ${value.length}, not a multiple of 7`;
      const families: { afi: number; safi: number; forwarding: boolean; staleTimeSeconds: number }[] = [];
      for (let at = 0; at < value.length; at += 7)
        families.push({
          afi: readU16(value, at),
          safi: value[at + 2] as number,
          forwarding: ((value[at + 3] as number) & 0x80) !== 0,
          staleTimeSeconds: ((value[at + 4] as number) << 16) | readU16(value, at + 5),
        });
      return { kind: 'longLivedGracefulRestart', families };
    },
    encode: (capability, into) => {
      for (const family of capability.families) {
        const time = Math.min(Math.max(Math.trunc(family.staleTimeSeconds), 0), 0xff_ffff);
        into.u16(family.afi);
        into.u8(family.safi);
        into.u8(family.forwarding ? 0x80 : 0);
        into.u8(time >>> 16);
        into.u16(time & 0xffff);
      }
    },
    format: (capability) =>
      capability.families
        .map((f) => `${familyText(f.afi, f.safi)} ${f.staleTimeSeconds}s${f.forwarding ? ' forwarding' : ''}`)
        .join(', '),
  },
  // RFC 7313 §3.1.
  enhancedRouteRefresh: empty(70, 'enhanced-route-refresh', { kind: 'enhancedRouteRefresh' }),
};

/** The rows as one type: what differs between them is only which capability they take. */
type AnyRow = Row<Kind>;
const byCode = new Map<number, AnyRow>(Object.values(rows).map((row) => [row.code, row as AnyRow]));
const rowOf = (capability: Exclude<Capability, { kind: 'unknown' }>): AnyRow => rows[capability.kind] as AnyRow;

/** Names of codes that this program keeps without looking inside. */
const otherNames: ReadonlyMap<number, string> = new Map([
  [3, 'outbound-route-filtering'],
  [4, 'multiple-labels'],
  [7, 'bgpsec'],
  [8, 'multiple-labels'],
  [66, 'dynamic-capability (draft)'],
  [67, 'dynamic-capability'],
  [68, 'multisession'],
  [69, 'add-path (of an unknown kind)'],
  [73, 'fqdn'],
  [75, 'software-version'],
  [76, 'paths-limit'],
  [128, 'route-refresh (before the standard)'],
]);

/** One capability from its code and value octets; the answer keeps a copy of what it does not know. */
export function decodeCapability(code: number, value: Uint8Array): Result<Capability, string> {
  const row = byCode.get(code);
  const decoded = row?.decode(value);
  if (row === undefined || decoded === undefined) return ok({ kind: 'unknown', code, value: value.slice() });
  return typeof decoded === 'string' ? fail(`capability ${row.name}: ${decoded}`) : ok(decoded);
}

/** Code, length and value. A value above 255 octets cannot be written and is a bug of ours. */
export function encodeCapability(capability: Capability, into: ByteWriter): void {
  into.u8(capabilityCode(capability));
  const lengthAt = into.length;
  into.u8(0);
  if (capability.kind === 'unknown') into.bytes(capability.value);
  else rowOf(capability).encode(capability, into);
  const length = into.length - lengthAt - 1;
  if (length > 255) throw new RangeError(`capability ${capabilityCode(capability)} has ${length} octets`);
  into.patchU8(lengthAt, length);
}

const capabilityCode = (capability: Capability): number =>
  capability.kind === 'unknown' ? capability.code : rowOf(capability).code;

/** For people: `multiprotocol ipv4`, `graceful-restart 120s, ipv4 forwarding`, `add-path`, `capability 200`. */
export function formatCapability(capability: Capability): string {
  if (capability.kind === 'unknown') return otherNames.get(capability.code) ?? `capability ${capability.code}`;
  const row = rowOf(capability);
  const inside = row.format(capability);
  return inside === '' ? row.name : `${row.name} ${inside}`;
}

/** The first capability of a kind. RFC 5492 §4: a capability may be repeated, a receiver takes one instance. */
export function findCapability<K extends Capability['kind']>(
  capabilities: readonly Capability[],
  kind: K,
): Extract<Capability, { kind: K }> | undefined {
  return capabilities.find((c): c is Extract<Capability, { kind: K }> => c.kind === kind);
}
