/**
 * What a session is made of: the peer, what this speaker can do, and the world it runs in. In: a PeerIntent. Out: the machine's
 * configuration, the target of its connections, and the OPEN that it sends. Pure but for the types.
 */
import type { Socket } from 'node:net';
import { type Family, type IpAddress, addressBytes } from '#lib/ip.ts';
import type { Result } from '#lib/result.ts';
import { type Clock, toSeconds } from '#lib/time.ts';
import { type PeerIntent, isExternal } from '../engine.ts';
import type { SessionConfig } from '../session/config.ts';
import type { SessionError } from '../session/errors.ts';
import { AFI, SAFI_UNICAST } from '../wire/codes.ts';
import type { OpenMessage } from '../wire/messages.ts';
import { type OpenTerms, openMessage } from '../wire/negotiate.ts';
import type { Expected } from './dropped-segments.ts';
import type { Listener } from './listener.ts';
import type { RecordSession } from './recorder.ts';
import type { SessionHandlers, SessionPort } from './session-port.ts';
import type { SessionInterface, TcpTarget } from './tcp-socket.ts';

/** What our graceful restart capability says (RFC 4724 §3); asked for each OPEN, because it changes while we recover. */
export interface LocalGracefulRestart {
  readonly restartTimeSeconds: number;
  /** R: this speaker has restarted. */
  readonly restarted: boolean;
  /** N of RFC 8538. */
  readonly notification: boolean;
  readonly families: readonly { readonly family: Family; readonly forwarding: boolean }[];
  /** The long-lived capability (RFC 9494); `undefined`: it is not sent. */
  readonly longLived?: { readonly staleTimeSeconds: number; readonly families: readonly Family[] } | undefined;
}

export interface SessionOptions {
  /** With the address that is connected to, also where the intent names an interface. */
  readonly peer: PeerIntent;
  /** The link of a link-local peer. */
  readonly interface?: SessionInterface | undefined;
  /** The peer came from a listen range, whose key stands on the listener. */
  readonly inRange?: boolean | undefined;
  readonly local: {
    /** BGP identifier, written as an IPv4 address. */
    readonly routerId: IpAddress;
    /** What the speaker can do beyond families, 4-octet AS, route refresh and graceful restart, which are offered anyway. */
    readonly capabilities: Pick<OpenTerms, 'enhancedRouteRefresh' | 'extendedMessage' | 'extendedNextHop'>;
  };
}

export interface SessionModules {
  readonly clock: Clock;
  /** Wall clock, milliseconds since the epoch. */
  readonly wallClock: () => number;
  /** 0 (inclusive) to 1 (exclusive); jitter of timers. */
  readonly random: () => number;
  readonly handlers: SessionHandlers;
  readonly listener: Listener;
  /** `undefined`: the capability is not sent. Called once for each OPEN. */
  readonly gracefulRestart: () => LocalGracefulRestart | undefined;
  /** Writes each step down. */
  readonly record?: RecordSession | undefined;
  /** How connections are made; without it `connectTcp`. */
  readonly connect?: (target: TcpTarget) => Result<Socket, SessionError>;
}

export interface Session extends SessionPort {
  /**
   * Stops reading the established connection (TCP back-pressure), now or when there is one; `update` is called no more until
   * resume(). OPENs and KEEPALIVEs of connections on their way are read all the same.
   */
  pause(): void;
  resume(): void;
  /** Puts another MD5 key on the listener and on live connections without ending them. */
  setPassword(password: string | undefined): void;
}

export function configOf({ peer, local }: SessionOptions): SessionConfig {
  const [a = 0, b = 0, c = 0, d = 0] = addressBytes(local.routerId);
  return {
    localAsn: peer.localAsn,
    peerAsn: peer.peerAsn,
    identifier: ((a << 24) | (b << 16) | (c << 8) | d) >>> 0,
    families: peer.families,
    connectRetryTime: peer.connectRetryTime,
    keepaliveTime: peer.keepaliveTime,
    passive: peer.passive,
    hasPassword: peer.password !== undefined,
    minimumHopLimit: minimumHopLimit(peer),
    role: roleOf(peer),
    roleRequired: peer.roleRequired,
    enforceFirstAs: peer.enforceFirstAs,
  };
}

/** RFC 9234 §4.1: external sessions alone have roles. */
const roleOf = (peer: PeerIntent): PeerIntent['role'] => (isExternal(peer) ? peer.role : undefined);

const highestHopLimit = 255;

/** What of the kernel's drops can be this peer's. */
export const expectedOf = ({ password, ttlSecurity }: PeerIntent): Expected => ({
  hasKey: password !== undefined,
  ttlSecurity: ttlSecurity !== undefined,
});

/** RFC 5082 §3: what the peer sent with 255 has lost one at each router on its way. */
export const minimumHopLimit = ({ ttlSecurity }: PeerIntent): number | undefined =>
  ttlSecurity === undefined ? undefined : highestHopLimit + 1 - ttlSecurity;

/** An internal session may cross routers; an external one has the TTL that its configuration says; RFC 5082 §3 says 255. */
function hopLimit(peer: PeerIntent): number | undefined {
  if (peer.ttlSecurity !== undefined) return highestHopLimit;
  return isExternal(peer) ? peer.ebgpMultihop : undefined;
}

export function targetOf(
  { peer, interface: link }: Pick<SessionOptions, 'peer' | 'interface'>,
  password: string | undefined,
): TcpTarget {
  return {
    address: peer.address,
    interface: link,
    port: peer.port,
    sourceAddress: peer.sourceAddress,
    password,
    tcpAo: peer.tcpAo,
    hopLimit: hopLimit(peer),
    minimumHopLimit: minimumHopLimit(peer),
    userTimeout: peer.holdTime,
  };
}

export function openOf(options: SessionOptions, restart: LocalGracefulRestart | undefined): OpenMessage {
  const { peer, local } = options;
  return openMessage({
    localAsn: peer.localAsn,
    identifier: configOf(options).identifier,
    holdTimeSeconds: toSeconds(peer.holdTime),
    families: peer.families,
    ...local.capabilities,
    role: roleOf(peer),
    addPath: peer.addPath && { receive: peer.addPath.receive, send: peer.addPath.send > 1 },
    gracefulRestart: restart && {
      restarted: restart.restarted,
      notification: restart.notification,
      restartTimeSeconds: restart.restartTimeSeconds,
      families: restart.families.map(familyTuple),
    },
    longLivedGracefulRestart: restart && longLivedOf(restart),
  });
}

const familyTuple = ({ family, forwarding }: LocalGracefulRestart['families'][number]) => ({
  afi: AFI[family],
  safi: SAFI_UNICAST,
  forwarding,
});

function longLivedOf({ longLived, families }: LocalGracefulRestart): OpenTerms['longLivedGracefulRestart'] {
  if (longLived === undefined) return undefined;
  const { staleTimeSeconds } = longLived;
  const listed = families.filter(({ family }) => longLived.families.includes(family));
  return { families: listed.map((it) => ({ ...familyTuple(it), staleTimeSeconds })) };
}
