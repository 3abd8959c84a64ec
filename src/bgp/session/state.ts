/**
 * The states of one peer's session (RFC 4271 §8.2.2) as data. RFC 4271 §8.2.1 gives each connection a machine of its own
 * until one of them is Established; so `Opening` holds two of them side by side: the connection that we make and the one
 * that the peer makes. What exists in one state only lives in that variant; a timer that is off is `undefined`.
 */
import { assertNever } from '#lib/result.ts';
import { type Duration, type Instant, earliest } from '#lib/time.ts';
import type { SessionState } from '../engine.ts';
import type { OpenMessage } from '../wire/messages.ts';
import type { AgreedTerms } from '../wire/negotiate.ts';

/** `out-N` is the N-th connection of ours, `in-N` the N-th that came in; never used twice in a session's life. */
export type ConnectionId = `${'in' | 'out'}-${number}`;

export interface Agreement extends AgreedTerms {
  /** How often something is said; `undefined`: never for its own sake (no hold time). */
  readonly keepaliveTime: Duration | undefined;
  /** Both OPENs had the N bit: a NOTIFICATION other than Hard Reset leaves the routes standing (RFC 8538 §2). */
  readonly notificationRestart: boolean;
}

/** Counted over the whole life of the session. */
export interface History {
  /** Failures since the last session that was stable (the RFC's ConnectRetryCounter); sets the idle hold time. */
  readonly oscillations: number;
  /** Connections of ours so far. */
  readonly attempts: number;
}

export interface Idle extends History {
  readonly kind: 'Idle';
  /** IdleHoldTimer; `undefined`: stopped, until `start`. */
  readonly startAt: Instant | undefined;
}

/** No connection of ours; we wait for the peer's. */
export interface Active {
  readonly kind: 'Active';
  /** ConnectRetryTimer; `undefined` when passive. */
  readonly connectRetryAt: Instant | undefined;
}

export interface Connect {
  readonly kind: 'Connect';
  readonly id: ConnectionId;
  readonly connectRetryAt: Instant;
}

export interface OpenSent {
  readonly kind: 'OpenSent';
  readonly id: ConnectionId;
  /** The OPEN that was sent. */
  readonly offered: OpenMessage;
  readonly holdAt: Instant;
}

export interface OpenConfirm {
  readonly kind: 'OpenConfirm';
  readonly id: ConnectionId;
  readonly agreement: Agreement;
  readonly holdAt: Instant | undefined;
  readonly keepaliveAt: Instant | undefined;
  /** The peer's KEEPALIVE came, and only the other connection, which is to stand, keeps this one from Established. */
  readonly confirmed: boolean;
}

export interface Opening extends History {
  readonly kind: 'Opening';
  readonly outgoing: Active | Connect | OpenSent | OpenConfirm;
  readonly incoming: OpenSent | OpenConfirm | undefined;
}

/** A second connection beside an established session, followed until its OPEN (RFC 4271 §8.2.2). */
export interface Second {
  readonly connection: OpenSent;
  /** It was there before the session was, or hardly later: a collision. Otherwise the peer made it afterwards: it has restarted. */
  readonly overlapped: boolean;
}

export interface Established extends History {
  readonly kind: 'Established';
  readonly id: ConnectionId;
  readonly agreement: Agreement;
  readonly since: Instant;
  readonly holdAt: Instant | undefined;
  readonly keepaliveAt: Instant | undefined;
  /** RFC 9687; runs only while octets wait for the peer to read. */
  readonly sendHoldAt: Instant | undefined;
  readonly second: Second | undefined;
}

export type State = Idle | Opening | Established;

export const initialState: State = { kind: 'Idle', startAt: undefined, oscillations: 0, attempts: 0 };

const progress = ['Idle', 'Active', 'Connect', 'OpenSent', 'OpenConfirm', 'Established'] as const;

/** The RFC's name for where the session is: that of its furthest connection. */
export function sessionStateOf(state: State): SessionState {
  if (state.kind !== 'Opening') return state.kind;
  const { outgoing, incoming } = state;
  if (incoming === undefined) return outgoing.kind;
  return progress.indexOf(incoming.kind) > progress.indexOf(outgoing.kind) ? incoming.kind : outgoing.kind;
}

function connectionDeadline(connection: Active | Connect | OpenSent | OpenConfirm | undefined): Instant | undefined {
  if (connection === undefined) return undefined;
  switch (connection.kind) {
    case 'Active':
    case 'Connect':
      return connection.connectRetryAt;
    case 'OpenSent':
      return connection.holdAt;
    case 'OpenConfirm':
      return earliest(connection.holdAt, connection.keepaliveAt);
  }
  return assertNever(connection, 'connection');
}

/** When the machine wants a `deadlineReached` event; `undefined`: all timers are off. */
export function nextDeadline(state: State): Instant | undefined {
  switch (state.kind) {
    case 'Idle':
      return state.startAt;
    case 'Opening':
      return earliest(connectionDeadline(state.outgoing), connectionDeadline(state.incoming));
    case 'Established':
      return earliest(state.holdAt, state.keepaliveAt, state.sendHoldAt, connectionDeadline(state.second?.connection));
  }
  return assertNever(state, 'session state');
}
