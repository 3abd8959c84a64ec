import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeMessage, decodeRouteRefresh } from '#bgp/wire/message.ts';
import { hex, toHex } from './contexts.ts';

const message = (type: string, body: string): Uint8Array =>
  hex(`${'ff'.repeat(16)}${(19 + hex(body).length).toString(16).padStart(4, '0')}${type}${body}`);

describe('ROUTE-REFRESH of a wrong length', () => {
  const rows: readonly (readonly [string, string, number, number, string])[] = [
    ['normal: the length field', '0001000100', 1, 2, '0018'],
    ['empty: the length field', '', 1, 2, '0013'],
    ['beginning of a refresh: the whole message', '0001010100', 7, 1, toHex(message('05', '0001010100'))],
    ['end of a refresh, too short: the whole message', '000102', 7, 1, toHex(message('05', '000102'))],
  ];
  for (const [name, body, code, subcode, data] of rows) {
    test(name, () => {
      const decoded = decodeRouteRefresh(message('05', body));
      assert.ok(!decoded.ok);
      assert.deepEqual([decoded.error.code, decoded.error.subcode, toHex(decoded.error.data)], [code, subcode, data]);
    });
  }
});

test('an UPDATE before the session is established is an FSM error', () => {
  const decoded = decodeMessage({ type: 2, bytes: message('02', '00000000') }, undefined);
  assert.ok(!decoded.ok);
  assert.deepEqual([decoded.error.code, decoded.error.subcode], [5, 0]);
});

test('a ROUTE-REFRESH of an unknown subtype or family is a value, for the receiver to ignore', () => {
  assert.deepEqual(decodeMessage({ type: 5, bytes: message('05', '00190946') }, undefined), {
    ok: true,
    value: { kind: 'routeRefresh', afi: 25, subtype: 9, safi: 70 },
  });
});
