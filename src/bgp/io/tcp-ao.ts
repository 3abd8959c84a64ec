/**
 * TCP-AO (RFC 5925) of one peer's sockets. In: the keys of its intent. Out: sockets that carry all of them, or an error: no
 * socket is used without. The first key is the one that we sign with and ask for.
 */
import type { IpAddress } from '#lib/ip.ts';
import { AppError, type Result, fail, ok } from '#lib/result.ts';
import { type TcpAoAlgorithm, type TcpAoSocketKey, addTcpAoKey, deleteTcpAoKey, supportsTcpAo } from '#linux/tcp-ao.ts';
import type { TcpAoKey } from '../engine.ts';
import type { SessionError } from '../session/errors.ts';

/**
 * `connecting`: not connected yet. `listening`: any of the keys may come. `accepted`: the listener's keys came along with the
 * handshake; a connection that came before they were there has none and cannot get any.
 */
export type SocketRole = 'connecting' | 'listening' | 'accepted';

const algorithms: Readonly<Record<TcpAoKey['algorithm'], TcpAoAlgorithm>> = {
  'hmac-sha1': 'hmac(sha1)',
  'aes-128-cmac': 'cmac(aes128)',
  'hmac-sha256': 'hmac(sha256)',
};

export const socketKeys = (address: IpAddress, keys: readonly TcpAoKey[], role: SocketRole): TcpAoSocketKey[] =>
  keys.map(({ sendId, receiveId, algorithm, key }, i) => ({
    address,
    sendId,
    receiveId,
    algorithm: algorithms[algorithm],
    key: Buffer.from(key),
    preferred: role === 'connecting' && i === 0,
  }));

export function putTcpAoKeys(
  fd: number,
  address: IpAddress,
  keys: readonly TcpAoKey[],
  role: SocketRole,
): Result<void, SessionError> {
  try {
    for (const key of socketKeys(address, keys, role)) {
      try {
        addTcpAoKey(fd, key);
      } catch (error) {
        const isThere = error instanceof AppError && error.code === 'OS_EEXIST' && role === 'accepted';
        if (!isThere) throw error;
      }
    }
    return ok(undefined);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return fail(problemOf(error, supportsTcpAo(fd, address)));
  }
}

/** Keys that stay for an address that is refused anyway do no harm, so what the kernel says is not asked. */
export function removeTcpAoKeys(fd: number, address: IpAddress, keys: readonly TcpAoKey[]): void {
  for (const key of socketKeys(address, keys, 'listening')) {
    try {
      deleteTcpAoKey(fd, key);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
    }
  }
}

const problemOf = (error: AppError, isSupported: boolean): SessionError =>
  isSupported
    ? {
        code: 'SESSION_TCP_AO_UNAVAILABLE',
        text: `the kernel did not take a TCP-AO key, so nothing is opened without it: ${error.message}`,
      }
    : {
        code: 'SESSION_TCP_AO_UNSUPPORTED',
        text: 'this kernel has no TCP-AO (Linux 6.7 or later with CONFIG_TCP_AO has it), and nothing is opened without it',
      };
