/**
 * Learned routes into the kernel. In: FibUpdates of an engine; out: routes of protocol ROUTE_PROTOCOL and metric
 * LEARNED_ROUTE_METRIC in the main table, each by the id of a nexthop group. The kernel is read at the start and again
 * whenever somebody else may have changed something: what is ours and missing is written again, what is ours and not
 * wanted goes, what is foreign is never touched. One batch a turn of the event loop; all calls are synchronous and may wait
 * for the kernel's locks, so this lives in a thread of its own.
 */
import type { Family, Prefix } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import { after, between, type Clock, type Duration, earliest, type Instant, milliseconds } from '#lib/time.ts';
import type { NetlinkSocket } from '#netlink/io/socket.ts';
import { Nexthops, type WatchedPaths } from './nexthops.ts';
import { fibRowBytes, type FibUpdate, type InheritedRoutes, type NextHop, type NexthopId } from './route.ts';
import { type PreferredSource, RouteTable } from './route-table.ts';

export interface FibWriterOptions {
  /**
   * Rows of one batch. 1000 by default, the fewest calls; 100 while BFD is up, because a batch of 1000 can hold the
   * kernel's lock for 370 ms.
   */
  readonly batchRows?: number;
  readonly preferredSource?: PreferredSource;
}

export interface FibWriterModules {
  /** Of its own: its port tells our changes from those of others. The writer does not close it. */
  readonly socket: NetlinkSocket;
  readonly clock: Clock;
  /** Runs a function on a later turn of the event loop; setImmediate by default. */
  readonly schedule?: (run: () => void) => void;
}

export interface FibWriterCallbacks {
  /** Every row up to this update is in the kernel, or in facts() as a conflict or a problem. */
  applied(sequence: number): void;
  /** facts() may have changed. */
  changed(): void;
  /** Nothing of the family is wanted any more: after this returns its last routes leave the kernel. */
  emptying(family: Family): void;
  /** The socket is broken and the writer has stopped; make both anew. */
  failed(error: AppError): void;
}

export interface FibFacts {
  /** Routes of ours in the kernel, inherited ones included. */
  readonly learnedRoutes: { readonly ipv4: number; readonly ipv6: number };
  /** Rows that wait to be written. */
  readonly pending: number;
  readonly routeConflicts: readonly { readonly prefix: Prefix; readonly protocol: number }[];
  /** By what had to be repaired: route, unexpectedRoute, nexthop, nexthopGroup. */
  readonly repairs: Readonly<Record<string, number>>;
  readonly problems: readonly { readonly code: string; readonly text: string }[];
  /** Gateways of watched paths that are in the kernel. */
  readonly nexthops: readonly NexthopId[];
}

const defaultBatchRows = 1000;
/** After a failed write the kernel is looked at once at once, then after this time, doubled up to the longest. */
const firstRetry = milliseconds(1000);
const longestRetry = milliseconds(30_000);
/** An observation is followed by this many times its length without one: at most a sixth of the thread, whatever others do. */
const observationRest = 5;
/** Of the routes that the kernel refuses facts() names this many. */
const namedProblems = 10;

export class FibWriter {
  readonly #clock: Clock;
  readonly #schedule: (run: () => void) => void;
  readonly #callbacks: FibWriterCallbacks;
  readonly #nexthops: Nexthops;
  readonly #routes: RouteTable;
  readonly #nexthopRepairs = { nexthop: 0, nexthopGroup: 0 };
  /** Updates whose rows are in the queue up to a position. */
  readonly #unapplied: { readonly sequence: number; readonly position: number }[] = [];
  #batchRows: number;
  #scheduled = false;
  #observeWanted = false;
  #observeNotBefore: Instant;
  #retryAt: Instant | undefined;
  #retryDelay: Duration = milliseconds(0);
  #cancelTimer: (() => void) | undefined;
  #closed = false;

  constructor(options: FibWriterOptions, modules: FibWriterModules, callbacks: FibWriterCallbacks) {
    this.#clock = modules.clock;
    this.#schedule = modules.schedule ?? ((run) => setImmediate(run));
    this.#callbacks = callbacks;
    this.#nexthops = new Nexthops(modules.socket);
    this.#routes = new RouteTable(modules.socket, this.#nexthops, (family) => callbacks.emptying(family));
    this.#batchRows = options.batchRows ?? defaultBatchRows;
    this.#observeNotBefore = modules.clock.now();
    if (options.preferredSource !== undefined) this.#routes.setPreferredSource(options.preferredSource);
  }

  /** Reads what an earlier life left in the kernel: it stays until a row names it or `complete` comes. Errors: AppError `OS_*`. */
  start(): void {
    this.#observe();
    this.#kick();
  }

  /** What the kernel has of ours, for an engine that begins. */
  inherited(): InheritedRoutes {
    return this.#routes.inherited();
  }

  /** Stops writing. The kernel keeps what it has: that is what a restart without loss is. */
  close(): void {
    this.#closed = true;
    this.#cancelTimer?.();
  }

  /** Takes an update over; its rows are read before this returns and written on later turns. */
  apply(update: FibUpdate): void {
    this.#nexthops.use(update.groups);
    const { prefixes, groupIds } = update;
    for (let row = 0; row < groupIds.length; row++) {
      const at = row * fibRowBytes;
      const size = prefixes[at] === 4 ? 4 : 16;
      this.#routes.desire(size, prefixes, at + 2, prefixes[at + 1] as number, groupIds[row] as number);
    }
    if (update.complete) this.#routes.completed();
    this.#nexthops.release(update.releasedGroups);
    this.#unapplied.push({ sequence: update.sequence, position: this.#routes.queue.pushed });
    this.#kick();
  }

  /** The engine begins anew: its group numbers mean nothing any more, its routes stay until its `complete`. */
  engineRestarted(): void {
    this.#routes.inheritAll();
    this.#nexthops.releaseAll();
    this.#unapplied.length = 0;
    this.#kick();
  }

  /** Somebody else may have changed links, addresses, nexthops or routes: look, and repair. Calls are coalesced. */
  observeAgain(): void {
    this.#observeWanted = true;
    this.#kick();
  }

  setBatchRows(rows: number): void {
    this.#batchRows = rows;
  }

  /** What BFD says of the paths to gateways. */
  setPaths(paths: WatchedPaths): void {
    this.#nexthops.setPaths(paths);
    this.#kick();
  }

  /** Routes with another preferred source than this are written again. */
  setPreferredSource(source: PreferredSource): void {
    if (!this.#routes.setPreferredSource(source)) return;
    // Before anything is written: which routes have this source already is not known.
    this.#observeNotBefore = this.#clock.now();
    this.observeAgain();
  }

  facts(): FibFacts {
    const problems = this.#nexthops.refused().map(({ hop, text }) => ({
      code: 'NexthopRefused',
      text: `The kernel refuses the next hop ${hopText(hop)}: ${text}`,
    }));
    for (const address of this.#routes.missingSources()) {
      problems.push({
        code: 'PreferredSourceMissing',
        text: `The node address ${address} is on no interface, so learned routes have no preferred source; add it to an interface`,
      });
    }
    for (const { prefix, text } of this.#routes.refused(namedProblems))
      problems.push({ code: 'RouteRefused', text: `The kernel refuses the route ${prefix}: ${text}` });
    return {
      learnedRoutes: { ...this.#routes.learned },
      pending: this.#routes.queue.length,
      routeConflicts: this.#routes.conflicts(),
      repairs: { ...this.#routes.repairs, ...this.#nexthopRepairs },
      problems,
      nexthops: this.#nexthops.watched(),
    };
  }

  #kick(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    this.#schedule(() => {
      this.#scheduled = false;
      if (this.#closed) return;
      try {
        this.#turn();
      } catch (error) {
        if (!(error instanceof AppError) || error.code.startsWith('BUG_')) throw error;
        this.close();
        this.#callbacks.failed(error);
      }
    });
  }

  /** One turn: an observation when one is due, and one batch. */
  #turn(): void {
    if (this.#observeWanted && this.#clock.now() >= this.#observeNotBefore) this.#observe();
    const now = this.#clock.now();
    if (this.#nexthops.isDirty(now)) {
      if (!this.#nexthops.write(now)) this.#retry();
      this.#routes.requeueMoved();
    }
    if (!this.#routes.writeBatch(this.#batchRows)) this.#retry();
    if (this.#routes.queue.length === 0) this.#nexthops.sweep(this.#routes.isComplete);
    this.#report();
    if (this.#routes.queue.length > 0 || this.#nexthops.isDirty(this.#clock.now())) this.#kick();
    else this.#arm();
  }

  #report(): void {
    for (;;) {
      const first = this.#unapplied[0];
      if (first === undefined || first.position > this.#routes.queue.popped) break;
      this.#unapplied.shift();
      this.#callbacks.applied(first.sequence);
    }
    this.#callbacks.changed();
  }

  #observe(): void {
    this.#observeWanted = false;
    const begun = this.#clock.now();
    const repaired = this.#nexthops.observe(begun);
    this.#nexthopRepairs.nexthop += repaired?.nexthops ?? 0;
    this.#nexthopRepairs.nexthopGroup += repaired?.groups ?? 0;
    if (!this.#routes.observe() || repaired === undefined) this.#observeWanted = true;
    const ended = this.#clock.now();
    this.#observeNotBefore = after(ended, milliseconds(observationRest * between(begun, ended)));
  }

  #retry(): void {
    this.#retryAt ??= after(this.#clock.now(), this.#retryDelay);
  }

  /** Sets the one timer to whichever comes first: the postponed observation, or the next try of what was refused. */
  #arm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    if (this.#routes.refusedCount > 0 || this.#nexthops.refused().length > 0) this.#retry();
    else if (this.#retryAt === undefined && !this.#observeWanted) this.#retryDelay = milliseconds(0);
    const at = earliest(
      this.#observeWanted ? this.#observeNotBefore : undefined,
      this.#retryAt,
      this.#nexthops.restsUntil,
    );
    if (at === undefined) return;
    this.#cancelTimer = this.#clock.at(at, () => {
      if (this.#retryAt !== undefined && this.#clock.now() >= this.#retryAt) {
        this.#retryAt = undefined;
        this.#retryDelay = milliseconds(Math.min(Math.max(2 * this.#retryDelay, firstRetry), longestRetry));
        this.#observeWanted = true;
      }
      this.#kick();
    });
  }
}

const hopText = (hop: NextHop): string => `${hop.gateway} on interface ${hop.interfaceIndex}`;
