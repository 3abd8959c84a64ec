/** Two nodes in a lab, joined by one link, each with its resources and its own agent: what the agent's tests run on. */
import { connectAgent } from '#cli/client.ts';
import type { CommandResult } from '#lab/process.ts';
import type { LabProcess } from '#lab/process.ts';
import type { Host } from '#lab/host.ts';
import { Lab } from '#lab/lab.ts';
import { ADMIN_SOCKET } from '#lab/node-agent.ts';
import { flatroute } from '#lab/program.ts';
import type { StatusAnswer } from '#status/answers.ts';
import { eventually } from './netns.ts';

const RESOURCES = '/etc/flatroute/resources';
const METRICS_PORT = 9179;

export interface TestNode {
  readonly host: Host;
  /** Its number: 1 has 10.60.1.0/26 and AS 65001. */
  readonly number: number;
}

/** Files of one node; the peer is node `3 - number` at the other end of the link. */
export function manifests(number: number): Readonly<Record<string, string>> {
  const other = 3 - number;
  return {
    'node.yaml': `apiVersion: v1
kind: Node
metadata: { name: node-${number} }
spec:
  podCIDR: 10.60.${number}.0/26
  podCIDRs: [10.60.${number}.0/26, "fd60:${number}::/112"]
status:
  addresses:
    - { type: InternalIP, address: 192.0.2.${number} }
    - { type: InternalIP, address: "2001:db8::${number}" }
`,
    'bgp.yaml': `apiVersion: flatroute.io/v1alpha1
kind: BGPConfiguration
metadata: { name: default }
spec:
  asNumber: ${65000 + number}
  importPolicy: All
`,
    'peer.yaml': peerManifest(other),
  };
}

export const peerManifest = (other: number): string => `apiVersion: flatroute.io/v1alpha1
kind: BGPPeer
metadata: { name: node-${other} }
spec:
  peerIP: 192.0.2.${other}
  asNumber: ${65000 + other}
  connectTime: 1s
`;

export async function writeFiles(host: Host, files: Readonly<Record<string, string | undefined>>): Promise<void> {
  await host.run(['mkdir', '-p', RESOURCES]);
  for (const [name, text] of Object.entries(files)) {
    if (text === undefined) await host.run(['rm', '-f', `${RESOURCES}/${name}`]);
    else {
      // As an editor does it: whole or not at all.
      await host.writeFile(`/etc/flatroute/${name}.new`, text);
      await host.run(['mv', `/etc/flatroute/${name}.new`, `${RESOURCES}/${name}`]);
    }
  }
}

export async function makeNodes(
  title: string,
): Promise<{ readonly lab: Lab; readonly nodes: readonly [TestNode, TestNode] }> {
  const lab = await Lab.create(title);
  try {
    const make = async (number: number): Promise<TestNode> => {
      const host = await lab.addHost(`node-${number}`, { forwarding: true });
      await writeFiles(host, manifests(number));
      return { host, number };
    };
    const nodes = [await make(1), await make(2)] as const;
    await lab.link({
      a: nodes[0].host,
      b: nodes[1].host,
      addresses: [
        ['192.0.2.1/24', '192.0.2.2/24'],
        ['2001:db8::1/64', '2001:db8::2/64'],
      ],
    });
    return { lab, nodes };
  } catch (error) {
    await lab.dispose();
    throw error;
  }
}

export const agentWords = (
  { host }: TestNode,
  from: readonly string[] = ['--resources', RESOURCES],
): readonly string[] => [
  'agent',
  ...from,
  '--node',
  host.name,
  '--metrics',
  `127.0.0.1:${METRICS_PORT}`,
  '--log-level',
  'debug',
];

export const startAgent = (node: TestNode, ...extra: readonly string[]): Promise<LabProcess> =>
  node.host.spawn(flatroute(...agentWords(node), ...extra), { log: 'agent.log' });

export const ask = ({ host }: TestNode, ...words: readonly string[]): Promise<CommandResult> =>
  host.exec(flatroute(...words));

export async function json<T>(node: TestNode, ...words: readonly string[]): Promise<T> {
  const { stdout, stderr, code } = await ask(node, ...words, '-o', 'json');
  if (stdout === '') throw new Error(`flatroute ${words.join(' ')} ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as T;
}

async function look({ host }: TestNode): Promise<StatusAnswer> {
  const client = await connectAgent(host.path(ADMIN_SOCKET));
  try {
    return await client.status();
  } finally {
    client.close();
  }
}

/** Waits for a status that `fits`; fails with the last one and the end of the agent's log. */
export async function untilStatus(
  node: TestNode,
  what: string,
  fits: (status: StatusAnswer) => boolean,
  deadlineMs = 60_000,
): Promise<StatusAnswer> {
  let last = '';
  try {
    return await eventually(
      what,
      async () => {
        // Over the admin socket, from outside of the host: a process for each look would cost more than what is waited for.
        const looked = await look(node).catch((error: unknown) => String(error));
        last = typeof looked === 'string' ? looked : JSON.stringify(looked);
        return typeof looked !== 'string' && fits(looked) ? looked : undefined;
      },
      deadlineMs,
    );
  } catch (error) {
    const log = await node.host.exec(['tail', '-n', '40', '/run/log/agent.log']);
    throw new Error(`${String(error)}\nlast answer: ${last}\nlog:\n${log.stdout}`, { cause: error });
  }
}

export const running = (status: StatusAnswer): boolean => status.state === 'running';
export const established = (status: StatusAnswer): boolean => running(status) && status.bgp.established === 1;

/** Fetches a path of the metrics address inside the host; answers `CODE BODY`. */
export async function fetchMetrics({ host }: TestNode, path: string): Promise<string> {
  const script = `fetch('http://127.0.0.1:${METRICS_PORT}${path}').then(async (r) => console.log(r.status, await r.text()))`;
  return await host.run([process.execPath, '-e', script]);
}

/** Routes of our protocol in the main table of both families, as `ip` prints them, sorted. */
export async function ourRoutes({ host }: TestNode): Promise<readonly string[]> {
  const lines: string[] = [];
  for (const family of ['-4', '-6']) {
    const text = await host.run(['ip', family, 'route', 'show', 'proto', '179']);
    lines.push(
      ...text
        .split('\n')
        .filter((line) => line.trim() !== '')
        .map((line) => line.trim().replaceAll(/\s+/g, ' ')),
    );
  }
  return lines.sort();
}
