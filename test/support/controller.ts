// Controllers against the fake API server, in time that the test makes.
import { afterEach, beforeEach } from 'node:test';
import { type Controller, type ControllerOptions, startController } from '#controller/controller.ts';
import { networkPolicyType } from '#controller/network-policies.ts';
import { nodeType, podType } from '#controller/readiness-node.ts';
import { eventType } from '#kubernetes/events.ts';
import { leaseType } from '#kubernetes/lease.ts';
import type { ApiObject, ResourceType } from '#kubernetes/store.ts';
import { milliseconds, toSeconds } from '#lib/time.ts';
import { bfdProfile } from '#resources/bfd-profile.ts';
import { bgpConfiguration } from '#resources/bgp-configuration.ts';
import { bgpFilter } from '#resources/bgp-filter.ts';
import { bgpNodeState } from '#resources/bgp-node-state.ts';
import { bgpPeer } from '#resources/bgp-peer.ts';
import { ipBlock } from '#resources/ip-block.ts';
import { namespace } from '#resources/core.ts';
import { ipPool } from '#resources/ip-pool.ts';
import { ipReservation } from '#resources/ip-reservation.ts';
import { serviceAddress } from '#resources/service-address.ts';
import { serviceType } from '#sources/kubernetes/services.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import { refusal } from './kubernetes/cluster-types.ts';
import { type FakeApi, type FakeRequest, type FakeType, fakeApi } from './kubernetes/fake-api.ts';
import { type ManualClock, manualClock } from './manual-clock.ts';
import { eventually } from './netns.ts';

const typed = (kind: Parameters<typeof typeOf>[0]): ResourceType => ({ ...typeOf(kind), ...{ status: true } });
export const pools = typed(ipPool);
export const blocks = typed(ipBlock);
export const peers = typed(bgpPeer);
export const states = typed(bgpNodeState);
export const configurations = typed(bgpConfiguration);
export const filters = typed(bgpFilter);
export const profiles = typed(bfdProfile);
export const reservations = typed(ipReservation);
export const addresses: FakeType = { ...typed(serviceAddress), validate: refusal(serviceAddress) };
export const services = { ...serviceType, ...{ status: true } };
export const namespaces = typeOf(namespace);
export const events = eventType;

const STEP = milliseconds(250);

export interface Replica {
  readonly controller: Controller;
  readonly clock: ManualClock;
}

export let api: FakeApi;
export let replicas: Replica[];

beforeEach(async () => {
  api = await fakeApi([
    ...[leaseType, pools, blocks, peers, states, configurations, filters, profiles, reservations],
    ...[nodeType, podType, networkPolicyType, eventType],
    ...[addresses, services, namespaces],
  ]);
  replicas = [];
});
afterEach(async () => {
  api.misfortune = undefined;
  await Promise.all(replicas.map(async ({ controller }) => await controller.stop()));
  await api.close();
});

export function replica(identity: string, options: Partial<ControllerOptions> = {}): Replica {
  const clock = manualClock();
  const controller = startController(
    { ...options, namespace: 'flatroute-system', identity },
    {
      store: api.store({ userAgent: identity }),
      clock,
      now: () => new Date(1_700_000_000_000 + clock.now()),
      random: () => 0,
      log: () => undefined,
    },
  );
  replicas.push({ controller, clock });
  return { controller, clock };
}

/** Time goes on until it is so. */
export async function until(
  what: string,
  condition: () => boolean,
  whose: readonly Replica[] = replicas,
): Promise<void> {
  await eventually(what, () => {
    if (condition()) return true;
    for (const { clock } of whose) clock.advance(STEP);
    return false;
  });
}

export async function pass(whole: number): Promise<void> {
  let steps = whole / toSeconds(STEP);
  await until('time passes', () => steps-- <= 0);
}

export const of = (type: ResourceType, name: string): ApiObject | undefined => api.objects.get(api.type(type), name);

interface StatusCondition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration?: number;
  readonly lastTransitionTime: string;
}

interface Status {
  readonly peers?: number;
  readonly pools?: number;
  readonly usedAddresses?: number;
  readonly claimedAddresses?: number;
  readonly blocks?: number;
  readonly capacity?: number;
  readonly nodes?: number;
  readonly established?: number;
  readonly conditions?: readonly StatusCondition[];
}
export const statusOf = (type: ResourceType, name: string): Status => (of(type, name)?.['status'] ?? {}) as Status;
/** Of the condition of that type; the first, if none is named. */
export const conditionOf = (type: ResourceType, name: string, which?: string): StatusCondition | undefined =>
  statusOf(type, name).conditions?.find((one) => which === undefined || one.type === which);
export const reasonOf = (type: ResourceType, name: string, which?: string): string | undefined =>
  conditionOf(type, name, which)?.reason;

/** As `KIND/NAME: TYPE REASON`, in order of name. */
export const told = (): readonly string[] =>
  api.objects
    .all(api.type(eventType))
    .map((it) => it as ApiObject & { regarding: { kind: string; name: string }; type: string; reason: string })
    .map(({ regarding, type, reason }) => `${regarding.kind}/${regarding.name}: ${type} ${reason}`)
    .sort();

export function put(type: ResourceType, name: string, rest: Readonly<Record<string, unknown>>): void {
  api.put(type, { apiVersion: 'flatroute.io/v1alpha1', kind: type.kind, metadata: { name }, ...rest });
}

export function sessions(name: string, ...rows: readonly (readonly [string, string])[]): void {
  const blocks = [{ cidr: '10.60.1.0/26', pool: 'node', announced: true }];
  report(name, { blocks, sessions: rows.map(([peer, state]) => ({ peer, state, address: '192.0.2.1' })) });
}

/** The BGPNodeState of a node says this, beside what it said. */
export function report(name: string, changes: Readonly<Record<string, unknown>>): void {
  const there = of(states, name) ?? api.put(states, { metadata: { name } });
  const before = there['status'] as Readonly<Record<string, unknown>> | undefined;
  api.objects.replace(api.type(states), { ...there, status: { ...before, ...changes } }, 'status');
}

/** What a node says of an object, as an entry of its conditions. */
export const complaint = (
  object: string,
  type: string,
  reason: string,
  message: string,
  observedGeneration?: number,
): object => ({
  ...{ object, type, status: 'False', reason, message, lastTransitionTime: '2026-01-01T00:00:00Z' },
  ...(observedGeneration === undefined ? {} : { observedGeneration }),
});

export const writes = (filter: (request: FakeRequest) => boolean = () => true): readonly FakeRequest[] =>
  api.requests.filter(
    (one) => !['get', 'list', 'watch'].includes(one.verb) && one.type.kind !== 'Lease' && filter(one),
  );
