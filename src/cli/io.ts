/** The terminal, or what stands for it in a test. */
import type { TableOptions } from './output/table.ts';

export interface CliIo {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** stdout is a terminal. */
  readonly terminal: boolean;
  /** Columns of the terminal, or what COLUMNS says where stdout is none; `undefined` when nobody says. */
  readonly columns: () => number | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Wall clock, milliseconds since the epoch. */
  readonly now: () => number;
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}

export const tableOptions = (io: CliIo): TableOptions => ({
  width: io.columns(),
  colour: io.terminal && (io.environment['NO_COLOR'] ?? '') === '' && io.environment['TERM'] !== 'dumb',
});

const positive = (text: string | undefined): number | undefined =>
  text !== undefined && /^[1-9]\d{0,3}$/.test(text) ? Number(text) : undefined;

/** The process's own terminal. Its signal handlers exist only while `run` runs. */
export async function withProcessIo<T>(run: (io: CliIo) => Promise<T>): Promise<T> {
  const interrupted = new AbortController();
  const abort = (): void => interrupted.abort();
  process.on('SIGINT', abort);
  process.on('SIGTERM', abort);
  // A reader that has enough (`| head`) is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
  try {
    return await run({
      out: (text) => process.stdout.write(text),
      err: (text) => process.stderr.write(text),
      terminal: process.stdout.isTTY,
      columns: () => (process.stdout.isTTY ? process.stdout.columns : positive(process.env['COLUMNS'])),
      environment: process.env,
      now: () => Date.now(),
      signal: interrupted.signal,
    });
  } finally {
    process.off('SIGINT', abort);
    process.off('SIGTERM', abort);
  }
}
