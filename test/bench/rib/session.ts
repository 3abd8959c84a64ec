/**
 * How long routes take through two whole engines over a real TCP session: one process originates them, another learns,
 * decides and hands out rows for the kernel. Both in one throw-away namespace, on its loopback.
 */
import { fork, spawnSync } from 'node:child_process';
import type { Prefix } from '#lib/ip.ts';
import { systemClock } from '#lib/time.ts';
import { createSpeaker } from '#bgp/speaker.ts';
import { asn, intent, ip, kernelView, peerIntent } from '../../unit/bgp/speaker/network.ts';

interface Report {
  readonly rows: number;
  readonly milliseconds: number;
  readonly cpuMilliseconds: number;
  readonly residentMiB: number;
  readonly longestTurn: number;
}

const addresses = ['192.0.2.1', '192.0.2.2'] as const;

function play(role: 'source' | 'sink', count: number): void {
  const self = role === 'source' ? 0 : 1;
  let rows = 0;
  let began = 0;
  let cpu = process.cpuUsage();
  let longestTurn = 0;
  let last = performance.now();
  const beat = setInterval(() => {
    const now = performance.now();
    if (began !== 0) longestTurn = Math.max(longestTurn, now - last - 1);
    last = now;
  }, 1);
  const engine = createSpeaker(
    { restarted: false, forwardingPreserved: [] },
    {
      clock: systemClock,
      wallClock: () => Date.now(),
      random: Math.random,
      outputs: {
        fib: (update) => {
          rows += update.groupIds.length;
          setImmediate(() => engine.fibApplied(update.sequence));
          if (role === 'source' || rows < count) return;
          const used = process.cpuUsage(cpu);
          clearInterval(beat);
          const report: Report = {
            rows,
            milliseconds: performance.now() - began,
            cpuMilliseconds: (used.user + used.system) / 1000,
            residentMiB: process.memoryUsage.rss() / 2 ** 20,
            longestTurn,
          };
          process.send?.(report);
        },
        facts: () => {},
        event: (_level, event) => {
          if (event !== 'session.established') return;
          began = performance.now();
          cpu = process.cpuUsage();
        },
      },
    },
  );
  engine.setKernelView(kernelView([[`${addresses[self]}/24`]]));
  const announcements = Array.from({ length: role === 'source' ? count : 0 }, (_, i) => ({
    prefix: `10.${(i >> 14) & 255}.${(i >> 6) & 255}.${(i & 63) << 2}/30` as Prefix,
    source: 'block' as const,
  }));
  engine.apply(
    intent({
      asn: asn(65001 + self),
      routerId: ip(addresses[self]),
      listenPort: role === 'source' ? 1790 : undefined,
      announcements,
      peers: [
        peerIntent({
          name: 'other',
          address: ip(addresses[1 - self] ?? ''),
          sourceAddress: ip(addresses[self] ?? ''),
          port: 1790,
          localAsn: asn(65001 + self),
          peerAsn: asn(65002 - self),
          passive: role === 'source',
          maxPrefixes: 1e7,
          families: ['ipv4'],
        }),
      ],
    }),
    1,
  );
  process.on('disconnect', () => process.exit(0));
}

const run = (argv: readonly string[]): void => {
  const [file = '', ...rest] = argv;
  const { status, stderr } = spawnSync(file, rest, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${argv.join(' ')}: ${stderr}`);
};

export async function runSession(args: readonly string[]): Promise<number> {
  const count = Number(args[0] ?? 100_000);
  const rounds = Number(args[1] ?? 3);
  const namespace = `frt-bench-${process.pid}`;
  run(['ip', 'netns', 'add', namespace]);
  try {
    run(['ip', '-n', namespace, 'link', 'set', 'lo', 'up']);
    for (const address of addresses) run(['ip', '-n', namespace, 'addr', 'add', `${address}/32`, 'dev', 'lo']);
    for (let round = 0; round < rounds; round++) {
      const start = (role: string): ReturnType<typeof fork> =>
        fork(import.meta.filename, [role, String(count)], {
          execPath: '/usr/sbin/ip',
          execArgv: ['netns', 'exec', namespace, process.execPath],
        });
      const source = start('source');
      const sink = start('sink');
      const report = await new Promise<Report>((resolve, reject) => {
        sink.once('message', (message) => resolve(message as Report));
        for (const child of [source, sink]) child.once('exit', (code) => reject(new Error(`ended with ${code}`)));
      });
      source.disconnect();
      sink.disconnect();
      console.log(
        `${report.rows} rows in ${report.milliseconds.toFixed(0)} ms, ${report.cpuMilliseconds.toFixed(0)} ms CPU, ` +
          `${report.residentMiB.toFixed(0)} MiB, longest turn ${report.longestTurn.toFixed(0)} ms`,
      );
    }
  } finally {
    run(['ip', 'netns', 'del', namespace]);
  }
  return 0;
}

if (process.argv[1] === import.meta.filename) {
  const [role = '', count] = process.argv.slice(2);
  if (role === 'source' || role === 'sink') play(role, Number(count));
  else process.exit(await runSession(process.argv.slice(2)));
}
