/**
 * The update groups of an engine: which peers are told the same. In: peers that come, go and change their policy; out: a group
 * for each, shared by those with equal policy, kind of session and way of writing. Changes of policy are gathered and carried
 * out together: where all members of a group change alike, the group changes and nobody moves.
 */
import type { AdjRibOut } from './adj-rib-out.ts';
import type { FamilyRib } from './family-rib.ts';
import { GroupRibOut } from './group-rib-out.ts';
import type { GroupModules } from './group-rib-out.ts';
import type { UpdatePacker } from './route-packer.ts';
import type { UpdateGroupModules, UpdateGroupOptions } from './update-group.ts';
import { UpdateGroup } from './update-group.ts';

export interface UpdateGroupsModules extends UpdateGroupModules, Pick<GroupModules, 'packer'> {
  readonly rib: (family: UpdateGroupOptions['family']) => FamilyRib;
  readonly writer: (options: UpdateGroupOptions) => UpdatePacker;
}

/** Options, and what is equal for equal ones. */
export interface GroupTerms {
  readonly key: string;
  readonly options: UpdateGroupOptions;
}

/** `policyKey` is equal for equal export policies. */
export function groupTerms(policyKey: string, options: UpdateGroupOptions): GroupTerms {
  const { family, external, localAsn, nextHop, keep, context, paths, maxAnnounced } = options;
  const key = [
    family,
    external,
    localAsn,
    nextHop.global,
    nextHop.linkLocal,
    keep.key,
    context.fourOctetAs,
    context.extendedNextHop,
    context.maximumMessageBytes,
    paths,
    maxAnnounced,
    policyKey,
  ].join(' ');
  return { key, options };
}

export class UpdateGroups {
  /** Learned routes may be announced; false while a restarted speaker has not heard its peers (RFC 4724 §4.1). */
  learned = true;
  readonly #modules: UpdateGroupsModules;
  readonly #groups = new Map<string, GroupRibOut>();
  readonly #keys = new Map<GroupRibOut, string>();
  readonly #moves = new Map<AdjRibOut, GroupTerms>();

  constructor(modules: UpdateGroupsModules) {
    this.#modules = modules;
  }

  decided(rib: FamilyRib, prefix: number): void {
    for (const group of this.#groups.values()) if (group.rib === rib) group.decided(prefix);
  }

  /** A received set of attributes is gone; its number will mean another. */
  forget(attributes: number): void {
    for (const { policy } of this.#groups.values()) policy.forget(attributes);
  }

  /** Learned routes may be announced from now on. */
  releaseLearned(): void {
    this.learned = true;
    for (const group of this.#groups.values()) group.walkAll();
  }

  /** The group of these terms. Whoever asks puts a member into it. */
  group({ key, options }: GroupTerms): GroupRibOut {
    let group = this.#groups.get(key);
    if (group === undefined) {
      const { encoded, packer, rib, writer } = this.#modules;
      group = new GroupRibOut(new UpdateGroup(options, this.#modules), {
        rib: rib(options.family),
        encoded,
        packer,
        writer: writer(options),
        learned: () => this.learned,
      });
      this.#enter(key, group);
    }
    return group;
  }

  #enter(key: string, group: GroupRibOut): void {
    this.#groups.set(key, group);
    this.#keys.set(group, key);
  }

  #remove(group: GroupRibOut): void {
    this.#groups.delete(this.#keys.get(group) ?? '');
    this.#keys.delete(group);
  }

  /** Lets up to `most` groups say what `count` prefixes need. Answers whether there was something to say. */
  run(count: number, most: number): boolean {
    const served: [string, GroupRibOut][] = [];
    for (const entry of this.#groups) {
      if (served.length === most) break;
      if (entry[1].run(count)) served.push(entry);
    }
    // Whoever was served waits for the others. A member's end may have been the group's.
    for (const [key, group] of served) if (this.#groups.delete(key)) this.#groups.set(key, group);
    return served.length > 0;
  }

  /** Nothing more is said to the member. Its exceptions are still to be disposed of, and so is a group without members. */
  leave(member: AdjRibOut): void {
    this.#moves.delete(member);
    member.close();
    this.#leave(member, member.group);
  }

  #leave(member: AdjRibOut, group: GroupRibOut): void {
    group.leave(member);
    if (group.members.size > 0) return;
    group.policy.close();
    this.#remove(group);
  }

  /** The member belongs into a group of these terms; `settle` puts it there. */
  move(member: AdjRibOut, terms: GroupTerms): void {
    if (this.#keys.get(member.group) === terms.key) this.#moves.delete(member);
    else this.#moves.set(member, terms);
  }

  /** Carries out the moves. Answers those members that are in another group now, and what is left of groups without members. */
  settle(): { readonly moved: ReadonlySet<AdjRibOut>; readonly left: readonly GroupRibOut[] } {
    const moved = new Set<AdjRibOut>();
    const left: GroupRibOut[] = [];
    for (const group of new Set([...this.#moves.keys()].map((member) => member.group))) {
      const terms = this.#common(group);
      if (terms === undefined) {
        for (const member of [...group.members]) {
          const own = this.#moves.get(member);
          if (own === undefined) continue;
          this.#moves.delete(member);
          const target = this.group(own);
          if (target === group) continue;
          member.moveTo(target);
          target.join(member);
          this.#leave(member, group);
          moved.add(member);
        }
        if (group.members.size === 0) left.push(group);
      } else {
        for (const member of group.members) this.#moves.delete(member);
        this.#remove(group);
        this.#enter(terms.key, group);
        group.become(new UpdateGroup(terms.options, this.#modules), this.#modules.writer(terms.options));
      }
    }
    return { moved, left };
  }

  /** Terms that all members of the group are to have, if no other group has them. */
  #common(group: GroupRibOut): GroupTerms | undefined {
    let common: GroupTerms | undefined;
    for (const member of group.members) {
      const own = this.#moves.get(member);
      if (own === undefined || (common !== undefined && common.key !== own.key)) return undefined;
      common = own;
    }
    return common === undefined || this.#groups.has(common.key) ? undefined : common;
  }
}
