/** Any events in any order: the machine never throws, loses no connection, and tells the speaker up and down in turn. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { Asn } from '#lib/ip.ts';
import { type Instant, after, instant, milliseconds, seconds } from '#lib/time.ts';
import type { SessionConfig } from '#bgp/session/config.ts';
import type { Event } from '#bgp/session/events.ts';
import { transition } from '#bgp/session/machine.ts';
import { type ConnectionId, type State, initialState, nextDeadline } from '#bgp/session/state.ts';
import { openMessage } from '#bgp/wire/negotiate.ts';

const open = (asn: number, identifier: number, holdTimeSeconds: number, restart: boolean) =>
  openMessage({
    localAsn: asn as Asn,
    identifier,
    holdTimeSeconds,
    families: ['ipv4'],
    enhancedRouteRefresh: false,
    extendedMessage: false,
    extendedNextHop: false,
    gracefulRestart: restart
      ? {
          restarted: false,
          notification: true,
          restartTimeSeconds: 9,
          families: [{ afi: 1, safi: 1, forwarding: true }],
        }
      : undefined,
  });
const ours = open(64512, 5, 9, true);
const reset = { code: 6, subcode: 4, data: new Uint8Array(0), text: 'asked for' };

const config = fc.record({ passive: fc.boolean(), identifier: fc.constantFrom(5, 50) }).map(
  (part): SessionConfig => ({
    localAsn: 64512 as Asn,
    peerAsn: 64513 as Asn,
    families: ['ipv4'],
    connectRetryTime: seconds(10),
    hasPassword: false,
    keepaliveTime: undefined,
    minimumHopLimit: undefined,
    ...part,
  }),
);

const kinds = [
  'start',
  'deadline',
  'connected',
  'accepted',
  'open',
  'keepalive',
  'update',
  'refresh',
  'notification',
  'collision',
  'invalid',
  'fails',
  'sent',
  'blocked',
  'drained',
  'reset',
  'stop',
  'wait',
] as const;

/** What happens next; which connection it happens on is chosen when it is known which there are. */
const step = fc.record({
  /** `progress`: what a good peer would do. Chance alone would not get far. */
  kind: fc.oneof(
    { weight: 2, arbitrary: fc.constant('progress') },
    { weight: 1, arbitrary: fc.constantFrom(...kinds) },
  ),
  which: fc.nat(3),
  asn: fc.constantFrom(64513, 64513, 64513, 64513, 64513, 64999),
  holdTimeSeconds: fc.constantFrom(0, 9),
  restart: fc.boolean(),
  unread: fc.boolean(),
  random: fc.double({ min: 0, max: 0.999, noNaN: true }),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function connectionsOf(state: State): ConnectionId[] {
  const { kind } = state;
  if (kind === 'Idle') return [];
  if (kind === 'Established') return [state.id, ...(state.second === undefined ? [] : [state.second.connection.id])];
  const { outgoing, incoming } = state;
  return [...(outgoing.kind === 'Active' ? [] : [outgoing.id]), ...(incoming === undefined ? [] : [incoming.id])];
}

function goodNext(state: State, which: number): string {
  if (state.kind === 'Idle') return state.startAt === undefined ? 'start' : 'wait';
  if (state.kind === 'Established') return which === 0 ? 'accepted' : which === 1 ? 'open' : 'update';
  const { outgoing, incoming } = state;
  const [first, second] = which % 2 === 0 ? [outgoing, incoming] : [incoming, outgoing];
  const next = { Active: 'accepted', Connect: 'connected', OpenSent: 'open', OpenConfirm: 'keepalive' } as const;
  return next[(first ?? second ?? outgoing).kind];
}

function eventOf(chosen: Step, state: State, at: Instant, accepted: number): Event {
  const { random } = chosen;
  const live = connectionsOf(state);
  const connection = live[chosen.which] ?? live[0] ?? 'out-99';
  const base = { at, random, connection };
  const kind = chosen.kind === 'progress' ? goodNext(state, chosen.which) : chosen.kind;
  switch (kind) {
    case 'start':
      return { kind: 'start', at, random };
    case 'wait':
    case 'deadline': {
      const input = live.map((id) => ({ connection: id, unread: chosen.unread, partialBytes: 0 }));
      return { kind: 'deadlineReached', at, random, input, drops: { signature: 0, hopLimit: 0 } };
    }
    case 'connected':
      return { kind: 'tcpConnected', ...base, open: ours };
    case 'accepted':
      return { kind: 'tcpAccepted', ...base, connection: `in-${accepted}`, open: ours };
    case 'open':
      return { kind: 'openReceived', ...base, open: open(chosen.asn, 10, chosen.holdTimeSeconds, chosen.restart) };
    case 'keepalive':
      return { kind: 'keepaliveReceived', ...base };
    case 'update':
      return { kind: 'updateReceived', ...base, body: new Uint8Array(4) };
    case 'refresh':
      return { kind: 'routeRefreshReceived', ...base, message: { kind: 'routeRefresh', afi: 1, safi: 1, subtype: 0 } };
    case 'notification':
    case 'collision':
      return {
        kind: 'notificationReceived',
        ...base,
        notification: {
          kind: 'notification',
          code: 6,
          subcode: kind === 'collision' ? 7 : 2,
          data: new Uint8Array(0),
        },
      };
    case 'invalid':
      return { kind: 'messageInvalid', ...base, message: 'header', reset };
    case 'fails':
      return { kind: 'tcpFails', ...base, error: { code: 'SESSION_CONNECTION_LOST', text: 'broken' } };
    case 'sent':
      return { kind: 'messageSent', at, random };
    case 'blocked':
    case 'drained':
      return { kind: 'sendQueue', ...base, now: kind };
    case 'reset':
      return { kind: 'resetRequested', at, random, reset };
    case 'stop':
      return { kind: 'stop', at, random, how: chosen.unread ? 'silent' : reset };
  }
  throw new RangeError(kind);
}

void test('any events in any order leave no connection behind and tell up and down in turn', () => {
  let established = 0;
  fc.assert(
    fc.property(config, fc.array(step, { maxLength: 60 }), (using, steps) => {
      let state: State = initialState;
      let now = instant(0);
      let isUp = false;
      let accepted = 0;
      const sockets = new Set<ConnectionId>();
      for (const chosen of steps) {
        const due = nextDeadline(state);
        if (chosen.kind === 'wait' && due !== undefined && due > now) now = due;
        else now = after(now, milliseconds(10));
        const event = eventOf(chosen, state, now, ++accepted);
        if (event.kind === 'tcpAccepted') sockets.add(event.connection);
        const answer = transition(using, state, event);
        for (const effect of answer.effects) {
          if (effect.kind === 'openConnection') sockets.add(effect.connection);
          if (effect.kind === 'closeConnection') sockets.delete(effect.connection);
          if (effect.kind === 'send') assert.ok(sockets.has(effect.connection), 'writes only to an open connection');
          if (effect.kind === 'sessionUp') {
            assert.equal(isUp, false, 'up twice');
            isUp = true;
            established++;
          }
          if (effect.kind === 'sessionDown') {
            assert.equal(isUp, true, 'down without up');
            isUp = false;
          }
        }
        if (event.kind === 'deadlineReached' && due !== undefined && due <= now)
          assert.notEqual(answer.state, state, 'a deadline that was reached is answered');
        state = answer.state;
        assert.deepEqual([...sockets].sort(), connectionsOf(state).sort(), 'sockets are those of the state');
        assert.equal(isUp, state.kind === 'Established');
      }
    }),
    { numRuns: 2000 },
  );
  assert.ok(established > 200, `the search reached Established ${established} times`);
});
