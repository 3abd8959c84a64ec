/**
 * Which version of HTTP carries a request: HTTP/2 where the server agrees to it in the TLS handshake (ALPN, RFC 7301), so that
 * an agent has one connection; HTTP/1.1 through a proxy, before a server or balancer that knows nothing else, and without TLS.
 */
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { connect as connectTcp, isIP } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import { hostOf, keepAliveMilliseconds } from './exchange.ts';
import type { Answer, Connections, Exchange } from './exchange.ts';
import { http1Exchange, http1Pool } from './http1.ts';
import { http2Exchange, http2Pool } from './http2.ts';
import type { Dial, Http2Pool, Http2Tuning } from './http2.ts';

export type TlsOptions = Pick<
  ConnectionOptions,
  'ca' | 'cert' | 'key' | 'pfx' | 'passphrase' | 'servername' | 'rejectUnauthorized'
>;

/** A server that spoke HTTP/1.1 alone is asked again after this long: it may have been replaced. */
const http1Milliseconds = 600_000;
/** A request that the server refused to look at is sent again at once, on another connection. */
const mostRefusals = 3;

/** HTTP/1.1 alone, by an agent of the caller's, or one for servers without TLS. */
export function http1Connections(agent: HttpAgent = new HttpAgent(http1Pool)): Connections {
  return {
    exchange: (outgoing) => http1Exchange(agent, outgoing),
    retire: () => undefined,
    close: () => agent.destroy(),
  };
}

/** HTTP/2 without TLS, which the caller knows that the server speaks. */
export function plainHttp2Connections(tuning?: Http2Tuning): Connections {
  return negotiated((server) => http2Pool(server.origin, dialPlain(server), tuning), http1Connections());
}

/** What the server agrees to. */
export function tlsConnections(tls: TlsOptions, tuning?: Http2Tuning): Connections {
  const agent = new HttpsAgent({ ...http1Pool, ...tls });
  return negotiated((server) => http2Pool(server.origin, dialTls(server, tls), tuning), http1Connections(agent));
}

function negotiated(poolOf: (server: URL) => Http2Pool, http1: Connections): Connections {
  const pools = new Map<string, { readonly pool: Http2Pool; http1Until: number }>();
  const hold = (server: URL): { readonly pool: Http2Pool; http1Until: number } => {
    const held = pools.get(server.origin) ?? { pool: poolOf(server), http1Until: 0 };
    pools.set(server.origin, held);
    return held;
  };
  return {
    exchange(outgoing) {
      const held = hold(outgoing.server);
      let current: Exchange | undefined;
      const carry = async (): Promise<Answer> => {
        for (let refusals = 0; performance.now() >= held.http1Until; refusals++) {
          const place = await held.pool.take(outgoing.signal);
          if (place === undefined) {
            held.http1Until = performance.now() + http1Milliseconds;
            break;
          }
          const exchange = http2Exchange(place, outgoing);
          current = exchange;
          try {
            return await exchange.answer;
          } catch (error) {
            if (!exchange.refused() || refusals === mostRefusals) throw error;
          }
        }
        current = http1.exchange(outgoing);
        return await current.answer;
      };
      return { answer: carry(), sent: () => current?.sent() === true };
    },
    retire() {
      for (const { pool } of pools.values()) pool.retire();
      http1.retire();
    },
    close() {
      for (const { pool } of pools.values()) pool.close();
      http1.close();
    },
  };
}

const dialPlain =
  (server: URL): Dial =>
  (signal) => {
    const socket = connectTcp({ host: hostOf(server), port: Number(server.port) });
    return established(socket, 'connect', signal);
  };

/** Resolves with `undefined` when the server agrees to HTTP/1.1, or to nothing. */
const dialTls =
  (server: URL, tls: TlsOptions): Dial =>
  async (signal) => {
    const host = hostOf(server);
    const socket = connectTls({
      host,
      port: server.port === '' ? 443 : Number(server.port),
      ALPNProtocols: ['h2', 'http/1.1'],
      // An address is no name that a server could be asked for.
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...tls,
    });
    await established(socket, 'secureConnect', signal);
    if (socket.alpnProtocol === 'h2') return socket;
    socket.destroy();
    return undefined;
  };

function established(socket: Socket, event: 'connect' | 'secureConnect', signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const end = (): void => void socket.destroy(signal.reason instanceof Error ? signal.reason : undefined);
    const settled = (): void => signal.removeEventListener('abort', end);
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
    socket.setKeepAlive(true, keepAliveMilliseconds);
    socket.setNoDelay(true);
    socket.on('error', reject);
    socket.once('close', () => {
      settled();
      reject(new Error('the connection was closed'));
    });
    socket.once(event, () => {
      settled();
      resolve(socket);
    });
  });
}
