/** Fields of a BGPFilter rule about a route's attributes: communities, AS path patterns, operations. */
import { parseAddress } from '#lib/ip.ts';
import { asNumber, celAsNumber, celIsZero, isAsNumber, parseAsNumber } from './formats.ts';
import { integer, integerOrText, text } from './scalars.ts';
import { list, object, optional, required } from './schema.ts';
import type { Infer, Rule, Schema } from './schema.ts';

/** A standard community as its unsigned number, an extended one (RFC 4360) as its two halves, a large one (RFC 8092) as its three. */
export type CommunityValue = number | readonly [number, number] | readonly [number, number, number];

/** Well-known communities that may be written by name. */
const named: ReadonlyMap<string, number> = new Map([
  ['GRACEFUL_SHUTDOWN', 0xffff0000],
  ['ACCEPT_OWN', 0xffff0001],
  ['LLGR_STALE', 0xffff0006],
  ['NO_LLGR', 0xffff0007],
  ['BLACKHOLE', 0xffff029a],
  ['NO_EXPORT', 0xffffff01],
  ['NO_ADVERTISE', 0xffffff02],
  ['NO_EXPORT_SUBCONFED', 0xffffff03],
  ['NOPEER', 0xffffff04],
]);
const names = [...named.keys()];

/** `65000:100`, `65000:1:2`, `rt:65000:100`, `0x0002fde800000064` or a name; `undefined` when it is none. */
export function parseCommunity(raw: string): CommunityValue | undefined {
  const wellKnown = named.get(raw);
  if (wellKnown !== undefined) return wellKnown;
  if (/^0x[0-9a-f]{16}$/.test(raw)) return [Number(raw.slice(0, 10)), Number(`0x${raw.slice(10)}`)];
  if (/^(rt|soo):/.test(raw)) return parseExtended(raw);
  if (!/^\d{1,10}(:\d{1,10}){1,2}$/.test(raw)) return undefined;
  const [a = 0, b = 0, c] = raw.split(':').map(Number);
  const most = c === undefined ? 0xffff : 0xffffffff;
  if (Math.max(a, b, c ?? 0) > most) return undefined;
  return c === undefined ? a * 0x10000 + b : [a, b, c];
}

/**
 * Route target (`rt`) or route origin (`soo`) of an AS or an IPv4 address (RFC 4360 §3, RFC 5668 §2): the type follows from
 * what is written.
 */
function parseExtended(raw: string): readonly [number, number] | undefined {
  const [kind, administrator = '', local = ''] = raw.split(':');
  const subtype = kind === 'rt' ? 2 : 3;
  const number = /^\d{1,10}$/.test(local) && raw.split(':').length === 3 ? Number(local) : undefined;
  if (number === undefined) return undefined;
  const octets = parseAddress(administrator)?.split('.').map(Number);
  const asn = /^\d{1,10}$/.test(administrator) ? Number(administrator) : undefined;
  if (octets?.length === 4)
    return wide(
      0x0100 + subtype,
      octets.reduce((all, octet) => all * 256 + octet, 0),
      number,
    );
  if (asn === undefined || asn > 0xffffffff) return undefined;
  if (asn > 0xffff) return wide(0x0200 + subtype, asn, number);
  return number > 0xffffffff ? undefined : [subtype * 0x10000 + asn, number];
}

/** A type with four octets of administrator and two of number. */
const wide = (type: number, administrator: number, number: number): readonly [number, number] | undefined =>
  number > 0xffff
    ? undefined
    : [type * 0x10000 + Math.floor(administrator / 0x10000), (administrator % 0x10000) * 0x10000 + number];

function toCommunity(raw: string): CommunityValue {
  const community = parseCommunity(raw);
  if (community === undefined) throw new TypeError(`not a community: ${raw}`);
  return community;
}

/** By form, so that the cost is that of the dearest one. In rt: and soo: the last number has four octets behind a two-octet AS. */
const celForms: readonly (readonly [form: string, holds: string])[] = [
  ['^[0-9]{1,10}:[0-9]{1,10}$', "self.split(':').all(x, int(x) <= 65535)"],
  ['^[0-9]{1,10}:[0-9]{1,10}:[0-9]{1,10}$', "self.split(':').all(x, int(x) <= 4294967295)"],
  [
    '^(rt|soo):[0-9]{1,10}:[0-9]{1,10}$',
    "int(self.split(':')[1]) <= 4294967295 && int(self.split(':')[2]) <= (int(self.split(':')[1]) <= 65535 ? 4294967295 : 65535)",
  ],
  ['^(rt|soo):[0-9.]{7,15}:[0-9]{1,10}$', "isIP(self.split(':')[1]) && int(self.split(':')[2]) <= 65535"],
];
const celCommunity = celForms.reduceRight(
  (rest, [form, holds]) => `self.matches('${form}') ? (${holds}) : (${rest})`,
  `self in [${names.map((name) => `'${name}'`).join(', ')}] || self.matches('^0x[0-9a-f]{16}$')`,
);
const communityRule: Rule<string> = {
  cel: celCommunity,
  holds: (raw) => parseCommunity(raw) !== undefined,
  sentence: `{value} is not a community; write aa:nn with numbers up to 65535, aa:nn:mm with numbers up to 4294967295, rt:aa:nn or soo:aa:nn for an extended one, its 16 hexadecimal digits behind 0x, or ${names.join(', ')}`,
};

export const community: Schema<CommunityValue> = text(
  { type: 'a community', maxLength: 32, rules: [communityRule] },
  toCommunity,
);

const communityOrAll: Schema<CommunityValue | '*'> = text(
  {
    type: 'a community or *',
    maxLength: 32,
    rules: [
      {
        ...communityRule,
        cel: `self == '*' || (${celCommunity})`,
        holds: (raw) => raw === '*' || communityRule.holds(raw),
        sentence: `${communityRule.sentence}; * for all`,
      },
    ],
  },
  (raw) => (raw === '*' ? raw : toCommunity(raw)),
);

const pathItem: Schema<number | '?' | '*'> = integerOrText(
  {
    type: 'an AS number, ? or *',
    maxLength: 11,
    rules: [
      {
        cel: `self in ['?', '*'] || (${celAsNumber} && !${celIsZero})`,
        holds: (raw) => raw === '?' || raw === '*' || isAsNumber(parseAsNumber(raw)) || parseAsNumber(raw) === 23456,
        sentence:
          '{value} is not part of an AS path pattern; write an AS number, ? for any one AS or * for any number of them',
      },
    ],
  },
  (raw) => (raw === '?' || raw === '*' ? raw : (parseAsNumber(raw) ?? 0)),
);
export const pathPattern = list(pathItem, { minItems: 1, maxItems: 50 });
export const asNumbers = list(asNumber, { minItems: 1, maxItems: 10 });

/** The local preference that Calico's priority stands for: a smaller priority is preferred. */
export const localPrefOf = (priority: number): number => 2147483647 - priority;
export const priority = integer(1, 2147483646);
const anyMetric = integer(0, 0xffffffff);

const value = <T>(schema: Schema<T>, description: string) => object({ value: required(schema, { description }) });

const kinds = 'addCommunity, deleteCommunity, prependASPath, setPriority, setLocalPref, setMED';

const operation = object(
  {
    addCommunity: optional(value(community, 'Added unless it is there.'), {
      description:
        'Adds a community: a standard (`aa:nn`), large (`aa:nn:mm`) or extended (`rt:aa:nn`, `soo:aa:nn`, `0x…`) one, or a well-known one by name.',
    }),
    deleteCommunity: optional(value(communityOrAll, 'Taken off; `*`: all communities of every kind.'), {
      description: 'Takes a community off. Before addCommunity it replaces.',
    }),
    prependASPath: optional(
      object({
        prefix: required(asNumbers, { description: 'AS numbers; the path then begins with them in this order.' }),
      }),
      { description: 'Makes the AS path longer. On export to an external peer the local AS still stands in front.' },
    ),
    setPriority: optional(value(priority, 'The priority.'), {
      description: "Calico's way to set the local preference: to 2147483647 less the priority.",
    }),
    setLocalPref: optional(value(anyMetric, 'The local preference; higher is preferred.'), {
      description: 'Sets LOCAL_PREF, which is announced to internal peers only.',
    }),
    setMED: optional(value(anyMetric, 'The metric; lower is preferred.'), {
      description: 'Sets MULTI_EXIT_DISC, also towards external peers.',
    }),
  },
  {
    rules: [
      {
        cel: `[${kinds
          .split(', ')
          .map((name) => `has(self.${name})`)
          .join(', ')}].filter(x, x).size() == 1`,
        holds: (it) => Object.values(it).filter((one) => one !== undefined).length === 1,
        sentence: `an operation is exactly one of ${kinds}`,
      },
    ],
  },
);

export const operations = list(operation, { minItems: 1, maxItems: 10 });
export type Operation = Infer<typeof operation>;
