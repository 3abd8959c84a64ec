/**
 * How fast learned routes get into a kernel and out of it: the writer as the agent uses it, in a throw-away namespace,
 * beside `ip -batch` with the same routes. Wall time and processor time of this process, in microseconds a route.
 */
import { spawnSync } from 'node:child_process';
import type { FibUpdate } from '#dataplane/fib/route.ts';
import { createFibNode, type FibNode, fibUpdate, hop, type WatchedWriter, watchedWriter } from '../../support/fib.ts';

interface Figure {
  readonly what: string;
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly longestTurnMs: number;
}

type Rows = readonly (readonly [prefix: string, group: number])[];

function rowsOf(family: 'ipv4' | 'ipv6', count: number, group: number): Rows {
  const rows: [string, number][] = [];
  for (let i = 0; i < count; i++) {
    rows.push(
      family === 'ipv4'
        ? [`${20 + (i >> 18)}.${(i >> 10) & 255}.${(i >> 2) & 255}.${(i & 3) << 6}/26`, group]
        : [`2001:db8:${((i >> 12) + 1).toString(16)}:${((i & 0xfff) + 1).toString(16)}::/122`, group],
    );
  }
  return rows;
}

/** The event loop's longest standstill while something runs. */
function watchTurns(): () => number {
  let last = performance.now();
  let longest = 0;
  let running = true;
  const look = (): void => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    if (running) setImmediate(look);
  };
  setImmediate(look);
  return () => {
    running = false;
    return longest;
  };
}

async function measure(what: string, action: () => Promise<void>): Promise<Figure> {
  const cpu = process.cpuUsage();
  const turns = watchTurns();
  const begun = performance.now();
  await action();
  const wallMs = performance.now() - begun;
  const longestTurnMs = turns();
  const used = process.cpuUsage(cpu);
  return { what, wallMs, cpuMs: (used.user + used.system) / 1000, longestTurnMs };
}

async function family(node: FibNode, name: 'ipv4' | 'ipv6', count: number): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  const gateways = name === 'ipv4' ? (['10.0.0.2', '10.0.1.2'] as const) : (['fd00::2', 'fd00:1::2'] as const);
  const groups = [
    { id: 1, members: [hop(gateways[0], node.up[0]), hop(gateways[1], node.up[1])] },
    { id: 2, members: [hop(gateways[1], node.up[1])] },
  ];
  let watched: WatchedWriter = watchedWriter(node.ns.path);
  watched.writer.start();
  const rows = [0, 1, 2].map((group) => fibUpdate(0, rowsOf(name, count, group)));
  const apply = async (sequence: number, group: number, more: Partial<FibUpdate> = {}): Promise<void> => {
    const update = rows[group];
    if (update === undefined) return;
    watched.writer.apply({ ...update, sequence, ...more });
    await watched.applied(sequence);
  };
  figures.push(await measure(`${name} add, group of two`, () => apply(1, 1, { groups, complete: true })));
  figures.push(await measure(`${name} move to another group`, () => apply(2, 2)));
  watched.close();
  watched = watchedWriter(node.ns.path);
  figures.push(
    await measure(`${name} restart: read back`, () => {
      watched.writer.start();
      return Promise.resolve();
    }),
  );
  figures.push(await measure(`${name} restart: nothing to write`, () => apply(1, 2, { groups, complete: true })));
  figures.push(await measure(`${name} delete`, () => apply(2, 0, { releasedGroups: [1, 2] })));
  watched.writer.setBatchRows(100);
  figures.push(await measure(`${name} add, batches of 100`, () => apply(3, 1, { groups })));
  figures.push(await measure(`${name} delete, batches of 100`, () => apply(4, 0, { releasedGroups: [1, 2] })));
  watched.close();
  return figures;
}

function ipBatch(node: FibNode, name: 'ipv4' | 'ipv6', count: number): Figure {
  const gateway = name === 'ipv4' ? '10.0.0.2' : 'fd00::2';
  const lines = rowsOf(name, count, 1).map(([prefix]) => `route add ${prefix} via ${gateway} proto 98 metric 20`);
  const begun = performance.now();
  const { status, stderr } = spawnSync('ip', ['-n', node.ns.name, '-batch', '-'], {
    input: lines.join('\n'),
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`ip -batch: ${stderr}`);
  const wallMs = performance.now() - begun;
  spawnSync('ip', ['-n', node.ns.name, name === 'ipv4' ? '-4' : '-6', 'route', 'flush', 'proto', '98']);
  return { what: `${name} add by ip -batch`, wallMs, cpuMs: Number.NaN, longestTurnMs: Number.NaN };
}

const number = (value: number, digits: number): string => (Number.isNaN(value) ? '-' : value.toFixed(digits));

export async function runFib(args: readonly string[]): Promise<number> {
  const at = args.indexOf('--routes');
  const count = at < 0 ? 100_000 : Number(args[at + 1]);
  if (!Number.isInteger(count) || count < 1 || count > 1_000_000) {
    console.error('fib: --routes takes 1 to 1000000');
    return 2;
  }
  const node = await createFibNode('frt-bench');
  try {
    console.log(`${count} routes, wall / CPU ms, us a route, longest turn of the event loop ms`);
    for (const name of ['ipv4', 'ipv6'] as const) {
      for (const one of [...(await family(node, name, count)), ipBatch(node, name, count)]) {
        const perRoute = `${number((1000 * one.wallMs) / count, 2)} (${number((1000 * one.cpuMs) / count, 2)})`;
        console.log(
          `${one.what.padEnd(32)} ${number(one.wallMs, 0).padStart(6)} / ${number(one.cpuMs, 0).padStart(6)}   ${perRoute.padStart(13)}   ${number(one.longestTurnMs, 0).padStart(5)}`,
        );
      }
    }
    return 0;
  } finally {
    await node.dispose();
  }
}
