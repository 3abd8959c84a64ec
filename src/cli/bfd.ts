/** `flatroute bfd`: runs the process that speaks BFD, in the foreground. */
import { RUN_DIRECTORY } from '#dataplane/kernel-names.ts';
import type { LogLevel } from '#agent/messages.ts';
import type { Command } from './command.ts';

const levels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

export const bfdSpec: Command = {
  name: 'bfd',
  summary: 'Speaks BFD in a process of its own, with the sessions that it is told over its socket bfd.sock.',
  arguments: [],
  options: [
    { name: 'run-dir', value: 'DIR', help: `where its socket is (default ${RUN_DIRECTORY})` },
    {
      name: 'stay',
      help: 'stay when no session is wanted: for a unit or DaemonSet of its own beside `flatroute agent --external-bfd`',
    },
    { name: 'log-level', value: 'LEVEL', choices: levels, help: 'least level that is logged (default info)' },
  ],
  run: async (parsed, io) => {
    const { runBfd } = await import('#agent/bfd-process.ts');
    return await runBfd(
      {
        runDirectory: parsed.values.get('run-dir') ?? RUN_DIRECTORY,
        logLevel: levels.find((known) => known === parsed.values.get('log-level')) ?? 'info',
        stay: parsed.switches.has('stay'),
      },
      { stop: io.signal },
    );
  },
};
