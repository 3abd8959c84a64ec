// What a node needs, made and read back in a namespace of its own.
import assert from 'node:assert/strict';
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

  const checks = (listChains: () => Promise<string | undefined>): NodeChecks =>
    new NodeChecks({ namespace: node.ns.path, networkdDirectory: '/nowhere' }, { socket: node.socket, listChains });

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
    const { made, problems } = await checks(() => Promise.resolve('{"nftables": []}')).check(view);
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
    const again = await checks(() => Promise.resolve('{"nftables": []}')).check(view);
    assert.deepEqual(again, { made: [], problems: [] });
  });

  test('a setting that does not take is a problem with its consequence', async () => {
    const stubborn = new NodeChecks(
      { networkdDirectory: '/nowhere' },
      {
        socket: node.socket,
        sysctl: { read: (name) => (name === 'net/ipv4/ip_forward' ? '0' : undefined), write: () => false },
        listChains: () => Promise.resolve(undefined),
      },
    );
    const { made, problems } = await stubborn.check({ interfaces: [], routes: [] });
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
    const { problems } = await checks(() => node.ns.run(['nft', '-j', 'list', 'chains'])).check(view);
    assert.deepEqual(
      problems.map((one) => one.code),
      ['ForwardPolicyDrop'],
    );
    assert.match(problems[0]?.text ?? '', /chain inet wall gate /);
  });
});
