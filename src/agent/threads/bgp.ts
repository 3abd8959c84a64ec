/**
 * The bgp thread: the speaker, and nothing that could make a keepalive wait. In come the intent, the kernel's view and
 * "these routes are in the kernel"; out go routes for the background thread, facts and events for main.
 */
import type { MessagePort } from 'node:worker_threads';
import type { BgpEngine, BgpEngineOutputs, BgpFacts, BgpIntent } from '#bgp/engine.ts';
import { type Recorder, createRecorder } from '#bgp/io/recorder.ts';
import { createGobgpEngine } from '#bgp/gobgp/engine.ts';
import { createSpeaker } from '#bgp/speaker.ts';
import type { FibUpdate } from '#dataplane/fib/route.ts';
import type { KernelView } from '#dataplane/kernel-view.ts';
import { AppError } from '#lib/result.ts';
import { systemClock } from '#lib/time.ts';
import type { BackgroundToBgp, BgpStart, BgpToBackground } from '../messages.ts';
import { EngineTurns } from './engine-turns.ts';
import { runThread, type ThreadHost, type ThreadWork } from './thread.ts';

/** What is said while this node speaks no BGP. */
const silent = (generation: number): BgpFacts => ({
  generation,
  listening: undefined,
  listenError: undefined,
  peers: [],
  announced: [],
  routes: { ipv4: { prefixes: 0, paths: 0, best: 0 }, ipv6: { prefixes: 0, paths: 0, best: 0 } },
});

/** A view that covers its whole buffer is moved to the other thread; a part of a larger one is copied. */
function movable<T extends Uint8Array | Uint32Array>(array: T): T {
  return array.byteLength === array.buffer.byteLength ? array : (array.slice() as T);
}

function makeBgp(host: ThreadHost<'bgp'>): ThreadWork<'bgp'> {
  let background: MessagePort | undefined;
  let recorder: Recorder | undefined;
  let view: KernelView | undefined;
  let cleared = false;
  /** What no background thread was there to take; in order. */
  const unsent: BgpToBackground[] = [];

  const send = (message: BgpToBackground): void => {
    if (background === undefined) {
      unsent.push(message);
    } else if (message.kind === 'engine') {
      background.postMessage(message);
    } else {
      const prefixes = movable(message.update.prefixes);
      const groupIds = movable(message.update.groupIds);
      const moved: BgpToBackground = { kind: 'fib', update: { ...message.update, prefixes, groupIds } };
      background.postMessage(moved, [prefixes.buffer as ArrayBuffer, groupIds.buffer as ArrayBuffer]);
    }
  };

  const makeEngine = ({ record, protoFolder, ...options }: BgpStart, wantedEngine: BgpIntent['engine']): BgpEngine => {
    cleared = false;
    send({ kind: 'engine' });
    recorder ??= record === undefined ? undefined : recorderInto(record.directory, record.program);
    const modules = {
      clock: systemClock,
      wallClock: () => Date.now(),
      random: Math.random,
      outputs: {
        fib: (update: FibUpdate) => send({ kind: 'fib', update }),
        facts: (facts: BgpFacts) => host.facts(facts),
        event: (...[level, event, fields]: Parameters<BgpEngineOutputs['event']>) => host.log(level, event, fields),
      },
    };
    const made =
      wantedEngine === undefined
        ? createSpeaker(options, { ...modules, recorder })
        : createGobgpEngine(options, { ...modules, protoFolder });
    if (view !== undefined) made.setKernelView(view);
    return made;
  };

  const recorderInto = (directory: string, program: string): Recorder =>
    createRecorder(directory, {
      wallClock: () => Date.now(),
      program,
      failed: (peer, text) =>
        host.log('warn', 'record.failed', { peer, text: `${text}; this peer is not recorded any more` }),
    });

  /** Without an engine no learned route is wanted, inherited ones neither. */
  const clearKernel = (): void => {
    cleared = true;
    send({ kind: 'engine' });
    const nothing = { groups: [], releasedGroups: [], prefixes: new Uint8Array(0), groupIds: new Uint32Array(0) };
    send({ kind: 'fib', update: { ...nothing, sequence: 1, complete: true } });
  };

  const turns = new EngineTurns({
    make: makeEngine,
    none: (generation) => {
      if (!cleared) clearKernel();
      host.facts(silent(generation));
    },
  });

  return {
    command: (command) => {
      if (command.kind === 'pathFailed') turns.engine?.pathFailed(command.peer, command.text);
      else turns.want(command.intent, command.generation);
    },
    requests: {
      start: (ask) => {
        turns.begin(ask);
        return undefined;
      },
      routes: (query) => turns.engine?.routes(query) ?? { rows: [], more: false },
      reset: ({ peer, how }) => turns.engine?.reset(peer, how) ?? false,
      stop: async ({ sessions }) => {
        await turns.stop(sessions);
        await recorder?.close();
        background?.close();
        return undefined;
      },
    },
    connect: (to, port) => {
      if (to !== 'background') throw new AppError('BUG_THREAD_CONNECT', `bgp has nothing to say to ${to}`);
      background = port;
      port.on('message', (message: BackgroundToBgp) => {
        if (message.kind === 'applied') turns.engine?.fibApplied(message.sequence);
        else {
          view = message.view;
          turns.engine?.setKernelView(message.view);
        }
      });
      for (const message of unsent.splice(0)) send(message);
    },
    release: () => undefined,
  };
}

runThread('bgp', makeBgp);
