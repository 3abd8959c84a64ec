/**
 * Sessions between nodes: BGPPeers with a peerSelector, and the mesh of all nodes. PURE. Both ends work out the same from the
 * same objects, so each has its half of a session. What is not known of another node (its address) leaves out that session and
 * says so; a mesh of too many nodes is refused as a whole, because its sessions grow with the square of the nodes.
 */
import { familyOf } from '#lib/ip.ts';
import type { IpAddress } from '#lib/ip.ts';
import { firstFew } from '#lib/text.ts';
import { bgpPeer } from '#resources/bgp-peer.ts';
import type { BGPPeer } from '#resources/bgp-peer.ts';
import { nodeAnnotation } from '#resources/core.ts';
import type { Node } from '#resources/core.ts';
import { labelSelectorExpression } from '#resources/labels.ts';
import type { ResourceSet } from '#resources/resource-set.ts';
import { invalid } from '#resources/schema.ts';
import { type Labels, matches } from '#resources/selector.ts';
import type { Condition } from './node-intent.ts';
import { describeNode, type ThisNode } from './node.ts';
import { settingsFor, type Settings } from './settings.ts';

/** Nodes of a mesh at most: 200 nodes have 19,900 sessions. */
export const largestMesh = 200;
/** Sessions that one BGPPeer gives a node at most, as many as a listen range may have. */
const mostSelected = 1024;

/** 0: this node by name, 1: by a selector, 2: every node; `undefined`: not this node. */
export function specificity(peer: BGPPeer, nodeName: string, labels: Labels): 0 | 1 | 2 | undefined {
  const { node, nodeSelector, nodeLabelSelector } = peer.spec;
  if (node !== undefined) return node === nodeName ? 0 : undefined;
  if (nodeSelector !== undefined) return matches(nodeSelector.expression, labels) ? 1 : undefined;
  if (nodeLabelSelector !== undefined)
    return matches(labelSelectorExpression(nodeLabelSelector), labels) ? 1 : undefined;
  return 2;
}

export const selectsNodes = ({ spec }: BGPPeer): boolean =>
  spec.peerSelector !== undefined || spec.peerLabelSelector !== undefined;

const isPeerOf = ({ spec }: BGPPeer, labels: Labels): boolean =>
  (spec.peerSelector !== undefined && matches(spec.peerSelector.expression, labels)) ||
  (spec.peerLabelSelector !== undefined && matches(labelSelectorExpression(spec.peerLabelSelector), labels));

/** This node has sessions with other nodes by it, from one side or the other. */
export const concernsNode = (peer: BGPPeer, labels: Labels, nodeName: string): boolean =>
  selectsNodes(peer) &&
  (specificity(peer, nodeName, labels) !== undefined ||
    (peer.spec.reversePeering === 'Auto' && isPeerOf(peer, labels)));

/** One session with another node, as a BGPPeer with an address. */
export interface NodePeer {
  readonly peer: BGPPeer;
  readonly rank: 0 | 1 | 2;
}

interface Found {
  readonly peers: readonly NodePeer[];
  readonly conditions: readonly Condition[];
}

type Other = ThisNode & { readonly listenPort: number };

function othersOf(resources: ResourceSet, self: string): readonly Other[] {
  const describe = (it: Node): Other => {
    const settings = settingsFor(resources.bgpConfigurations, it.metadata.name);
    return { ...describeNode(it, it.metadata.name, settings), listenPort: settings.listenPort };
  };
  return resources.nodes.filter((it) => it.metadata.name !== self).map(describe);
}

export function nodePeers(resources: ResourceSet, node: ThisNode, settings: Settings): Found {
  const selecting = resources.bgpPeers.filter(selectsNodes);
  if (selecting.length === 0 && !settings.mesh.enabled) return { peers: [], conditions: [] };
  const others = othersOf(resources, node.name);
  const found = selecting.map((peer) => selectedBy(peer, node, settings, others));
  const mesh = settings.mesh.enabled ? [meshOf(node, settings, others)] : [];
  return {
    peers: [...found, ...mesh].flatMap((it) => it.peers),
    conditions: [...found, ...mesh].flatMap((it) => it.conditions),
  };
}

function selectedBy(peer: BGPPeer, node: ThisNode, settings: Settings, others: readonly Other[]): Found {
  const rank = specificity(peer, node.name, node.labels);
  const reversed = peer.spec.reversePeering === 'Auto' && isPeerOf(peer, node.labels);
  if (rank === undefined && !reversed) return { peers: [], conditions: [] };
  const selected = others.filter(
    (other) =>
      (rank !== undefined && isPeerOf(peer, other.labels)) ||
      (reversed && specificity(peer, other.name, other.labels) !== undefined),
  );
  const { name } = peer.metadata;
  const accepted = { kind: 'BGPPeer', name, type: 'Accepted' } as const;
  if (selected.length > mostSelected) {
    const message = `peerSelector gives ${node.name} sessions with ${selected.length} nodes; at most ${mostSelected} are allowed. Select fewer, or let the nodes connect to a listenRange.`;
    return { peers: [], conditions: [{ ...accepted, status: 'False', reason: 'TooManyNodes', message }] };
  }
  const { peers, missing } = sessionsWith(peer, rank ?? 1, node, settings, selected);
  return { peers, conditions: [{ ...accepted, ...verdict(node, peers.length, missing) }] };
}

/** The mesh as a BGPPeer that nobody wrote. */
const meshName = 'mesh';
const meshPeer = bgpPeer.schema.read(
  {
    apiVersion: bgpPeer.apiVersion,
    kind: bgpPeer.kind,
    metadata: { name: meshName },
    spec: { peerSelector: 'all()' },
  },
  [],
  [],
);

/** No object of a user has a slash in its name, and a selection of theirs that is called `mesh` stands before it. */
export const isOfMesh = ({ metadata }: BGPPeer): boolean => isMeshSession(metadata.name);

/** By the name of the session. */
export const isMeshSession = (name: string): boolean => name.startsWith(`${meshName}/`);

/** Of all nodes but route reflectors, as Calico has it. */
function meshOf(node: ThisNode, settings: Settings, others: readonly Other[]): Found {
  if (node.clusterId !== undefined || meshPeer === invalid) return { peers: [], conditions: [] };
  const inMesh = others.filter((it) => it.clusterId === undefined);
  const base = { kind: 'BGPConfiguration', name: 'default', type: 'MeshComplete' } as const;
  if (inMesh.length + 1 > largestMesh) {
    const message = `nodeToNodeMeshEnabled is for at most ${largestMesh} nodes, and there are ${inMesh.length + 1}: no node has a session of the mesh. Let the nodes peer with their routers, or with route reflectors by peerSelector, and set it to false.`;
    return { peers: [], conditions: [{ ...base, status: 'False', reason: 'MeshTooLarge', message }] };
  }
  const { password, maxRestartTime } = settings.mesh;
  const peer: BGPPeer = { ...meshPeer, spec: { ...meshPeer.spec, password, maxRestartTime } };
  const { peers, missing } = sessionsWith(peer, 2, node, settings, inMesh);
  return { peers, conditions: [{ ...base, ...verdict(node, peers.length, missing) }] };
}

function verdict(node: ThisNode, sessions: number, missing: readonly string[]) {
  const words = `${node.name} has sessions with ${sessions} other node${sessions === 1 ? '' : 's'}`;
  if (missing.length === 0) return { status: 'True', reason: 'Accepted', message: `${words}.` } as const;
  const message = `${words}, and none with ${firstFew(missing)}: they have no address of a family that ${node.name} has too. Give the Nodes an InternalIP of it, or the annotation ${nodeAnnotation.ipv4} or ${nodeAnnotation.ipv6}.`;
  return { status: 'False', reason: 'PeerAddressMissing', message } as const;
}

function sessionsWith(
  peer: BGPPeer,
  rank: NodePeer['rank'],
  node: ThisNode,
  settings: Settings,
  others: readonly Other[],
): { readonly peers: readonly NodePeer[]; readonly missing: readonly string[] } {
  const missing: string[] = [];
  const peers = others.flatMap((other): NodePeer[] => {
    const address = commonAddress(node, other);
    if (address === undefined) {
      missing.push(other.name);
      return [];
    }
    const { spec, metadata } = peer;
    // RFC 4456 §7: reflectors of one cluster are no clients of each other.
    const client = node.clusterId !== undefined && node.clusterId !== other.clusterId && node.asn === other.asn;
    return [
      {
        rank,
        peer: {
          ...peer,
          metadata: { ...metadata, name: `${metadata.name}/${other.name}` },
          spec: {
            ...spec,
            peerIP: { address, port: other.listenPort === 0 ? undefined : other.listenPort },
            asNumber: other.asn,
            passive: spec.passive || (other.listenPort === 0 && settings.listenPort !== 0),
            routeReflectorClient: spec.routeReflectorClient || client,
          },
        },
      },
    ];
  });
  return { peers, missing };
}

/** One session carries both families; it goes over IPv4 where both ends have it. */
function commonAddress(node: ThisNode, other: ThisNode): IpAddress | undefined {
  for (const address of [other.addresses.ipv4, other.addresses.ipv6])
    if (address !== undefined && node.addresses[familyOf(address)] !== undefined) return address;
  return undefined;
}
