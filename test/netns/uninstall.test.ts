// `flatroute uninstall` on a node that has everything an agent leaves, and things that look like it and are others'.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { withNamespace } from '../support/netns.ts';

const link = 'fr0123456789ab';

/** As the tables of kernel-names.ts: groups, protocol, metric, nexthop ids, nftables tables. */
const setUp = `
ip link add up0 type veth peer name up1 && ip link set up0 up && ip link set up1 up && ip addr add 192.0.2.2/24 dev up0
ip link add ${link} type veth peer name pod0 && ip link set ${link} group 2818 up && ip link set pod0 up
ip link add frother type veth peer name pod1 && ip link set frother group 2818
ip route add 10.60.1.5/32 dev ${link} proto 179
ip route add blackhole 10.60.1.0/26 proto 179 metric 4294967294
ip nexthop add id 184549377 via 192.0.2.1 dev up0 proto 179 && ip nexthop add id 184549378 group 184549377 proto 179
ip route add 0.0.0.0/0 nhid 184549378 proto 179 metric 20
ip -6 route add blackhole fd60::/64 proto 179
ip nexthop add id 7 via 192.0.2.7 dev up0 && ip route add 198.51.100.0/24 via 192.0.2.7
nft add table inet flatroute && nft add table arp flatroute && nft add table inet others
`;

test('uninstall refuses while pods are attached, then removes what is ours, says so, and leaves the rest', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'flatroute-uninstall-'));
  const at = (name: string): string => join(folder, name);
  try {
    for (const name of ['bin', 'net.d', 'run', 'run/spool', 'state']) mkdirSync(at(name));
    for (const name of [
      'bin/flatroute',
      'bin/loopback',
      'net.d/05-flatroute.conflist',
      'net.d/10-other.conflist',
      'run/boot',
    ])
      writeFileSync(at(name), '');
    await withNamespace(async (ns) => {
      await ns.run(['sh', '-ec', setUp]);
      const directories = [
        '--bin-dir',
        at('bin'),
        '--conf-dir',
        at('net.d'),
        '--run-dir',
        at('run'),
        '--state-dir',
        at('state'),
      ];
      const uninstall = async (...words: readonly string[]) =>
        await ns.exec([process.execPath, resolve('src/main.ts'), 'uninstall', ...directories, ...words]);
      const refused = await uninstall();
      assert.equal(refused.code, 1);
      assert.match(refused.stderr, new RegExp(`1 pod is attached to this node: ${link}\\. Drain the node first`));
      assert.match(await ns.run(['ip', 'route', 'show', 'proto', '179']), /10\.60\.1\.5/);
      const done = await uninstall('--force');
      assert.equal(done.code, 0, done.stderr);
      for (const line of [
        '05-flatroute.conflist',
        'bin/flatroute',
        '1 interface',
        '4 routes',
        '2 nexthops',
        'table inet flatroute',
        'table arp flatroute',
      ])
        assert.ok(done.stdout.includes(line), `${line} in ${done.stdout}`);
      const ours =
        'ip route show proto 179; ip -6 route show proto 179; ip nexthop show proto 179; nft list tables | grep flatroute';
      assert.equal((await ns.exec(['sh', '-c', ours])).stdout, '');
      const others = await ns.run([
        'sh',
        '-ec',
        'ip nexthop show; ip route show 198.51.100.0/24; ip link show frother; nft list tables',
      ]);
      for (const one of ['id 7', '198.51.100.0/24', 'frother', 'inet others']) assert.ok(others.includes(one), one);
      assert.deepEqual(
        [
          'bin/flatroute',
          'bin/loopback',
          'net.d/05-flatroute.conflist',
          'net.d/10-other.conflist',
          'run',
          'state',
        ].filter((name) => existsSync(at(name))),
        ['bin/loopback', 'net.d/10-other.conflist'],
      );
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
