/**
 * Deletes the veths of pods that are gone, on the background thread. Deleting one waits 20 ms in the kernel, a group of 64
 * takes 43 (measured), so requests are collected for a moment. What has gathered is looked at once; then, group by group,
 * ours are moved from *dying* to *reaping* and that group is deleted by one request. A link is reported once the
 * connections of its addresses are forgotten too. Only then may an address come back.
 */
import { AppError } from '#lib/result.ts';
import { ENODEV } from '#linux/errno.ts';
import { NetlinkSocket } from '#netlink/io/socket.ts';
import { MessageBatch } from '#netlink/wire/batch.ts';
import { RTM } from '#netlink/wire/constants.ts';
import {
  appendDelLink,
  appendDumpLinks,
  appendGetLink,
  appendSetLink,
  decodeLink,
  type Link,
} from '#netlink/wire/link.ts';
import { LINK_GROUP } from '../../kernel-names.ts';
import { planReaping } from '../reap-plan.ts';
import type { DyingLink, ReaperReport, ReaperRequest } from '../reaping.ts';
import { Conntrack } from './conntrack.ts';

/** The knee of the measured curve: more per group saves little and holds the kernel's RTNL lock longer. */
const GROUP_SIZE = 64;
/** One look at the links serves so many groups; the last of them is deleted some 300 ms after it. */
const GROUPS_PER_LOOK = 8;
/**
 * A burst of deletions is collected until it pauses this long, and as long is the rest between two groups while more
 * come: whoever deletes or adds pods meanwhile waits for the kernel's lock behind every group …
 */
const DEBOUNCE_MS = 30;
/** … but nobody waits longer than this for the first group. */
const LONGEST_WAIT_MS = 500;

export interface ReaperOptions {
  readonly groupSize?: number;
}

export interface ReaperModules {
  readonly report: (report: ReaperReport) => void;
}

export class Reaper {
  readonly #groupSize: number;
  readonly #modules: ReaperModules;
  readonly #socket: NetlinkSocket;
  readonly #conntrack: Conntrack | undefined;
  readonly #batch = new MessageBatch(16384);
  readonly #queue = new Map<number, DyingLink>();
  /** Looked at and ours; to be deleted, in order. */
  #planned: readonly DyingLink[] = [];
  #asGroup = false;
  /** Deleted, but their connections may still be there. */
  #removed: DyingLink[] = [];
  /** Indexes of what is planned or removed. */
  readonly #inHand = new Set<number>();
  #timer: NodeJS.Timeout | undefined;
  #firstQueuedAt = 0;
  #lastRequestAt = 0;
  #urgent = false;
  /** Somebody waits for what is planned. */
  #planUrgent = false;
  #stopped = false;

  /** Opens its sockets in the calling thread's namespace. Errors: AppError `OS_*`. */
  constructor(options: ReaperOptions, modules: ReaperModules) {
    this.#groupSize = options.groupSize ?? GROUP_SIZE;
    this.#modules = modules;
    this.#socket = NetlinkSocket.open();
    this.#conntrack = Conntrack.open();
  }

  request(request: ReaperRequest): void {
    if (this.#stopped) return;
    this.#lastRequestAt = performance.now();
    if (this.#queue.size === 0) this.#firstQueuedAt = this.#lastRequestAt;
    for (const link of request.links) if (!this.#inHand.has(link.index)) this.#queue.set(link.index, link);
    this.#urgent ||= request.urgent;
    // What comes while groups are under way waits for their end.
    if (this.#inHand.size === 0 && this.#queue.size > 0) this.#arm(this.#collecting());
  }

  /** How long to wait for more, milliseconds. */
  #collecting(): number {
    if (this.#urgent) return 0;
    return Math.max(0, Math.min(DEBOUNCE_MS, this.#firstQueuedAt + LONGEST_WAIT_MS - performance.now()));
  }

  /** How long others have the kernel's lock to themselves before the next group, milliseconds. */
  #resting(): number {
    return !this.#urgent && !this.#planUrgent && performance.now() - this.#lastRequestAt < DEBOUNCE_MS
      ? DEBOUNCE_MS
      : 0;
  }

  /** Deletes what is queued, then closes its sockets. */
  stop(): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    this.#stopped = true;
    clearTimeout(this.#timer);
    while (this.#queue.size > 0 || this.#inHand.size > 0) this.#step();
    this.#socket.close();
    this.#conntrack?.close();
    return Promise.resolve();
  }

  #arm(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#run(), delayMs);
  }

  /** One group a turn: what else this thread has to do comes between. */
  #run(): void {
    if (this.#stopped) return;
    this.#step();
    if (this.#inHand.size > 0) this.#arm(this.#resting());
    else if (this.#queue.size > 0) this.#arm(this.#collecting());
  }

  #step(): void {
    if (this.#planned.length === 0)
      this.#attempt([...this.#queue.values()].slice(0, GROUPS_PER_LOOK * this.#groupSize), (wanted) => {
        for (const link of wanted) this.#queue.delete(link.index);
        this.#planUrgent = this.#urgent;
        if (this.#queue.size === 0) this.#urgent = false;
        this.#plan(wanted);
      });
    const group = this.#planned.slice(0, this.#groupSize);
    this.#planned = this.#planned.slice(this.#groupSize);
    this.#attempt(group, () => this.#delete(group));
    // With connections to look through, one pass serves all groups of a look.
    if (this.#planned.length > 0 && this.#conntrack?.isEmpty() === false) return;
    const removed = this.#removed;
    this.#removed = [];
    this.#attempt(removed, () => {
      if (this.#conntrack?.isEmpty() === false) this.#conntrack.forget(removed.flatMap((link) => link.addresses));
      for (const link of removed) this.#inHand.delete(link.index);
      this.#modules.report({ kind: 'reaped', links: removed });
    });
  }

  /** What the environment refuses is reported as kept. */
  #attempt(links: readonly DyingLink[], action: (links: readonly DyingLink[]) => void): void {
    if (links.length === 0) return;
    try {
      action(links);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      this.#keep(links, error.message);
    }
  }

  #keep(links: readonly DyingLink[], reason: string): void {
    for (const link of links) this.#inHand.delete(link.index);
    this.#modules.report({ kind: 'kept', links, reason });
  }

  #plan(wanted: readonly DyingLink[]): void {
    const [only] = wanted.length === 1 ? wanted : [];
    const plan = planReaping(wanted, only === undefined ? this.#links() : this.#link(only.index));
    for (const { link, reason } of plan.keep) this.#keep([link], reason);
    this.#planned = plan.remove;
    this.#removed = [...plan.gone];
    for (const link of [...plan.remove, ...plan.gone]) this.#inHand.add(link.index);
    // A single link is cheaper to look at and to delete by itself than a look at all.
    this.#asGroup = only === undefined && plan.asGroup;
  }

  #delete(group: readonly DyingLink[]): void {
    const stuck = this.#remove(group, this.#asGroup);
    for (const link of group) {
      const reason = stuck.get(link.index);
      if (reason === undefined) this.#removed.push(link);
      else this.#keep([link], reason);
    }
  }

  #links(): readonly Link[] {
    const links = this.#socket.dumpList(appendDumpLinks, decodeLink);
    if (!links.ok)
      throw new AppError('OS_NETLINK_DUMP', `the links cannot be read: ${links.error.kind}`, { retry: 'backoff' });
    return links.value;
  }

  /** Empty when there is no such link. */
  #link(index: number): readonly Link[] {
    this.#batch.clear();
    appendGetLink(this.#batch, { index });
    const found: Link[] = [];
    const { failures } = this.#socket.execute(this.#batch, (_, reader, message) => {
      const link = message.type === RTM.NEWLINK ? decodeLink(reader, message) : undefined;
      if (link !== undefined) found.push(link);
    });
    const failure = failures.find((one) => one.errno !== ENODEV);
    if (failure !== undefined)
      throw new AppError('OS_NETLINK_DUMP', `a link cannot be read: ${failure.name}`, { retry: 'backoff' });
    if (found.length === 0 && failures.length === 0)
      throw new AppError('OS_NETLINK_DUMP', 'a link cannot be read: no answer', { retry: 'backoff' });
    return found;
  }

  /** Answers the links that are still there, with the kernel's reason. */
  #remove(links: readonly DyingLink[], asGroup: boolean): Map<number, string> {
    this.#batch.clear();
    for (const link of links) appendSetLink(this.#batch, { index: link.index }, { group: LINK_GROUP.reaping });
    if (asGroup) appendDelLink(this.#batch, { group: LINK_GROUP.reaping });
    const { failures } = this.#socket.execute(this.#batch);
    if (asGroup && !failures.some((failure) => failure.errno !== ENODEV)) return new Map();
    // Somebody else's link is in our group, or one of ours resists: each by itself.
    this.#batch.clear();
    for (const link of links) appendDelLink(this.#batch, { index: link.index });
    const stuck = new Map<number, string>();
    for (const failure of this.#socket.execute(this.#batch).failures) {
      const link = links[failure.index];
      if (link !== undefined && failure.errno !== ENODEV)
        stuck.set(link.index, `${link.name} cannot be deleted: ${failure.name}`);
    }
    return stuck;
  }
}
