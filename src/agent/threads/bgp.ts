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
import { families } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import { systemClock } from '#lib/time.ts';
import type { BackgroundToBgp, BgpStart, BgpToBackground } from '../messages.ts';
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

const programOf = ({ engine }: BgpIntent): string => (engine === undefined ? '' : `${engine.kind} ${engine.address}`);

/** A view that covers its whole buffer is moved to the other thread; a part of a larger one is copied. */
function movable<T extends Uint8Array | Uint32Array>(array: T): T {
  return array.byteLength === array.buffer.byteLength ? array : (array.slice() as T);
}

function makeBgp(host: ThreadHost<'bgp'>): ThreadWork<'bgp'> {
  let background: MessagePort | undefined;
  let engine: BgpEngine | undefined;
  /** The program that `engine` is. */
  let program = '';
  /** One engine takes leave of its peers before another greets them. */
  let leaving: Promise<void> | undefined;
  let recorder: Recorder | undefined;
  let start: BgpStart | undefined;
  let view: KernelView | undefined;
  let cleared = false;
  let wanted: { readonly intent: BgpIntent | undefined; readonly generation: number } | undefined;
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

  /** Two speakers cannot have one port. Ours ends so that graceful restart holds for the next one; GoBGP cannot. */
  const leave = async (observed: BgpEngine, how: 'silent' | 'cease'): Promise<void> => {
    await observed.stop(how);
    leaving = undefined;
    applyWanted();
  };

  const applyWanted = (): void => {
    // Sessions wait until the kernel was read back: what we announce must be true, and R and F must be known.
    if (wanted === undefined || start === undefined) return;
    const { intent, generation } = wanted;
    if (intent === undefined) {
      // The intent no longer wants BGP here, so peers are told.
      if (engine !== undefined) void engine.stop('cease');
      if (engine !== undefined || !cleared) clearKernel();
      engine = undefined;
      // The next engine, if there is one, finds none of them.
      start = { ...start, inherited: undefined };
      host.facts(silent(generation));
      return;
    }
    if (engine !== undefined && program !== programOf(intent)) {
      const isOurs = program === '';
      leaving = leave(engine, isOurs ? 'silent' : 'cease');
      engine = undefined;
      // What is learned anew replaces what is in the kernel, and after ours it goes on forwarding until then.
      const forwardingPreserved = isOurs ? families : [];
      start = { ...start, restarted: isOurs, forwardingPreserved, inherited: undefined };
    }
    if (leaving !== undefined) return;
    program = programOf(intent);
    engine ??= makeEngine(start, intent.engine);
    engine.apply(intent, generation);
  };

  return {
    command: (command) => {
      if (command.kind === 'pathFailed') {
        engine?.pathFailed(command.peer, command.text);
        return;
      }
      wanted = command;
      applyWanted();
    },
    requests: {
      start: (ask) => {
        start = ask;
        applyWanted();
        return undefined;
      },
      routes: (query) => engine?.routes(query) ?? { rows: [], more: false },
      reset: ({ peer, how }) => engine?.reset(peer, how) ?? false,
      stop: async ({ sessions }) => {
        await engine?.stop(sessions);
        engine = undefined;
        await recorder?.close();
        background?.close();
        return undefined;
      },
    },
    connect: (to, port) => {
      if (to !== 'background') throw new AppError('BUG_THREAD_CONNECT', `bgp has nothing to say to ${to}`);
      background = port;
      port.on('message', (message: BackgroundToBgp) => {
        if (message.kind === 'applied') engine?.fibApplied(message.sequence);
        else {
          view = message.view;
          engine?.setKernelView(message.view);
        }
      });
      for (const message of unsent.splice(0)) send(message);
    },
    release: () => undefined,
  };
}

runThread('bgp', makeBgp);
