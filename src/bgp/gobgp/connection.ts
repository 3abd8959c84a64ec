/**
 * One connection with GoBGP, from the first comparison to the day that it does not answer any more. In: what is wanted; out:
 * calls, and what GoBGP says into the tables that outlive the connection.
 */
import type { Family, Prefix } from '#lib/ip.ts';
import { familyOf } from '#lib/ip.ts';
import type { Duration, Instant } from '#lib/time.ts';
import { after, milliseconds, seconds } from '#lib/time.ts';
import { type EngineStop, type PeerIntent, type RouteAnswer, type RouteQuery, wantsSession } from '../engine.ts';
import { ownNextHop } from '../rib/own-next-hop.ts';
import { AcceptedCounts } from './accepted.ts';
import { AnnouncedPrefixes } from './announced.ts';
import { type Desired, desiredOf, nameOf, pathOf } from './desired.ts';
import { hasSaidAll, isUp, negotiated } from './facts.ts';
import { Feed } from './feed.ts';
import { type GobgpClient, isRefusal } from './io/client.ts';
import { observe, readGlobal, readPeers } from './io/observe.ts';
import type { PeerMessage } from './messages.ts';
import type { Shared } from './modules.ts';
import { bareAddress } from './paths.ts';
import { addressOf, planGobgp } from './plan.ts';
import { perform, type Reconciled, reconcile } from './reconcile.ts';
import { Greetings } from './greetings.ts';
import { Revivals } from './revivals.ts';
import { gobgpRoutes } from './routes.ts';
import { start, type Started } from './start.ts';
import { Waits } from './waits.ts';

/** How often GoBGP is asked for its peers while nothing happens; it is how a process that hangs is noticed, too. */
const lookTime: Duration = seconds(2);
/** A change is looked at this long after it, so that several are one look. */
const settleTime: Duration = milliseconds(50);
/** Between two looks whether a session has ended. */
const endLookTime: Duration = milliseconds(10);
/** For sessions to end one after the other; the agent that stops has twice that, and what is left ends at once. */
const endTime: Duration = seconds(1);
/** How often everything is compared though nothing was changed from here: what others did is found. */
const compareTime: Duration = seconds(30);
/** What was refused is tried again after this time. */
const retryTime: Duration = seconds(5);

export class Connection {
  readonly #client: GobgpClient;
  readonly #shared: Shared;
  readonly #feed: Feed;
  readonly #waits: Waits;
  readonly #announced: AnnouncedPrefixes;
  readonly #accepted: AcceptedCounts;
  readonly #revivals: Revivals;
  readonly #greetings: Greetings;
  /** Where paths that begin in GoBGP were seen, ours and others'. */
  readonly #local = new Set<Prefix>();
  #relax: boolean;
  #closed = false;
  /** The comparison that runs, or that was the last. */
  #comparing: Promise<void> | undefined;
  #dirty = true;
  #compareAt: Instant | undefined;
  #started: Started | undefined;
  #listed = false;
  /** By every peer that is to be there; `#said`: and all of it was listed since. */
  #allSaid = false;
  #said = false;
  #saidAtLatest: Instant | undefined;
  #inForce: number | undefined;
  #reconciled: Reconciled | undefined;

  constructor(client: GobgpClient, shared: Shared) {
    this.#client = client;
    this.#shared = shared;
    this.#relax = shared.intent().multipath.relax;
    this.#waits = new Waits(shared.modules.clock);
    this.#announced = new AnnouncedPrefixes(client, shared);
    this.#accepted = new AcceptedCounts(client, shared);
    this.#revivals = new Revivals(client, shared, (address) => this.#send('EnablePeer', { address }));
    this.#greetings = new Greetings(shared, (address) =>
      this.#send('ResetPeer', { address, soft: true, direction: client.dialect.softReset.out }),
    );
    this.#feed = new Feed(client, {
      best: shared.best,
      localAsn: () => shared.intent().asn,
      several: () => shared.intent().multipath.maximumPaths > 1,
      relax: () => shared.intent().multipath.relax,
      session: (neighbor, path) =>
        shared.sessions().find(
          neighbor,
          (name) => shared.peers.get(name)?.state?.routerId === path.sourceId,
          (family) => shared.peers.localAddress(family),
        ),
      local: (prefix) => {
        this.#local.add(prefix);
        if (this.#listed) this.#compareSoon();
      },
      peer: () => this.#waits.wake(),
      allSaid: () => this.#isAllSaid(),
      listed: (isAll) => {
        this.#listed = true;
        // Paths of ours that nobody wants any more were found on the way.
        this.#compareSoon();
        if (isAll) this.#tell();
      },
      changed: () => {
        shared.best.flush(false);
        shared.changed();
      },
      defer: shared.modules.defer ?? setImmediate,
    });
  }

  get version(): 3 | 4 {
    return this.#client.dialect.version;
  }
  get isStarted(): boolean {
    return this.#started !== undefined;
  }
  /** Generation of the intent that GoBGP has. */
  get inForce(): number | undefined {
    return this.#inForce;
  }
  get problem(): string | undefined {
    return this.#started?.problem ?? this.#reconciled?.problem;
  }
  get conflicts(): ReadonlyMap<string, string> {
    return this.#reconciled?.conflicts ?? new Map<string, string>();
  }
  get drift(): readonly string[] {
    return this.#reconciled?.drift ?? [];
  }

  /** Something that is wanted of GoBGP changed. */
  wanted(): void {
    const { relax } = this.#shared.intent().multipath;
    if (relax !== this.#relax) this.#feed.listAnew();
    else this.#feed.sessionsChanged();
    this.#relax = relax;
    this.#compareSoon();
  }

  /** Unnumbered peers have other neighbours, or other links: what came from them leaves elsewhere. */
  neighboursChanged(): void {
    this.#feed.listAnew();
    this.#compareSoon();
  }

  kernelCaughtUp(): void {
    this.#feed.kernelCaughtUp();
  }

  close(): void {
    this.rest();
    this.#client.close();
  }

  /** Nothing is changed any more, and nothing heard: that GoBGP's table empties as it ends says nothing of the routes. */
  rest(): void {
    this.#closed = true;
    this.#feed.stop();
    this.#waits.wake();
    this.#revivals.close();
  }

  /** Ends only with an error, or after `rest` or `close`. */
  async run(): Promise<void> {
    await this.#compare();
    if (!this.#closed) await Promise.race([this.#feed.run(), this.#keep()]);
  }

  #compareSoon(): void {
    this.#dirty = true;
    this.#waits.wake();
  }

  async #keep(): Promise<void> {
    const { clock } = this.#shared.modules;
    while (!this.#closed) {
      await this.#waits.pause(this.#announced.dueWithin(lookTime));
      await new Promise<void>((resolve) => void clock.at(after(clock.now(), settleTime), resolve));
      if (this.#closed) return;
      const isDue = this.#compareAt === undefined || clock.now() >= this.#compareAt;
      if (this.#dirty || isDue) await this.#compare();
      else await this.#look();
      if (!this.#closed) this.#lookIfSaid();
    }
  }

  async #compare(): Promise<void> {
    this.#comparing = this.#compareNow();
    await this.#comparing;
  }

  async #compareNow(): Promise<void> {
    this.#dirty = false;
    const { clock } = this.#shared.modules;
    const generation = this.#shared.generation();
    this.#started = await start(this.#client, this.#shared, this.#started?.asked);
    if (this.#started.fresh && !this.#allSaid) this.#greetings.begin();
    if (this.#reconciled === undefined) await this.#adoptNeighbours();
    this.#reconciled = await reconcile({
      client: this.#client,
      shared: this.#shared,
      local: this.#local,
      greetings: this.#greetings,
    });
    this.#compareAt = after(clock.now(), this.#reconciled.problem === undefined ? compareTime : retryTime);
    this.#inForce = generation;
    this.#announced.askSoon();
    this.#accepted.askSoon();
    await this.#look();
  }

  /** Sessions of unnumbered peers that GoBGP went on with stay, though their neighbours have not been heard in this life. */
  async #adoptNeighbours(): Promise<void> {
    const { neighbours, adoptNeighbour } = this.#shared;
    const unheard = new Set([...neighbours()].flatMap(([name, { address }]) => (address === undefined ? name : [])));
    if (unheard.size === 0) return;
    for (const peer of await readPeers(this.#client)) {
      const name = nameOf(peer);
      const address = bareAddress(addressOf(peer));
      if (name !== undefined && address !== undefined && unheard.has(name)) adoptNeighbour(name, address);
    }
  }

  async #look(): Promise<void> {
    const { modules, peers, failed, best, changed } = this.#shared;
    const global = await readGlobal(this.#client);
    // Somebody stopped BGP there; a new process would have ended the connection.
    if (global === undefined) this.#compareSoon();
    const all = await readPeers(this.#client);
    const moved = peers.take(all, this.#client.dialect);
    for (const name of moved) {
      const isUpNow = peers.isUp(name);
      modules.outputs.event(isUpNow ? 'info' : 'warn', isUpNow ? 'session.established' : 'session.down', {
        peer: name,
      });
    }
    if (moved.length > 0) {
      this.#announced.askSoon();
      this.#feed.sessionsChanged();
    }
    const isRestored = failed.look(
      (name) => peers.session(name),
      (name, text) => this.reset(name, 'hard', text),
    );
    if (isRestored) best.flush(false);
    this.#revivals.look();
    this.#greetings.look();
    await this.#announced.read();
    if (this.#reconciled !== undefined) await this.#accepted.look(all, this.#reconciled.local);
    changed();
  }

  /** Families of an established session for which there is no next hop of ours. */
  noNextHop(peer: PeerMessage, intent: PeerIntent): Family[] {
    const localAddress = bareAddress(peer.transport?.localAddress ?? '');
    const remoteAddress = bareAddress(addressOf(peer));
    if (!isUp(peer) || localAddress === undefined || remoteAddress === undefined) return [];
    const extendedNextHop = familyOf(remoteAddress) === 'ipv6';
    const session = { localAddress, remoteAddress, context: { extendedNextHop } };
    return negotiated(peer, intent).filter((family) => ownNextHop(family, session, this.#shared.view()) === undefined);
  }

  retryAt(name: string): number | undefined {
    return this.#revivals.at(name);
  }

  /** Peers that are to be there, and say when they have said all. */
  #awaited(): readonly PeerIntent[] {
    return this.#shared.intent().peers.filter((peer) => wantsSession(peer) && peer.listenRange === undefined);
  }

  /** Every one of them has, as GoBGP told last, or is waited for no longer. */
  #isAllSaid(isLate = false): boolean {
    if (this.#allSaid) return true;
    const missing = this.#awaited().some(({ name }) => {
      const peer = this.#shared.peers.get(name);
      return peer === undefined || !hasSaidAll(peer);
    });
    if (missing && !isLate) return false;
    this.#allSaid = true;
    this.#greetings.over();
    return true;
  }

  /**
   * What was said since the listing began is listed once more: what the watch tells of it may come later than the word that it was
   * said, which is asked for beside it.
   */
  #lookIfSaid(): void {
    if (!this.#listed || this.#allSaid) return;
    const now = this.#shared.modules.clock.now();
    const longest = Math.max(0, ...this.#awaited().map((it) => it.gracefulRestart.restartTime)) as Duration;
    this.#saidAtLatest ??= after(now, longest);
    if (this.#isAllSaid(now >= this.#saidAtLatest)) this.#feed.listAnew();
  }

  /** All that GoBGP has was listed after it had been said. */
  #tell(): void {
    if (this.#said || this.#closed) return;
    this.#said = true;
    this.#shared.said();
  }

  /** Not waited for; what GoBGP says to it is in the log. */
  #send(method: string, request: object): void {
    this.#client.call(method, request).then(
      () => this.#waits.wake(),
      (error: unknown) => {
        const text = error instanceof Error ? error.message : String(error);
        this.#shared.modules.outputs.event('warn', 'gobgp.refused', { what: method, text });
      },
    );
  }

  reset(name: string, how: 'hard' | 'soft', communication: string): boolean {
    const { peers } = this.#shared;
    const peer = peers.get(name);
    if (peer === undefined)
      return [...peers.children(name)].map(([child]) => this.reset(child, how, communication)).some((done) => done);
    const address = addressOf(peer);
    if (how === 'soft') {
      this.#send('ResetPeer', { address, soft: true, direction: this.#client.dialect.softReset.both, communication });
      return true;
    }
    peers.ends(name, communication);
    // After a reset GoBGP waits for 30 s; a peer that is disabled and enabled again comes at once.
    void this.#client
      .call('DisablePeer', { address, communication })
      .catch(() => undefined)
      .then(() => this.#send('EnablePeer', { address }));
    return true;
  }

  /**
   * One after the other: version 4 loses the Cease of a session when it tells that peer of another's end in the same moment, and the
   * peer would keep our routes for a graceful restart. Of many sessions, those for which the time is long enough.
   */
  async #endSessions(peers: readonly PeerMessage[]): Promise<void> {
    const { clock } = this.#shared.modules;
    const deadline = after(clock.now(), endTime);
    for (const peer of peers.filter(isUp)) {
      if (clock.now() >= deadline) return;
      const address = addressOf(peer);
      await this.#client.call('DisablePeer', { address, communication: '' }).catch((error: unknown) => {
        // One of a listen range is gone with its session.
        if (!isRefusal(error)) throw error;
      });
      const isLeft = async (): Promise<boolean> =>
        (await readPeers(this.#client)).some((it) => addressOf(it) === address && isUp(it));
      while (clock.now() < deadline && (await isLeft()))
        await new Promise<void>((resolve) => void clock.at(after(clock.now(), endLookTime), resolve));
    }
  }

  /**
   * GoBGP stops speaking BGP; if others have peers there, only what is ours is taken out. Version 4 can close sessions without a word, so
   * that graceful restart holds for the engine that comes next (`handOver`); otherwise each ends with Cease/2.
   */
  async leave(how: Exclude<EngineStop, 'silent'>): Promise<void> {
    const empty: Desired = { ...desiredOf(this.#shared.intent(), new Map()), peers: [], groups: [], paths: new Map() };
    // What is being changed is changed before: BGP that begins or gets peers after its end would go on without us.
    await this.#comparing?.catch(() => undefined);
    if ((await readGlobal(this.#client)) === undefined) return;
    const observed = await observe(this.#client, this.#local);
    if (observed.peers.every((peer) => nameOf(peer) !== undefined)) {
      if (how === 'cease') await this.#endSessions(observed.peers);
      await this.#client.call('StopBgp', { allowGracefulRestart: how === 'handOver' });
      return;
    }
    const { before, paths } = planGobgp({
      observed,
      desired: empty,
      dialect: this.#client.dialect,
      foreign: 'Keep',
      pathOf: (prefix) => pathOf({ prefix, source: 'advertise' }),
      isRestart: () => false,
    });
    for (const step of [...before, ...paths])
      await perform({ client: this.#client, shared: this.#shared }, step, new Map());
  }

  routes(query: RouteQuery): Promise<RouteAnswer> {
    const { intent, peers, sessions } = this.#shared;
    return gobgpRoutes(query, this.#client, { intent: intent(), peers, sessions: sessions() });
  }
}
