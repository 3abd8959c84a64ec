/**
 * The network of a lab's cluster, without Kubernetes: hosts, segments and routers as plan.ts has them. The VM is behind both routers;
 * so is the host of the API server, which has a link with the nodes beside it and finds pods by the routers.
 */
import { families, familyOf } from '#lib/ip.ts';
import type { Family, Prefix } from '#lib/ip.ts';
import { CARRIER_SYSCTLS, type Host, MULTIPATH_SYSCTLS } from '../host.ts';
import type { Lab } from '../lab.ts';
import { FrrRouter } from '../routers/frr.ts';
import { staticProgram } from '../runtime/images.ts';
import {
  behindRouters,
  hostLength,
  linkAddress,
  linkLength,
  nodeAddress,
  POD_RANGES,
  rackAddress,
  routerDescription,
  routerLinkAddress,
  routerNames,
  VM_ADDRESS,
} from './plan.ts';
import type { BehindRouters, RouterName } from './plan.ts';

/** Flows use both routers, and nobody is told of a shorter way on the same segment. */
const SYSCTLS = {
  ...CARRIER_SYSCTLS,
  ...MULTIPATH_SYSCTLS,
  'ipv4/conf/all/send_redirects': '0',
  'ipv4/conf/default/send_redirects': '0',
};
/** What some distributions have as default, and others not: the way back leads by the same interface. */
const STRICT_REVERSE_PATH = { 'ipv4/conf/all/rp_filter': '1', 'ipv4/conf/default/rp_filter': '1' };
export const WITNESS_PORT = 8080;

export class ClusterNetwork {
  readonly lab: Lab;
  /** Where the API server is. */
  readonly control: Host;
  readonly vm: Host;
  readonly routers: Readonly<Record<RouterName, FrrRouter>>;

  private constructor(lab: Lab, control: Host, vm: Host, routers: Readonly<Record<RouterName, FrrRouter>>) {
    this.lab = lab;
    this.control = control;
    this.vm = vm;
    this.routers = routers;
  }

  /** Routers run, the VM's witness listens; there is no node yet. */
  static async create(lab: Lab): Promise<ClusterNetwork> {
    const [control, vm, a, b] = await Promise.all([
      lab.addHost('control', { sysctls: SYSCTLS }),
      lab.addHost('vm', { loopback: families.map((family) => VM_ADDRESS[family]), sysctls: SYSCTLS }),
      ...routerNames.map(async (name) => await lab.addHost(name, { forwarding: true, sysctls: SYSCTLS })),
    ]);
    if (control === undefined || vm === undefined || a === undefined || b === undefined)
      throw new TypeError('four hosts');
    const routers = {
      'tor-a': new FrrRouter(a, routerDescription('tor-a')),
      'tor-b': new FrrRouter(b, routerDescription('tor-b')),
    };
    const network = new ClusterNetwork(lab, control, vm, routers);
    await addSegment(control, 'management', ['10.250.0.1/24', 'fd25::1/64']);
    await lab.link({
      a,
      b,
      addresses: families.map((family) => [
        `${routerLinkAddress('tor-a', family)}/${linkLength(family)}`,
        `${routerLinkAddress('tor-b', family)}/${linkLength(family)}`,
      ]),
    });
    for (const name of routerNames) await network.#connectRouter(name);
    await vm.ip(families.map((family) => byBothRouters('vm', everything[family], `src ${VM_ADDRESS[family]} `)));
    await control.ip(POD_RANGES.map((range) => byBothRouters('control', range)));
    await vm.spawn([staticProgram('witness'), String(WITNESS_PORT)], { log: 'witness.log' });
    await Promise.all(routerNames.map(async (name) => await routers[name].start()));
    return network;
  }

  async #connectRouter(name: RouterName): Promise<void> {
    const { host } = this.routers[name];
    await addSegment(
      host,
      'rack',
      families.map((family) => `${rackAddress(name, 1, family)}/${linkLength(family)}`),
    );
    for (const behind of behindRouters)
      await this.lab.link({
        a: host,
        b: this[behind],
        addresses: families.map((family) => [
          `${linkAddress(name, behind, 1, family)}/${linkLength(family)}`,
          `${linkAddress(name, behind, 2, family)}/${linkLength(family)}`,
        ]),
      });
    await this.#addStaticRoutes(name);
  }

  async #addStaticRoutes(name: RouterName): Promise<void> {
    const other = routerNames.find((it) => it !== name) ?? name;
    await this.routers[name].host.ip(
      families.flatMap((family) => [
        `route replace ${VM_ADDRESS[family]}/${hostLength(family)} via ${linkAddress(name, 'vm', 2, family)}`,
        // A node's packet may leave by the router that its source address does not belong to.
        `route replace ${rackAddress(other, 0, family)}/${linkLength(family)} via ${routerLinkAddress(other, family)}`,
      ]),
    );
  }

  /** A router's power is cut: its links lose their carrier, and it says nothing to anybody. */
  async powerOff(name: RouterName): Promise<void> {
    await this.routers[name].host.powerOff();
  }

  async powerOn(name: RouterName): Promise<void> {
    const router = this.routers[name];
    await router.host.powerOn(this.lab.endsOf(router.host));
    await this.#addStaticRoutes(name);
    // The other one's route to this rack went with the link between them.
    for (const other of routerNames) if (other !== name) await this.#addStaticRoutes(other);
    await router.start();
  }

  /**
   * A host in the place of `node-N`: `eth0` in the management network, `rack-a` and `rack-b` under the routers. The kernel of an odd
   * one checks reverse paths strictly.
   */
  async addNode(n: number): Promise<Host> {
    const sysctls = n % 2 === 0 ? SYSCTLS : { ...SYSCTLS, ...STRICT_REVERSE_PATH };
    const host = await this.lab.addHost(`node-${n}`, { forwarding: false, sysctls });
    await this.#join(this.control, host, 'management', 'eth0', (family) => nodeAddress(n, family));
    for (const name of routerNames)
      await this.#join(this.routers[name].host, host, 'rack', name.replace('tor', 'rack'), (family) =>
        rackAddress(name, 10 + n, family),
      );
    return host;
  }

  async #join(
    a: Host,
    b: Host,
    segment: string,
    name: string,
    address: (family: (typeof families)[number]) => string,
  ): Promise<void> {
    await this.lab.link({ a, b, names: [b.name, name], addresses: [] });
    await a.ip([`link set dev ${b.name} master ${segment}`]);
    await b.ip(families.map((family) => `address add ${address(family)}/${linkLength(family)} dev ${name} nodad`));
  }
}

const everything: Readonly<Record<Family, Prefix>> = { ipv4: '0.0.0.0/0' as Prefix, ipv6: '::/0' as Prefix };

const byBothRouters = (host: BehindRouters, to: Prefix, source = ''): string =>
  `route add ${to} ${source}${routerNames.map((name) => `nexthop via ${linkAddress(name, host, 1, familyOf(to))}`).join(' ')}`;

/** A bridge with addresses: what a switch is that routes too. */
async function addSegment(host: Host, name: string, addresses: readonly string[]): Promise<void> {
  await host.ip([
    `link add name ${name} type bridge`,
    `link set dev ${name} up`,
    ...addresses.map((address) => `address add ${address} dev ${name} nodad`),
  ]);
}
