/**
 * GoBGP as the engine. It is another process with a life of its own: this one connects, compares what it wants with what GoBGP
 * says, changes the difference, and watches. GoBGP goes on without it, so an agent that restarts finds its sessions up and its
 * paths announced. When GoBGP itself is gone, what was learned stays in the kernel for as long as peers keep ours.
 */
import type { IpAddress } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import type { Duration, Instant } from '#lib/time.ts';
import { after, milliseconds, seconds } from '#lib/time.ts';
import type { KernelView } from '#dataplane/kernel-view.ts';
import { createDiscovery, type LinkNeighbour, type NeighbourDiscovery } from '../discovery/io/discovery.ts';
import type { BgpEngine, BgpIntent, EngineStop, PeerError, RouteAnswer, RouteQuery } from '../engine.ts';
import { wantsSession } from '../engine.ts';
import { FactsPacer, pathFacts } from '../speaker/facts.ts';
import type { SpeakerOptions } from '../speaker/modules.ts';
import { BestPaths } from './best-paths.ts';
import { Connection } from './connection.ts';
import { FailedPaths } from './failed-paths.ts';
import { connectGobgp } from './io/client.ts';
import { KnownPeers } from './known-peers.ts';
import type { GobgpModules, Shared } from './modules.ts';
import { type LinkNeighbours, Sessions } from './neighbours.ts';

/** How soon GoBGP is looked for again: at once when it only restarts, and then without hurry. */
const pauses: readonly Duration[] = [milliseconds(100), milliseconds(250), milliseconds(500), seconds(1), seconds(2)];
/** GoBGP may take this long to take leave of us. */
const leaveTime: Duration = seconds(2);
/** For so long a GoBGP that did not answer is told that it is not wanted any more. */
const farewellTime: Duration = seconds(600);
/** How long learned routes stay without GoBGP, when no peer says how long it keeps ours. */
const defaultKeepTime: Duration = seconds(120);

/** `intent.engine` names the address; an engine is made for one address and lives no longer than it. */
export const createGobgpEngine = (options: SpeakerOptions, modules: GobgpModules): BgpEngine =>
  new GobgpEngine(options, modules);

class GobgpEngine implements BgpEngine {
  readonly #modules: GobgpModules;
  readonly #best: BestPaths;
  readonly #facts: FactsPacer;
  readonly #peers: KnownPeers;
  readonly #failed: FailedPaths;
  readonly #shared: Shared;
  #intent: BgpIntent | undefined;
  #generation = 0;
  #state: 'new' | 'running' | 'leaving' | 'stopped' = 'new';
  #leavesBy: Exclude<EngineStop, 'silent'> = 'cease';
  /** GoBGP was told to end, or cannot be told now. */
  #left: () => void = () => undefined;
  /** Why GoBGP could not be told so far. */
  #notLeft = 'It has not answered yet.';
  #cancelFarewell: (() => void) | undefined;
  #connection: Connection | undefined;
  #endPause: (() => void) | undefined;
  /** The kernel was told once that all is said. */
  #complete = false;
  #forwards: boolean;
  #cancelKeep: (() => void) | undefined;
  #problem: PeerError | undefined;
  #sessions: Sessions | undefined;
  #discovery: NeighbourDiscovery | undefined;
  #neighbours: LinkNeighbours = new Map();
  /** Of unnumbered peers that GoBGP had before: who their neighbour is until one is heard. */
  readonly #adopted = new Map<string, IpAddress>();
  #view: KernelView = { interfaces: [], routes: [] };

  constructor(options: SpeakerOptions, modules: GobgpModules) {
    this.#forwards = options.restarted;
    this.#modules = modules;
    this.#best = new BestPaths((update) => {
      // What GoBGP says as it ends is nothing to the kernel: the next engine says what is true.
      if (!this.#isOver) modules.outputs.fib(update);
    });
    this.#facts = new FactsPacer(modules.clock, () => this.#publish());
    this.#peers = new KnownPeers(modules.wallClock);
    this.#failed = new FailedPaths(modules.clock, this.#best);
    this.#shared = {
      modules,
      best: this.#best,
      peers: this.#peers,
      failed: this.#failed,
      intent: () => this.#desired,
      generation: () => this.#generation,
      sessions: () => (this.#sessions ??= new Sessions(this.#desired, this.#neighbours)),
      neighbours: () => this.#neighbours,
      adoptNeighbour: (peer, address) => {
        this.#adopted.set(peer, address);
        this.#follow();
      },
      view: () => this.#view,
      forwards: () => this.#forwards,
      changed: () => this.#facts.changed(),
      said: () => {
        this.#best.sweep();
        this.#best.flush(!this.#complete);
        this.#complete = true;
        this.#forwards = true;
      },
    };
  }

  get #desired(): BgpIntent {
    if (this.#intent === undefined) throw new AppError('BUG_NO_INTENT', 'the engine has no intent yet');
    return this.#intent;
  }

  get #isLeaving(): boolean {
    return this.#state === 'leaving';
  }

  get #isGone(): boolean {
    return this.#state === 'stopped';
  }

  get #isOver(): boolean {
    return this.#isLeaving || this.#isGone;
  }

  apply(desired: BgpIntent, generation: number): void {
    if (this.#isOver) return;
    this.#intent = desired;
    this.#generation = generation;
    this.#best.setForwarding(desired.multipath.maximumPaths, desired.installRoutes !== false);
    this.#best.flush(false);
    this.#findNeighbours();
    this.#connection?.wanted();
    if (this.#state === 'new') {
      this.#state = 'running';
      void this.#live(desired.engine?.address ?? '');
    }
    this.#facts.changed();
  }

  async #live(address: string): Promise<void> {
    this.#armKeep();
    for (let attempt = 0; !this.#isGone; attempt++) {
      try {
        const client = await (this.#modules.connect ?? connectGobgp)(address, this.#modules);
        attempt = 0;
        await this.#with(new Connection(client, this.#shared), address);
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        this.#lost(error);
      }
      this.#connection?.close();
      this.#connection = undefined;
      // Whoever speaks next does not wait for a GoBGP that cannot be told.
      this.#left();
      if (!this.#isGone) await this.#pause(pauses[Math.min(attempt, pauses.length - 1)] ?? leaveTime);
    }
  }

  /** All of one connection; one that comes too late only takes leave. */
  async #with(connection: Connection, address: string): Promise<void> {
    this.#connection = connection;
    if (this.#state === 'running') {
      this.#modules.outputs.event('info', 'gobgp.connected', { address, version: connection.version });
      this.#problem = undefined;
      this.#cancelKeep?.();
      this.#cancelKeep = undefined;
      await connection.run().catch((error: unknown) => {
        // A connection at rest is no loss; whether GoBGP still answers is seen below.
        if (!this.#isLeaving) throw error;
      });
    }
    if (!this.#isLeaving) return;
    await connection.leave(this.#leavesBy);
    this.#modules.outputs.event('info', 'gobgp.left', { address });
    this.#end();
  }

  #pause(time: Duration): Promise<void> {
    const { clock } = this.#modules;
    return new Promise((resolve) => {
      const cancel = clock.at(after(clock.now(), time), resolve);
      this.#endPause = () => {
        cancel();
        resolve();
      };
    });
  }

  #lost({ code, message }: AppError): void {
    if (this.#isLeaving) this.#notLeft = message;
    if (this.#state !== 'running') return;
    const { outputs, wallClock } = this.#modules;
    if (this.#problem?.text !== message) {
      outputs.event('error', 'gobgp.lost', { code, text: message });
      this.#problem = { code, text: message, at: wallClock() };
    }
    this.#peers.forget(this.#problem);
    this.#armKeep();
    this.#facts.changed();
  }

  /** Without GoBGP nobody says that a learned route is still true: it is believed as long as peers believe ours. */
  #armKeep(): void {
    if (this.#cancelKeep !== undefined) return;
    const { clock, outputs } = this.#modules;
    const times = this.#desired.peers.flatMap((peer) =>
      wantsSession(peer) && peer.gracefulRestart.enabled ? [peer.gracefulRestart.restartTime] : [],
    );
    const keep = times.length === 0 ? defaultKeepTime : (Math.max(...times) as Duration);
    const until: Instant = after(clock.now(), keep);
    this.#cancelKeep = clock.at(until, () => {
      outputs.event('warn', 'gobgp.routesDropped', {
        text: `GoBGP was away for ${keep / 1000} s; what was learned from it is withdrawn from the kernel`,
      });
      this.#best.clear();
      this.#best.flush(!this.#complete);
      this.#complete = true;
      this.#forwards = false;
      this.#facts.changed();
    });
  }

  #findNeighbours(): void {
    this.#sessions = undefined;
    const names = new Set(this.#desired.peers.flatMap((peer) => (peer.enabled ? (peer.interface ?? []) : [])));
    if (names.size === 0 && this.#discovery === undefined) return;
    const { clock, random } = this.#modules;
    this.#discovery ??= createDiscovery({
      clock,
      random,
      isEstablished: (name) =>
        this.#desired.peers.some((peer) => peer.interface === name && this.#peers.isUp(peer.name)),
      changed: () => this.#follow(),
    });
    this.#discovery.want(names, this.#view.interfaces);
    this.#follow();
  }

  #follow(): void {
    const discovery = this.#discovery;
    if (discovery === undefined) return;
    const before = JSON.stringify([...this.#neighbours]);
    this.#neighbours = new Map(
      this.#desired.peers.flatMap((peer) =>
        peer.interface === undefined
          ? []
          : [[peer.name, this.#neighbour(peer.name, discovery.neighbour(peer.interface))]],
      ),
    );
    if (before === JSON.stringify([...this.#neighbours])) return;
    this.#sessions = undefined;
    this.#connection?.neighboursChanged();
    this.#facts.changed();
  }

  #neighbour(peer: string, heard: LinkNeighbour): LinkNeighbour {
    const adopted = this.#adopted.get(peer);
    const isLinkGone = heard.interfaceIndex === undefined && this.#view.interfaces.length > 0;
    if (adopted === undefined || isLinkGone) return heard;
    if (heard.address === undefined) return { ...heard, address: adopted };
    this.#adopted.delete(peer);
    return heard;
  }

  setKernelView(view: KernelView): void {
    this.#view = view;
    this.#best.setView(view);
    this.#best.flush(false);
    if (this.#intent === undefined || this.#isOver) return;
    this.#findNeighbours();
    this.#connection?.wanted();
    this.#facts.changed();
  }

  fibApplied(sequence: number): void {
    this.#best.applied(sequence);
    this.#connection?.kernelCaughtUp();
  }

  #publish(): void {
    const intent = this.#intent;
    if (intent === undefined || this.#isOver) return;
    const { listenPort, engine } = intent;
    const connection = this.#connection;
    const table = (family: 'ipv4' | 'ipv6'): { prefixes: number; paths: number; best: number } => {
      const count = this.#best.count(family);
      return { prefixes: count, paths: count, best: count };
    };
    const retryAt = (name: string): number | undefined => connection?.retryAt(name);
    const peers = this.#peers.facts(
      intent,
      {
        neighbours: this.#neighbours,
        problems: connection?.conflicts ?? new Map<string, string>(),
        noNextHop: (peer, of) => connection?.noNextHop(peer, of) ?? [],
        path: (_, peer) => {
          const neighbour = this.#neighbours.get(peer.name);
          const address = peer.interface === undefined ? peer.address : neighbour?.address;
          return address && pathFacts(peer, address, neighbour?.interfaceIndex, this.#best.nextHops);
        },
        retryAt,
      },
      this.#problem,
    );
    this.#modules.outputs.facts({
      generation: connection?.inForce ?? this.#generation,
      listening: connection?.isStarted === true && listenPort !== undefined ? listenPort : undefined,
      listenError: listenPort === undefined ? undefined : this.#problem?.text,
      peers,
      announced: intent.announcements.map(({ prefix }) => ({
        prefix,
        peers: peers.flatMap(({ name }) => (this.#peers.announced(name).includes(prefix) ? [name] : [])),
      })),
      routes: { ipv4: table('ipv4'), ipv6: table('ipv6') },
      engine: {
        kind: 'gobgp',
        address: engine?.address ?? '',
        version: connection?.version,
        problem: this.#problem?.text ?? connection?.problem,
        drift: connection?.drift ?? [],
      },
    });
  }

  async routes(query: RouteQuery): Promise<RouteAnswer> {
    return (await this.#connection?.routes(query)) ?? { rows: [], more: false };
  }

  reset(peer: string, how: 'hard' | 'soft'): boolean {
    return this.#connection?.reset(peer, how, 'reset by the operator') ?? false;
  }

  pathFailed(peer: string, text: string): boolean {
    const isWanted = this.#intent?.peers.some(({ name }) => name === peer) === true;
    if (!isWanted && this.#peers.get(peer) === undefined) return false;
    this.#failed.add(peer, text, this.#peers.session(peer));
    this.#best.flush(false);
    this.#connection?.reset(peer, 'hard', text);
    return true;
  }

  get forwards(): boolean {
    return this.#forwards;
  }

  /**
   * GoBGP goes on after `silent`; otherwise it is told to end, if need be when it answers again: two speakers of one node would take
   * each other's sessions. `silent` after that ends the telling.
   */
  async stop(how: EngineStop): Promise<void> {
    const before = this.#state;
    if (before === 'stopped') return;
    if (how === 'silent' || before === 'new') return this.#end();
    if (before === 'leaving') return;
    this.#state = 'leaving';
    this.#leavesBy = how;
    this.#quiet();
    this.#connection?.rest();
    const { clock } = this.#modules;
    let cancelLate = (): void => undefined;
    await new Promise<void>((resolve) => {
      this.#left = resolve;
      cancelLate = clock.at(after(clock.now(), leaveTime), resolve);
    });
    cancelLate();
    if (!this.#isLeaving) return;
    const text = `GoBGP was not told that it speaks for this node no more; it is told when it answers. Until then it may hold the port and sessions: stop gobgpd if it does not end. ${this.#notLeft}`;
    this.#modules.outputs.event('warn', 'gobgp.notLeft', { text });
    this.#cancelFarewell = clock.at(after(clock.now(), farewellTime), () => this.#end());
  }

  #quiet(): void {
    this.#facts.stop();
    this.#cancelKeep?.();
    this.#endPause?.();
    this.#discovery?.close();
  }

  #end(): void {
    this.#state = 'stopped';
    this.#quiet();
    this.#cancelFarewell?.();
    this.#connection?.close();
    this.#left();
  }
}
