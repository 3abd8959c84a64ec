// What is handed to the kernel for TCP-AO, octet for octet (struct tcp_ao_add and tcp_ao_del), and what this kernel says to it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IpAddress } from '#lib/ip.ts';
import { type TcpAoSocketKey, addTcpAoKey, supportsTcpAo, tcpAoAddBytes, tcpAoDelBytes } from '#linux/tcp-ao.ts';
import { closeDescriptor, openTcpSocket } from '#linux/socket.ts';
import { putTcpAoKeys, socketKeys } from '#bgp/io/tcp-ao.ts';

const key: TcpAoSocketKey = {
  address: '192.0.2.1' as IpAddress,
  sendId: 7,
  receiveId: 9,
  algorithm: 'hmac(sha1)',
  key: Buffer.from('secret'),
  preferred: true,
};
const native32 = (value: number): Buffer => Buffer.from(new Uint32Array([value]).buffer);
const native16 = (value: number): Buffer => Buffer.from(new Uint16Array([value]).buffer);
const padded = (bytes: Uint8Array, length: number): Buffer => Buffer.concat([bytes], length);

interface Parts {
  readonly address: Uint8Array;
  readonly algorithm: string;
  readonly flags: number;
  readonly prefixLength: number;
  readonly ids: readonly [number, number];
  readonly key: string;
}

const added = ({ address, algorithm, flags, prefixLength, ids, key: secret }: Parts): Buffer =>
  Buffer.concat([
    padded(address, 128),
    padded(Buffer.from(algorithm), 64),
    native32(0),
    native32(flags),
    native16(0),
    Buffer.from([prefixLength, ...ids, 0, 0, secret.length]),
    padded(Buffer.from(secret), 80),
  ]);

const ipv4 = Buffer.concat([native16(2), Buffer.from([0, 0, 192, 0, 2, 1])]);
const ipv6 = Buffer.concat([native16(10), Buffer.from('000000000000fd160000000000000000000000000001', 'hex')]);

test('a key that is preferred is the current one and the next one', () => {
  const bytes = tcpAoAddBytes(key);
  assert.equal(bytes.length, 288);
  const flags = 3;
  const parts = {
    address: ipv4,
    algorithm: 'hmac(sha1)',
    flags,
    prefixLength: 32,
    ids: [7, 9],
    key: 'secret',
  } as const;
  assert.deepEqual(bytes, added(parts));
});

test('another key of an IPv6 peer has no flags', () => {
  const bytes = tcpAoAddBytes({
    ...key,
    address: 'fd16::1' as IpAddress,
    sendId: 255,
    receiveId: 0,
    algorithm: 'cmac(aes128)',
    key: Buffer.from('k'.repeat(80)),
    preferred: false,
  });
  const ids = [255, 0] as const;
  const secret = 'k'.repeat(80);
  assert.deepEqual(
    bytes,
    added({ address: ipv6, algorithm: 'cmac(aes128)', flags: 0, prefixLength: 128, ids, key: secret }),
  );
});

test('a key is deleted by address and ids', () => {
  const bytes = tcpAoDelBytes(key);
  assert.equal(bytes.length, 144);
  assert.deepEqual(bytes, Buffer.concat([padded(ipv4, 138), Buffer.from([32, 7, 9, 0, 0, 0])]));
});

test('keys of wrong lengths are refused before the kernel sees them', () => {
  for (const length of [0, 81])
    assert.throws(() => tcpAoAddBytes({ ...key, key: Buffer.alloc(length) }), { code: 'CONFIG_TCP_AO_KEY_LENGTH' });
});

const ofPeer = [
  { sendId: 1, receiveId: 2, algorithm: 'aes-128-cmac', key: 'a' },
  { sendId: 3, receiveId: 4, algorithm: 'hmac-sha256', key: 'b' },
] as const;

test('only a socket that connects prefers a key, the first', () => {
  const preferred = (['connecting', 'listening', 'accepted'] as const).map((role) =>
    socketKeys(key.address, ofPeer, role).map((it) => it.preferred),
  );
  assert.deepEqual(preferred, [
    [true, false],
    [false, false],
    [false, false],
  ]);
  assert.deepEqual(
    socketKeys(key.address, ofPeer, 'connecting').map(({ algorithm }) => algorithm),
    ['cmac(aes128)', 'hmac(sha256)'],
  );
});

test('a kernel without TCP-AO is told apart, for both families', () => {
  for (const [family, address] of [
    ['ipv4', '192.0.2.1'],
    ['ipv6', 'fd16::1'],
  ] as const) {
    const fd = openTcpSocket(family);
    try {
      const supported = supportsTcpAo(fd, address as IpAddress);
      const put = putTcpAoKeys(fd, address as IpAddress, ofPeer, 'connecting');
      if (supported) assert.ok(put.ok);
      else {
        assert.ok(!put.ok);
        assert.equal(put.error.code, 'SESSION_TCP_AO_UNSUPPORTED');
        assert.throws(() => addTcpAoKey(fd, { ...key, address: address as IpAddress }), { code: 'OS_ENOPROTOOPT' });
      }
    } finally {
      closeDescriptor(fd);
    }
  }
});
