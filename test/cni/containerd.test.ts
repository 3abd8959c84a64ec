// Real containerd runs pods on a real agent: what a cluster's node does, asked over the CRI as kubelet asks.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { families, familyOf } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import { readAddresses } from '#lab/kernel.ts';
import { labScript } from '#lab/program.ts';
import { CNI_CONFIGURATION, cannotRunContainerd } from '#lab/runtime/containerd.ts';
import type { Sandbox } from '#lab/runtime/sandbox.ts';
import { eventually } from '../support/netns.ts';
import { nodeAddress, RuntimeNode } from '../support/runtime-node.ts';

const ANNOTATIONS = 'io.kubernetes.cri.pod-annotations';

describe('pods of containerd', { skip: cannotRunContainerd(), concurrency: false, timeout: 600_000 }, () => {
  let node: RuntimeNode;
  before(async () => {
    node = await RuntimeNode.create('with a router');
  });
  after(async () => await node[Symbol.asyncDispose]());

  const run = async (name: string, annotations: Readonly<Record<string, string>> = {}): Promise<Sandbox> =>
    await node.containerd.runPod({ name, annotations });
  const end = async (pod: Sandbox): Promise<void> => await node.containerd.removePod(pod.id);

  test('the node is not ready without a conflist, ready with it and not without it again, and containerd is not restarted', async () => {
    await node.untilNetwork(false);
    await node.install();
    await node.untilNetwork(true);
    await node.host.run(['rm', `${CNI_CONFIGURATION}/05-flatroute.conflist`]);
    await node.untilNetwork(false);
    await node.install();
    await node.untilNetwork(true);
    // Installing over what is there is an upgrade.
    await node.install();
    await node.untilNetwork(true);
    assert.equal(node.containerd.process.ended, false);
  });

  test('a sandbox has the addresses that agent and kernel say, and answers node and router with the first packet', async () => {
    const pod = await run('web');
    assert.deepEqual(pod.addresses.map(familyOf), ['ipv4', 'ipv6']);
    // All routes stand when RunPodSandbox has answered: nothing is waited for.
    assert.deepEqual(await node.routed(), [...pod.addresses].sort());
    await node.answersAtOnce(pod);
    assert.deepEqual(await node.agreed(), [...pod.addresses].sort());
    const [row] = await node.agent.questions.pods();
    assert.deepEqual([row?.namespace, row?.pod, row?.container], ['default', 'web', pod.id]);
    assert.deepEqual(
      (await readAddresses(pod)).filter((one) => !one.endsWith('::1') && one !== '127.0.0.1').sort(),
      [...pod.addresses].sort(),
    );
    await end(pod);
    await node.nothingLeft();
  });

  test('DEL comes with the namespace and the result of ADD, then without either, and both succeed', async () => {
    await node.calls();
    const pod = await run('twice');
    await node.containerd.cri.stopPodSandbox(pod.id);
    // The veth went with the first one, or is fenced; stopping again is what kubelet does.
    await node.containerd.cri.stopPodSandbox(pod.id);
    await node.containerd.cri.removePodSandbox(pod.id);
    const calls = await node.calls();
    const [add, first, ...more] = calls;
    assert.deepEqual([add?.verb, first?.verb], ['ADD', 'DEL']);
    assert.ok(more.length >= 1 && more.every(({ verb }) => verb === 'DEL'), JSON.stringify(more));
    assert.equal(first?.networkNamespace, add?.networkNamespace);
    assert.match(add?.networkNamespace ?? '', /^\/var\/run\/netns\/cni-/);
    assert.ok('prevResult' in (first?.configuration ?? {}));
    assert.deepEqual(
      more.map(({ networkNamespace, configuration }) => [networkNamespace, 'prevResult' in configuration]),
      more.map(() => ['', false]),
    );
    // What the agent names a pod by, and what it needs the capability for.
    const args = Object.fromEntries(add?.arguments.split(';').map((pair) => pair.split('=')) ?? []) as object;
    assert.deepEqual(args, {
      IgnoreUnknown: '1',
      K8S_POD_NAMESPACE: 'default',
      K8S_POD_NAME: 'twice',
      K8S_POD_INFRA_CONTAINER_ID: pod.id,
      K8S_POD_UID: 'uid-default-twice',
    });
    await node.nothingLeft();
  });

  test("a pod's annotations choose its pool, its addresses and its MAC", async () => {
    await node.calls();
    const tiny = await run('small', { 'flatroute.io/ip-pools': 'tiny' });
    assert.match(tiny.addresses.join(), /^10\.61\.0\.[12]$/);
    const mac = '02:00:5e:00:53:07';
    const wanted = { 'flatroute.io/ip-addresses': '10.62.0.7, fd62::7', 'flatroute.io/mac': mac };
    const fixed = await run('fixed', wanted);
    assert.deepEqual(fixed.addresses, ['10.62.0.7', 'fd62::7']);
    assert.match(await fixed.run(['ip', 'link', 'show', 'eth0']), new RegExp(`link/ether ${mac}`));
    await node.answersAtOnce(fixed);
    const said = (await node.calls()).map(({ configuration }) => configuration['runtimeConfig']);
    assert.deepEqual(said.at(-1), { [ANNOTATIONS]: wanted });
    // A fixed address is one pod's at a time; the next one gets it when the first is gone.
    await assert.rejects(run('second', wanted), /10\.62\.0\.7/);
    await end(fixed);
    const second = await run('second', wanted);
    assert.deepEqual(second.addresses, ['10.62.0.7', 'fd62::7']);
    for (const pod of [tiny, second]) await end(pod);
    await node.nothingLeft();
  });

  test('a pool that is full fails the sandbox with its name, leaves nothing, and works again when an address is free', async () => {
    const tiny = { 'flatroute.io/ip-pools': 'tiny' };
    const pods = [await run('full-1', tiny), await run('full-2', tiny)];
    await node.calls();
    await assert.rejects(run('full-3', tiny), (error: Error) => {
      // containerd hands the plugin's own words up to kubelet, and so to `kubectl describe pod`.
      assert.match(error.message, /plugin type="flatroute" failed \(add\): .*tiny/);
      return true;
    });
    const verbs = (await node.calls()).map(({ verb }) => verb);
    assert.equal(verbs[0], 'ADD');
    assert.ok(verbs.length >= 2 && verbs.slice(1).every((verb) => verb === 'DEL'), verbs.join());
    assert.equal((await node.agreed()).length, 2);
    await end(pods[0] as Sandbox);
    const third = await run('full-3', tiny);
    await node.answersAtOnce(third);
    await end(third);
    await end(pods[1] as Sandbox);
    await node.nothingLeft();
  });

  test('a host port reaches the pod from the router in both families, and is closed with the pod', async () => {
    const ports = [{ hostPort: 18080, containerPort: 8080, protocol: 'tcp' }] as const;
    const pod = await node.containerd.runPod({ name: 'port', ports });
    const server = await pod.spawn(labScript('witness.ts', 'listen', '8080', 'behind the port'));
    const from = node.router?.host;
    const ask = async (): Promise<readonly string[]> => {
      const words = labScript('witness.ts', 'ask', '18080', ...families.map(nodeAddress));
      return ((await from?.run(words)) ?? '').trim().split('\n');
    };
    const answers = await eventually('the port answers in both families', async () => {
      const lines = await ask();
      return lines.every((line) => line.includes('behind the port')) && lines;
    });
    assert.equal(answers.length, 2);
    server.kill('SIGKILL');
    await server.exited;
    await end(pod);
    await node.nothingLeft();
  });

  test("a pod in the network of the node is none of the plugin's business", async () => {
    await node.calls();
    const pod = await node.containerd.runPod({ name: 'of-the-node', hostNetwork: true });
    assert.deepEqual(pod.addresses, []);
    assert.match(await pod.run(['ip', '-br', 'link']), /^router/m);
    await end(pod);
    assert.deepEqual(await node.calls(), []);
  });

  test('200 sandboxes, 8 at a time: all addresses differ and answer, runtime, agent and kernel agree; then all are gone', async () => {
    const names = Array.from({ length: 200 }, (_, i) => `many-${i}`);
    const pods = await inParallel(names, async (name) => await run(name));
    const addresses = pods.flatMap((pod) => pod.addresses);
    assert.equal(new Set(addresses).size, 400);
    assert.deepEqual(await node.agreed(), [...addresses].sort());
    const script = 'for a in "$@"; do ping -c1 -W2 "$a" >/dev/null || echo "$a"; done';
    const silent = await inParallel(chunks(addresses, 50), async (some) =>
      node.router?.host.run(['sh', '-c', script, 'sh', ...some], { timeout: seconds(60) }),
    );
    assert.equal(silent.join(''), '');
    assert.deepEqual(await node.disagreements(), []);
    await inParallel(pods, end);
    await node.nothingLeft();
  });
});

const chunks = <T>(all: readonly T[], size: number): readonly (readonly T[])[] =>
  all.flatMap((_, i) => (i % size === 0 ? [all.slice(i, i + size)] : []));

/** Eight at a time, results in the order of the input. */
async function inParallel<T, R>(all: readonly T[], action: (one: T) => Promise<R>): Promise<readonly R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < all.length; i = next++) results[i] = await action(all[i] as T);
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  return results;
}
