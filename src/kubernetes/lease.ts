/**
 * Leader election by a Lease (coordination.k8s.io/v1), with the times and the meaning of client-go's: others may take a lease over
 * that they have not seen renewed for `leaseDuration`, by their own clock; its holder counts as leading only for
 * `renewDeadline` from the start of its last good renewal, so that one that was stopped (SIGSTOP, a paused machine) finds
 * itself without the lease before it does anything. `leads()` looks at the clock each time and needs no timer to have run.
 *
 * What goes on under a lease must still carry preconditions: between a look at the clock and the arrival of a write any
 * time may pass.
 */
import {
  after,
  between,
  type Clock,
  type Duration,
  type Instant,
  milliseconds,
  seconds,
  toSeconds,
} from '#lib/time.ts';
import { type ApiObject, ApiError, type ResourceStore, type ResourceType } from './store.ts';

export const leaseType: ResourceType = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  kind: 'Lease',
  namespaced: true,
};

export interface LeaseTimes {
  /** How long others wait for a renewal before they take over. */
  readonly leaseDuration: Duration;
  /** How long the holder goes on without a renewal. */
  readonly renewDeadline: Duration;
  /** Between two tries, and a fifth more at random. */
  readonly retryPeriod: Duration;
}

/** In the proportions of client-go; whole seconds, because the Lease says it so. */
export const leaseTimes = (leaseDuration: Duration): LeaseTimes => ({
  leaseDuration,
  renewDeadline: milliseconds(Math.floor((leaseDuration * 2) / 3)),
  retryPeriod: milliseconds(Math.floor((leaseDuration * 2) / 15)),
});

/** client-go's, as kube-controller-manager and kube-scheduler use them. */
export const usualLeaseTimes: LeaseTimes = leaseTimes(seconds(15));

export interface LeaseOptions {
  readonly namespace: string;
  readonly name: string;
  /** Another for each process. */
  readonly identity: string;
  readonly times?: LeaseTimes;
}

export interface LeaseModules {
  readonly store: ResourceStore;
  readonly clock: Clock;
  /** Wall clock, for the times that people read in the Lease. */
  readonly now: () => Date;
  /** 0 to 1. */
  readonly random: () => number;
  /** The lease is ours from now on. */
  readonly acquired: () => void;
  /** It is ours no longer; nothing may be written any more. */
  readonly lost: (why: string) => void;
  /** Who holds it, when that changes. */
  readonly holder?: (identity: string) => void;
  /** A try that got its answer, whoever holds it. */
  readonly answered?: () => void;
  /** A try that failed, while there may be others. */
  readonly failed?: (error: ApiError) => void;
}

export interface Leadership {
  readonly leads: () => boolean;
  /** Gives the lease up, if it is ours, so that another takes it at once. No call comes after it resolved. */
  stop(): Promise<void>;
}

interface LeaseSpec {
  readonly holderIdentity?: string;
  readonly leaseDurationSeconds?: number;
  readonly acquireTime?: string;
  readonly renewTime?: string;
  readonly leaseTransitions?: number;
}

/** Foreign data, looked at field by field. */
function specOf({ spec }: ApiObject): LeaseSpec {
  const fields = new Map(typeof spec === 'object' && spec !== null ? Object.entries(spec) : []);
  const text = (name: string): string | undefined => {
    const value: unknown = fields.get(name);
    return typeof value === 'string' ? value : undefined;
  };
  const number = (name: string): number | undefined => {
    const value: unknown = fields.get(name);
    return typeof value === 'number' ? value : undefined;
  };
  return Object.fromEntries(
    Object.entries({
      holderIdentity: text('holderIdentity'),
      leaseDurationSeconds: number('leaseDurationSeconds'),
      acquireTime: text('acquireTime'),
      renewTime: text('renewTime'),
      leaseTransitions: number('leaseTransitions'),
    }).filter(([, value]) => value !== undefined),
  );
}

/** MicroTime of the API: six decimals. */
const microTime = (date: Date): string => date.toISOString().replace('Z', '000Z');

/** Contends until it is stopped; a lease that is lost is contended for again. */
export function contend(options: LeaseOptions, modules: LeaseModules): Leadership {
  const { namespace, name, identity, times = usualLeaseTimes } = options;
  const { store, clock } = modules;
  /** What the server holds, as far as we know, and since when by our clock. */
  let seen: { readonly lease: ApiObject; readonly at: Instant } | undefined;
  let until: Instant | undefined;
  let cancelDeadline = (): void => undefined;
  let wake: (() => void) | undefined;
  let stopping = false;
  let lastHolder: string | undefined;

  const leads = (): boolean => until !== undefined && clock.now() < until;

  function lose(why: string): void {
    if (until === undefined) return;
    until = undefined;
    cancelDeadline();
    modules.lost(why);
  }

  function learn(lease: ApiObject, at: Instant): void {
    const known = seen?.lease.metadata;
    if (known?.resourceVersion !== lease.metadata.resourceVersion || known?.uid !== lease.metadata.uid)
      seen = { lease, at };
    const holder = specOf(lease).holderIdentity ?? '';
    if (holder === lastHolder) return;
    lastHolder = holder;
    modules.holder?.(holder);
  }

  /** `began`: before the request that won it was sent; from then on others count. */
  function won(lease: ApiObject, began: Instant): void {
    learn(lease, clock.now());
    const end = after(began, times.renewDeadline);
    // The answer came too late to act on.
    if (clock.now() >= end) return;
    const anew = until === undefined;
    until = end;
    cancelDeadline();
    cancelDeadline = clock.at(end, () => lose(`not renewed for ${toSeconds(times.renewDeadline)} s`));
    if (anew) modules.acquired();
  }

  async function attempt(): Promise<void> {
    const began = clock.now();
    if (until !== undefined && !leads()) lose(`not renewed for ${toSeconds(times.renewDeadline)} s`);
    // The holder knows what it wrote; anybody else asks.
    const current = leads() ? seen?.lease : await store.get(leaseType, name, namespace);
    const renewTime = microTime(modules.now());
    const ours = { holderIdentity: identity, leaseDurationSeconds: toSeconds(times.leaseDuration), renewTime };
    if (current === undefined) {
      const spec = { ...ours, acquireTime: renewTime, leaseTransitions: 0 };
      won(await store.create(leaseType, { ...head(), spec }), began);
      return;
    }
    learn(current, clock.now());
    const spec = specOf(current);
    const mine = spec.holderIdentity === identity;
    const free = (spec.holderIdentity ?? '') === '';
    if (!mine && until !== undefined) lose(`${spec.holderIdentity ?? 'nobody'} holds it`);
    if (!mine && !free) {
      const quiet = between(seen?.at ?? clock.now(), clock.now());
      if (quiet < (spec.leaseDurationSeconds ?? toSeconds(times.leaseDuration)) * 1000) return;
    }
    const change = mine
      ? { acquireTime: spec.acquireTime ?? renewTime, leaseTransitions: spec.leaseTransitions ?? 0 }
      : { acquireTime: renewTime, leaseTransitions: (spec.leaseTransitions ?? 0) + 1 };
    won(await store.replace(leaseType, { ...head(), ...current, spec: { ...ours, ...change } }), began);
  }

  const head = (): ApiObject => ({
    apiVersion: `${leaseType.group}/${leaseType.version}`,
    kind: leaseType.kind,
    metadata: { name, namespace },
  });

  async function loop(): Promise<void> {
    while (!stopping) {
      try {
        await attempt();
        modules.answered?.();
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        // What is there now must be read: our write may have happened, or somebody else's.
        if (leads()) await look();
        modules.failed?.(error);
      }
      if (!stopping) await rest();
    }
  }

  /** After a renewal that failed: is the lease still ours? An API that does not answer is no proof of anything. */
  async function look(): Promise<void> {
    const current = await store.get(leaseType, name, namespace).catch(() => undefined);
    if (current === undefined) return;
    learn(current, clock.now());
    const holder = specOf(current).holderIdentity;
    if (holder !== identity) lose(`${holder ?? 'nobody'} holds it`);
  }

  const rest = (): Promise<void> =>
    new Promise((resolve) => {
      const pause = (times.retryPeriod * (1 + 0.2 * modules.random())) as Duration;
      const cancel = clock.at(after(clock.now(), pause), resolve);
      wake = () => {
        cancel();
        resolve();
      };
    });

  const running = loop();
  return {
    leads,
    async stop() {
      stopping = true;
      wake?.();
      await running;
      const lease = seen?.lease;
      if (!leads() || lease === undefined) {
        lose('stopped');
        return;
      }
      // Whoever acts under it is done before another may.
      lose('given up');
      const spec = { ...specOf(lease), holderIdentity: '', leaseDurationSeconds: 1 };
      await store.replace(leaseType, { ...head(), ...lease, spec }).catch((error: unknown) => {
        if (!(error instanceof ApiError)) throw error;
        modules.failed?.(error);
      });
    },
  };
}

/** The same store, whose writes are refused (API_NOT_LEADING) from the moment on at which `leads` says no. */
export function fenced(store: ResourceStore, leads: () => boolean): ResourceStore {
  const guard = <T>(what: string, write: () => Promise<T>): Promise<T> =>
    leads()
      ? write()
      : Promise.reject(new ApiError('API_NOT_LEADING', `${what} was not written: this process leads no longer`));
  return {
    get: (type, name, namespace) => store.get(type, name, namespace),
    list: (type, selection) => store.list(type, selection),
    count: (type) => store.count(type),
    watch: (type, options) => store.watch(type, options),
    create: (type, object) =>
      guard(`${type.kind} ${object.metadata.name}`, async () => await store.create(type, object)),
    replace: (type, object, subresource) =>
      guard(`${type.kind} ${object.metadata.name}`, async () => await store.replace(type, object, subresource)),
    patch: (type, name, mergePatch, options) =>
      guard(`${type.kind} ${name}`, async () => await store.patch(type, name, mergePatch, options)),
    remove: (type, name, preconditions) =>
      guard(`${type.kind} ${name}`, async () => await store.remove(type, name, preconditions)),
  };
}
