/**
 * What a host's kernel says, read with `ip -j` and normalised so that tables can be compared: one row a prefix,
 * next hops sorted.
 */
import type { Family, IpAddress, Prefix } from '#lib/ip.ts';
import { addressBits, contains, familyOf, parseAddress, parsePrefix, prefixOf } from '#lib/ip.ts';
import type { Endpoint } from './endpoint.ts';

export interface LinkRow {
  readonly name: string;
  readonly up: boolean;
  readonly carrier: boolean;
  readonly mtu: number;
}

export interface KernelRoute {
  readonly prefix: Prefix;
  readonly type: string;
  readonly protocol: string;
  readonly metric: number;
  /** Gateway addresses, or `dev NAME` for a next hop on the link itself; sorted. */
  readonly nextHops: readonly string[];
  readonly preferredSource: IpAddress | undefined;
}

interface IpRouteHop {
  readonly gateway?: string;
  readonly via?: { readonly host?: string };
  readonly dev?: string;
}
interface IpRoute extends IpRouteHop {
  readonly dst: string;
  readonly type?: string;
  readonly protocol?: string;
  readonly metric?: number;
  readonly prefsrc?: string;
  readonly nexthops?: readonly IpRouteHop[];
}

const hopText = (hop: IpRouteHop): string => hop.gateway ?? hop.via?.host ?? `dev ${hop.dev ?? '?'}`;

function normalise(route: IpRoute, family: Family): KernelRoute | undefined {
  const text = route.dst === 'default' ? (family === 'ipv4' ? '0.0.0.0/0' : '::/0') : route.dst;
  const prefix = parsePrefix(text.includes('/') ? text : `${text}/${addressBits(family)}`);
  if (prefix === undefined) return undefined;
  const hops = route.nexthops ?? [route];
  return {
    prefix,
    type: route.type ?? 'unicast',
    protocol: route.protocol ?? 'boot',
    metric: route.metric ?? 0,
    nextHops: hops.map(hopText).sort(),
    preferredSource: route.prefsrc === undefined ? undefined : parseAddress(route.prefsrc),
  };
}

/** The main table of both families, without multicast and link-local prefixes. */
export async function readRoutes(where: Endpoint): Promise<readonly KernelRoute[]> {
  const rows: KernelRoute[] = [];
  for (const [flag, family] of [
    ['-4', 'ipv4'],
    ['-6', 'ipv6'],
  ] as const) {
    const out = await where.run(['ip', '-j', flag, 'route', 'show', 'table', 'main']);
    const routes = (out.trim() === '' ? [] : JSON.parse(out)) as readonly IpRoute[];
    for (const route of routes) {
      if (/^(fe80|ff)/.test(route.dst)) continue;
      const row = normalise(route, family);
      if (row !== undefined) rows.push(row);
    }
  }
  return rows;
}

interface IpLink {
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly addr_info?: readonly { readonly local?: string; readonly prefixlen?: number; readonly scope?: string }[];
}

export async function readLinks(where: Endpoint): Promise<readonly LinkRow[]> {
  const links = JSON.parse(await where.run(['ip', '-j', 'link', 'show'])) as readonly IpLink[];
  return links.map((link) => ({
    name: link.ifname,
    up: link.flags.includes('UP'),
    carrier: link.flags.includes('LOWER_UP'),
    mtu: link.mtu,
  }));
}

export async function readAddresses(where: Endpoint): Promise<readonly IpAddress[]> {
  const links = JSON.parse(await where.run(['ip', '-j', 'address', 'show'])) as readonly IpLink[];
  return links
    .flatMap((link) => link.addr_info ?? [])
    .filter((info) => info.scope !== 'link')
    .map((info) => parseAddress(info.local ?? ''))
    .filter((address) => address !== undefined);
}

/** The first address of a family on the link over which a neighbour is reached, link-local ones left out. */
export async function readLinkAddress(
  where: Endpoint,
  neighbour: IpAddress,
  family: Family,
): Promise<IpAddress | undefined> {
  const links = JSON.parse(await where.run(['ip', '-j', 'address', 'show'])) as readonly IpLink[];
  const rows = links.map(({ addr_info: rows = [] }) =>
    rows.flatMap(({ local = '', prefixlen = 0, scope }) => {
      const address = parseAddress(local);
      return address === undefined || scope === 'link' ? [] : [{ address, subnet: prefixOf(address, prefixlen) }];
    }),
  );
  const link = rows.find((addresses) => addresses.some(({ subnet }) => contains(subnet, neighbour)));
  return link?.find(({ address }) => familyOf(address) === family)?.address;
}
