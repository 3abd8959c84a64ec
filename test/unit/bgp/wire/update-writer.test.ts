import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { nextHopBytes } from '#bgp/wire/next-hop.ts';
import { UpdateWriter } from '#bgp/wire/update-writer.ts';
import type { IpAddress } from '#lib/ip.ts';
import { external, hex, toHex } from './contexts.ts';

const header = (length: number): string => `${'ff'.repeat(16)}${length.toString(16).padStart(4, '0')}02`;

describe('UpdateWriter', () => {
  test('writes nothing for what was begun and got no prefix', () => {
    const writer = new UpdateWriter(external);
    assert.equal(writer.beginReach(new Uint8Array(7), 'ipv4', undefined), true);
    writer.beginWithdraw('ipv6');
    writer.end();
    assert.equal(writer.messages, 0);
    assert.equal(writer.take().length, 0);
  });

  test('writes one message for one prefix of each kind', () => {
    const writer = new UpdateWriter(external);
    writer.beginReach(hex('40010100'), 'ipv4', undefined);
    writer.prefix4(0x0a010200, 24);
    writer.beginReach(hex('40010100'), 'ipv6', nextHopBytes('fe80::1' as IpAddress));
    writer.prefix(hex('20010db8'), 0, 32);
    writer.beginWithdraw('ipv4');
    writer.prefix4(0, 0);
    writer.beginWithdraw('ipv6');
    writer.prefix(hex('ff20010db8'), 1, 31);
    assert.equal(writer.messages, 4);
    assert.equal(
      toHex(writer.take()),
      [
        `${header(31)}0000000440010100180a0102`,
        `${header(57)}00000022900e001a00020110fe800000000000000000000000000001002020010db840010100`,
        `${header(24)}0001000000`,
        `${header(35)}0000000c900f00080002011f20010db8`,
      ].join(''),
    );
  });

  test('refuses attributes that leave no room for a prefix, and goes on', () => {
    const writer = new UpdateWriter(external);
    const fits = 4096 - 23 - 5;
    assert.equal(writer.beginReach(new Uint8Array(fits), 'ipv4', undefined), true);
    assert.equal(writer.beginReach(new Uint8Array(fits + 1), 'ipv4', undefined), false);
    writer.endOfRib('ipv4');
    assert.equal(writer.take().length, 23);
  });

  const sections: readonly (readonly [string, number, (writer: UpdateWriter) => unknown])[] = [
    ['announced IPv4', 4096 - 23 - 7, (writer) => writer.beginReach(new Uint8Array(7), 'ipv4', undefined)],
    [
      'announced IPv6',
      4096 - 23 - 4 - 21 - 7,
      (writer) => writer.beginReach(new Uint8Array(7), 'ipv6', nextHopBytes('fe80::1' as IpAddress)),
    ],
    ['withdrawn IPv4', 4096 - 23, (writer) => writer.beginWithdraw('ipv4')],
    ['withdrawn IPv6', 4096 - 23 - 7, (writer) => writer.beginWithdraw('ipv6')],
  ];
  for (const [name, room, begin] of sections) {
    test(`fills a message of ${name} prefixes to the last octet, and begins a second one for one more`, () => {
      const fill = (defaults: number): UpdateWriter => {
        const writer = new UpdateWriter(external);
        begin(writer);
        for (let i = 0; i < defaults; i++) writer.prefix(new Uint8Array(0), 0, 0);
        return writer;
      };
      const full = fill(room);
      assert.equal(full.messages, 1);
      assert.equal(full.take().length, 4096);
      assert.equal(fill(room + 1).messages, 2);
    });
  }

  test('hands over its buffer: what comes later does not touch it', () => {
    const writer = new UpdateWriter(external);
    writer.endOfRib('ipv4');
    const first = writer.take();
    const before = toHex(first);
    writer.endOfRib('ipv6');
    assert.equal(toHex(writer.take()), `${header(29)}000000068 00f03000201`.replaceAll(' ', ''));
    assert.equal(toHex(first), before);
  });

  test('a prefix that nothing was begun for is a mistake of ours', () => {
    const writer = new UpdateWriter(external);
    assert.throws(() => writer.prefix4(0, 0), /without beginReach/);
    assert.throws(() => writer.beginReach(new Uint8Array(0), 'ipv6', undefined), TypeError);
  });
});
