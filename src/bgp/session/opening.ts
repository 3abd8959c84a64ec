/**
 * Connect, Active, OpenSent and OpenConfirm: everything between Idle and Established, for both connections of a peer, with
 * the collision of RFC 4271 §6.8. In: config, an `Opening` state, an event. Out: the next state and effects.
 *
 * DEVIATION: RFC 4271 §8.2.2. An error ends the connection it happened on. The session goes to Idle only when no other
 * connection is under way, so that a peer's failed attempt never costs ours.
 *
 * DEVIATION: RFC 4271 §6.8. A collision never costs both connections. Once our KEEPALIVE is out on the one that is to
 * lose, the peer may have taken it for the session before it saw our OPEN on the other, and then it closes that other
 * one. So the loser is closed when the other is Established, and until then it waits, `confirmed` when the peer's
 * KEEPALIVE came: if the other one ends, it is the session.
 */
import { assertNever } from '#lib/result.ts';
import { after, toSeconds } from '#lib/time.ts';
import { CEASE, NOTIFICATION_CODE } from '../wire/codes.ts';
import { MESSAGE_TYPE, type Reset } from '../wire/messages.ts';
import { agree, holdTimeOf } from './agree.ts';
import { survivor } from './collision.ts';
import { type SessionConfig, holdTimerAt, keepaliveAt, openHoldTime, unreadExtension } from './config.ts';
import { type SessionError, errorOfNotification, errorOfReset } from './errors.ts';
import type { DeadlineReached, Effect, Event, NotificationReceived, OpenReceived, TcpFails } from './events.ts';
import {
  type Moment,
  type Transition,
  abort,
  collided,
  confirm,
  connect,
  end,
  holdTimerExpired,
  idleAfterFailure,
  ignored,
  inputOf,
  isDue,
  sayOpen,
  sendKeepalive,
  stopped,
  unexpectedMessage,
  unfinished,
  waiting,
} from './moves.ts';
import type { Agreement, ConnectionId, OpenConfirm, OpenSent, Opening, State } from './state.ts';

type Slot = 'outgoing' | 'incoming';
/** A connection over which messages pass, and where it is. */
type Live = { readonly slot: Slot; readonly connection: OpenSent | OpenConfirm };

export function opening(config: SessionConfig, state: Opening, event: Event): Transition {
  const answer = answerTo(config, state, event);
  if (answer.state.kind !== 'Opening') return answer;
  const { outgoing, incoming } = answer.state;
  for (const [slot, connection, other] of [
    ['outgoing', outgoing, incoming],
    ['incoming', incoming, outgoing],
  ] as const) {
    if (connection?.kind !== 'OpenConfirm' || !connection.confirmed || other?.kind === 'OpenConfirm') continue;
    // What it waited for is gone.
    const up = establish(answer.state, slot, connection, event);
    return { state: up.state, effects: [...answer.effects, ...up.effects] };
  }
  return answer;
}

function answerTo(config: SessionConfig, state: Opening, event: Event): Transition {
  switch (event.kind) {
    case 'start':
      // RFC 4271 §8.2.2: start events are ignored in Connect, Active, OpenSent and OpenConfirm.
      return ignored(state);
    case 'stop':
      return { state: stopped(state), effects: endAll(state, event.how === 'silent' ? undefined : event.how) };
    case 'resetRequested':
      return {
        state: idleAfterFailure(state, event),
        effects: [...endAll(state, event.reset), { kind: 'failed', error: errorOfReset(event.reset) }],
      };
    case 'deadlineReached':
      return expire(config, state, event);
    case 'tcpConnected': {
      // Of an attempt that was given up: its socket is closed already.
      if (state.outgoing.kind !== 'Connect' || state.outgoing.id !== event.connection) return ignored(state);
      const { connection, effect } = sayOpen(event);
      return { state: { ...state, outgoing: connection }, effects: [effect] };
    }
    case 'tcpAccepted': {
      // A peer makes one connection at a time: a second one means that it has given up the first.
      const earlier = state.incoming === undefined ? [] : end(state.incoming.id, collided());
      const { connection, effect } = sayOpen(event);
      return { state: { ...state, incoming: connection }, effects: [...earlier, effect] };
    }
    case 'tcpFails':
      return tcpFails(config, state, event);
    case 'openReceived':
      return onLive(state, event.connection, (live) => openReceived(config, state, live, event));
    case 'keepaliveReceived':
      return onLive(state, event.connection, (live) =>
        live.connection.kind === 'OpenConfirm'
          ? keepaliveReceived(config, state, live.slot, live.connection, event)
          : unexpected(config, state, live, event, MESSAGE_TYPE.KEEPALIVE, 'KEEPALIVE'),
      );
    case 'updateReceived':
      return onLive(
        state,
        event.connection,
        (live) =>
          inSession(state, live, event, { kind: 'deliverUpdate', connection: event.connection, body: event.body }) ??
          unexpected(config, state, live, event, MESSAGE_TYPE.UPDATE, 'UPDATE'),
      );
    case 'routeRefreshReceived':
      return onLive(
        state,
        event.connection,
        (live) =>
          inSession(state, live, event, { kind: 'deliverRouteRefresh', message: event.message }) ??
          unexpected(config, state, live, event, MESSAGE_TYPE.ROUTE_REFRESH, 'ROUTE-REFRESH'),
      );
    case 'notificationReceived':
      return onLive(state, event.connection, (live) => notificationReceived(config, state, live, event));
    case 'messageInvalid':
      // RFC 4271 §8.2.2, Events 21, 22 and 28: the NOTIFICATION of the error, then Idle.
      return onLive(state, event.connection, (live) => refuse(config, state, live, event, event.reset));
    case 'messageSent':
    case 'sendQueue':
      // Before Established HoldTimer watches the peer; nothing but OPEN and KEEPALIVE is written (RFC 9687 §4).
      return ignored(state);
  }
  return assertNever(event, 'session event');
}

/** Runs `answer` for a connection that messages pass over; others are closed already and what is left of them is ignored. */
function onLive(state: Opening, id: ConnectionId, answer: (live: Live) => Transition): Transition {
  const { outgoing, incoming } = state;
  if (incoming?.id === id) return answer({ slot: 'incoming', connection: incoming });
  if ((outgoing.kind === 'OpenSent' || outgoing.kind === 'OpenConfirm') && outgoing.id === id)
    return answer({ slot: 'outgoing', connection: outgoing });
  return ignored(state);
}

function endAll({ outgoing, incoming }: Opening, reset: Reset | undefined): Effect[] {
  const effects: Effect[] = [];
  if (outgoing.kind === 'Connect') effects.push(abort(outgoing.id));
  else if (outgoing.kind !== 'Active') effects.push(...end(outgoing.id, reset));
  if (incoming !== undefined) effects.push(...end(incoming.id, reset));
  return effects;
}

/** The state without the connection in `slot`. */
function without(config: SessionConfig, state: Opening, slot: Slot, moment: Moment): Opening {
  return slot === 'incoming' ? { ...state, incoming: undefined } : { ...state, outgoing: waiting(config, moment) };
}

/** Idle, unless the other connection is under way. */
function afterFailure(config: SessionConfig, state: Opening, slot: Slot, moment: Moment): State {
  const other = slot === 'incoming' ? state.outgoing : state.incoming;
  if (other === undefined || other.kind === 'Active') return idleAfterFailure(state, moment);
  return without(config, state, slot, moment);
}

/** Ends a connection with a NOTIFICATION because of what the peer did. */
function refuse(
  config: SessionConfig,
  state: Opening,
  live: Live,
  moment: Moment,
  reset: Reset,
  error: SessionError = errorOfReset(reset),
): Transition {
  return {
    state: afterFailure(config, state, live.slot, moment),
    effects: [...end(live.connection.id, reset), { kind: 'failed', error }],
  };
}

const unexpected = (
  config: SessionConfig,
  state: Opening,
  live: Live,
  moment: Moment,
  type: number,
  name: string,
): Transition => refuse(config, state, live, moment, unexpectedMessage(live.connection.kind, type, name));

function tcpFails(config: SessionConfig, state: Opening, event: TcpFails): Transition {
  const effects: Effect[] = [abort(event.connection), { kind: 'failed', error: event.error }];
  if (state.outgoing.kind === 'Connect' && state.outgoing.id === event.connection)
    return { state: without(config, state, 'outgoing', event), effects };
  return onLive(state, event.connection, ({ slot, connection }) => ({
    // RFC 4271 §8.2.2, Event 18: OpenSent goes on to listen in Active, OpenConfirm goes to Idle.
    state:
      connection.kind === 'OpenSent' ? without(config, state, slot, event) : afterFailure(config, state, slot, event),
    effects,
  }));
}

function openReceived(config: SessionConfig, state: Opening, live: Live, event: OpenReceived): Transition {
  const { slot, connection } = live;
  if (connection.kind === 'OpenConfirm') return unexpected(config, state, live, event, MESSAGE_TYPE.OPEN, 'OPEN');
  const agreed = agree(config, connection.offered, event.open);
  if (!agreed.ok) return refuse(config, state, live, event, agreed.error);
  // RFC 4271 §6.8: the connections in OpenConfirm are examined when an OPEN comes. Event 23, OpenCollisionDump. Without our
  // KEEPALIVE the peer cannot have taken this connection for the session, so it is closed at once if it is to lose.
  if (otherOf(state, slot)?.kind === 'OpenConfirm' && stands(config, agreed.value) !== slot)
    return { state: without(config, state, slot, event), effects: end(connection.id, collided()) };
  const confirmed = confirm(connection.id, agreed.value, event);
  return { state: { ...state, [slot]: confirmed.connection }, effects: [confirmed.effect] };
}

const otherOf = (state: Opening, slot: Slot): Opening['outgoing' | 'incoming'] =>
  slot === 'outgoing' ? state.incoming : state.outgoing;

const stands = (config: SessionConfig, { peerIdentifier, context }: Agreement): Slot =>
  survivor(
    { identifier: config.identifier, asn: config.localAsn },
    { identifier: peerIdentifier, asn: context.peerAsn },
  );

function keepaliveReceived(
  config: SessionConfig,
  state: Opening,
  slot: Slot,
  connection: OpenConfirm,
  moment: Moment,
): Transition {
  const { agreement } = connection;
  if (otherOf(state, slot)?.kind !== 'OpenConfirm' || stands(config, agreement) === slot)
    return establish(state, slot, connection, moment);
  const holdAt = holdTimerAt(moment.at, holdTimeOf(agreement));
  return { state: { ...state, [slot]: { ...connection, holdAt, confirmed: true } }, effects: [] };
}

/** Only in a session are there messages like this: the peer has taken a connection that was to lose, and so do we. */
function inSession(
  state: Opening,
  { slot, connection }: Live,
  moment: Moment,
  deliver: Effect,
): Transition | undefined {
  if (connection.kind !== 'OpenConfirm' || !connection.confirmed) return undefined;
  const up = establish(state, slot, connection, moment);
  return { state: up.state, effects: [...up.effects, deliver] };
}

function establish(state: Opening, slot: Slot, connection: OpenConfirm, moment: Moment): Transition {
  const other = otherOf(state, slot);
  const effects: Effect[] = [];
  if (other?.kind === 'Connect') effects.push(abort(other.id));
  if (other?.kind === 'OpenConfirm') effects.push(...end(other.id, collided()));
  effects.push({ kind: 'sessionUp', connection: connection.id, agreement: connection.agreement });
  return {
    state: {
      kind: 'Established',
      id: connection.id,
      agreement: connection.agreement,
      since: moment.at,
      // RFC 4271 §8.2.2 OpenConfirm, Event 26: HoldTimer is restarted.
      holdAt: holdTimerAt(moment.at, holdTimeOf(connection.agreement)),
      keepaliveAt: connection.keepaliveAt,
      sendHoldAt: undefined,
      // RFC 4271 §8.2.2 Established: a second connection is followed until its OPEN.
      second: other?.kind === 'OpenSent' ? { connection: other, overlapped: true } : undefined,
      oscillations: state.oscillations,
      attempts: state.attempts,
    },
    effects,
  };
}

function notificationReceived(
  config: SessionConfig,
  state: Opening,
  { slot, connection }: Live,
  event: NotificationReceived,
): Transition {
  const { notification } = event;
  // The peer keeps another connection, whose turn may not have come here yet: Idle would refuse it.
  if (notification.code === NOTIFICATION_CODE.cease && notification.subcode === CEASE.connectionCollision)
    return { state: without(config, state, slot, event), effects: end(connection.id, undefined) };
  // RFC 4271 §8.2.2, Events 24 and 25. There is one version of BGP, so Event 24 is a failure like any other.
  return {
    state: afterFailure(config, state, slot, event),
    effects: [...end(connection.id, undefined), { kind: 'failed', error: errorOfNotification(notification) }],
  };
}

/** One timer at a time: the runner comes back at once while `nextDeadline` is not in the future. */
function expire(config: SessionConfig, state: Opening, event: DeadlineReached): Transition {
  const { outgoing, incoming } = state;
  if (outgoing.kind === 'Active' || outgoing.kind === 'Connect') {
    if (isDue(outgoing.connectRetryAt, event.at)) return connectRetry(config, state, event);
  } else {
    const expired = expireLive(config, state, { slot: 'outgoing', connection: outgoing }, event);
    if (expired !== undefined) return expired;
  }
  if (incoming !== undefined) {
    const expired = expireLive(config, state, { slot: 'incoming', connection: incoming }, event);
    if (expired !== undefined) return expired;
  }
  // The timer was restarted or stopped while this event was on its way.
  return ignored(state);
}

/** Event 9: what was under way is given up, and the next connection made unless the peer's own is under way. */
function connectRetry(config: SessionConfig, state: Opening, event: DeadlineReached): Transition {
  const effects: Effect[] =
    state.outgoing.kind === 'Connect'
      ? [abort(state.outgoing.id), { kind: 'failed', error: connectTimeout(config, event) }]
      : [];
  if (state.incoming !== undefined) return { state: without(config, state, 'outgoing', event), effects };
  const { outgoing, attempts, effect } = connect(config, state, event);
  return { state: { ...state, outgoing, attempts }, effects: [...effects, effect] };
}

const segments = (count: number): string => (count === 1 ? '1 segment' : `${count} segments`);

function connectTimeout(config: SessionConfig, event: DeadlineReached): SessionError {
  const { signature, hopLimit } = event.drops;
  if (hopLimit > 0)
    return {
      code: 'SESSION_TTL_TOO_LOW',
      text: `no answer, and the kernel dropped ${segments(hopLimit)} with a TTL below ${config.minimumHopLimit} meanwhile (RFC 5082 §3): the peer is more hops away than is said, does not send with TTL 255, or nothing listens there (its refusal has a low TTL too)`,
    };
  if (signature > 0)
    return {
      code: 'SESSION_PASSWORD_MISMATCH',
      text: `no answer, and the kernel dropped ${segments(signature)} for a wrong or missing TCP MD5 signature meanwhile: the passwords differ, or one end has none`,
    };
  const silence = config.hasPassword
    ? 'a wrong or missing TCP MD5 password at the peer looks like this too'
    : 'a peer that wants a TCP MD5 password or TTL security looks like this too';
  return {
    code: 'SESSION_CONNECT_TIMEOUT',
    text: `the peer did not answer within ${toSeconds(config.connectRetryTime)} s (${silence})`,
  };
}

function expireLive(config: SessionConfig, state: Opening, live: Live, event: DeadlineReached): Transition | undefined {
  const { slot, connection } = live;
  if (isDue(connection.holdAt, event.at)) {
    const input = inputOf(event.input, connection.id);
    if (input?.unread === true)
      return {
        state: { ...state, [slot]: { ...connection, holdAt: after(event.at, unreadExtension) } },
        effects: [],
      };
    // RFC 4271 §8.2.2, Event 10.
    const error: SessionError =
      connection.kind === 'OpenSent'
        ? {
            code: 'SESSION_OPEN_TIMEOUT',
            text: `connected, but no OPEN came within ${toSeconds(openHoldTime)} s${unfinished(input)}`,
          }
        : {
            code: 'SESSION_HOLD_TIMER_EXPIRED',
            text: `no KEEPALIVE came within the hold time of ${connection.agreement.holdTimeSeconds} s after the OPEN${unfinished(input)}`,
          };
    return refuse(config, state, live, event, holdTimerExpired(error.text), error);
  }
  if (connection.kind === 'OpenConfirm' && isDue(connection.keepaliveAt, event.at)) {
    const next = keepaliveAt(event.at, connection.agreement.keepaliveTime, event.random);
    return {
      state: { ...state, [slot]: { ...connection, keepaliveAt: next } },
      effects: [sendKeepalive(connection.id)],
    };
  }
  return undefined;
}
