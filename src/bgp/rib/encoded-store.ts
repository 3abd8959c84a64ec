/**
 * Path attributes as they are sent, interned by their bytes across all update groups: what a peer was told of a route is one
 * number, and the same number means the same bytes.
 */
import type { IpAddress } from '#lib/ip.ts';
import type { PathAttributes } from '../wire/messages.ts';

export interface EncodedAttributes {
  readonly id: number;
  readonly value: PathAttributes;
  readonly bytes: Uint8Array;
  /** Next hop of MP_REACH_NLRI; `undefined` for classic IPv4 NLRI. */
  readonly mpNextHop: Uint8Array | undefined;
  readonly nextHop: IpAddress;
}

interface StoredEncoding extends EncodedAttributes {
  readonly key: string;
  references: number;
}

/** All encoded attributes in use, counted by prefixes sent and by the caches of the groups. */
export class EncodedStore {
  readonly #byKey = new Map<string, StoredEncoding>();
  readonly #byId: (StoredEncoding | undefined)[] = [undefined];
  readonly #free: number[] = [];

  get size(): number {
    return this.#byKey.size;
  }

  /** Takes a reference. */
  intern(encoding: Omit<EncodedAttributes, 'id'>): number {
    const { bytes, mpNextHop } = encoding;
    const text = (part: Uint8Array): string => Buffer.from(part).toString('latin1');
    const key = `${mpNextHop === undefined ? '' : text(mpNextHop)}|${text(bytes)}`;
    let stored = this.#byKey.get(key);
    if (stored === undefined) {
      const id = this.#free.pop() ?? this.#byId.length;
      stored = { ...encoding, id, key, references: 0 };
      this.#byId[id] = stored;
      this.#byKey.set(key, stored);
    }
    stored.references++;
    return stored.id;
  }

  get(id: number): EncodedAttributes {
    const stored = this.#byId[id];
    if (stored === undefined) throw new RangeError(`no encoded attributes ${id}`);
    return stored;
  }

  retain(id: number): void {
    const stored = this.#byId[id];
    if (stored !== undefined) stored.references++;
  }

  release(id: number): void {
    const stored = this.#byId[id];
    if (stored === undefined || --stored.references > 0) return;
    this.#byKey.delete(stored.key);
    this.#byId[id] = undefined;
    this.#free.push(id);
  }
}
