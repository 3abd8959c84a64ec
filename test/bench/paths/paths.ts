/**
 * Pod to pod: throughput, small datagrams per second and round-trip times of flatroute's path, beside a bridge (same node) and
 * a VXLAN overlay (two nodes), in turns, over the same kind of link. iperf3 makes the load, a C program the round trips.
 * Everything is between network namespaces of one machine, so the figures are of the kernel's path and of no network card.
 */
import { parseArgs } from 'node:util';
import { type Conflist, HostConflistRunner } from '#lab/conflist.ts';
import type { Endpoint } from '#lab/endpoint.ts';
import type { Host } from '#lab/host.ts';
import type { Lab } from '#lab/lab.ts';
import { Pod } from '#lab/pod.ts';
import { PodEndpoint } from '#lab/pod-endpoint.ts';
import { flatroute } from '#lab/program.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { seconds } from '#lib/time.ts';
import { established, makeNodes, startAgent, untilStatus } from '../../support/agent-lab.ts';
import { buildPrograms, programPath } from '../pods/programs.ts';
import { median } from '../pods/tables.ts';

const PORT = 5301;
const ROUND_TRIPS = 20_000;
const VXLAN_MTU = 1450;

interface Path {
  readonly name: string;
  readonly from: Endpoint;
  readonly to: Endpoint;
  /** Of `to`. */
  readonly address: string;
}

interface Measured {
  readonly gigabits: number;
  readonly packets: number;
  readonly p50: number;
  readonly p99: number;
}

/** A network namespace on a host, as a runtime would make one, without a plugin. */
async function plainPod(
  host: Host,
  name: string,
  bridge: string,
  addresses: readonly string[],
  mtu: number,
): Promise<Endpoint> {
  await host.run(['ip', 'netns', 'add', name]);
  await host.ip([
    `link add ${name} mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${name}`,
    `link set ${name} master ${bridge} up`,
  ]);
  for (const words of [
    ['link', 'set', 'lo', 'up'],
    ['link', 'set', 'eth0', 'up'],
    ...addresses.map((address) => ['address', 'add', address, 'dev', 'eth0', 'nodad']),
  ])
    await host.run(['ip', '-n', name, ...words]);
  return new PodEndpoint(host, name, name, []);
}

async function makePlain(lab: Lab): Promise<readonly Path[]> {
  const hosts = [
    await lab.addHost('plain-1', { forwarding: true }),
    await lab.addHost('plain-2', { forwarding: true }),
  ] as const;
  await lab.link({
    a: hosts[0],
    b: hosts[1],
    names: ['up', 'up'],
    addresses: [['198.51.100.1/24', '198.51.100.2/24']],
  });
  for (const [i, host] of hosts.entries()) {
    await host.ip([
      'link add br0 type bridge',
      'link set br0 up',
      'link add brx type bridge',
      `link add vx0 mtu ${VXLAN_MTU} type vxlan id 7 dstport 4789 local 198.51.100.${i + 1} dev up`,
      'link set vx0 master brx up',
      'link set brx up',
    ]);
    await host.run(['bridge', 'fdb', 'append', '00:00:00:00:00:00', 'dev', 'vx0', 'dst', `198.51.100.${2 - i}`]);
  }
  const bridged = [
    await plainPod(hosts[0], 'br-a', 'br0', ['10.98.0.1/24', 'fd98::1/64'], 1500),
    await plainPod(hosts[0], 'br-b', 'br0', ['10.98.0.2/24', 'fd98::2/64'], 1500),
  ] as const;
  const overlaid = [
    await plainPod(hosts[0], 'vx-a', 'brx', ['10.97.0.1/24', 'fd97::1/64'], VXLAN_MTU),
    await plainPod(hosts[1], 'vx-b', 'brx', ['10.97.0.2/24', 'fd97::2/64'], VXLAN_MTU),
  ] as const;
  return [
    { name: 'same node, IPv4: bridge', from: bridged[0], to: bridged[1], address: '10.98.0.2' },
    { name: 'same node, IPv6: bridge', from: bridged[0], to: bridged[1], address: 'fd98::2' },
    { name: 'two nodes, IPv4: VXLAN', from: overlaid[0], to: overlaid[1], address: '10.97.0.2' },
    { name: 'two nodes, IPv6: VXLAN', from: overlaid[0], to: overlaid[1], address: 'fd97::2' },
  ];
}

async function makeOurs(nodes: Awaited<ReturnType<typeof makeNodes>>['nodes']): Promise<readonly Path[]> {
  const runners: HostConflistRunner[] = [];
  for (const node of nodes) {
    await startAgent(node);
    await node.host.run(flatroute('cni', 'install', '--bin-dir', '/run/cni/bin', '--conf-dir', '/run/cni/net.d'));
    const { plugins, ...list } = JSON.parse(
      await node.host.readFile('/run/cni/net.d/05-flatroute.conflist'),
    ) as Conflist;
    // What is chained behind it has no part in the path.
    const alone = { ...list, plugins: plugins.slice(0, 1) };
    runners.push(new HostConflistRunner(node.host, alone, ['/run/cni/bin']));
  }
  for (const node of nodes) await untilStatus(node, 'the session is established', established);
  const [first, second] = runners;
  if (first === undefined || second === undefined) throw new Error('two nodes were made, and there are not two');
  const [a, b, c] = [await Pod.attach(first, 'a'), await Pod.attach(first, 'b'), await Pod.attach(second, 'c')];
  return [
    { name: 'same node, IPv4: flatroute', from: a, to: b, address: b.address('ipv4') },
    { name: 'same node, IPv6: flatroute', from: a, to: b, address: b.address('ipv6') },
    { name: 'two nodes, IPv4: flatroute', from: a, to: c, address: c.address('ipv4') },
    { name: 'two nodes, IPv6: flatroute', from: a, to: c, address: c.address('ipv6') },
  ];
}

/** The fields of `iperf3 -J` that are looked at. */
interface IperfAnswer {
  readonly error?: string;
  readonly end: {
    readonly sum_received?: { readonly bits_per_second: number };
    readonly sum: { readonly packets?: number; readonly lost_packets?: number; readonly seconds: number };
  };
}

async function iperf(
  { from, address }: Path,
  forSeconds: number,
  words: readonly string[],
): Promise<IperfAnswer['end']> {
  const argv = ['iperf3', '-c', address, '-t', String(forSeconds), '-J', ...words];
  const { stdout, stderr } = await from.exec(argv, { timeout: seconds(forSeconds + 20) });
  const answer = JSON.parse(stdout === '' ? JSON.stringify({ error: stderr }) : stdout) as IperfAnswer;
  if (answer.error !== undefined) throw new Error(`iperf3 to ${address}: ${answer.error}`);
  return answer.end;
}

async function measure(path: Path, forSeconds: number): Promise<Measured> {
  const stream = await iperf(path, forSeconds, []);
  const small = await iperf(path, forSeconds, ['-u', '-b', '0', '-l', '64']);
  const asked = JSON.parse(
    await path.from.run([programPath('pingpong'), 'ask', path.address, String(PORT), String(ROUND_TRIPS)], {
      timeout: seconds(60),
    }),
  ) as { readonly p50: number; readonly p99: number };
  const { packets = 0, lost_packets = 0, seconds: took } = small.sum;
  return {
    gigabits: (stream.sum_received?.bits_per_second ?? 0) / 1e9,
    packets: (packets - lost_packets) / took,
    p50: asked.p50,
    p99: asked.p99,
  };
}

export async function runPaths(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: { seconds: { type: 'string', default: '3' }, rounds: { type: 'string', default: '3' } },
  });
  const [forSeconds, rounds] = [Number(values.seconds), Number(values.rounds)];
  if (![forSeconds, rounds].every((n) => Number.isInteger(n) && n >= 1)) {
    console.error('bench paths: --seconds and --rounds are at least 1');
    return 2;
  }
  buildPrograms();
  const { lab, nodes } = await makeNodes('bench-paths');
  await using made = lab;
  const paths = [...(await makeOurs(nodes)), ...(await makePlain(made))].sort((x, y) =>
    x.name.slice(0, 15) < y.name.slice(0, 15) ? -1 : x.name.slice(0, 15) > y.name.slice(0, 15) ? 1 : 0,
  );
  for (const to of new Set(paths.map((path) => path.to))) {
    await to.spawn(['iperf3', '-s']);
    await to.spawn([programPath('pingpong'), 'serve', String(PORT)]);
  }
  for (const { name, from, address } of paths) {
    await waitFor(
      `${name} to carry a ping`,
      async () => ((await from.exec(['ping', '-c1', '-W1', address])).code === 0 ? found(true) : notYet('no answer')),
      { deadline: seconds(20) },
    );
  }
  const all = new Map<string, Measured[]>();
  for (let round = 1; round <= rounds; round++) {
    for (const path of paths) {
      const measured = await measure(path, forSeconds);
      all.set(path.name, [...(all.get(path.name) ?? []), measured]);
      console.error(
        `round ${round}/${rounds}  ${path.name}: ${measured.gigabits.toFixed(1)} Gbit/s, ${(measured.packets / 1000).toFixed(0)} k/s, ${measured.p50.toFixed(1)} us`,
      );
    }
  }
  console.log(`Medians of ${rounds} rounds of ${forSeconds} s, in turns; one TCP stream, datagrams of 64 bytes.\n`);
  console.log('| path | TCP Gbit/s | datagrams/s that arrive | round trip p50 | p99 |\n|---|---|---|---|---|');
  for (const [name, group] of all) {
    const of = (pick: (one: Measured) => number): number => median(group.map(pick));
    console.log(
      `| ${name} | ${of((one) => one.gigabits).toFixed(1)} | ${(of((one) => one.packets) / 1000).toFixed(0)} k | ${of((one) => one.p50).toFixed(1)} us | ${of((one) => one.p99).toFixed(1)} us |`,
    );
  }
  return 0;
}
