/**
 * Child processes of a lab. Commands enter a host with nsenter, which forks because of the pid namespace; the pid that
 * is signalled is the one of nsenter's child, never a name. A lab's processes are in a session of their own, so that a
 * Ctrl-C in the terminal reaches only the program that owns the lab, which then disposes of it in order.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { AppError } from '#lib/result.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import type { ExecOptions } from './endpoint.ts';
import { found, notYet, waitFor } from './wait.ts';

export interface CommandResult {
  readonly argv: readonly string[];
  /** `null` when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command runs no longer than this unless its caller says otherwise. */
const EXEC_TIMEOUT = seconds(60);
/** Output beyond this is a program gone wild; it is cut off. */
const OUTPUT_LIMIT = 16 * 1024 * 1024;

/** Runs a command of the machine itself to its end; answers whatever the exit code is. */
export function execute(argv: readonly string[], options: ExecOptions = {}): Promise<CommandResult> {
  const [command = '', ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
      env: { ...process.env, ...options.environment },
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (stdout.length < OUTPUT_LIMIT) stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (stderr.length < OUTPUT_LIMIT) stderr += text;
    });
    // A command may end without reading its input: that is its business.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
    const timer = setTimeout(() => killGroup(child), options.timeout ?? EXEC_TIMEOUT);
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(new AppError('OS_LAB_COMMAND', `${command} could not be started: ${error.message}`, { cause: error }));
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ argv, code, signal, stdout, stderr });
    });
  });
}

/** Ends a command and what it started: as the leader of its session its pid names the process group. */
function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    child.kill('SIGKILL');
  }
}

/** Throws OS_LAB_COMMAND unless the command ended with 0; answers its stdout. */
export function succeeded(where: string, shown: readonly string[], result: CommandResult): string {
  if (result.code === 0) return result.stdout;
  const how = result.code === null ? `ended by ${result.signal ?? 'a signal'}` : `exit code ${result.code}`;
  const said = (result.stderr.trim() || result.stdout.trim() || 'no output').slice(0, 2000);
  throw new AppError('OS_LAB_COMMAND', `${where}: ${shown.join(' ')}: ${how}: ${said}`, {
    data: { where, argv: shown, code: result.code },
  });
}

/** A long-running process in a host. */
export class LabProcess {
  /** What was asked for, without the way into the namespaces. */
  readonly argv: readonly string[];
  /** Pid as this process sees it; signals go there. */
  readonly pid: number;
  /** Resolves when it has ended, however it ended. */
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  readonly #entry: ChildProcess;
  readonly #logPath: string;
  #ended = false;
  /** As far as our signals say. */
  #stopped = false;

  private constructor(argv: readonly string[], pid: number, entry: ChildProcess, logPath: string) {
    this.argv = argv;
    this.pid = pid;
    this.#entry = entry;
    this.#logPath = logPath;
    this.exited = new Promise((resolve) => {
      if (entry.exitCode !== null || entry.signalCode !== null) {
        this.#ended = true;
        resolve({ code: entry.exitCode, signal: entry.signalCode });
        return;
      }
      entry.once('exit', (code, signal) => {
        this.#ended = true;
        resolve({ code, signal });
      });
    });
  }

  /**
   * Starts `entry` (a whole nsenter command line); `logFile` is an open descriptor that takes stdout and stderr, and
   * `logPath` where it can be read again. Throws OS_LAB_COMMAND when it could not be started.
   */
  static async start(
    argv: readonly string[],
    entry: readonly string[],
    environment: Readonly<Record<string, string>>,
    logFile: number,
    logPath: string,
  ): Promise<LabProcess> {
    const [command = '', ...args] = entry;
    const child = spawn(command, args, {
      stdio: ['ignore', logFile, logFile],
      detached: true,
      env: { ...process.env, ...environment },
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', () => resolve());
      child.once('error', (error) =>
        reject(new AppError('OS_LAB_COMMAND', `${command} could not be started: ${error.message}`, { cause: error })),
      );
    });
    const entryPid = child.pid ?? 0;
    const pid = await waitFor(
      `${argv.join(' ')} to be started`,
      async () => {
        // A command that is over before it was looked at has no child any more; its exit is what the caller will see.
        if (child.exitCode !== null || child.signalCode !== null) return found(entryPid);
        const children = await readFile(`/proc/${entryPid}/task/${entryPid}/children`, 'utf8').catch(() => '');
        const first = Number(children.trim().split(' ')[0]);
        return first > 0 ? found(first) : notYet('nsenter has not forked');
      },
      { deadline: seconds(60), every: milliseconds(2) },
    );
    return new LabProcess(argv, pid, child, logPath);
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Sends a signal; a process that has ended is left alone. */
  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    if (this.#ended) return;
    try {
      process.kill(this.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
    if (signal === 'SIGSTOP') this.#stopped = true;
    else if (signal === 'SIGCONT' || signal === 'SIGKILL') this.#stopped = false;
    // nsenter stops itself when its child is stopped, which can be after the child was continued. It has to be woken to reap the
    // child, without which the init of the pid namespace would wait for ever.
    if (!this.#stopped) this.#entry.kill('SIGCONT');
  }

  /** Everything it has written so far, stdout and stderr as they came. */
  async log(): Promise<string> {
    return await readFile(this.#logPath, 'utf8').catch(() => '');
  }

  /** Lets the owning program end while this process goes on: for a lab that is kept. */
  release(): void {
    this.#entry.unref();
  }

  /** Takes `release` back: its end is waited for. */
  hold(): void {
    this.#entry.ref();
  }
}
