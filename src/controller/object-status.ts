/** What stands in the status of the objects that people make, but pools. PURE. */
import { acceptedByAll, establishedEverywhere, nodeMissing, readVerdict } from '#intent/object-conditions.ts';
import type { ApiObject } from '#kubernetes/store.ts';
import { overlaps, parsePrefix, type Prefix } from '#lib/ip.ts';
import { bgpConfiguration } from '#resources/bgp-configuration.ts';
import { bfdProfile } from '#resources/bfd-profile.ts';
import { bgpFilter } from '#resources/bgp-filter.ts';
import { bgpPeer, type BGPPeer } from '#resources/bgp-peer.ts';
import { ipBlock } from '#resources/ip-block.ts';
import { ipReservation } from '#resources/ip-reservation.ts';
import type { ResourceProblem } from '#resources/resource-set.ts';
import { readingProblems } from '#sources/kubernetes/problems.ts';
import { readObject } from '#sources/kubernetes/read-object.ts';
import { allConditions, currentComplaints, gatheredVerdict } from './complaints.ts';
import { fieldOf, listOf, type StatusCondition, type Verdict } from './conditions.ts';
import { essence } from './part.ts';
import type { NodeReports } from './report-index.ts';

/** What is kept of an object. */
export interface Seen {
  readonly object: ApiObject;
  readonly problems: readonly ResourceProblem[];
  /** Of a BGPPeer: what it names. */
  readonly filters: readonly string[];
  readonly profile: string | undefined;
  /** Of an IPReservation. */
  readonly reserved: readonly Prefix[];
  /** Of an IPBlock that was made by hand, and of a BGPConfiguration: the Node that it is for. */
  readonly node: string | undefined;
}

/** What all objects and nodes together say. */
export interface Surroundings {
  readonly nodes: ReadonlySet<string>;
  readonly reports: Pick<NodeReports, 'complaints' | 'sessions'>;
  /** Nodes of which nothing is heard. */
  readonly silent: ReadonlySet<string>;
  /** BGPPeers that name a BGPFilter, or a BFDProfile. */
  readonly filters: ReadonlyMap<string, number>;
  readonly profiles: ReadonlyMap<string, number>;
  readonly pools: readonly Prefix[];
}

interface ObjectStatus {
  readonly conditions: readonly StatusCondition[];
  readonly [count: string]: unknown;
}

export function seen(object: ApiObject): Seen {
  const reading = readObject(object);
  const peer = reading.resource?.kind === bgpPeer.kind ? (reading.resource as BGPPeer).spec : undefined;
  return {
    object: essence(object),
    problems: readingProblems(reading, false),
    filters: peer?.filters ?? [],
    profile: peer?.bfd?.profile ?? peer?.bfdProfile,
    reserved: listOf(fieldOf(object['spec'], 'reservedCIDRs')).flatMap((one) => parsePrefix(String(one)) ?? []),
    node: nodeOf(object),
  };
}

function nodeOf({ kind, metadata, spec }: ApiObject): string | undefined {
  if (kind === bgpConfiguration.kind) return /^node\.(.+)$/.exec(metadata.name)?.[1];
  if (kind !== ipBlock.kind || fieldOf(spec, 'nodeUID') !== undefined) return undefined;
  const node = fieldOf(spec, 'node');
  return typeof node === 'string' ? node : undefined;
}

/** How often each name is named. */
export function namedBy(peers: Iterable<Seen>, names: (peer: Seen) => readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const peer of peers) for (const name of new Set(names(peer))) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

/** `undefined`: there is nothing to say of it, and nothing was said. */
export function objectStatus(it: Seen, around: Surroundings, now: string): ObjectStatus | undefined {
  const { kind = '', metadata } = it.object;
  const { name } = metadata;
  const complaints = currentComplaints(it.object, around.reports.complaints(`${kind}/${name}`));
  const own = acceptance(it, around);
  const conditions = (...first: readonly (Verdict & { readonly type: string })[]): readonly StatusCondition[] =>
    allConditions(it.object, first, complaints, now);
  const said = gatheredVerdict(complaints.filter(({ type }) => type === 'Accepted'));
  const accepted = { type: 'Accepted', ...(own ?? said ?? acceptedByAll(kind, name)) };
  switch (kind) {
    case bgpPeer.kind: {
      const reported = [...around.reports.sessions(name)].sort(([a], [b]) => (a < b ? -1 : 1));
      const [silent, heard] = [
        reported.filter(([node]) => around.silent.has(node)),
        reported.filter(([node]) => !around.silent.has(node)),
      ];
      const down = heard.filter(([, up]) => !up).map(([node]) => node);
      const established = establishedEverywhere({
        nodes: reported.length,
        down,
        silent: silent.map(([node]) => node),
        why: gatheredVerdict(complaints.filter(({ type }) => type === 'Established')),
      });
      return {
        nodes: reported.length,
        established: heard.length - down.length,
        conditions: conditions({ type: 'Established', ...established }, accepted),
      };
    }
    case bgpFilter.kind:
      return { peers: around.filters.get(name) ?? 0, conditions: conditions(accepted) };
    case bfdProfile.kind:
      return { peers: around.profiles.get(name) ?? 0, conditions: conditions(accepted) };
    case ipReservation.kind: {
      const pools = around.pools.filter((pool) => it.reserved.some((one) => overlaps(one, pool))).length;
      return { pools, conditions: conditions(accepted) };
    }
    case ipBlock.kind: {
      // Of thousands that are in order nothing is written.
      const had = listOf(fieldOf(it.object['status'], 'conditions')).length > 0;
      if (own === undefined && complaints.length === 0 && !had) return undefined;
      return { conditions: conditions(accepted) };
    }
    default:
      return { conditions: conditions(accepted) };
  }
}

function acceptance({ object, problems, node }: Seen, { nodes }: Surroundings): Verdict | undefined {
  const read = readVerdict(problems);
  if (read?.reason === 'Invalid') return read;
  const { kind = '', metadata } = object;
  return node === undefined || nodes.has(node) ? read : nodeMissing(kind, metadata.name, node);
}
