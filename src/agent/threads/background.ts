/**
 * The background thread: everything that may wait for the kernel's locks. It reads kernel notifications for all (the only
 * reader), writes learned routes, blackholes and rules of nftables, deletes veths in groups, and looks whether the
 * node is set up as it must be. What it learns goes to the bgp and pods threads and, as facts, to main.
 */
import type { MessagePort } from 'node:worker_threads';
import { BlockRoutes } from '#dataplane/fib/block-routes.ts';
import { FibWriter } from '#dataplane/fib/fib-writer.ts';
import type { DataplaneIntent, KernelFacts } from '#dataplane/intent.ts';
import { NodeChecks } from '#dataplane/io/node-checks.ts';
import { KernelObserver } from '#dataplane/io/kernel-observer.ts';
import { RulesetMonitor } from '#dataplane/io/ruleset-monitor.ts';
import type { KernelView } from '#dataplane/kernel-view.ts';
import { Reaper } from '#dataplane/pod/io/reaper.ts';
import type { Prefix } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import { systemClock } from '#lib/time.ts';
import { NetlinkSocket } from '#netlink/io/socket.ts';
import { lookUpInKernel } from '../kernel-lookup.ts';
import { LearnedLife } from '../learned-life.ts';
import type {
  BackgroundToBgp,
  BackgroundToPods,
  BgpToBackground,
  Inheritance,
  PathsCommand,
  PodsToBackground,
} from '../messages.ts';
import { NodeWatch } from './node-watch.ts';
import { IntentRules, natOutgoing, untranslated } from './intent-rules.ts';
import { PodLinkWatch } from './pod-link-watch.ts';
import { runThread, type ThreadHost, type ThreadWork } from './thread.ts';

/** A foreign route that stood in the way of a blackhole may be gone. */
const BLOCKS_AGAIN_MILLISECONDS = 30_000;
/** Facts change with every batch of routes; main needs them ten times a second at most. */
const FACTS_MILLISECONDS = 100;

/** Rows that are written to the kernel at once. 1000 are the fewest calls, but can hold its lock for 370 ms, and BFD's packets wait. */
const BATCH_ROWS = 1000;
const SMALL_BATCH_ROWS = 100;

class Background {
  readonly #host: ThreadHost<'background'>;
  /** Each its own: the port number tells our changes from those of others. */
  readonly #fibSocket = NetlinkSocket.open();
  readonly #blockSocket = NetlinkSocket.open();
  readonly #dumpSocket = NetlinkSocket.open();
  readonly #fib: FibWriter;
  readonly #blocks: BlockRoutes;
  readonly #observer: KernelObserver;
  readonly #rulesets: RulesetMonitor | undefined;
  readonly #reaper: Reaper;
  readonly #outgoing: IntentRules;
  readonly #untranslated: IntentRules;
  readonly #node: NodeWatch;
  readonly #podLinks = new PodLinkWatch();
  readonly #life: LearnedLife;
  /** `undefined` until the kernel was read: nobody may take that for a kernel without links. */
  #view: KernelView | undefined;
  #generation = 0;
  #blockPrefixes: readonly Prefix[] = [];
  #uplinkMtu: number | undefined;
  #factsTimer: NodeJS.Timeout | undefined;
  #blocksTimer: NodeJS.Timeout | undefined;
  #bgp: MessagePort | undefined;
  #pods: MessagePort | undefined;

  constructor(host: ThreadHost<'background'>) {
    this.#host = host;
    this.#life = new LearnedLife(host.data.runDirectory, (...line) => host.log(...line));
    const changed = (): void => this.#factsSoon();
    // A socket of ours that breaks takes the thread with it; it is built again from the kernel.
    const failed = (error: AppError): never => {
      throw error;
    };
    this.#fib = new FibWriter(
      {},
      { socket: this.#fibSocket, clock: systemClock },
      {
        applied: (sequence) => this.#toBgp({ kind: 'applied', sequence }),
        changed,
        emptying: (family) => this.#life.emptying(family),
        failed,
      },
    );
    this.#blocks = new BlockRoutes({ socket: this.#blockSocket }, { changed });
    this.#reaper = new Reaper({}, { report: (report) => this.#toPods({ kind: 'reaped', report }) });
    this.#outgoing = new IntentRules(natOutgoing, { changed });
    this.#untranslated = new IntentRules(untranslated, { changed });
    const checks = new NodeChecks({}, { socket: this.#dumpSocket });
    this.#node = new NodeWatch({
      check: (view) => checks.check(view, this.#blockPrefixes),
      changed,
      log: (...line) => host.log(...line),
      clock: systemClock,
    });
    this.#observer = new KernelObserver(
      { ignorePorts: [this.#fibSocket.portId, this.#blockSocket.portId] },
      { socket: this.#dumpSocket, clock: systemClock },
      {
        view: (view) => {
          this.#view = view;
          this.#toBgp({ kind: 'view', view });
          this.#node.view(view);
          this.#mtuSeen();
        },
        podLinks: (changes) => {
          for (const change of this.#podLinks.learn(changes)) this.#toPods({ kind: 'kernel', change });
        },
        ourRoutesChanged: ({ learned, blocks, pods }) => {
          if (learned) this.#fib.observeAgain();
          if (blocks) this.#blocks.observeAgain();
          if (pods) this.#toPods({ kind: 'kernel', change: { kind: 'lookAgain' } });
        },
        settingsChanged: () => this.#node.settingsChanged(),
        failed,
      },
    );
    this.#rulesets = RulesetMonitor.open(
      {},
      { clock: systemClock },
      { changed: (by) => this.#rulesChanged(by), failed },
    );
  }

  /** Pods follow their uplinks. */
  #mtuSeen(): void {
    const mtu = this.#observer.uplinkMtu();
    if (this.#uplinkMtu !== undefined && mtu !== this.#uplinkMtu)
      this.#toPods({ kind: 'kernel', change: { kind: 'lookAgain' } });
    this.#uplinkMtu = mtu;
  }

  #rulesChanged(by: string): void {
    this.#outgoing.lookAgain();
    this.#untranslated.lookAgain();
    this.#node.rulesChanged();
    this.#toPods({ kind: 'kernel', change: { kind: 'rulesChanged', by } });
  }

  start(): void {
    this.#observer.start();
    this.#rulesets?.start();
    this.#fib.start();
    this.#node.start();
    this.#blocksTimer = setInterval(() => {
      this.#blocks.observeAgain();
      this.#outgoing.lookAgain();
      this.#untranslated.lookAgain();
    }, BLOCKS_AGAIN_MILLISECONDS);
    this.#factsSoon();
  }

  inheritance(): Inheritance {
    return { preserved: this.#life.takeOver(this.#fib.facts().learnedRoutes), routes: this.#fib.inherited() };
  }

  apply(intent: DataplaneIntent, generation: number): void {
    this.#generation = generation;
    this.#blocks.set(intent.blocks);
    this.#blockPrefixes = intent.blocks;
    // A packet filter counts when there are pods that it could drop.
    this.#node.rulesChanged();
    this.#fib.setPreferredSource(intent.nodeAddresses);
    this.#outgoing.set(intent);
    this.#untranslated.set(intent);
    // Announcements wait for the blackholes.
    this.#sendFacts();
  }

  setPaths(paths: PathsCommand): void {
    this.#fib.setPaths(paths);
    this.#fib.setBatchRows(paths.isUp ? SMALL_BATCH_ROWS : BATCH_ROWS);
    // Which of them the kernel has is what BFD's process waits for.
    this.#factsSoon();
  }

  lookUp(address: Parameters<typeof lookUpInKernel>[0]): ReturnType<typeof lookUpInKernel> {
    return lookUpInKernel(address, (index) => this.#observer.interfaceName(index) ?? `interface ${index}`);
  }

  connectBgp(port: MessagePort): void {
    this.#bgp = port;
    port.on('message', (message: BgpToBackground) => {
      if (message.kind === 'engine') this.#fib.engineRestarted();
      else this.#fib.apply(message.update);
    });
    if (this.#view !== undefined) this.#toBgp({ kind: 'view', view: this.#view });
  }

  connectPods(port: MessagePort): void {
    this.#pods = port;
    port.on('message', (message: PodsToBackground) => {
      if (message.kind === 'reap') this.#reaper.request(message.request);
      else this.#observer.setPodPorts([message.netlinkPort]);
    });
  }

  async stop(): Promise<void> {
    clearTimeout(this.#factsTimer);
    clearInterval(this.#blocksTimer);
    this.#outgoing.stop();
    this.#untranslated.stop();
    this.#fib.close();
    this.#bgp?.close();
    this.#pods?.close();
    await Promise.all([this.#node.stop(), this.#reaper.stop(), this.#observer.close(), this.#rulesets?.close()]);
    for (const socket of [this.#fibSocket, this.#blockSocket, this.#dumpSocket]) socket.close();
  }

  /** Wakes the parked reads of notifications; the thread could not end otherwise. */
  release(): void {
    void this.#observer.close();
    void this.#rulesets?.close();
  }

  #toBgp(message: BackgroundToBgp): void {
    this.#bgp?.postMessage(message);
  }

  #toPods(message: BackgroundToPods): void {
    this.#pods?.postMessage(message);
  }

  #factsSoon(): void {
    this.#factsTimer ??= setTimeout(() => this.#sendFacts(), FACTS_MILLISECONDS);
  }

  #sendFacts(): void {
    clearTimeout(this.#factsTimer);
    this.#factsTimer = undefined;
    const facts = this.#facts();
    this.#life.learned(facts.learnedRoutes);
    this.#host.facts(facts);
  }

  #facts(): KernelFacts {
    const fib = this.#fib.facts();
    const blocks = this.#blocks.facts();
    return {
      generation: this.#generation,
      blackholes: blocks.blackholes,
      learnedRoutes: fib.learnedRoutes,
      routeConflicts: [...fib.routeConflicts, ...blocks.routeConflicts],
      repairs: {
        ...fib.repairs,
        ...blocks.repairs,
        natRules: this.#outgoing.repairs,
        serviceRules: this.#untranslated.repairs,
        setting: this.#node.repairs,
      },
      nexthops: fib.nexthops,
      problems: [
        ...fib.problems,
        ...blocks.problems,
        ...this.#outgoing.problems,
        ...this.#untranslated.problems,
        ...this.#node.problems,
      ],
    };
  }
}

function makeBackground(host: ThreadHost<'background'>): ThreadWork<'background'> {
  const background = new Background(host);
  return {
    command: (command) => {
      if (command.kind === 'paths') background.setPaths(command);
      else background.apply(command.intent, command.generation);
    },
    requests: {
      start: () => {
        background.start();
        return undefined;
      },
      inheritance: () => background.inheritance(),
      lookup: (address) => background.lookUp(address),
      stop: async () => {
        await background.stop();
        return undefined;
      },
    },
    connect: (to, port) => {
      if (to === 'bgp') background.connectBgp(port);
      else if (to === 'pods') background.connectPods(port);
      else throw new AppError('BUG_THREAD_CONNECT', `background has nothing to say to ${to}`);
    },
    release: () => background.release(),
  };
}

runThread('background', makeBackground);
