// What changes on a node under running pods: the MTU of its uplinks, sysctls, packet filters, an uplink that goes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { families, type Family, type IpAddress } from '#lib/ip.ts';
import type { Endpoint } from '#lab/endpoint.ts';
import { Pod } from '#lab/pod.ts';
import { labScript } from '#lab/program.ts';
import { nodeAddress, vmAddress, WITNESS_PORT } from '../../support/pod-lab.ts';
import { type GetWorld, hostEnd, until, untilSaid, type World } from './world.ts';

/** A packet of this size, headers included, that nobody may cut. */
const ping = async (from: Endpoint, to: string, size: number): Promise<string> => {
  const headers = to.includes(':') ? 48 : 28;
  const words = ['-c', '1', '-W', '2', '-M', 'do', '-s', String(size - headers), to];
  const { code, stdout, stderr } = await from.exec(['ping', ...words]);
  return code === 0 ? 'arrived' : /message too long/i.test(stdout + stderr) ? 'too long' : `lost: ${stdout}${stderr}`;
};

const mtu = async (at: Endpoint, face: string): Promise<number> =>
  (JSON.parse(await at.run(['ip', '-j', 'link', 'show', face])) as readonly { readonly mtu: number }[])[0]?.mtu ?? 0;

/** The node's end and the pod's. */
const mtus = async ({ host }: Pod, pod: Pod): Promise<string> =>
  `${await mtu(host, hostEnd(pod))} ${await mtu(pod, 'eth0')}`;

/** A UDP program on the VM that answers, and goes on sending to whoever asked once; prints each source that it sees. */
const TALKER = `const s = require('dgram').createSocket('udp6'), seen = new Set();
s.on('message', (m, r) => { const k = r.address.replace('::ffff:', '') + ' ' + r.port;
  if (!seen.has(k)) { seen.add(k); console.log(k); setInterval(() => s.send('old flow', r.port, r.address), 20); } });
s.bind(7800, () => console.log('listening'));`;

async function lines(at: { log(): Promise<string> }, match: RegExp): Promise<readonly string[]> {
  return (await at.log()).split('\n').filter((line) => match.test(line));
}

export function settings(get: GetWorld): void {
  test('running pods follow the MTU of the uplinks down and up, but for what was asked for and what somebody set', async () => {
    const { lab, a, b } = get();
    const [host] = lab.nodes;
    const fixed = await Pod.attach(lab.runner(0, { mtu: 3000 }), 'fixed');
    await b.run(['ip', 'link', 'set', 'eth0', 'mtu', '1380']);
    assert.deepEqual(
      [await mtus(a, a), await mtus(b, b), await mtus(fixed, fixed)],
      ['9000 9000', '9000 1380', '3000 3000'],
    );
    for (const family of families) assert.equal(await ping(a, vmAddress[family], 9000), 'arrived');
    const uplink = async (value: number): Promise<void> => {
      await lab.tor.run(['ip', 'link', 'set', 'node-1-up1', 'mtu', String(value)]);
      await host.run(['ip', 'link', 'set', 'up1', 'mtu', String(value)]);
    };
    await uplink(1400);
    await until('the pod follows', () => mtus(a, a), '1400 1400');
    await until("the pod's own choice stays", () => mtus(b, b), '1400 1380');
    assert.equal(await mtus(fixed, fixed), '3000 3000');
    for (const family of families) {
      assert.equal(await ping(a, vmAddress[family], 1401), 'too long');
      assert.equal(await ping(a, vmAddress[family], 1400), 'arrived');
    }
    await uplink(1340);
    await until('what is too much is cut', () => mtus(b, b), '1340 1340');
    await uplink(9000);
    await until('the pod follows again', () => mtus(a, a), '9000 9000');
    for (const family of families) assert.equal(await ping(a, vmAddress[family], 9000), 'arrived');
    await until('no problem is left', async () => (await lab.drift(0)).problems.join('\n'), '');
    await fixed.check();
    // The record knows what was asked for, so the next agent does too.
    await lab.agents[0].stop('SIGKILL');
    await uplink(1500);
    await lab.agents[0].start();
    await until('the next agent finds a pod that lags', () => mtus(a, a), '1500 1500');
    assert.equal(await mtus(fixed, fixed), '3000 3000');
    await uplink(9000);
    await until('and up', () => mtus(a, a), '9000 9000');
    await fixed.detach();
  });

  test('a sysctl that somebody resets is set again at once, and said', async () => {
    const { lab } = get();
    const [host] = lab.nodes;
    const value = async (name: string): Promise<string> => (await host.run(['sysctl', '-n', name])).trim();
    for (const [name, wrong, right] of [
      ['net.ipv4.ip_forward', '0', '1'],
      ['net.ipv6.conf.all.forwarding', '0', '1'],
      ['net.ipv4.conf.up0.forwarding', '0', '1'],
      ['net.ipv4.conf.up0.rp_filter', '1', '2'],
    ] as const) {
      await host.run(['sysctl', '-qw', `${name}=${wrong}`]);
      await until(name, () => value(name), right);
    }
    // What was set is said with the next facts.
    const undone = async (): Promise<string> => (await lab.drift(0)).problems.join('\n');
    for (const name of ['ipv6.conf.all.forwarding', 'ipv4.ip_forward'])
      await untilSaid(
        name,
        undone,
        new RegExp(`SettingUndone: net.${name} was changed by somebody else and set to 1 again`),
      );
    await until('they are counted', async () => ((await lab.drift(0)).repairs['setting'] ?? 0) >= 2, true);
  });

  test('a FORWARD chain that drops pods is named with what helps, and no more when that was done', async () => {
    const { lab, a } = get();
    const [host] = lab.nodes;
    const dropped = async (): Promise<string> =>
      (await lab.drift(0)).problems.filter((one) => one.startsWith('ForwardPolicyDrop')).join('\n');
    await host.run(['iptables', '-P', 'FORWARD', 'DROP']);
    try {
      const problem = await untilSaid('the problem', dropped, /chain ip filter FORWARD drops/);
      assert.notEqual(await ping(lab.vm, a.address('ipv4'), 100), 'arrived');
      for (const [, command = ''] of problem.matchAll(/`([^`]+)`/g)) await host.run(command.split(' '));
      await until('no problem any more', dropped, '');
      assert.equal(await ping(lab.vm, a.address('ipv4'), 100), 'arrived');
    } finally {
      await host.run(['iptables', '-P', 'FORWARD', 'ACCEPT']);
      await host.run(['iptables', '-F', 'FORWARD']);
    }
  });

  test('no packet of a flow of an old pod reaches a new one with its address: its connections are forgotten first', async () => {
    const world = get();
    const { lab } = world;
    const [host] = lab.nodes;
    const talker = await lab.vm.spawn([process.execPath, '-e', TALKER], { log: 'talker.log' });
    await untilSaid('the talker', () => talker.log(), /listening/);
    // Whatever the pod of the same pool was given.
    const free = (...candidates: readonly string[]): string =>
      candidates.find((address) => !world.e.addresses.includes(address as IpAddress)) ?? '';
    const fixed = { ipv4: free('10.61.1.20', '10.61.1.21'), ipv6: free('fd61:1::14', 'fd61:1::15') };
    const runner = lab.runner(0, { ipam: { pools: ['egress-ipv4', 'egress-ipv6'], addresses: Object.values(fixed) } });
    const old = await Pod.attach(runner, 'old');
    await old.spawn(labScript('witness.ts', 'flows', '7800', '20', '60', vmAddress.ipv4, vmAddress.ipv6));
    // A TCP connection that stays: nobody closes it before its pod goes.
    await old.spawn(
      [
        'sh',
        '-c',
        `exec 3<>/dev/null; exec ${process.execPath} -e "require('net').connect(7801, '${vmAddress.ipv4}').on('error', () => 0); setInterval(() => 0, 1000)"`,
      ],
      { log: 'tcp.log' },
    );
    await lab.vm.spawn(
      [process.execPath, '-e', "require('net').createServer((c) => c.on('error', () => 0)).listen(7801, '::')"],
      { log: 'tcp-vm.log' },
    );
    await untilSaid('both flows, by the address of the node', () => talker.log(), /^2001:db8::1 \d+$/m);
    await untilSaid('both flows, by the address of the node', () => talker.log(), /^192\.0\.2\.1 \d+$/m);
    const tracked = async (): Promise<number> => {
      const all = await Promise.all(families.map((family) => host.run(['conntrack', '-L', '-f', family])));
      return all
        .join('\n')
        .split('\n')
        .filter((line) => Object.values(fixed).some((address) => line.includes(`src=${address} `))).length;
    };
    assert.ok((await tracked()) >= 2);
    await old.detach();
    const fresh = await Pod.attach(runner, 'fresh');
    assert.deepEqual([...fresh.addresses].sort(), Object.values(fixed).sort(), 'the same addresses');
    assert.equal(await tracked(), 0);
    // The VM goes on sending to the old flow all the time.
    const seen = await lab.watch(fresh, 'eth0', 'enough', async () => {
      await lab.vm.run(['ping', '-c', '5', '-i', '0.05', '-W', '2', fixed.ipv4]);
      await lab.vm.run(['ping', '-c', '1', '-W', '2', '-p', Buffer.from('enough').toString('hex'), fixed.ipv4]);
    });
    const oldFlow = Buffer.from('old flow').toString('hex');
    assert.deepEqual(
      seen.filter((frame) => frame.includes(oldFlow)),
      [],
    );
    await fresh.detach();
    talker.kill('SIGKILL');
  });

  test('a translated flow keeps its source address when an uplink goes', async () => {
    const world = get();
    const { lab, e } = world;
    const [host] = lab.nodes;
    const flows = await e.spawn(
      labScript('witness.ts', 'flows', String(WITNESS_PORT), '20', '60', vmAddress.ipv4, vmAddress.ipv6),
      { log: 'flows.log' },
    );
    await untilSaid('the flows', () => flows.log(), /running/);
    const answered = async (family: Family): Promise<string> =>
      await host.run(['conntrack', '-L', '-f', family, '-p', 'udp', '-s', e.address(family)]);
    for (const family of families) await untilSaid('an answered flow', () => answered(family), /ASSURED/);
    const cut = performance.now();
    await host.run(['ip', 'link', 'set', 'up0', 'down']);
    // Answers come by the other uplink as soon as the carrier is gone.
    const before = await counted(world);
    await until('answers go on', async () => (await counted(world)) > before + 50, true);
    for (const family of families) {
      const flow = await answered(family);
      assert.match(flow, new RegExp(`src=${vmAddress[family]} dst=${nodeAddress[0][family]} `));
      assert.equal(flow.trim().split('\n').length, 1, 'one flow as before');
    }
    const since = performance.now() - cut;
    flows.kill('SIGINT');
    await flows.exited;
    const [report = '[]'] = await lines(flows, /^\[/);
    // Who answers may be kept from running; a flow that ended with the uplink is silent since then.
    for (const flow of JSON.parse(report) as readonly {
      readonly address: string;
      readonly silentAtEndMilliseconds: number;
      readonly answered: number;
    }[])
      assert.ok(flow.answered > 0 && flow.silentAtEndMilliseconds < Math.max(1000, since / 2), JSON.stringify(flow));
  });
}

/** Packets that came back to the pod with natOutgoing. */
async function counted({ e }: World): Promise<number> {
  const [link] = JSON.parse(await e.run(['ip', '-j', '-s', 'link', 'show', 'eth0'])) as readonly {
    readonly stats64: { readonly rx: { readonly packets: number } };
  }[];
  return link?.stats64.rx.packets ?? 0;
}
