/** What GoBGP says of its peers, as the facts of the port. PURE. */
import type { Asn, Family, IpAddress, Prefix } from '#lib/ip.ts';
import { families, parseAddress, unspecifiedAddress } from '#lib/ip.ts';
import type { NeighbourFacts, PeerError, PeerFacts, PeerIntent, SessionState } from '../engine.ts';
import { findCapability, formatCapability } from '../wire/capabilities.ts';
import { familyOfAfi } from '../wire/codes.ts';
import { familyOfMessage } from './desired.ts';
import { established } from './dialect.ts';
import type { AfiSafiMessage, PeerMessage, TimestampMessage } from './messages.ts';
import { bareAddress } from './paths.ts';
import { capabilitiesOf } from './peer-capabilities.ts';

const states: readonly SessionState[] = ['Idle', 'Idle', 'Connect', 'Active', 'OpenSent', 'OpenConfirm', 'Established'];

export const stateOf = ({ state }: PeerMessage): SessionState => states[state?.sessionState ?? 0] ?? 'Idle';
export const isUp = ({ state }: PeerMessage): boolean => state?.sessionState === established;

const instantOf = (time: TimestampMessage | null | undefined): number =>
  time ? time.seconds * 1000 + Math.floor(time.nanos / 1_000_000) : 0;

/** Tells the sessions of a peer apart: when this one began, milliseconds since the epoch by GoBGP's clock, which may count in seconds. */
export const sessionOf = ({ timers }: PeerMessage): number => instantOf(timers?.state?.uptime);

const perFamily = (count: (family: Family) => number): Record<Family, number> => ({
  ipv4: count('ipv4'),
  ipv6: count('ipv6'),
});

/** RFC 4760 §8: both ends say the families; whoever says none carries IPv4. */
export function negotiated(peer: PeerMessage, intent: PeerIntent): Family[] {
  const said = capabilitiesOf(peer.state?.remoteCap ?? []).flatMap((it) =>
    it.kind === 'multiprotocol' ? (familyOfAfi(it.afi, it.safi) ?? []) : [],
  );
  const theirs = said.length === 0 ? ['ipv4'] : said;
  return intent.families.filter((family) => theirs.includes(family));
}

const countsOf = (peer: PeerMessage, family: Family): AfiSafiMessage['state'] =>
  isUp(peer) ? peer.afiSafis.find(({ config }) => familyOfMessage(config?.family) === family)?.state : undefined;

/** Paths of a family that the peer has announced; 0 while its session is down. */
export const receivedFrom = (peer: PeerMessage, family: Family): number => countsOf(peer, family)?.received ?? 0;

export interface PeerView {
  readonly name: string;
  readonly intent: PeerIntent;
  /** What is known beside GoBGP's answer. */
  readonly lastError: PeerError | undefined;
  /** When the peer was first seen by this engine, for one that was never up. */
  readonly seenAt: number;
  readonly announced: Readonly<Record<Family, number>>;
  /** What was counted of a family. */
  readonly accepted: Readonly<Partial<Record<Family, number>>>;
  readonly noNextHop: readonly Family[];
  readonly retryAt?: number | undefined;
  readonly neighbour?: NeighbourFacts | undefined;
  readonly path?: PeerFacts['path'];
}

/** `peer` undefined: GoBGP does not have it, or does not answer. */
export function peerFacts(peer: PeerMessage | undefined, view: PeerView): PeerFacts {
  const { intent } = view;
  const up = peer !== undefined && isUp(peer);
  const capabilities = up ? capabilitiesOf(peer.state?.remoteCap ?? []) : [];
  const restart = findCapability(capabilities, 'gracefulRestart');
  const agreed = up ? negotiated(peer, intent) : [];
  const counts = (of: (it: NonNullable<AfiSafiMessage['state']>, family: Family) => number): Record<Family, number> =>
    perFamily((family) => {
      const state = peer && countsOf(peer, family);
      return state ? of(state, family) : 0;
    });
  const { uptime, downtime } = peer?.timers?.state ?? {};
  const since = instantOf(up ? uptime : downtime) || view.seenAt;
  const addPath = findCapability(capabilities, 'addPath')?.families ?? [];
  const both = (theirs: 'receive' | 'send', ours: boolean): Family[] =>
    addPath.flatMap((it) => {
      const family = familyOfAfi(it.afi, it.safi);
      return ours && it[theirs] && family !== undefined ? [family] : [];
    });
  const several = {
    receive: both('send', intent.addPath?.receive === true),
    send: both('receive', (intent.addPath?.send ?? 1) > 1),
  };
  const hold = peer?.timers?.state?.negotiatedHoldTime ?? 0;
  return {
    name: view.name,
    address: addressOf(peer, intent),
    peerAsn: up && peer.state ? (peer.state.peerAsn as Asn) : intent.peerAsn,
    state: peer === undefined ? 'Idle' : stateOf(peer),
    since,
    families: agreed,
    ...(several.receive.length + several.send.length > 0 && { addPath: several }),
    holdTimeSeconds: up ? hold || Math.round(intent.holdTime / 1000) : undefined,
    capabilities: capabilities.map(formatCapability),
    routerId: up ? parseAddress(peer.state?.routerId ?? '') : undefined,
    localAddress: up ? bareAddress(peer.transport?.localAddress ?? '') : undefined,
    received: counts((it) => it.received),
    accepted: counts((it, family) => Math.min(it.received, view.accepted[family] ?? it.accepted)),
    announced: view.announced,
    leftOut: undefined,
    noNextHop: up ? view.noNextHop : [],
    flaps: peer?.state?.flops ?? 0,
    lastError: view.lastError,
    retryAt: view.retryAt,
    drops: { signature: 0, hopLimit: 0 },
    messages: {
      received: peer?.state?.messages?.received?.total ?? 0,
      sent: peer?.state?.messages?.sent?.total ?? 0,
    },
    gracefulRestart: restart && {
      peerRestartTimeSeconds: restart.restartTimeSeconds,
      peerForwarding: restart.families.flatMap((it) => (it.forwarding ? (familyOfAfi(it.afi, it.safi) ?? []) : [])),
      notification: restart.notification && (intent.notificationRestart ?? intent.bfd !== undefined),
      longLived:
        intent.longLivedGracefulRestart !== undefined &&
        findCapability(capabilities, 'longLivedGracefulRestart') !== undefined,
    },
    path: view.path,
    neighbour: view.neighbour,
  };
}

const addressOf = (peer: PeerMessage | undefined, intent: PeerIntent): IpAddress =>
  bareAddress(peer?.state?.neighborAddress ?? '') ??
  (intent.interface === undefined ? intent.address : unspecifiedAddress('ipv6'));

/**
 * Everything that the peer has to say after a start was said (RFC 4724 §2), or there is no telling. One that was up in this life of
 * GoBGP and is not any more has nothing to say: GoBGP has taken its paths away, or keeps them as stale ones.
 */
export const hasSaidAll = (peer: PeerMessage): boolean =>
  isUp(peer)
    ? peer.afiSafis.every(({ mpGracefulRestart }) => {
        const { config, state } = mpGracefulRestart ?? {};
        return config?.enabled !== true || !state || state.endOfRibReceived;
      })
    : instantOf(peer.timers?.state?.uptime) > 0;

/** How often each family's prefixes stand in a list of what was announced. */
export const countByFamily = (prefixes: readonly Prefix[]): Record<Family, number> =>
  perFamily((family) => prefixes.filter((prefix) => prefix.includes(':') === (family === families[1])).length);
