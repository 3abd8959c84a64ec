/** IPBlock: one block of addresses and the node that owns it. Creating the object is the claim. */
import { addressBytes, familyOf, networkAddress, parsePrefix, prefixFromBytes, prefixLength } from '#lib/ip.ts';
import type { Prefix } from '#lib/ip.ts';
import { objectName, prefix } from './formats.ts';
import { ownKind } from './kind.ts';
import { oneOf, string } from './scalars.ts';
import { defaulted, object, optional, required } from './schema.ts';
import type { Infer } from './schema.ts';

/** `ipv4-0a3c0100-26` for 10.60.1.0/26: one name for one block, so that it cannot be claimed twice. */
export const blockName = (cidr: Prefix): string =>
  `${familyOf(cidr)}-${Buffer.from(addressBytes(networkAddress(cidr))).toString('hex')}-${prefixLength(cidr)}`;

/** What `blockName` was made of; `undefined` for any other name. */
export function blockOfName(name: string): Prefix | undefined {
  const [, hex, length] = /^ipv(?:4-(?=.{8}-)|6-(?=.{32}-))([0-9a-f]+)-(\d{1,3})$/.exec(name) ?? [];
  if (hex === undefined) return undefined;
  const cidr = parsePrefix(prefixFromBytes(Buffer.from(hex, 'hex'), Number(length)));
  return cidr !== undefined && blockName(cidr) === name ? cidr : undefined;
}

const spec = object({
  cidr: required(prefix, { description: 'The block. Immutable.' }),
  node: required(objectName, { description: 'The node that owns it.' }),
  nodeUID: optional(string({ type: 'the UID of a Node', minLength: 1, maxLength: 128 }), {
    description:
      'UID of the Node object that owns it, written by the agent that claimed it. A block without one was made by hand: no agent releases it and nobody collects it.',
  }),
  machineID: optional(string({ type: 'a machine id', minLength: 1, maxLength: 128 }), {
    description:
      'Machine id of the Node that owns it: a Node made again under its name on the same machine keeps the block.',
  }),
  state: defaulted(oneOf('Pending', 'Claimed', 'Releasing'), 'Claimed', {
    description:
      '`Pending`: just made, and not used before its agent has seen that it overlaps no other block. `Claimed`: its node uses it. `Releasing`: no new addresses from it; deleted once nobody has one.',
  }),
});

export const ipBlock = ownKind(
  'IPBlock',
  {
    shortNames: ['frblock'],
    columns: [
      { name: 'CIDR', type: 'string', jsonPath: '.spec.cidr' },
      { name: 'Node', type: 'string', jsonPath: '.spec.node' },
    ],
    selectableFields: ['.spec.node'],
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
