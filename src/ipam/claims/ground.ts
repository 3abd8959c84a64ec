/**
 * PURE: which blocks of a pool can still be claimed. In: what is taken (blocks of any size, of any node) and what is
 * reserved. Out: candidates, in an order of their own for each node: the walk begins at a hash of its name and goes on in
 * steps that its name decides too, so that nodes which begin together do not meet again and again.
 */
import {
  addressBits,
  addressFromBigInt,
  addressToBigInt,
  contains,
  type Family,
  familyOf,
  networkAddress,
  overlaps,
  type IpAddress,
  type Prefix,
  prefixLength,
} from '#lib/ip.ts';
import { Block } from '../block.ts';

/** A pool that is so full is searched no longer at one time: some 30 ms. */
const LONGEST_WALK = 1 << 17;

/** A block of a pool is not larger, so that what overlaps it lies in the same range of this length: the `area` of IPBlocks. */
const AREA_LENGTH = { ipv4: 20, ipv6: 116 } as const;

interface Range {
  readonly cidr: Prefix;
  readonly family: Family;
  readonly length: number;
  readonly value: bigint;
}

const rangeOf = (cidr: Prefix): Range => ({
  cidr,
  family: familyOf(cidr),
  length: prefixLength(cidr),
  value: addressToBigInt(networkAddress(cidr)),
});

export class Ground {
  readonly #taken: ReadonlyMap<Prefix, Range>;
  /** By family and length: the networks of that length in which something lies; made when it is asked for. */
  readonly #inside = new Map<string, ReadonlySet<bigint>>();
  #lengths: ReadonlySet<string> | undefined;

  constructor(taken: Iterable<Prefix> | ReadonlyMap<Prefix, Range>) {
    this.#taken =
      taken instanceof Map ? taken : new Map([...(taken as Iterable<Prefix>)].map((it) => [it, rangeOf(it)]));
  }

  /** Everything that overlaps. */
  overlapping(cidr: Prefix): Prefix[] {
    return [...this.#taken.keys()].filter((it) => overlaps(it, cidr));
  }

  with(more: readonly Prefix[]): Ground {
    return new Ground(new Map([...this.#taken, ...more.map((it) => [it, rangeOf(it)] as const)]));
  }

  without(gone: readonly Prefix[]): Ground {
    return new Ground(new Map([...this.#taken].filter(([it]) => !gone.includes(it))));
  }

  isFree(cidr: Prefix): boolean {
    const { family, length, value } = rangeOf(cidr);
    return this.isFreeAt(family, length, value >> BigInt(addressBits(family) - length));
  }

  /** `network`: the leading `length` bits. */
  isFreeAt(family: Family, length: number, network: bigint): boolean {
    if (this.#networks(family, length, false).has(network)) return false;
    this.#lengths ??= new Set([...this.#taken.values()].map((it) => `${it.family} ${it.length}`));
    for (let shorter = length - 1; shorter >= 0; shorter--) {
      if (!this.#lengths.has(`${family} ${shorter}`)) continue;
      if (this.#networks(family, shorter, true).has(network >> BigInt(length - shorter))) return false;
    }
    return true;
  }

  /** `exact`: only what has this very length; otherwise what is longer too. */
  #networks(family: Family, length: number, exact: boolean): ReadonlySet<bigint> {
    const key = `${family} ${length} ${exact}`;
    const known = this.#inside.get(key);
    if (known !== undefined) return known;
    const shift = BigInt(addressBits(family) - length);
    const networks = new Set<bigint>();
    for (const it of this.#taken.values())
      if (it.family === family && (exact ? it.length === length : it.length >= length)) networks.add(it.value >> shift);
    this.#inside.set(key, networks);
    return networks;
  }
}

/** How many addresses pods can have of a block. */
export const capacityOf = (cidr: Prefix, reserved: readonly Prefix[]): number =>
  new Block(
    cidr,
    reserved.filter((it) => overlaps(it, cidr)),
    0,
  ).capacity;

/** The block of a size that an address lies in. */
export function blockAround(address: IpAddress, length: number): Prefix {
  const family = familyOf(address);
  const shift = BigInt(addressBits(family) - length);
  return `${addressFromBigInt(family, (addressToBigInt(address) >> shift) << shift)}/${length}` as Prefix;
}

/**
 * The next block of a pool that a node may try to claim; `undefined`: none is left. Blocks of one range of the pool come one
 * after the other, so that whoever has looked at a range knows where to go in it.
 */
export function candidate(
  nodeName: string,
  pool: { readonly cidr: Prefix; readonly blockSize: number },
  ground: Ground,
  reserved: readonly Prefix[],
): Prefix | undefined {
  const family = familyOf(pool.cidr);
  const shift = BigInt(addressBits(family) - pool.blockSize);
  const base = addressToBigInt(networkAddress(pool.cidr)) >> shift;
  const inPool = reserved.filter((it) => overlaps(it, pool.cidr));
  if (inPool.some((it) => contains(it, pool.cidr))) return undefined;
  const poolLength = prefixLength(pool.cidr);
  const rangeLength = Math.max(poolLength, AREA_LENGTH[family]);
  const inRange = 1n << BigInt(pool.blockSize - rangeLength);
  let walked = 0;
  for (const range of walk(1n << BigInt(rangeLength - poolLength), `${nodeName} ${pool.cidr}`))
    for (const at of walk(inRange, `${pool.cidr} ${nodeName}`)) {
      if (walked++ === LONGEST_WALK) return undefined;
      const network = base + range * inRange + at;
      if (!ground.isFreeAt(family, pool.blockSize, network)) continue;
      const cidr = `${addressFromBigInt(family, network << shift)}/${pool.blockSize}` as Prefix;
      if (inPool.length === 0 || capacityOf(cidr, inPool) > 0) return cidr;
    }
  return undefined;
}

/** Each number below a power of two once, in an order of its own for each name. */
function* walk(count: bigint, name: string): Generator<bigint, void> {
  const start = hash(`${name} start`) % count;
  // Odd, and the count is a power of two.
  const step = (hash(`${name} step`) | 1n) % count;
  let at = start;
  do {
    yield at;
    at = (at + step) % count;
  } while (at !== start);
}

/** FNV-1a with 64 bits. */
function hash(text: string): bigint {
  let value = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(text)) value = ((value ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
  return value;
}
