/**
 * `flatroute demo`: reads the words, builds the network in a lab, plays the acts, prints the table, leaves nothing.
 * Exit code 0 when every check passed, 1 when one failed, 2 for wrong use, 130 after Ctrl-C.
 */
import { spawn } from 'node:child_process';
import { AppError } from '#lib/result.ts';
import { type EngineKind, engineKinds } from '#lab/gobgp-sidecar.ts';
import { Lab } from '#lab/lab.ts';
import { findHolders, removeKept } from '#lab/leftovers.ts';
import { forwardingKinds } from '#lab/routers/make.ts';
import type { ForwardingKind } from '#lab/routers/router.ts';
import type { CommandSpec, Parsed } from '../arguments.ts';
import { parseArguments, usageText } from '../arguments.ts';
import { EXIT_FINE, EXIT_USAGE, EXIT_WRONG } from '../command.ts';
import type { CliIo } from '../io.ts';
import { wrap } from '../output/text.ts';
import { play } from './acts/play.ts';
import { Checks, DemoStopped } from './checks.ts';
import { summaryLines } from './format.ts';
import { machineState, whatIsLeft } from './machine.ts';
import { DemoNetwork } from './network.ts';
import { Screen } from './screen.ts';
import { drawing, links } from './topology.ts';

const EXIT_INTERRUPTED = 130;
const LAB_TITLE = 'demo';

export const demoSpec: CommandSpec = {
  name: 'demo',
  summary: 'Two racks with routers, nodes, pods and a legacy VM in network namespaces, on this machine.',
  arguments: [],
  options: [
    {
      name: 'router',
      value: 'KIND',
      choices: forwardingKinds,
      help: 'what the two routers run: flatroute itself (default), BIRD or FRR',
    },
    {
      name: 'engine',
      value: 'KIND',
      choices: engineKinds,
      help: 'what speaks BGP on the nodes: the agent itself (embedded, default), or a gobgpd beside it',
    },
    { name: 'keep', help: 'leave the network up at the end and say how to look around in it' },
    { name: 'enter', value: 'HOST', help: 'a shell on a host of a kept network' },
    { name: 'remove', help: 'remove kept networks' },
  ],
  examples: [
    'npm run demo',
    'npm run demo -- --router frr',
    'npm run demo -- --engine gobgp',
    'npm run demo -- --keep',
    'npm run demo -- --enter node-1',
  ],
};

export async function runDemo(words: readonly string[], io: CliIo): Promise<number> {
  const parsed = parseArguments(demoSpec, words);
  if (!parsed.ok) {
    io.err(`flatroute: ${parsed.error}\n`);
    return EXIT_USAGE;
  }
  const { values, switches, help } = parsed.value;
  if (help) {
    io.out(usageText(demoSpec));
    return EXIT_FINE;
  }
  if (switches.has('remove')) return remove(io);
  const host = values.get('enter');
  if (host !== undefined) return await enter(host, io);
  return await demo(options(parsed.value), io);
}

interface DemoOptions {
  readonly router: ForwardingKind;
  readonly engine: EngineKind;
  readonly keep: boolean;
}

const options = ({ values, switches }: Parsed): DemoOptions => ({
  router: forwardingKinds.find((kind) => kind === values.get('router')) ?? 'flatroute',
  engine: engineKinds.find((kind) => kind === values.get('engine')) ?? 'embedded',
  keep: switches.has('keep'),
});

async function demo({ router, engine, keep }: DemoOptions, io: CliIo): Promise<number> {
  const inUserNamespace = process.env['FLATROUTE_ROOT'] === 'user-namespace';
  if (router === 'frr' && inUserNamespace) {
    io.err('flatroute: FRR changes to users of its own, which only root can do: run this as root, or --router bird\n');
    return EXIT_WRONG;
  }
  const before = await machineState();
  const screen = new Screen(io);
  const programs = `routers: ${router}${engine === 'embedded' ? '' : ` · engine of the nodes: ${engine}`}`;
  const title = `flatroute demo · two racks, two routers, two nodes, one legacy VM · ${programs} · IPv4 + IPv6`;
  screen.lines(wrap(title, screen.style.width));
  screen.line();
  screen.lines(drawing(screen.style.width));
  screen.act('The network');
  const checks = new Checks(screen);
  const lab = await Lab.create(LAB_TITLE, { keepable: keep });
  const interrupted = new Promise<'interrupted'>((resolve) => {
    if (io.signal.aborted) resolve('interrupted');
    io.signal.addEventListener('abort', () => resolve('interrupted'), { once: true });
  });
  const network = new DemoNetwork(lab, router, engine);
  const played = play(network, checks, screen, keep).then(
    () => 'played' as const,
    (error: unknown) => {
      if (error instanceof DemoStopped) return 'stopped' as const;
      // What was under way when the lab went away fails as it must.
      if (io.signal.aborted) return 'interrupted' as const;
      throw error;
    },
  );
  try {
    const outcome = await Promise.race([played, interrupted]);
    if (outcome === 'interrupted') {
      screen.line('interrupted: removing everything');
      screen.mute();
      await lab.dispose();
      return EXIT_INTERRUPTED;
    }
    if (keep) await lab.keep();
    else await checks.check('everything removed', async () => await whatIsLeft(lab, before));
  } finally {
    await lab.dispose();
  }
  screen.act('Checks');
  screen.lines(summaryLines(checks.results, checks.elapsedMilliseconds, screen.style));
  if (keep) await lookAround(lab, inUserNamespace, io, screen);
  else screen.line(' look around next time with: npm run demo -- --keep');
  return checks.failed.length === 0 ? EXIT_FINE : EXIT_WRONG;
}

/** Says how to look around; without root the network lives no longer than this program, so it waits. */
async function lookAround(lab: Lab, inUserNamespace: boolean, io: CliIo, screen: Screen): Promise<void> {
  const hosts = lab.hosts.map((host) => host.name).join(', ');
  const stays = `The network ${lab.name} stays up: ${links.length} links between ${hosts}.`;
  screen.lines(['', ...wrap(stays, screen.style.width - 1).map((line) => ` ${line}`)]);
  screen.lines([
    '   npm run demo -- --enter node-1      a shell there; then for example:',
    '                                       flatroute peers, flatroute routes,',
    '                                       flatroute pods, ip route, ip netns',
    '   npm run demo -- --remove            takes it away',
    ' The same shell without npm:',
  ]);
  for (const host of lab.hosts) {
    screen.line(`   PATH=/run/bin:$PATH nsenter -t ${String(host.pid).padEnd(8)} -n -m -u -p -- bash    ${host.name}`);
  }
  if (!inUserNamespace) return;
  screen.line(' Not root: it is gone when this shell on node-1 ends.');
  await enter('node-1', io);
  await lab.remove();
}

function remove(io: CliIo): number {
  const removed = removeKept();
  io.out(removed.length === 0 ? 'no network was kept\n' : `${removed.map((name) => `removed ${name}`).join('\n')}\n`);
  return EXIT_FINE;
}

/** A shell in the namespaces of a host of the kept lab that was found last. */
async function enter(host: string, io: CliIo): Promise<number> {
  const kept = findHolders().filter((holder) => holder.state !== 'orphaned' && holder.lab.startsWith(`${LAB_TITLE}-`));
  const holder = kept.findLast((candidate) => candidate.host === host);
  if (holder === undefined) {
    const known = [...new Set(kept.map((candidate) => candidate.host))];
    io.err(
      known.length === 0
        ? 'flatroute: no network is up; start one with: npm run demo -- --keep\n'
        : `flatroute: no host ${host} there: ${known.join(', ')}\n`,
    );
    return EXIT_WRONG;
  }
  const path = `/run/bin:${process.env['PATH'] ?? ''}`;
  const shell = ['nsenter', '-t', String(holder.inside), '-n', '-m', '-u', '-p', '--', 'bash', '--norc', '-i'];
  const [command = '', ...args] = shell;
  return await new Promise<number>((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: 'inherit',
      env: { ...process.env, PATH: path, PS1: `${host}# ` },
    });
    child.once('error', (error) =>
      reject(new AppError('OS_LAB_COMMAND', `no shell on ${host}: ${error.message}`, { cause: error })),
    );
    child.once('exit', (code) => resolve(code ?? EXIT_WRONG));
  });
}
