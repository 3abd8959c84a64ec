/**
 * The demo's network for real: builds in a lab what topology.ts says, starts routers and agents, and knows where
 * everything is. Nodes get their resources as files, an operator's way.
 */
import type { IpAddress } from '#lib/ip.ts';
import { families, hostPrefix } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import type { Conflist } from '#lab/conflist.ts';
import { HostConflistRunner } from '#lab/conflist.ts';
import type { Endpoint } from '#lab/endpoint.ts';
import { type EngineKind, GobgpSidecar } from '#lab/gobgp-sidecar.ts';
import { CARRIER_SYSCTLS, type Host, MULTIPATH_SYSCTLS } from '#lab/host.ts';
import type { Lab } from '#lab/lab.ts';
import { bfdProfile, bgpConfiguration, bgpPeer, ipPool, node, passwords } from '#lab/manifests.ts';
import { NodeAgent } from '#lab/node-agent.ts';
import type { Pod } from '#lab/pod.ts';
import { flatroute, labScript, referencePlugins } from '#lab/program.ts';
import { makeRouter } from '#lab/routers/make.ts';
import { bfdTimes, type ForwardingKind, type LabRouter, type RouterDescription } from '#lab/routers/router.ts';
import { askByAdminApi } from './ask.ts';
import type { NodePlan, RouterPlan } from './topology.ts';
import { linkAddresses, links, nodes, routers, vm } from './topology.ts';

export const HOLD_TIME_SECONDS = 9;
export const PLUGIN_FOLDER = '/run/cni/bin';
export const CONFLIST_FOLDER = '/etc/cni/net.d';

/** Routers and nodes hash over ports too, and a link without carrier is no next hop. */
const PATH_SYSCTLS = { ...CARRIER_SYSCTLS, ...MULTIPATH_SYSCTLS };

function routerDescription(plan: RouterPlan): RouterDescription {
  const others = routers.filter((other) => other !== plan);
  const joined = (other: RouterPlan): IpAddress =>
    plan === routers[0]
      ? (`${linkAddresses(plan.name, other.name).ipv4}2` as IpAddress)
      : (`${linkAddresses(other.name, plan.name).ipv4}1` as IpAddress);
  return {
    asn: plan.asn,
    routerId: plan.loopback.ipv4,
    peers: [
      ...nodes.map((n) => ({
        name: n.name,
        address: `${linkAddresses(plan.name, n.name).ipv4}2` as IpAddress,
        asn: n.asn,
        families,
        password: plan.password,
        bfd: {},
      })),
      ...others.map((other) => ({ name: other.name, address: joined(other), asn: other.asn, families })),
    ],
    announce: [
      hostPrefix(vm.address.ipv4),
      hostPrefix(vm.address.ipv6),
      hostPrefix(plan.loopback.ipv4),
      hostPrefix(plan.loopback.ipv6),
    ],
    holdTimeSeconds: HOLD_TIME_SECONDS,
    multipath: true,
  };
}

/** The files that make a node of the demo. */
function nodeResources(plan: NodePlan, engine: EngineKind): Readonly<Record<string, string>> {
  return {
    'bfd.yaml': bfdProfile('fast', bfdTimes),
    'bgp.yaml': bgpConfiguration({
      asn: plan.asn,
      importPolicy: 'All',
      nodeAddresses: true,
      ...(engine === 'gobgp' ? { gobgp: GobgpSidecar.address } : {}),
    }),
    'node.yaml': node({
      name: plan.name,
      labels: { rack: plan.rack },
      addresses: [plan.address.ipv4, plan.address.ipv6],
      podCIDRs: [plan.block.ipv4, plan.block.ipv6],
    }),
    'pool-ipv4.yaml': ipPool({ name: 'pods-ipv4', cidr: '10.60.0.0/16' as never, blockSize: 26, natOutgoing: false }),
    'pool-ipv6.yaml': ipPool({ name: 'pods-ipv6', cidr: 'fd60::/24' as never, blockSize: 122, natOutgoing: false }),
    'passwords.yaml': passwords(Object.fromEntries(routers.map((router) => [router.name, router.password]))),
    ...Object.fromEntries(
      routers.map((router) => [
        `peer-${router.name}.yaml`,
        bgpPeer({
          name: router.name,
          address: `${linkAddresses(router.name, plan.name).ipv4}1` as IpAddress,
          asn: router.asn,
          families,
          holdTimeSeconds: HOLD_TIME_SECONDS,
          passwordKey: router.name,
          options: ['bfd: { profile: fast }'],
        }),
      ]),
    ),
  };
}

export class DemoNetwork {
  readonly lab: Lab;
  readonly kind: ForwardingKind;
  /** Of the nodes. */
  readonly engine: EngineKind;
  readonly #hosts = new Map<string, Host>();
  readonly #routers = new Map<string, LabRouter>();
  readonly #agents = new Map<string, NodeAgent>();
  readonly #runners = new Map<string, HostConflistRunner>();
  readonly pods: Pod[] = [];

  constructor(lab: Lab, kind: ForwardingKind, engine: EngineKind) {
    this.lab = lab;
    this.kind = kind;
    this.engine = engine;
  }

  host(name: string): Host {
    return here(this.#hosts, name);
  }
  router(name: string): LabRouter {
    return here(this.#routers, name);
  }
  agent(name: string): NodeAgent {
    return here(this.#agents, name);
  }
  runner(name: string): HostConflistRunner {
    return here(this.#runners, name);
  }
  pod(name: string): Pod {
    return here(new Map(this.pods.map((pod) => [pod.name, pod])), name);
  }
  podsOf(nodeName: string): readonly Pod[] {
    return this.pods.filter((pod) => pod.host.name === nodeName);
  }
  get vm(): Host {
    return this.host(vm.name);
  }

  /** Hosts, links, addresses and the VM's static routes; nothing of it runs a program yet. */
  async build(): Promise<void> {
    const add = async (name: string, loopback: readonly IpAddress[], forwarding: boolean): Promise<void> => {
      const host = await this.lab.addHost(name, { forwarding, loopback, sysctls: PATH_SYSCTLS });
      this.#hosts.set(name, host);
    };
    await Promise.all([
      ...routers.map((plan) => add(plan.name, [plan.loopback.ipv4, plan.loopback.ipv6], true)),
      ...nodes.map((plan) => add(plan.name, [plan.address.ipv4, plan.address.ipv6], true)),
      add(vm.name, [vm.address.ipv4, vm.address.ipv6], false),
    ]);
    await Promise.all(
      links.map(async ([a, b]) => {
        const { ipv4, ipv6 } = linkAddresses(a, b);
        await this.lab.link({
          a: this.host(a),
          b: this.host(b),
          addresses: [
            [`${ipv4}1/30`, `${ipv4}2/30`],
            [`${ipv6}1/64`, `${ipv6}2/64`],
          ],
        });
      }),
    );
    await Promise.all([...this.#hosts.values()].map((host) => this.#installCommand(host)));
    await Promise.all(routers.map((plan) => this.staticRoutes(plan.name)));
    const hops = (family: 'ipv4' | 'ipv6'): string =>
      routers.map((plan) => `nexthop via ${linkAddresses(plan.name, vm.name)[family]}1`).join(' ');
    await this.vm.ip([
      `route add 0.0.0.0/0 src ${vm.address.ipv4} ${hops('ipv4')}`,
      `route add ::/0 src ${vm.address.ipv6} ${hops('ipv6')}`,
    ]);
  }

  /** A router's routes to the VM, which speaks no BGP. */
  async staticRoutes(router: string): Promise<void> {
    const { ipv4, ipv6 } = linkAddresses(router, vm.name);
    await this.host(router).ip([
      `route replace ${vm.address.ipv4}/32 via ${ipv4}2`,
      `route replace ${vm.address.ipv6}/128 via ${ipv6}2`,
    ]);
  }

  /** `flatroute` as a command on the host, for those who look around. */
  async #installCommand(host: Host): Promise<void> {
    const words = flatroute()
      .map((word) => `'${word}'`)
      .join(' ');
    await host.writeFile('/run/bin/flatroute', `#!/bin/sh\nexec ${words} "$@"\n`, 0o755);
  }

  async startRouters(): Promise<void> {
    await Promise.all(
      routers.map(async (plan) => {
        const router = makeRouter(this.kind, this.host(plan.name), routerDescription(plan), askByAdminApi);
        this.#routers.set(plan.name, router);
        await router.start();
      }),
    );
  }

  async startAgents(): Promise<void> {
    await Promise.all(
      nodes.map(async (plan) => {
        const agent = new NodeAgent(this.host(plan.name), askByAdminApi);
        this.#agents.set(plan.name, agent);
        await agent.write(nodeResources(plan, this.engine));
        if (this.engine === 'gobgp') await new GobgpSidecar(this.host(plan.name)).start();
        await agent.start();
      }),
    );
  }

  /** `flatroute cni install` on every node; answers the conflist that it wrote. */
  async installCni(): Promise<Conflist> {
    const installed = await Promise.all(
      nodes.map(async (plan) => {
        const host = this.host(plan.name);
        const words = ['cni', 'install', '--bin-dir', PLUGIN_FOLDER, '--conf-dir', CONFLIST_FOLDER];
        await host.run(flatroute(...words));
        const file = (await host.run(['ls', CONFLIST_FOLDER])).split('\n').find((name) => name.endsWith('.conflist'));
        if (file === undefined) throw new AppError('CNI_LAB_INSTALL', `no conflist in ${CONFLIST_FOLDER}`, {});
        const conflist = JSON.parse(await host.readFile(`${CONFLIST_FOLDER}/${file}`)) as Conflist;
        const others = referencePlugins();
        this.#runners.set(
          plan.name,
          new HostConflistRunner(host, conflist, [PLUGIN_FOLDER, ...(others === undefined ? [] : [others])]),
        );
        return conflist;
      }),
    );
    const [first] = installed;
    if (first === undefined) throw new AppError('CNI_LAB_INSTALL', 'there is no node', {});
    return first;
  }

  /** A witness that says which address it is spoken to from. */
  async startWitness(where: Endpoint, port: number): Promise<void> {
    await where.spawn(labScript('witness.ts', 'listen', String(port), where.name), {
      log: `witness-${where.name}.log`,
    });
  }
}

function here<T>(map: ReadonlyMap<string, T>, name: string): T {
  const value = map.get(name);
  if (value === undefined) throw new AppError('BUG_DEMO', `nothing is called ${name} yet`, { retry: 'never' });
  return value;
}
