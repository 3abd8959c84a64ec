/**
 * PURE: which addresses Services have. In: pools, claims, and the Services with their wishes and what stands in their status. Out:
 * for each Service what it has and is to claim, what its status shows, what it gives back, and which wish is not fulfilled.
 *
 * First what stands in a status is claimed for whom it belongs to; only then is something new given. What a Service has it
 * keeps: a wish that cannot be fulfilled, a pool that is closed or a reservation takes nothing away. The one exception is a
 * port that another Service on the address had first.
 */
import { addressToBigInt, type Family, familyOf, type IpAddress } from '#lib/ip.ts';
import { fail, ok, type Result } from '#lib/result.ts';
import { choosePools, whyNotPool } from '../choice.ts';
import { ServiceGround } from './ground.ts';
import type {
  AddressClaim,
  Assigned,
  Holder,
  Refusal,
  ServicePlan,
  ServicePool,
  ServicesInput,
  WantingService,
} from './intent.ts';
import { isWrittenDown, samePort, whyNotShared, withService } from './sharing.ts';
import { wishesOf } from './wishes.ts';

export function planServices(input: ServicesInput): readonly ServicePlan[] {
  const planning = new Planning(input);
  const inOrder = [...input.services].sort(byAge);
  for (const service of inOrder) planning.adopt(service);
  return inOrder.map((service) => planning.plan(service));
}

const seniority = ({ created, namespace, name }: WantingService): string => [created, namespace, name].join(' ');

/** Whoever was there first. */
const byAge = (a: WantingService, b: WantingService): number => (seniority(a) < seniority(b) ? -1 : 1);

type Found = Omit<Assigned, 'claim'>;

/** What is to be done for one family. */
interface Step {
  readonly family: Family;
  /** What it has, if it may keep it. */
  readonly kept: IpAddress | undefined;
  readonly found: Found | undefined;
  readonly refusal: Refusal | undefined;
}

class Planning {
  readonly #input: ServicesInput;
  readonly #ground: ServiceGround;
  readonly #byUid: ReadonlyMap<string, WantingService>;
  /** Addresses that a Service has by a claim, or will have. */
  readonly #held = new Map<string, IpAddress[]>();
  /** Those that it has by what is written here, and not yet by the claim. */
  readonly #adopted = new Map<string, 'create' | 'join'>();
  /** Addresses in its status that cannot be claimed. */
  readonly #strays = new Map<string, IpAddress[]>();

  constructor(input: ServicesInput) {
    this.#input = input;
    this.#ground = new ServiceGround(input);
    this.#byUid = new Map(input.services.map((service) => [service.uid, service]));
    for (const { address, services } of input.claims) for (const { uid } of services) this.#hold(uid, address);
  }

  adopt(service: WantingService): void {
    const { uid } = service;
    for (const address of service.shown) {
      const claim = this.#ground.claim(address);
      if (claim?.services.some((it) => it.uid === uid) === true) continue;
      const family = familyOf(address);
      const wanted = service.families.includes(family) && this.#heldOf(uid, family).length === 0;
      if (!wanted) continue;
      const pool = this.#ground.poolOf(address);
      if (claim === undefined && pool?.forServices !== true) {
        this.#strays.set(uid, [...(this.#strays.get(uid) ?? []), address]);
        continue;
      }
      if (claim !== undefined && whyNotShared(service, claim, this.#agrees) !== undefined) continue;
      this.#take(service, { address, pool: claim?.pool ?? pool?.name ?? '' });
      this.#hold(uid, address);
      this.#adopted.set(`${uid} ${address}`, claim === undefined ? 'create' : 'join');
    }
  }

  plan(service: WantingService): ServicePlan {
    const { uid, shown, allFamilies } = service;
    const steps = service.families.map((family) => this.#step(service, family));
    const complete = steps.every(({ kept, found }) => found !== undefined || kept !== undefined);
    const assigned = steps.flatMap(({ kept, found }): Assigned[] => {
      if (found !== undefined && (complete || !allFamilies)) {
        const claim = this.#ground.claim(found.address) === undefined ? 'create' : 'join';
        this.#take(service, found);
        return [{ ...found, claim }];
      }
      return kept === undefined ? [] : [this.#keep(service, kept)];
    });
    const addresses = assigned.map(({ address }) => address);
    const families = new Set(addresses.map(familyOf));
    const strays = (this.#strays.get(uid) ?? []).filter((address) => !families.has(familyOf(address)));
    const shows = [...addresses.filter((it) => complete || !allFamilies || shown.includes(it)), ...strays];
    const refusals = steps.flatMap(({ refusal }) => refusal ?? []);
    const without = assigned.length > 0 && !allFamilies ? refusals.find(isMissingFamily) : undefined;
    return {
      service,
      assigned,
      shows: shows.sort((a, b) => order(service, a) - order(service, b)),
      extra: (this.#held.get(uid) ?? []).filter((address) => !addresses.includes(address)),
      refusal: refusals.find((refusal) => refusal !== without),
      without: without?.family,
    };
  }

  #step(service: WantingService, family: Family): Step {
    const held = this.#heldOf(service.uid, family);
    const best = held.find((it) => service.shown.includes(it)) ?? held[0];
    const has = best === undefined ? undefined : this.#ground.claim(best);
    const clash = has === undefined ? undefined : samePort(service, has);
    const kept = clash === undefined ? best : undefined;
    const base = { family, kept, found: undefined, refusal: undefined };
    if (service.leaving) return { ...base, kept: best };
    const wishes = wishesOf(service);
    if (!wishes.ok) return { ...base, refusal: wishes.error };
    const target = wishes.value.get(family);
    if (target !== undefined) {
      if (held.includes(target)) return this.#asWished(service, { ...base, kept: target });
      const found = this.#requested(service, target);
      return found.ok ? { ...base, found: found.value } : { ...base, refusal: found.error };
    }
    if (has !== undefined && kept !== undefined) {
      const named = service.pools === undefined || service.pools.includes(has.pool);
      const problem = whyNotShared(service, has, this.#agrees);
      if (named && problem?.kind !== 'otherKey' && problem?.kind !== 'taken') return this.#asWished(service, base);
    }
    const stray = this.#strays.get(service.uid)?.find((it) => familyOf(it) === family);
    if (best === undefined && stray !== undefined && service.pools === undefined)
      return { ...base, refusal: this.#whyStray(stray) };
    const found = this.#choose(service, family);
    return found.ok ? { ...base, found: found.value } : { ...base, refusal: found.error };
  }

  /** It has what it wants, but perhaps not with whom it has it. */
  #asWished(service: WantingService, step: Step): Step {
    const claim = step.kept === undefined ? undefined : this.#ground.claim(step.kept);
    const problem = claim === undefined ? undefined : whyNotShared(service, claim, this.#agrees);
    if (claim === undefined || problem === undefined || problem.kind === 'tooMany') return step;
    const refusal: Refusal = { kind: 'sharing', holder: holderOf(claim, service), problem };
    return problem.kind === 'samePort' ? { ...step, kept: undefined, refusal } : { ...step, refusal };
  }

  #requested(service: WantingService, address: IpAddress): Result<Found, Refusal> {
    const pool = this.#ground.poolOf(address);
    if (pool === undefined) return fail({ kind: 'outsidePools', address, shown: false });
    const { name } = pool;
    if (!pool.forServices) return fail({ kind: 'poolForPods', pool: name, address });
    if (service.pools?.includes(name) === false)
      return fail({ kind: 'outsideNamedPools', address, pools: service.pools });
    const closed = this.#whyNot(pool, service.namespace);
    if (closed !== undefined) return fail(closed);
    const prefix = this.#ground.reservation(address);
    if (prefix !== undefined) return fail({ kind: 'reserved', address, prefix });
    const owner = this.#ground.elsewhere(address);
    if (owner !== undefined) return fail({ kind: 'elsewhere', address, owner });
    const claim = this.#ground.claim(address);
    const problem = claim === undefined ? undefined : whyNotShared(service, claim, this.#agrees);
    if (claim !== undefined && problem !== undefined)
      return fail({ kind: 'sharing', holder: holderOf(claim, service), problem });
    return ok({ address, pool: claim?.pool ?? name });
  }

  #choose(service: WantingService, family: Family): Result<Found, Refusal> {
    const groups = this.#groups(service);
    if (!groups.ok) return groups;
    const ofFamily = groups.value.map((group) => group.filter(({ cidr }) => familyOf(cidr) === family));
    const pools = ofFamily.find((group) => group.length > 0);
    if (pools === undefined) return fail({ kind: 'noPool', family, named: service.pools ?? [] });
    if (service.sharingKey !== undefined) {
      const shared = this.#ground
        .withKey(service.sharingKey)
        .find(
          (claim) =>
            familyOf(claim.address) === family &&
            pools.some(({ name }) => name === claim.pool) &&
            !claim.services.some(({ uid }) => uid === service.uid) &&
            whyNotShared(service, claim, this.#agrees) === undefined,
        );
      if (shared !== undefined) return ok({ address: shared.address, pool: shared.pool });
    }
    for (const pool of pools) {
      const address = this.#ground.free(pool);
      if (address !== undefined) return ok({ address, pool: pool.name });
    }
    return fail({ kind: 'exhausted', family, pools: pools.map(({ name }) => name) });
  }

  #groups(service: WantingService): Result<readonly (readonly ServicePool[])[], Refusal> {
    const { namespace, pools: names } = service;
    const { pools, knownNamespaces } = this.#input;
    if (names === undefined) {
      const open = pools.filter((pool) => pool.forServices && pool.closed === undefined);
      return choosePools({ pools: undefined, namespace }, open, knownNamespaces);
    }
    const named: ServicePool[] = [];
    for (const name of names) {
      const pool = pools.find((it) => it.name === name);
      if (pool === undefined) {
        const known = pools.filter(({ forServices }) => forServices).map((it) => it.name);
        return fail({ kind: 'unknownPool', pool: name, known });
      }
      if (!pool.forServices) return fail({ kind: 'poolForPods', pool: name, address: undefined });
      const closed = this.#whyNot(pool, namespace);
      if (closed !== undefined) return fail(closed);
      named.push(pool);
    }
    return ok([named]);
  }

  #whyNot(pool: ServicePool, namespace: string): Refusal | undefined {
    const { name, closed } = pool;
    if (closed !== undefined) return { kind: 'closedPool', pool: name, why: closed };
    return whyNotPool(pool, namespace, this.#input.knownNamespaces);
  }

  #whyStray(address: IpAddress): Refusal {
    const pool = this.#ground.poolOf(address);
    return pool === undefined
      ? { kind: 'outsidePools', address, shown: true }
      : { kind: 'poolForPods', pool: pool.name, address };
  }

  #keep(service: WantingService, address: IpAddress): Assigned {
    const claim = this.#ground.claim(address);
    const pool = claim?.pool ?? '';
    const adopted = this.#adopted.get(`${service.uid} ${address}`);
    if (adopted !== undefined) return { address, pool, claim: adopted };
    // What it may not share with the others is not written down, so that it is theirs as before.
    const stands = claim === undefined || isWrittenDown(service, claim);
    if (stands || whyNotShared(service, claim, this.#agrees) !== undefined) return { address, pool, claim: 'held' };
    this.#ground.put(withService(claim, service));
    return { address, pool, claim: 'amend' };
  }

  #take(service: WantingService, { address, pool }: Found): void {
    const none: AddressClaim = { address, pool, sharingKey: service.sharingKey, services: [] };
    this.#ground.put(withService(this.#ground.claim(address) ?? none, service));
  }

  #hold(uid: string, address: IpAddress): void {
    this.#held.set(uid, [...(this.#held.get(uid) ?? []), address]);
  }

  #heldOf(uid: string, family: Family): readonly IpAddress[] {
    return (this.#held.get(uid) ?? []).filter((address) => familyOf(address) === family).sort(byValue);
  }

  readonly #agrees = (uid: string, namespace: string): boolean => {
    const sharesWith = this.#byUid.get(uid)?.sharesWith ?? [];
    return sharesWith.includes('*') || sharesWith.includes(namespace);
  };
}

const byValue = (a: IpAddress, b: IpAddress): number => (addressToBigInt(a) < addressToBigInt(b) ? -1 : 1);

const order = ({ families }: WantingService, address: IpAddress): number => families.indexOf(familyOf(address));

const isMissingFamily = (refusal: Refusal): refusal is Extract<Refusal, { kind: 'noPool' }> =>
  refusal.kind === 'noPool';

const holderOf = ({ address, services }: AddressClaim, { uid }: WantingService): Holder => ({
  address,
  services: services.filter((it) => it.uid !== uid).map(({ namespace, name }) => `${namespace}/${name}`),
});
