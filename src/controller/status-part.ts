/** The status of the objects that people make, but pools: what is known of them here, and what the nodes say. */
import { parsePrefix, type Prefix } from '#lib/ip.ts';
import { bfdProfile } from '#resources/bfd-profile.ts';
import { bgpConfiguration } from '#resources/bgp-configuration.ts';
import { bgpFilter } from '#resources/bgp-filter.ts';
import { bgpPeer } from '#resources/bgp-peer.ts';
import { node } from '#resources/core.ts';
import { ipBlock } from '#resources/ip-block.ts';
import { ipPool } from '#resources/ip-pool.ts';
import { ipReservation } from '#resources/ip-reservation.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import { fieldOf } from './conditions.ts';
import { namedBy, objectStatus, type Seen, seen, type Surroundings } from './object-status.ts';
import { type Part, statusTask } from './part.ts';
import { isSilent } from './readiness-node.ts';
import type { Task } from './tasks.ts';

const types = [bgpConfiguration, bgpPeer, bgpFilter, bfdProfile, ipReservation, ipBlock].map(typeOf);

/** What is to be written of one object, and whether it is refused. */
interface Planned {
  readonly tasks: readonly Task[];
  readonly refused: boolean;
}

export const statusPart: Part = (modules) => {
  const { watch, measured } = modules;
  const objects = new Map<string, ReadonlyMap<string, Seen>>();
  /** By KIND/NAME, of those that are not as they should be: of thousands of objects only what changed is looked at anew. */
  const planned = new Map<string, Planned>();
  const affected = new Set<string>();
  const reports = modules.reports((objects) => {
    for (const object of objects) affected.add(object);
  });
  const nodes = new Set<string>();
  const silent = new Set<string>();
  let pools: ReadonlyMap<string, Prefix | undefined> = new Map();
  let filters: ReadonlyMap<string, number> = new Map();
  let profiles: ReadonlyMap<string, number> = new Map();

  const touch = (kind: string, names: Iterable<string>): void => {
    for (const name of names) affected.add(`${kind}/${name}`);
  };
  const touchAll = (kind: string): void => touch(kind, objects.get(kind)?.keys() ?? []);
  function count(): void {
    const peers = [...(objects.get(bgpPeer.kind)?.values() ?? [])];
    const before = { filters, profiles };
    filters = namedBy(peers, (peer) => peer.filters);
    profiles = namedBy(peers, ({ profile }) => (profile === undefined ? [] : [profile]));
    touch(bgpFilter.kind, changedCounts(before.filters, filters));
    touch(bfdProfile.kind, changedCounts(before.profiles, profiles));
  }

  for (const type of types)
    watch(type, seen, (all, keys) => {
      objects.set(type.kind, all);
      touch(type.kind, keys);
      if (type.kind === bgpPeer.kind) count();
    });
  watch(typeOf(node), isSilent, (all, keys) => {
    for (const name of keys) {
      if (puts(nodes, name, all.has(name))) for (const kind of ofNodes) touchAll(kind);
      if (puts(silent, name, all.get(name) === true)) touchAll(bgpPeer.kind);
    }
  });
  watch(
    typeOf(ipPool),
    ({ spec }) => parsePrefix(String(fieldOf(spec, 'cidr'))),
    (all) => {
      pools = all;
      touchAll(ipReservation.kind);
    },
  );

  return (now) => {
    const around: Surroundings = {
      ...{ nodes, silent, reports, filters, profiles },
      pools: [...pools.values()].flatMap((one) => one ?? []),
    };
    for (const key of affected) {
      const [kind = '', name = ''] = key.split('/', 2);
      const one = objects.get(kind)?.get(name);
      const type = types.find((it) => it.kind === kind);
      if (one === undefined || type === undefined) {
        planned.delete(key);
        continue;
      }
      const status = objectStatus(one, around, now);
      const tasks = status === undefined ? [] : statusTask(type, one.object, status, modules);
      const refused = status?.conditions.some((it) => it.type === 'Accepted' && it.status !== 'True') === true;
      if (tasks.length === 0 && !refused) planned.delete(key);
      else planned.set(key, { tasks, refused });
    }
    affected.clear();
    const refused = new Map(types.map(({ kind }) => [kind, 0]));
    for (const [key, one] of planned) {
      const [kind = ''] = key.split('/', 1);
      if (one.refused) refused.set(kind, (refused.get(kind) ?? 0) + 1);
    }
    measured(
      'refused_objects',
      [...refused].map(([kind, value]) => ({ labels: { kind }, value })),
    );
    measured('nodes', [
      { labels: { state: 'known' }, value: nodes.size },
      { labels: { state: 'reporting' }, value: reports.nodes },
      { labels: { state: 'silent' }, value: silent.size },
    ]);
    return [...planned.values()].flatMap(({ tasks }) => tasks);
  };
};

/** True: it was not so before. */
function puts(into: Set<string>, name: string, belongs: boolean): boolean {
  if (into.has(name) === belongs) return false;
  if (belongs) into.add(name);
  else into.delete(name);
  return true;
}

/** Kinds whose objects may name a Node. */
const ofNodes = [bgpConfiguration.kind, ipBlock.kind];

const changedCounts = (before: ReadonlyMap<string, number>, now: ReadonlyMap<string, number>): readonly string[] =>
  [...new Set([...before.keys(), ...now.keys()])].filter((name) => before.get(name) !== now.get(name));
