/**
 * PURE: which Services may have one address. They say the same key, are of one namespace or agree on several, have no port in
 * common, and the same externalTrafficPolicy; with `Local` the same pods, because a node announces an address where those
 * pods are. What a claim has written down of its Services counts, so that of two who want the same port the first has it.
 */
import type { AddressClaim, Sharer, SharingProblem, WantingService } from './intent.ts';

/** The schema's bound of a ServiceAddress. */
const MOST_SHARERS = 128;

type Agrees = (uid: string, namespace: string) => boolean;

const portText = ({ protocol, port }: Sharer['ports'][number]): string => `${protocol} ${port}`;

/** `undefined`: it may. `agrees`: whether a Service shares with those of a namespace that is not its own. */
export function whyNotShared(service: WantingService, claim: AddressClaim, agrees: Agrees): SharingProblem | undefined {
  const others = claim.services.filter(({ uid }) => uid !== service.uid);
  if (others.length === 0) return undefined;
  if (service.sharingKey === undefined) return { kind: 'taken' };
  if (claim.sharingKey !== service.sharingKey) return { kind: 'otherKey' };
  const foreign = others.some(
    ({ uid, namespace }) =>
      namespace !== service.namespace && !(agrees(service.uid, namespace) && agrees(uid, service.namespace)),
  );
  if (foreign) return { kind: 'otherNamespace' };
  const common = samePort(service, claim);
  if (common !== undefined) return { kind: 'samePort', port: common };
  const policy = others.find((it) => it.policy !== service.policy)?.policy;
  if (policy !== undefined) return { kind: 'otherPolicy', policy };
  if (service.policy === 'Local' && others.some(({ selector }) => selector !== service.selector))
    return { kind: 'otherPods' };
  return others.length >= MOST_SHARERS ? { kind: 'tooMany' } : undefined;
}

/** A port that another Service on the address has: `TCP 443`. */
export function samePort(service: Sharer, claim: AddressClaim): string | undefined {
  const mine = new Set(service.ports.map(portText));
  return claim.services
    .filter(({ uid }) => uid !== service.uid)
    .flatMap(({ ports }) => ports.map(portText))
    .find((port) => mine.has(port));
}

const sharerText = ({ namespace, name, uid, ports, policy, selector }: Sharer): string =>
  JSON.stringify([namespace, name, uid, ports.map(portText), policy, selector ?? '']);

/** Whether the claim says of the Service what is so. */
export function isWrittenDown(service: WantingService, claim: AddressClaim): boolean {
  const entry = claim.services.find(({ uid }) => uid === service.uid);
  const key = claim.services.length > 1 ? claim.sharingKey : service.sharingKey;
  return entry !== undefined && sharerText(entry) === sharerText(service) && claim.sharingKey === key;
}

/** The claim with the Service on it, as it is now; whose key it is while it has the address alone. */
export function withService(claim: AddressClaim, service: WantingService): AddressClaim {
  const { namespace, name, uid, ports, policy, selector } = service;
  const entry: Sharer = { namespace, name, uid, ports, policy, selector };
  const there = claim.services.some((it) => it.uid === uid);
  const services = there ? claim.services.map((it) => (it.uid === uid ? entry : it)) : [...claim.services, entry];
  return { ...claim, services, sharingKey: services.length > 1 ? claim.sharingKey : service.sharingKey };
}
