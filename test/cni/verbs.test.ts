// Every verb through the real plugin, the real server and the real kernel.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import type { ChildProcess } from 'node:child_process';
import { after, afterEach, before, describe, test } from 'node:test';
import { createNamespace, eventually, type TestNamespace } from '../support/netns.ts';
import { call } from '../support/pod-calls.ts';
import { impatient, nodeIpv4, nodeIpv6, PodNode } from '../support/pod-node.ts';

let node: PodNode;
let pods: TestNamespace[] = [];

async function pod(): Promise<TestNamespace> {
  const made = await createNamespace('frt-pods');
  pods.push(made);
  return made;
}

async function pings(from: TestNamespace, to: string): Promise<boolean> {
  return (await from.exec(['ping', '-c', '1', '-W', '1', '-i', '0.2', to])).code === 0;
}

/** With an agent that gives up what it waits for after a moment. */
async function soonGivenUp(action: () => Promise<void>): Promise<void> {
  await node.killAgent();
  await node.startAgent(undefined, undefined, impatient);
  try {
    await action();
  } finally {
    await node.killAgent();
    await node.startAgent();
  }
}

before(async () => {
  node = await PodNode.create();
  await node.startAgent();
});
afterEach(async () => {
  // What a test that failed has left behind is not the next one's.
  node.signalAgent('SIGCONT');
  await node.tell({ do: 'gate', gate: { anySession: false, announcedBlocks: [] } });
  await node.tell({ do: 'holdReaper', held: false });
  for (const made of pods) await made.dispose();
  pods = [];
  if ((await node.rows()).length === 0) return;
  await node.tell({ do: 'lookAgain' });
  await node.nothingLeft();
});
after(() => node.dispose());

describe('ADD', () => {
  for (const version of ['0.3.1', '0.4.0', '1.0.0', '1.1.0']) {
    test(`answers in version ${version} with what the kernel really has`, async () => {
      const one = await pod();
      const added = await call(node, 'ADD', one, { version });
      assert.equal(added.code, 0, added.stdout);
      assert.equal(added.result.cniVersion, version);
      assert.deepEqual(
        added.result.ips.map((ip) => ip.version),
        version < '1.0.0' ? ['4', '6'] : [undefined, undefined],
      );
      assert.deepEqual(
        added.result.interfaces.map((one) => one.mtu),
        version === '1.1.0' ? [1500, 1500] : [undefined, undefined],
      );
      assert.equal(added.result.interfaces[1]?.sandbox, one.path);
      const inside = await one.run(['ip', '-o', 'addr', 'show', 'dev', 'eth0']);
      for (const ip of added.result.ips)
        assert.ok(inside.includes(` ${ip.address} `), `${ip.address} not in ${inside}`);
      const mac = (await one.run(['cat', '/sys/class/net/eth0/address'])).trim();
      assert.equal(added.result.interfaces[1]?.mac, mac);
      assert.equal((await call(node, 'DEL', one, { version })).code, 0);
      await node.nothingLeft();
    });
  }

  test('pod and node, and two pods, reach each other over both families', async () => {
    const [one, two] = [await pod(), await pod()];
    const first = await call(node, 'ADD', one, { containerId: 'a' });
    const second = await call(node, 'ADD', two, { containerId: 'b' });
    for (const target of [nodeIpv4, nodeIpv6, ...second.addresses])
      assert.ok(await pings(one, target), `a -> ${target}`);
    for (const target of first.addresses) {
      assert.ok(await pings(two, target), `b -> ${target}`);
      assert.equal((await node.exec(['ping', '-c', '1', '-W', '1', target])).code, 0, `node -> ${target}`);
    }
    const routes = await node.run(['ip', 'route', 'show', 'proto', '179']);
    assert.match(routes, new RegExp(`^${first.addresses[0]} dev fr[0-9a-f]{12} scope link src ${nodeIpv4}`, 'm'));
    await call(node, 'DEL', one, { containerId: 'a' });
    await call(node, 'DEL', two, { containerId: 'b' });
  });

  test('again in the same namespace gives the same answer', async () => {
    const one = await pod();
    const first = await call(node, 'ADD', one);
    const second = await call(node, 'ADD', one);
    assert.equal(second.code, 0, second.stdout);
    assert.deepEqual(second.result, first.result);
    await call(node, 'DEL', one);
  });

  test('again in another namespace waits for the end of the earlier interface', async () => {
    const [one, two] = [await pod(), await pod()];
    const first = await call(node, 'ADD', one);
    const second = await call(node, 'ADD', two);
    assert.equal(second.code, 0, second.stdout);
    assert.notDeepEqual(second.addresses, first.addresses);
    assert.equal((await one.exec(['ip', 'link', 'show', 'eth0'])).code, 1);
    assert.ok(await pings(two, nodeIpv4));
    await call(node, 'DEL', two);
  });

  test('right after DEL waits for its own pending deletion', async () => {
    const one = await pod();
    await call(node, 'ADD', one);
    await node.tell({ do: 'holdReaper', held: true });
    assert.equal((await call(node, 'DEL', one)).code, 0);
    const waiting = call(node, 'ADD', one);
    await node.tell({ do: 'holdReaper', held: false });
    assert.equal((await waiting).code, 0);
    await call(node, 'DEL', one);
  });

  test('right after DEL fails with 11 when its pending deletion does not come to an end', async () => {
    await soonGivenUp(async () => {
      const one = await pod();
      await call(node, 'ADD', one);
      await node.tell({ do: 'holdReaper', held: true });
      assert.equal((await call(node, 'DEL', one)).code, 0);
      assert.equal((await call(node, 'ADD', one)).error.code, 11);
      await node.tell({ do: 'holdReaper', held: false });
      await node.nothingLeft();
    });
  });

  test('after the namespace vanished without DEL works under the same name', async () => {
    const [one, two] = [await pod(), await pod()];
    await call(node, 'ADD', one);
    await one.dispose();
    await eventually('the host end is gone', async () => !(await node.leftovers()).includes('frt'));
    const again = await call(node, 'ADD', two);
    assert.equal(again.code, 0, again.stdout);
    await call(node, 'DEL', two);
  });

  test('a second interface answers by itself and leaves the first one its default route', async () => {
    const one = await pod();
    await call(node, 'ADD', one);
    const further = await call(node, 'ADD', one, { interfaceName: 'net1', network: 'other' });
    assert.equal(further.code, 0, further.stdout);
    assert.deepEqual(further.result.routes, []);
    assert.match(await one.run(['ip', 'route', 'show', 'default']), /^default via 169\.254\.1\.1 dev eth0/);
    for (const target of further.addresses)
      assert.equal((await node.exec(['ping', '-c', '1', '-W', '1', target])).code, 0, target);
    const third = await call(node, 'ADD', one, { interfaceName: 'net2', network: 'other' });
    assert.equal(third.code, 0, third.stdout);
    for (const target of third.addresses)
      assert.equal((await node.exec(['ping', '-c', '1', '-W', '1', target])).code, 0, target);
    for (const interfaceName of ['net1', 'net2']) await call(node, 'DEL', one, { interfaceName, network: 'other' });
    await call(node, 'DEL', one);
  });

  test('options: mtu, routes, sysctl, MAC, a fixed address and a pool', async () => {
    const one = await pod();
    const added = await call(node, 'ADD', one, {
      args: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;IP=10.98.0.7;FOO=bar',
      config: {
        mtu: 1400,
        routes: [{ dst: '10.0.0.0/8' }, { dst: '2001:db8::/32' }],
        sysctl: { 'net.ipv4.conf.IFNAME.arp_ignore': '2' },
        runtimeConfig: { mac: '02:11:22:33:44:55' },
      },
    });
    assert.equal(added.code, 0, added.stdout);
    assert.equal(added.addresses[0], '10.98.0.7');
    assert.equal(added.result.interfaces[1]?.mac, '02:11:22:33:44:55');
    assert.equal((await one.run(['cat', '/sys/class/net/eth0/mtu'])).trim(), '1400');
    assert.equal((await one.run(['cat', '/proc/sys/net/ipv4/conf/eth0/arp_ignore'])).trim(), '2');
    assert.match(await one.run(['ip', 'route']), /^10\.0\.0\.0\/8 via 169\.254\.1\.1/m);
    assert.equal((await one.run(['ip', 'route', 'show', 'default'])).trim(), '');
    const [row] = await node.rows();
    assert.equal(`${row?.namespace}/${row?.pod}`, 'shop/web-0');
    const taken = await call(node, 'ADD', await pod(), { containerId: 'other', args: 'IP=10.98.0.7' });
    assert.equal(taken.error.code, 7);
    assert.match(taken.error.msg, /10\.98\.0\.7 is in use/);
    await call(node, 'DEL', one);
  });

  test('annotations that come with the request name pools and addresses', async () => {
    const one = await pod();
    const added = await call(node, 'ADD', one, {
      config: {
        runtimeConfig: {
          'io.kubernetes.cri.pod-annotations': {
            'flatroute.io/ip-pools': '["tiny"]',
            'flatroute.io/mac': '02-00-00-00-00-07',
            other: 'x',
          },
        },
      },
    });
    assert.equal(added.code, 0, added.stdout);
    assert.match(added.addresses.join(), /^10\.97\.0\.[12]$/);
    assert.equal(added.result.interfaces[1]?.mac, '02:00:00:00:00:07');
    await call(node, 'DEL', one);
  });

  test('a namespace in which the runtime switched IPv6 off gets it back on our interface', async () => {
    const one = await pod();
    await one.run(['sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1', 'net.ipv6.conf.default.disable_ipv6=1']);
    const added = await call(node, 'ADD', one);
    assert.equal(added.code, 0, added.stdout);
    assert.ok(await pings(one, nodeIpv6));
    await call(node, 'DEL', one);
  });

  test('a full pool is error 100 and names the pool; a fenced address is waited for', async () => {
    const options = { config: { ipam: { pools: ['tiny'] } } };
    const three = [await pod(), await pod(), await pod()] as const;
    for (const [i, one] of three.slice(0, 2).entries())
      assert.equal((await call(node, 'ADD', one, { ...options, containerId: `t${i}` })).code, 0);
    const full = await call(node, 'ADD', three[2], { ...options, containerId: 't2' });
    assert.equal(full.error.code, 100);
    assert.match(full.error.msg, /tiny/);
    await node.tell({ do: 'holdReaper', held: true });
    await call(node, 'DEL', three[0], { ...options, containerId: 't0' });
    const waiting = call(node, 'ADD', three[2], { ...options, containerId: 't2' });
    await node.tell({ do: 'holdReaper', held: false });
    assert.equal((await waiting).code, 0);
    await call(node, 'DEL', three[1], { ...options, containerId: 't1' });
    await call(node, 'DEL', three[2], { ...options, containerId: 't2' });
  });

  test('refuses while an announcement is required and no session is up, and leaves nothing', async () => {
    const answer = await call(node, 'ADD', await pod(), { config: { requireAnnouncement: true } });
    assert.equal(answer.error.code, 11, answer.stdout);
    assert.match(answer.error.msg, /no BGP session/);
    assert.equal((await call(node, 'DEL', undefined)).code, 0);
    await node.nothingLeft();
  });

  test('refuses an interface that the pod already has, and takes back what it made', async () => {
    const one = await pod();
    await one.run(['ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'other']);
    const answer = await call(node, 'ADD', one);
    assert.equal(answer.error.code, 101, answer.stdout);
    assert.match(answer.error.msg, /already has an interface eth0/);
    await node.nothingLeft();
  });
});

describe('ADD and the routing protocol', () => {
  const announced = { anySession: true, announcedBlocks: ['10.99.0.0/24', '2001:db8:99::/120'] } as never;

  test('waits until the block was announced to a session', async () => {
    const one = await pod();
    await node.tell({ do: 'gate', gate: { anySession: true, announcedBlocks: [] } });
    const waiting = call(node, 'ADD', one, { config: { requireAnnouncement: true } });
    await eventually('the pod is being built', async () => (await node.rows()).some((row) => row.state === 'building'));
    await node.tell({ do: 'gate', gate: announced });
    const added = await waiting;
    assert.equal(added.code, 0, added.stdout);
    await call(node, 'DEL', one);
  });

  test('gives up after a bounded time: error 11 where it is required, an event where it is not', async () => {
    await soonGivenUp(async () => {
      const one = await pod();
      await node.tell({ do: 'gate', gate: { anySession: true, announcedBlocks: [] } });
      const required = await call(node, 'ADD', one, { config: { requireAnnouncement: true } });
      assert.equal(required.error.code, 11);
      await node.nothingLeft();
      node.events.length = 0;
      const tolerated = await call(node, 'ADD', one);
      assert.equal(tolerated.code, 0, tolerated.stdout);
      await eventually('it is told', () => node.events.some((event) => event.name === 'pod_unannounced'));
      await call(node, 'DEL', one);
      await node.nothingLeft();
    });
  });

  test('is undone when its caller is killed while it waits', async () => {
    const one = await pod();
    await node.tell({ do: 'gate', gate: { anySession: true, announcedBlocks: [] } });
    const killed = call(node, 'ADD', one, {
      onStart: (child) => {
        void eventually('the pod is being built', async () =>
          (await node.rows()).some((row) => row.state === 'building'),
        ).then(() => child.kill('SIGKILL'));
      },
    });
    await assert.rejects(killed.then((answer) => assert.equal(answer.code, 0)));
    await node.nothingLeft();
    await node.tell({ do: 'gate', gate: { anySession: false, announcedBlocks: [] } });
    assert.equal((await call(node, 'ADD', one)).code, 0);
    await call(node, 'DEL', one);
  });

  test('stands when a repetition is killed with the answer unread', async () => {
    const one = await pod();
    assert.equal((await call(node, 'ADD', one)).code, 0);
    node.events.length = 0;
    let plugin: ChildProcess | undefined;
    node.signalAgent('SIGSTOP');
    const killed = call(node, 'ADD', one, {
      onStart: (child) => {
        plugin = child;
      },
    });
    const process = `/proc/${plugin?.pid ?? 0}`;
    await eventually(
      'the plugin waits for its answer',
      () => existsSync(`${process}/fd/3`) && readFileSync(`${process}/wchan`, 'utf8').includes('poll'),
    );
    plugin?.kill('SIGSTOP');
    node.signalAgent('SIGCONT');
    await node.rows();
    await call(node, 'STATUS', undefined);
    plugin?.kill('SIGKILL');
    await killed.catch(() => undefined);
    await call(node, 'STATUS', undefined);
    await node.tell({ do: 'holdReaper', held: false });
    assert.deepEqual(
      (await node.rows()).map((row) => row.state),
      ['live'],
    );
    assert.ok(!node.events.some((event) => event.name === 'pod_taken_back'));
    await call(node, 'DEL', undefined);
  });

  test('is taken back when its caller is killed with the answer unread', async () => {
    const one = await pod();
    await node.tell({ do: 'gate', gate: { anySession: true, announcedBlocks: [] } });
    let plugin: ChildProcess | undefined;
    const killed = call(node, 'ADD', one, {
      config: { requireAnnouncement: true },
      onStart: (child) => {
        plugin = child;
      },
    });
    await eventually('the pod is being built', async () => (await node.rows()).some((row) => row.state === 'building'));
    plugin?.kill('SIGSTOP');
    await node.tell({ do: 'gate', gate: announced });
    await eventually('the pod is live', async () => (await node.rows()).some((row) => row.state === 'live'));
    plugin?.kill('SIGKILL');
    await killed.catch(() => undefined);
    await node.nothingLeft();
    assert.ok(node.events.some((event) => event.name === 'pod_taken_back'));
    await node.tell({ do: 'gate', gate: { anySession: false, announcedBlocks: [] } });
  });
});

describe('DEL', () => {
  test('succeeds twice, for the unknown, without namespace and without a usable configuration', async () => {
    const one = await pod();
    assert.equal((await call(node, 'DEL', one, { containerId: 'never-added' })).code, 0);
    await call(node, 'ADD', one);
    assert.equal((await call(node, 'DEL', one)).code, 0);
    assert.equal((await call(node, 'DEL', undefined)).code, 0);
    await node.nothingLeft();
    await call(node, 'ADD', one);
    assert.equal((await call(node, 'DEL', undefined, { config: { nonsense: true, ipam: 7 } })).code, 0);
    await node.nothingLeft();
    await call(node, 'ADD', one);
    assert.equal((await call(node, 'DEL', undefined, { stdin: 'not JSON' })).code, 0);
    await node.nothingLeft();
  });

  test('takes the fence up at once: nothing reaches the pod and nothing it sends counts, before its veth is gone', async () => {
    const [one, two] = [await pod(), await pod()];
    await call(node, 'ADD', one, { containerId: 'a' });
    const other = await call(node, 'ADD', two, { containerId: 'b' });
    await node.tell({ do: 'holdReaper', held: true });
    assert.equal((await call(node, 'DEL', one, { containerId: 'a' })).code, 0);
    const [row] = (await node.rows()).filter((candidate) => candidate.container === 'a');
    assert.equal(row?.state, 'dying');
    // IPv6: strict reverse path, which would drop it too, is IPv4 only.
    const before = await receivedEchos(two);
    await one.exec(['ping', '-c', '2', '-W', '1', '-i', '0.2', other.addresses[1] ?? '']);
    assert.equal(await receivedEchos(two), before, 'packets of a fenced pod arrived');
    assert.equal((await node.exec(['ping', '-c', '1', '-W', '1', other.addresses[1] ?? ''])).code, 0);
    assert.notEqual(await receivedEchos(two), before, 'the counter counts');
    await node.tell({ do: 'holdReaper', held: false });
    await call(node, 'DEL', two, { containerId: 'b' });
  });

  test('forgets the connections of an address before it can be given again', async () => {
    const [one, two] = [await pod(), await pod()];
    const options = { config: { ipam: { pools: ['tiny'] } } };
    await node.run([
      'nft',
      'add table ip probe; add chain ip probe c { type filter hook forward priority 0; }; add rule ip probe c ct state new accept',
    ]);
    const added = await call(node, 'ADD', one, { ...options, containerId: 'a' });
    const peer = await call(node, 'ADD', two, { containerId: 'b' });
    assert.ok(await pings(one, peer.addresses[0] ?? ''));
    const entries = async (): Promise<string> =>
      (await node.exec(['conntrack', '-L', '-s', added.addresses[0] ?? ''])).stdout;
    assert.match(await entries(), /icmp/);
    await call(node, 'DEL', one, { ...options, containerId: 'a' });
    await eventually('only the other pod is left', async () => (await node.rows()).length === 1);
    assert.equal((await entries()).trim(), '');
    await call(node, 'DEL', two, { containerId: 'b' });
    await node.run(['nft', 'delete table ip probe']);
  });
});

/** ICMPv6 echo requests that the pod has seen. */
async function receivedEchos(pod: TestNamespace): Promise<string> {
  return /^Icmp6InEchos\s+(\d+)/m.exec(await pod.run(['nstat', '-asz']))?.[1] ?? assert.fail('no counter');
}

describe('CHECK', () => {
  test('passes what is as it was added', async () => {
    const one = await pod();
    const added = await call(node, 'ADD', one);
    for (const version of ['0.4.0', '1.0.0', '1.1.0']) {
      const checked = await call(node, 'CHECK', one, { version, config: { prevResult: added.result } });
      assert.equal(checked.code, 0, checked.stdout);
    }
    assert.equal(
      (await call(node, 'CHECK', one, { version: '0.3.1', config: { prevResult: added.result } })).error.code,
      1,
    );
    assert.equal((await call(node, 'CHECK', one)).error.code, 7, 'without prevResult');
    await call(node, 'DEL', one);
    assert.equal((await call(node, 'CHECK', one, { config: { prevResult: added.result } })).error.code, 3);
  });

  const broken: readonly {
    readonly name: string;
    readonly inPod: boolean;
    readonly command: (host: string, address: string) => string[];
    readonly says: RegExp;
  }[] = [
    {
      name: 'a lost address',
      inPod: true,
      command: (_, address) => ['ip', 'addr', 'del', `${address}/32`, 'dev', 'eth0'],
      says: /lost the address/,
    },
    {
      name: 'a changed MAC address',
      inPod: true,
      command: () => ['ip', 'link', 'set', 'eth0', 'address', '02:99:99:99:99:99'],
      says: /02:99:99:99:99:99/,
    },
    {
      name: 'a lost default route',
      inPod: true,
      command: () => ['ip', 'route', 'del', 'default'],
      says: /route to 0\.0\.0\.0\/0/,
    },
    {
      name: 'a lost neighbour entry of the gateway',
      inPod: true,
      command: () => ['ip', 'neigh', 'del', '169.254.1.1', 'dev', 'eth0'],
      says: /169\.254\.1\.1/,
    },
    {
      name: 'a gateway with another MAC address',
      inPod: true,
      command: () => ['ip', 'neigh', 'replace', '169.254.1.1', 'lladdr', '02:99:99:99:99:99', 'dev', 'eth0'],
      says: /169\.254\.1\.1 is missing or another/,
    },
    {
      name: 'a host end with another MAC address',
      inPod: false,
      command: (host) => ['ip', 'link', 'set', host, 'address', '02:99:99:99:99:99'],
      says: /has the MAC address 02:99/,
    },
    {
      name: 'a host end whose group cuts its pod off',
      inPod: false,
      command: (host) => ['ip', 'link', 'set', host, 'group', '2819'],
      says: /link group 2819/,
    },
    {
      name: "a lost route of the node's",
      inPod: false,
      command: (_, address) => ['ip', 'route', 'del', `${address}/32`],
      says: /node's route/,
    },
    {
      name: 'a host end that is down',
      inPod: false,
      command: (host) => ['ip', 'link', 'set', host, 'down'],
      says: /is down/,
    },
  ];
  for (const { name, inPod, command, says } of broken) {
    test(`names ${name}`, async () => {
      const one = await pod();
      const added = await call(node, 'ADD', one);
      const argv = command(added.result.interfaces[0]?.name ?? '', added.addresses[0] ?? '');
      if (inPod) await one.run(argv);
      else await node.run(argv);
      const checked = await call(node, 'CHECK', one, { config: { prevResult: added.result } });
      assert.equal(checked.error.code, 102, checked.stdout);
      assert.match(checked.error.details, says);
      await call(node, 'DEL', one);
    });
  }
});

describe('GC', () => {
  test('removes what is not in the list, of this network alone, and honours disableGC', async () => {
    const three = [await pod(), await pod(), await pod()] as const;
    await call(node, 'ADD', three[0], { containerId: 'keep' });
    await call(node, 'ADD', three[1], { containerId: 'collect' });
    await call(node, 'ADD', three[2], { containerId: 'collect', network: 'other' });
    const list = { 'cni.dev/valid-attachments': [{ containerID: 'keep', ifname: 'eth0' }] };
    assert.equal((await call(node, 'GC', undefined, { config: { ...list, disableGC: true } })).code, 0);
    assert.equal((await node.rows()).length, 3);
    assert.equal((await call(node, 'GC', undefined)).error.code, 7, 'without a list nothing may be taken for unused');
    assert.equal((await call(node, 'GC', undefined, { config: list, version: '1.0.0' })).error.code, 1);
    assert.equal((await call(node, 'GC', undefined, { config: list })).code, 0);
    await eventually('two are left', async () => (await node.rows()).length === 2);
    assert.deepEqual((await node.rows()).map((row) => `${row.network} ${row.container}`).sort(), [
      'net keep',
      'other collect',
    ]);
    await call(node, 'DEL', three[0], { containerId: 'keep' });
    await call(node, 'DEL', three[2], { containerId: 'collect', network: 'other' });
  });
});

describe('STATUS and VERSION', () => {
  test('STATUS is well while blocks are there', async () => {
    assert.equal((await call(node, 'STATUS', undefined)).code, 0);
    assert.equal((await call(node, 'STATUS', undefined, { version: '1.0.0' })).error.code, 1);
  });

  test('VERSION names what is spoken', async () => {
    const answer = await call(node, 'VERSION', undefined);
    assert.deepEqual(JSON.parse(answer.stdout), {
      cniVersion: '1.1.0',
      supportedVersions: ['0.3.1', '0.4.0', '1.0.0', '1.1.0'],
    });
  });
});

describe('spoofing', () => {
  test("packets with a source that is not the pod's are dropped, of both families", async () => {
    const [one, two] = [await pod(), await pod()];
    await call(node, 'ADD', one, { containerId: 'a' });
    const other = await call(node, 'ADD', two, { containerId: 'b' });
    const forged = [
      ['10.99.0.200', 32, other.addresses[0] ?? '', 'Icmp'],
      ['2001:db8:99::f00', 128, other.addresses[1] ?? '', 'Icmp6'],
    ] as const;
    for (const [source, length, target, counter] of forged) {
      await one.run(['ip', 'addr', 'add', `${source}/${length}`, 'dev', 'eth0', ...(length === 128 ? ['nodad'] : [])]);
      const echos = async (): Promise<string> =>
        new RegExp(`^${counter}InEchos\\s+(\\d+)`, 'm').exec(await two.run(['nstat', '-asz']))?.[1] ?? '';
      const before = await echos();
      assert.notEqual(before, '');
      const answer = await one.exec(['ping', '-c', '2', '-W', '1', '-i', '0.2', '-I', source, target]);
      assert.equal(answer.code, 1, `${source} got an answer`);
      assert.equal(await echos(), before, `${source} reached the other pod`);
      assert.ok(await pings(one, target), 'the own address still works');
      assert.notEqual(await echos(), before, 'the counter counts');
    }
    for (const containerId of ['a', 'b']) await call(node, 'DEL', undefined, { containerId });
  });
});
