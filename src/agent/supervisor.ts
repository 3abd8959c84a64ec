/**
 * The agent's threads as one: starts them, connects them with each other, and builds a dead one again from the kernel.
 * The background thread holds what the others rest on (the view of the kernel, learned routes, the reaper), so its death
 * takes all of them through the same start. A second death within a minute means that starting again does not help.
 */
import { MessageChannel } from 'node:worker_threads';
import { threadEntry, type ThreadName, threadNames } from './entries.ts';
import type { Heartbeat, LogLevel, StopOrder, ThreadError, ThreadFacts } from './messages.ts';
import { ThreadHandle } from './thread-handle.ts';

/** Nice values; main has 0. BGP keepalives before all else, deletions after. Without CAP_SYS_NICE all run at 0. */
const NICE: Readonly<Record<ThreadName, number>> = { bgp: -10, pods: -5, background: 5 };
const DEATHS_SECONDS = 60;
/** A call or a silence of this length is a thread that is stuck. */
const STUCK_SECONDS = 5;
const STOP_MILLISECONDS = 2300;

const pairs: readonly (readonly [ThreadName, ThreadName])[] = [
  ['bgp', 'background'],
  ['pods', 'background'],
];

export interface SupervisorModules {
  /** Where a thread's code is; the table of entries.ts unless a test says otherwise. */
  readonly entry?: (name: ThreadName) => URL;
  readonly log: (level: LogLevel, event: string, fields: Readonly<Record<string, unknown>>) => void;
  readonly facts: <N extends ThreadName>(name: N, facts: ThreadFacts[N]) => void;
  readonly attached: (seconds: number) => void;
  /** These threads are new and know nothing: give them their start and their intent. */
  readonly rebuild: (names: readonly ThreadName[]) => Promise<void>;
  /** Starting again does not help. */
  readonly giveUp: (reason: string) => void;
}

interface Threads {
  readonly bgp: ThreadHandle<'bgp'>;
  readonly background: ThreadHandle<'background'>;
  readonly pods: ThreadHandle<'pods'>;
}

export interface ThreadState {
  readonly name: ThreadName;
  readonly state: 'starting' | 'running' | 'dead';
  readonly restarts: number;
  readonly delayP50Seconds: number;
  readonly delayP99Seconds: number;
  readonly delayMaxSeconds: number;
  readonly stuck: string | undefined;
}

/** What a thread hangs in, when it does: a call, or something that keeps it from its heartbeats. */
export function stuckText(silenceSeconds: number, call: Heartbeat['oldestCall']): string | undefined {
  if (silenceSeconds > STUCK_SECONDS) return `has said nothing for ${silenceSeconds.toFixed(0)} s`;
  if (call !== undefined && call.seconds > STUCK_SECONDS) {
    return `${call.name} has been running for ${call.seconds.toFixed(0)} s`;
  }
  return undefined;
}

export class Supervisor {
  readonly #options: { readonly runDirectory: string; readonly logLevel: LogLevel };
  readonly #modules: SupervisorModules;
  #threads: Threads;
  readonly #restarts: Record<ThreadName, number> = { bgp: 0, background: 0, pods: 0 };
  #lastDeath = Number.NEGATIVE_INFINITY;
  #rebuilding: Promise<void> | undefined;
  #stopping = false;

  constructor(options: { readonly runDirectory: string; readonly logLevel: LogLevel }, modules: SupervisorModules) {
    this.#options = options;
    this.#modules = modules;
    this.#threads = { bgp: this.#spawn('bgp'), background: this.#spawn('background'), pods: this.#spawn('pods') };
    this.#connect(threadNames);
  }

  get bgp(): ThreadHandle<'bgp'> {
    return this.#threads.bgp;
  }
  get background(): ThreadHandle<'background'> {
    return this.#threads.background;
  }
  get pods(): ThreadHandle<'pods'> {
    return this.#threads.pods;
  }

  #spawn<N extends ThreadName>(name: N): ThreadHandle<N> {
    const { log, facts, attached, entry = threadEntry } = this.#modules;
    return new ThreadHandle(
      name,
      entry(name),
      { name, nice: NICE[name], logLevel: this.#options.logLevel, runDirectory: this.#options.runDirectory },
      {
        log,
        attached,
        facts: (value) => facts(name, value),
        died: (error) => this.#died(name, error),
        hangs: (error) => this.#modules.giveUp(`thread ${name} died and does not end: ${error.message}`),
      },
    );
  }

  #connect(fresh: readonly ThreadName[]): void {
    for (const [a, b] of pairs) {
      if (!fresh.includes(a) && !fresh.includes(b)) continue;
      const { port1, port2 } = new MessageChannel();
      this.#threads[a].connect(b, port1);
      this.#threads[b].connect(a, port2);
    }
  }

  #died(name: ThreadName, error: ThreadError): void {
    if (this.#stopping) return;
    this.#modules.log('error', 'thread.died', {
      thread: name,
      code: error.code,
      error: error.message,
      stack: error.stack,
    });
    const now = performance.now();
    const sinceLast = (now - this.#lastDeath) / 1000;
    this.#lastDeath = now;
    if (sinceLast < DEATHS_SECONDS) {
      this.#modules.giveUp(
        `thread ${name} died ${sinceLast.toFixed(1)} s after the last death of a thread: ${error.message}`,
      );
      return;
    }
    this.#rebuilding = this.#replace(name === 'background' ? threadNames : [name]).catch((reason: unknown) => {
      this.#modules.giveUp(
        `thread ${name} could not be started again: ${reason instanceof Error ? reason.message : String(reason)}`,
      );
    });
  }

  async #replace(names: readonly ThreadName[]): Promise<void> {
    await this.#end(names, { sessions: 'silent' });
    if (this.#stopping) return;
    for (const name of names) this.#restarts[name] += 1;
    const has = (name: ThreadName): boolean => names.includes(name);
    this.#threads = {
      bgp: has('bgp') ? this.#spawn('bgp') : this.#threads.bgp,
      background: has('background') ? this.#spawn('background') : this.#threads.background,
      pods: has('pods') ? this.#spawn('pods') : this.#threads.pods,
    };
    this.#connect(names);
    await this.#modules.rebuild(names);
    this.#modules.log('info', 'thread.restarted', { threads: names });
  }

  /** In the order of the names; a thread that does not end in time is cut short. True: all ended by themselves. */
  async #end(names: readonly ThreadName[], order: StopOrder): Promise<boolean> {
    const ends = names
      .map((name) => this.#threads[name])
      .filter((thread) => !thread.dead)
      .map((thread) => {
        // A thread that dies while it stops has stopped.
        void (thread as ThreadHandle<ThreadName>).ask('stop', order).catch(() => undefined);
        return thread.ended(STOP_MILLISECONDS);
      });
    return (await Promise.all(ends)).every((inTime) => inTime);
  }

  states(): readonly ThreadState[] {
    const now = performance.now();
    return threadNames.map((name) => {
      const { beat, dead, lastBeat } = this.#threads[name];
      const stuck = dead ? undefined : stuckText((now - lastBeat) / 1000, beat?.oldestCall);
      return {
        name,
        state: dead ? 'dead' : beat === undefined ? 'starting' : 'running',
        restarts: this.#restarts[name],
        delayP50Seconds: beat?.delayP50Seconds ?? 0,
        delayP99Seconds: beat?.delayP99Seconds ?? 0,
        delayMaxSeconds: beat?.delayMaxSeconds ?? 0,
        stuck,
      };
    });
  }

  /** True: every thread ended by itself and nothing is left that could hold the process up. */
  async stop(order: StopOrder): Promise<boolean> {
    this.#stopping = true;
    const inTime = await this.#end(threadNames, order);
    await this.#rebuilding;
    return inTime;
  }
}
