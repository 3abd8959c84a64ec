/** Reads what the kernel's main table has at the place of learned routes: ours and, at the same metric, those of others. */
import type { Family, IpAddress } from '#lib/ip.ts';
import type { NetlinkSocket } from '#netlink/io/socket.ts';
import { appendDumpAddresses, decodeAddress } from '#netlink/wire/address.ts';
import { ENOENT } from '#linux/errno.ts';
import { IFA_F, RT_TABLE, RTN } from '#netlink/wire/constants.ts';
import type { WireReader } from '#netlink/wire/reader.ts';
import { appendDumpRoutes, decodePackedRoute, emptyPackedRoute, type PackedRoute } from '#netlink/wire/route.ts';
import { LEARNED_ROUTE_METRIC, ROUTE_PROTOCOL } from '../kernel-names.ts';

export interface RouteSink {
  /** The family's table is read from its beginning; what was told of it before is void. */
  begin(family: Family): void;
  ours(reader: WireReader, route: PackedRoute): void;
  /** A route of somebody else with the metric of learned routes. */
  foreign(reader: WireReader, route: PackedRoute): void;
}

/** False: the table could not be read whole. */
export function observeRoutes(socket: NetlinkSocket, family: Family, sink: RouteSink): boolean {
  const route = emptyPackedRoute();
  const outcome = socket.dump((batch) => appendDumpRoutes(batch, { family, table: RT_TABLE.MAIN }), {
    begin: () => sink.begin(family),
    message(reader, message) {
      if (!decodePackedRoute(reader, message, route)) return;
      if (route.metric !== LEARNED_ROUTE_METRIC[family] || route.table !== RT_TABLE.MAIN || route.tos !== 0) return;
      if (route.protocol === ROUTE_PROTOCOL && route.type === RTN.UNICAST) sink.ours(reader, route);
      else sink.foreign(reader, route);
    },
  });
  // A namespace without any IPv4 route may have no main table yet.
  return outcome.ok || (outcome.error.kind === 'refused' && outcome.error.errno === ENOENT);
}

/** The addresses of all interfaces that a packet may leave with; `undefined`: the dump failed. */
export function observeLocalAddresses(socket: NetlinkSocket): ReadonlySet<IpAddress> | undefined {
  const dumped = socket.dumpList(appendDumpAddresses, decodeAddress);
  if (!dumped.ok) return undefined;
  // The kernel takes no tentative address (RFC 4862 §5.4) as preferred source.
  const unusable = IFA_F.TENTATIVE | IFA_F.DADFAILED;
  return new Set(dumped.value.filter((one) => (one.flags & unusable) === 0).map((one) => one.address));
}
