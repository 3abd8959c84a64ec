/** What is to be written for the addresses of Services, one task for a Service; service-part.ts says why in this order. */
import type { ServicePlan } from '#ipam/services/intent.ts';
import { type ApiObject, keyOf } from '#kubernetes/store.ts';
import type { IpAddress } from '#lib/ip.ts';
import { serviceAddressName } from '#resources/service-address.ts';
import { serviceType } from '#sources/kubernetes/services.ts';
import type { WithOwnWrites } from './own-writes.ts';
import type { PartModules } from './part.ts';
import { type SeenClaim, serviceClaims } from './service-claims.ts';
import { type SeenService, seeService } from './service-object.ts';
import { farewell, givesBack, type StatusPatch, statusPatch } from './service-status.ts';
import type { Task } from './tasks.ts';

export function serviceTasks(
  { store, log, wrote, tell }: PartModules,
  state: {
    readonly claims: WithOwnWrites<SeenClaim>;
    readonly services: WithOwnWrites<SeenService>;
    readonly ownsDefault: boolean;
  },
): (plans: readonly ServicePlan[], now: string) => readonly Task[] {
  /** By UID what its status was last told: whoever keeps changing it back is not raced with. */
  const lastTold = new Map<string, string>();
  let sharesWith: ReadonlyMap<string, readonly string[]> = new Map();
  const claims = serviceClaims(store, {
    asking: (name) => state.claims.asking(name),
    agrees: (uid, namespace) => {
      const named = sharesWith.get(uid) ?? [];
      return named.includes('*') || named.includes(namespace);
    },
  });

  async function writeStatus(seen: SeenService, { status, verdict }: StatusPatch): Promise<SeenService> {
    const { name, namespace = '', uid = '', resourceVersion } = seen.object.metadata;
    const learned = state.services.asking(keyOf(seen.object.metadata));
    const written = await store.patch(
      serviceType,
      name,
      { metadata: { uid, resourceVersion }, status },
      { namespace, subresource: 'status' },
    );
    wrote('done');
    const after = seeService(written, state.ownsDefault);
    learned(after);
    // That a Service has what it wants its status says; an Event is for what went wrong, and that it is over.
    if (verdict !== undefined && (verdict.status === 'False' || seen.told))
      tell({
        regarding: { apiVersion: 'v1', kind: 'Service', name, namespace, uid },
        type: verdict.status === 'False' ? 'Warning' : 'Normal',
        reason: verdict.reason,
        action: 'AssignAddress',
        text: verdict.message,
      });
    return after ?? seen;
  }

  async function give(seen: SeenService, plan: ServicePlan, now: string): Promise<void> {
    const { service, assigned, shows, extra } = plan;
    for (const one of assigned) {
      const { address, pool, claim } = one;
      if (claim !== 'held') {
        await claims.secure(service, one);
        wrote('done');
        log('info', 'controller.address-claimed', { address, pool, service: keyOf(seen.object.metadata) });
      } else if (shows.includes(address) && !service.shown.includes(address)) {
        // The watch showed it; it may be gone since.
        if (!(await claims.holds(service.uid, address))) return;
      }
    }
    const patch = statusPatch(seen, plan, now) ?? (extra.length > 0 ? givesBack(seen, plan, now) : undefined);
    if (patch !== undefined) await writeStatus(seen, patch);
    await giveBack(service.uid, extra, keyOf(seen.object.metadata));
  }

  async function giveBack(uid: string, addresses: readonly IpAddress[], service: string): Promise<void> {
    for (const address of addresses) {
      await claims.giveBack(uid, address);
      wrote('done');
      log('info', 'controller.address-returned', { address, service });
    }
  }

  /** A Service that has claims and is not ours, as far as the watch knows. */
  async function leave({ namespace, name, uid }: Leftover, addresses: readonly IpAddress[]): Promise<void> {
    const object = await store.get(serviceType, name, namespace);
    const seen = object?.metadata.uid === uid ? lookAt(object) : undefined;
    // The watch is behind.
    if (seen?.wants !== undefined) return;
    const patch = seen === undefined ? undefined : farewell(seen, addresses);
    if (seen !== undefined && patch !== undefined) await writeStatus(seen, patch);
    await giveBack(uid, addresses, `${namespace}/${name}`);
  }

  const lookAt = (object: ApiObject): SeenService | undefined => seeService(object, state.ownsDefault);

  function ours(plans: readonly ServicePlan[], now: string): readonly Task[] {
    const seen = new Map([...state.services.all().values()].map((it) => [it.uid, it]));
    for (const uid of lastTold.keys()) if (!seen.has(uid)) lastTold.delete(uid);
    return plans.flatMap((plan): readonly Task[] => {
      const { service, assigned, extra } = plan;
      const { uid } = service;
      const it = seen.get(uid);
      if (it === undefined) return [];
      const patch = statusPatch(it, plan, now);
      const isDone = patch === undefined && extra.length === 0 && assigned.every(({ claim }) => claim === 'held');
      if (isDone) return [];
      const telling = JSON.stringify(patch?.status ?? '');
      const run = async (): Promise<void> => {
        await give(it, plan, now);
        if (patch !== undefined) lastTold.set(uid, telling);
      };
      const seldom = patch !== undefined && lastTold.get(uid) === telling;
      return [{ key: `Service/${keyOf(it.object.metadata)} addresses`, seldom, run }];
    });
  }

  function leftovers(plans: readonly ServicePlan[]): readonly Task[] {
    const living = new Set(plans.map(({ service }) => service.uid));
    const found = new Map<string, { readonly whose: Leftover; readonly addresses: IpAddress[] }>();
    for (const { address, services } of state.claims.all().values())
      for (const whose of services) {
        if (living.has(whose.uid)) continue;
        const one = found.get(whose.uid) ?? { whose, addresses: [] };
        found.set(whose.uid, one);
        one.addresses.push(address);
      }
    for (const { uid, wants, told, object } of state.services.all().values()) {
      const { name, namespace = '' } = object.metadata;
      if (wants === undefined && told && !found.has(uid))
        found.set(uid, { whose: { namespace, name, uid }, addresses: [] });
    }
    return [...found.values()].map(({ whose, addresses }) => ({
      key: `Service/${whose.namespace}/${whose.name} ${addresses.map(serviceAddressName).join(' ')}`,
      seldom: false,
      run: async () => await leave(whose, addresses),
    }));
  }

  return (plans, now) => {
    sharesWith = new Map(plans.map(({ service }) => [service.uid, service.sharesWith]));
    return [...ours(plans, now), ...leftovers(plans)];
  };
}

interface Leftover {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}
