/**
 * What the kernel has of pods at one moment, read for a comparison with the books: links, routes, neighbours, and the ends
 * inside the pods, which the kernel answers for by the number of their namespace, without entering it. Synchronous, so
 * that no request of ours comes between its parts.
 */
import { addressBits, families, familyOf, prefixLength } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import { NetlinkSocket } from '#netlink/io/socket.ts';
import { MessageBatch } from '#netlink/wire/batch.ts';
import { RT_TABLE, RTM, RTN } from '#netlink/wire/constants.ts';
import { appendDumpLinks, appendGetLink, decodeLink, type Link } from '#netlink/wire/link.ts';
import { appendDumpNeighbours, decodeNeighbour, type Neighbour } from '#netlink/wire/neighbour.ts';
import { appendDumpRoutes, decodePackedRoute, decodeRoute, emptyPackedRoute, type Route } from '#netlink/wire/route.ts';
import { BLACKHOLE_METRIC, LEARNED_ROUTE_METRIC, ROUTE_PROTOCOL } from '../../kernel-names.ts';
import { isHostInterfaceName } from '../attachment.ts';

export interface PodSurvey {
  readonly links: readonly Link[];
  /** Host routes of our protocol that are neither learned nor a block's. */
  readonly routes: readonly Route[];
  readonly neighbours: readonly Neighbour[];
  /** By the index of the host's end; only of those whose other end is in another namespace. */
  readonly podEnds: ReadonlyMap<number, Link>;
}

/** So many answers fit the receive buffer easily. */
const LINKS_PER_REQUEST = 32;

/** Opens a socket of its own in the calling thread's namespace. Errors: AppError `OS_*`. */
export function surveyPods(): PodSurvey {
  const socket = NetlinkSocket.open();
  try {
    const links = dumped(socket.dumpList(appendDumpLinks, decodeLink), 'links');
    const neighbours = dumped(socket.dumpList(appendDumpNeighbours, decodeNeighbour), 'neighbours');
    return { links, neighbours, routes: podRoutes(socket), podEnds: podEnds(socket, links) };
  } finally {
    socket.close();
  }
}

function podRoutes(socket: NetlinkSocket): Route[] {
  const packed = emptyPackedRoute();
  return families.flatMap((family) => {
    const found = socket.dumpList(
      (batch) => appendDumpRoutes(batch, { family, table: RT_TABLE.MAIN, protocol: ROUTE_PROTOCOL, type: RTN.UNICAST }),
      (reader, message) => {
        // A node may have a hundred thousand learned routes: what need not be decoded is not.
        if (!decodePackedRoute(reader, message, packed) || packed.protocol !== ROUTE_PROTOCOL) return undefined;
        if (packed.metric === LEARNED_ROUTE_METRIC[family] || packed.metric === BLACKHOLE_METRIC) return undefined;
        const route = decodeRoute(reader, message);
        const isHost = route !== undefined && prefixLength(route.prefix) === addressBits(familyOf(route.prefix));
        return isHost && route.type === RTN.UNICAST ? route : undefined;
      },
    );
    // A node without IPv6 has no such table.
    if (!found.ok && found.error.kind === 'refused') return [];
    return dumped(found, 'routes');
  });
}

function podEnds(socket: NetlinkSocket, links: readonly Link[]): Map<number, Link> {
  const elsewhere = links.flatMap(({ name, kind, index, link: peer, linkNamespace }) =>
    kind === 'veth' && isHostInterfaceName(name) && peer !== undefined && linkNamespace !== undefined
      ? [{ index, peer, linkNamespace }]
      : [],
  );
  const ends = new Map<number, Link>();
  const batch = new MessageBatch(4096);
  for (let from = 0; from < elsewhere.length; from += LINKS_PER_REQUEST) {
    const asked = elsewhere.slice(from, from + LINKS_PER_REQUEST);
    batch.clear();
    for (const { peer, linkNamespace } of asked) appendGetLink(batch, { index: peer }, linkNamespace);
    socket.execute(batch, (at, reader, message) => {
      const host = asked[at];
      const end = message.type === RTM.NEWLINK ? decodeLink(reader, message) : undefined;
      if (host !== undefined && end !== undefined) ends.set(host.index, end);
    });
  }
  return ends;
}

function dumped<T>(
  outcome:
    | { readonly ok: true; readonly value: readonly T[] }
    | { readonly ok: false; readonly error: { readonly kind: string } },
  what: string,
): readonly T[] {
  if (outcome.ok) return outcome.value;
  throw new AppError('OS_NETLINK_DUMP', `the kernel's ${what} cannot be read: ${outcome.error.kind}`, {
    retry: 'backoff',
  });
}
