// What 5,000 nodes and the controller write to the API server, with the real writers in virtual time: at rest nothing, and in a
// storm no more than is computed. docs/benchmarks.md has the figures.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { type Story, writers } from './status-world.ts';

const NODES = 5000;
const RACK = 40;
const seed = process.env['FLATROUTE_SEED'] ?? '1';
const output = execFileSync(process.execPath, ['test/sim/status-process.ts', String(NODES), seed], {
  encoding: 'utf8',
});
const { told, atTheEnd } = JSON.parse(output) as { readonly told: readonly Story[]; readonly atTheEnd: number };
const story = (name: string): Story => told.find((it) => it.name === name) ?? assert.fail(`there is no story ${name}`);

/** In ten seconds: what decides about pods goes at 500 a second, two of each node at most, and chance comes on top. */
const STATES = 10 * 500 + 4 * Math.sqrt(10 * 500);
/** Each node's Events wait in parts of the same length; those of the way down and of the way up may meet. */
const NODE_EVENTS = 2 * 10 * 50;
/** One status a second is 5,000 events of agents' watches, and 20 more after a rest. */
const STATUSES = 10 + 20;
/** One Event a second, and ten more after a rest. */
const CONTROLLER_EVENTS = 10 + 10;

test('5,000 agents that begin where others ended write nothing; the controller writes each status once', () => {
  const { states, nodeEvents, statuses, controllerEvents } = story('all agents and the controller begin');
  assert.deepEqual([states.count, nodeEvents.count, controllerEvents.count], [0, 0, 0]);
  assert.equal(statuses.count, (2 * NODES) / RACK);
});

test('at rest nobody writes, whatever facts come', () => {
  const rest = story('an hour of facts that change nothing');
  assert.deepEqual(
    writers.map((writer) => rest[writer].count),
    writers.map(() => 0),
  );
});

test('a router that flaps every ten seconds is a write in 100 s of each of its nodes, and one in 30 s of its status', () => {
  const { states, nodeEvents, statuses, controllerEvents } = story('one router flaps for ten minutes');
  assert.ok(states.count > RACK && states.count <= RACK * (600 / 100 + 2), `${states.count} states`);
  // Two series for each node, told anew at most once in a minute and the wait.
  assert.ok(nodeEvents.count > 2 * RACK && nodeEvents.count <= 2 * RACK * 10, `${nodeEvents.count} Events`);
  assert.ok(statuses.count <= 600 / 30 + 10, `${statuses.count} statuses`);
  assert.ok(controllerEvents.count <= 2 * 10, `${controllerEvents.count} Events of the controller`);
});

test('both routers of all racks reload: nobody writes faster than is computed, and in the end all is told', () => {
  const { states, nodeEvents, statuses, controllerEvents } = story('both routers of all racks reload');
  assert.ok(states.busiest <= STATES, `${states.busiest} states in 10 s`);
  assert.ok(nodeEvents.busiest <= NODE_EVENTS, `${nodeEvents.busiest} Events in 10 s`);
  assert.ok(statuses.busiest <= STATUSES, `${statuses.busiest} statuses in 10 s`);
  assert.ok(controllerEvents.busiest <= CONTROLLER_EVENTS, `${controllerEvents.busiest} Events in 10 s`);
  // Down and up: two states of each node, four Events of each, two Events of each of the routers at most.
  assert.ok(states.count <= 2 * NODES, `${states.count} states`);
  assert.equal(nodeEvents.count, 4 * NODES);
  assert.ok(controllerEvents.count <= 2 * 2 * (NODES / RACK), `${controllerEvents.count} Events of the controller`);
  assert.equal(atTheEnd, RACK);
});
