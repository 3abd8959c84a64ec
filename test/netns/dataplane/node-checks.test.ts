// What a node needs, made and read back in a namespace of its own.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { NodeChecks } from '#dataplane/io/node-checks.ts';
import type { KernelView } from '#dataplane/kernel-view.ts';
import type { IpAddress, Prefix } from '#lib/ip.ts';
import { openSysctlTree } from '#linux/sysctl.ts';
import { createFibNode, type FibNode } from '../../support/fib.ts';

describe('NodeChecks', () => {
  let node: FibNode;
  let view: KernelView;
  before(async () => {
    node = await createFibNode('frt-checks');
    view = {
      interfaces: [
        { index: 1, name: 'lo', up: true, mtu: 65536, pod: false, addresses: [] },
        {
          index: node.up[0],
          name: 'up0',
          up: true,
          mtu: 1500,
          pod: false,
          addresses: [{ address: '10.0.0.1' as IpAddress, prefixLength: 24 }],
        },
        {
          index: node.up[1],
          name: 'up1',
          up: true,
          mtu: 1500,
          pod: true,
          addresses: [{ address: '10.0.1.1' as IpAddress, prefixLength: 24 }],
        },
      ],
      routes: [
        {
          prefix: '::/0' as Prefix,
          gateway: 'fe80::1' as IpAddress,
          interfaceIndex: node.up[0],
          metric: 1024,
          protocol: 9,
        },
      ],
    };
  });
  after(() => node.dispose());

  const blocks = ['10.60.1.0/26' as Prefix];
  const checks = (root = '/nowhere'): NodeChecks =>
    new NodeChecks(
      { namespace: node.ns.path, root },
      {
        socket: node.socket,
        listTable: (family, table) => node.ns.run(['nft', '-j', 'list', 'table', family, table]),
      },
    );

  test('forwarding is on, the uplink loose and keeps its learned default, and a second check has nothing to do', async () => {
    const sysctl = openSysctlTree(node.ns.path);
    for (const [name, value] of [
      ['net/ipv4/ip_forward', '0'],
      ['net/ipv6/conf/all/forwarding', '0'],
      ['net/ipv4/conf/all/rp_filter', '1'],
      ['net/ipv6/conf/up0/accept_ra', '1'],
    ] as const)
      assert.ok(sysctl.write(name, value), name);
    const outside = openSysctlTree().read('net/ipv4/ip_forward');
    const { made, problems } = await checks().check(view, blocks);
    assert.deepEqual(problems, []);
    assert.deepEqual(
      made.map((setting) => `${setting.name}=${setting.value}`),
      [
        'net/ipv4/ip_forward=1',
        'net/ipv6/conf/up0/accept_ra=2',
        'net/ipv4/conf/up0/rp_filter=2',
        'net/ipv6/conf/all/forwarding=1',
      ],
    );
    assert.equal((await node.ns.run(['cat', '/proc/sys/net/ipv4/ip_forward'])).trim(), '1');
    assert.equal((await node.ns.run(['cat', '/proc/sys/net/ipv6/conf/up0/accept_ra'])).trim(), '2');
    assert.equal(openSysctlTree().read('net/ipv4/ip_forward'), outside, 'the namespace of this process is not touched');
    const again = await checks().check(view, blocks);
    assert.deepEqual(again, { made: [], problems: [] });
  });

  test('a setting that does not take is a problem with its consequence', async () => {
    const stubborn = new NodeChecks(
      { namespace: node.ns.path, root: '/nowhere' },
      {
        socket: node.socket,
        sysctl: { read: (name) => (name === 'net/ipv4/ip_forward' ? '0' : undefined), write: () => false },
      },
    );
    const { made, problems } = await stubborn.check({ interfaces: [], routes: [] }, []);
    assert.deepEqual(made, []);
    assert.equal(problems[0]?.code, 'SettingRefused');
    assert.match(problems[0]?.text ?? '', /net\.ipv4\.ip_forward could not be set to 1: the node forwards no IPv4/);
  });

  test('a chain of the real nft whose forward policy is drop is named', async () => {
    await node.ns.run(['nft', 'add', 'table', 'inet', 'wall']);
    await node.ns.run([
      'nft',
      'add',
      'chain',
      'inet',
      'wall',
      'gate',
      '{ type filter hook forward priority 0; policy drop; }',
    ]);
    const problems = async (): Promise<readonly string[]> =>
      (await checks().check(view, blocks)).problems.map(({ code, text }) => `${code}: ${text}`);
    const [problem = '', ...more] = await problems();
    assert.deepEqual(more, []);
    assert.match(problem, /^ForwardPolicyDrop: The chain inet wall gate drops forwarded packets /);
    assert.deepEqual(
      (await checks().check(view, [])).problems,
      [],
      'a node without pods has nothing that could be dropped',
    );
    // What the sentence says is what helps.
    for (const [, command = ''] of problem.matchAll(/`([^`]+)`/g)) await node.ns.run(command.split(' '));
    assert.deepEqual(await problems(), []);
    await node.ns.run(['nft', 'delete', 'table', 'inet', 'wall']);
  });

  test('a FORWARD chain of iptables that drops is named with the commands that help, each family by itself', async () => {
    await node.ns.run(['iptables', '-P', 'FORWARD', 'DROP']);
    const { problems } = await checks().check(view, [...blocks, 'fd60:1::/112' as Prefix]);
    assert.deepEqual(
      problems.map((one) => one.code),
      ['ForwardPolicyDrop'],
    );
    for (const [, command = ''] of (problems[0]?.text ?? '').matchAll(/`([^`]+)`/g)) {
      assert.match(command, /^iptables /);
      await node.ns.run(command.split(' '));
    }
    assert.deepEqual((await checks().check(view, blocks)).problems, []);
  });

  test('systemd-networkd that runs is named unless the strongest of its files says that it leaves others alone', async () => {
    const root = mkdtempSync(join(tmpdir(), 'frt-networkd-'));
    const codes = async (): Promise<readonly string[]> =>
      (await checks(root).check(view, [])).problems.map((one) => one.code);
    const write = (path: string, answer: string): void => {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), `[Network]\nManageForeignRoutes=${answer}\nManageForeignNextHops=${answer}\n`);
    };
    try {
      assert.deepEqual(await codes(), [], 'it does not run');
      mkdirSync(join(root, 'run/systemd/netif'), { recursive: true });
      assert.deepEqual(await codes(), ['NetworkdManagesForeignRoutes']);
      write('etc/systemd/networkd.conf', 'no');
      assert.deepEqual(await codes(), []);
      write('usr/lib/systemd/networkd.conf.d/50-vendor.conf', 'yes');
      assert.deepEqual(await codes(), ['NetworkdManagesForeignRoutes'], 'a drop-in is stronger than the main file');
      write('etc/systemd/networkd.conf.d/50-vendor.conf', 'no');
      assert.deepEqual(await codes(), [], 'one of the same name in /etc stands for it');
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});
