/** A subcommand: what it takes and what it does. */
import type { CommandSpec, Parsed } from './arguments.ts';
import type { CliIo } from './io.ts';

export const EXIT_FINE = 0;
/** Something is wrong that the output names. */
export const EXIT_WRONG = 1;
/** Wrong use of the command. */
export const EXIT_USAGE = 2;

export interface Command extends CommandSpec {
  /** Answers the exit code. May throw AppError; its message is printed and the exit code is 1. */
  readonly run: (parsed: Parsed, io: CliIo) => Promise<number>;
}
