/**
 * The agent's hold on BFD's process: finds the one that runs, starts one when sessions are wanted and none does, tells it
 * the sessions, and ends it when none is wanted. The process is started apart (a session and process group of its own), so
 * that whatever ends the agent does not end it; its log is `bfd.log` in the run directory. Where somebody else runs it (a
 * unit, a DaemonSet), it is only looked for.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { DesiredBfdSession, FromBfd, ObservedBfdSession } from '#bgp/bfd/control-messages.ts';
import { type BfdDaemon, type BfdFacts, diagnosticText } from '#bgp/bfd/facts.ts';
import { connectControl, type ControlClient, type Loss } from '#bgp/bfd/io/control-client.ts';
import { BFD_LOCK_SOCKET } from '#dataplane/kernel-names.ts';
import { lockHolder } from '#linux/lock.ts';
import { mainProgram, programVersion } from './entries.ts';
import type { LogFunction } from './log.ts';
import type { LogLevel } from './messages.ts';

export interface BfdLinkOptions {
  readonly runDirectory: string;
  readonly logLevel: LogLevel;
  /** Somebody else runs the process: none is started, replaced or ended here. */
  readonly external: boolean;
}

export interface BfdLinkModules {
  readonly log: LogFunction;
  /** Something in `facts` is another. */
  readonly changed: () => void;
}

/** How often the socket of a process that is starting is tried, in milliseconds; after the first tries more seldom. */
const LOOK_AGAIN = 50;
const LOOK_SELDOM = 1000;
/** A process that lives has this long, in milliseconds, to answer. */
const START_TAKES = 10_000;
/** From a process that ended to the next one, in milliseconds: the one before may still say goodbye. */
const START_AGAIN = 1000;
const LONGEST_START_AGAIN = 30_000;

export class BfdLink {
  readonly #options: BfdLinkOptions;
  readonly #modules: BfdLinkModules;
  readonly #sessions = new Map<string, ObservedBfdSession>();
  #daemon: BfdDaemon = { state: 'unwanted' };
  #desired: readonly DesiredBfdSession[] = [];
  #keep: readonly string[] = [];
  #client: ControlClient | undefined;
  #seeking = false;
  #closed = false;
  #startedAt = Number.NEGATIVE_INFINITY;
  /** Since a process last answered. */
  #starts = 0;
  /** The process that was started last, while it lives. */
  #child: ChildProcess | undefined;
  /** Version of the process that answered last. */
  #program: string | undefined;

  constructor(options: BfdLinkOptions, modules: BfdLinkModules) {
    this.#options = options;
    this.#modules = modules;
  }

  get facts(): BfdFacts {
    return { daemon: this.#daemon, sessions: [...this.#sessions.values()] };
  }

  /**
   * All that are wanted from now on, and the names of peers whose sessions stay as they are. None of either: a process
   * that runs is ended, with AdminDown to its neighbours.
   */
  setSessions(desired: readonly DesiredBfdSession[], keep: readonly string[] = []): void {
    this.#desired = desired;
    this.#keep = keep;
    const { state } = this.#daemon;
    if (!this.#isWanted && state !== 'unwanted') this.#become({ state: 'unwanted' });
    else if (this.#isWanted && state === 'unwanted') this.#become({ state: 'seeking' });
    if (this.#client === undefined) void this.#seek();
    else this.#tell(this.#client);
  }

  /** Nothing is wanted any more, and this end goes: the process says AdminDown to all. */
  end(): void {
    this.#desired = [];
    this.#keep = [];
    this.#closed = true;
    this.#client?.end();
  }

  /** Lets go of the process; it goes on. */
  close(): void {
    this.#closed = true;
    this.#client?.close();
    this.#client = undefined;
  }

  get #isWanted(): boolean {
    return this.#desired.length > 0 || this.#keep.length > 0;
  }

  #become(daemon: BfdDaemon): void {
    this.#daemon = daemon;
    this.#modules.changed();
  }

  #tell(client: ControlClient): void {
    if (this.#isWanted) client.setSessions(this.#desired, this.#keep);
    else client.end();
  }

  async #seek(): Promise<void> {
    if (this.#seeking) return;
    this.#seeking = true;
    try {
      for (let tries = 0; !this.#closed && this.#client === undefined; tries++) {
        const connected = await this.#connect();
        if (connected || !this.#isWanted) return;
        if (performance.now() - this.#startedAt > this.#patience) this.#missing();
        const isSoon = this.#child !== undefined || tries * LOOK_AGAIN < START_AGAIN;
        await delay(isSoon ? LOOK_AGAIN : LOOK_SELDOM, undefined, { ref: false });
      }
    } finally {
      this.#seeking = false;
    }
  }

  /** None answers, and whoever was started last had time enough. That is a fault from the second time on. */
  #missing(): void {
    const { external } = this.#options;
    if (this.#starts > 0) {
      const ended = this.#child !== undefined ? 'does not answer' : 'ended';
      this.#absent(
        external
          ? `No process for BFD answers at ${this.#socket}; start \`flatroute bfd --stay\`, which is run apart here.`
          : `The process for BFD was started and ${ended}; ${this.#log} says why.`,
      );
    }
    this.#starts++;
    this.#startedAt = performance.now();
    if (!external) this.#start();
  }

  /** How long to wait for the one that was started last; after its end longer each time. */
  get #patience(): number {
    if (this.#child !== undefined) return START_TAKES;
    return Math.min(START_AGAIN * 2 ** Math.max(0, this.#starts - 1), LONGEST_START_AGAIN);
  }

  #absent(problem: string): void {
    if (this.#daemon.state === 'absent' && this.#daemon.problem === problem) return;
    this.#modules.log('error', 'bfd.absent', { problem });
    this.#become({ state: 'absent', problem });
  }

  get #socket(): string {
    return join(this.#options.runDirectory, 'bfd.sock');
  }

  get #log(): string {
    return join(this.#options.runDirectory, 'bfd.log');
  }

  async #connect(): Promise<boolean> {
    const answer = await connectControl(this.#socket, {
      told: (message) => this.#told(message),
      lost: (loss) => void this.#lost(loss),
    });
    if (!answer.ok) return false;
    if (this.#closed) answer.value.close();
    else {
      this.#client = answer.value;
      this.#tell(answer.value);
    }
    return true;
  }

  #told(message: FromBfd): void {
    switch (message.kind) {
      case 'hello': {
        const { program, pid, notRealTime, endsWithAgent } = message;
        this.#modules.log('info', 'bfd.found', { program, pid });
        this.#starts = 0;
        this.#program = program;
        if (this.#isWanted) this.#daemon = { state: 'running', pid, program, notRealTime, endsWithAgent };
        break;
      }
      case 'refused':
        return;
      case 'observed':
        this.#sessions.clear();
        for (const session of message.sessions) this.#sessions.set(session.name, session);
        break;
      case 'changed':
        this.#note(message.session);
        this.#sessions.set(message.session.name, message.session);
        break;
    }
    this.#modules.changed();
  }

  #note({ name, remote, state, failed, diagnostic, remoteState, detectionTimeMilliseconds }: ObservedBfdSession): void {
    if (this.#sessions.get(name)?.state === state) return;
    const level = failed ? 'warn' : 'info';
    const reason = diagnosticText(diagnostic);
    this.#modules.log(level, 'bfd.session.changed', {
      peer: name,
      remote,
      state,
      remoteState,
      failed,
      ...(state === 'Up' ? { detectionTimeMilliseconds } : { reason }),
    });
  }

  /** The process died, was ended, or does not understand us: it is looked for again, without haste. */
  async #lost({ reason, misunderstood }: Loss): Promise<void> {
    this.#client = undefined;
    this.#sessions.clear();
    this.#modules.log(this.#isWanted ? 'warn' : 'info', 'bfd.lost', { reason });
    if (misunderstood) this.#replace(reason);
    else this.#become({ state: this.#isWanted ? 'seeking' : 'unwanted' });
    await delay(misunderstood ? START_AGAIN : START_AGAIN / 4, undefined, { ref: false });
    if (!this.#closed) void this.#seek();
  }

  /** A process of another version: one of ours ends, by AdminDown, and the next is of this version. */
  #replace(reason: string): void {
    const isOther = this.#program !== programVersion();
    if (this.#options.external || !isOther)
      return this.#absent(`The process for BFD and this agent do not understand each other: ${reason}.`);
    const pid = lockHolder(BFD_LOCK_SOCKET)?.pid;
    this.#modules.log('warn', 'bfd.replaced', { pid, reason });
    this.#become({ state: 'seeking' });
    if (pid !== undefined && pid > 0) process.kill(pid, 'SIGTERM');
  }

  #start(): void {
    const { runDirectory, logLevel } = this.#options;
    // What the last one said may be why it ended.
    if (existsSync(this.#log)) renameSync(this.#log, `${this.#log}.1`);
    const log = openSync(this.#log, 'w', 0o600);
    try {
      const words = [...process.execArgv, mainProgram(), 'bfd', '--run-dir', runDirectory, '--log-level', logLevel];
      const child = spawn(process.execPath, words, { detached: true, stdio: ['ignore', log, log], cwd: '/' });
      this.#child = child;
      const gone = (): void => {
        if (this.#child === child) this.#child = undefined;
      };
      child.on('error', (error) => {
        gone();
        this.#modules.log('error', 'bfd.not-started', { reason: error.message });
      });
      child.on('exit', gone);
      child.unref();
      this.#modules.log('info', 'bfd.process.started', { pid: child.pid });
    } finally {
      closeSync(log);
    }
  }
}
