// An agent in a cluster, from a start without the API to the day on which it is back: node 1 has its resources from the fake API
// server in its own namespace, node 2 is its router and reads files.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Conflist, HostConflistRunner } from '#lab/conflist.ts';
import type { Lab } from '#lab/lab.ts';
import { Pod } from '#lab/pod.ts';
import { generationOf } from '#lab/node-agent.ts';
import type { LabProcess } from '#lab/process.ts';
import { flatroute } from '#lab/program.ts';
import type { BGPNodeStatus } from '#resources/bgp-node-state.ts';
import type { ConditionAnswer, PeerAnswer } from '#status/answers.ts';
import {
  agentWords,
  established,
  fetchMetrics,
  json,
  makeNodes,
  manifests,
  ourRoutes,
  peerManifest,
  running,
  startAgent,
  type TestNode,
  untilStatus,
  writeFiles,
} from '../support/agent-lab.ts';
import { eventually } from '../support/netns.ts';
import { KUBECONFIG, fakeApiIn, type RemoteFake } from '../support/kubernetes/remote-fake.ts';

const BOOTSTRAP = '/etc/flatroute/bootstrap';
const CONFLIST = '/etc/cni/net.d/05-flatroute.conflist';
/** A busy machine takes its time to start an agent. */
const STARTING = 60_000;
const BIN = '/run/cni/bin';
const clusterWords = [
  ...['--kubernetes', '--kubeconfig', KUBECONFIG, '--bootstrap', BOOTSTRAP],
  ...['--conflist', CONFLIST, '--cni-bin', BIN],
];

const secret = (text: string): string =>
  `{apiVersion: v1, kind: Secret, metadata: {name: bgp, namespace: flatroute-system}, data: {password: ${Buffer.from(text).toString('base64')}}}`;
const withPassword = '  password: { secretKeyRef: { name: bgp, key: password } }\n';

describe('an agent in a cluster', { timeout: 900_000 }, () => {
  let lab: Lab | undefined;
  let node: TestNode;
  let router: TestNode;
  let agent: LabProcess;
  let routerAgent: LabProcess;
  let api: RemoteFake;
  const pods: Pod[] = [];

  const start = async (): Promise<void> => {
    agent = await node.host.spawn(flatroute(...agentWords(node, clusterWords)), { log: 'agent.log' });
  };
  const attach = async (name: string): Promise<Pod> => {
    const list = JSON.parse(await node.host.readFile(CONFLIST)) as Conflist;
    const pod = await Pod.attach(new HostConflistRunner(node.host, list, [BIN]), name);
    pods.push(pod);
    return pod;
  };
  const untilReason = (reason: string): Promise<ConditionAnswer> =>
    eventually(reason, async () => {
      const { conditions } = await json<{ conditions: readonly ConditionAnswer[] }>(node, 'conditions');
      return conditions.find((it) => it.reason === reason);
    });
  const peer = async (): Promise<PeerAnswer | undefined> =>
    (await json<{ peers: readonly PeerAnswer[] }>(node, 'peers')).peers[0];
  const nodeState = (what: string, fits: (status: BGPNodeStatus) => boolean): Promise<BGPNodeStatus> =>
    eventually(what, async () => {
      const [object] = await api.objects('BGPNodeState');
      const status = object?.['status'] as BGPNodeStatus | undefined;
      return status !== undefined && fits(status) ? status : undefined;
    });

  before(async () => {
    const made = await makeNodes('agent-kubernetes');
    lab = made.lab;
    [node, router] = made.nodes;
    await node.host.run(flatroute('cni', 'install', '--binary-only', '--bin-dir', BIN));
    api = await fakeApiIn(node.host);
    await api.stop();
    await node.host.run(['mkdir', '-p', BOOTSTRAP, '/run/flatroute']);
    // As a kubelet leaves what it mounts.
    await node.host.run(['chmod', '755', '/run/flatroute']);
    await node.host.writeFile(`${BOOTSTRAP}/way.yaml`, `${manifests(1)['bgp.yaml']}---\n${peerManifest(2)}`);
    routerAgent = await startAgent(router);
  });
  after(async () => {
    await lab?.dispose();
  });

  test('without API and cache it speaks to whom the bootstrap directory names', async () => {
    await start();
    const status = await untilStatus(node, 'the session of the bootstrap directory', established, STARTING);
    assert.deepEqual(status.blocks, []);
    assert.equal((await node.host.run(['stat', '-c', '%a', '/run/flatroute'])).trim(), '700');
    await eventually('what the router announces', async () =>
      (await ourRoutes(node)).some((line) => line.startsWith('10.60.2.0/26 nhid')),
    );
  });

  test('when the API comes its node has blocks, which the router learns, and says what it does', async () => {
    await api.start();
    const { 'node.yaml': own = '', 'bgp.yaml': bgp = '', 'peer.yaml': toRouter = '' } = manifests(1);
    await api.apply(own.replace('{ name: node-1 }', '{ name: node-1, labels: { role: edge } }'));
    await api.apply(bgp);
    await api.apply(toRouter);
    await eventually('the block at the router', async () =>
      (await ourRoutes(router)).some((line) => line.startsWith('10.60.1.0/26 nhid')),
    );
    const status = await nodeState('the state of the node', (it) => it.blocks?.some((b) => b.announced) === true);
    assert.deepEqual([status.peers, status.established, status.asNumber], [1, 1, 65001]);
    const [written] = await api.objects('BGPNodeState');
    const [nodeObject] = await api.objects('Node');
    assert.deepEqual(
      written?.metadata.ownerReferences?.map((it) => [it.kind, it.name, it.uid]),
      [['Node', 'node-1', nodeObject?.metadata.uid]],
    );
    assert.equal((await fetchMetrics(node, '/readyz')).trim(), '200 ok');
  });

  test('pods come up by the list that it wrote, and the list comes back when it is taken away', async () => {
    await attach('first');
    await node.host.run(['rm', CONFLIST]);
    await eventually('the list', async () => (await node.host.exec(['test', '-e', CONFLIST])).code === 0);
  });

  test('at rest it asks the API nothing', async () => {
    let quietSince = performance.now();
    await api.requests();
    await eventually('two seconds without a request', async () => {
      if ((await api.requests()).length > 0) quietSince = performance.now();
      return performance.now() - quietSince > 2000;
    });
  });

  test('without the API sessions stay, and a killed agent starts from its cache: pods come and go', async () => {
    const before = await peer();
    await api.stop();
    agent.kill('SIGKILL');
    await agent.exited;
    await start();
    await untilStatus(node, 'the session again', established, STARTING);
    assert.deepEqual(
      (await json<{ pods: readonly { pod: string }[] }>(node, 'pods')).pods.map((it) => it.pod),
      ['first'],
    );
    const second = await attach('second');
    await second.detach();
    assert.equal((await peer())?.name, before?.name);
    await api.start();
  });

  test('a Secret that is missing holds the session down, one that comes opens it, and rotated it stays', async () => {
    await api.apply(peerManifest(2) + withPassword);
    await untilReason('SecretMissing');
    await writeFiles(router.host, {
      'peer.yaml': peerManifest(1) + withPassword,
      'secret.yaml': secret('one'),
    });
    await api.apply(secret('one'));
    await untilStatus(node, 'the session with a password', established);
    const flaps = (await peer())?.flaps;
    await api.apply(secret('two'));
    await writeFiles(router.host, { 'secret.yaml': secret('two') });
    // Both ends have it when both have heard each other since.
    const heard = (await peer())?.messagesReceived ?? 0;
    await router.host.run(flatroute('reset', '--soft', 'node-1'));
    await eventually('the router to be heard', async () => ((await peer())?.messagesReceived ?? 0) > heard);
    const now = await peer();
    assert.deepEqual([now?.state, now?.flaps], ['Established', flaps]);
  });

  test('labels of its Node decide which sessions it has, at once', async () => {
    await api.apply(`${peerManifest(2)}${withPassword}  nodeSelector: role == 'edge'\n`);
    const own = manifests(1)['node.yaml'] ?? '';
    await untilStatus(node, 'the session stays', established);
    await api.apply(own);
    await untilStatus(node, 'no peer', (status) => running(status) && status.bgp.peers === 0);
    await api.apply(own.replace('{ name: node-1 }', '{ name: node-1, labels: { role: edge } }'));
    await untilStatus(node, 'the session again', established);
  });

  test('a field that it does not know is a condition and no reset; a filter that is missing holds down and is told', async () => {
    const flaps = (await peer())?.flaps;
    const known = `${peerManifest(2)}${withPassword}`;
    await api.apply(`${known}  newField: 7\n`);
    const unknown = await untilReason('CONFIG_UNKNOWN_FIELD');
    assert.match(unknown.message, /newField/);
    // That the field is told of does not say that sessions run with the object yet.
    await untilStatus(node, 'the speaker to have what was read', (status) => {
      const { given, applied } = generationOf(status);
      return given === applied;
    });
    assert.deepEqual([(await peer())?.state, (await peer())?.flaps], ['Established', flaps]);
    await api.apply(`${known}  filters: [gone]\n`);
    const state = await nodeState(
      'what is wrong',
      (it) => it.conditions?.some((c) => c.reason === 'FilterMissing') === true,
    );
    const told = state.conditions?.find((it) => it.reason === 'FilterMissing');
    const [object] = await api.objects('BGPPeer');
    assert.deepEqual([told?.object, told?.observedGeneration], ['BGPPeer/node-2', object?.metadata.generation]);
  });

  test('with addresses of pools it claims a block, in its own name, and announces it', async () => {
    const pool =
      '{apiVersion: flatroute.io/v1alpha1, kind: IPPool, metadata: {name: pods}, spec: {cidr: 10.61.0.0/24}}\n';
    const { 'bgp.yaml': bgp = '' } = manifests(1);
    await api.apply(`${pool}---\n${bgp}  addressSource: IPPools\n---\n${peerManifest(2)}${withPassword}`);
    await eventually('the block at the router', async () =>
      (await ourRoutes(router)).some((line) => /^10\.61\.0\.\d+\/26 nhid/.test(line)),
    );
    const [block] = await api.objects('IPBlock');
    const [own] = await api.objects('Node');
    const spec = block?.['spec'] as { node: string; nodeUID: string; state: string } | undefined;
    assert.deepEqual([spec?.node, spec?.nodeUID, spec?.state], ['node-1', own?.metadata.uid, 'Claimed']);
  });

  test('a list of another network that comes first is a condition of the node', async () => {
    await node.host.writeFile('/etc/cni/net.d/00-other.conflist', '{"plugins": [{"type": "bridge"}]}');
    assert.match((await untilReason('ForeignConflist')).message, /00-other.conflist/);
  });

  test('a session that goes down is an Event on the Node', async () => {
    routerAgent.kill('SIGKILL');
    const event = await eventually('an Event', async () => {
      const found = await api.objects('Event');
      return found.find((it) => it['reason'] === 'NotEstablished' && it['type'] === 'Warning');
    });
    assert.equal((event['regarding'] as { name: string }).name, 'node-1');
    assert.match(String(event['note']), /^BGPPeer node-2: The session is /);
  });

  test('stopped, it leaves its list and its pods', async () => {
    agent.kill('SIGTERM');
    assert.equal((await agent.exited).code, 0);
    assert.equal((await node.host.exec(['test', '-e', CONFLIST])).code, 0);
    assert.match(
      await node.host.run(['ip', 'route', 'show', 'proto', '179']),
      new RegExp(pods[0]?.address('ipv4') ?? 'none'),
    );
  });
});
