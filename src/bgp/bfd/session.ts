/**
 * One BFD session in asynchronous mode (RFC 5880 §6.8), PURE: `step(session, event)` answers the session afterwards and
 * what is to be sent. Time and chance come in with the event; sockets, clocks and discriminators are the runner's.
 *
 * Not used: Demand mode on our side, Echo, authentication. A neighbour's Demand mode is honoured (RFC 5880 §6.6).
 */
import { assertNever } from '#lib/result.ts';
import { type Duration, type Instant, after, earliest, milliseconds } from '#lib/time.ts';
import { type BfdState, type ControlPacket, DIAGNOSTIC, type SentPacket } from './control-packet.ts';

/** What a person wants of a session. Intervals are microseconds. */
export interface BfdParameters {
  /** The interval once the session is Up. */
  readonly desiredMinTxMicroseconds: number;
  readonly requiredMinRxMicroseconds: number;
  /** 1 to 255. */
  readonly detectMultiplier: number;
  /** RFC 5880 §6.1: says nothing until the neighbour has spoken. */
  readonly passive: boolean;
  /** RFC 5880 §6.8.16. */
  readonly administrativelyDown: boolean;
}

/** A Poll Sequence (RFC 5880 §6.5). `again`: parameters changed meanwhile, a Final that is under way answers the old ones. */
type Poll = 'none' | 'running' | 'again';

/** The state variables of RFC 5880 §6.8.1, and two timers. */
export interface BfdSession {
  readonly parameters: BfdParameters;
  /** The C bit that is sent: these sessions survive the agent. */
  readonly controlPlaneIndependent: boolean;
  readonly localDiscriminator: number;
  readonly state: BfdState;
  readonly diagnostic: number;
  readonly poll: Poll;
  /** bfd.DesiredMinTxInterval as it is announced; never below a second while the session is not Up. */
  readonly desiredMinTxMicroseconds: number;
  /** What the transmit interval is really reckoned with; behind the announced one until a Poll Sequence has ended. */
  readonly transmitBasisMicroseconds: number;
  /** What the detection time is really reckoned with; behind bfd.RequiredMinRxInterval until a Poll Sequence has ended. */
  readonly receiveBasisMicroseconds: number;
  readonly remote: RemoteEnd;
  /** When the next periodic packet goes out; `undefined`: none does. */
  readonly transmitAt: Instant | undefined;
  /** When the periodic packet before it went out: a changed interval is measured from there. */
  readonly transmittedAt: Instant;
  /** How much of the interval is taken, 0.75 to 1 (RFC 5880 §6.8.7). */
  readonly jitter: number;
  /** When the neighbour was last heard; `undefined`: not since the last detection time ended. */
  readonly receivedAt: Instant | undefined;
  /** End of the detection time. */
  readonly detectAt: Instant | undefined;
}

/** What the last packet said. */
export interface RemoteEnd {
  readonly state: BfdState;
  readonly diagnostic: number;
  /** 0: not known. */
  readonly discriminator: number;
  readonly minRxMicroseconds: number;
  readonly minTxMicroseconds: number;
  readonly detectMultiplier: number;
  readonly demand: boolean;
  readonly controlPlaneIndependent: boolean;
}

/** `random`: 0 to below 1. */
interface Moment {
  readonly at: Instant;
  readonly random: number;
}

export type BfdEvent = Moment &
  (
    | { readonly kind: 'packetReceived'; readonly packet: ControlPacket }
    | { readonly kind: 'deadlineReached' }
    | { readonly kind: 'configured'; readonly parameters: BfdParameters }
  );

export interface BfdStep {
  readonly session: BfdSession;
  readonly send: readonly SentPacket[];
}

/** RFC 5880 §6.8.3: not less than one second while the session is not Up. */
export const SLOW_MICROSECONDS = 1_000_000;

// RFC 5880 §6.8.1: bfd.RemoteMinRxInterval is 1 until a packet says otherwise.
const unknownRemote: RemoteEnd = {
  state: 'Down',
  diagnostic: DIAGNOSTIC.none,
  discriminator: 0,
  minRxMicroseconds: 1,
  minTxMicroseconds: 0,
  detectMultiplier: 0,
  demand: false,
  controlPlaneIndependent: false,
};

/** A new session; its first deadline is at once, unless it is passive. `localDiscriminator` is unique and not 0. */
export function newSession(
  parameters: BfdParameters,
  localDiscriminator: number,
  { at, random }: Moment,
  controlPlaneIndependent = true,
): BfdSession {
  const desired = Math.max(parameters.desiredMinTxMicroseconds, SLOW_MICROSECONDS);
  return {
    parameters,
    controlPlaneIndependent,
    localDiscriminator,
    state: parameters.administrativelyDown ? 'AdminDown' : 'Down',
    diagnostic: parameters.administrativelyDown ? DIAGNOSTIC.administrativelyDown : DIAGNOSTIC.none,
    poll: 'none',
    desiredMinTxMicroseconds: desired,
    transmitBasisMicroseconds: desired,
    receiveBasisMicroseconds: parameters.requiredMinRxMicroseconds,
    remote: unknownRemote,
    transmitAt: parameters.passive ? undefined : at,
    transmittedAt: at,
    jitter: jitterOf(parameters, random),
    receivedAt: undefined,
    detectAt: undefined,
  };
}

/** When the session wants `deadlineReached`. */
export const nextDeadline = (session: BfdSession): Instant | undefined =>
  earliest(session.transmitAt, session.detectAt);

/** Whether the end of the detection time is reached: what waits in the socket should be read before it is believed. */
export const detectionDue = ({ detectAt }: BfdSession, at: Instant): boolean =>
  detectAt !== undefined && detectAt <= at;

/**
 * Whether this step was a failure of the path. RFC 5882 §3.2: what an end does on purpose (AdminDown, the neighbour's or
 * ours) is none.
 */
export const pathFailed = (before: BfdSession, now: BfdSession): boolean =>
  before.state === 'Up' && now.state === 'Down' && now.remote.state !== 'AdminDown';

/** Whether a failure is over: Up again, or an end has said that it does not watch the path. */
export const failureOver = ({ state, remote }: BfdSession): boolean =>
  state === 'Up' || state === 'AdminDown' || remote.state === 'AdminDown';

/** RFC 5880 §6.8.2, before jitter. */
export const transmitInterval = ({ transmitBasisMicroseconds, remote }: BfdSession): Duration =>
  milliseconds(Math.max(transmitBasisMicroseconds, remote.minRxMicroseconds) / 1000);

/** RFC 5880 §6.8.4, asynchronous mode. */
export const detectionTime = ({ receiveBasisMicroseconds, remote }: BfdSession): Duration =>
  milliseconds((remote.detectMultiplier * Math.max(receiveBasisMicroseconds, remote.minTxMicroseconds)) / 1000);

export function step(session: BfdSession, event: BfdEvent): BfdStep {
  switch (event.kind) {
    case 'packetReceived':
      return received(session, event.packet, event);
    case 'deadlineReached':
      return deadline(session, event);
    case 'configured':
      return configured(session, event.parameters, event);
  }
  return assertNever(event, 'BFD event');
}

/** RFC 5880 §6.8.6 from "Set bfd.RemoteDiscr" on; the checks before it were made by the decoder and the runner. */
function received(session: BfdSession, packet: ControlPacket, moment: Moment): BfdStep {
  const remote: RemoteEnd = {
    state: packet.state,
    diagnostic: packet.diagnostic,
    discriminator: packet.myDiscriminator,
    minRxMicroseconds: packet.requiredMinRxMicroseconds,
    minTxMicroseconds: packet.desiredMinTxMicroseconds,
    detectMultiplier: packet.detectMultiplier,
    demand: packet.demand,
    controlPlaneIndependent: packet.controlPlaneIndependent,
  };
  let next: BfdSession = { ...session, remote };
  if (packet.final) next = finalReceived(next);
  // RFC 5880 §6.8.6: AdminDown takes note of the variables and answers nothing; the packet was not "received".
  if (next.state === 'AdminDown') return settle(session, next, moment, false);
  next = moved({ ...next, receivedAt: moment.at }, stateAfter(next.state, packet.state));
  return settle(session, next, moment, packet.poll);
}

/** The state machine of RFC 5880 §6.8.6; AdminDown is left by configuration only. */
function stateAfter(state: BfdState, remote: BfdState): BfdState {
  switch (state) {
    case 'AdminDown':
      return state;
    case 'Down':
      if (remote === 'Down') return 'Init';
      return remote === 'Init' ? 'Up' : 'Down';
    case 'Init':
      if (remote === 'AdminDown') return 'Down';
      return remote === 'Init' || remote === 'Up' ? 'Up' : 'Init';
    case 'Up':
      return remote === 'AdminDown' || remote === 'Down' ? 'Down' : 'Up';
  }
  return assertNever(state, 'BFD state');
}

/** A change that a packet caused: intervals follow the state (RFC 5880 §6.8.3). */
function moved(session: BfdSession, state: BfdState): BfdSession {
  if (state === session.state) return session;
  const diagnostic = diagnosticOfMove(session, state);
  return withIntervals({ ...session, state, diagnostic }, session.parameters);
}

function diagnosticOfMove(session: BfdSession, state: BfdState): number {
  if (state === 'Down') return DIAGNOSTIC.neighborSignaledSessionDown;
  // The reason of the last failure stays visible until the session is Up again.
  return state === 'Up' ? DIAGNOSTIC.none : session.diagnostic;
}

/**
 * The intervals that hold for this state and these parameters, with a Poll Sequence when one of them changes. RFC 5880
 * §6.8.3: while Up a longer transmit interval and a shorter receive interval count only when the neighbour has heard of
 * them, everything else at once.
 */
function withIntervals(session: BfdSession, desired: BfdParameters): BfdSession {
  const up = session.state === 'Up';
  const transmit = up
    ? desired.desiredMinTxMicroseconds
    : Math.max(desired.desiredMinTxMicroseconds, SLOW_MICROSECONDS);
  const receive = desired.requiredMinRxMicroseconds;
  const changed =
    transmit !== session.desiredMinTxMicroseconds || receive !== session.parameters.requiredMinRxMicroseconds;
  const { transmitBasisMicroseconds, receiveBasisMicroseconds } = session;
  return {
    ...session,
    parameters: desired,
    poll: changed && canPoll(session) ? startedPoll(session.poll) : session.poll,
    desiredMinTxMicroseconds: transmit,
    transmitBasisMicroseconds: up && transmit > transmitBasisMicroseconds ? transmitBasisMicroseconds : transmit,
    receiveBasisMicroseconds: up && receive < receiveBasisMicroseconds ? receiveBasisMicroseconds : receive,
  };
}

/** Without a neighbour that is known nobody answers; AdminDown only says goodbye. */
const canPoll = ({ state, remote }: BfdSession): boolean => state !== 'AdminDown' && remote.discriminator !== 0;

const startedPoll = (poll: Poll): Poll => (poll === 'none' ? 'running' : 'again');

/** RFC 5880 §6.5: the Poll Sequence ends; the intervals that waited for it hold now. */
function finalReceived(session: BfdSession): BfdSession {
  if (session.poll === 'none') return session;
  if (session.poll === 'again') return { ...session, poll: 'running' };
  return {
    ...session,
    poll: 'none',
    transmitBasisMicroseconds: session.desiredMinTxMicroseconds,
    receiveBasisMicroseconds: session.parameters.requiredMinRxMicroseconds,
  };
}

function deadline(session: BfdSession, moment: Moment): BfdStep {
  if (detectionDue(session, moment.at)) {
    // RFC 5880 §6.8.1: nothing is known of the neighbour any more; its minimum stays the pace of what is sent.
    const remote = { ...unknownRemote, minRxMicroseconds: session.remote.minRxMicroseconds };
    const failed = session.state === 'Init' || session.state === 'Up';
    const forgotten: BfdSession = { ...session, remote, receivedAt: undefined, poll: 'none' };
    // RFC 5880 §6.8.4: only Init and Up go Down; Down and AdminDown are what they were.
    if (!failed) return settle(session, forgotten, moment, false);
    const down = withIntervals({ ...forgotten, state: 'Down' }, session.parameters);
    return settle(session, { ...down, diagnostic: DIAGNOSTIC.controlDetectionTimeExpired }, moment, false);
  }
  if (session.transmitAt === undefined || session.transmitAt > moment.at) return { session, send: [] };
  const sent: BfdSession = {
    ...session,
    transmittedAt: moment.at,
    jitter: jitterOf(session.parameters, moment.random),
  };
  return { session: scheduled(sent), send: [packetOf(sent, false)] };
}

function configured(session: BfdSession, parameters: BfdParameters, moment: Moment): BfdStep {
  let next: BfdSession = session;
  // RFC 5880 §6.8.16.
  if (parameters.administrativelyDown && session.state !== 'AdminDown') {
    next = { ...next, state: 'AdminDown', diagnostic: DIAGNOSTIC.administrativelyDown, poll: 'none' };
  } else if (!parameters.administrativelyDown && session.state === 'AdminDown') {
    next = { ...next, state: 'Down', diagnostic: DIAGNOSTIC.none };
  }
  return settle(session, withIntervals(next, parameters), moment, false);
}

/**
 * Ends a step: the next periodic packet is timed, and a packet goes out at once when the neighbour asked for one or would
 * learn something new (RFC 5880 §6.8.7).
 */
function settle(before: BfdSession, next: BfdSession, moment: Moment, polled: boolean): BfdStep {
  const session = scheduled(next);
  if (polled) return { session, send: [packetOf(session, true)] };
  const news =
    session.state !== before.state ||
    session.diagnostic !== before.diagnostic ||
    session.desiredMinTxMicroseconds !== before.desiredMinTxMicroseconds ||
    session.parameters.requiredMinRxMicroseconds !== before.parameters.requiredMinRxMicroseconds ||
    session.parameters.detectMultiplier !== before.parameters.detectMultiplier;
  if (!news || !maySpeak(session)) return { session, send: [] };
  const sent = { ...session, transmittedAt: moment.at, jitter: jitterOf(session.parameters, moment.random) };
  return { session: scheduled(sent), send: [packetOf(sent, false)] };
}

/** RFC 5880 §6.8.7: a passive end waits for the neighbour, and a neighbour that asks for none gets none. */
const maySpeak = ({ parameters, remote }: BfdSession): boolean =>
  !(parameters.passive && remote.discriminator === 0) && remote.minRxMicroseconds !== 0;

/** RFC 5880 §6.6: the neighbour is in Demand mode and both ends are Up. */
const demanded = ({ state, remote }: BfdSession): boolean => remote.demand && state === 'Up' && remote.state === 'Up';

function scheduled(session: BfdSession): BfdSession {
  const periodic = maySpeak(session) && !(demanded(session) && session.poll === 'none');
  const transmitAt = periodic
    ? after(session.transmittedAt, milliseconds(transmitInterval(session) * session.jitter))
    : undefined;
  const { receivedAt } = session;
  const detectAt = receivedAt === undefined ? undefined : after(receivedAt, detectionTime(session));
  return { ...session, transmitAt, detectAt };
}

/** RFC 5880 §6.8.7: an interval is cut by 0 to 25 percent, and by at least 10 where one lost packet is the end. */
const jitterOf = ({ detectMultiplier }: BfdParameters, random: number): number =>
  (detectMultiplier === 1 ? 0.9 : 1) - random * (detectMultiplier === 1 ? 0.15 : 0.25);

/** RFC 5880 §6.8.7, "the contents". A packet with F never has P. */
function packetOf(session: BfdSession, final: boolean): SentPacket {
  return {
    diagnostic: session.diagnostic,
    state: session.state,
    poll: session.poll !== 'none' && !final,
    final,
    controlPlaneIndependent: session.controlPlaneIndependent,
    authenticationPresent: false,
    demand: false,
    detectMultiplier: session.parameters.detectMultiplier,
    myDiscriminator: session.localDiscriminator,
    yourDiscriminator: session.remote.discriminator,
    desiredMinTxMicroseconds: session.desiredMinTxMicroseconds,
    requiredMinRxMicroseconds: session.parameters.requiredMinRxMicroseconds,
    requiredMinEchoRxMicroseconds: 0,
  };
}
