/** IPBlock: one block of addresses and the node that owns it. Creating the object is the claim. */
import { networkAddress, addressBytes, familyOf, prefixLength } from '#lib/ip.ts';
import type { Prefix } from '#lib/ip.ts';
import { objectName, prefix } from './formats.ts';
import { ownKind } from './kind.ts';
import { object, required } from './schema.ts';
import type { Infer } from './schema.ts';

/** `ipv4-0a3c0100-26` for 10.60.1.0/26: one name for one block, so that it cannot be claimed twice. */
export const blockName = (cidr: Prefix): string =>
  `${familyOf(cidr)}-${Buffer.from(addressBytes(networkAddress(cidr))).toString('hex')}-${prefixLength(cidr)}`;

const spec = object({
  cidr: required(prefix, { description: 'The block. Immutable.' }),
  node: required(objectName, { description: 'The node that owns it.' }),
});

export const ipBlock = ownKind(
  'IPBlock',
  {
    shortNames: ['frblock'],
    description:
      'A block of addresses and its owner. The name is made of the block, `ipv4-0a3c0100-26` for 10.60.1.0/26, so that creating the object is the claim. In directory mode they are static files. With `addressSource: NodePodCIDR` only those of pools with `assignmentMode: Manual` are used, beside the podCIDRs.',
  },
  spec,
  [
    {
      cel: undefined,
      holds: (it) => it.metadata.name === blockName(it.spec.cidr),
      sentence: 'the IPBlock of {cidr} is named {name}',
      fill: {
        cidr: { cel: 'self.spec.cidr', text: (it) => it.spec.cidr },
        name: { cel: "''", text: (it) => blockName(it.spec.cidr) },
      },
      path: ['metadata', 'name'],
    },
  ],
);

export type IPBlock = Infer<typeof ipBlock.schema>;
