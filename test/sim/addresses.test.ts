// Two controllers give addresses to Services, and everything that can go wrong does, in virtual time: answers are lost, writes come
// late, watches lag, a controller is stopped past its lease in the middle of a call and goes on, or is killed. At no moment do
// two Services show one address that they may not share, and none loses an address without a reason; in the end the claims are
// what is shown.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import type { LogFunction } from '#controller/part.ts';
import { ReportIndex } from '#controller/report-index.ts';
import { servicePart } from '#controller/service-part.ts';
import { addressType } from '#controller/service-claims.ts';
import { taskLoop } from '#controller/tasks.ts';
import { watches } from '#controller/watches.ts';
import { fenced } from '#kubernetes/lease.ts';
import { type ApiObject, keyOf } from '#kubernetes/store.ts';
import type { instant } from '#lib/time.ts';
import { namespace } from '#resources/core.ts';
import { ipPool } from '#resources/ip-pool.ts';
import { ipReservation } from '#resources/ip-reservation.ts';
import { serviceAddressName } from '#resources/service-address.ts';
import { serviceType } from '#sources/kubernetes/services.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import type { IpAddress } from '#lib/ip.ts';
import type { FakeType } from '../support/kubernetes/fake-objects.ts';
import { type Random, seededRandom } from '../support/random.ts';
import { serviceObject, type ServiceForm } from '../support/service-wishes.ts';
import { type Caller, SimApi } from './claims-world.ts';
import { VirtualClock } from './clock.ts';

const services: FakeType = { ...serviceType, status: true };
const claims: FakeType = { ...addressType, status: true };
const pools: FakeType = { ...typeOf(ipPool), status: true };
const others: readonly FakeType[] = [{ ...typeOf(ipReservation), status: true }, typeOf(namespace)];
const LEASE = 3000;
const RENEW = 2000;
const settle = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** A process of the controller: it leads or waits, is stopped and goes on, is killed and started. */
class Replica implements Caller {
  readonly #sim: Simulation;
  #stopped: (() => void)[] | undefined;
  #dead = false;
  #until = 0;
  #work: { stop(): Promise<void> } | undefined;
  #ending = false;

  constructor(sim: Simulation) {
    this.#sim = sim;
  }

  readonly alive = (): boolean => !this.#dead;

  readonly run = (work: () => void): void => {
    if (this.#dead) return;
    if (this.#stopped === undefined) work();
    else this.#stopped.push(work);
  };

  get runs(): boolean {
    return !this.#dead && this.#stopped === undefined;
  }

  stop(): void {
    this.#stopped ??= [];
  }

  go(): void {
    const queue = this.#stopped ?? [];
    this.#stopped = undefined;
    for (const work of queue) this.run(work);
  }

  kill(): void {
    this.#dead = true;
  }

  readonly leads = (): boolean => this.#sim.clock.now() < this.#until;

  renew(): void {
    this.#until = this.#sim.clock.now() + RENEW;
    if (this.#work === undefined && !this.#ending) this.#begin();
  }

  /** It looks at the clock and finds that it leads no longer. */
  look(): void {
    if (!this.runs || this.leads() || this.#work === undefined) return;
    const work = this.#work;
    this.#work = undefined;
    this.#ending = true;
    void work.stop().then(() => (this.#ending = false));
  }

  #begin(): void {
    const { clock: time, api } = this.#sim;
    const store = fenced(api.store(this), this.leads);
    const clock = {
      now: () => time.now(),
      at: (at: ReturnType<typeof instant>, callback: () => void) => {
        let cancelled = false;
        time.at(at, () => this.run(() => (cancelled ? undefined : callback())));
        return () => void (cancelled = true);
      },
    };
    const loop = taskLoop(() => (reading.listed() ? plan('2026-01-01T00:00:00Z') : []), {
      clock,
      watchers: () => 1,
      failed: () => undefined,
    });
    const reading = watches(store, { changed: () => loop.changed(), health: () => undefined });
    const plan = servicePart({ ownsDefault: false })({
      store,
      clock,
      log: (() => undefined) satisfies LogFunction,
      wrote: () => undefined,
      watch: reading.watch,
      reports: () => new ReportIndex(),
      changed: () => loop.changed(),
      wake: () => undefined,
      measured: () => undefined,
      tell: () => undefined,
    });
    reading.start();
    this.#work = {
      async stop() {
        await Promise.all([loop.stop(), reading.stop()]);
      },
    };
  }
}

interface Status {
  readonly loadBalancer?: { readonly ingress?: readonly { readonly ip: string }[] };
  readonly conditions?: readonly { readonly reason: string; readonly message: string }[];
}
const shownBy = (object: ApiObject | undefined): readonly string[] =>
  ((object?.['status'] ?? {}) as Status).loadBalancer?.ingress?.map(({ ip }) => ip) ?? [];
const reasonOf = (object: ApiObject | undefined): string | undefined =>
  ((object?.['status'] ?? {}) as Status).conditions?.[0]?.reason;
const saidOf = (object: ApiObject): string => ((object['status'] ?? {}) as Status).conditions?.[0]?.message ?? '';

class Simulation {
  readonly clock = new VirtualClock();
  readonly random: Random;
  readonly api: SimApi;
  readonly failures: string[] = [];
  #replicas: Replica[];
  #leader: Replica | undefined;
  #renewed = -LEASE;
  #serial = 0;
  /** Services that people changed, until they have been given what they want. */
  readonly #changed = new Set<string>();
  troubled = true;
  takeovers = 0;

  constructor(seed: number) {
    this.random = seededRandom(seed);
    this.api = new SimApi(this.clock, this.random, [services, claims, pools, ...others]);
    this.api.misfortune = 0.15;
    for (const [name, cidr] of [
      ['vips', '10.70.0.0/26'],
      ['vips6', 'fd70::/120'],
      ['more', '10.70.1.0/28'],
    ])
      this.api.objects.create(pools, {
        apiVersion: 'flatroute.io/v1alpha1',
        kind: 'IPPool',
        metadata: { name: name ?? '' },
        spec: { cidr, blockSize: name === 'vips6' ? 122 : 28, allowedUses: ['LoadBalancer'] },
      });
    this.#replicas = [new Replica(this), new Replica(this)];
    this.api.objects.onChange(({ type, before, after }) => {
      if (type === services && after !== undefined) this.#check(before, after);
    });
    this.#lease();
    this.#events();
  }

  /** Whoever runs renews; whoever waited long enough takes over. */
  #lease(): void {
    const now = this.clock.now();
    for (const replica of this.#replicas) replica.look();
    if (this.#leader?.runs === true) {
      this.#leader.renew();
      this.#renewed = now;
    } else if (now - this.#renewed >= LEASE) {
      const next = this.#replicas.find((it) => it.runs && it !== this.#leader);
      if (next !== undefined) {
        this.#leader = next;
        this.#renewed = now;
        this.takeovers += 1;
        next.renew();
      }
    }
    this.clock.after(200, () => this.#lease());
  }

  #events(): void {
    if (!this.troubled) return;
    const { random } = this;
    const fate = random.unit();
    if (fate < 0.4) this.#come();
    else if (fate < 0.6) this.#go();
    else if (fate < 0.8) this.#change();
    else if (fate < 0.93) this.#stop();
    else this.#kill();
    this.clock.after(20 + random.below(400), () => this.#events());
  }

  #form(name: string): ServiceForm {
    const { random } = this;
    const shared = random.unit() < 0.4;
    const asks = random.unit() < 0.2 ? { 'flatroute.io/addresses': `10.70.0.${1 + random.below(20)}` } : {};
    const pool = random.unit() < 0.1 ? { 'flatroute.io/pool': 'more,vips6' } : {};
    const key: Record<string, string> = shared ? { 'flatroute.io/sharing-key': `key-${random.below(2)}` } : {};
    const dual = random.unit() < 0.4 ? { ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv4', 'IPv6'] } : {};
    const type = random.unit() < 0.1 ? { type: 'ClusterIP' } : {};
    return {
      name,
      annotations: { ...asks, ...pool, ...key },
      spec: { ...dual, ...type, ports: [{ protocol: 'TCP', port: 1 + random.below(shared ? 30 : 2) }] },
    };
  }

  #all(): readonly ApiObject[] {
    return this.api.objects.all(services);
  }

  #come(): void {
    if (this.#all().length > 30) return;
    this.#serial += 1;
    this.api.objects.create(services, serviceObject(this.#form(`service-${this.#serial}`)));
  }

  #go(): void {
    const all = this.#all();
    if (all.length > 0) this.api.objects.remove(services, keyOf(this.random.pick(all).metadata));
  }

  #change(): void {
    const all = this.#all();
    if (all.length === 0) return;
    const before = this.random.pick(all);
    const { metadata, spec } = serviceObject(this.#form(before.metadata.name));
    const { annotations = {} } = metadata;
    const { resourceVersion: _, ...rest } = before.metadata;
    this.#changed.add(keyOf(before.metadata));
    this.api.objects.replace(services, { ...before, metadata: { ...rest, annotations }, spec }, undefined);
  }

  #stop(): void {
    const replica = this.random.unit() < 0.7 ? this.#leader : this.random.pick(this.#replicas);
    if (replica?.runs !== true) return;
    replica.stop();
    this.clock.after(this.random.below(2 * LEASE), () => replica.go());
  }

  #kill(): void {
    const index = this.random.below(this.#replicas.length);
    this.#replicas[index]?.kill();
    this.#replicas[index] = new Replica(this);
  }

  #check(before: ApiObject | undefined, after: ApiObject): void {
    const [had, has] = [shownBy(before), shownBy(after)];
    const name = keyOf(after.metadata);
    for (const address of has) {
      const claim = this.api.objects.get(claims, serviceAddressName(address as IpAddress));
      const holders = ((claim?.['spec'] ?? {}) as { services?: readonly { uid: string }[] }).services ?? [];
      const mine = holders.some(({ uid }) => uid === after.metadata.uid);
      if (!had.includes(address) && !mine) this.#fail(`${name} shows ${address}, which is not claimed for it`);
      for (const other of this.#all())
        if (other.metadata.uid !== after.metadata.uid && shownBy(other).includes(address)) {
          const both = mine && holders.some(({ uid }) => uid === other.metadata.uid);
          if (!both) this.#fail(`${name} and ${keyOf(other.metadata)} both show ${address}`);
        }
    }
    const lost = had.filter((address) => !has.includes(address));
    const wasContent = reasonOf(before) === 'AddressAssigned' && !this.#changed.has(name);
    if (wasContent && lost.length > 0) this.#fail(`${name} had ${lost.join()} and lost it: ${saidOf(after)}`);
    // Written under the version that people left.
    const isWrite = !isDeepStrictEqual(before?.['status'], after['status']);
    if (isWrite && reasonOf(after) === 'AddressAssigned') this.#changed.delete(name);
  }

  #fail(text: string): void {
    this.failures.push(`${this.clock.now()}: ${text}`);
  }

  calm(): void {
    this.troubled = false;
    this.api.misfortune = 0;
    for (const replica of this.#replicas) replica.go();
  }

  /** What is shown and what is claimed, as `address namespace/name`; and who has nothing and was told nothing. */
  outcome(): {
    readonly shown: readonly string[];
    readonly claimed: readonly string[];
    readonly silent: readonly string[];
  } {
    const ours = this.#all().filter(({ spec }) => (spec as { type: string }).type === 'LoadBalancer');
    return {
      shown: this.#all()
        .flatMap((it) => shownBy(it).map((address) => `${address} ${keyOf(it.metadata)}`))
        .sort(),
      claimed: this.api.objects
        .all(claims)
        .flatMap(({ spec }) => {
          const { address, services: all } = spec as {
            address: string;
            services: readonly { namespace: string; name: string }[];
          };
          return all.map((one) => `${address} ${keyOf(one)}`);
        })
        .sort(),
      silent: ours.flatMap((it) => (saidOf(it) === '' ? [keyOf(it.metadata)] : [])),
    };
  }
}

const given = process.env['FLATROUTE_SEED'];
const seeds = given === undefined ? [3, 5, 6, 8] : given.split(',').map(Number);

for (const seed of seeds)
  test(`two controllers double no address and lose none (FLATROUTE_SEED=${seed})`, async () => {
    const sim = new Simulation(seed);
    await sim.clock.runUntil(60_000, settle);
    sim.calm();
    // A write that was late by two minutes is over too.
    await sim.clock.runUntil(300_000, settle);
    assert.deepEqual(sim.failures, []);
    const { shown, claimed, silent } = sim.outcome();
    assert.deepEqual({ claimed, silent }, { claimed: shown, silent: [] });
    assert.ok(shown.length > 5 && sim.takeovers > 3, `${shown.length} addresses, ${sim.takeovers} leaders`);
  });
