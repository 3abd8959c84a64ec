/**
 * All resources that are in force, and what is wrong with those that are not. Every source delivers this, whatever it
 * reads; lists are in order of name, so that the same resources are always the same value.
 */
import { bfdProfile } from './bfd-profile.ts';
import type { BFDProfile } from './bfd-profile.ts';
import { bgpConfiguration } from './bgp-configuration.ts';
import type { BGPConfiguration } from './bgp-configuration.ts';
import { bgpNodeState } from './bgp-node-state.ts';
import { bgpFilter } from './bgp-filter.ts';
import type { BGPFilter } from './bgp-filter.ts';
import { bgpPeer } from './bgp-peer.ts';
import type { BGPPeer } from './bgp-peer.ts';
import { namespace, node, secret } from './core.ts';
import type { Namespace, Node, Secret } from './core.ts';
import { ipBlock } from './ip-block.ts';
import type { IPBlock } from './ip-block.ts';
import { ipPool } from './ip-pool.ts';
import type { IPPool } from './ip-pool.ts';
import { ipReservation } from './ip-reservation.ts';
import type { IPReservation } from './ip-reservation.ts';
import { secretNamespace } from './kind.ts';
import type { Kind } from './kind.ts';
import type { FieldCode } from './schema.ts';
import { serviceAddress } from './service-address.ts';

export interface ResourceSet {
  readonly bgpConfigurations: readonly BGPConfiguration[];
  readonly bgpPeers: readonly BGPPeer[];
  readonly bgpFilters: readonly BGPFilter[];
  readonly bfdProfiles: readonly BFDProfile[];
  readonly ipPools: readonly IPPool[];
  readonly ipBlocks: readonly IPBlock[];
  readonly ipReservations: readonly IPReservation[];
  readonly nodes: readonly Node[];
  readonly namespaces: readonly Namespace[];
  readonly secrets: readonly Secret[];
}

export type AnyResource = ResourceSet[keyof ResourceSet][number];

/** Each kind and the list of the set that it goes into. */
export const kindLists = {
  bgpConfigurations: bgpConfiguration,
  bgpPeers: bgpPeer,
  bgpFilters: bgpFilter,
  bfdProfiles: bfdProfile,
  ipPools: ipPool,
  ipBlocks: ipBlock,
  ipReservations: ipReservation,
  nodes: node,
  namespaces: namespace,
  secrets: secret,
} as const satisfies { readonly [K in keyof ResourceSet]: Kind<ResourceSet[K][number]> };

export const kinds: readonly Kind<AnyResource>[] = Object.values(kindLists);

/** Kinds that only the API has: no file holds one, and no agent reads them. */
export const apiKinds = { bgpNodeStates: bgpNodeState, serviceAddresses: serviceAddress } as const satisfies Readonly<
  Record<string, Kind<unknown>>
>;

export interface ResourceId {
  readonly kind: string;
  readonly namespace: string | undefined;
  readonly name: string;
}

export const idText = (id: ResourceId): string =>
  id.namespace === undefined ? `${id.kind} ${id.name}` : `${id.kind} ${id.namespace}/${id.name}`;

export function idOf(resource: AnyResource): ResourceId {
  const { kind, metadata } = resource;
  const namespace = kind === secret.kind ? secretNamespaceOf(resource as Secret) : undefined;
  return { kind, namespace, name: metadata.name };
}

export const secretNamespaceOf = (it: Secret): string => it.metadata.namespace ?? secretNamespace;

/** Sorts resources of any kinds into a set. */
export function resourceSet(resources: Iterable<AnyResource>): ResourceSet {
  const byKind = new Map<string, AnyResource[]>(kinds.map((kind) => [kind.kind, []]));
  for (const resource of resources) byKind.get(resource.kind)?.push(resource);
  const order = (a: AnyResource, b: AnyResource): number => (idText(idOf(a)) < idText(idOf(b)) ? -1 : 1);
  const lists: Record<string, AnyResource[]> = {};
  for (const [list, kind] of Object.entries(kindLists)) lists[list] = (byKind.get(kind.kind) ?? []).sort(order);
  return lists as unknown as ResourceSet;
}

/** Stable codes of docs/errors.md for what can be wrong with a source. */
export type ResourceCode =
  | FieldCode
  /** Of the API that the resources come from. */
  | `API_${string}`
  | 'CONFIG_TOO_MANY_NODES'
  | 'CONFIG_CACHE_UNREADABLE'
  | 'CONFIG_DIRECTORY_UNREADABLE'
  | 'CONFIG_FILE_UNREADABLE'
  | 'CONFIG_FILE_TOO_LARGE'
  | 'CONFIG_FILE_EMPTY'
  | 'CONFIG_TOO_MANY_FILES'
  | 'CONFIG_TOO_MANY_DOCUMENTS'
  | 'CONFIG_YAML_SYNTAX'
  | 'CONFIG_NOT_AN_OBJECT'
  | 'CONFIG_UNKNOWN_KIND'
  | 'CONFIG_DUPLICATE_OBJECT';

export interface ResourceProblem {
  readonly code: ResourceCode;
  /** The object, where it could be told. */
  readonly id: ResourceId | undefined;
  /** Relative to the directory; '' is the directory itself; `api`: from the Kubernetes API. */
  readonly file: string;
  /** From 1; 0 when the problem has no place in a file. */
  readonly line: number;
  readonly column: number;
  /** `spec.filters[2]`; '' for the object as a whole. */
  readonly field: string;
  /** The whole sentence: place, field, what is wrong, what is allowed, what holds meanwhile. */
  readonly message: string;
  /** `true`: the last good state of the object, or of all objects of the file, stays in force. */
  readonly lastGoodInForce: boolean;
  /** Only this field is left out, the object is in force (from the API, where a newer schema may know it). */
  readonly fieldOnly?: true;
}
