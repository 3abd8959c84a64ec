// containerd and the agent go and come back in every order while pods run: no pod loses a packet, none is lost or leaked.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { milliseconds, seconds } from '#lib/time.ts';
import type { LabProcess } from '#lab/process.ts';
import { CNI_BINARIES, CNI_CONFIGURATION, cannotRunContainerd } from '#lab/runtime/containerd.ts';
import type { Sandbox } from '#lab/runtime/sandbox.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { RuntimeNode } from '../support/runtime-node.ts';

const ends = ['agent', 'containerd'] as const;
type End = (typeof ends)[number];
const other = (end: End): End => (end === 'agent' ? 'containerd' : 'agent');

describe('restarts of containerd and the agent', {
  skip: cannotRunContainerd(),
  concurrency: false,
  timeout: 600_000,
}, () => {
  let node: RuntimeNode;
  const pods: Sandbox[] = [];
  before(async () => {
    node = await RuntimeNode.create('with a router');
    await node.install();
    await node.untilNetwork(true);
    for (const name of ['one', 'two']) pods.push(await node.containerd.runPod({ name }));
  });
  after(async () => await node[Symbol.asyncDispose]());

  const stop = async (end: End, signal: NodeJS.Signals): Promise<void> => await node[end].stop(signal);
  const start = async (end: End): Promise<void> => await node[end].start();

  /** Only a pod shows which list containerd has read. */
  const untilNetworkIs = async (name: string): Promise<void> =>
    await waitFor(
      `containerd to have read the list of the network ${name}`,
      async () => {
        await node.calls();
        await node.containerd.removePod((await node.containerd.runPod({ name: 'probe' })).id);
        const [call] = await node.calls();
        return call?.configuration['name'] === name ? found(undefined) : notYet(JSON.stringify(call));
      },
      { deadline: seconds(60) },
    );

  for (const signal of ['SIGTERM', 'SIGKILL'] as const)
    for (const firstGone of ends)
      for (const firstBack of ends)
        test(`${signal} of ${firstGone}, then of ${other(firstGone)}; ${firstBack} is back first: no packet is lost`, async () => {
          const flows = await Promise.all(pods.flatMap((pod) => pod.addresses.map(async (it) => await ping(node, it))));
          await stop(firstGone, signal);
          await stop(other(firstGone), signal);
          await start(firstBack);
          // One that is asked for while the agent is away comes up when it is back.
          const early = firstBack === 'containerd' ? asKubelet(node, 'early') : undefined;
          await start(other(firstBack));
          const pod = await (early ?? node.containerd.runPod({ name: 'late' }));
          await node.answersAtOnce(pod);
          assert.equal((await node.agreed()).length, 6);
          await node.containerd.removePod(pod.id);
          for (const flow of flows) await lost(flow);
          assert.equal((await node.agreed()).length, 4);
        });

  test('without a conflist a sandbox cannot even be stopped; with it again it can', async () => {
    const pod = await node.containerd.runPod({ name: 'stuck' });
    await node.host.run(['rm', `${CNI_CONFIGURATION}/05-flatroute.conflist`]);
    await node.untilNetwork(false);
    await assert.rejects(node.containerd.cri.stopPodSandbox(pod.id), /cni plugin not initialized/);
    await node.install();
    await node.untilNetwork(true);
    await node.containerd.removePod(pod.id);
    assert.equal((await node.agreed()).length, 4);
  });

  test('a pod fails without the loopback plugin that containerd runs beside ours; when that is back kubelet removes what was left', async () => {
    const loopback = `${CNI_BINARIES}/loopback`;
    await node.host.run(['mv', loopback, '/run/loopback']);
    try {
      await assert.rejects(node.containerd.runPod({ name: 'without' }), /failed to find plugin "loopback"/);
    } finally {
      await node.host.run(['mv', '/run/loopback', loopback]);
    }
    // Without it containerd cannot undo either, so it keeps the sandbox as one that is not ready.
    for (const { id, ready } of await node.containerd.cri.listPodSandbox())
      if (!ready) await node.containerd.removePod(id);
    assert.equal((await node.agreed()).length, 4);
  });

  test('a network that is renamed under a pod: DEL speaks of the new name, and the pod is freed with its namespace', async () => {
    const pod = await node.containerd.runPod({ name: 'of-the-old-name' });
    const list = `${CNI_CONFIGURATION}/05-flatroute.conflist`;
    const text = await node.host.readFile(list);
    await node.host.writeFile(list, text.replace('"name": "flatroute"', '"name": "renamed"'));
    await untilNetworkIs('renamed');
    await node.containerd.removePod(pod.id);
    assert.equal((await node.agreed()).length, 4);
    await node.host.writeFile(list, text);
    // What libcni keeps by the old name stays: it was never told that the pod is gone.
    await node.host.run(['sh', '-c', `rm /var/lib/cni/results/*${pod.id}*`]);
    await untilNetworkIs('flatroute');
  });

  test('while the agent is away longer than the plugin waits, ADD fails with error 11 and DEL is kept for the agent', async () => {
    const stopped = await node.containerd.runPod({ name: 'stopped' });
    await node.calls();
    await stop('agent', 'SIGKILL');
    const failed = assert.rejects(
      node.containerd.runPod({ name: 'late' }),
      /plugin type="flatroute" failed \(add\): .*the flatroute agent does not answer .* try again/,
    );
    await node.containerd.removePod(stopped.id);
    await failed;
    const left = await node.calls();
    // Which of the two came first is containerd's business.
    assert.ok(left.some(({ verb, containerId }) => verb === 'ADD' && containerId !== stopped.id));
    assert.ok(left.some(({ verb, containerId }) => verb === 'DEL' && containerId === stopped.id));
    const spooled = (await node.host.run(['ls', '/run/flatroute/spool'])).trim().split('\n');
    assert.equal(spooled.length, left.filter(({ verb }) => verb === 'DEL').length, 'each DEL was written down');
    await start('agent');
    assert.equal((await node.agreed()).length, 4);
    assert.equal((await node.host.run(['ls', '/run/flatroute/spool'])).trim(), '');
    const late = await node.containerd.runPod({ name: 'late' });
    await node.answersAtOnce(late);
    await node.containerd.removePod(late.id);
    assert.deepEqual(await node.disagreements(), []);
  });

  const names = Array.from({ length: 8 }, (_, i) => `burst-${i}`);
  /** Some of the calls have been begun; none of the eight pods is up yet, or few are. */
  const untilCalled = async (): Promise<void> =>
    await waitFor(
      'the plugin to be called',
      async () => {
        const called = await node.callsSoFar();
        return called >= 3 ? found(undefined) : notYet(`${called} calls`);
      },
      { deadline: seconds(60), every: milliseconds(2) },
    );

  test('an agent that is killed while eight pods start: all come up when it is back, or at the second try', async () => {
    await node.calls();
    const asked = names.map(async (name) => await asKubelet(node, name));
    await untilCalled();
    await stop('agent', 'SIGKILL');
    await start('agent');
    const started = await Promise.all(asked);
    assert.equal((await node.agreed()).length, 20);
    for (const pod of started) await node.containerd.removePod(pod.id);
    assert.equal((await node.agreed()).length, 4);
    assert.deepEqual(await node.disagreements(), []);
  });

  const listed = async (directory: string): Promise<readonly string[]> =>
    (await node.host.run(['ls', directory])).split('\n').filter((name) => name !== '');
  const tasks = '/run/containerd/io.containerd.runtime.v2.task/k8s.io';

  test('containerd that is killed while eight pods start: what it remembers is removed, and that was all', async () => {
    await node.calls();
    const asked = Promise.allSettled(names.map(async (name) => await node.containerd.runPod({ name })));
    await untilCalled();
    await stop('containerd', 'SIGKILL');
    await asked;
    await start('containerd');
    for (const { id, name } of await node.containerd.cri.listPodSandbox())
      if (names.includes(name)) await node.containerd.removePod(id);
    assert.equal((await node.agreed()).length, 4);
    assert.deepEqual(await node.disagreements(), []);
    // What it had made and not yet written down is there still: a namespace without a pod, or only its name, or a task.
    const kept = pods.map(({ networkNamespace }) => networkNamespace);
    for (const name of await listed('/run/netns')) {
      if (kept.includes(name)) continue;
      assert.equal((await node.host.exec(['ip', '-n', name, '-br', 'link', 'show', 'type', 'veth'])).stdout, '');
      await node.host.run(['sh', '-c', 'umount "$0" 2>/dev/null; rm "$0"', `/run/netns/${name}`]);
    }
    const known = (await node.containerd.cri.listPodSandbox()).map(({ id }) => id);
    for (const id of await listed(tasks))
      if (!known.includes(id))
        await node.host.run(['sh', '-c', 'umount "$0/rootfs" 2>/dev/null; rm -r "$0"', `${tasks}/${id}`]);
  });

  test('nothing is left when the last pod is removed', async () => {
    for (const pod of pods) await node.containerd.removePod(pod.id);
    await node.nothingLeft();
  });
});

test('after a loss of power containerd remembers pods that the kernel does not: they are removed, and new ones get addresses', {
  skip: cannotRunContainerd(),
  timeout: 600_000,
}, async () => {
  await using before = await RuntimeNode.create('alone');
  await before.install();
  await before.untilNetwork(true);
  const old = await Promise.all(['a', 'b', 'c'].map(async (name) => await before.containerd.runPod({ name })));
  for (const end of [before.containerd, before.agent]) await end.stop('SIGKILL');
  await using node = await before.reboot();
  await node.install();
  await node.untilNetwork(true);
  const remembered = await node.containerd.cri.listPodSandbox();
  assert.deepEqual(remembered.map(({ id }) => id).sort(), old.map(({ id }) => id).sort());
  assert.ok(remembered.every(({ ready }) => !ready));
  assert.deepEqual(await node.agreed(), []);
  // kubelet starts the pods anew before it has removed what was.
  const pods = await Promise.all(
    ['a', 'b', 'c'].map(async (name) => await node.containerd.runPod({ name, attempt: 1 })),
  );
  for (const pod of pods) await node.answersAtOnce(pod);
  // libcni's cache is on the disk and has the old ones still; their namespaces are not.
  assert.deepEqual(await node.disagreements(), []);
  for (const { id } of old) await node.containerd.removePod(id);
  assert.equal((await node.agreed()).length, 6);
  assert.deepEqual(await node.disagreements(), []);
  for (const pod of pods) await node.answersAtOnce(pod);
  for (const { id } of pods) await node.containerd.removePod(id);
  await node.nothingLeft();
});

/** A busy machine may start an agent more slowly than the plugin waits: kubelet tries until the pod is there. */
async function asKubelet(node: RuntimeNode, name: string): Promise<Sandbox> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await node.containerd.runPod({ name, attempt });
    } catch (error) {
      if (attempt === 5 || !/try again/.test(String(error))) throw error;
    }
  }
}

async function ping(node: RuntimeNode, address: string): Promise<LabProcess> {
  const { router } = node;
  assert.ok(router !== undefined);
  return await router.host.spawn(['ping', '-i', '0.05', address], {
    log: `ping-${address.replaceAll(':', '-')}-${Date.now()}`,
  });
}

/** Ends it; the last one may still have been on its way. */
async function lost(flow: LabProcess): Promise<void> {
  flow.kill('SIGINT');
  await flow.exited;
  const text = await flow.log();
  const [, sent = '0', received = '0'] = /(\d+) packets transmitted, (\d+) received/.exec(text) ?? [];
  assert.ok(Number(sent) > 10, text);
  assert.ok(Number(received) >= Number(sent) - 1, text.split('\n').slice(-6).join('\n'));
}
