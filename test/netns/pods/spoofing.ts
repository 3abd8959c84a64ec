// What a pod cannot send, tried with frames that no kernel would send.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GATEWAY_IPV4, GATEWAY_IPV6, HOST_MAC } from '#dataplane/kernel-names.ts';
import type { IpAddress } from '#lib/ip.ts';
import {
  arp,
  groupReport,
  type Ends,
  neighbourMessage,
  redirect,
  redirect6,
  routerAdvertisement,
  udp,
} from '../../support/frames.ts';
import { nodeAddress, vmAddress } from '../../support/pod-lab.ts';
import { type GetWorld, hostEnd, podMac, until, untilSaid, type World } from './world.ts';

const [node] = nodeAddress;
const allNodes = { ipv4: '224.0.0.1', ipv6: 'ff02::1' } as const;

/** Frames by what they try, from the end of `a` with the name `face`. */
function forgeries(
  { a, b }: World,
  mac: string,
  own: Readonly<Record<'ipv4' | 'ipv6', string>>,
): readonly (readonly [string, string])[] {
  const [b4, b6] = [b.address('ipv4'), b.address('ipv6')];
  const ends = (from: string, to: string): Ends => ({ fromMac: mac, toMac: HOST_MAC, from, to });
  const toAll = (from: string, to: string): Ends => ({
    ...ends(from, to),
    toMac: to.includes(':') ? '33:33:00:00:00:01' : 'ff:ff:ff:ff:ff:ff',
  });
  const strangers4 = [
    b4,
    node.ipv4,
    vmAddress.ipv4,
    GATEWAY_IPV4,
    '127.0.0.1',
    '0.0.0.0',
    '224.0.0.1',
    '255.255.255.255',
    '203.0.113.7',
  ];
  const strangers6 = [
    b6,
    node.ipv6,
    vmAddress.ipv6,
    GATEWAY_IPV6,
    'fe80::77',
    '::1',
    '::',
    'ff02::1',
    '2001:db8:77::7',
  ];
  const lies6 = [GATEWAY_IPV6, b6, node.ipv6];
  return [
    ...strangers4.flatMap((from) =>
      [b4, node.ipv4, vmAddress.ipv4].map(
        (to) => [`UDP from ${from} to ${to}`, udp(ends(from, to), 7701, 'forged')] as const,
      ),
    ),
    ...strangers6.flatMap((from) =>
      [b6, node.ipv6, vmAddress.ipv6].map(
        (to) => [`UDP from ${from} to ${to}`, udp(ends(from, to), 7701, 'forged')] as const,
      ),
    ),
    ['a search for a DHCP server', udp(toAll('0.0.0.0', '255.255.255.255'), 67, 'forged', 68)],
    ['an offer of a DHCP server', udp(toAll(GATEWAY_IPV4, '255.255.255.255'), 68, 'forged', 67)],
    ['a search for a DHCPv6 server', udp(toAll('fe80::77', 'ff02::1:2'), 547, 'forged', 546)],
    ...[own.ipv4, GATEWAY_IPV4, b4].flatMap((from) =>
      [b4, node.ipv4].map(
        (to) =>
          [
            `a redirect from ${from} to ${to}`,
            redirect(ends(from, to), a.address('ipv4'), to, vmAddress.ipv4),
          ] as const,
      ),
    ),
    ...[own.ipv6, GATEWAY_IPV6, 'fe80::77'].flatMap((from) =>
      [b6, node.ipv6, allNodes.ipv6].flatMap((to) => [
        [
          `a router advertisement from ${from} to ${to}`,
          routerAdvertisement(to === allNodes.ipv6 ? toAll(from, to) : ends(from, to)),
        ] as const,
        [`a redirect from ${from} to ${to}`, redirect6(ends(from, to), own.ipv6, vmAddress.ipv6)] as const,
        ...lies6.map(
          (target) =>
            [
              `a neighbour advertisement from ${from} to ${to} for ${target}`,
              neighbourMessage(ends(from, to), 136, target),
            ] as const,
        ),
        [`a neighbour solicitation from ${from} to ${to}`, neighbourMessage(ends(from, to), 135, node.ipv6)] as const,
      ]),
    ),
    ['a group report of nobody', groupReport(toAll('::', 'ff02::16'))],
    ['duplicate address detection', neighbourMessage(toAll('::', 'ff02::1'), 135, b6)],
  ];
}

function arpForgeries({ b }: World, mac: string, own: string): readonly string[] {
  const ends = (from: string, to: string): Ends => ({ fromMac: mac, toMac: HOST_MAC, from, to });
  const claimed = [GATEWAY_IPV4, b.address('ipv4'), node.ipv4, vmAddress.ipv4, '203.0.113.7'];
  return [
    ...claimed.flatMap((from) => [
      arp(ends(from, node.ipv4), 1),
      arp(ends(from, node.ipv4), 2),
      arp(ends(from, from), 1),
      arp(ends(from, from), 2),
    ]),
    arp(ends(own, node.ipv4), 1),
  ];
}

/** Counts what comes past the rules: what of `faces` is seen right behind them. The last words of connections of tests before are TCP; nothing forged is. */
const countPassed = (faces: readonly string[]): string => {
  const names = `{ ${faces.map((face) => `"${face}"`).join(', ')} }`;
  const table = (family: string, hook: string): string => `table ${family} probe {
  counter passed {
  }
  chain seen {
    type filter hook ${hook};
    ${family === 'inet' ? 'meta l4proto tcp return; ' : ''}iifname ${names} counter name passed
  }
}
`;
  return table('inet', 'prerouting priority -290') + table('arp', 'input priority 10');
};

async function passed({ lab }: World, family: 'inet' | 'arp'): Promise<number> {
  const text = await lab.nodes[0].run(['nft', 'list', 'counter', family, 'probe', 'passed']);
  return Number(/packets (\d+)/.exec(text)?.[1]);
}

/** Sends what is forged and then what is not; answers how many IP packets and ARP messages came past the rules. */
async function tried(
  world: World,
  face: string,
  forged: readonly string[],
  genuine: readonly string[],
): Promise<readonly [number, number]> {
  const { lab, a } = world;
  const before = [await passed(world, 'inet'), await passed(world, 'arp')] as const;
  await lab.send(a, face, [...forged, ...genuine]);
  // The last frame is genuine, and frames of one sender stay in order.
  if (genuine.length > 0)
    await until('the genuine ones', async () => (await passed(world, 'inet')) - before[0] >= genuine.length, true);
  return [(await passed(world, 'inet')) - before[0], (await passed(world, 'arp')) - before[1]];
}

export function spoofing(get: GetWorld): void {
  test('of a hundred forged packets none passes, and no neighbour or route changes, on the node nor in another pod', async () => {
    const world = get();
    const { lab, a, b } = world;
    const [host] = lab.nodes;
    const own = { ipv4: a.address('ipv4'), ipv6: a.address('ipv6') };
    await host.writeFile('/run/probe.nft', countPassed([hostEnd(a)]));
    await host.run(['nft', '-f', '/run/probe.nft']);
    // A loose reverse path, as systemd sets it for every interface that comes, must be no hole.
    await host.run(['sysctl', '-qw', `net.ipv4.conf.${hostEnd(a)}.rp_filter=2`]);
    // What the kernel makes of its own link-local addresses comes in its own time.
    const state = async (): Promise<string> => {
      const says = async (at: typeof host | typeof b, ...argv: readonly string[]): Promise<string> =>
        (await at.run(['ip', ...argv]))
          .split('\n')
          .filter((line) => !/ dev (up|ra)\d|NOARP|^local fe80::/.test(line))
          .sort()
          .join('\n');
      return [
        await says(host, 'neigh', 'show', 'nud', 'all', 'dev', hostEnd(a)),
        await says(host, '-6', 'route', 'show', 'table', 'all'),
        await says(host, '-4', 'route', 'show', 'table', 'all'),
        await says(b, 'neigh', 'show', 'nud', 'all'),
        await says(b, '-6', 'route', 'show', 'table', 'all'),
      ].join('\n--\n');
    };
    const before = await state();
    const forged = forgeries(world, podMac(a), own);
    assert.ok(forged.length > 100);
    const ends = (to: IpAddress): Ends => ({
      fromMac: podMac(a),
      toMac: HOST_MAC,
      from: to.includes(':') ? own.ipv6 : own.ipv4,
      to,
    });
    const genuine = [
      udp(ends(b.address('ipv6')), 7701, 'genuine six'),
      udp(ends(b.address('ipv4')), 7701, 'genuine four'),
    ];
    const seen = await lab.watch(b, 'eth0', 'genuine four', async () => {
      // One by one only when something is wrong: a name is worth more than a number.
      const all = await tried(
        world,
        'eth0',
        [...forged.map(([, frame]) => frame), ...arpForgeries(world, podMac(a), own.ipv4)],
        genuine,
      );
      if (all[0] !== genuine.length)
        for (const [name, frame] of forged)
          assert.deepEqual(await tried(world, 'eth0', [frame], [genuine[0] ?? '']), [1, 0], name);
      assert.deepEqual(all, [genuine.length, 0], 'no IP packet, and no ARP');
    });
    const wanted = ['genuine six', 'genuine four'].map((text) => Buffer.from(text).toString('hex'));
    for (const frame of seen)
      assert.ok(
        wanted.some((text) => frame.includes(text)),
        `the other pod got ${frame}`,
      );
    assert.equal(await state(), before);
  });

  test('a second interface sends with its own addresses alone, and answers leave by it', async () => {
    const world = get();
    const { lab, a } = world;
    const [host] = lab.nodes;
    const attachment = { ...a.attachment, interface: 'net1' };
    const runner = lab.runner(0);
    const result = await runner.add(attachment);
    const face = result.interfaces?.[0]?.name ?? '';
    const mac = result.interfaces?.[1]?.mac ?? '';
    const [net4 = '', net6 = ''] = (result.ips ?? [])
      .map(({ address }) => address.replace(/\/\d+$/, ''))
      .sort((x) => (x.includes(':') ? 1 : -1));
    await host.run(['nft', 'flush', 'table', 'inet', 'probe']);
    const faces = `{ "${face}", "${hostEnd(a)}" }`;
    for (const match of [
      ['ip6', 'nexthdr', 'udp'],
      ['ip', 'protocol', 'udp'],
    ]) {
      const rule = ['iifname', faces, ...match, 'counter', 'name', 'passed'];
      await host.run(['nft', 'add', 'rule', 'inet', 'probe', 'seen', ...rule]);
    }
    const frame = (from: string, macOf: string): string =>
      udp(
        { fromMac: macOf, toMac: HOST_MAC, from, to: from.includes(':') ? vmAddress.ipv6 : vmAddress.ipv4 },
        7702,
        'second',
      );
    const foreign = [frame(a.address('ipv4'), mac), frame(a.address('ipv6'), mac)];
    assert.deepEqual(
      await tried(world, 'net1', foreign, [frame(net4, mac), frame(net6, mac)]),
      [2, 0],
      "the first one's by the second",
    );
    const others = [frame(net4, podMac(a)), frame(net6, podMac(a))];
    assert.deepEqual(
      await tried(world, 'eth0', others, [frame(a.address('ipv4'), podMac(a))]),
      [1, 0],
      "the second one's by the first",
    );
    for (const address of [net4, net6]) await lab.vm.run(['ping', '-c', '1', '-W', '3', address]);
    await host.run(['nft', 'delete', 'table', 'inet', 'probe']);
    await host.run(['nft', 'delete', 'table', 'arp', 'probe']);
    await runner.del(attachment, result);
  });

  const losses: readonly (readonly [string, readonly string[]])[] = [
    ['the whole ruleset is flushed', ['flush', 'ruleset']],
    ['the table is deleted', ['delete', 'table', 'inet', 'flatroute']],
    ['a rule lets everything pass', ['insert', 'rule', 'inet', 'flatroute', 'pods', 'accept']],
    ['the table is put to sleep', ['add', 'table', 'inet', 'flatroute', '{ flags dormant; }']],
    ['ARP is let in', ['flush', 'chain', 'arp', 'flatroute', 'pods']],
  ];
  test('rules that somebody takes away are back at once, counted, and said with the name of the program', async () => {
    const { lab } = get();
    const [host] = lab.nodes;
    // Chains come in the order in which they were made.
    const rules = async (): Promise<string> => {
      const tables = ['inet', 'arp'].map((family) => host.exec(['nft', 'list', 'table', family, 'flatroute']));
      const lines = (await Promise.all(tables)).flatMap(({ stdout }) => stdout.split('\n'));
      return lines.sort().join('\n').trim();
    };
    const whole = await rules();
    for (const [what, argv] of losses) {
      const before = (await lab.drift(0)).repairs;
      await host.run(['nft', ...argv]);
      // The look that is made in any case comes after a minute; this waits for 20 s at most.
      await until(
        `${what}: counted`,
        async () => ((await lab.drift(0)).repairs['podRules'] ?? 0) > (before['podRules'] ?? 0),
        true,
      );
      await until(`${what}: as before`, rules, whole);
      await until(`${what}: no problem`, async () => (await lab.drift(0)).problems.join('\n'), '');
    }
    await until('counted', async () => ((await lab.drift(0)).repairs['natRules'] ?? 0) >= 1, true);
    await untilSaid('the program', () => lab.agents[0].log(500), /"event":"pod\.rules_restored".*"by":"nft"/);
  });
}
