/**
 * Path attributes as they are sent, interned by their octets across all update groups: what a peer was told of a route is one
 * number, and the same number means the same octets. Like received ones they are kept as octets only; who shows them to
 * people decodes them.
 */
import type { IpAddress } from '#lib/ip.ts';
import { addressFromBytes } from '#lib/ip.ts';
import type { PathAttributes, WireContext } from '../wire/messages.ts';
import { OctetStore } from './octet-store.ts';

export interface EncodedAttributes {
  /** A view that holds as long as the number is referred to. */
  readonly bytes: Uint8Array;
  /** Next hop of MP_REACH_NLRI; `undefined` for classic IPv4 NLRI. */
  readonly mpNextHop: Uint8Array | undefined;
}

export interface ShownAttributes {
  readonly value: PathAttributes;
  readonly nextHop: IpAddress | undefined;
}

/** Reads what `encodeAttributes` has written; `undefined` only for what it has not. */
export type DecodeSent = (bytes: Uint8Array, context: SentContext) => PathAttributes | undefined;

/** The part of a session's terms that what is sent depends on. */
export type SentContext = Pick<WireContext, 'fourOctetAs' | 'external'>;

const FOUR_OCTET_AS = 1;
const EXTERNAL = 2;
/** One octet with its length, then the next hop, stands before the attributes. */
const WITH_NEXT_HOP = 4;

/** All encoded attributes in use, counted by prefixes sent and by the caches of the groups. */
export class EncodedStore {
  readonly #octets = new OctetStore();
  readonly #decode: DecodeSent;
  #joined = new Uint8Array(256);

  constructor(decode: DecodeSent) {
    this.#decode = decode;
  }

  get size(): number {
    return this.#octets.size;
  }

  /** Takes a reference. */
  intern({ bytes, mpNextHop }: EncodedAttributes, context: SentContext): number {
    const kind = (context.fourOctetAs ? FOUR_OCTET_AS : 0) | (context.external ? EXTERNAL : 0);
    const id =
      mpNextHop === undefined
        ? this.#octets.intern(kind, bytes)
        : this.#octets.intern(kind | WITH_NEXT_HOP, this.#join(mpNextHop, bytes));
    this.#octets.retain(id);
    return id;
  }

  #join(mpNextHop: Uint8Array, bytes: Uint8Array): Uint8Array {
    const at = 1 + mpNextHop.length;
    const length = at + bytes.length;
    if (length > this.#joined.length) this.#joined = new Uint8Array(2 * length);
    this.#joined[0] = mpNextHop.length;
    this.#joined.set(mpNextHop, 1);
    this.#joined.set(bytes, at);
    return this.#joined.subarray(0, length);
  }

  get(id: number): EncodedAttributes {
    if (!this.#octets.has(id)) throw new RangeError(`no encoded attributes ${id}`);
    const octets = this.#octets.octets(id);
    if ((this.#octets.kind(id) & WITH_NEXT_HOP) === 0) return { bytes: octets, mpNextHop: undefined };
    const at = 1 + (octets[0] as number);
    return { bytes: octets.subarray(at), mpNextHop: octets.subarray(1, at) };
  }

  /** Octets of the attributes and of the next hop in MP_REACH_NLRI. */
  length(id: number): number {
    return this.#octets.length(id) - (this.hasMpNextHop(id) ? 1 : 0);
  }

  /** The next hop stands in MP_REACH_NLRI. */
  hasMpNextHop(id: number): boolean {
    return (this.#octets.kind(id) & WITH_NEXT_HOP) !== 0;
  }

  shown(id: number): ShownAttributes {
    const { bytes, mpNextHop } = this.get(id);
    const kind = this.#octets.kind(id);
    const context = { fourOctetAs: (kind & FOUR_OCTET_AS) !== 0, external: (kind & EXTERNAL) !== 0 };
    const value = this.#decode(bytes, context);
    if (value === undefined) throw new RangeError(`encoded attributes ${id} cannot be read`);
    return {
      value,
      nextHop:
        mpNextHop === undefined
          ? value.nextHop
          : addressFromBytes(mpNextHop.subarray(0, mpNextHop.length < 16 ? 4 : 16)),
    };
  }

  retain(id: number): void {
    this.#octets.retain(id);
  }

  release(id: number): void {
    if (this.#octets.release(id)) this.#octets.settle(id);
  }
}
