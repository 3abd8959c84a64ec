// Events that an agent writes while nothing turns, in virtual time: by the conditions that it has, to a store that counts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeEvents } from '#agent/node-events.ts';
import type { Condition } from '#intent/node-intent.ts';
import { EventSender, eventType } from '#kubernetes/events.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import { fakeApi } from '../../support/kubernetes/fake-api.ts';
import { manualClock } from '../../support/manual-clock.ts';
import { eventually } from '../../support/netns.ts';

/** As an agent has it whose router announces nothing. */
const conditions: readonly Condition[] = [
  { kind: 'BGPPeer', name: 'tor', type: 'Established', status: 'True', reason: 'Established', message: '' },
  { kind: 'BGPPeer', name: 'tor', type: 'RoutesAccepted', status: 'Unknown', reason: 'NothingReceived', message: '' },
];

test('what stays wrong is one Event 20 s after the start, and nothing more is written for a day, however often an agent looks', async () => {
  const api = await fakeApi([eventType]);
  const clock = manualClock();
  const sender = new EventSender(
    { controller: 'flatroute.io/agent', instance: 'node-1' },
    { store: api.store(), clock, wallClock: () => Date.UTC(2026, 0, 1) + clock.now(), spread: () => milliseconds(0) },
  );
  const events = nodeEvents('node-1', {
    clock,
    tell: (note) => sender.tell(note),
    conditions: () => conditions,
    uidOf: () => undefined,
  });
  const writes = (): readonly string[] => api.requests.map(({ verb }) => verb);
  events.look();
  clock.advance(seconds(19));
  assert.deepEqual(writes(), []);
  clock.advance(seconds(1));
  await eventually('the Event to be sent', () => {
    clock.advance(seconds(0));
    return sender.facts.sent === 1;
  });
  for (let minute = 0; minute < 24 * 60; minute++) {
    events.look();
    clock.advance(seconds(60));
  }
  assert.deepEqual(clock.armed, []);
  await sender.stop();
  events.stop();
  assert.deepEqual(writes(), ['create']);
  await api.close();
});
