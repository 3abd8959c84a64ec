/** `flatroute replay FILE`: what happened to a BGP session, step by step, and whether this program would do the same today. */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { AppError } from '#lib/result.ts';
import { hexadecimal } from '#bgp/session/record.ts';
import { type Replayed, replayer } from '#bgp/session/replay.ts';
import { type Command, EXIT_FINE, EXIT_WRONG } from './command.ts';
import { effectText, eventText, stateText } from './show/replay.ts';
import type { CliIo } from './io.ts';

export const replaySpec: Command = {
  name: 'replay',
  summary: 'Shows the record of a BGP session (`flatroute agent --record DIR`) step by step.',
  arguments: [{ name: 'FILE', required: true, help: 'a file of the record, such as DIR/tor-a.jsonl' }],
  options: [
    { name: 'output', short: 'o', value: 'FORMAT', choices: ['table', 'json'], help: 'json: one object a step' },
  ],
  examples: ['flatroute replay /var/lib/flatroute/record/tor-a.jsonl'],
  run: async (parsed, io) => {
    const [file = ''] = parsed.words;
    const show = parsed.values.get('output') === 'json' ? showJson : showTable();
    const player = replayer();
    let steps = 0;
    let problems = 0;
    try {
      for await (const text of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
        const replayed = player(text);
        if (replayed === undefined) continue;
        if (replayed.kind === 'step') steps++;
        if (replayed.kind === 'broken' || (replayed.kind === 'step' && replayed.differs !== undefined)) problems++;
        show(replayed, io);
      }
    } catch (error) {
      throw new AppError(
        'CLI_RECORD_FILE',
        `${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
        {
          cause: error,
        },
      );
    }
    if (steps === 0) io.err(`flatroute: ${file} holds no step of a session\n`);
    else if (problems === 0) io.err(`${steps} steps, each as it was recorded\n`);
    else io.err(`${steps} steps; ${problems} are not as they were recorded, or cannot be read\n`);
    return steps > 0 && problems === 0 ? EXIT_FINE : EXIT_WRONG;
  },
};

function showJson(replayed: Replayed, io: CliIo): void {
  io.out(`${JSON.stringify(replayed, hexadecimal)}\n`);
}

function showTable(): (replayed: Replayed, io: CliIo) => void {
  let began = 0;
  return (replayed, io) => {
    if (replayed.kind === 'broken') return io.out(`line ${replayed.line} ${replayed.problem}\n`);
    if (replayed.kind === 'begin') {
      const { peer, address, wall, at, program, lost, config } = replayed.begin;
      began = at;
      const gap = lost === 0 ? '' : ` · ${lost} steps before it were not written`;
      io.out(
        `${peer} ${address} · AS ${config.localAsn} to ${config.peerAsn} · ${new Date(wall).toISOString()} · flatroute ${program}${gap}\n`,
      );
      return undefined;
    }
    const { event, before, after, effects, differs } = replayed;
    const seconds = ((event.at - began) / 1000).toFixed(3);
    io.out(`${`+${seconds}`.padStart(10)}  ${eventText(event, before)}\n`);
    for (const effect of effects) io.out(`${' '.repeat(14)}${effectText(effect)}\n`);
    if (stateText(before) !== stateText(after)) io.out(`${' '.repeat(14)}${stateText(before)} → ${stateText(after)}\n`);
    if (differs !== undefined)
      io.out(`${' '.repeat(14)}NOT AS RECORDED in line ${replayed.line}; now it is ${differs}`);
    return undefined;
  };
}
