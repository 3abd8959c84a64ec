// The reference plugins behind flatroute, each doing its work in both families: real agent, real plugins run as a container
// runtime runs a list, and a machine outside. A witness says which address everybody is seen with.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Conflist, PluginConfiguration } from '#lab/conflist.ts';
import { Pod, type PortMapping } from '#lab/pod.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { seconds } from '#lib/time.ts';
import { ChainLab, node, vm, WITNESS_PORT } from '../support/chain-lab.ts';
import { documentedList } from '../support/documented.ts';

let lab: ChainLab;
before(async () => {
  lab = await ChainLab.create('chains');
  await lab.witness(lab.vm);
});
after(async () => {
  await lab[Symbol.asyncDispose]();
});

/** As docs/chaining.md shows it. */
const documented = (name: string): Conflist => documentedList('chaining', name);
const flatroute: PluginConfiguration = { type: 'flatroute', capabilities: { mac: true } };
const portmap: PluginConfiguration = { type: 'portmap', capabilities: { portMappings: true }, snat: true };
const families = ['ipv4', 'ipv6'] as const;
const mac = '02:aa:bb:cc:dd:01';
/** Bits and bits a second, as the plugin counts them. */
const RATE = 8_000_000;
const BURST = 800_000;
const limits = { ingressRate: RATE, ingressBurst: BURST, egressRate: RATE, egressBurst: BURST };

const mapping = (hostPort: number, protocol: 'tcp' | 'udp', hostIP?: string): PortMapping => ({
  hostPort,
  containerPort: WITNESS_PORT,
  protocol,
  ...(hostIP === undefined ? {} : { hostIP }),
});

describe('portmap', () => {
  const nodeAddresses = [node.routed.ipv4, node.routed.ipv6, node.link.ipv4, node.link.ipv6];
  /** TCP and UDP to every address of the node. */
  const targets = nodeAddresses.flatMap((address) => [address, `udp:${address}`]);
  const seenAs = (name: string, ipv4: string, ipv6: string): Record<string, string> =>
    Object.fromEntries(targets.map((target) => [target, `${name} ${/\./.test(target) ? ipv4 : ipv6}`]));
  const refused = (address: string, port: number): string => `! connect ECONNREFUSED ${address}:${port}`;
  const mappings = [
    mapping(18080, 'tcp'),
    mapping(18080, 'udp'),
    mapping(18081, 'tcp', node.routed.ipv4),
    mapping(18082, 'tcp', node.routed.ipv6),
  ];

  let web: Pod;
  let other: Pod;
  before(async () => {
    const runner = lab.run(lab.installed);
    [web, other] = await Promise.all([
      Pod.attach(runner, 'web', { portMappings: mappings }),
      Pod.attach(runner, 'other'),
    ]);
    await Promise.all([lab.witness(web), lab.witness(other)]);
  });

  test('the result that comes out of the list is the one that flatroute gave', () => {
    const [host, inside] = web.result.interfaces ?? [];
    assert.match(host?.name ?? '', /^fr[0-9a-f]{12}$/);
    assert.deepEqual([host?.sandbox, inside?.name, inside?.sandbox], [undefined, 'eth0', '/run/netns/web']);
    assert.deepEqual(
      web.result.ips?.map((ip) => [ip.address, ip.gateway, ip.interface]),
      [
        [`${web.address('ipv4')}/32`, '169.254.1.1', 1],
        [`${web.address('ipv6')}/128`, 'fe80::ecee:eeff:feee:eeee', 1],
      ],
    );
    assert.deepEqual(web.result.routes, [
      { dst: '0.0.0.0/0', gw: '169.254.1.1' },
      { dst: '::/0', gw: 'fe80::ecee:eeff:feee:eeee' },
    ]);
  });

  test('a mapped port answers the machine outside, which the pod sees as itself, over TCP and UDP', async () => {
    assert.deepEqual(await lab.ask(lab.vm, 18080, ...targets), seenAs('web', vm.link.ipv4, vm.link.ipv6));
  });

  test('a mapping with a hostIP is there at that address alone', async () => {
    const [ipv4, ipv6] = [node.routed.ipv4, node.routed.ipv6];
    assert.deepEqual(await lab.ask(lab.vm, 18081, ipv4, ipv6, node.link.ipv4), {
      [ipv4]: `web ${vm.link.ipv4}`,
      [ipv6]: refused(ipv6, 18081),
      [node.link.ipv4]: refused(node.link.ipv4, 18081),
    });
    assert.deepEqual(await lab.ask(lab.vm, 18082, ipv4, ipv6, node.link.ipv6), {
      [ipv4]: refused(ipv4, 18082),
      [ipv6]: `web ${vm.link.ipv6}`,
      [node.link.ipv6]: refused(node.link.ipv6, 18082),
    });
  });

  test('another pod is seen by its own address, and the pod that comes back to itself by the address of the node', async () => {
    assert.deepEqual(
      await lab.ask(other, 18080, ...targets),
      seenAs('web', other.address('ipv4'), other.address('ipv6')),
    );
    assert.deepEqual(await lab.ask(web, 18080, ...targets), seenAs('web', node.routed.ipv4, node.routed.ipv6));
  });

  test('the node itself reaches it, also by 127.0.0.1', async () => {
    const own = Object.fromEntries(nodeAddresses.map((address) => [address, `web ${address}`]));
    assert.deepEqual(await lab.ask(lab.node, 18080, '127.0.0.1', ...nodeAddresses), {
      '127.0.0.1': `web ${node.routed.ipv4}`,
      ...own,
    });
  });

  test('DEL takes the mappings away, any number of times, and the port goes to the next pod with no memory of the last', async () => {
    const { attachment } = web;
    await web.detach();
    const { ipv4, ipv6 } = node.routed;
    assert.deepEqual(await lab.ask(lab.vm, 18080, ipv4, ipv6), {
      [ipv4]: refused(ipv4, 18080),
      [ipv6]: refused(ipv6, 18080),
    });
    const runner = lab.run(lab.installed);
    await runner.del({ ...attachment, networkNamespace: '' }, undefined);
    const next = await Pod.attach(runner, 'next', { portMappings: mappings });
    await lab.witness(next);
    // The datagrams come from the port that the first pod was asked from.
    assert.deepEqual(await lab.ask(lab.vm, 18080, ...targets), seenAs('next', vm.link.ipv4, vm.link.ipv6));
    await next.detach();
    await other.detach();
    await lab.nothingLeft();
  });
});

describe('bandwidth', () => {
  test('the rate is limited in both directions and families, and a pod beside has all there is', async () => {
    const runner = lab.run(documented('shaped'));
    const [shaped, free] = await Promise.all([
      Pod.attach(runner, 'shaped', { bandwidth: limits }),
      Pod.attach(runner, 'free'),
    ]);
    await Promise.all([shaped, free, lab.vm].map((where) => lab.pour(where)));
    await shaped.check();
    const most = (inSeconds: number): number => (1.5 * (RATE * inSeconds + BURST)) / 8;
    for (const family of families) {
      for (const [from, to] of [
        [lab.vm, shaped.address(family)],
        [shaped, vm.link[family]],
      ] as const) {
        const drawn = await lab.draw(from, to, 400);
        assert.ok(drawn.bytes < most(drawn.seconds), `${from.name} drew from ${to} ${JSON.stringify(drawn)}`);
      }
    }
    for (const [from, to] of [
      [lab.vm, free.address('ipv4')],
      [free, vm.link.ipv6],
    ] as const) {
      // A machine that is busy gives nobody all there is; a limit lets nobody have so much, however often he tries.
      await waitFor(
        `${from.name} to draw three times as much from ${to}`,
        async () => {
          const drawn = await lab.draw(from, to, 200);
          return drawn.bytes > 3 * most(drawn.seconds) ? found(undefined) : notYet(JSON.stringify(drawn));
        },
        { deadline: seconds(60) },
      );
    }
    await shaped.detach();
    await free.detach();
    await lab.nothingLeft();
  });
});

/** What tuning's change of the MAC emptied is there again. */
async function settled(pod: Pod): Promise<void> {
  await waitFor(
    'the entries of the gateways',
    async () => {
      const entries = await pod.run(['ip', 'neigh', 'show', 'nud', 'permanent']);
      const there = ['169.254.1.1 ', 'fe80::ecee:eeff:feee:eeee '].every((gateway) => entries.includes(gateway));
      return there ? found(undefined) : notYet(entries);
    },
    { deadline: seconds(60) },
  );
}

describe('tuning', () => {
  const inside = async (pod: Pod): Promise<string> => await pod.run(['ip', '-d', 'link', 'show', 'dev', 'eth0']);

  test('sets sysctls, promiscuous mode, MTU and MAC inside the pod, which goes on talking', async () => {
    const pod = await Pod.attach(lab.run(documented('tuned')), 'tuned', { mac });
    const link = await inside(pod);
    for (const what of [/\bPROMISC\b/, / mtu 1400 /, new RegExp(`link/ether ${mac} `)]) assert.match(link, what);
    assert.equal(pod.result.interfaces?.[1]?.mac, mac);
    assert.equal(await pod.run(['sysctl', '-n', 'net.core.somaxconn']), '517\n');
    assert.notEqual(await lab.node.run(['sysctl', '-n', 'net.core.somaxconn']), '517\n');
    await lab.witness(pod);
    await settled(pod);
    await pod.check();
    assert.deepEqual(await lab.ask(lab.vm, WITNESS_PORT, ...pod.addresses), {
      [pod.address('ipv4')]: `tuned ${vm.link.ipv4}`,
      [pod.address('ipv6')]: `tuned ${vm.link.ipv6}`,
    });
    await pod.run(['ip', 'link', 'set', 'eth0', 'address', mac]);
    assert.deepEqual(await lab.ask(pod, WITNESS_PORT, vm.link.ipv4, vm.link.ipv6), {
      [vm.link.ipv4]: `vm ${node.routed.ipv4}`,
      [vm.link.ipv6]: `vm ${node.routed.ipv6}`,
    });
    await pod.detach();
    await lab.nothingLeft();
  });

  test('a MAC that flatroute was not told of is what CHECK names', async () => {
    const [, ...others] = documented('tuned').plugins;
    const pod = await Pod.attach(lab.runner('untold', [{ type: 'flatroute' }, ...others]), 'untold', { mac });
    assert.match(await inside(pod), new RegExp(`link/ether ${mac} `));
    await assert.rejects(pod.check(), new RegExp(`flatroute CHECK .*eth0 has the MAC address ${mac} instead of`));
    await pod.detach();
    await lab.nothingLeft();
  });
});

describe('firewall with the iptables backend', () => {
  const forwardPolicy = async (policy: 'DROP' | 'ACCEPT'): Promise<void> => {
    for (const command of ['iptables', 'ip6tables']) await lab.node.run([command, '-P', 'FORWARD', policy]);
  };
  const pings = async (from: Pod, to: string): Promise<boolean> =>
    (await from.exec(['ping', '-c', '1', '-W', '1', to])).code === 0;

  test('a FORWARD policy of DROP lets pods behind it out, and nobody else', async () => {
    await forwardPolicy('DROP');
    const [walled, plain] = await Promise.all([
      Pod.attach(lab.run(documented('walled')), 'walled'),
      Pod.attach(lab.runner('plain', [flatroute]), 'plain'),
    ]);
    await walled.check();
    assert.deepEqual(await lab.ask(walled, WITNESS_PORT, vm.link.ipv4, vm.link.ipv6), {
      [vm.link.ipv4]: `vm ${node.routed.ipv4}`,
      [vm.link.ipv6]: `vm ${node.routed.ipv6}`,
    });
    assert.deepEqual(await Promise.all(families.map((family) => pings(plain, vm.link[family]))), [false, false]);
    assert.deepEqual(await Promise.all(families.map((family) => pings(plain, walled.address(family)))), [false, false]);
    await forwardPolicy('ACCEPT');
    assert.deepEqual(await Promise.all(families.map((family) => pings(plain, walled.address(family)))), [true, true]);
    await walled.detach();
    await plain.detach();
    await lab.nothingLeft();
  });
});

describe('all of them in one list', () => {
  const all = documented('whole').plugins;
  const wishes = { portMappings: [mapping(18080, 'tcp')], bandwidth: limits, mac };

  for (const version of ['0.4.0', '1.0.0']) {
    test(`ADD, CHECK, traffic and DEL in version ${version}`, async () => {
      const runner = lab.runner('whole', all, version);
      const pod = await Pod.attach(runner, 'whole', wishes);
      assert.equal(pod.result.cniVersion, version);
      assert.deepEqual(
        pod.result.ips?.map((ip) => ip.interface),
        [1, 1],
      );
      await settled(pod);
      // portmap 1.1.1 looks for the rules of each family in the tables of both, so its own CHECK fails behind every plugin.
      const told = await pod.check().then(
        () => '',
        (error: unknown) => String(error),
      );
      assert.match(told, /^$|portmap CHECK .*could not check ipv6 dnat/s);
      const others = all.filter((plugin) => plugin.type !== 'portmap');
      await lab.runner('whole', others, version).check(pod.attachment, pod.result);
      await lab.witness(pod);
      assert.deepEqual(await lab.ask(lab.vm, 18080, node.routed.ipv4, node.routed.ipv6), {
        [node.routed.ipv4]: `whole ${vm.link.ipv4}`,
        [node.routed.ipv6]: `whole ${vm.link.ipv6}`,
      });
      await runner.del(pod.attachment, pod.result);
      await pod.detach();
      await runner.del({ ...pod.attachment, networkNamespace: '' }, undefined);
      await lab.nothingLeft();
    });
  }

  test("when a later plugin fails, the runtime's DEL leaves nothing of the earlier ones", async () => {
    const unlimited = { type: 'bandwidth', ingressRate: 8, ingressBurst: 0 };
    // Without the firewall plugin, which removes its rules only where DEL brings the result of an ADD.
    const earlier = all.filter(({ type }) => type !== 'firewall' && type !== 'bandwidth');
    const runner = lab.runner('broken', [...earlier, unlimited]);
    await assert.rejects(Pod.attach(runner, 'broken', wishes), /^AppError: bandwidth ADD of /);
    await lab.nothingLeft();
  });

  test('behind a plugin that has made the interface flatroute says that it must be the first, and nothing is left', async () => {
    const ipam = { type: 'host-local', ranges: [[{ subnet: '10.63.0.0/24' }]] };
    const runner = lab.runner('second', [{ type: 'ptp', ipam }, flatroute, portmap]);
    await assert.rejects(
      Pod.attach(runner, 'second'),
      /^AppError: flatroute ADD of .*prevResult: flatroute makes the interface and must be the first plugin of its list/,
    );
    await lab.nothingLeft();
  });
});
