/** The node itself: its addresses, AS number and BGP identifier, from its Node object and BGPConfiguration. */
import { addressFromBigInt, familyOf, parseAddress } from '#lib/ip.ts';
import type { Asn, Family, IpAddress } from '#lib/ip.ts';
import { annotatedAddress, annotatedAsNumber, annotatedClusterId, nodeAnnotation } from '#resources/core.ts';
import type { Node } from '#resources/core.ts';
import type { Labels } from '#resources/selector.ts';
import type { Reason } from './reasons.ts';
import type { Settings } from './settings.ts';

export interface Complaint {
  readonly reason: Reason;
  readonly message: string;
}

export interface ThisNode {
  readonly name: string;
  readonly labels: Labels;
  readonly addresses: { readonly ipv4: IpAddress | undefined; readonly ipv6: IpAddress | undefined };
  readonly asn: Asn;
  readonly routerId: IpAddress;
  /** This node reflects routes between other nodes. */
  readonly clusterId: IpAddress | undefined;
  readonly complaints: readonly Complaint[];
}

export function describeNode(node: Node | undefined, name: string, settings: Settings): ThisNode {
  const complaints: Complaint[] = [];
  if (node === undefined) {
    complaints.push({
      reason: 'NodeMissing',
      message: `There is no Node ${name}, so it has no labels, addresses or podCIDRs. Add its manifest, or start the agent with the right --node.`,
    });
  }
  const annotations = node?.metadata.annotations ?? {};
  const annotated = <T>(key: string, read: (raw: string) => T | undefined): T | undefined => {
    const raw = annotations[key];
    if (raw === undefined) return undefined;
    const value = read(raw);
    if (value === undefined) {
      complaints.push({
        reason: 'AnnotationInvalid',
        message: `Annotation ${key} of Node ${name} cannot be read and is left out; correct it.`,
      });
    }
    return value;
  };
  const address = (family: Family): IpAddress | undefined =>
    annotated(nodeAnnotation[family], (raw) => annotatedAddress(raw, family)) ?? internalAddress(node, family);
  const addresses = { ipv4: address('ipv4'), ipv6: address('ipv6') };
  const asNumber = annotated(nodeAnnotation.asNumber, annotatedAsNumber);
  return {
    name,
    labels: node?.metadata.labels ?? {},
    addresses,
    asn: settings.nodeAsNumber ?? asNumber ?? settings.asNumber,
    routerId: settings.routerId ?? addresses.ipv4 ?? derivedRouterId(name),
    clusterId: settings.nodeClusterId ?? annotated(nodeAnnotation.clusterId, annotatedClusterId),
    complaints,
  };
}

function internalAddress(node: Node | undefined, family: Family): IpAddress | undefined {
  for (const row of node?.status?.addresses ?? []) {
    if (row.type !== 'InternalIP') continue;
    const address = parseAddress(row.address);
    if (address !== undefined && familyOf(address) === family) return address;
  }
  return undefined;
}

/** Any non-zero number is a BGP identifier (RFC 6286 §2.1); the same name always gives the same one (FNV-1a). */
function derivedRouterId(name: string): IpAddress {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(name)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return addressFromBigInt('ipv4', BigInt(hash === 0 ? 1 : hash));
}
