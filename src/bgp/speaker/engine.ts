/**
 * The embedded engine without its sockets: peers, tables and time put together behind the engine port. In: intents, the
 * kernel's view, confirmations; out: FibUpdates, facts, events. What is long is done in slices in one fixed order: sweeps,
 * decisions, rows for the kernel, UPDATEs for the peers.
 */
import type { Family, IpAddress, Prefix } from '#lib/ip.ts';
import { families, familyOf } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import type { KernelView } from '#dataplane/kernel-view.ts';
import {
  type BgpEngine,
  type BgpIntent,
  type PeerIntent,
  type RouteAnswer,
  type RouteQuery,
  wantsSession,
} from '../engine.ts';
import type { LinkNeighbour } from '../discovery/io/discovery.ts';
import type { Listener } from '../io/listener.ts';
import { nothingDropped } from '../io/dropped-segments.ts';
import type { LocalGracefulRestart, Session } from '../io/session-runner.ts';
import type { ExportNode } from '../policy/export.ts';
import { exportNode, isClient } from '../policy/export.ts';
import type { NeverImported } from '../policy/import.ts';
import { compileImport, neverImported, sameImport } from '../policy/import.ts';
import type { AdjRibOut } from '../rib/adj-rib-out.ts';
import type { DecisionRules } from '../rib/decision.ts';
import type { Sweep } from '../rib/family-rib.ts';
import type { GroupRibOut } from '../rib/group-rib-out.ts';
import { CEASE } from '../wire/codes.ts';
import { cease } from '../wire/notification.ts';
import { BackPressure } from './back-pressure.ts';
import { Core } from './core.ts';
import { FactsPacer, factsOf } from './facts.ts';
import type { EngineModules, SpeakerOptions } from './modules.ts';
import { type ExpectedPeer, isHoped } from './inheritance.ts';
import { ListenRanges, intentInRange } from './listen-ranges.ts';
import { Neighbours } from './neighbours.ts';
import type { PeerContext, PeerSweep } from './peer.ts';
import { Peer } from './peer.ts';
import type { PeerOutput } from './peer-output.ts';
import { routesPerRun } from './peer-output.ts';
import { type PeerChange, planPeers } from './reconfigure.ts';
import { StartWatch } from './restart.ts';
import { queryRoutes } from './route-query.ts';
import { Slices } from './slices.ts';

/** Per step; a step takes about a millisecond, so a slice ends close to its time. */
const pathsPerSweepStep = 8192;
const decisionsPerStep = 1024;
/** Peers that catch up, and groups that are written to, in one step; with many of them they take turns. */
const outputsPerStep = 2;

/**
 * Rows on their way to the kernel beyond which nothing is decided: what changes meanwhile is decided once, by its last
 * state, instead of waiting in a queue without end. Four full updates keep the kernel's side busy.
 */
const mostRowsUnacknowledged = 16_384;

/** Two sessions with one place would be in each other's way. */
const placeOf = ({ address, interface: name }: PeerIntent): string => (name === undefined ? address : `%${name}`);

/** Does a little; answers whether more is left. */
type Job = () => boolean;

export class Speaker implements BgpEngine {
  readonly #options: SpeakerOptions;
  readonly #modules: EngineModules;
  readonly #core: Core;
  readonly #slices: Slices;
  readonly #facts: FactsPacer;
  readonly #start = new StartWatch();
  readonly #backPressure = new BackPressure(
    () => this.#undecided,
    () => this.#sessions(),
  );
  readonly #peers = new Map<string, Peer>();
  readonly #peerContext: PeerContext;
  /** Of established sessions. */
  readonly #outputs = new Set<PeerOutput>();
  /** One after another: a sweep must be over before the slot it frees can mean another peer. */
  readonly #jobs: Job[] = [];
  /** Sessions on their way out, by where the peer is: the next of the same place waits. */
  readonly #ending = new Map<string, Promise<void>>();
  readonly #neighbours: Neighbours;
  readonly #ranges: ListenRanges;
  #intent: BgpIntent | undefined;
  #generation = 0;
  #never: NeverImported = neverImported([]);
  #exportNode: ExportNode = { reflects: false, clusterId: 0 };
  /** Names of the peers that are clients of this reflector. */
  #clients: readonly string[] = [];
  #view: KernelView = { interfaces: [], routes: [] };
  #podInterfaces: ReadonlySet<number> = new Set();
  #listener: Listener | undefined;
  #cancelStartTimer: (() => void) | undefined;
  #stopped = false;

  constructor(options: SpeakerOptions, modules: EngineModules) {
    this.#options = options;
    this.#modules = modules;
    this.#core = new Core((update) => modules.outputs.fib(update));
    this.#core.groups.learned = !options.restarted;
    this.#slices = new Slices(modules.clock, modules.defer ?? ((work) => void setImmediate(work)), () => this.#step());
    this.#facts = new FactsPacer(modules.clock, () => this.#publish());
    this.#peerContext = {
      core: this.#core,
      modules,
      view: () => this.#view,
      gracefulRestart: (peer) => this.#gracefulRestart(peer),
      exportNode: () => this.#exportNode,
      isReading: () => this.#backPressure.isReading,
      wake: () => {
        this.#slices.wake();
        this.#backPressure.review();
      },
      changed: () => this.#facts.changed(),
      counted: () => this.#facts.counted(),
      reopen: (peer) => {
        this.#open(peer);
        this.#facts.changed();
      },
      sweep: (sweep) => this.#sweep(sweep),
      opened: (output) => this.#outputs.add(output),
      closed: (output) => this.#outputs.delete(output),
      disposeRibOut: (ribOut) => this.#disposeRibOut(ribOut),
      heard: (peer, family) => this.#heard(peer.intent.name, family),
    };
    this.#neighbours = new Neighbours(modules, {
      peers: () => this.#peers.values(),
      view: () => this.#view,
      moved: (peer, neighbour) => this.#moved(peer, neighbour),
      changed: () => this.#facts.changed(),
    });
    this.#ranges = new ListenRanges({
      peers: () => this.#peers,
      isOwn: (address) => this.#view.interfaces.some((link) => link.addresses.some((own) => own.address === address)),
      admit: (intent, parent) => this.#admit(intent, parent),
      over: (peer) => this.#remove(peer, 'the dynamic neighbour is gone'),
      full: ({ intent: { name, listenRange } }, address) =>
        modules.outputs.event('warn', 'range.full', { peer: name, address, limit: listenRange?.limit }),
      changed: () => this.#facts.changed(),
    });
    // After a reboot the kernel has nothing, and what it has all the same is not ours to keep.
    const inherited = options.restarted ? options.inherited : undefined;
    if (inherited !== undefined) for (const rib of Object.values(this.#core.ribs)) rib.inherit(inherited);
  }

  apply(desired: BgpIntent, generation: number): void {
    if (this.#stopped) return;
    const observed = this.#intent;
    const plan = planPeers(observed, desired);
    this.#intent = desired;
    this.#generation = generation;
    this.#setLocal(desired);
    this.#setForwarding(desired);
    const nodeChanged = this.#setExportNode(desired);
    const ownChanged = JSON.stringify(observed?.ownPrefixes) !== JSON.stringify(desired.ownPrefixes);
    const clusterChanged = observed?.clusterId !== desired.clusterId;
    if (ownChanged) this.#never = neverImported(desired.ownPrefixes);
    for (const name of plan.removed) {
      const peer = this.#peers.get(name);
      for (const it of [...(peer === undefined ? [] : [peer]), ...this.#ranges.children(name)])
        this.#remove(it, 'peer removed');
    }
    const named = new Set(desired.peers.map(({ address }) => address));
    const changes = plan.changed.flatMap((change) => [change, ...this.#changesInRange(change, named)]);
    for (const peer of [...this.#peers.values()])
      if (peer.parent !== undefined && !changes.some(({ peer: { name } }) => name === peer.intent.name))
        this.#remove(peer, 'the listen range does not hold the address any more');
    const starting: Peer[] = [];
    for (const { peer: intent, change } of changes) {
      const peer = this.#peers.get(intent.name);
      if (peer === undefined) continue;
      if (change === 'reset') {
        // Without a session there is nothing to end; routes that a drain left in use are handed to the next one.
        if (wantsSession(peer.intent)) this.#endBy(peer, intent);
        starting.push(peer);
      }
      this.#refresh(peer, intent, ownChanged || clusterChanged || change === 'reset', nodeChanged || change !== 'none');
    }
    for (const intent of plan.added) {
      const peer = new Peer(intent, this.#rules(intent), this.#peerContext);
      this.#peers.set(intent.name, peer);
      starting.push(peer);
    }
    this.#listen(observed, desired);
    this.#neighbours.review();
    this.#ranges.review(this.#listener);
    for (const peer of starting) this.#open(peer);
    this.#beginStart(desired);
    this.#slices.wake();
    this.#facts.changed();
  }

  #remove(peer: Peer, text: string): void {
    const { name } = peer.intent;
    this.#peers.delete(name);
    this.#heard(name);
    this.#end(peer, CEASE.peerDeconfigured, text);
  }

  /** What a changed listen range means for those who came from it. `named`: addresses that are a configured peer's. */
  #changesInRange({ peer, change }: PeerChange, named: ReadonlySet<IpAddress>): PeerChange[] {
    return [...this.#ranges.children(peer.name)].flatMap((child): PeerChange[] => {
      const { address } = child.intent;
      const intent = named.has(address) ? undefined : intentInRange(peer, address);
      return intent === undefined ? [] : [{ peer: intent, change }];
    });
  }

  /** Somebody connects from a listen range: its session is there when this returns true. */
  #admit(intent: PeerIntent, parent: Peer): boolean {
    const peer = new Peer(intent, this.#rules(intent), this.#peerContext, parent.intent.name);
    this.#peers.set(intent.name, peer);
    this.#start.joins(parent.intent.name, intent.name, intent.families);
    this.#open(peer);
    this.#facts.changed();
    return peer.session !== undefined;
  }

  #setLocal(desired: BgpIntent): void {
    for (const family of families) {
      const own = new Map<Prefix, number>();
      for (const { prefix, communities = [] } of desired.announcements)
        if (familyOf(prefix) === family && !own.has(prefix))
          own.set(prefix, this.#core.attributes.originate(communities));
      this.#core.ribs[family].setLocal(own);
    }
  }

  #setForwarding(desired: BgpIntent): void {
    for (const rib of Object.values(this.#core.ribs)) {
      const installs = desired.installRoutes !== false;
      const rules: DecisionRules = { ...desired.multipath, ...desired.bestPath };
      if (JSON.stringify(rules) === JSON.stringify(rib.rules) && rib.installs === installs) continue;
      rib.rules = rules;
      rib.installs = installs;
      rib.markAll();
    }
  }

  /** True when what all peers are told may be something else now. */
  #setExportNode(desired: BgpIntent): boolean {
    const node = exportNode(desired);
    const clients = desired.peers.filter(isClient).map(({ name }) => name);
    const changed = JSON.stringify([node, clients]) !== JSON.stringify([this.#exportNode, this.#clients]);
    this.#exportNode = node;
    this.#clients = clients;
    for (const rib of Object.values(this.#core.ribs)) {
      if (rib.reflects === node.reflects) continue;
      rib.reflects = node.reflects;
      rib.markAll();
    }
    return changed;
  }

  #rules(intent: PeerIntent): ReturnType<typeof compileImport> {
    return compileImport(intent, this.#local, this.#never, (hop) => this.#core.nextHops.reachedBy(hop));
  }

  get #local(): BgpIntent {
    if (this.#intent === undefined) throw new AppError('BUG_NO_INTENT', 'the engine has no intent yet');
    return this.#intent;
  }

  /** Routes are judged and announced by the changed intent; no session is touched. */
  #refresh(peer: Peer, intent: PeerIntent, judge: boolean, changed: boolean): void {
    const observed = peer.intent;
    // Kept routes are those of a neighbour; another address or AS is another neighbour.
    if (
      placeOf(observed) !== placeOf(intent) ||
      observed.peerAsn !== intent.peerAsn ||
      observed.localAsn !== intent.localAsn
    )
      peer.dropRoutes();
    peer.intent = intent;
    if (observed.password !== intent.password) peer.session?.setPassword(intent.password);
    // Another limit is a new chance.
    if (observed.maxPrefixes !== intent.maxPrefixes || observed.maxPrefixesRestart !== intent.maxPrefixesRestart) {
      peer.hold.release();
      this.#open(peer);
    }
    if (peer.adjacency !== undefined) peer.adjacency.client = isClient(intent);
    if (judge || !sameImport(observed, intent)) peer.setRules(this.#rules(intent));
    if (!changed) return;
    peer.output?.review(true);
    const over = peer.overLimit();
    if (over !== undefined) peer.session?.reset(over);
  }

  /** Another neighbour is another router: what the one before said goes. */
  #moved(peer: Peer, neighbour: LinkNeighbour): void {
    if (peer.session !== undefined) this.#end(peer, CEASE.otherConfigurationChange, 'the neighbour is another one');
    peer.dropRoutes();
    peer.neighbour = neighbour;
    this.#open(peer);
  }

  #endBy(peer: Peer, desired: PeerIntent): void {
    if (wantsSession(desired)) return this.#end(peer, CEASE.otherConfigurationChange, 'configuration changed');
    const isDrained = desired.enabled;
    const text = isDrained ? 'drained' : (desired.shutdownText ?? 'peer disabled');
    this.#end(peer, CEASE.administrativeShutdown, text, isDrained);
    this.#heard(desired.name);
  }

  /** `keepRoutes`: what the peer announced stays in use for the stale time. */
  #end(peer: Peer, subcode: number, text: string, keepRoutes = false): void {
    const place = placeOf(peer.intent);
    const before = this.#ending.get(place);
    const stopped = peer.stop(cease(subcode, text), keepRoutes);
    const end = async (): Promise<void> => {
      await before;
      await stopped;
      if (this.#ending.get(place) === ended) this.#ending.delete(place);
    };
    const ended = end();
    this.#ending.set(place, ended);
  }

  #listen(observed: BgpIntent | undefined, desired: BgpIntent): void {
    if (this.#listener !== undefined && observed?.listenPort === desired.listenPort) return;
    const replaced = this.#listener;
    this.#listener = undefined;
    const create = (): void => {
      if (this.#stopped || this.#listener !== undefined) return;
      this.#listener = this.#modules.createListener(
        { port: this.#local.listenPort },
        {
          clock: this.#modules.clock,
          refusesInterface: (index) => this.#podInterfaces.has(index),
          changed: () => this.#facts.changed(),
        },
      );
      for (const peer of this.#peers.values()) this.#open(peer);
      this.#ranges.review(this.#listener);
    };
    if (replaced === undefined && this.#ending.size === 0) create();
    // Every session was reset with the port; the listener goes when they are off it.
    else
      this.#detach(
        Promise.all(this.#ending.values())
          .then(() => replaced?.close())
          .then(create),
      );
  }

  #open(peer: Peer): void {
    const start = (): void => {
      const listener = this.#listener;
      if (this.#stopped || listener === undefined || peer.session !== undefined) return;
      if (this.#peers.get(peer.intent.name) === peer) peer.start(this.#local, listener);
    };
    const ending = this.#ending.get(placeOf(peer.intent));
    if (ending === undefined) start();
    else this.#detach(ending.then(start));
  }

  /** A failure in here is a bug of ours and must not vanish with the promise. */
  #detach(work: Promise<unknown>): void {
    work.catch((error: unknown) => {
      queueMicrotask(() => {
        throw error;
      });
    });
  }

  #beginStart(desired: BgpIntent): void {
    // Who comes from a range is not known; only what they said in an earlier life is worth waiting for.
    const awaited = desired.peers.filter(
      (peer) => wantsSession(peer) && (peer.listenRange === undefined || this.#options.restarted),
    );
    this.#start.begin(awaited, this.#modules.clock.now());
    this.#armStartTimer();
    this.#reviewInherited();
  }

  /** What the peer had to say of the family, or at all, is said. */
  #heard(peer: string, family?: Family): void {
    this.#start.heard(peer, family);
    this.#reviewInherited();
    this.#slices.wake();
  }

  /** Inherited next hops go when nobody is left who may name them, each peer's by themselves. */
  #reviewInherited(): void {
    if (!this.#start.begun || this.#start.phase !== 'waiting') return;
    const { nextHops, ribs } = this.#core;
    const links = new Map(this.#view.interfaces.map(({ name, index }) => [name, index]));
    for (const family of families) {
      if (!ribs[family].isInheriting) continue;
      const peers = [...this.#peers.values()].map(({ intent, endpoint }): ExpectedPeer => {
        const address = endpoint?.address ?? intent.address;
        const scope = intent.interface === undefined ? undefined : links.get(intent.interface);
        const way = nextHops.resolve(address, scope);
        return {
          address,
          range: intent.listenRange?.prefix,
          interfaceIndex: scope ?? (way.ok ? way.hop.interfaceIndex : undefined),
          awaited: this.#start.awaits(intent.name, family),
        };
      });
      const slice = ribs[family].reviewInherited((hop) => {
        const way = nextHops.resolve(hop.gateway, hop.interfaceIndex);
        return way.ok && way.hop.interfaceIndex === hop.interfaceIndex && isHoped(hop, peers);
      });
      if (slice !== undefined) this.#jobs.push(() => slice(pathsPerSweepStep));
    }
  }

  #armStartTimer(): void {
    this.#cancelStartTimer?.();
    this.#cancelStartTimer = undefined;
    const { deadline } = this.#start;
    if (deadline === undefined || this.#start.phase === 'done') return;
    this.#cancelStartTimer = this.#modules.clock.at(deadline, () => {
      if (this.#start.expire(this.#modules.clock.now())) this.#reviewInherited();
      this.#confirmStart(undefined);
      this.#slices.wake();
    });
  }

  #gracefulRestart(peer: Peer): LocalGracefulRestart | undefined {
    const { gracefulRestart, bfd, longLivedGracefulRestart, families: offered } = peer.intent;
    if (!gracefulRestart.enabled) return undefined;
    return {
      restartTimeSeconds: Math.round(gracefulRestart.restartTime / 1000),
      // RFC 4724 §3: R is about the speaker, F about what its kernel kept; a session that merely broke kept everything.
      restarted: this.#options.restarted && this.#start.phase !== 'done',
      notification: peer.intent.notificationRestart ?? bfd !== undefined,
      families: offered.map((family) => ({
        family,
        forwarding: peer.seen || this.#options.forwardingPreserved.includes(family),
      })),
      longLived: longLivedGracefulRestart && {
        staleTimeSeconds: Math.round(longLivedGracefulRestart.staleTime / 1000),
        families: longLivedGracefulRestart.families,
      },
    };
  }

  setKernelView(view: KernelView): void {
    this.#view = view;
    this.#podInterfaces = new Set(view.interfaces.filter((link) => link.pod).map((link) => link.index));
    const changed = new Set(this.#core.nextHops.setView(view));
    this.#core.fib.forgetResolutions();
    if (changed.size > 0) for (const family of families) this.#sweepFamily(family, { kind: 'nextHops', changed });
    for (const output of this.#outputs) output.review(false);
    for (const peer of this.#peers.values()) {
      if (peer.isOffLink) this.#end(peer, CEASE.connectionRejected, 'the peer is not directly connected');
      this.#open(peer);
    }
    this.#neighbours.review();
    this.#start.kernelSeen();
    this.#reviewInherited();
    this.#slices.wake();
    this.#facts.changed();
  }

  fibApplied(sequence: number): void {
    const batch = this.#core.fib.acknowledge(sequence);
    if (batch === undefined) return;
    for (let i = 0; i < batch.prefixes.length; i++) {
      const rib = this.#core.ribs[batch.family[i] === 4 ? 'ipv4' : 'ipv6'];
      const prefix = batch.prefixes[i] as number;
      if (rib.kernelHas(prefix, sequence)) this.#core.groups.decided(rib, prefix);
    }
    this.#confirmStart(sequence);
    this.#slices.wake();
  }

  #confirmStart(sequence: number | undefined): void {
    if (!this.#start.confirmed(sequence, this.#modules.clock.now())) return;
    this.#cancelStartTimer?.();
    if (this.#options.restarted) this.#core.groups.releaseLearned();
  }

  #sweep(sweep: PeerSweep): void {
    const { adjacency } = sweep;
    if (sweep.kind === 'stale' || sweep.kind === 'outlive') {
      const { family } = sweep;
      this.#sweepFamily(family, { ...sweep, life: adjacency.life[family] });
    } else for (const family of families) this.#sweepFamily(family, { kind: sweep.kind, adjacency });
    if (sweep.kind === 'dead')
      this.#jobs.push(() => {
        this.#core.adjacencies.close(adjacency);
        return false;
      });
    this.#slices.wake();
  }

  #sweepFamily(family: Family, sweep: Sweep): void {
    let at = 1;
    this.#jobs.push(() => {
      at = this.#core.ribs[family].sweep(sweep, at, pathsPerSweepStep);
      return at !== 0;
    });
  }

  #disposeRibOut(ribOut: AdjRibOut): void {
    const { group } = ribOut;
    this.#jobs.push(() => ribOut.dispose(pathsPerSweepStep) || this.#disposeGroup(group));
    this.#slices.wake();
  }

  #disposeGroup(group: GroupRibOut): boolean {
    return group.members.size === 0 && group.dispose(pathsPerSweepStep);
  }

  #step(): boolean {
    const job = this.#jobs[0];
    if (job !== undefined && !job()) this.#jobs.shift();
    let more = this.#jobs.length > 0;
    const isKernelBehind = this.#core.fib.unacknowledgedRows >= mostRowsUnacknowledged;
    if (!isKernelBehind)
      for (const family of families) if (this.#core.ribs[family].decideSome(decisionsPerStep)) more = true;
    this.#backPressure.review();
    // A full update leaves by itself; the rest leaves when there is nothing to add to it.
    if (this.#undecided === 0) this.#core.fib.flush(false);
    if (this.#write()) more = true;
    if (more) return true;
    // The kernel's next answer goes on with it.
    if (isKernelBehind && this.#undecided > 0) return false;
    this.#completeStart();
    this.#facts.changed();
    return false;
  }

  get #undecided(): number {
    return this.#core.ribs.ipv4.undecidedCount + this.#core.ribs.ipv6.undecidedCount;
  }

  *#sessions(): Generator<Session> {
    for (const { session } of this.#peers.values()) if (session !== undefined) yield session;
  }

  /** Writes to those that have something to hear: peers that catch up, then groups. Whoever was served waits for the others. */
  #write(): boolean {
    this.#settleGroups();
    const served: PeerOutput[] = [];
    for (const output of this.#outputs) {
      if (output.run()) served.push(output);
      if (served.length === outputsPerStep) break;
    }
    for (const output of served) {
      // A send may have ended the session.
      if (this.#outputs.delete(output)) this.#outputs.add(output);
    }
    return this.#core.groups.run(routesPerRun, outputsPerStep) || served.length > 0;
  }

  #settleGroups(): void {
    const { moved, left } = this.#core.groups.settle();
    if (moved.size > 0) for (const output of this.#outputs) output.moved(moved);
    for (const group of left) this.#jobs.push(() => this.#disposeGroup(group));
  }

  /** All that was heard is decided: the moment to say `complete`, if it is due. */
  #completeStart(): void {
    const now = this.#modules.clock.now();
    if (!this.#start.ready(now)) return;
    this.#start.completed(this.#core.fib.sequence, now);
    this.#armStartTimer();
    this.#modules.outputs.event('info', 'routes.complete', { sequence: this.#core.fib.sequence });
    this.#core.fib.flush(true);
  }

  #publish(): void {
    if (this.#stopped) return;
    this.#ranges.reap();
    const dropped = this.#modules.droppedSegments?.() ?? nothingDropped;
    this.#modules.outputs.facts(
      factsOf(
        this.#intent,
        this.#generation,
        this.#core,
        this.#peers,
        this.#listener,
        dropped,
        this.#modules.optionMemory?.(),
        (peer) => this.#ranges.facts(peer),
      ),
    );
  }

  routes(query: RouteQuery): RouteAnswer {
    return queryRoutes(query, this.#core, this.#peers);
  }

  reset(peer: string, how: 'hard' | 'soft'): boolean {
    const found = this.#peers.get(peer);
    if (found === undefined) return false;
    if (found.intent.listenRange !== undefined)
      return [...this.#ranges.children(peer)].map((child) => this.reset(child.intent.name, how)).some((done) => done);
    if (found.hold.isPenalty) {
      found.hold.release();
      this.#peerContext.reopen(found);
      return true;
    }
    if (found.session === undefined) return false;
    if (how === 'soft') return found.refreshBoth();
    const reset = cease(CEASE.administrativeReset, 'reset by the operator');
    if (found.session.state === 'Established') found.session.reset(reset);
    else {
      // Whoever resets what does not come up has mended something, and does not want to wait for as long as it failed before.
      void found.session.stop(reset);
      found.session.start();
    }
    return true;
  }

  /** The path to the peer has failed (BFD): whatever graceful restart says, its routes go (RFC 9384 §3). False: no such peer. */
  pathFailed(peer: string, text: string): boolean {
    const found = this.#peers.get(peer);
    found?.fail(cease(CEASE.bfdDown, text));
    this.#heard(peer);
    this.#slices.wake();
    return found !== undefined;
  }

  async stop(how: 'silent' | 'cease'): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#slices.stop();
    this.#facts.stop();
    this.#cancelStartTimer?.();
    this.#neighbours.close();
    const ends = [...this.#peers.values()].map((peer) => {
      if (how === 'cease') peer.output?.withdrawAll();
      return peer.stop(how === 'silent' ? 'silent' : cease(CEASE.administrativeShutdown, 'flatroute stops'));
    });
    await Promise.all([...ends, ...this.#ending.values()]);
    await this.#listener?.close();
  }
}
