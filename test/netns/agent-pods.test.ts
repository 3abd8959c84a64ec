// Pods on the real agent through the real plugin: they reach each other across nodes, and neither a stop nor a kill of the
// agent touches them.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Conflist, HostConflistRunner } from '#lab/conflist.ts';
import type { Lab } from '#lab/lab.ts';
import { Pod } from '#lab/pod.ts';
import type { LabProcess } from '#lab/process.ts';
import { flatroute, referencePlugins } from '#lab/program.ts';
import type { BlockAnswer, PodAnswer } from '#status/answers.ts';
import {
  ask,
  established,
  fetchMetrics,
  json,
  makeNodes,
  manifests,
  startAgent,
  type TestNode,
  untilStatus,
  writeFiles,
} from '../support/agent-lab.ts';
import { eventually } from '../support/netns.ts';

describe('pods of two agents', { timeout: 600_000 }, () => {
  let lab: Lab | undefined;
  let nodes: readonly [TestNode, TestNode];
  const agents: LabProcess[] = [];
  const runners: HostConflistRunner[] = [];
  const pods: Pod[] = [];

  before(async () => {
    const made = await makeNodes('agent-pods');
    lab = made.lab;
    nodes = made.nodes;
    for (const node of nodes) {
      agents.push(await startAgent(node));
      await node.host.run(flatroute('cni', 'install', '--bin-dir', '/run/cni/bin', '--conf-dir', '/run/cni/net.d'));
      const conflist = JSON.parse(await node.host.readFile('/run/cni/net.d/05-flatroute.conflist')) as Conflist;
      const others = referencePlugins();
      assert.ok(others !== undefined, 'the reference plugins are installed');
      runners.push(new HostConflistRunner(node.host, conflist, ['/run/cni/bin', others]));
    }
    for (const node of nodes) await untilStatus(node, 'the session is established', established);
    for (const [i, runner] of runners.entries()) pods.push(await Pod.attach(runner, `web-${i + 1}`));
  });
  after(async () => {
    await lab?.dispose();
  });

  const reach = async (family: 'ipv4' | 'ipv6'): Promise<void> => {
    const [from, to] = pods;
    assert.ok(from !== undefined && to !== undefined);
    await eventually(`${from.name} reaches ${to.name} by ${family}`, async () => {
      return (await from.exec(['ping', '-c', '1', '-W', '1', to.address(family)])).code === 0;
    });
  };

  test('they reach each other by their own addresses, in both families', async () => {
    await reach('ipv4');
    await reach('ipv6');
  });

  test('pods, blocks and metrics say what is so', async () => {
    const [node] = nodes;
    const answer = await eventually('the pod is live', async () => {
      const rows = (await json<{ pods: readonly PodAnswer[] }>(node, 'pods')).pods;
      return rows.length === 1 && rows[0]?.state === 'live' && rows[0];
    });
    assert.deepEqual([answer.namespace, answer.pod, answer.interface], ['default', 'web-1', 'eth0']);
    assert.deepEqual([...answer.addresses].sort(), [...(pods[0]?.addresses ?? [])].sort());
    await eventually('both blocks have one address in use', async () => {
      const { blocks } = await json<{ blocks: readonly BlockAnswer[] }>(node, 'blocks');
      return blocks.map((b) => b.used).join() === '1,1';
    });
    for (const line of [
      'flatroute_pod_attach_seconds_count 1',
      'flatroute_ipam_addresses{pool="node",state="used",family="ipv4"} 1',
    ])
      await eventually(line, async () => (await fetchMetrics(node, '/metrics')).includes(line));
    const { stdout } = await ask(node, 'pods');
    assert.match(stdout, /^default\/web-1 +10\.60\.1\.\d+/m);
  });

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    test(`${signal} of the agent loses no packet between pods, and the next agent knows its pods`, async () => {
      const [node] = nodes;
      const [agent] = agents;
      const [from, to] = pods;
      assert.ok(agent !== undefined && from !== undefined && to !== undefined);
      // The record in the kernel has a hash of the network's name, so the name is known again at the next call;
      // its time counts from the boot, which the wall clock knows to a millisecond or two.
      const rows = async (): Promise<readonly object[]> =>
        (await json<{ pods: readonly PodAnswer[] }>(node, 'pods')).pods.map((row) => ({
          ...row,
          network: '',
          since: '',
        }));
      const before = await rows();
      const pinging = from.exec(['ping', '-i', '0.02', '-c', '150', '-W', '1', to.address('ipv4')]);
      agent.kill(signal);
      await agent.exited;
      agents[0] = await startAgent(node);
      await untilStatus(node, 'the session is back', established);
      const ping = await pinging;
      assert.match(ping.stdout, /150 received/, ping.stdout.split('\n').slice(-4).join('\n'));
      assert.deepEqual(await rows(), before);
      await from.check();
    });
  }

  test('what somebody takes from a live pod comes back', async () => {
    const [node] = nodes;
    const [from] = pods;
    assert.ok(from !== undefined);
    const address = from.address('ipv4');
    await node.host.run(['ip', 'route', 'del', `${address}/32`]);
    await eventually(
      'the route of the pod is back',
      async () => (await node.host.run(['ip', 'route', 'show', `${address}/32`])) !== '',
    );
    await reach('ipv4');
  });

  test('a pod whose block is taken from the node is named, and again fine when the block is back', async () => {
    const [node] = nodes;
    const [from] = pods;
    assert.ok(from !== undefined);
    const files = Object.entries(manifests(1)).map(([name, text]) => [
      name,
      text.replaceAll('10.60.1.0/26', '10.61.1.0/26'),
    ]);
    await writeFiles(node.host, Object.fromEntries(files) as Record<string, string>);
    const status = await untilStatus(node, 'the pod is named', ({ problems }) =>
      problems.some(({ reason }) => reason === 'PodsOutsideBlocks'),
    );
    const problem = status.problems.find(({ reason }) => reason === 'PodsOutsideBlocks');
    assert.match(
      problem?.message ?? '',
      new RegExp(`^${from.address('ipv4').replaceAll('.', '\\.')}.*in no block of `),
    );
    await from.check();
    await writeFiles(node.host, manifests(1));
    await untilStatus(node, 'nothing is said of it', ({ problems }) =>
      problems.every(({ reason }) => reason !== 'PodsOutsideBlocks'),
    );
    await reach('ipv4');
  });

  test('a DEL while the agent is away is done by the next one', async () => {
    const [node] = nodes;
    const [runner] = runners;
    assert.ok(runner !== undefined);
    const pod = await Pod.attach(runner, 'web-3');
    agents[0]?.kill('SIGKILL');
    await agents[0]?.exited;
    await pod.detach();
    agents[0] = await startAgent(node);
    await untilStatus(node, 'the agent runs', (status) => status.state === 'running');
    await eventually(
      'one pod is left',
      async () => (await json<{ pods: readonly PodAnswer[] }>(node, 'pods')).pods.length === 1,
    );
    await eventually(
      'the spool is empty',
      async () => (await node.host.run(['ls', '/run/flatroute/spool'])).trim() === '',
    );
  });

  test('when the last pod goes nothing of it is left', async () => {
    for (const pod of pods) await pod.detach();
    for (const node of nodes) {
      await eventually('no pod link is left', async () => !(await node.host.run(['ip', '-br', 'link'])).includes('fr'));
      const status = await untilStatus(node, 'every address is free', (s) =>
        s.blocks.every((b) => b.used === 0 && b.fenced === 0),
      );
      assert.equal(status.pods, 0);
    }
  });
});
