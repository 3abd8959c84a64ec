/**
 * What every thread of the agent does before and beside its work: priority first, then heartbeats with the event loop's
 * delay, requests with one answer each, log lines and facts to main, and an end that leaves nothing parked.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { AppError } from '#lib/result.ts';
import { closeHeld } from '#linux/descriptors.ts';
import { setThreadPriority } from '#linux/priority.ts';
import type { ThreadName } from '../entries.ts';
import type {
  LogLevel,
  MainToThread,
  ThreadCommands,
  ThreadData,
  ThreadError,
  ThreadFacts,
  ThreadRequests,
  ThreadToMain,
} from '../messages.ts';

const BEAT_MILLISECONDS = 1000;
/** The delay is looked at so often: whoever looks oftener keeps an idle machine awake. */
const LOOK_MILLISECONDS = 100;
/** What nobody waits for is collected so long: a message of its own for each would cost more than what it tells. */
const COLLECT_MILLISECONDS = 20;

export interface ThreadHost<N extends ThreadName> {
  readonly data: ThreadData;
  log(level: LogLevel, event: string, fields: Readonly<Record<string, unknown>>): void;
  facts(facts: ThreadFacts[N]): void;
  attached(seconds: number): void;
}

/** Answers may come at once or later. */
type Handlers<N extends ThreadName> = {
  readonly [R in keyof ThreadRequests[N]]: (
    ask: ThreadRequests[N][R] extends { ask: infer A } ? A : never,
  ) => ThreadRequests[N][R] extends { answer: infer B } ? B | Promise<B> : never;
};

export interface ThreadWork<N extends ThreadName> {
  readonly command: (command: ThreadCommands[N]) => void;
  readonly requests: Handlers<N>;
  /** A way to another thread; replaces an earlier one. */
  readonly connect: (to: ThreadName, port: MessagePort) => void;
  /** Runs before the thread ends on an error: wakes what is parked in the pool, else the thread never ends. */
  readonly release: () => void;
}

function threadError(error: unknown): ThreadError {
  if (error instanceof AppError) return { code: error.code, message: error.message, stack: error.stack };
  if (error instanceof Error) return { code: 'BUG_UNEXPECTED', message: error.message, stack: error.stack };
  return { code: 'BUG_UNEXPECTED', message: String(error), stack: undefined };
}

/** `name` is the thread that this entry belongs to; it fixes the types of the messages. */
export function runThread<N extends ThreadName>(_name: N, make: (host: ThreadHost<N>) => ThreadWork<N>): void {
  const port = parentPort;
  if (port === null) throw new TypeError('a thread entry was started as a program');
  const data = workerData as ThreadData;
  let collected: ThreadToMain<N>[] = [];
  let collecting: NodeJS.Timeout | undefined;
  const flush = (): void => {
    clearTimeout(collecting);
    collecting = undefined;
    if (collected.length === 0) return;
    port.postMessage(collected);
    collected = [];
  };
  /** Keeps the order with what was collected before. */
  const post = (message: ThreadToMain<N>): void => {
    collected.push(message);
    flush();
  };
  const collect = (message: ThreadToMain<N>): void => {
    collected.push(message);
    collecting ??= setTimeout(flush, COLLECT_MILLISECONDS);
  };
  let work: ThreadWork<N> | undefined;

  const die = (error: unknown): void => {
    post({ kind: 'fatal', error: threadError(error) });
    try {
      work?.release();
      closeHeld();
    } finally {
      flush();
      process.exit(1);
    }
  };
  process.on('uncaughtException', die);
  process.on('unhandledRejection', die);

  const host: ThreadHost<N> = {
    data,
    log: (level, event, fields) => collect({ kind: 'log', level, event, fields }),
    facts: (facts) => post({ kind: 'facts', facts }),
    attached: (seconds) => collect({ kind: 'attached', seconds }),
  };
  const priority = setThreadPriority(data.nice);
  if (!priority.set)
    host.log('warn', 'thread.priority', { thread: data.name, nice: data.nice, reason: priority.reason });

  const running = new Map<number, { readonly name: string; readonly since: number }>();
  const delay = monitorEventLoopDelay({ resolution: LOOK_MILLISECONDS });
  delay.enable();
  const sendBeat = (): void => {
    let oldest: { readonly name: string; readonly since: number } | undefined;
    for (const call of running.values()) if (oldest === undefined || call.since < oldest.since) oldest = call;
    // The histogram has the time from one look to the next.
    const inSeconds = (nanoseconds: number): number =>
      Number.isFinite(nanoseconds) ? Math.max(nanoseconds / 1e9 - LOOK_MILLISECONDS / 1000, 0) : 0;
    post({
      kind: 'beat',
      beat: {
        delayP50Seconds: inSeconds(delay.percentile(50)),
        delayP99Seconds: inSeconds(delay.percentile(99)),
        delayMaxSeconds: inSeconds(delay.max),
        oldestCall:
          oldest === undefined ? undefined : { name: oldest.name, seconds: (performance.now() - oldest.since) / 1000 },
      },
    });
    delay.reset();
  };
  const beat = setInterval(sendBeat, BEAT_MILLISECONDS);

  const made = make(host);
  work = made;
  sendBeat();
  const answer = async (id: number, name: keyof ThreadRequests[N] & string, ask: unknown): Promise<void> => {
    running.set(id, { name, since: performance.now() });
    try {
      const handler = made.requests[name] as (ask: unknown) => unknown;
      post({ kind: 'answer', id, value: await handler(ask) });
    } catch (error) {
      // What the environment did is an answer; a bug of ours ends the thread.
      if (!(error instanceof AppError)) throw error;
      post({ kind: 'failed', id, error: threadError(error) });
    } finally {
      running.delete(id);
    }
    if (name === 'stop') {
      clearInterval(beat);
      delay.disable();
      flush();
      port.close();
    }
  };
  port.on('message', (message: MainToThread<N>) => {
    switch (message.kind) {
      case 'command':
        made.command(message.command);
        return;
      case 'request':
        void answer(message.id, message.name, message.ask);
        return;
      case 'connect':
        made.connect(message.to, message.port);
    }
  });
}
