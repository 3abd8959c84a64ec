/**
 * TCP connections for sessions: sockets that carry their keys, TTLs and source address before the first segment leaves.
 * The descriptor is made by hand, because Node has no words for these options, and given to `net` unconnected.
 * Fail closed: a key that cannot be set means no socket. RFC 2385, RFC 5082, RFC 5482; ip(7), tcp(7).
 */
import { Socket } from 'node:net';
import { type IpAddress, familyOf } from '#lib/ip.ts';
import { AppError, type Result, fail, ok } from '#lib/result.ts';
import type { Duration } from '#lib/time.ts';
import { arrivalOf } from '#linux/arrival.ts';
import { setHopLimit, setMinimumHopLimit, setTcpMd5Key, setTcpUserTimeout } from '#linux/socket-options.ts';
import { bindInternet, closeDescriptor, openTcpSocket } from '#linux/socket.ts';
import type { TcpAoKey } from '../engine.ts';
import type { SessionError, SessionErrorCode } from '../session/errors.ts';
import { putTcpAoKeys } from './tcp-ao.ts';

/** A link-local address means something on one link only. */
export interface SessionInterface {
  readonly name: string;
  readonly index: number;
}

export interface TcpTarget {
  readonly address: IpAddress;
  /** Of a link-local address. */
  readonly interface?: SessionInterface | undefined;
  readonly port: number;
  /** `undefined`: the kernel chooses. */
  readonly sourceAddress: IpAddress | undefined;
  readonly password: string | undefined;
  /** Keys of TCP-AO; `undefined`: without. */
  readonly tcpAo?: readonly TcpAoKey[] | undefined;
  /** TTL of what we send; `undefined`: the kernel's default. */
  readonly hopLimit: number | undefined;
  /** What arrives with a lower TTL is dropped (RFC 5082 §3); `undefined`: nothing is. */
  readonly minimumHopLimit: number | undefined;
  /** Sent octets that stay unacknowledged this long end the connection; zero: the kernel's default. */
  readonly userTimeout: Duration;
}

/** Makes a socket that is on its way to the target; 'connect' or 'error' follows. There is no timeout but the kernel's. */
export function connectTcp(target: TcpTarget): Result<Socket, SessionError> {
  const family = familyOf(target.address);
  let fd: number | undefined;
  let code: SessionErrorCode = 'SESSION_SOCKET_FAILED';
  try {
    fd = openTcpSocket(family);
    if (target.password !== undefined) {
      code = 'SESSION_MD5_UNAVAILABLE';
      setTcpMd5Key(fd, { address: target.address, key: Buffer.from(target.password) });
      code = 'SESSION_SOCKET_FAILED';
    }
    if (target.tcpAo !== undefined) {
      const keyed = putTcpAoKeys(fd, target.address, target.tcpAo, 'connecting');
      if (!keyed.ok) {
        closeDescriptor(fd);
        return keyed;
      }
    }
    if (target.hopLimit !== undefined) setHopLimit(fd, family, target.hopLimit);
    if (target.minimumHopLimit !== undefined) setMinimumHopLimit(fd, family, target.minimumHopLimit);
    if (target.userTimeout > 0) setTcpUserTimeout(fd, target.userTimeout);
    if (target.sourceAddress !== undefined) {
      code = 'SESSION_SOURCE_ADDRESS_UNAVAILABLE';
      bindInternet(fd, target.sourceAddress, 0, target.interface?.index);
      code = 'SESSION_SOCKET_FAILED';
    }
    const socket = new Socket({ fd, manualStart: true, readable: true, writable: true } as SocketFromDescriptor);
    // From here on the socket owns the descriptor.
    fd = undefined;
    socket.setNoDelay(true);
    const zone = target.interface === undefined ? '' : `%${target.interface.name}`;
    socket.connect(target.port, `${target.address}${zone}`);
    return ok(socket);
  } catch (error) {
    if (fd !== undefined) closeDescriptor(fd);
    if (!(error instanceof AppError)) throw error;
    return fail({ code, text: `${sentences[code] ?? 'no socket'}: ${error.message}` });
  }
}

/** `manualStart` is Node's own word for "do not read yet", absent from its types. */
type SocketFromDescriptor = { fd: number; readable: boolean; writable: boolean } & { manualStart: boolean };

const sentences: Partial<Record<SessionErrorCode, string>> = {
  SESSION_SOCKET_FAILED: 'the socket could not be made',
  SESSION_MD5_UNAVAILABLE: 'the kernel did not take the TCP MD5 key, so nothing is opened without it',
  SESSION_SOURCE_ADDRESS_UNAVAILABLE: 'the source address could not be bound; it must be on an interface of this node',
};

/** Another key, or none, for the peer on a socket or listener; with `prefixLength` for all peers of the prefix. */
export function setKey(
  fd: number,
  address: IpAddress,
  password: string | undefined,
  prefixLength?: number,
): Result<void, SessionError> {
  try {
    setTcpMd5Key(fd, {
      address,
      ...(prefixLength === undefined ? {} : { prefixLength }),
      key: password === undefined ? undefined : Buffer.from(password),
    });
    return ok(undefined);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    // There was none to remove.
    if (password === undefined && error.code === 'OS_ENOENT') return ok(undefined);
    const advice =
      error.code === 'OS_ENOMEM' ? '; raise net.core.optmem_max, which bounds the number of keys on a listener' : '';
    return fail({
      code: 'SESSION_MD5_UNAVAILABLE',
      text: `${sentences.SESSION_MD5_UNAVAILABLE ?? ''}: ${error.message}${advice}`,
    });
  }
}

/**
 * Options of a connection that was accepted. Its key is set once more: a handshake that was over before the listener had
 * the key is not signed.
 */
export function adoptTcp(socket: Socket, target: TcpTarget): Result<void, SessionError> {
  const fd = descriptorOf(socket);
  if (fd === undefined)
    return fail({ code: 'SESSION_CONNECTION_LOST', text: 'the connection was gone before it was accepted' });
  if (target.password !== undefined) {
    const keyed = setKey(fd, target.address, target.password);
    if (!keyed.ok) return keyed;
  }
  if (target.tcpAo !== undefined) {
    const keyed = putTcpAoKeys(fd, target.address, target.tcpAo, 'accepted');
    if (!keyed.ok) return keyed;
  }
  try {
    const far = tooFar(fd, target);
    if (far !== undefined) return fail(far);
    if (target.userTimeout > 0) setTcpUserTimeout(fd, target.userTimeout);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return fail({
      code: 'SESSION_CONNECTION_LOST',
      text: `the connection was gone when it was accepted: ${error.message}`,
    });
  }
  socket.setNoDelay(true);
  return ok(undefined);
}

/**
 * RFC 5082 §3 for a connection that was accepted: its handshake came with a TTL that the kernel noted, and from here on the
 * kernel looks at each segment. Fail closed: a TTL that the kernel does not tell is too low.
 */
function tooFar(fd: number, { address, minimumHopLimit }: TcpTarget): SessionError | undefined {
  if (minimumHopLimit === undefined) return undefined;
  const family = familyOf(address);
  setMinimumHopLimit(fd, family, minimumHopLimit);
  const { hopLimit } = arrivalOf(fd, family);
  if (hopLimit !== undefined && hopLimit >= minimumHopLimit) return undefined;
  return {
    code: 'SESSION_TTL_TOO_LOW',
    text: `the peer's connection came with TTL ${hopLimit ?? 'unknown'}, and at least ${minimumHopLimit} is needed (RFC 5082 §3): it is more hops away than is said, or does not send with TTL 255`,
  };
}

/** The descriptor behind a socket; `undefined` when it is closed. Node has no public word for it. */
export function descriptorOf(socket: Socket): number | undefined {
  const fd = (socket as { readonly _handle?: { readonly fd?: number } | null })._handle?.fd;
  return fd === undefined || fd < 0 ? undefined : fd;
}

const connectCodes: Readonly<Record<string, SessionError>> = {
  ECONNREFUSED: {
    code: 'SESSION_CONNECTION_REFUSED',
    text: 'the peer refused the connection: nothing listens there, or not for us',
  },
  // It was accepted, and the reset came before the socket was told so.
  ECONNRESET: { code: 'SESSION_CONNECTION_CLOSED', text: 'the peer accepted the connection and reset it at once' },
  EADDRNOTAVAIL: {
    code: 'SESSION_SOURCE_ADDRESS_UNAVAILABLE',
    text: 'no address of this node can reach the peer (EADDRNOTAVAIL)',
  },
  ETIMEDOUT: { code: 'SESSION_CONNECT_TIMEOUT', text: 'the peer did not answer (ETIMEDOUT)' },
};

/** What a socket's 'error' means for the session. */
export function errorOfSocket(error: Error, wasConnected: boolean): SessionError {
  const errno = (error as NodeJS.ErrnoException).code ?? error.message;
  if (!wasConnected)
    return connectCodes[errno] ?? { code: 'SESSION_CONNECT_FAILED', text: `the peer cannot be reached (${errno})` };
  return {
    code: 'SESSION_CONNECTION_LOST',
    text:
      errno === 'ETIMEDOUT'
        ? 'the peer acknowledged nothing for too long (ETIMEDOUT)'
        : `the connection broke without a NOTIFICATION (${errno})`,
  };
}
