/** The status of the objects that people make, but pools: what is known of them here, and what the nodes say. */
import type { ApiObject } from '#kubernetes/store.ts';
import { parsePrefix, type Prefix } from '#lib/ip.ts';
import { bfdProfile } from '#resources/bfd-profile.ts';
import { bgpConfiguration } from '#resources/bgp-configuration.ts';
import { bgpFilter } from '#resources/bgp-filter.ts';
import { bgpNodeState } from '#resources/bgp-node-state.ts';
import { bgpPeer } from '#resources/bgp-peer.ts';
import { node } from '#resources/core.ts';
import { ipBlock } from '#resources/ip-block.ts';
import { ipPool } from '#resources/ip-pool.ts';
import { ipReservation } from '#resources/ip-reservation.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import { type Complaint, complaintsByObject, complaintsOf } from './complaints.ts';
import { fieldOf, listOf } from './conditions.ts';
import { namedBy, objectStatus, type Seen, seen, type Surroundings } from './object-status.ts';
import { type Measurement, type Part, statusTask } from './part.ts';
import type { Task } from './tasks.ts';
import { peersOf, type ReportedNode, reportedNode } from './peer-status.ts';

const types = [bgpConfiguration, bgpPeer, bgpFilter, bfdProfile, ipReservation, ipBlock].map(typeOf);

interface Report extends ReportedNode {
  readonly complaints: readonly Complaint[];
}

/** Its kubelet has not been heard of, so that what its agent wrote last may be old. */
function isSilent({ status }: ApiObject): boolean {
  const ready = listOf(fieldOf(status, 'conditions')).find((one) => fieldOf(one, 'type') === 'Ready');
  return fieldOf(ready, 'status') === 'Unknown';
}

export const statusPart: Part = (modules) => {
  const objects = new Map<string, ReadonlyMap<string, Seen>>();
  let nodes: ReadonlyMap<string, boolean> = new Map();
  let reports: ReadonlyMap<string, Report> = new Map();
  let pools: ReadonlyMap<string, Prefix | undefined> = new Map();
  for (const type of types) modules.watch(type, seen, (all) => objects.set(type.kind, all));
  modules.watch(typeOf(node), isSilent, (all) => {
    nodes = all;
  });
  modules.watch(
    typeOf(bgpNodeState),
    (object): Report => ({ ...reportedNode(object), complaints: complaintsOf(object) }),
    (all) => {
      reports = all;
    },
  );
  modules.watch(
    typeOf(ipPool),
    ({ spec }) => parsePrefix(String(fieldOf(spec, 'cidr'))),
    (all) => {
      pools = all;
    },
  );
  return (now) => {
    const peers = [...(objects.get(bgpPeer.kind)?.values() ?? [])];
    const around: Surroundings = {
      nodes: new Set(nodes.keys()),
      silent: new Set([...nodes].filter(([, silent]) => silent).map(([name]) => name)),
      complaints: complaintsByObject([...reports.values()].map((one) => one.complaints)),
      sessions: peersOf(reports.values()),
      filters: namedBy(peers, ({ filters }) => filters),
      profiles: namedBy(peers, ({ profile }) => (profile === undefined ? [] : [profile])),
      pools: [...pools.values()].flatMap((one) => one ?? []),
    };
    const tasks: Task[] = [];
    const refused: Measurement[] = [];
    for (const type of types) {
      let count = 0;
      for (const one of objects.get(type.kind)?.values() ?? []) {
        const status = objectStatus(one, around, now);
        if (status === undefined) continue;
        if (status.conditions.some((it) => it.type === 'Accepted' && it.status !== 'True')) count++;
        tasks.push(...statusTask(type, one.object, status, modules));
      }
      refused.push({ labels: { kind: type.kind }, value: count });
    }
    modules.measured('refused_objects', refused);
    modules.measured('nodes', [
      { labels: { state: 'known' }, value: nodes.size },
      { labels: { state: 'reporting' }, value: reports.size },
      { labels: { state: 'silent' }, value: around.silent.size },
    ]);
    return tasks;
  };
};
