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

function parseIpv4(text: string): Uint8Array | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  const bytes = new Uint8Array(4);
  for (let i = 0; i < 4; i++) {
    const part = match[i + 1] ?? '';
    // A leading zero is octal to some readers and decimal to others: refused.
    if (part.length > 1 && part.startsWith('0')) return undefined;
    const value = Number(part);
    if (value > 255) return undefined;
    bytes[i] = value;
  }
  return bytes;
}

function parseIpv6(text: string): Uint8Array | undefined {
  if (text.length > 45 || !/^[0-9a-fA-F:.]+$/.test(text)) return undefined;
  let rest = text;
  let tail: Uint8Array | undefined;
  if (rest.includes('.')) {
    const colon = rest.lastIndexOf(':');
    tail = parseIpv4(rest.slice(colon + 1));
    if (tail === undefined || colon < 0) return undefined;
    rest = `${rest.slice(0, colon + 1)}${(((tail[0] ?? 0) << 8) | (tail[1] ?? 0)).toString(16)}:${(((tail[2] ?? 0) << 8) | (tail[3] ?? 0)).toString(16)}`;
  }
  const halves = rest.split('::');
  if (halves.length > 2) return undefined;
  const groups = (half: string): number[] | undefined => {
    if (half === '') return [];
    const values: number[] = [];
    for (const part of half.split(':')) {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      values.push(Number.parseInt(part, 16));
    }
    return values;
  };
  const head = groups(halves[0] ?? '');
  const end = halves.length === 2 ? groups(halves[1] ?? '') : [];
  if (head === undefined || end === undefined) return undefined;
  const missing = 8 - head.length - end.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const all = [...head, ...Array.from({ length: halves.length === 2 ? missing : 0 }, () => 0), ...end];
  const bytes = new Uint8Array(16);
  all.forEach((value, i) => {
    bytes[2 * i] = value >> 8;
    bytes[2 * i + 1] = value & 255;
  });
  return bytes;
}

/** Reads an address in any accepted spelling; `undefined` if it is none (zones such as `%eth0` are not accepted). */
export function parseAddress(text: string): IpAddress | undefined {
  const bytes = text.includes(':') ? parseIpv6(text) : parseIpv4(text);
  return bytes === undefined ? undefined : addressFromBytes(bytes);
}

export const familyOf = (value: IpAddress | Prefix): Family => (value.includes(':') ? 'ipv6' : 'ipv4');

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
export function comparePrefixes(a: Prefix, b: Prefix): number {
  if (familyOf(a) !== familyOf(b)) return familyOf(a) === 'ipv4' ? -1 : 1;
  const order = Buffer.compare(prefixParts(a).bytes, prefixParts(b).bytes);
  return order === 0 ? prefixLength(a) - prefixLength(b) : order;
}
