// Two machines that connect to each other at once, in every order in which messages, accepts and ends of connections can come.
import assert from 'node:assert/strict';
import { describe as suite, test } from 'node:test';
import type { Asn } from '#lib/ip.ts';
import { assertNever } from '#lib/result.ts';
import type { Effect, Event } from '#bgp/session/events.ts';
import { transition } from '#bgp/session/machine.ts';
import { type ConnectionId, type State, initialState } from '#bgp/session/state.ts';
import type { OpenMessage } from '#bgp/wire/messages.ts';
import { config, describeState, now, openWith } from './fixtures.ts';

type Message = { readonly kind: 'open' | 'keepalive' | 'update' | 'collision' | 'end' };
const sides = ['a', 'b'] as const;
type Side = (typeof sides)[number];
const otherOf = (side: Side): Side => (side === 'a' ? 'b' : 'a');

/** One TCP connection as its two ends see it. */
interface Tcp {
  readonly client: Side;
  readonly connected: boolean;
  readonly accepted: boolean;
  /** Sides that have closed it. */
  readonly closed: readonly Side[];
  /** What is on its way to each side. */
  readonly to: Readonly<Record<Side, readonly Message[]>>;
}

interface World {
  readonly machines: Readonly<Record<Side, State>>;
  readonly tcp: readonly Tcp[];
  /** Sessions that were up and went down. */
  readonly downs: number;
}

const identifiers: Readonly<Record<Side, number>> = { a: 0x0a000001, b: 0x0a000002 };
const asns: Readonly<Record<Side, number>> = { a: 64512, b: 64513 };
const configs = {
  a: config,
  b: { ...config, localAsn: asns.b as Asn, peerAsn: asns.a as Asn, identifier: identifiers.b },
} as const;

const openOf = (side: Side, restart: boolean): OpenMessage =>
  openWith({ asn: asns[side], identifier: identifiers[side], restart: restart ? 'families' : 'none' });

const idAt = (tcp: Tcp, side: Side): ConnectionId => (tcp.client === side ? 'out-1' : 'in-1');

const moment = { at: now, random: 0.5 };
function eventOf(side: Side, connection: ConnectionId, { kind }: Message, restart: boolean): Event {
  switch (kind) {
    case 'open':
      return { kind: 'openReceived', ...moment, connection, open: openOf(otherOf(side), restart) };
    case 'keepalive':
      return { kind: 'keepaliveReceived', ...moment, connection };
    case 'update':
      return { kind: 'updateReceived', ...moment, connection, body: new Uint8Array(4) };
    case 'collision':
      return {
        kind: 'notificationReceived',
        ...moment,
        connection,
        notification: { kind: 'notification', code: 6, subcode: 7, data: new Uint8Array(0) },
      };
    case 'end':
      return {
        kind: 'tcpFails',
        ...moment,
        connection,
        error: { code: 'SESSION_CONNECTION_CLOSED', text: 'closed' },
      };
  }
  return assertNever(kind, 'message');
}

const change = (world: World, side: Side, id: ConnectionId, to: (tcp: Tcp) => Tcp): World => ({
  ...world,
  tcp: world.tcp.map((tcp) => (idAt(tcp, side) === id ? to(tcp) : tcp)),
});
const say = (world: World, side: Side, id: ConnectionId, message: Message): World =>
  change(world, side, id, (tcp) => {
    const other = otherOf(side);
    return { ...tcp, to: { ...tcp.to, [other]: [...tcp.to[other], message] } };
  });
function perform(world: World, side: Side, effect: Effect, speaks: boolean): World {
  switch (effect.kind) {
    case 'openConnection':
      return {
        ...world,
        tcp: [...world.tcp, { client: side, connected: false, accepted: false, closed: [], to: { a: [], b: [] } }],
      };
    case 'send':
      return say(world, side, effect.connection, {
        kind: effect.message.kind === 'notification' ? 'collision' : effect.message.kind,
      });
    case 'closeConnection':
      return change(say(world, side, effect.connection, { kind: 'end' }), side, effect.connection, (tcp) => ({
        ...tcp,
        closed: [...tcp.closed, side],
        to: { ...tcp.to, [side]: [] },
      }));
    case 'sessionUp':
      return speaks ? say(world, side, effect.connection, { kind: 'update' }) : world;
    case 'sessionDown':
      return { ...world, downs: world.downs + 1 };
    case 'failed':
    case 'deliverUpdate':
    case 'deliverRouteRefresh':
      return world;
  }
  return assertNever(effect, 'effect');
}

/** `speaks`: a session says something as soon as it is up, as with End-of-RIB. */
function explore(speaks: boolean, restart: boolean): { worlds: number; ends: Map<string, number>; downs: number } {
  const give = (world: World, side: Side, event: Event): World => {
    const { state, effects } = transition(configs[side], world.machines[side], event);
    let next: World = { ...world, machines: { ...world.machines, [side]: state } };
    for (const effect of effects) next = perform(next, side, effect, speaks);
    return next;
  };
  const next = (world: World): World[] => {
    const worlds: World[] = [];
    for (const tcp of world.tcp) {
      const { client } = tcp;
      const server = otherOf(client);
      const become = (side: Side, part: Partial<Tcp>): World =>
        change(world, side, idAt(tcp, side), (it) => ({ ...it, ...part }));
      if (!tcp.connected && !tcp.closed.includes(client))
        worlds.push(
          give(become(client, { connected: true }), client, {
            kind: 'tcpConnected',
            ...moment,
            connection: idAt(tcp, client),
            open: openOf(client, restart),
          }),
        );
      if (tcp.connected && !tcp.accepted)
        worlds.push(
          give(become(server, { accepted: true }), server, {
            kind: 'tcpAccepted',
            ...moment,
            connection: idAt(tcp, server),
            open: openOf(server, restart),
          }),
        );
      for (const side of sides) {
        const [message, ...rest] = tcp.to[side];
        const ready = side === client ? tcp.connected : tcp.accepted;
        if (message === undefined || !ready || tcp.closed.includes(side)) continue;
        const taken = change(world, side, idAt(tcp, side), (it) => ({ ...it, to: { ...it.to, [side]: rest } }));
        worlds.push(give(taken, side, eventOf(side, idAt(tcp, side), message, restart)));
      }
    }
    return worlds;
  };

  let first: World = { machines: { a: initialState, b: initialState }, tcp: [], downs: 0 };
  for (const side of sides) first = give(first, side, { kind: 'start', ...moment });
  const seen = new Set<string>();
  const ends = new Map<string, number>();
  let downs = 0;
  const open = [first];
  for (let world = open.pop(); world !== undefined; world = open.pop()) {
    const key = JSON.stringify(world, (_name, value: unknown) => (value instanceof Uint8Array ? [...value] : value));
    if (seen.has(key)) continue;
    seen.add(key);
    assert.ok(seen.size < 100_000, 'the machines come to rest');
    const reached = next(world);
    open.push(...reached);
    if (reached.length > 0) continue;
    const end = sides.map((side) => `${side} ${describeState(world.machines[side])}`).join(', ');
    ends.set(end, (ends.get(end) ?? 0) + 1);
    downs = Math.max(downs, world.downs);
  }
  return { worlds: seen.size, ends, downs };
}

suite('both connect at once, in every order', () => {
  for (const [name, speaks, restart] of [
    ['sessions that say nothing', false, false],
    ['sessions that speak at once', true, false],
    ['with graceful restart', true, true],
  ] as const) {
    test(`${name}: both end on the same connection, and no session is lost on the way`, () => {
      const { worlds, ends, downs } = explore(speaks, restart);
      assert.ok(worlds > 100, `${worlds} worlds`);
      assert.deepEqual(
        [...ends.keys()].filter((end) => !/^a Established (out|in)-1, b Established (?!\1)(in|out)-1$/.test(end)),
        [],
      );
      assert.equal(downs, 0);
    });
  }
});
