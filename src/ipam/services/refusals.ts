/** PURE: what is said of a wish that cannot be fulfilled: one word, and what happened, to what, and what to do. */
import type { Family } from '#lib/ip.ts';
import { nearest } from '#lib/nearest.ts';
import { assertNever } from '#lib/result.ts';
import { firstFew } from '#lib/text.ts';
import type { Holder, Refusal, SharingProblem } from './intent.ts';

export const annotation = {
  addresses: 'flatroute.io/addresses',
  pool: 'flatroute.io/pool',
  sharingKey: 'flatroute.io/sharing-key',
  sharingNamespaces: 'flatroute.io/sharing-namespaces',
} as const;

export const familyName: Readonly<Record<Family, string>> = { ipv4: 'IPv4', ipv6: 'IPv6' };

const reason = <const R extends string>(word: R, text: string): { readonly reason: R; readonly text: string } => ({
  reason: word,
  text,
});

export function explain(refusal: Refusal) {
  switch (refusal.kind) {
    case 'notAnAddress':
      return reason(
        'NotAnAddress',
        `${shown(refusal.text)} is not an address; write one such as 10.60.1.7 or fd60::7 in ${annotation.addresses}, two with a comma between them.`,
      );
    case 'tooManyAddresses':
      return reason(
        'TooManyAddresses',
        `${refusal.count} addresses are asked for; a Service has one of each family. Keep one IPv4 and one IPv6 address in ${annotation.addresses}.`,
      );
    case 'twoOfOneFamily':
      return reason(
        'TwoOfOneFamily',
        `${refusal.addresses.join(' and ')} are of one family; a Service has one of each. Keep one of them in ${annotation.addresses}, or make a second Service.`,
      );
    case 'otherFamily':
      return reason(
        'OtherFamily',
        `${refusal.address} is asked for, and the Service is ${refusal.families.map((it) => familyName[it]).join(' and ')} only. Ask for an address of that family, or set spec.ipFamilyPolicy to RequireDualStack and spec.ipFamilies to both.`,
      );
    case 'twoWishes':
      return reason(
        'TwoWishes',
        `spec.loadBalancerIP says ${shown(refusal.loadBalancerIP)}, and ${annotation.addresses} something else. Keep the annotation, and remove spec.loadBalancerIP.`,
      );
    case 'outsidePools':
      return reason(
        'OutsidePools',
        refusal.shown
          ? `${refusal.address} in its status lies in no IPPool, so it stays there and nobody claims it. Make a pool with allowedUses: [LoadBalancer] around it, or remove it from the status to have another one.`
          : `${refusal.address} lies in no IPPool. Ask for an address of a pool with allowedUses: [LoadBalancer], or make one around it.`,
      );
    case 'outsideNamedPools':
      return reason(
        'OutsideNamedPools',
        `${refusal.address} does not lie in ${firstFew(refusal.pools)}, which ${annotation.pool} names. Remove one of the two annotations, or make them agree.`,
      );
    case 'reserved':
      return reason(
        'AddressReserved',
        `${refusal.address} lies in ${refusal.prefix} of an IPReservation. Ask for another address, or take it out of the reservation.`,
      );
    case 'elsewhere':
      return reason(
        'AddressElsewhere',
        `Service ${refusal.owner} has ${refusal.address}, and not from flatroute. Ask for another address, or take it away there first.`,
      );
    case 'unknownPool': {
      const near = nearest(refusal.pool, refusal.known);
      const known = refusal.known.length === 0 ? 'there is none for Services' : `there are ${firstFew(refusal.known)}`;
      return reason(
        'PoolUnknown',
        `There is no IPPool ${shown(refusal.pool)}: ${near === undefined ? known : `write ${near}`}. Correct ${annotation.pool}, or make the pool with allowedUses: [LoadBalancer].`,
      );
    }
    case 'poolForPods':
      return reason(
        'PoolForPods',
        `${refusal.address === undefined ? '' : `${refusal.address} lies in IPPool ${refusal.pool}. `}${refusal.pool} is for pods, not for Services. Use a pool with allowedUses: [LoadBalancer].`,
      );
    case 'disabledPool':
      return reason(
        'PoolGivesNone',
        `IPPool ${refusal.pool} is disabled and gives no new addresses. Set its spec.disabled to false, or use another pool.`,
      );
    case 'closedPool':
      return reason(
        'PoolGivesNone',
        refusal.why === 'terminating'
          ? `IPPool ${refusal.pool} is being deleted and gives no new addresses. Use another pool.`
          : `IPPool ${refusal.pool} overlaps an elder pool and gives no addresses. Give it a range of its own, or use another pool.`,
      );
    case 'otherNamespace':
      return reason(
        'PoolOfOtherNamespaces',
        `IPPool ${refusal.pool} is for namespaces with ${refusal.selector}, and ${refusal.namespace} is none of them. Use another pool, or change the labels of the namespace or the namespaceSelector.`,
      );
    case 'unknownNamespace':
      return reason(
        'NamespaceUnknown',
        `The labels of namespace ${refusal.namespace} are not known yet, and ${firstFew(refusal.pools)} select namespaces by them. If this stays, look whether flatroute-controller may read Namespaces.`,
      );
    case 'noPool':
      return reason('NoPool', noPool(refusal.family, refusal.named));
    case 'exhausted':
      return reason(
        'PoolsFull',
        `${firstFew(refusal.pools)}: no ${familyName[refusal.family]} address is free. Add an IPPool with allowedUses: [LoadBalancer], or delete Services that are not needed: \`kubectl get serviceaddresses\` shows who has which.`,
      );
    case 'sharing':
      return sharing(refusal.holder, refusal.problem);
    default:
      return assertNever(refusal, 'refusal');
  }
}

export type RefusalReason = ReturnType<typeof explain>['reason'];

export function noPool(family: Family, named: readonly string[]): string {
  return named.length > 0
    ? `${firstFew(named)} in ${annotation.pool}: none has ${familyName[family]} addresses. Name one of that family too.`
    : `No IPPool gives ${familyName[family]} addresses to this Service. Make one with allowedUses: [LoadBalancer] that is Automatic and not disabled, and whose namespaceSelector, if it has one, selects the namespace.`;
}

function sharing({ address, services }: Holder, problem: SharingProblem) {
  const who = `Service${services.length === 1 ? '' : 's'} ${firstFew(services)}`;
  switch (problem.kind) {
    case 'taken':
      return reason(
        'AddressTaken',
        `${who} ${has(services)} ${address}. Ask for another address; to share it, set the same ${annotation.sharingKey} on all of them.`,
      );
    case 'otherKey':
      return reason(
        'SharingKeyDiffers',
        `${who} ${has(services)} ${address} with another ${annotation.sharingKey}, or none. Set the same key on all of them, or ask for another address.`,
      );
    case 'otherNamespace':
      return reason(
        'SharingNotAgreed',
        `${who} ${has(services)} ${address} in another namespace. To share it, name the other namespace in ${annotation.sharingNamespaces} on both sides, or ask for another address.`,
      );
    case 'samePort':
      return reason(
        'SharingSamePort',
        `${who} ${has(services)} ${address} and had ${problem.port} there first. Use other ports, or ask for another address.`,
      );
    case 'otherPolicy':
      return reason(
        'SharingPolicyDiffers',
        `${who} ${has(services)} ${address} with externalTrafficPolicy ${problem.policy}; nodes announce an address for all its Services in one way. Set the same policy, or ask for another address.`,
      );
    case 'otherPods':
      return reason(
        'SharingPodsDiffer',
        `${who} ${has(services)} ${address} with externalTrafficPolicy Local and other pods, so a node may have pods of one and none of the other. Use the same selector, set the policy to Cluster on all, or ask for another address.`,
      );
    case 'tooMany':
      return reason(
        'SharingTooMany',
        `${address} has as many Services as an address can have. Ask for another address.`,
      );
    default:
      return assertNever(problem, 'problem of sharing');
  }
}

const has = (services: readonly string[]): string => (services.length === 1 ? 'has' : 'have');

/** Foreign text in a sentence. */
const shown = (text: string): string => {
  const quoted = JSON.stringify(text);
  return quoted.length > 60 ? `${quoted.slice(0, 57)}…` : quoted;
};
