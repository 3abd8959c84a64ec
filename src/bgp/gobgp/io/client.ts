/**
 * Calls of GoBGP's gRPC interface. In: an address and requests; out: answers, or an AppError that says what did not answer.
 * Which of the two interfaces is spoken there is found out by asking. Nothing that is sent is ever logged: peers carry
 * passwords.
 */
import * as grpc from '@grpc/grpc-js';
import { type MethodDefinition, loadSync } from '@grpc/proto-loader';
import { AppError } from '#lib/result.ts';
import type { Duration } from '#lib/time.ts';
import { seconds } from '#lib/time.ts';
import { type Dialect, dialects } from '../dialect.ts';

type Method = MethodDefinition<object, object>;

/** One answer may be a path with a long attribute list, or in version 4 all paths of one event. */
const longestMessage = 256 * 1024 * 1024;
/** Answers that may wait for whoever takes them, before reading pauses. */
const mostGathered = 1024;
/** An answer that takes longer than this comes from a process that hangs, or whose table is locked for that long. */
const defaultAnswerTime: Duration = seconds(10);

export interface ClientOptions {
  /** Folder that holds `gobgp/`. */
  readonly protoFolder: string;
  readonly answerTime?: Duration | undefined;
}

export interface GobgpClient {
  readonly dialect: Dialect;
  call<T>(method: string, request: object): Promise<T>;
  /** Answers as they come, those of one turn of the event loop together; little more is read than is taken. */
  batches<T>(method: string, request: object, signal?: AbortSignal): AsyncIterable<readonly T[]>;
  /** The same one by one. */
  stream<T>(method: string, request: object, signal?: AbortSignal): AsyncIterable<T>;
  close(): void;
}

/** `unix:///run/gobgp.sock`, `/run/gobgp.sock` or `127.0.0.1:50051`. */
export const targetOf = (address: string): string =>
  (address.startsWith('/') ? `unix:${address}` : `dns:${address}`).replace(/^dns:unix:/, 'unix:');

const isStatus = (error: unknown): error is grpc.ServiceError =>
  error instanceof Error && 'code' in error && typeof error.code === 'number';

/** GoBGP answered, and did not do it. */
export const isRefusal = (error: unknown): error is AppError =>
  error instanceof AppError && error.code === 'GOBGP_REFUSED';

const deadlineExceeded = (): grpc.ServiceError =>
  Object.assign(new Error('no answer'), {
    code: grpc.status.DEADLINE_EXCEEDED,
    details: 'no answer',
    metadata: new grpc.Metadata(),
  });

function explained(error: unknown, address: string, method: string): AppError {
  if (!isStatus(error))
    return new AppError('GOBGP_UNREACHABLE', `GoBGP at ${address}: ${String(error)}`, {
      retry: 'backoff',
      cause: error,
    });
  const gone = [grpc.status.UNAVAILABLE, grpc.status.DEADLINE_EXCEEDED, grpc.status.CANCELLED];
  if (gone.includes(error.code)) {
    const what =
      error.code === grpc.status.DEADLINE_EXCEEDED
        ? `did not answer ${method} in time`
        : `is not reachable (${error.details})`;
    return new AppError(
      'GOBGP_UNREACHABLE',
      `GoBGP at ${address} ${what}. Is gobgpd running, with --api-hosts ${address}?`,
      {
        retry: 'backoff',
        cause: error,
      },
    );
  }
  // What version 4 says to everything once its BGP was stopped.
  if (error.details === 'server stopped')
    return new AppError(
      'GOBGP_UNREACHABLE',
      `GoBGP at ${address} was told to stop, and this version does not begin again in the same process. Start gobgpd anew.`,
      { retry: 'backoff', cause: error },
    );
  return new AppError('GOBGP_REFUSED', `GoBGP at ${address} refused ${method}: ${error.details}`, {
    data: { method, status: error.code },
    cause: error,
  });
}

/** Connects and finds out which interface is there. Throws GOBGP_UNREACHABLE or GOBGP_OTHER_VERSION. */
export async function connectGobgp(address: string, options: ClientOptions): Promise<GobgpClient> {
  const channel = new grpc.Client(targetOf(address), grpc.credentials.createInsecure(), {
    'grpc.max_receive_message_length': longestMessage,
    'grpc.max_send_message_length': longestMessage,
    // Its own backoff: the next attempt is made by whoever asked for this one.
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_http_proxy': 0,
  });
  try {
    for (const dialect of dialects) {
      const client = clientOf(channel, dialect, address, options);
      try {
        await client.call('GetBgp', {});
        return client;
      } catch (error) {
        const { cause } = error as AppError;
        if (!isStatus(cause) || cause.code !== grpc.status.UNIMPLEMENTED) throw error;
      }
    }
  } catch (error) {
    channel.close();
    throw error;
  }
  channel.close();
  throw new AppError(
    'GOBGP_OTHER_VERSION',
    `What listens at ${address} has neither interface of GoBGP that is known here (${dialects.map((it) => it.service).join(', ')}). Use GoBGP 3 or 4, or correct gobgp.address of BGPConfiguration.`,
  );
}

interface Patience {
  /** It was given up. */
  readonly isOver: boolean;
  end(): void;
}

/**
 * Gives up once nothing at all was heard for `time`. A process whose table is locked for longer, as by the loss of a peer with a
 * hundred thousand routes, answers late and still says what it does; one that hangs says nothing.
 */
function patienceOf(time: Duration, silence: () => number, giveUp: () => void): Patience {
  let isOver = false;
  let timer = setTimeout(look, time);
  function look(): void {
    const left = time - silence();
    if (left > 0) timer = setTimeout(look, left);
    else {
      isOver = true;
      giveUp();
    }
  }
  return {
    get isOver() {
      return isOver;
    },
    end: () => clearTimeout(timer),
  };
}

/** What comes out of a stream between two turns of the event loop. */
async function* gathered<T>(call: grpc.ClientReadableStream<object>): AsyncGenerator<readonly T[]> {
  let waiting: T[] = [];
  let end: { readonly error?: unknown } | undefined;
  let wake = (): void => undefined;
  call.on('data', (answer: T) => {
    if (waiting.push(answer) === 1) setImmediate(() => wake());
    if (waiting.length === mostGathered) call.pause();
  });
  call.on('end', () => {
    end ??= {};
    wake();
  });
  call.on('error', (error) => {
    end = { error };
    wake();
  });
  for (;;) {
    if (waiting.length > 0) {
      const batch = waiting;
      waiting = [];
      call.resume();
      yield batch;
    } else if (end === undefined) await new Promise<void>((resolve) => (wake = resolve));
    else if ('error' in end) throw end.error;
    else return;
  }
}

const definitions = new Map<string, Readonly<Record<string, Method>>>();

function methodsOf({ version, service }: Dialect, protoFolder: string): Readonly<Record<string, Method>> {
  const known = definitions.get(service);
  if (known !== undefined) return known;
  const loaded = loadSync(`gobgp/v${version}/gobgp.proto`, {
    includeDirs: [protoFolder],
    longs: Number,
    defaults: true,
    arrays: true,
    oneofs: true,
  })[service];
  if (loaded === undefined || 'format' in loaded) throw new AppError('BUG_GOBGP_PROTO', `no service ${service}`);
  definitions.set(service, loaded);
  return loaded;
}

function clientOf(
  channel: grpc.Client,
  dialect: Dialect,
  address: string,
  { protoFolder, answerTime = defaultAnswerTime }: ClientOptions,
): GobgpClient {
  const methods = methodsOf(dialect, protoFolder);
  const method = (name: string): Method => {
    const found = methods[name];
    if (found === undefined) throw new AppError('BUG_GOBGP_PROTO', `no method ${name}`);
    return found;
  };
  let heardAt = performance.now();
  const heard = (): void => {
    heardAt = performance.now();
  };
  const silence = (): number => performance.now() - heardAt;
  return {
    dialect,
    call<T>(name: string, request: object): Promise<T> {
      const { path, requestSerialize, responseDeserialize } = method(name);
      return new Promise<T>((resolve, reject) => {
        // Throws when the channel was closed.
        const call = channel.makeUnaryRequest<object, object>(
          path,
          requestSerialize,
          responseDeserialize,
          request,
          (error, answer) => {
            patience.end();
            if (error !== null) reject(patience.isOver ? deadlineExceeded() : error);
            else {
              heard();
              resolve(answer as T);
            }
          },
        );
        const patience = patienceOf(answerTime, silence, () => call.cancel());
      }).catch((error: unknown) => {
        throw explained(error, address, name);
      });
    },
    async *batches<T>(name: string, request: object, signal?: AbortSignal): AsyncGenerator<readonly T[]> {
      const { path, requestSerialize, responseDeserialize } = method(name);
      let call: grpc.ClientReadableStream<object>;
      try {
        call = channel.makeServerStreamRequest<object, object>(path, requestSerialize, responseDeserialize, request);
      } catch (error) {
        throw explained(error, address, name);
      }
      const stop = (): void => call.cancel();
      signal?.addEventListener('abort', stop, { once: true });
      // A watch, which can be aborted, may be silent for ever; a list may not.
      let isTaking = false;
      const patience =
        signal === undefined ? patienceOf(answerTime, () => (isTaking ? 0 : silence()), stop) : undefined;
      try {
        for await (const batch of gathered<T>(call)) {
          isTaking = true;
          yield batch;
          isTaking = false;
          heard();
        }
      } catch (error) {
        throw explained(patience?.isOver === true ? deadlineExceeded() : error, address, name);
      } finally {
        patience?.end();
        signal?.removeEventListener('abort', stop);
        call.cancel();
      }
    },
    async *stream<T>(name: string, request: object, signal?: AbortSignal): AsyncGenerator<T> {
      for await (const batch of this.batches<T>(name, request, signal)) yield* batch;
    },
    close: () => channel.close(),
  };
}
