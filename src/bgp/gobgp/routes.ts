/** Answers of `routes()` from GoBGP's tables: a listing of the table that the question is about, each path with what GoBGP says of it. */
import type { Family, IpAddress, Prefix } from '#lib/ip.ts';
import { families, familyOf, hostPrefix } from '#lib/ip.ts';
import type { BgpIntent, RouteAnswer, RouteQuery, RouteRow } from '../engine.ts';
import { describeAttributes, sortRows } from '../speaker/route-query.ts';
import { familyMessage } from './desired.ts';
import { destinations } from './io/observe.ts';
import type { GobgpClient } from './io/client.ts';
import type { KnownPeers } from './known-peers.ts';
import type { Sessions } from './neighbours.ts';
import { type Found, foundIn, sourceOf, usedTogether } from './paths.ts';
import { addressOf } from './plan.ts';

export interface RouteModules {
  readonly intent: BgpIntent;
  readonly peers: KnownPeers;
  readonly sessions: Sessions;
}

const asPrefix = (value: Prefix | IpAddress): Prefix =>
  value.includes('/') ? (value as Prefix) : hostPrefix(value as IpAddress);

/** Which prefixes are listed: those that cover the one that is asked for, or lie in it. */
function lookups({ prefix, within }: RouteQuery, { dialect }: GobgpClient): object {
  if (prefix === undefined) return {};
  const { longer, shorter } = dialect.lookup;
  return { prefixes: [{ prefix: asPrefix(prefix), type: within === true ? longer : shorter }] };
}

export async function gobgpRoutes(query: RouteQuery, client: GobgpClient, modules: RouteModules): Promise<RouteAnswer> {
  const rows: RouteRow[] = [];
  const wanted = families.filter(
    (family) =>
      (query.family === undefined || query.family === family) &&
      (query.prefix === undefined || familyOf(query.prefix) === family),
  );
  for (const family of wanted)
    for await (const row of rowsOf(query, family, client, modules)) {
      if (rows.length >= query.limit) return { rows: sortRows(rows), more: true };
      rows.push(row);
    }
  return { rows: sortRows(rows), more: false };
}

async function* rowsOf(
  query: RouteQuery,
  family: Family,
  client: GobgpClient,
  modules: RouteModules,
): AsyncGenerator<RouteRow> {
  const { table } = client.dialect;
  const request = { family: familyMessage(family), ...lookups(query, client) };
  if (query.direction === 'best' || query.direction === 'accepted') {
    for await (const { paths } of destinations(client, { ...request, tableType: table.global }))
      yield* globalRows(query, foundIn(paths), modules);
    return;
  }
  const isReceived = query.direction === 'received';
  const tableType = isReceived ? table.adjIn : table.adjOut;
  for (const [name, peer] of modules.peers.all) {
    if ((query.peer !== undefined && query.peer !== name) || !modules.peers.isUp(name)) continue;
    const asked = { ...request, tableType, name: addressOf(peer), enableFiltered: isReceived };
    for await (const { paths } of destinations(client, asked))
      for (const found of foundIn(paths))
        yield isReceived ? receivedRow(found, name) : { ...row(found, name), accepted: true, reason: 'announced' };
  }
}

const row = ({ path, listed }: Found, peer: string): RouteRow => ({
  prefix: listed.prefix,
  peer,
  nextHop: listed.nextHop?.global,
  ...describeAttributes(listed.attributes),
  ...(path.identifier !== 0 && !sourceOf(path).own && { pathId: path.identifier }),
  accepted: true,
  reason: '',
  best: false,
  multipath: false,
  stale: path.stale,
});

const receivedRow = (found: Found, peer: string): RouteRow => ({
  ...row(found, peer),
  accepted: !found.path.filtered,
  reason: found.path.filtered ? 'refused: by the import policy in GoBGP' : 'accepted: by the import policy in GoBGP',
});

function* globalRows(
  query: RouteQuery,
  all: readonly Found[],
  { intent, sessions, peers }: RouteModules,
): Generator<RouteRow> {
  const used = usedTogether(all, intent.asn, intent.multipath.relax);
  for (const [i, found] of all.entries()) {
    const { path } = found;
    const { neighbor } = sourceOf(path);
    const multipath = used[i] === true;
    if (query.direction === 'best' && !multipath) continue;
    const isRouter = (name: string): boolean => peers.get(name)?.state?.routerId === path.sourceId;
    const session = sessions.find(path.neighborIp, isRouter, () => undefined);
    const peer = neighbor === undefined ? '' : (session?.peer ?? neighbor);
    if (query.peer !== undefined && query.peer !== peer) continue;
    // What begins here was accepted from nobody.
    if (query.direction === 'accepted' && neighbor === undefined) continue;
    const best = i === 0;
    const reason = best
      ? "best: GoBGP's choice"
      : multipath
        ? 'used: as good as the best'
        : 'not used: GoBGP has a better one';
    yield { ...row(found, peer), best, multipath, reason: neighbor === undefined ? 'originated here' : reason };
  }
}
