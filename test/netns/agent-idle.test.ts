// An agent with many pods: what it asks the kernel when nothing happens, and when one pod needs it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { join } from 'node:path';
import { type Conflist, HostConflistRunner } from '#lab/conflist.ts';
import type { Lab } from '#lab/lab.ts';
import { Pod } from '#lab/pod.ts';
import { flatroute, fromSources } from '#lab/program.ts';
import { agentWords, makeNodes, running, type TestNode, untilStatus } from '../support/agent-lab.ts';
import type { CallCount } from '../support/count-calls.ts';
import { eventually } from '../support/netns.ts';

const PODS = 40;
const CALLS_FILE = '/run/calls';
/** Of a tenth of a second each; what runs now and then, every 30 s or so, may fall into one span, not into all. */
const SPAN_TICKS = 15;

describe('an agent with many pods', { timeout: 600_000 }, () => {
  let lab: Lab | undefined;
  let node: TestNode;
  const pods: Pod[] = [];

  before(async () => {
    const made = await makeNodes('agent-idle');
    lab = made.lab;
    [node] = made.nodes;
    const preload = `--import=${join(import.meta.dirname, '../support/count-calls.ts')}`;
    const environment = { NODE_OPTIONS: preload, FLATROUTE_TEST_CALLS: CALLS_FILE };
    // The preload replaces a function of a package; a bundle has a copy of its own.
    await node.host.spawn(fromSources(...agentWords(node)), { log: 'agent.log', environment });
    await untilStatus(node, 'the agent runs', running);
    await node.host.run(flatroute('cni', 'install', '--bin-dir', '/run/cni/bin', '--conf-dir', '/run/cni/net.d'));
    const { plugins, ...list } = JSON.parse(
      await node.host.readFile('/run/cni/net.d/05-flatroute.conflist'),
    ) as Conflist;
    const runner = new HostConflistRunner(node.host, { ...list, plugins: plugins.slice(0, 1) }, ['/run/cni/bin']);
    for (let i = 0; i < PODS; i++) pods.push(await Pod.attach(runner, `idle-${i}`));
  });
  after(async () => {
    await lab?.dispose();
  });

  /** The last line of each thread. */
  const counts = async (): Promise<ReadonlyMap<string, CallCount>> => {
    const lines = (await node.host.readFile(CALLS_FILE)).trim().split('\n');
    // The last one may be half written.
    const whole = lines.filter((line) => line.endsWith('}')).map((line) => JSON.parse(line) as CallCount);
    return new Map(whole.map((line) => [line.thread, line]));
  };

  const watched = ['pods', 'background'];

  /** Resolves when no thread that has to do with pods has asked the kernel anything for a span; answers the counts. */
  async function untilSilent(): Promise<ReadonlyMap<string, CallCount>> {
    let from = await counts();
    return await eventually(
      `a span of ${SPAN_TICKS} ticks without a request to the kernel`,
      async () => {
        const now = await counts();
        const grown = watched.some((name) => now.get(name)?.calls !== from.get(name)?.calls);
        if (grown) from = now;
        const passed = watched.map((name) => (now.get(name)?.tick ?? 0) - (from.get(name)?.tick ?? 0));
        return Math.min(...passed) >= SPAN_TICKS ? now : undefined;
      },
      60_000,
    );
  }

  test('asks the kernel nothing while nothing happens', async () => {
    const silent = await untilSilent();
    for (const name of watched) assert.ok((silent.get(name)?.calls ?? 0) > 0, `${name} was counted`);
  });

  test('looks at all pods by a handful of requests, not by some for each, when one has lost its route', async () => {
    const address = pods[0]?.address('ipv4') ?? '';
    const before = (await untilSilent()).get('pods')?.calls ?? 0;
    await node.host.run(['ip', 'route', 'del', `${address}/32`]);
    await eventually('the route is back', async () => (await node.host.run(['ip', 'route', 'show', address])) !== '');
    const asked = ((await untilSilent()).get('pods')?.calls ?? 0) - before;
    // Links, addresses, neighbours, all routes by one request for 128 pods, and what is put back.
    assert.ok(asked > 0 && asked <= 20, `${asked} requests for ${PODS} pods`);
  });
});
