// Addresses of Services on a node, with rules as kube-proxy writes them in its iptables and its nftables mode beside ours: what is
// translated arrives, what is refused is refused, and what nobody translates is dropped and does not go round in circles.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { families, type Family } from '#lib/ip.ts';
import { WITNESS_PORT } from '../../support/pod-lab.ts';
import { type GetWorld, until, type World } from './world.ts';

const ranges: Readonly<Record<Family, string>> = { ipv4: '198.51.100.0/24', ipv6: '2001:db8:5::/112' };
/** Of a Service with an endpoint, of one without, and of none. */
const services: Readonly<Record<Family, readonly [served: string, empty: string, nobody: string]>> = {
  ipv4: ['198.51.100.7', '198.51.100.8', '198.51.100.9'],
  ipv6: ['2001:db8:5::7', '2001:db8:5::8', '2001:db8:5::9'],
};

interface Mode {
  readonly name: string;
  /** Rules of one family for a Service at `served` with this endpoint. */
  readonly write: (world: World, family: Family, endpoint: string) => Promise<void>;
  readonly remove: (world: World) => Promise<void>;
}

const hostOf = ({ lab }: World): World['lab']['nodes'][0] => lab.nodes[0];

/** KUBE-EXTERNAL-SERVICES refuses in the filter table, KUBE-EXT and KUBE-SEP masquerade and translate. */
const iptables: Mode = {
  name: 'iptables',
  async write(world, family, endpoint) {
    const [served, empty] = services[family];
    const [host, refuse, to] =
      family === 'ipv4' ? [32, 'icmp-port-unreachable', endpoint] : [128, 'icmp6-port-unreachable', `[${endpoint}]`];
    const text = [
      '*filter',
      ':KUBE-EXTERNAL-SERVICES - [0:0]',
      '-A FORWARD -m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES',
      `-A KUBE-EXTERNAL-SERVICES -d ${empty}/${host} -p tcp -m tcp --dport 80 -j REJECT --reject-with ${refuse}`,
      'COMMIT',
      '*nat',
      ':KUBE-SERVICES - [0:0]',
      ':KUBE-POSTROUTING - [0:0]',
      ':KUBE-EXT-WEB - [0:0]',
      '-A PREROUTING -j KUBE-SERVICES',
      '-A OUTPUT -j KUBE-SERVICES',
      '-A POSTROUTING -j KUBE-POSTROUTING',
      `-A KUBE-SERVICES -d ${served}/${host} -p tcp -m tcp --dport 80 -j KUBE-EXT-WEB`,
      '-A KUBE-EXT-WEB -j MARK --set-xmark 0x4000/0x4000',
      `-A KUBE-EXT-WEB -p tcp -m tcp -j DNAT --to-destination ${to}:${WITNESS_PORT}`,
      '-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN',
      '-A KUBE-POSTROUTING -j MASQUERADE --random-fully',
      'COMMIT',
      '',
    ].join('\n');
    await hostOf(world).writeFile(`/run/kube-${family}`, text);
    const restore = family === 'ipv4' ? 'iptables-restore' : 'ip6tables-restore';
    await hostOf(world).run([restore, '--noflush', `/run/kube-${family}`]);
  },
  async remove(world) {
    for (const program of ['iptables', 'ip6tables'])
      for (const table of ['nat', 'filter']) {
        await hostOf(world).run([program, '-t', table, '-F']);
        await hostOf(world).run([program, '-t', table, '-X']);
      }
  },
};

/** Maps of addresses and ports to chains, and one of what has no endpoints, asked in the forward hook. */
const nftables: Mode = {
  name: 'nftables',
  async write(world, family, endpoint) {
    const [served, empty] = services[family];
    const ip = family === 'ipv4' ? 'ip' : 'ip6';
    const to = family === 'ipv4' ? endpoint : `[${endpoint}]`;
    const text = `table ${ip} kube-proxy {
  map no-endpoint-services {
    type ${family === 'ipv4' ? 'ipv4_addr' : 'ipv6_addr'} . inet_proto . inet_service : verdict
    elements = { ${empty} . tcp . 80 : goto reject-chain }
  }
  map service-ips {
    type ${family === 'ipv4' ? 'ipv4_addr' : 'ipv6_addr'} . inet_proto . inet_service : verdict
    elements = { ${served} . tcp . 80 : goto external-web }
  }
  chain reject-chain { reject; }
  chain external-web { meta mark set meta mark or 0x4000; meta l4proto tcp dnat to ${to}:${WITNESS_PORT}; }
  chain services { ${ip} daddr . meta l4proto . th dport vmap @service-ips; }
  chain filter-forward {
    type filter hook forward priority 0;
    ct state new ${ip} daddr . meta l4proto . th dport vmap @no-endpoint-services
  }
  chain nat-prerouting { type nat hook prerouting priority -100; jump services; }
  chain nat-output { type nat hook output priority -100; jump services; }
  chain nat-postrouting { type nat hook postrouting priority 100; meta mark and 0x4000 != 0 masquerade fully-random; }
}
`;
    await hostOf(world).writeFile(`/run/kube-${family}.nft`, text);
    await hostOf(world).run(['nft', '-f', `/run/kube-${family}.nft`]);
  },
  async remove(world) {
    for (const ip of ['ip', 'ip6']) await hostOf(world).run(['nft', 'delete', 'table', ip, 'kube-proxy']);
  },
};

const configuration = (kind: string): string => `apiVersion: flatroute.io/v1alpha1
kind: BGPConfiguration
metadata: { name: default }
spec: { ${kind}: [${families.map((family) => `{ cidr: "${ranges[family]}" }`).join(', ')}] }
`;

/** What the VM hears of a connection. The kernel may take a refusal of IPv6 for one only when it asks again, a second later. */
async function connected({ lab }: World, address: string): Promise<string> {
  const script = `const s = require('net').connect({ host: process.argv[1], port: 80 });
const end = (said) => { console.log(said); process.exit(); };
setTimeout(() => end('nothing'), 20_000);
s.on('error', (e) => end(e.code)).on('connect', () => end('open'));`;
  return (await lab.vm.run([process.execPath, '-e', script, address])).trim();
}

/** `went round` when the time-to-live of a packet ran out on the way, `nothing` when nobody says anything. */
async function fate({ lab }: World, address: string): Promise<string> {
  const { stdout } = await lab.vm.exec(['ping', '-c', '1', '-W', '0.5', '-n', address]);
  return /Time to live exceeded|Hop limit/i.test(stdout) ? 'went round' : 'nothing';
}

export function serviceAddresses(get: GetWorld): void {
  const chain = async (): Promise<string> =>
    (await hostOf(get()).exec(['nft', 'list', 'chain', 'inet', 'flatroute', 'services'])).stdout;
  const dropped = (): Promise<void> =>
    until('the rules', async () => (await chain()).split(' drop').length - 1, 2).then(() => undefined);
  const routes = async (verb: 'add' | 'del'): Promise<void> => {
    const { lab } = get();
    await lab.tor.ip(
      families.map((family) => `route ${verb} ${ranges[family]} via ${family === 'ipv4' ? '10.1.0.2' : 'fd01::2'}`),
    );
  };

  describe('addresses of Services', () => {
    test('that nobody translates went round between the node and its router before there was a range', async () => {
      await routes('add');
      assert.equal(await chain(), '', 'no chain is made without a range');
      for (const family of families) await until(family, () => fate(get(), services[family][2]), 'went round');
    });
    for (const mode of [iptables, nftables]) {
      test(`beside kube-proxy's rules in ${mode.name}: what is translated arrives, the node's own too, refusals are heard, the rest is dropped`, async () => {
        const world = get();
        const { lab, a } = world;
        await lab.agents[0].write({ 'bgp.yaml': configuration('serviceLoadBalancerIPs') });
        await dropped();
        for (const family of families) await mode.write(world, family, a.address(family));
        try {
          for (const family of families) {
            const [served, empty, nobody] = services[family];
            for (const from of [lab.vm, lab.nodes[0]]) {
              const [said = ''] = await lab.askWitness(from, [served], 80);
              assert.equal(said.split(' ')[0], 'a', `${family} from ${from.name}`);
            }
            assert.equal(await connected(world, empty), 'ECONNREFUSED', family);
            assert.equal(await fate(world, nobody), 'nothing', family);
          }
        } finally {
          await mode.remove(world);
        }
      });
    }
    test('stay dropped when somebody flushes all rules, and the repair is counted', async () => {
      const { lab } = get();
      const before = (await lab.drift(0)).repairs['serviceRules'] ?? 0;
      await hostOf(get()).run(['nft', 'flush', 'ruleset']);
      await dropped();
      await until('the repair', async () => ((await lab.drift(0)).repairs['serviceRules'] ?? 0) > before, true);
      assert.equal(await fate(get(), services.ipv4[2]), 'nothing');
    });
    test('are dropped no more when their range is gone', async () => {
      const { lab } = get();
      await lab.agents[0].write({ 'bgp.yaml': undefined });
      await until('no rule', async () => (await chain()).includes('drop'), false);
      await until('ipv4', () => fate(get(), services.ipv4[2]), 'went round');
      await routes('del');
    });
  });
}
