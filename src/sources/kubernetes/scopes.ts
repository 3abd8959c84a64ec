/** What is watched, and which objects each watch decides about. PURE. */
import { kindLists } from '#resources/resource-set.ts';
import type { ResourceId } from '#resources/resource-set.ts';
import { secretNamespace } from '#resources/kind.ts';
import type { ResourceType, Selection } from '#kubernetes/store.ts';
import { typeOf } from './types.ts';

export interface Scope {
  readonly key: string;
  readonly type: ResourceType;
  readonly selection: Selection;
  readonly owns: (id: ResourceId) => boolean;
}

const whole = (kind: Parameters<typeof typeOf>[0], selection: Selection = {}): Scope => ({
  key: kind.kind,
  type: typeOf(kind),
  selection,
  owns: (id) => id.kind === kind.kind,
});

/** What every node reads: its own Node and blocks, and what is said to all. */
export const standingScopes = (node: string): readonly Scope[] => [
  whole(kindLists.bgpConfigurations),
  whole(kindLists.bgpPeers),
  whole(kindLists.bgpFilters),
  whole(kindLists.bfdProfiles),
  whole(kindLists.ipPools),
  whole(kindLists.ipReservations),
  whole(kindLists.ipBlocks, { fieldSelector: `spec.node=${node}` }),
  {
    key: 'Node',
    type: typeOf(kindLists.nodes),
    selection: { name: node },
    owns: (id) => id.kind === 'Node' && id.name === node,
  },
];

export const secretScope = (name: string): Scope => ({
  key: `Secret ${name}`,
  type: typeOf(kindLists.secrets),
  selection: { namespace: secretNamespace, name },
  owns: (id) => id.kind === 'Secret' && id.name === name,
});

export const namespaceScope: Scope = whole(kindLists.namespaces, { metadataOnly: true });

/** Addresses and AS numbers are not in the metadata, so these are whole Nodes; little is kept of each. */
export const otherNodesScope = (node: string): Scope => ({
  key: 'Nodes',
  type: typeOf(kindLists.nodes),
  selection: {},
  owns: (id) => id.kind === 'Node' && id.name !== node,
});
