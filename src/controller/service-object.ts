/** A Service as the API gives it: whether it is ours, what it wants, and which addresses it has. PURE. */
import type { ServicePort, WantingService } from '#ipam/services/intent.ts';
import { annotation } from '#ipam/services/refusals.ts';
import type { ApiObject, ObjectMeta } from '#kubernetes/store.ts';
import { type Family, type IpAddress, parseAddress } from '#lib/ip.ts';
import { mostPorts } from '#resources/service-address.ts';
import { fieldOf, listOf, textOf } from './conditions.ts';
import type { Versioned } from './own-writes.ts';

export const LOAD_BALANCER_CLASS = 'flatroute.io/bgp';
export const ADDRESS_CONDITION = 'flatroute.io/AddressAssigned';

export interface SeenService extends Versioned {
  readonly uid: string;
  /** Name, UID, version, and the status as it is. */
  readonly object: ApiObject;
  /** `undefined`: it is somebody else's, or no load balancer. */
  readonly wants: WantingService | undefined;
  /** In its status and its externalIPs. */
  readonly addresses: readonly IpAddress[];
  /** Our condition stands in its status. */
  readonly told: boolean;
}

export const ingressOf = (status: unknown): readonly unknown[] =>
  listOf(fieldOf(fieldOf(status, 'loadBalancer'), 'ingress'));

const addressesOf = (texts: readonly unknown[]): readonly IpAddress[] => [
  ...new Set(texts.flatMap((text) => parseAddress(textOf(text) ?? '') ?? [])),
];

/** `ownsDefault`: Services without a class are ours too. `undefined`: nothing of it matters to an address. */
export function seeService(object: ApiObject, ownsDefault: boolean): SeenService | undefined {
  const { metadata, spec, status } = object;
  const { name, namespace = '', uid = '', resourceVersion, generation } = metadata;
  const shown = addressesOf(ingressOf(status).map((one) => fieldOf(one, 'ip')));
  const addresses = [...shown, ...addressesOf(listOf(fieldOf(spec, 'externalIPs')))];
  const told = listOf(fieldOf(status, 'conditions')).some((one) => fieldOf(one, 'type') === ADDRESS_CONDITION);
  const loadBalancerClass = textOf(fieldOf(spec, 'loadBalancerClass'));
  const ours =
    fieldOf(spec, 'type') === 'LoadBalancer' &&
    (loadBalancerClass === undefined ? ownsDefault : loadBalancerClass === LOAD_BALANCER_CLASS);
  if (!ours && !told && addresses.length === 0) return undefined;
  const meta: ObjectMeta = {
    name,
    namespace,
    uid,
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
    ...(generation === undefined ? {} : { generation }),
  };
  const wants = ours ? wanting(metadata, spec, shown) : undefined;
  return { uid, resourceVersion, object: { metadata: meta, status }, wants, addresses, told };
}

function wanting(metadata: ObjectMeta, spec: unknown, shown: readonly IpAddress[]): WantingService {
  const { name, namespace = '', uid = '', creationTimestamp: created = '', annotations = {} } = metadata;
  const ports = listOf(fieldOf(spec, 'ports')).flatMap(portOf);
  const policy = fieldOf(spec, 'externalTrafficPolicy') === 'Local' ? 'Local' : 'Cluster';
  const families = listOf(fieldOf(spec, 'ipFamilies')).flatMap((one): Family[] =>
    one === 'IPv4' ? ['ipv4'] : one === 'IPv6' ? ['ipv6'] : [],
  );
  const pools = words(annotations[annotation.pool]);
  // What cannot be written down of it cannot be kept apart from others.
  const sharingKey = ports.length > mostPorts ? undefined : textOf(annotations[annotation.sharingKey]?.trim());
  return {
    namespace,
    name,
    uid,
    created,
    ports: ports.slice(0, mostPorts),
    policy,
    selector: policy === 'Local' ? selectorText(fieldOf(spec, 'selector')) : undefined,
    families: families.length > 0 ? families : ['ipv4'],
    allFamilies: fieldOf(spec, 'ipFamilyPolicy') === 'RequireDualStack',
    addresses: words(annotations[annotation.addresses]),
    loadBalancerIP: textOf(fieldOf(spec, 'loadBalancerIP')),
    pools: pools.length > 0 ? pools : undefined,
    sharingKey,
    sharesWith: words(annotations[annotation.sharingNamespaces]),
    shown,
    leaving: metadata.deletionTimestamp !== undefined,
  };
}

/** Texts with commas between them. */
const words = (text: string | undefined): readonly string[] =>
  (text ?? '')
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '');

function portOf(entry: unknown): readonly ServicePort[] {
  const [protocol = 'TCP', port] = [fieldOf(entry, 'protocol'), fieldOf(entry, 'port')];
  const known = protocol === 'TCP' || protocol === 'UDP' || protocol === 'SCTP';
  return known && typeof port === 'number' ? [{ protocol, port }] : [];
}

/** One text for one selector. Without one the endpoints are anybody's, so it is like that of no other Service. */
function selectorText(selector: unknown): string {
  const labels = typeof selector === 'object' && selector !== null ? Object.entries(selector) : [];
  return labels
    .map(([label, value]) => `${label}=${String(value)}`)
    .sort()
    .join(',');
}
