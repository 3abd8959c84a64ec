// Callers and surroundings that mean no good, or have bad luck: none of it stops the service, leaks, or leaves a pod without network.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import { createNamespace, eventually, execute, type TestNamespace } from '../support/netns.ts';
import { call } from '../support/pod-calls.ts';
import { nodeIpv6, PodNode } from '../support/pod-node.ts';

let node: PodNode;
let pods: TestNamespace[] = [];

async function pod(): Promise<TestNamespace> {
  const made = await createNamespace('frt-pods');
  pods.push(made);
  return made;
}

/** The process behind nsenter. */
function agentPid(): string {
  const pid = String(node.agentPid);
  const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  return child === undefined || child === '' ? pid : child;
}
const descriptors = (): number => readdirSync(`/proc/${agentPid()}/fd`).length;

before(async () => {
  node = await PodNode.create();
  await node.startAgent();
  await node.run(['mkfifo', '/run/pipe']);
});
afterEach(async () => {
  for (const { container } of await node.rows()) await call(node, 'DEL', undefined, { containerId: container });
  await node.nothingLeft();
  for (const made of pods) await made.dispose();
  pods = [];
});
after(() => node.dispose());

describe('CNI_NETNS', () => {
  const deep = `/${'x/'.repeat(3000)}y`;
  for (const [what, netns, code, says] of [
    ['a pipe that nobody writes to', '/run/pipe', 4, /\/run\/pipe is no network namespace/],
    ['a directory with a name that is too long', `/${'x'.repeat(300)}/y`, 3, /ENAMETOOLONG/],
    ['a path that is too long', deep, 3, /ENAMETOOLONG/],
    ['a path that would paint a terminal', '/run/\u001b[31mred\nline', 3, /"\/run\/\\u001b\[31mred\\nline" cannot/],
  ] as const)
    test(`${what} is an error, which is short, and the next call is served`, async () => {
      const { error, stdout } = await call(node, 'ADD', undefined, { netns });
      assert.equal(error.code, code, stdout);
      assert.match(`${error.msg} ${error.details}`, says);
      assert.ok(stdout.length < 500);
      assert.equal((await call(node, 'ADD', await pod())).code, 0);
    });
});

test('more callers than there are descriptors: all are told to try again or wait, and the service lives', async () => {
  const pid = agentPid();
  const limited = await execute(['prlimit', '--pid', pid, `--nofile=${descriptors() + 12}:4096`]);
  assert.equal(limited.code, 0, limited.stderr);
  const callers = Array.from({ length: 60 }, () => createConnection({ path: node.path('/run/flatroute/cni.sock') }));
  try {
    const ended = callers.map((it) => new Promise((done) => it.on('error', done).on('end', done).on('close', done)));
    await Promise.race(ended);
    const { code, error } = await call(node, 'ADD', await pod());
    assert.ok(code === 0 || error.code === 11, JSON.stringify(error));
    for (const it of callers) it.destroy();
    await eventually(
      'a pod is joined',
      async () => (await call(node, 'ADD', await pod(), { containerId: 'b' })).code === 0,
    );
  } finally {
    for (const it of callers) it.destroy();
    await execute(['prlimit', '--pid', pid, '--nofile=4096:4096']);
  }
});

test('an ADD that comes again and again keeps no descriptor each time', async () => {
  const one = await pod();
  const options = { config: { runtimeConfig: { mac: '02:00:00:00:00:09' } } };
  await call(node, 'ADD', one, options);
  const first = descriptors();
  for (let i = 0; i < 20; i++) assert.equal((await call(node, 'ADD', one, options)).code, 0);
  assert.ok(descriptors() < first + 10, `${first} descriptors, then ${descriptors()}`);
});

test('a repeated ADD of a pod that has lost its addresses gives it a network', async () => {
  const one = await pod();
  await call(node, 'ADD', one);
  await one.run(['ip', 'addr', 'flush', 'dev', 'eth0']);
  const again = await call(node, 'ADD', one);
  for (const target of again.addresses)
    assert.equal((await node.exec(['ping', '-c', '1', '-W', '1', target])).code, 0, target);
});

test('IPv6 that is off for new interfaces of the node, or switched off under a pod, is on for those of pods', async () => {
  await node.run(['sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=1']);
  const one = await pod();
  const added = await call(node, 'ADD', one);
  assert.equal(added.code, 0, added.stdout);
  const answers = async (): Promise<boolean> => (await one.exec(['ping', '-c', '1', '-W', '1', nodeIpv6])).code === 0;
  assert.ok(await answers());
  await node.run(['sysctl', '-qw', `net.ipv6.conf.${added.result.interfaces[0]?.name}.disable_ipv6=1`]);
  assert.ok(!(await answers()));
  await node.tell({ do: 'lookAgain' });
  await eventually('it is on again', answers);
  await node.run(['sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=0']);
});
