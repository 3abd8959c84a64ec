/** One HTTP request to the API server: bounded in time, its failures in words, its answer as it comes. */
import { ApiError } from '../store.ts';
import type { Access } from './access.ts';
import type { Answer } from './exchange.ts';

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

/** Resolves with the head of the answer. Rejects with ApiError (API_UNREACHABLE, API_UNAUTHORIZED). */
export async function send(access: Access, userAgent: string, call: Call): Promise<Answer> {
  const grant = await access.grant();
  const { server } = access;
  // Ends the request while there is no answer, and what comes of the answer when the caller says so.
  const ending = new AbortController();
  const end = (): void => ending.abort(call.signal?.reason);
  if (call.signal?.aborted === true) end();
  call.signal?.addEventListener('abort', end);
  const settled = (): void => call.signal?.removeEventListener('abort', end);
  const late = setTimeout(() => {
    ending.abort(new Error(`no answer within ${call.headMilliseconds / 1000} s`));
  }, call.headMilliseconds);
  const exchange = grant.connections.exchange({
    server,
    method: call.method,
    path: `${server.pathname.replace(/\/$/, '')}${call.path}`,
    headers: {
      accept: call.accept ?? 'application/json',
      'user-agent': userAgent,
      ...grant.headers,
      ...(call.body === undefined
        ? {}
        : { 'content-type': call.body.type, 'content-length': Buffer.byteLength(call.body.text) }),
    },
    body: call.body?.text,
    signal: ending.signal,
  });
  try {
    const answer = await exchange.answer;
    answer.stream.once('close', settled);
    return answer;
  } catch (error) {
    settled();
    throw unreachable(call.what, error, call.method !== 'GET' && exchange.sent());
  } finally {
    clearTimeout(late);
  }
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
      if (answer.cut()) {
        end(unreachable(call.what, new Error('the answer was cut short'), maybeDone));
        return;
      }
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
