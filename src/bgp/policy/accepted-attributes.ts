/**
 * What policy and the decision process look at, taken from path attributes once per distinct set. In: decoded attributes; out: the
 * values that are compared per path (RFC 4271 §9.1), well-known communities as booleans.
 */
import type { PathAttributes } from '../wire/messages.ts';
import { GRACEFUL_SHUTDOWN, LLGR_STALE } from './rewrite.ts';
import { firstAsn } from './roles.ts';

/** RFC 1997 §2, unsigned. */
const NO_EXPORT = 0xffffff01;
/** RFC 1997 §2. */
export const NO_ADVERTISE = 0xffffff02;
const NO_EXPORT_SUBCONFED = 0xffffff03;
/** RFC 7999 §5. */
const BLACKHOLE = 0xffff029a;
/** RFC 9494 §3.3. */
const NO_LLGR = 0xffff0007;

/** RFC 4271 §9.1.1: what a path without LOCAL_PREF counts as. */
export const defaultLocalPref = 100;

export interface AcceptedAttributes {
  readonly value: PathAttributes;
  /** Of a route that this node announces itself. */
  readonly own: boolean;
  readonly localPref: number;
  readonly asPathLength: number;
  /** First AS of the path, 0 for a path that began in our own AS. */
  readonly neighborAsn: number;
  readonly noAdvertise: boolean;
  /** The community that keeps the path in the AS. */
  readonly noExport: (typeof staying)[number][1] | undefined;
  readonly gracefulShutdown: boolean;
  /** LLGR_STALE and NO_LLGR of RFC 9494. */
  readonly longLivedStale: boolean;
  readonly noLongLived: boolean;
}

/** RFC 1997 §2; without confederations the second means the same. RFC 7999 §3.2: a blackhole is of the AS that asked. */
export const staying = [
  [NO_EXPORT, 'NO_EXPORT'],
  [NO_EXPORT_SUBCONFED, 'NO_EXPORT_SUBCONFED'],
  [BLACKHOLE, 'BLACKHOLE'],
] as const;

export function summarize(value: PathAttributes, own = false): AcceptedAttributes {
  let asPathLength = 0;
  for (const segment of value.asPath) {
    // RFC 4271 §9.1.2.2 a: a set counts as 1; RFC 5065 §5.3: confederation segments count as nothing.
    if (segment.type === 2) asPathLength += segment.asns.length;
    else if (segment.type === 1) asPathLength += 1;
  }
  return {
    value,
    own,
    localPref: value.localPref ?? defaultLocalPref,
    asPathLength,
    neighborAsn: firstAsn(value),
    noAdvertise: value.communities.includes(NO_ADVERTISE),
    noExport: staying.find(([community]) => value.communities.includes(community))?.[1],
    gracefulShutdown: value.communities.includes(GRACEFUL_SHUTDOWN),
    longLivedStale: value.communities.includes(LLGR_STALE),
    noLongLived: value.communities.includes(NO_LLGR),
  };
}

const NO_ADVERTISE_MARK = 1;
const GRACEFUL_SHUTDOWN_MARK = 2;
const OWN_MARK = 4;
/** Which of `staying`, from 1 on; 0 for none. */
const stayingShift = 3;

const LONG_LIVED_STALE_MARK = 32;
const NO_LONG_LIVED_MARK = 64;

/** The yes and no of a set as a number of 7 bits. */
export const marksOf = (accepted: AcceptedAttributes): number =>
  (accepted.noAdvertise ? NO_ADVERTISE_MARK : 0) |
  (accepted.gracefulShutdown ? GRACEFUL_SHUTDOWN_MARK : 0) |
  (accepted.own ? OWN_MARK : 0) |
  (accepted.longLivedStale ? LONG_LIVED_STALE_MARK : 0) |
  (accepted.noLongLived ? NO_LONG_LIVED_MARK : 0) |
  stayingMark(accepted.noExport);

const stayingMark = (noExport: AcceptedAttributes['noExport']): number =>
  (noExport === undefined ? 0 : 1 + staying.findIndex(([, name]) => name === noExport)) << stayingShift;

/** A set of which only the numbers are at hand: the value is read when somebody asks for it. */
export class KeptAttributes implements AcceptedAttributes {
  readonly localPref: number;
  readonly asPathLength: number;
  readonly neighborAsn: number;
  readonly #marks: number;
  readonly #id: number;
  readonly #read: (id: number) => PathAttributes;

  constructor(
    id: number,
    numbers: {
      readonly marks: number;
      readonly localPref: number;
      readonly asPathLength: number;
      readonly neighborAsn: number;
    },
    read: (id: number) => PathAttributes,
  ) {
    this.#id = id;
    this.#marks = numbers.marks;
    this.localPref = numbers.localPref;
    this.asPathLength = numbers.asPathLength;
    this.neighborAsn = numbers.neighborAsn;
    this.#read = read;
  }

  get value(): PathAttributes {
    return this.#read(this.#id);
  }

  get own(): boolean {
    return (this.#marks & OWN_MARK) !== 0;
  }

  get noAdvertise(): boolean {
    return (this.#marks & NO_ADVERTISE_MARK) !== 0;
  }

  get noExport(): AcceptedAttributes['noExport'] {
    return staying[((this.#marks >> stayingShift) & 3) - 1]?.[1];
  }

  get gracefulShutdown(): boolean {
    return (this.#marks & GRACEFUL_SHUTDOWN_MARK) !== 0;
  }

  get longLivedStale(): boolean {
    return (this.#marks & LONG_LIVED_STALE_MARK) !== 0;
  }

  get noLongLived(): boolean {
    return (this.#marks & NO_LONG_LIVED_MARK) !== 0;
  }
}

/** Opening, separator and closing of each kind of segment, for people. */
const segmentMarks = { 1: ['{', ',', '}'], 2: ['', ' ', ''], 3: ['(', ' ', ')'], 4: ['[', ',', ']'] } as const;

/** AS_PATH for people: sequences as numbers, sets in braces, confederation segments in parentheses and brackets. */
export function asPathText(attributes: PathAttributes): string {
  return attributes.asPath
    .map(({ type, asns }) => {
      const [open, separator, close] = segmentMarks[type];
      return `${open}${asns.join(separator)}${close}`;
    })
    .join(' ');
}
