/**
 * The first step of reading an UPDATE (RFC 4271 §4.3, RFC 4760 §3, RFC 4760 §4): cuts it into validated NLRI of each family and
 * the other path attributes as raw octets, which the RIB interns. In: the octets after the header. Out: views of them, or
 * the NOTIFICATION to send. This is the hot path: nothing is copied but in one rare case (`without`).
 *
 *   withdrawn routes length (2) | withdrawn routes | total path attribute length (2) | path attributes | NLRI
 *
 * NLRI are found whatever else is broken; only where they cannot be, the session is reset (RFC 7606 §3(j), RFC 7606 §5.3).
 */
import { addressBits } from '#lib/ip.ts';
import type { Family } from '#lib/ip.ts';
import { readU16 } from '#lib/bytes.ts';
import type { Result } from '#lib/result.ts';
import { fail, ok } from '#lib/result.ts';
import { ATTRIBUTE, FLAG } from './attribute-row.ts';
import { attributeEnd, attributeReset, attributeValue, attributesWithoutNlriProblem } from './attributes.ts';
import { UPDATE_ERROR, familyOfAfi } from './codes.ts';
import type { MpNextHop, NlriBlock, Reset, UpdateMessage, WireContext } from './messages.ts';
import { decodeMpNextHop, nextHopLengthAllowed } from './next-hop.ts';
import { nlriProblem } from './nlri.ts';

/** Where the two attributes with NLRI are, each header to end; -1: not there. */
interface MpAttributes {
  reachAt: number;
  reachEnd: number;
  unreachAt: number;
  unreachEnd: number;
  /** RFC 7606 §4: the list broke off; what came before it holds. */
  cutShort: boolean;
}

const listReset = (text: string): Reset => attributeReset(UPDATE_ERROR.malformedAttributeList, text);

const fieldReset = (field: string, problem: string): Reset =>
  attributeReset(UPDATE_ERROR.invalidNetworkField, `${field}: ${problem} (RFC 7606 §5.3)`);

/**
 * `body` is the UPDATE without its header, and so are the views in the answer: they hold as long as `body` does.
 * Families that were not negotiated are left out and named in `ignored`.
 */
export function splitUpdate(body: Uint8Array, context: WireContext): Result<UpdateMessage, Reset> {
  if (body.length < 4) return fail(listReset(`UPDATE has ${body.length} octets of body, not 4 (RFC 4271 §4.3)`));
  const withdrawnEnd = 2 + readU16(body, 0);
  if (withdrawnEnd + 2 > body.length)
    return fail(listReset('Withdrawn Routes Length is beyond the message (RFC 4271 §6.3)'));
  const attributesAt = withdrawnEnd + 2;
  const attributesEnd = attributesAt + readU16(body, withdrawnEnd);
  if (attributesEnd > body.length)
    return fail(listReset('Total Path Attribute Length is beyond the message (RFC 4271 §6.3)'));

  const addPath = hasPathIds(context, 'ipv4');
  const withdrawnProblem = nlriProblem(body, 2, withdrawnEnd, 32, addPath);
  if (withdrawnProblem !== undefined) return fail(fieldReset('Withdrawn Routes', withdrawnProblem));
  const nlriProblemText = nlriProblem(body, attributesEnd, body.length, 32, addPath);
  if (nlriProblemText !== undefined) return fail(fieldReset('NLRI', nlriProblemText));

  const found = findMpAttributes(body, attributesAt, attributesEnd);
  if (!found.ok) return found;
  const mp = found.value;
  const parts: Parts = {
    withdrawn: [],
    reachable: [],
    ignored: [],
    hasReachable: attributesEnd < body.length,
    endOfRib: undefined,
    treatAsWithdraw: undefined,
  };
  const ipv4 = context.families.includes('ipv4');
  if (withdrawnEnd > 2) {
    if (ipv4) parts.withdrawn.push(block('ipv4', addPath, body.subarray(2, withdrawnEnd)));
    else parts.ignored.push('withdrawn routes of ipv4, which was not negotiated');
  }
  if (mp.unreachAt >= 0) {
    const alone = withdrawnEnd === 2 && attributesEnd === body.length && isAlone(mp, attributesAt, attributesEnd);
    const reset = takeUnreach(body, mp.unreachAt, mp.unreachEnd, context, alone, parts);
    if (reset !== undefined) return fail(reset);
  }
  if (mp.reachAt >= 0) {
    const reset = takeReach(body, mp.reachAt, mp.reachEnd, context, parts);
    if (reset !== undefined) return fail(reset);
  }
  if (attributesEnd < body.length) {
    if (ipv4) parts.reachable.push({ nlri: block('ipv4', addPath, body.subarray(attributesEnd)), nextHop: undefined });
    else parts.ignored.push('routes of ipv4, which was not negotiated');
  }
  // RFC 4724 §2: an UPDATE with nothing in it ends the initial routes of IPv4 unicast.
  if (body.length === 4 && ipv4) parts.endOfRib = 'ipv4';
  if (mp.cutShort) parts.treatAsWithdraw ??= 'the last path attribute is cut short (RFC 7606 §4)';

  const attributes = without(body, attributesAt, attributesEnd, mp);
  if (!parts.hasReachable && attributes.length > 0) {
    const reset = attributesWithoutNlriProblem(attributes, context);
    if (reset !== undefined) return fail({ ...reset, text: `${reset.text}, without reachable NLRI (RFC 7606 §5.2)` });
  }
  return ok({
    kind: 'update',
    withdrawn: parts.withdrawn,
    reachable: parts.reachable,
    attributes,
    endOfRib: parts.endOfRib,
    treatAsWithdraw: parts.treatAsWithdraw,
    ignored: parts.ignored,
  });
}

interface Parts {
  readonly withdrawn: NlriBlock[];
  readonly reachable: { readonly nlri: NlriBlock; readonly nextHop: MpNextHop | undefined }[];
  readonly ignored: string[];
  /** There is reachable NLRI, of whatever family. */
  hasReachable: boolean;
  endOfRib: Family | undefined;
  treatAsWithdraw: string | undefined;
}

const block = (family: Family, addPath: boolean, bytes: Uint8Array): NlriBlock => ({ family, addPath, bytes });

/** RFC 7911 §5: the identifiers are there exactly when both ends agreed, so nothing in the message tells. */
const hasPathIds = (context: WireContext, family: Family): boolean =>
  context.addPath !== undefined && context.addPath.receive.includes(family);

const isAlone = (mp: MpAttributes, at: number, end: number): boolean => mp.unreachAt === at && mp.unreachEnd === end;

/** Looks at headers only. */
function findMpAttributes(body: Uint8Array, from: number, end: number): Result<MpAttributes, Reset> {
  const mp: MpAttributes = { reachAt: -1, reachEnd: -1, unreachAt: -1, unreachEnd: -1, cutShort: false };
  for (let at = from; at < end; ) {
    const next = attributeEnd(body, at, end);
    if (next === undefined) {
      mp.cutShort = true;
      return ok(mp);
    }
    const code = body[at + 1] as number;
    if (code === ATTRIBUTE.mpReachNlri || code === ATTRIBUTE.mpUnreachNlri) {
      const isReach = code === ATTRIBUTE.mpReachNlri;
      const name = isReach ? 'MP_REACH_NLRI' : 'MP_UNREACH_NLRI';
      if ((isReach ? mp.reachAt : mp.unreachAt) >= 0)
        return fail(listReset(`${name} stands there twice (RFC 7606 §3(g))`));
      const flags = body[at] as number;
      // RFC 7606 §5.3: wrong flags or a length below the fixed part make the NLRI unreadable.
      if ((flags & (FLAG.optional | FLAG.transitive)) !== FLAG.optional)
        return fail(
          attributeReset(
            UPDATE_ERROR.attributeFlags,
            `${name}: flags 0x${flags.toString(16).padStart(2, '0')} (RFC 7606 §5.3)`,
            body.subarray(at, next),
          ),
        );
      if (next - attributeValue(body, at) < (isReach ? 5 : 3))
        return fail(mpReset(body, at, next, `${name}: shorter than its fixed part (RFC 7606 §5.3)`));
      if (isReach) {
        mp.reachAt = at;
        mp.reachEnd = next;
      } else {
        mp.unreachAt = at;
        mp.unreachEnd = next;
      }
    }
    at = next;
  }
  return ok(mp);
}

// RFC 4760 §7: UPDATE Message Error / Optional Attribute Error.
const mpReset = (body: Uint8Array, at: number, end: number, text: string): Reset =>
  attributeReset(UPDATE_ERROR.optionalAttribute, text, body.subarray(at, end));

/** AFI (2), SAFI (1), withdrawn routes. */
function takeUnreach(
  body: Uint8Array,
  at: number,
  end: number,
  context: WireContext,
  alone: boolean,
  parts: Parts,
): Reset | undefined {
  const value = attributeValue(body, at);
  const [afi, safi] = [readU16(body, value), body[value + 2] as number];
  const family = familyOfAfi(afi, safi);
  if (family === undefined || !context.families.includes(family)) {
    parts.ignored.push(`MP_UNREACH_NLRI of family ${afi}/${safi}, which was not negotiated`);
    return undefined;
  }
  const nlriAt = value + 3;
  const addPath = hasPathIds(context, family);
  const problem = nlriProblem(body, nlriAt, end, addressBits(family), addPath);
  if (problem !== undefined) return mpReset(body, at, end, `MP_UNREACH_NLRI: ${problem} (RFC 7606 §5.3)`);
  if (nlriAt < end) parts.withdrawn.push(block(family, addPath, body.subarray(nlriAt, end)));
  // RFC 4724 §2: nothing but an empty MP_UNREACH_NLRI.
  else if (alone) parts.endOfRib = family;
  return undefined;
}

/** AFI (2), SAFI (1), length of next hop (1), next hop, reserved (1), NLRI. */
function takeReach(body: Uint8Array, at: number, end: number, context: WireContext, parts: Parts): Reset | undefined {
  const value = attributeValue(body, at);
  const [afi, safi] = [readU16(body, value), body[value + 2] as number];
  const family = familyOfAfi(afi, safi);
  if (family === undefined || !context.families.includes(family)) {
    parts.hasReachable = true;
    parts.ignored.push(`MP_REACH_NLRI of family ${afi}/${safi}, which was not negotiated`);
    return undefined;
  }
  const nextHopLength = body[value + 3] as number;
  const nextHopAt = value + 4;
  const nlriAt = nextHopAt + nextHopLength + 1;
  // RFC 7606 §7.11: NLRI behind a next hop of unexpected length cannot be found reliably.
  if (nlriAt > end || !nextHopLengthAllowed(nextHopLength, family, context))
    return mpReset(body, at, end, `MP_REACH_NLRI: next hop of ${nextHopLength} octets for ${family} (RFC 7606 §7.11)`);
  const addPath = hasPathIds(context, family);
  const problem = nlriProblem(body, nlriAt, end, addressBits(family), addPath);
  if (problem !== undefined) return mpReset(body, at, end, `MP_REACH_NLRI: ${problem} (RFC 7606 §5.3)`);
  if (nlriAt === end) return undefined;
  parts.hasReachable = true;
  const nlri = block(family, addPath, body.subarray(nlriAt, end));
  const nextHop = decodeMpNextHop(body.subarray(nextHopAt, nextHopAt + nextHopLength));
  if (typeof nextHop === 'string') {
    parts.treatAsWithdraw = `MP_REACH_NLRI: next hop ${nextHop} (RFC 4271 §6.3)`;
    // Whoever reads only `withdrawn` must find them too.
    parts.withdrawn.push(nlri);
  } else parts.reachable.push({ nlri, nextHop });
  return undefined;
}

/**
 * The attributes without the two that were taken. Speakers put those first or last (RFC 7606 §5.1 asks for first), so what
 * is left is nearly always one run; otherwise the runs are copied together.
 */
function without(body: Uint8Array, from: number, end: number, mp: MpAttributes): Uint8Array {
  if (mp.reachAt < 0 && mp.unreachAt < 0) return body.subarray(from, end);
  const reachFirst = mp.reachAt >= 0 && (mp.unreachAt < 0 || mp.reachAt < mp.unreachAt);
  const firstAt = reachFirst ? mp.reachAt : mp.unreachAt;
  const firstEnd = reachFirst ? mp.reachEnd : mp.unreachEnd;
  const secondAt = Math.max(reachFirst ? mp.unreachAt : mp.reachAt, -1);
  const secondEnd = reachFirst ? mp.unreachEnd : mp.reachEnd;
  const before = body.subarray(from, firstAt);
  const between = secondAt < 0 ? body.subarray(firstEnd, end) : body.subarray(firstEnd, secondAt);
  const after = secondAt < 0 ? body.subarray(end, end) : body.subarray(secondEnd, end);
  const total = before.length + between.length + after.length;
  for (const run of [before, between, after]) if (run.length === total) return run;
  const joined = new Uint8Array(total);
  joined.set(before);
  joined.set(between, before.length);
  joined.set(after, before.length + between.length);
  return joined;
}
