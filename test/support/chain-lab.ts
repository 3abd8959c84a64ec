/**
 * A node with the real agent and a machine outside that knows nothing of BGP, for tests of what works behind flatroute and
 * beside it: plugins of a list run in the node, and a witness says which address everybody is seen with.
 */
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { askByAdminApi } from '#cli/demo/ask.ts';
import type { Conflist, PluginConfiguration } from '#lab/conflist.ts';
import { HostConflistRunner } from '#lab/conflist.ts';
import type { Endpoint } from '#lab/endpoint.ts';
import type { Host } from '#lab/host.ts';
import { Lab } from '#lab/lab.ts';
import { bgpConfiguration, node as nodeManifest } from '#lab/manifests.ts';
import { NodeAgent } from '#lab/node-agent.ts';
import { flatroute, labScript, referencePlugins } from '#lab/program.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import type { Asn, IpAddress, Prefix } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import { blockName } from '#resources/ip-block.ts';
import type { Drawn } from './pour.ts';

export const WITNESS_PORT = 8080;
const POUR_PORT = 9000;
const pourScript = resolve('test/support/pour.ts');
export const BINARIES = '/run/cni/bin';
const LISTS = '/etc/cni/net.d';

/** Where the reference plugins are. */
export const REFERENCE = referencePlugins() ?? '';

const address = (text: string): IpAddress => text as IpAddress;
const prefix = (text: string): Prefix => text as Prefix;

export const node = {
  /** On the loopback interface: what pods and routers know the node by. */
  routed: { ipv4: address('10.61.255.1'), ipv6: address('fd61:ff::1') },
  link: { ipv4: address('192.0.2.1'), ipv6: address('2001:db8::1') },
} as const;
export const vm = {
  link: { ipv4: address('192.0.2.50'), ipv6: address('2001:db8::50') },
  /** Further addresses of the same machine, for routes of their own. */
  further: { ipv4: address('198.51.100.50'), ipv6: address('2001:db8:100::50') },
} as const;

/** `pods` is what everybody gets, with natOutgoing; `second` only who asks for it by name. */
export const pools = {
  'pods-ipv4': { block: prefix('10.61.0.0/26'), manual: false },
  'pods-ipv6': { block: prefix('fd61::/122'), manual: false },
  'second-ipv4': { block: prefix('10.62.0.0/26'), manual: true },
  'second-ipv6': { block: prefix('fd62::/122'), manual: true },
} as const;

function resources(): Readonly<Record<string, string>> {
  const objects = Object.entries(pools).flatMap(([name, { block, manual }]) => [
    `apiVersion: flatroute.io/v1alpha1
kind: IPPool
metadata: { name: ${name} }
spec: { cidr: "${block}", natOutgoing: ${!manual}, assignmentMode: ${manual ? 'Manual' : 'Automatic'} }
`,
    `apiVersion: flatroute.io/v1alpha1
kind: IPBlock
metadata: { name: ${blockName(block)} }
spec: { cidr: "${block}", node: node }
`,
  ]);
  return {
    'node.yaml': nodeManifest({ name: 'node', addresses: [node.routed.ipv4, node.routed.ipv6], podCIDRs: [] }),
    'bgp.yaml': `${bgpConfiguration({ asn: 65001 as Asn, importPolicy: 'None' })}  addressSource: IPPools\n`,
    'pools.yaml': objects.join('---\n'),
  };
}

export class ChainLab implements AsyncDisposable {
  readonly lab: Lab;
  readonly node: Host;
  readonly vm: Host;
  readonly agent: NodeAgent;
  /** What `flatroute cni install` wrote. */
  readonly installed: Conflist;

  private constructor(lab: Lab, node: Host, vm: Host, agent: NodeAgent, installed: Conflist) {
    this.lab = lab;
    this.node = node;
    this.vm = vm;
    this.agent = agent;
    this.installed = installed;
  }

  static async create(title: string): Promise<ChainLab> {
    assert.notEqual(REFERENCE, '', 'containernetworking-plugins is not installed');
    const lab = await Lab.create(title);
    try {
      const [host, outside] = await Promise.all([
        lab.addHost('node', { forwarding: true, loopback: Object.values(node.routed) }),
        lab.addHost('vm', { loopback: Object.values(vm.further) }),
      ]);
      await lab.link({
        a: host,
        b: outside,
        names: ['uplink', 'eth0'],
        addresses: [
          [`${node.link.ipv4}/24`, `${vm.link.ipv4}/24`],
          [`${node.link.ipv6}/64`, `${vm.link.ipv6}/64`],
        ],
      });
      await outside.ip([
        `route add default via ${node.link.ipv4} src ${vm.link.ipv4}`,
        `route add ::/0 via ${node.link.ipv6} src ${vm.link.ipv6}`,
      ]);
      await host.ip([
        `route add ${vm.further.ipv4} via ${vm.link.ipv4}`,
        `route add ${vm.further.ipv6} via ${vm.link.ipv6}`,
      ]);
      const agent = new NodeAgent(host, askByAdminApi);
      await agent.write(resources());
      await agent.start();
      await host.run(flatroute('cni', 'install', '--bin-dir', BINARIES, '--conf-dir', LISTS));
      const installed = JSON.parse(await host.readFile(`${LISTS}/05-flatroute.conflist`)) as Conflist;
      return new ChainLab(lab, host, outside, agent, installed);
    } catch (error) {
      await lab.dispose();
      throw error;
    }
  }

  /** Runs a list of these plugins as a container runtime does. */
  runner(name: string, plugins: readonly PluginConfiguration[], cniVersion = '1.0.0'): HostConflistRunner {
    return this.run({ cniVersion, name, plugins });
  }

  run(list: Conflist): HostConflistRunner {
    return new HostConflistRunner(this.node, list, [BINARIES, REFERENCE]);
  }

  /** Runs a list whose plugins lie in these folders instead. */
  runFrom(folders: readonly string[], list: Conflist): HostConflistRunner {
    return new HostConflistRunner(this.node, list, folders);
  }

  /** Starts a witness that answers with its name and the address that it is spoken to from. */
  async witness(where: Endpoint): Promise<void> {
    await where.spawn(labScript('witness.ts', 'listen', String(WITNESS_PORT), where.name), {
      log: `witness-${where.name}.log`,
    });
    await waitFor(
      `the witness of ${where.name}`,
      async () => {
        const sockets = await where.run(['ss', '-Hlnut', `sport = :${WITNESS_PORT}`]);
        return sockets.trim().split('\n').length === 2 ? found(undefined) : notYet(sockets);
      },
      { deadline: seconds(60) },
    );
  }

  /** What each target answers: `NAME ADDRESS-OF-THE-ASKER`, or `! REASON`. */
  async ask(from: Endpoint, port: number, ...targets: readonly string[]): Promise<Record<string, string>> {
    const out = await from.run(labScript('witness.ts', 'ask', String(port), ...targets), { timeout: seconds(60) });
    return Object.fromEntries(
      out
        .trim()
        .split('\n')
        .map((line) => line.split('\t') as [string, string]),
    );
  }

  /** Starts what writes as fast as it can to whoever connects. */
  async pour(where: Endpoint): Promise<void> {
    const started = await where.spawn([process.execPath, pourScript, 'listen', String(POUR_PORT)], {
      log: `pour-${where.name}.log`,
    });
    await waitFor(
      `the pouring of ${where.name}`,
      async () => ((await started.log()).includes('listening') ? found(undefined) : notYet(await started.log())),
      { deadline: seconds(60) },
    );
  }

  /** How much comes from there in so long. */
  async draw(where: Endpoint, from: IpAddress, milliseconds: number): Promise<Drawn> {
    const words = ['draw', String(POUR_PORT), String(milliseconds), from];
    return JSON.parse(await where.run([process.execPath, pourScript, ...words])) as Drawn;
  }

  /** Veths, ifbs, routes, neighbours and rules of pods and of plugins behind us that the node still has. */
  async leftovers(): Promise<string> {
    const lists = [
      ['ip', '-br', 'link'],
      ['ip', '-4', 'route', 'show', 'proto', '179'],
      ['ip', '-6', 'route', 'show', 'proto', '179'],
      ['iptables-save'],
      ['ip6tables-save'],
    ];
    const lines = (await Promise.all(lists.map((argv) => this.node.run(argv)))).join('\n').split('\n');
    return lines
      .filter(
        (line) =>
          /^(fr[0-9a-f]{12}|bwp[0-9a-f]{12}|veth)/.test(line) ||
          / dev fr|CNI-DN-|^-A CNI-FORWARD .*(10\.6|fd6)/.test(line),
      )
      .join('\n');
  }

  async nothingLeft(): Promise<void> {
    await waitFor(
      'nothing to be left on the node',
      async () => {
        const [left, pods] = [await this.leftovers(), await this.agent.questions.pods()];
        return left === '' && pods.length === 0 ? found(undefined) : notYet(`${left} ${JSON.stringify(pods)}`);
      },
      { deadline: seconds(60) },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab.dispose();
  }
}
