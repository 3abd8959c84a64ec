import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MessageStream, frameAt } from '#bgp/wire/framing.ts';
import { hex, toHex } from './contexts.ts';

const marker = 'ff'.repeat(16);

describe('frameAt refuses', () => {
  const rows: readonly {
    readonly name: string;
    readonly bytes: string;
    readonly longest?: number;
    readonly subcode: number;
    readonly data: string;
  }[] = [
    { name: 'a marker with one zero octet', bytes: `${'ff'.repeat(15)}00001304`, subcode: 1, data: '' },
    { name: 'an HTTP request at its first octet', bytes: toHex(Buffer.from('G')), subcode: 1, data: '' },
    { name: 'length 0', bytes: `${marker}0000`, subcode: 2, data: '0000' },
    { name: 'length 18', bytes: `${marker}001204`, subcode: 2, data: '0012' },
    { name: 'length 4097 without extended messages', bytes: `${marker}100102`, subcode: 2, data: '1001' },
    { name: 'length 65535 without extended messages', bytes: `${marker}ffff02`, subcode: 2, data: 'ffff' },
    { name: 'an OPEN of 28 octets', bytes: `${marker}001c01`, subcode: 2, data: '001c' },
    { name: 'an UPDATE of 22 octets', bytes: `${marker}001602`, subcode: 2, data: '0016' },
    { name: 'a NOTIFICATION of 20 octets', bytes: `${marker}001403`, subcode: 2, data: '0014' },
    { name: 'a KEEPALIVE of 20 octets', bytes: `${marker}001404`, subcode: 2, data: '0014' },
    {
      name: 'an OPEN above 4096 despite extended messages',
      bytes: `${marker}100101`,
      longest: 65535,
      subcode: 2,
      data: '1001',
    },
    { name: 'type 0', bytes: `${marker}001300`, subcode: 3, data: '00' },
    { name: 'type 6', bytes: `${marker}001306`, subcode: 3, data: '06' },
    { name: 'type 255', bytes: `${marker}0013ff`, subcode: 3, data: 'ff' },
  ];
  for (const row of rows) {
    test(`${row.name}, as soon as it is there`, () => {
      const bytes = hex(row.bytes);
      const answer = frameAt(bytes, 0, bytes.length, row.longest ?? 4096);
      assert.ok(answer.kind === 'invalid');
      assert.deepEqual([answer.reset.code, answer.reset.subcode, toHex(answer.reset.data)], [1, row.subcode, row.data]);
      assert.match(answer.reset.text, /RFC 4271 §6\.1/);
    });
  }
});

describe('frameAt', () => {
  test('takes 65535 octets with extended messages', () => {
    const bytes = new Uint8Array(65535).fill(255, 0, 18);
    bytes[18] = 2;
    assert.equal(frameAt(bytes, 0, bytes.length, 65535).kind, 'complete');
  });

  test('says how many octets are missing: the header first, then the rest', () => {
    const bytes = new Uint8Array(23).fill(255, 0, 16);
    bytes.set([0, 23, 2], 16);
    assert.deepEqual(
      [0, 10, 17, 18, 19, 22].map((length) => frameAt(bytes, 0, length, 4096)),
      [19, 9, 2, 5, 4, 1].map((need) => ({ kind: 'incomplete', need })),
    );
  });
});

describe('MessageStream', () => {
  const keepalive = hex(`${marker}001304`);

  test('gives a message that lies in one chunk as a view of it', () => {
    const stream = new MessageStream();
    stream.push(keepalive);
    const answer = stream.next();
    assert.ok(answer.kind === 'complete');
    assert.equal(answer.frame.bytes.buffer, keepalive.buffer);
  });

  test('stays invalid, whatever comes after', () => {
    const stream = new MessageStream();
    stream.push(hex('00'));
    const first = stream.next();
    assert.equal(first.kind, 'invalid');
    stream.push(keepalive);
    assert.deepEqual(stream.next(), first);
  });

  test('gives the good messages in front of a bad one', () => {
    const stream = new MessageStream();
    stream.push(Uint8Array.of(...keepalive, ...keepalive, 7));
    assert.deepEqual(
      [stream.next(), stream.next(), stream.next()].map((answer) => answer.kind),
      ['complete', 'complete', 'invalid'],
    );
  });

  test('takes chunks that are pushed before the frames of the earlier ones are out', () => {
    const stream = new MessageStream();
    for (let i = 0; i < 3; i++) {
      stream.push(keepalive.subarray(0, 7));
      stream.push(keepalive.subarray(7));
    }
    assert.deepEqual(
      Array.from({ length: 4 }, () => stream.next().kind),
      ['complete', 'complete', 'complete', 'incomplete'],
    );
  });

  test('a limit that is raised holds from the next message on', () => {
    const long = new Uint8Array(5000).fill(255, 0, 16);
    long.set([5000 >> 8, 5000 & 255, 2], 16);
    const stream = new MessageStream();
    stream.push(keepalive);
    assert.equal(stream.next().kind, 'complete');
    stream.longest = 65535;
    stream.push(long);
    assert.equal(stream.next().kind, 'complete');
  });

  test('copies each octet of a message that crosses chunks a bounded number of times', (t) => {
    const long = new Uint8Array(65535).fill(255, 0, 18);
    long[18] = 2;
    const stream = new MessageStream(65535);
    const set = t.mock.method(Uint8Array.prototype, 'set');
    for (let at = 0; at < long.length; at += 10) {
      stream.push(long.subarray(at, at + 10));
      const answer = stream.next();
      assert.equal(answer.kind, at + 10 >= long.length ? 'complete' : 'incomplete');
    }
    const copied = set.mock.calls.reduce((sum, call) => sum + call.arguments[0].length, 0);
    assert.ok(copied < 1.01 * long.length, `${copied} octets copied for a message of ${long.length}`);
  });
});
