/**
 * Between the session runner (sockets, timers, the RFC 4271 machine) and the speaker (RIB, policy): one SessionPort per
 * peer. Connections, collisions, capabilities, keepalives and the hold timer live below it, routes above it.
 */
import type { Family, IpAddress } from '#lib/ip.ts';
import type { Duration, Instant } from '#lib/time.ts';
import type { SessionState } from '../engine.ts';
import type { SessionDown } from '../session/events.ts';
import type { Capability, Reset, RouteRefreshMessage, UpdateMessage, WireContext } from '../wire/messages.ts';

export type { SessionDown } from '../session/events.ts';

export interface Negotiated {
  readonly context: WireContext;
  readonly localAddress: IpAddress;
  readonly remoteAddress: IpAddress;
  /** Of a session over link-local addresses. */
  readonly interfaceIndex?: number | undefined;
  /** BGP identifier of the peer, unsigned 32 bits. */
  readonly peerIdentifier: number;
  /** Zero: no keepalives, no hold timer (RFC 4271 §4.2). */
  readonly holdTime: Duration;
  readonly peerCapabilities: readonly Capability[];
  readonly routeRefresh: boolean;
  /** Present when both ends sent the capability (RFC 4724). */
  readonly gracefulRestart: Extract<Capability, { kind: 'gracefulRestart' }> | undefined;
  /** Present when both ends sent it and graceful restart (RFC 9494). */
  readonly longLivedGracefulRestart: Extract<Capability, { kind: 'longLivedGracefulRestart' }> | undefined;
  /** Both ends sent the N bit: a NOTIFICATION other than Hard Reset leaves the routes standing (RFC 8538 §4). */
  readonly notificationRestart: boolean;
}

export interface SessionHandlers {
  established(negotiated: Negotiated): void;
  /** An answer other than `undefined` resets the session with that NOTIFICATION. */
  update(message: UpdateMessage): Reset | undefined;
  routeRefresh(message: RouteRefreshMessage): void;
  /** The socket has room again after `send` answered false. */
  writable(): void;
  /** Only after `established`. */
  down(reason: SessionDown): void;
  /** State or error changed. */
  changed(): void;
  /** Messages were counted, nothing else. */
  counted(): void;
}

export interface SessionPort {
  readonly state: SessionState;
  readonly lastError: { readonly code: string; readonly text: string; readonly at: number } | undefined;
  /** When a session in Idle tries again; `undefined`: it does not wait. */
  readonly retryAt: Instant | undefined;
  readonly messages: { readonly received: number; readonly sent: number };
  readonly families: readonly Family[];
  start(): void;
  /** Whole messages; false: the socket is full, wait for `writable`. The bytes are taken in either case. */
  send(bytes: Uint8Array): boolean;
  /** Resets an established session, or one on its way, with this NOTIFICATION; it starts again after the idle hold time. */
  reset(reset: Reset): void;
  /** Ends the session for good: `silent` closes TCP only, otherwise the NOTIFICATION is sent first. At most 2 s. */
  stop(how: 'silent' | Reset): Promise<void>;
}
