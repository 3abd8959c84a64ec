/**
 * Deletes the veths of pods that are gone, on the background thread. Deleting one waits 20 ms in the kernel, a group of 64
 * takes 43 (measured), so requests are collected for a moment. A group is: look at the links, move ours from *dying* to
 * *reaping*, delete that group by one request, forget the connections of their addresses, report. Only then may an address
 * come back.
 */
import { AppError } from '#lib/result.ts';
import { ENODEV } from '#linux/errno.ts';
import { NetlinkSocket } from '#netlink/io/socket.ts';
import { MessageBatch } from '#netlink/wire/batch.ts';
import { appendDelLink, appendDumpLinks, appendSetLink, decodeLink, type Link } from '#netlink/wire/link.ts';
import { LINK_GROUP } from '../../kernel-names.ts';
import { planReaping } from '../reap-plan.ts';
import type { DyingLink, ReaperReport, ReaperRequest } from '../reaping.ts';
import { Conntrack } from './conntrack.ts';

/** The knee of the measured curve: more per group saves little and holds the kernel's RTNL lock longer. */
const GROUP_SIZE = 64;
/** A burst of deletions is collected until it pauses this long … */
const DEBOUNCE_MS = 30;
/** … but nobody waits longer than this. */
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
  #timer: NodeJS.Timeout | undefined;
  #firstQueuedAt = 0;
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
    if (this.#queue.size === 0) this.#firstQueuedAt = performance.now();
    for (const link of request.links) this.#queue.set(link.index, link);
    const waited = performance.now() - this.#firstQueuedAt;
    const full = this.#queue.size >= this.#groupSize;
    this.#arm(request.urgent || full ? 0 : Math.max(0, Math.min(DEBOUNCE_MS, LONGEST_WAIT_MS - waited)));
  }

  /** Deletes what is queued, then closes its sockets. */
  stop(): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    this.#stopped = true;
    clearTimeout(this.#timer);
    while (this.#queue.size > 0) this.#reapGroup();
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
    this.#reapGroup();
    if (this.#queue.size > 0) this.#arm(0);
  }

  #reapGroup(): void {
    const wanted = [...this.#queue.values()].slice(0, this.#groupSize);
    for (const link of wanted) this.#queue.delete(link.index);
    if (wanted.length === 0) return;
    try {
      this.#reap(wanted);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      this.#modules.report({ kind: 'kept', links: wanted, reason: error.message });
    }
  }

  #reap(wanted: readonly DyingLink[]): void {
    const plan = planReaping(wanted, this.#links());
    for (const { link, reason } of plan.keep) this.#modules.report({ kind: 'kept', links: [link], reason });
    const stuck = plan.remove.length === 0 ? new Map<number, string>() : this.#remove(plan.remove, plan.asGroup);
    const removed = plan.remove.filter((link) => !stuck.has(link.index));
    for (const link of plan.remove) {
      const reason = stuck.get(link.index);
      if (reason !== undefined) this.#modules.report({ kind: 'kept', links: [link], reason });
    }
    const links = [...removed, ...plan.gone];
    if (links.length === 0) return;
    this.#conntrack?.forget(links.flatMap((link) => link.addresses));
    this.#modules.report({ kind: 'reaped', links });
  }

  #links(): readonly Link[] {
    const links = this.#socket.dumpList(appendDumpLinks, decodeLink);
    if (!links.ok)
      throw new AppError('OS_NETLINK_DUMP', `the links cannot be read: ${links.error.kind}`, { retry: 'backoff' });
    return links.value;
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
