/**
 * PURE: the free addresses of one block, oldest first. Addresses that nobody has had since the start are walked once
 * around from a random place; released ones wait in a queue behind them. So an address that was just given back comes
 * last, and after a restart, when nobody knows what was released when, agents do not all begin at the same address.
 */
import {
  addressAt,
  addressToBigInt,
  contains,
  familyOf,
  type IpAddress,
  networkAddress,
  overlaps,
  type Prefix,
  prefixLength,
  prefixSize,
} from '#lib/ip.ts';

/** Offsets are plain numbers: of a larger block only the first 2^48 addresses are given out. */
const LARGEST_BLOCK = 2n ** 48n;

interface Span {
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
}

export class Block {
  readonly cidr: Prefix;
  /** Addresses that can be given out at all. */
  readonly capacity: number;
  readonly #size: number;
  readonly #excluded: readonly Span[];
  /** Released addresses, oldest first, each with its place among the releases of all blocks. */
  readonly #queue = new Map<IpAddress, number>();
  #cursor: number;
  #unwalked: number;

  /** `random` is in [0, 1) and decides where the walk begins. */
  constructor(cidr: Prefix, reserved: readonly Prefix[], random: number) {
    this.cidr = cidr;
    const size = prefixSize(cidr);
    this.#size = Number(size < LARGEST_BLOCK ? size : LARGEST_BLOCK);
    this.#excluded = excludedSpans(cidr, reserved, this.#size);
    this.capacity = this.#size - this.#excluded.reduce((sum, span) => sum + span.last - span.first + 1, 0);
    this.#cursor = Math.min(Math.floor(random * this.#size), this.#size - 1);
    this.#unwalked = this.#size;
  }

  /** A block of one address is a fixed address, which is announced only while a pod has it. */
  get isSingleAddress(): boolean {
    return this.#size === 1;
  }

  holds(address: IpAddress): boolean {
    return contains(this.cidr, address);
  }

  /** Whether the address is one of this block's that may be given out. */
  assignable(address: IpAddress): boolean {
    if (!this.holds(address)) return false;
    const offset = addressToBigInt(address) - addressToBigInt(networkAddress(this.cidr));
    return offset < BigInt(this.#size) && spanAt(this.#excluded, Number(offset)) === undefined;
  }

  /** The next address that nobody has had since the start; `isTaken` knows those that were given out by other ways. */
  takeFresh(isTaken: (address: IpAddress) => boolean): IpAddress | undefined {
    while (this.#unwalked > 0) {
      const offset = this.#cursor;
      const span = spanAt(this.#excluded, offset);
      const step = Math.min(span === undefined ? 1 : span.last - offset + 1, this.#unwalked);
      this.#unwalked -= step;
      this.#cursor = (offset + step) % this.#size;
      if (span !== undefined) continue;
      const address = addressAt(this.cidr, BigInt(offset));
      // One that is in the queue was taken and released before the walk came by: its turn is in the queue.
      if (!this.#queue.has(address) && !isTaken(address)) return address;
    }
    return undefined;
  }

  /** When the address was released that takeReleased() would give; `undefined`: none was. */
  get oldestRelease(): number | undefined {
    for (const at of this.#queue.values()) return at;
    return undefined;
  }

  takeReleased(isTaken: (address: IpAddress) => boolean): IpAddress | undefined {
    for (const address of this.#queue.keys()) {
      this.#queue.delete(address);
      if (!isTaken(address)) return address;
    }
    return undefined;
  }

  /** An address was taken by name. */
  claim(address: IpAddress): void {
    this.#queue.delete(address);
  }

  /** `at` grows with every release of any block. One that was reserved meanwhile is not given again. */
  release(address: IpAddress, at: number): void {
    this.#queue.delete(address);
    if (this.assignable(address)) this.#queue.set(address, at);
  }
}

const spanAt = (spans: readonly Span[], offset: number): Span | undefined =>
  spans.find((span) => offset >= span.first && offset <= span.last);

/** Sorted and without overlap. */
function excludedSpans(cidr: Prefix, reserved: readonly Prefix[], size: number): Span[] {
  const spans: Span[] = [];
  const base = addressToBigInt(networkAddress(cidr));
  for (const prefix of reserved) {
    if (!overlaps(cidr, prefix)) continue;
    const start = addressToBigInt(networkAddress(prefix)) - base;
    const first = start < 0n ? 0n : start;
    const end = start + prefixSize(prefix) - 1n;
    if (first >= BigInt(size)) continue;
    spans.push({ first: Number(first), last: Number(end < BigInt(size) ? end : BigInt(size - 1)) });
  }
  const length = prefixLength(cidr);
  if (familyOf(cidr) === 'ipv4') {
    // Network and broadcast address; RFC 3021: a /31 has neither.
    if (length <= 30) spans.push({ first: 0, last: 0 }, { first: size - 1, last: size - 1 });
  } else if (length <= 126) {
    // RFC 4291 §2.6.1: the subnet-router anycast address.
    spans.push({ first: 0, last: 0 });
  }
  const merged: Span[] = [];
  for (const span of spans.sort((a, b) => a.first - b.first)) {
    const before = merged.at(-1);
    if (before !== undefined && span.first <= before.last + 1)
      merged[merged.length - 1] = { first: before.first, last: Math.max(before.last, span.last) };
    else merged.push(span);
  }
  return merged;
}
