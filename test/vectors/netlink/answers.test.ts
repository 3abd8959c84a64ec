// Messages of a real kernel: what they decode to, and that no way of cutting them makes a decoder throw.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeAddress } from '#netlink/wire/address.ts';
import { decodeLink } from '#netlink/wire/link.ts';
import { decodeNeighbour } from '#netlink/wire/neighbour.ts';
import { decodeNexthop } from '#netlink/wire/nexthop.ts';
import { decodeDone, decodeError, eachMessage, type MessageHeader, WireReader } from '#netlink/wire/reader.ts';
import { decodePackedRoute, decodeRoute, emptyPackedRoute } from '#netlink/wire/route.ts';
import vectors from './answers.json' with { type: 'json' };

type Decode = (reader: WireReader, message: MessageHeader) => unknown;

const route = {
  table: 254,
  scope: 0,
  tos: 0,
  preferredSource: undefined,
  nexthopId: undefined,
  gateway: undefined,
  interfaceIndex: undefined,
  multipath: [],
  flags: 0,
};

const rows: readonly (readonly [name: string, Decode, expected: unknown])[] = [
  [
    'veth with alias, group and settings',
    decodeLink,
    {
      index: 2,
      name: 'fr0123456789ab',
      hardwareType: 1,
      flags: 0x11043,
      mtu: 1400,
      address: 'ee:ee:ee:ee:ee:ee',
      alias: 'flat',
      group: 2818,
      kind: 'veth',
      master: undefined,
      link: 2,
      linkNamespace: 0,
      operationalState: 6,
      rpFilter: 1,
      addressGeneration: 1,
    },
  ],
  [
    'loopback',
    decodeLink,
    {
      index: 1,
      name: 'lo',
      hardwareType: 772,
      flags: 0x10049,
      mtu: 65536,
      address: '00:00:00:00:00:00',
      alias: '',
      group: 0,
      kind: '',
      master: undefined,
      link: undefined,
      linkNamespace: undefined,
      operationalState: 0,
      rpFilter: 0,
      addressGeneration: 0,
    },
  ],
  ['IPv4 address', decodeAddress, { interfaceIndex: 2, address: '10.0.0.1', prefixLength: 24, scope: 0, flags: 0x80 }],
  ['IPv6 address', decodeAddress, { interfaceIndex: 2, address: 'fd00::1', prefixLength: 64, scope: 0, flags: 0x82 }],
  [
    'permanent neighbour',
    decodeNeighbour,
    { interfaceIndex: 2, address: '10.0.0.9', hardwareAddress: '02:00:00:00:00:09', state: 0x80, flags: 0 },
  ],
  [
    'nexthop by IPv4',
    decodeNexthop,
    {
      id: 0x0b000000,
      protocol: 179,
      flags: 0,
      gateway: '10.0.0.2',
      interfaceIndex: 2,
      blackhole: false,
      members: undefined,
    },
  ],
  [
    'nexthop by IPv6',
    decodeNexthop,
    {
      id: 0x0b000001,
      protocol: 179,
      flags: 0,
      gateway: 'fd00::2',
      interfaceIndex: 2,
      blackhole: false,
      members: undefined,
    },
  ],
  [
    'nexthop group',
    decodeNexthop,
    {
      id: 0x0b000002,
      protocol: 179,
      flags: 0,
      gateway: undefined,
      interfaceIndex: undefined,
      blackhole: false,
      members: [
        { id: 0x0b000000, weight: 1 },
        { id: 0x0b000001, weight: 1 },
      ],
    },
  ],
  [
    'IPv4 route by nexthop group',
    decodeRoute,
    {
      ...route,
      prefix: '192.0.2.0/24',
      protocol: 179,
      type: 1,
      metric: 20,
      preferredSource: '10.0.0.1',
      nexthopId: 0x0b000002,
      multipath: [
        { gateway: '10.0.0.2', interfaceIndex: 2, weight: 1, flags: 0 },
        { gateway: 'fd00::2', interfaceIndex: 2, weight: 1, flags: 0 },
      ],
    },
  ],
  [
    'IPv4 route by IPv6 gateway',
    decodeRoute,
    { ...route, prefix: '198.51.100.0/24', protocol: 3, type: 1, metric: 0, gateway: 'fd00::2', interfaceIndex: 2 },
  ],
  ['IPv4 blackhole', decodeRoute, { ...route, prefix: '10.9.0.0/26', protocol: 179, type: 6, metric: 0xfffffffe }],
  [
    'IPv6 multipath route',
    decodeRoute,
    {
      ...route,
      prefix: '2001:db8::/32',
      protocol: 179,
      type: 1,
      metric: 20,
      multipath: [
        { gateway: 'fd00::2', interfaceIndex: 2, weight: 1, flags: 0 },
        { gateway: 'fd00::3', interfaceIndex: 2, weight: 1, flags: 0 },
      ],
    },
  ],
  [
    'IPv6 default route',
    decodeRoute,
    { ...route, prefix: '::/0', protocol: 3, type: 1, metric: 1024, gateway: 'fd00::2', interfaceIndex: 2 },
  ],
  ['error with extended ack', decodeError, { errno: 101, text: 'Nexthop has invalid gateway', offset: undefined }],
  ['error of a delete', decodeError, { errno: 99, text: 'ipv4: Address not found', offset: undefined }],
  ['acknowledgement', decodeError, { errno: 0, text: undefined, offset: undefined }],
  ['done', decodeDone, { errno: 0, text: undefined, offset: undefined }],
];

const bytesOf = (name: string): Uint8Array => {
  const found = vectors.messages.find((one) => one.name === name);
  assert.ok(found !== undefined, name);
  return new Uint8Array(Buffer.from(found.hex, 'hex'));
};

const allDecoders: readonly Decode[] = [
  decodeLink,
  decodeAddress,
  decodeNeighbour,
  decodeNexthop,
  decodeRoute,
  decodeError,
  decodeDone,
  (reader, message) => decodePackedRoute(reader, message, emptyPackedRoute()),
];

describe('netlink answers of the kernel', () => {
  test('each vector has a row and each row a vector', () => {
    assert.deepEqual(
      vectors.messages.map((one) => one.name),
      rows.map(([name]) => name),
    );
  });

  for (const [name, decode, expected] of rows) {
    test(name, () => {
      const reader = new WireReader(bytesOf(name));
      const values: unknown[] = [];
      const whole = eachMessage(reader, reader.bytes.length, (message) => {
        assert.deepEqual([message.sequence, message.port], [1, 7]);
        values.push(decode(reader, message));
      });
      assert.ok(whole);
      assert.deepEqual(values, [expected]);
    });

    test(`${name}, cut at every length: no message, or one that a decoder refuses or reads in part, never a throw`, () => {
      const bytes = bytesOf(name);
      for (let length = 0; length < bytes.length; length++) {
        const cut = new WireReader(bytes.slice(0, length));
        assert.equal(
          eachMessage(cut, length, () => assert.fail('a cut message is no message')),
          length === 0,
        );
        // The same with a header that claims the cut length, as a lying kernel would.
        if (length < 16) continue;
        new DataView(cut.bytes.buffer).setUint32(0, length, true);
        eachMessage(cut, length, (message) => {
          for (const one of allDecoders) one(cut, message);
        });
      }
    });
  }
});
