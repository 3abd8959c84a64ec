// `npm run bench -- NAME [OPTIONS]`: figures of flatroute beside its peers', taken in one interleaved run.
import { runFib } from './fib/fib.ts';
import { runPods } from './pods/pods.ts';

const benches: Readonly<
  Record<string, { readonly run: (args: readonly string[]) => Promise<number>; readonly what: string }>
> = {
  fib: {
    run: runFib,
    what: '[--routes 100000]   learned routes into the kernel and out of it, beside ip -batch',
  },
  pods: {
    run: runPods,
    what: '[--pods 1000] [--at 8,…] [--rounds 3]   ADD and DEL of pods, beside ptp + host-local',
  },
};

const [name = '', ...args] = process.argv.slice(2);
const bench = Object.hasOwn(benches, name) ? benches[name] : undefined;
if (bench === undefined) {
  console.error('usage: npm run bench -- NAME [OPTIONS]');
  for (const [known, { what }] of Object.entries(benches)) console.error(`  ${known} ${what}`);
  process.exit(2);
}
process.exit(await bench.run(args));
