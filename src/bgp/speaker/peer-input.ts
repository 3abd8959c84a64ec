/**
 * What one session of a peer tells us. In: its UPDATEs and ROUTE-REFRESHes; out: calls into the adj-rib-in, the NOTIFICATION that
 * an error asks for, and when a family's table is here. It lives as long as the session.
 */
import type { Family } from '#lib/ip.ts';
import { families } from '#lib/ip.ts';
import type { Negotiated } from '../io/session-port.ts';
import type { Adjacency } from '../rib/adjacency.ts';
import type { AttributeScope } from '../rib/attribute-store.ts';
import { familyOfAfi } from '../wire/codes.ts';
import type { NlriBlock, Reset, RouteRefreshMessage, UpdateMessage } from '../wire/messages.ts';
import type { Core } from './core.ts';
import type { PeerNews } from './peer-news.ts';
import type { StaleRoutes } from './stale-routes.ts';
import { staleTimeOf } from './kept-routes.ts';
import type { PeerIntent } from '../engine.ts';

export interface PeerInputModules {
  readonly core: Core;
  readonly news: PeerNews;
  readonly stale: StaleRoutes;
  readonly intent: () => PeerIntent;
  /** The peer's table of the family is here. */
  readonly heard: (family: Family) => void;
  /** The peer asks for all routes of the family. */
  readonly refreshAsked: (family: Family) => void;
}

export class PeerInput {
  readonly #negotiated: Negotiated;
  readonly #adjacency: Adjacency;
  readonly #modules: PeerInputModules;
  readonly #scopes: { readonly classic: AttributeScope; readonly mp: AttributeScope };
  /** Families whose End-of-RIB is still to come. */
  readonly #awaited = new Set<Family>();

  constructor(negotiated: Negotiated, adjacency: Adjacency, modules: PeerInputModules) {
    const { context } = negotiated;
    const { attributes } = modules.core;
    this.#negotiated = negotiated;
    this.#adjacency = adjacency;
    this.#modules = modules;
    this.#scopes = { classic: attributes.scope(context, true), mp: attributes.scope(context, false) };
    for (const family of families)
      if (context.families.includes(family)) this.#awaited.add(family);
      else modules.heard(family);
  }

  /** The NOTIFICATION that the message asks to end the session with. */
  update(message: UpdateMessage): Reset | undefined {
    for (const block of message.withdrawn) this.#withdraw(block);
    if (message.treatAsWithdraw !== undefined) this.#treatAsWithdraw(message, message.treatAsWithdraw);
    else if (message.reachable.length > 0) {
      const reset = this.#reach(message);
      if (reset !== undefined) return reset;
    }
    if (message.endOfRib !== undefined) this.#endOfRib(message.endOfRib);
    return undefined;
  }

  #reach(message: UpdateMessage): Reset | undefined {
    const { core, news } = this.#modules;
    const adjacency = this.#adjacency;
    const { localAddress, interfaceIndex } = this.#negotiated;
    const hopSession = { localAddress, interfaceIndex, peer: adjacency.name };
    const hasClassicNlri = message.reachable.some(({ nextHop }) => nextHop === undefined);
    const stored = core.attributes.intern(hasClassicNlri ? this.#scopes.classic : this.#scopes.mp, message.attributes);
    try {
      const { verdict, accepted } = stored;
      if (verdict.kind === 'reset') return verdict.reset;
      if (verdict.kind === 'treatAsWithdraw' || accepted === undefined) {
        this.#treatAsWithdraw(message, verdict.kind === 'accept' ? '' : verdict.text);
        return undefined;
      }
      const loop = adjacency.rules.attributes(accepted);
      if (loop !== undefined) news.message('route.refused', { reason: loop.reason });
      for (const { nlri, nextHop } of message.reachable) {
        const global = nextHop?.global ?? accepted.value.nextHop;
        if (global === undefined) {
          // RFC 7606 §3(d): a missing well-known attribute. The codec says so first.
          this.#withdraw(nlri);
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
  #treatAsWithdraw(message: UpdateMessage, text: string): void {
    this.#modules.news.message('route.refused', { reason: `refused: ${text}` });
    for (const { nlri } of message.reachable) this.#withdraw(nlri);
  }

  #withdraw(nlri: NlriBlock): void {
    this.#modules.core.ribs[nlri.family].withdraw(this.#adjacency, nlri);
  }

  #endOfRib(family: Family): void {
    this.#awaited.delete(family);
    this.#modules.stale.flush(family);
    this.#modules.heard(family);
  }

  routeRefresh(message: RouteRefreshMessage): void {
    const { news, stale, intent, refreshAsked } = this.#modules;
    const family = familyOfAfi(message.afi, message.safi);
    if (family === undefined || !this.#negotiated.context.families.includes(family)) return;
    if (message.subtype === 0) {
      news.message('session.refreshRequested', { family });
      refreshAsked(family);
    } else if (this.#negotiated.gracefulRestart !== undefined && this.#awaited.has(family)) {
      // RFC 7313 §4: markers of a peer with graceful restart are ignored before its End-of-RIB.
      news.message('session.refreshIgnored', { family, subtype: message.subtype });
    } else if (message.subtype === 1) stale.refreshed(family, staleTimeOf(intent()));
    else if (message.subtype === 2) stale.flush(family);
  }
}
