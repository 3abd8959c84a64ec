/**
 * Two nodes with agents, a VM, and a router between all of them: what a pod's wire is tried on. The first node has two
 * uplinks, and a third link on which it learns an IPv6 default by router advertisement. Nobody speaks BGP; the router's
 * routes are written down.
 *
 *   vm ── tor ══ node-1 (up0, up1, ra0)
 *          └── node-2
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { askByAdminApi } from '#cli/demo/ask.ts';
import { type AgentClient, connectAgent } from '#cli/client.ts';
import { type Family, families, type IpAddress, type Prefix } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import { type Conflist, HostConflistRunner } from '#lab/conflist.ts';
import type { Endpoint } from '#lab/endpoint.ts';
import { CARRIER_SYSCTLS, type Host } from '#lab/host.ts';
import { Lab } from '#lab/lab.ts';
import { node } from '#lab/manifests.ts';
import { ADMIN_SOCKET, NodeAgent } from '#lab/node-agent.ts';
import type { LabProcess } from '#lab/process.ts';
import { labScript } from '#lab/program.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { blockName } from '#resources/ip-block.ts';

export type Both = Readonly<Record<Family, IpAddress>>;

const both = (ipv4: string, ipv6: string): Both => ({ ipv4: ipv4 as IpAddress, ipv6: ipv6 as IpAddress });
export const vmAddress = both('10.9.0.9', 'fd09::9');
export const nodeAddress = [both('192.0.2.1', '2001:db8::1'), both('192.0.2.2', '2001:db8::2')] as const;
export const WITNESS_PORT = 7700;

const plain = (n: number): Prefix[] => [`10.60.${n}.0/26`, `fd60:${n}::/122`] as Prefix[];
/** Of the first node: addresses of these are translated. */
const egress = ['10.61.1.0/26', 'fd61:1::/122'] as Prefix[];

const document = (kind: string, name: string, spec: string): string =>
  `apiVersion: flatroute.io/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: ${spec}\n---\n`;

function resources(n: 1 | 2): Readonly<Record<string, string>> {
  const pool = (name: string, cidr: string, size: number, more: string): string =>
    document('IPPool', name, `{ cidr: "${cidr}", blockSize: ${size}, ${more} }`);
  const manual = 'natOutgoing: true, assignmentMode: Manual';
  return {
    'node.yaml': node({ name: `node-${n}`, addresses: Object.values(nodeAddress[n - 1] as Both), podCIDRs: plain(n) }),
    'pools.yaml': [
      pool('plain-ipv4', '10.60.0.0/16', 26, 'natOutgoing: false'),
      pool('plain-ipv6', 'fd60::/24', 122, 'natOutgoing: false'),
      pool('egress-ipv4', '10.61.0.0/16', 26, manual),
      pool('egress-ipv6', 'fd61::/24', 122, manual),
      ...egress.map((cidr) => document('IPBlock', blockName(cidr), `{ cidr: "${cidr}", node: node-1 }`)),
    ].join(''),
  };
}

export class PodLab implements AsyncDisposable {
  readonly lab: Lab;
  readonly nodes: readonly [Host, Host];
  readonly agents: readonly [NodeAgent, NodeAgent];
  readonly tor: Host;
  readonly vm: Host;
  /** The program wire.c. */
  readonly wire: string;
  readonly #folder: string;

  private constructor(lab: Lab, nodes: readonly [Host, Host], tor: Host, vm: Host, folder: string) {
    this.lab = lab;
    this.nodes = nodes;
    this.agents = [new NodeAgent(nodes[0], askByAdminApi), new NodeAgent(nodes[1], askByAdminApi)];
    this.tor = tor;
    this.vm = vm;
    this.#folder = folder;
    this.wire = join(folder, 'wire');
  }

  /** Everything but the agents, which the test starts. */
  static async create(): Promise<PodLab> {
    const lab = await Lab.create('needs');
    const folder = mkdtempSync(join(tmpdir(), 'frt-wire-'));
    const compiled = spawnSync(
      'musl-gcc',
      ['-O1', '-static', '-o', join(folder, 'wire'), resolve('test/support/wire.c')],
      {
        encoding: 'utf8',
      },
    );
    try {
      if (compiled.status !== 0) throw new Error(`wire.c cannot be compiled: ${compiled.stderr}`);
      const address = (n: 0 | 1): readonly IpAddress[] => Object.values(nodeAddress[n]);
      const [one, two, tor, vm] = await Promise.all([
        lab.addHost('node-1', { loopback: address(0) }),
        lab.addHost('node-2', { loopback: address(1) }),
        lab.addHost('tor', { forwarding: true, sysctls: CARRIER_SYSCTLS }),
        lab.addHost('vm'),
      ]);
      const made = new PodLab(lab, [one, two], tor, vm, folder);
      await made.#join(one, 'up0', 1, 9000);
      await made.#join(one, 'up1', 2, 9000);
      await made.#join(one, 'ra0', 3, 9000);
      await made.#join(two, 'up0', 4, 9000);
      await made.#join(vm, 'eth0', 9, 9000);
      await made.#routes();
      await Promise.all(made.agents.map((agent, i) => agent.write(resources(i === 0 ? 1 : 2))));
      for (const host of made.nodes) {
        await host.run(['mkdir', '-p', '/run/cni/bin']);
        await host.run(['ln', '-s', resolve('build/flatroute-cni'), '/run/cni/bin/flatroute']);
      }
      return made;
    } catch (error) {
      rmSync(folder, { recursive: true });
      await lab.dispose();
      throw error;
    }
  }

  async #join(host: Host, name: string, subnet: number, mtu: number): Promise<void> {
    const own = subnet === 9 ? 9 : 2;
    await this.lab.link({
      a: host,
      b: this.tor,
      names: [name, `${host.name}-${name}`],
      mtu,
      addresses: [
        [`10.${subnet}.0.${own}/24`, `10.${subnet}.0.1/24`],
        [`fd0${subnet}::${own}/64`, `fd0${subnet}::1/64`],
      ],
    });
  }

  async #routes(): Promise<void> {
    const [one, two] = this.nodes;
    const [a, b] = nodeAddress;
    const way = (family: Family, subnet: number, end: 1 | 2): string =>
      `nexthop via ${family === 'ipv4' ? `10.${subnet}.0.${end}` : `fd0${subnet}::${end}`}`;
    const everything = { ipv4: '0.0.0.0/0', ipv6: '::/0' } as const;
    // The first one while it is there, so that a test knows which one to take away.
    for (const [subnet, metric] of [
      [1, 100],
      [2, 200],
    ] as const)
      await one.ip(families.map((f) => `route add ${everything[f]} metric ${metric} src ${a[f]} ${way(f, subnet, 1)}`));
    await two.ip(families.map((f) => `route add ${everything[f]} metric 100 src ${b[f]} ${way(f, 4, 1)}`));
    await this.vm.ip(families.map((f) => `route add ${everything[f]} ${way(f, 9, 1)}`));
    const behind = (f: Family, n: 0 | 1): string[] => {
      const i = f === 'ipv4' ? 0 : 1;
      return [nodeAddress[n][f], plain(n + 1)[i] ?? '', ...(n === 0 ? [egress[i] ?? ''] : [])];
    };
    await this.tor.ip(
      families.flatMap((f) => [
        ...behind(f, 0).map((to) => `route add ${to} ${way(f, 1, 2)} ${way(f, 2, 2)}`),
        ...behind(f, 1).map((to) => `route add ${to} ${way(f, 4, 2)}`),
      ]),
    );
  }

  /** How a runtime on node `n` attaches; `ipam` and more for the plugin. */
  runner(n: 0 | 1, more: Readonly<Record<string, unknown>> = {}): HostConflistRunner {
    const conflist: Conflist = { cniVersion: '1.0.0', name: 'pods', plugins: [{ type: 'flatroute', ...more }] };
    return new HostConflistRunner(this.nodes[n], conflist, ['/run/cni/bin']);
  }

  egressRunner(): HostConflistRunner {
    return this.runner(0, { ipam: { pools: ['egress-ipv4', 'egress-ipv6'] } });
  }

  async ask<T>(n: 0 | 1, question: (client: AgentClient) => Promise<T>): Promise<T> {
    const client = await connectAgent(this.nodes[n].path(ADMIN_SOCKET));
    try {
      return await question(client);
    } finally {
      client.close();
    }
  }

  /** Problems of node `n` as `flatroute drift` has them, and how often each thing was repaired. */
  async drift(
    n: 0 | 1,
  ): Promise<{ readonly problems: readonly string[]; readonly repairs: Readonly<Record<string, number>> }> {
    const { problems, repairs } = await this.ask(n, (client) => client.drift());
    return { problems: problems.map(({ code, text }) => `${code}: ${text}`), repairs };
  }

  /** Sends frames out of an interface as they are. */
  async send(from: Endpoint, face: string, frames: readonly string[]): Promise<void> {
    await from.run([this.wire, 'send', face], { input: `${frames.join('\n')}\n` });
  }

  /** Frames that arrive at an interface until one with the text `marker` does; `during` makes them come. */
  async watch(at: Endpoint, face: string, marker: string, during: () => Promise<void>): Promise<readonly string[]> {
    const hex = Buffer.from(marker).toString('hex');
    const watcher = await at.spawn([this.wire, 'watch', face, hex, '20'], { log: `watch-${at.name}-${marker}.log` });
    const lines = async (): Promise<readonly string[]> =>
      (await watcher.log()).split('\n').filter((line) => line !== '');
    await waitFor('the watcher', async () => ((await lines())[0] === 'ready' ? found(true) : notYet('not there')), {
      deadline: seconds(60),
    });
    await during();
    const { code } = await watcher.exited;
    const frames = (await lines()).slice(1);
    if (code !== 0) throw new Error(`${marker} did not arrive at ${face} of ${at.name}, but ${frames.join(' ')}`);
    return frames;
  }

  /** A program that answers TCP with the address it sees. */
  async witness(at: Endpoint, port = WITNESS_PORT): Promise<LabProcess> {
    const started = await at.spawn(labScript('witness.ts', 'listen', String(port), at.name), {
      log: `witness-${at.name}-${port}.log`,
    });
    await waitFor(
      'the witness',
      async () => ((await started.log()).includes('listening') ? found(true) : notYet('silent')),
      {
        deadline: seconds(60),
      },
    );
    return started;
  }

  /** What each address answers: `NAME SOURCE`. */
  async askWitness(from: Endpoint, addresses: readonly string[], port = WITNESS_PORT): Promise<readonly string[]> {
    const text = await from.run(labScript('witness.ts', 'ask', String(port), ...addresses), { timeout: seconds(60) });
    return text
      .trimEnd()
      .split('\n')
      .map((line) => line.split('\t')[1] ?? '');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab.dispose();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
