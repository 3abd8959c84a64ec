/** One burst: all pods of a contender added or deleted, so many calls at a time, and what that took. */
import { readFileSync, readdirSync } from 'node:fs';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import { lateness, spentSince, sum, threadSeconds } from './agent.ts';
import type { Contender } from './contenders.ts';
import { programPath } from './programs.ts';

/** What the C programs print: of all calls together, of one call, and of the processes that were started. */
interface DriverAnswer {
  readonly wallMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuSeconds: number;
  readonly failed: number;
}

export interface Sample {
  readonly who: string;
  readonly verb: 'ADD' | 'DEL';
  readonly at: number;
  readonly round: number;
  readonly pods: number;
  readonly failed: number;
  /** Of one pod: all calls answered. */
  readonly wallMs: number;
  /** Of one pod, DEL only: no host end is left. */
  readonly goneMs: number | undefined;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of one pod: processes of the plugin and all threads of the agent. */
  readonly cpuMs: number;
  /** Of one pod: everything that ran on the machine meanwhile, the kernel's own threads too. */
  readonly machineMs: number;
  /** Of the 50 ms heartbeat on the bgp thread. */
  readonly late: readonly number[];
  /** Milliseconds of one pod by thread of the agent. */
  readonly threads: string;
}

export const podNames = 'bench';

export const driver = async (node: Contender['node'], words: readonly string[]): Promise<string> =>
  await node.run([programPath('driver'), ...words], { timeout: seconds(300) });

export const hostEnds = ({ node, prefix }: Contender): number =>
  readdirSync(node.path('/sys/class/net')).filter((name) => name.startsWith(prefix)).length;

/** CLOCK_TICKS are hundredths of a second on every machine that Linux runs on. */
function machineSeconds(): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] =
    readFileSync('/proc/stat', 'utf8').split('\n')[0]?.trim().split(/\s+/).slice(1).map(Number) ?? [];
  return (user + nice + system + irq + softirq) / 100;
}

async function run(who: Contender, verb: 'ADD' | 'DEL', at: number, pods: number): Promise<DriverAnswer> {
  const out =
    who.plugin === undefined
      ? await who.node.run([programPath('floor'), 'all', verb, String(pods), podNames], { timeout: seconds(60) })
      : await driver(who.node, ['run', verb, who.plugin, '/usr/lib/cni', who.conf, String(at), String(pods), podNames]);
  return JSON.parse(out) as DriverAnswer;
}

export async function burst(
  who: Contender,
  { verb, at, round, wanted }: { verb: 'ADD' | 'DEL'; at: number; round: number; wanted: number },
): Promise<Sample> {
  const pods = who.pods(at, wanted);
  const pid = who.agent?.process.pid;
  const before = pid === undefined ? new Map<string, number>() : threadSeconds(pid);
  const machineBefore = machineSeconds();
  const since = Date.now();
  const started = performance.now();
  const answer = await run(who, verb, at, pods);
  let goneMs: number | undefined;
  if (verb === 'DEL') {
    if (who.reaps) await who.node.run([programPath('floor'), 'reap', String(pods)], { timeout: seconds(60) });
    await waitFor(
      'every host end to be gone',
      async () => (hostEnds(who) === 0 ? found(true) : notYet(`${hostEnds(who)}`)),
      { deadline: seconds(60), every: milliseconds(10) },
    );
    goneMs = performance.now() - started;
  } else if (hostEnds(who) !== pods) {
    throw new Error(`${who.name}: ${pods} pods were added, but there are ${hostEnds(who)} host ends`);
  }
  const machine = machineSeconds() - machineBefore;
  const spent = pid === undefined ? [] : spentSince(pid, before);
  const perPod = (total: number): number => total / pods;
  return {
    who: who.name,
    verb,
    at,
    round,
    pods,
    failed: answer.failed,
    wallMs: perPod(answer.wallMs),
    goneMs: goneMs === undefined ? undefined : perPod(goneMs),
    p50Ms: answer.p50Ms,
    p99Ms: answer.p99Ms,
    cpuMs: perPod(1000 * (answer.cpuSeconds + sum(spent.map(([, used]) => used)))),
    machineMs: perPod(1000 * machine),
    late: who.agent === undefined ? [] : lateness(who.agent.node, since),
    threads: spent
      .map(([name, used]) => [name, perPod(1000 * used)] as const)
      .filter(([, used]) => used >= 0.005)
      .map(([name, used]) => `${name} ${used.toFixed(2)}`)
      .join(', '),
  };
}
