import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { IpAddress } from '#lib/ip.ts';
import { errnoName } from '#linux/errno.ts';
import { osError } from '#linux/libc.ts';
import { internetSocketAddress, netlinkSocketAddress, unixSocketAddress } from '#linux/socket-address.ts';

describe('errors of the operating system', () => {
  test('a code, what was done, to what, and whether to try again', () => {
    const error = osError('setns', '/run/netns/a', 1);
    assert.equal(error.code, 'OS_EPERM');
    assert.equal(error.message, 'setns /run/netns/a failed with EPERM (errno 1)');
    assert.deepEqual(error.data, { operation: 'setns', errno: 1, object: '/run/netns/a' });
    assert.equal(error.retry, 'change');
    assert.equal(osError('send', 'x', 105).retry, 'backoff');
    assert.equal(osError('send', 'x', 4).retry, 'now');
  });

  const names: readonly (readonly [number, string])[] = [
    [1, 'EPERM'],
    [11, 'EAGAIN'],
    [17, 'EEXIST'],
    [95, 'EOPNOTSUPP'],
    [110, 'ETIMEDOUT'],
    [9999, 'E9999'],
  ];
  for (const [number, name] of names) test(`errno ${number} is ${name}`, () => assert.equal(errnoName(number), name));
});

describe('socket addresses as bytes', () => {
  const rows: readonly (readonly [string, Buffer, string])[] = [
    ['IPv4', internetSocketAddress('192.0.2.1' as IpAddress, 179), '020000b3c00002010000000000000000'],
    [
      'IPv6 link-local with its interface',
      internetSocketAddress('fe80::1' as IpAddress, 179, 5),
      '0a0000b300000000fe80000000000000000000000000000105000000',
    ],
    ['netlink', netlinkSocketAddress(7), '100000000700000000000000'],
    ['an abstract unix name', unixSocketAddress('\0ab'), '0100006162'],
    ['a unix path', unixSocketAddress('/a'), '01002f6100'],
  ];
  for (const [name, bytes, expected] of rows) test(name, () => assert.equal(bytes.toString('hex'), expected));
});
