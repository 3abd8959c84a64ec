/**
 * PURE: what is free in the pools for Services while a plan is made: claims as they are and as the plan makes them,
 * reservations, and what others have.
 */
import {
  addressFromBigInt,
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
import type { AddressClaim, ServicePool, ServicesInput } from './intent.ts';

interface Span {
  readonly first: bigint;
  /** Inclusive. */
  readonly last: bigint;
}

export class ServiceGround {
  readonly #input: ServicesInput;
  readonly #claims: Map<IpAddress, AddressClaim>;
  /** Names of addresses by key, as they were claimed. */
  readonly #byKey = new Map<string, IpAddress[]>();
  /** Where the next look at a pool begins: what was taken stays taken while a plan is made. */
  readonly #cursors = new Map<string, bigint>();

  constructor(input: ServicesInput) {
    this.#input = input;
    this.#claims = new Map(input.claims.map((claim) => [claim.address, claim]));
    for (const claim of input.claims) this.#index(claim);
  }

  claim(address: IpAddress): AddressClaim | undefined {
    return this.#claims.get(address);
  }

  put(claim: AddressClaim): void {
    this.#claims.set(claim.address, claim);
    this.#index(claim);
  }

  /** Claims that say the key, the lowest address first. */
  withKey(key: string): readonly AddressClaim[] {
    return (this.#byKey.get(key) ?? [])
      .flatMap((address) => this.#claims.get(address) ?? [])
      .filter(({ sharingKey }) => sharingKey === key)
      .sort((a, b) => (addressToBigInt(a.address) < addressToBigInt(b.address) ? -1 : 1));
  }

  /** Of pools that overlap the one that is not closed. */
  poolOf(address: IpAddress): ServicePool | undefined {
    const around = this.#input.pools.filter(({ cidr }) => contains(cidr, address));
    return around.find(({ closed }) => closed !== 'overlapping') ?? around[0];
  }

  reservation(address: IpAddress): Prefix | undefined {
    return this.#input.reserved.find((prefix) => contains(prefix, address));
  }

  elsewhere(address: IpAddress): string | undefined {
    return this.#input.elsewhere.get(address);
  }

  /** The lowest free address that may be given unasked. */
  free({ name, cidr }: ServicePool): IpAddress | undefined {
    const family = familyOf(cidr);
    const base = addressToBigInt(networkAddress(cidr));
    const last = base + prefixSize(cidr) - 1n;
    const excluded = this.#excluded(cidr, base, last);
    let at = this.#cursors.get(name) ?? base;
    while (at <= last) {
      const span = excluded.find(({ first, last: end }) => at >= first && at <= end);
      if (span !== undefined) {
        at = span.last + 1n;
        continue;
      }
      const address = addressFromBigInt(family, at);
      if (!this.#claims.has(address) && !this.#input.elsewhere.has(address)) break;
      at += 1n;
    }
    this.#cursors.set(name, at);
    return at <= last ? addressFromBigInt(family, at) : undefined;
  }

  #excluded(cidr: Prefix, base: bigint, last: bigint): readonly Span[] {
    const spans = this.#input.reserved
      .filter((prefix) => overlaps(cidr, prefix))
      .map((prefix): Span => {
        const first = addressToBigInt(networkAddress(prefix));
        return { first, last: first + prefixSize(prefix) - 1n };
      });
    // What old programs take for the network and for everybody, and the anycast address of RFC 4291 §2.6.1.
    const length = prefixLength(cidr);
    if (familyOf(cidr) === 'ipv4' && length <= 30) spans.push({ first: base, last: base }, { first: last, last });
    if (familyOf(cidr) === 'ipv6' && length <= 126) spans.push({ first: base, last: base });
    return spans;
  }

  #index({ address, sharingKey }: AddressClaim): void {
    if (sharingKey === undefined) return;
    const known = this.#byKey.get(sharingKey) ?? [];
    if (!known.includes(address)) this.#byKey.set(sharingKey, [...known, address]);
  }
}
