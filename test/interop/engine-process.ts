/**
 * The engine alone in a process of its own, so that it can be put into a namespace. Reads one JSON line after another:
 * {view} {apply, generation} {routes} {stop}; writes one per fact, update and answer. The kernel is played: every update is
 * confirmed at once.
 */
import { createInterface } from 'node:readline';
import { systemClock } from '#lib/time.ts';
import type { BgpIntent, RouteQuery } from '#bgp/engine.ts';
import { createSpeaker } from '#bgp/speaker.ts';
import type { KernelView } from '#dataplane/kernel-view.ts';
import { rowsOf } from '../unit/bgp/speaker/network.ts';

export interface Command {
  readonly view?: KernelView;
  readonly apply?: BgpIntent;
  readonly generation?: number;
  readonly routes?: RouteQuery;
  readonly stop?: 'silent' | 'cease';
}

const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

const engine = createSpeaker(
  JSON.parse(process.argv[2] ?? '{"restarted":false,"forwardingPreserved":[]}') as Parameters<typeof createSpeaker>[0],
  {
    clock: systemClock,
    wallClock: () => Date.now(),
    random: Math.random,
    outputs: {
      fib: (update) => {
        say({ fib: { groups: update.groups, rows: rowsOf(update), complete: update.complete } });
        setImmediate(() => engine.fibApplied(update.sequence));
      },
      facts: (facts) => say({ facts }),
      event: (level, event, fields) => say({ event: { level, event, ...fields } }),
    },
  },
);

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const command = JSON.parse(line) as Command;
  if (command.view !== undefined) engine.setKernelView(command.view);
  if (command.apply !== undefined) engine.apply(command.apply, command.generation ?? 1);
  if (command.routes !== undefined) say({ routes: engine.routes(command.routes) });
  if (command.stop !== undefined) void engine.stop(command.stop).then(() => process.exit(0));
});
lines.on('close', () => process.exit(0));
