/** Fourth act: a router freezes, a router loses power and an agent is killed, each while traffic is going on. */
import { families } from '#lib/ip.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import { Pod } from '#lab/pod.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { setTimeout as delay } from 'node:timers/promises';
import { Unexpected } from '../checks.ts';
import type { DemoNetwork } from '../network.ts';
import { bfdTimes } from '#lab/routers/router.ts';
import { HOLD_TIME_SECONDS } from '../network.ts';
import { nodes, routers, vm } from '../topology.ts';
import { allEstablished, bothPaths } from './network.ts';
import type { Stage } from './play.ts';
import type { TrafficReport } from './traffic.ts';
import { flowsText, lossText, Traffic } from './traffic.ts';

/** Traffic before and after the blow, so that the report speaks of both. */
const BEFORE = milliseconds(500);
const AFTER = milliseconds(1500);
/** A failover by loss of carrier is over in milliseconds; this is what a check still lets pass on a busy machine. */
const TOLERATED_GAP = milliseconds(1000);

/** Packets that a host received on the link from another. */
async function received(network: DemoNetwork, at: string, from: string): Promise<number> {
  const output = await network.host(at).run(['ip', '-j', '-s', 'link', 'show', 'dev', from]);
  const [link] = JSON.parse(output) as readonly {
    readonly stats64?: { readonly rx?: { readonly packets?: number } };
  }[];
  return link?.stats64?.rx?.packets ?? 0;
}

/** Every session of a node has BFD, and it is up. */
async function watched(network: DemoNetwork): Promise<void> {
  await waitFor(
    'BFD of all sessions',
    async () => {
      const peers = await Promise.all(nodes.map(({ name }) => network.agent(name).questions.peers()));
      return peers.flat().every(({ bfd }) => bfd?.state === 'Up') ? found(undefined) : notYet(JSON.stringify(peers));
    },
    { deadline: seconds(30) },
  );
}

/** Its links stay up and what it forwards goes on: only BFD tells that nobody is at home any more. */
export async function freezeRouter({ network, checks }: Stage): Promise<void> {
  const [router, other] = routers;
  const [plan] = nodes;
  if (router === undefined || other === undefined || plan === undefined) return;
  const bfd = `BFD at ${bfdTimes.intervalMilliseconds} ms × ${bfdTimes.multiplier}`;

  await checks.check(`${router.name} freezes`, async () => {
    await watched(network);
    const addresses = network.pods.flatMap((pod) => pod.addresses);
    const traffic = await Traffic.start(network.vm, addresses, 'flows-freeze.log');
    await delay(BEFORE);
    const moment = Date.now();
    await network.router(router.name).signal('SIGSTOP');
    const deleted = await waitFor(
      `${plan.name} to leave ${router.name}`,
      async () => {
        const seen = await network.agent(plan.name).nexthopsDeleted(router.name, moment);
        return seen === undefined ? notYet('it is a next hop') : found(seen);
      },
      { deadline: seconds(HOLD_TIME_SECONDS) },
    );
    await delay(BEFORE);
    const report = await traffic.stop();
    expectGoesOn(report, TOLERATED_GAP, `over ${other.name}`);
    return `${plan.name} left it after ${deleted.afterMilliseconds} ms (${bfd}; the hold time is ${HOLD_TIME_SECONDS} s): ${lossText(report)}`;
  });

  await checks.check(`${router.name} goes on`, async () => {
    await network.router(router.name).signal('SIGCONT');
    const said = await allEstablished(network);
    for (const { name } of nodes) await bothPaths(network, name);
    return said;
  });
}

export async function switchOffRouter({ network, checks }: Stage): Promise<void> {
  const [router, other] = routers;
  if (router === undefined || other === undefined) return;
  const addresses = network.pods.flatMap((pod) => pod.addresses);

  const off = async (): Promise<string> => {
    const counted = await received(network, router.name, vm.name);
    const traffic = await Traffic.start(network.vm, addresses, 'flows-router.log');
    await delay(BEFORE);
    const through = (await received(network, router.name, vm.name)) - counted;
    await network.host(router.name).powerOff();
    await delay(AFTER);
    const report = await traffic.stop();
    if (through === 0) {
      throw new Unexpected({
        expected: `traffic over ${router.name} before it goes`,
        seen: 'no packet of the VM came there',
      });
    }
    expectGoesOn(report, TOLERATED_GAP, `over ${other.name}`);
    return `VM ↔ pods went on over ${other.name}: ${lossText(report)}`;
  };
  await checks.check(`${router.name} loses power`, off);

  const on = async (): Promise<string> => {
    const host = network.host(router.name);
    await host.powerOn(network.lab.endsOf(host));
    await network.staticRoutes(router.name);
    await network.router(router.name).start();
    return await allEstablished(network);
  };
  await checks.check(`${router.name} is back`, on);
}

function expectGoesOn(report: TrafficReport, tolerated: number, way: string): void {
  const [silent] = report.silent;
  if (silent !== undefined || report.longestGap > tolerated) {
    const cut =
      silent === undefined ? '' : `; ${silent.address} was cut off for the last ${silent.silentAtEndMilliseconds} ms`;
    throw new Unexpected({
      expected: `all ${report.flows.length} flows to go on ${way}, no gap above ${tolerated} ms`,
      seen: `${lossText(report)}${cut}\n${flowsText(report)}`,
      command: `ip route get ${silent?.address ?? report.flows[0]?.address ?? ''} (on ${report.from})`,
    });
  }
}

const addressesInside = async (pod: Pod): Promise<string> => {
  const output = await pod.run(['ip', '-j', 'address', 'show', 'dev', 'eth0']);
  const [link] = JSON.parse(output) as readonly {
    readonly addr_info?: readonly { readonly local?: string; readonly scope?: string }[];
  }[];
  return (link?.addr_info ?? [])
    .filter((info) => info.scope === 'global')
    .map((info) => info.local ?? '')
    .sort()
    .join(' ');
};

/** The plugin waits for an agent for ten seconds; on a machine that needs longer to start one the runtime asks again. */
async function asKubelet<T>(attempt: () => Promise<T>): Promise<T> {
  for (let again = 0; ; again++) {
    try {
      return await attempt();
    } catch (error) {
      if (again === 5 || !/try again/.test(String(error))) throw error;
    }
  }
}

export async function killTheAgent({ network, checks, screen }: Stage): Promise<void> {
  const [plan] = nodes;
  if (plan === undefined) return;
  const agent = network.agent(plan.name);
  const pods = network.podsOf(plan.name);
  const before = new Map<Pod, string>();
  let traffic: Traffic | undefined;

  await checks.check(`agent of ${plan.name} killed (-9)`, async () => {
    for (const pod of pods) before.set(pod, await addressesInside(pod));
    traffic = await Traffic.start(
      network.vm,
      pods.flatMap((pod) => pod.addresses),
      'flows-agent.log',
    );
    await delay(BEFORE);
    await agent.stop('SIGKILL');
    const away = async (): Promise<readonly string[]> => {
      const names: string[] = [];
      for (const router of routers) {
        const rows = await network.router(router.name).sessions();
        const row = rows.find((candidate) => candidate.asn === plan.asn);
        if (row !== undefined && !row.established) names.push(router.name);
      }
      return names;
    };
    if (network.engine === 'gobgp') {
      await delay(AFTER);
      const missing = await away();
      if (missing.length === 0) return 'gobgpd keeps the sessions, nobody touched a pod';
      throw new Unexpected({ expected: 'both routers to keep their sessions with gobgpd', seen: missing.join(', ') });
    }
    const seen = await waitFor(
      `the routers to miss ${plan.name}`,
      async () => {
        const names = await away();
        return names.length === routers.length
          ? found(names)
          : notYet(`only ${names.join(', ') || 'none'} lost its session`);
      },
      { deadline: seconds(15) },
    );
    await delay(AFTER);
    return `${seen.join(' and ')} lost the session, nobody touched a pod`;
  });

  let late: Promise<Pod> | undefined;
  await checks.check('a pod asked for meanwhile', async () => {
    const started = performance.now();
    late = asKubelet(async () => await Pod.attach(network.runner(plan.name), 'web-late'));
    const [pod] = await Promise.all([late, agent.start()]);
    network.pods.push(pod);
    return `${pod.name} waited for the agent and came after ${((performance.now() - started) / 1000).toFixed(1)} s: ${pod.addresses.join(' ')}`;
  });

  await checks.check('sessions back', async () => {
    const started = performance.now();
    await allEstablished(network);
    return `${((performance.now() - started) / 1000).toFixed(1)} s after the agent answered`;
  });

  await checks.check('pods answered throughout', async () => {
    if (traffic === undefined) throw new Error('there was no traffic');
    await delay(BEFORE);
    const report = await traffic.stop();
    if (report.lost > 0) {
      throw new Unexpected({
        expected: 'no packet lost while the agent was away',
        seen: `${lossText(report)}\n${flowsText(report)}`,
        command: `flatroute routes --announced (on ${plan.name})`,
      });
    }
    return lossText(report);
  });

  await checks.check('same addresses as before', async () => {
    const rows = await agent.questions.pods();
    for (const [pod, addresses] of before) {
      const now = await addressesInside(pod);
      const said = [...(rows.find((row) => row.pod === pod.name)?.addresses ?? [])].sort().join(' ');
      if (now === addresses && said === addresses) continue;
      throw new Unexpected({
        expected: `${pod.name} at ${addresses}`,
        seen: `in the pod ${now || 'nothing'}, at the agent ${said || 'nothing'}`,
        command: `flatroute pods (on ${plan.name})`,
      });
    }
    const all = network.pods.flatMap((pod) => pod.addresses);
    if (new Set(all).size !== all.length) {
      throw new Unexpected({
        expected: 'no address given twice',
        seen: all.toSorted().join(' '),
        command: 'flatroute pods',
      });
    }
    return `${before.size} pods, ${before.size * families.length} addresses; the new agent knows them from the kernel`;
  });
  screen.output(plan.name, 'flatroute pods', await agent.text(['pods'], screen.outputWidth));
}
