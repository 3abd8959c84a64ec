/** What the choice of addresses for Services is made of, and what comes out. */
import type { Family, IpAddress, Prefix } from '#lib/ip.ts';
import type { Choosable } from '../choice.ts';

/** An IPPool of any use: wishes may name one that is not for Services. */
export interface ServicePool extends Choosable {
  readonly cidr: Prefix;
  readonly forServices: boolean;
  /** Why it gives no new addresses, beside being disabled. */
  readonly closed: 'terminating' | 'overlapping' | undefined;
}

export interface ServicePort {
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly port: number;
}

/** A Service as an address knows it. */
export interface Sharer {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly ports: readonly ServicePort[];
  readonly policy: 'Cluster' | 'Local';
  /** With `Local`: its selector, in one order. */
  readonly selector: string | undefined;
}

/** A ServiceAddress. */
export interface AddressClaim {
  readonly address: IpAddress;
  readonly pool: string;
  readonly sharingKey: string | undefined;
  readonly services: readonly Sharer[];
}

/** A Service of type LoadBalancer and of our class. */
export interface WantingService extends Sharer {
  readonly created: string;
  /** In the order of the Service. */
  readonly families: readonly Family[];
  /** RequireDualStack: all families, or nothing. */
  readonly allFamilies: boolean;
  /** Addresses that it asks for, as they were written. */
  readonly addresses: readonly string[];
  /** spec.loadBalancerIP. */
  readonly loadBalancerIP: string | undefined;
  /** Names of pools, in order; `undefined`: any that is given without being named. */
  readonly pools: readonly string[] | undefined;
  readonly sharingKey: string | undefined;
  /** Namespaces beside its own with whose Services it shares; `*` is all. */
  readonly sharesWith: readonly string[];
  /** What stands in its status. */
  readonly shown: readonly IpAddress[];
  /** It is being deleted: it keeps what it has and gets nothing. */
  readonly leaving: boolean;
}

export interface ServicesInput {
  readonly pools: readonly ServicePool[];
  /** Namespaces whose labels are known. */
  readonly knownNamespaces: ReadonlySet<string>;
  readonly reserved: readonly Prefix[];
  readonly claims: readonly AddressClaim[];
  readonly services: readonly WantingService[];
  /** Addresses that Services of others have, and which. */
  readonly elsewhere: ReadonlyMap<IpAddress, string>;
}

/** Who has an address that somebody else wants. */
export interface Holder {
  readonly address: IpAddress;
  /** `namespace/name`, of each. */
  readonly services: readonly string[];
}

export type SharingProblem =
  | { readonly kind: 'taken' }
  | { readonly kind: 'otherKey' }
  | { readonly kind: 'otherNamespace' }
  | { readonly kind: 'samePort'; readonly port: string }
  | { readonly kind: 'otherPolicy'; readonly policy: string }
  | { readonly kind: 'otherPods' }
  | { readonly kind: 'tooMany' };

/** Why a Service does not get what it asks for. */
export type Refusal =
  | { readonly kind: 'notAnAddress'; readonly text: string }
  | { readonly kind: 'tooManyAddresses'; readonly count: number }
  | { readonly kind: 'twoOfOneFamily'; readonly addresses: readonly IpAddress[] }
  | { readonly kind: 'otherFamily'; readonly address: IpAddress; readonly families: readonly Family[] }
  | { readonly kind: 'twoWishes'; readonly loadBalancerIP: string }
  | { readonly kind: 'outsidePools'; readonly address: IpAddress; readonly shown: boolean }
  | { readonly kind: 'outsideNamedPools'; readonly address: IpAddress; readonly pools: readonly string[] }
  | { readonly kind: 'reserved'; readonly address: IpAddress; readonly prefix: Prefix }
  | { readonly kind: 'elsewhere'; readonly address: IpAddress; readonly owner: string }
  | { readonly kind: 'unknownPool'; readonly pool: string; readonly known: readonly string[] }
  | { readonly kind: 'poolForPods'; readonly pool: string; readonly address: IpAddress | undefined }
  | { readonly kind: 'disabledPool'; readonly pool: string }
  | { readonly kind: 'closedPool'; readonly pool: string; readonly why: 'terminating' | 'overlapping' }
  | {
      readonly kind: 'otherNamespace';
      readonly pool: string;
      readonly namespace: string;
      readonly selector: string;
    }
  | { readonly kind: 'unknownNamespace'; readonly namespace: string; readonly pools: readonly string[] }
  | { readonly kind: 'noPool'; readonly family: Family; readonly named: readonly string[] }
  | { readonly kind: 'exhausted'; readonly family: Family; readonly pools: readonly string[] }
  | { readonly kind: 'sharing'; readonly holder: Holder; readonly problem: SharingProblem };

export interface Assigned {
  readonly address: IpAddress;
  readonly pool: string;
  /** What makes the claim as it should be: nothing, the object, an entry in it, or other words in that entry. */
  readonly claim: 'held' | 'create' | 'join' | 'amend';
}

export interface ServicePlan {
  readonly service: WantingService;
  readonly assigned: readonly Assigned[];
  /** What its status is to show once all of it is claimed. */
  readonly shows: readonly IpAddress[];
  /** Claims to give back once its status does not show them. */
  readonly extra: readonly IpAddress[];
  /** What of its wishes is not fulfilled. */
  readonly refusal: Refusal | undefined;
  /** A family that it would have liked and for which there is no pool. */
  readonly without: Family | undefined;
}
