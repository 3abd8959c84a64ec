/**
 * The agent is killed with -9 at random moments while pods come and go. At rest nothing may be lost, doubled or left: no
 * address given twice, none leaked, no veth, route, neighbour or file over, and every pod that was answered "ok" still has its network.
 *
 * FLATROUTE_KILLS and FLATROUTE_SEED choose the number of kills and the order of things; both are printed.
 */
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Host } from '#lab/host.ts';
import { Lab } from '#lab/lab.ts';
import type { LabProcess } from '#lab/process.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { seconds } from '#lib/time.ts';
import { seededRandom } from '../support/random.ts';

const kills = Number(process.env['FLATROUTE_KILLS'] ?? 100);
const seed = Number(process.env['FLATROUTE_SEED'] ?? Date.now() % 1_000_000);
const podCount = 24;
const workers = 4;
const plugin = resolve('build/flatroute-cni');
const conf = '{"cniVersion":"1.0.0","name":"flatroute","type":"flatroute"}';
const capacity = 62;

interface PodState {
  readonly name: string;
  /** Addresses of the last ADD that was answered ok; `undefined` when there is none or its fate is unknown. */
  addresses: readonly string[] | undefined;
  /** An ADD or DEL failed: the runtime of a real node would call DEL again. */
  unknown: boolean;
}

async function cni(
  node: Host,
  verb: 'ADD' | 'DEL' | 'CHECK',
  pod: string,
  input = conf,
): Promise<{ code: number | null; stdout: string }> {
  const environment = {
    CNI_COMMAND: verb,
    CNI_CONTAINERID: `chaos-${pod}`,
    CNI_NETNS: `/run/netns/${pod}`,
    CNI_IFNAME: 'eth0',
    CNI_PATH: '/usr/lib/cni',
  };
  return await node.exec([plugin], { input, environment, timeout: seconds(40) });
}

const agentWords = [
  process.execPath,
  resolve('src/main.ts'),
  'agent',
  '--resources',
  '/run/resources',
  '--node',
  'node-1',
  '--log-level',
  'info',
];

async function listening(node: Host, agent: LabProcess): Promise<void> {
  await waitFor(
    'the agent to serve',
    async () => {
      if (agent.ended) return notYet(`the agent ended: ${(await agent.log()).slice(-800)}`);
      const status = await node.exec([process.execPath, resolve('src/main.ts'), 'status', '-o', 'json']);
      return status.stdout.includes('"state"') && status.stdout.includes('"running"')
        ? found(true)
        : notYet(status.stdout + status.stderr);
    },
    { deadline: seconds(30) },
  );
}

const podRows = async (
  node: Host,
): Promise<readonly { readonly addresses: readonly string[]; readonly state: string }[]> => {
  const answer = JSON.parse(await node.run([process.execPath, resolve('src/main.ts'), 'pods', '-o', 'json'])) as {
    readonly pods: readonly { readonly addresses: readonly string[]; readonly state: string }[];
  };
  return answer.pods;
};

const hostEnds = async (node: Host): Promise<readonly string[]> =>
  (await node.links()).map((link) => link.name).filter((name) => name.startsWith('fr'));

const podRoutes = async (node: Host): Promise<readonly string[]> =>
  (await node.routes())
    .map((route) => String(route.prefix))
    .filter((prefix) => /^10\.60\.1\.\d+(\/32)?$|^fd60:1::[0-9a-f]+(\/128)?$/.test(prefix));

/** Every pod that was answered ok has its network: the node reaches each of its addresses. */
async function assertReachable(node: Host, pods: readonly PodState[], when: string): Promise<void> {
  for (const pod of pods) {
    if (pod.addresses === undefined || pod.unknown) continue;
    for (const address of pod.addresses) {
      const ping = await node.exec(['ping', '-n', '-c', '1', '-W', '2', address]);
      assert.equal(
        ping.code,
        0,
        `${when}: ${pod.name} was answered ok with ${address} but does not answer: ${ping.stdout}`,
      );
    }
  }
}

function assertUnique(pods: readonly PodState[]): void {
  const holders = new Map<string, string>();
  for (const pod of pods) {
    for (const address of pod.addresses ?? []) {
      assert.equal(
        holders.get(address),
        undefined,
        `${address} was given to ${holders.get(address)} and to ${pod.name} (seed ${seed})`,
      );
      holders.set(address, pod.name);
    }
  }
}

test(`${kills} kills of the agent while pods come and go lose, double and leak nothing (seed ${seed})`, {
  timeout: 1_200_000,
}, async (t) => {
  t.diagnostic(`FLATROUTE_SEED=${seed} FLATROUTE_KILLS=${kills}`);
  const random = seededRandom(seed);
  await using lab = await Lab.create('chaos');
  const node = await lab.addHost('node-1', { forwarding: true, loopback: [] });
  await node.ip(['address add 192.0.2.11/32 dev lo', 'address add 2001:db8::11/128 dev lo nodad']);
  await node.writeFile(
    '/run/resources/node.yaml',
    `apiVersion: v1
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
`,
  );
  const pods: PodState[] = Array.from({ length: podCount }, (_, i) => ({
    name: `p${i}`,
    addresses: undefined,
    unknown: false,
  }));
  await node.ip(pods.map((pod) => `netns add ${pod.name}`));

  let agent = await node.spawn(agentWords, { log: 'agent' });
  await listening(node, agent);

  let stop = false;
  let calls = 0;
  let cut = 0;
  const worker = async (mine: readonly PodState[]): Promise<void> => {
    while (!stop) {
      const pod = mine[random.below(mine.length)];
      if (pod === undefined) return;
      calls++;
      if (pod.addresses === undefined && !pod.unknown) {
        const added = await cni(node, 'ADD', pod.name);
        if (added.code === 0) {
          const result = JSON.parse(added.stdout) as { readonly ips: readonly { readonly address: string }[] };
          pod.addresses = result.ips.map((ip) => ip.address.split('/')[0] ?? '');
        } else {
          pod.unknown = true;
          cut++;
        }
      } else {
        // From the call on the addresses may be anybody's.
        pod.addresses = undefined;
        const deleted = await cni(node, 'DEL', pod.name);
        pod.unknown = deleted.code !== 0;
        if (pod.unknown) cut++;
      }
    }
  };
  const busy = Array.from({ length: workers }, (_, w) => worker(pods.filter((_, i) => i % workers === w)));

  try {
    for (let kill = 0; kill < kills; kill++) {
      // Some kills hit the start itself, most hit an agent at work.
      await delay(random.unit() < 0.25 ? random.unit() * 400 : 400 + random.unit() * 900);
      agent.kill('SIGKILL');
      await agent.exited;
      agent = await node.spawn(agentWords, { log: 'agent' });
    }
  } finally {
    stop = true;
    await Promise.all(busy);
  }
  t.diagnostic(`${calls} calls, ${cut} of them answered with an error`);
  assert.ok(calls > kills, 'pods came and went');

  await assertReachable(node, pods, 'agent at rest');
  assertUnique(pods);
  await listening(node, agent);
  const known = pods.filter((pod) => pod.addresses !== undefined && !pod.unknown);
  const rows = await podRows(node);
  for (const pod of known) {
    const row = rows.find((candidate) => candidate.addresses.join() === pod.addresses?.join());
    assert.ok(row, `${pod.name} with ${pod.addresses?.join()} is not among the agent's pods (seed ${seed})`);
    assert.equal(row.state, 'live');
  }

  agent.kill('SIGKILL');
  await agent.exited;
  await assertReachable(node, pods, 'agent dead');
  agent = await node.spawn(agentWords, { log: 'agent' });
  await listening(node, agent);

  for (const pod of pods) {
    const deleted = await cni(node, 'DEL', pod.name);
    assert.equal(deleted.code, 0, `DEL of ${pod.name}: ${deleted.stdout}`);
  }
  await waitFor(
    'nothing to be left',
    async () => {
      const left = [...(await hostEnds(node)), ...(await podRoutes(node))];
      return left.length === 0 ? found(true) : notYet(left.join(', '));
    },
    { deadline: seconds(20) },
  );
  assert.deepEqual(await podRows(node), []);
  const neighbours = await node.run(['ip', 'neigh', 'show', 'nud', 'permanent']);
  assert.equal(neighbours.trim(), '');
  assert.equal((await node.run(['ls', '-A', '/run/flatroute/spool'])).trim(), '');

  // None leaked: every address of the block can be given again, to as many pods at once.
  await node.ip(Array.from({ length: capacity }, (_, i) => `netns add q${i}`));
  const given = new Set<string>();
  for (let i = 0; i < capacity; i++) {
    const added = await cni(node, 'ADD', `q${i}`);
    assert.equal(added.code, 0, `address ${i + 1} of ${capacity} cannot be given: ${added.stdout} (seed ${seed})`);
    const result = JSON.parse(added.stdout) as { readonly ips: readonly { readonly address: string }[] };
    for (const ip of result.ips) given.add(ip.address);
  }
  assert.equal(given.size, 2 * capacity);
});
