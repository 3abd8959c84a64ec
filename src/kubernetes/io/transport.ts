/** One HTTP request to the API server: bounded in time, its failures in words, its answer as it comes. */
import { request as httpRequest } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { ApiError } from '../store.ts';
import type { Access } from './access.ts';

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** From the root of the API, with the query. */
  readonly path: string;
  /** What it does to what, for messages and metrics: `list ipblocks`. */
  readonly what: string;
  readonly accept?: string;
  readonly body?: { readonly type: string; readonly text: string };
  /** Until the head of the answer is there. */
  readonly headMilliseconds: number;
  readonly signal?: AbortSignal;
}

export interface Answer {
  readonly status: number;
  readonly retryAfterSeconds: number | undefined;
  readonly stream: IncomingMessage;
}

/** Resolves with the head of the answer. Rejects with ApiError (API_UNREACHABLE, API_UNAUTHORIZED). */
export async function send(access: Access, userAgent: string, call: Call): Promise<Answer> {
  const grant = await access.grant();
  const write = call.method !== 'GET';
  const { server } = access;
  const path = `${server.pathname.replace(/\/$/, '')}${call.path}`;
  const request = (server.protocol === 'https:' ? httpsRequest : httpRequest)({
    protocol: server.protocol,
    hostname: server.hostname.replace(/^\[(.*)\]$/, '$1'),
    ...(server.port === '' ? {} : { port: server.port }),
    method: call.method,
    path,
    agent: grant.agent,
    ...(call.signal === undefined ? {} : { signal: call.signal }),
    headers: {
      accept: call.accept ?? 'application/json',
      'user-agent': userAgent,
      ...grant.headers,
      ...(call.body === undefined
        ? {}
        : { 'content-type': call.body.type, 'content-length': Buffer.byteLength(call.body.text) }),
    },
  });
  return new Promise<Answer>((resolve, reject) => {
    /** Nothing of the request has left while the connection is being made. */
    let sent = false;
    let late: NodeJS.Timeout | undefined = setTimeout(() => {
      request.destroy(new Error(`no answer within ${call.headMilliseconds / 1000} s`));
    }, call.headMilliseconds);
    const settled = (): void => {
      clearTimeout(late);
      late = undefined;
    };
    request.on('socket', (socket) => {
      if (!socket.connecting) sent = true;
      else socket.once(server.protocol === 'https:' ? 'secureConnect' : 'connect', () => (sent = true));
      socket.setKeepAlive(true, 15_000);
    });
    request.on('response', (stream) => {
      settled();
      resolve({
        status: stream.statusCode ?? 0,
        retryAfterSeconds: retryAfterOf(stream.headers['retry-after']),
        stream,
      });
    });
    request.on('error', (error) => {
      settled();
      reject(unreachable(call.what, error, write && sent));
    });
    request.end(call.body?.text);
  });
}

/** A whole answer as text. Rejects with API_UNREACHABLE when it ends early or takes too long, API_ANSWER when it is too large. */
export function wholeText(
  answer: Answer,
  call: Call,
  bounds: { readonly bytes: number; readonly milliseconds: number },
): Promise<string> {
  const { stream } = answer;
  const maybeDone = call.method !== 'GET';
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let bytes = 0;
    const end = (error: ApiError): void => {
      clearTimeout(late);
      stream.removeAllListeners('data');
      stream.on('error', () => undefined);
      stream.destroy();
      reject(error);
    };
    const late = setTimeout(() => {
      end(
        unreachable(call.what, new Error(`the answer was not whole within ${bounds.milliseconds / 1000} s`), maybeDone),
      );
    }, bounds.milliseconds);
    stream.on('data', (part: Buffer) => {
      bytes += part.length;
      if (bytes > bounds.bytes)
        end(new ApiError('API_ANSWER', `${call.what}: the answer is larger than ${bounds.bytes} bytes`, { maybeDone }));
      else parts.push(part);
    });
    stream.on('end', () => {
      clearTimeout(late);
      resolve(Buffer.concat(parts).toString('utf8'));
    });
    stream.on('error', (error) => end(unreachable(call.what, error, maybeDone)));
    stream.on('close', () => {
      if (!stream.readableEnded) end(unreachable(call.what, new Error('the answer was cut short'), maybeDone));
    });
    stream.resume();
  });
}

export function unreachable(what: string, cause: unknown, maybeDone = false): ApiError {
  const code = cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : undefined;
  const words = cause instanceof Error ? cause.message : String(cause);
  // Node joins the attempts at several addresses into an error without a message.
  const why = words === '' ? (code ?? 'no connection') : words;
  return new ApiError('API_UNREACHABLE', `${what}: the API server cannot be reached: ${why.slice(0, 300)}`, {
    cause,
    maybeDone,
  });
}

function retryAfterOf(header: string | undefined): number | undefined {
  const seconds = Number(header);
  return header !== undefined && Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds, 120) : undefined;
}
