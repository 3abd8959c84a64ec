/**
 * Communities of what the node announces itself (prefixAdvertisements): names become values, each prefix gets those of
 * every entry that it lies in. An unknown name is a complaint about the BGPConfiguration; the prefix is announced without it,
 * since pods that nobody can reach are the greater harm.
 */
import type { Announcement, Community } from '#bgp/engine.ts';
import type { Prefix } from '#lib/ip.ts';
import { contains } from '#lib/ip.ts';
import { parseCommunity } from '#resources/route-fields.ts';
import type { Complaint } from './node.ts';
import type { Settings } from './settings.ts';

/** Communities of everything that lies in a prefix. */
export interface Advertised {
  readonly cidr: Prefix;
  readonly communities: readonly Community[];
}

/** What a prefix carries: distinct communities of every entry that it lies in. */
export function communitiesOf(prefix: Prefix, entries: readonly Advertised[]): Pick<Announcement, 'communities'> {
  const found = entries.filter(({ cidr }) => contains(cidr, prefix)).flatMap(({ communities }) => communities);
  const distinct = [...new Map(found.map((community) => [String(community), community])).values()];
  return distinct.length === 0 ? {} : { communities: distinct };
}

export interface Advertisements {
  readonly entries: readonly Advertised[];
  /** About the BGPConfiguration of this name. */
  readonly of: string;
  readonly complaint: Complaint | undefined;
}

export function advertisements(settings: Pick<Settings, 'communities' | 'prefixAdvertisements'>): Advertisements {
  const { communities: named } = settings;
  const { of, entries: asked } = settings.prefixAdvertisements;
  const unknown = new Set<string>();
  const entries = asked.map(({ cidr, communities }) => ({
    cidr,
    communities: communities.flatMap((text): Community[] => {
      const community = named.get(text) ?? parseCommunity(text);
      if (community === undefined) unknown.add(text);
      return community === undefined ? [] : [community];
    }),
  }));
  return {
    entries,
    of,
    complaint:
      unknown.size === 0
        ? undefined
        : {
            reason: 'CommunityMissing',
            message: `prefixAdvertisements names ${[...unknown].join(', ')}, which is neither a community nor a name in communities. Prefixes are announced without it; add it there, or correct it.`,
          },
  };
}
