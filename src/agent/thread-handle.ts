/** Main's end of one thread: commands, requests with answers, what it last said of itself. One object per life of a thread. */
import { type MessagePort, Worker } from 'node:worker_threads';
import { AppError } from '#lib/result.ts';
import type { ThreadName } from './entries.ts';
import type {
  Heartbeat,
  LogLevel,
  ThreadCommands,
  ThreadData,
  ThreadError,
  ThreadFacts,
  ThreadRequests,
  ThreadToMain,
} from './messages.ts';

export interface ThreadListener<N extends ThreadName> {
  readonly facts: (facts: ThreadFacts[N]) => void;
  readonly log: (level: LogLevel, event: string, fields: Readonly<Record<string, unknown>>) => void;
  readonly attached: (seconds: number) => void;
  /** The thread has ended although nobody asked it to. */
  readonly died: (error: ThreadError) => void;
  /** The thread died of this error and does not end. */
  readonly hangs: (error: ThreadError) => void;
}

type Ask<N extends ThreadName, R extends keyof ThreadRequests[N]> = ThreadRequests[N][R] extends { ask: infer A }
  ? A
  : never;
type Answer<N extends ThreadName, R extends keyof ThreadRequests[N]> = ThreadRequests[N][R] extends { answer: infer B }
  ? B
  : never;

/** From a thread's last words to its end. */
const LAST_WORDS_MILLISECONDS = 2000;

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: AppError) => void;
}

export class ThreadHandle<N extends ThreadName> {
  readonly name: N;
  /** Monotonic milliseconds of the last heartbeat, or of the start. */
  lastBeat = performance.now();
  beat: Heartbeat | undefined;
  dead = false;
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  readonly #waiting = new Map<number, Waiting>();
  #nextRequest = 1;
  #started = false;
  #ending = false;
  #lastWords: ThreadError | undefined;

  constructor(name: N, entry: URL, data: ThreadData, listener: ThreadListener<N>) {
    this.name = name;
    this.#worker = new Worker(entry, {
      name: `flatroute-${name}`,
      workerData: data,
      // Descriptors come from libc here, which Node has not seen opened.
      trackUnmanagedFds: false,
    });
    this.#worker.on('message', (messages: readonly ThreadToMain<N>[]) => {
      for (const message of messages) this.#receive(message, listener);
    });
    this.#worker.on('error', (error: unknown) => {
      this.#lastWords ??= {
        code: 'BUG_UNEXPECTED',
        message: error instanceof Error ? error.message : String(error),
        stack: error instanceof Error ? error.stack : undefined,
      };
    });
    this.#exited = new Promise((resolve) => {
      this.#worker.once('exit', (code) => {
        this.dead = true;
        const error = this.#lastWords ?? {
          code: 'AGENT_THREAD_ENDED',
          message: `thread ${name} ended by itself with code ${code}`,
          stack: undefined,
        };
        for (const { reject } of this.#waiting.values()) {
          reject(new AppError('AGENT_THREAD_ENDED', `thread ${name} ended: ${error.message}`, { retry: 'backoff' }));
        }
        this.#waiting.clear();
        resolve();
        if (!this.#ending) listener.died(error);
      });
    });
  }

  #receive(message: ThreadToMain<N>, listener: ThreadListener<N>): void {
    switch (message.kind) {
      case 'facts':
        listener.facts(message.facts);
        return;
      case 'log':
        listener.log(message.level, message.event, message.fields);
        return;
      case 'attached':
        listener.attached(message.seconds);
        return;
      case 'beat':
        this.lastBeat = performance.now();
        this.beat = message.beat;
        return;
      case 'fatal':
        this.#lastWords = message.error;
        // A read that is parked in the pool would keep the thread from ending; then only a new process helps.
        setTimeout(() => {
          if (!this.dead && !this.#ending) listener.hangs(message.error);
        }, LAST_WORDS_MILLISECONDS).unref();
        return;
      case 'answer':
        this.#take(message.id)?.resolve(message.value);
        return;
      case 'failed':
        this.#take(message.id)?.reject(new AppError(message.error.code, message.error.message));
    }
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }

  /** True once: a thread that dies while the agent starts is born again, and started, before its turn in that start has come. */
  mayStart(): boolean {
    const isFirst = !this.#started;
    this.#started = true;
    return isFirst;
  }

  command(command: ThreadCommands[N]): void {
    this.#worker.postMessage({ kind: 'command', command });
  }

  connect(to: ThreadName, port: MessagePort): void {
    this.#worker.postMessage({ kind: 'connect', to, port }, [port]);
  }

  /** Throws the AppError that the thread answered with, or AGENT_THREAD_ENDED when it died before it answered. */
  ask<R extends keyof ThreadRequests[N] & string>(name: R, ask: Ask<N, R>): Promise<Answer<N, R>> {
    if (this.dead) {
      return Promise.reject(
        new AppError('AGENT_THREAD_ENDED', `thread ${this.name} is not running`, { retry: 'backoff' }),
      );
    }
    const id = this.#nextRequest++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: (value) => resolve(value as Answer<N, R>), reject });
      this.#worker.postMessage({ kind: 'request', id, name, ask });
    });
  }

  /** Waits for the end that a `stop` request leads to; cuts it short after `milliseconds`. True: it ended by itself. */
  async ended(milliseconds: number): Promise<boolean> {
    this.#ending = true;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), milliseconds);
    });
    const inTime = await Promise.race([this.#exited.then(() => true as const), late]);
    clearTimeout(timer);
    if (!inTime) void this.#worker.terminate();
    return inTime;
  }
}
