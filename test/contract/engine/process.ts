/** An engine alone in a process, so that it can be put into a namespace; its owner has the other ends of stdin and stdout. */
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { BgpEngine, BgpEngineOutputs } from '#bgp/engine.ts';
import { createGobgpEngine } from '#bgp/gobgp/engine.ts';
import { createSpeaker } from '#bgp/speaker.ts';
import type { SpeakerOptions } from '#bgp/speaker.ts';
import type { InheritedRoutes } from '#dataplane/fib/route.ts';
import { seconds, systemClock } from '#lib/time.ts';
import { fibRows } from '../../support/fib.ts';
import { rowsOf } from '../../unit/bgp/speaker/network.ts';
import type { Call, EngineStart, Said } from './words.ts';

const say = (line: Said): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

function inheritedRoutes(table: EngineStart['inherited'] = {}): InheritedRoutes {
  const rows = Object.entries(table);
  return {
    groups: rows.map(([, members], n) => ({ id: n + 1, members })),
    ...fibRows(rows.map(([prefix], n) => [prefix, n + 1])),
  };
}

function make({ kind, inherited, ...start }: EngineStart): BgpEngine {
  const options: SpeakerOptions = { ...start, ...(start.restarted && { inherited: inheritedRoutes(inherited) }) };
  const outputs: BgpEngineOutputs = {
    fib: ({ sequence, groups, releasedGroups, complete, ...update }) => {
      const rows = rowsOf({ sequence, groups, releasedGroups, complete, ...update });
      say({ said: 'fib', update: { sequence, groups, releasedGroups, rows, complete } });
    },
    facts: (facts) => say({ said: 'facts', facts }),
    event: (level, event, fields) => say({ said: 'event', event: { level, event, fields } }),
  };
  const modules = { clock: systemClock, wallClock: () => Date.now(), random: Math.random, outputs };
  const protoFolder = fileURLToPath(new URL('../../../proto/', import.meta.url));
  // Shorter than an agent's, for gobgpd is made to hang.
  if (kind === 'gobgp') return createGobgpEngine(options, { ...modules, protoFolder, answerTime: seconds(3) });
  return createSpeaker(options, modules);
}

const engine = make(JSON.parse(process.argv[2] ?? '') as EngineStart);

async function hear(line: Call): Promise<void> {
  if (line.call === 'setKernelView') engine.setKernelView(line.view);
  else if (line.call === 'apply') engine.apply(line.intent, line.generation);
  else if (line.call === 'fibApplied') engine.fibApplied(line.sequence);
  else if (line.call === 'die') process.kill(process.pid, 'SIGKILL');
  else if (line.call === 'routes') say({ said: 'answer', ask: line.ask, value: await engine.routes(line.query) });
  else if (line.call === 'reset') say({ said: 'answer', ask: line.ask, value: engine.reset(line.peer, line.how) });
  else if (line.call === 'pathFailed')
    say({ said: 'answer', ask: line.ask, value: engine.pathFailed(line.peer, line.text) });
  else {
    await engine.stop(line.how);
    say({ said: 'answer', ask: line.ask, value: true });
  }
}

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => void hear(JSON.parse(line) as Call));
lines.on('close', () => process.exit(0));
