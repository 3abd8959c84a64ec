/** Pods whose block was taken from the node. PURE. */
import type { Announcement } from '#bgp/engine.ts';
import type { ClaimFacts } from '#ipam/claims/intent.ts';
import { contains, hostPrefix, type IpAddress, type Prefix } from '#lib/ip.ts';
import { type Advertised, communitiesOf } from './advertisements.ts';
import type { ForeignBlock } from './blocks.ts';

/** What decides about them. */
export interface Strays {
  readonly foreign: readonly ForeignBlock[];
  /** Pools that are not announced. */
  readonly silent: readonly Prefix[];
  /** Pools with natOutgoing. */
  readonly translated: readonly Prefix[];
  readonly advertised: readonly Advertised[];
}

/** With what the claims found out about other nodes, whose blocks this node does not watch. */
export const straysOf = (
  { strays }: { readonly strays: Strays },
  { claims }: { readonly claims?: ClaimFacts | undefined },
): Strays =>
  claims === undefined || claims.foreign.length === 0
    ? strays
    : { ...strays, foreign: [...strays.foreign, ...claims.foreign] };

export interface Stray {
  /** The node whose block holds the address now; then it is that node's to announce. */
  readonly owner: string | undefined;
  /** `undefined`: nobody is told of it. */
  readonly announcement: Announcement | undefined;
}

/** Announced by its address for as long as its pod lives, unless its range is another node's now. */
export function strayOf({ foreign, silent, advertised }: Strays, address: IpAddress): Stray {
  const owner = foreign.find(({ cidr }) => contains(cidr, address))?.node;
  if (owner !== undefined || silent.some((cidr) => contains(cidr, address))) return { owner, announcement: undefined };
  const prefix = hostPrefix(address);
  return { owner, announcement: { prefix, source: 'fixedAddress', ...communitiesOf(prefix, advertised) } };
}
