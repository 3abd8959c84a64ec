/**
 * Addresses and prefixes of both families as canonical text (RFC 5952), branded so that they cannot be mixed up
 * with other strings: they compare with ===, serve as Map keys and cross threads as they are. Hot paths (RIB, netlink)
 * use the byte form. Nothing here throws on foreign input: parsers answer `undefined`.
 */
export type Family = 'ipv4' | 'ipv6';
export type IpAddress = string & { readonly __ip: unique symbol };
/** Canonical `address/length` with no host bits set. */
export type Prefix = string & { readonly __prefix: unique symbol };
/** An autonomous system number, 1 to 4294967295. */
export type Asn = number & { readonly __asn: unique symbol };

export const families: readonly Family[] = ['ipv4', 'ipv6'];
export const addressBits = (family: Family): 32 | 128 => (family === 'ipv4' ? 32 : 128);

const ZERO = 0x30;
const DOT = 0x2e;
const COLON = 0x3a;

/** Four numbers of text[from…] to its end into `bytes` from `at`; false when they are no IPv4 address. */
function readIpv4(text: string, from: number, bytes: Uint8Array, at: number): boolean {
  let part = 0;
  let value = 0;
  let digits = 0;
  for (let i = from; i <= text.length; i++) {
    const code = i < text.length ? text.charCodeAt(i) : DOT;
    if (code === DOT) {
      if (digits === 0 || part > 3) return false;
      bytes[at + part] = value;
      part += 1;
      value = 0;
      digits = 0;
      continue;
    }
    const digit = code - ZERO;
    // A leading zero is octal to some readers and decimal to others: refused.
    if (digit < 0 || digit > 9 || (digits > 0 && value === 0)) return false;
    value = 10 * value + digit;
    digits += 1;
    if (value > 255) return false;
  }
  return part === 4;
}

function parseIpv4(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(4);
  return readIpv4(text, 0, bytes, 0) ? bytes : undefined;
}

function hexDigit(code: number): number {
  if (code >= ZERO && code <= 0x39) return code - ZERO;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** By hand, because it is called some ten times for each pod and for each route that is shown. */
function parseIpv6(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(16);
  /** Bytes written, and how many of them stand before the `::`. */
  let at = 0;
  let gap = -1;
  let i = 0;
  if (text.startsWith('::')) {
    gap = 0;
    i = 2;
  }
  while (i < text.length) {
    if (at > 14) return undefined;
    const start = i;
    let value = 0;
    let code = 0;
    for (; i < text.length; i++) {
      code = text.charCodeAt(i);
      const digit = hexDigit(code);
      if (digit < 0) break;
      value = 16 * value + digit;
    }
    if (i < text.length && code === DOT) {
      if (at > 12 || !readIpv4(text, start, bytes, at)) return undefined;
      at += 4;
      i = text.length;
      break;
    }
    if (i === start || i - start > 4) return undefined;
    bytes[at] = value >> 8;
    bytes[at + 1] = value & 255;
    at += 2;
    if (i === text.length) break;
    if (code !== COLON) return undefined;
    i += 1;
    if (text.charCodeAt(i) === COLON) {
      if (gap >= 0) return undefined;
      gap = at;
      i += 1;
    } else if (i === text.length) return undefined;
  }
  if (gap < 0) return at === 16 ? bytes : undefined;
  // `::` stands for one group at least.
  if (at > 14) return undefined;
  bytes.copyWithin(16 - (at - gap), gap, at);
  bytes.fill(0, gap, 16 - (at - gap));
  return bytes;
}

/** Reads an address in any accepted spelling; `undefined` if it is none (zones such as `%eth0` are not accepted). */
export function parseAddress(text: string): IpAddress | undefined {
  const bytes = text.includes(':') ? parseIpv6(text) : parseIpv4(text);
  return bytes === undefined ? undefined : addressFromBytes(bytes);
}

export const familyOf = (value: IpAddress | Prefix): Family => (value.includes(':') ? 'ipv6' : 'ipv4');

/** Any address of the family, or none yet. */
export const unspecifiedAddress = (family: Family): IpAddress => (family === 'ipv4' ? '0.0.0.0' : '::') as IpAddress;

/** fe80::/10, told by the canonical text because every received next hop is asked. */
export const isLinkLocal = (address: IpAddress): boolean => /^fe[89ab][0-9a-f]:/.test(address);

/** Four or sixteen bytes in network order. */
export function addressBytes(address: IpAddress): Uint8Array {
  const bytes = address.includes(':') ? parseIpv6(address) : parseIpv4(address);
  if (bytes === undefined) throw new TypeError(`not an address: ${address}`);
  return bytes;
}

/** Canonical text of four or sixteen bytes: lower case, longest run of zero groups shortened (RFC 5952 §4). */
export function addressFromBytes(bytes: Uint8Array): IpAddress {
  if (bytes.length === 4) return bytes.join('.') as IpAddress;
  if (bytes.length !== 16) throw new TypeError(`an address has 4 or 16 bytes, not ${bytes.length}`);
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0));
  let bestStart = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (i + length < 8 && groups[i + length] === 0) length++;
    if (length > bestLength) {
      bestStart = i;
      bestLength = length;
    }
    i += length;
  }
  const hex = (part: readonly number[]): string => part.map((g) => g.toString(16)).join(':');
  if (bestStart < 0) return hex(groups) as IpAddress;
  return `${hex(groups.slice(0, bestStart))}::${hex(groups.slice(bestStart + bestLength))}` as IpAddress;
}

export interface PrefixParts {
  readonly family: Family;
  /** Network address, 4 or 16 bytes, host bits zero. */
  readonly bytes: Uint8Array;
  readonly length: number;
}

/** What can be wrong with a prefix in text; `hostBits` says which prefix was probably meant. */
export type PrefixProblem =
  | { readonly kind: 'notAPrefix' }
  | { readonly kind: 'length'; readonly longest: number }
  | { readonly kind: 'hostBits'; readonly meant: Prefix };

export function checkPrefix(text: string): { ok: true; value: Prefix } | { ok: false; error: PrefixProblem } {
  const slash = text.indexOf('/');
  const address = slash < 0 ? undefined : parseAddress(text.slice(0, slash));
  const lengthText = text.slice(slash + 1);
  if (address === undefined || !/^(0|[1-9]\d{0,2})$/.test(lengthText))
    return { ok: false, error: { kind: 'notAPrefix' } };
  const length = Number(lengthText);
  const longest = addressBits(familyOf(address));
  if (length > longest) return { ok: false, error: { kind: 'length', longest } };
  const meant = prefixOf(address, length);
  return meant.slice(0, meant.indexOf('/')) === address
    ? { ok: true, value: meant }
    : { ok: false, error: { kind: 'hostBits', meant } };
}

export function parsePrefix(text: string): Prefix | undefined {
  const checked = checkPrefix(text);
  return checked.ok ? checked.value : undefined;
}

/** The prefix of the given length that holds `address`: host bits are cut off. */
export function prefixOf(address: IpAddress, length: number): Prefix {
  const bytes = addressBytes(address);
  clearHostBits(bytes, length);
  return `${addressFromBytes(bytes)}/${length}` as Prefix;
}

/** The /32 or /128 of one address. */
export const hostPrefix = (address: IpAddress): Prefix => `${address}/${addressBits(familyOf(address))}` as Prefix;

function clearHostBits(bytes: Uint8Array, length: number): void {
  for (let i = 0; i < bytes.length; i++) {
    const keep = Math.min(Math.max(length - 8 * i, 0), 8);
    bytes[i] = (bytes[i] ?? 0) & (0xff00 >> keep) & 0xff;
  }
}

export const prefixLength = (prefix: Prefix): number => Number(prefix.slice(prefix.indexOf('/') + 1));
export const networkAddress = (prefix: Prefix): IpAddress => prefix.slice(0, prefix.indexOf('/')) as IpAddress;

export function prefixParts(prefix: Prefix): PrefixParts {
  return { family: familyOf(prefix), bytes: addressBytes(networkAddress(prefix)), length: prefixLength(prefix) };
}

export const prefixFromBytes = (bytes: Uint8Array, length: number): Prefix =>
  `${addressFromBytes(bytes)}/${length}` as Prefix;

function sameBits(a: Uint8Array, b: Uint8Array, bits: number): boolean {
  const whole = bits >> 3;
  for (let i = 0; i < whole; i++) if (a[i] !== b[i]) return false;
  const rest = bits & 7;
  return rest === 0 || ((a[whole] ?? 0) ^ (b[whole] ?? 0)) >> (8 - rest) === 0;
}

/** Whether `inner` (an address or a prefix) lies in `outer`; equal counts, families never mix. */
export function contains(outer: Prefix, inner: IpAddress | Prefix): boolean {
  if (familyOf(outer) !== familyOf(inner)) return false;
  const length = prefixLength(outer);
  if (!inner.includes('/')) return sameBits(prefixParts(outer).bytes, addressBytes(inner as IpAddress), length);
  return (
    prefixLength(inner as Prefix) >= length &&
    sameBits(prefixParts(outer).bytes, prefixParts(inner as Prefix).bytes, length)
  );
}

export const overlaps = (a: Prefix, b: Prefix): boolean => contains(a, b) || contains(b, a);

export function addressToBigInt(address: IpAddress): bigint {
  let value = 0n;
  for (const byte of addressBytes(address)) value = (value << 8n) | BigInt(byte);
  return value;
}

export function addressFromBigInt(family: Family, value: bigint): IpAddress {
  const bytes = new Uint8Array(family === 'ipv4' ? 4 : 16);
  let rest = value;
  for (let i = bytes.length - 1; i >= 0; i--) {
    bytes[i] = Number(rest & 255n);
    rest >>= 8n;
  }
  return addressFromBytes(bytes);
}

/** How many addresses a prefix has. */
export const prefixSize = (prefix: Prefix): bigint =>
  1n << BigInt(addressBits(familyOf(prefix)) - prefixLength(prefix));

/** The n-th address of a prefix, counted from its network address. */
export const addressAt = (prefix: Prefix, n: bigint): IpAddress =>
  addressFromBigInt(familyOf(prefix), addressToBigInt(networkAddress(prefix)) + n);

/** Order for people and for determinism: IPv4 first, then by value, then by length. */
export const comparePrefixes = (a: Prefix, b: Prefix): number => compareParts(prefixParts(a), prefixParts(b));

/** In that order; each is read once, not for each comparison. */
export function inPrefixOrder<T>(items: Iterable<T>, prefixOf: (item: T) => Prefix): T[] {
  return Array.from(items, (item) => ({ item, parts: prefixParts(prefixOf(item)) }))
    .sort((a, b) => compareParts(a.parts, b.parts))
    .map(({ item }) => item);
}

function compareParts(a: PrefixParts, b: PrefixParts): number {
  if (a.family !== b.family) return a.family === 'ipv4' ? -1 : 1;
  for (let i = 0; i < a.bytes.length; i++) {
    const difference = (a.bytes[i] ?? 0) - (b.bytes[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
