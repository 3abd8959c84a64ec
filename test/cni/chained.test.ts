// flatroute at the head of a list with the reference plugins behind it, run as a container runtime runs a list.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { conflist, install, uninstall } from '#cni/install.ts';
import { type Attachment, type Conflist, ConflistRunner } from '#lab/conflist.ts';
import { createNamespace, eventually, type TestNamespace } from '../support/netns.ts';
import { pluginPath, PodNode } from '../support/pod-node.ts';

let node: PodNode;
let pod: TestNamespace;
before(async () => {
  for (const plugin of ['portmap', 'bandwidth'])
    assert.ok(existsSync(`/usr/lib/cni/${plugin}`), `${plugin} is missing: install containernetworking-plugins`);
  node = await PodNode.create();
  await node.startAgent();
  pod = await createNamespace('frt-pods');
});
after(async () => {
  await pod.dispose();
  await node.dispose();
});

const attachment = (): Attachment => ({
  containerId: 'chained',
  interface: 'eth0',
  networkNamespace: pod.path,
  arguments: { IgnoreUnknown: '1', K8S_POD_NAMESPACE: 'default', K8S_POD_NAME: 'web' },
  runtimeConfig: {
    portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
    bandwidth: { ingressRate: 8_000_000, ingressBurst: 8_000_000, egressRate: 8_000_000, egressBurst: 8_000_000 },
    'io.kubernetes.cri.pod-annotations': { 'flatroute.io/ip-pools': 'node' },
  },
});

const runnerOf = (list: Conflist): ConflistRunner => new ConflistRunner(list, (call) => node.plugin(call));

async function reachesPort(): Promise<boolean> {
  // From inside the pod's own server to the node's port: portmap's rule for local traffic is enough to see it work.
  const script =
    "require('node:http').get('http://192.0.2.1:8080', (r) => { r.resume(); process.exit(r.statusCode === 200 ? 0 : 1); }).on('error', () => process.exit(1))";
  return (await node.exec([process.execPath, '-e', script])).code === 0;
}

test('flatroute + portmap: ADD, CHECK, traffic through the mapped port, DEL twice, nothing left', async () => {
  const list = conflist({}) as Conflist;
  const runner = runnerOf(list);
  const result = await runner.add(attachment());
  // The portmap of containernetworking-plugins 1.1.1 looks for the rules of both families in each family's table, so its
  // own CHECK fails behind every plugin; ours gets the final result that portmap returned.
  await runnerOf({ ...list, plugins: list.plugins.slice(0, 1) }).check(attachment(), result);
  const serve = "require('node:http').createServer((q, s) => s.end('hi')).listen(80, '0.0.0.0')";
  const server = spawn('ip', ['netns', 'exec', pod.name, process.execPath, '-e', serve], { stdio: 'ignore' });
  const ended = new Promise((resolve) => server.once('exit', resolve));
  try {
    await eventually('the mapped port answers', reachesPort);
  } finally {
    server.kill();
    await ended;
  }
  await runner.del(attachment(), result);
  await runner.del({ ...attachment(), networkNamespace: '' }, undefined);
  await node.nothingLeft();
});

test('flatroute + bandwidth: the host end is found and shaped', async () => {
  const list: Conflist = {
    cniVersion: '1.0.0',
    name: 'shaped',
    plugins: [{ type: 'flatroute' }, { type: 'bandwidth', capabilities: { bandwidth: true } }],
  };
  const runner = runnerOf(list);
  const result = await runner.add(attachment());
  assert.match(await node.run(['tc', 'qdisc', 'show', 'dev', result.interfaces?.[0]?.name ?? '']), /tbf/);
  await runner.del(attachment(), result);
  await node.nothingLeft();
});

test("a list whose later plugin fails is undone by the runtime's DEL", async () => {
  const list: Conflist = {
    cniVersion: '1.0.0',
    name: 'broken',
    plugins: [{ type: 'flatroute' }, { type: 'bandwidth', ingressRate: 8, ingressBurst: 0 }],
  };
  await assert.rejects(runnerOf(list).add(attachment()), /^AppError: bandwidth ADD of chained: /);
  await node.nothingLeft();
});

test('install() writes plugin and list by a rename in the same directory, again over a running one, and uninstall() takes them away', () => {
  const directory = mkdtempSync(join(tmpdir(), 'frt-pods-install-'));
  try {
    const options = {
      pluginSource: pluginPath,
      binaryDirectory: join(directory, 'bin'),
      configDirectory: join(directory, 'net.d'),
    };
    const first = install(options);
    const inode = statSync(first.binary).ino;
    install({ ...options, mtu: 9000 });
    assert.notEqual(statSync(first.binary).ino, inode);
    assert.equal(statSync(first.binary).mode & 0o777, 0o755);
    assert.deepEqual(readFileSync(first.binary), readFileSync(pluginPath));
    assert.deepEqual(readdirSync(options.configDirectory), ['05-flatroute.conflist']);
    const list = JSON.parse(readFileSync(first.config ?? '', 'utf8')) as {
      cniVersion: string;
      plugins: { type: string; mtu?: number }[];
    };
    assert.equal(list.cniVersion, '1.0.0');
    assert.deepEqual(
      list.plugins.map((plugin) => [plugin.type, plugin.mtu]),
      [
        ['flatroute', 9000],
        ['portmap', undefined],
      ],
    );
    uninstall(options);
    uninstall(options);
    assert.deepEqual([readdirSync(options.binaryDirectory), readdirSync(options.configDirectory)], [[], []]);
    assert.throws(() => install({ ...options, pluginSource: join(directory, 'none') }), { code: 'CNI_INSTALL' });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
