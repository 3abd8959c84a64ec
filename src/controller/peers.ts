/** The status of BGPPeers, from what the nodes say in their BGPNodeStates. */
import type { ApiObject } from '#kubernetes/store.ts';
import { bgpNodeState } from '#resources/bgp-node-state.ts';
import { bgpPeer } from '#resources/bgp-peer.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import { essence, type Part, statusTask } from './part.ts';
import { peersOf, peerStatus, type ReportedNode, reportedNode } from './peer-status.ts';

const types = { peers: typeOf(bgpPeer), states: typeOf(bgpNodeState) } as const;

export const peerPart: Part = (modules) => {
  let peers: ReadonlyMap<string, ApiObject> = new Map();
  let states: ReadonlyMap<string, ReportedNode> = new Map();
  modules.watch(types.peers, essence, (all) => {
    peers = all;
  });
  modules.watch(types.states, reportedNode, (all) => {
    states = all;
  });
  return (now) => {
    const reported = peersOf(states.values());
    return [...peers.values()].flatMap((peer) =>
      statusTask(types.peers, peer, peerStatus(peer, reported.get(peer.metadata.name), now), modules),
    );
  };
};
