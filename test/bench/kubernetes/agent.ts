/**
 * A real agent from the bundle in Kubernetes mode, with the rights and the bound token that deploy/ gives it, behind a BGP session to
 * BIRD: how soon a Node's block is at the router, what the agent asks of the API at its start, at rest and in a burst of pods, its memory.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { HostConflistRunner } from '#lab/conflist.ts';
import type { Conflist } from '#lab/conflist.ts';
import { Pod } from '#lab/pod.ts';
import type { LabProcess } from '#lab/process.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import { buildBundle, residentMebibytes, sum, threadSeconds, timed, untilRunning } from '../pods/agent.ts';
import { median } from '../pods/tables.ts';
import type { Figure } from '../pods/tables.ts';
import { CONFLIST, createNode, credentials, launch, makePlace, spentBy, USER } from './place.ts';
import type { Place, Spent } from './place.ts';
import { openScene, progress, several } from './scene.ts';
import { askedBy, auditArguments, connectionsOf, tally, trafficBytes, writeAuditPolicy } from './traffic.ts';

const SETTLE_MILLISECONDS = 5000;
const AT_A_TIME = 8;

export const resources = `apiVersion: flatroute.io/v1alpha1
kind: BGPConfiguration
metadata: { name: default }
spec: { asNumber: 65001, addressSource: IPPools }
---
apiVersion: flatroute.io/v1alpha1
kind: BGPPeer
metadata: { name: tor }
spec: { peerIP: 192.0.2.1, asNumber: 65100, importPolicy: DefaultRoute }
---
apiVersion: flatroute.io/v1alpha1
kind: IPPool
metadata: { name: pods-v4 }
spec: { cidr: 10.60.0.0/16 }
---
apiVersion: flatroute.io/v1alpha1
kind: IPPool
metadata: { name: pods-v6 }
spec: { cidr: "fd60::/64" }
`;

/** It announces a default route, as routers do: of one of which it accepts nothing an agent writes an Event 20 s after its start. */
const birdConf = `router id 192.0.2.1;
protocol device {}
protocol static { ipv4; route 0.0.0.0/0 blackhole; }
protocol static { ipv6; route ::/0 blackhole; }
protocol bgp node {
  local 192.0.2.1 as 65100; neighbor 192.0.2.11 as 65001;
  ipv4 { import all; export where source = RTS_STATIC; }; ipv6 { import all; export where source = RTS_STATIC; };
}
`;

export interface AgentOptions {
  readonly rounds: number;
  readonly pods: number;
  readonly idleSeconds: number;
}

/** Resolves when the router has a block of both families, or none. */
async function untilAtRouter({ tor }: Place, agent: LabProcess, there: boolean): Promise<void> {
  await waitFor(
    `the router to have ${there ? 'the block' : 'nothing'}`,
    async () => {
      const { stdout } = await tor.exec(['birdc', '-s', '/run/bird.ctl', 'show', 'route']);
      const both = stdout.includes('10.60.') && stdout.includes('fd60:');
      const either = stdout.includes('10.60.') || stdout.includes('fd60:');
      if (there ? both : !either) return found(undefined);
      return notYet(`${stdout.trim()}; the agent says ${(await agent.log()).slice(-800)}`);
    },
    { deadline: seconds(60), every: milliseconds(10) },
  );
}

async function attachAll({ node }: Place, count: number): Promise<readonly Pod[]> {
  const conflist = JSON.parse(await node.readFile(CONFLIST)) as Conflist;
  // The first plugin alone: what comes behind it asks nothing of the API.
  const runner = new HostConflistRunner(node, { ...conflist, plugins: conflist.plugins.slice(0, 1) }, ['/run/cni/bin']);
  return await several(count, AT_A_TIME, async (at) => await Pod.attach(runner, `pod-${at}`));
}

export async function agent({ rounds, pods, idleSeconds }: AgentOptions): Promise<Figure[]> {
  buildBundle();
  await using scene = await openScene('agent', auditArguments, writeAuditPolicy);
  const place = await makePlace(scene, resources);
  await place.tor.writeFile('/run/bird.conf', birdConf);
  await place.tor.spawn(['bird', '-f', '-c', '/run/bird.conf', '-s', '/run/bird.ctl', '-P', '/run/bird.pid']);
  const waiting: number[] = [];
  const starting: number[] = [];
  const starts: Spent[] = [];
  let running: LabProcess | undefined;
  for (let round = 0; round < rounds; round++) {
    const name = `node-${round}`;
    const kubeconfig = await credentials(place, name);
    let process = await launch(place, name, kubeconfig);
    await untilRunning(place.node, process);
    waiting.push(
      await timed(async () => {
        await createNode(place, name);
        await untilAtRouter(place, process, true);
      }),
    );
    process.kill('SIGTERM');
    await process.exited;
    await untilAtRouter(place, process, false);
    const before = askedBy(scene.host, USER).requests.length;
    const bytes = await trafficBytes(place.node);
    starting.push(
      await timed(async () => {
        process = await launch(place, name, kubeconfig);
        await untilAtRouter(place, process, true);
      }),
    );
    await delay(SETTLE_MILLISECONDS);
    starts.push({
      requests: askedBy(scene.host, USER).requests.slice(before),
      bytes: (await trafficBytes(place.node)) - bytes,
      cpuSeconds: sum([...threadSeconds(process.pid).values()]),
    });
    progress(`round ${round + 1} of ${rounds}: ${tally(starts.at(-1)?.requests ?? [])}`);
    running = process;
    if (round === rounds - 1) break;
    process.kill('SIGTERM');
    await process.exited;
    await untilAtRouter(place, process, false);
  }
  if (running === undefined) throw new Error('--rounds is at least 1');
  const { pid } = running;
  // What is looked at once after a start.
  await delay(2 * SETTLE_MILLISECONDS);
  const memory = residentMebibytes(pid);
  const { watches } = askedBy(scene.host, USER);
  const connections = await connectionsOf(place.node);
  const idle = await spentBy(place, running, async () => await delay(1000 * idleSeconds));
  progress(`at rest: ${tally(idle.requests)}`);
  let made: readonly Pod[] = [];
  const burst = await spentBy(place, running, async () => {
    made = await attachAll(place, pods);
    await delay(SETTLE_MILLISECONDS);
  });
  progress(`${pods} pods added: ${tally(burst.requests)}`);
  const gone = await spentBy(place, running, async () => {
    await several(pods, AT_A_TIME, async (at) => await made[at]?.detach());
    await delay(SETTLE_MILLISECONDS);
  });
  progress(`${pods} pods deleted: ${tally(gone.requests)}`);
  const hourly = 3600 / idleSeconds;
  return [
    {
      what: '**Node created**, its agent waits: both blocks are at the router after, median',
      value: median(waiting),
      unit: 'ms',
    },
    { what: '… at most', value: Math.max(...waiting), unit: 'ms' },
    {
      what: '**agent started**, its blocks are claimed: they are at the router after, median',
      value: median(starting),
      unit: 'ms',
    },
    { what: '… at most', value: Math.max(...starting), unit: 'ms' },
    { what: '… requests', value: median(starts.map(({ requests }) => requests.length)), unit: '' },
    { what: '… on the wire', value: median(starts.map((one) => one.bytes)) / 1024, unit: 'KiB' },
    { what: '… CPU of the agent', value: 1000 * median(starts.map((one) => one.cpuSeconds)), unit: 'ms' },
    { what: '**at rest**: resident memory', value: memory, unit: 'MiB' },
    { what: '… watches open', value: watches, unit: '' },
    { what: '… connections to the API server', value: connections, unit: '' },
    { what: '… requests an hour', value: idle.requests.length * hourly, unit: '' },
    { what: '… on the wire an hour', value: (idle.bytes * hourly) / 1024, unit: 'KiB' },
    { what: '… CPU', value: (100 * idle.cpuSeconds) / idleSeconds, unit: '% of a core' },
    { what: `**${pods} pods added**, ${AT_A_TIME} at a time: requests`, value: burst.requests.length, unit: '' },
    { what: '… on the wire', value: burst.bytes / 1024, unit: 'KiB' },
    { what: `**${pods} pods deleted**: requests`, value: gone.requests.length, unit: '' },
    { what: '… on the wire', value: gone.bytes / 1024, unit: 'KiB' },
    { what: 'resident memory after that', value: residentMebibytes(pid), unit: 'MiB' },
  ];
}
