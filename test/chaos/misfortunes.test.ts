/**
 * One misfortune after the other hits a node while pods come and go at full rate, by the plugin and by a real containerd:
 * agent killed, its pods thread dead, stopped and continued, plugin killed in the middle of a call, veth deleted, namespace
 * removed, spool on a full disk, notifications lost, uplink down, containerd killed. At rest kernel, agent and runtimes agree:
 * no address given twice, none leaked, nothing left over, and every pod that was answered ok has its network.
 *
 * FLATROUTE_KILLS and FLATROUTE_SEED choose how many and which; both are printed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Lab } from '#lab/lab.ts';
import { flatroute } from '#lab/program.ts';
import { cannotRunContainerd } from '#lab/runtime/containerd.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { seconds } from '#lib/time.ts';
import { Holders } from '../support/chaos/holders.ts';
import { ChaosNode } from '../support/chaos/node.ts';
import { PluginPods } from '../support/chaos/plugin-pods.ts';
import { Sandboxes } from '../support/chaos/sandboxes.ts';
import { type Random, seededRandom } from '../support/random.ts';

const misfortunes = Number(process.env['FLATROUTE_KILLS'] ?? 45);
const seed = Number(process.env['FLATROUTE_SEED'] ?? Date.now() % 1_000_000);
/** Misfortunes from one rest to the next. */
const STRETCH = 60;
const SLOTS = 20;
const WORKERS = 4;
const CAPACITY = 62;

interface World {
  readonly random: Random;
  readonly node: ChaosNode;
  readonly pods: PluginPods;
  readonly sandboxes: Sandboxes | undefined;
  readonly counts: Map<string, number>;
}

type Misfortune = (world: World) => Promise<boolean>;

const pause = async ({ random }: World, least: number, most: number): Promise<void> => {
  await delay(least + random.unit() * (most - least));
};
const removeVeth: Misfortune = async ({ node, pods }) =>
  await pods.harm(async (slot) => {
    await node.host.exec(['ip', 'link', 'del', slot.hostInterface]);
  });
const removeNamespace: Misfortune = async ({ node, pods }) =>
  await pods.harm(async (slot) => {
    slot.hasNamespace = false;
    await node.host.run(['ip', 'netns', 'del', slot.name]);
  });

/** With how often each comes. */
const deeds: Readonly<Record<string, readonly [number, Misfortune]>> = {
  'agent killed': [
    10,
    async (world) => {
      // Some hit the start itself, most an agent at work.
      await world.node.kill();
      await pause(world, 0, 300);
      return true;
    },
  ],
  'pods thread dead': [
    3,
    async (world) => {
      world.node.killThread();
      await pause(world, 100, 500);
      return true;
    },
  ],
  'agent stopped and continued': [
    4,
    async ({ node, ...world }) => {
      await node.stopped(() => pause({ node, ...world }, 50, 500));
      return true;
    },
  ],
  'plugin killed': [
    14,
    async (world) => {
      await pause(world, 0, 20);
      return world.pods.killPlugin();
    },
  ],
  'veth deleted': [8, removeVeth],
  'namespace removed': [8, removeNamespace],
  'spool on a full disk': [
    4,
    async (world) => {
      await world.node.fullSpool(() => pause(world, 50, 300));
      return true;
    },
  ],
  'notifications lost': [3, async (world) => await world.node.overrun(async () => void (await removeVeth(world)))],
  'uplink down and up': [
    4,
    async (world) => {
      await world.node.uplinkDown(() => pause(world, 20, 200));
      return true;
    },
  ],
  'containerd killed': [
    3,
    async ({ sandboxes }) => {
      await sandboxes?.kill();
      return sandboxes !== undefined;
    },
  ],
};
const drawn = Object.entries(deeds).flatMap(([name, [weight]]) => Array.from({ length: weight }, () => name));

/** Most misfortunes hit a node at work, however slow the machine is, and some one that has not recovered from the last. */
async function untilPodsMove(world: World): Promise<void> {
  const { random, pods } = world;
  const wanted = pods.served + (random.unit() < 0.25 ? 0 : 1 + random.below(12));
  for (let waits = 0; pods.served < wanted && waits < 1000; waits++) {
    await world.node.revive();
    await delay(5);
  }
}

async function strike(world: World): Promise<void> {
  for (;;) {
    const name = world.random.pick(drawn);
    await world.node.revive();
    // One that found nothing to hit did not happen.
    if (await deeds[name]?.[1](world)) {
      world.counts.set(name, (world.counts.get(name) ?? 0) + 1);
      await untilPodsMove(world);
      return;
    }
    await pause(world, 1, 10);
  }
}

interface Well {
  readonly container: string;
  readonly addresses: readonly string[];
  readonly namespace: string;
}

const wellPods = ({ pods, sandboxes }: World): readonly Well[] => [
  ...pods.slots
    .filter((slot) => slot.state === 'ok')
    .map(({ container, addresses, name }) => ({ container, addresses, namespace: name })),
  ...(sandboxes?.well ?? []).map(({ id, addresses, networkNamespace }) => ({
    container: id,
    addresses,
    namespace: networkNamespace ?? '',
  })),
];

/** Kernel, admin API and runtimes agree exactly. */
async function assertAgreement(world: World): Promise<void> {
  const { node } = world;
  const well = wellPods(world);
  const wanted = well.map(({ container, addresses }) => `${container} ${addresses.join(' ')} live`).sort();
  let rows: Awaited<ReturnType<typeof podRows>> = [];
  await waitFor(
    'the agent to have the pods of the runtimes and no others',
    async () => {
      // A thread that was made to die may take its agent with it as late as now.
      await node.revive();
      rows = await podRows(node);
      const known = rows.map((row) => `${row.container} ${row.addresses.join(' ')} ${row.state}`).sort();
      if (known.join('\n') !== wanted.join('\n'))
        return notYet(
          `only the agent: ${known.filter((one) => !wanted.includes(one)).join(', ')}; only the runtimes: ${wanted.filter((one) => !known.includes(one)).join(', ')}`,
        );
      const spooled = await node.host.run(['ls', '-A', '/run/flatroute/spool']);
      return spooled.trim() === '' ? found(true) : notYet(`the spool holds ${spooled}`);
    },
    { deadline: seconds(45) },
  );
  const addresses = well.flatMap((pod) => pod.addresses).sort();
  const hostEnds = rows.map((row) => row.hostInterface).sort();
  const kernel = await node.host.run(['sh', '-c', kernelScript]);
  const section = (name: string): string[] =>
    (kernel.split(`= ${name}\n`)[1]?.split('= ')[0] ?? '')
      .split('\n')
      .filter((line) => line !== '')
      .sort();
  assert.deepEqual(section('links'), hostEnds, 'links');
  assert.deepEqual(section('routes'), addresses, 'routes');
  assert.deepEqual(section('neighbours'), addresses, 'neighbours');
  await waitFor(
    'flatroute ipam check to find nothing',
    async () => {
      await node.revive();
      const { code, stdout, stderr } = await node.host.exec(
        flatroute('ipam', 'check', '--older-than', '0', '-o', 'json'),
      );
      return code === 0 ? found(true) : notYet(`${stdout}${stderr}`);
    },
    { deadline: seconds(45) },
  );
  await assertNetworks(world, well);
}

const podRows = async (node: ChaosNode): ReturnType<Parameters<Parameters<ChaosNode['ask']>[0]>[0]['pods']> =>
  await node.ask((client) => client.pods());

const kernelScript = `
echo '= links'; ip -o link | sed -n 's/^[0-9]*: \\(fr[0-9a-f]\\{12\\}\\)[@:].*/\\1/p'
echo '= routes'; for f in -4 -6; do ip $f route show proto 179 | grep ' dev fr' | cut -d' ' -f1; done
echo '= neighbours'; ip neigh show nud permanent | grep ' dev fr' | cut -d' ' -f1
`;

/** The node reaches every pod, and every pod the node and the next pod, in both families. */
async function assertNetworks({ node }: World, well: readonly Well[]): Promise<void> {
  const lines = well.flatMap(({ namespace, addresses }, i) => [
    ...addresses.map((address) => `- ${address}`),
    ...['192.0.2.11', '2001:db8::11', ...(well[(i + 1) % well.length]?.addresses ?? [])].map(
      (a) => `${namespace} ${a}`,
    ),
  ]);
  const script = `if [ "$0" = - ]; then set -- "$1"; else set -- "$1" ip netns exec "$0"; fi; a=$1; shift; "$@" ping -n -c 1 -W 3 "$a" >/dev/null || echo "$* $a"`;
  const silent = await node.host.run(['xargs', '-r', '-P', '8', '-L', '1', 'sh', '-c', script], {
    input: `${lines.join('\n')}\n`,
    timeout: seconds(60),
  });
  assert.equal(silent.trim(), '', 'pods that were answered ok do not answer');
}

async function rest(world: World): Promise<void> {
  const { node, pods, sandboxes } = world;
  await node.serving();
  await Promise.all([pods.settle(), sandboxes?.settle()]);
  await assertAgreement(world);
}

/** None leaked: every address of the node can be given again, to as many pods at once. */
async function assertCapacity(world: World): Promise<void> {
  const all = new PluginPods(world.node.host, 'q', CAPACITY, world.random, new Holders());
  await all.fill();
  assert.equal(new Set(all.slots.flatMap((slot) => slot.addresses)).size, 2 * CAPACITY);
}

test(`${misfortunes} misfortunes while pods come and go lose, double and leak nothing (FLATROUTE_SEED=${seed})`, {
  timeout: 3_600_000,
}, async (t) => {
  const random = seededRandom(seed);
  await using lab = await Lab.create('chaos');
  const node = await ChaosNode.start(lab);
  const holders = new Holders();
  const pods = new PluginPods(node.host, 'p', SLOTS, random, holders);
  const cannot = cannotRunContainerd();
  if (cannot !== false) t.diagnostic(`without containerd: ${cannot}`);
  const sandboxes = cannot === false ? await Sandboxes.start(node.host, random, holders) : undefined;
  const world: World = { random, node, pods, sandboxes, counts: new Map() };
  for (let done = 0; done < misfortunes; ) {
    const busy = Promise.all([pods.run(WORKERS), sandboxes?.run()]);
    const stretch = Math.min(STRETCH, misfortunes - done);
    const hit = (async () => {
      try {
        for (let i = 0; i < stretch; i++) await strike(world);
        await node.serving();
      } finally {
        pods.stop();
        sandboxes?.stop();
      }
    })();
    const ends = await Promise.allSettled([hit, busy]);
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
    await rest(world);
    done += stretch;
  }
  t.diagnostic(JSON.stringify({ ...Object.fromEntries(world.counts), ...pods.counts, containerd: sandboxes?.counts }));
  assert.ok(pods.served > 2 * misfortunes, 'pods came and went');
  await Promise.all([pods.removeAll(), sandboxes?.removeAll()]);
  await assertAgreement(world);
  await assertCapacity(world);
  const bugs = (await node.log())
    .split('\n')
    .filter((line) => /"code":"BUG_|"event":"thread.died"/.test(line) && !line.includes('"error":"chaos'));
  assert.deepEqual(bugs, [], 'no bug of ours was met, and no thread died but of chaos');
});
