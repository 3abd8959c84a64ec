/**
 * Which sessions this node has. A peer that is not complete (its Secret or a filter is missing) stays in the intent, held
 * down: never opened without its password, never unfiltered, and the others are untouched.
 */
import { type PeerAsn, type PeerIntent, isExternal } from '#bgp/engine.ts';
import { contains, familyOf, overlaps, unspecifiedAddress } from '#lib/ip.ts';
import type { Asn, IpAddress, Prefix } from '#lib/ip.ts';
import { defaultMaxPrefixes, defaultRestartAfter, defaultWarningPercent } from '#resources/bgp-peer.ts';
import type { BGPPeer } from '#resources/bgp-peer.ts';
import { parseDuration } from '#resources/formats.ts';
import type { BGPFilter } from '#resources/bgp-filter.ts';
import type { ResourceSet } from '#resources/resource-set.ts';
import { bfdOf } from './bfd.ts';
import { compileFilter } from './filters.ts';
import type { Condition, PeerOrigin } from './node-intent.ts';
import { isOfMesh, nodePeers, selectsNodes, specificity } from './node-peers.ts';
import type { Complaint, ThisNode } from './node.ts';
import { passwordOf, tcpAoOf } from './peer-secrets.ts';
import type { Settings } from './settings.ts';

export interface Peers {
  readonly intents: readonly PeerIntent[];
  readonly origins: readonly PeerOrigin[];
  readonly conditions: readonly Condition[];
}

/** Where the peer is, for people; two peers with one place would be in each other's way. */
const placeOf = ({ spec }: BGPPeer): string =>
  spec.listenRange === undefined
    ? (spec.peerIP?.address ?? `the neighbour on ${spec.interface}`)
    : `whoever connects from ${spec.listenRange.cidr}`;

const unspecified = ({ listenRange }: BGPPeer['spec']): IpAddress =>
  unspecifiedAddress(listenRange === undefined ? 'ipv6' : familyOf(listenRange.cidr));

const byNode = ['by node', 'by selector', 'for every node'] as const;

export function peersOf(
  resources: ResourceSet,
  node: ThisNode,
  settings: Settings,
  ownBlocks: readonly Prefix[],
): Peers {
  const betweenNodes = nodePeers(resources, node, settings);
  const conditions: Condition[] = [...betweenNodes.conditions];
  const accepted = (peer: BGPPeer, status: 'True' | 'False', reason: Condition['reason'], message: string): void => {
    conditions.push({ kind: 'BGPPeer', name: peer.metadata.name, type: 'Accepted', status, reason, message });
  };
  // The list is in order of name and the sort is stable: more specific first, then by name.
  const candidates = [
    ...resources.bgpPeers
      .filter((peer) => !selectsNodes(peer))
      .map((peer) => ({ peer, rank: specificity(peer, node.name, node.labels) }))
      .filter((it) => it.rank !== undefined),
    ...betweenNodes.peers,
  ].sort((a, b) => (a.rank ?? 0) - (b.rank ?? 0));

  const winners = new Map<string, (typeof candidates)[number]>();
  const filters = new Map(resources.bgpFilters.map((filter) => [filter.metadata.name, filter]));
  const rows: { intent: PeerIntent; origin: PeerOrigin }[] = [];
  for (const candidate of candidates) {
    const { peer } = candidate;
    const place = placeOf(peer);
    const address = peer.spec.peerIP?.address;
    if (address !== undefined && (address === node.addresses.ipv4 || address === node.addresses.ipv6)) {
      accepted(peer, 'True', 'PeerIsSelf', `${address} is ${node.name} itself; there is nothing to do here.`);
      continue;
    }
    const winner = winners.get(place);
    if (winner !== undefined) {
      // The mesh leaves to a BGPPeer what that one says in more detail.
      if (isOfMesh(peer)) continue;
      accepted(peer, 'False', 'Conflict', conflict(peer, winner.peer, byNode[winner.rank ?? 2]));
      continue;
    }
    winners.set(place, candidate);
    const password = passwordOf(peer, resources.secrets);
    const tcpAo = tcpAoOf(peer, resources.secrets);
    const complaints = [
      ...inOwnBlock(peer, ownBlocks),
      ...password.complaints,
      ...tcpAo.complaints,
      ...missingFilters(peer, filters),
    ];
    const [first] = complaints;
    if (first === undefined)
      accepted(
        peer,
        'True',
        'Accepted',
        `${node.name} has a session with ${place}${sourceWords(peer, node)}${idleWords(peer, node)}.`,
      );
    else
      accepted(
        peer,
        'False',
        first.reason,
        `${complaints.map((it) => it.message).join(' ')} The session of ${peer.metadata.name} stays down until then.`,
      );
    const down = peer.spec.adminState === 'Down';
    const session = sessionOf(peer, node, settings, filters);
    const bfd = bfdOf(peer, resources.bfdProfiles, session);
    rows.push({
      intent: {
        ...session,
        ...(bfd.intent === undefined ? {} : { bfd: bfd.intent }),
        password: password.text,
        ...(tcpAo.keys === undefined ? {} : { tcpAo: tcpAo.keys }),
        enabled: first === undefined && !down,
      },
      origin: {
        name: peer.metadata.name,
        password: peer.spec.password && {
          secret: peer.spec.password.secretKeyRef.name,
          key: peer.spec.password.secretKeyRef.key,
        },
        heldDown: first !== undefined ? 'NotAccepted' : down ? 'AdminDown' : undefined,
        missingProfile: bfd.missing,
      },
    });
  }
  rows.sort((a, b) => (a.intent.name < b.intent.name ? -1 : 1));
  return { intents: rows.map((row) => row.intent), origins: rows.map((row) => row.origin), conditions };
}

const localAsOptions = (
  { localASOptions: options }: BGPPeer['spec'],
  own: Asn,
): Pick<PeerIntent, 'innerAsn' | 'prependsReceived'> => ({
  ...(options?.replaceAS === false && { innerAsn: own }),
  ...(options?.noPrepend === false && { prependsReceived: true }),
});

function sessionOf(
  peer: BGPPeer,
  node: ThisNode,
  settings: Settings,
  filters: ReadonlyMap<string, BGPFilter>,
): Omit<PeerIntent, 'password' | 'enabled'> {
  const { spec } = peer;
  const { address = unspecified(spec), port } = spec.peerIP ?? {};
  const { ttlSecurity = 0 } = spec;
  const localAsn = spec.localASNumber ?? node.asn;
  const peerAsn = peerAsnOf(spec);
  return {
    name: peer.metadata.name,
    address,
    port: port ?? 179,
    peerAsn,
    localAsn,
    ...(localAsn !== node.asn && isExternal({ peerAsn, localAsn }) ? localAsOptions(spec, node.asn) : {}),
    families: spec.families,
    ...(spec.interface === undefined ? {} : { interface: spec.interface }),
    ...(spec.listenRange && { listenRange: { prefix: spec.listenRange.cidr, limit: spec.listenRange.limit } }),
    // Over an interface the kernel finds the link-local address by itself.
    sourceAddress:
      spec.sourceAddress === 'None' || spec.interface !== undefined ? undefined : node.addresses[familyOf(address)],
    passive: spec.passive || spec.listenRange !== undefined,
    holdTime: spec.holdTime,
    connectRetryTime: spec.connectTime,
    ...(spec.keepaliveTime === undefined ? {} : { keepaliveTime: spec.keepaliveTime }),
    ebgpMultihop: spec.ebgpMultihop,
    ...(ttlSecurity === 0 ? {} : { ttlSecurity }),
    importPolicy: spec.importPolicy ?? settings.importPolicy ?? (isExternal({ peerAsn, localAsn }) ? 'None' : 'All'),
    filters: spec.filters.flatMap((name) => {
      const filter = filters.get(name);
      return filter === undefined ? [] : [compileFilter(filter)];
    }),
    ...(spec.nextHopMode === 'Auto' ? {} : { nextHopMode: spec.nextHopMode }),
    transit: spec.transit,
    ...prefixLimit(spec),
    ...(spec.maxAnnounced === undefined ? {} : { maxAnnounced: spec.maxAnnounced }),
    ...(spec.addPath === undefined ? {} : { addPath: spec.addPath }),
    gracefulRestart: {
      enabled: spec.gracefulRestart?.enabled ?? settings.gracefulRestart.enabled,
      restartTime: spec.maxRestartTime ?? spec.gracefulRestart?.restartTime ?? settings.gracefulRestart.restartTime,
    },
    notificationRestart: spec.gracefulRestart?.notification ?? settings.gracefulRestart.notification,
    staleTime: spec.gracefulRestart?.staleTime ?? settings.gracefulRestart.staleTime,
    ...(spec.longLivedGracefulRestart?.enabled === true && {
      longLivedGracefulRestart: {
        staleTime: spec.longLivedGracefulRestart.staleTime,
        families: spec.longLivedGracefulRestart.families ?? spec.families,
      },
    }),
    allowedLocalAsns: spec.numAllowedLocalASNumbers,
    ...(spec.role && { role: spec.role }),
    ...(spec.roleRequired === true && { roleRequired: true }),
    ...(!spec.enforceFirstAS && { enforceFirstAs: false }),
    ...(spec.adminStateMessage === undefined ? {} : { shutdownText: spec.adminStateMessage }),
    ...(spec.routeReflectorClient && { routeReflectorClient: true }),
  };
}

function prefixLimit({
  maxPrefixes,
}: BGPPeer['spec']): Pick<PeerIntent, 'maxPrefixes' | 'maxPrefixesWarning' | 'maxPrefixesRestart'> {
  const restart = maxPrefixes?.restartAfter ?? parseDuration(defaultRestartAfter);
  return {
    maxPrefixes: maxPrefixes?.limit ?? defaultMaxPrefixes,
    maxPrefixesWarning: maxPrefixes?.warningPercent ?? defaultWarningPercent,
    ...(restart === 0 ? {} : { maxPrefixesRestart: restart }),
  };
}

/** UseNodeIP needs an address of the peer's family; without one the kernel chooses, and that should not be a surprise. */
function sourceWords(peer: BGPPeer, node: ThisNode): string {
  if (peer.spec.peerIP === undefined) return '';
  const family = familyOf(peer.spec.peerIP.address);
  const missing = peer.spec.sourceAddress === 'UseNodeIP' && node.addresses[family] === undefined;
  return missing ? `; the node has no ${family} address, so the kernel chooses the local one` : '';
}

const peerAsnOf = ({ asNumber, dynamicASN }: BGPPeer['spec']): PeerAsn =>
  asNumber ?? (dynamicASN === 'Internal' ? 'internal' : 'external');

/** Clients are internal peers (RFC 4456 §6), roles are of external ones (RFC 9234 §4.1). */
function idleWords({ spec }: BGPPeer, node: ThisNode): string {
  const external = isExternal({ peerAsn: peerAsnOf(spec), localAsn: spec.localASNumber ?? node.asn });
  const words: string[] = [];
  if (spec.routeReflectorClient && external) words.push('; it is external, so routeReflectorClient does nothing');
  if (spec.role !== undefined && !external) words.push('; it is internal, so role does nothing');
  return words.join('');
}

function conflict(peer: BGPPeer, winner: BGPPeer, how: string): string {
  const { interface: link, listenRange, peerIP } = peer.spec;
  const what = listenRange !== undefined ? 'listenRange' : link === undefined ? 'peerIP' : 'interface';
  const where = listenRange?.cidr ?? link ?? peerIP?.address ?? '';
  return `BGPPeer ${winner.metadata.name} (${how}) has the same ${what} ${where} and stands before ${peer.metadata.name}: by node comes before by selector, then for every node, then the first name. Delete one of the two.`;
}

function inOwnBlock(peer: BGPPeer, ownBlocks: readonly Prefix[]): Complaint[] {
  const range = peer.spec.listenRange?.cidr;
  const common = range && ownBlocks.find((it) => overlaps(it, range));
  if (common !== undefined)
    return [
      {
        reason: 'PeerInOwnBlock',
        message: `${range} overlaps ${common}, whose addresses this node gives to its pods; set spec.listenRange.cidr to the routers' own subnet.`,
      },
    ];
  const address = peer.spec.peerIP?.address;
  if (address === undefined) return [];
  const block = ownBlocks.find((it) => contains(it, address));
  if (block === undefined) return [];
  const message = `${address} lies in ${block}, whose addresses this node gives to its pods; set spec.peerIP to the router's own address.`;
  return [{ reason: 'PeerInOwnBlock', message }];
}

function missingFilters(peer: BGPPeer, filters: ReadonlyMap<string, BGPFilter>): Complaint[] {
  const missing = peer.spec.filters.filter((name) => !filters.has(name));
  if (missing.length === 0) return [];
  const known = [...filters.keys()];
  const there = known.length === 0 ? 'there is none' : `there are ${known.slice(0, 10).join(', ')}`;
  const message = `spec.filters names BGPFilter ${missing.join(', ')}, which does not exist (${there}). Add it, or correct the name.`;
  return [{ reason: 'FilterMissing', message }];
}
