/**
 * HTTP/2 (RFC 9113): all requests and watches of a client on one connection to the API server. A connection that does not
 * answer a ping is given up with all that runs on it; one whose server says goodbye (GOAWAY, `kube-apiserver
 * --goaway-chance`) takes nothing new and ends with what runs; one that is full (SETTINGS_MAX_CONCURRENT_STREAMS) gets another one beside it.
 */
import { connect, constants } from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { retryAfterOf } from './exchange.ts';
import type { Answer, Exchange, Outgoing } from './exchange.ts';

export interface Http2Tuning {
  /** Between two pings; kubelets ask their API server as often. A connection on which nothing runs is closed instead. */
  readonly pingMilliseconds: number;
  /** A ping that is answered later counts as lost. */
  readonly pongMilliseconds: number;
  /** Until TLS and the settings of both sides are there. */
  readonly connectMilliseconds: number;
}

export const usualHttp2: Http2Tuning = {
  pingMilliseconds: 30_000,
  pongMilliseconds: 15_000,
  connectMilliseconds: 15_000,
};

/**
 * What a server may send before we say that we have read it: of one answer, and of all of them. A large page of a list does not
 * wait for round trips; what waits to be read has this bound.
 */
const streamWindow = 1024 * 1024;
const connectionWindow = 8 * 1024 * 1024;
/** Connections that one request waits for: each may be full, or taking its leave, by the time it stands. */
const mostTurns = 10;

/** A new connection to the server; `undefined`: it does not speak HTTP/2. */
export type Dial = (signal: AbortSignal) => Promise<Socket | undefined>;

export interface Http2Pool {
  /** Resolves with `undefined` where the server does not speak HTTP/2. */
  take(signal: AbortSignal): Promise<Place | undefined>;
  retire(): void;
  close(): void;
}

/** For one stream on a connection. */
export interface Place {
  readonly session: ClientHttp2Session;
  readonly leave: () => void;
}

interface Session extends Place {
  readonly hasRoom: () => boolean;
  readonly enter: () => void;
}

export function http2Pool(authority: string, dial: Dial, tuning: Http2Tuning = usualHttp2): Http2Pool {
  const sessions = new Set<Session>();
  let closing = new AbortController();
  let opening: Promise<Session | undefined> | undefined;

  async function open(): Promise<Session | undefined> {
    const late = AbortSignal.timeout(tuning.connectMilliseconds);
    const signal = AbortSignal.any([closing.signal, late]);
    try {
      const socket = await dial(signal);
      if (socket === undefined) return undefined;
      const made = await begin(authority, socket, tuning, signal);
      sessions.add(made);
      made.session.once('close', () => sessions.delete(made));
      return made;
    } catch (error) {
      if (!late.aborted) throw error;
      throw new Error(`no connection within ${tuning.connectMilliseconds / 1000} s`, { cause: error });
    }
  }

  return {
    async take(signal) {
      for (let turn = 0; turn < mostTurns; turn++) {
        const free = [...sessions].find((it) => it.hasRoom());
        if (free !== undefined) {
          free.enter();
          return free;
        }
        opening ??= open().finally(() => (opening = undefined));
        if ((await unlessAborted(opening, signal)) === undefined) return undefined;
      }
      throw new Error('the server ends its connections at once, or has no room on them');
    },
    retire() {
      for (const { session } of sessions) session.close();
    },
    close() {
      closing.abort(new Error('the client was closed'));
      closing = new AbortController();
      for (const { session } of sessions) session.destroy();
    },
  };
}

/** Resolves when the server's settings are there: until then nobody knows how many streams it takes. */
async function begin(authority: string, socket: Socket, tuning: Http2Tuning, signal: AbortSignal): Promise<Session> {
  const session = connect(authority, {
    createConnection: () => socket,
    settings: { enablePush: false, initialWindowSize: streamWindow },
  });
  try {
    await new Promise<void>((resolve, reject) => {
      session.once('remoteSettings', () => resolve());
      session.once('error', reject);
      session.once('close', () => reject(new Error('the connection was closed')));
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
  } catch (error) {
    session.destroy();
    throw error;
  }
  // Each stream is told; a session that nobody uses has nobody to tell.
  session.on('error', () => undefined);
  session.setLocalWindowSize(connectionWindow);
  session.unref();
  let streams = 0;
  keepAlive(session, tuning, () => streams > 0);
  return {
    session,
    hasRoom: () =>
      !session.closed &&
      !session.destroyed &&
      streams < Math.max(1, session.remoteSettings.maxConcurrentStreams ?? 100),
    enter() {
      streams += 1;
      session.ref();
    },
    leave() {
      streams -= 1;
      if (streams === 0) session.unref();
    },
  };
}

/** Gives a connection up that is silently dead, and lets go of one on which nothing ran between two looks. */
function keepAlive(session: ClientHttp2Session, tuning: Http2Tuning, isBusy: () => boolean): void {
  let wasBusy = true;
  let waiting: NodeJS.Timeout | undefined;
  const look = (): void => {
    if (!isBusy() && !wasBusy) session.close();
    wasBusy = isBusy();
    // Node sends no ping on a connection that takes its leave; the silence of its watches and TCP's probes find its death.
    if (waiting !== undefined || !wasBusy || session.closed) return;
    // In two halves: a process that was frozen for long reads what has come before the second one is over.
    const half = (then: () => void): NodeJS.Timeout => setTimeout(then, tuning.pongMilliseconds / 2).unref();
    waiting = half(() => {
      waiting = half(() => {
        session.destroy(new Error(`a ping was not answered within ${tuning.pongMilliseconds / 1000} s`));
      });
    });
    session.ping((error) => {
      clearTimeout(waiting);
      waiting = undefined;
      if (error !== null && !session.closed) session.destroy(error);
    });
  };
  const looks = setInterval(look, tuning.pingMilliseconds).unref();
  session.once('close', () => {
    clearInterval(looks);
    clearTimeout(waiting);
  });
}

export interface Http2Exchange extends Exchange {
  /** The server did not look at it (RFC 9113 §8.7), because it was taking its leave: any request can be sent again. */
  refused(): boolean;
}

export function http2Exchange(place: Place, outgoing: Outgoing): Http2Exchange {
  const { method, path, headers, body, signal } = outgoing;
  let stream: ClientHttp2Stream | undefined;
  let refused = false;
  const answer = new Promise<Answer>((resolve, reject) => {
    let error: unknown;
    try {
      signal.throwIfAborted();
      stream = place.session.request(
        { ':method': method, ':path': path, ...headers },
        { endStream: body === undefined },
      );
    } catch (cause) {
      place.leave();
      reject(cause);
      return;
    }
    const it = stream;
    const end = (): void => {
      it.close(constants.NGHTTP2_CANCEL);
      it.destroy(signal.reason instanceof Error ? signal.reason : undefined);
    };
    signal.addEventListener('abort', end);
    it.on('response', (head) => {
      resolve({
        status: head[':status'] ?? 0,
        retryAfterSeconds: retryAfterOf(head['retry-after']),
        stream: it,
        cut: () => it.rstCode !== constants.NGHTTP2_NO_ERROR,
      });
    });
    it.on('error', (cause) => (error = cause));
    it.on('close', () => {
      signal.removeEventListener('abort', end);
      place.leave();
      refused = it.rstCode === constants.NGHTTP2_REFUSED_STREAM;
      reject(error ?? new Error('the connection was closed'));
    });
    if (body !== undefined) it.end(body);
  });
  return { answer, refused: () => refused, sent: () => stream?.id !== undefined && !refused };
}

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const end = (): void => reject(signal.reason);
    if (signal.aborted) end();
    signal.addEventListener('abort', end);
    void promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', end));
  });
}
