/** IPPool: a range of addresses for pods, or for Services, and what holds for it. */
import { addressBits, familyOf, overlaps, parsePrefix, prefixLength } from '#lib/ip.ts';
import type { Prefix } from '#lib/ip.ts';
import { prefix, selectorWithoutGlobal } from './formats.ts';
import { ownKind } from './kind.ts';
import { poolStatus } from './object-status.ts';
import { boolean, integer, oneOf } from './scalars.ts';
import { defaulted, list, object, optional, required } from './schema.ts';
import type { Infer } from './schema.ts';

const linkLocal = ['169.254.0.0/16', 'fe80::/10'].map((text) => parsePrefix(text) as Prefix);

/** The same in CEL, of an object that need not say it. */
const celBlockSize = (spec: string): string =>
  `(has(${spec}.blockSize) ? ${spec}.blockSize : (${spec}.cidr.contains(':') ? 122 : 26))`;

export const defaultBlockSize = (cidr: Prefix): number => (familyOf(cidr) === 'ipv4' ? 26 : 122);

const spec = object(
  {
    cidr: required(prefix, { description: 'The range: `10.60.0.0/16`, `fd60::/48`. Immutable.' }),
    blockSize: optional(integer(20, 128), {
      description: 'Length of the blocks that nodes own: 20 to 32 for IPv4, 116 to 128 for IPv6. Immutable.',
      defaultText: '26 for IPv4, 122 for IPv6',
    }),
    nodeSelector: defaulted(selectorWithoutGlobal, 'all()', {
      description:
        'The nodes that may own blocks of this pool, as a selector expression over their labels. Nothing to pools for Services.',
    }),
    namespaceSelector: defaulted(selectorWithoutGlobal, '', {
      description:
        'The namespaces whose pods, or Services, may have addresses of this pool, as a selector expression over their labels; empty: all. A namespace that a pool selects gets addresses of such pools only ([how an address is chosen](addresses.md)).',
    }),
    natOutgoing: defaulted(boolean, false, {
      description: "Translate to the node's address what pods of this pool send to anything outside every pool.",
    }),
    disabled: defaulted(boolean, false, {
      description: 'No new addresses from this pool; pods and Services that have one keep it.',
    }),
    disableBGPExport: defaulted(boolean, false, {
      description: 'Blocks of this pool are not announced.',
    }),
    allowedUses: defaulted(list(oneOf('Workload', 'LoadBalancer'), { maxItems: 2, unique: 'entry' }), ['Workload'], {
      description:
        'What its addresses are for: `Workload` for pods, `LoadBalancer` for Services ([how they get one](load-balancer.md)), not both. Immutable between the two.',
    }),
    assignmentMode: defaulted(oneOf('Automatic', 'Manual'), 'Automatic', {
      description:
        '`Manual`: only pods, or Services, that ask for this pool, or for one of its addresses, get one from it. Its /32 and /128 IPBlocks are fixed addresses, announced from where their pod runs.',
    }),
  },
  {
    rules: [
      {
        cel: `!isCIDR(self.cidr) || !['${linkLocal.join("', '")}'].exists(range, cidr(range).containsCIDR(self.cidr) || cidr(self.cidr).containsCIDR(range))`,
        holds: (it) => !linkLocal.some((range) => overlaps(range, it.cidr)),
        sentence: 'link-local addresses are not routed; use another range',
        path: ['cidr'],
      },
      {
        cel: "!has(self.blockSize) || (self.cidr.contains(':') ? self.blockSize >= 116 : self.blockSize <= 32)",
        holds: (it) =>
          it.blockSize === undefined || (familyOf(it.cidr) === 'ipv4' ? it.blockSize <= 32 : it.blockSize >= 116),
        sentence: 'use 20 to 32 for IPv4, 116 to 128 for IPv6',
        path: ['blockSize'],
      },
      {
        cel: `!isCIDR(self.cidr) || cidr(self.cidr).prefixLength() <= ${celBlockSize('self')}`,
        holds: (it) => prefixLength(it.cidr) <= (it.blockSize ?? defaultBlockSize(it.cidr)),
        sentence: 'the pool is smaller than one of its blocks; write a shorter prefix or a larger blockSize',
        path: ['cidr'],
      },
      {
        cel: '!has(self.allowedUses) || size(self.allowedUses) < 2',
        holds: (it) => it.allowedUses.length < 2,
        sentence: 'a pool is for pods or for Services; make one for each',
        path: ['allowedUses'],
      },
    ],
    changes: [
      {
        cel: 'self.cidr == oldSelf.cidr',
        sentence: 'cannot be changed; make another pool, and set disabled here',
        path: ['cidr'],
      },
      {
        cel: `${celBlockSize('self')} == ${celBlockSize('oldSelf')}`,
        sentence: 'cannot be changed; make another pool, and set disabled here',
        path: ['blockSize'],
      },
      {
        cel: "('LoadBalancer' in self.allowedUses) == ('LoadBalancer' in oldSelf.allowedUses)",
        sentence: 'cannot be changed between pods and Services; make another pool, and set disabled here',
        path: ['allowedUses'],
      },
    ],
  },
);

/** What blocks outside every pool are called in metrics and answers. */
export const nodePoolName = 'node';

export const ipPool = ownKind(
  'IPPool',
  {
    shortNames: ['frpool'],
    description: 'A range of addresses for pods, or for Services.',
    columns: [
      { name: 'CIDR', type: 'string', jsonPath: '.spec.cidr' },
      { name: 'Block', type: 'integer', jsonPath: '.spec.blockSize' },
      { name: 'Mode', type: 'string', jsonPath: '.spec.assignmentMode' },
      { name: 'Disabled', type: 'boolean', jsonPath: '.spec.disabled' },
      { name: 'Allocatable', type: 'string', jsonPath: '.status.conditions[?(@.type=="Allocatable")].status' },
      { name: 'Used', type: 'integer', jsonPath: '.status.blocks' },
      { name: 'Of', type: 'integer', jsonPath: '.status.capacity' },
      { name: 'Addresses', type: 'integer', jsonPath: '.status.usedAddresses' },
      { name: 'Nodes', type: 'string', jsonPath: '.spec.nodeSelector', wide: true },
      { name: 'Namespaces', type: 'string', jsonPath: '.spec.namespaceSelector', wide: true },
      { name: 'NAT', type: 'boolean', jsonPath: '.spec.natOutgoing', wide: true },
    ],
    status: poolStatus,
  },
  spec,
  [
    {
      cel: `self.metadata.name != '${nodePoolName}'`,
      holds: (it) => it.metadata.name !== nodePoolName,
      sentence: `no pool is named ${nodePoolName}: that is what blocks outside every pool are called`,
      path: ['metadata', 'name'],
    },
  ],
);

export type IPPool = Infer<typeof ipPool.schema>;

/** A block of one address is a fixed address. */
export const isSingleAddress = (block: Prefix): boolean => prefixLength(block) === addressBits(familyOf(block));
