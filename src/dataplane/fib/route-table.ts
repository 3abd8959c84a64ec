/**
 * What the engine wants and what the kernel has, prefix by prefix, and the batches that bring the second to the first. A
 * route is replaced only where the last look at the kernel, or our own writing since, shows one of ours; it is created with
 * NLM_F_EXCL otherwise, so that a route of somebody else at the same prefix and metric stays and becomes a conflict.
 */
import { addressBytes, families, type Family, type IpAddress, type Prefix } from '#lib/ip.ts';
import { EEXIST, ENOENT, ESRCH } from '#linux/errno.ts';
import type { NetlinkSocket, RequestFailure } from '#netlink/io/socket.ts';
import { MessageBatch } from '#netlink/wire/batch.ts';
import { NLM_F, RT_TABLE, RTM } from '#netlink/wire/constants.ts';
import type { WireReader } from '#netlink/wire/reader.ts';
import { appendPackedRoute, type PackedRoute, type PackedRoutes } from '#netlink/wire/route.ts';
import { LEARNED_ROUTE_METRIC, ROUTE_PROTOCOL } from '../kernel-names.ts';
import { EntryQueue } from './entry-queue.ts';
import { ENTRY, FibTable, SOURCE } from './fib-table.ts';
import type { Nexthops } from './nexthops.ts';
import { observeLocalAddresses, observeRoutes } from './observe-routes.ts';
import { fibRowBytes, type InheritedRoutes, type NextHopGroup } from './route.ts';

const packed = (family: Family): PackedRoutes => ({
  table: RT_TABLE.MAIN,
  protocol: ROUTE_PROTOCOL,
  metric: LEARNED_ROUTE_METRIC[family],
});
const packedIpv4 = packed('ipv4');
const packedIpv6 = packed('ipv6');
/** Stands for the next hop of a route of ours that points at no nexthop object. */
const noNexthopObject = 0xffffffff;

/** The node's addresses, which packets of its own that leave by a learned route carry. */
export interface PreferredSource {
  readonly ipv4: IpAddress | undefined;
  readonly ipv6: IpAddress | undefined;
}

interface Operation {
  readonly entry: number;
  readonly kind: 'create' | 'replace' | 'delete';
  /** What the route points at when the message succeeds. */
  readonly nexthopId: number;
  readonly source: number;
}

interface Source {
  readonly address: IpAddress;
  readonly bytes: Uint8Array;
  /** On an interface of this node, so that the kernel takes it. */
  present: boolean;
}

export class RouteTable {
  readonly queue = new EntryQueue();
  readonly learned = { ipv4: 0, ipv6: 0 };
  readonly repairs = { route: 0, unexpectedRoute: 0 };
  readonly #socket: NetlinkSocket;
  readonly #nexthops: Nexthops;
  readonly #table = new FibTable();
  readonly #batch = new MessageBatch(128 * 1024);
  /** Protocol of the foreign route at an entry's prefix. */
  readonly #conflicts = new Map<number, number>();
  readonly #refused = new Map<number, string>();
  readonly #sources: Record<Family, Source | undefined> = { ipv4: undefined, ipv6: undefined };
  readonly #emptying: (family: Family) => void;
  #complete = false;

  /** `emptying` is called before the last routes of a family are deleted. */
  constructor(socket: NetlinkSocket, nexthops: Nexthops, emptying: (family: Family) => void) {
    this.#socket = socket;
    this.#nexthops = nexthops;
    this.#emptying = emptying;
  }

  get isComplete(): boolean {
    return this.#complete;
  }
  get refusedCount(): number {
    return this.#refused.size;
  }

  refused(limit: number): readonly { readonly prefix: Prefix; readonly text: string }[] {
    return [...this.#refused].slice(0, limit).map(([entry, text]) => ({ prefix: this.#table.prefix(entry), text }));
  }

  conflicts(): readonly { readonly prefix: Prefix; readonly protocol: number }[] {
    return [...this.#conflicts].map(([entry, protocol]) => ({ prefix: this.#table.prefix(entry), protocol }));
  }

  missingSources(): readonly IpAddress[] {
    return [this.#sources.ipv4, this.#sources.ipv6].flatMap((one) => (one?.present === false ? [one.address] : []));
  }

  /** Group 0 withdraws. */
  desire(size: number, bytes: Uint8Array, offset: number, length: number, group: number): void {
    const entry =
      group === 0 ? this.#table.find(size, bytes, offset, length) : this.#table.insert(size, bytes, offset, length);
    if (entry < 0) return;
    this.#table.desired[entry] = group;
    this.#clear(entry, ENTRY.inherited);
    this.#push(entry);
  }

  /** The engine has named all it wants: what was inherited and not named goes. */
  completed(): void {
    this.#complete = true;
    this.#each((entry) => {
      if (!this.#has(entry, ENTRY.inherited)) return;
      this.#clear(entry, ENTRY.inherited);
      this.#push(entry);
    });
  }

  /** A new engine begins: all routes count as left by the one before. */
  inheritAll(): void {
    this.#complete = false;
    this.#each((entry) => {
      this.#table.desired[entry] = 0;
      if (this.#table.observed[entry] === 0) this.#push(entry);
      else this.#set(entry, ENTRY.inherited);
    });
  }

  /** All routes of ours in the kernel that point at a group. */
  inherited(): InheritedRoutes {
    const groups = new Map<number, NextHopGroup>();
    const entries: number[] = [];
    this.#each((entry) => {
      const id = this.#table.observed[entry] as number;
      if (id === 0 || id === noNexthopObject) return;
      if (!groups.has(id)) groups.set(id, { id: groups.size + 1, members: this.#nexthops.kernelMembers(id) });
      if ((groups.get(id)?.members.length ?? 0) > 0) entries.push(entry);
    });
    const prefixes = new Uint8Array(fibRowBytes * entries.length);
    entries.forEach((entry, row) => {
      const size = this.#table.addressSize(entry);
      const at = fibRowBytes * row;
      prefixes[at] = size === 4 ? 4 : 6;
      prefixes[at + 1] = this.#table.prefixLength(entry);
      prefixes.set(this.#table.keys.subarray(16 * entry, 16 * entry + size), at + 2);
    });
    const groupIds = Uint32Array.from(entries, (entry) => groups.get(this.#table.observed[entry] as number)?.id ?? 0);
    return { groups: [...groups.values()], prefixes, groupIds };
  }

  /** Answers whether it is another than before. */
  setPreferredSource(wanted: PreferredSource): boolean {
    let changed = false;
    for (const family of ['ipv4', 'ipv6'] as const) {
      const address = wanted[family];
      if (address === this.#sources[family]?.address) continue;
      changed = true;
      this.#sources[family] =
        address === undefined ? undefined : { address, bytes: addressBytes(address), present: true };
      this.#each((entry) => {
        if (this.#family(entry) !== family) return;
        if (this.#table.source[entry] === SOURCE.current) this.#table.source[entry] = SOURCE.other;
        this.#push(entry);
      });
    }
    return changed;
  }

  /** Groups have got or lost their place in the kernel: the routes that want them move. */
  requeueMoved(): void {
    this.#each((entry) => {
      if (!this.#has(entry, ENTRY.retry) && this.#decide(entry) !== undefined) this.#push(entry);
    });
  }

  /** Writes at most `rows` queued entries; false: the kernel has to be looked at again. */
  writeBatch(rows: number): boolean {
    const operations: Operation[] = [];
    this.#batch.clear();
    for (let i = 0; i < rows && this.queue.length > 0; i++) {
      const entry = this.queue.pop();
      this.#clear(entry, ENTRY.queued);
      const operation = this.#decide(entry);
      if (operation === undefined) {
        this.#forgetIfUnused(entry);
        continue;
      }
      operations.push(operation);
      this.#append(operation);
    }
    if (operations.length === 0) return true;
    this.#emptiedBy(operations).forEach(this.#emptying);
    const { failures, overrun } = this.#socket.execute(this.#batch);
    const failed = new Map(failures.map((failure) => [failure.index, failure]));
    let known = !overrun;
    operations.forEach((operation, i) => {
      const failure = failed.get(i);
      if (failure === undefined) this.#done(operation);
      else known = this.#failed(operation, failure) && known;
    });
    return known;
  }

  #emptiedBy(operations: readonly Operation[]): readonly Family[] {
    const left = { ...this.learned };
    for (const { entry, kind } of operations)
      if (kind !== 'replace') left[this.#family(entry)] += kind === 'create' ? 1 : -1;
    return families.filter((family) => left[family] === 0 && this.learned[family] > 0);
  }

  /** What has to be done with an entry; `undefined`: nothing, or nothing now. */
  #decide(entry: number): Operation | undefined {
    if (this.#has(entry, ENTRY.inherited)) return undefined;
    const desired = this.#table.desired[entry] as number;
    const observed = this.#table.observed[entry] as number;
    const nexthopId = desired === 0 ? 0 : this.#nexthops.kernelId(desired);
    if (nexthopId === 0)
      return observed === 0 ? undefined : { entry, kind: 'delete', nexthopId: 0, source: SOURCE.none };
    const source = this.#sources[this.#family(entry)]?.present === true ? SOURCE.current : SOURCE.none;
    const foreign = this.#has(entry, ENTRY.foreign);
    if (observed === 0) return foreign ? undefined : { entry, kind: 'create', nexthopId, source };
    if (observed === nexthopId && this.#table.source[entry] === source) return undefined;
    // Two routes stand at one place: REPLACE would take the first, which may be the other's.
    if (foreign) return { entry, kind: 'delete', nexthopId: 0, source: SOURCE.none };
    return { entry, kind: 'replace', nexthopId, source };
  }

  #append({ entry, kind, nexthopId, source }: Operation): void {
    const size = this.#table.addressSize(entry);
    const type = kind === 'delete' ? RTM.DELROUTE : RTM.NEWROUTE;
    const flags = kind === 'create' ? NLM_F.CREATE | NLM_F.EXCL : kind === 'replace' ? NLM_F.REPLACE : 0;
    const preferred = source === SOURCE.current ? this.#sources[this.#family(entry)]?.bytes : undefined;
    const length = this.#table.prefixLength(entry);
    appendPackedRoute(
      this.#batch,
      type,
      flags,
      size === 4 ? packedIpv4 : packedIpv6,
      size,
      this.#table.keys,
      16 * entry,
      length,
      nexthopId,
      preferred,
    );
  }

  #done({ entry, nexthopId, source }: Operation): void {
    this.#setObserved(entry, nexthopId);
    this.#table.source[entry] = source;
    this.#refused.delete(entry);
    this.#forgetIfUnused(entry);
  }

  /** False: only another look at the kernel can tell how to go on. */
  #failed(operation: Operation, failure: RequestFailure): boolean {
    const { entry, kind } = operation;
    const absent = failure.errno === ESRCH || failure.errno === ENOENT;
    if (kind === 'delete' && absent) {
      this.#done(operation);
      return true;
    }
    if (kind === 'replace' && absent) {
      this.#setObserved(entry, 0);
      this.#push(entry);
      return true;
    }
    this.#set(entry, ENTRY.retry);
    // Whose route is in the way is what the next observation tells.
    if (failure.errno !== EEXIST) this.#refused.set(entry, failure.text ?? failure.name);
    return false;
  }

  /** Reads the kernel's routes and addresses; false when something could not be read whole. */
  observe(): boolean {
    const local = observeLocalAddresses(this.#socket);
    for (const source of [this.#sources.ipv4, this.#sources.ipv6])
      if (source !== undefined && local !== undefined) source.present = local.has(source.address);
    const ipv4 = this.#observeFamily('ipv4');
    const ipv6 = this.#observeFamily('ipv6');
    this.#refused.clear();
    this.#each((entry) => {
      this.#clear(entry, ENTRY.retry);
      if (this.#decide(entry) !== undefined) this.#push(entry);
    });
    return ipv4 && ipv6 && local !== undefined;
  }

  #observeFamily(family: Family): boolean {
    const whole = observeRoutes(this.#socket, family, {
      begin: () => {
        this.#each((entry) => {
          if (this.#family(entry) === family) this.#clear(entry, ENTRY.seen | ENTRY.foreign);
        });
      },
      ours: (reader, route) => this.#observeOurs(reader, route),
      foreign: (reader, route) => {
        const entry = this.#table.find(route.size, reader.bytes, route.addressAt, route.length);
        if (entry < 0 || this.#table.desired[entry] === 0) return;
        this.#set(entry, ENTRY.foreign);
        this.#conflicts.set(entry, route.protocol);
      },
    });
    if (!whole) return false;
    this.#each((entry) => {
      if (this.#family(entry) !== family) return;
      if (!this.#has(entry, ENTRY.foreign)) this.#conflicts.delete(entry);
      if (this.#table.observed[entry] === 0 || this.#has(entry, ENTRY.seen)) return;
      if (this.#table.desired[entry] !== 0) this.repairs.route += 1;
      this.#setObserved(entry, 0);
      this.#clear(entry, ENTRY.inherited);
      this.#push(entry);
    });
    return true;
  }

  #observeOurs(reader: WireReader, route: PackedRoute): void {
    const entry = this.#table.insert(route.size, reader.bytes, route.addressAt, route.length);
    const desired = this.#table.desired[entry] as number;
    const before = this.#table.observed[entry] as number;
    const nexthopId = route.nexthopId === 0 ? noNexthopObject : route.nexthopId;
    const source = this.#sourceOf(reader, route);
    if (desired === 0 && before === 0) {
      // Before the engine has said all it wants, nothing of ours is unexpected.
      if (!this.#complete) this.#set(entry, ENTRY.inherited);
      else this.repairs.unexpectedRoute += 1;
    } else if (desired !== 0 && before !== 0 && (before !== nexthopId || this.#table.source[entry] !== source)) {
      this.repairs.route += 1;
    }
    this.#setObserved(entry, nexthopId);
    this.#table.source[entry] = source;
    this.#set(entry, ENTRY.seen);
  }

  #sourceOf(reader: WireReader, route: PackedRoute): number {
    if (route.preferredSourceAt < 0) return SOURCE.none;
    const wanted = this.#sources[route.size === 4 ? 'ipv4' : 'ipv6'];
    if (wanted === undefined) return SOURCE.other;
    for (let i = 0; i < route.size; i++)
      if (reader.bytes[route.preferredSourceAt + i] !== wanted.bytes[i]) return SOURCE.other;
    return SOURCE.current;
  }

  #setObserved(entry: number, nexthopId: number): void {
    const before = this.#table.observed[entry] as number;
    if (before === nexthopId) return;
    this.#table.observed[entry] = nexthopId;
    const family = this.#family(entry);
    if (before !== 0) {
      this.#nexthops.countRoutes(before, -1);
      this.learned[family] -= 1;
    }
    if (nexthopId !== 0) {
      this.#nexthops.countRoutes(nexthopId, 1);
      this.learned[family] += 1;
    }
  }

  #forgetIfUnused(entry: number): void {
    if (this.#table.desired[entry] !== 0) return;
    this.#conflicts.delete(entry);
    this.#refused.delete(entry);
    if (this.#table.observed[entry] !== 0 || this.#has(entry, ENTRY.queued)) return;
    this.#table.remove(entry);
  }

  #push(entry: number): void {
    if (this.#has(entry, ENTRY.queued)) return;
    this.#set(entry, ENTRY.queued);
    this.queue.push(entry);
  }

  #family(entry: number): Family {
    return this.#table.addressSize(entry) === 4 ? 'ipv4' : 'ipv6';
  }
  #has(entry: number, flag: number): boolean {
    return ((this.#table.flags[entry] as number) & flag) !== 0;
  }
  #set(entry: number, flag: number): void {
    this.#table.flags[entry] = (this.#table.flags[entry] as number) | flag;
  }
  #clear(entry: number, flag: number): void {
    this.#table.flags[entry] = (this.#table.flags[entry] as number) & ~flag;
  }
  #each(visit: (entry: number) => void): void {
    for (let entry = 0; entry < this.#table.end; entry++) if (this.#table.exists(entry)) visit(entry);
  }
}
