/**
 * Path attributes, interned by the octets they came in. In: raw attribute octets of an UPDATE and how the session writes them
 * (the same octets mean different things with 2- and 4-octet AS numbers); out: one number for each distinct set, with
 * the verdict of RFC 7606 and what the decision process compares.
 *
 * Only the octets and some numbers are kept. A set is decoded when it comes and again when somebody asks for its value; the
 * last few stay decoded.
 *
 * What import policy makes of a received set is an entry too: derived from the received one, which it keeps alive and leads
 * back to, so that a changed policy starts from what was received.
 *
 * What this node announces itself is an entry, too: its octets are its communities as JSON.
 *
 * Entries are counted: one reference per path.
 */
import type { AcceptedAttributes } from '../policy/accepted-attributes.ts';
import { KeptAttributes, marksOf, summarize } from '../policy/accepted-attributes.ts';
import type { Rewrite } from '../policy/rewrite.ts';
import type { Community } from '../engine.ts';
import { ownPath } from '../policy/export.ts';
import type { AttributesVerdict, WireContext } from '../wire/messages.ts';
import { OctetStore } from './octet-store.ts';
import { grownInt32, grownUint8 } from './prefix-table.ts';

export interface StoredAttributes {
  /** From 1; given to another set only after this one was freed. */
  readonly id: number;
  /** As they came. */
  readonly octets: number;
  readonly verdict: AttributesVerdict;
  /** `undefined` unless the verdict is accept. */
  readonly accepted: AcceptedAttributes | undefined;
}

/** All sessions whose attribute octets mean the same share a scope. */
export interface AttributeScope {
  /** Among all scopes and rewrites of the store. */
  readonly kind: number;
  readonly context: WireContext;
  readonly hasClassicNlri: boolean;
}

export type DecodeAttributes = (
  bytes: Uint8Array,
  context: WireContext,
  nlri: { readonly hasClassicNlri: boolean },
) => AttributesVerdict;

/** Kind of the sets that begin here. */
const ORIGINATED = { originated: true } as const;

/** Beside the marks of `marksOf`: nothing of the octets was discarded. */
const WHOLE = 128;
const firstCapacity = 256;

/** Sets that stay decoded; a power of two. More would outlive the collector's young generation. */
const decodedSets = 256;

export class AttributeStore {
  readonly #decode: DecodeAttributes;
  readonly #octets = new OctetStore();
  /** How the octets of a kind are read; a derived set's are the number of the received one. */
  readonly #kinds: (AttributeScope | Rewrite | typeof ORIGINATED)[] = [ORIGINATED];
  readonly #scopes = new Map<string, AttributeScope>();
  readonly #rewrites = new Map<string, number>();
  readonly #decoded: ({ readonly id: number; readonly stored: StoredAttributes } | undefined)[] = [];
  /** By id, of sets that came in and were accepted. */
  #marks = new Uint8Array(firstCapacity);
  #localPref = new Int32Array(firstCapacity);
  #asPathLength = new Int32Array(firstCapacity);
  #neighborAsn = new Int32Array(firstCapacity);
  readonly #freed: ((id: number) => void)[] = [];
  readonly #number = new DataView(new ArrayBuffer(4));
  readonly #numberOctets = new Uint8Array(this.#number.buffer);

  constructor(decode: DecodeAttributes) {
    this.#decode = decode;
  }

  get size(): number {
    return this.#octets.size;
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
      scope = { kind: this.#kinds.length, context, hasClassicNlri };
      this.#kinds.push(scope);
      this.#scopes.set(key, scope);
    }
    return scope;
  }

  /** The entry of these octets; without a reference it lives until `settle`. */
  intern(scope: AttributeScope, bytes: Uint8Array): StoredAttributes {
    const before = this.#octets.size;
    const id = this.#octets.intern(scope.kind, bytes);
    const stored = this.#read(id);
    if (this.#octets.size > before && stored.accepted !== undefined) this.#note(id, stored.accepted, stored.verdict);
    return stored;
  }

  #note(id: number, accepted: AcceptedAttributes, verdict: AttributesVerdict): void {
    if (id >= this.#marks.length) {
      const capacity = 2 * id;
      this.#marks = grownUint8(this.#marks, capacity);
      this.#localPref = grownInt32(this.#localPref, capacity);
      this.#asPathLength = grownInt32(this.#asPathLength, capacity);
      this.#neighborAsn = grownInt32(this.#neighborAsn, capacity);
    }
    const isWhole = verdict.kind === 'accept' && verdict.discarded.length === 0;
    this.#marks[id] = marksOf(accepted) | (isWhole ? WHOLE : 0);
    this.#localPref[id] = accepted.localPref;
    this.#asPathLength[id] = accepted.asPathLength;
    this.#neighborAsn[id] = accepted.neighborAsn;
  }

  /** Attributes of routes that begin here. Without a reference it must be given one at once. */
  originate(communities: readonly Community[]): number {
    return this.#octets.intern(0, Buffer.from(JSON.stringify(communities)));
  }

  /** What `rewrite` makes of a received, accepted set. Without a reference it must be given one at once. */
  derive(received: number, rewrite: Rewrite): number {
    if (!this.#octets.has(received) || this.received(received) !== received)
      throw new RangeError(`no received attributes ${received}`);
    let kind = this.#rewrites.get(rewrite.key);
    if (kind === undefined) {
      kind = this.#kinds.length;
      this.#kinds.push(rewrite);
      this.#rewrites.set(rewrite.key, kind);
    }
    this.#number.setUint32(0, received);
    const before = this.#octets.size;
    const id = this.#octets.intern(kind, this.#numberOctets);
    if (this.#octets.size > before) this.#octets.retain(received);
    return id;
  }

  #read(id: number): StoredAttributes {
    const known = this.#decoded[id & (decodedSets - 1)];
    if (known?.id === id) return known.stored;
    const stored = this.#decodeStored(id);
    this.#decoded[id & (decodedSets - 1)] = { id, stored };
    return stored;
  }

  #decodeStored(id: number): StoredAttributes {
    const kind = this.#kinds[this.#octets.kind(id)];
    if (kind === undefined || !this.#octets.has(id)) throw new RangeError(`no attributes ${id}`);
    const octets = this.#octets.octets(id);
    if ('apply' in kind) {
      const base = this.#read(this.received(id));
      const accepted = base.accepted && summarize(kind.apply(base.accepted.value));
      return { id, octets: base.octets, verdict: base.verdict, accepted };
    }
    if ('originated' in kind) {
      const attributes = ownPath(JSON.parse(Buffer.from(octets).toString()) as readonly Community[]);
      return {
        id,
        octets: 0,
        verdict: { kind: 'accept', attributes, discarded: [] },
        accepted: summarize(attributes, true),
      };
    }
    const { context, hasClassicNlri } = kind;
    const verdict = this.#decode(octets, context, { hasClassicNlri });
    const accepted = verdict.kind === 'accept' ? summarize(verdict.attributes) : undefined;
    return { id, octets: octets.length, verdict, accepted };
  }

  /** The set that came in, of one that policy may have changed. */
  received(id: number): number {
    const kind = this.#kinds[this.#octets.kind(id)];
    if (kind === undefined || !('apply' in kind)) return id;
    this.#numberOctets.set(this.#octets.octets(id));
    return this.#number.getUint32(0);
  }

  /** Frees the entry if nothing refers to it; called when the message it came in is done. */
  settle(id: number): void {
    if (this.#octets.has(id) && !this.#octets.isReferred(id)) this.#remove(id);
  }

  /** Octets of the set as it came in. */
  octets(id: number): number {
    return this.#octets.length(this.received(id));
  }

  /** What a path carries; only accepted attributes are ever referred to by a path. */
  accepted(id: number): AcceptedAttributes {
    const known = this.#decoded[id & (decodedSets - 1)];
    if (known?.id === id || !this.#isReceived(id)) return this.#acceptedNow(id);
    const numbers = {
      marks: this.#marks[id] as number,
      localPref: (this.#localPref[id] as number) >>> 0,
      asPathLength: this.#asPathLength[id] as number,
      neighborAsn: (this.#neighborAsn[id] as number) >>> 0,
    };
    return new KeptAttributes(id, numbers, this.#value);
  }

  #isReceived(id: number): boolean {
    const kind = this.#kinds[this.#octets.kind(id)];
    return kind !== undefined && 'context' in kind && this.#octets.has(id);
  }

  #acceptedNow(id: number): AcceptedAttributes {
    const { accepted } = this.#read(id);
    if (accepted === undefined) throw new RangeError(`no attributes ${id}`);
    return accepted;
  }

  readonly #value = (id: number): AcceptedAttributes['value'] => this.#acceptedNow(id).value;

  /**
   * The octets of a received set as a view, where they say all that was accepted: with four-octet AS numbers, and nothing
   * of them was discarded.
   */
  wholeOctets(id: number): Uint8Array | undefined {
    const kind = this.#kinds[this.#octets.kind(id)];
    if (kind === undefined || !('context' in kind) || !kind.context.fourOctetAs) return undefined;
    return ((this.#marks[id] as number) & WHOLE) === 0 ? undefined : this.#octets.octets(id);
  }

  retain(id: number): void {
    this.#octets.retain(id);
  }

  release(id: number): void {
    if (this.#octets.release(id)) this.#remove(id);
  }

  #remove(id: number): void {
    for (const callback of this.#freed) callback(id);
    if (this.#decoded[id & (decodedSets - 1)]?.id === id) this.#decoded[id & (decodedSets - 1)] = undefined;
    const received = this.received(id);
    this.#octets.settle(id);
    if (received !== id) this.release(received);
  }
}
