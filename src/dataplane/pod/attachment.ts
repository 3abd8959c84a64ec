/**
 * PURE: what one attachment is called. Network, container id and interface together name it (CNI specification,
 * "Attachment"); the host end's name and the pod's MAC come from their hash, so that a restarted agent knows both.
 */
import { hash } from 'node:crypto';
import type { IpAddress } from '#lib/ip.ts';
import { INTERFACE_PREFIX } from '../kernel-names.ts';

export interface AttachmentKey {
  /** First 12 hex digits of the SHA-256 of the network's name. */
  readonly networkHash: string;
  readonly containerId: string;
  /** Interface inside the pod. */
  readonly interfaceName: string;
}

export interface Attachment extends AttachmentKey {
  readonly addresses: readonly IpAddress[];
  /** CLOCK_BOOTTIME when ADD came, milliseconds. */
  readonly bootMilliseconds: number;
  /** Only when it was asked for: then it does not follow the uplinks. */
  readonly mtu: number | undefined;
  /** Only when it was asked for; otherwise `podMac` of the key. */
  readonly mac: string | undefined;
  /** For people; cut to what the alias has room for. */
  readonly namespace: string;
  readonly pod: string;
}

const digest = (text: string): string => hash('sha256', text, 'hex');

/** A node has one network or a few, and calls that follow each other mostly name the same. */
let lastNetwork = { name: '', hash: digest('').slice(0, 12) };

export function networkHash(network: string): string {
  if (network !== lastNetwork.name) lastNetwork = { name: network, hash: digest(network).slice(0, 12) };
  return lastNetwork.hash;
}

/** One string for maps; the fields hold no blanks. */
export const attachmentId = (key: AttachmentKey): string =>
  `${key.networkHash} ${key.containerId} ${key.interfaceName}`;

export const hostInterfaceName = (key: AttachmentKey): string =>
  `${INTERFACE_PREFIX}${digest(attachmentId(key)).slice(0, 12)}`;

export const isHostInterfaceName = (name: string): boolean =>
  name.length === INTERFACE_PREFIX.length + 12 &&
  name.startsWith(INTERFACE_PREFIX) &&
  /^[0-9a-f]+$/.test(name.slice(INTERFACE_PREFIX.length));

/** A locally administered unicast address. */
export function podMac(key: AttachmentKey): string {
  const hex = digest(`mac ${attachmentId(key)}`);
  const first = (Number.parseInt(hex.slice(0, 2), 16) & 0xfc) | 0x02;
  return [first.toString(16).padStart(2, '0'), ...[1, 2, 3, 4, 5].map((i) => hex.slice(2 * i, 2 * i + 2))].join(':');
}

/** `aa:bb:cc:dd:ee:ff` in lower case for any usual spelling of a unicast MAC; `undefined` for anything else. */
export function parseMac(text: string): string | undefined {
  const lower = text.toLowerCase().replaceAll('-', ':');
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(lower)) return undefined;
  const isGroup = (Number.parseInt(lower.slice(0, 2), 16) & 1) === 1;
  return isGroup || lower === '00:00:00:00:00:00' ? undefined : lower;
}
