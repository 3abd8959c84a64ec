import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorOfNotification, replaces } from '#bgp/session/errors.ts';
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
  [
    'a shut down peer refuses connections for hours',
    'SESSION_CONNECTION_REFUSED',
    'SESSION_PEER_SHUTDOWN',
    9999,
    false,
  ],
  ['silence is another reason', 'SESSION_CONNECT_TIMEOUT', 'SESSION_PEER_SHUTDOWN', 9999, true],
];
for (const [name, next, shown, age, expected] of rows) {
  test(name, () => assert.equal(replaces(next, shown, seconds(age)), expected));
}

test('an administrative shutdown is told from other NOTIFICATIONs, a wrapped one too, and its text cannot steer a terminal', () => {
  const text = Buffer.from('back at noon\u001b[2J\u202e');
  const data = Uint8Array.from([text.length, ...text]);
  const wrapped = Uint8Array.from([6, 2, ...data]);
  for (const [subcode, of, code] of [
    [2, data, 'SESSION_PEER_SHUTDOWN'],
    [9, wrapped, 'SESSION_PEER_SHUTDOWN'],
    [4, data, 'SESSION_NOTIFICATION_RECEIVED'],
  ] as const) {
    const error = errorOfNotification({ kind: 'notification', code: 6, subcode, data: of });
    assert.equal(error.code, code);
    assert.match(error.text, /"back at noon\?\[2J\?"/);
  }
});
