// The controller's leadership and the status of peers, against the fake API server.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seconds } from '#lib/time.ts';
import {
  api,
  pass,
  peers,
  put,
  reasonOf,
  replica,
  sessions,
  statusOf,
  until,
  writes,
} from '../../support/controller.ts';

test('peers say on how many nodes they are up, and are written at most once in 30 s', async () => {
  put(peers, 'tor', { spec: { peerIP: '192.0.2.1', asNumber: 65100 } });
  put(peers, 'lonely', { spec: { peerIP: '192.0.2.9', asNumber: 65100 } });
  sessions('node-1', ['tor', 'Established']);
  sessions('node-2', ['tor', 'Active']);
  replica('one');
  await until('the status', () => reasonOf(peers, 'tor') === 'NotEstablished');
  assert.deepEqual([statusOf(peers, 'tor').nodes, statusOf(peers, 'tor').established], [2, 1]);
  assert.match(statusOf(peers, 'tor').conditions?.[0]?.message ?? '', /Down on 1 of 2: node-2\./);
  await until('the other', () => reasonOf(peers, 'lonely') === 'Pending');
  api.requests.length = 0;
  for (let i = 0; i < 20; i++) {
    sessions('node-2', ['tor', i % 2 === 0 ? 'Established' : 'Active']);
    await pass(1);
  }
  assert.equal(writes().length, 0);
  sessions('node-2', ['tor', 'Established']);
  await until('all up', () => reasonOf(peers, 'tor') === 'Established');
  assert.equal(writes().length, 1);
});

test('at rest nothing is written but the Lease', async () => {
  put(peers, 'tor', { spec: { peerIP: '192.0.2.1', asNumber: 65100 } });
  sessions('node-1', ['tor', 'Established']);
  replica('one');
  await until('all is said', () => reasonOf(peers, 'tor') === 'Established');
  await pass(1);
  api.requests.length = 0;
  await pass(60);
  assert.deepEqual(writes(), []);
});

test('a leader that hangs is followed, and writes nothing when it comes back', async () => {
  const one = replica('one');
  await until('it leads', () => one.controller.state().leads);
  const two = replica('two');
  // SIGSTOP: no time passes for the first, and what the API says does not reach it.
  await until('the other leads', () => two.controller.state().leads, [two]);
  put(peers, 'tor', { spec: { peerIP: '192.0.2.1', asNumber: 65100 } });
  api.requests.length = 0;
  one.clock.advance(seconds(20));
  assert.equal(one.controller.state().leads, false);
  await until('the status', () => reasonOf(peers, 'tor') === 'Pending');
  assert.deepEqual(new Set(writes().map(({ headers }) => headers['user-agent'])), new Set(['two']));
  assert.equal(one.controller.state().holder, 'two');
});

test('who stops hands over at once', async () => {
  const one = replica('one');
  await until('it leads', () => one.controller.state().leads);
  const two = replica('two');
  await one.controller.stop();
  await until('the other leads', () => two.controller.state().leads, [two]);
  assert.ok(two.clock.now() < seconds(5));
});
