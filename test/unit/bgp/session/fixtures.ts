/** States, events and a short way to write what a transition answers, for the tests of the session machine. */
import type { Asn } from '#lib/ip.ts';
import { assertNever } from '#lib/result.ts';
import { type Instant, after, between, instant, seconds } from '#lib/time.ts';
import { type SessionConfig, keepaliveTimeOf } from '#bgp/session/config.ts';
import type { Effect, Event } from '#bgp/session/events.ts';
import type { Transition } from '#bgp/session/moves.ts';
import type {
  Active,
  Agreement,
  Connect,
  ConnectionId,
  Established,
  OpenConfirm,
  OpenSent,
  Opening,
  State,
} from '#bgp/session/state.ts';
import type { OpenMessage } from '#bgp/wire/messages.ts';
import { negotiate, openMessage } from '#bgp/wire/negotiate.ts';

export const now: Instant = instant(1_000_000);
const later = after(now, seconds(100));

export const config: SessionConfig = {
  localAsn: 64512 as Asn,
  peerAsn: 64513 as Asn,
  identifier: 0x0a000001,
  families: ['ipv4', 'ipv6'],
  connectRetryTime: seconds(10),
  passive: false,
  hasPassword: false,
  keepaliveTime: undefined,
  minimumHopLimit: undefined,
};

export interface OpenTraits {
  readonly asn?: number;
  readonly identifier?: number;
  readonly holdTimeSeconds?: number;
  readonly families?: readonly ('ipv4' | 'ipv6')[];
  /** Graceful restart: absent, helper only, or with the families listed. */
  readonly restart?: 'none' | 'helper' | 'families';
  readonly notification?: boolean;
}

export function openWith(traits: OpenTraits = {}): OpenMessage {
  const { asn = 64513, identifier = 0x0a000002, holdTimeSeconds = 9, families = ['ipv4', 'ipv6'] } = traits;
  const { restart = 'families', notification = false } = traits;
  return openMessage({
    localAsn: asn as Asn,
    identifier,
    holdTimeSeconds,
    families,
    enhancedRouteRefresh: false,
    extendedMessage: false,
    extendedNextHop: false,
    gracefulRestart:
      restart === 'none'
        ? undefined
        : {
            restarted: false,
            notification,
            restartTimeSeconds: 120,
            families: restart === 'helper' ? [] : [{ afi: 1, safi: 1, forwarding: true }],
          },
  });
}

export const ourOpen = openWith({ asn: 64512, identifier: 0x0a000001 });

export function agreementOf(peer: OpenMessage = openWith(), local: OpenMessage = ourOpen): Agreement {
  const terms = negotiate(local, peer);
  const keepaliveTime = keepaliveTimeOf(seconds(terms.holdTimeSeconds), undefined);
  return { ...terms, keepaliveTime, notificationRestart: false };
}

const history = { oscillations: 1, attempts: 1 } as const;
export const active: Active = { kind: 'Active', connectRetryAt: later };
export const passive: Active = { kind: 'Active', connectRetryAt: undefined };
export const connecting: Connect = { kind: 'Connect', id: 'out-1', connectRetryAt: later };
export const openSent = (id: ConnectionId): OpenSent => ({ kind: 'OpenSent', id, offered: ourOpen, holdAt: later });
export const openConfirm = (id: ConnectionId, agreement = agreementOf()): OpenConfirm => ({
  kind: 'OpenConfirm',
  id,
  agreement,
  holdAt: later,
  keepaliveAt: later,
  confirmed: false,
});
export const openingWith = (outgoing: Opening['outgoing'], incoming?: Opening['incoming']): Opening => ({
  kind: 'Opening',
  outgoing,
  incoming,
  ...history,
});
export const establishedWith = (more: Partial<Established> = {}): Established => ({
  kind: 'Established',
  id: 'out-1',
  agreement: agreementOf(),
  since: now,
  holdAt: later,
  keepaliveAt: later,
  sendHoldAt: undefined,
  second: undefined,
  ...history,
  ...more,
});

const zeroHold = agreementOf(openWith({ holdTimeSeconds: 0 }));

export const states = {
  'Idle, stopped': { kind: 'Idle', startAt: undefined, ...history },
  'Idle, holding': { kind: 'Idle', startAt: later, ...history },
  'Active, passive': openingWith(passive),
  Active: openingWith(active),
  Connect: openingWith(connecting),
  OpenSent: openingWith(openSent('out-1')),
  OpenConfirm: openingWith(openConfirm('out-1')),
  'Active + OpenSent': openingWith(active, openSent('in-1')),
  'Active + OpenConfirm': openingWith(active, openConfirm('in-1')),
  'Connect + OpenSent': openingWith(connecting, openSent('in-1')),
  'Connect + OpenConfirm': openingWith(connecting, openConfirm('in-1')),
  'OpenSent + OpenSent': openingWith(openSent('out-1'), openSent('in-1')),
  'OpenSent + OpenConfirm': openingWith(openSent('out-1'), openConfirm('in-1')),
  'OpenConfirm + OpenSent': openingWith(openConfirm('out-1'), openSent('in-1')),
  'OpenConfirm + OpenConfirm': openingWith(openConfirm('out-1'), openConfirm('in-1')),
  'OpenConfirm, confirmed + OpenConfirm': openingWith(
    { ...openConfirm('out-1'), confirmed: true },
    openConfirm('in-1'),
  ),
  Established: establishedWith(),
  'Established, hold time 0': establishedWith({ agreement: zeroHold, holdAt: undefined, keepaliveAt: undefined }),
  'Established + older second': establishedWith({ second: { connection: openSent('in-1'), overlapped: true } }),
  'Established + newer second': establishedWith({ second: { connection: openSent('in-1'), overlapped: false } }),
} as const satisfies Record<string, State>;
export type StateName = keyof typeof states;

const moment = { at: now, random: 0.5 };
const administrative = { code: 6, subcode: 2, data: new Uint8Array(0), text: 'asked for' };
const noInput = { input: [], drops: { signature: 0, hopLimit: 0 } };
const messages = {
  'tcp fails': (connection) => ({
    kind: 'tcpFails',
    connection,
    error: { code: 'SESSION_CONNECTION_LOST', text: 'broken' },
  }),
  open: (connection) => ({ kind: 'openReceived', connection, open: openWith() }),
  'open of another AS': (connection) => ({ kind: 'openReceived', connection, open: openWith({ asn: 64999 }) }),
  keepalive: (connection) => ({ kind: 'keepaliveReceived', connection }),
  update: (connection) => ({ kind: 'updateReceived', connection, body: new Uint8Array(4) }),
  refresh: (connection) => ({
    kind: 'routeRefreshReceived',
    connection,
    message: { kind: 'routeRefresh', afi: 1, safi: 1, subtype: 0 },
  }),
  'notification 6/2': (connection) => ({
    kind: 'notificationReceived',
    connection,
    notification: { kind: 'notification', code: 6, subcode: 2, data: new Uint8Array(0) },
  }),
  'notification 6/7': (connection) => ({
    kind: 'notificationReceived',
    connection,
    notification: { kind: 'notification', code: 6, subcode: 7, data: new Uint8Array(0) },
  }),
  'bad header': (connection) => ({
    kind: 'messageInvalid',
    connection,
    message: 'header',
    reset: { code: 1, subcode: 1, data: new Uint8Array(0), text: 'garbage' },
  }),
} as const satisfies Record<string, (connection: ConnectionId) => Bare>;

/** An event without its time and chance. */
type Bare = Event extends infer E ? (E extends Event ? Omit<E, 'at' | 'random'> : never) : never;
type MessageName = keyof typeof messages;
export type EventName = keyof typeof plain | `${MessageName} on ${'out' | 'in'}`;

const plain = {
  start: { kind: 'start' },
  'stop, silent': { kind: 'stop', how: 'silent' },
  'stop with Cease': { kind: 'stop', how: administrative },
  reset: { kind: 'resetRequested', reset: administrative },
  'no deadline reached': { kind: 'deadlineReached', ...noInput },
  'all deadlines reached': { kind: 'deadlineReached', ...noInput },
  connected: { kind: 'tcpConnected', connection: 'out-1', open: ourOpen },
  accepted: { kind: 'tcpAccepted', connection: 'in-2', open: ourOpen },
  sent: { kind: 'messageSent' },
  'blocked out': { kind: 'sendQueue', connection: 'out-1', now: 'blocked' },
  'drained out': { kind: 'sendQueue', connection: 'out-1', now: 'drained' },
} as const satisfies Record<string, Bare>;

export function eventOf(name: EventName, connection?: ConnectionId): Event {
  const bare: Bare =
    name in plain
      ? plain[name as keyof typeof plain]
      : messages[name.replace(/ on (out|in)$/, '') as MessageName](
          connection ?? (name.endsWith(' on out') ? 'out-1' : 'in-1'),
        );
  const at = name === 'all deadlines reached' ? after(later, seconds(1)) : now;
  return { ...bare, ...moment, at } as Event;
}

export const messageNames = Object.keys(messages) as readonly MessageName[];
export const eventNames = [
  ...(Object.keys(plain) as (keyof typeof plain)[]),
  ...messageNames.flatMap((name) => [`${name} on out`, `${name} on in`] as const),
] as readonly EventName[];

function describeEffect(effect: Effect): string {
  switch (effect.kind) {
    case 'openConnection':
      return `dial ${effect.connection}`;
    case 'closeConnection':
      return `${effect.how} ${effect.connection}`;
    case 'send':
      return effect.message.kind === 'notification'
        ? `NOTIFICATION ${effect.message.code}/${effect.message.subcode} ${effect.connection}`
        : `${effect.message.kind.toUpperCase()} ${effect.connection}`;
    case 'sessionUp':
      return `up ${effect.connection}`;
    case 'sessionDown':
      return `down ${effect.reason.code}${effect.reason.keepRoutes ? ' keep' : ''}${effect.reason.replaced ? ' replaced' : ''}`;
    case 'failed':
      return `failed ${effect.error.code}`;
    case 'deliverUpdate':
      return 'deliver update';
    case 'deliverRouteRefresh':
      return 'deliver refresh';
  }
  return assertNever(effect, 'effect');
}

export function describeState(state: State, at: Instant = now): string {
  switch (state.kind) {
    case 'Idle':
      return state.startAt === undefined ? 'Idle, stopped' : `Idle for ${between(at, state.startAt)} ms`;
    case 'Opening': {
      const { outgoing, incoming } = state;
      const ours = outgoing.kind === 'Active' ? 'Active' : `${outgoing.kind} ${outgoing.id}`;
      return incoming === undefined ? ours : `${ours} + ${incoming.kind} ${incoming.id}`;
    }
    case 'Established': {
      const second = state.second === undefined ? '' : ` + ${state.second.connection.id}`;
      const watched = state.sendHoldAt === undefined ? '' : ', send hold';
      return `Established ${state.id}${second}${watched}`;
    }
  }
  return assertNever(state, 'state');
}

/** `-`: nothing changed and nothing is done. Otherwise the next state, then the effects in order. */
export function describe(before: State, { state, effects }: Transition, at: Instant = now): string {
  if (state === before && effects.length === 0) return '-';
  return [describeState(state, at), ...effects.map((effect) => describeEffect(effect))].join('; ');
}
