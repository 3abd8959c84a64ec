/**
 * The kinds of Kubernetes itself that directory mode reads from files: Node, Namespace and Secret (v1). Fields that
 * Kubernetes knows and this program does not read are accepted, so that `kubectl get -o yaml` can be used as it is;
 * what neither knows is refused as in our own kinds.
 */
import { checkPrefix, familyOf, parseAddress } from '#lib/ip.ts';
import type { Asn, Family, IpAddress, Prefix } from '#lib/ip.ts';
import { isAsNumber, parseAsNumber, prefix } from './formats.ts';
import { dataKey } from './labels.ts';
import { clusterMetadata, namespacedMetadata } from './kind.ts';
import type { Kind } from './kind.ts';
import { boolean, oneOf, string } from './scalars.ts';
import { list, map, object, optional, required } from './schema.ts';
import type { Infer, Rule } from './schema.ts';

const group = (kind: string) => ({
  apiVersion: required(oneOf('v1'), { description: 'API version.' }),
  kind: required(oneOf(kind), { description: 'Kind of the object.' }),
});

export const nodeAnnotation = {
  ipv4: 'flatroute.io/bgp-address-ipv4',
  ipv6: 'flatroute.io/bgp-address-ipv6',
  asNumber: 'flatroute.io/as-number',
  clusterId: 'flatroute.io/route-reflector-cluster-id',
} as const;

/** An address in an annotation; Calico's users write it with a prefix length, which is cut off. */
export function annotatedAddress(raw: string, family: Family): IpAddress | undefined {
  const slash = raw.indexOf('/');
  if (slash >= 0) {
    const checked = checkPrefix(raw);
    if (!checked.ok && checked.error.kind !== 'hostBits') return undefined;
  }
  const address = parseAddress(slash < 0 ? raw : raw.slice(0, slash));
  return address !== undefined && familyOf(address) === family ? address : undefined;
}

/** A CLUSTER_ID is written as an IPv4 address. */
export const annotatedClusterId = (raw: string): IpAddress | undefined => {
  const address = parseAddress(raw);
  return address !== undefined && familyOf(address) === 'ipv4' ? address : undefined;
};

export function annotatedAsNumber(raw: string): Asn | undefined {
  const value = parseAsNumber(raw);
  return isAsNumber(value) ? value : undefined;
}

const annotationRule = (key: string, what: string, holds: (raw: string) => boolean): Rule<unknown> => ({
  cel: undefined,
  holds: (it) => {
    const value = (it as { metadata: Infer<typeof clusterMetadata> }).metadata.annotations[key];
    return value === undefined || holds(value);
  },
  sentence: `is not ${what}`,
  path: ['metadata', 'annotations', key],
});

const nodeSpec = object(
  {
    podCIDR: optional(prefix, { description: 'The first of podCIDRs, as Kubernetes writes it.' }),
    podCIDRs: optional(list(prefix, { maxItems: 2 }), {
      description: "The node's blocks with `addressSource: NodePodCIDR`, at most one of each family.",
    }),
  },
  {
    ignored: ['configSource', 'externalID', 'providerID', 'taints', 'unschedulable'],
    rules: [
      {
        cel: undefined,
        holds: (it) => new Set((it.podCIDRs ?? []).map(familyOf)).size === (it.podCIDRs ?? []).length,
        sentence: 'has two prefixes of one family; a Node has at most one of each',
        path: ['podCIDRs'],
      },
      {
        cel: undefined,
        holds: (it) => it.podCIDR === undefined || it.podCIDRs === undefined || it.podCIDRs[0] === it.podCIDR,
        sentence: 'differs from the first of podCIDRs; keep podCIDRs alone',
        path: ['podCIDR'],
      },
    ],
  },
);

const nodeInfo = object(
  {
    machineID: optional(string({ type: 'a machine id', maxLength: 128 }), {
      description:
        'A Node that is made again under its old name has the IPBlocks of the old one only if this is the same.',
    }),
  },
  {
    ignored: [
      'architecture',
      'bootID',
      'containerRuntimeVersion',
      'kernelVersion',
      'kubeProxyVersion',
      'kubeletVersion',
      'operatingSystem',
      'osImage',
      'swap',
      'systemUUID',
    ],
  },
);

const nodeStatus = object(
  {
    addresses: optional(
      list(
        object({
          type: required(string({ type: 'an address type', minLength: 1, maxLength: 64 }), {
            description: '`InternalIP` is read, every other type is not.',
          }),
          address: required(string({ type: 'an address', minLength: 1, maxLength: 253 }), {
            description: 'The address.',
          }),
        }),
        { maxItems: 64 },
      ),
      { description: "The node's addresses; the first InternalIP of a family counts unless an annotation names one." },
    ),
    nodeInfo: optional(nodeInfo, { description: 'What the kubelet says of its machine.' }),
  },
  {
    ignored: [
      'allocatable',
      'capacity',
      'conditions',
      'config',
      'daemonEndpoints',
      'declaredFeatures',
      'features',
      'images',
      'phase',
      'runtimeHandlers',
      'volumesAttached',
      'volumesInUse',
    ],
  },
);

export const node = {
  apiVersion: 'v1',
  kind: 'Node',
  namespaced: false,
  shortNames: [],
  description:
    'A node as Kubernetes knows it. Its labels are what selectors look at. The annotations `flatroute.io/bgp-address-ipv4`, `flatroute.io/bgp-address-ipv6` and `flatroute.io/as-number` say which address and AS number it uses, `flatroute.io/route-reflector-cluster-id` that it reflects routes between other nodes.',
  schema: object(
    {
      ...group('Node'),
      metadata: required(clusterMetadata, { description: 'Name, labels and annotations.' }),
      spec: optional(nodeSpec, { description: "The node's blocks." }),
      status: optional(nodeStatus, { description: "The node's addresses." }),
    },
    {
      rules: [
        annotationRule(
          nodeAnnotation.ipv4,
          'an IPv4 address; write 192.0.2.11',
          (raw) => annotatedAddress(raw, 'ipv4') !== undefined,
        ),
        annotationRule(
          nodeAnnotation.ipv6,
          'an IPv6 address; write 2001:db8::11',
          (raw) => annotatedAddress(raw, 'ipv6') !== undefined,
        ),
        annotationRule(
          nodeAnnotation.asNumber,
          'an AS number; use 1 to 4294967295, without 23456',
          (raw) => annotatedAsNumber(raw) !== undefined,
        ),
        annotationRule(
          nodeAnnotation.clusterId,
          'a cluster id; write it as an IPv4 address, such as 192.0.2.11',
          (raw) => annotatedClusterId(raw) !== undefined,
        ),
        {
          cel: undefined,
          holds: (it) =>
            (it.status?.addresses ?? []).every(
              (row) => row.type !== 'InternalIP' || parseAddress(row.address) !== undefined,
            ),
          sentence: 'has an InternalIP that is no address',
          path: ['status', 'addresses'],
        },
      ],
    },
  ),
} satisfies Kind<unknown>;

export type Node = Infer<typeof node.schema>;

export const namespace = {
  apiVersion: 'v1',
  kind: 'Namespace',
  namespaced: false,
  shortNames: [],
  description: 'A namespace as Kubernetes knows it; accepted beside the Secrets and pods that are in it.',
  schema: object(
    { ...group('Namespace'), metadata: required(clusterMetadata, { description: 'Name, labels and annotations.' }) },
    { ignored: ['spec', 'status'] },
  ),
} satisfies Kind<unknown>;

export type Namespace = Infer<typeof namespace.schema>;

const isBase64 = (raw: string): boolean =>
  /^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(raw.replace(/[\r\n]/g, ''));

const longestSecret = 1_048_576;

export const secret = {
  apiVersion: 'v1',
  kind: 'Secret',
  namespaced: true,
  shortNames: [],
  description:
    'A Secret as Kubernetes knows it, for passwords. A manifest that names no namespace is in `flatroute-system`, where `secretKeyRef` looks. The file holds passwords: make it readable for root alone.',
  schema: object(
    {
      ...group('Secret'),
      metadata: required(namespacedMetadata, { description: 'Name, namespace, labels and annotations.' }),
      data: optional(
        map(
          string({
            type: 'base64',
            maxLength: longestSecret,
            secret: true,
            rules: [
              {
                cel: undefined,
                holds: isBase64,
                sentence: 'is not base64 (value not shown); plain text goes into stringData',
              },
            ],
          }),
          { maxProperties: 1000, keys: dataKey },
        ),
        { description: 'Values in base64.' },
      ),
      stringData: optional(
        map(string({ type: 'text', maxLength: longestSecret, secret: true }), { maxProperties: 1000, keys: dataKey }),
        {
          description: 'Values as plain text; a key here stands before the same key in data.',
        },
      ),
      immutable: optional(boolean, { description: 'Accepted and not read.' }),
    },
    { ignored: ['type'] },
  ),
} satisfies Kind<unknown>;

export type Secret = Infer<typeof secret.schema>;

/** Bytes of one key; `undefined` when the Secret does not have it. */
export function secretValue(it: Secret, key: string): Uint8Array | undefined {
  if (it.stringData !== undefined && Object.hasOwn(it.stringData, key)) return Buffer.from(it.stringData[key] ?? '');
  if (it.data !== undefined && Object.hasOwn(it.data, key)) return Buffer.from(it.data[key] ?? '', 'base64');
  return undefined;
}

/** The node's blocks as Kubernetes gave them. */
export const podCIDRs = (it: Node): readonly Prefix[] =>
  it.spec?.podCIDRs ?? (it.spec?.podCIDR === undefined ? [] : [it.spec.podCIDR]);
