/**
 * The scalar formats that several kinds share: AS numbers, prefixes, addresses, durations, selectors, names. Each is one
 * schema with its rules in CEL and in TypeScript; reading one gives the typed value.
 */
import { checkPrefix, contains, familyOf, parseAddress, parsePrefix } from '#lib/ip.ts';
import type { Asn, Family, IpAddress, Prefix } from '#lib/ip.ts';
import { milliseconds } from '#lib/time.ts';
import type { Duration } from '#lib/time.ts';
import { integerOrText, string, text } from './scalars.ts';
import type { Rule, Schema } from './schema.ts';
import { parseSelector, uses } from './selector.ts';
import type { Selector } from './selector.ts';

/** `64512`, or dotted `1.10` (RFC 5396); `undefined` when it is not the text of a 32-bit number. */
export function parseAsNumber(raw: number | string): number | undefined {
  if (typeof raw === 'number') return Number.isInteger(raw) && raw >= 0 && raw <= 0xffffffff ? raw : undefined;
  const dotted = /^(\d{1,5})\.(\d{1,5})$/.exec(raw);
  if (dotted !== null) {
    const [high, low] = [Number(dotted[1]), Number(dotted[2])];
    return high > 0xffff || low > 0xffff ? undefined : high * 0x10000 + low;
  }
  return /^\d{1,10}$/.test(raw) && Number(raw) <= 0xffffffff ? Number(raw) : undefined;
}

/** RFC 7607: 0 is reserved; RFC 6793 §9: 23456 (AS_TRANS) stands for numbers that an old speaker cannot write. */
export const isAsNumber = (value: number | undefined): value is Asn =>
  value !== undefined && value > 0 && value <= 0xffffffff && value !== 23456;

const anyNumber = 'use 1 to 4294967295, without 23456';
/** A number of four octets, or two of two octets. */
const celAsText =
  "(self.matches('^[0-9]{1,10}$') ? int(self) <= 4294967295 : (self.matches('^[0-9]{1,5}[.][0-9]{1,5}$') && self.split('.').all(x, int(x) <= 65535)))";
/** Whether a number of 32 bits stands there, reserved or not. */
export const celAsNumber = `(type(self) == int ? (self >= 0 && self <= 4294967295) : ${celAsText})`;
/** Zero in any spelling that `celAsNumber` takes. */
export const celIsZero = "(type(self) == int ? self == 0 : self.matches('^0+([.]0+)?$'))";

export const asNumber: Schema<Asn> = integerOrText(
  {
    type: 'an AS number',
    maxLength: 11,
    fraction: 'a dotted AS number stands in quotes, such as "1.10"',
    rules: [
      {
        cel: celAsNumber,
        holds: (raw) => parseAsNumber(raw) !== undefined,
        sentence: `{value} is not an AS number; ${anyNumber}`,
      },
      {
        cel: `!${celIsZero}`,
        celAlone: true,
        holds: (raw) => parseAsNumber(raw) !== 0,
        sentence: `{value} is not an AS number (RFC 7607); ${anyNumber}`,
      },
      {
        cel: "type(self) == int ? self != 23456 : !self.matches('^(0*|0+[.])23456$')",
        celAlone: true,
        holds: (raw) => parseAsNumber(raw) !== 23456,
        sentence: `{value} is AS_TRANS, which stands for numbers an old router cannot write (RFC 6793); ${anyNumber}`,
      },
    ],
  },
  (raw) => parseAsNumber(raw) as Asn,
);

/** So many, or so many of a hundred. */
export type CountOrPercent = { readonly count: number } | { readonly percent: number };

function parseCountOrPercent(raw: number | string): CountOrPercent | undefined {
  if (typeof raw === 'number') return Number.isInteger(raw) && raw >= 0 && raw <= 100_000 ? { count: raw } : undefined;
  const percent = /^(\d{1,3})%$/.exec(raw)?.[1];
  return percent !== undefined && Number(percent) <= 100 ? { percent: Number(percent) } : undefined;
}

/** `3` or `10%`, as Kubernetes has it in maxUnavailable. */
export const countOrPercent: Schema<CountOrPercent> = integerOrText(
  {
    type: 'a number or a percentage',
    maxLength: 4,
    fraction: 'use a whole number, or a percentage such as 10%',
    rules: [
      {
        cel: "type(self) == int ? (self >= 0 && self <= 100000) : self.matches('^([0-9]{1,2}|0[0-9]{2}|100)%$')",
        holds: (raw) => parseCountOrPercent(raw) !== undefined,
        sentence: '{value} is neither a number of nodes nor a percentage; use 0 to 100000, or 0% to 100%',
      },
    ],
  },
  (raw) => parseCountOrPercent(raw) ?? { count: 0 },
);

/** ::ffff:0:0/96: an IPv4 address in disguise, which is to be written as one. */
function isMapped(raw: string): boolean {
  const address = raw.includes(':') ? parseAddress(raw) : undefined;
  return address !== undefined && /^::ffff:[0-9a-f]{1,4}:[0-9a-f]{1,4}$/.test(address);
}

const hostBits = {
  meant: {
    cel: 'string(cidr(self).masked())',
    text: (value: string): string => {
      const checked = checkPrefix(value);
      return !checked.ok && checked.error.kind === 'hostBits' ? checked.error.meant : value;
    },
  },
};

const prefixRules: readonly Rule<string>[] = [
  {
    cel: 'isCIDR(self)',
    holds: (raw) => {
      const checked = checkPrefix(raw);
      return (checked.ok || checked.error.kind === 'hostBits') && !isMapped(raw.slice(0, raw.indexOf('/')));
    },
    sentence: '{value} is not a prefix; write address/length, such as 10.60.0.0/16 or fd60::/48',
  },
  {
    cel: 'cidr(self).masked() == cidr(self)',
    holds: (raw) => checkPrefix(raw).ok,
    sentence: '{value} has host bits set; write {meant}',
    fill: hostBits,
  },
];

function toPrefix(raw: string): Prefix {
  const prefix = parsePrefix(raw);
  if (prefix === undefined) throw new TypeError(`not a prefix: ${raw}`);
  return prefix;
}

export const prefix: Schema<Prefix> = text({ type: 'a prefix', maxLength: 49, rules: prefixRules }, toPrefix);

export function prefixOfFamily(family: Family): Schema<Prefix> {
  const name = family === 'ipv4' ? 'IPv4' : 'IPv6';
  const rule: Rule<string> = {
    cel: `cidr(self).ip().family() == ${family === 'ipv4' ? 4 : 6}`,
    holds: (raw) => familyOf(toPrefix(raw)) === family,
    sentence: `{value} is not an ${name} prefix; rules of the other family have a list of their own`,
  };
  return text({ type: `an ${name} prefix`, maxLength: 49, rules: [...prefixRules, rule] }, toPrefix);
}

/** Addresses that no session can have at its other end. */
const notUnicast = ['0.0.0.0/8', '224.0.0.0/3', '::/128', 'ff00::/8'].map(toPrefix);
const linkLocal = ['169.254.0.0/16', 'fe80::/10'].map(toPrefix);

export interface Endpoint {
  readonly address: IpAddress;
  readonly port: number | undefined;
}

export function parseEndpoint(raw: string): Endpoint | undefined {
  const bracketed = /^\[([^\]]+)\](?::(\d{1,5}))?$/.exec(raw);
  const plain = bracketed ?? /^([^:]+):(\d{1,5})$/.exec(raw) ?? [raw, raw, undefined];
  const address = parseAddress(plain[1] ?? '');
  const port = plain[2] === undefined ? undefined : Number(plain[2]);
  if (address === undefined || isMapped(address) || (bracketed !== null && familyOf(address) === 'ipv4'))
    return undefined;
  return port === undefined || (port > 0 && port <= 65535) ? { address, port } : undefined;
}

const endpointAddress = (raw: string): IpAddress => toEndpoint(raw).address;

function toEndpoint(raw: string): Endpoint {
  const endpoint = parseEndpoint(raw);
  if (endpoint === undefined) throw new TypeError(`not an address: ${raw}`);
  return endpoint;
}

/** In CEL the text of the address without brackets and port, and that of the port, for what has the form of an endpoint. */
const celHost = "(self.startsWith('[') ? self.split(']')[0].substring(1) : (isIP(self) ? self : self.split(':')[0]))";
const celPort = "(isIP(self) || self.endsWith(']') ? '179' : self.substring(self.lastIndexOf(':') + 1))";
const celInside = (ranges: readonly Prefix[]): string =>
  `[${ranges.map((range) => `'${range}'`).join(', ')}].exists(range, cidr(range).containsIP(${celHost}))`;

export const endpoint: Schema<Endpoint> = text(
  {
    type: 'an address, optionally with a port',
    minLength: 2,
    maxLength: 64,
    rules: [
      {
        cel: `isIP(self) || ((self.matches('^[0-9.]+:[0-9]{1,5}$') || self.matches('^[[][0-9a-fA-F.]*:[0-9a-fA-F:.]*[]](:[0-9]{1,5})?$')) && isIP(${celHost}) && int(${celPort}) > 0 && int(${celPort}) <= 65535)`,
        holds: (raw) => parseEndpoint(raw) !== undefined,
        sentence:
          '{value} is not an address; write 192.0.2.1, 192.0.2.1:179, 2001:db8::1 or [2001:db8::1]:179, without a zone',
      },
      {
        cel: `!${celInside(linkLocal)}`,
        holds: (raw) => !linkLocal.some((range) => contains(range, endpointAddress(raw))),
        sentence:
          '{value} is link-local, which says nothing without an interface; name the interface in spec.interface, or use a routed address of the peer',
      },
      {
        cel: `!${celInside(notUnicast)}`,
        holds: (raw) => !notUnicast.some((range) => contains(range, endpointAddress(raw))),
        sentence: '{value} is no unicast address; use the address of the peer',
      },
    ],
  },
  toEndpoint,
);

/** What the kernel takes for a name (dev_valid_name), without a percent sign, which begins a zone. */
export const interfaceName: Schema<string> = text(
  {
    type: 'the name of an interface',
    minLength: 1,
    maxLength: 15,
    rules: [
      {
        cel: "self.matches('^[!-~]+$') && !self.matches('[/:%]') && self != '.' && self != '..'",
        holds: (raw) => /^[!-~]+$/.test(raw) && !/[/:%]/.test(raw) && raw !== '.' && raw !== '..',
        sentence: '{value} cannot be the name of an interface; write one that `ip link` shows, such as eth1',
      },
    ],
  },
  (raw) => raw,
);

export const ipv4Address: Schema<IpAddress> = text(
  {
    type: 'an IPv4 address',
    maxLength: 15,
    rules: [
      {
        cel: 'isIP(self) && ip(self).family() == 4',
        holds: (raw) => {
          const address = parseAddress(raw);
          return address !== undefined && familyOf(address) === 'ipv4';
        },
        sentence: '{value} is not an IPv4 address; write four numbers such as 192.0.2.11',
      },
      {
        cel: "self != '0.0.0.0'",
        holds: (raw) => raw !== '0.0.0.0',
        sentence: '{value} cannot be a BGP identifier (RFC 6286); use another address',
      },
    ],
  },
  (raw) => toEndpoint(raw).address,
);

/** Any address of either family. */
export const address: Schema<IpAddress> = text(
  {
    type: 'an address',
    maxLength: 45,
    rules: [
      {
        cel: 'isIP(self)',
        holds: (raw) => parseAddress(raw) !== undefined && !isMapped(raw),
        sentence: '{value} is not an address; write one such as 10.60.1.7 or fd60::7',
      },
    ],
  },
  (raw) => toAddress(raw),
);

function toAddress(raw: string): IpAddress {
  const parsed = parseAddress(raw);
  if (parsed === undefined) throw new TypeError(`not an address: ${raw}`);
  return parsed;
}

/** Of one unit each, in nanoseconds. */
const unit: Readonly<Record<string, bigint>> = {
  ms: 1_000_000n,
  s: 10n ** 9n,
  m: 60n * 10n ** 9n,
  h: 3600n * 10n ** 9n,
};
const durationPattern =
  '^(0|([0-9]{1,5}([.][0-9]{1,9})?h|[0-9]{1,7}([.][0-9]{1,9})?m|[0-9]{1,9}([.][0-9]{1,9})?s|[0-9]{1,9}ms)+)$';

/** Nanoseconds, exactly, so that a fraction of a second is never rounded away. */
function parseNanoseconds(raw: string): bigint | undefined {
  if (raw === '0') return 0n;
  if (!new RegExp(durationPattern).test(raw)) return undefined;
  let total = 0n;
  for (const [, whole = '', fraction = '', name = ''] of raw.matchAll(/(\d+)(?:\.(\d+))?(ms|s|m|h)/g))
    total += (BigInt(whole + fraction.padEnd(9, '0')) * (unit[name] ?? 0n)) / 10n ** 9n;
  return total;
}

/** `90s`, `1m30s`, `1.5h`; whole milliseconds; `undefined` when it is no duration. */
export function parseDuration(raw: string): Duration | undefined {
  const total = parseNanoseconds(raw);
  return total === undefined ? undefined : milliseconds(Number(total / 1_000_000n));
}

function toDuration(raw: string): Duration {
  const parsed = parseDuration(raw);
  if (parsed === undefined) throw new TypeError(`not a duration: ${raw}`);
  return parsed;
}

/** A whole number of seconds in bounds; `zero` allows 0 beside them. */
export function duration(bounds: {
  readonly from: number;
  readonly to: number;
  readonly zero?: boolean;
}): Schema<Duration> {
  const allowed = `${bounds.zero === true ? '0s, or ' : ''}${bounds.from}s to ${bounds.to}s`;
  const inBounds = `duration(self) >= duration('${bounds.from}s') && duration(self) <= duration('${bounds.to}s')`;
  return text(
    {
      type: `a duration, ${allowed}`,
      maxLength: 32,
      rules: [
        {
          cel: `self.matches('${durationPattern}')`,
          holds: (raw) => parseDuration(raw) !== undefined,
          sentence: '{value} is not a duration; write a number and its unit, such as 90s or 1m30s',
        },
        {
          cel: "duration(self) == duration('%ds'.format([duration(self).getSeconds()]))",
          holds: (raw) => (parseNanoseconds(raw) ?? 0n) % 10n ** 9n === 0n,
          sentence: '{value} is not a whole number of seconds, which is all that BGP can say',
        },
        {
          cel: bounds.zero === true ? `duration(self) == duration('0s') || (${inBounds})` : inBounds,
          holds: (raw) => {
            const value = toDuration(raw);
            return (value === 0 && bounds.zero === true) || (value >= bounds.from * 1000 && value <= bounds.to * 1000);
          },
          sentence: `{value} is out of bounds; use ${allowed}`,
        },
      ],
    },
    toDuration,
  );
}

function selectorProblem(raw: string): string {
  const parsed = parseSelector(raw);
  return parsed.ok ? '' : `${parsed.error.text} (character ${parsed.error.at + 1})`;
}

const toSelector = (raw: string): Selector => {
  if (raw.trim() === '') return { text: raw, expression: { op: 'all' } };
  const parsed = parseSelector(raw);
  if (!parsed.ok) throw new TypeError(parsed.error.text);
  return parsed.value;
};

/** White space as JavaScript's \s has it, a quoted text, and a word, in the syntax of CEL's regular expressions (RE2). */
const space = String.raw`[\s\v\pZ\x{feff}]`;
const quoted = String.raw`(\x27[^\x27]*\x27|\x22[^\x22]*\x22)`;
const word = '[A-Za-z0-9_./-]+';
const spaced = (...parts: readonly string[]): string => parts.join(`${space}*`);
const celSelectorPart = [
  spaced('(all|global)', '[(]', '[)]'),
  spaced('has', '[(]', word, '[)]'),
  spaced(word, '[!=]=', quoted),
  spaced(`${word}${space}+(contains|(starts|ends)${space}+with)`, quoted),
  spaced(`${word}${space}+(not${space}+)?in`, '[{]', `(${spaced(quoted, `(,${spaced('', quoted, '')})*`)})?[}]`),
].join('|');
const celUnary = `([!(]${space}*)*(${celSelectorPart})(${space}*[)])*`;
/** The grammar of selector.ts with parentheses anywhere around its parts; that as many close as open is a count. */
const celSelector = `^${spaced('', celUnary, `((&&|[|][|])${spaced('', celUnary, '')})*`)}$`;
const celParentheses = `self.findAll(r"${quoted}|[()]")`;
const celGrammar = [
  `self.matches(r"^${space}*$")`,
  `(self.matches(r"${celSelector}") && ${celParentheses}.filter(x, x == '(').size() == ${celParentheses}.filter(x, x == ')').size())`,
].join(' || ');

/** Calico's selector expression. */
function selectorWith(more: readonly Rule<string>[]): Schema<Selector> {
  const grammar: Rule<string> = {
    cel: celGrammar,
    celGap:
      'a parenthesis that closes before one opens, where as many close as open, and nesting beyond 64 levels: nodes refuse these',
    holds: (raw) => raw.trim() === '' || parseSelector(raw).ok,
    sentence: '{value} is not a selector: {problem}',
    fill: {
      problem: {
        cel: `r"write label == 'value', label in {'a', 'b'}, has(label) or all(), joined by && and ||, with ! for not"`,
        text: selectorProblem,
      },
    },
  };
  return text({ type: 'a selector expression', maxLength: 1024, rules: [grammar, ...more] }, toSelector);
}

export const selector: Schema<Selector> = selectorWith([]);

export const selectorWithoutGlobal: Schema<Selector> = selectorWith([
  {
    cel: `!self.findAll(r"${quoted}|\\bglobal${space}*[(]").exists(x, x.startsWith('global'))`,
    holds: (raw) => !uses(toSelector(raw).expression, 'global'),
    sentence: '{value}: global() has no meaning for an address pool; use all()',
  },
]);

const namePattern = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** Name of an object: a DNS subdomain (RFC 1123), as Kubernetes wants it. */
export const objectName: Schema<string> = string({
  type: 'a name',
  minLength: 1,
  maxLength: 253,
  rules: [
    {
      cel: "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
      holds: (raw) => namePattern.test(raw),
      sentence: '{value} is not a name; use lower-case letters, digits, - and ., with a letter or digit at both ends',
    },
  ],
});
