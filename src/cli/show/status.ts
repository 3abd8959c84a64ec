/** `flatroute status` for people: one screen, what is wrong last and in full. PURE. */
import type { StatusAnswer } from '#status/answers.ts';
import { age, shortSeconds } from '../output/age.ts';
import { noteLines, type TableOptions } from '../output/table.ts';
import { type Colour, paint, printable, wrap } from '../output/text.ts';

const ROW_INDENT = 12;

export function showStatus(status: StatusAnswer, options: TableOptions): readonly string[] {
  const { bgp } = status;
  const colour = (name: Colour, text: string): string => paint(name, text, options.colour);
  const health =
    status.healthy && status.ready
      ? colour('green', 'ready')
      : colour('red', status.healthy ? 'not ready' : 'unhealthy');
  const lines = [
    `${colour('bold', status.node)}  ${health} · flatroute ${status.version} · up ${age(status.uptimeSeconds)} · pid ${status.pid}`,
    '',
  ];
  const row = (name: string, text: string): void => {
    const room = options.width === undefined ? Number.POSITIVE_INFINITY : Math.max(20, options.width - ROW_INDENT);
    wrap(text, room).forEach((line, i) =>
      lines.push(i === 0 ? `  ${colour('dim', name.padEnd(9))} ${line}` : `${' '.repeat(ROW_INDENT)}${line}`),
    );
  };

  const sessions = `${bgp.established} of ${bgp.peers} sessions established`;
  const listening = bgp.listenPort === undefined ? 'not listening' : `listening on port ${bgp.listenPort}`;
  row(
    'BGP',
    bgp.asn === undefined
      ? 'no AS number'
      : `AS ${bgp.asn} · router id ${bgp.routerId ?? '–'} · ${bgp.established === bgp.peers ? sessions : colour('red', sessions)} · ${listening}`,
  );
  row(
    'routes',
    `${bgp.prefixes.ipv4} IPv4 and ${bgp.prefixes.ipv6} IPv6 prefixes known; learned and in the kernel: ${status.learnedRoutes.ipv4} and ${status.learnedRoutes.ipv6}`,
  );
  row('pods', [String(status.pods), ...blocksWords(status.blocks)].join(' · '));
  const repairs = Object.values(status.repairs).reduce((sum, n) => sum + n, 0);
  row(
    'kernel',
    repairs === 0 ? 'nothing repaired since the start' : `${repairs} repairs since the start (flatroute drift)`,
  );
  row('threads', `p99 delay: ${status.threads.map(threadWords).join(' · ')}`);

  lines.push('');
  const problems = status.problems.filter((problem) => problem.severity !== 'info');
  if (problems.length === 0) {
    lines.push(`  ${colour('green', '✔')} nothing is wrong`);
    return lines;
  }
  for (const problem of problems) {
    const sign = problem.severity === 'error' ? colour('red', '✘') : colour('yellow', '!');
    lines.push(`  ${sign} ${printable(problem.object)}  ${printable(problem.reason)}`);
    lines.push(...noteLines({ text: problem.message }, options, 2));
  }
  return lines;
}

/** Blocks that fit into a line or two; beyond that how many there are. */
const LISTED_BLOCKS = 6;

function blocksWords(blocks: StatusAnswer['blocks']): readonly string[] {
  const fixed = blocks.filter((it) => it.fixedAddress);
  const whole = blocks.filter((it) => !it.fixedAddress);
  const used = (of: StatusAnswer['blocks']): number => of.reduce((sum, it) => sum + it.used, 0);
  const fixedWords = fixed.length === 0 ? [] : [`${used(fixed)} of ${fixed.length} fixed addresses used`];
  return whole.length <= LISTED_BLOCKS
    ? [...whole.map(blockWords), ...fixedWords]
    : [`${used(whole)} addresses of ${whole.length} blocks used (flatroute pools)`, ...fixedWords];
}

const blockWords = (block: StatusAnswer['blocks'][number]): string =>
  block.capacity >= 2 ** 32
    ? `${block.cidr} ${block.used} used`
    : `${block.cidr} ${block.used} of ${block.capacity} used`;

function threadWords(thread: StatusAnswer['threads'][number]): string {
  if (thread.state !== 'running') return `${thread.name} ${thread.state}`;
  if (thread.stuck !== undefined) return `${thread.name} stuck: ${thread.stuck}`;
  const restarts = thread.restarts === 0 ? '' : `, restarted ${thread.restarts} times`;
  return `${thread.name} ${shortSeconds(thread.eventLoopDelayP99Seconds)}${restarts}`;
}

export const statusIsFine = (status: StatusAnswer): boolean =>
  status.healthy && status.ready && status.problems.every((problem) => problem.severity === 'info');
