/**
 * Who is measured: flatroute, the reference plugins, and the floor of the same messages from C. Each has a node of its own,
 * because an agent that follows the other's interfaces would slow it down. Peers that are slow get fewer pods; all figures are
 * of one pod.
 */
import type { Host } from '#lab/host.ts';
import type { Lab } from '#lab/lab.ts';
import type { IpAddress } from '#lib/ip.ts';
import type { BenchAgent } from './agent.ts';
import { plugin, programPath } from './programs.ts';

export interface Contender {
  readonly name: string;
  readonly node: Host;
  /** What the load generator starts for each pod; `undefined`: the floor, which does all by itself. */
  readonly plugin: string | undefined;
  readonly conf: string;
  readonly agent: BenchAgent | undefined;
  /** Host ends are called by this and something else. */
  readonly prefix: string;
  /** DEL leaves the interfaces to be reaped by the floor's program. */
  readonly reaps: boolean;
  readonly pods: (at: number, wanted: number) => number;
}

const CONF = '/run/bench.conf';
const loopback = ['192.0.2.11', '2001:db8::11'] as IpAddress[];

interface Peer {
  readonly name: string;
  readonly conf: object;
  readonly pods: (at: number, wanted: number) => number;
}

const hostLocal = (...subnets: readonly string[]): object => ({
  type: 'host-local',
  ranges: subnets.map((subnet) => [{ subnet }]),
  dataDir: '/run/bench-host-local',
});
const v4 = '10.99.0.0/16';
const v6 = 'fd99::/64';
const atMost = (few: number, many: number) => (at: number, wanted: number) => Math.min(wanted, at < 8 ? few : many);

const peers: Readonly<Record<string, Peer>> = {
  ptp: {
    name: 'ptp + host-local',
    conf: { name: 'ptpnet', type: 'ptp', ipMasq: false, ipam: hostLocal(v4) },
    pods: atMost(200, 1000),
  },
  'ptp-dual': {
    name: 'ptp + host-local, dual stack',
    conf: { name: 'ptpnet', type: 'ptp', ipMasq: false, ipam: hostLocal(v4, v6) },
    pods: atMost(20, 64),
  },
  bridge: {
    name: 'bridge + host-local',
    conf: { name: 'bridgenet', type: 'bridge', bridge: 'br0', isGateway: true, ipMasq: false, ipam: hostLocal(v4) },
    pods: atMost(200, 500),
  },
};

const floors: Readonly<Record<string, string | undefined>> = {
  'C floor + one exec': programPath('floor'),
  'C floor': undefined,
};

export const peerNames: readonly string[] = [...Object.keys(peers), 'floor'];

export async function makeContenders(
  lab: Lab,
  agent: BenchAgent,
  wanted: readonly string[],
): Promise<readonly Contender[]> {
  await agent.node.writeFile(CONF, '{"cniVersion":"1.0.0","name":"flatroute","type":"flatroute"}');
  const all = (_: number, count: number): number => count;
  const contenders: Contender[] = [
    { name: 'flatroute', node: agent.node, plugin, conf: CONF, agent, prefix: 'fr', reaps: false, pods: all },
  ];
  for (const [key, { name, conf, pods }] of Object.entries(peers)) {
    if (!wanted.includes(key)) continue;
    const node = await lab.addHost(key, { forwarding: true });
    await node.writeFile(CONF, JSON.stringify({ cniVersion: '1.0.0', ...conf }));
    const program = `/usr/lib/cni/${key.replace('-dual', '')}`;
    contenders.push({ name, node, plugin: program, conf: CONF, agent: undefined, prefix: 'veth', reaps: false, pods });
  }
  if (wanted.includes('floor')) {
    const node = await lab.addHost('floor', { forwarding: true, loopback });
    await node.writeFile(CONF, '{}');
    const floor = { node, conf: CONF, agent: undefined, prefix: 'fl', reaps: true, pods: all };
    for (const [name, program] of Object.entries(floors)) contenders.push({ ...floor, name, plugin: program });
  }
  return contenders;
}
