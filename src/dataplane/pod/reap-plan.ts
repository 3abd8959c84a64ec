/** PURE: which veths of a request may be deleted. In: the request and a dump of links; out: what to do with each. */
import type { Link } from '#netlink/wire/link.ts';
import { LINK_GROUP } from '../kernel-names.ts';
import { isHostInterfaceName } from './attachment.ts';
import type { DyingLink } from './reaping.ts';

export interface ReapPlan {
  /** Ours beyond doubt: index, name, alias, kind and group agree. */
  readonly remove: readonly DyingLink[];
  /** Not there any more. */
  readonly gone: readonly DyingLink[];
  /** Something else has the index by now, or somebody changed it. */
  readonly keep: readonly { readonly link: DyingLink; readonly reason: string }[];
  /** Nobody else's link is in the group *reaping*, so one request for the group hits ours alone. */
  readonly asGroup: boolean;
}

const fencedGroups: ReadonlySet<number> = new Set([LINK_GROUP.building, LINK_GROUP.dying, LINK_GROUP.reaping]);

const looksOurs = (link: Link): boolean => link.kind === 'veth' && isHostInterfaceName(link.name);

export function planReaping(wanted: readonly DyingLink[], observed: readonly Link[]): ReapPlan {
  const byIndex = new Map(observed.map((link) => [link.index, link]));
  const remove: DyingLink[] = [];
  const gone: DyingLink[] = [];
  const keep: { link: DyingLink; reason: string }[] = [];
  for (const link of wanted) {
    const found = byIndex.get(link.index);
    // Another record under this index: ours went, and the index came round again.
    if (found === undefined || (found.name !== link.name && found.alias !== link.alias)) gone.push(link);
    else if (found.name !== link.name) keep.push({ link, reason: `${link.name} is called ${found.name} now` });
    else if (found.kind !== 'veth') keep.push({ link, reason: `${link.name} is no veth` });
    else if (found.alias !== link.alias) keep.push({ link, reason: `${link.name} carries another record` });
    else if (!fencedGroups.has(found.group))
      keep.push({ link, reason: `${link.name} is in link group ${found.group}, not on its way out` });
    else remove.push(link);
  }
  const asGroup = observed.every((link) => link.group !== LINK_GROUP.reaping || looksOurs(link));
  return { remove, gone, keep, asGroup };
}
