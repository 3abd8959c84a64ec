/**
 * What the kernel has, in the words of KernelView: foreign routes read from its tables, links and addresses put together.
 */
import { families, type IpAddress } from '#lib/ip.ts';
import { ENOENT } from '#linux/errno.ts';
import type { NetlinkSocket } from '#netlink/io/socket.ts';
import type { InterfaceAddress } from '#netlink/wire/address.ts';
import { IFA_F, RT_TABLE, RTN } from '#netlink/wire/constants.ts';
import { type Link, linkIsUp } from '#netlink/wire/link.ts';
import { appendDumpRoutes, decodePackedRoute, decodeRoute, emptyPackedRoute, type Route } from '#netlink/wire/route.ts';
import { LINK_GROUP, ROUTE_PROTOCOL } from '../kernel-names.ts';
import type { KernelInterface, KernelRoute, KernelView } from '../kernel-view.ts';

const podGroups: ReadonlySet<number> = new Set(Object.values(LINK_GROUP));
/** Its link group says that it is a pod's. */
export const isPodLink = (link: Link): boolean => podGroups.has(link.group);

export const isUsable = ({ flags }: InterfaceAddress): boolean => (flags & (IFA_F.TENTATIVE | IFA_F.DADFAILED)) === 0;

export const sameLink = (before: Link, link: Link): boolean =>
  before.name === link.name &&
  before.mtu === link.mtu &&
  before.group === link.group &&
  linkIsUp(before) === linkIsUp(link);

export const addressKey = (one: InterfaceAddress): string => `${one.interfaceIndex} ${one.address}/${one.prefixLength}`;

const packed = emptyPackedRoute();

/** Unicast routes of the main table that are not ours; `undefined` when a table could not be read to its end. */
export function readForeignRoutes(socket: NetlinkSocket): readonly KernelRoute[] | undefined {
  const found: KernelRoute[] = [];
  for (const family of families) {
    let list: KernelRoute[] = [];
    const outcome = socket.dump((batch) => appendDumpRoutes(batch, { family, table: RT_TABLE.MAIN }), {
      begin: () => {
        list = [];
      },
      message: (reader, message) => {
        if (!decodePackedRoute(reader, message, packed) || !isForeign(packed)) return;
        const route = decodeRoute(reader, message);
        if (route !== undefined) list.push(...kernelRoutes(route));
      },
    });
    // A kernel without the family has no such table.
    if (!outcome.ok && !(outcome.error.kind === 'refused' && outcome.error.errno === ENOENT)) return undefined;
    found.push(...list);
  }
  return found;
}

const isForeign = (route: { readonly table: number; readonly protocol: number; readonly type: number }): boolean =>
  route.table === RT_TABLE.MAIN && route.protocol !== ROUTE_PROTOCOL && route.type === RTN.UNICAST;

/** A multipath route counts once for each of its paths. */
function kernelRoutes(route: Route): readonly KernelRoute[] {
  const { prefix, metric, protocol } = route;
  if (route.multipath.length > 0) {
    return route.multipath.map(({ gateway, interfaceIndex }) => ({
      prefix,
      gateway,
      interfaceIndex,
      metric,
      protocol,
    }));
  }
  if (route.interfaceIndex === undefined) return [];
  return [{ prefix, gateway: route.gateway, interfaceIndex: route.interfaceIndex, metric, protocol }];
}

export function kernelView(
  links: Iterable<Link>,
  all: Iterable<InterfaceAddress>,
  routes: readonly KernelRoute[],
): KernelView {
  const addresses = new Map<number, { readonly address: IpAddress; readonly prefixLength: number }[]>();
  for (const one of all) {
    if (!isUsable(one)) continue;
    const list = addresses.get(one.interfaceIndex) ?? [];
    list.push({ address: one.address, prefixLength: one.prefixLength });
    addresses.set(one.interfaceIndex, list);
  }
  const interfaces = [...links].map(
    (link): KernelInterface => ({
      index: link.index,
      name: link.name,
      up: linkIsUp(link),
      mtu: link.mtu,
      pod: isPodLink(link),
      addresses: addresses.get(link.index) ?? [],
    }),
  );
  return { interfaces, routes };
}
