/**
 * What GoBGP can do of what resources ask for. PURE. Each field that differs has a row here: the page docs/engines.md is made of
 * them, and `unsupported` makes the conditions of the resources that ask for it. A row that holds keeps the session closed, since it
 * would be less safe than was asked for; the others only differ.
 */
import { type BgpIntent, type PeerIntent, isExternal } from '../engine.ts';
import { ruleProblem, type Version } from './policy-rules.ts';

export interface CapabilityRow {
  readonly kind: 'BGPPeer' | 'BGPConfiguration' | 'BGPFilter' | 'BFDProfile';
  /** Below `spec`, as the resource names it. */
  readonly field: string;
  /** `yes`: as it is meant; `held`: not there, and the session stays closed; `differs`: not there, or otherwise. */
  readonly support: 'yes' | 'held' | 'differs';
  /** What happens instead, one sentence without a full stop. */
  readonly text: string;
  /** Whether this peer asks for it. Absent: nobody can ask in a way that differs. */
  readonly asks?: (peer: PeerIntent, intent: BgpIntent, version: Version) => boolean;
}

const filterRules = ({ filters }: PeerIntent) =>
  filters.flatMap((filter) => [
    ...filter.import.ipv4,
    ...filter.import.ipv6,
    ...filter.export.ipv4,
    ...filter.export.ipv6,
  ]);
const asksRule =
  (field: string) =>
  (peer: PeerIntent, _: BgpIntent, version: Version): boolean =>
    filterRules(peer).some((rule) => ruleProblem(rule, version)?.field === field);

const yes = (kind: CapabilityRow['kind'], field: string, text = ''): CapabilityRow => ({
  kind,
  field,
  support: 'yes',
  text,
});
const peer = (
  field: string,
  support: 'held' | 'differs',
  text: string,
  asks?: CapabilityRow['asks'],
): CapabilityRow => ({ kind: 'BGPPeer', field, support, text, ...(asks && { asks }) });
const node = (field: string, text: string, asks?: CapabilityRow['asks']): CapabilityRow => ({
  kind: 'BGPConfiguration',
  field,
  support: 'differs',
  text,
  ...(asks && { asks }),
});
const filter = (field: string, text: string): CapabilityRow => ({
  kind: 'BGPFilter',
  field,
  support: 'held',
  text,
  asks: asksRule(field),
});

export const capabilities: readonly CapabilityRow[] = [
  yes('BGPPeer', 'peerIP'),
  yes('BGPPeer', 'asNumber'),
  yes(
    'BGPPeer',
    'interface',
    'the neighbour is found by flatroute; no two links of a node may have the same neighbour address with GoBGP 3',
  ),
  yes('BGPPeer', 'families'),
  yes('BGPPeer', 'password', 'another password means a new session'),
  yes('BGPPeer', 'holdTime'),
  yes('BGPPeer', 'keepaliveTime'),
  yes('BGPPeer', 'connectTime'),
  yes('BGPPeer', 'ebgpMultihop'),
  yes('BGPPeer', 'ttlSecurity'),
  yes('BGPPeer', 'passive'),
  yes('BGPPeer', 'sourceAddress'),
  yes('BGPPeer', 'importPolicy'),
  yes('BGPPeer', 'filters', 'a learned path that is refused to a peer from now on means a new session with it'),
  yes('BGPPeer', 'transit', 'taken back, it means a new session'),
  yes(
    'BGPPeer',
    'maxPrefixes',
    'the limit counts what GoBGP counts; version 4 walks all that the peer announces at each UPDATE, which for 10,000 routes is three times the work of version 3; another limit means a new session',
  ),
  yes('BGPPeer', 'addPath'),
  yes('BGPPeer', 'routeReflectorClient'),
  yes('BGPPeer', 'numAllowedLocalASNumbers'),
  yes('BGPPeer', 'adminState'),
  yes('BGPPeer', 'adminStateMessage', 'said when a session that is up is ended'),
  yes(
    'BGPPeer',
    'gracefulRestart',
    'an agent that restarts needs none of it, since GoBGP goes on; when gobgpd restarts, see above',
  ),
  yes('BGPPeer', 'longLivedGracefulRestart'),
  yes('BGPPeer', 'bfd', 'a failed path ends the session with Cease/2 instead of Cease/10'),
  peer('authentication', 'held', 'GoBGP has no TCP-AO', ({ tcpAo }) => tcpAo !== undefined),
  peer('role', 'held', 'GoBGP has no BGP roles (RFC 9234)', (it) => it.role !== undefined && isExternal(it)),
  peer(
    'localASOptions',
    'held',
    'GoBGP shows localASNumber alone',
    ({ innerAsn, prependsReceived }) => innerAsn !== undefined || prependsReceived === true,
  ),
  peer('maxAnnounced', 'held', 'GoBGP announces without a limit', ({ maxAnnounced }) => maxAnnounced !== undefined),
  peer(
    'password',
    'held',
    'GoBGP gives the kernel no key for a listen range, nor version 3 for a neighbour on an interface: no session comes up with a password',
    (it, _, version) =>
      it.password !== undefined && (it.listenRange !== undefined || (it.interface !== undefined && version === 3)),
  ),
  peer(
    'dynamicASN',
    'held',
    'GoBGP takes whatever AS number the peer says, its own too; name it with asNumber',
    ({ peerAsn }) => peerAsn === 'external',
  ),
  peer(
    'holdTime',
    'differs',
    'hold time 0 (no keepalives) is not known; GoBGP offers 90 s',
    ({ holdTime }) => holdTime === 0,
  ),
  peer('enforceFirstAS', 'differs', 'GoBGP does not look at the first AS of a path'),
  peer(
    'listenRange.limit',
    'differs',
    'GoBGP lets any number of peers come from the range',
    ({ listenRange }) => listenRange !== undefined,
  ),
  peer(
    'longLivedGracefulRestart.staleTime',
    'differs',
    'GoBGP keeps routes for as long as the peer asks',
    ({ longLivedGracefulRestart }) => longLivedGracefulRestart !== undefined,
  ),
  node(
    'bestPath.missingMEDAsWorst',
    'a path without MED counts as MED 0',
    (_, { bestPath }) => bestPath?.missingMedAsWorst === true,
  ),
  yes('BGPConfiguration', 'asNumber', 'another one ends all sessions'),
  yes('BGPConfiguration', 'routerID', 'another one ends all sessions'),
  yes('BGPConfiguration', 'listenPort', 'another one ends all sessions'),
  yes('BGPConfiguration', 'routeReflectorClusterID', 'another one means new sessions with clients'),
  yes('BGPConfiguration', 'communities'),
  yes('BGPConfiguration', 'prefixAdvertisements'),
  yes(
    'BGPConfiguration',
    'multipath.maximumPaths',
    'of the equal paths that GoBGP names, so many go into the kernel; from 1 to more, or back, ends all sessions',
  ),
  yes('BGPConfiguration', 'bestPath.alwaysCompareMED', 'another choice ends all sessions; see above'),
  yes('BGPConfiguration', 'bestPath.preferOlder', 'another choice ends all sessions; see above'),
  yes('BGPConfiguration', 'multipath.relax'),
  yes('BGPConfiguration', 'installRoutes'),
  filter('interface', 'GoBGP does not know by which interface a next hop is reached'),
  filter('med', 'version 3 does not compare the MED; version 4 does, but not with 0'),
  filter('localPref', 'version 3 does not compare the local preference; version 4 does, but not with 0'),
  filter('communities', 'only standard, large, rt: and soo: communities can be looked for'),
  filter('operations', 'see below'),
];

export interface Unsupported {
  readonly peer: string;
  readonly kind: CapabilityRow['kind'];
  readonly field: string;
  readonly text: string;
  /** The session stays closed. */
  readonly held: boolean;
}

/** What the peers of this intent ask for and GoBGP does not do, by peer. Nothing for the engine of this program. */
export function unsupported(intent: BgpIntent, version: Version): readonly Unsupported[] {
  if (intent.engine === undefined) return [];
  return intent.peers.flatMap((it) =>
    capabilities.flatMap(({ kind, field, support, text, asks }): Unsupported[] => {
      if (asks?.(it, intent, version) !== true) return [];
      const reason =
        kind === 'BGPFilter'
          ? (filterRules(it)
              .map((rule) => ruleProblem(rule, version))
              .find((found) => found?.field === field)?.text ?? text)
          : text;
      return [{ peer: it.name, kind, field, text: reason, held: support === 'held' }];
    }),
  );
}

/** Names of the peers that are not opened. */
export const heldPeers = (intent: BgpIntent, version: Version): ReadonlySet<string> =>
  new Set(unsupported(intent, version).flatMap(({ peer: name, held }) => (held ? [name] : [])));
