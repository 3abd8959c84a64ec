import assert from 'node:assert/strict';
import { test } from 'node:test';
import { replaces } from '#bgp/session/errors.ts';
import { seconds } from '#lib/time.ts';

const rows: readonly [string, string, string, number, boolean][] = [
  ['a symptom does not hide the reason', 'SESSION_CONNECTION_CLOSED', 'SESSION_BAD_PEER_AS', 1, false],
  [
    'a refused connection does not hide it either',
    'SESSION_CONNECTION_REFUSED',
    'SESSION_NOTIFICATION_RECEIVED',
    59,
    false,
  ],
  ['after a minute it does', 'SESSION_CONNECTION_REFUSED', 'SESSION_BAD_PEER_AS', 60, true],
  ['a reason replaces a reason', 'SESSION_HOLD_TIMER_EXPIRED', 'SESSION_BAD_PEER_AS', 1, true],
  ['a reason replaces a symptom', 'SESSION_BAD_PEER_AS', 'SESSION_CONNECTION_LOST', 0, true],
  ['a symptom replaces a symptom', 'SESSION_CONNECTION_REFUSED', 'SESSION_CONNECTION_LOST', 0, true],
];
for (const [name, next, shown, age, expected] of rows) {
  test(name, () => assert.equal(replaces(next, shown, seconds(age)), expected));
}
