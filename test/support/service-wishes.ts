// Services that ask for what cannot be, beside Services that have what the others want: one table for the fake API server and
// for the real one.
import type { ApiObject } from '#kubernetes/store.ts';

type Fields = Readonly<Record<string, unknown>>;

export interface ServiceForm {
  readonly name: string;
  readonly namespace?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec?: Fields;
}

export function serviceObject({ name, namespace = 'shop', annotations = {}, spec = {} }: ServiceForm): ApiObject {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace, annotations },
    spec: {
      type: 'LoadBalancer',
      loadBalancerClass: 'flatroute.io/bgp',
      ipFamilyPolicy: 'SingleStack',
      ipFamilies: ['IPv4'],
      externalTrafficPolicy: 'Cluster',
      selector: { app: name },
      ports: [{ name: 'web', protocol: 'TCP', port: 80 }],
      ...spec,
    },
  };
}

const dual = { ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv4', 'IPv6'] };
const local = { externalTrafficPolicy: 'Local' };
const port = (number: number): Fields => ({ ports: [{ name: 'web', protocol: 'TCP', port: number }] });
const asks = (addresses: string): Readonly<Record<string, string>> => ({ 'flatroute.io/addresses': addresses });
const pool = (names: string): Readonly<Record<string, string>> => ({ 'flatroute.io/pool': names });
const key = (text: string): Readonly<Record<string, string>> => ({ 'flatroute.io/sharing-key': text });

const object = (kind: string, name: string, spec: Fields, metadata: Fields = {}): ApiObject => ({
  apiVersion: 'flatroute.io/v1alpha1',
  kind,
  metadata: { name, ...metadata },
  spec,
});
const forServices = { allowedUses: ['LoadBalancer'] };

export const wishWorld = {
  namespaces: ['shop', 'bank', 'other'].map(
    (name): ApiObject => ({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, labels: { 'kubernetes.io/metadata.name': name, kind: name } },
    }),
  ),
  pools: [
    object('IPPool', 'vips', { cidr: '10.70.0.0/24', blockSize: 26, ...forServices }),
    object('IPPool', 'vips6', { cidr: 'fd70::/120', ...forServices }),
    object('IPPool', 'bank', { cidr: '10.70.1.0/24', namespaceSelector: "kind == 'bank'", ...forServices }),
    object('IPPool', 'closed', { cidr: '10.70.2.0/24', disabled: true, ...forServices }),
    object('IPPool', 'small', { cidr: '10.70.3.0/32', blockSize: 32, assignmentMode: 'Manual', ...forServices }),
    object('IPPool', 'pods', { cidr: '10.71.0.0/16' }),
  ],
  reservations: [object('IPReservation', 'printers', { reservedCIDRs: ['10.70.0.64/28'] })],
  /** Those that have what they want, and what. */
  contented: [
    [{ name: 'web', annotations: asks('10.70.0.10') }, ['10.70.0.10']],
    [{ name: 'full', annotations: pool('small') }, ['10.70.3.0']],
    [{ name: 'shared', annotations: { ...asks('10.70.0.20'), ...key('k') } }, ['10.70.0.20']],
    [{ name: 'near', annotations: { ...asks('10.70.0.30'), ...key('local') }, spec: local }, ['10.70.0.30']],
    [{ name: 'vault', namespace: 'bank' }, ['10.70.1.1']],
    [{ name: 'both', spec: { ...dual } }, ['10.70.0.1', 'fd70::1']],
  ] satisfies readonly (readonly [ServiceForm, readonly string[]])[],
} as const;

/** What it is, the Service, the reason, and a part of the sentence. */
export type WishRow = readonly [what: string, service: Omit<ServiceForm, 'name'>, reason: string, says: RegExp];

export const impossible: readonly WishRow[] = [
  ['no address', { annotations: asks('web.example') }, 'NotAnAddress', /"web\.example" is not an address; write one/],
  ['an address with a zone', { annotations: asks('fe80::1%eth0') }, 'NotAnAddress', /write one such as 10\.60\.1\.7/],
  [
    'three addresses',
    { annotations: asks('10.70.0.5,fd70::5,10.70.0.6') },
    'TooManyAddresses',
    /Keep one IPv4 and one/,
  ],
  [
    'two addresses of one family',
    { annotations: asks('10.70.0.5, 10.70.0.6'), spec: dual },
    'TwoOfOneFamily',
    /second Service/,
  ],
  [
    'an address of the other family',
    { annotations: asks('fd70::9') },
    'OtherFamily',
    /the Service is IPv4 only\. Ask for/,
  ],
  [
    'an annotation and another loadBalancerIP',
    { annotations: asks('10.70.0.5'), spec: { loadBalancerIP: '10.70.0.6' } },
    'TwoWishes',
    /Keep the annotation/,
  ],
  ['an address outside the pools', { annotations: asks('192.0.2.1') }, 'OutsidePools', /lies in no IPPool\. Ask for/],
  [
    'a loadBalancerIP outside the pools',
    { spec: { loadBalancerIP: '192.0.2.1' } },
    'OutsidePools',
    /or make one around it/,
  ],
  [
    'an address outside the pool that it names',
    { annotations: { ...asks('10.70.0.5'), ...pool('small') } },
    'OutsideNamedPools',
    /does not lie in small/,
  ],
  [
    'a reserved address',
    { annotations: asks('10.70.0.70') },
    'AddressReserved',
    /10\.70\.0\.64\/28 of an IPReservation/,
  ],
  [
    'an address for pods',
    { annotations: asks('10.71.0.9') },
    'PoolForPods',
    /pods is for pods, not for Services\. Use/,
  ],
  [
    'the address of another Service',
    { annotations: asks('10.70.0.10') },
    'AddressTaken',
    /shop\/web has 10\.70\.0\.10\. Ask/,
  ],
  [
    'a shared address without the key',
    { annotations: asks('10.70.0.20'), spec: port(8080) },
    'AddressTaken',
    /set the same flatroute\.io\/sharing-key/,
  ],
  [
    'a shared address with another key',
    { annotations: { ...asks('10.70.0.20'), ...key('other') }, spec: port(8080) },
    'SharingKeyDiffers',
    /shop\/shared has 10\.70\.0\.20 with another/,
  ],
  [
    'a port that is taken on a shared address',
    { annotations: { ...asks('10.70.0.20'), ...key('k') } },
    'SharingSamePort',
    /had TCP 80 there first\. Use other ports/,
  ],
  [
    'another policy on a shared address',
    { annotations: { ...asks('10.70.0.20'), ...key('k') }, spec: { ...port(8080), ...local } },
    'SharingPolicyDiffers',
    /with externalTrafficPolicy Cluster/,
  ],
  [
    'other pods on a shared address that is Local',
    { annotations: { ...asks('10.70.0.30'), ...key('local') }, spec: { ...port(8080), ...local } },
    'SharingPodsDiffer',
    /Use the same selector/,
  ],
  [
    'a shared address of another namespace',
    { namespace: 'other', annotations: { ...asks('10.70.0.20'), ...key('k') }, spec: port(8080) },
    'SharingNotAgreed',
    /flatroute\.io\/sharing-namespaces on both sides/,
  ],
  [
    'a pool that is not there',
    { annotations: pool('vipps') },
    'PoolUnknown',
    /no IPPool "vipps": write vips\. Correct/,
  ],
  [
    'a pool of another namespace',
    { annotations: pool('bank') },
    'PoolOfOtherNamespaces',
    /kind == 'bank', and shop is none/,
  ],
  [
    'an address of such a pool',
    { annotations: asks('10.70.1.9') },
    'PoolOfOtherNamespaces',
    /Use another pool, or change/,
  ],
  ['a pool for pods', { annotations: pool('pods') }, 'PoolForPods', /Use a pool with allowedUses: \[LoadBalancer\]/],
  ['a disabled pool', { annotations: pool('closed') }, 'PoolGivesNone', /Set its spec\.disabled to false/],
  ['a pool that is full', { annotations: pool('small') }, 'PoolsFull', /no IPv4 address is free\. Add an IPPool/],
  ['both families of a pool of one', { annotations: pool('vips'), spec: dual }, 'NoPool', /none has IPv6 addresses/],
  [
    'both families in a namespace whose pool has one',
    { namespace: 'bank', spec: { ...dual }, annotations: pool('bank') },
    'NoPool',
    /Name one of that family too/,
  ],
];
