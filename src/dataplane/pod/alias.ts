/**
 * PURE: the record of an attachment in the alias of its host end, at most 255 bytes (IFALIASZ less its NUL):
 *
 *   fr1 NETWORK CONTAINER INTERFACE TIME ADDRESSES MAC[~MTU] NAMESPACE/POD
 *
 * with the network's hash, the boot time in milliseconds as base 36, the addresses in hex with commas between, and `-` for a MAC
 * that follows from the key. An MTU is there when it was asked for. The last field is for people: it is cut to the room that is left. None of the others may be
 * cut, because a restarted agent knows nothing else.
 */
import { addressBytes, addressFromBytes, type IpAddress } from '#lib/ip.ts';
import { type Result, fail, ok } from '#lib/result.ts';
import type { Attachment } from './attachment.ts';

export const ALIAS_MAX_BYTES = 255;
const VERSION = 'fr1';

export interface AliasTooLong {
  /** Bytes that the record needs without the names. */
  readonly needed: number;
}

export function encodeAlias(attachment: Attachment): Result<string, AliasTooLong> {
  const record = [
    VERSION,
    attachment.networkHash,
    attachment.containerId,
    attachment.interfaceName,
    Math.floor(attachment.bootMilliseconds).toString(36),
    attachment.addresses.map((address) => Buffer.from(addressBytes(address)).toString('hex')).join(','),
    `${attachment.mac?.replaceAll(':', '') ?? '-'}${attachment.mtu === undefined ? '' : `~${attachment.mtu}`}`,
  ].join(' ');
  const needed = Buffer.byteLength(record);
  if (needed > ALIAS_MAX_BYTES) return fail({ needed });
  const nameless = attachment.namespace === '' && attachment.pod === '';
  const names = nameless ? '' : `${attachment.namespace}/${attachment.pod}`.replace(/[^\x21-\x7e]/g, '?');
  const room = ALIAS_MAX_BYTES - needed - 1;
  return ok(room <= 1 || names === '' ? record : `${record} ${names.slice(0, room)}`);
}

export function decodeAlias(text: string): Attachment | undefined {
  const fields = text.split(' ');
  if (fields.length < 7 || fields.length > 8 || fields[0] !== VERSION) return undefined;
  const [, network = '', containerId = '', interfaceName = '', time = '', hex = '', settings = '', names = ''] = fields;
  const [, mac = '', mtu] = /^(-|[0-9a-f]{12})(?:~([1-9][0-9]{0,4}))?$/.exec(settings) ?? [];
  if (!/^[0-9a-f]{12}$/.test(network) || containerId === '' || interfaceName === '') return undefined;
  if (!/^[0-9a-z]{1,10}$/.test(time) || mac === '') return undefined;
  const addresses: IpAddress[] = [];
  for (const one of hex === '' ? [] : hex.split(',')) {
    if (!/^([0-9a-f]{8}|[0-9a-f]{32})$/.test(one)) return undefined;
    addresses.push(addressFromBytes(Buffer.from(one, 'hex')));
  }
  const slash = names.indexOf('/');
  return {
    networkHash: network,
    containerId,
    interfaceName,
    bootMilliseconds: Number.parseInt(time, 36),
    addresses,
    mtu: mtu === undefined ? undefined : Number(mtu),
    mac: mac === '-' ? undefined : (mac.match(/../g) ?? []).join(':'),
    namespace: slash < 0 ? '' : names.slice(0, slash),
    pod: slash < 0 ? names : names.slice(slash + 1),
  };
}
