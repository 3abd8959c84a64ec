/**
 * Best paths from GoBGP into BestPaths. The watch begins first, then the table is listed: what an event has said of a prefix
 * is newer than the listing, and every later change has an event of its own, so both together are the table. Only as much is
 * read as the kernel keeps up with.
 */
import type { Asn, Prefix } from '#lib/ip.ts';
import { families, familyOf } from '#lib/ip.ts';
import type { BestPaths } from './best-paths.ts';
import { type BestHop } from './best-paths.ts';
import { familyMessage } from './desired.ts';
import { peerEvent } from './dialect.ts';
import { destinationBatches, exactly } from './io/observe.ts';
import type { GobgpClient } from './io/client.ts';
import type { PathMessage, PeerMessage, WatchMessage } from './messages.ts';
import { type Found, eventAsPath, eventNextHop, eventPrefix, foundIn, sourceOf, usedTogether } from './paths.ts';
import type { NextHopSession } from '../rib/next-hops.ts';

/** Rows that may be on their way to the kernel before reading pauses: a quarter of a million routes take a few seconds there. */
const mostUnacknowledged = 65_536;
/** Paths of one event that are taken before others get their turn. */
const slice = 2048;

export interface FeedModules {
  readonly best: BestPaths;
  readonly localAsn: () => Asn;
  /** Several equal paths of a prefix are used. */
  readonly several: () => boolean;
  /** Equal paths through different ASes are used together. */
  readonly relax: () => boolean;
  /** The session that a neighbour's paths come over; `undefined`: it is none of ours, and its paths are not installed. */
  readonly session: (neighbor: string, path: PathMessage) => NextHopSession | undefined;
  /** A path that begins in GoBGP is there, or may be gone. */
  readonly local: (prefix: Prefix) => void;
  readonly peer: (peer: PeerMessage) => void;
  /** Every peer has said all that it has, or had the time to. */
  readonly allSaid: () => boolean;
  /** The table was listed, and the watch keeps up with it. `isAll`: all had been said as the listing began, so that nothing is missing. */
  readonly listed: (isAll: boolean) => void;
  readonly changed: () => void;
  readonly defer: (work: () => void) => void;
}

export class Feed {
  readonly #client: GobgpClient;
  readonly #modules: FeedModules;
  readonly #abort = new AbortController();
  /** Prefixes that an event spoke of while the table is listed. */
  #newer: Set<Prefix> | undefined = new Set();
  #roomWaiters: (() => void)[] = [];
  #listing: Promise<void> | undefined;
  #isNextQueued = false;
  /** A path of each neighbour that is none of ours, or not yet. */
  readonly #strangers = new Map<string, PathMessage>();
  #failed: (error: unknown) => void = () => undefined;

  constructor(client: GobgpClient, modules: FeedModules) {
    this.#client = client;
    this.#modules = modules;
  }

  /** Ends only with an error, or after `stop`. */
  async run(): Promise<void> {
    const request = { peer: {}, table: { filters: [{ type: this.#client.dialect.watchBest, init: false }] } };
    const failure = new Promise<never>((_resolve, reject) => {
      this.#failed = reject;
    });
    const reading = (async (): Promise<void> => {
      for await (const batch of this.#client.batches<WatchMessage>('WatchEvent', request, this.#abort.signal)) {
        for (const message of batch) {
          if (message.peer?.type === peerEvent.endOfInit) {
            this.#listing ??= this.#list();
            this.#listing.catch(this.#failed);
          } else if (message.peer?.peer) this.#modules.peer(message.peer.peer);
        }
        await this.#events(batch);
      }
    })();
    await Promise.race([reading, failure]);
  }

  /** What is used of that which is there is decided by other rules than before. */
  listAnew(): void {
    if (this.#listing === undefined || this.#isNextQueued) return;
    this.#isNextQueued = true;
    this.#listing = this.#listing.then(() => this.#list());
    this.#listing.catch(this.#failed);
  }

  /** A neighbour may be one of ours that was not, or could not be told from another: its paths were passed over. */
  sessionsChanged(): void {
    const { session } = this.#modules;
    if (this.#strangers.values().some((path) => session(path.neighborIp, path) !== undefined)) this.listAnew();
  }

  stop(): void {
    this.#abort.abort();
    this.kernelCaughtUp();
  }

  /** Rows were acknowledged. */
  kernelCaughtUp(): void {
    if (this.#modules.best.unacknowledgedRows > mostUnacknowledged / 2 && !this.#abort.signal.aborted) return;
    for (const go of this.#roomWaiters.splice(0)) go();
  }

  async #room(): Promise<void> {
    const { best, defer } = this.#modules;
    best.flush(false);
    if (best.unacknowledgedRows <= mostUnacknowledged || this.#abort.signal.aborted)
      await new Promise<void>((resolve) => defer(resolve));
    else await new Promise<void>((resolve) => this.#roomWaiters.push(resolve));
  }

  /** The kernel is told once of what came together. */
  async #events(messages: readonly WatchMessage[]): Promise<void> {
    const { version } = this.#client.dialect;
    // Of several paths of a prefix version 4 tells which came and which went, not which there are.
    if (version === 4 && this.#modules.several()) return await this.#lookUp(messages);
    let taken = 0;
    for (const { table } of messages) {
      if (!table) continue;
      for (const [prefix, paths] of byPrefix(table.paths)) {
        this.#take(prefix, paths);
        if (++taken % slice === 0) await this.#room();
      }
    }
    if (taken > 0) this.#modules.changed();
    if (this.#modules.best.unacknowledgedRows > mostUnacknowledged) await this.#room();
  }

  /** What the events speak of is asked for. */
  async #lookUp(messages: readonly WatchMessage[]): Promise<void> {
    const { best, local, changed } = this.#modules;
    const named = new Set<Prefix>();
    for (const { table } of messages)
      for (const path of table?.paths ?? []) {
        const prefix = eventPrefix(path);
        if (prefix === undefined) continue;
        named.add(prefix);
        this.#newer?.add(prefix);
        if (sourceOf(path).neighbor === undefined) local(prefix);
      }
    if (named.size === 0) return;
    const { dialect } = this.#client;
    for (const family of families) {
      const all = [...named].filter((prefix) => familyOf(prefix) === family);
      for (let at = 0; at < all.length; at += slice) {
        const asked = all.slice(at, at + slice);
        const gone = new Set(asked);
        const prefixes = exactly(dialect, asked);
        const request = { tableType: dialect.table.global, family: familyMessage(family), prefixes };
        for await (const batch of destinationBatches(this.#client, request))
          for (const { paths } of batch) {
            const prefix = this.#found(foundIn(paths));
            if (prefix !== undefined) gone.delete(prefix);
          }
        for (const prefix of gone) best.delete(prefix);
        await this.#room();
      }
    }
    changed();
  }

  #take(prefix: Prefix, paths: readonly PathMessage[]): void {
    const { best, local } = this.#modules;
    this.#newer?.add(prefix);
    const present = paths.filter((path) => !path.isWithdraw);
    if (paths.some((path) => sourceOf(path).neighbor === undefined)) local(prefix);
    const [first] = present;
    if (first === undefined) best.delete(prefix);
    else {
      const isAny = present.length === 1 || this.#modules.relax();
      const used = isAny ? present : present.filter((path) => eventAsPath(path) === eventAsPath(first));
      best.set(
        prefix,
        used.flatMap((path) => this.#hop(path, eventNextHop(path)) ?? []),
      );
    }
  }

  #hop(path: PathMessage, nextHop: BestHop['nextHop'] | undefined): BestHop | undefined {
    const { neighbor } = sourceOf(path);
    if (neighbor === undefined || nextHop === undefined) return undefined;
    const session = this.#modules.session(path.neighborIp, path);
    if (session !== undefined) return { nextHop, session };
    this.#strangers.set(`${path.neighborIp} ${path.sourceId}`, path);
    return undefined;
  }

  async #list(): Promise<void> {
    const { best } = this.#modules;
    this.#isNextQueued = false;
    this.#strangers.clear();
    this.#newer ??= new Set();
    const isAll = this.#modules.allSaid();
    best.beginLife();
    const { table } = this.#client.dialect;
    let taken = 0;
    for (const family of families) {
      const request = { tableType: table.global, family: familyMessage(family) };
      for await (const batch of destinationBatches(this.#client, request))
        for (const { paths } of batch) {
          this.#listed(paths);
          if (++taken % slice === 0) await this.#room();
        }
    }
    this.#newer = undefined;
    this.#modules.listed(isAll);
    this.#modules.changed();
  }

  #listed(paths: readonly PathMessage[]): void {
    const known = foundIn(paths);
    const prefix = known[0]?.listed.prefix;
    if (prefix !== undefined && this.#newer?.has(prefix) !== true) this.#found(known);
    else this.#tellLocal(known);
  }

  /** All paths of one prefix, the best first. Answers the prefix, if there are any. */
  #found(known: readonly Found[]): Prefix | undefined {
    const { best, localAsn, relax } = this.#modules;
    const prefix = known[0]?.listed.prefix;
    if (prefix === undefined) return undefined;
    this.#tellLocal(known);
    const used = usedTogether(known, localAsn(), relax());
    best.set(
      prefix,
      known.flatMap(({ path, listed }, i) => (used[i] === true ? (this.#hop(path, listed.nextHop) ?? []) : [])),
    );
    return prefix;
  }

  #tellLocal(known: readonly Found[]): void {
    for (const { path, listed } of known) if (sourceOf(path).neighbor === undefined) this.#modules.local(listed.prefix);
  }
}

/** Paths of one prefix stand together in an event; they are all that are best now, or one that is none any more. */
function* byPrefix(paths: readonly PathMessage[]): Generator<readonly [Prefix, readonly PathMessage[]]> {
  for (let at = 0; at < paths.length; ) {
    const prefix = eventPrefix(paths[at] as PathMessage);
    let end = at + 1;
    while (end < paths.length && eventPrefix(paths[end] as PathMessage) === prefix) end++;
    if (prefix !== undefined) yield [prefix, paths.slice(at, end)];
    at = end;
  }
}
