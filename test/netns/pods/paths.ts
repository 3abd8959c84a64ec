// Which way a pod's packets go and what address each side sees: other pods, nodes, a VM, Services, groups.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { HOST_MAC } from '#dataplane/kernel-names.ts';
import { families, type Family } from '#lib/ip.ts';
import type { Endpoint } from '#lab/endpoint.ts';
import type { Pod } from '#lab/pod.ts';
import { udp } from '../../support/frames.ts';
import { type Both, nodeAddress, vmAddress, WITNESS_PORT } from '../../support/pod-lab.ts';
import { type GetWorld, podMac, type World } from './world.ts';

const podAddress = (pod: Pod): Both => ({ ipv4: pod.address('ipv4'), ipv6: pod.address('ipv6') });

interface End {
  readonly what: string;
  readonly at: Endpoint;
  readonly address: Both;
}

/** Rows of docs/pods.md: who asks, whom, and whose address is seen there. */
function directions({ lab, a, b, c, e }: World): readonly (readonly [End, End, End])[] {
  const end = (what: string, at: Endpoint, address: Both): End => ({ what, at, address });
  const pod = end('a pod', a, podAddress(a));
  const near = end('a pod of the same node', b, podAddress(b));
  const far = end('a pod of another node', c, podAddress(c));
  const node = end('its node', lab.nodes[0], nodeAddress[0]);
  const otherNode = end('another node', lab.nodes[1], nodeAddress[1]);
  const vm = end('a VM', lab.vm, vmAddress);
  const nat = end('a pod of a pool with natOutgoing', e, podAddress(e));
  return [
    ...[near, far, node, otherNode, vm].map((to) => [pod, to, pod] as const),
    ...[pod, far].map((to) => [{ ...node, what: 'a node' }, to, node] as const),
    ...[pod, nat].map((to) => [vm, to, vm] as const),
    ...[near, far, node].map((to) => [nat, to, nat] as const),
    ...[otherNode, vm].map((to) => [nat, to, node] as const),
  ];
}

/** IPv4 and IPv6 halves of what kube-proxy writes for Services with one endpoint each. */
function serviceRules(family: Family, services: readonly (readonly [address: string, endpoint: string])[]): string {
  const cluster = family === 'ipv4' ? '10.60.0.0/15' : 'fd60::/23';
  const host = family === 'ipv4' ? 32 : 128;
  const target = (address: string): string => (family === 'ipv4' ? address : `[${address}]`);
  return [
    '*nat',
    ...['KUBE-SERVICES', 'KUBE-POSTROUTING', 'KUBE-MARK-MASQ'].map((chain) => `:${chain} - [0:0]`),
    ...services.flatMap((_, i) => [`:KUBE-SVC-${i} - [0:0]`, `:KUBE-SEP-${i} - [0:0]`]),
    '-A PREROUTING -j KUBE-SERVICES',
    '-A OUTPUT -j KUBE-SERVICES',
    '-A POSTROUTING -j KUBE-POSTROUTING',
    '-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000',
    '-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN',
    '-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000',
    '-A KUBE-POSTROUTING -j MASQUERADE --random-fully',
    ...services.flatMap(([address, endpoint], i) => [
      `-A KUBE-SERVICES -d ${address}/${host} -p tcp -m tcp --dport 80 -j KUBE-SVC-${i}`,
      `-A KUBE-SVC-${i} ! -s ${cluster} -d ${address}/${host} -p tcp -m tcp --dport 80 -j KUBE-MARK-MASQ`,
      `-A KUBE-SVC-${i} -j KUBE-SEP-${i}`,
      `-A KUBE-SEP-${i} -s ${endpoint}/${host} -j KUBE-MARK-MASQ`,
      `-A KUBE-SEP-${i} -p tcp -m tcp -j DNAT --to-destination ${target(endpoint)}:${WITNESS_PORT}`,
    ]),
    'COMMIT',
    '',
  ].join('\n');
}

export function paths(get: GetWorld): void {
  test('each side sees the address that docs/pods.md says, in both families, and nothing is translated that need not be', async (t) => {
    const world = get();
    const { lab, a, b, c, e } = world;
    await Promise.all([...lab.nodes, lab.vm, a, b, c, e].map((at) => lab.witness(at)));
    const rows = directions(world);
    const asked = new Map<Endpoint, End[]>();
    for (const [from, to] of rows) asked.set(from.at, [...(asked.get(from.at) ?? []), to]);
    const answers = new Map<string, string>();
    for (const [from, tos] of asked) {
      const targets = tos.flatMap((to) => families.map((family) => ({ to, family, address: to.address[family] })));
      const said = await lab.askWitness(
        from,
        targets.map(({ address }) => address),
      );
      targets.forEach(({ to, family }, i) => answers.set(`${from.name} ${to.at.name} ${family}`, said[i] ?? ''));
    }
    const table: string[] = [];
    for (const [from, to, source] of rows) {
      for (const family of families)
        assert.equal(
          answers.get(`${from.at.name} ${to.at.name} ${family}`),
          `${to.at.name} ${source.address[family]}`,
          `${from.what} to ${to.what}`,
        );
      table.push(`| ${from.what} | ${to.what} | ${source.at === from.at ? 'its own' : "the node's"} |`);
    }
    t.diagnostic(`\n${table.join('\n')}`);
    const page = readFileSync('docs/pods.md', 'utf8');
    for (const row of table) assert.ok(page.includes(row), `docs/pods.md lacks ${row}`);
  });

  test('a pod reaches itself through its own Service, and others through theirs, with rules as kube-proxy writes them', async () => {
    const { lab, a, b } = get();
    const [host] = lab.nodes;
    const services = { ipv4: ['10.96.0.10', '10.96.0.11'], ipv6: ['fd96::10', 'fd96::11'] } as const;
    for (const family of families) {
      const [own, other] = services[family];
      const rules = [[own, a.address(family)] as const, [other, b.address(family)] as const];
      await host.writeFile(`/run/services-${family}`, serviceRules(family, rules));
      await host.run([
        family === 'ipv4' ? 'iptables-restore' : 'ip6tables-restore',
        '--noflush',
        `/run/services-${family}`,
      ]);
    }
    const all = families.flatMap((family) => services[family]);
    // Which of the node's addresses masquerading takes is the kernel's choice; that of an uplink in IPv6.
    const ofNode = new Set((await host.addresses()).map(String));
    const shown = async (from: Endpoint): Promise<readonly string[]> =>
      (await lab.askWitness(from, all, 80)).map((said) => {
        const [name = '', source = ''] = said.split(' ');
        return `${name} sees ${ofNode.has(source) ? 'the node' : source}`;
      });
    const itself = families.flatMap((family) => ['a sees the node', `b sees ${a.address(family)}`]);
    assert.deepEqual(await shown(a), itself, 'from the pod: only what would come back to itself is translated');
    const node = families.flatMap(() => ['a sees the node', 'b sees the node']);
    assert.deepEqual(await shown(host), node, 'from the node');
    for (const program of ['iptables', 'ip6tables']) await host.run([program, '-t', 'nat', '-F']);
  });

  test('groups and broadcasts end at the node: no other pod and no other machine hears them', async () => {
    const { lab, a, b } = get();
    const from = podAddress(a);
    const groups = [
      ['ff:ff:ff:ff:ff:ff', '255.255.255.255'],
      ['ff:ff:ff:ff:ff:ff', '10.60.1.63'],
      ['ff:ff:ff:ff:ff:ff', '10.9.0.255'],
      ['01:00:5e:00:00:fb', '224.0.0.251'],
      ['01:00:5e:00:00:01', '224.0.0.1'],
      ['01:00:5e:01:01:01', '239.1.1.1'],
      ['33:33:00:00:00:fb', 'ff02::fb'],
      ['33:33:00:00:00:01', 'ff05::1'],
      ['33:33:00:00:00:01', 'ff0e::1'],
    ] as const;
    const frame = (toMac: string, to: string, text: string): string =>
      udp({ fromMac: podMac(a), toMac, from: to.includes(':') ? from.ipv6 : from.ipv4, to }, 5353, text);
    const told = groups.map(([mac, to]) => frame(mac, to, 'to everybody'));
    const [atPod, atVm] = [b.address('ipv4'), vmAddress.ipv4].map((to) => frame(HOST_MAC, to, 'to you alone'));
    let seenByVm: readonly string[] = [];
    const seenByPod = await lab.watch(b, 'eth0', 'to you alone', async () => {
      seenByVm = await lab.watch(lab.vm, 'eth0', 'to you alone', () =>
        lab.send(a, 'eth0', [...told, atPod ?? '', atVm ?? '']),
      );
    });
    const everybody = Buffer.from('to everybody').toString('hex');
    assert.deepEqual(
      [...seenByPod, ...seenByVm].filter((one) => one.includes(everybody)),
      [],
    );
  });
}
