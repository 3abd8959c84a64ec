/**
 * What this node has to read beside what every node reads. PURE. Secrets are asked for one by one and only by the nodes whose
 * sessions they sign; namespaces and other nodes only where something in force looks at their labels or addresses.
 */
import type { BGPPeer } from '#resources/bgp-peer.ts';
import type { ResourceSet } from '#resources/resource-set.ts';
import { concernsNode, specificity } from './node-peers.ts';
import { settingsFor } from './settings.ts';

export interface Needs {
  /** Names, in the namespace of Secrets. */
  readonly secrets: readonly string[];
  readonly namespaces: boolean;
  readonly nodes: boolean;
}

const secretsOf = ({ spec }: BGPPeer): readonly string[] => [
  ...(spec.password === undefined ? [] : [spec.password.secretKeyRef.name]),
  ...(spec.authentication?.tcpAO.keys ?? []).map(({ secretKeyRef }) => secretKeyRef.name),
];

export function needsOf(resources: ResourceSet, nodeName: string): Needs {
  const labels = resources.nodes.find((it) => it.metadata.name === nodeName)?.metadata.labels ?? {};
  const { mesh } = settingsFor(resources.bgpConfigurations, nodeName);
  const between = resources.bgpPeers.filter((peer) => concernsNode(peer, labels, nodeName));
  const own = resources.bgpPeers.filter((peer) => specificity(peer, nodeName, labels) !== undefined);
  const secrets = [
    ...[...own, ...between].flatMap(secretsOf),
    ...(mesh.enabled && mesh.password !== undefined ? [mesh.password.secretKeyRef.name] : []),
  ];
  return {
    secrets: [...new Set(secrets)].sort(),
    namespaces: resources.ipPools.some(({ spec }) => spec.namespaceSelector.expression.op !== 'all'),
    nodes: mesh.enabled || between.length > 0,
  };
}
