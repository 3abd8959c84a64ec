/** The node that misfortunes happen to: an agent that is started again whenever it ends, a spool on a tiny disk, an uplink. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type AgentClient, connectAgent } from '#cli/client.ts';
import type { Host } from '#lab/host.ts';
import type { Lab } from '#lab/lab.ts';
import type { LabProcess } from '#lab/process.ts';
import { flatroute } from '#lab/program.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { seconds } from '#lib/time.ts';

const LOG = 'agent.log';
const SPOOL = '/run/flatroute/spool';
const FLOOD = 15_000;

export class ChaosNode {
  readonly host: Host;
  #agent: LabProcess;
  /** The agent may end by itself: threads of it were made to die. */
  #mayEnd = false;

  private constructor(host: Host, agent: LabProcess) {
    this.host = host;
    this.#agent = agent;
  }

  static async start(lab: Lab): Promise<ChaosNode> {
    const host = await lab.addHost('node-1', { forwarding: true });
    const tor = await lab.addHost('tor', { forwarding: true });
    await lab.link({
      a: host,
      b: tor,
      names: ['uplink', 'node'],
      addresses: [
        ['172.16.0.1/30', '172.16.0.2/30'],
        ['2001:db8:1::1/64', '2001:db8:1::2/64'],
      ],
    });
    await host.ip(['address add 192.0.2.11/32 dev lo', 'address add 2001:db8::11/128 dev lo nodad']);
    await host.writeFile('/run/resources/node.yaml', manifest);
    const prefixes = Array.from({ length: FLOOD }, (_, i) => `10.${100 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}/32`);
    await host.writeFile('/run/flood', prefixes.map((p) => `route add blackhole ${p} proto 250 metric 7`).join('\n'));
    await host.run(['sh', '-c', `mkdir -p -m 700 ${SPOOL}; mount -t tmpfs -o size=64k,mode=700 spool ${SPOOL}`]);
    const node = new ChaosNode(host, await spawnAgent(host));
    await node.serving();
    return node;
  }

  /** An agent that ended by itself without a reason is a failure. */
  async revive(): Promise<void> {
    if (!this.#agent.ended) return;
    assert.ok(this.#mayEnd, `the agent ended by itself: ${(await this.#agent.log()).slice(-3000)}`);
    await this.#spawn();
  }

  async #spawn(): Promise<void> {
    this.#mayEnd = false;
    this.#agent = await spawnAgent(this.host);
  }

  async kill(): Promise<void> {
    this.#agent.kill('SIGKILL');
    await this.#agent.exited;
    await this.#spawn();
  }

  /** A second death of a thread within a minute ends the agent, and one that has not begun to listen ends of the signal. */
  killThread(): void {
    this.#mayEnd = true;
    this.#agent.kill('SIGUSR2');
  }

  /** The agent is away for so long, and whoever asks for a deletion finds no room to write it down. */
  async fullSpool(away: () => Promise<void>): Promise<void> {
    this.#agent.kill('SIGKILL');
    await this.#agent.exited;
    await this.host.exec(['sh', '-c', `cat /dev/zero > ${SPOOL}/.filler`]);
    await away();
    await this.host.run(['rm', `${SPOOL}/.filler`]);
    await this.#spawn();
  }

  async stopped(meanwhile: () => Promise<void>): Promise<void> {
    this.#agent.kill('SIGSTOP');
    try {
      await meanwhile();
    } finally {
      this.#agent.kill('SIGCONT');
    }
  }

  /** More notifications than the agent's socket holds while it stands still; answers whether the kernel dropped some. */
  async overrun(meanwhile: () => Promise<void>): Promise<boolean> {
    let dropped = false;
    await this.stopped(async () => {
      await this.host.exec(['ip', '-force', '-batch', '/run/flood']);
      await meanwhile();
      await this.host.run(['ip', 'route', 'flush', 'proto', '250']);
      const sockets = (await this.host.run(['cat', '/proc/net/netlink'])).split('\n').slice(1);
      dropped = sockets.some((line) => Number(line.trim().split(/\s+/)[8]) > 0);
    });
    return dropped;
  }

  async uplinkDown(meanwhile: () => Promise<void>): Promise<void> {
    await this.host.ip(['link set uplink down']);
    await meanwhile();
    await this.host.ip(['link set uplink up', 'address replace 2001:db8:1::1/64 dev uplink nodad']);
  }

  /** Resolves when the agent answers and says that everything is set up. */
  async serving(): Promise<void> {
    await waitFor(
      'the agent to serve',
      async () => {
        await this.revive();
        const status = await this.ask((client) => client.status());
        return status.state === 'running' ? found(true) : notYet(JSON.stringify(status));
      },
      { deadline: seconds(60), every: 50 as never },
    );
  }

  async ask<T>(question: (client: AgentClient) => Promise<T>): Promise<T> {
    const client = await connectAgent(this.host.path('/run/flatroute/admin.sock'));
    try {
      return await question(client);
    } finally {
      client.close();
    }
  }

  async log(): Promise<string> {
    return await readFile(this.host.path(`/run/log/${LOG}`), 'utf8');
  }
}

const spawnAgent = async (host: Host): Promise<LabProcess> => {
  const [node = '', ...words] = flatroute('agent', '--resources', '/run/resources', '--node', 'node-1');
  const mortal = join(import.meta.dirname, 'mortal-threads.ts');
  return await host.spawn([node, '--import', mortal, ...words], { log: LOG });
};

const manifest = `apiVersion: v1
kind: Node
metadata:
  name: node-1
  annotations: { flatroute.io/bgp-address-ipv4: 192.0.2.11, flatroute.io/bgp-address-ipv6: "2001:db8::11" }
spec:
  podCIDRs: [10.60.1.0/26, "fd60:1::/122"]
---
apiVersion: flatroute.io/v1alpha1
kind: BGPConfiguration
metadata: { name: default }
spec: { asNumber: 65001 }
`;
