/**
 * One peer of the intent: its session, what it told us and what it is told. In: session handlers, a changed intent, the
 * kernel's view; out: calls into the RIB. It lives as long as the peer's name is in the intent; sessions come and go.
 */
import type { KernelView } from '#dataplane/kernel-view.ts';
import type { Family, IpAddress } from '#lib/ip.ts';
import { familyOf } from '#lib/ip.ts';
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
import { AFI, SAFI_UNICAST } from '../wire/codes.ts';
import type { Reset, UpdateMessage } from '../wire/messages.ts';
import { encodeRouteRefresh } from '../wire/message.ts';
import { isFinal } from '../wire/notification.ts';
import { findCapability } from '../wire/capabilities.ts';
import { notConnected } from './connected.ts';
import type { Core } from './core.ts';
import type { EngineModules } from './modules.ts';
import { PeerInput } from './peer-input.ts';
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
  /** Of an established session whose routes are wanted. */
  #input: PeerInput | undefined;
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
        if (!present()) return;
        this.#input?.routeRefresh(message);
        this.#context.wake();
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
    } else {
      this.adjacency.routerId = negotiated.peerIdentifier;
      this.adjacency.client = isClient(this.intent);
      this.#keepOrFlush(negotiated);
    }
    this.adjacency.addPath = context.addPath?.receive ?? [];
    const stale = (this.#stale ??= this.#staleRoutesOf(this.adjacency));
    this.#input = this.#inputOf(negotiated, this.adjacency, stale);
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
    this.#input = undefined;
    if (this.output !== undefined) {
      this.output.close();
      this.#context.closed(this.output);
    }
    this.output = undefined;
  }

  /** Of a session or kept through its restart; in an established session this is followed by its end. */
  dropRoutes(): void {
    this.#input = undefined;
    this.#stale?.close();
    this.#stale = undefined;
    const { adjacency } = this;
    this.adjacency = undefined;
    if (adjacency === undefined) return;
    adjacency.alive = false;
    this.#context.sweep({ kind: 'dead', adjacency });
  }

  #update(message: UpdateMessage): Reset | undefined {
    if (this.#input === undefined) return undefined;
    const reset = this.#input.update(message);
    if (reset !== undefined) return reset;
    this.#context.wake();
    this.#context.changed();
    return this.overLimit();
  }

  #inputOf(negotiated: Negotiated, adjacency: Adjacency, stale: StaleRoutes): PeerInput {
    return new PeerInput(negotiated, adjacency, {
      core: this.#context.core,
      news: this.#news,
      stale,
      intent: () => this.intent,
      heard: (family) => this.#context.heard(this, family),
      refreshAsked: (family) => this.output?.refresh(family),
    });
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
