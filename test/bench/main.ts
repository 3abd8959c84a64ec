// `npm run bench -- NAME [OPTIONS]`: figures of flatroute, beside its peers' where there are any, taken in one interleaved run.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { runBgp } from './bgp/bgp.ts';
import { runFib } from './fib/fib.ts';
import { runKubernetes } from './kubernetes/kubernetes.ts';
import { runPaths } from './paths/paths.ts';
import { runPods } from './pods/pods.ts';
import { runContainerd } from './runtime/containerd.ts';

interface Bench {
  readonly run: (args: readonly string[]) => Promise<number>;
  readonly what: string;
}

/** A bench that needs a process of its own: for its memory, or for switches of Node. */
const script =
  (path: string, switches: readonly string[] = []): Bench['run'] =>
  (args) => {
    const words = ['--disable-warning=ExperimentalWarning', ...switches, join(import.meta.dirname, path), ...args];
    return Promise.resolve(spawnSync(process.execPath, words, { stdio: 'inherit' }).status ?? 1);
  };

const benches: Readonly<Record<string, Bench>> = {
  pods: {
    run: runPods,
    what: '[--pods 1000] [--at 1,2,8,32] [--rounds 3] [--peers ptp,…|--alone] [--cases burst,rest]   ADD and DEL of pods beside the reference plugins and C, and an agent at rest',
  },
  paths: {
    run: runPaths,
    what: '[--seconds 3] [--rounds 3]   pod to pod beside a bridge and a VXLAN overlay: throughput, packets, round trips',
  },
  containerd: {
    run: runContainerd,
    what: '[--pods 40] [--at 1,8] [--rounds 3]   the share of a sandbox of containerd that is its network, beside ptp + host-local',
  },
  bgp: {
    run: runBgp,
    what: '[--size 10k,100k,1M] [--rounds 3] [--daemons …] [--cases table,restart,misfortunes,peers,idle,slow] [--peers 200x1000] [--slow 100k] …   speakers side by side',
  },
  kubernetes: {
    run: runKubernetes,
    what: '[--cases agent,agents,watchers,endpoints,claims,services,status] [--nodes 5] [--pods 100] [--agents 40] [--watchers 300] [--rounds 20] [--idle 60] [--endpoints 150000] …   agents and a real API server: events, watches, bytes, memory',
  },
  fib: {
    run: runFib,
    what: '[--routes 100000]   learned routes into the kernel and out of it, beside ip -batch',
  },
  failover: {
    run: script('bfd/failover.ts'),
    what: '[--routes 10,100000] [--rounds 5] [--routers bird,frr]   a flow of a pod when the router that carries it freezes',
  },
  wire: {
    run: script('bgp/wire.ts'),
    what: '[PREFIXES] [ROUNDS]   the BGP codec on one thread',
  },
  learn: {
    run: script('rib/learn.ts', ['--expose-gc']),
    what: '[PREFIXES]   the RIB learns, decides and announces, without sockets; bytes per prefix',
  },
  mesh: {
    run: script('rib/mesh.ts', ['--expose-gc']),
    what: "[PEERS] [ROUTES]   peers that are told each other's routes, without sockets; bytes per prefix",
  },
  fresh: {
    run: script('rib/fresh.ts'),
    what: "[PREFIXES] [ROUNDS] ['SWITCHES OF NODE']…   what a table costs a process that has just begun, compiler included",
  },
  session: {
    run: script('rib/session.ts'),
    what: '[PREFIXES] [ROUNDS]   a table through two engines over one TCP session',
  },
};

const [name = '', ...args] = process.argv.slice(2);
const bench = Object.hasOwn(benches, name) ? benches[name] : undefined;
if (bench === undefined) {
  console.error('usage: npm run bench -- NAME [OPTIONS]');
  const width = Math.max(...Object.keys(benches).map((known) => known.length));
  for (const [known, { what }] of Object.entries(benches)) console.error(`  ${known.padEnd(width)} ${what}`);
  process.exit(2);
}
process.exit(await bench.run(args));
