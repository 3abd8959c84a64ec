/**
 * The embedded engine without its sockets: peers, tables and time put together behind the engine port. In: intents, the
 * kernel's view, confirmations; out: FibUpdates, facts, events. What is long is done in slices in one fixed order: sweeps,
 * decisions, rows for the kernel, UPDATEs for the peers.
 */
import type { IpAddress, Prefix } from '#lib/ip.ts';
import { families, familyOf } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import type { KernelView } from '#dataplane/kernel-view.ts';
import {
  type BgpEngine,
  type BgpIntent,
  type EngineStop,
  type PeerIntent,
  type RouteAnswer,
  type RouteQuery,
  wantsSession,
} from '../engine.ts';
import type { LinkNeighbour } from '../discovery/io/discovery.ts';
import { nothingDropped } from '../io/dropped-segments.ts';
import type { Session } from '../io/session-runner.ts';
import type { ExportNode } from '../policy/export.ts';
import { exportNode, isClient } from '../policy/export.ts';
import type { NeverImported } from '../policy/import.ts';
import { compileImport, neverImported, sameImport } from '../policy/import.ts';
import type { DecisionRules } from '../rib/decision.ts';
import { CEASE } from '../wire/codes.ts';
import { cease } from '../wire/notification.ts';
import { BackPressure } from './back-pressure.ts';
import { Core } from './core.ts';
import { FactsPacer, factsOf } from './facts.ts';
import type { EngineModules, SpeakerOptions } from './modules.ts';
import { ListenRanges, intentInRange } from './listen-ranges.ts';
import { Neighbours } from './neighbours.ts';
import { Openings, placeOf } from './openings.ts';
import { OwnStart } from './own-start.ts';
import type { PeerContext } from './peer.ts';
import { Peer } from './peer.ts';
import { type PeerChange, planPeers } from './reconfigure.ts';
import { queryRoutes } from './route-query.ts';
import { Work } from './work.ts';

export class Speaker implements BgpEngine {
  readonly #modules: EngineModules;
  readonly #core: Core;
  readonly #facts: FactsPacer;
  readonly #work: Work;
  readonly #start: OwnStart;
  readonly #backPressure = new BackPressure(
    () => this.#work.undecided,
    () => this.#sessions(),
  );
  readonly #peers = new Map<string, Peer>();
  readonly #peerContext: PeerContext;
  readonly #openings: Openings;
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
  #stopped = false;

  constructor(options: SpeakerOptions, modules: EngineModules) {
    this.#modules = modules;
    this.#core = new Core((update) => modules.outputs.fib(update));
    this.#work = new Work(this.#core, modules, {
      decided: () => this.#backPressure.review(),
      rested: () => {
        this.#start.complete();
        this.#facts.changed();
      },
    });
    this.#start = new OwnStart(options, {
      core: this.#core,
      modules,
      work: this.#work,
      peers: () => this.#peers.values(),
      view: () => this.#view,
    });
    this.#facts = new FactsPacer(modules.clock, () => this.#publish());
    this.#peerContext = {
      core: this.#core,
      modules,
      view: () => this.#view,
      gracefulRestart: (peer) => this.#start.gracefulRestart(peer),
      exportNode: () => this.#exportNode,
      isReading: () => this.#backPressure.isReading,
      wake: () => {
        this.#work.wake();
        this.#backPressure.review();
      },
      changed: () => this.#facts.changed(),
      counted: () => this.#facts.counted(),
      reopen: (peer) => {
        this.#openings.open(peer);
        this.#facts.changed();
      },
      sweep: (sweep) => this.#work.sweep(sweep),
      opened: (output) => this.#work.outputs.add(output),
      closed: (output) => this.#work.outputs.delete(output),
      disposeRibOut: (ribOut) => this.#work.disposeRibOut(ribOut),
      heard: (peer, family) => this.#start.heard(peer.intent.name, family),
    };
    this.#openings = new Openings({
      modules,
      intent: () => this.#local,
      peers: this.#peers,
      refusesInterface: (index) => this.#podInterfaces.has(index),
      changed: () => this.#facts.changed(),
      listening: (listener) => this.#ranges.review(listener),
    });
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
    this.#openings.listen(observed, desired);
    this.#neighbours.review();
    this.#ranges.review(this.#openings.listener);
    for (const peer of starting) this.#openings.open(peer);
    this.#start.begin(desired);
    this.#work.wake();
    this.#facts.changed();
  }

  #remove(peer: Peer, text: string): void {
    const { name } = peer.intent;
    this.#peers.delete(name);
    this.#start.heard(name);
    this.#openings.end(peer, CEASE.peerDeconfigured, text);
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
    this.#openings.open(peer);
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
      this.#openings.open(peer);
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
    if (peer.session !== undefined)
      this.#openings.end(peer, CEASE.otherConfigurationChange, 'the neighbour is another one');
    peer.dropRoutes();
    peer.neighbour = neighbour;
    this.#openings.open(peer);
  }

  #endBy(peer: Peer, desired: PeerIntent): void {
    if (wantsSession(desired)) return this.#openings.end(peer, CEASE.otherConfigurationChange, 'configuration changed');
    const isDrained = desired.enabled;
    const text = isDrained ? 'drained' : (desired.shutdownText ?? 'peer disabled');
    this.#openings.end(peer, CEASE.administrativeShutdown, text, isDrained);
    this.#start.heard(desired.name);
  }

  setKernelView(view: KernelView): void {
    this.#view = view;
    this.#podInterfaces = new Set(view.interfaces.filter((link) => link.pod).map((link) => link.index));
    const changed = new Set(this.#core.nextHops.setView(view));
    this.#core.fib.forgetResolutions();
    if (changed.size > 0) for (const family of families) this.#work.sweepFamily(family, { kind: 'nextHops', changed });
    for (const output of this.#work.outputs) output.review(false);
    for (const peer of this.#peers.values()) {
      if (peer.isOffLink) this.#openings.end(peer, CEASE.connectionRejected, 'the peer is not directly connected');
      this.#openings.open(peer);
    }
    this.#neighbours.review();
    this.#start.kernelSeen();
    this.#work.wake();
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
    this.#start.confirm(sequence);
    this.#work.wake();
  }

  *#sessions(): Generator<Session> {
    for (const { session } of this.#peers.values()) if (session !== undefined) yield session;
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
        this.#openings.listener,
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
    this.#start.heard(peer);
    this.#work.wake();
    return found !== undefined;
  }

  get forwards(): boolean {
    return this.#start.restarted || [...this.#peers.values()].some(({ seen }) => seen);
  }

  async stop(how: EngineStop): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#openings.stop();
    this.#work.stop();
    this.#facts.stop();
    this.#start.stop();
    this.#neighbours.close();
    const ends = [...this.#peers.values()].map((peer) => {
      if (how === 'cease') peer.output?.withdrawAll();
      return peer.stop(how === 'cease' ? cease(CEASE.administrativeShutdown, 'flatroute stops') : 'silent');
    });
    await this.#openings.closed(ends);
  }
}
