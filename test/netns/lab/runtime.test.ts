// containerd in a lab: nothing of it outlives its host or its owner.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';
import { test } from 'node:test';
import { seconds } from '#lib/time.ts';
import { Lab } from '#lab/lab.ts';
import { removeLeftovers } from '#lab/leftovers.ts';
import { execute } from '#lab/process.ts';
import { cannotRunContainerd, Containerd, installCni } from '#lab/runtime/containerd.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';

const skip = cannotRunContainerd();
const cgroupsOf = (lab: string): readonly string[] =>
  globSync([`/sys/fs/cgroup/flatroute-lab/*/${lab}`, `/sys/fs/cgroup/*/flatroute-lab/*/${lab}`]);
const processesOf = async (host: string): Promise<string> =>
  (await execute(['ps', '-e', '-o', 'args='])).stdout
    .split('\n')
    .filter((line) => /^\/pause|containerd/.test(line) && line.includes(host))
    .join('\n');

test("a sandbox on a host, its shim and its cgroup go with the host; its default paths are the host's own", {
  skip,
}, async (t) => {
  const before = existsSync('/opt/containerd');
  const lab = await Lab.create('runtime');
  t.after(async () => await lab.dispose());
  const host = await lab.addHost('node');
  const containerd = await Containerd.prepare(host);
  await containerd.start();
  assert.match(await containerd.cri.version(), /^containerd /);
  assert.equal((await containerd.cri.condition('NetworkReady')).status, false);
  await installCni(host);
  await containerd.untilNetwork(true);
  const pod = await containerd.runPod({ name: 'pod', hostNetwork: true });
  assert.deepEqual(await containerd.cri.listPodSandbox(), [{ id: pod.id, name: 'pod', ready: true }]);
  assert.notDeepEqual(cgroupsOf(lab.name), []);
  assert.equal((await host.processes()).filter((line) => /\/pause$|containerd-shim/.test(line)).length, 2);
  // A daemon that is killed leaves its sandboxes, and knows them when it is back.
  await containerd.stop('SIGKILL');
  await containerd.start();
  assert.deepEqual(await containerd.cri.listPodSandbox(), [{ id: pod.id, name: 'pod', ready: true }]);
  await lab.dispose();
  assert.deepEqual(cgroupsOf(lab.name), []);
  assert.equal(await processesOf(pod.id), '');
  assert.equal(existsSync('/opt/containerd'), before);
});

test('what an owner leaves that is killed goes with the next look for leftovers', { skip }, async () => {
  const words = ['--disable-warning=ExperimentalWarning', 'test/netns/lab/owner.ts', 'runtime'];
  const owner = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  const name = await new Promise<string>((resolve) => {
    owner.stdout.setEncoding('utf8').once('data', (text: string) => resolve(text.trim()));
  });
  removeLeftovers();
  assert.notDeepEqual(cgroupsOf(name), [], 'those of a living lab are not touched');
  owner.kill('SIGKILL');
  await new Promise((resolve) => owner.once('exit', resolve));
  await waitFor(
    'the cgroups to be gone',
    async () => {
      removeLeftovers();
      const left = cgroupsOf(name);
      return await Promise.resolve(left.length === 0 ? found(undefined) : notYet(left.join(' ')));
    },
    { deadline: seconds(60) },
  );
});
