/** A node with many pods at rest: what its agent costs when nothing happens, and how long what it must do now and then takes. */
import { setTimeout as delay } from 'node:timers/promises';
import { connectAgent } from '#cli/client.ts';
import { ADMIN_SOCKET } from '#dataplane/kernel-names.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import {
  type BenchAgent,
  launch,
  metricsUrl,
  residentMebibytes,
  spentSince,
  sum,
  threadSeconds,
  timed,
  untilAnnounced,
  untilRunning,
} from './agent.ts';
import { type Figure, IDLE, median, MEMORY } from './tables.ts';

/** After a burst the facts settle, and the collector of V8 may have its turn. */
const SETTLE_MILLISECONDS = 5000;
const ASKINGS = 20;

const scrape = `const times = [];
for (let i = 0; i < ${ASKINGS}; i++) {
  const from = performance.now();
  const answer = await fetch(process.argv[1]);
  await answer.text();
  times.push(performance.now() - from);
}
console.log(JSON.stringify(times));`;

async function idle({ process: agent }: BenchAgent, forSeconds: number): Promise<Figure[]> {
  await delay(SETTLE_MILLISECONDS);
  const before = threadSeconds(agent.pid);
  await delay(1000 * forSeconds);
  const spent = spentSince(agent.pid, before);
  const share = (used: number): number => (100 * used) / forSeconds;
  return [
    { what: IDLE, value: share(sum(spent.map(([, used]) => used))), unit: '% of a core' },
    ...spent
      .filter(([, used]) => share(used) >= 0.01)
      .map(([name, used]) => ({ what: `… thread ${name}`, value: share(used), unit: '%' })),
    { what: MEMORY, value: residentMebibytes(agent.pid), unit: 'MiB' },
  ];
}

/** A route of a pod that somebody deletes is back after one look at all pods. */
async function repair({ node }: BenchAgent): Promise<number> {
  const route = (await node.routes()).find(({ prefix }) => prefix.startsWith('10.60.') && !prefix.endsWith('/19'));
  if (route === undefined) throw new Error('no route of a pod was found');
  const show = ['ip', 'route', 'show', 'exact', route.prefix];
  await node.ip([`route del ${route.prefix}`]);
  return await timed(() =>
    waitFor(
      'the route to be back',
      async () => ((await node.run(show)).trim() === '' ? notYet('no route') : found(true)),
      { deadline: seconds(20), every: milliseconds(5) },
    ),
  );
}

async function asked({ node }: BenchAgent): Promise<Figure[]> {
  const client = await connectAgent(node.path(ADMIN_SOCKET));
  const times = async (action: () => Promise<unknown>): Promise<number> => {
    const all: number[] = [];
    for (let i = 0; i < ASKINGS; i++) all.push(await timed(action));
    return median(all);
  };
  try {
    const scraped = JSON.parse(
      await node.run([process.execPath, '--input-type=module', '--eval', scrape, metricsUrl]),
    ) as number[];
    return [
      { what: 'scrape of /metrics', value: median(scraped), unit: 'ms' },
      { what: 'status over the admin API', value: await times(() => client.status()), unit: 'ms' },
      { what: 'list of all pods over the admin API', value: await times(() => client.pods()), unit: 'ms' },
    ];
  } finally {
    client.close();
  }
}

/** Killed and started again, as an upgrade or a crash does it. */
async function restart(agent: BenchAgent): Promise<Figure[]> {
  agent.process.kill('SIGKILL');
  await agent.process.exited;
  const wall = await timed(async () => {
    agent.process = await launch(agent.node, false);
    await untilRunning(agent.node, agent.process);
  });
  const used = sum([...threadSeconds(agent.process.pid).values()]);
  return [
    { what: 'start-up until running', value: wall, unit: 'ms' },
    { what: 'start-up, CPU', value: 1000 * used, unit: 'ms' },
  ];
}

/** `fill` adds the pods. The agents that are looked at have nothing of the bench in them. */
export async function atRest(agent: BenchAgent, fill: () => Promise<void>, forSeconds: number): Promise<Figure[]> {
  await restart(agent);
  await untilAnnounced(agent);
  await fill();
  const figures = await idle(agent, forSeconds);
  const before = threadSeconds(agent.process.pid);
  const back = await repair(agent);
  // What the look has cost is known once nothing moves any more.
  await delay(500);
  const cost = sum(spentSince(agent.process.pid, before).map(([, used]) => used));
  figures.push(
    { what: 'a deleted route of one pod is back after', value: back, unit: 'ms' },
    { what: '… CPU of it, a look at all pods', value: 1000 * cost, unit: 'ms' },
    ...(await asked(agent)),
    ...(await restart(agent)),
  );
  await delay(SETTLE_MILLISECONDS);
  figures.push({ what: `${MEMORY} after the start`, value: residentMebibytes(agent.process.pid), unit: 'MiB' });
  return figures;
}
