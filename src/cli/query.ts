/**
 * What the subcommands that ask the agent have in common: connect, fetch, print as a table, JSON or YAML, again and again
 * with --watch, and an exit code that says whether all is well.
 */
import { ADMIN_SOCKET } from '#dataplane/kernel-names.ts';
import type { OptionSpec, Parsed } from './arguments.ts';
import type { AgentClient } from './client.ts';
import { EXIT_FINE, EXIT_WRONG } from './command.ts';
import { type CliIo, tableOptions } from './io.ts';
import type { TableOptions } from './output/table.ts';

export const socketOption: OptionSpec = {
  name: 'socket',
  value: 'PATH',
  help: `admin socket of the agent (default ${ADMIN_SOCKET})`,
};
export const outputOption: OptionSpec = {
  name: 'output',
  short: 'o',
  value: 'FORMAT',
  choices: ['table', 'json', 'yaml'],
  help: 'table for people, json or yaml for programs',
};
const watchOption: OptionSpec = { name: 'watch', short: 'w', help: 'show it again whenever it changes, until Ctrl-C' };
export const queryOptions: readonly OptionSpec[] = [outputOption, watchOption, socketOption];

const socketPath = (parsed: Parsed, io: CliIo): string =>
  parsed.values.get('socket') ?? io.environment['FLATROUTE_SOCKET'] ?? ADMIN_SOCKET;

/** The client brings gRPC with it, which nothing else needs. */
export async function connect(parsed: Parsed, io: CliIo): Promise<AgentClient> {
  const { connectAgent } = await import('./client.ts');
  return await connectAgent(socketPath(parsed, io));
}

export interface View<T> {
  readonly fetch: (client: AgentClient) => Promise<T>;
  readonly show: (answer: T, now: number, options: TableOptions) => readonly string[];
  /** `false` makes the exit code 1. */
  readonly fine: (answer: T) => boolean;
}

const WATCH_MILLISECONDS = 1000;
const CLEAR = '\u001b[H\u001b[2J';

export async function runQuery<T>(view: View<T>, parsed: Parsed, io: CliIo): Promise<number> {
  const format = parsed.values.get('output') ?? 'table';
  const stringify = format === 'yaml' ? (await import('yaml')).stringify : JSON.stringify;
  const render = (answer: T): string => {
    if (format === 'json') return `${JSON.stringify(answer, null, watching ? 0 : 2)}\n`;
    if (format === 'yaml') return `${watching ? '---\n' : ''}${stringify(answer)}`;
    return `${view.show(answer, io.now(), tableOptions(io)).join('\n')}\n`;
  };
  const watching = parsed.switches.has('watch');
  const client = await connect(parsed, io);
  try {
    let answer = await view.fetch(client);
    if (!watching) {
      io.out(render(answer));
      return view.fine(answer) ? EXIT_FINE : EXIT_WRONG;
    }
    const redraw = io.terminal && format === 'table';
    let last = '';
    for (;;) {
      const text = render(answer);
      if (text !== last) io.out(redraw ? `${CLEAR}${text}` : text);
      last = text;
      if (!(await pause(WATCH_MILLISECONDS, io.signal))) return view.fine(answer) ? EXIT_FINE : EXIT_WRONG;
      answer = await view.fetch(client);
    }
  } finally {
    client.close();
  }
}

/** Waits; false when the wait was aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve(false);
      return;
    }
    const done = (): void => {
      clearTimeout(timer);
      resolve(false);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', done);
      resolve(true);
    }, ms);
    signal.addEventListener('abort', done, { once: true });
  });
}
