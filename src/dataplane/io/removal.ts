/**
 * Takes out of the kernel what flatroute put into it, by its marks alone: links by group and name, routes by protocol, nexthops
 * by id, nftables tables by name. What is not marked stays, and so do sysctls: others may rely on them by now.
 */
import { execFile } from 'node:child_process';
import { families, type Family } from '#lib/ip.ts';
import { AppError, type Result } from '#lib/result.ts';
import { ENODEV, ENOENT, ESRCH } from '#linux/errno.ts';
import { osError } from '#linux/libc.ts';
import { NetlinkSocket } from '#netlink/io/socket.ts';
import { MessageBatch } from '#netlink/wire/batch.ts';
import { appendDelLink, appendDumpLinks, decodeLink, type Link } from '#netlink/wire/link.ts';
import { appendDelNexthop, appendDumpNexthops, decodeNexthop } from '#netlink/wire/nexthop.ts';
import { appendDelRoute, appendDumpRoutes, decodeRoute, type Route } from '#netlink/wire/route.ts';
import { LINK_GROUP, NEXTHOP_ID_COUNT, NEXTHOP_ID_FIRST, NFT_TABLE, ROUTE_PROTOCOL } from '../kernel-names.ts';
import { decodeAlias } from '../pod/alias.ts';
import { isHostInterfaceName } from '../pod/attachment.ts';
import { applyRuleset } from '../pod/io/nft.ts';

export interface Removed {
  readonly links: number;
  readonly routes: number;
  readonly nexthops: number;
  readonly tables: readonly string[];
}

/** Messages of one request; the kernel answers each that it refuses. */
const AT_ONCE = 500;
const NFT_TIMEOUT_MS = 10_000;
const nftFamilies = ['inet', 'arp'] as const;

const groups: ReadonlySet<number> = new Set(Object.values(LINK_GROUP));
const ours = (link: Link): boolean => groups.has(link.group) && isHostInterfaceName(link.name);

/** Pods whose interface is in use, by name where that is known. Errors: AppError `OS_*`. */
export function podsOnNode(): readonly string[] {
  return withSocket((socket) =>
    linksOf(socket)
      .filter((link) => ours(link) && link.group === LINK_GROUP.live)
      .map((link) => {
        const attachment = decodeAlias(link.alias);
        return attachment === undefined ? link.name : `${attachment.namespace}/${attachment.pod}`;
      }),
  );
}

/** All of it, the links of living pods too. Errors: AppError `OS_*`. */
export async function removeFromKernel(): Promise<Removed> {
  const { links, routes, nexthops } = withSocket((socket) => {
    const before = families.reduce((sum, family) => sum + routesOf(socket, family).length, 0);
    const found = linksOf(socket).filter(ours);
    removeEach(socket, found, (batch, { index }) => appendDelLink(batch, { index }));
    // Whatever points at a nexthop goes with it: that is one message for a table of a hundred thousand routes.
    const ids = nexthopsOf(socket);
    removeEach(socket, ids, appendDelNexthop);
    for (const family of families)
      removeEach(socket, routesOf(socket, family), (batch, { prefix, table, protocol, type, metric }) =>
        appendDelRoute(batch, { prefix, table, protocol, type, metric }),
      );
    return { links: found.length, routes: before, nexthops: ids.length };
  });
  const tables: string[] = [];
  for (const family of nftFamilies) {
    if (!(await tableExists(family))) continue;
    const table = { table: { family, name: NFT_TABLE } };
    await applyRuleset({ nftables: [{ delete: table }] });
    tables.push(`${family} ${NFT_TABLE}`);
  }
  return { links, routes, nexthops, tables };
}

function withSocket<T>(action: (socket: NetlinkSocket) => T): T {
  const socket = NetlinkSocket.open();
  try {
    return action(socket);
  } finally {
    socket.close();
  }
}

function dumped<T>(found: Result<readonly T[], { readonly kind: string }>, what: string): readonly T[] {
  if (found.ok) return found.value;
  // A kernel without IPv6 or without nexthop objects has none.
  if (found.error.kind === 'refused') return [];
  throw new AppError('OS_NETLINK_DUMP', `the kernel's ${what} cannot be read: ${found.error.kind}`, {
    retry: 'backoff',
  });
}

const linksOf = (socket: NetlinkSocket): readonly Link[] =>
  dumped(socket.dumpList(appendDumpLinks, decodeLink), 'links');

function routesOf(socket: NetlinkSocket, family: Family): readonly Route[] {
  const dump = socket.dumpList((batch) => appendDumpRoutes(batch, { family, protocol: ROUTE_PROTOCOL }), decodeRoute);
  return dumped(dump, 'routes').filter((route) => route.protocol === ROUTE_PROTOCOL);
}

/** Groups before their members. */
function nexthopsOf(socket: NetlinkSocket): readonly number[] {
  return dumped(socket.dumpList(appendDumpNexthops, decodeNexthop), 'nexthops')
    .filter(({ id }) => id >= NEXTHOP_ID_FIRST && id < NEXTHOP_ID_FIRST + NEXTHOP_ID_COUNT)
    .sort((a, b) => Number(a.members === undefined) - Number(b.members === undefined))
    .map(({ id }) => id);
}

/** What is gone meanwhile is what was wanted. */
const gone: ReadonlySet<number> = new Set([ENODEV, ENOENT, ESRCH]);

function removeEach<T>(
  socket: NetlinkSocket,
  items: readonly T[],
  append: (batch: MessageBatch, item: T) => number,
): void {
  const batch = new MessageBatch();
  for (let from = 0; from < items.length; from += AT_ONCE) {
    batch.clear();
    for (const item of items.slice(from, from + AT_ONCE)) append(batch, item);
    const refused = socket.execute(batch).failures.find(({ errno }) => !gone.has(errno));
    if (refused !== undefined) throw osError('remove', 'what flatroute has in the kernel', refused.errno);
  }
}

function tableExists(family: string): Promise<boolean> {
  return new Promise((resolve) => {
    execFile('nft', ['list', 'table', family, NFT_TABLE], { timeout: NFT_TIMEOUT_MS }, (error) =>
      resolve(error === null),
    );
  });
}
