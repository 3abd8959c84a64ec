/** What follows from the BGPNodeStates of all nodes: the status of BGPPeers, and which Nodes may have pods. */
import type { ApiObject } from '#kubernetes/store.ts';
import { bgpNodeState } from '#resources/bgp-node-state.ts';
import { bgpPeer } from '#resources/bgp-peer.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import { essence, type Part, statusTask } from './part.ts';
import { peersOf, peerStatus, type ReportedNode, reportedNode } from './peer-status.ts';
import { isRouted, nodeType, type SeenNode, tainted, taintTasks } from './taints.ts';

const types = { peers: typeOf(bgpPeer), states: typeOf(bgpNodeState) } as const;

interface Report extends ReportedNode {
  readonly routed: boolean;
}

export const reportPart: Part = (modules) => {
  let peers: ReadonlyMap<string, ApiObject> = new Map();
  let nodes: ReadonlyMap<string, SeenNode | undefined> = new Map();
  let reports: ReadonlyMap<string, Report> = new Map();
  modules.watch(types.peers, essence, (all) => {
    peers = all;
  });
  modules.watch(nodeType, tainted, (all) => {
    nodes = all;
  });
  modules.watch(
    types.states,
    (object): Report => ({ ...reportedNode(object), routed: isRouted(object) }),
    (all) => {
      reports = all;
    },
  );
  return (now) => {
    const reported = peersOf(reports.values());
    return [
      ...taintTasks(nodes, (name) => reports.get(name)?.routed === true, modules),
      ...[...peers.values()].flatMap((peer) =>
        statusTask(types.peers, peer, peerStatus(peer, reported.get(peer.metadata.name), now), modules),
      ),
    ];
  };
};
