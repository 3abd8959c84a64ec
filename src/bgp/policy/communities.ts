/** The three kinds of communities as policy has them, and attributes with one more or one less; never the same object changed. */
import type { Community } from '../engine.ts';
import type { PathAttributes } from '../wire/messages.ts';

/** RFC 4360 §2: type and value. */
function extendedBytes([high, low]: readonly [number, number]): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, high);
  view.setUint32(4, low);
  return bytes;
}

const isExtended = (community: Community): community is readonly [number, number] =>
  typeof community === 'object' && community.length === 2;

function sameOctets(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < 8; i++) if (a[i] !== b[i]) return false;
  return true;
}

const sameParts = (a: readonly number[], b: readonly number[]): boolean => a.every((part, i) => part === b[i]);

export function hasCommunity(path: PathAttributes, community: Community): boolean {
  if (typeof community === 'number') return path.communities.includes(community);
  if (!isExtended(community)) return path.largeCommunities.some((it) => sameParts(it, community));
  const wanted = extendedBytes(community);
  return path.extendedCommunities.some((it) => sameOctets(it, wanted));
}

export function withCommunity(path: PathAttributes, community: Community): PathAttributes {
  if (hasCommunity(path, community)) return path;
  if (typeof community === 'number') return { ...path, communities: [...path.communities, community] };
  return isExtended(community)
    ? { ...path, extendedCommunities: [...path.extendedCommunities, extendedBytes(community)] }
    : { ...path, largeCommunities: [...path.largeCommunities, community] };
}

export function withoutCommunity(path: PathAttributes, community: Community | '*'): PathAttributes {
  if (community === '*') return { ...path, communities: [], extendedCommunities: [], largeCommunities: [] };
  if (typeof community === 'number') return { ...path, communities: path.communities.filter((it) => it !== community) };
  if (!isExtended(community))
    return { ...path, largeCommunities: path.largeCommunities.filter((it) => !sameParts(it, community)) };
  const unwanted = extendedBytes(community);
  return { ...path, extendedCommunities: path.extendedCommunities.filter((it) => !sameOctets(it, unwanted)) };
}
