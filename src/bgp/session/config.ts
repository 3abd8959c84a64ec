/**
 * What the session machine is told about one peer, and the constants of its timers. Plain data, fixed for the life of a
 * session; what may differ from OPEN to OPEN (graceful restart) comes with the event that sends the OPEN.
 */
import type { Asn, Family } from '#lib/ip.ts';
import { type Duration, type Instant, after, milliseconds, seconds } from '#lib/time.ts';
import { type BgpRole, type PeerAsn, longestPauseSeconds } from '../engine.ts';

export interface SessionConfig {
  readonly localAsn: Asn;
  readonly peerAsn: PeerAsn;
  /** Our BGP identifier, unsigned 32 bits. */
  readonly identifier: number;
  readonly families: readonly Family[];
  readonly connectRetryTime: Duration;
  /** `undefined`: a third of the hold time, which is the most. */
  readonly keepaliveTime: Duration | undefined;
  /** Never connects by itself. */
  readonly passive: boolean;
  /** Our role, of an external session (RFC 9234). */
  readonly role?: BgpRole | undefined;
  readonly roleRequired?: boolean | undefined;
  /** `false`: paths need not begin with the peer's AS. */
  readonly enforceFirstAs?: boolean | undefined;
  /** Only words depend on these two: a wrong key or a low TTL is silence. */
  readonly hasPassword: boolean;
  readonly minimumHopLimit: number | undefined;
}

/**
 * HoldTimer while the peer's OPEN is awaited. RFC 4271 §8.2.2 suggests 4 minutes. Shorter would cut off a peer that boots,
 * longer keeps a dead connection; `SESSION_OPEN_TIMEOUT` shows it.
 */
export const openHoldTime: Duration = seconds(240);

/**
 * How much longer a silent session lives when the hold timer ends and octets of the peer still lie unread: the delay is
 * ours, not the peer's. Costs this much detection time in that case only. DEVIATION: RFC 4271 §6.5 ends it at once.
 */
export const unreadExtension: Duration = seconds(10);

/** IdleHoldTime (RFC 4271 §8.1.1, DampPeerOscillations): nothing after the first failure, then 1, 2, 4 ... 60 s. */
export const idleHoldBase: Duration = seconds(1);
export const idleHoldLongest: Duration = seconds(longestPauseSeconds);

/** A session that stood this long has ended an oscillation. */
export const stableTime: Duration = seconds(60);

/**
 * A connection of the peer that is accepted this soon after the session came up was made before it: it waited in the
 * backlog. Taken for a restart it would cost both connections. A peer that really restarts within this time is refused
 * once and connects again. DEVIATION: RFC 4724 §5 has no such time.
 */
export const lateCollisionTime: Duration = seconds(5);

/** RFC 9687 §4: the greater of 8 minutes and twice the hold time; off when the hold time is zero. */
export const sendHoldTime = (holdTime: Duration): Duration | undefined =>
  holdTime === 0 ? undefined : milliseconds(Math.max(480_000, 2 * holdTime));

/** RFC 4271 §10: timers are shortened by a random factor between 0.75 and 1.0. `random` is at least 0 and below 1. */
export const jittered = (time: Duration, random: number): Duration => milliseconds(time * (0.75 + random * 0.25));

/** `undefined` time: the timer stays off. */
export const timerAt = (at: Instant, time: Duration | undefined): Instant | undefined =>
  time === undefined ? undefined : after(at, time);

/** RFC 4271 §10: KeepaliveTime is a third of the hold time, or less if configured; zero hold time means none (RFC 4271 §4.4). */
export const keepaliveTimeOf = (holdTime: Duration, configured: Duration | undefined): Duration | undefined =>
  holdTime === 0 ? undefined : milliseconds(Math.min(configured ?? holdTime, holdTime / 3));

/** RFC 4271 §4.4: not more often than once a second. */
const shortestKeepalive: Duration = seconds(1);

export const keepaliveAt = (at: Instant, time: Duration | undefined, random: number): Instant | undefined =>
  time === undefined ? undefined : after(at, milliseconds(Math.max(shortestKeepalive, jittered(time, random))));

export const holdTimerAt = (at: Instant, holdTime: Duration): Instant | undefined =>
  holdTime === 0 ? undefined : after(at, holdTime);

export function idleHoldTime(oscillations: number, random: number): Duration {
  if (oscillations === 0) return milliseconds(0);
  return jittered(milliseconds(Math.min(idleHoldLongest, idleHoldBase * 2 ** (oscillations - 1))), random);
}
