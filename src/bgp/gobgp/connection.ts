/**
 * One connection with GoBGP, from the first comparison to the day that it does not answer any more. In: what is wanted; out:
 * calls, and what GoBGP says into the tables that outlive the connection.
 */
import type { Family, IpAddress, Prefix } from '#lib/ip.ts';
import { families, familyOf } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import type { Duration, Instant } from '#lib/time.ts';
import { after, milliseconds, seconds } from '#lib/time.ts';
import { type BgpIntent, type PeerIntent, type RouteAnswer, type RouteQuery, wantsSession } from '../engine.ts';
import { ownNextHop } from '../rib/own-next-hop.ts';
import { heldPeers } from './capabilities.ts';
import { type Desired, desiredOf, familyMessage, globalOf, nameOf, pathOf } from './desired.ts';
import { Feed } from './feed.ts';
import { hasSaidAll, isUp, negotiated } from './facts.ts';
import type { GobgpClient } from './io/client.ts';
import { destinations, observe, observePolicies, readGlobal, readPeers } from './io/observe.ts';
import type { GlobalMessage, PeerMessage } from './messages.ts';
import type { Shared } from './modules.ts';
import { zonedAddress } from './neighbours.ts';
import { bareAddress, listedPath } from './paths.ts';
import { addressOf, type Foreign, planGobgp, type Step } from './plan.ts';
import { policiesOf, withdrawalMark } from './policies.ts';
import { type PolicyPlan, planPolicies } from './policy-plan.ts';
import { gobgpRoutes } from './routes.ts';
import { Waits } from './waits.ts';
import { planWithdrawals, readAnnounced } from './withdrawals.ts';

/** How often GoBGP is asked for its peers while nothing happens; it is how a process that hangs is noticed, too. */
const lookTime: Duration = seconds(2);
/** A change is looked at this long after it, so that several are one look. */
const settleTime: Duration = milliseconds(50);
/** How often everything is compared though nothing was changed from here: what others did is found. */
const compareTime: Duration = seconds(30);
/** What was refused is tried again after this time. */
const retryTime: Duration = seconds(5);

export class Connection {
  readonly #client: GobgpClient;
  readonly #shared: Shared;
  readonly #feed: Feed;
  readonly #waits: Waits;
  /** Where paths that begin in GoBGP were seen, ours and others'. */
  readonly #local = new Set<Prefix>();
  #closed = false;
  #dirty = true;
  #compareAt: Instant | undefined;
  #global: GlobalMessage | undefined;
  /** Last time: GoBGP does not say by which rules it chooses a path. */
  #asked: GlobalMessage | undefined;
  /** GoBGP began to speak BGP when we told it to. */
  #fresh = false;
  #listed = false;
  #said = false;
  #saidAtLatest: Instant | undefined;
  #asksAnnounced: { at: Instant; wait: Duration } | undefined;
  #inForce: number | undefined;
  #problem: string | undefined;
  #problems: ReadonlyMap<string, string> = new Map();
  #drift: readonly string[] = [];
  readonly #retries = new Map<string, { readonly at: number; readonly cancel: () => void }>();

  constructor(client: GobgpClient, shared: Shared) {
    this.#client = client;
    this.#shared = shared;
    this.#waits = new Waits(shared.modules.clock);
    this.#feed = new Feed(client, {
      best: shared.best,
      localAsn: () => shared.intent().asn,
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
      listed: () => {
        this.#listed = true;
        // Paths of ours that nobody wants any more were found on the way.
        this.#compareSoon();
      },
      changed: () => {
        shared.best.flush(false);
        shared.changed();
      },
      defer: shared.modules.defer ?? setImmediate,
    });
  }

  get version(): number {
    return this.#client.dialect.version;
  }
  get isStarted(): boolean {
    return this.#global !== undefined;
  }
  /** Generation of the intent that GoBGP has. */
  get inForce(): number | undefined {
    return this.#inForce;
  }
  get problem(): string | undefined {
    return this.#problem;
  }
  get problems(): ReadonlyMap<string, string> {
    return this.#problems;
  }
  get drift(): readonly string[] {
    return this.#drift;
  }

  /** Something that is wanted of GoBGP changed. */
  wanted(): void {
    this.#compareSoon();
  }

  kernelCaughtUp(): void {
    this.#feed.kernelCaughtUp();
  }

  close(): void {
    this.#closed = true;
    this.#feed.stop();
    this.#waits.wake();
    for (const { cancel } of this.#retries.values()) cancel();
    this.#client.close();
  }

  /** Ends only with an error, or after `close`. */
  async run(): Promise<void> {
    await this.#compare();
    await Promise.race([this.#feed.run(), this.#keep()]);
  }

  #compareSoon(): void {
    this.#dirty = true;
    this.#waits.wake();
  }

  async #keep(): Promise<void> {
    const { clock } = this.#shared.modules;
    while (!this.#closed) {
      await this.#waits.pause(lookTime);
      await new Promise<void>((resolve) => void clock.at(after(clock.now(), settleTime), resolve));
      if (this.#closed) return;
      const isDue = this.#compareAt === undefined || clock.now() >= this.#compareAt;
      if (this.#dirty || isDue) await this.#compare();
      else await this.#look();
      this.#tellIfSaid();
    }
  }

  /** Desired against observed, and the difference done: all of it is tried, the first refusal is what people are told. */
  async #compare(): Promise<void> {
    this.#dirty = false;
    const { clock } = this.#shared.modules;
    const generation = this.#shared.generation();
    const intent = this.#shared.intent();
    const refused = new Map<string, string>();
    await this.#start();
    const neighbours = new Map(
      [...this.#shared.neighbours()].flatMap(([name, it]) => {
        const address = zonedAddress(it);
        return address === undefined ? [] : [[name, address] as const];
      }),
    );
    const policies = policiesOf(intent, {
      dialect: this.#client.dialect,
      addressOf: (peer) => {
        const neighbour = this.#shared.neighbours().get(peer.name);
        return peer.interface === undefined ? peer.address : neighbour?.address;
      },
      ipv6NextHop: (peer) => this.#ipv6NextHop(peer),
    });
    const policyPlan = planPolicies(policies, await observePolicies(this.#client), this.#foreign === 'Remove');
    // Read before and after the change: what a peer has and policy now refuses is withdrawn below.
    const before = policyPlan.changed.export ? await readAnnounced(this.#client) : undefined;
    for (const step of policyPlan.before) await this.#do(step, refused);
    const now = before && (await readAnnounced(this.#client));
    const isPolicyInForce = refused.size === 0;
    const desired = desiredOf(intent, neighbours, heldPeers(intent));
    for (const prefix of desired.paths.keys()) this.#local.add(prefix);
    const observed = await observe(this.#client, this.#local);
    const plan = planGobgp({
      observed,
      desired,
      dialect: this.#client.dialect,
      foreign: this.#foreign,
      pathOf: (prefix) => pathOf({ prefix, source: 'advertise' }),
      restarting: this.#fresh && this.#shared.forwards(),
    });
    // Without its policy no session is opened.
    const steps = [...plan.before, ...plan.paths, ...(isPolicyInForce ? plan.after : [])];
    for (const step of steps) await this.#do(step, refused);
    await this.#judgeAnew(observed.peers, policyPlan.changed, refused);
    if (before !== undefined && now !== undefined) {
      const withdrawals = planWithdrawals({
        before,
        now,
        own: new Map(
          intent.announcements.flatMap((it) => {
            const path = desired.paths.get(it.prefix);
            const marked = pathOf({ ...it, communities: [...(it.communities ?? []), withdrawalMark] });
            return path === undefined ? [] : [[it.prefix, { path, marked }] as const];
          }),
        ),
        several: (name) => (intentOf(intent, name)?.addPath?.send ?? 1) > 1,
        exports: policyPlan.exports,
        keptSets: new Set(policies.sets.map(({ name }) => name)),
        dialect: this.#client.dialect,
      });
      for (const step of withdrawals.steps) await this.#do(step, refused);
      for (const name of withdrawals.reset) await this.#renew(name, now.get(name)?.peer, intent);
    }
    if (isPolicyInForce) for (const step of policyPlan.after) await this.#do(step, new Map());
    this.#drift = [...plan.drift, ...policyPlan.drift];
    this.#problems = plan.conflicts;
    this.#problem = [...refused.values()][0];
    this.#compareAt = after(clock.now(), refused.size > 0 ? retryTime : compareTime);
    this.#inForce = generation;
    this.#askAnnounced();
    await this.#look();
  }

  /** Paths that are there are judged by the policy that has come into force. */
  async #judgeAnew(
    peers: readonly PeerMessage[],
    changed: PolicyPlan['changed'],
    refused: Map<string, string>,
  ): Promise<void> {
    const { softReset } = this.#client.dialect;
    if (!changed.import && !changed.export) return;
    const direction = changed.import ? (changed.export ? softReset.both : softReset.in) : softReset.out;
    for (const peer of peers) {
      const name = nameOf(peer);
      if (name === undefined || !isUp(peer)) continue;
      const request = { address: addressOf(peer), soft: true, direction };
      await this.#do({ method: 'ResetPeer', request, what: `judge the paths of ${name} anew` }, refused);
    }
  }

  /** A session that is wanted still begins anew, so that the peer has nothing that policy refuses. */
  async #renew(name: string, peer: PeerMessage | undefined, intent: BgpIntent): Promise<void> {
    const wanted = intentOf(intent, name);
    if (peer === undefined || wanted === undefined || !wantsSession(wanted) || heldPeers(intent).has(wanted.name))
      return;
    const address = addressOf(peer);
    const steps: readonly Step[] = [
      {
        method: 'DisablePeer',
        request: { address, communication: 'export policy changed' },
        what: `end the session of ${name} for its export policy`,
      },
      { method: 'EnablePeer', request: { address }, what: `open the session of ${name} again` },
    ];
    // One that ended meanwhile needs none of it.
    for (const step of steps) await this.#do(step, new Map());
  }

  #ipv6NextHop(peer: PeerIntent): IpAddress | undefined {
    const { nextHops } = this.#shared.best;
    const view = this.#shared.view();
    const way = nextHops.resolve(peer.address, undefined);
    const link = way.ok ? view.interfaces.find(({ index }) => index === way.hop.interfaceIndex) : undefined;
    const localAddress =
      peer.sourceAddress ?? link?.addresses.find(({ address }) => familyOf(address) === 'ipv4')?.address;
    if (localAddress === undefined) return undefined;
    return ownNextHop('ipv6', { localAddress, remoteAddress: peer.address, context: {} }, view)?.global;
  }

  get #foreign(): Foreign {
    return this.#shared.intent().engine?.foreign ?? 'Keep';
  }

  /** BGP is started as it is wanted; other people's sessions are not ended for that. */
  async #start(): Promise<void> {
    const global = globalOf(this.#shared.intent());
    const observed = await readGlobal(this.#client);
    const isAsAsked = this.#asked === undefined || JSON.stringify(this.#asked) === JSON.stringify(global);
    if (observed !== undefined && isAsAsked && sameGlobal(observed, global)) {
      this.#global = observed;
      this.#asked = global;
      return;
    }
    if (observed !== undefined) {
      const foreign = (await readPeers(this.#client)).filter((peer) => nameOf(peer) === undefined);
      if (foreign.length > 0 && this.#foreign === 'Keep')
        throw new AppError(
          'GOBGP_OTHER_SETTINGS',
          `GoBGP speaks BGP as AS ${observed.asn}, ${observed.routerId}, port ${observed.listenPort}, and has peers of somebody else; wanted are AS ${global.asn}, ${global.routerId}, port ${global.listenPort}. Start it without a configuration, or make the two agree.`,
          { retry: 'backoff' },
        );
      await this.#client.call('StopBgp', {});
    }
    await this.#client.call('StartBgp', { global });
    this.#fresh = true;
    this.#global = global;
    this.#asked = global;
    this.#shared.modules.outputs.event('info', 'gobgp.started', { asn: global.asn, routerId: global.routerId });
  }

  async #do(step: Step, refused: Map<string, string>): Promise<void> {
    const { outputs } = this.#shared.modules;
    try {
      await this.#client.call(step.method, step.request);
      outputs.event('debug', 'gobgp.changed', { what: step.what });
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'GOBGP_REFUSED') throw error;
      refused.set(step.what, error.message);
      outputs.event('warn', 'gobgp.refused', { what: step.what, text: error.message });
    }
  }

  async #look(): Promise<void> {
    const { modules, peers, changed } = this.#shared;
    const global = await readGlobal(this.#client);
    // Somebody stopped BGP there; a new process would have ended the connection.
    if (global === undefined) this.#compareSoon();
    const moved = peers.take(await readPeers(this.#client), this.#client.dialect);
    for (const name of moved) {
      const isUpNow = peers.isUp(name);
      modules.outputs.event(isUpNow ? 'info' : 'warn', isUpNow ? 'session.established' : 'session.down', {
        peer: name,
      });
    }
    if (moved.length > 0) this.#askAnnounced();
    this.#reviveLimited();
    await this.#readAnnounced();
    changed();
  }

  /** Soon, and then ever more seldom until all that is wanted was announced. */
  #askAnnounced(): void {
    this.#asksAnnounced = { at: this.#shared.modules.clock.now(), wait: milliseconds(250) };
    this.#waits.wake();
  }

  async #readAnnounced(): Promise<void> {
    const { clock } = this.#shared.modules;
    const asks = this.#asksAnnounced;
    if (asks === undefined || clock.now() < asks.at) return;
    const wanted = this.#shared.intent().announcements.map(({ prefix }) => prefix);
    let missing = false;
    for (const [name, peer] of this.#shared.peers.all) {
      if (!isUp(peer)) continue;
      const found = await this.#announcedTo(addressOf(peer), wanted);
      this.#shared.peers.setAnnounced(name, found);
      missing ||= found.length < wanted.length;
    }
    const wait = Math.min(asks.wait * 2, longestAnnouncedWait) as Duration;
    this.#asksAnnounced = missing ? { at: after(clock.now(), asks.wait), wait } : undefined;
  }

  async #announcedTo(name: string, wanted: readonly Prefix[]): Promise<Prefix[]> {
    const { table, lookup } = this.#client.dialect;
    const found: Prefix[] = [];
    for (const family of families) {
      const prefixes = wanted.filter((prefix) => familyOf(prefix) === family);
      if (prefixes.length === 0) continue;
      const request = {
        tableType: table.adjOut,
        name,
        family: familyMessage(family),
        prefixes: prefixes.map((prefix) => ({ prefix, type: lookup.exact })),
      };
      try {
        for await (const { paths } of destinations(this.#client, request)) {
          const prefix = paths.map(listedPath)[0]?.prefix;
          if (prefix !== undefined) found.push(prefix);
        }
      } catch (error) {
        // The session went down meanwhile, or does not have the family.
        if (!(error instanceof AppError) || error.code !== 'GOBGP_REFUSED') throw error;
      }
    }
    return found;
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

  /** A session that had too many prefixes stays down in GoBGP until somebody enables it. */
  #reviveLimited(): void {
    const { modules, peers } = this.#shared;
    const { prefixLimit } = this.#client.dialect.adminState;
    for (const { name, maxPrefixesRestart } of this.#shared.intent().peers) {
      const peer = peers.get(name);
      if (maxPrefixesRestart === undefined || peer?.state?.adminState !== prefixLimit || this.#retries.has(name))
        continue;
      const cancel = modules.clock.at(after(modules.clock.now(), maxPrefixesRestart), () => {
        this.#retries.delete(name);
        this.#send('EnablePeer', { address: addressOf(peer) });
      });
      this.#retries.set(name, { at: modules.wallClock() + maxPrefixesRestart, cancel });
    }
  }

  retryAt(name: string): number | undefined {
    return this.#retries.get(name)?.at;
  }

  /** All that GoBGP has was listed, and every peer that is to be there has said all it has, or had the time to. */
  #tellIfSaid(): void {
    if (!this.#listed || this.#said) return;
    const { modules, peers, intent, said } = this.#shared;
    const now = modules.clock.now();
    const wanted = intent().peers.filter((peer) => wantsSession(peer) && peer.listenRange === undefined);
    this.#saidAtLatest ??= after(now, Math.max(0, ...wanted.map((it) => it.gracefulRestart.restartTime)) as Duration);
    const missing = wanted.some(({ name }) => {
      const peer = peers.get(name);
      return peer === undefined || !hasSaidAll(peer);
    });
    if (missing && now < this.#saidAtLatest) return;
    this.#said = true;
    said();
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
    // After a reset GoBGP waits for 30 s; a peer that is disabled and enabled again comes at once.
    void this.#client
      .call('DisablePeer', { address, communication })
      .catch(() => undefined)
      .then(() => this.#send('EnablePeer', { address }));
    return true;
  }

  /** GoBGP stops speaking BGP, with a Cease for each session; if others have peers there, only what is ours is taken out. */
  async leave(): Promise<void> {
    const empty: Desired = { ...desiredOf(this.#shared.intent(), new Map()), peers: [], groups: [], paths: new Map() };
    try {
      const observed = await observe(this.#client, this.#local);
      if (observed.peers.every((peer) => nameOf(peer) !== undefined)) {
        await this.#client.call('StopBgp', {});
        return;
      }
      const { before, paths } = planGobgp({
        observed,
        desired: empty,
        dialect: this.#client.dialect,
        foreign: 'Keep',
        pathOf: (prefix) => pathOf({ prefix, source: 'advertise' }),
        restarting: false,
      });
      for (const step of [...before, ...paths]) await this.#do(step, new Map());
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      this.#shared.modules.outputs.event('warn', 'gobgp.notLeft', { text: error.message });
    }
  }

  routes(query: RouteQuery): Promise<RouteAnswer> {
    const { intent, peers, sessions } = this.#shared;
    return gobgpRoutes(query, this.#client, { intent: intent(), peers, sessions: sessions() });
  }
}

/** Between two questions what was announced to whom, while something is missing. */
const longestAnnouncedWait: Duration = seconds(64);

/** `name`: of a peer, or of one that came from its listen range. */
const intentOf = (intent: BgpIntent, name: string): PeerIntent | undefined =>
  intent.peers.find((peer) => peer.name === name || name.startsWith(`${peer.name}/`));

const sameGlobal = (a: GlobalMessage, b: GlobalMessage): boolean =>
  a.asn === b.asn &&
  a.routerId === b.routerId &&
  a.listenPort === b.listenPort &&
  a.useMultiplePaths === b.useMultiplePaths;
