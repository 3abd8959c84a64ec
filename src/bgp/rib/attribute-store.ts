/**
 * Path attributes, interned by the bytes they came in. In: raw attribute bytes of an UPDATE and how the session writes them
 * (the same bytes mean different things with 2- and 4-octet AS numbers); out: one shared entry with the verdict of
 * RFC 7606 and what the decision process compares, parsed once however many prefixes carry it.
 *
 * Entries are counted: one reference per path. A latin1 string of the bytes as key of a Map is as fast as a hash written
 * in JavaScript (measured).
 */
import type { AttributesVerdict, PathAttributes, WireContext } from '../wire/messages.ts';

/** RFC 1997 §2, unsigned. */
const NO_EXPORT = 0xffffff01;
const NO_ADVERTISE = 0xffffff02;
const NO_EXPORT_SUBCONFED = 0xffffff03;

/** RFC 4271 §9.1.1: what a path without LOCAL_PREF counts as. */
export const defaultLocalPref = 100;

export interface AcceptedAttributes {
  readonly value: PathAttributes;
  readonly localPref: number;
  readonly asPathLength: number;
  /** First AS of the path, 0 for a path that began in our own AS. */
  readonly neighborAsn: number;
  /** Equal for equal AS paths. */
  readonly asPathKey: string;
  readonly noAdvertise: boolean;
  readonly noExport: boolean;
}

export interface StoredAttributes {
  /** From 1; given to another set only after this one was freed. */
  readonly id: number;
  readonly verdict: AttributesVerdict;
  /** `undefined` unless the verdict is accept. */
  readonly accepted: AcceptedAttributes | undefined;
}

interface Entry extends StoredAttributes {
  references: number;
  readonly key: string;
  readonly scope: AttributeScope;
}

/** All sessions whose attribute bytes mean the same share a scope. */
export interface AttributeScope {
  readonly context: WireContext;
  readonly hasClassicNlri: boolean;
  readonly entries: Map<string, StoredAttributes>;
}

export type DecodeAttributes = (
  bytes: Uint8Array,
  context: WireContext,
  nlri: { readonly hasClassicNlri: boolean },
) => AttributesVerdict;

export class AttributeStore {
  readonly #decode: DecodeAttributes;
  readonly #scopes = new Map<string, AttributeScope>();
  readonly #byId: (Entry | undefined)[] = [undefined];
  readonly #free: number[] = [];
  readonly #freed: ((id: number) => void)[] = [];

  constructor(decode: DecodeAttributes) {
    this.#decode = decode;
  }

  get size(): number {
    return this.#byId.length - 1 - this.#free.length;
  }

  /** `callback` hears of each id whose last reference is gone, before it is given out again. */
  onFreed(callback: (id: number) => void): void {
    this.#freed.push(callback);
  }

  scope(context: WireContext, hasClassicNlri: boolean): AttributeScope {
    const key = [
      hasClassicNlri,
      context.fourOctetAs,
      context.external,
      context.peerAsn,
      context.enforceFirstAs ?? true,
      context.extendedNextHop ?? false,
    ].join(' ');
    let scope = this.#scopes.get(key);
    if (scope === undefined) {
      scope = { context, hasClassicNlri, entries: new Map() };
      this.#scopes.set(key, scope);
    }
    return scope;
  }

  /** The entry of these bytes; without a reference it lives until `settle`. */
  intern(scope: AttributeScope, bytes: Uint8Array): StoredAttributes {
    const key = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
    const known = scope.entries.get(key);
    if (known !== undefined) return known;
    const verdict = this.#decode(bytes, scope.context, { hasClassicNlri: scope.hasClassicNlri });
    const id = this.#free.pop() ?? this.#byId.length;
    const accepted = verdict.kind === 'accept' ? summarize(verdict.attributes) : undefined;
    const entry: Entry = { id, verdict, accepted, references: 0, key, scope };
    this.#byId[id] = entry;
    scope.entries.set(key, entry);
    return entry;
  }

  /** Frees the entry if nothing refers to it; called when the message it came in is done. */
  settle(id: number): void {
    const entry = this.#byId[id];
    if (entry !== undefined && entry.references === 0) this.#remove(entry);
  }

  get(id: number): StoredAttributes | undefined {
    return this.#byId[id];
  }

  /** What a path carries; only accepted attributes are ever referred to by a path. */
  accepted(id: number): AcceptedAttributes {
    const accepted = this.#byId[id]?.accepted;
    if (accepted === undefined) throw new RangeError(`no attributes ${id}`);
    return accepted;
  }

  retain(id: number): void {
    const entry = this.#byId[id];
    if (entry !== undefined) entry.references++;
  }

  release(id: number): void {
    const entry = this.#byId[id];
    if (entry !== undefined && --entry.references === 0) this.#remove(entry);
  }

  #remove(entry: Entry): void {
    for (const callback of this.#freed) callback(entry.id);
    entry.scope.entries.delete(entry.key);
    this.#byId[entry.id] = undefined;
    this.#free.push(entry.id);
  }
}

function summarize(value: PathAttributes): AcceptedAttributes {
  let asPathLength = 0;
  for (const segment of value.asPath) {
    // RFC 4271 §9.1.2.2 a: a set counts as 1; RFC 5065 §5.3: confederation segments count as nothing.
    if (segment.type === 2) asPathLength += segment.asns.length;
    else if (segment.type === 1) asPathLength += 1;
  }
  const first = value.asPath.find((segment) => segment.type === 1 || segment.type === 2);
  return {
    value,
    localPref: value.localPref ?? defaultLocalPref,
    asPathLength,
    neighborAsn: first?.type === 2 ? (first.asns[0] ?? 0) : 0,
    asPathKey: asPathText(value),
    noAdvertise: value.communities.includes(NO_ADVERTISE),
    // Without confederations NO_EXPORT_SUBCONFED means the same (RFC 1997 §2).
    noExport: value.communities.includes(NO_EXPORT) || value.communities.includes(NO_EXPORT_SUBCONFED),
  };
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
