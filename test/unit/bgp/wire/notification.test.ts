import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CEASE } from '#bgp/wire/codes.ts';
import {
  cease,
  decodeNotification,
  describeNotification,
  encodeNotification,
  hardReset,
  shutdownData,
  shutdownText,
} from '#bgp/wire/notification.ts';
import { hex, toHex } from './contexts.ts';

describe('describeNotification', () => {
  const rows: readonly (readonly [string, number, number, string])[] = [
    ['Message Header Error / Bad Message Length: data 0012', 1, 2, '0012'],
    ['OPEN Message Error', 2, 0, ''],
    ['OPEN Message Error / Bad Peer AS', 2, 2, ''],
    ['OPEN Message Error / Unsupported Capability: data 010400010001', 2, 7, '010400010001'],
    ['OPEN Message Error / Role Mismatch', 2, 11, ''],
    ['OPEN Message Error / subcode 99', 2, 99, ''],
    ['UPDATE Message Error / Malformed AS_PATH', 3, 11, ''],
    ['Hold Timer Expired', 4, 0, ''],
    ['Finite State Machine Error / Unexpected Message in OpenConfirm', 5, 2, ''],
    ['Cease / Maximum Number of Prefixes Reached: data 000101000003e8', 6, 1, '000101000003e8'],
    ['Cease / Administrative Shutdown', 6, 2, ''],
    ['Cease / Administrative Shutdown', 6, 2, '00'],
    ['Cease / Administrative Shutdown: "back at noon"', 6, 2, `0c${toHex(Buffer.from('back at noon'))}`],
    ['Cease / Administrative Reset: "ü?"', 6, 4, '03c3bc1b'],
    ['Cease / Administrative Shutdown', 6, 2, '05ffffffffff'],
    ['Cease / Administrative Shutdown', 6, 2, '0561'],
    ['Cease / Hard Reset: Cease / Administrative Shutdown: "now"', 6, 9, '0602036e6f77'],
    ['Cease / Hard Reset: Hold Timer Expired', 6, 9, '0400'],
    ['Cease / Hard Reset: Cease / Hard Reset', 6, 9, '0609060906090609'],
    ['Cease / BFD Down', 6, 10, ''],
    ['ROUTE-REFRESH Message Error / Invalid Message Length', 7, 1, ''],
    ['Send Hold Timer Expired', 8, 0, ''],
    ['NOTIFICATION 77/3', 77, 3, ''],
  ];
  for (const [text, code, subcode, data] of rows)
    test(`${code}/${subcode} ${data}: ${text}`, () =>
      assert.equal(describeNotification(code, subcode, hex(data)), text));

  test('long data is shown from its beginning', () => {
    assert.equal(
      describeNotification(3, 5, new Uint8Array(100)),
      `UPDATE Message Error / Attribute Length Error: data ${'00'.repeat(32)}... (100 octets)`,
    );
  });
});

describe('shutdown text', () => {
  test('is cut at a whole character within 255 octets', () => {
    const data = shutdownData('ü'.repeat(200));
    assert.equal(data[0], 254);
    assert.equal(shutdownText(data), 'ü'.repeat(127));
  });

  test('travels with shutdown and reset only', () => {
    assert.equal(toHex(cease(CEASE.administrativeShutdown, 'now').data), '036e6f77');
    assert.equal(cease(CEASE.connectionCollision, 'now').data.length, 0);
  });
});

test('a Hard Reset wraps the NOTIFICATION in its place', () => {
  const wrapped = hardReset(cease(CEASE.administrativeShutdown, 'now'));
  assert.deepEqual([wrapped.code, wrapped.subcode, toHex(wrapped.data)], [6, 9, '0602036e6f77']);
});

test('one octet of data survives, and data beyond 4096 octets is cut', () => {
  const one = encodeNotification({ code: 5, subcode: 1, data: hex('02') });
  assert.deepEqual(decodeNotification(one.subarray(19)), {
    kind: 'notification',
    code: 5,
    subcode: 1,
    data: hex('02'),
  });
  assert.equal(encodeNotification({ code: 3, subcode: 1, data: new Uint8Array(9000) }).length, 4096);
});
