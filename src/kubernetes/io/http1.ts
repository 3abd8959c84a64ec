/** HTTP/1.1: a connection for each request that is under way, kept for the next one. */
import { request as httpRequest } from 'node:http';
import type { Agent } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { hostOf, keepAliveMilliseconds, retryAfterOf } from './exchange.ts';
import type { Answer, Exchange, Outgoing } from './exchange.ts';

/** A connection nobody uses is closed by us before an API server does it (90 s), so that no request meets a closing one. */
const idleMilliseconds = 30_000;

export const http1Pool = { keepAlive: true, keepAliveMsecs: keepAliveMilliseconds, timeout: idleMilliseconds } as const;

export function http1Exchange(agent: Agent, { server, method, path, headers, body, signal }: Outgoing): Exchange {
  /** Nothing of the request has left while the connection is being made. */
  let sent = false;
  const answer = new Promise<Answer>((resolve, reject) => {
    signal.throwIfAborted();
    const secure = server.protocol === 'https:';
    const request = (secure ? httpsRequest : httpRequest)({
      protocol: server.protocol,
      hostname: hostOf(server),
      ...(server.port === '' ? {} : { port: server.port }),
      method,
      path,
      agent,
      headers,
    });
    const end = (): void => void request.destroy(signal.reason instanceof Error ? signal.reason : undefined);
    signal.addEventListener('abort', end);
    request.on('close', () => signal.removeEventListener('abort', end));
    request.on('socket', (socket) => {
      if (!socket.connecting) sent = true;
      else socket.once(secure ? 'secureConnect' : 'connect', () => (sent = true));
      socket.setKeepAlive(true, keepAliveMilliseconds);
    });
    request.on('response', (stream) => {
      resolve({
        status: stream.statusCode ?? 0,
        retryAfterSeconds: retryAfterOf(stream.headers['retry-after']),
        stream,
        cut: () => !stream.complete,
      });
    });
    request.on('error', reject);
    request.end(body);
  });
  return { answer, sent: () => sent };
}
