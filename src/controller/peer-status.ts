/**
 * What all nodes together say of a BGPPeer. PURE. The numbers are of nodes, not of sessions: a listen range may have many
 * sessions on one node.
 */
import type { ApiObject } from '#kubernetes/store.ts';
import { fieldOf, type StatusCondition, statusCondition } from './conditions.ts';

/** One session of a node, as its BGPNodeState has it. */
export interface ReportedSession {
  /** The BGPPeer; with `/` and more behind it where several sessions came from one. */
  readonly peer: string;
  readonly state: string;
}

export interface ReportedNode {
  readonly node: string;
  readonly sessions: readonly ReportedSession[];
}

export interface PeerStatus {
  readonly nodes: number;
  readonly established: number;
  readonly conditions: readonly StatusCondition[];
}

/** Names of nodes in a sentence. */
const SHOWN = 5;

export function reportedNode({ metadata, status }: ApiObject): ReportedNode {
  const sessions = fieldOf(status, 'sessions');
  return {
    node: metadata.name,
    sessions: (Array.isArray(sessions) ? sessions : []).map((session: unknown) => ({
      peer: String(fieldOf(session, 'peer')),
      state: String(fieldOf(session, 'state')),
    })),
  };
}

/** For every BGPPeer at once: a look at each session of each node. */
export function peersOf(nodes: Iterable<ReportedNode>): ReadonlyMap<string, ReadonlyMap<string, boolean>> {
  const found = new Map<string, Map<string, boolean>>();
  for (const { node, sessions } of nodes)
    for (const { peer, state } of sessions) {
      const name = peer.split('/', 1)[0] ?? peer;
      const ofPeer = found.get(name) ?? new Map<string, boolean>();
      found.set(name, ofPeer);
      // A range that listens is as well as it can be; of several sessions one that is up counts.
      ofPeer.set(node, (ofPeer.get(node) ?? false) || state === 'Established' || state === 'Listening');
    }
  return found;
}

/** `reported`: the nodes that want it, and whether it is up there. */
export function peerStatus(
  object: ApiObject,
  reported: ReadonlyMap<string, boolean> | undefined,
  now: string,
): PeerStatus {
  const down = [...(reported ?? [])].filter(([, up]) => !up).map(([node]) => node);
  const nodes = reported?.size ?? 0;
  const named = `${down.slice(0, SHOWN).join(', ')}${down.length > SHOWN ? ` and ${down.length - SHOWN} more` : ''}`;
  const established = { kind: 'BGPPeer', name: object.metadata.name, type: 'Established' } as const;
  const condition =
    nodes === 0
      ? ({
          status: 'Unknown',
          reason: 'Pending',
          message: 'No node has reported a session for it. Does its nodeSelector select one?',
        } as const)
      : down.length === 0
        ? ({
            status: 'True',
            reason: 'Established',
            message: `Up on ${nodes === 1 ? 'its node' : `all ${nodes} nodes`}.`,
          } as const)
        : ({
            status: 'False',
            reason: 'NotEstablished',
            message: `Down on ${down.length} of ${nodes}: ${named}. kubectl get bgpnodestate ${down[0] ?? ''} -o yaml says why.`,
          } as const);
  return {
    nodes,
    established: nodes - down.length,
    conditions: [statusCondition({ ...established, ...condition }, object, now)],
  };
}
