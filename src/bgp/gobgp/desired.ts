/**
 * What GoBGP is to have, from the intent: global settings, peers, peer groups of listen ranges, and the paths of what this
 * node announces. PURE. What is ours is marked, so that it is found again after either side restarted and what somebody
 * else put there is never taken for ours: peers and groups by their description, paths by their identifier.
 */
import { createHash } from 'node:crypto';
import type { Family, IpAddress, Prefix } from '#lib/ip.ts';
import { addressBytes, familyOf, unspecifiedAddress } from '#lib/ip.ts';
import { toSeconds } from '#lib/time.ts';
import { type Announcement, type BgpIntent, type PeerIntent, isExternal, wantsSession } from '../engine.ts';
import { ownPath } from '../policy/export.ts';
import { attributeEnd, encodeAttributes } from '../wire/attributes.ts';
import { AFI, SAFI_UNICAST, familyOfAfi } from '../wire/codes.ts';
import type { WireContext } from '../wire/messages.ts';
import { nlriOf } from '../wire/nlri.ts';
import type { AfiSafiMessage, FamilyMessage, GlobalMessage, PeerMessage, SessionMessage } from './messages.ts';

/** Path identifier of what we announce; it goes to no peer, since GoBGP chooses those that it sends. */
export const ownPathId = 0x666c7274;
const mark = 'flatroute:';

export const familyMessage = (family: Family): FamilyMessage => ({ afi: AFI[family], safi: SAFI_UNICAST });
export const familyOfMessage = (family: FamilyMessage | null | undefined): Family | undefined =>
  family ? familyOfAfi(family.afi, family.safi) : undefined;

export interface DesiredPeer {
  readonly intent: PeerIntent;
  /** As GoBGP knows it: `192.0.2.1`, `fe80::1%eth1`. */
  readonly address: string;
  readonly message: PeerMessage;
}

export interface DesiredGroup {
  readonly intent: PeerIntent;
  readonly name: string;
  readonly prefix: Prefix;
  readonly message: SessionMessage & { readonly conf: Readonly<Record<string, unknown>> };
}

export interface DesiredPath {
  readonly prefix: Prefix;
  readonly family: Family;
  readonly nlri: Uint8Array;
  readonly attributes: readonly Uint8Array[];
}

/** Name of the BGPPeer that a description of ours names. */
export function ownerOf(description: string): string | undefined {
  const end = description.lastIndexOf(' ');
  return description.startsWith(mark) && end > 0 ? description.slice(mark.length, end) : undefined;
}

const digest = (value: unknown): string =>
  createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 12);

/** The name, and a digest of what GoBGP does not say again, or says with what a session made of it. No password is in it. */
const description = (name: string, session: unknown): string => `${mark}${name} ${digest(session)}`;

export const groupName = (name: string): string => `${mark}${name}`;
/** Name of the peer group of ours that a session came through. */
export function dynamicOwner({ conf, state }: PeerMessage): string | undefined {
  const group = conf?.peerGroup || state?.peerGroup || '';
  return group.startsWith(mark) ? group : undefined;
}
/** Name that a peer of ours has in the facts; `undefined`: it is somebody else's. */
export function nameOf(peer: PeerMessage): string | undefined {
  const group = dynamicOwner(peer);
  if (group === undefined) return ownerOf(peer.conf?.description ?? '');
  const { state, conf } = peer;
  return `${group.slice(mark.length)}/${state?.neighborAddress || (conf?.neighborAddress ?? '')}`;
}

export const globalOf = ({ asn, routerId, listenPort, multipath, bestPath }: BgpIntent): GlobalMessage => ({
  asn,
  routerId,
  listenPort: listenPort ?? -1,
  useMultiplePaths: multipath.maximumPaths > 1,
  routeSelectionOptions: {
    alwaysCompareMed: bestPath?.alwaysCompareMed === true,
    externalCompareRouterId: bestPath?.preferOlder !== true,
  },
});

const asnOf = ({ peerAsn, localAsn }: PeerIntent): number =>
  typeof peerAsn === 'number' ? peerAsn : peerAsn === 'internal' ? localAsn : 0;

/** GoBGP counts whole seconds, and takes 0 for its own default. */
const wholeSeconds = (duration: PeerIntent['holdTime']): number => Math.max(1, Math.round(toSeconds(duration)));

function afiSafi(peer: PeerIntent, family: Family): AfiSafiMessage {
  const { gracefulRestart, longLivedGracefulRestart: longLived, addPath, maxPrefixes, maxPrefixesWarning } = peer;
  const isLongLived = longLived?.families.includes(family) === true;
  return {
    mpGracefulRestart: { config: { enabled: gracefulRestart.enabled } },
    config: { family: familyMessage(family), enabled: true },
    prefixLimits: { family: familyMessage(family), maxPrefixes, shutdownThresholdPct: maxPrefixesWarning ?? 0 },
    longLivedGracefulRestart: {
      config: { enabled: isLongLived, restartTime: isLongLived ? wholeSeconds(longLived.staleTime) : 0 },
    },
    addPaths: {
      config: {
        receive: addPath?.receive === true,
        sendMax: addPath === undefined || addPath.send < 2 ? 0 : addPath.send,
      },
    },
  };
}

function session(peer: PeerIntent, clusterId: IpAddress): SessionMessage {
  const external = isExternal(peer);
  const { gracefulRestart, ttlSecurity, holdTime, keepaliveTime } = peer;
  return {
    ebgpMultihop: { enabled: external && peer.ebgpMultihop > 1, multihopTtl: external ? peer.ebgpMultihop : 0 },
    routeReflector: {
      routeReflectorClient: peer.routeReflectorClient === true && !external,
      routeReflectorClusterId: peer.routeReflectorClient === true && !external ? clusterId : '',
    },
    timers: {
      config: {
        connectRetry: wholeSeconds(peer.connectRetryTime),
        holdTime: wholeSeconds(holdTime),
        keepaliveInterval:
          keepaliveTime === undefined ? Math.max(1, Math.floor(toSeconds(holdTime) / 3)) : wholeSeconds(keepaliveTime),
      },
    },
    transport: {
      localAddress: peer.sourceAddress ?? '',
      passiveMode: peer.passive,
      remotePort: peer.port,
    },
    gracefulRestart: {
      enabled: gracefulRestart.enabled,
      restartTime: Math.min(4095, wholeSeconds(gracefulRestart.restartTime)),
      notificationEnabled: peer.notificationRestart ?? peer.bfd !== undefined,
      longlivedEnabled: peer.longLivedGracefulRestart !== undefined,
    },
    afiSafis: peer.families.map((family) => afiSafi(peer, family)),
    ttlSecurity: { enabled: ttlSecurity !== undefined, ttlMin: ttlSecurity === undefined ? 0 : 256 - ttlSecurity },
  };
}

/** `address`: of an unnumbered peer the neighbour that was found, with its interface. */
export function peerOf(peer: PeerIntent, node: BgpIntent, address: string = peer.address): DesiredPeer {
  const shared = session(peer, node.clusterId ?? node.routerId);
  const conf = {
    localAsn: peer.localAsn,
    neighborAddress: address,
    peerAsn: asnOf(peer),
    peerGroup: '',
    neighborInterface: '',
    allowOwnAsn: peer.allowedLocalAsns,
  };
  return {
    intent: peer,
    address,
    message: {
      ...shared,
      conf: {
        ...conf,
        authPassword: peer.password ?? '',
        description: description(peer.name, [conf, shared]),
        adminDown: !wantsSession(peer),
      },
    },
  };
}

export function groupOf(peer: PeerIntent, node: BgpIntent): DesiredGroup | undefined {
  if (peer.listenRange === undefined) return undefined;
  const shared = session(peer, node.clusterId ?? node.routerId);
  const conf = { localAsn: peer.localAsn, peerAsn: asnOf(peer), peerGroupName: groupName(peer.name) };
  return {
    intent: peer,
    name: conf.peerGroupName,
    prefix: peer.listenRange.prefix,
    message: {
      ...shared,
      conf: {
        ...conf,
        authPassword: peer.password ?? '',
        description: description(peer.name, [conf, shared, peer.listenRange.prefix]),
      },
    },
  };
}

const ownContext: WireContext = {
  fourOctetAs: true,
  external: false,
  families: [],
  maximumMessageBytes: 65535,
  peerAsn: 0 as WireContext['peerAsn'],
};

/** Attributes one by one, as the interface wants them. */
export function splitAttributes(bytes: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = attributeEnd(bytes, at, bytes.length);
    if (end === undefined) break;
    parts.push(bytes.subarray(at, end));
    at = end;
  }
  return parts;
}

/** RFC 4760 §3: MP_REACH_NLRI of one prefix. The unspecified next hop stands for whatever address the session has. */
function mpReach(family: Family, nlri: Uint8Array): Uint8Array {
  const hop = addressBytes(unspecifiedAddress(family));
  const value = [0, AFI[family], 1, hop.length, ...hop, 0, ...nlri];
  return Uint8Array.from([0x80, 14, value.length, ...value]);
}

export function pathOf({ prefix, communities = [] }: Announcement): DesiredPath {
  const family = familyOf(prefix);
  const nlri = nlriOf([prefix]);
  const nextHop = family === 'ipv4' ? unspecifiedAddress(family) : undefined;
  const attributes = splitAttributes(encodeAttributes({ ...ownPath(communities), nextHop }, ownContext));
  return { prefix, family, nlri, attributes: family === 'ipv4' ? attributes : [...attributes, mpReach(family, nlri)] };
}

export interface Desired {
  readonly global: GlobalMessage;
  readonly peers: readonly DesiredPeer[];
  readonly groups: readonly DesiredGroup[];
  readonly paths: ReadonlyMap<Prefix, DesiredPath>;
}

/** `neighbours`: where the unnumbered peers are, by name; those that are not known yet are left out. `held`: not to be opened. */
export function desiredOf(
  intent: BgpIntent,
  neighbours: ReadonlyMap<string, string>,
  held: ReadonlySet<string> = new Set(),
): Desired {
  const peers = intent.peers.map((peer) => (held.has(peer.name) ? { ...peer, enabled: false } : peer));
  const paths = new Map<Prefix, DesiredPath>();
  for (const announcement of intent.announcements)
    if (!paths.has(announcement.prefix)) paths.set(announcement.prefix, pathOf(announcement));
  return {
    global: globalOf(intent),
    peers: peers.flatMap((peer) => {
      if (peer.listenRange !== undefined) return [];
      if (peer.interface === undefined) return [peerOf(peer, intent)];
      const address = neighbours.get(peer.name);
      return address === undefined ? [] : [peerOf(peer, intent, address)];
    }),
    groups: peers.flatMap((peer) => (wantsSession(peer) ? (groupOf(peer, intent) ?? []) : [])),
    paths,
  };
}
