/** `flatroute drain` and `undrain`: traffic away from peers before work on a router or a node, and back afterwards. */
import { longestDrainWait } from '#intent/drain.ts';
import type { PeerAnswer } from '#status/answers.ts';
import type { AgentClient } from './client.ts';
import { type Command, EXIT_FINE, EXIT_USAGE, EXIT_WRONG } from './command.ts';
import type { CliIo } from './io.ts';
import { connect, pause, socketOption } from './query.ts';

const LOOK_MILLISECONDS = 200;

const names = {
  name: 'PEER',
  required: false,
  repeated: true,
  help: 'names of BGPPeers; without one, every peer of the node',
};

const words: Readonly<Record<NonNullable<PeerAnswer['drain']>, string>> = {
  deprefer: 'announced with GRACEFUL_SHUTDOWN, its own routes used last',
  withdraw: 'withdrawn',
  down: 'session ended; what it announced stays in use for now',
};

export const drainSpec: Command = {
  name: 'drain',
  summary: 'Takes traffic away from peers without losing any: deprefers routes, withdraws them, ends the sessions.',
  arguments: [names],
  options: [
    { name: 'wait', value: 'SECONDS', help: 'how long the network has to follow each step (default 5)' },
    socketOption,
  ],
  examples: ['flatroute drain tor-a', 'flatroute drain --wait 20', 'flatroute undrain'],
  run: async (parsed, io) => {
    const text = parsed.values.get('wait') ?? '5';
    const wait = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
    if (!(wait <= longestDrainWait)) {
      io.err(`flatroute: --wait ${text} is no number of seconds from 0 to ${longestDrainWait}\n`);
      return EXIT_USAGE;
    }
    const client = await connect(parsed, io);
    try {
      const said = new Map((await client.peers(undefined)).map(({ name, drain }) => [name, before(drain)]));
      await client.drain(parsed.words, wait);
      return await follow(client, parsed.words, said, io);
    } finally {
      client.close();
    }
  },
};

const steps = ['deprefer', 'withdraw', 'down'] as const;
type Step = (typeof steps)[number];

/** The step before one that is still to be said. */
const before = (step: Step | undefined): Step | undefined =>
  step === undefined ? undefined : steps[steps.indexOf(step) - 1];

/** What came after `said`, up to `now`: a step that was over before it was looked at is said all the same. */
const since = (said: Step | undefined, now: Step): readonly Step[] =>
  steps.slice(said === undefined ? 0 : steps.indexOf(said) + 1, steps.indexOf(now) + 1);

/** Says each step until all are over; Ctrl-C leaves the drain going on. `said`: the step that each peer was at before. */
async function follow(
  client: AgentClient,
  asked: readonly string[],
  said: Map<string, Step | undefined>,
  io: CliIo,
): Promise<number> {
  for (;;) {
    const all = await client.peers(undefined);
    const peers = asked.length === 0 ? all : all.filter(({ name }) => asked.includes(name));
    for (const { name, drain } of peers) {
      if (drain === undefined) continue;
      for (const step of since(said.get(name), drain)) io.out(`${name}: ${words[step]}\n`);
      said.set(name, drain);
    }
    if (peers.every(({ drain, enabled }) => drain === 'down' || !enabled)) return EXIT_FINE;
    // Somebody else may have undone it.
    const undone = peers.filter(({ name, drain }) => drain === undefined && said.get(name) !== undefined);
    for (const { name } of undone) io.err(`${name}: is no longer drained\n`);
    if (undone.length > 0) return EXIT_WRONG;
    if (!(await pause(LOOK_MILLISECONDS, io.signal))) {
      io.err('the drain goes on; flatroute undrain ends it\n');
      return EXIT_WRONG;
    }
  }
}

export const undrainSpec: Command = {
  name: 'undrain',
  summary: 'Brings sessions and routes of drained peers back.',
  arguments: [names],
  options: [socketOption],
  run: async (parsed, io) => {
    const client = await connect(parsed, io);
    try {
      await client.undrain(parsed.words);
      io.out(
        parsed.words.length === 0 ? 'no peer is drained any more\n' : `${parsed.words.join(', ')}: no longer drained\n`,
      );
      return EXIT_FINE;
    } finally {
      client.close();
    }
  },
};
