/**
 * Run inside a namespace of its own: the real threads, of which the background thread is made to die of a bug while its
 * read of notifications is parked. Prints what happened as JSON; a thread that cannot end would keep this from ending.
 */
import type { ThreadName } from '#agent/entries.ts';
import { Supervisor } from '#agent/supervisor.ts';
import type { IpAddress } from '#lib/ip.ts';
import { warmThreadPool } from '#linux/namespace.ts';
import { eventually } from './netns.ts';

process.env['UV_THREADPOOL_SIZE'] = '8';
await warmThreadPool(8);

const rebuilt: (readonly ThreadName[])[] = [];
const deaths: unknown[] = [];
const gaveUp: string[] = [];
const start = async (supervisor: Supervisor): Promise<void> => {
  await supervisor.background.ask('start', undefined);
  const { type } = await supervisor.background.ask('lookup', '127.0.0.1' as IpAddress);
  if (type !== 'local') throw new Error('the kernel was not asked');
};
const supervisor: Supervisor = new Supervisor(
  { runDirectory: '/run/flatroute', logLevel: 'debug' },
  {
    log: (_level, event, fields) => {
      if (event === 'thread.died') deaths.push(fields['thread']);
    },
    facts: () => undefined,
    attached: () => undefined,
    rebuild: async (names) => {
      await start(supervisor);
      rebuilt.push(names);
    },
    giveUp: (reason) => gaveUp.push(reason),
  },
);
await start(supervisor);
const broken = { kind: 'intent', generation: 1, intent: undefined } as unknown as Parameters<
  typeof supervisor.background.command
>[0];
supervisor.background.command(broken);
await eventually('the threads are built again', () => rebuilt.length === 1);
supervisor.background.command(broken);
await eventually('a second death gives up', () => gaveUp.length === 1);
const inTime = await supervisor.stop({ sessions: 'silent' });
process.stdout.write(`${JSON.stringify({ rebuilt, deaths, inTime })}\n`);
