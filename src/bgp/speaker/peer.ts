/**
 * One peer of the intent: its session, what it told us and what it is told. In: session handlers, a changed intent, the
 * kernel's view; out: calls into the RIB. It lives as long as the peer's name is in the intent; sessions come and go.
 */
import type { KernelView } from '#dataplane/kernel-view.ts';
import type { Family, IpAddress } from '#lib/ip.ts';
import { families, familyOf } from '#lib/ip.ts';
import { between, toSeconds } from '#lib/time.ts';
import { type BgpIntent, type PeerIntent, isExternal, wantsSession } from '../engine.ts';
import type { LinkNeighbour } from '../discovery/io/discovery.ts';
import type { LocalGracefulRestart, Session } from '../io/session-runner.ts';
import type { Listener } from '../io/listener.ts';
import type { DroppedSegments, DropsOfPeer } from '../io/dropped-segments.ts';
import { dropsBetween, nothingDropped } from '../io/dropped-segments.ts';
import { expectedOf } from '../io/session-options.ts';
import type { Negotiated, SessionDown, SessionHandlers } from '../io/session-port.ts';
import type { ExportNode } from '../policy/export.ts';
import { isClient } from '../policy/export.ts';
import type { SessionInterface } from '../io/tcp-socket.ts';
import type { ImportRules } from '../policy/import.ts';
import type { AdjRibOut } from '../rib/adj-rib-out.ts';
import type { Adjacency } from '../rib/adjacency.ts';
import type { AttributeScope } from '../rib/attribute-store.ts';
import { AFI, SAFI_UNICAST, familyOfAfi } from '../wire/codes.ts';
import type { NlriBlock, Reset, RouteRefreshMessage, UpdateMessage } from '../wire/messages.ts';
import { encodeRouteRefresh } from '../wire/message.ts';
import { isFinal } from '../wire/notification.ts';
import { findCapability } from '../wire/capabilities.ts';
import { notConnected } from './connected.ts';
import type { Core } from './core.ts';
import type { EngineModules } from './modules.ts';
import { PeerNews } from './peer-news.ts';
import { PeerOutput } from './peer-output.ts';
import { forwarded, keptAfter, keptByDrain, staleTimeOf } from './kept-routes.ts';
import { PrefixLimit } from './prefix-limit.ts';
import { SessionHold } from './session-hold.ts';
import { type Kept, StaleRoutes } from './stale-routes.ts';

/** What a peer needs of the engine. */
export interface PeerContext {
  readonly core: Core;
  readonly modules: EngineModules;
  readonly view: () => KernelView;
  /** Restarting state for our OPEN. */
  readonly gracefulRestart: (peer: Peer) => LocalGracefulRestart | undefined;
  readonly exportNode: () => ExportNode;
  /** False: the engine is behind, and established sessions are not read. */
  readonly isReading: () => boolean;
  /** There is work for the slices. */
  readonly wake: () => void;
  readonly changed: () => void;
  /** Only numbers of messages changed. */
  readonly counted: () => void;
  /** Nothing holds the peer down any more. */
  readonly reopen: (peer: Peer) => void;
  readonly sweep: (sweep: PeerSweep) => void;
  readonly opened: (output: PeerOutput) => void;
  readonly closed: (output: PeerOutput) => void;
  /** Lets go of what was noted for an adj-rib-out that is used no more, and of its group if it was the last. */
  readonly disposeRibOut: (ribOut: AdjRibOut) => void;
  /** The peer's table of the family is here. */
  readonly heard: (peer: Peer, family: Family) => void;
}

export type PeerSweep =
  | { readonly kind: 'dead' | 'rejudge'; readonly adjacency: Adjacency }
  | { readonly kind: 'stale'; readonly adjacency: Adjacency; readonly family: Family; readonly longLived: boolean }
  | { readonly kind: 'outlive'; readonly adjacency: Adjacency; readonly family: Family };

interface Endpoint {
  readonly address: IpAddress;
  readonly interface: SessionInterface | undefined;
}

export class Peer {
  intent: PeerIntent;
  rules: ImportRules;
  session: Session | undefined;
  negotiated: Negotiated | undefined;
  /** Present while the peer's routes are: in a session, or kept through its restart. */
  adjacency: Adjacency | undefined;
  output: PeerOutput | undefined;
  /** Sessions that were established and ended. */
  flaps = 0;
  /** A session of this life was established once. */
  seen = false;
  since: number;
  /** Name of the peer whose listen range it came from. */
  readonly parent: string | undefined;
  /** Of a peer that is named by interface: who is there. */
  neighbour: LinkNeighbour | undefined;
  readonly #context: PeerContext;
  readonly hold: SessionHold;
  readonly #news: PeerNews;
  readonly #limit: PrefixLimit;
  #scopes: { readonly classic: AttributeScope; readonly mp: AttributeScope } | undefined;
  /** Families whose End-of-RIB is still to come in this session. */
  readonly #awaited = new Set<Family>();
  /** The session was ended by a drain, and its routes were kept. */
  #drained = false;
  /** Of the present adjacency. */
  #stale: StaleRoutes | undefined;
  #droppedBefore: DroppedSegments = nothingDropped;

  constructor(intent: PeerIntent, rules: ImportRules, context: PeerContext, parent?: string) {
    this.intent = intent;
    this.parent = parent;
    this.rules = rules;
    this.#context = context;
    this.#news = new PeerNews(intent.name, context.modules);
    this.hold = new SessionHold(context.modules, this.#news, context.changed);
    this.#limit = new PrefixLimit(this.#news);
    this.since = context.modules.wallClock();
  }

  /** Where the peer is; `undefined`: nobody is known on its interface. */
  get endpoint(): Endpoint | undefined {
    if (this.intent.interface === undefined) return { address: this.intent.address, interface: undefined };
    const { name, interfaceIndex: index, address } = this.neighbour ?? {};
    if (name === undefined || index === undefined || address === undefined) return undefined;
    return { address, interface: { name, index } };
  }

  get external(): boolean {
    return isExternal(this.intent);
  }

  /** Opens the session if the intent wants one and nothing holds it down. */
  start(local: Pick<BgpIntent, 'routerId'>, listener: Listener): void {
    const { intent, endpoint } = this;
    if (!wantsSession(intent) || endpoint === undefined || intent.listenRange !== undefined) return;
    const { modules } = this.#context;
    this.hold.obstacle(notConnected(intent, this.#context.view()));
    if (this.hold.why !== undefined) return;
    let session: Session | undefined;
    // A session that was given up may still call; only the present one is heard.
    const present = (): boolean => session !== undefined && this.session === session;
    const handlers: SessionHandlers = {
      established: (negotiated) => {
        if (present()) this.#established(negotiated);
      },
      update: (message) => (present() ? this.#update(message) : undefined),
      routeRefresh: (message) => {
        if (present()) this.#routeRefresh(message);
      },
      writable: () => {
        if (!present() || this.output === undefined) return;
        this.output.blocked = false;
        this.#context.wake();
      },
      down: (reason) => {
        if (present()) this.#down(reason);
      },
      changed: () => {
        if (present()) this.#context.changed();
      },
      counted: () => {
        if (present()) this.#context.counted();
      },
    };
    session = modules.createSession(
      {
        // On a link-local address the kernel finds the right one of ours by itself.
        peer:
          endpoint.interface === undefined
            ? intent
            : { ...intent, address: endpoint.address, sourceAddress: undefined },
        interface: endpoint.interface,
        inRange: this.parent !== undefined,
        local: {
          routerId: local.routerId,
          capabilities: {
            enhancedRouteRefresh: true,
            extendedMessage: true,
            // Only there an IPv4 route may want an IPv6 next hop.
            extendedNextHop: familyOf(endpoint.address) === 'ipv6',
          },
        },
      },
      {
        clock: modules.clock,
        wallClock: modules.wallClock,
        random: modules.random,
        handlers,
        listener,
        gracefulRestart: () => this.#context.gracefulRestart(this),
      },
    );
    this.session = session;
    this.countDropsFromNow();
    if (!this.#context.isReading()) session.pause();
    session.start();
  }

  /** Wall-clock milliseconds at which a session that failed tries again. */
  get retryAt(): number | undefined {
    const { clock, wallClock } = this.#context.modules;
    const at = this.session?.retryAt;
    return at === undefined ? this.hold.until : wallClock() + between(clock.now(), at);
  }

  /** The kernel's view is another one: a session that is not up and can no longer be does not try on. */
  get isOffLink(): boolean {
    return (
      this.session !== undefined &&
      this.negotiated === undefined &&
      notConnected(this.intent, this.#context.view()) !== undefined
    );
  }

  /** Of all that the kernel dropped, what may be this peer's since it was last up. */
  drops(now: DroppedSegments): DropsOfPeer {
    if (this.negotiated !== undefined) return { signature: 0, hopLimit: 0 };
    return dropsBetween(this.#droppedBefore, now, expectedOf(this.intent));
  }

  /** Its session, or its listen range, begins. */
  countDropsFromNow(): void {
    this.#droppedBefore = this.#context.modules.droppedSegments?.() ?? nothingDropped;
  }

  /** Ends the session; resolves when the last byte is out. The peer's routes go, unless the next session takes them over. */
  async stop(how: 'silent' | Reset, keepRoutes = false): Promise<void> {
    const { session, negotiated } = this;
    this.session = undefined;
    this.hold.release();
    let kept: Kept | undefined;
    if (negotiated !== undefined) {
      this.#leaveEstablished();
      // RFC 8538 §4: whoever sends the NOTIFICATION keeps the routes as well.
      if (keepRoutes) kept = keptByDrain(negotiated, this.intent);
      else if (how !== 'silent' && negotiated.notificationRestart && !isFinal(how))
        kept = keptAfter(negotiated, this.intent);
      const text = how === 'silent' ? 'closed without a word, for a restart' : how.text;
      this.#news.event('info', 'session.down', { code: 'SESSION_STOPPED', text, routesKept: kept !== undefined });
    }
    if (kept === undefined) this.dropRoutes();
    else this.#stale?.lost(kept);
    this.#drained = keepRoutes;
    await session?.stop(how);
  }

  /** The path to the peer has failed: the session ends, and no graceful restart keeps the peer's routes, present or begun. */
  fail(reset: Reset): void {
    this.session?.reset(reset);
    this.dropRoutes();
  }

  setRules(rules: ImportRules): void {
    this.rules = rules;
    if (this.adjacency === undefined) return;
    this.adjacency.rules = rules;
    this.#context.sweep({ kind: 'rejudge', adjacency: this.adjacency });
  }

  /** The peer's prefixes are more than the intent allows, or their attributes more than we can hold. */
  overLimit(): Reset | undefined {
    return this.adjacency && this.#limit.check(this.adjacency, this.intent);
  }

  /** Ended for too many prefixes: the peer stays away for a time, or until somebody lets it in. */
  #keepAway(reason: SessionDown): void {
    const { session } = this;
    this.session = undefined;
    this.hold.penalty(reason, this.intent.maxPrefixesRestart, () => this.#context.reopen(this));
    for (const family of this.intent.families) this.#context.heard(this, family);
    void session?.stop('silent');
  }

  #established(negotiated: Negotiated): void {
    const { core } = this.#context;
    const { intent } = this;
    const { context } = negotiated;
    this.negotiated = negotiated;
    this.#limit.sessionBegins();
    this.seen = true;
    this.since = this.#context.modules.wallClock();
    this.#scopes = {
      classic: core.attributes.scope(context, true),
      mp: core.attributes.scope(context, false),
    };
    if (this.adjacency === undefined) {
      this.adjacency = core.adjacencies.open({
        name: this.intent.name,
        external: context.external,
        client: isClient(this.intent),
        address: negotiated.remoteAddress,
        interfaceIndex: negotiated.interfaceIndex,
        routerId: negotiated.peerIdentifier,
        rules: this.rules,
      });
      this.#stale = this.#staleRoutesOf(this.adjacency);
    } else {
      this.adjacency.routerId = negotiated.peerIdentifier;
      this.adjacency.client = isClient(this.intent);
      this.#keepOrFlush(negotiated);
    }
    this.adjacency.addPath = context.addPath?.receive ?? [];
    this.#awaited.clear();
    for (const family of families)
      if (context.families.includes(family)) this.#awaited.add(family);
      else this.#context.heard(this, family);
    this.output = new PeerOutput(this, negotiated, this.adjacency, this.#context);
    this.#context.opened(this.output);
    this.#news.event('info', 'session.established', {
      address: negotiated.remoteAddress,
      ...(intent.interface === undefined ? {} : { interface: intent.interface }),
      peerAsn: context.peerAsn,
      families: context.families,
      holdTimeSeconds: negotiated.holdTime / 1000,
    });
    this.#context.wake();
    this.#context.changed();
  }

  #keepOrFlush(negotiated: Negotiated): void {
    // A drained peer did not restart: its routes were in use all the time, until it says them again.
    const drained = this.#drained;
    this.#drained = false;
    this.#stale?.returned(
      (family, longLived) =>
        negotiated.context.families.includes(family) && (drained || forwarded(negotiated, family, longLived)),
      staleTimeOf(this.intent),
    );
  }

  #staleRoutesOf(adjacency: Adjacency): StaleRoutes {
    return new StaleRoutes(adjacency, this.#context.modules.clock, {
      sweep: (family, longLived) => this.#context.sweep({ kind: 'stale', adjacency, family, longLived }),
      outlive: (family, time) => {
        this.#news.event('warn', 'session.routesStaleForLong', { family, seconds: toSeconds(time) });
        this.#context.sweep({ kind: 'outlive', adjacency, family });
      },
      overdue: (late) => this.#news.event('warn', 'session.staleRoutesRemoved', { families: late }),
      over: () => this.dropRoutes(),
    });
  }

  #down(reason: SessionDown): void {
    const { negotiated } = this;
    if (negotiated === undefined) return;
    this.#leaveEstablished();
    const kept = reason.keepRoutes ? keptAfter(negotiated, this.intent) : undefined;
    this.#news.event('warn', 'session.down', {
      code: reason.code,
      text: reason.text,
      routesKept: kept !== undefined,
    });
    if (kept === undefined) this.dropRoutes();
    else this.#stale?.lost(kept);
    if (this.#limit.exceeded) this.#keepAway(reason);
    this.#context.changed();
    this.#context.wake();
  }

  #leaveEstablished(): void {
    this.negotiated = undefined;
    this.countDropsFromNow();
    this.flaps++;
    this.since = this.#context.modules.wallClock();
    this.#awaited.clear();
    if (this.output !== undefined) {
      this.output.close();
      this.#context.closed(this.output);
    }
    this.output = undefined;
  }

  /** Of a session or kept through its restart; in an established session this is followed by its end. */
  dropRoutes(): void {
    this.#stale?.close();
    this.#stale = undefined;
    const { adjacency } = this;
    this.adjacency = undefined;
    if (adjacency === undefined) return;
    adjacency.alive = false;
    this.#context.sweep({ kind: 'dead', adjacency });
  }

  #update(message: UpdateMessage): Reset | undefined {
    const { adjacency, negotiated } = this;
    const scopes = this.#scopes;
    if (adjacency === undefined || negotiated === undefined || scopes === undefined) return undefined;
    const { ribs } = this.#context.core;
    for (const block of message.withdrawn) ribs[block.family].withdraw(adjacency, block);
    if (message.treatAsWithdraw !== undefined) this.#treatAsWithdraw(adjacency, message, message.treatAsWithdraw);
    else if (message.reachable.length > 0) {
      const reset = this.#reach(adjacency, negotiated, scopes, message);
      if (reset !== undefined) return reset;
    }
    if (message.endOfRib !== undefined) this.#endOfRib(message.endOfRib);
    this.#context.wake();
    this.#context.changed();
    return this.overLimit();
  }

  #reach(
    adjacency: Adjacency,
    session: Negotiated,
    scopes: { readonly classic: AttributeScope; readonly mp: AttributeScope },
    message: UpdateMessage,
  ): Reset | undefined {
    const { core } = this.#context;
    const { localAddress, interfaceIndex } = session;
    const hopSession = { localAddress, interfaceIndex, peer: adjacency.name };
    const hasClassicNlri = message.reachable.some(({ nextHop }) => nextHop === undefined);
    const stored = core.attributes.intern(hasClassicNlri ? scopes.classic : scopes.mp, message.attributes);
    try {
      const { verdict, accepted } = stored;
      if (verdict.kind === 'reset') return verdict.reset;
      if (verdict.kind === 'treatAsWithdraw' || accepted === undefined) {
        this.#treatAsWithdraw(adjacency, message, verdict.kind === 'accept' ? '' : verdict.text);
        return undefined;
      }
      const loop = adjacency.rules.attributes(accepted);
      if (loop !== undefined) this.#news.message('route.refused', { reason: loop.reason });
      for (const { nlri, nextHop } of message.reachable) {
        const global = nextHop?.global ?? accepted.value.nextHop;
        if (global === undefined) {
          // RFC 7606 §3(d): a missing well-known attribute. The codec says so first.
          this.#withdraw(adjacency, nlri);
          continue;
        }
        const id = core.nextHops.intern(nextHop ?? { global, linkLocal: undefined }, hopSession);
        core.ribs[nlri.family].announce(adjacency, nlri, stored, id);
        core.nextHops.release(id);
      }
      return undefined;
    } finally {
      core.attributes.settle(stored.id);
    }
  }

  /** RFC 7606 §2. */
  #treatAsWithdraw(adjacency: Adjacency, message: UpdateMessage, text: string): void {
    this.#news.message('route.refused', { reason: `refused: ${text}` });
    for (const { nlri } of message.reachable) this.#withdraw(adjacency, nlri);
  }

  #withdraw(adjacency: Adjacency, nlri: NlriBlock): void {
    this.#context.core.ribs[nlri.family].withdraw(adjacency, nlri);
  }

  #endOfRib(family: Family): void {
    this.#awaited.delete(family);
    this.#stale?.flush(family);
    this.#context.heard(this, family);
  }

  #routeRefresh(message: RouteRefreshMessage): void {
    const family = familyOfAfi(message.afi, message.safi);
    const { adjacency, negotiated } = this;
    if (family === undefined || adjacency === undefined || negotiated?.context.families.includes(family) !== true)
      return;
    if (message.subtype === 0) {
      this.#news.message('session.refreshRequested', { family });
      this.output?.refresh(family);
    } else if (negotiated.gracefulRestart !== undefined && this.#awaited.has(family)) {
      // RFC 7313 §4: markers of a peer with graceful restart are ignored before its End-of-RIB.
      this.#news.message('session.refreshIgnored', { family, subtype: message.subtype });
      return;
    } else if (message.subtype === 1) {
      this.#stale?.refreshed(family, staleTimeOf(this.intent));
    } else if (message.subtype === 2) this.#stale?.flush(family);
    this.#context.wake();
  }

  /** Asks the peer for its routes and sends ours again. False: no session, or the peer has no ROUTE-REFRESH. */
  refreshBoth(): boolean {
    const { negotiated, output, session } = this;
    if (negotiated === undefined || output === undefined || session === undefined || !negotiated.routeRefresh)
      return false;
    for (const family of negotiated.context.families) {
      output.refresh(family);
      if (!session.send(encodeRouteRefresh({ afi: AFI[family], safi: SAFI_UNICAST, subtype: 0 })))
        output.blocked = true;
    }
    this.#context.wake();
    return true;
  }

  /** Both ends have enhanced route refresh (RFC 7313); we always offer it. */
  get enhancedRefresh(): boolean {
    return findCapability(this.negotiated?.peerCapabilities ?? [], 'enhancedRouteRefresh') !== undefined;
  }
}
