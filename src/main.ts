/** The `flatroute` command: picks a subcommand, nothing else. */
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { runCommandLine } from '#cli/command-line.ts';
import { withProcessIo } from '#cli/io.ts';

/** Runs one command line without its first two words; answers the exit code. */
export const main = (argv: readonly string[]): Promise<number> => withProcessIo((io) => runCommandLine(argv, io));

const started = process.argv[1];
if (started !== undefined && realpathSync(started) === fileURLToPath(import.meta.url)) {
  process.exitCode = await main(process.argv.slice(2));
  // Nothing should be left that keeps the process; if something is, it must not.
  setTimeout(() => process.exit(), 1000).unref();
}
