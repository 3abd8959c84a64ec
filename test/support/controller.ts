// Controllers against the fake API server, in time that the test makes.
import { afterEach, beforeEach } from 'node:test';
import { type Controller, startController } from '#controller/controller.ts';
import { nodeType } from '#controller/taints.ts';
import { leaseType } from '#kubernetes/lease.ts';
import type { ApiObject, ResourceType } from '#kubernetes/store.ts';
import { milliseconds, toSeconds } from '#lib/time.ts';
import { bgpNodeState } from '#resources/bgp-node-state.ts';
import { bgpPeer } from '#resources/bgp-peer.ts';
import { ipBlock } from '#resources/ip-block.ts';
import { ipPool } from '#resources/ip-pool.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import { type FakeApi, type FakeRequest, fakeApi } from './kubernetes/fake-api.ts';
import { type ManualClock, manualClock } from './manual-clock.ts';
import { eventually } from './netns.ts';

const typed = (kind: Parameters<typeof typeOf>[0]): ResourceType => ({ ...typeOf(kind), ...{ status: true } });
export const pools = typed(ipPool);
export const blocks = typed(ipBlock);
export const peers = typed(bgpPeer);
export const states = typed(bgpNodeState);

const STEP = milliseconds(250);

export interface Replica {
  readonly controller: Controller;
  readonly clock: ManualClock;
}

export let api: FakeApi;
let replicas: Replica[];

beforeEach(async () => {
  api = await fakeApi([leaseType, pools, blocks, peers, states, nodeType]);
  replicas = [];
});
afterEach(async () => {
  api.misfortune = undefined;
  await Promise.all(replicas.map(async ({ controller }) => await controller.stop()));
  await api.close();
});

export function replica(identity: string): Replica {
  const clock = manualClock();
  const controller = startController(
    { namespace: 'flatroute-system', identity },
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
  await eventually(
    what,
    () => {
      if (condition()) return true;
      for (const { clock } of whose) clock.advance(STEP);
      return false;
    },
    20_000,
  );
}

export async function pass(whole: number): Promise<void> {
  let steps = whole / toSeconds(STEP);
  await until('time passes', () => steps-- <= 0);
}

export const of = (type: ResourceType, name: string): ApiObject | undefined => api.objects.get(api.type(type), name);

interface Status {
  readonly blocks?: number;
  readonly capacity?: number;
  readonly nodes?: number;
  readonly established?: number;
  readonly conditions?: readonly {
    readonly status: string;
    readonly reason: string;
    readonly message: string;
    readonly lastTransitionTime: string;
  }[];
}
export const statusOf = (type: ResourceType, name: string): Status => (of(type, name)?.['status'] ?? {}) as Status;
export const reasonOf = (type: ResourceType, name: string): string | undefined =>
  statusOf(type, name).conditions?.[0]?.reason;

export function put(type: ResourceType, name: string, rest: Readonly<Record<string, unknown>>): void {
  api.put(type, { apiVersion: 'flatroute.io/v1alpha1', kind: type.kind, metadata: { name }, ...rest });
}

export function sessions(name: string, ...rows: readonly (readonly [string, string])[]): void {
  const there = of(states, name) ?? api.put(states, { metadata: { name } });
  const blocks = [{ cidr: '10.60.1.0/26', pool: 'node', announced: true }];
  const status = { blocks, sessions: rows.map(([peer, state]) => ({ peer, state, address: '192.0.2.1' })) };
  api.objects.replace(api.type(states), { ...there, status }, 'status');
}

export const writes = (filter: (request: FakeRequest) => boolean = () => true): readonly FakeRequest[] =>
  api.requests.filter(
    (one) => !['get', 'list', 'watch'].includes(one.verb) && one.type.kind !== 'Lease' && filter(one),
  );
