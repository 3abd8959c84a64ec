/** BGPFilter: ordered rules for what is announced to a peer and accepted from it. */
import type { Family, Prefix } from '#lib/ip.ts';
import { addressBits, prefixLength } from '#lib/ip.ts';
import { prefixOfFamily } from './formats.ts';
import { ownKind } from './kind.ts';
import { acceptedColumn, namedStatus, reasonColumn } from './object-status.ts';
import { asNumbers, community, operations, pathPattern, priority } from './route-fields.ts';
import { integer, oneOf, string } from './scalars.ts';
import { list, object, optional, required } from './schema.ts';
import type { Infer } from './schema.ts';

/** Bounds as they count: min is at least the length of the cidr (as in Calico), max at most the longest length. */
export function lengthBounds(
  cidr: Prefix,
  family: Family,
  bounds: { readonly min: number | undefined; readonly max: number | undefined } | undefined,
): { readonly min: number; readonly max: number } {
  const length = prefixLength(cidr);
  return { min: Math.max(length, bounds?.min ?? length), max: bounds?.max ?? addressBits(family) };
}

function rulesOf(family: Family): ReturnType<typeof list<Infer<ReturnType<typeof ruleOf>>>> {
  return list(ruleOf(family), { maxItems: 200 });
}

/** As long as the kernel allows a name to be. */
const interfacePattern = string({
  type: 'an interface, or a pattern with *',
  minLength: 1,
  maxLength: 15,
  rules: [
    {
      cel: "self.matches('^[^/ ]+$')",
      holds: (it) => /^[^/ ]+$/.test(it),
      sentence: '{value} is no name of an interface; it has no / and no space, and * stands for any characters',
    },
  ],
});

const ruleOf = (family: Family) =>
  object(
    {
      cidr: optional(prefixOfFamily(family), {
        description: 'Prefix that a route is compared with. Absent: every route matches.',
      }),
      matchOperator: optional(oneOf('Equal', 'NotEqual', 'In', 'NotIn'), {
        description: '`Equal`: the same prefix. `In`: the same prefix or one inside it. Together with cidr.',
      }),
      prefixLength: optional(
        object({
          min: optional(integer(0, addressBits(family)), {
            description: 'Shortest length that matches.',
            defaultText: 'the length of cidr',
          }),
          max: optional(integer(0, addressBits(family)), {
            description: 'Longest length that matches.',
            defaultText: String(addressBits(family)),
          }),
        }),
        { description: 'Lengths of the routes that count as inside cidr. Only with `In` and `NotIn`.' },
      ),
      source: optional(oneOf('RemotePeers'), {
        description: 'Only routes that a peer announced, not those that the node announces itself.',
      }),
      peerType: optional(oneOf('eBGP', 'iBGP'), {
        description: 'The rule counts only on external (`eBGP`) or internal (`iBGP`) sessions.',
      }),
      interface: optional(interfacePattern, {
        description:
          "Interface by which the route's next hop is reached; `*` stands for any characters: `eth*`. What the node announces itself has none.",
      }),
      communities: optional(
        object({
          values: required(list(community, { minItems: 1, maxItems: 20 }), {
            description:
              'Standard (`aa:nn`), large (`aa:nn:mm`) or extended (`rt:aa:nn`, `soo:aa:nn`, `0x…`) communities, or well-known ones by name.',
          }),
        }),
        { description: 'Communities that the route carries, all of them.' },
      ),
      asPathPrefix: optional(asNumbers, {
        description: 'AS numbers with which the AS path begins: the neighbour first.',
      }),
      asPath: optional(pathPattern, {
        description:
          'Pattern for the whole AS path, the neighbour first: AS numbers, `?` for any one AS, `*` for any number of them or none. `[*, 65010]`: originated in AS 65010. As seen before the local AS is put in front.',
      }),
      priority: optional(priority, {
        description:
          "The route's local preference, Calico's way: 2147483647 less this. On import before any operation.",
      }),
      med: optional(integer(0, 0xffffffff), {
        description: "The route's MULTI_EXIT_DISC; one without it has 0. On import before any operation.",
      }),
      action: required(oneOf('Accept', 'Reject'), { description: 'What happens to a route that matches.' }),
      operations: optional(operations, {
        description: 'Changes to the route that was accepted, in order. Only with `Accept`.',
      }),
    },
    {
      rules: [
        {
          cel: 'has(self.cidr) == has(self.matchOperator)',
          holds: (it) => (it.cidr === undefined) === (it.matchOperator === undefined),
          sentence: 'cidr and matchOperator stand together, or neither does',
        },
        {
          cel: "!has(self.operations) || self.action == 'Accept'",
          holds: (it) => it.operations === undefined || it.action === 'Accept',
          sentence: 'a route that is rejected cannot be changed; use action Accept',
          path: ['operations'],
        },
        {
          cel: "!has(self.prefixLength) || (has(self.matchOperator) && self.matchOperator in ['In', 'NotIn'])",
          holds: (it) => it.prefixLength === undefined || it.matchOperator === 'In' || it.matchOperator === 'NotIn',
          sentence: 'needs cidr and matchOperator In or NotIn',
          path: ['prefixLength'],
        },
        {
          cel: '!has(self.prefixLength) || !has(self.prefixLength.max) || !has(self.cidr) || !isCIDR(self.cidr) || (self.prefixLength.max >= cidr(self.cidr).prefixLength() && (!has(self.prefixLength.min) || self.prefixLength.max >= self.prefixLength.min))',
          holds: (it) => {
            if (it.cidr === undefined || it.prefixLength === undefined) return true;
            const { min, max } = lengthBounds(it.cidr, family, it.prefixLength);
            return min <= max;
          },
          sentence: 'no prefix has such a length: max is smaller than min or than the length of cidr',
          path: ['prefixLength'],
        },
      ],
    },
  );

const rules = (family: Family, direction: 'announced to' | 'accepted from') =>
  optional(rulesOf(family), {
    description: `Rules for ${family === 'ipv4' ? 'IPv4' : 'IPv6'} routes ${direction} the peer, in order; the first that matches decides.`,
    reset: 'refresh',
  });

const spec = object({
  exportV4: rules('ipv4', 'announced to'),
  importV4: rules('ipv4', 'accepted from'),
  exportV6: rules('ipv6', 'announced to'),
  importV6: rules('ipv6', 'accepted from'),
  default: optional(oneOf('Accept', 'Reject'), {
    description:
      "What happens to a route that no rule matched, in both directions; filters behind this one are not asked. Absent: the next filter is asked, then importPolicy; in export the node's own routes are accepted.",
    reset: 'refresh',
  }),
});

export const bgpFilter = ownKind(
  'BGPFilter',
  {
    shortNames: ['frfilter'],
    columns: [
      { name: 'Default', type: 'string', jsonPath: '.spec.default' },
      { name: 'Peers', type: 'integer', jsonPath: '.status.peers' },
      acceptedColumn,
      reasonColumn,
    ],
    status: namedStatus,
    description:
      'Ordered rules, named by BGPPeers, for the routes of a session. Fields are those of Calico; what no rule decides is up to `default` and importPolicy, where Calico accepts.',
  },
  spec,
);

export type BGPFilter = Infer<typeof bgpFilter.schema>;
export type BGPFilterRule = NonNullable<BGPFilter['spec']['exportV4']>[number];
