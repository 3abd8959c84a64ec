/**
 * Resources of a lab's nodes and routers as YAML, written the way an operator would write them: readable examples of
 * directory mode. Each function gives the text of one file.
 */
import type { Asn, Family, IpAddress, Prefix } from '#lib/ip.ts';
import { familyOf } from '#lib/ip.ts';

export interface ConfigurationManifest {
  readonly asn: Asn;
  readonly importPolicy: 'None' | 'DefaultRoute' | 'All';
  /** Prefixes originated here besides pod blocks. */
  readonly prefixes?: readonly Prefix[];
  readonly nodeAddresses?: boolean;
  /** Learned routes go into the kernel; true if not given. */
  readonly installRoutes?: boolean;
  readonly clusterId?: IpAddress;
  /** The engine is the gobgpd that is asked at this address. */
  readonly gobgp?: string;
}

export function bgpConfiguration(it: ConfigurationManifest): string {
  const prefixes = it.prefixes ?? [];
  return lines(
    'apiVersion: flatroute.io/v1alpha1',
    'kind: BGPConfiguration',
    'metadata: { name: default }',
    'spec:',
    `  asNumber: ${it.asn}`,
    `  importPolicy: ${it.importPolicy}`,
    ...(it.gobgp === undefined ? [] : ['  engine: gobgp', `  gobgp: { address: ${JSON.stringify(it.gobgp)} }`]),
    it.clusterId === undefined ? undefined : `  routeReflectorClusterID: ${it.clusterId}`,
    it.installRoutes === false ? '  installRoutes: false' : undefined,
    it.nodeAddresses === true || prefixes.length > 0 ? '  advertise:' : undefined,
    it.nodeAddresses === true ? '    nodeAddresses: true' : undefined,
    prefixes.length > 0 ? '    prefixes:' : undefined,
    ...prefixes.map((prefix) => `      - ${prefix}`),
  );
}

export interface PeerManifest {
  readonly name: string;
  readonly address: IpAddress;
  readonly interface?: string;
  /** Instead of the address. */
  readonly listenRange?: { readonly cidr: string; readonly limit: number; readonly insecure?: boolean };
  /** `External`: whatever the peer says. */
  readonly asn: Asn | 'External';
  readonly families: readonly Family[];
  readonly holdTimeSeconds: number;
  /** Key of the Secret `bgp` that holds the password. */
  readonly passwordKey?: string;
  /** A router's role: what is learned from others is announced here too. */
  readonly transit?: boolean;
  /** The session runs from the node's own address, not from the link's. */
  readonly ebgpMultihop?: number;
  readonly filters?: readonly string[];
  /** Further fields of `spec`, one a line. */
  readonly options?: readonly string[];
}

export function bgpPeer(it: PeerManifest): string {
  return lines(
    'apiVersion: flatroute.io/v1alpha1',
    'kind: BGPPeer',
    `metadata: { name: ${it.name} }`,
    'spec:',
    it.listenRange !== undefined
      ? `  listenRange: { cidr: ${it.listenRange.cidr}, limit: ${it.listenRange.limit}${it.listenRange.insecure === true ? ', insecure: true' : ''} }`
      : it.interface === undefined
        ? `  peerIP: "${it.address}"`
        : `  interface: ${JSON.stringify(it.interface)}`,
    it.asn === 'External' ? '  dynamicASN: External' : `  asNumber: ${it.asn}`,
    `  families: [${it.families.join(', ')}]`,
    `  holdTime: ${it.holdTimeSeconds}s`,
    '  connectTime: 1s',
    // The session runs between the addresses of the link, not from the node's own.
    it.interface !== undefined || it.listenRange !== undefined
      ? undefined
      : it.ebgpMultihop === undefined
        ? '  sourceAddress: None'
        : `  ebgpMultihop: ${it.ebgpMultihop}`,
    it.passwordKey === undefined ? undefined : `  password: { secretKeyRef: { name: bgp, key: ${it.passwordKey} } }`,
    it.transit === true ? '  transit: true' : undefined,
    it.filters === undefined ? undefined : `  filters: [${it.filters.join(', ')}]`,
    ...(it.options ?? []).map((line) => `  ${line}`),
  );
}

/** `minimumTtl`: of several hops; BIRD's packets start with 64. */
export const bfdProfile = (
  name: string,
  it: { readonly intervalMilliseconds: number; readonly multiplier: number; readonly minimumTtl?: number },
): string =>
  lines(
    'apiVersion: flatroute.io/v1alpha1',
    'kind: BFDProfile',
    `metadata: { name: ${name} }`,
    'spec:',
    `  receiveInterval: ${it.intervalMilliseconds}`,
    `  transmitInterval: ${it.intervalMilliseconds}`,
    `  detectMultiplier: ${it.multiplier}`,
    it.minimumTtl === undefined ? undefined : `  minimumTtl: ${it.minimumTtl}`,
  );

/** Accepts these prefixes and what lies inside them, nothing else; what is announced is not touched. */
export function bgpFilter(name: string, accept: readonly Prefix[]): string {
  const rules = (family: Family): readonly string[] => {
    const prefixes = accept.filter((prefix) => familyOf(prefix) === family);
    return [
      `  import${family === 'ipv4' ? 'V4' : 'V6'}:`,
      ...prefixes.map((prefix) => `    - { action: Accept, matchOperator: In, cidr: ${JSON.stringify(prefix)} }`),
      '    - { action: Reject }',
    ];
  };
  return lines(
    'apiVersion: flatroute.io/v1alpha1',
    'kind: BGPFilter',
    `metadata: { name: ${name} }`,
    'spec:',
    ...rules('ipv4'),
    ...rules('ipv6'),
  );
}

/** Changes these prefixes, and no other, when they are announced. */
export function changingFilter(name: string, prefixes: readonly Prefix[], operations: readonly string[]): string {
  const rules = (family: Family): readonly string[] =>
    prefixes
      .filter((prefix) => familyOf(prefix) === family)
      .map((prefix) => {
        const done = operations.map((operation) => `{ ${operation} }`).join(', ');
        return `    - { action: Accept, matchOperator: Equal, cidr: ${JSON.stringify(prefix)}, operations: [${done}] }`;
      });
  const [ipv4, ipv6] = [rules('ipv4'), rules('ipv6')];
  return lines(
    'apiVersion: flatroute.io/v1alpha1',
    'kind: BGPFilter',
    `metadata: { name: ${name} }`,
    'spec:',
    ...(ipv4.length === 0 ? [] : ['  exportV4:', ...ipv4]),
    ...(ipv6.length === 0 ? [] : ['  exportV6:', ...ipv6]),
  );
}

/** Secret `bgp` with one key for each peer. */
export function passwords(data: Readonly<Record<string, string>>): string {
  return lines(
    'apiVersion: v1',
    'kind: Secret',
    'metadata: { name: bgp, namespace: flatroute-system }',
    'stringData:',
    ...Object.entries(data).map(([key, value]) => `  ${key}: ${JSON.stringify(value)}`),
  );
}

export interface NodeManifest {
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly addresses: readonly IpAddress[];
  readonly podCIDRs: readonly Prefix[];
}

/** What `kubectl get node -o yaml` shows of a node, as far as it matters here. */
export function node(it: NodeManifest): string {
  const labels = Object.entries(it.labels ?? {});
  const pods = it.podCIDRs;
  return lines(
    'apiVersion: v1',
    'kind: Node',
    'metadata:',
    `  name: ${it.name}`,
    labels.length > 0 ? '  labels:' : undefined,
    ...labels.map(([key, value]) => `    ${key}: ${JSON.stringify(value)}`),
    pods.length > 0 ? 'spec:' : undefined,
    pods.length > 0 ? `  podCIDR: ${JSON.stringify(pods[0])}` : undefined,
    pods.length > 0 ? '  podCIDRs:' : undefined,
    ...pods.map((prefix) => `    - ${JSON.stringify(prefix)}`),
    'status:',
    '  addresses:',
    ...it.addresses.map((address) => `    - { type: InternalIP, address: "${address}" }`),
  );
}

export interface PoolManifest {
  readonly name: string;
  readonly cidr: Prefix;
  readonly blockSize: number;
  readonly natOutgoing: boolean;
}

export function ipPool(it: PoolManifest): string {
  return lines(
    'apiVersion: flatroute.io/v1alpha1',
    'kind: IPPool',
    `metadata: { name: ${it.name} }`,
    'spec:',
    `  cidr: "${it.cidr}"`,
    `  blockSize: ${it.blockSize}`,
    `  natOutgoing: ${it.natOutgoing}`,
  );
}

const lines = (...all: readonly (string | undefined)[]): string =>
  `${all.filter((line) => line !== undefined).join('\n')}\n`;
