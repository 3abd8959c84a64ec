/**
 * Something in a lab in which commands run: a host, or a pod on a host. Both are namespaces, and both are entered
 * with nsenter by the pid of the host's holder process.
 */
import type { Duration } from '#lib/time.ts';
import type { CommandResult, LabProcess } from './process.ts';

export interface ExecOptions {
  readonly input?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** The command is killed after this; 15 s if not given. */
  readonly timeout?: Duration;
}

export interface SpawnOptions {
  readonly environment?: Readonly<Record<string, string>>;
  /** File name under /run/log of the host that takes stdout and stderr; the command's name if not given. */
  readonly log?: string;
}

export interface Endpoint {
  readonly name: string;
  /** Runs to its end, whatever the exit code. */
  exec(argv: readonly string[], options?: ExecOptions): Promise<CommandResult>;
  /** Like exec, answers stdout, throws OS_LAB_COMMAND when the exit code is not 0. */
  run(argv: readonly string[], options?: ExecOptions): Promise<string>;
  /** Starts a process that lives until it is killed, its host is powered off or the lab is disposed. */
  spawn(argv: readonly string[], options?: SpawnOptions): Promise<LabProcess>;
}
