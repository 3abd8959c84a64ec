/**
 * Which foreign objects this node has to know, so that nothing else is read: Secrets that its own peers name, and
 * namespaces where a pool is for some only. PURE.
 */
import type { BGPPeer } from '#resources/bgp-peer.ts';
import type { ResourceSet } from '#resources/resource-set.ts';
import { specificity } from './peers.ts';

export interface Needs {
  /** Names of Secrets in the namespace of Secrets, in order. */
  readonly secrets: readonly string[];
  /** The labels of namespaces decide something. */
  readonly namespaces: boolean;
  /** Other nodes decide something. */
  readonly nodes: boolean;
}

export function needsOf(resources: ResourceSet, nodeName: string): Needs {
  const labels = resources.nodes.find((it) => it.metadata.name === nodeName)?.metadata.labels ?? {};
  const peers = resources.bgpPeers.filter((peer) => specificity(peer, nodeName, labels) !== undefined);
  return {
    secrets: [...new Set(peers.flatMap(secretsOf))].sort(),
    namespaces: resources.ipPools.some((it) => it.spec.namespaceSelector.expression.op !== 'all'),
    nodes: false,
  };
}

const secretsOf = ({ spec }: BGPPeer): string[] => [
  ...(spec.password === undefined ? [] : [spec.password.secretKeyRef.name]),
  ...(spec.authentication?.tcpAO.keys ?? []).map((it) => it.secretKeyRef.name),
];
