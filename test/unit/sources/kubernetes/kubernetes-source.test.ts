import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { seconds } from '#lib/time.ts';
import { needsOf } from '#intent/needs.ts';
import type { ApiObject } from '#kubernetes/store.ts';
import type { ResourceProblem, ResourceSet } from '#resources/resource-set.ts';
import { KubernetesSource } from '#sources/kubernetes/kubernetes-source.ts';
import type { KubernetesSourceOptions, Needs } from '#sources/kubernetes/kubernetes-source.ts';
import { clusterTypes, typeNamed } from '../../../support/kubernetes/cluster-types.ts';
import { fakeApi } from '../../../support/kubernetes/fake-api.ts';
import type { FakeApi } from '../../../support/kubernetes/fake-api.ts';

interface Delivery {
  readonly resources: ResourceSet;
  readonly problems: readonly ResourceProblem[];
}

interface Running {
  readonly source: KubernetesSource;
  readonly deliveries: Delivery[];
  readonly started: Promise<void>;
}

let folder: string;
let api: FakeApi;
let running: Running[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'flatroute-source-'));
  // An API server with older definitions lets through what is wrong here.
  api = await fakeApi(clusterTypes.map((type) => ({ ...type, validate: () => undefined })));
  running = [];
});
afterEach(async () => {
  await Promise.all(running.map((it) => it.source.stop()));
  await api.close();
  rmSync(folder, { recursive: true });
});

const cacheFile = (): string => join(folder, 'state', 'resources.json');
const bootstrap = (): string => join(folder, 'bootstrap');

function start(
  options: Partial<KubernetesSourceOptions> = {},
  needs: (set: ResourceSet) => Needs = (set) => needsOf(set, 'node-1'),
): Running {
  const deliveries: Delivery[] = [];
  const source = new KubernetesSource(
    {
      node: 'node-1',
      cacheFile: cacheFile(),
      bootstrapDirectory: bootstrap(),
      firstWaitMilliseconds: 20_000,
      ...options,
      timing: { quietMilliseconds: 5, cacheMilliseconds: 5, failureMilliseconds: 0, ...options.timing },
    },
    { store: api.store(), needs },
  );
  const started = source.start((resources, problems) => void deliveries.push({ resources, problems }));
  const it = { source, deliveries, started };
  running.push(it);
  return it;
}

const until = (it: Running, what: string, holds: (last: Delivery) => boolean): Promise<Delivery> =>
  waitFor(
    what,
    () => {
      const last = it.deliveries.at(-1);
      return Promise.resolve(last !== undefined && holds(last) ? found(last) : notYet(JSON.stringify(last?.problems)));
    },
    { deadline: seconds(20) },
  );

const own = (kind: string, name: string, spec: object): ApiObject => ({
  apiVersion: 'flatroute.io/v1alpha1',
  kind,
  metadata: { name },
  spec,
});
const put = (object: ApiObject): ApiObject => api.put(typeNamed(String(object.kind)), object);
const peer = (name: string, more: object = {}): ApiObject =>
  own('BGPPeer', name, { peerIP: '192.0.2.1', asNumber: 65_001, ...more });
const secret = (name: string, password: string): ApiObject => ({
  kind: 'Secret',
  metadata: { name, namespace: 'flatroute-system' },
  data: { password: Buffer.from(password).toString('base64') },
});
const node = (name: string, labels: Record<string, string> = {}): ApiObject => ({
  kind: 'Node',
  metadata: { name, labels, annotations: { 'other.example/changes': 'often', 'flatroute.io/as-number': '65010' } },
  spec: { podCIDRs: ['10.1.0.0/24'], taints: [] },
  status: { addresses: [{ type: 'InternalIP', address: '192.0.2.11' }], images: [{ names: ['x'] }], brandNew: 1 },
});
const passworded = { password: { secretKeyRef: { name: 'tor', key: 'password' } } };

const names = (list: readonly { readonly metadata: { readonly name: string } }[]): string[] =>
  list.map((it) => it.metadata.name);

/** The one call of a source whose API never says more. */
async function startedOnce(it: Running): Promise<Delivery> {
  await it.started;
  const [first] = it.deliveries;
  assert.ok(first !== undefined);
  return first;
}

describe('reading', () => {
  test('one call when all is read: the own node, own blocks, and what is said to all', async () => {
    put(node('node-1'));
    put(node('node-2'));
    put(peer('tor'));
    put(own('IPPool', 'pool', { cidr: '10.60.0.0/16' }));
    put(own('IPBlock', 'ipv4-0a3c0100-26', { cidr: '10.60.1.0/26', node: 'node-1' }));
    put(own('IPBlock', 'ipv4-0a3c0200-26', { cidr: '10.60.2.0/26', node: 'node-2' }));
    const it = start();
    const { resources, problems } = await startedOnce(it);
    assert.deepEqual(problems, []);
    assert.deepEqual(names(resources.nodes), ['node-1']);
    assert.deepEqual(resources.nodes[0]?.metadata.annotations, { 'flatroute.io/as-number': '65010' });
    assert.deepEqual(names(resources.ipBlocks), ['ipv4-0a3c0100-26']);
    assert.deepEqual([names(resources.bgpPeers), names(resources.ipPools)], [['tor'], ['pool']]);
    assert.deepEqual([resources.secrets, resources.namespaces], [[], []]);
    assert.equal(it.deliveries.length, 1);
  });

  test('a Node whose machine id is the empty string, as the API shows a Node without one, has none', async () => {
    const made = node('node-1');
    put({ ...made, status: { ...(made['status'] as object), nodeInfo: { machineID: '' } } });
    const { resources } = await startedOnce(start());
    assert.equal(resources.nodes[0]?.status?.nodeInfo?.machineID, undefined);
  });

  test('a Secret is watched by name while a peer of this node names it, and with the peer in one call', async () => {
    put(node('node-1'));
    put(secret('tor', 'one'));
    put(secret('other', 'x'));
    put(peer('tor', passworded));
    put(
      peer('elsewhere', {
        node: 'node-2',
        peerIP: '192.0.2.2',
        password: { secretKeyRef: { name: 'other', key: 'password' } },
      }),
    );
    const it = start();
    assert.deepEqual(names((await startedOnce(it)).resources.secrets), ['tor']);
    const asked = api.requests.filter((request) => request.type.kind === 'Secret');
    assert.ok(asked.every((request) => request.namespace === 'flatroute-system'));
    assert.deepEqual([...new Set(asked.map((request) => request.query.get('fieldSelector')))], ['metadata.name=tor']);
    put(secret('tor', 'two'));
    await until(it, 'the new password', ({ resources }) => resources.secrets[0]?.data?.['password'] === 'dHdv');
    api.remove(typeNamed('Secret'), 'flatroute-system/tor');
    await until(it, 'no Secret', ({ resources }) => resources.secrets.length === 0);
    api.remove(typeNamed('BGPPeer'), 'tor');
    await waitFor(
      'no watch of Secrets',
      () => Promise.resolve(api.watches(typeNamed('Secret')) === 0 ? found(true) : notYet('')),
      {
        deadline: seconds(20),
      },
    );
  });

  test('a peer that changes to another Secret is not delivered without it', async () => {
    put(node('node-1'));
    put(secret('tor', 'one'));
    put(secret('new', 'two'));
    put(peer('tor', passworded));
    const it = start();
    await startedOnce(it);
    put(peer('tor', { password: { secretKeyRef: { name: 'new', key: 'password' } } }));
    await until(
      it,
      'the other Secret',
      ({ resources }) => resources.bgpPeers[0]?.spec.password?.secretKeyRef.name === 'new',
    );
    for (const { resources } of it.deliveries)
      assert.deepEqual(names(resources.secrets), [resources.bgpPeers[0]?.spec.password?.secretKeyRef.name]);
  });

  test('namespaces are read as metadata, and only where a pool is for some of them', async () => {
    put({ kind: 'Namespace', metadata: { name: 'shop', labels: { team: 'a' } }, spec: { finalizers: ['kubernetes'] } });
    put(own('IPPool', 'pool', { cidr: '10.60.0.0/16' }));
    const it = start();
    assert.deepEqual((await startedOnce(it)).resources.namespaces, []);
    assert.equal(api.requests.filter((request) => request.type.kind === 'Namespace').length, 0);
    put(own('IPPool', 'pool', { cidr: '10.60.0.0/16', namespaceSelector: "team == 'a'" }));
    const { resources } = await until(it, 'the namespace', (last) => last.resources.namespaces.length === 1);
    assert.deepEqual(resources.namespaces[0]?.metadata.labels, { team: 'a' });
    const asked = api.requests.filter((request) => request.type.kind === 'Namespace');
    assert.ok(asked.every((request) => request.headers['accept']?.includes('PartialObjectMetadata')));
  });

  test('nothing is asked or written while nothing changes, and what a kubelet writes is no change', async () => {
    put(node('node-1'));
    const it = start();
    await startedOnce(it);
    await waitFor(
      'all watches',
      () => Promise.resolve(api.watches() === 8 ? found(true) : notYet(String(api.watches()))),
      {
        deadline: seconds(20),
      },
    );
    await waitFor('the cache', () => Promise.resolve(existsSync(cacheFile()) ? found(true) : notYet('')), {
      deadline: seconds(20),
    });
    const { ino } = statSync(cacheFile());
    api.requests.length = 0;
    const beat = put({
      ...node('node-1'),
      status: { ...(node('node-1')['status'] as object), conditions: [{ type: 'Ready' }] },
    });
    put(peer('tor'));
    await until(it, 'the peer', ({ resources }) => resources.bgpPeers.length === 1);
    assert.ok(beat.metadata.resourceVersion !== undefined);
    assert.equal(it.deliveries.length, 2);
    assert.equal(api.requests.length, 0);
    await waitFor(
      'the cache again',
      () => Promise.resolve(statSync(cacheFile()).ino === ino ? notYet('') : found(true)),
      { deadline: seconds(20) },
    );
  });
});

describe('what is wrong', () => {
  test('an object that is wrong keeps its last good state, and the problem names kind, object and field', async () => {
    put(node('node-1'));
    put(peer('tor'));
    const it = start();
    await startedOnce(it);
    put(peer('tor', { asNumber: 0 }));
    const { resources, problems } = await until(it, 'a problem', (last) => last.problems.length > 0);
    assert.equal(resources.bgpPeers[0]?.spec.asNumber, 65_001);
    assert.match(problems[0]?.message ?? '', /^BGPPeer tor: spec\.asNumber: .*keeps its last good settings\.$/);
    assert.deepEqual([problems[0]?.field, problems[0]?.lastGoodInForce], ['spec.asNumber', true]);
    put(peer('tor', { asNumber: 65_002 }));
    await until(
      it,
      'the correction',
      (last) => last.problems.length === 0 && last.resources.bgpPeers[0]?.spec.asNumber === 65_002,
    );
  });

  test('an unknown field of a peer is left out and named, and the peer is in force', async () => {
    put(peer('tor', { brandNew: { deep: true } }));
    const { resources, problems } = await startedOnce(start());
    assert.deepEqual(names(resources.bgpPeers), ['tor']);
    assert.deepEqual(
      [problems[0]?.field, problems[0]?.fieldOnly, problems[0]?.id?.name],
      ['spec.brandNew', true, 'tor'],
    );
  });

  test('an unknown condition makes an Accept rule match nothing and a Reject rule match without it', async () => {
    put(
      own('BGPFilter', 'filter', {
        importV4: [
          { action: 'Accept', cidr: '10.0.0.0/8', matchOperator: 'In', brandNew: 1 },
          { action: 'Reject', cidr: '10.1.0.0/16', matchOperator: 'In', brandNew: 1 },
          { action: 'Accept', communities: { values: ['65000:1'], brandNew: 1 } },
          { action: 'Accept' },
        ],
        default: 'Reject',
      }),
    );
    const { resources, problems } = await startedOnce(start());
    const rules = resources.bgpFilters[0]?.spec.importV4;
    assert.deepEqual(
      rules?.map((rule) => [rule.action, rule.cidr]),
      [
        ['Reject', '10.1.0.0/16'],
        ['Accept', undefined],
      ],
    );
    assert.deepEqual(
      problems.map((it) => it.field),
      ['spec.importV4[0].brandNew', 'spec.importV4[1].brandNew', 'spec.importV4[2].communities.brandNew'],
    );
  });
});

describe('a start without the API', () => {
  async function learned(): Promise<void> {
    put(node('node-1'));
    put(peer('tor', passworded));
    put(secret('tor', 'one'));
    put(own('IPPool', 'pool', { cidr: '10.60.0.0/16' }));
    const it = start();
    await startedOnce(it);
    await it.source.stop();
    await api.stop();
  }

  test('the cache has what was in force, for its owner alone, and a problem says since when nothing is read', async () => {
    await learned();
    assert.equal(statSync(cacheFile()).mode % 0o1000, 0o600);
    const { resources, problems } = await startedOnce(start());
    assert.deepEqual(
      [names(resources.nodes), names(resources.bgpPeers), names(resources.secrets)],
      [['node-1'], ['tor'], ['tor']],
    );
    assert.equal(problems.length, 1);
    assert.equal(problems[0]?.code, 'API_UNREACHABLE');
    assert.match(problems[0]?.message ?? '', /since \d{4}-.*Z: .*bgppeers.*What was last read stays in force\.$/);
    assert.ok(!JSON.stringify(problems).includes('one'));
  });

  test('that nothing is read is said in time, though the clock on the wall stands still or is set back', async (context) => {
    put(peer('tor'));
    const it = start({ timing: { failureMilliseconds: 30 } });
    await it.started;
    context.mock.timers.enable({ apis: ['Date'], now: new Date('2001-01-01T00:00:00Z') });
    await api.stop();
    await until(it, 'the problem', ({ problems }) => problems.some(({ code }) => code === 'API_UNREACHABLE'));
  });

  test('an API that never answers is waited for, and no longer than said', async () => {
    await learned();
    await api.start();
    api.misfortune = () => 'hang';
    assert.deepEqual(
      names(
        (await startedOnce(start({ firstWaitMilliseconds: 50, timing: { needWaitMilliseconds: 50 } }))).resources
          .bgpPeers,
      ),
      ['tor'],
    );
  });

  test('the API replaces the cache kind by kind, when the kind is read', async () => {
    await learned();
    await api.start();
    api.remove(typeNamed('IPPool'), 'pool');
    api.remove(typeNamed('BGPPeer'), 'tor');
    api.misfortune = (request) => (request.type.kind === 'BGPPeer' ? { status: 503 } : undefined);
    const it = start();
    const first = await startedOnce(it);
    assert.deepEqual([names(first.resources.bgpPeers), names(first.resources.ipPools)], [['tor'], []]);
    api.misfortune = undefined;
    await until(it, 'the peer gone', ({ resources }) => resources.bgpPeers.length === 0);
  });

  test('a file that is cut short, of another node, or that others may write is not used, and that is said', async () => {
    await learned();
    const text = readFileSync(cacheFile(), 'utf8');
    const attempts: readonly (readonly [string, () => void])[] = [
      ['cut short', () => writeFileSync(cacheFile(), text.slice(0, text.length / 2))],
      ['another node', () => writeFileSync(cacheFile(), text.replace('"node":"node-1"', '"node":"node-9"'))],
      ['another version', () => writeFileSync(cacheFile(), text.replace('"form":1', '"form":7'))],
      ['may write', () => chmodSync(cacheFile(), 0o622)],
    ];
    for (const [words, spoil] of attempts) {
      writeFileSync(cacheFile(), text);
      chmodSync(cacheFile(), 0o600);
      spoil();
      const it = start();
      const { resources, problems } = await startedOnce(it);
      assert.deepEqual(resources.bgpPeers, [], words);
      const problem = problems.find((each) => each.code === 'CONFIG_CACHE_UNREADABLE');
      assert.ok(problem?.message.includes(words), `${words}: ${problem?.message}`);
      assert.ok(!problem?.message.includes('password'));
      await it.source.stop();
    }
  });

  test('an object of the cache that cannot be read takes no other with it', async () => {
    await learned();
    const contents = JSON.parse(readFileSync(cacheFile(), 'utf8')) as {
      objects: { kind: string; metadata: unknown }[];
    };
    const pool = contents.objects.find((it) => it.kind === 'IPPool');
    assert.ok(pool !== undefined);
    pool.metadata = 7;
    writeFileSync(cacheFile(), JSON.stringify(contents));
    const { resources } = await startedOnce(start());
    assert.deepEqual([names(resources.ipPools), names(resources.bgpPeers)], [[], ['tor']]);
  });

  test('the cache cannot be written: everything works, and that is said', async () => {
    writeFileSync(join(folder, 'state'), 'a file where a directory should be');
    put(peer('tor'));
    const it = start();
    await startedOnce(it);
    await until(it, 'the problem', ({ problems }) => problems.some((each) => each.code === 'CONFIG_CACHE_UNREADABLE'));
  });
});

describe('the bootstrap directory', () => {
  const file = (name: string, asNumber: number): void => {
    mkdirSync(bootstrap(), { recursive: true });
    writeFileSync(
      join(bootstrap(), `${name}.yaml`),
      JSON.stringify(peer(name, { asNumber, peerIP: `192.0.2.${asNumber % 100}` })),
    );
  };

  test('it is in force beside the API and below it, and comes back when the object of the API goes', async () => {
    file('tor-a', 65_010);
    file('tor-b', 65_011);
    put(peer('tor-a', { asNumber: 65_020 }));
    const it = start();
    const numbers = ({ resources }: Delivery): unknown[] => resources.bgpPeers.map((each) => each.spec.asNumber);
    assert.deepEqual(numbers(await startedOnce(it)), [65_020, 65_011]);
    api.remove(typeNamed('BGPPeer'), 'tor-a');
    await until(it, 'the file again', (last) => JSON.stringify(numbers(last)) === '[65010,65011]');
  });

  test('it is all there is when nothing was ever read', async () => {
    file('tor-a', 65_010);
    await api.stop();
    const { resources, problems } = await startedOnce(start());
    assert.deepEqual(names(resources.bgpPeers), ['tor-a']);
    assert.match(problems[0]?.message ?? '', /Nothing was read before\.$/);
  });
});

describe('other nodes', () => {
  const mesh = (set: ResourceSet): Needs => ({ ...needsOf(set, 'node-1'), nodes: true });

  test('they are read for a mesh', async () => {
    for (const name of ['node-1', 'node-2', 'node-3']) put(node(name));
    assert.deepEqual(names((await startedOnce(start({}, mesh))).resources.nodes), ['node-1', 'node-2', 'node-3']);
  });

  test('201 of them are refused, one page of metadata is all that was read, and 200 are taken', async () => {
    for (let i = 1; i <= 201; i++) put(node(`node-${i}`));
    const it = start({ timing: { nodesAgainMilliseconds: 20 } }, mesh);
    const { resources, problems } = await startedOnce(it);
    assert.deepEqual(names(resources.nodes), ['node-1']);
    assert.equal(problems[0]?.code, 'CONFIG_TOO_MANY_NODES');
    const lists = api.requests.filter(
      (request) => request.type.kind === 'Node' && request.query.get('fieldSelector') === null,
    );
    assert.ok(
      lists.every((request) => request.query.get('limit') === '201' && request.headers['accept']?.includes('Partial')),
    );
    api.remove(typeNamed('Node'), 'node-201');
    await until(it, '200 nodes', (last) => last.resources.nodes.length === 200 && last.problems.length === 0);
    put(node('node-201'));
    await until(it, 'the refusal', (last) => last.resources.nodes.length === 1 && last.problems.length === 1);
  });
});
