/**
 * The moves that several states share: how a connection is begun, confirmed and ended, and where a session goes when it
 * has failed. In: config, the parts of the state, the event that is being answered. Out: parts of states and effects.
 * RFC 4271 §8.2.2.
 */
import { type Instant, after } from '#lib/time.ts';
import { CEASE, FSM_ERROR, NOTIFICATION_CODE, noData, resetWith } from '../wire/codes.ts';
import type { KeepaliveMessage, NotificationMessage, Reset } from '../wire/messages.ts';
import { cease } from '../wire/notification.ts';
import { holdTimeOf } from './agree.ts';
import { type SessionConfig, holdTimerAt, idleHoldTime, jittered, keepaliveAt, openHoldTime } from './config.ts';
import type { Effect, PendingInput, TcpAccepted, TcpConnected } from './events.ts';
import type {
  Active,
  Agreement,
  Connect,
  ConnectionId,
  History,
  Idle,
  OpenConfirm,
  Opening,
  OpenSent,
  State,
} from './state.ts';

export interface Transition {
  readonly state: State;
  readonly effects: readonly Effect[];
}

/** Time and chance of the event that is being answered. */
export interface Moment {
  readonly at: Instant;
  readonly random: number;
}

const nothing: readonly Effect[] = [];

/** The event is of no consequence here; each use says why. */
export const ignored = (state: State): Transition => ({ state, effects: nothing });

const keepalive: KeepaliveMessage = { kind: 'keepalive' };

export const sendKeepalive = (connection: ConnectionId): Effect => ({ kind: 'send', connection, message: keepalive });

const notificationOf = ({ code, subcode, data }: Reset): NotificationMessage => ({
  kind: 'notification',
  code,
  subcode,
  data,
});

/** NOTIFICATION and close; without a reset TCP is closed and nothing said. */
export function end(connection: ConnectionId, reset: Reset | undefined): Effect[] {
  const close: Effect = { kind: 'closeConnection', connection, how: 'close' };
  return reset === undefined ? [close] : [{ kind: 'send', connection, message: notificationOf(reset) }, close];
}

/** For a connection that is not made yet, is broken, or whose other end is gone. */
export const abort = (connection: ConnectionId): Effect => ({ kind: 'closeConnection', connection, how: 'abort' });

export const holdTimerExpired = (text: string): Reset => resetWith(NOTIFICATION_CODE.holdTimerExpired, 0, text, noData);

export const collided = (): Reset =>
  cease(CEASE.connectionCollision, 'another connection of this peer stands (RFC 4271 §6.8)');

const unexpectedSubcode = {
  OpenSent: FSM_ERROR.openSent,
  OpenConfirm: FSM_ERROR.openConfirm,
  Established: FSM_ERROR.established,
} as const;

/** RFC 6608 §3: the subcode is the state, the data the type of the message that does not belong there. */
export const unexpectedMessage = (state: keyof typeof unexpectedSubcode, type: number, name: string): Reset =>
  resetWith(
    NOTIFICATION_CODE.fsm,
    unexpectedSubcode[state],
    `the peer sent ${name} in state ${state} (RFC 6608 §3)`,
    Uint8Array.of(type),
  );

/** We wait for the peer, and try ourselves when ConnectRetryTimer expires, unless passive. */
export const waiting = (config: SessionConfig, moment: Moment): Active => ({
  kind: 'Active',
  connectRetryAt: config.passive ? undefined : retryAt(config, moment),
});

const retryAt = (config: SessionConfig, { at, random }: Moment): Instant =>
  after(at, jittered(config.connectRetryTime, random));

/** A connection of ours. */
export function connect(
  config: SessionConfig,
  history: History,
  moment: Moment,
): { readonly outgoing: Connect; readonly attempts: number; readonly effect: Effect } {
  const attempts = history.attempts + 1;
  const id: ConnectionId = `out-${attempts}`;
  return {
    outgoing: { kind: 'Connect', id, connectRetryAt: retryAt(config, moment) },
    attempts,
    effect: { kind: 'openConnection', connection: id },
  };
}

/** TCP is there: the OPEN goes out and HoldTimer runs with its large value. */
export function sayOpen(event: TcpConnected | TcpAccepted): { readonly connection: OpenSent; readonly effect: Effect } {
  return {
    connection: {
      kind: 'OpenSent',
      id: event.connection,
      offered: event.open,
      holdAt: after(event.at, openHoldTime),
    },
    effect: { kind: 'send', connection: event.connection, message: event.open },
  };
}

/** The peer's OPEN is good: KEEPALIVE goes out, the agreed timers run; zero hold time: none (RFC 4271 §8.2.2 OpenSent). */
export function confirm(
  id: ConnectionId,
  agreement: Agreement,
  { at, random }: Moment,
): { readonly connection: OpenConfirm; readonly effect: Effect } {
  const holdTime = holdTimeOf(agreement);
  return {
    connection: {
      kind: 'OpenConfirm',
      id,
      agreement,
      holdAt: holdTimerAt(at, holdTime),
      keepaliveAt: keepaliveAt(at, agreement.keepaliveTime, random),
      confirmed: false,
    },
    effect: sendKeepalive(id),
  };
}

/** RFC 4271 §8.1.1 DampPeerOscillations: each failure in a row keeps the session in Idle for longer. */
export const idleAfterFailure = (history: History, { at, random }: Moment): Idle => ({
  kind: 'Idle',
  startAt: after(at, idleHoldTime(history.oscillations, random)),
  oscillations: history.oscillations + 1,
  attempts: history.attempts,
});

/**
 * The peer went away without a word: it is restarting, or its machine is. Where RFC 4271 §8.2.2 says Idle, the session
 * listens at once, because Idle would refuse the restarted peer's connection, and a graceful restart would wait for a
 * timer. Only our own next try is damped like any other failure.
 */
export const listenAfterLoss = (config: SessionConfig, history: History, { at, random }: Moment): Opening => ({
  kind: 'Opening',
  oscillations: history.oscillations + 1,
  attempts: history.attempts,
  outgoing: {
    kind: 'Active',
    connectRetryAt: config.passive ? undefined : after(at, idleHoldTime(history.oscillations, random)),
  },
  incoming: undefined,
});

/** RFC 4271 §8.2.2: ManualStop sets ConnectRetryCounter to zero. */
export const stopped = (history: History): Idle => ({
  kind: 'Idle',
  startAt: undefined,
  oscillations: 0,
  attempts: history.attempts,
});

export const inputOf = (input: readonly PendingInput[], connection: ConnectionId): PendingInput | undefined =>
  input.find((pending) => pending.connection === connection);

/** For the text of a timeout: a peer that stopped in the middle of a message is told apart from a silent one. */
export function unfinished(input: PendingInput | undefined): string {
  const octets = input?.partialBytes ?? 0;
  return octets === 0 ? '' : `; ${octets} octets of an unfinished message are there`;
}

export const isDue = (deadline: Instant | undefined, at: Instant): boolean => deadline !== undefined && deadline <= at;
