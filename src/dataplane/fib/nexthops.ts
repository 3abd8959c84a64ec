/**
 * Nexthop objects and groups in the kernel for the groups that an engine uses. Each gateway on an interface is one object,
 * each set of them one group, a group even of one: the kernel refuses to turn a single nexthop into a group later. Ids are
 * ours by range and protocol; what an earlier life left is taken over when its members are the same.
 */
import type { NetlinkSocket } from '#netlink/io/socket.ts';
import { MessageBatch } from '#netlink/wire/batch.ts';
import { NLM_F } from '#netlink/wire/constants.ts';
import {
  appendDelNexthop,
  appendDumpNexthops,
  appendNewNexthop,
  appendNewNexthopGroup,
  decodeNexthop,
  type Nexthop,
} from '#netlink/wire/nexthop.ts';
import { EEXIST, ENOENT } from '#linux/errno.ts';
import { type Instant, after, earliest, seconds } from '#lib/time.ts';
import { NEXTHOP_ID_COUNT, NEXTHOP_ID_FIRST, ROUTE_PROTOCOL } from '../kernel-names.ts';
import type { NextHop, NextHopGroup, NexthopId } from './route.ts';

interface Member {
  readonly key: string;
  readonly hop: NextHop;
  id: number;
  inKernel: boolean;
  /** Why the kernel refused it. */
  refused: string | undefined;
}

interface Group {
  readonly key: string;
  readonly members: readonly Member[];
  id: number;
  /** Ids that the kernel's group has; empty: the kernel has no such group. */
  kernelMembers: readonly number[];
  /** How many of the engine's groups have these members. */
  uses: number;
}

export interface NexthopRepairs {
  readonly nexthops: number;
  readonly groups: number;
}

/** Paths that BFD watches; a gateway of a failed one is not put into the kernel. */
export interface WatchedPaths {
  readonly watched: readonly NextHop[];
  readonly failed: readonly NextHop[];
}

/**
 * BFD's process takes a failed path's nexthops out of the kernel before anybody here knows. So what is lost of a watched
 * path is not made again at once: by then it is known to have failed, or somebody else took it.
 */
const lostRest = seconds(1);

const isOurs = (nexthop: Nexthop): boolean =>
  nexthop.protocol === ROUTE_PROTOCOL &&
  nexthop.id >= NEXTHOP_ID_FIRST &&
  nexthop.id < NEXTHOP_ID_FIRST + NEXTHOP_ID_COUNT;
const hopKey = ({ gateway, interfaceIndex }: NextHop): string => `${gateway}%${interfaceIndex}`;
const sameIds = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((id) => b.includes(id));

export class Nexthops {
  readonly #socket: NetlinkSocket;
  readonly #batch = new MessageBatch(8192);
  readonly #members = new Map<string, Member>();
  readonly #groups = new Map<string, Group>();
  readonly #engineGroups = new Map<number, Group>();
  /** Ours in the kernel, but used by no group of the engine: of an earlier life, or waiting to be swept. */
  #unused = new Map<number, Nexthop>();
  readonly #takenIds = new Set<number>();
  #nextId = NEXTHOP_ID_FIRST;
  /** Routes that point at a group, by id - NEXTHOP_ID_FIRST. */
  readonly #routes: number[] = [];
  #dirty = false;
  #watched: ReadonlySet<string> = new Set();
  #failed: ReadonlySet<string> = new Set();
  /** Watched ones that were found missing though nobody here had deleted them. */
  readonly #lost = new Map<Member, Instant>();

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** Some object is missing or other than it should be, so write() has something to do. */
  isDirty(now: Instant): boolean {
    const { restsUntil } = this;
    return this.#dirty || (restsUntil !== undefined && restsUntil <= now);
  }

  /** When the first of the lost ones may be made again. */
  get restsUntil(): Instant | undefined {
    let until: Instant | undefined;
    for (const [member, lostAt] of this.#lost)
      if (!this.#failed.has(member.key)) until = earliest(until, after(lostAt, lostRest));
    return until;
  }

  setPaths({ watched, failed }: WatchedPaths): void {
    const keys = (hops: readonly NextHop[]): Set<string> => new Set(hops.map(hopKey));
    this.#watched = keys(watched);
    this.#failed = keys(failed);
    this.#dirty = true;
  }

  /** The kernel's ids of the gateways that are watched. */
  watched(): readonly NexthopId[] {
    return [...this.#members.values()].flatMap(({ key, id, hop, inKernel }) =>
      inKernel && this.#watched.has(key) ? [{ id, ...hop }] : [],
    );
  }

  /** The kernel's id of the engine's group; 0 while no member of it is usable. */
  kernelId(engineGroup: number): number {
    const group = this.#engineGroups.get(engineGroup);
    return group === undefined || group.kernelMembers.length === 0 ? 0 : group.id;
  }

  /** Gateways of a group of ours in the kernel, by its id there, as the last look showed them; empty: not known as one. */
  kernelMembers(id: number): readonly NextHop[] {
    const hops = new Map<number, NextHop>();
    for (const member of this.#members.values()) if (member.inKernel) hops.set(member.id, member.hop);
    for (const { id: single, gateway, interfaceIndex } of this.#unused.values())
      if (gateway !== undefined && interfaceIndex !== undefined) hops.set(single, { gateway, interfaceIndex });
    let ids: readonly number[] = (this.#unused.get(id)?.members ?? []).map((member) => member.id);
    for (const group of this.#groups.values()) if (group.id === id) ids = group.kernelMembers;
    return ids.flatMap((member) => hops.get(member) ?? []);
  }

  /** Next hops that the kernel refuses, with its words. */
  refused(): readonly { readonly hop: NextHop; readonly text: string }[] {
    const list: { hop: NextHop; text: string }[] = [];
    for (const { hop, refused } of this.#members.values()) if (refused !== undefined) list.push({ hop, text: refused });
    return list;
  }

  /** Keeps count of the routes that point at an id: a group that is still pointed at is never deleted. */
  countRoutes(id: number, change: number): void {
    const at = id - NEXTHOP_ID_FIRST;
    if (at >= 0 && at < NEXTHOP_ID_COUNT) this.#routes[at] = (this.#routes[at] ?? 0) + change;
  }

  use(groups: readonly NextHopGroup[]): void {
    for (const { id, members } of groups) {
      const before = this.#engineGroups.get(id);
      if (before !== undefined) before.uses -= 1;
      const group = this.#group(members);
      group.uses += 1;
      this.#engineGroups.set(id, group);
    }
  }

  release(engineGroups: readonly number[]): void {
    for (const id of engineGroups) {
      const group = this.#engineGroups.get(id);
      if (group === undefined) continue;
      this.#engineGroups.delete(id);
      group.uses -= 1;
    }
  }

  /** Forgets the engine's numbers; what is in the kernel stays until it is swept. */
  releaseAll(): void {
    this.release([...this.#engineGroups.keys()]);
  }

  #group(hops: readonly NextHop[]): Group {
    const members = new Map<string, Member>();
    for (const hop of hops) {
      const member = this.#member(hop);
      members.set(member.key, member);
    }
    const key = [...members.keys()].sort().join(' ');
    const known = this.#groups.get(key);
    if (known !== undefined) return known;
    const list = [...members.values()];
    const wanted = list.map((member) => member.id);
    let inherited: Nexthop | undefined;
    if (list.every((member) => member.inKernel)) {
      for (const nexthop of this.#unused.values()) {
        if (
          nexthop.members !== undefined &&
          sameIds(
            nexthop.members.map((one) => one.id),
            wanted,
          )
        )
          inherited = nexthop;
      }
    }
    const group: Group = {
      key,
      members: list,
      id: inherited?.id ?? this.#newId(),
      kernelMembers: inherited === undefined ? [] : wanted,
      uses: 0,
    };
    if (inherited === undefined) this.#dirty = true;
    else this.#unused.delete(inherited.id);
    this.#groups.set(key, group);
    return group;
  }

  #member(hop: NextHop): Member {
    const key = hopKey(hop);
    const known = this.#members.get(key);
    if (known !== undefined) return known;
    let inherited: Nexthop | undefined;
    for (const nexthop of this.#unused.values()) {
      if (nexthop.gateway === hop.gateway && nexthop.interfaceIndex === hop.interfaceIndex) inherited = nexthop;
    }
    if (inherited === undefined) this.#dirty = true;
    else this.#unused.delete(inherited.id);
    const member = {
      key,
      hop,
      id: inherited?.id ?? this.#newId(),
      inKernel: inherited !== undefined,
      refused: undefined,
    };
    this.#members.set(key, member);
    return member;
  }

  #newId(): number {
    while (this.#takenIds.has(this.#nextId)) this.#advance();
    const id = this.#nextId;
    this.#takenIds.add(id);
    this.#advance();
    return id;
  }

  #advance(): void {
    this.#nextId = this.#nextId + 1 < NEXTHOP_ID_FIRST + NEXTHOP_ID_COUNT ? this.#nextId + 1 : NEXTHOP_ID_FIRST;
  }

  /** Looks at what the kernel has. Answers how many objects of ours had vanished or changed; `undefined`: the dump failed. */
  observe(now: Instant): NexthopRepairs | undefined {
    const dumped = this.#socket.dumpList(appendDumpNexthops, decodeNexthop);
    if (!dumped.ok) return undefined;
    const found = new Map(dumped.value.map((nexthop) => [nexthop.id, nexthop]));
    this.#takenIds.clear();
    for (const id of found.keys()) this.#takenIds.add(id);
    let nexthops = 0;
    let groups = 0;
    for (const member of this.#members.values()) {
      const nexthop = this.#take(found, member.id);
      const same = nexthop?.gateway === member.hop.gateway && nexthop.interfaceIndex === member.hop.interfaceIndex;
      if (member.inKernel && !same) {
        if (this.#watched.has(member.key)) this.#lost.set(member, now);
        else nexthops += 1;
      }
      // Somebody else's object under our id, or one of ours turned into another: both need a new id.
      if (nexthop !== undefined && !same) member.id = this.#newId();
      member.inKernel = same;
      member.refused = undefined;
    }
    for (const group of this.#groups.values()) {
      const nexthop = this.#take(found, group.id);
      const members = nexthop?.members?.map((member) => member.id) ?? [];
      if (group.kernelMembers.length > 0 && !sameIds(members, group.kernelMembers)) groups += 1;
      if (nexthop !== undefined && members.length === 0) group.id = this.#newId();
      group.kernelMembers = members;
    }
    this.#unused = new Map([...found].filter(([, nexthop]) => isOurs(nexthop)));
    this.#dirty = true;
    return { nexthops, groups };
  }

  /** An object that is ours leaves `found`; a foreign one stays there and counts as another. */
  #take(found: Map<number, Nexthop>, id: number): Nexthop | undefined {
    const nexthop = found.get(id);
    if (nexthop !== undefined && isOurs(nexthop)) {
      found.delete(id);
      return nexthop;
    }
    this.#takenIds.add(id);
    return nexthop === undefined ? undefined : { ...nexthop, gateway: undefined, members: undefined };
  }

  /** The path is failed, or may be. */
  #rests(member: Member, now: Instant): boolean {
    const lostAt = this.#lost.get(member);
    return this.#failed.has(member.key) || (lostAt !== undefined && now < after(lostAt, lostRest));
  }

  /** Makes what is missing. Answers false when the kernel has to be looked at again first. */
  write(now: Instant): boolean {
    this.#dirty = false;
    const needed = new Set<Member>();
    for (const group of this.#groups.values())
      if (group.uses > 0) for (const member of group.members) needed.add(member);
    const missing = [...needed].filter((member) => !member.inKernel && !this.#rests(member, now));
    const flags = NLM_F.CREATE | NLM_F.EXCL;
    this.#batch.clear();
    for (const [member, lostAt] of this.#lost) if (now >= after(lostAt, lostRest)) this.#lost.delete(member);
    for (const { id, hop } of missing) appendNewNexthop(this.#batch, flags, { id, protocol: ROUTE_PROTOCOL, ...hop });
    const made = this.#socket.execute(this.#batch);
    let taken = made.overrun;
    for (const member of missing) {
      member.inKernel = true;
      this.#lost.delete(member);
      member.refused = undefined;
    }
    for (const failure of made.failures) {
      const member = missing[failure.index];
      if (member === undefined) continue;
      member.inKernel = false;
      member.refused = failure.text ?? failure.name;
      taken ||= failure.errno === EEXIST;
    }
    return this.#writeGroups() && !taken;
  }

  #writeGroups(): boolean {
    const changed: { readonly group: Group; readonly members: readonly number[] }[] = [];
    this.#batch.clear();
    for (const group of this.#groups.values()) {
      if (group.uses === 0) continue;
      const members = group.members.filter((member) => member.inKernel).map((member) => member.id);
      if (members.length === 0 || sameIds(members, group.kernelMembers)) continue;
      changed.push({ group, members });
      // REPLACE only where the last look at the kernel showed a group of ours under this id.
      const flags = group.kernelMembers.length > 0 ? NLM_F.REPLACE : NLM_F.CREATE | NLM_F.EXCL;
      appendNewNexthopGroup(this.#batch, flags, { id: group.id, protocol: ROUTE_PROTOCOL, members });
    }
    const { failures, overrun } = this.#socket.execute(this.#batch);
    const failed = new Set(failures.map((failure) => failure.index));
    changed.forEach(({ group, members }, i) => {
      if (!failed.has(i)) group.kernelMembers = members;
    });
    return failed.size === 0 && !overrun;
  }

  /** Deletes what no group of the engine and no route uses. `inherited`: also what an earlier life left. */
  sweep(inherited: boolean): void {
    for (const [key, group] of this.#groups) {
      if (group.uses > 0) continue;
      this.#groups.delete(key);
      if (group.kernelMembers.length > 0) this.#retire(group.id, group.kernelMembers);
    }
    const held = new Set<Member>();
    for (const group of this.#groups.values()) for (const member of group.members) held.add(member);
    for (const [key, member] of this.#members) {
      if (held.has(member)) continue;
      this.#members.delete(key);
      this.#lost.delete(member);
      if (member.inKernel) this.#retire(member.id, undefined, member.hop);
    }
    if (inherited) this.#deleteUnused();
  }

  #retire(id: number, members: readonly number[] | undefined, hop?: NextHop): void {
    this.#unused.set(id, {
      id,
      protocol: ROUTE_PROTOCOL,
      flags: 0,
      gateway: hop?.gateway,
      interfaceIndex: hop?.interfaceIndex,
      blackhole: false,
      members: members?.map((member) => ({ id: member, weight: 1 })),
    });
  }

  #deleteUnused(): void {
    const groups = [...this.#unused.values()].filter(
      (nexthop) => nexthop.members !== undefined && (this.#routes[nexthop.id - NEXTHOP_ID_FIRST] ?? 0) === 0,
    );
    this.#delete(groups);
    // A member that a group still has stays: deleting it would take it out of that group.
    const held = new Set<number>();
    for (const group of this.#groups.values()) for (const id of group.kernelMembers) held.add(id);
    for (const nexthop of this.#unused.values()) for (const member of nexthop.members ?? []) held.add(member.id);
    const singles = [...this.#unused.values()].filter(
      (nexthop) =>
        nexthop.members === undefined &&
        !held.has(nexthop.id) &&
        (this.#routes[nexthop.id - NEXTHOP_ID_FIRST] ?? 0) === 0,
    );
    this.#delete(singles);
  }

  #delete(list: readonly Nexthop[]): void {
    this.#batch.clear();
    for (const { id } of list) appendDelNexthop(this.#batch, id);
    const { failures } = this.#socket.execute(this.#batch);
    const kept = new Set(failures.filter((failure) => failure.errno !== ENOENT).map((failure) => failure.index));
    list.forEach(({ id }, i) => {
      if (kept.has(i)) return;
      this.#unused.delete(id);
      this.#takenIds.delete(id);
    });
  }
}
