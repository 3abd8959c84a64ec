// The taint and NetworkUnavailable on Nodes, as the controller writes them to the fake API server.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Controller } from '#controller/controller.ts';
import { nodeType, podType, ROUTING_TAINT } from '#controller/readiness-node.ts';
import type { ApiObject } from '#kubernetes/store.ts';
import { seconds } from '#lib/time.ts';
import {
  api,
  configurations,
  events as eventType,
  of,
  pass,
  put,
  replica,
  replicas,
  states,
  until,
  writes,
} from '../../support/controller.ts';

const taint = { key: ROUTING_TAINT, effect: 'NoSchedule' };
const others = [
  { key: 'node-role.kubernetes.io/control-plane', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule', timeAdded: '2026-01-01T00:00:00Z' },
];
const pressure = { type: 'MemoryPressure', status: 'False', lastHeartbeatTime: '2026-01-01T00:00:00Z' };

interface Spec {
  readonly taints?: readonly { readonly key: string; readonly effect: string }[];
}
interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly lastTransitionTime: string;
}
const taintsOf = (name: string): readonly { readonly key: string }[] =>
  (of(nodeType, name)?.['spec'] as Spec | undefined)?.taints ?? [];
const isTainted = (name: string): boolean => taintsOf(name).some(({ key }) => key === ROUTING_TAINT);
const conditionsOf = (name: string): readonly Condition[] =>
  (of(nodeType, name)?.['status'] as { conditions?: readonly Condition[] } | undefined)?.conditions ?? [];
const network = (name: string): Condition | undefined =>
  conditionsOf(name).find(({ type }) => type === 'NetworkUnavailable');
const reason = (name: string): string | undefined => network(name)?.reason;
const events = (): readonly (readonly [string, string])[] =>
  api.objects
    .all(api.type(eventType))
    .map((event) => [(event['regarding'] as { name: string }).name, String(event['reason'])]);

function node(name: string, changes: { readonly taints?: readonly object[]; readonly bootID?: string } = {}): void {
  const there: ApiObject = of(nodeType, name) ?? { metadata: { name } };
  const status = (there['status'] ?? { conditions: [pressure] }) as object;
  api.put(nodeType, {
    ...there,
    spec: { taints: changes.taints ?? taintsOf(name) },
    status: { ...status, nodeInfo: { bootID: changes.bootID ?? 'boot-1' } },
  });
}

function report(
  name: string,
  established: number,
  rest: { readonly unannounced?: number; readonly bootID?: string; readonly peers?: number } = {},
): void {
  const there = of(states, name) ?? api.put(states, { metadata: { name } });
  const { unannounced = 0, bootID = 'boot-1', peers = 2 } = rest;
  const status = { bootID: `${bootID} 4026531840`, routing: { peers, established, unannounced } };
  api.objects.replace(api.type(states), { ...there, status }, 'status');
}

/** Nodes that were let go, at rest. */
async function readyNodes(count: number): Promise<readonly string[]> {
  const names = Array.from({ length: count }, (_, i) => `node-${String(i + 1).padStart(2, '0')}`);
  for (const name of names) {
    node(name, { taints: [taint] });
    report(name, 2);
  }
  replica('one');
  await until('all to be let go', () => names.every((name) => reason(name) === 'RoutingReady'));
  return names;
}

test('a new node is let go when it has a session and its block is announced; what others wrote stays', async () => {
  node('node-1', { taints: [others[0] ?? {}, taint, others[1] ?? {}] });
  node('node-2', { taints: [taint] });
  replica('one');
  await pass(5);
  assert.ok(isTainted('node-1') && network('node-1') === undefined);
  report('node-1', 1, { unannounced: 1 });
  await until('the reason', () => reason('node-1') === 'RoutingNotYetReady');
  assert.deepEqual([network('node-1')?.status, isTainted('node-1')], ['True', true]);
  assert.equal(network('node-1')?.message, '1 block is announced to no peer.');
  report('node-1', 1);
  await until('the end', () => reason('node-1') === 'RoutingReady');
  assert.deepEqual(taintsOf('node-1'), others);
  assert.deepEqual(conditionsOf('node-1')[0], pressure);
  assert.ok(isTainted('node-2') && network('node-2') === undefined);
  await until('the Event', () => events().some(([name, why]) => name === 'node-1' && why === 'RoutingReady'));
});

test('routers that reload taint no more than maxUnready, and what is beyond is said when it lasts', async () => {
  put(configurations, 'default', { spec: { readiness: { maxUnready: 2 } } });
  const names = await readyNodes(6);
  let most = 0;
  const count = (): number => names.filter(isTainted).length;
  const off = api.objects.onChange(() => (most = Math.max(most, count())));
  for (const name of names) report(name, 0);
  await until('as many as may be', () => count() === 2);
  await pass(5);
  assert.deepEqual(names.map(reason), ['RoutingLost', 'RoutingLost', ...Array(4).fill('RoutingReady')]);
  await until('the Event', () => events().some(([name, why]) => name === 'default' && why === 'MaxUnreadyReached'));
  await until('the words', () => names.slice(2).every((name) => reason(name) === 'MaxUnreadyReached'));
  assert.equal(network('node-03')?.status, 'False');
  // Who comes back makes room for another.
  report('node-01', 2);
  await until('the next', () => !isTainted('node-01') && isTainted('node-03'));
  for (const name of names) report(name, 2);
  await until('all are back', () => count() === 0);
  await until('the words', () => names.every((name) => reason(name) === 'RoutingReady'));
  off();
  assert.equal(most, 2);
});

test('a taint that cannot be taken off leaves no room for another', async () => {
  put(configurations, 'default', { spec: { readiness: { maxUnready: 1 } } });
  await readyNodes(2);
  report('node-01', 0);
  await until('the taint', () => isTainted('node-01'));
  api.misfortune = ({ verb, name }) =>
    verb === 'patch' && name === 'node-01' ? { status: 500, reason: 'InternalError' } : undefined;
  report('node-02', 0);
  report('node-01', 2);
  await pass(20);
  assert.deepEqual([isTainted('node-01'), isTainted('node-02')], [true, false]);
  api.misfortune = undefined;
  await until('both as they should be', () => !isTainted('node-01') && isTainted('node-02'));
});

test('a node that boots is tainted although its agent still says that all is well', async () => {
  await readyNodes(1);
  node('node-01', { bootID: 'boot-2' });
  await until('the taint', () => isTainted('node-01'));
  await until('the reason', () => reason('node-01') === 'NodeRebooted');
  report('node-01', 0, { bootID: 'boot-2', unannounced: 2 });
  await pass(3);
  report('node-01', 1, { bootID: 'boot-2', unannounced: 1 });
  await pass(3);
  assert.ok(isTainted('node-01'));
  report('node-01', 1, { bootID: 'boot-2' });
  await until('its blocks are announced', () => !isTainted('node-01'));
});

test('a node whose agent does not run is tainted once its routers have forgotten it', async () => {
  await readyNodes(2);
  const pod = (name: string, nodeName: string, status: 'True' | 'False'): void => {
    const labels = { 'app.kubernetes.io/name': 'flatroute', 'app.kubernetes.io/component': 'agent' };
    const metadata = { name, namespace: 'flatroute-system', labels };
    const there = of(podType, `flatroute-system/${name}`) ?? { metadata };
    api.put(podType, { ...there, spec: { nodeName }, status: { conditions: [{ type: 'Ready', status }] } });
  };
  pod('agent-1', 'node-01', 'True');
  pod('agent-2', 'node-02', 'False');
  await pass(140);
  assert.equal(isTainted('node-02'), false);
  await until('the taint', () => isTainted('node-02') && reason('node-02') === 'RoutingLost');
  assert.match(network('node-02')?.message ?? '', /agent does not run/);
  assert.equal(isTainted('node-01'), false);
  pod('agent-2', 'node-02', 'True');
  await until('it to be let go', () => !isTainted('node-02'));
});

test('a delay of one node, and sessions that all others need, stand in BGPConfigurations', async () => {
  put(configurations, 'default', { spec: { readiness: { minSessions: 2, maxUnready: '100%' } } });
  put(configurations, 'node.node-02', { spec: { readiness: { minSessions: 1, delay: '12s' } } });
  await readyNodes(2);
  report('node-01', 1);
  report('node-02', 1);
  await until('the taint', () => isTainted('node-01'));
  assert.ok(!isTainted('node-02'));
  report('node-02', 0);
  await until('the taint', () => isTainted('node-02'));
  report('node-02', 1);
  await pass(10);
  assert.ok(isTainted('node-02'));
  await until('the delay', () => !isTainted('node-02'));
  // One that cannot be read changes nothing.
  put(configurations, 'default', { spec: { readiness: { minSessions: 'many' } } });
  await pass(5);
  assert.ok(isTainted('node-01'));
});

test('at rest nothing is written; heartbeats of the kubelet and other taints are no reason', async () => {
  await readyNodes(3);
  await pass(2);
  api.requests.length = 0;
  node('node-01', { taints: [others[0] ?? {}] });
  for (let i = 0; i < 4; i++) {
    const there = of(nodeType, 'node-02') ?? assert.fail();
    const conditions = conditionsOf('node-02').map((one) => ({ ...one, lastHeartbeatTime: `2026-01-01T00:00:0${i}Z` }));
    api.put(nodeType, { ...there, status: { ...(there['status'] as object), conditions } });
    await pass(9);
  }
  assert.deepEqual(writes(), []);
});

test('a write of somebody else between our read and our write is kept', async () => {
  await readyNodes(1);
  let steals = 2;
  api.misfortune = ({ verb, type, name }) => {
    if (verb === 'patch' && type.kind === 'Node' && steals-- > 0)
      node(name ?? '', { taints: [...taintsOf(name ?? ''), { key: `other-${steals}`, effect: 'NoSchedule' }] });
    return undefined;
  };
  report('node-01', 0);
  await until('the taint', () => isTainted('node-01'));
  assert.deepEqual(
    taintsOf('node-01').map(({ key }) => key),
    ['other-1', 'other-0', ROUTING_TAINT],
  );
});

test('nothing changes while no controller leads, and the next one goes on where it finds things', async () => {
  const names = await readyNodes(3);
  const one = replica('hangs');
  report('node-01', 0);
  await until('the taint', () => reason('node-01') === 'RoutingLost');
  assert.equal(one.controller.state().leads, false);
  const [first] = [...names];
  const before = names.map((name) => of(nodeType, name)?.metadata.resourceVersion);
  api.misfortune = ({ type }) => (type.kind === 'Lease' ? { status: 503, reason: 'ServiceUnavailable' } : undefined);
  await until('it leads no longer', () => replicas[0]?.controller.state().leads === false);
  for (const name of names) report(name, name === first ? 2 : 0);
  await pass(10);
  assert.deepEqual(
    names.map((name) => of(nodeType, name)?.metadata.resourceVersion),
    before,
  );
  api.misfortune = undefined;
  await until('somebody leads', () => !isTainted('node-01'));
  await until('one of the others', () => names.filter(isTainted).length === 1);
});

test('who leads tells how many nodes are in which state, and nobody else does', async () => {
  await readyNodes(2);
  node('node-03', { taints: [taint] });
  report('node-01', 0);
  const waits = replica('two').controller;
  const leads = replicas[0]?.controller ?? assert.fail();
  const counts = (who: Controller): Readonly<Record<string, number>> =>
    Object.fromEntries(
      (who.state().measures.get('node_readiness') ?? []).map(({ labels, value }) => [labels['readiness'], value]),
    );
  await until('the taint', () => counts(leads)['lost'] === 1 && isTainted('node-01'));
  assert.deepEqual(counts(leads), {
    fit: 1,
    waiting: 0,
    new: 0,
    booting: 0,
    lost: 1,
    beyondLimit: 0,
    unreported: 1,
  });
  assert.deepEqual(counts(waits), {});
});

test('conditions that have only new words are written a few in a second', async () => {
  const names = Array.from({ length: 45 }, (_, i) => `node-${i}`);
  for (const name of names) {
    node(name);
    report(name, 2);
  }
  const { clock } = replica('one');
  await until('the first', () => names.some((name) => reason(name) !== undefined));
  const began = clock.now();
  await until('all', () => names.every((name) => reason(name) === 'RoutingReady'));
  // Twenty, and twenty more in each of two further seconds.
  assert.ok(clock.now() - began >= seconds(2));
});
