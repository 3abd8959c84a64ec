/** Whether a node is fit for pods, by what its agent reports. PURE; the agent asks too, to know what cannot wait. */

/** As it stands in BGPNodeState; sessions of the mesh do not count. */
export interface RoutingReport {
  /** What the node is to have sessions with. */
  readonly peers: number;
  readonly established: number;
  /** Blocks that none of these sessions was told of. */
  readonly unannounced: number;
}

export type RoutingVerdict = 'Ready' | 'NoPeers' | 'NoSession' | 'TooFewSessions' | 'NotAnnounced';

export function routingVerdict(
  { peers, established, unannounced }: RoutingReport,
  minSessions: number,
): RoutingVerdict {
  if (peers === 0) return 'NoPeers';
  if (established === 0) return 'NoSession';
  if (unannounced > 0) return 'NotAnnounced';
  return established < minSessions ? 'TooFewSessions' : 'Ready';
}

/** Nobody is to hear of a node that no BGPPeer selects, so nothing is missing there. */
export const isFit = (verdict: RoutingVerdict): boolean => verdict === 'Ready' || verdict === 'NoPeers';
