/**
 * PURE: what the node's links say after a start. A pod's address is in use if and only if its veth exists, so this is the
 * whole memory of the service.
 */
import type { IpAddress } from '#lib/ip.ts';
import { decodeAlias } from './alias.ts';
import { type Attachment, hostInterfaceName, isHostInterfaceName, podMac } from './attachment.ts';
import { LINK_GROUP } from '../kernel-names.ts';
import type { Link } from '#netlink/wire/link.ts';
import type { PodRecord, PodState } from './registry.ts';

export interface Rebuilt {
  /** Answered "ok" in an earlier life. */
  readonly live: readonly PodRecord[];
  /** Never answered: to be undone. */
  readonly building: readonly PodRecord[];
  /** Deleted in an earlier life; their veths are still to go. */
  readonly dying: readonly PodRecord[];
  /** They look like ours, but what they carry cannot be read: left alone. */
  readonly foreign: readonly ForeignLink[];
}

export interface ForeignLink {
  readonly name: string;
  readonly index: number;
  /** As far as its alias can be read. */
  readonly addresses: readonly IpAddress[];
}

const stateOf: ReadonlyMap<number, PodState> = new Map(
  Object.entries(LINK_GROUP).map(([state, group]) => [group, state as PodState]),
);

const nobody: Attachment = {
  networkHash: '',
  containerId: '',
  interfaceName: '',
  addresses: [],
  bootMilliseconds: 0,
  mtu: undefined,
  mac: undefined,
  namespace: '',
  pod: '',
};

export function rebuild(links: readonly Link[]): Rebuilt {
  const live: PodRecord[] = [];
  const building: PodRecord[] = [];
  const dying: PodRecord[] = [];
  const foreign: ForeignLink[] = [];
  for (const link of links) {
    if (!isHostInterfaceName(link.name) || link.kind !== 'veth') continue;
    const state = stateOf.get(link.group);
    const read = decodeAlias(link.alias);
    const attachment = read !== undefined && hostInterfaceName(read) === link.name ? read : undefined;
    // The alias comes after the create, so a link that was being built may have none yet.
    const unfinished = state !== undefined && state !== 'live' && link.alias === '';
    if (state === undefined || (attachment === undefined && !unfinished)) {
      foreign.push({ name: link.name, index: link.index, addresses: read?.addresses ?? [] });
      continue;
    }
    const record: PodRecord = {
      attachment: attachment ?? nobody,
      hostInterface: link.name,
      hostIndex: link.index,
      alias: link.alias,
      mac: attachment === undefined ? '' : (attachment.mac ?? podMac(attachment)),
      state,
    };
    if (state === 'live') live.push(record);
    else if (state === 'building') building.push(record);
    else dying.push(record);
  }
  return { live, building, dying, foreign };
}
