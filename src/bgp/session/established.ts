/**
 * Established: messages are delivered, timers kept, a second connection followed until its OPEN. In: config, an
 * `Established` state, an event. Out: the next state and effects. RFC 4271 §8.2.2, RFC 4724 §5, RFC 8538 §4, RFC 9687 §4.
 */
import { assertNever } from '#lib/result.ts';
import { after, between } from '#lib/time.ts';
import { NOTIFICATION_CODE, resetWith } from '../wire/codes.ts';
import { MESSAGE_TYPE, type Reset } from '../wire/messages.ts';
import { agree, asSaid, holdTimeOf, keepsAfterNotification, keepsWhenLost } from './agree.ts';
import {
  type SessionConfig,
  holdTimerAt,
  keepaliveAt,
  lateCollisionTime,
  sendHoldTime,
  stableTime,
  timerAt,
  unreadExtension,
} from './config.ts';
import { type SessionError, errorOfNotification, errorOfReset } from './errors.ts';
import type { DeadlineReached, Effect, Event, OpenReceived, SessionDown } from './events.ts';
import {
  type Moment,
  type Transition,
  abort,
  collided,
  confirm,
  end,
  holdTimerExpired,
  idleAfterFailure,
  ignored,
  inputOf,
  isDue,
  listenAfterLoss,
  sayOpen,
  sendKeepalive,
  stopped,
  unexpectedMessage,
  unfinished,
  waiting,
} from './moves.ts';
import type { ConnectionId, Established, History, OpenConfirm, OpenSent, Opening, Second, State } from './state.ts';

export function established(config: SessionConfig, state: Established, event: Event): Transition {
  switch (event.kind) {
    case 'start':
      // RFC 4271 §8.2.2: start events are ignored in Established.
      return ignored(state);
    case 'stop': {
      const reset = event.how === 'silent' ? undefined : event.how;
      const ended = state.second === undefined ? [] : end(state.second.connection.id, reset);
      const reason = downWith({ code: 'SESSION_STOPPED', text: reset?.text ?? 'stopped without a word' }, false);
      return {
        state: stopped(state),
        effects: [...end(state.id, reset && asSaid(state.agreement, reset)), ...ended, { kind: 'sessionDown', reason }],
      };
    }
    case 'resetRequested': {
      // Meant for the peer, not for one connection of it: the second goes too, and the idle hold time runs.
      const ended = state.second === undefined ? [] : end(state.second.connection.id, event.reset);
      const left = notifyAndLeave(config, { ...state, second: undefined }, event, event.reset);
      return { state: left.state, effects: [...left.effects, ...ended] };
    }
    case 'deadlineReached':
      return expire(config, state, event);
    case 'tcpConnected':
      // Of an attempt that was given up when the session was established.
      return ignored(state);
    case 'tcpAccepted': {
      // RFC 4271 §8.2.2: the second connection is followed until its OPEN; RFC 4724 §5 decides there.
      const earlier = state.second === undefined ? [] : end(state.second.connection.id, collided());
      const { connection, effect } = sayOpen(event);
      const overlapped = between(state.since, event.at) < lateCollisionTime;
      return { state: { ...state, second: { connection, overlapped } }, effects: [...earlier, effect] };
    }
    case 'tcpFails':
      if (event.connection === state.id)
        // RFC 4271 §8.2.2, Event 18; RFC 4724 §4.2: without a NOTIFICATION the routes may stay.
        return leave(
          config,
          state,
          event,
          downWith(event.error, keepsWhenLost(state.agreement)),
          [abort(state.id)],
          listenAfterLoss,
        );
      return onSecond(state, event.connection, ({ connection }) => dropSecond(state, [abort(connection.id)]));
    case 'openReceived':
      if (event.connection === state.id) return unexpected(config, state, event, MESSAGE_TYPE.OPEN, 'OPEN');
      return onSecond(state, event.connection, (second) => secondOpen(config, state, second, event));
    case 'keepaliveReceived':
      if (event.connection === state.id) return heard(state, event);
      return unexpectedOnSecond(state, event.connection, MESSAGE_TYPE.KEEPALIVE, 'KEEPALIVE');
    case 'updateReceived':
      if (event.connection === state.id)
        return heard(state, event, { kind: 'deliverUpdate', connection: state.id, body: event.body });
      return unexpectedOnSecond(state, event.connection, MESSAGE_TYPE.UPDATE, 'UPDATE');
    case 'routeRefreshReceived':
      if (event.connection === state.id)
        return heard(state, event, { kind: 'deliverRouteRefresh', message: event.message });
      return unexpectedOnSecond(state, event.connection, MESSAGE_TYPE.ROUTE_REFRESH, 'ROUTE-REFRESH');
    case 'notificationReceived':
      if (event.connection === state.id)
        // RFC 4271 §8.2.2, Events 24 and 25.
        return leave(
          config,
          state,
          event,
          downWith(
            errorOfNotification(event.notification),
            keepsAfterNotification(state.agreement, event.notification),
          ),
          end(state.id, undefined),
        );
      return onSecond(state, event.connection, ({ connection }) => dropSecond(state, end(connection.id, undefined)));
    case 'messageInvalid':
      if (event.connection === state.id) return notifyAndLeave(config, state, event, event.reset);
      return onSecond(state, event.connection, (second) => refuseSecond(state, second, event.reset));
    case 'messageSent':
      // RFC 4271 §8.2.2: each UPDATE that is sent restarts KeepaliveTimer.
      return {
        state: { ...state, keepaliveAt: keepaliveAt(event.at, state.agreement.keepaliveTime, event.random) },
        effects: [],
      };
    case 'sendQueue':
      // Of the second connection: HoldTimer watches it.
      if (event.connection !== state.id) return ignored(state);
      // RFC 9687 §4: the timer is restarted whenever the peer takes something; nothing waits: nothing to watch.
      return {
        state: {
          ...state,
          sendHoldAt:
            event.now === 'drained' ? undefined : timerAt(event.at, sendHoldTime(holdTimeOf(state.agreement))),
        },
        effects: [],
      };
  }
  return assertNever(event, 'session event');
}

const downWith = ({ code, text }: SessionError, keepRoutes: boolean): SessionDown => ({
  code,
  text,
  keepRoutes,
  replaced: false,
});

/** RFC 4271 §8.2.2, Events 26 and 27: HoldTimer is restarted. Any other whole message proves the peer alive as well. */
function heard(state: Established, { at }: Moment, ...effects: readonly Effect[]): Transition {
  return { state: { ...state, holdAt: holdTimerAt(at, holdTimeOf(state.agreement)) }, effects };
}

/** The way out of Established for every reason: the session is told down, and a second connection takes its place. */
function leave(
  config: SessionConfig,
  state: Established,
  moment: Moment,
  reason: SessionDown,
  ending: readonly Effect[],
  next: (config: SessionConfig, history: History, moment: Moment) => State = (_, history) =>
    idleAfterFailure(history, moment),
): Transition {
  const effects: Effect[] = [...ending, { kind: 'sessionDown', reason }];
  const oscillations = between(state.since, moment.at) >= stableTime ? 0 : state.oscillations;
  const history = { oscillations, attempts: state.attempts };
  if (state.second === undefined) return { state: next(config, history, moment), effects };
  const continued = continueWith(config, history, state.second.connection, moment);
  return { state: { ...continued, oscillations: oscillations + 1 }, effects };
}

function continueWith(
  config: SessionConfig,
  history: { readonly oscillations: number; readonly attempts: number },
  connection: OpenSent | OpenConfirm,
  moment: Moment,
): Opening {
  return connection.id.startsWith('out-')
    ? { kind: 'Opening', ...history, outgoing: connection, incoming: undefined }
    : { kind: 'Opening', ...history, outgoing: waiting(config, moment), incoming: connection };
}

function notifyAndLeave(
  config: SessionConfig,
  state: Established,
  moment: Moment,
  reset: Reset,
  error: SessionError = errorOfReset(reset),
): Transition {
  const said = asSaid(state.agreement, reset);
  return leave(
    config,
    state,
    moment,
    downWith(error, keepsAfterNotification(state.agreement, said)),
    end(state.id, said),
  );
}

const unexpected = (
  config: SessionConfig,
  state: Established,
  moment: Moment,
  type: number,
  name: string,
): Transition => notifyAndLeave(config, state, moment, unexpectedMessage('Established', type, name));

/** Runs `answer` for the second connection; any other is closed already and what is left of it is ignored. */
function onSecond(state: Established, id: ConnectionId, answer: (second: Second) => Transition): Transition {
  return state.second?.connection.id === id ? answer(state.second) : ignored(state);
}

const dropSecond = (state: Established, effects: readonly Effect[]): Transition => ({
  state: { ...state, second: undefined },
  effects,
});

const refuseSecond = (state: Established, { connection }: Second, reset: Reset): Transition =>
  dropSecond(state, [...end(connection.id, reset), { kind: 'failed', error: errorOfReset(reset) }]);

const unexpectedOnSecond = (state: Established, id: ConnectionId, type: number, name: string): Transition =>
  onSecond(state, id, (second) => refuseSecond(state, second, unexpectedMessage('OpenSent', type, name)));

function secondOpen(config: SessionConfig, state: Established, second: Second, event: OpenReceived): Transition {
  const { connection, overlapped } = second;
  const agreed = agree(config, connection.offered, event.open);
  if (!agreed.ok) return refuseSecond(state, second, agreed.error);
  // RFC 4271 §6.8: against an established session the new connection loses. RFC 4724 §5: unless the peer has restarted,
  // which a connection that is older than the session cannot tell.
  if (overlapped || !keepsWhenLost(state.agreement)) return dropSecond(state, end(connection.id, collided()));
  const confirmed = confirm(connection.id, agreed.value, event);
  const reason: SessionDown = {
    code: 'SESSION_REPLACED',
    text: 'the peer has restarted and opened a new connection (RFC 4724 §5)',
    keepRoutes: true,
    replaced: true,
  };
  return {
    state: continueWith(config, { oscillations: 0, attempts: state.attempts }, confirmed.connection, event),
    effects: [abort(state.id), { kind: 'sessionDown', reason }, confirmed.effect],
  };
}

/** One timer at a time: the runner comes back at once while `nextDeadline` is not in the future. */
function expire(config: SessionConfig, state: Established, event: DeadlineReached): Transition {
  const { at } = event;
  if (isDue(state.holdAt, at)) return holdTimer(config, state, event);
  if (isDue(state.sendHoldAt, at)) {
    const text = 'the peer has taken nothing of what was sent for the send hold time (RFC 9687 §4)';
    const reset = resetWith(NOTIFICATION_CODE.sendHoldTimerExpired, 0, text);
    // RFC 9687 §4: the NOTIFICATION would wait behind what the peer does not read, so TCP is dropped.
    return leave(config, state, event, downWith(errorOfReset(reset), keepsAfterNotification(state.agreement, reset)), [
      abort(state.id),
    ]);
  }
  if (isDue(state.keepaliveAt, at)) {
    const next = keepaliveAt(at, state.agreement.keepaliveTime, event.random);
    return { state: { ...state, keepaliveAt: next }, effects: [sendKeepalive(state.id)] };
  }
  if (state.second !== undefined && isDue(state.second.connection.holdAt, at))
    return refuseSecond(state, state.second, holdTimerExpired('no OPEN came on the second connection'));
  // The timer was restarted or stopped while this event was on its way.
  return ignored(state);
}

function holdTimer(config: SessionConfig, state: Established, event: DeadlineReached): Transition {
  const input = inputOf(event.input, state.id);
  if (input?.unread === true) return { state: { ...state, holdAt: after(event.at, unreadExtension) }, effects: [] };
  // RFC 4271 §8.2.2, Event 10.
  const text = `nothing came from the peer for the hold time of ${state.agreement.holdTimeSeconds} s${unfinished(input)}`;
  return notifyAndLeave(config, state, event, holdTimerExpired(text));
}
