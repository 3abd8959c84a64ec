/**
 * Services and EndpointSlices as one node needs them. They are watched only while a range of Services is announced, of each
 * object only a few texts are kept, and nothing of it goes into the set of resources or the cache: a cluster
 * may have thousands of Services and 150,000 endpoints, and 5,000 agents look at them. Data in: the ranges, and two watches.
 * Data out: the Services that have an address in a range, with the endpoints that a proxy of this node would use.
 *
 * What a proxy leaves out is left out here, by the same rules (kube-proxy of Kubernetes 1.34): headless Services and those of
 * another proxy are not even sent; ports of a slice count for the port of the Service that has their name and protocol.
 */
import { isDeepStrictEqual } from 'node:util';
import type { ApiError, ApiObject, ResourceStore, ResourceType, Watching } from '#kubernetes/store.ts';
import { contains, familyOf, hostPrefix, parseAddress, prefixLength } from '#lib/ip.ts';
import type { Family, Prefix } from '#lib/ip.ts';
import { isRecord } from '#lib/json.ts';
import type {
  EndpointPlace,
  ServiceAddressView,
  ServiceRange,
  ServiceUse,
  ServiceView,
} from '#resources/service-view.ts';

export const serviceType: ResourceType = {
  group: '',
  version: 'v1',
  plural: 'services',
  kind: 'Service',
  namespaced: true,
};

export const endpointSliceType: ResourceType = {
  group: 'discovery.k8s.io',
  version: 'v1',
  plural: 'endpointslices',
  kind: 'EndpointSlice',
  namespaced: true,
};

/** What kube-proxy asks for: neither headless Services nor those that another proxy has (`service-proxy-name`). */
export const proxiedOnly = '!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name';

/** A slice has up to 1,000 endpoints; usually 100, of 300 bytes each. */
const slicesOfAPage = 100;

type Foreign = Readonly<Record<string, unknown>>;
type Policy = ServiceAddressView['policy'];

interface KeptService {
  readonly addresses: readonly { readonly prefix: Prefix; readonly use: ServiceUse; readonly policy: Policy }[];
  /** `NAME/PROTOCOL` */
  readonly ports: readonly string[];
}

interface KeptSlice {
  readonly service: string;
  readonly family: Family;
  readonly ports: readonly string[];
  readonly endpoints: EndpointPlace;
}

const record = (value: unknown): Foreign => (isRecord(value) ? value : {});
const records = (value: unknown): readonly Foreign[] => (Array.isArray(value) ? value.filter(isRecord) : []);
const texts = (value: unknown): readonly string[] =>
  Array.isArray(value) ? value.filter((it) => typeof it === 'string') : [];

const portKey = ({ name, protocol }: Foreign): string =>
  `${typeof name === 'string' ? name : ''}/${typeof protocol === 'string' ? protocol : 'TCP'}`;

/** `undefined`: no proxy has anything to do for it. */
export function keepService(object: ApiObject): KeptService | undefined {
  const spec = record(object['spec']);
  const clusterIP = spec['clusterIP'];
  if (spec['type'] === 'ExternalName' || typeof clusterIP !== 'string' || clusterIP === '' || clusterIP === 'None')
    return undefined;
  const isLocal = (field: string): boolean => spec[field] === 'Local';
  const outside: Policy = isLocal('externalTrafficPolicy') ? 'Local' : 'Cluster';
  // Calico's rule for the address of a Service with externalTrafficPolicy: Local, and kube-proxy's for what comes to it.
  const inside: Policy = isLocal('externalTrafficPolicy') || isLocal('internalTrafficPolicy') ? 'Local' : 'Cluster';
  const clusterIPs = texts(spec['clusterIPs']);
  const ingress = records(record(record(object['status'])['loadBalancer'])['ingress'])
    // In mode Proxy packets come with another destination; the proxy of a node has no rule for the address.
    .filter((it) => it['ipMode'] !== 'Proxy')
    .map((it) => it['ip']);
  const of = (use: ServiceUse, policy: Policy, all: readonly string[]): KeptService['addresses'] =>
    all.flatMap((text) => {
      const address = parseAddress(text);
      return address === undefined ? [] : [{ prefix: hostPrefix(address), use, policy }];
    });
  return {
    addresses: [
      ...of('ClusterIP', inside, clusterIPs.length > 0 ? clusterIPs : [clusterIP]),
      ...of('ExternalIP', outside, texts(spec['externalIPs'])),
      ...of('LoadBalancer', outside, texts(ingress)),
    ],
    ports: records(spec['ports']).map(portKey),
  };
}

/** `undefined`: it is no Service's, or of a family that no proxy has. */
export function keepSlice(object: ApiObject, node: string): KeptSlice | undefined {
  const service = object.metadata.labels?.['kubernetes.io/service-name'] ?? '';
  const addressType = object['addressType'];
  if (service === '' || (addressType !== 'IPv4' && addressType !== 'IPv6')) return undefined;
  return {
    service: `${object.metadata.namespace ?? ''}/${service}`,
    family: addressType === 'IPv4' ? 'ipv4' : 'ipv6',
    // A port without a name or number is one that a proxy does not know what to do with.
    ports: records(object['ports'])
      .filter(({ name, port }) => typeof name === 'string' && typeof port === 'number' && port !== 0)
      .map(portKey),
    endpoints: closest(
      records(object['endpoints'])
        .filter(isUsed)
        .map(({ nodeName }) => (nodeName === node ? 'here' : 'elsewhere')),
    ),
  };
}

/**
 * Ready, or serving while it terminates. A proxy takes the latter only when there is none of the former, here or anywhere; but
 * whether there is one at all is the same.
 */
function isUsed({ addresses, conditions }: Foreign): boolean {
  if (texts(addresses).length === 0) return false;
  const { ready, serving, terminating } = record(conditions);
  // What is not said counts as ready, serving and not terminating.
  return ready !== false || (serving !== false && terminating === true);
}

const closest = (places: readonly EndpointPlace[]): EndpointPlace =>
  places.includes('here') ? 'here' : places.includes('elsewhere') ? 'elsewhere' : 'none';

export function viewOf(
  name: string,
  service: KeptService,
  slices: readonly KeptSlice[],
  ranges: readonly ServiceRange[],
): ServiceView | undefined {
  const addresses = service.addresses.flatMap(({ prefix, use, policy }): ServiceAddressView[] => {
    const [smallest] = ranges
      .filter((it) => it.use === use && contains(it.cidr, prefix))
      .sort((a, b) => prefixLength(b.cidr) - prefixLength(a.cidr));
    return smallest === undefined ? [] : [{ prefix, use, range: smallest.cidr, policy }];
  });
  if (addresses.length === 0) return undefined;
  /** For any of its ports; where it has no address endpoints are of no interest. */
  const endpoints = (family: Family): EndpointPlace => {
    if (!addresses.some((it) => familyOf(it.prefix) === family)) return 'none';
    const own = slices.filter((it) => it.family === family && it.ports.some((port) => service.ports.includes(port)));
    return closest(own.map((it) => it.endpoints));
  };
  return { service: name, addresses, endpoints: { ipv4: endpoints('ipv4'), ipv6: endpoints('ipv6') } };
}

export interface ServiceWatchModules {
  readonly node: string;
  readonly store: ResourceStore;
  /** Everything, in order of name; `undefined`: it cannot be listed, because of `error`, or nobody asks any more. */
  readonly changed: (views: readonly ServiceView[] | undefined, error: ApiError | undefined) => void;
}

/** Both watches for as long as there are ranges. */
export class ServiceWatch {
  readonly #modules: ServiceWatchModules;
  #ranges: readonly ServiceRange[] = [];
  #open: Listing | undefined;
  readonly #closing: Promise<void>[] = [];

  constructor(modules: ServiceWatchModules) {
    this.#modules = modules;
  }

  setRanges(ranges: readonly ServiceRange[]): void {
    if (isDeepStrictEqual(ranges, this.#ranges)) return;
    this.#ranges = ranges;
    if (ranges.length > 0) {
      this.#open ??= new Listing(this.#modules);
      this.#open.setRanges(ranges);
      return;
    }
    if (this.#open !== undefined) this.#closing.push(this.#open.stop());
    this.#open = undefined;
    this.#modules.changed(undefined, undefined);
  }

  async stop(): Promise<void> {
    await Promise.all([this.#open?.stop(), ...this.#closing]);
  }
}

/** What was listed since the ranges are there. */
class Listing {
  readonly #changed: ServiceWatchModules['changed'];
  readonly #watchings: readonly Watching[];
  readonly #slicesOf = new Map<string, Map<string, KeptSlice>>();
  readonly #serviceOf = new Map<string, string>();
  readonly #views = new Map<string, ServiceView>();
  #services: ReadonlyMap<string, KeptService | undefined> | undefined;
  #slices: ReadonlyMap<string, KeptSlice | undefined> | undefined;
  #ranges: readonly ServiceRange[] = [];
  readonly #errors = new Map<ResourceType, ApiError>();
  #stopped = false;

  constructor({ node, store, changed }: ServiceWatchModules) {
    this.#changed = changed;
    const health =
      (type: ResourceType) =>
      (error: ApiError | undefined): void => {
        if (error === undefined) this.#errors.delete(type);
        else this.#errors.set(type, error);
        // That one of the two is watched by now says nothing: what was known before stays until both are listed.
        if (!this.#isListed && this.#errors.size > 0) this.#tell();
      };
    this.#watchings = [
      store.watch(serviceType, {
        selection: { labelSelector: proxiedOnly },
        keep: keepService,
        health: health(serviceType),
        changed: (services, keys) => {
          const first = this.#services === undefined;
          this.#services = services;
          this.#look(first ? services.keys() : keys, first);
        },
      }),
      store.watch(endpointSliceType, {
        selection: { labelSelector: proxiedOnly, pageSize: slicesOfAPage },
        keep: (object) => keepSlice(object, node),
        health: health(endpointSliceType),
        changed: (slices, keys) => {
          const first = this.#slices === undefined;
          this.#slices = slices;
          const about = new Set<string>();
          for (const key of keys) for (const service of this.#move(key, slices.get(key))) about.add(service);
          this.#look(first ? (this.#services?.keys() ?? []) : about, first);
        },
      }),
    ];
  }

  setRanges(ranges: readonly ServiceRange[]): void {
    this.#ranges = ranges;
    this.#look(this.#services?.keys() ?? [], true);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#watchings.map((it) => it.stop()));
  }

  get #isListed(): boolean {
    return this.#services !== undefined && this.#slices !== undefined;
  }

  /** Answers the Services that a slice was of, and is of. */
  #move(key: string, slice: KeptSlice | undefined): readonly string[] {
    const was = this.#serviceOf.get(key);
    if (was !== undefined) {
      const left = this.#slicesOf.get(was);
      left?.delete(key);
      if (left?.size === 0) this.#slicesOf.delete(was);
      this.#serviceOf.delete(key);
    }
    if (slice !== undefined) {
      this.#serviceOf.set(key, slice.service);
      const all = this.#slicesOf.get(slice.service) ?? new Map<string, KeptSlice>();
      this.#slicesOf.set(slice.service, all.set(key, slice));
    }
    return [was, slice?.service].filter((it) => it !== undefined);
  }

  #look(keys: Iterable<string>, always: boolean): void {
    if (this.#stopped || !this.#isListed) return;
    let changed = always;
    for (const key of keys) {
      const service = this.#services?.get(key);
      const slices = [...(this.#slicesOf.get(key)?.values() ?? [])];
      const view = service === undefined ? undefined : viewOf(key, service, slices, this.#ranges);
      if (isDeepStrictEqual(view, this.#views.get(key))) continue;
      changed = true;
      if (view === undefined) this.#views.delete(key);
      else this.#views.set(key, view);
    }
    if (changed) this.#tell();
  }

  #tell(): void {
    if (this.#stopped) return;
    if (!this.#isListed) return this.#changed(undefined, [...this.#errors.values()][0]);
    const views = [...this.#views].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, view]) => view);
    return this.#changed(views, undefined);
  }
}
