/**
 * Addresses for Services of type LoadBalancer. What is to be is decided in ipam/services; here it is written, in an order that keeps an
 * address from having two Services whatever else writes at the same time, such as an earlier leader whose last write is late:
 *
 * 1. A claim is an object that is created, or changed under its resourceVersion, so that one of several writers has it.
 * 2. A status shows an address only after its claim was seen on the API server, and is written under the Service's resourceVersion.
 * 3. A claim of a Service that lives is given back after a write of that Service's status without the address: a write that was
 *    decided on before it fails. Of a Service that is gone it is given back after the API server has said that it is gone.
 */
import type { ServicePool } from '#ipam/services/intent.ts';
import { planServices } from '#ipam/services/plan.ts';
import { namespaceLimit } from '#intent/namespaces.ts';
import { overlappedPools } from '#intent/pools.ts';
import { type ApiObject, keyOf } from '#kubernetes/store.ts';
import type { IpAddress } from '#lib/ip.ts';
import { type Namespace, namespace } from '#resources/core.ts';
import { ipPool, type IPPool } from '#resources/ip-pool.ts';
import { ipReservation, type IPReservation } from '#resources/ip-reservation.ts';
import type { AnyResource } from '#resources/resource-set.ts';
import { readObject } from '#sources/kubernetes/read-object.ts';
import { serviceType } from '#sources/kubernetes/services.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import { WithOwnWrites } from './own-writes.ts';
import type { Part } from './part.ts';
import { addressType, seeClaim, type SeenClaim } from './service-claims.ts';
import { type SeenService, seeService } from './service-object.ts';
import { serviceTasks } from './service-tasks.ts';

/** Services in one round: what else the leader has to write waits no longer than for these. */
const AT_ONCE = 32;

/** What is wrong with one that cannot be read its own status says. */
const resourceOf = (object: ApiObject): AnyResource | undefined => readObject(object).resource;

export const servicePart =
  ({ ownsDefault }: { readonly ownsDefault: boolean }): Part =>
  (modules) => {
    const { watch } = modules;
    let pools: readonly IPPool[] = [];
    let reservations: readonly IPReservation[] = [];
    let namespaces: readonly Namespace[] = [];
    const claims = new WithOwnWrites<SeenClaim>();
    const services = new WithOwnWrites<SeenService>();
    const tasksOf = serviceTasks(modules, { claims, services, ownsDefault });
    /** Nothing is to be done, and nothing has changed since. */
    let settled = false;
    let turn = 0;
    const learning =
      <T>(learn: (all: ReadonlyMap<string, T>) => void) =>
      (all: ReadonlyMap<string, T | undefined>): void => {
        learn(readable(all));
        settled = false;
      };
    watch(
      typeOf(ipPool),
      resourceOf,
      learning((all) => (pools = [...all.values()] as IPPool[])),
    );
    watch(
      typeOf(ipReservation),
      resourceOf,
      learning((all) => (reservations = [...all.values()] as IPReservation[])),
    );
    watch(
      typeOf(namespace),
      resourceOf,
      learning((all) => (namespaces = [...all.values()] as Namespace[])),
    );
    watch(
      addressType,
      seeClaim,
      learning((all) => claims.learn(all)),
    );
    watch(
      serviceType,
      (object) => seeService(object, ownsDefault),
      learning((all) => services.learn(all)),
    );
    return (now) => {
      if (settled) return [];
      const seen = [...services.all().values()];
      const plans = planServices({
        pools: servicePools(pools, namespaces),
        knownNamespaces: new Set(namespaces.map((it) => it.metadata.name)),
        reserved: reservations.flatMap((it) => it.spec.reservedCIDRs),
        claims: [...claims.all().values()],
        services: seen.flatMap(({ wants }) => wants ?? []),
        elsewhere: elsewhere(seen),
      });
      const tasks = tasksOf(plans, now);
      settled = tasks.length === 0;
      if (tasks.length <= AT_ONCE) return tasks;
      // One after the other has its turn, though the first ones fail again and again.
      modules.changed();
      const first = turn % tasks.length;
      turn = first + AT_ONCE;
      return [...tasks.slice(first), ...tasks.slice(0, first)].slice(0, AT_ONCE);
    };
  };

const readable = <T>(all: ReadonlyMap<string, T | undefined>): ReadonlyMap<string, T> =>
  new Map([...all].flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const])));

function servicePools(pools: readonly IPPool[], namespaces: readonly Namespace[]): readonly ServicePool[] {
  const overlapping = overlappedPools(pools);
  return pools.map(
    (pool): ServicePool => ({
      name: pool.metadata.name,
      cidr: pool.spec.cidr,
      forServices: pool.spec.allowedUses.includes('LoadBalancer'),
      manual: pool.spec.assignmentMode === 'Manual',
      disabled: pool.spec.disabled,
      closed:
        pool.metadata.deletionTimestamp !== undefined
          ? 'terminating'
          : overlapping.has(pool)
            ? 'overlapping'
            : undefined,
      namespaces: namespaceLimit(pool, namespaces),
    }),
  );
}

/** Addresses that a Service has from somebody else. */
function elsewhere(seen: readonly SeenService[]): ReadonlyMap<IpAddress, string> {
  const found = new Map<IpAddress, string>();
  for (const { object, wants, addresses } of seen)
    for (const address of addresses)
      if (wants?.shown.includes(address) !== true) found.set(address, keyOf(object.metadata));
  return found;
}
