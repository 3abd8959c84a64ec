// Which Nodes have the taint, by controllers as processes with their own account, against a real API server: routers that go
// away, nodes that boot, a controller that is stopped past its lease and one that is killed, and others who write the same Nodes.
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { nodeType, ROUTING_TAINT, seenNode } from '#controller/readiness-node.ts';
import type { ControlPlane } from '#lab/kubernetes/control-plane.ts';
import type { LabProcess } from '#lab/process.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { kubernetesAccess } from '#kubernetes/io/access.ts';
import { type ApiStore, apiStore } from '#kubernetes/io/client.ts';
import { leaseType } from '#kubernetes/lease.ts';
import { isApiError } from '#kubernetes/store.ts';
import type { ApiObject, ResourceType } from '#kubernetes/store.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import { bgpConfiguration } from '#resources/bgp-configuration.ts';
import { bgpNodeState } from '#resources/bgp-node-state.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import { apiServer } from './support.ts';

const LIMIT = 2;
/** A busy machine holds a controller or its API server up for seconds, and who leads must not change by itself. */
const lease = '--lease-duration=12s';
const names = Array.from({ length: 8 }, (_, i) => `rack-${i}`);
const states = typeOf(bgpNodeState);
const foreign = { key: 'example.com/reserved', effect: 'NoSchedule' };

let plane: ControlPlane;
let api: ApiStore;
let kubeconfig: string;
const running = new Map<string, LabProcess>();
/** As the API server told them, in order. */
const seen = new Map<string, ApiObject>();
let mostTainted = 0;

interface Spec {
  readonly taints?: readonly { readonly key: string }[];
  readonly unschedulable?: boolean;
}
interface Status {
  readonly conditions?: readonly { readonly type: string }[];
}
const specOf = (name: string): Spec => (seen.get(name)?.['spec'] ?? {}) as Spec;
const conditionsOf = (name: string): readonly { readonly type: string }[] =>
  ((seen.get(name)?.['status'] ?? {}) as Status).conditions ?? [];

const isTainted = (name: string): boolean => {
  const node = seen.get(name);
  return node !== undefined && seenNode(node).tainted;
};
const reason = (name: string): string | undefined => {
  const node = seen.get(name);
  return node === undefined ? undefined : seenNode(node).network?.reason;
};
const tainted = (): readonly string[] => names.filter(isTainted);

const until = async (what: string, holds: () => boolean): Promise<void> =>
  await waitFor(
    what,
    async () =>
      holds() ? found(undefined) : notYet(names.map((it) => `${it}: ${isTainted(it)} ${reason(it)}`).join(', ')),
    { deadline: seconds(120), every: milliseconds(50) },
  );

async function start(name: string): Promise<LabProcess> {
  const words = ['controller', `--kubeconfig=${kubeconfig}`, `--identity=${name}`, lease];
  const one = await plane.host.spawn([process.execPath, resolve('src/main.ts'), ...words], { log: `${name}.log` });
  running.set(name, one);
  return one;
}
const logOf = async (name: string): Promise<string> => await plane.host.readFile(`/run/log/${name}.log`);
const changesBy = async (name: string): Promise<number> =>
  (await logOf(name)).match(/controller\.node-(un)?tainted/g)?.length ?? 0;
/** Name of the process that leads; '' where none does. */
const leader = async (): Promise<string> => {
  const lease = await api.get(leaseType, 'flatroute-controller', 'flatroute-system');
  const { holderIdentity = '' } = (lease?.['spec'] ?? {}) as { readonly holderIdentity?: string };
  return holderIdentity.split('_')[0] ?? '';
};
const leads = async (name: string): Promise<void> =>
  await waitFor(
    `${name} to lead`,
    async () => ((await leader()) === name ? found(undefined) : notYet(await leader())),
    {
      deadline: seconds(120),
      every: milliseconds(100),
    },
  );
/** The process that leads, and the one that is to follow it: on a busy machine the lease may have gone to either. */
async function leaderAndNext(): Promise<readonly [string, string]> {
  const first = await waitFor(
    'one to lead',
    async () => {
      const name = await leader();
      return running.has(name) ? found(name) : notYet(name);
    },
    { deadline: seconds(120), every: milliseconds(100) },
  );
  return [first, first === 'one' ? 'two' : 'one'];
}
const timesLost = async (name: string): Promise<number> =>
  (await logOf(name)).match(/controller\.leads-no-longer/g)?.length ?? 0;

async function makeNode(name: string): Promise<void> {
  await api.create(nodeType, {
    metadata: { name },
    spec: { taints: [foreign, { key: ROUTING_TAINT, effect: 'NoSchedule' }], unschedulable: name === 'rack-7' },
  });
  await api.create(states, { metadata: { name } });
  await boot(name, 'boot-1');
}

/** Of each kernel that runs. */
const boots = new Map<string, string>();

/** What a kubelet says of its machine. */
async function boot(name: string, bootID: string): Promise<void> {
  boots.set(name, bootID);
  const rest = { machineID: '', systemUUID: '', kernelVersion: '', osImage: '', containerRuntimeVersion: '' };
  const more = { kubeletVersion: '', kubeProxyVersion: '', operatingSystem: '', architecture: '' };
  await api.patch(nodeType, name, { status: { nodeInfo: { ...rest, ...more, bootID } } }, { subresource: 'status' });
}

/** What an agent says. */
const report = async (name: string, established: number, unannounced = 0): Promise<void> => {
  const status = { bootID: `${boots.get(name)} 1`, routing: { peers: 2, established, unannounced } };
  await api.patch(states, name, { status }, { subresource: 'status' });
};
const all = async (established: number, these: readonly string[] = names): Promise<void> => {
  await Promise.all(these.map(async (name) => await report(name, established)));
};

before(async () => {
  plane = await apiServer();
  await plane.run(['apply', '-k', resolve('deploy/kustomize')]);
  const access = await kubernetesAccess(await plane.kubeconfig('kubernetes-admin', ['system:masters']));
  api = apiStore({ access, userAgent: 'readiness-test' });
  const token = await plane.serviceAccountToken('flatroute-system', 'flatroute-controller');
  kubeconfig = await plane.tokenKubeconfig('controller', token);
  api.watch(nodeType, {
    keep: (node) => {
      seen.set(node.metadata.name, node);
      // New nodes have it from the start: they are no loss.
      const lost = names.filter((it) => isTainted(it) && reason(it) !== 'NodeRebooted' && reason(it) !== undefined);
      mostTainted = Math.max(mostTainted, lost.length);
      return undefined;
    },
    changed: () => undefined,
  });
  const type: ResourceType = typeOf(bgpConfiguration);
  await api.create(type, { metadata: { name: 'default' }, spec: { readiness: { maxUnready: LIMIT } } });
  await Promise.all(names.map(makeNode));
  await start('one');
  await leads('one');
});

after(async () => {
  for (const one of running.values()) {
    one.kill('SIGCONT');
    one.kill('SIGKILL');
    await one.exited;
  }
  await api.close();
});

test('new nodes are let go when their blocks are announced; a cordon and the taints of others stay', async () => {
  await all(2);
  await until('all to be let go', () => names.every((it) => !isTainted(it) && reason(it) === 'RoutingReady'));
  mostTainted = 0;
  for (const name of names) {
    const { taints = [], unschedulable } = specOf(name);
    assert.ok(
      taints.some(({ key }) => key === foreign.key),
      name,
    );
    assert.equal(unschedulable ?? false, name === 'rack-7');
  }
});

test('a node that boots has the taint until its block is announced', async () => {
  await boot('rack-6', 'boot-2');
  await until('the taint', () => reason('rack-6') === 'NodeRebooted' && isTainted('rack-6'));
  await report('rack-6', 1, 1);
  await report('rack-6', 1, 0);
  await until('the end', () => !isTainted('rack-6') && reason('rack-6') === 'RoutingReady');
  await report('rack-6', 2);
});

test('routers that go away taint two of eight nodes, while kubelets and people write the same Nodes', async () => {
  let writing = true;
  let beats = 0;
  const others = Promise.all(
    names.map(async (name) => {
      for (let beat = 0; writing; beat++) {
        const resourceVersion = seen.get(name)?.metadata.resourceVersion;
        const pressure = { type: 'DiskPressure', status: 'False', reason: `beat${beat}` };
        const status = { conditions: [...conditionsOf(name).filter((it) => it.type !== pressure.type), pressure] };
        const patch = { metadata: { resourceVersion }, status };
        try {
          await api.patch(nodeType, name, patch, { subresource: 'status' });
          beats++;
        } catch (error) {
          if (!isApiError(error, 'API_CONFLICT')) throw error;
        }
        await new Promise((done) => setTimeout(done, 20));
      }
    }),
  );
  try {
    await all(0);
    await until('as many as may be', () => tainted().length === LIMIT);
    const [first = ''] = tainted();
    await report(first, 2);
    await until('another in its place', () => !isTainted(first) && tainted().length === LIMIT);
    await all(2);
    await until('all are back', () => tainted().length === 0);
  } finally {
    writing = false;
    await others;
  }
  assert.ok(beats > names.length, `${beats} heartbeats`);
  for (const name of names) {
    assert.ok(
      conditionsOf(name).some(({ type }) => type === 'DiskPressure'),
      name,
    );
  }
  assert.ok(mostTainted <= LIMIT, `${mostTainted} at once`);
});

test('a controller stopped past its lease: nothing changes before another leads, which goes on, and the first writes nothing more', async () => {
  await start('two');
  await all(0, names.slice(0, 4));
  await until(
    'as many as may be',
    () => tainted().length === LIMIT && tainted().every((it) => reason(it) === 'RoutingLost'),
  );
  const before = [...tainted()];
  const [first, second] = await leaderAndNext();
  const stopped = running.get(first) ?? assert.fail();
  // The watch can be sooner than the answer that it waits for before it says what it did.
  await waitFor(
    'the first to have said what it did',
    async () => {
      const lines = (await logOf(first)).split('\n');
      const last = before.map((name) => lines.findLast((line) => line.includes(`"node":"${name}"`)));
      return last.every((line) => line?.includes('controller.node-tainted')) ? found(undefined) : notYet(last.join());
    },
    { deadline: seconds(120), every: milliseconds(50) },
  );
  const [changes, lost] = [await changesBy(first), await timesLost(first)];
  stopped.kill('SIGSTOP');
  const { length: said } = await logOf(second);
  await all(2, before);
  await leads(second);
  await until('the other two', () => tainted().length === LIMIT && !tainted().some((it) => before.includes(it)));
  const [led, changed] = await waitFor(
    'the second to have said what it did',
    async () => {
      const log = (await logOf(second)).slice(said);
      const at = ['"controller.leads"', 'controller.node-'].map((word) => log.indexOf(word));
      return at.every((one) => one >= 0) ? found(at) : notYet(log);
    },
    { deadline: seconds(120), every: milliseconds(50) },
  );
  assert.ok(Number(led) < Number(changed), 'it has changed no Node before it led');
  stopped.kill('SIGCONT');
  await waitFor(
    'the first to find out',
    async () => ((await timesLost(first)) > lost ? found(undefined) : notYet('it leads')),
    { deadline: seconds(120), every: milliseconds(100) },
  );
  await all(2);
  await until('all are back', () => tainted().length === 0);
  assert.equal(await changesBy(first), changes);
  assert.doesNotMatch(await logOf(first), /controller\.write-failed/);
  assert.ok(mostTainted <= LIMIT, `${mostTainted} at once`);
});

test('a controller killed in the middle of it: the next one goes on by what stands on the Nodes', async () => {
  await all(0);
  await until('the first', () => tainted().length > 0);
  const [first, second] = await leaderAndNext();
  running.get(first)?.kill('SIGKILL');
  await leads(second);
  await until('as many as may be', () => tainted().length === LIMIT);
  await all(2);
  await until('all are back', () => names.every((it) => !isTainted(it) && reason(it) === 'RoutingReady'));
  assert.ok(mostTainted <= LIMIT, `${mostTainted} at once`);
  for (const name of ['one', 'two']) assert.doesNotMatch(await logOf(name), /API_FORBIDDEN|"level":"error"/);
});
