/**
 * A node as a cluster has it: containerd, the agent, the conflist that `flatroute cni install` writes, and a session with a
 * router that is asked for the pods too. Pools: `pods4` and `pods6` for everybody, `tiny` with two addresses and `fixed` for
 * those who ask.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { connectAgent } from '#cli/client.ts';
import { askByAdminApi } from '#cli/demo/ask.ts';
import type { Family, IpAddress } from '#lib/ip.ts';
import { families } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import type { Host } from '#lab/host.ts';
import { Lab } from '#lab/lab.ts';
import { bgpConfiguration, bgpPeer, node } from '#lab/manifests.ts';
import { ADMIN_SOCKET, NodeAgent } from '#lab/node-agent.ts';
import { flatroute } from '#lab/program.ts';
import type { LabRouter } from '#lab/routers/router.ts';
import { CNI_BINARIES, Containerd, installCni } from '#lab/runtime/containerd.ts';
import type { Sandbox } from '#lab/runtime/sandbox.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { blockName } from '#resources/ip-block.ts';
import type { CheckAnswer, StatusAnswer } from '#status/answers.ts';
import { asn, description, linkAddress, linkHosts, makeRouter, peerOf, prefixes } from '../interop/two-routers.ts';

const nodeAsn = asn(65001);
const routerAsn = asn(65002);
export const nodeAddress = (family: Family): IpAddress => linkAddress(1, 1, family);

interface Pool {
  readonly name: string;
  readonly cidr: string;
  readonly block: string;
  readonly manual?: boolean;
}

const pools: readonly Pool[] = [
  { name: 'pods4', cidr: '10.60.0.0/16', block: '10.60.1.0/24' },
  { name: 'pods6', cidr: 'fd60::/64', block: 'fd60::100/120' },
  { name: 'tiny', cidr: '10.61.0.0/24', block: '10.61.0.0/30', manual: true },
  { name: 'fixed', cidr: '10.62.0.0/24', block: '10.62.0.7/32', manual: true },
  { name: 'fixed6', cidr: 'fd62::/64', block: 'fd62::7/128', manual: true },
];

function poolManifests(): string {
  return pools
    .flatMap(({ name, cidr, block, manual }) => {
      const [prefix] = prefixes(block);
      const size = block.split('/')[1];
      const mode = manual === true ? ', assignmentMode: Manual' : '';
      return [
        `apiVersion: flatroute.io/v1alpha1
kind: IPPool
metadata: { name: ${name} }
spec: { cidr: "${cidr}", blockSize: ${size}${mode} }
`,
        `apiVersion: flatroute.io/v1alpha1
kind: IPBlock
metadata: { name: ${blockName(prefix as NonNullable<typeof prefix>)} }
spec: { cidr: "${block}", node: node }
`,
      ];
    })
    .join('---\n');
}

/** One call of the plugin, as a program in its place has written it down. */
export interface PluginCall {
  readonly verb: string;
  readonly containerId: string;
  readonly networkNamespace: string;
  readonly arguments: string;
  readonly configuration: Readonly<Record<string, unknown>>;
}

const CALLS = '/run/cni-calls';
const SPY = `#!/bin/sh
input=$(cat)
printf '%s\\t%s\\t%s\\t%s\\t%s\\n' "$CNI_COMMAND" "$CNI_CONTAINERID" "$CNI_NETNS" "$CNI_ARGS" "$input" >> ${CALLS}
printf '%s' "$input" | /run/cni/flatroute
`;

export class RuntimeNode implements AsyncDisposable {
  readonly lab: Lab;
  readonly host: Host;
  readonly agent: NodeAgent;
  readonly containerd: Containerd;
  /** Announced to, with graceful restart, as long as it is there. */
  readonly router: LabRouter | undefined;

  private constructor(lab: Lab, host: Host, containerd: Containerd, router: LabRouter | undefined) {
    this.lab = lab;
    this.host = host;
    this.agent = new NodeAgent(host, askByAdminApi);
    this.containerd = containerd;
    this.router = router;
  }

  /** Agent and containerd run; nothing is installed yet. */
  static async create(how: 'with a router' | 'alone'): Promise<RuntimeNode> {
    return await RuntimeNode.#make(how, async (host) => await Containerd.prepare(host));
  }

  /** The same machine after its power was cut and came back: what was on the disk is there, and nothing runs. */
  async reboot(): Promise<RuntimeNode> {
    return await RuntimeNode.#make('alone', async (host) => await this.containerd.bootOn(host));
  }

  static async #make(
    how: 'with a router' | 'alone',
    prepare: (host: Host) => Promise<Containerd>,
  ): Promise<RuntimeNode> {
    const lab = await Lab.create('runtime');
    try {
      const loopback = how === 'alone' ? families.map(nodeAddress) : [];
      const host = await lab.addHost('node', { forwarding: true, loopback });
      let router: LabRouter | undefined;
      if (how === 'with a router') {
        const other = await lab.addHost('router', { forwarding: true });
        await linkHosts(lab, 1, host, other);
        const restart = { gracefulRestart: { restartTimeSeconds: 60 } };
        const side = { asn: routerAsn, routerId: linkAddress(1, 2), announce: [] };
        router = makeRouter('bird', other, description(side, [peerOf(1, 1, 'node', nodeAsn, restart)], 90));
      }
      const made = new RuntimeNode(lab, host, await prepare(host), router);
      await made.#writeResources();
      await Promise.all([made.agent.start(), made.containerd.start(), router?.start()]);
      return made;
    } catch (error) {
      await lab.dispose();
      throw error;
    }
  }

  async #writeResources(): Promise<void> {
    const bgp = bgpConfiguration({ asn: nodeAsn, importPolicy: 'All' });
    await this.agent.write({
      'bgp.yaml': `${bgp}  addressSource: IPPools\n`,
      'pools.yaml': poolManifests(),
      'node.yaml': node({
        name: 'node',
        addresses: families.map(nodeAddress),
        podCIDRs: [],
      }),
      'peer.yaml':
        this.router === undefined
          ? undefined
          : bgpPeer({
              name: 'router',
              address: linkAddress(1, 2),
              asn: routerAsn,
              families,
              holdTimeSeconds: 90,
            }),
    });
  }

  /** `flatroute cni install`, and from now on every call of the plugin is written down. */
  async install(): Promise<void> {
    await installCni(this.host);
    await this.host.run(['mv', `${CNI_BINARIES}/flatroute`, '/run/cni/flatroute']);
    await this.host.writeFile(`${CNI_BINARIES}/flatroute`, SPY, 0o755);
  }

  /** What the runtime called the plugin with since it was installed or this was asked last, in order. */
  async calls(): Promise<readonly PluginCall[]> {
    const text = await this.host.run(['sh', '-c', `cat ${CALLS} 2>/dev/null; rm -f ${CALLS}`]);
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const [verb = '', containerId = '', networkNamespace = '', args = '', input = ''] = line.split('\t');
        const configuration = JSON.parse(input) as PluginCall['configuration'];
        return { verb, containerId, networkNamespace, arguments: args, configuration };
      });
  }

  /** How many there are that `calls` would answer. */
  async callsSoFar(): Promise<number> {
    const text = await readFile(this.host.path(CALLS), 'utf8').catch(() => '');
    return text.split('\n').length - 1;
  }

  /** kubelet makes the node Ready or not of this. */
  async untilNetwork(ready: boolean): Promise<void> {
    await this.containerd.untilNetwork(ready);
  }

  async status(): Promise<StatusAnswer> {
    const client = await connectAgent(this.host.path(ADMIN_SOCKET));
    try {
      return await client.status();
    } finally {
      client.close();
    }
  }

  /** Addresses that have a route to an interface of ours. */
  async routed(): Promise<readonly string[]> {
    const routes = (await this.host.routes()).filter(({ nextHops }) =>
      nextHops.some((hop) => hop.startsWith('dev fr')),
    );
    return routes.map(({ prefix }) => prefix.split('/')[0] ?? '').sort();
  }

  /** Waits until runtime, agent and kernel say the same of every pod; answers all their addresses. */
  async agreed(): Promise<readonly string[]> {
    return await waitFor(
      'runtime, agent and kernel to agree',
      async () => {
        const running = (await this.containerd.cri.listPodSandbox()).filter(({ ready }) => ready);
        const statuses = await Promise.all(running.map(({ id }) => this.containerd.cri.podSandboxStatus(id)));
        const rows = await this.agent.questions.pods();
        const seen = {
          runtime: statuses.flatMap(({ addresses }) => addresses).sort(),
          agent: rows.flatMap(({ state, addresses }) => (state === 'live' ? addresses : [])).sort(),
          kernel: await this.routed(),
        };
        const [first, ...others] = Object.values(seen).map((list) => JSON.stringify(list));
        return others.every((other) => other === first) ? found(seen.runtime) : notYet(JSON.stringify(seen));
      },
      { deadline: seconds(60) },
    );
  }

  /** Codes of what `flatroute ipam check` finds, believing the runtime of pods of any age. */
  async disagreements(): Promise<readonly string[]> {
    const { stdout } = await this.host.exec(flatroute('ipam', 'check', '--older-than', '0', '-o', 'json'), {
      timeout: seconds(60),
    });
    const { findings } = JSON.parse(stdout) as CheckAnswer;
    return findings.map(({ code }) => code);
  }

  /** Waits until nothing is left of any pod, wherever something of one is ever kept. */
  async nothingLeft(): Promise<void> {
    const look = [
      'ip -br link | grep ^fr',
      'ip neigh show nud permanent | grep " fr"',
      'ip -6 neigh show nud permanent | grep " fr"',
      'ls /run/netns',
      'ls -A /run/flatroute/spool',
      'ls /var/lib/cni/results 2>/dev/null',
      'iptables-save 2>/dev/null | grep -- "-j CNI-[DS]N"',
      'ip6tables-save 2>/dev/null | grep -- "-j CNI-[DS]N"',
      'ls /run/containerd/io.containerd.runtime.v2.task/k8s.io 2>/dev/null',
      'true',
    ].join('; ');
    await waitFor(
      'nothing to be left of any pod',
      async () => {
        const [left, sandboxes, pods, status] = await Promise.all([
          this.host.run(['sh', '-c', look]),
          this.containerd.cri.listPodSandbox(),
          this.agent.questions.pods(),
          this.status(),
        ]);
        const used = status.blocks.filter((block) => block.used + block.fenced > 0);
        const seen = { left, sandboxes, pods, used, routed: await this.routed() };
        const isEmpty = Object.values(seen).every(({ length }) => length === 0);
        return isEmpty ? found(undefined) : notYet(JSON.stringify(seen));
      },
      { deadline: seconds(60) },
    );
  }

  /** One packet from the router and one from the node, in each family, with no second try. */
  async answersAtOnce(pod: Sandbox): Promise<void> {
    for (const from of this.router === undefined ? [this.host] : [this.router.host, this.host])
      for (const address of pod.addresses) {
        const { code, stdout } = await from.exec(['ping', '-c1', '-W2', address]);
        assert.equal(code, 0, `${from.name} does not reach ${pod.name} at ${address}: ${stdout}`);
      }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab.dispose();
  }
}
