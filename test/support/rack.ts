/**
 * One node under two routers with a VM behind both, as a rack has it: what restarts are tried on. The routers announce the VM,
 * the node has one pod; both families everywhere.
 */
import { families, hostPrefix } from '#lib/ip.ts';
import type { Family, IpAddress, Prefix } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import { askByAdminApi } from '#cli/demo/ask.ts';
import type { Conflist } from '#lab/conflist.ts';
import { HostConflistRunner } from '#lab/conflist.ts';
import { type Host, MULTIPATH_SYSCTLS } from '#lab/host.ts';
import { Lab } from '#lab/lab.ts';
import { bfdProfile, bgpConfiguration, bgpPeer, node } from '#lab/manifests.ts';
import { NodeAgent } from '#lab/node-agent.ts';
import { Pod } from '#lab/pod.ts';
import { flatroute } from '#lab/program.ts';
import { makeRouter } from '#lab/routers/make.ts';
import { type BfdOptions, bfdTimes, type LabRouter, type RouterKind } from '#lab/routers/router.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import {
  type Side,
  address,
  asn,
  description,
  linkAddress,
  linkHosts,
  peerOf,
  prefixes,
} from '../interop/two-routers.ts';
import type { StreamEnd } from './streams.ts';

/** On a busy machine too, longer than a router is frozen: an expired hold timer ends the routes. */
const HOLD_SECONDS = 90;
const nodeAsn = asn(65001);
const vmAddress = { ipv4: address('10.9.9.9'), ipv6: address('fd09::9') };
export const block = { ipv4: '10.60.1.0/26', ipv6: 'fd60:1::/112' };
const announce = prefixes(`${vmAddress.ipv4}/32`, `${vmAddress.ipv6}/128`);
const sides: readonly Side[] = [
  { asn: asn(65002), routerId: address('10.255.0.2'), announce },
  { asn: asn(65003), routerId: address('10.255.0.3'), announce },
];
const names = ['first', 'second'] as const;

export interface RackOptions {
  /** Between the node and both routers, single hop. */
  readonly bfd?: BfdOptions;
  /** What both routers announce besides. */
  readonly announce?: readonly Prefix[];
  /** The routers are linked and tell each other what they learn, so that one can carry what the other had. */
  readonly interconnected?: boolean;
}

export class Rack implements AsyncDisposable {
  readonly lab: Lab;
  readonly node: Host;
  readonly vm: Host;
  readonly agent: NodeAgent;
  readonly routers: readonly LabRouter[];

  private constructor(lab: Lab, nodeHost: Host, vm: Host, routers: readonly LabRouter[]) {
    this.lab = lab;
    this.node = nodeHost;
    this.vm = vm;
    this.agent = new NodeAgent(nodeHost, askByAdminApi);
    this.routers = routers;
  }

  /** Everything is up and each has learned what the other announces. */
  static async create(kind: RouterKind, more: RackOptions = {}): Promise<Rack> {
    const lab = await Lab.create('rack');
    try {
      const [nodeHost, vm, ...hosts] = await Promise.all([
        lab.addHost('node', { forwarding: true }),
        lab.addHost('vm', { loopback: [vmAddress.ipv4, vmAddress.ipv6], sysctls: MULTIPATH_SYSCTLS }),
        ...names.map((name) => lab.addHost(name, { forwarding: true })),
      ]);
      const routers: LabRouter[] = [];
      for (const [i, host] of hosts.entries()) {
        await linkHosts(lab, i + 1, nodeHost, host);
        await linkHosts(lab, i + 3, host, vm);
        await host.ip(families.map((family) => `route add ${vmAddress[family]} via ${linkAddress(i + 3, 2, family)}`));
        const peers = [peerOf(i + 1, 1, 'node', nodeAsn, more.bfd === undefined ? {} : { bfd: more.bfd })];
        const other = sides[1 - i] as Side;
        if (more.interconnected === true) peers.push(peerOf(5, i === 0 ? 2 : 1, 'sibling', other.asn));
        const side = sides[i] as Side;
        const said = { ...side, announce: [...side.announce, ...(more.announce ?? [])] };
        routers.push(makeRouter(kind, host, description(said, peers, HOLD_SECONDS)));
      }
      const [one, two] = hosts;
      if (more.interconnected === true && one !== undefined && two !== undefined) await linkHosts(lab, 5, one, two);
      const hops = (family: Family): string =>
        hosts.map((_, i) => `nexthop via ${linkAddress(i + 3, 1, family)}`).join(' ');
      await vm.ip([
        `route add 0.0.0.0/0 src ${vmAddress.ipv4} ${hops('ipv4')}`,
        `route add ::/0 src ${vmAddress.ipv6} ${hops('ipv6')}`,
      ]);
      const rack = new Rack(lab, nodeHost, vm, routers);
      await rack.agent.write(rack.#resources());
      await Promise.all([rack.agent.start(), ...routers.map((router) => router.start())]);
      await rack.restored();
      return rack;
    } catch (error) {
      await lab.dispose();
      throw error;
    }
  }

  #resources(): Readonly<Record<string, string>> {
    const peers = this.routers.map((router, i) => [
      `peer-${router.host.name}.yaml`,
      bgpPeer({
        name: router.host.name,
        address: linkAddress(i + 1, 2),
        asn: router.description.asn,
        families,
        holdTimeSeconds: HOLD_SECONDS,
        options: [
          ...(router.description.peers.some((peer) => peer.bfd !== undefined) ? ['bfd: { profile: fast }'] : []),
          `maxPrefixes: { limit: ${router.description.announce.length} }`,
        ],
      }),
    ]);
    return {
      'bfd.yaml': bfdProfile('fast', bfdTimes),
      'bgp.yaml': bgpConfiguration({ asn: nodeAsn, importPolicy: 'All' }),
      'node.yaml': node({
        name: 'node',
        addresses: [linkAddress(1, 1), linkAddress(1, 1, 'ipv6')],
        podCIDRs: prefixes(block.ipv4, block.ipv6),
      }),
      ...Object.fromEntries(peers),
    };
  }

  /**
   * Every session with these routers is up at both ends, the routers were told of the pods' blocks in this life of the agent, and
   * the node's kernel has the way to the VM by each of them.
   */
  async restored(routers: readonly LabRouter[] = this.routers): Promise<void> {
    await waitFor(
      'all sessions to be up with all routes',
      async () => {
        const names = routers.map((router) => router.host.name);
        const peers = (await this.agent.questions.peers()).filter((peer) => names.includes(peer.name));
        const waiting = peers.filter(
          (peer) => peer.state !== 'Established' || peer.announced.ipv4 === 0 || peer.announced.ipv6 === 0,
        );
        if (peers.length < names.length || waiting.length > 0)
          return notYet(`the agent waits for ${JSON.stringify(waiting)}`);
        for (const router of routers) {
          const [row] = await router.sessions();
          if (row?.established !== true) return notYet(`${router.host.name} says ${row?.state}`);
        }
        const routes = await this.node.routes();
        for (const family of families) {
          const hops = routes.find(({ prefix }) => prefix === hostPrefix(vmAddress[family]))?.nextHops ?? [];
          const missing = routers.filter((router) => !hops.includes(this.#addressOf(router, family)));
          if (missing.length > 0)
            return notYet(`no ${family} by ${missing.map(({ host }) => host.name).join()}: ${hops.join()}`);
        }
        return found(undefined);
      },
      { deadline: seconds(60) },
    );
  }

  /** On its link with the node. */
  #addressOf(router: LabRouter, family: Family): IpAddress {
    return linkAddress(this.routers.indexOf(router) + 1, 2, family);
  }

  /** Name of the router that has this address on its link with the node. */
  routerBehind(hop: string): string {
    const one = this.routers.find((router) => families.some((family) => this.#addressOf(router, family) === hop));
    return one?.host.name ?? hop;
  }

  /** A pod, by the conflist that `flatroute cni install` writes. */
  async addPod(name: string): Promise<Pod> {
    const [binaries, configuration] = ['/run/cni/bin', '/etc/cni/net.d'];
    await this.node.run(flatroute('cni', 'install', '--bin-dir', binaries, '--conf-dir', configuration));
    const file = (await this.node.run(['ls', configuration])).split('\n').find((it) => it.endsWith('.conflist'));
    const conflist = JSON.parse(await this.node.readFile(`${configuration}/${file}`)) as Conflist;
    // Only what is ours: host ports are of no interest here.
    const plugins = conflist.plugins.filter(({ type }) => type.startsWith('flatroute'));
    return await Pod.attach(new HostConflistRunner(this.node, { ...conflist, plugins }, [binaries]), name);
  }

  /** From now on every change of the node's learned routes and next hops is written down; the answer reads what there was. */
  async watchKernel(): Promise<() => Promise<readonly string[]>> {
    const monitor = await this.node.spawn(['ip', '-ts', 'monitor', 'route', 'nexthop'], { log: 'kernel.log' });
    const told = async (): Promise<readonly string[]> => (await monitor.log()).split('\n');
    await waitFor(
      'the kernel to be watched',
      async () => {
        await this.node.ip(['route add 203.0.113.254/32 dev lo', 'route delete 203.0.113.254/32']);
        return (await told()).some((line) => line.includes('203.0.113.254'))
          ? found(undefined)
          : notYet('nothing said');
      },
      { deadline: seconds(60) },
    );
    return async () => {
      // What is said after this change was made has all before it.
      await this.node.ip(['route add 203.0.113.255/32 dev lo']);
      const lines = await waitFor(
        'the last change to be told',
        async () => {
          const all = await told();
          return all.some((line) => line.includes('203.0.113.255')) ? found(all) : notYet(all.slice(-3).join(' | '));
        },
        { deadline: seconds(60) },
      );
      return lines.filter((line) => / proto 179\b|\bgroup\b/.test(line));
    };
  }

  vmEnd(): StreamEnd {
    return { endpoint: this.vm, address: vmAddress };
  }

  static podEnd(pod: Pod): StreamEnd {
    return { endpoint: pod, address: { ipv4: pod.address('ipv4'), ipv6: pod.address('ipv6') } };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab.dispose();
  }
}
