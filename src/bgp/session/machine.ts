/**
 * The session machine of RFC 4271 §8: `transition(config, state, event)` answers the next state and what is to be done. Pure:
 * time and chance come in with the event; sockets and routes are effects that the runner carries out in order.
 *
 * One machine holds both connections of a peer (state.ts). DEVIATION: RFC 4271 §8.2.2 has Idle where this has Active: a
 * connection that could not be made, or an established one that was lost without a NOTIFICATION, leads to Active instead
 * of Idle, because Idle would refuse the peer's own connection. DelayOpen, which is optional, is not there.
 */
import { assertNever } from '#lib/result.ts';
import type { SessionConfig } from './config.ts';
import { established } from './established.ts';
import type { Event } from './events.ts';
import { type Moment, type Transition, abort, connect, ignored, isDue, stopped, waiting } from './moves.ts';
import { opening } from './opening.ts';
import type { History, Idle, State } from './state.ts';

export function transition(config: SessionConfig, state: State, event: Event): Transition {
  switch (state.kind) {
    case 'Idle':
      return idle(config, state, event);
    case 'Opening':
      return opening(config, state, event);
    case 'Established':
      return established(config, state, event);
  }
  return assertNever(state, 'session state');
}

function idle(config: SessionConfig, state: Idle, event: Event): Transition {
  switch (event.kind) {
    case 'start':
      // RFC 4271 §8.2.2: ManualStart sets ConnectRetryCounter to zero.
      return begin(config, { ...state, oscillations: 0 }, event);
    case 'deadlineReached':
      // Event 13, IdleHoldTimer_Expires.
      return isDue(state.startAt, event.at) ? begin(config, state, event) : ignored(state);
    case 'stop':
      // RFC 4271 §8.2.2: nothing is there to stop, but IdleHoldTimer must not start it again.
      return ignored(stopped(state));
    case 'tcpAccepted':
      // RFC 4271 §8.2.2: Idle refuses all connections of the peer.
      return { state, effects: [abort(event.connection)] };
    case 'resetRequested':
      // RFC 4271 §8.2.2: AutomaticStop is ignored in Idle.
      return ignored(state);
    case 'tcpConnected':
    case 'tcpFails':
    case 'openReceived':
    case 'notificationReceived':
    case 'keepaliveReceived':
    case 'updateReceived':
    case 'routeRefreshReceived':
    case 'messageInvalid':
    case 'messageSent':
    case 'sendQueue':
      // RFC 4271 §8.2.2: no other event changes Idle; these are left over from connections that are closed.
      return ignored(state);
  }
  return assertNever(event, 'session event');
}

function begin(config: SessionConfig, history: History, moment: Moment): Transition {
  const { oscillations } = history;
  if (config.passive)
    return {
      state: {
        kind: 'Opening',
        oscillations,
        attempts: history.attempts,
        outgoing: waiting(config, moment),
        incoming: undefined,
      },
      effects: [],
    };
  const { outgoing, attempts, effect } = connect(config, history, moment);
  return { state: { kind: 'Opening', oscillations, attempts, outgoing, incoming: undefined }, effects: [effect] };
}
