/** PURE: what a Service asks for by annotations, and whether it can be meant. Whether it can be had is another matter. */
import { type Family, familyOf, type IpAddress, parseAddress } from '#lib/ip.ts';
import { fail, ok, type Result } from '#lib/result.ts';
import type { Refusal, WantingService } from './intent.ts';

/** Addresses by family. */
export type Wishes = ReadonlyMap<Family, IpAddress>;

export function wishesOf(service: WantingService): Result<Wishes, Refusal> {
  const { addresses: texts, loadBalancerIP, families } = service;
  const written = texts.length > 0 ? texts : loadBalancerIP === undefined ? [] : [loadBalancerIP];
  const addresses: IpAddress[] = [];
  for (const text of written) {
    const address = parseAddress(text);
    if (address === undefined || isMapped(address)) return fail({ kind: 'notAnAddress', text });
    if (!addresses.includes(address)) addresses.push(address);
  }
  if (texts.length > 0 && loadBalancerIP !== undefined) {
    const address = parseAddress(loadBalancerIP);
    if (address === undefined || !addresses.includes(address)) return fail({ kind: 'twoWishes', loadBalancerIP });
  }
  if (addresses.length > 2) return fail({ kind: 'tooManyAddresses', count: addresses.length });
  const [first, second] = addresses;
  if (first !== undefined && second !== undefined && familyOf(first) === familyOf(second))
    return fail({ kind: 'twoOfOneFamily', addresses });
  const stranger = addresses.find((address) => !families.includes(familyOf(address)));
  if (stranger !== undefined) return fail({ kind: 'otherFamily', address: stranger, families });
  return ok(new Map(addresses.map((address) => [familyOf(address), address])));
}

const isMapped = (address: IpAddress): boolean => /^::ffff:[0-9a-f]{1,4}:[0-9a-f]{1,4}$/.test(address);
