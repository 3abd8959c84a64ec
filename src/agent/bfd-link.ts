/**
 * The agent's hold on BFD's process: finds the one that runs, starts one when sessions are wanted and none does, tells it
 * the sessions, and ends it when none is wanted. The process is started apart (a session and process group of its own), so
 * that whatever ends the agent does not end it; its log is `bfd.log` in the run directory.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { DesiredBfdSession, FromBfd, ObservedBfdSession } from '#bgp/bfd/control-messages.ts';
import { connectControl, type ControlClient } from '#bgp/bfd/io/control-client.ts';
import { mainProgram } from './entries.ts';
import type { LogFunction } from './log.ts';
import type { LogLevel } from './messages.ts';

export interface BfdLinkOptions {
  readonly runDirectory: string;
  readonly logLevel: LogLevel;
}

export interface BfdLinkModules {
  readonly log: LogFunction;
  /** Something in `sessions` is another. */
  readonly changed: () => void;
}

/** How often the socket of a process that is starting is tried, in milliseconds. */
const LOOK_AGAIN = 50;
/** A process that was started has this long, in milliseconds, before another is: the last one may still say goodbye. */
const START_AGAIN = 1000;

export class BfdLink {
  readonly #options: BfdLinkOptions;
  readonly #modules: BfdLinkModules;
  readonly #sessions = new Map<string, ObservedBfdSession>();
  #desired: readonly DesiredBfdSession[] = [];
  #client: ControlClient | undefined;
  #seeking = false;
  #closed = false;
  #startedAt = Number.NEGATIVE_INFINITY;

  constructor(options: BfdLinkOptions, modules: BfdLinkModules) {
    this.#options = options;
    this.#modules = modules;
  }

  /** By name; empty while no process answers. */
  get sessions(): ReadonlyMap<string, ObservedBfdSession> {
    return this.#sessions;
  }

  /** All that are wanted from now on. None: a process that runs is ended, with AdminDown to its neighbours. */
  setSessions(desired: readonly DesiredBfdSession[]): void {
    this.#desired = desired;
    if (this.#client === undefined) void this.#seek();
    else this.#tell(this.#client);
  }

  /** Lets go of the process; it goes on. */
  close(): void {
    this.#closed = true;
    this.#client?.close();
    this.#client = undefined;
  }

  #tell(client: ControlClient): void {
    if (this.#desired.length > 0) client.setSessions(this.#desired);
    else client.end();
  }

  async #seek(): Promise<void> {
    if (this.#seeking) return;
    this.#seeking = true;
    try {
      while (!this.#closed && this.#client === undefined) {
        const connected = await this.#connect();
        if (connected || this.#desired.length === 0) return;
        if (performance.now() - this.#startedAt > START_AGAIN) this.#start();
        await delay(LOOK_AGAIN, undefined, { ref: false });
      }
    } finally {
      this.#seeking = false;
    }
  }

  async #connect(): Promise<boolean> {
    const answer = await connectControl(join(this.#options.runDirectory, 'bfd.sock'), {
      told: (message) => this.#told(message),
      lost: (reason) => void this.#lost(reason),
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
      case 'hello':
        this.#modules.log('info', 'bfd.found', { program: message.program, pid: message.pid });
        return;
      case 'refused':
        this.#modules.log('error', 'bfd.refused', { reason: message.reason });
        return;
      case 'observed':
        this.#sessions.clear();
        for (const session of message.sessions) this.#sessions.set(session.name, session);
        break;
      case 'changed':
        this.#sessions.set(message.session.name, message.session);
        break;
    }
    this.#modules.changed();
  }

  /** The process died, was ended, or speaks another major version: it is looked for again, without haste. */
  async #lost(reason: string): Promise<void> {
    this.#client = undefined;
    this.#sessions.clear();
    this.#modules.log(this.#desired.length === 0 ? 'info' : 'warn', 'bfd.lost', { reason });
    this.#modules.changed();
    await delay(START_AGAIN / 4, undefined, { ref: false });
    if (!this.#closed) void this.#seek();
  }

  #start(): void {
    const { runDirectory, logLevel } = this.#options;
    this.#startedAt = performance.now();
    const log = openSync(join(runDirectory, 'bfd.log'), 'w', 0o600);
    try {
      const words = [...process.execArgv, mainProgram(), 'bfd', '--run-dir', runDirectory, '--log-level', logLevel];
      const child = spawn(process.execPath, words, { detached: true, stdio: ['ignore', log, log], cwd: '/' });
      child.on('error', (error) => this.#modules.log('error', 'bfd.not-started', { reason: error.message }));
      child.unref();
      this.#modules.log('info', 'bfd.process.started', { pid: child.pid });
    } finally {
      closeSync(log);
    }
  }
}
