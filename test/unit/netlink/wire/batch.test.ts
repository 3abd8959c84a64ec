import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { IpAddress, Prefix } from '#lib/ip.ts';
import { MessageBatch } from '#netlink/wire/batch.ts';
import { NLM_F, RTM } from '#netlink/wire/constants.ts';
import { appendNewVeth, appendSetLink } from '#netlink/wire/link.ts';
import { appendNewNexthopGroup } from '#netlink/wire/nexthop.ts';
import { eachMessage, type MessageHeader, WireReader } from '#netlink/wire/reader.ts';
import {
  appendDelRoute,
  appendNewRoute,
  appendPackedRoute,
  decodePackedRoute,
  decodeRoute,
  emptyPackedRoute,
} from '#netlink/wire/route.ts';

const hex = (batch: MessageBatch): string => Buffer.from(batch.bytes).toString('hex');
const messages = (batch: MessageBatch): readonly MessageHeader[] => {
  const list: MessageHeader[] = [];
  assert.ok(eachMessage(new WireReader(batch.bytes), batch.byteLength, (message) => list.push(message)));
  return list;
};

describe('MessageBatch', () => {
  test('attributes are padded to four bytes and lengths leave the padding out', () => {
    const batch = new MessageBatch();
    batch.begin(RTM.NEWLINK, NLM_F.CREATE);
    batch.attributeU8(1, 7).attributeString(3, 'ab').attributeU16(4, 0x0102).attributeFlag(5);
    const nest = batch.nestBegin(6);
    batch.attributeU32(7, 0x01020304).nestEnd(nest);
    batch.end();
    assert.equal(
      hex(batch),
      '3800000010000104' +
        '0000000000000000' +
        '0500010007000000' +
        '0700030061620000' +
        '0600040002010000' +
        '04000500' +
        '0c000680' +
        '0800070004030201',
    );
  });

  test('what an earlier use of the memory left never shows in the padding', () => {
    const batch = new MessageBatch(64);
    batch.begin(1, 0);
    batch.attributeBytes(1, new Uint8Array(24).fill(0xff));
    batch.end();
    batch.clear();
    batch.begin(1, 0);
    batch.attributeU8(1, 1).attributeBytes(2, Uint8Array.of(9, 8, 7), 1, 1);
    batch.end();
    assert.equal(hex(batch).slice(32), '0500010001000000' + '0500020008000000');
  });

  test('it grows over its first size, and not over its limit', () => {
    const batch = new MessageBatch(32, 4096);
    for (let i = 0; i < 100; i++) {
      batch.begin(RTM.NEWROUTE, 0);
      batch.attributeU32(1, i);
      batch.end();
    }
    assert.equal(batch.count, 100);
    assert.equal(messages(batch).length, 100);
    assert.throws(
      () => {
        for (let i = 0; i < 100; i++) {
          batch.begin(1, 0);
          batch.attributeBytes(1, new Uint8Array(64));
          batch.end();
        }
      },
      { code: 'BUG_NETLINK_BATCH' },
    );
  });

  test('messages are numbered one by one and only the last one asks for an acknowledgement', () => {
    const batch = new MessageBatch();
    for (let i = 0; i < 3; i++) {
      batch.begin(RTM.NEWROUTE, 0);
      batch.attributeU8(1, 1);
      batch.end();
    }
    assert.equal(batch.number(41), 43);
    assert.deepEqual(
      messages(batch).map((one) => [one.sequence, one.flags & NLM_F.ACK]),
      [
        [41, 0],
        [42, 0],
        [43, NLM_F.ACK],
      ],
    );
  });

  test('a message that is taken back leaves no trace; one that is not ended is a bug', () => {
    const batch = new MessageBatch();
    batch.begin(1, 0);
    batch.attributeU32(1, 1);
    batch.abandon();
    assert.deepEqual([batch.count, batch.byteLength], [0, 0]);
    batch.begin(1, 0);
    assert.throws(() => batch.begin(1, 0), { code: 'BUG_NETLINK_BATCH' });
  });
});

describe('requests as bytes', () => {
  const rows: readonly (readonly [string, (batch: MessageBatch) => void, string])[] = [
    [
      'a route by nexthop id',
      (batch) =>
        appendNewRoute(batch, NLM_F.CREATE | NLM_F.EXCL, {
          prefix: '192.0.2.0/24' as Prefix,
          protocol: 179,
          metric: 20,
          nexthopId: 0x0b000001,
          preferredSource: '10.0.0.1' as IpAddress,
        }),
      '44000000' +
        '1800' +
        '0106' +
        '0000000000000000' +
        '02180000feb3000100000000' +
        '08000100c0000200' +
        '08000f00fe000000' +
        '0800060014000000' +
        '080007000a000001' +
        '08001e000100000b',
    ],
    [
      'a delete matches any scope',
      (batch) => appendDelRoute(batch, { prefix: '0.0.0.0/0' as Prefix, protocol: 179 }),
      '24000000' + '1900' + '0100' + '0000000000000000' + '02000000feb3ff0100000000' + '08000f00fe000000',
    ],
    [
      'a group of two',
      (batch) => appendNewNexthopGroup(batch, NLM_F.REPLACE, { id: 3, protocol: 179, members: [1, 2] }),
      '34000000' +
        '6800' +
        '0101' +
        '0000000000000000' +
        '0000b30000000000' +
        '0800010003000000' +
        '14000200' +
        '0100000000000000' +
        '0200000000000000',
    ],
    [
      'a change of group, alias and state',
      (batch) => appendSetLink(batch, { index: 9 }, { group: 0x0b02, alias: 'a', up: true }),
      '30000000' +
        '1000' +
        '0100' +
        '0000000000000000' +
        '0000000009000000' +
        '0100000001000000' +
        '08001b00020b0000' +
        '0600140061000000',
    ],
    [
      'a veth pair',
      (batch) => appendNewVeth(batch, { name: 'a' }, { name: 'b', namespaceFd: 5 }),
      '60000000' +
        '1000' +
        '0106' +
        '0000000000000000' +
        '0000000000000000' +
        '0000000000000000' +
        '0600030061000000' +
        '38001280' +
        '0900010076657468' +
        '00000000' +
        '28000280' +
        '24000180' +
        '0000000000000000' +
        '0000000000000000' +
        '0600030062000000' +
        '08001c0005000000',
    ],
  ];
  for (const [name, append, expected] of rows) {
    test(name, () => {
      const batch = new MessageBatch();
      append(batch);
      assert.equal(hex(batch), expected);
    });
  }

  test('the packed form of a route says the same as the form of values', () => {
    for (const [text, gatewayless] of [
      ['20.1.2.0/24', 4],
      ['0.0.0.0/0', 4],
      ['2001:db8::/48', 16],
      ['::/0', 16],
    ] as const) {
      const plain = new MessageBatch();
      appendNewRoute(plain, NLM_F.CREATE, { prefix: text as Prefix, protocol: 179, metric: 20, nexthopId: 77 });
      const packed = new MessageBatch();
      const decoded = decodeRoute(new WireReader(plain.bytes), messages(plain)[0] as MessageHeader);
      const row = emptyPackedRoute();
      const reader = new WireReader(plain.bytes);
      assert.ok(decodePackedRoute(reader, messages(plain)[0] as MessageHeader, row));
      assert.equal(row.size, gatewayless);
      const bytes = row.addressAt < 0 ? new Uint8Array(16) : reader.slice(row.addressAt, row.size);
      appendPackedRoute(
        packed,
        RTM.NEWROUTE,
        NLM_F.CREATE,
        { table: 254, protocol: 179, metric: 20 },
        row.size,
        bytes,
        0,
        row.length,
        row.nexthopId,
        undefined,
      );
      assert.deepEqual(decodeRoute(new WireReader(packed.bytes), messages(packed)[0] as MessageHeader), decoded);
      assert.equal(decoded?.prefix, text);
    }
  });
});
