/**
 * A blackhole route for each block of this node, of the worst metric: traffic for an address that no pod has ends here
 * instead of going round in circles by the default route. A block may be announced once facts() names it. The same
 * manners as with learned routes: ours are found again by protocol, metric and type, foreign ones are never touched.
 */
import type { Family, Prefix } from '#lib/ip.ts';
import { families, familyOf } from '#lib/ip.ts';
import { EEXIST, ENOENT, ESRCH } from '#linux/errno.ts';
import type { NetlinkSocket } from '#netlink/io/socket.ts';
import { MessageBatch } from '#netlink/wire/batch.ts';
import { NLM_F, RT_TABLE, RTN } from '#netlink/wire/constants.ts';
import {
  appendDelRoute,
  appendDumpRoutes,
  appendNewRoute,
  decodeRoute,
  type Route,
  type RouteDumpFilter,
} from '#netlink/wire/route.ts';
import { BLACKHOLE_METRIC, ROUTE_PROTOCOL } from '../kernel-names.ts';

export interface BlockRouteFacts {
  /** Blocks whose blackhole is in the kernel. */
  readonly blackholes: readonly Prefix[];
  readonly routeConflicts: readonly { readonly prefix: Prefix; readonly protocol: number }[];
  /** By what had to be repaired: blackhole. */
  readonly repairs: Readonly<Record<string, number>>;
  readonly problems: readonly { readonly code: string; readonly text: string }[];
}

const unreadable = {
  code: 'RoutingTableUnreadable',
  text: 'The routing table changes too often to be read whole; blackholes of blocks wait until it is quieter',
};

const request = (prefix: Prefix) => ({
  prefix,
  protocol: ROUTE_PROTOCOL,
  type: RTN.BLACKHOLE,
  metric: BLACKHOLE_METRIC,
  table: RT_TABLE.MAIN,
});

export class BlockRoutes {
  readonly #socket: NetlinkSocket;
  readonly #changed: () => void;
  readonly #batch = new MessageBatch(4096);
  /** `undefined` until an intent has come: until then nothing is touched. */
  #desired: ReadonlySet<Prefix> | undefined;
  #observed: ReadonlySet<Prefix> = new Set();
  readonly #conflicts = new Map<Prefix, number>();
  readonly #refused = new Map<Prefix, string>();
  /** The table changed again and again while it was read; the next observation tries again. */
  #unreadable = false;
  #repairs = 0;

  constructor(modules: { readonly socket: NetlinkSocket }, callbacks: { readonly changed: () => void }) {
    this.#socket = modules.socket;
    this.#changed = callbacks.changed;
  }

  /** All blocks of this node; blackholes of ours for anything else go. */
  set(blocks: readonly Prefix[]): void {
    this.#desired = new Set(blocks);
    this.#reconcile();
  }

  /** Somebody else may have changed something. Also worth a call when facts() has conflicts or problems. */
  observeAgain(): void {
    if (this.#desired === undefined) return;
    const before = this.#observed;
    if (!this.#observe()) return;
    for (const prefix of before) if (this.#desired.has(prefix) && !this.#observed.has(prefix)) this.#repairs += 1;
    this.#write(this.#desired);
  }

  facts(): BlockRouteFacts {
    return {
      blackholes: [...this.#observed].filter((prefix) => this.#desired?.has(prefix) === true),
      routeConflicts: [...this.#conflicts].map(([prefix, protocol]) => ({ prefix, protocol })),
      repairs: { blackhole: this.#repairs },
      problems: [
        ...[...this.#refused].map(([prefix, text]) => ({
          code: 'BlackholeRefused',
          text: `The block ${prefix} is not announced: the kernel refuses its blackhole route: ${text}`,
        })),
        ...(this.#unreadable ? [unreadable] : []),
      ],
    };
  }

  #reconcile(): void {
    if (this.#desired !== undefined && this.#observe()) this.#write(this.#desired);
  }

  /** False: the kernel's table could not be read whole; what was known before stands. */
  #observe(): boolean {
    const found = new Set<Prefix>();
    for (const family of families) {
      const routes = this.#dump({ family, table: RT_TABLE.MAIN, protocol: ROUTE_PROTOCOL, type: RTN.BLACKHOLE });
      this.#unreadable = routes === undefined;
      if (routes === undefined) {
        this.#changed();
        return false;
      }
      for (const route of routes) if (route.metric === BLACKHOLE_METRIC) found.add(route.prefix);
    }
    this.#observed = found;
    return true;
  }

  #dump(filter: RouteDumpFilter): readonly Route[] | undefined {
    const dumped = this.#socket.dumpList((batch) => appendDumpRoutes(batch, filter), decodeRoute);
    if (dumped.ok) return dumped.value;
    // A namespace that never had a route may have no main table yet.
    return dumped.error.kind === 'refused' && dumped.error.errno === ENOENT ? [] : undefined;
  }

  #write(desired: ReadonlySet<Prefix>): void {
    this.#conflicts.clear();
    this.#refused.clear();
    const observed = new Set(this.#observed);
    const missing = [...desired].filter((prefix) => !observed.has(prefix));
    const stale = [...observed].filter((prefix) => !desired.has(prefix));
    this.#batch.clear();
    for (const prefix of missing) appendNewRoute(this.#batch, NLM_F.CREATE | NLM_F.EXCL, request(prefix));
    for (const prefix of stale) appendDelRoute(this.#batch, request(prefix));
    const { failures, overrun } = this.#socket.execute(this.#batch);
    const failed = new Map(failures.map((failure) => [failure.index, failure]));
    [...missing, ...stale].forEach((prefix, i) => {
      const failure = failed.get(i);
      if (i < missing.length) {
        if (failure === undefined) observed.add(prefix);
        else if (failure.errno === EEXIST) this.#findConflict(prefix);
        else this.#refused.set(prefix, failure.text ?? failure.name);
      } else if (failure === undefined || failure.errno === ESRCH) observed.delete(prefix);
    });
    this.#observed = observed;
    // Without the answers only the table itself can tell.
    if (overrun) this.#observe();
    this.#changed();
  }

  #findConflict(prefix: Prefix): void {
    const family: Family = familyOf(prefix);
    const inTheWay = this.#dump({ family, table: RT_TABLE.MAIN })?.find(
      (route) => route.prefix === prefix && route.metric === BLACKHOLE_METRIC && route.tos === 0,
    );
    this.#conflicts.set(prefix, inTheWay?.protocol ?? 0);
  }
}
