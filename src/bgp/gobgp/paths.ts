/** GoBGP's paths as they are used here: a prefix, next hops, who said it, and for people all attributes. PURE. */
import type { Asn, Family, IpAddress, Prefix } from '#lib/ip.ts';
import { parseAddress, parsePrefix } from '#lib/ip.ts';
import { asPathText } from '../policy/accepted-attributes.ts';
import { attributeValue, decodeSent } from '../wire/attributes.ts';
import type { MpNextHop, PathAttributes } from '../wire/messages.ts';
import { decodeMpNextHop } from '../wire/next-hop.ts';
import { routesOf } from '../wire/nlri.ts';
import { familyOfMessage, ownPathId } from './desired.ts';
import { fieldsOf, isAny, typeOfAny } from './fields.ts';
import type { PathMessage } from './messages.ts';

/** Address without the interface that version 4 puts behind a link-local one. */
export const bareAddress = (text: string): IpAddress | undefined => parseAddress(text.replace(/%.*$/, ''));

export interface PathSource {
  /** `undefined`: the path begins in GoBGP. */
  readonly neighbor: IpAddress | undefined;
  readonly asn: Asn;
  /** It is one of what this node announces. */
  readonly own: boolean;
}

export const sourceOf = (path: PathMessage): PathSource => ({
  neighbor: bareAddress(path.neighborIp),
  asn: path.sourceAsn as Asn,
  own: path.identifier === ownPathId && bareAddress(path.neighborIp) === undefined,
});

/** A path of an event, which has no binary form. `undefined`: of another family, or not to be understood. */
export function eventPrefix({ nlri, family }: PathMessage): Prefix | undefined {
  if (nlri === null || familyOfMessage(family) === undefined) return undefined;
  if (isAny(nlri)) {
    if (typeOfAny(nlri) !== 'IPAddressPrefix') return undefined;
    const fields = fieldsOf(nlri.value);
    return parsePrefix(`${fields.text(2)}/${fields.number(1)}`);
  }
  return nlri.prefix === null ? undefined : parsePrefix(`${nlri.prefix.prefix}/${nlri.prefix.prefixLen}`);
}

function nextHopTexts({ pattrs }: PathMessage): readonly string[] {
  for (const attribute of pattrs) {
    if (isAny(attribute)) {
      const type = typeOfAny(attribute);
      if (type === 'NextHopAttribute') return [fieldsOf(attribute.value).text(1)];
      if (type === 'MpReachNLRIAttribute')
        return fieldsOf(attribute.value)
          .all(2)
          .map((it) => new TextDecoder().decode(it));
    } else {
      if (attribute.nextHop) return [attribute.nextHop.nextHop];
      if (attribute.mpReach) return attribute.mpReach.nextHops;
    }
  }
  return [];
}

export function eventNextHop(path: PathMessage): MpNextHop | undefined {
  const [global, linkLocal] = nextHopTexts(path).map(bareAddress);
  return global === undefined ? undefined : { global, linkLocal };
}

/** Attribute types. */
const AS_PATH = 2;
const NEXT_HOP = 3;
const LOCAL_PREF = 5;
const MP_REACH_NLRI = 14;
const emptyAsPath = Uint8Array.of(0x40, AS_PATH, 0);
const anyLocalPref = Uint8Array.of(0x40, LOCAL_PREF, 4, 0, 0, 0, 100);

export interface ListedPath {
  readonly prefix: Prefix;
  readonly family: Family;
  readonly nextHop: MpNextHop | undefined;
  readonly attributes: PathAttributes;
}

/** A path of a listing, in its binary form. */
export function listedPath({ family: message, nlriBinary, pattrsBinary }: PathMessage): ListedPath | undefined {
  const family = familyOfMessage(message);
  if (family === undefined || nlriBinary.length === 0) return undefined;
  const prefix = routesOf({ family, addPath: false, bytes: nlriBinary })[0]?.prefix;
  const plain: Uint8Array[] = [];
  let mpHop: MpNextHop | undefined;
  for (const attribute of pattrsBinary) {
    // The next hop of a path that begins in GoBGP: none yet.
    if (attribute[1] === NEXT_HOP && attribute.subarray(attributeValue(attribute, 0)).every((byte) => byte === 0))
      continue;
    if (attribute[1] !== MP_REACH_NLRI) {
      // What begins in GoBGP has the unspecified next hop until it is sent.
      if (attribute[1] !== NEXT_HOP || attribute.subarray(-4).some((octet) => octet !== 0)) plain.push(attribute);
      continue;
    }
    // RFC 4760 §3: AFI, SAFI, length of the next hop, next hop.
    const at = attributeValue(attribute, 0);
    const hop = decodeMpNextHop(attribute.subarray(at + 4, at + 4 + (attribute[at + 3] ?? 0)));
    mpHop = typeof hop === 'string' ? undefined : hop;
  }
  // A path that somebody added by hand may have no AS_PATH: it begins here, so that the path is empty.
  if (!plain.some((attribute) => attribute[1] === AS_PATH)) plain.push(emptyAsPath);
  // Read as on an internal session, where nothing is left out; LOCAL_PREF must be there then (RFC 4271 §5.1.5).
  const hasLocalPref = plain.some((attribute) => attribute[1] === LOCAL_PREF);
  if (!hasLocalPref) plain.push(anyLocalPref);
  const decoded = decodeSent(Buffer.concat(plain), { fourOctetAs: true, external: false });
  const attributes = decoded && (hasLocalPref ? decoded : { ...decoded, localPref: undefined });
  if (prefix === undefined || attributes === undefined) return undefined;
  const global = mpHop?.global ?? attributes.nextHop;
  return { prefix, family, attributes, nextHop: mpHop ?? (global && { global, linkLocal: undefined }) };
}

export interface Found {
  readonly path: PathMessage;
  readonly listed: ListedPath;
}

/** Those of a listing that can be understood. */
export const foundIn = (paths: readonly PathMessage[]): Found[] =>
  paths.flatMap((path) => {
    const listed = listedPath(path);
    return listed === undefined ? [] : [{ path, listed }];
  });

/**
 * GoBGP lists the best first; those that are as good are used with it. `relax`: through other ASes, too, which is how GoBGP
 * itself sees it.
 */
export function usedTogether(all: readonly Found[], localAsn: Asn, relax: boolean): readonly boolean[] {
  const merits = all.map(({ path, listed }) =>
    [...merit(listed, sourceOf(path), localAsn), relax ? '' : asPathText(listed.attributes)].join(),
  );
  return merits.map((it) => it === merits[0]);
}

/** Equal for paths of an event that have the same AS_PATH. */
export function eventAsPath({ pattrs }: PathMessage): string {
  for (const attribute of pattrs) {
    const bytes = isAny(attribute)
      ? typeOfAny(attribute) === 'AsPathAttribute'
        ? attribute.value
        : undefined
      : attribute.asPath;
    if (bytes) return Buffer.from(bytes).toString('hex');
  }
  return '';
}

/** How good a path is before ties are broken, as GoBGP puts equal ones together; a greater one is better at the first difference. */
function merit({ attributes }: ListedPath, { neighbor, asn }: PathSource, localAsn: Asn): readonly number[] {
  const pathLength = attributes.asPath.reduce(
    (sum, { type, asns }) => sum + (type === 2 ? asns.length : type === 1 ? 1 : 0),
    0,
  );
  return [
    Number(neighbor === undefined),
    Number(asn !== localAsn),
    attributes.localPref ?? 100,
    -pathLength,
    -attributes.origin,
    -(attributes.med ?? 0),
  ];
}
