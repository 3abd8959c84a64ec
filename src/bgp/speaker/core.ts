/** The tables that all peers of one engine share. */
import type { Family } from '#lib/ip.ts';
import type { FibUpdate } from '#dataplane/fib/route.ts';
import { Adjacencies } from '../rib/adjacency.ts';
import { AttributeStore } from '../rib/attribute-store.ts';
import { FamilyRib } from '../rib/family-rib.ts';
import { FibOutput } from '../rib/fib-output.ts';
import { NextHops } from '../rib/next-hops.ts';
import type { UpdateGroupOptions } from '../rib/update-group.ts';
import { EncodedStore, UpdateGroup } from '../rib/update-group.ts';
import { decodeAttributes, encodeAttributes } from '../wire/attributes.ts';
import { nextHopBytes } from '../wire/next-hop.ts';

export class Core {
  readonly adjacencies = new Adjacencies();
  readonly attributes = new AttributeStore(decodeAttributes);
  readonly nextHops = new NextHops();
  readonly encoded = new EncodedStore();
  readonly fib: FibOutput;
  readonly ribs: Readonly<Record<Family, FamilyRib>>;
  readonly #groups = new Map<string, UpdateGroup>();

  constructor(emit: (update: FibUpdate) => void, decided: (rib: FamilyRib, prefix: number) => void) {
    this.fib = new FibOutput(emit);
    const modules = {
      adjacencies: this.adjacencies,
      attributes: this.attributes,
      nextHops: this.nextHops,
      fib: this.fib,
      decided,
    };
    const multipath = { maximumPaths: 1, relax: true };
    this.ribs = {
      ipv4: new FamilyRib('ipv4', multipath, modules),
      ipv6: new FamilyRib('ipv6', multipath, modules),
    };
    this.attributes.onFreed((id) => {
      for (const group of this.#groups.values()) group.forget(id);
    });
  }

  /** The group of peers that are told the same; `policyKey` is equal for equal export policies. */
  joinGroup(policyKey: string, options: UpdateGroupOptions): UpdateGroup {
    const { family, external, localAsn, nextHop, context } = options;
    const key = [
      family,
      external,
      localAsn,
      nextHop.global,
      nextHop.linkLocal,
      context.fourOctetAs,
      context.extendedNextHop,
      policyKey,
    ].join(' ');
    let group = this.#groups.get(key);
    if (group === undefined) {
      group = new UpdateGroup(key, options, {
        attributes: this.attributes,
        adjacencies: this.adjacencies,
        nextHops: this.nextHops,
        encoded: this.encoded,
        encodeAttributes,
        nextHopBytes,
      });
      this.#groups.set(key, group);
    }
    group.members++;
    return group;
  }

  leaveGroup(group: UpdateGroup): void {
    if (--group.members > 0) return;
    group.close();
    this.#groups.delete(group.key);
  }
}
