/**
 * Received path attributes on their way out, octet for octet: the common case, where nothing looks into them but the few that
 * every speaker changes. In: the octets as they came and a recipe; out: the octets that `writeAttributes` would write of the
 * decoded and changed attributes, or a refusal where that is not certain, and then the long way is to be taken.
 */
import type { ByteWriter } from '#lib/bytes.ts';
import { AS_CONFED_SEQUENCE, AS_SEQUENCE } from './as-path.ts';
import { ATTRIBUTE, FLAG } from './attribute-row.ts';
import { attributeRows } from './attribute-table.ts';

export interface CopyRecipe {
  /** AS number in front of AS_PATH; `undefined`: the path stays. */
  readonly prepend: number | undefined;
  /** Four octets of NEXT_HOP; `undefined`: it is left out. */
  readonly nextHop: Uint8Array | undefined;
  /** MULTI_EXIT_DISC and the extended communities that stay in an AS are kept. */
  readonly sameAs: boolean;
  /** What a missing LOCAL_PREF becomes; `undefined`: it is left out. */
  readonly localPref: number | undefined;
  /** ORIGINATOR_ID where there is none, and what CLUSTER_LIST begins with; `undefined`: both are left out. */
  readonly reflection: { readonly originatorId: number; readonly clusterId: number } | undefined;
  /** OTC where there is none. */
  readonly onlyToCustomer: number | undefined;
}

const WELL_KNOWN = FLAG.transitive;
const OPTIONAL = FLAG.optional;
const OPTIONAL_TRANSITIVE = FLAG.optional | FLAG.transitive;
/** RFC 4360 §6. */
const NON_TRANSITIVE_COMMUNITY = 0x40;

/** By code: the flags as we write them; 0: not copied. */
const flagsOf = new Uint8Array(256);
for (const { code, flags } of attributeRows) flagsOf[code] = flags;
// They speak of AS numbers of two octets.
flagsOf[ATTRIBUTE.as4Path] = 0;
flagsOf[ATTRIBUTE.as4Aggregator] = 0;

function u32Attribute(flags: number, code: number, value: number, into: ByteWriter): void {
  into.u8(flags);
  into.u8(code);
  into.u8(4);
  into.u32(value);
}

/**
 * `bytes` are attributes with four-octet AS numbers of which the decoder discarded nothing. False: nothing is certain, and
 * what was written is to be forgotten.
 */
export function copyAttributes(bytes: Uint8Array, recipe: CopyRecipe, into: ByteWriter): boolean {
  const { nextHop, localPref, reflection, onlyToCustomer } = recipe;
  let last = 0;
  let at = 0;
  while (at < bytes.length) {
    const code = bytes[at + 1] as number;
    const length = bytes[at + 2] as number;
    // In the order of their codes, each once, flags as we write them, which also means that the length has one octet.
    if (code <= last || bytes[at] !== flagsOf[code]) return false;
    const next = at + 3 + length;
    if (last < ATTRIBUTE.nextHop && code > ATTRIBUTE.nextHop && nextHop !== undefined) return false;
    if (last < ATTRIBUTE.localPref && code > ATTRIBUTE.localPref && localPref !== undefined)
      u32Attribute(WELL_KNOWN, ATTRIBUTE.localPref, localPref, into);
    if (reflection !== undefined) {
      if (last < ATTRIBUTE.originatorId && code > ATTRIBUTE.originatorId)
        u32Attribute(OPTIONAL, ATTRIBUTE.originatorId, reflection.originatorId, into);
      if (last < ATTRIBUTE.clusterList && code > ATTRIBUTE.clusterList)
        u32Attribute(OPTIONAL, ATTRIBUTE.clusterList, reflection.clusterId, into);
    }
    if (last < ATTRIBUTE.onlyToCustomer && code > ATTRIBUTE.onlyToCustomer && onlyToCustomer !== undefined)
      u32Attribute(OPTIONAL_TRANSITIVE, ATTRIBUTE.onlyToCustomer, onlyToCustomer, into);
    switch (code) {
      case ATTRIBUTE.asPath:
        if (!copyPath(bytes, at, next, recipe.prepend, into)) return false;
        break;
      case ATTRIBUTE.nextHop:
        if (nextHop !== undefined) {
          copy(bytes, at, at + 3, into);
          copy(nextHop, 0, 4, into);
        }
        break;
      case ATTRIBUTE.med:
        if (recipe.sameAs) copy(bytes, at, next, into);
        break;
      case ATTRIBUTE.localPref:
        if (localPref !== undefined) copy(bytes, at, next, into);
        break;
      case ATTRIBUTE.originatorId:
        if (reflection !== undefined) copy(bytes, at, next, into);
        break;
      case ATTRIBUTE.clusterList:
        if (reflection === undefined) break;
        if (length > 251) return false;
        into.u8(OPTIONAL);
        into.u8(code);
        into.u8(length + 4);
        into.u32(reflection.clusterId);
        copy(bytes, at + 3, next, into);
        break;
      case ATTRIBUTE.extendedCommunities:
        if (!recipe.sameAs)
          for (let community = at + 3; community < next; community += 8)
            if (((bytes[community] as number) & NON_TRANSITIVE_COMMUNITY) !== 0) return false;
        copy(bytes, at, next, into);
        break;
      default:
        copy(bytes, at, next, into);
    }
    last = code;
    at = next;
  }
  if (last < ATTRIBUTE.nextHop && nextHop !== undefined) return false;
  if (last < ATTRIBUTE.localPref && localPref !== undefined)
    u32Attribute(WELL_KNOWN, ATTRIBUTE.localPref, localPref, into);
  if (reflection !== undefined) {
    if (last < ATTRIBUTE.originatorId) u32Attribute(OPTIONAL, ATTRIBUTE.originatorId, reflection.originatorId, into);
    if (last < ATTRIBUTE.clusterList) u32Attribute(OPTIONAL, ATTRIBUTE.clusterList, reflection.clusterId, into);
  }
  if (last < ATTRIBUTE.onlyToCustomer && onlyToCustomer !== undefined)
    u32Attribute(OPTIONAL_TRANSITIVE, ATTRIBUTE.onlyToCustomer, onlyToCustomer, into);
  return true;
}

/** RFC 4271 §5.1.2 b: into the first segment where that is a sequence with room, else into one of its own. False: not copied. */
function copyPath(bytes: Uint8Array, at: number, next: number, prepend: number | undefined, into: ByteWriter): boolean {
  if (prepend === undefined) {
    copy(bytes, at, next, into);
    return true;
  }
  // RFC 5065 §4.1: confederation segments stay in the AS.
  for (let segment = at + 3; segment < next; segment += 2 + 4 * (bytes[segment + 1] as number))
    if ((bytes[segment] as number) >= AS_CONFED_SEQUENCE) return false;
  const length = next - at - 3;
  const joins = length > 0 && bytes[at + 3] === AS_SEQUENCE && (bytes[at + 4] as number) < 255;
  const grown = length + (joins ? 4 : 6);
  if (grown > 255) return false;
  into.u8(WELL_KNOWN);
  into.u8(ATTRIBUTE.asPath);
  into.u8(grown);
  into.u8(AS_SEQUENCE);
  into.u8(joins ? (bytes[at + 4] as number) + 1 : 1);
  into.u32(prepend);
  copy(bytes, joins ? at + 5 : at + 3, next, into);
  return true;
}

/** By hand: these runs are too short for a call of `set`. */
function copy(bytes: Uint8Array, from: number, to: number, into: ByteWriter): void {
  const buffer = into.reserve(to - from);
  let end = into.length;
  for (let i = from; i < to; i++) buffer[end++] = bytes[i] as number;
  into.length = end;
}
