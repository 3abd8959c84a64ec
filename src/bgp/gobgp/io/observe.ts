/** What GoBGP has, read in one go: the observed side of a reconciliation. */
import type { Family, Prefix } from '#lib/ip.ts';
import { families, familyOf } from '#lib/ip.ts';
import { familyMessage } from '../desired.ts';
import type { Dialect } from '../dialect.ts';
import type {
  DefinedSetMessage,
  DestinationMessage,
  DynamicNeighborMessage,
  GlobalMessage,
  PathMessage,
  PeerGroupMessage,
  PeerMessage,
  PolicyAssignmentMessage,
  PolicyMessage,
} from '../messages.ts';
import { listedPath, sourceOf } from '../paths.ts';
import { type Observed, type ObservedPath, nothingThere } from '../plan.ts';
import { type ObservedPolicies, direction, globalTable } from '../policy-plan.ts';
import { type GobgpClient, isRefusal } from './client.ts';

async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const one of stream) found.push(one);
  return found;
}

export async function readGlobal(client: GobgpClient): Promise<GlobalMessage | undefined> {
  const { global } = await client.call<{ readonly global: GlobalMessage | null }>('GetBgp', {});
  return global === null || global.asn === 0 ? undefined : global;
}

export const readPeers = async (client: GobgpClient): Promise<PeerMessage[]> =>
  (await all(client.stream<{ readonly peer: PeerMessage | null }>('ListPeer', { enableAdvertised: false }))).flatMap(
    ({ peer }) => peer ?? [],
  );

/** Of a listing: these prefixes, and none that cover them or lie in them. */
export const exactly = ({ lookup }: Dialect, prefixes: readonly Prefix[]): readonly object[] =>
  prefixes.map((prefix) => ({ prefix, type: lookup.exact }));

/** A listing of a table, as it comes. */
export async function* destinationBatches(
  client: GobgpClient,
  request: Readonly<Record<string, unknown>>,
): AsyncGenerator<readonly DestinationMessage[]> {
  const batches = client.batches<{ readonly destination: DestinationMessage | null }>('ListPath', {
    enableOnlyBinary: true,
    ...request,
  });
  for await (const batch of batches) yield batch.flatMap(({ destination }) => destination ?? []);
}

export async function* destinations(
  client: GobgpClient,
  request: Readonly<Record<string, unknown>>,
): AsyncGenerator<DestinationMessage> {
  for await (const batch of destinationBatches(client, request)) yield* batch;
}

/**
 * Prefixes that GoBGP's export policy of this moment lets through to an established peer. `wanted`: only these are looked up; absent:
 * the whole table.
 */
export async function announcedTo(client: GobgpClient, address: string, wanted?: readonly Prefix[]): Promise<Prefix[]> {
  const { dialect } = client;
  const found: Prefix[] = [];
  for (const family of families) {
    const prefixes = wanted?.filter((prefix) => familyOf(prefix) === family);
    if (prefixes?.length === 0) continue;
    const request = {
      tableType: dialect.table.adjOut,
      name: address,
      family: familyMessage(family),
      ...(prefixes && { prefixes: exactly(dialect, prefixes) }),
    };
    try {
      for await (const { paths } of destinations(client, request)) {
        const prefix = paths.map(listedPath)[0]?.prefix;
        if (prefix !== undefined) found.push(prefix);
      }
    } catch (error) {
      // The session went down meanwhile, or does not have the family.
      if (!isRefusal(error)) throw error;
    }
  }
  return found;
}

/** Paths of GoBGP's table of a family, whoever they came from. */
export async function countPaths(client: GobgpClient, family: Family): Promise<number> {
  const request = { tableType: client.dialect.table.global, family: familyMessage(family) };
  return (await client.call<{ readonly numPath: number }>('GetTable', request)).numPath;
}

/** Paths from an established peer that import policy lets through. */
export async function countAccepted(client: GobgpClient, address: string, family: Family): Promise<number> {
  const request = {
    tableType: client.dialect.table.adjIn,
    name: address,
    family: familyMessage(family),
    enableFiltered: true,
  };
  let count = 0;
  try {
    for await (const { paths } of destinations(client, request)) count += paths.filter((it) => !it.filtered).length;
  } catch (error) {
    // The session went down meanwhile.
    if (!isRefusal(error)) throw error;
  }
  return count;
}

const own = (path: PathMessage, prefix: Prefix): ObservedPath => ({
  prefix,
  own: sourceOf(path).own,
  attributes: path.pattrsBinary,
});

export const readSets = async (client: GobgpClient, definedType: number): Promise<DefinedSetMessage[]> =>
  (
    await all(client.stream<{ readonly definedSet: DefinedSetMessage | null }>('ListDefinedSet', { definedType }))
  ).flatMap(({ definedSet }) => definedSet ?? []);

export async function observePolicies(client: GobgpClient): Promise<ObservedPolicies> {
  const sets: DefinedSetMessage[] = [];
  for (const definedType of Object.values(client.dialect.setType)) sets.push(...(await readSets(client, definedType)));
  const policies = await all(client.stream<{ readonly policy: PolicyMessage | null }>('ListPolicy', {}));
  const assignments: PolicyAssignmentMessage[] = [];
  for (const way of Object.values(direction))
    for await (const { assignment } of client.stream<{ readonly assignment: PolicyAssignmentMessage | null }>(
      'ListPolicyAssignment',
      { name: globalTable, direction: way },
    ))
      if (assignment !== null) assignments.push(assignment);
  return { sets, policies: policies.flatMap(({ policy }) => policy ?? []), assignments };
}

/** `prefixes`: where paths that begin in GoBGP are known to be. */
export async function observe(client: GobgpClient, prefixes: Iterable<Prefix>): Promise<Observed> {
  const global = await readGlobal(client);
  if (global === undefined) return nothingThere;
  const [peers, groups, dynamic] = await Promise.all([
    readPeers(client),
    all(client.stream<{ readonly peerGroup: PeerGroupMessage | null }>('ListPeerGroup', {})),
    all(client.stream<{ readonly dynamicNeighbor: DynamicNeighborMessage | null }>('ListDynamicNeighbor', {})),
  ]);
  const paths: ObservedPath[] = [];
  const wanted = [...prefixes];
  for (const family of families) {
    const asked = wanted.filter((prefix) => familyOf(prefix) === family);
    // Without a prefix the whole table would be listed.
    if (asked.length === 0) continue;
    const { dialect } = client;
    const request = {
      tableType: dialect.table.global,
      family: familyMessage(family),
      prefixes: exactly(dialect, asked),
    };
    for await (const destination of destinations(client, request))
      for (const path of destination.paths) {
        const listed = listedPath(path);
        if (listed !== undefined && sourceOf(path).neighbor === undefined) paths.push(own(path, listed.prefix));
      }
  }
  return {
    global,
    peers,
    groups: groups.flatMap(({ peerGroup }) => peerGroup ?? []),
    dynamic: dynamic.flatMap(({ dynamicNeighbor }) => dynamicNeighbor ?? []),
    paths,
  };
}
