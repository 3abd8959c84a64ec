/**
 * Path attributes: octets to `PathAttributes` and back, driven by the rows of `attribute-table.ts`. In: the attributes of
 * an UPDATE without MP_REACH_NLRI and MP_UNREACH_NLRI. Out: values and a verdict (RFC 7606); the severest wins. Decoding
 * runs once for each distinct run of octets, since the RIB interns them: it keeps no view of its input.
 *
 *   flags (1) | code (1) | length (1, or 2 with Extended Length) | value
 */
import { ByteWriter, readU16 } from '#lib/bytes.ts';
import type { Asn } from '#lib/ip.ts';
import { AS_SEQUENCE, mergeAs4Path } from './as-path.ts';
import { ATTRIBUTE, FLAG } from './attribute-row.ts';
import type { AttributeRow, Draft } from './attribute-row.ts';
import { attributeRows } from './attribute-table.ts';
import { AS_TRANS, HEADER_BYTES, MAXIMUM_MESSAGE_BYTES, NOTIFICATION_CODE, UPDATE_ERROR, resetWith } from './codes.ts';
import type { AttributesVerdict, PathAttributes, Reset, WireContext } from './messages.ts';

const rowByCode: (AttributeRow | undefined)[] = Array.from({ length: 256 }, (_unused, code) =>
  attributeRows.find((row) => row.code === code),
);

/** RFC 4271 §6.3: the data field holds the attribute; what does not fit into a NOTIFICATION is cut. */
export const attributeReset = (subcode: number, text: string, attribute?: Uint8Array): Reset =>
  resetWith(NOTIFICATION_CODE.update, subcode, text, attribute?.slice(0, MAXIMUM_MESSAGE_BYTES - HEADER_BYTES - 2));

/** Treat as withdraw: why, and the answer where nothing can be withdrawn. */
interface Withdraw {
  readonly text: string;
  readonly reset: Reset;
}

/** What the walk over one run of attributes has found so far. */
interface Findings {
  readonly draft: Draft;
  readonly unknown: { readonly code: number; readonly bytes: Uint8Array }[];
  readonly discarded: string[];
  withdraw: Withdraw | undefined;
}

const withdrawFor = (text: string, subcode: number, data?: Uint8Array): Withdraw => ({
  text,
  reset: attributeReset(subcode, text, data),
});

/**
 * Never throws, on no input. For messages with reachable NLRI; `hasClassicNlri`: some of it is in the NLRI field. Then
 * NEXT_HOP is mandatory and judged, otherwise it is left aside (RFC 4760 §3): who keeps the answer keeps it for these
 * octets and this flag.
 */
export function decodeAttributes(
  bytes: Uint8Array,
  context: WireContext,
  nlri: { readonly hasClassicNlri: boolean },
): AttributesVerdict {
  const findings = newFindings();
  const reset = walk(bytes, context, findings);
  if (reset !== undefined) return { kind: 'reset', reset };
  const answer = findings.withdraw ?? complete(findings, context, nlri.hasClassicNlri);
  return 'reset' in answer
    ? { kind: 'treatAsWithdraw', text: answer.text, reset: answer.reset }
    : { kind: 'accept', attributes: answer, discarded: findings.discarded };
}

/**
 * What is wrong with attributes that came without reachable NLRI: anything worse than a discard resets the session, because
 * the NLRI that they belong to may be what was lost (RFC 7606 §5.2).
 */
export function attributesWithoutNlriProblem(bytes: Uint8Array, context: WireContext): Reset | undefined {
  const findings = newFindings();
  return walk(bytes, context, findings) ?? findings.withdraw?.reset;
}

const newFindings = (): Findings => ({
  draft: {
    origin: undefined,
    asPath: undefined,
    nextHop: undefined,
    nextHopProblem: undefined,
    med: undefined,
    localPref: undefined,
    atomicAggregate: false,
    aggregator: undefined,
    communities: [],
    originatorId: undefined,
    clusterList: [],
    extendedCommunities: [],
    largeCommunities: [],
    onlyToCustomer: undefined,
    as4Path: undefined,
    as4Aggregator: undefined,
  },
  unknown: [],
  discarded: [],
  withdraw: undefined,
});

/** By attribute code: the walk that saw it last. A fresh set for each walk would cost more than the walk. */
const seenIn = new Float64Array(256);
let walks = 0;

/** A Reset ends the walk; everything else is collected, since something worse may follow (RFC 7606 §3(h)). */
function walk(bytes: Uint8Array, context: WireContext, findings: Findings): Reset | undefined {
  const walked = ++walks;
  const end = bytes.length;
  let at = 0;
  while (at < end) {
    const next = attributeEnd(bytes, at, end);
    if (next === undefined) {
      findings.withdraw ??= withdrawFor(
        'the last path attribute is cut short (RFC 7606 §4)',
        UPDATE_ERROR.malformedAttributeList,
      );
      return undefined;
    }
    const code = bytes[at + 1] as number;
    if (seenIn[code] === walked) findings.discarded.push(`${nameOf(code)}: not the first one (RFC 7606 §3(g))`);
    else {
      seenIn[code] = walked;
      const row = rowByCode[code];
      const reset =
        row === undefined
          ? keepUnknown(bytes, at, next, findings)
          : decodeKnown(row, bytes, at, next, context, findings);
      if (reset !== undefined) return reset;
    }
    at = next;
  }
  return undefined;
}

/** Where the attribute at `at` ends; `undefined` when that is beyond `end`. */
export function attributeEnd(bytes: Uint8Array, at: number, end: number): number | undefined {
  if (end - at < 3) return undefined;
  const extended = ((bytes[at] as number) & FLAG.extendedLength) !== 0;
  if (extended && end - at < 4) return undefined;
  const next = extended ? at + 4 + readU16(bytes, at + 2) : at + 3 + (bytes[at + 2] as number);
  return next > end ? undefined : next;
}

/** Where the value of the attribute at `at` begins. */
export const attributeValue = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] as number) & FLAG.extendedLength) !== 0 ? at + 4 : at + 3;

const nameOf = (code: number): string => rowByCode[code]?.name ?? `attribute ${code}`;

function keepUnknown(bytes: Uint8Array, at: number, next: number, findings: Findings): Reset | undefined {
  const flags = bytes[at] as number;
  const code = bytes[at + 1] as number;
  // The caller took these two out; what is left of them has no meaning here.
  if (code === ATTRIBUTE.mpReachNlri || code === ATTRIBUTE.mpUnreachNlri) return undefined;
  if ((flags & FLAG.optional) === 0)
    return attributeReset(
      UPDATE_ERROR.unrecognizedWellKnownAttribute,
      `well-known attribute ${code} is not known (RFC 4271 §6.3)`,
      bytes.subarray(at, next),
    );
  // RFC 4271 §9: unknown optional attributes that are not transitive are quietly ignored.
  if ((flags & FLAG.transitive) === 0) return undefined;
  const kept = bytes.slice(at, next);
  kept[0] = flags | FLAG.partial;
  findings.unknown.push({ code, bytes: kept });
  return undefined;
}

function decodeKnown(
  row: AttributeRow,
  bytes: Uint8Array,
  at: number,
  next: number,
  context: WireContext,
  findings: Findings,
): undefined {
  const unwanted = row.unwanted(context);
  if (unwanted !== undefined) {
    findings.discarded.push(`${row.name}: ${unwanted} (${row.source})`);
    return;
  }
  const flags = bytes[at] as number;
  if ((flags & (FLAG.optional | FLAG.transitive)) !== row.flags) {
    const text = `${row.name}: flags 0x${flags.toString(16).padStart(2, '0')} (RFC 7606 §3(c))`;
    findings.withdraw ??= withdrawFor(text, UPDATE_ERROR.attributeFlags, bytes.subarray(at, next));
    return;
  }
  const value = attributeValue(bytes, at);
  const wrongLength = row.lengthProblem(next - value, context);
  const problem = wrongLength ?? row.decode(bytes, value, next, context, findings.draft);
  if (problem === undefined) return;
  const text = `${row.name}: ${problem} (${row.source})`;
  if (row.malformed === 'discard') findings.discarded.push(text);
  else {
    const subcode = wrongLength === undefined ? row.subcode : UPDATE_ERROR.attributeLength;
    // RFC 4271 §6.3: Malformed AS_PATH comes without data.
    const data = subcode === UPDATE_ERROR.malformedAsPath ? undefined : bytes.subarray(at, next);
    findings.withdraw ??= withdrawFor(text, subcode, data);
  }
}

const missing = (name: string, code: number): Withdraw =>
  withdrawFor(`${name} is missing (RFC 7606 §3(d))`, UPDATE_ERROR.missingWellKnownAttribute, Uint8Array.of(code));

/** Puts the pieces together, once each of them is known to be well formed. */
function complete(findings: Findings, context: WireContext, hasClassicNlri: boolean): PathAttributes | Withdraw {
  const { draft } = findings;
  if (draft.origin === undefined) return missing('ORIGIN', ATTRIBUTE.origin);
  if (draft.asPath === undefined) return missing('AS_PATH', ATTRIBUTE.asPath);
  if (hasClassicNlri) {
    if (draft.nextHop === undefined) return missing('NEXT_HOP', ATTRIBUTE.nextHop);
    if (draft.nextHopProblem !== undefined)
      return withdrawFor(`NEXT_HOP: ${draft.nextHopProblem} (RFC 4271 §6.3)`, UPDATE_ERROR.invalidNextHop);
  }
  if (!context.external && draft.localPref === undefined) return missing('LOCAL_PREF', ATTRIBUTE.localPref);
  // RFC 6793 §4.2.3: an AGGREGATOR beside AS4_AGGREGATOR that does not say AS_TRANS shows that somebody on the way has
  // rewritten the old attributes alone; then both new ones are ignored.
  const useAs4 =
    draft.aggregator === undefined || draft.as4Aggregator === undefined || draft.aggregator.asn === AS_TRANS;
  const asPath = draft.as4Path !== undefined && useAs4 ? mergeAs4Path(draft.asPath, draft.as4Path) : draft.asPath;
  const first = context.external && context.enforceFirstAs !== false ? firstAsProblem(asPath, context) : undefined;
  if (first !== undefined) return withdrawFor(`AS_PATH: ${first} (RFC 4271 §6.3)`, UPDATE_ERROR.malformedAsPath);
  return {
    origin: draft.origin,
    asPath,
    nextHop: hasClassicNlri ? draft.nextHop : undefined,
    med: draft.med,
    localPref: draft.localPref,
    atomicAggregate: draft.atomicAggregate,
    aggregator: draft.aggregator !== undefined && useAs4 ? (draft.as4Aggregator ?? draft.aggregator) : draft.aggregator,
    communities: draft.communities,
    originatorId: draft.originatorId,
    clusterList: draft.clusterList,
    extendedCommunities: draft.extendedCommunities,
    largeCommunities: draft.largeCommunities,
    onlyToCustomer: draft.onlyToCustomer,
    unknown: findings.unknown,
  };
}

function firstAsProblem(path: PathAttributes['asPath'], context: WireContext): string | undefined {
  const first = path[0];
  if (first === undefined) return 'empty from an external peer';
  const asn = first.type === AS_SEQUENCE ? first.asns[0] : undefined;
  return asn === context.peerAsn ? undefined : `does not begin with AS ${context.peerAsn} of the peer`;
}

/** What `encodeAttributes` wrote for such a session, NEXT_HOP included where it is there. */
export function decodeSent(
  bytes: Uint8Array,
  { fourOctetAs, external }: Pick<WireContext, 'fourOctetAs' | 'external'>,
): PathAttributes | undefined {
  const findings = newFindings();
  const context = { fourOctetAs, external, families: [], maximumMessageBytes: 0, peerAsn: AS_TRANS as Asn };
  if (walk(bytes, context, findings) !== undefined) return undefined;
  const hasNextHop = findings.draft.nextHop !== undefined;
  const sent = complete(findings, { ...context, enforceFirstAs: false }, hasNextHop);
  return 'reset' in sent ? undefined : sent;
}

/**
 * Path attributes in the order of their codes, without MP_REACH_NLRI; a new array. LOCAL_PREF, ORIGINATOR_ID and
 * CLUSTER_LIST are left out towards external peers, AS4_PATH and AS4_AGGREGATOR are added towards 2-octet ones.
 */
export function encodeAttributes(attributes: PathAttributes, context: WireContext): Uint8Array {
  const writer = new ByteWriter(128);
  writeAttributes(attributes, context, writer);
  return writer.take();
}

/** The same, behind what the writer has already. */
export function writeAttributes(attributes: PathAttributes, context: WireContext, writer: ByteWriter): void {
  const { unknown } = attributes;
  if (unknown.length === 0) {
    for (const row of attributeRows) row.encode(attributes, context, writer);
    return;
  }
  const rest = [...unknown].sort((a, b) => a.code - b.code);
  let next = 0;
  for (const row of attributeRows) {
    for (; next < rest.length && (rest[next] as (typeof rest)[number]).code < row.code; next++)
      writer.bytes((rest[next] as (typeof rest)[number]).bytes);
    row.encode(attributes, context, writer);
  }
  for (const { bytes } of rest.slice(next)) writer.bytes(bytes);
}
