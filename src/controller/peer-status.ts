/**
 * What all nodes together say of the sessions of a BGPPeer. PURE. The numbers are of nodes, not of sessions: a listen range may
 * have many sessions on one node.
 */
import type { ApiObject } from '#kubernetes/store.ts';
import { fieldOf, listOf } from './conditions.ts';

/** One session of a node, as its BGPNodeState has it. */
interface ReportedSession {
  /** The BGPPeer; with `/` and more behind it where several sessions came from one. */
  readonly peer: string;
  readonly state: string;
}

export interface ReportedNode {
  readonly node: string;
  readonly sessions: readonly ReportedSession[];
}

/** By BGPPeer: the nodes that want it, and whether it is up there. */
export type PeerSessions = ReadonlyMap<string, ReadonlyMap<string, boolean>>;

export const reportedNode = ({ metadata, status }: ApiObject): ReportedNode => ({
  node: metadata.name,
  sessions: listOf(fieldOf(status, 'sessions')).map((session) => ({
    peer: String(fieldOf(session, 'peer')),
    state: String(fieldOf(session, 'state')),
  })),
});

/** For every BGPPeer at once: a look at each session of each node. */
export function peersOf(nodes: Iterable<ReportedNode>): PeerSessions {
  const found = new Map<string, Map<string, boolean>>();
  for (const { node, sessions } of nodes)
    for (const { peer, state } of sessions) {
      const [name = peer] = peer.split('/', 1);
      const ofPeer = found.get(name) ?? new Map<string, boolean>();
      found.set(name, ofPeer);
      // A range that listens is as well as it can be; of several sessions one that is up counts.
      ofPeer.set(node, (ofPeer.get(node) ?? false) || state === 'Established' || state === 'Listening');
    }
  return found;
}
