/** The tables that all peers of one engine share. */
import type { Family } from '#lib/ip.ts';
import type { FibUpdate } from '#dataplane/fib/route.ts';
import { Adjacencies } from '../rib/adjacency.ts';
import { AttributeStore } from '../rib/attribute-store.ts';
import { FamilyRib } from '../rib/family-rib.ts';
import { FibOutput } from '../rib/fib-output.ts';
import { NextHops } from '../rib/next-hops.ts';
import { EncodedStore } from '../rib/encoded-store.ts';
import { RoutePacker } from '../rib/route-packer.ts';
import { UpdateGroups } from '../rib/update-groups.ts';
import { copyAttributes } from '../wire/attribute-copy.ts';
import { decodeAttributes, decodeSent, writeAttributes } from '../wire/attributes.ts';
import { nextHopBytes } from '../wire/next-hop.ts';
import { UpdateWriter } from '../wire/update-writer.ts';

export class Core {
  readonly adjacencies = new Adjacencies();
  readonly attributes = new AttributeStore(decodeAttributes);
  readonly nextHops = new NextHops();
  readonly encoded = new EncodedStore(decodeSent);
  readonly fib: FibOutput;
  readonly ribs: Readonly<Record<Family, FamilyRib>>;
  readonly groups: UpdateGroups;

  constructor(emit: (update: FibUpdate) => void) {
    this.fib = new FibOutput(emit);
    const modules = {
      adjacencies: this.adjacencies,
      attributes: this.attributes,
      nextHops: this.nextHops,
      fib: this.fib,
      decided: (rib: FamilyRib, prefix: number): void => this.groups.decided(rib, prefix),
    };
    const rules = { maximumPaths: 1, relax: true };
    this.ribs = {
      ipv4: new FamilyRib('ipv4', rules, modules),
      ipv6: new FamilyRib('ipv6', rules, modules),
    };
    this.groups = new UpdateGroups({
      attributes: this.attributes,
      adjacencies: this.adjacencies,
      nextHops: this.nextHops,
      encoded: this.encoded,
      packer: new RoutePacker(this.encoded),
      rib: (family) => this.ribs[family],
      writer: ({ context }) => new UpdateWriter(context),
      writeAttributes,
      copyAttributes,
      nextHopBytes,
    });
    this.attributes.onFreed((id) => this.groups.forget(id));
  }
}
