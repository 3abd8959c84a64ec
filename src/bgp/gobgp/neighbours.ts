/** Whose session a neighbour's address belongs to. In: the intent and the neighbours that were found on links; out: names. PURE. */
import type { Family, IpAddress } from '#lib/ip.ts';
import { contains, familyOf } from '#lib/ip.ts';
import type { LinkNeighbour } from '../discovery/io/discovery.ts';
import type { BgpIntent, PeerIntent } from '../engine.ts';
import type { NextHopSession } from '../rib/next-hops.ts';
import { bareAddress } from './paths.ts';

/** The neighbours of unnumbered peers, by the peer's name. */
export type LinkNeighbours = ReadonlyMap<string, LinkNeighbour>;

/** As GoBGP takes it: `fe80::1%eth1`. */
export const zonedAddress = ({ address, name }: LinkNeighbour): string | undefined =>
  address === undefined ? undefined : `${address}%${name}`;

export class Sessions {
  readonly #byAddress = new Map<IpAddress, PeerIntent>();
  readonly #ranges: readonly PeerIntent[];
  readonly #links: readonly { readonly peer: PeerIntent; readonly neighbour: LinkNeighbour }[];

  constructor(intent: BgpIntent, neighbours: LinkNeighbours) {
    this.#ranges = intent.peers.filter((peer) => peer.listenRange !== undefined);
    this.#links = intent.peers.flatMap((peer) => {
      const neighbour = peer.interface === undefined ? undefined : neighbours.get(peer.name);
      return neighbour === undefined ? [] : [{ peer, neighbour }];
    });
    for (const peer of intent.peers)
      if (peer.listenRange === undefined && peer.interface === undefined) this.#byAddress.set(peer.address, peer);
  }

  /**
   * The peer behind an address of GoBGP's, which may have an interface behind `%`. The same link-local address may be on several
   * links, and version 3 does not say which: then the neighbours' BGP identifier decides, as `isRouter` knows it.
   */
  find(
    text: string,
    isRouter: (peer: string) => boolean,
    localAddress: (family: Family) => IpAddress | undefined,
  ): (NextHopSession & { readonly intent: PeerIntent }) | undefined {
    const address = bareAddress(text);
    if (address === undefined) return undefined;
    const local = localAddress(familyOf(address)) ?? address;
    const named = this.#byAddress.get(address);
    if (named !== undefined) return { localAddress: named.sourceAddress ?? local, peer: named.name, intent: named };
    const here = this.#links.filter(
      ({ neighbour }) => neighbour.address === address && (!text.includes('%') || text.endsWith(`%${neighbour.name}`)),
    );
    const link = here.length > 1 ? here.find(({ peer }) => isRouter(peer.name)) : here[0];
    if (link !== undefined)
      return {
        localAddress: local,
        interfaceIndex: link.neighbour.interfaceIndex,
        peer: link.peer.name,
        intent: link.peer,
      };
    const range = this.#ranges.find(
      ({ listenRange }) => listenRange !== undefined && contains(listenRange.prefix, address),
    );
    return range && { localAddress: local, peer: `${range.name}/${address}`, intent: range };
  }
}
