import assert from 'node:assert/strict';
import { describe as suite, test } from 'node:test';
import { transition } from '#bgp/session/machine.ts';
import {
  type EventName,
  type StateName,
  config,
  describe,
  eventNames,
  eventOf,
  messageNames,
  states,
} from './fixtures.ts';
import { doubleStates } from './table-double.ts';
import { type Row, singleStates } from './table-single.ts';

const table: Readonly<Record<StateName, Row>> = { ...singleStates, ...doubleStates };
const stateNames = Object.keys(states) as readonly StateName[];

suite('every state answers every event', () => {
  for (const stateName of stateNames) {
    test(`${stateName}: each event has a cell, and only one`, () => {
      const { answers, ignored } = table[stateName];
      const cells = [...Object.keys(answers), ...ignored].sort();
      assert.deepEqual(cells, [...eventNames].sort());
    });

    for (const eventName of eventNames) {
      test(`${stateName}: ${eventName}`, () => {
        const state = states[stateName];
        const event = eventOf(eventName);
        const { answers, ignored } = table[stateName];
        const expected = (ignored as readonly EventName[]).includes(eventName) ? '-' : answers[eventName];
        assert.equal(describe(state, transition(config, state, event), event.at), expected);
      });
    }
  }
});

suite('what is left of a connection that is closed changes nothing', () => {
  for (const stateName of stateNames) {
    test(stateName, () => {
      for (const name of messageNames) {
        for (const connection of ['out-77', 'in-77'] as const) {
          const event = eventOf(`${name} on out`, connection);
          assert.equal(describe(states[stateName], transition(config, states[stateName], event)), '-', name);
        }
      }
    });
  }
});
