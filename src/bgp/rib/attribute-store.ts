/**
 * Path attributes, interned by the bytes they came in. In: raw attribute bytes of an UPDATE and how the session writes them
 * (the same bytes mean different things with 2- and 4-octet AS numbers); out: one shared entry with the verdict of
 * RFC 7606 and what the decision process compares, parsed once however many prefixes carry it.
 *
 * What import policy makes of a received set is an entry too: derived from the received one, which it keeps alive and leads
 * back to, so that a changed policy starts from what was received.
 *
 * Entries are counted: one reference per path. A latin1 string of the bytes as key of a Map is as fast as a hash written
 * in JavaScript (measured).
 */
import type { AcceptedAttributes } from '../policy/accepted-attributes.ts';
import { summarize } from '../policy/accepted-attributes.ts';
import type { Rewrite } from '../policy/rewrite.ts';
import type { AttributesVerdict, WireContext } from '../wire/messages.ts';

export interface StoredAttributes {
  /** From 1; given to another set only after this one was freed. */
  readonly id: number;
  /** As they came. */
  readonly octets: number;
  readonly verdict: AttributesVerdict;
  /** `undefined` unless the verdict is accept. */
  readonly accepted: AcceptedAttributes | undefined;
}

interface Entry extends StoredAttributes {
  references: number;
  readonly key: string;
  /** `undefined` for a derived entry. */
  readonly scope: AttributeScope | undefined;
  /** The received entry that this one was made of. */
  readonly base: Entry | undefined;
  /** What was made of this one, by key of the rewrite. */
  derived: Map<string, Entry> | undefined;
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
    const entry: Entry = {
      id,
      octets: bytes.length,
      verdict,
      accepted,
      references: 0,
      key,
      scope,
      base: undefined,
      derived: undefined,
    };
    this.#byId[id] = entry;
    scope.entries.set(key, entry);
    return entry;
  }

  /** What `rewrite` makes of a received, accepted set. Without a reference it must be given one at once. */
  derive(received: number, rewrite: Rewrite): number {
    const base = this.#byId[received];
    if (base?.accepted === undefined || base.base !== undefined)
      throw new RangeError(`no received attributes ${received}`);
    const known = base.derived?.get(rewrite.key);
    if (known !== undefined) return known.id;
    const id = this.#free.pop() ?? this.#byId.length;
    const { octets, verdict } = base;
    const accepted = summarize(rewrite.apply(base.accepted.value));
    const entry: Entry = {
      id,
      octets,
      verdict,
      accepted,
      references: 0,
      key: rewrite.key,
      scope: undefined,
      base,
      derived: undefined,
    };
    this.#byId[id] = entry;
    base.derived ??= new Map();
    base.derived.set(rewrite.key, entry);
    base.references++;
    return id;
  }

  /** The set that came in, of one that policy may have changed. */
  received(id: number): number {
    return this.#byId[id]?.base?.id ?? id;
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
    this.#byId[entry.id] = undefined;
    this.#free.push(entry.id);
    entry.scope?.entries.delete(entry.key);
    if (entry.base === undefined) return;
    entry.base.derived?.delete(entry.key);
    this.release(entry.base.id);
  }
}
