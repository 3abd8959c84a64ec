/** IPBlock: one block of addresses and the node that owns it. Creating the object is the claim. */
import { addressBytes, familyOf, networkAddress, parsePrefix, prefixFromBytes, prefixLength } from '#lib/ip.ts';
import type { Family, Prefix } from '#lib/ip.ts';
import { objectName, prefix } from './formats.ts';
import { ownKind } from './kind.ts';
import { blockStatus, reasonColumn } from './object-status.ts';
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

/** The largest block of a pool: whatever overlaps another block of a pool lies in the same range of this length. */
const areaLength = { ipv4: 20, ipv6: 116 } as const;
/** Where the address begins in a name. */
const addressAt = 'ipv4-'.length;

/** `0a3c0` for 10.60.1.0/26: the digits of its name that all blocks of pools which may overlap it have too. `undefined`: it is larger. */
export function areaOf(cidr: Prefix): string | undefined {
  const family = familyOf(cidr);
  if (prefixLength(cidr) < areaLength[family]) return undefined;
  return blockName(cidr).slice(addressAt, addressAt + areaLength[family] / 4);
}

/** Of an object whose name is right. */
const celArea = (family: Family): string => {
  const length = areaLength[family];
  const digits = `self.metadata.name.substring(${addressAt}, ${addressAt + length / 4})`;
  const long = `size(self.metadata.name) > ${addressAt + length / 4} && cidr(self.spec.cidr).prefixLength() >= ${length}`;
  return `${long} && self.spec.area == ${digits}`;
};

/**
 * The name in CEL, where a text made from an address has no bound and so costs too much to look at. IPv4: the name is made
 * of the numbers. IPv6: the prefix is made of the name, whose length is known, and compared.
 */
const celOctets = [0, 1, 2, 3].map((i) => `int(self.spec.cidr.replace('/', '.').split('.')[${i}])`);
const celDigits = celOctets.map((octet) => `${octet} < 16 ? '0' : '', ${octet}`);
const celName4 = `'ipv4-%s%x%s%x%s%x%s%x-%d'.format([${celDigits.join(', ')}, cidr(self.spec.cidr).prefixLength()])`;
const celGroups = Array.from({ length: 8 }, (_, i) => `self.metadata.name.substring(${5 + 4 * i}, ${9 + 4 * i})`);
const celPrefix6 = `${celGroups.join(" + ':' + ")} + '/' + self.metadata.name.substring(38)`;
const celName6 = [
  "self.metadata.name.matches('^ipv6-[0-9a-f]{32}-(0|[1-9][0-9]{0,2})$')",
  `isCIDR(${celPrefix6})`,
  `cidr(${celPrefix6}) == cidr(self.spec.cidr)`,
].join(' && ');

const spec = object(
  {
    cidr: required(prefix, { description: 'The block: `10.60.1.0/26`. Immutable.' }),
    node: required(objectName, { description: 'The node that owns it.' }),
    nodeUID: optional(string({ type: 'the UID of a Node', minLength: 1, maxLength: 128 }), {
      description:
        'UID of the Node object that owns it, written by the agent that claimed it. A block without one was made by hand: no agent releases it and nobody collects it.',
    }),
    machineID: optional(string({ type: 'a machine id', minLength: 1, maxLength: 128 }), {
      description:
        'Machine id of the Node that owns it: a Node made again under its name on the same machine keeps the block.',
    }),
    area: optional(string({ type: 'hexadecimal digits', minLength: 5, maxLength: 29 }), {
      description:
        'The first digits of the address in the name, those of a /20 or /116, by which a claimer finds what could overlap its block. Written by agents; a block without it is looked at by every claimer. Immutable, and cannot be added later.',
    }),
    state: defaulted(oneOf('Pending', 'Claimed', 'Releasing'), 'Claimed', {
      description:
        '`Pending`: just made, and not used before its agent has seen that it overlaps no other block. `Claimed`: its node uses it. `Releasing`: no new addresses from it; deleted once nobody has one.',
    }),
  },
  {
    changes: [
      { cel: 'self.cidr == oldSelf.cidr', sentence: 'cannot be changed; the block is another object', path: ['cidr'] },
      {
        cel: "(has(self.area) ? self.area : '') == (has(oldSelf.area) ? oldSelf.area : '')",
        sentence: 'cannot be changed; it is a part of the name',
        path: ['area'],
      },
    ],
  },
);

export const ipBlock = ownKind(
  'IPBlock',
  {
    shortNames: ['frblock'],
    columns: [
      { name: 'CIDR', type: 'string', jsonPath: '.spec.cidr' },
      { name: 'Node', type: 'string', jsonPath: '.spec.node' },
      { name: 'State', type: 'string', jsonPath: '.spec.state' },
      { ...reasonColumn, name: 'Problem' },
    ],
    status: blockStatus,
    selectableFields: ['.spec.node', '.spec.area'],
    description:
      'A block of addresses and its owner. The name is made of the block, `ipv4-0a3c0100-26` for 10.60.1.0/26, so that creating the object is the claim. In directory mode they are static files. With `addressSource: NodePodCIDR` only those of pools with `assignmentMode: Manual` are used, beside the podCIDRs.',
  },
  spec,
  [
    {
      cel: `!isCIDR(self.spec.cidr) || (self.spec.cidr.contains(':') ? (${celName6}) : self.metadata.name == ${celName4})`,
      holds: (it) => it.metadata.name === blockName(it.spec.cidr),
      sentence: 'the IPBlock of {cidr} is named {name}',
      fill: {
        cidr: { cel: 'self.spec.cidr', text: (it) => it.spec.cidr },
        name: {
          cel: `(self.spec.cidr.contains(':') ? 'ipv6-<32 hexadecimal digits of the address>-<length>' : ${celName4})`,
          text: (it) => blockName(it.spec.cidr),
        },
      },
      path: ['metadata', 'name'],
    },
    {
      cel: `!has(self.spec.area) || !isCIDR(self.spec.cidr) || (self.spec.cidr.contains(':') ? (${celArea('ipv6')}) : (${celArea('ipv4')}))`,
      holds: (it) => it.spec.area === undefined || it.spec.area === areaOf(it.spec.cidr),
      sentence:
        'the area is the first 5 digits of the address in the name, 29 for IPv6, and a larger block has none; leave it out',
      path: ['spec', 'area'],
    },
  ],
);

export type IPBlock = Infer<typeof ipBlock.schema>;
