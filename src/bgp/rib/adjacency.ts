/**
 * One neighbour as the RIB knows it: a slot number that its paths carry, what the decision process compares of it, and
 * its import rules. It outlives a session when graceful restart keeps its routes; otherwise the next session gets a new
 * adjacency, and the paths of the dead one are swept out in slices while nobody uses them any more.
 */
import type { Family, IpAddress } from '#lib/ip.ts';
import { addressBytes } from '#lib/ip.ts';
import type { ImportRules } from '../policy/import.ts';

export interface Adjacency {
  readonly slot: number;
  readonly name: string;
  readonly external: boolean;
  /** A client of this route reflector. */
  client: boolean;
  /** In hex, 40 digits, so that strings compare as addresses do; of the same link-local address by interface. */
  readonly addressKey: string;
  /** The peer's BGP identifier, unsigned. */
  routerId: number;
  /** False: its paths are garbage. */
  alive: boolean;
  /** Families whose paths come with identifiers (RFC 7911), in the session that is or was last. */
  addPath: readonly Family[];
  /** Modulo 256; a path of another life is stale. */
  readonly life: Record<Family, number>;
  readonly received: Record<Family, number>;
  readonly accepted: Record<Family, number>;
  /** Of all its paths together, as if each had its own: what it could cost if it wanted to. */
  attributeOctets: number;
  rules: ImportRules;
}

const addressKey = (address: IpAddress, interfaceIndex: number): string =>
  Buffer.from(addressBytes(address)).toString('hex').padStart(32, '0') + interfaceIndex.toString(16).padStart(8, '0');

export class Adjacencies {
  readonly #bySlot: (Adjacency | undefined)[] = [undefined];
  readonly #free: number[] = [];

  open(peer: {
    readonly name: string;
    readonly external: boolean;
    readonly client?: boolean;
    readonly address: IpAddress;
    readonly interfaceIndex?: number | undefined;
    readonly routerId: number;
    readonly rules: ImportRules;
  }): Adjacency {
    const slot = this.#free.pop() ?? this.#bySlot.length;
    // The slot column of the paths has 16 bits.
    if (slot > 0xffff) throw new RangeError('more than 65535 adjacencies');
    const adjacency: Adjacency = {
      slot,
      name: peer.name,
      external: peer.external,
      client: peer.client ?? false,
      addressKey: addressKey(peer.address, peer.interfaceIndex ?? 0),
      routerId: peer.routerId,
      alive: true,
      addPath: [],
      life: { ipv4: 0, ipv6: 0 },
      received: { ipv4: 0, ipv6: 0 },
      accepted: { ipv4: 0, ipv6: 0 },
      attributeOctets: 0,
      rules: peer.rules,
    };
    this.#bySlot[slot] = adjacency;
    return adjacency;
  }

  at(slot: number): Adjacency {
    const adjacency = this.#bySlot[slot];
    if (adjacency === undefined) throw new RangeError(`no adjacency in slot ${slot}`);
    return adjacency;
  }

  /** Only when no path carries the slot any more. */
  close(adjacency: Adjacency): void {
    this.#bySlot[adjacency.slot] = undefined;
    this.#free.push(adjacency.slot);
  }
}
